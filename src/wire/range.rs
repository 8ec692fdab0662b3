//! Ranges of article numbers (RFC 3977 s.6.1.2, s.9.8).

/// `n`, `n-` or `n-m`; an empty range (`m < n`) is legal and matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest article number.
    pub low: u64,
    /// The highest, or none for "to the end".
    pub high: Option<u64>,
}

impl Range {
    /// Parses a range; none when `text` is not one. Numbers have at most 16 digits (s.9.8).
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!()
    }
}
