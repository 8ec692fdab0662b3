//! Blocks of the overview: the rows of 64 consecutive article numbers of one newsgroup, and where
//! their articles are. A number that was never given, or whose article is lost, is an empty place.
//!
//! In the index a block is one value: a tag octet, 64 locations (so that an article is found by
//! number without decompressing), then LZ4 of 64 row lengths and the rows.

use super::segment::Packed;
use std::ops::Range;

/// Numbers in a block.
pub(super) const NUMBERS: u64 = 64;
const N: usize = NUMBERS as usize;
/// First octet of a value: the form described above.
const TAG: u8 = 1;

/// See the module.
#[derive(Clone)]
pub(super) struct Block {
    /// The block's number: article number / 64.
    pub no: u64,
    /// Are all rows here that the index has? If not, this block is to be merged with the index's.
    pub whole: bool,
    packed: [u64; N],
    spans: [(u32, u32); N],
    rows: Vec<u8>,
}

impl Block {
    /// A block without rows.
    pub fn new(no: u64, whole: bool) -> Self {
        Self { no, whole, packed: [0; N], spans: [(0, 0); N], rows: Vec::new() }
    }

    fn place(&self, number: u64) -> Option<usize> {
        (number / NUMBERS == self.no).then_some((number % NUMBERS) as usize)
    }

    /// Puts the row of an article; one that is there already stays as it is.
    pub fn put(&mut self, number: u64, location: Packed, row: &[u8]) {
        let Some(place) = self.place(number) else { return };
        if self.packed[place] == 0 {
            self.packed[place] = location.0;
            self.spans[place] = (self.rows.len() as u32, row.len() as u32);
            if self.rows.capacity() - self.rows.len() < row.len() {
                // Room for 4, 16, 64 rows: most are about as long as the first.
                self.rows.reserve_exact(3 * self.rows.len() + 4 * row.len());
            }
            self.rows.extend_from_slice(row);
        }
    }

    /// Takes over the rows of `other` that are not here.
    pub fn merge(&mut self, other: &Self) {
        let first = self.no * NUMBERS;
        for (number, location, row) in other.rows(first..first + NUMBERS) {
            self.put(number, location, row);
        }
    }

    /// The article of a number.
    pub fn location(&self, number: u64) -> Option<Packed> {
        let packed = self.packed[self.place(number)?];
        (packed != 0).then_some(Packed(packed))
    }

    /// The rows of these numbers that exist, in order.
    pub fn rows(&self, numbers: Range<u64>) -> impl Iterator<Item = (u64, Packed, &[u8])> {
        let first = self.no * NUMBERS;
        let from = numbers.start.saturating_sub(first).min(NUMBERS) as usize;
        let to = numbers.end.saturating_sub(first).min(NUMBERS) as usize;
        (from..to).filter(|place| self.packed[*place] != 0).map(move |place| {
            let (at, len) = self.spans[place];
            let row = self.rows.get(at as usize..(at + len) as usize).unwrap_or_default();
            (first + place as u64, Packed(self.packed[place]), row)
        })
    }

    /// The nearest number at or above (`up`) or at or below `number` in this block.
    pub fn nearest(&self, number: u64, up: bool) -> Option<u64> {
        let place = self.place(number)?;
        let found = if up {
            (place..N).find(|place| self.packed[*place] != 0)
        } else {
            (0..=place).rev().find(|place| self.packed[*place] != 0)
        };
        found.map(|place| self.no * NUMBERS + place as u64)
    }

    /// Octets in memory.
    pub fn octets(&self) -> usize {
        size_of::<Self>() + self.rows.capacity()
    }

    /// The value in the index.
    pub fn encode(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(N * 4 + self.rows.len());
        for (_, len) in self.spans {
            plain.extend_from_slice(&len.to_le_bytes());
        }
        for (_, _, row) in self.rows(self.no * NUMBERS..(self.no + 1) * NUMBERS) {
            plain.extend_from_slice(row);
        }
        let compressed = lz4_flex::block::compress_prepend_size(&plain);
        let mut value = Vec::with_capacity(1 + N * 8 + compressed.len());
        value.push(TAG);
        for packed in self.packed {
            value.extend_from_slice(&packed.to_le_bytes());
        }
        value.extend_from_slice(&compressed);
        value
    }

    /// Reads a value of the index; none when it is damaged.
    pub fn decode(no: u64, value: &[u8]) -> Option<Self> {
        let (&TAG, rest) = value.split_first()? else { return None };
        let (locations, compressed) = rest.split_at_checked(N * 8)?;
        let (size, compressed) = lz4_flex::block::uncompressed_size(compressed).ok()?;
        if size > super::record::FACTS_MAX {
            return None;
        }
        let mut rows = lz4_flex::block::decompress(compressed, size).ok()?;
        let mut block = Self::new(no, true);
        for (packed, octets) in block.packed.iter_mut().zip(locations.chunks_exact(8)) {
            *packed = u64::from_le_bytes(octets.try_into().ok()?);
        }
        let mut at = (N * 4) as u32;
        for (span, octets) in block.spans.iter_mut().zip(rows.get(..N * 4)?.chunks_exact(4)) {
            let len = u32::from_le_bytes(octets.try_into().ok()?);
            *span = (at, len);
            at = at.checked_add(len)?;
        }
        if at as usize != rows.len() {
            return None;
        }
        rows.shrink_to_fit();
        block.rows = rows;
        Some(block)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back_as_it_was_written() {
        let mut block = Block::new(3, true);
        for number in [192, 200, 255] {
            block.put(number, Packed(number << 32), format!("row {number}").as_bytes());
        }
        let value = block.encode();
        let again = Block::decode(3, &value).unwrap();
        let rows: Vec<_> = again.rows(0..u64::MAX).map(|(n, at, row)| (n, at, row.to_vec())).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1], (200, Packed(200 << 32), b"row 200".to_vec()));
        assert_eq!(again.nearest(201, true), Some(255));
        assert_eq!(again.nearest(199, false), Some(192));
        assert_eq!(again.location(193), None);
        for cut in 0..value.len() {
            assert!(Block::decode(3, &value[..cut]).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn merging_fills_empty_places_only() {
        let mut newer = Block::new(0, false);
        newer.put(5, Packed(1 << 32), b"newer");
        let mut older = Block::new(0, true);
        older.put(4, Packed(2 << 32), b"older");
        older.put(5, Packed(3 << 32), b"older");
        newer.merge(&older);
        let rows: Vec<_> = newer.rows(0..64).map(|(n, _, row)| (n, row.to_vec())).collect();
        assert_eq!(rows, [(4, b"older".to_vec()), (5, b"newer".to_vec())]);
    }
}
