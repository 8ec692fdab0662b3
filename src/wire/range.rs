//! Ranges of article numbers (RFC 3977 s.6.1.2, s.9.8).

/// `n`, `n-` or `n-m`; an empty range (`m < n`) is legal and matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest article number.
    pub low: u64,
    /// The highest, or none for "to the end".
    pub high: Option<u64>,
}

/// Parses an article number: 1 to 16 digits (RFC 3977 s.9.8).
pub(super) fn article_number(text: &str) -> Option<u64> {
    let digits_only = text.bytes().all(|octet| octet.is_ascii_digit());
    if digits_only && (1..=16).contains(&text.len()) { text.parse().ok() } else { None }
}

impl Range {
    /// Parses a range; none when `text` is not one. Numbers have at most 16 digits (s.9.8).
    pub fn parse(text: &str) -> Option<Self> {
        let Some((low, high)) = text.split_once('-') else {
            let number = article_number(text)?;
            return Some(Self { low: number, high: Some(number) });
        };
        let low = article_number(low)?;
        let high = if high.is_empty() { None } else { Some(article_number(high)?) };
        Some(Self { low, high })
    }
}
