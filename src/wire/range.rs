//! Ranges of article numbers (RFC 3977 s.6.1.2, s.9.8).

use std::fmt;

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

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.high {
            Some(high) if high == self.low => write!(f, "{high}"),
            Some(high) => write!(f, "{}-{high}", self.low),
            None => write!(f, "{}-", self.low),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |low, high| Some(Range { low, high });
        let table = [
            ("0", range(0, Some(0))),
            ("3000", range(3000, Some(3000))),
            ("1-", range(1, None)),
            ("1-5", range(1, Some(5))),
            ("5-1", range(5, Some(1))),
            ("9999999999999999-", range(9_999_999_999_999_999, None)),
        ];
        for (text, expected) in table {
            assert_eq!(Range::parse(text), expected, "{text}");
            assert_eq!(expected.map(|range| range.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Range::parse("0000000000000007"), range(7, Some(7)));
    }

    #[test]
    fn no_ranges() {
        for text in ["", "-", "-5", "a", "1-b", "1-2-3", "+1", "1 2", " 1", "10000000000000000", "1--2", "१"]
        {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
