//! What compress(1) has packed: LZW with codes of 9 to 16 bits, lowest bit first. Batches of old sites
//! come like this, and nothing is written like this any more.
//!
//! Codes come in groups of eight; where their width changes, what is left of a group is padding.

use std::io::{self, BufRead, ErrorKind, Read};

/// The narrowest code.
const BITS_MIN: u32 = 9;
/// The widest one that there is.
const BITS_MAX: u32 = 16;
/// The code that empties the table, if the head says that there is one.
const CLEAR: u16 = 256;

/// Unpacks.
pub(super) struct LzwReader<R> {
    input: R,
    /// The widest code here.
    bits_max: u32,
    has_clear: bool,
    /// The width of a code now.
    bits: u32,
    /// For each code from 256 on, the code before its last octet, and that octet.
    table: Vec<(u16, u8)>,
    /// A group of codes, and how many of its bits have been taken.
    group: Vec<u8>,
    taken: usize,
    /// The code before, and the first octet of what it stands for.
    before: Option<(u16, u8)>,
    /// Unpacked and not read yet, last octet first.
    ready: Vec<u8>,
}

impl<R: BufRead> LzwReader<R> {
    /// # Errors
    /// As `input` has them; `InvalidData` where the head is not that of compress(1).
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let mut head = [0; 3];
        input.read_exact(&mut head)?;
        let [0x1f, 0x9d, flags] = head else { return Err(broken()) };
        let bits_max = u32::from(flags & 0x1f);
        if !(BITS_MIN..=BITS_MAX).contains(&bits_max) {
            return Err(broken());
        }
        let has_clear = flags & 0x80 != 0;
        let mut unpacked = Self {
            input,
            bits_max,
            has_clear,
            bits: BITS_MIN,
            table: Vec::new(),
            group: Vec::new(),
            taken: 0,
            before: None,
            ready: Vec::new(),
        };
        unpacked.reset();
        Ok(unpacked)
    }

    /// An empty table. The place of [`CLEAR`] in it stands for nothing.
    fn reset(&mut self) {
        self.bits = BITS_MIN;
        self.table.clear();
        if self.has_clear {
            self.table.push((0, 0));
        }
        self.group.clear();
        self.taken = 0;
        self.before = None;
    }

    /// The code that the next entry of the table gets.
    fn next_code(&self) -> usize {
        256 + self.table.len()
    }

    /// The next code; none at the end.
    fn code(&mut self) -> io::Result<Option<u16>> {
        if self.next_code() > (1 << self.bits) - 1 && self.bits < self.bits_max {
            self.bits += 1;
            self.group.clear();
            self.taken = 0;
        }
        let bits = self.bits as usize;
        if self.taken + bits > self.group.len() * 8 {
            self.group.clear();
            self.taken = 0;
            (&mut self.input).take(bits as u64).read_to_end(&mut self.group)?;
            if self.group.len() * 8 < bits {
                return Ok(None);
            }
        }
        let octet = |at: usize| u32::from(self.group.get(at).copied().unwrap_or(0));
        let at = self.taken / 8;
        let three = octet(at) | octet(at + 1) << 8 | octet(at + 2) << 16;
        self.taken += bits;
        let code = (three >> ((self.taken - bits) % 8)) & ((1 << bits) - 1);
        Ok(Some(u16::try_from(code).unwrap_or(u16::MAX)))
    }

    /// Unpacks one code more; false at the end.
    fn step(&mut self) -> io::Result<bool> {
        let Some(code) = self.code()? else { return Ok(false) };
        if code == CLEAR && self.has_clear {
            self.reset();
            return Ok(true);
        }
        let mut at = code;
        if usize::from(code) >= self.next_code() {
            // The entry that is about to be made: what came before, and its first octet once more.
            let Some((before, first)) = self.before.filter(|_| usize::from(code) == self.next_code()) else {
                return Err(broken());
            };
            self.ready.push(first);
            at = before;
        }
        while let Some(entry) = at.checked_sub(256) {
            // Each entry leads to one made before it, so this ends.
            let &(shorter, last) = self.table.get(usize::from(entry)).ok_or_else(broken)?;
            if shorter >= at {
                return Err(broken());
            }
            self.ready.push(last);
            at = shorter;
        }
        let first = at.to_le_bytes()[0];
        self.ready.push(first);
        if let Some((before, _)) = self.before
            && self.next_code() < 1 << self.bits_max
        {
            self.table.push((before, first));
        }
        self.before = Some((code, first));
        Ok(true)
    }
}

