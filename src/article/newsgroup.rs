//! Newsgroup names (RFC 5536 s.3.1.4) and the lists of them in Newsgroups.

use crate::limits::NEWSGROUP_NAME_MAX;
use std::fmt;

/// A newsgroup name: components of letters, digits, `+`, `-`, `_` (UTF-8 letters tolerated),
/// joined by single dots; at most [`crate::limits::NEWSGROUP_NAME_MAX`] octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NewsgroupName(Box<str>);

/// The text is not a newsgroup name; says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNewsgroupName(pub &'static str);

impl NewsgroupName {
    /// Is `text` a newsgroup name, and if not, why?
    pub fn check(text: &str) -> Result<(), BadNewsgroupName> {
        if text.len() > NEWSGROUP_NAME_MAX {
            return Err(BadNewsgroupName("it is too long"));
        }
        for component in text.split('.') {
            if component.is_empty() {
                return Err(BadNewsgroupName("it has an empty component"));
            }
            if !component.chars().all(|c| c.is_alphanumeric() || matches!(c, '+' | '-' | '_')) {
                return Err(BadNewsgroupName("only letters, digits, `+`, `-`, `_` and dots are allowed"));
            }
        }
        Ok(())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BadNewsgroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadNewsgroupName {}

impl TryFrom<&str> for NewsgroupName {
    type Error = BadNewsgroupName;
    fn try_from(text: &str) -> Result<Self, BadNewsgroupName> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NewsgroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NewsgroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names in the value of a Newsgroups field: split at commas, blanks and folds around them
/// dropped, empty parts and those that are not UTF-8 skipped; the names are not checked.
pub fn names(value: &[u8]) -> impl Iterator<Item = &str> {
    value.split(|&octet| octet == b',').filter_map(|part| {
        let name = std::str::from_utf8(part.trim_ascii()).ok()?;
        if name.is_empty() { None } else { Some(name) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newsgroup_names() {
        let longest = "a".repeat(NEWSGROUP_NAME_MAX);
        for name in ["a", "misc.test", "comp.lang.c++", "alt._x.-y", "de.köln", "alt.2600", longest.as_str()]
        {
            assert_eq!(NewsgroupName::try_from(name).map(|name| name.to_string()).as_deref(), Ok(name));
        }
        let too_long = "a".repeat(NEWSGROUP_NAME_MAX + 1);
        for name in [
            "",
            ".",
            ".a",
            "a.",
            "a..b",
            "a b",
            "a,b",
            "a!b",
            "a*",
            "a/b",
            "a\u{0}",
            "“a”",
            too_long.as_str(),
        ] {
            assert!(NewsgroupName::check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn lists_of_names() {
        let list = |value| names(value).collect::<Vec<_>>();
        assert_eq!(list(b"misc.test"), ["misc.test"]);
        assert_eq!(list(b"a.b,c.d"), ["a.b", "c.d"]);
        assert_eq!(list(b" a.b ,\r\n\tc.d\r\n ,, "), ["a.b", "c.d"]);
        assert_eq!(list(b"a,\xFF,b"), ["a", "b"]);
        assert_eq!(list("köln.x".as_bytes()), ["köln.x"]);
        assert_eq!(list(b""), [""; 0]);
    }
}
