//! The Path header field (RFC 5536 s.3.1.5, RFC 5537 s.3.2): who handled the article.

use std::fmt;

/// A path identity: letters, digits, `.`, `-`, `_`, `:` , at least one octet that is not a digit
/// or dot only... see RFC 5536 s.3.1.5 `path-identity`; usually the site's FQDN.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathIdentity(Box<str>);

/// The text is not a path identity; says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPathIdentity(pub &'static str);

/// What a relaying agent puts between its own identity and the rest (RFC 5537 s.3.2.1, s.3.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// `own!!rest`: the leftmost identity was verified to be the source's.
    Match,
    /// `own!.MISMATCH.expected!rest`: the source is `expected`, but the leftmost identity is not it.
    Mismatch(String),
    /// `own!.SEEN.source!rest`: where it came from is only known as an address or name.
    Seen(String),
    /// `own!.POSTED.source!rest` (or `.POSTED` when none): injected here (RFC 5537 s.3.2.2).
    Posted(Option<String>),
}

impl PathIdentity {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for PathIdentity {
    type Error = BadPathIdentity;
    fn try_from(text: &str) -> Result<Self, BadPathIdentity> {
        let _ = text;
        todo!()
    }
}

impl fmt::Display for PathIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PathIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Does the article's Path say that the site `identity` has handled it? The tail entry (behind the
/// last `!`) does not count, nor do diagnostics (`.POSTED`, `.SEEN.x`, ...). Case-insensitive.
pub fn has_identity(path: &[u8], identity: &str) -> bool {
    let _ = (path, identity);
    todo!()
}

/// The leftmost path identity, skipping nothing: none when the Path is a tail entry only.
pub fn leftmost(path: &[u8]) -> Option<&str> {
    let _ = path;
    todo!()
}

/// Is the value a Path by RFC 5536 s.3.1.5, generously (folds allowed, at least a tail entry)?
pub fn is_valid(path: &[u8]) -> bool {
    let _ = path;
    todo!()
}

/// The new value of Path: own identity, diagnostic, old value (unfolded; none when injecting an
/// article without Path: the tail entry is then `not-for-mail`).
pub fn prepend(own: &PathIdentity, diagnostic: &Diagnostic, rest: Option<&[u8]>) -> Vec<u8> {
    let _ = (own, diagnostic, rest);
    todo!()
}
