//! Articles by agent role: each file of `tests/data/articles` is an article with what the relaying
//! and the injecting agent must say of it. Lines at its beginning that start with `# ` are not part
//! of the article:
//!
//! - `# relaying: accept` or the reason's text; `# injecting: ` alike; each at least once in all
//! - `# path: `, `# filed: `, `# added: `: when accepted, the value of Path (by the relaying agent,
//!   or by the injecting one where only that accepts), the newsgroups it is filed in, and the
//!   fields that the injecting agent added
//! - `# command: `: the Message-ID of the command, else the article's own
//! - `# escapes`: `\0`, `\r` and `\n` in the article stand for those octets
//! - anything else is a remark

#![allow(clippy::unwrap_used)]

use feedd::agent::relaying::Source;
use feedd::agent::{Policy, Posting, Reason, injecting, relaying};
use feedd::article::{Field, Head, MessageId, PathIdentity, date, path};
use feedd::config::{Contract, Peer};
use feedd::wildmat::Wildmat;
use feedd::wire::block;
use std::path::PathBuf;
use std::sync::Arc;

/// The newsgroups of the site that judges.
const NEWSGROUPS: [(&str, Posting); 8] = [
    ("misc.test", Posting::Allowed),
    ("misc.closed", Posting::Forbidden),
    ("misc.moderated", Posting::Moderated),
    ("alt.one", Posting::Allowed),
    ("alt.two", Posting::Allowed),
    ("alt.Mixed.2", Posting::Allowed),
    ("example.agreed", Posting::Allowed),
    ("control.cancel", Posting::Allowed),
];
const OWN: &str = "here.example";
const NOW: &str = "Fri, 20 Nov 2026 12:00:00 +0000";
/// What is accepted from its peers.
const ACCEPT: &str = "*,!private.*,@poison.*";
const FRESH_ID: &str = "<fresh@here.example>";

fn lookup(name: &str) -> Option<(&'static str, Posting)> {
    NEWSGROUPS.into_iter().find(|(known, _)| *known == name)
}

fn peer(name: &str, identities: &[&str], accept: &str) -> Arc<Peer> {
    Arc::new(Peer {
        identities: identities.iter().map(|text| PathIdentity::try_from(*text).unwrap()).collect(),
        accept: Contract::of(Wildmat::parse_subscription(accept).unwrap()),
        ..Peer::new(name, PathIdentity::try_from(name).unwrap())
    })
}

fn policy(own: &PathIdentity) -> Policy<'_> {
    Policy {
        identity: own,
        now: date::parse(NOW.as_bytes()).unwrap(),
        cutoff_days: Some(30),
        article_bytes_max: 4096,
        crosspost_max: 5,
    }
}

/// A file: what is expected, and the article in wire form.
#[derive(Default)]
struct Case {
    name: String,
    relaying: Option<String>,
    injecting: Option<String>,
    path: Option<String>,
    filed: Option<String>,
    added: Option<String>,
    command: Option<String>,
    escapes: bool,
    article: Vec<u8>,
}

impl Case {
    fn read(file: &PathBuf) -> Self {
        let text = std::fs::read(file).unwrap();
        let mut case = Self { name: file.file_stem().unwrap().to_str().unwrap().into(), ..Self::default() };
        let mut rest = text.as_slice();
        while let Some(line) = rest.strip_prefix(b"# ") {
            let end = line.iter().position(|octet| *octet == b'\n').unwrap();
            let remark = std::str::from_utf8(&line[..end]).unwrap();
            rest = &line[end + 1..];
            let (key, value) = remark.split_once(": ").unwrap_or((remark, ""));
            let value = Some(value.to_owned());
            match key {
                "relaying" => case.relaying = value,
                "injecting" => case.injecting = value,
                "path" => case.path = value,
                "filed" => case.filed = value,
                "added" => case.added = value,
                "command" => case.command = value,
                "escapes" => case.escapes = true,
                _ => {}
            }
        }
        block::stuff(rest, &mut case.article);
        if case.escapes {
            for (escape, octet) in [("\\0", "\0"), ("\\r", "\r"), ("\\n", "\n")] {
                case.article = replace(&case.article, escape.as_bytes(), octet.as_bytes());
            }
        }
        case
    }

