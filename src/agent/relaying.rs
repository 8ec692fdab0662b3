//! The relaying agent (RFC 5537 s.3.6), which is a serving agent as well (s.3.7): is an article
//! that another site brings acceptable, and how does it go on?
//!
//! Nothing of an article is altered but Path and Xref (s.3.6, last paragraph). The rules are those
//! of RFC 5536 where they protect the network (Message-ID, Newsgroups, Path, dates, octets) and
//! generous where the field always was: articles of RFC 1036's time, with two-digit years, named
//! zones, odd From fields and a Path without diagnostics, are legal here.
//!
//! Duplicates (s.3.6 step 3) are the history's business and are asked of the store before.

use super::checks::{self, Counts, Filing, Place};
use super::contract::{self, Facts, Objection};
use super::{Policy, Posting, Reason};
use crate::article::{ArticleKind, Diagnostic, Field, Head, MessageId, path};
use crate::clock::Timestamp;
use crate::config::Peer;
use std::sync::Arc;

/// Who brings the article.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A connection of one of these peers; several when they share an address.
    Peers {
        /// The peers; never empty.
        peers: &'a [Arc<Peer>],
        /// Its address, as text.
        address: &'a str,
    },
    /// The operator, from files.
    Import,
}

/// An article that is accepted.
#[derive(Clone, Debug)]
pub struct Accepted<'a, G> {
    /// Its header section as received.
    pub head: Head<'a>,
    /// The value that Path has from now on.
    pub path: Vec<u8>,
    /// Where it belongs.
    pub filing: Filing<G>,
    /// Its own date: Injection-Date, else Date (RFC 5537 s.3.3).
    pub date: Timestamp,
    /// For overview.
    pub counts: Counts,
    /// The names in Distribution, comma-separated.
    pub distribution: String,
    /// What it carries.
    pub kind: ArticleKind,
    /// The name of the peer it came from; the address when several peers share it and the Path
    /// does not tell which; empty for an import.
    pub source: &'a str,
}

/// Judges `article` (wire form with its terminator), which the command called `id`. `lookup` finds
/// a newsgroup of this site and what it takes.
pub fn judge<'a, G>(
    article: &'a [u8],
    id: &MessageId,
    source: Source<'a>,
    policy: &Policy<'_>,
    mut lookup: impl FnMut(&str) -> Option<(G, Posting)>,
) -> Result<Accepted<'a, G>, Reason> {
    let checks::Opened { head, counts } = checks::open(article, policy)?;

    // RFC 5537 s.3.6 step 1 and 4, s.3.7 step 1: the mandatory fields (RFC 5536 s.3.1).
    let message_id = checks::mandatory(&head, Field::MessageId)?;
    let newsgroups = checks::mandatory(&head, Field::Newsgroups)?;
    let old_path = checks::mandatory(&head, Field::Path)?;
    for field in [Field::Date, Field::From, Field::Subject] {
        checks::mandatory(&head, field)?;
    }
    if !MessageId::is_valid(message_id) {
        return Err(Reason::BadField { field: Field::MessageId.name(), why: "not a message identifier" });
    }
    if message_id != id.as_str().as_bytes() {
        return Err(Reason::MessageIdMismatch);
    }

    // Steps 2 and 3: dates. The article's date is Injection-Date, else Date (s.3.3).
    let written = checks::date_of(&head, Field::Date)?;
    let Some(date) = checks::date_of(&head, Field::InjectionDate)?.or(written) else {
        return Err(Reason::Missing(Field::Date.name()));
    };
    checks::not_in_future(date, policy)?;
    checks::not_too_old(date, 0, policy)?;

    if !path::is_valid(old_path) {
        return Err(Reason::BadField { field: Field::Path.name(), why: "Illegal path element" });
    }
    let distribution = checks::distribution(&head);
    let kind = ArticleKind::of(&head, article.get(head.section().len()..).unwrap_or_default());
    let facts = Facts {
        // Judged by what it says, not by what of it is here.
        newsgroups: &checks::newsgroup_list(newsgroups),
        distribution: &distribution,
        octets: article.len(),
        path: old_path,
        date,
        now: policy.now,
        kind,
    };
    let (path, source) = route(&facts, source, policy)?;

    // Step 6 and s.3.7 step 5: nothing unapproved into a moderated newsgroup.
    let approved = head.value(Field::Approved).is_some_and(|value| !value.is_empty());
    let filing = checks::file(&head, policy, |name| match lookup(name) {
        Some((_, Posting::Moderated)) if !approved => Err(Reason::NotModerated(name.to_owned())),
        // RFC 6048 s.3.1.
        None | Some((_, Posting::Closed)) => Ok(Place::Nowhere),
        Some((_, Posting::Junk)) => Ok(Place::Junk),
        Some((group, _)) => Ok(Place::In(group)),
    })?;
    Ok(Accepted { head, path, filing, date, counts, source, distribution, kind })
}

