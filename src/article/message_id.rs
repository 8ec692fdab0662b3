//! Message-IDs (RFC 5536 s.3.1.3).

use std::fmt;

/// A Message-ID with its angle brackets: 3-250 octets of printable US-ASCII, no blanks, no inner
/// angle brackets (RFC 3977 s.3.6). What RFC 5536 s.3.1.3 forbids beyond that is tolerated: such
/// identifiers are in use and an opaque comparison serves them well.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Box<str>);

/// The text is not a Message-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMessageId;

impl MessageId {
    /// Is `text` a Message-ID?
    pub fn is_valid(text: &[u8]) -> bool {
        crate::wire::is_message_id(text)
    }

    /// The text with its angle brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BadMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a Message-ID: 3 to 250 printable octets from `<` to `>`")
    }
}

impl std::error::Error for BadMessageId {}

impl TryFrom<&str> for MessageId {
    type Error = BadMessageId;
    fn try_from(text: &str) -> Result<Self, BadMessageId> {
        if Self::is_valid(text.as_bytes()) { Ok(Self(text.into())) } else { Err(BadMessageId) }
    }
}

impl TryFrom<&[u8]> for MessageId {
    type Error = BadMessageId;
    fn try_from(text: &[u8]) -> Result<Self, BadMessageId> {
        std::str::from_utf8(text).map_err(|_| BadMessageId)?.try_into()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids() {
        for text in ["<a@b.example>", "<a>"] {
            assert_eq!(MessageId::try_from(text).map(|id| id.to_string()).as_deref(), Ok(text));
            assert_eq!(MessageId::try_from(text.as_bytes()), MessageId::try_from(text));
        }
        for text in ["", "<>", "a@b", "<a@b> ", "<a b@c>", "<<a@b>>"] {
            assert_eq!(MessageId::try_from(text), Err(BadMessageId), "{text}");
        }
        assert_eq!(MessageId::try_from(&b"<\xFF@b>"[..]), Err(BadMessageId));
    }

    #[test]
    fn case_makes_a_difference() {
        assert_ne!(MessageId::try_from("<a@B>"), MessageId::try_from("<a@b>"));
    }
}
