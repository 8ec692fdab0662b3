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
        let code = (three >> (self.taken - bits) % 8) & ((1 << bits) - 1);
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
