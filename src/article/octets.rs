//! One pass over an article's octets: what RFC 3977 s.3.1.1 and RFC 5536 s.2.2 forbid, and the
//! counts that `:bytes` and `:lines` need.

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
        let _ = bytes;
        todo!()
    }
}
