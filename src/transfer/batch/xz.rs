//! What unpacking an xz file would cost, looked at before it is paid: a reader below the unpacking, which walks
//! the file's structure as its octets pass by (the .xz File Format 1.1.0) and stops what would take too much.
//!
//! - Each block names the octets of its dictionary, and the memory is taken when that is read: not the first
//!   block's alone, so all of them are looked at.
//! - The index names the blocks that there were, and memory is taken for so many before they are read.
//! - Streams without a block may stand one behind the other; each would cost some of the stack.
//!
//! Nothing is unpacked here, and sums are not looked at: a walk that goes wrong because the file is broken ends
//! in an error either here or there.

use std::io::{self, ErrorKind, Read};

/// Octets of the dictionary that unpacking may take: what the strongest preset asks for.
const DICTIONARY_MAX: u32 = 64 << 20;
/// Streams without a block that may follow each other.
const EMPTY_MAX: u32 = 16;
/// Octets of a stream's header, and of its footer.
const HEADER_LEN: usize = 12;
/// The number of the LZMA2 filter (s.5.3.1).
const LZMA2: u8 = 0x21;

/// Hands on what it reads.
pub(super) struct Walked<R> {
    inner: R,
    walk: Walk,
}

impl<R: Read> Walked<R> {
    /// `inner` begins with an xz stream.
    pub(super) fn new(inner: R) -> Self {
        Self { inner, walk: Walk::default() }
    }
}

impl<R: Read> Read for Walked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.walk.go(into.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

/// What the octets that are gathered will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A stream's header; or zeros before it, which are padding.
    Stream,
    /// A block header's length; 0: the index begins.
    Length,
    /// The rest of a block's header.
    Block,
    /// The first octet of a chunk of LZMA2; 0: there are no more.
    Control,
    /// The rest of that chunk's header.
    Chunk { packed: bool },
    /// How many records the index has.
    Count,
    /// A number of a record; so many are to come, this one included.
    Record { left: u64 },
}

/// Where in the file we are.
#[derive(Debug)]
struct Walk {
    at: At,
    /// Octets gathered, and how many are wanted.
    head: Vec<u8>,
    want: usize,
    /// Octets that are passed over first.
    skip: u64,
    /// Octets of the sum behind each block.
    check_len: u64,
    /// Octets of the chunks of this block, or of the index.
    octets: u64,
    /// Blocks of this stream.
    blocks: u64,
    /// Streams without a block before this one.
    empty: u32,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            at: At::Stream,
            head: Vec::new(),
            want: HEADER_LEN,
            skip: 0,
            check_len: 0,
            octets: 0,
            blocks: 0,
            empty: 0,
        }
    }
}

