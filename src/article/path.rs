//! The Path header field (RFC 5536 s.3.1.5, RFC 5537 s.3.2): who handled the article.

use std::fmt;

/// Octets of a path identity: those of a domain name (RFC 1035 s.2.3.4 in text form).
const IDENTITY_MAX: usize = 253;

/// A path identity (RFC 5536 s.3.1.5), usually the site's FQDN: two or more labels of letters,
/// digits and inner `-`, joined by dots, the last one not of digits only; or one word of letters,
/// digits, `-` and `_`. At most 253 octets, as a domain name. It keeps its case and is compared
/// without regard to it.
///
/// This is what we call ourselves and our peers. A Path that arrives is read more generously.
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
        if text.len() > IDENTITY_MAX {
            return Err(BadPathIdentity("it is longer than 253 octets"));
        }
        let Some((_, top_label)) = text.rsplit_once('.') else {
            let legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
            return if text.is_empty() {
                Err(BadPathIdentity("it is empty"))
            } else if !text.bytes().all(legal) {
                Err(BadPathIdentity("only letters, digits, `-`, `_` and dots are allowed"))
            } else {
                Ok(Self(text.into()))
            };
        };
        for label in text.split('.') {
            if label.is_empty() {
                return Err(BadPathIdentity("it has an empty label"));
            }
            if !label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
                return Err(BadPathIdentity("only letters, digits and `-` are allowed between dots"));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(BadPathIdentity("a label begins or ends with `-`"));
            }
        }
        // Else it could be an IPv4 address.
        if top_label.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(BadPathIdentity("the last label has digits only"));
        }
        Ok(Self(text.into()))
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
    let Some(tail) = memchr::memrchr(b'!', path) else { return false };
    // A diagnostic begins with a dot and no identity does.
    !identity.starts_with('.')
        && path[..tail]
            .split(|&octet| octet == b'!')
            .any(|entry| entry.trim_ascii().eq_ignore_ascii_case(identity.as_bytes()))
}

/// The leftmost path identity, skipping nothing: none when the Path is a tail entry only.
pub fn leftmost(path: &[u8]) -> Option<&str> {
    let end = memchr::memchr(b'!', path)?;
    let entry = std::str::from_utf8(path[..end].trim_ascii()).ok()?;
    if entry.is_empty() { None } else { Some(entry) }
}

/// Is the value a Path by RFC 5536 s.3.1.5, generously? Entries may be of any visible octets, blanks
/// and folds may stand around each, and the last one, the tail entry, is not empty.
pub fn is_valid(path: &[u8]) -> bool {
    let mut tail_is_empty = true;
    for entry in path.split(|&octet| octet == b'!') {
        let entry = entry.trim_ascii();
        if entry.iter().any(|octet| octet.is_ascii_control() || *octet == b' ') {
            return false;
        }
        tail_is_empty = entry.is_empty();
    }
    !tail_is_empty
}

/// The new value of Path: own identity, diagnostic, old value (unfolded; none when injecting an
/// article without Path: the tail entry is then `not-for-mail`).
pub fn prepend(own: &PathIdentity, diagnostic: &Diagnostic, rest: Option<&[u8]>) -> Vec<u8> {
    let (keyword, source) = match diagnostic {
        Diagnostic::Match => ("!", None),
        Diagnostic::Mismatch(expected) => ("!.MISMATCH", Some(expected)),
        Diagnostic::Seen(source) => ("!.SEEN", Some(source)),
        Diagnostic::Posted(source) => ("!.POSTED", source.as_ref()),
    };
    // A delimiter that begins the old value would turn ours into a diagnostic of its own.
    let rest = rest.unwrap_or_default().trim_ascii();
    let old = rest.iter().position(|&octet| octet != b'!').and_then(|start| rest.get(start..));
    let old = old.unwrap_or(b"not-for-mail");

    let source_len = source.map_or(0, |source| source.len() + 1);
    let mut path = Vec::with_capacity(own.0.len() + keyword.len() + source_len + 1 + old.len());
    path.extend_from_slice(own.0.as_bytes());
    path.extend_from_slice(keyword.as_bytes());
    if let Some(source) = source {
        path.push(b'.');
        path.extend_from_slice(source.as_bytes());
    }
    path.push(b'!');
    path.extend(old.iter().filter(|&&octet| octet != b'\r' && octet != b'\n'));
    path
}
