//! URLs of news (RFC 5538): `news:MESSAGE-ID`, `news:NEWSGROUP`, `news://HOST/NEWSGROUP`,
//! `nntp://HOST/NEWSGROUP/NUMBER`, and the same over TLS by `snews:` and `nntps:`. They are accepted
//! wherever a server, a newsgroup or an article is named.

use super::super::Failure;
use crate::article::MessageId;

/// A place in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`.
    pub(super) address: String,
    /// The name before an `@`.
    pub(super) user: Option<String>,
    /// Does the scheme say TLS?
    pub(super) tls: bool,
}

/// What is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Nothing,
    /// A newsgroup, or a wildmat of some.
    Newsgroups(String),
    Article(MessageId),
    Number(String, u64),
}

/// A place and what is named there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) host: Option<Host>,
    pub(super) what: What,
}

impl Location {
    /// Reads what stands for an article or a newsgroup: a URL, a Message-ID with or without its angle
    /// brackets, a name.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(location) = Self::parse_url(text)? {
            return Ok(location);
        }
        let what = if text.starts_with('<') || text.contains('@') {
            What::Article(message_id(text)?)
        } else {
            What::Newsgroups(text.to_owned())
        };
        Ok(Self { host: None, what })
    }

    /// Reads a URL; none when it is of no scheme of ours.
    pub(super) fn parse_url(text: &str) -> Result<Option<Self>, Failure> {
        let Some((scheme, rest)) = text.split_once(':') else { return Ok(None) };
        let (nntp, tls) = match scheme.to_ascii_lowercase().as_str() {
            "news" => (false, false),
            "snews" | "newss" => (false, true),
            "nntp" => (true, false),
            "nntps" => (true, true),
            _ => return Ok(None),
        };
        let bad = |why: &str| {
            Failure::because(format!(
                "{text:?}: {why}; write news:MESSAGE-ID, news:NEWSGROUP or nntp://HOST/NEWSGROUP/NUMBER"
            ))
        };
        // Fragments and queries mean nothing here (RFC 5538 s.2.3).
        let rest = rest.split(['#', '?']).next().unwrap_or_default();
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let (user, address) = match authority.rsplit_once('@') {
                    Some((user, _)) if user.contains(':') => {
                        return Err(bad("a password does not belong in a URL"));
                    }
                    Some((user, address)) => {
                        (Some(decoded(user).ok_or_else(|| bad("bad % in it"))?), address)
                    }
                    None => (None, authority),
                };
                if address.is_empty() {
                    return Err(bad("there is no host behind //"));
                }
                (Some(Host { address: address.to_owned(), user, tls }), path)
            }
            None if nntp => return Err(bad("there is no host")),
            None => (None, rest),
        };
        let (path, number) = match path.split_once('/') {
            Some((group, number)) if nntp && !number.is_empty() => {
                let number = number.parse().map_err(|_| bad("the article number is no number"))?;
                (group, Some(number))
            }
            Some((group, "")) => (group, None),
            _ => (path, None),
        };
        let name = decoded(path).ok_or_else(|| bad("bad % in it"))?;
        if name.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(bad("blanks in it"));
        }
        let what = match number {
            Some(number) => What::Number(name, number),
            None if name.is_empty() => What::Nothing,
            None if name.contains('@') => What::Article(message_id(&name)?),
            None => What::Newsgroups(name),
        };
        Ok(Some(Self { host, what }))
    }

    /// The newsgroup it names.
    pub(super) fn newsgroup(self) -> Result<(Option<Host>, String), Failure> {
        match self.what {
            What::Newsgroups(name) | What::Number(name, _) => Ok((self.host, name)),
            What::Nothing => Err(Failure::because("the URL names no newsgroup; write news:NEWSGROUP")),
            What::Article(id) => Err(Failure::because(format!("{id} is an article, not a newsgroup"))),
        }
    }
}

fn message_id(text: &str) -> Result<MessageId, Failure> {
    let bracketed = if text.starts_with('<') { text.to_owned() } else { format!("<{text}>") };
    MessageId::try_from(bracketed.as_str()).map_err(|bad| Failure::because(format!("{text:?}: {bad}")))
}

/// Percent-decoding (RFC 3986 s.2.1); none when a `%` is not followed by two hexadecimal digits.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn host(address: &str, tls: bool) -> Option<Host> {
        Some(Host { address: address.to_owned(), user: None, tls })
    }

    #[test]
    fn urls_name_servers_newsgroups_and_articles() {
        let group = |name: &str| What::Newsgroups(name.to_owned());
        let id = |text: &str| What::Article(MessageId::try_from(text).unwrap());
        for (text, place, what) in [
            ("news:comp.lang.c", None, group("comp.lang.c")),
            ("news:example.group.*", None, group("example.group.*")),
            ("NEWS:a%2Fb@c.example", None, id("<a/b@c.example>")),
            ("news://h.example/", host("h.example", false), What::Nothing),
            ("news://h.example", host("h.example", false), What::Nothing),
            ("snews://h.example:5563/a.b", host("h.example:5563", true), group("a.b")),
            ("news://h.example/x@y#part", host("h.example", false), id("<x@y>")),
            ("nntp://h.example/a.b/12345", host("h.example", false), What::Number("a.b".to_owned(), 12345)),
            ("nntps://[::1]:119/a.b/", host("[::1]:119", true), group("a.b")),
            ("<x@y>", None, id("<x@y>")),
            ("x@y", None, id("<x@y>")),
            ("a.b", None, group("a.b")),
        ] {
            assert_eq!(Location::parse(text).unwrap(), Location { host: place, what }, "{text}");
        }
        let Some(Host { user, .. }) = Location::parse("nntp://me@h/a").unwrap().host else { panic!() };
        assert_eq!(user.as_deref(), Some("me"));
    }

    #[test]
    fn what_is_no_url_of_ours_is_told() {
        for text in
            ["nntp:a.b/1", "nntp://h/a/x", "news:%zz", "news:a%0Ab", "news:///a", "news://u:p@h/a", "<x"]
        {
            assert!(Location::parse(text).is_err(), "{text}");
        }
        assert_eq!(Location::parse_url("news.example:119").unwrap(), None);
        assert_eq!(Location::parse_url("a.b").unwrap(), None);
    }
}