impl<R: BufRead> Read for LzwReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() && !into.is_empty() {
            if !self.step()? {
                return Ok(0);
            }
        }
        let count = into.len().min(self.ready.len());
        for (to, from) in into.iter_mut().zip(self.ready.drain(self.ready.len() - count..).rev()) {
            *to = from;
        }
        Ok(count)
    }
}

fn broken() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "broken data behind the head of compress")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Packs as compress(1) does, for tests; the table is emptied every `clear_every` codes.
    fn pack(octets: &[u8], bits_max: u32, clear_every: usize) -> Vec<u8> {
        let mut out = vec![0x1f, 0x9d, 0x80 | u8::try_from(bits_max).unwrap()];
        let (mut table, mut next, mut bits) = (HashMap::new(), 257_usize, BITS_MIN);
        let mut group: Vec<bool> = Vec::new();
        let put = |group: &mut Vec<bool>, code: usize, bits: u32| {
            group.extend((0..bits).map(|bit| code >> bit & 1 == 1));
        };
        // Groups are whole, but for the last one.
        let flush = |group: &mut Vec<bool>, whole: Option<u32>, out: &mut Vec<u8>| {
            if let Some(bits) = whole {
                group.resize(group.len().next_multiple_of(bits as usize * 8), false);
            }
            for octet in group.chunks(8) {
                out.push(octet.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
            }
            group.clear();
        };
        let mut rest = octets;
        let mut codes = 0;
        let mut first = true;
        while !rest.is_empty() {
            let mut len = 1;
            while len < rest.len() && table.contains_key(&rest[..=len]) {
                len += 1;
            }
            let code = if len == 1 { usize::from(rest[0]) } else { table[&rest[..len]] };
            put(&mut group, code, bits);
            codes += 1;
            // The reader makes an entry with each code but the first: it is one entry behind.
            if !first && next > (1 << bits) - 1 && bits < bits_max {
                flush(&mut group, Some(bits), &mut out);
                bits += 1;
            }
            first = false;
            if len < rest.len() && next < 1 << bits_max {
                table.insert(rest[..=len].to_vec(), next);
                next += 1;
            }
            rest = &rest[len..];
            if codes % clear_every == 0 {
                put(&mut group, usize::from(CLEAR), bits);
                flush(&mut group, Some(bits), &mut out);
                (next, bits, first) = (257, BITS_MIN, true);
                table.clear();
            }
        }
        flush(&mut group, None, &mut out);
        out
    }

    fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        LzwReader::new(packed)?.read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// What compress(1) makes of a line, twice.
    const LINES: &[u8] = b"TOBEORNOTTOBEORTOBEORNOT\nTOBEORNOTTOBEORTOBEORNOT\n";
    const PACKED: [u8; 34] = [
        0x1f, 0x9d, 0x90, 0x54, 0x9e, 0x08, 0x29, 0xf2, 0x44, 0x8a, 0x93, 0x27, 0x54, 0x02, 0x0e, 0x2c, 0xa8,
        0x90, 0xa0, 0x41, 0x84, 0x0a, 0x1a, 0x16, 0x3c, 0x98, 0x50, 0xa0, 0x43, 0x89, 0x0f, 0xa9, 0x28, 0x00,
    ];

    #[test]
    fn what_compress_packed_is_unpacked() {
        assert_eq!(unpack(&PACKED).unwrap(), LINES);
    }

    #[test]
    fn codes_grow_and_tables_are_emptied() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| (n * n % 1009).to_string().into_bytes()).collect();
        for (bits_max, clear_every) in
            [(9, usize::MAX), (12, usize::MAX), (12, 700), (16, usize::MAX), (16, 3000)]
        {
            let packed = pack(&text, bits_max, clear_every);
            assert!(unpack(&packed).unwrap() == text, "{bits_max} bits, emptied every {clear_every} codes");
        }
        assert_eq!(unpack(&pack(&[b'a'; 1000], 16, usize::MAX)).unwrap(), [b'a'; 1000]);
    }

    #[test]
    fn broken_data_is_an_error_or_other_octets_and_nothing_worse() {
        for at in 0..PACKED.len() {
            for bit in 0..8 {
                let mut damaged = PACKED;
                damaged[at] ^= 1 << bit;
                if let Ok(octets) = unpack(&damaged) {
                    assert!(octets.len() < 10_000);
                }
            }
        }
        for head in [&b""[..], b"\x1f\x9d", b"\x1f\x9d\x88", b"\x1f\x9d\x91", b"\x1f\x8b\x90"] {
            assert!(unpack(head).is_err());
        }
    }
}
