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

impl fmt::Display for BadPathIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadPathIdentity {}

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
    // A diagnostic is empty or begins with a dot, and no identity is or does.
    if identity.is_empty() || identity.starts_with('.') {
        return false;
    }
    let mut start = 0;
    // The tail entry has no delimiter behind it.
    memchr::memchr_iter(b'!', path).any(|end| {
        let entry = &path[start..end];
        start = end + 1;
        entry.trim_ascii().eq_ignore_ascii_case(identity.as_bytes())
    })
}

/// How many sites have handled the article: the path identities before where it was injected
/// (`.POSTED`), or all of them where Path does not say that; diagnostics and the tail entry do not count.
pub fn hops(path: &[u8]) -> usize {
    let mut hops = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'!', path) {
        let entry = path[start..end].trim_ascii();
        start = end + 1;
        let posted = entry.get(..7).is_some_and(|keyword| keyword.eq_ignore_ascii_case(b".POSTED"));
        if posted && matches!(entry.get(7), None | Some(b'.')) {
            break;
        }
        if !entry.is_empty() && !entry.starts_with(b".") {
            hops += 1;
        }
    }
    hops
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
    let mut start = 0;
    for fold in memchr::memchr2_iter(b'\r', b'\n', old) {
        path.extend_from_slice(&old[start..fold]);
        start = fold + 1;
    }
    path.extend_from_slice(&old[start..]);
    path
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    /// The example of RFC 5537 s.3.2.2.
    const EXAMPLE: &[u8] = b"foo.isp.example!.SEEN.isp.example!foo-news\r\n \
        !.MISMATCH.2001:DB8:0:0:8:800:200C:417A!bar.isp.example\r\n !!old.site.example!barbaz!!baz.isp.example\r\n \
        !.POSTED.dialup123.baz.isp.example!not-for-mail";

    #[test]
    fn hops_are_sites_up_to_the_injection() {
        for (path, sites) in [
            ("not-for-mail", 0),
            ("a!not-for-mail", 1),
            ("a!.POSTED!not-for-mail", 1),
            ("a!.POSTED.192.0.2.1!b!c!x", 1),
            ("a!!b!.MISMATCH.c!d!.posted!x", 3),
            ("a!.POSTEDx!b!x", 2),
            ("a! b !c!x", 3),
        ] {
            assert_eq!(hops(path.as_bytes()), sites, "{path}");
        }
    }

    #[test]
    fn path_identities() {
        let longest = format!("{}a.example", "a.".repeat(122));
        for text in [
            "news.example.com",
            "barbaz",
            "old_site-1",
            "1",
            "a.1.b2",
            "2.a-b.x--y",
            "-",
            "News.Example",
            longest.as_str(),
        ] {
            assert_eq!(
                PathIdentity::try_from(text).map(|identity| identity.to_string()).as_deref(),
                Ok(text)
            );
        }
        let too_long = format!("a{longest}");
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a!b",
            "a_b.example",
            "a-.b",
            "a.-b",
            "10.0.0.1",
            "a.1",
            "2001:db8::1",
            "köln.example",
            ".POSTED",
            "a\u{0}",
            too_long.as_str(),
        ] {
            assert!(PathIdentity::try_from(text).is_err(), "{text}");
        }
    }

    #[test]
    fn who_handled_it() {
        for site in [
            "foo.isp.example",
            "foo-news",
            "bar.isp.example",
            "OLD.Site.example",
            "barbaz",
            "baz.isp.example",
        ] {
            assert!(has_identity(EXAMPLE, site), "{site}");
        }
        for site in [
            "isp.example",
            "not-for-mail",
            "dialup123.baz.isp.example",
            "example",
            "foo",
            "",
            ".POSTED",
            "arbaz",
        ] {
            // The empty entry between two delimiters is a diagnostic, and no site is called that.
            assert!(!has_identity(EXAMPLE, site), "{site}");
        }
        assert!(!has_identity(b"not-for-mail", "not-for-mail"));
        assert!(!has_identity(b"", "a"));
        assert!(has_identity(b"a!a", "a"));
    }

    #[test]
    fn leftmost_identities() {
        assert_eq!(leftmost(EXAMPLE), Some("foo.isp.example"));
        assert_eq!(leftmost(b" a\r\n !!b!c"), Some("a"));
        for path in [&b"not-for-mail"[..], b"", b"!a!b", b" !a", b"\xFF!a"] {
            assert_eq!(leftmost(path), None);
        }
    }

    #[test]
    fn paths_that_can_be_passed_on() {
        for path in [EXAMPLE, b"a", b"a!b", b" a !\r\n\tb!user@host ", b"a!!b!c", b"1.2.3.4!b!c", b"gr\xFC!b"]
        {
            assert!(is_valid(path), "{:?}", path.escape_ascii().to_string());
        }
        for path in [&b""[..], b" ", b"!", b"a!", b"a!\r\n ", b"a b!c", b"a\0!b", b"a!b c", b"a\r\n b!c"] {
            assert!(!is_valid(path), "{:?}", path.escape_ascii().to_string());
        }
    }

    #[test]
    fn prepending() {
        let own = PathIdentity::try_from("own.example").unwrap();
        let name = || "b.example".to_owned();
        let table = [
            (Diagnostic::Match, Some("b.example!x"), "own.example!!b.example!x"),
            (Diagnostic::Mismatch(name()), Some("c!x"), "own.example!.MISMATCH.b.example!c!x"),
            (Diagnostic::Seen("2001:db8::1".into()), Some("c!x"), "own.example!.SEEN.2001:db8::1!c!x"),
            (Diagnostic::Posted(Some(name())), None, "own.example!.POSTED.b.example!not-for-mail"),
            (Diagnostic::Posted(None), None, "own.example!.POSTED!not-for-mail"),
            (Diagnostic::Posted(None), Some("user"), "own.example!.POSTED!user"),
            (Diagnostic::Posted(None), Some(" \r\n"), "own.example!.POSTED!not-for-mail"),
            (Diagnostic::Match, Some(" a\r\n !b\r\n\t!x "), "own.example!!a !b\t!x"),
            (Diagnostic::Match, Some("!!a!x"), "own.example!!a!x"),
            (Diagnostic::Seen(name()), Some("!"), "own.example!.SEEN.b.example!not-for-mail"),
        ];
        for (diagnostic, rest, expected) in table {
            let path = prepend(&own, &diagnostic, rest.map(str::as_bytes));
            assert_eq!(String::from_utf8(path).unwrap(), expected);
        }
    }

    #[test]
    fn prepending_keeps_what_was_there() {
        let mut random = xorshift(5);
        let site = |n: u64| format!("site{n}.example");
        for _ in 0..5_000 {
            let mut path: Option<Vec<u8>> = None;
            let mut passed = Vec::new();
            for _ in 0..1 + random(5) {
                let (own, other) = (random(20), random(20));
                let diagnostic = match random(4) {
                    0 => Diagnostic::Match,
                    1 => Diagnostic::Mismatch(site(other)),
                    2 => Diagnostic::Seen(site(other)),
                    _ => Diagnostic::Posted(Some(site(other))),
                };
                let next = prepend(&site(own).as_str().try_into().unwrap(), &diagnostic, path.as_deref());
                assert!(next.ends_with(path.as_deref().unwrap_or(b"!not-for-mail")));
                assert!(is_valid(&next));
                assert_eq!(leftmost(&next), Some(site(own).as_str()));
                passed.push(own);
                for n in 0..20 {
                    assert_eq!(has_identity(&next, &site(n)), passed.contains(&n));
                }
                path = Some(next);
            }
        }
    }
}
