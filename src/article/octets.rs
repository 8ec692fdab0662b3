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