    /// The Message-ID that the command would say.
    fn id(&self) -> MessageId {
        if let Some(id) = &self.command {
            return MessageId::try_from(id.as_str()).unwrap();
        }
        let head = Head::parse(&self.article).ok();
        let own = head.as_ref().and_then(|head| head.value(Field::MessageId)).unwrap_or_default();
        MessageId::try_from(own).unwrap_or(MessageId::try_from("<unknown@example.com>").unwrap())
    }
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        if text[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(octet);
            at += 1;
        }
    }
    out
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/articles");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "the articles are there");
    files.iter().map(Case::read).collect()
}

fn said<T>(verdict: &Result<T, Reason>) -> String {
    match verdict {
        Ok(_) => "accept".to_owned(),
        Err(reason) => reason.to_string(),
    }
}

/// All fields but these, as they stand, in order.
fn fields_but(section: &[u8], left_out: &[Field]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = [section, b"\r\n"].concat();
    let head = Head::parse(&text).unwrap();
    head.iter()
        .filter(|(name, _)| !left_out.iter().any(|field| Field::from_name(name) == Some(*field)))
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

#[test]
fn the_relaying_agent_says_what_each_article_expects() {
    let own = PathIdentity::try_from(OWN).unwrap();
    let peers = [peer("alpha", &["alpha.example", "alpha-old"], ACCEPT)];
    let source = Source::Peers { peers: &peers, address: "192.0.2.1" };
    let mut judged = 0;
    for case in cases() {
        let Some(expected) = &case.relaying else { continue };
        judged += 1;
        let verdict = relaying::judge(&case.article, &case.id(), source, &policy(&own), lookup);
        assert_eq!(&said(&verdict), expected, "{}", case.name);
        let Ok(accepted) = verdict else { continue };
        if let Some(path) = &case.path {
            assert_eq!(String::from_utf8_lossy(&accepted.path), *path, "{}", case.name);
        }
        if let Some(filed) = &case.filed {
            assert_eq!(accepted.filing.groups.join(","), *filed, "{}", case.name);
        }
        // RFC 5537 s.3.6: nothing but Path and Xref is altered, deleted or rearranged.
        let section = relaying::rewrite(&accepted.head, &accepted.path);
        let moved = [Field::Path, Field::Xref];
        assert_eq!(
            fields_but(&section, &moved),
            fields_but(accepted.head.section(), &moved),
            "{}",
            case.name
        );
        let text = [section.as_slice(), b"\r\n"].concat();
        let head = Head::parse(&text).unwrap();
        assert_eq!(head.value(Field::Path), Some(accepted.path.as_slice()), "{}", case.name);
        assert_eq!(head.value(Field::Xref), None, "{}", case.name);
        assert_eq!(
            head.iter().position(|(name, _)| name == b"Path"),
            accepted.head.iter().position(|(name, _)| name.eq_ignore_ascii_case(b"path")).map(|at| {
                let before = accepted.head.iter().take(at);
                at - before.filter(|(name, _)| name.eq_ignore_ascii_case(b"xref")).count()
            }),
            "{}: Path stays where it stands",
            case.name
        );
        assert!(path::has_identity(&accepted.path, OWN), "{}", case.name);
    }
    assert!(judged >= 25, "{judged} judged");
}

#[test]
fn the_injecting_agent_says_what_each_article_expects() {
    let own = PathIdentity::try_from(OWN).unwrap();
    let fresh = MessageId::try_from(FRESH_ID).unwrap();
    let mut judged = 0;
    for case in cases() {
        let Some(expected) = &case.injecting else { continue };
        judged += 1;
        let verdict =
            injecting::judge(&case.article, Some("192.0.2.7"), fresh.clone(), &policy(&own), lookup);
        assert_eq!(&said(&verdict), expected, "{}", case.name);
        let Ok(injected) = verdict else { continue };
        if let (Some(path), true) = (&case.path, case.relaying.as_deref() != Some("accept")) {
            assert_eq!(String::from_utf8_lossy(&injected.path), *path, "{}", case.name);
        }
        if let Some(filed) = &case.filed {
            assert_eq!(injected.filing.groups.join(","), *filed, "{}", case.name);
        }
        let proto = Head::parse(&case.article).unwrap();
        assert_eq!(injected.proto_head_len, proto.len(), "{}", case.name);
        // Path first, then the poster's fields in their order, then ours (RFC 5537 s.3.5 step 6).
        let head = Head::parse(&injected.head).unwrap();
        assert_eq!(head.len(), injected.head.len());
        assert_eq!(head.iter().next(), Some((b"Path".as_slice(), injected.path.as_slice())));
        let theirs = fields_but(proto.section(), &[Field::Path]);
        let all = fields_but(head.section(), &[Field::Path]);
        assert_eq!(all[..theirs.len()], theirs, "{}", case.name);
        let added: Vec<_> =
            all[theirs.len()..].iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        if let Some(expected) = &case.added {
            assert_eq!(added.join(", "), *expected, "{}", case.name);
        }
        assert_eq!(head.value(Field::MessageId), Some(injected.id.as_str().as_bytes()));
        assert_eq!(
            head.value(Field::InjectionInfo),
            Some(b"here.example; posting-host=\"192.0.2.7\"".as_slice())
        );
        if added.iter().any(|name| name == "Injection-Date") {
            assert_eq!(head.value(Field::InjectionDate), Some(NOW.as_bytes()));
        }
    }
    assert!(judged >= 25, "{judged} judged");
}

#[test]
fn what_was_injected_is_relayed_further() {
    let own = PathIdentity::try_from(OWN).unwrap();
    let next = PathIdentity::try_from("next.example").unwrap();
    let fresh = MessageId::try_from(FRESH_ID).unwrap();
    let peers = [peer("here", &[OWN], "*")];
    for case in cases() {
        let Ok(injected) = injecting::judge(&case.article, Some("::1"), fresh.clone(), &policy(&own), lookup)
        else {
            continue;
        };
        let body = &case.article[injected.proto_head_len..];
        let article = [injected.head.as_slice(), body].concat();
        let source = Source::Peers { peers: &peers, address: "192.0.2.2" };
        let verdict = relaying::judge(&article, &injected.id, source, &policy(&next), lookup);
        let accepted = verdict.unwrap_or_else(|reason| panic!("{}: {reason}", case.name));
        assert!(accepted.path.starts_with(b"next.example!!here.example!.POSTED.::1!"), "{}", case.name);
        assert_eq!(accepted.date, injected.date, "{}", case.name);
        assert_eq!(accepted.counts, injected.counts, "{}", case.name);
    }
}

#[test]
fn no_octets_make_an_agent_panic() {
    let own = PathIdentity::try_from(OWN).unwrap();
    let fresh = MessageId::try_from(FRESH_ID).unwrap();
    let peers = [peer("alpha", &["alpha.example"], ACCEPT)];
    let source = Source::Peers { peers: &peers, address: "192.0.2.1" };
    let mut accepted = 0;
    for case in cases() {
        let id = case.id();
        let mut judge = |article: &[u8]| {
            if let Ok(found) = relaying::judge(article, &id, source, &policy(&own), lookup) {
                accepted += 1;
                let section = relaying::rewrite(&found.head, &found.path);
                let text = [section.as_slice(), b"\r\n"].concat();
                assert_eq!(Head::parse(&text).unwrap().value(Field::Path), Some(found.path.as_slice()));
            }
            let injected = injecting::judge(article, Some("192.0.2.7"), fresh.clone(), &policy(&own), lookup);
            if let Ok(injected) = injected {
                assert!(Head::parse(&injected.head).is_ok());
                assert!(article.len() > injected.proto_head_len);
            }
        };
        for at in 0..case.article.len() {
            let mut other = case.article.clone();
            other[at] = b"\0\r\n.: !,<>@\"\xff"[at % 13];
            judge(&other);
            if at % 7 == 0 {
                judge(&case.article[..at]);
                judge(&[&case.article[..at], b"\r\n.\r\n"].concat());
            }
        }
    }
    assert!(accepted > 1000, "{accepted} accepted: most changes do no harm");
}

/// Dots that dot-stuffing added are found in the header section too.
#[test]
fn stuffed_dots_and_lines_are_counted() {
    let own = PathIdentity::try_from(OWN).unwrap();
    let id = MessageId::try_from("<1@example.com>").unwrap();
    let article = replace(PLAIN, b"Subject: x\r\n", b"Subject: x\r\n..dotted: y\r\n");
    let article = replace(&article, b"\r\n\r\n.\r\n", b"\r\n\r\n..\r\nb.\r\n..c\r\n.\r\n");
    let found = relaying::judge(&article, &id, Source::Import, &policy(&own), lookup).unwrap();
    assert_eq!((found.counts.lines, found.counts.stuffed), (3, 3));
    let bare = replace(PLAIN, b"\r\n.\r\n", b"\r\nx.\r\n");
    for article in [bare.as_slice(), b"", b".\r\n", b"\r\n.\r\n"] {
        assert!(relaying::judge(article, &id, Source::Import, &policy(&own), lookup).is_err());
    }
}

const PLAIN: &[u8] = b"Path: left.example!not-for-mail\r\nFrom: a@example.com\r\nNewsgroups: misc.test\r\n\
Subject: x\r\nDate: 20 Nov 2026 11:00 GMT\r\nMessage-ID: <1@example.com>\r\n\r\n.\r\n";

fn path_from(path: &str, source: Source<'_>) -> (String, String) {
    let own = PathIdentity::try_from(OWN).unwrap();
    let article = replace(PLAIN, b"left.example!not-for-mail", path.as_bytes());
    let id = MessageId::try_from("<1@example.com>").unwrap();
    match relaying::judge(&article, &id, source, &policy(&own), lookup) {
        Ok(accepted) => (String::from_utf8(accepted.path).unwrap(), accepted.source.to_owned()),
        Err(reason) => (reason.to_string(), String::new()),
    }
}

fn pair(path: &str, source: &str) -> (String, String) {
    (path.to_owned(), source.to_owned())
}

#[test]
fn the_diagnostic_says_what_is_known_of_the_source() {
    let alpha = peer("alpha", &["alpha.example", "alpha-old"], ACCEPT);
    let beta = peer("beta", &["beta.example"], ACCEPT);
    let nameless = peer("nameless", &[], ACCEPT);
    let address = "2001:db8::7";
    let one = [alpha.clone()];
    let one = Source::Peers { peers: &one, address };
    assert_eq!(
        path_from("Alpha.Example!x!y", one),
        pair("here.example!!Alpha.Example!x!y", "alpha"),
        "compared without regard to case (RFC 5537 s.3.2)"
    );
    assert_eq!(path_from("alpha-old!y", one), pair("here.example!!alpha-old!y", "alpha"));
    assert_eq!(
        path_from("evil.example!y", one),
        pair("here.example!.MISMATCH.alpha.example!evil.example!y", "alpha")
    );
    assert_eq!(path_from("y", one), pair("here.example!.MISMATCH.alpha.example!y", "alpha"));

    let both = [alpha, beta];
    let both = Source::Peers { peers: &both, address };
    assert_eq!(path_from("beta.example!y", both), pair("here.example!!beta.example!y", "beta"));
    assert_eq!(
        path_from("evil.example!y", both),
        pair("here.example!.MISMATCH.2001:db8::7!evil.example!y", address),
        "which of the two it was is not known, and neither may be left out when it is sent on"
    );

    let unnamed = [nameless];
    let unnamed = Source::Peers { peers: &unnamed, address };
    assert_eq!(path_from("x!y", unnamed), pair("here.example!.SEEN.2001:db8::7!x!y", "nameless"));
}

#[test]
fn an_import_claims_nothing_of_where_it_came_from() {
    assert_eq!(path_from("x.example!y", Source::Import), pair("here.example!x.example!y", ""));
    assert_eq!(path_from("!x.example!y", Source::Import), pair("here.example!x.example!y", ""));
    assert_eq!(path_from("x.example!\r\n y!z", Source::Import), pair("here.example!x.example!y!z", ""));
    assert_eq!(
        path_from("HERE.example!.POSTED!y", Source::Import),
        pair("HERE.example!.POSTED!y", ""),
        "it is this very site's (RFC 5537 s.3.2.1)"
    );
    assert_eq!(
        path_from("x.example!here.example!y", Source::Import),
        pair("Unwanted site in path -- this one", "")
    );
}
