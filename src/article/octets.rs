//! One pass over an article's octets: what RFC 3977 s.3.1.1 and RFC 5536 s.2.2 forbid, and the
//! counts that `:bytes` and `:lines` need.

/// Octets that are looked at together: two registers of SSE2, one of AVX2.
const LANES: usize = 32;
/// How often a lane's counter may grow before it is summed up.
const ROUNDS: usize = 254;

/// Counts of one article (or of a part of it) in wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Octets {
    /// Line ends (LF).
    pub lines: u64,
    /// Dots that dot-stuffing added: lines that begin with a dot.
    pub stuffed: u64,
    /// There is a NUL octet.
    pub nul: bool,
    /// There is a CR without LF behind it, or a LF without CR before it.
    pub bare: bool,
}

impl Octets {
    /// Counts `bytes`, which begin at the start of a line and end at the end of one. Vectorisable:
    /// it runs over every octet of every article.
    pub fn count(bytes: &[u8]) -> Self {
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
            return Self::default();
        };
        // What stands at the edges; everything else is a matter of two neighbours.
        let mut total = Self {
            lines: u64::from(last == b'\n'),
            stuffed: u64::from(first == b'.'),
            nul: last == 0,
            bare: first == b'\n' || last == b'\r',
        };
        let (here, next) = (&bytes[..bytes.len() - 1], &bytes[1..]);
        for (here, next) in here.chunks(LANES * ROUNDS).zip(next.chunks(LANES * ROUNDS)) {
            total.add_chunk(here, next);
        }
        total
    }

    /// Adds the pairs of neighbours `here[i]`, `next[i]`: at most [`LANES`] x [`ROUNDS`] of them.
    fn add_chunk(&mut self, here: &[u8], next: &[u8]) {
        // One small counter per lane: at most ROUNDS + 1 are added to it, which fits an octet.
        let mut lines = [0u8; LANES];
        let mut stuffed = [0u8; LANES];
        let mut nul = [0u8; LANES];
        let mut bare = [0u8; LANES];
        let mut step = |here: &[u8], next: &[u8]| {
            for (lane, (&here, &next)) in here.iter().zip(next).enumerate() {
                let line_end = u8::from(here == b'\n');
                lines[lane] += line_end;
                stuffed[lane] += line_end & u8::from(next == b'.');
                nul[lane] |= u8::from(here == 0);
                bare[lane] |= u8::from(here == b'\r') ^ u8::from(next == b'\n');
            }
        };
        let (here, here_rest) = here.as_chunks::<LANES>();
        let (next, next_rest) = next.as_chunks::<LANES>();
        for (here, next) in here.iter().zip(next) {
            step(here, next);
        }
        step(here_rest, next_rest);
        let sum = |lanes: [u8; LANES]| lanes.iter().map(|&n| u64::from(n)).sum::<u64>();
        self.lines += sum(lines);
        self.stuffed += sum(stuffed);
        self.nul |= sum(nul) > 0;
        self.bare |= sum(bare) > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    #[test]
    fn known_counts() {
        let counts = |lines, stuffed, nul, bare| Octets { lines, stuffed, nul, bare };
        let table: [(&[u8], Octets); 11] = [
            (b"", counts(0, 0, false, false)),
            (b"a\r\n", counts(1, 0, false, false)),
            (b"..\r\na.\r\n..b\r\n", counts(3, 2, false, false)),
            (b"\r\n\r\n", counts(2, 0, false, false)),
            (b"a\0\r\n", counts(1, 0, true, false)),
            (b"\0", counts(0, 0, true, false)),
            (b"a\n", counts(1, 0, false, true)),
            (b"\n", counts(1, 0, false, true)),
            (b"\r", counts(0, 0, false, true)),
            (b"a\rb\r\n", counts(1, 0, false, true)),
            (b"\r\r\n", counts(1, 0, false, true)),
        ];
        for (bytes, expected) in table {
            assert_eq!(Octets::count(bytes), expected, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    /// The definition, one octet at a time.
    fn reference(bytes: &[u8]) -> Octets {
        let mut counts = Octets::default();
        let mut before = None;
        for (at, &octet) in bytes.iter().enumerate() {
            counts.lines += u64::from(octet == b'\n');
            counts.stuffed += u64::from(octet == b'.' && (at == 0 || before == Some(b'\n')));
            counts.nul |= octet == 0;
            counts.bare |= octet == b'\n' && before != Some(b'\r');
            counts.bare |= octet == b'\r' && bytes.get(at + 1) != Some(&b'\n');
            before = Some(octet);
        }
        counts
    }

    #[test]
    fn agrees_with_one_octet_at_a_time() {
        let mut random = xorshift(3);
        for round in 0..3_000 {
            let len = if round % 100 == 0 { 20_000 + random(40_000) } else { random(200) };
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < len {
                // Mostly clean lines, so that each flag is often unset in the end.
                match random(400) {
                    0 => bytes.push(0),
                    1 => bytes.push(b'\r'),
                    2 => bytes.push(b'\n'),
                    3..100 => bytes.extend_from_slice(b"\r\n"),
                    100..150 => bytes.extend_from_slice(b"\r\n.."),
                    _ => bytes.push(b'a'),
                }
            }
            assert_eq!(Octets::count(&bytes), reference(&bytes));
        }
    }

    /// Long enough for a lane's counter to overflow if it was not summed up in time.
    #[test]
    fn nothing_but_line_ends() {
        let counts = Octets::count(&b"\n.".repeat(100_000));
        assert_eq!((counts.lines, counts.stuffed), (100_000, 100_000));
        let counts = Octets::count(&b"\n".repeat(100_000));
        assert_eq!((counts.lines, counts.stuffed), (100_000, 0));
    }
}