impl Walk {
    fn go(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            if self.skip > 0 {
                let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(octets.len());
                self.skip -= passed as u64;
                octets = octets.get(passed..).unwrap_or_default();
                continue;
            }
            if self.at == At::Stream && self.head.is_empty() && octets.first() == Some(&0) {
                // Padding between streams (s.2.2).
                octets = octets.get(1..).unwrap_or_default();
                continue;
            }
            let taken = self.want.saturating_sub(self.head.len()).min(octets.len());
            let (now, rest) = octets.split_at_checked(taken).unwrap_or((octets, &[]));
            self.head.extend_from_slice(now);
            octets = rest;
            if self.head.len() >= self.want {
                let head = std::mem::take(&mut self.head);
                self.step(&head)?;
            }
        }
        Ok(())
    }

    fn expect(&mut self, at: At, want: usize) {
        (self.at, self.want) = (at, want);
    }

    /// All of what was wanted is there.
    fn step(&mut self, head: &[u8]) -> io::Result<()> {
        let first = head.first().copied().unwrap_or_default();
        match self.at {
            At::Stream => {
                // s.2.1.1.2: the kind of sum.
                let kind = head.get(7).copied().unwrap_or_default() & 0x0f;
                self.check_len = if kind == 0 { 0 } else { 4 << ((kind - 1) / 3) };
                self.blocks = 0;
                self.expect(At::Length, 1);
            }
            At::Length if first == 0 => {
                self.octets = 1;
                self.expect(At::Count, 1);
            }
            At::Length => self.expect(At::Block, (usize::from(first) + 1) * 4 - 1),
            At::Block => {
                let asked = dictionary(head).ok_or_else(broken)?;
                if asked > DICTIONARY_MAX {
                    return Err(too_much("xz with a dictionary above 64 MiB"));
                }
                self.blocks += 1;
                self.octets = 0;
                self.expect(At::Control, 1);
            }
            At::Control => {
                self.octets += 1;
                match first {
                    0 => {
                        // Up to a multiple of four, and the block's sum (s.3.3, s.3.4).
                        self.skip = padding(self.octets) + self.check_len;
                        self.expect(At::Length, 1);
                    }
                    1 | 2 => self.expect(At::Chunk { packed: false }, 2),
                    0xc0.. => self.expect(At::Chunk { packed: true }, 5),
                    0x80.. => self.expect(At::Chunk { packed: true }, 4),
                    _ => return Err(broken()),
                }
            }
            At::Chunk { packed } => {
                // Of two lengths the second is what lies here.
                let at = if packed { 2 } else { 0 };
                let len =
                    head.get(at..at + 2).and_then(|len| <[u8; 2]>::try_from(len).ok()).unwrap_or_default();
                self.skip = u64::from(u16::from_be_bytes(len)) + 1;
                self.octets += head.len() as u64 + self.skip;
                self.expect(At::Control, 1);
            }
            At::Count | At::Record { .. } if first & 0x80 != 0 => return self.goes_on(head),
            At::Count => {
                self.octets += head.len() as u64;
                if number(head) != self.blocks {
                    return Err(broken());
                }
                self.empty = if self.blocks == 0 { self.empty + 1 } else { 0 };
                if self.empty > EMPTY_MAX {
                    return Err(too_much("xz with too many empty streams"));
                }
                self.records(self.blocks.saturating_mul(2));
            }
            At::Record { left } => {
                self.octets += head.len() as u64;
                self.records(left - 1);
            }
        }
        Ok(())
    }

    /// A number whose last octet is yet to come (s.1.2).
    fn goes_on(&mut self, head: &[u8]) -> io::Result<()> {
        if head.last().is_some_and(|last| last & 0x80 == 0) {
            let at = self.at;
            self.octets += head.len() as u64;
            match at {
                At::Record { left } => self.records(left - 1),
                _ if number(head) != self.blocks => return Err(broken()),
                _ => {
                    self.empty = 0;
                    self.records(self.blocks.saturating_mul(2));
                }
            }
        } else if head.len() >= 9 {
            return Err(broken());
        } else {
            self.head.extend_from_slice(head);
            self.want = head.len() + 1;
        }
        Ok(())
    }

    /// So many numbers of the index are to come.
    fn records(&mut self, left: u64) {
        if left > 0 {
            return self.expect(At::Record { left }, 1);
        }
        // The index's padding and sum, and the stream's footer (s.4.4, s.4.5, s.2.1.2).
        self.skip = padding(self.octets) + 4 + HEADER_LEN as u64;
        self.expect(At::Stream, HEADER_LEN);
    }
}

/// Octets that are missing to a multiple of four.
fn padding(octets: u64) -> u64 {
    octets.wrapping_neg() & 3
}

/// A number of several octets, the lowest first, seven bits in each (s.1.2).
fn number(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |sum, octet| sum << 7 | u64::from(octet & 0x7f))
}

/// Octets of the dictionary that a block's header (behind its length) asks for, by the properties of its last
/// filter, which is LZMA2 (s.3.1, s.5.3.1); none where it is another, or LZMA2 stands before the last.
fn dictionary(head: &[u8]) -> Option<u32> {
    let mut rest = head.iter().copied();
    let flags = rest.next()?;
    // Two sizes, if they are told: the last octet of each has no high bit.
    for _ in 0..(u32::from(flags & 0x40 != 0) + u32::from(flags & 0x80 != 0)) {
        while rest.next()? & 0x80 != 0 {}
    }
    for _ in 0..(flags & 3) {
        let (id, properties_len) = (rest.next()?, rest.next()?);
        // Filters of several octets are nobody's that we know.
        if id == LZMA2 || id & 0x80 != 0 || properties_len & 0x80 != 0 {
            return None;
        }
        for _ in 0..properties_len {
            rest.next()?;
        }
    }
    let (id, properties_len, bits) = (rest.next()?, rest.next()?, u32::from(rest.next()?));
    (id == LZMA2 && properties_len == 1).then(|| match bits & 0x3f {
        40.. => u32::MAX,
        bits => (2 | (bits & 1)).checked_shl(bits / 2 + 11).unwrap_or(u32::MAX),
    })
}