/// The new Path (RFC 5537 s.3.2.1, s.3.6 step 7) and the name of the source, if the source may
/// bring these newsgroups at all (s.3.6, second paragraph).
fn route<'a>(
    facts: &Facts<'_>,
    source: Source<'a>,
    policy: &Policy<'_>,
) -> Result<(Vec<u8>, &'a str), Reason> {
    let (own, old) = (policy.identity, facts.path);
    let leftmost = path::leftmost(old);
    let looped = path::has_identity(old, own.as_str());
    let (peers, address) = match source {
        Source::Peers { peers, address } => (peers, address),
        // From a spool of this very site: s.3.2.1 lets an agent leave the Path of articles that
        // come from the same news server as it is. Nothing passed through us twice.
        Source::Import if leftmost.is_some_and(|left| left.eq_ignore_ascii_case(own.as_str())) => {
            return Ok((unfolded(old, String::new()), ""));
        }
        Source::Import if looped => return Err(Reason::Loop),
        // A file has no sender whose identity could be expected, matched or seen: the plain `!`
        // of RFC 5536 s.3.1.5, which claims nothing, is the truth. `!!` would vouch for the file.
        Source::Import => return Ok((unfolded(old, format!("{own}!")), "")),
    };
    if looped {
        return Err(Reason::Loop);
    }
    let mut objection = None;
    let agreed = |peer: &Arc<Peer>| match contract::judge(&peer.accept, facts) {
        Ok(()) => true,
        Err(against) => {
            objection.get_or_insert(against);
            false
        }
    };
    if !peers.iter().any(agreed) {
        return Err(match objection {
            None => Reason::NoNewsgroup,
            Some(Objection::Newsgroups(name)) if name.is_empty() => Reason::NoNewsgroup,
            Some(Objection::Newsgroups(name) | Objection::Poison(name)) => Reason::UnwantedNewsgroup(name),
            Some(other) => Reason::NotAgreed(other),
        });
    }
    let matching = peers.iter().find(|peer| {
        let is_leftmost = |id: &str| leftmost.is_some_and(|left| left.eq_ignore_ascii_case(id));
        peer.identities.iter().any(|identity| is_leftmost(identity.as_str()))
    });
    let (diagnostic, name) = match (matching, peers) {
        (Some(peer), _) => (Diagnostic::Match, peer.name.as_str()),
        (None, [peer]) => match peer.identities.first() {
            Some(expected) => (Diagnostic::Mismatch(expected.to_string()), peer.name.as_str()),
            None => (Diagnostic::Seen(address.to_owned()), peer.name.as_str()),
        },
        // Which of several identities was expected cannot be told: the address is the other thing
        // that s.3.2.1 allows behind MISMATCH.
        (None, _) => (Diagnostic::Mismatch(address.to_owned()), address),
    };
    Ok((path::prepend(own, &diagnostic, Some(old)), name))
}

/// `before` and the Path behind it, without the blanks of folds (no element contains any). A
/// delimiter that begins the old value would look like a diagnostic of ours.
fn unfolded(path: &[u8], before: String) -> Vec<u8> {
    let mut out = before.into_bytes();
    out.reserve_exact(path.len());
    let first = path.iter().position(|octet| *octet != b'!').unwrap_or(path.len());
    out.extend(path.iter().skip(first).filter(|octet| !octet.is_ascii_whitespace()));
    out
}

/// The header section with Path replaced where it stands and Xref cut out (RFC 5537 s.3.6 steps 7
/// and 8, s.3.7 steps 6 and 7); every other octet and the order of fields stay. Without the empty
/// line.
pub fn rewrite(head: &Head<'_>, path: &[u8]) -> Vec<u8> {
    let section = head.section();
    let old_path = head.span(Field::Path).unwrap_or(0..0);
    let xref = head.span(Field::Xref).unwrap_or(0..0);
    let part = |range: std::ops::Range<usize>| section.get(range).unwrap_or_default();
    let mut out = Vec::with_capacity(section.len() + path.len() + b"Path: \r\n".len());
    let put_path = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"Path: ");
        out.extend_from_slice(path);
        out.extend_from_slice(b"\r\n");
    };
    if xref.start < old_path.start {
        out.extend_from_slice(part(0..xref.start));
        out.extend_from_slice(part(xref.end..old_path.start));
        put_path(&mut out);
        out.extend_from_slice(part(old_path.end..section.len()));
    } else {
        out.extend_from_slice(part(0..old_path.start));
        put_path(&mut out);
        out.extend_from_slice(part(old_path.end..xref.start.max(old_path.end)));
        out.extend_from_slice(part(xref.end.max(old_path.end)..section.len()));
    }
    out
}