fn broken() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a broken xz file")
}

fn too_much(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random;
    use lzma_rust2::{CheckType, XzOptions, XzReader, XzWriter};
    use std::io::Write;
    use std::num::NonZeroU64;

    fn xz(octets: &[u8], block: u64, check: CheckType) -> Vec<u8> {
        let mut options = XzOptions::with_preset(0);
        options.lzma_options.dict_size = u32::try_from(block.min(256 << 10)).unwrap();
        options.set_block_size(NonZeroU64::new(block));
        options.set_check_sum_type(check);
        let mut packed = XzWriter::new(Vec::new(), options).unwrap();
        packed.write_all(octets).unwrap();
        packed.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        XzReader::new(Walked::new(packed), true).read_to_end(&mut all)?;
        Ok(all)
    }

    /// Octets of which some pack well and some do not at all.
    fn mixed(len: usize) -> Vec<u8> {
        let mut octets = vec![b'a'; len];
        random::fill(&mut octets[len / 3..len / 2]).unwrap();
        octets
    }

    #[test]
    fn whole_files_pass() {
        for check in [CheckType::None, CheckType::Crc32, CheckType::Crc64, CheckType::Sha256] {
            for (len, block) in [(1, 1 << 20), (300_000, 1 << 20), (2_000_001, 300_000)] {
                let text = mixed(len);
                let packed = xz(&text, block, check);
                let back = unpacked(&packed).unwrap_or_else(|error| panic!("{check:?} {len}: {error}"));
                assert_eq!(back, text);
                let two = [packed.as_slice(), &[0; 8], &packed].concat();
                assert_eq!(unpacked(&two).unwrap().len(), 2 * len, "{check:?} {len}: two streams");
                // However it comes.
                let mut walk = Walk::default();
                two.chunks(7).for_each(|octets| walk.go(octets).unwrap());
                assert_eq!((walk.at, walk.head.len(), walk.skip), (At::Stream, 0, 0));
            }
        }
        let many = xz(&mixed(900_000), 4096, CheckType::Crc32);
        assert_eq!(unpacked(&many).unwrap().len(), 900_000, "more blocks than seven bits");
    }

    #[test]
    fn a_dictionary_that_takes_all_memory_is_refused_in_any_block() {
        // The header of a block: length, flags, LZMA2 with one octet of properties.
        let mark = [0x02, 0x00, 0x21, 0x01];
        for streams in [false, true] {
            let packed = if streams {
                [xz(b"one", 1 << 20, CheckType::Crc32), xz(b"two", 1 << 20, CheckType::Crc32)].concat()
            } else {
                xz(&mixed(700_000), 300_000, CheckType::Crc32)
            };
            let headers: Vec<usize> = packed
                .windows(4)
                .enumerate()
                .filter(|(_, octets)| *octets == mark)
                .map(|(at, _)| at)
                .collect();
            assert!(headers.len() >= 2, "{headers:?}");
            for at in headers {
                let mut bomb = packed.clone();
                bomb[at + 4] = 40;
                let error = unpacked(&bomb).unwrap_err();
                assert!(error.to_string().contains("dictionary above 64 MiB"), "{at}: {error}");
            }
        }
    }

    #[test]
    fn an_index_that_lies_takes_no_memory() {
        let packed = xz(b"one", 1 << 20, CheckType::None);
        // Behind the header, the block and its padding.
        let footer = packed.len() - HEADER_LEN;
        let index = footer - (packed[footer + 4] as usize + 1) * 4;
        assert_eq!(packed[index..index + 2], [0, 1]);
        let mut bomb = packed[..index + 1].to_vec();
        bomb.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(unpacked(&bomb).unwrap_err().to_string(), "a broken xz file");
    }

    #[test]
    fn streams_without_a_block_are_bounded() {
        // As xz(1) writes it.
        let empty: &[u8] =
            b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\0\0\0\0\x1c\xdf\x44\x21\x1f\xb6\xf3\x7d\x01\0\0\0\0\x04YZ";
        assert!(unpacked(&empty.repeat(EMPTY_MAX as usize)).unwrap().is_empty());
        let error = unpacked(&empty.repeat(100_000)).unwrap_err();
        assert!(error.to_string().contains("empty streams"), "{error}");
        let packed = xz(b"one", 1 << 20, CheckType::Crc64);
        assert_eq!(unpacked(&[empty, &packed, empty, &packed].concat()).unwrap(), b"oneone");
    }
}
