//! The duties of RFC 5537 s.3 as pure verdicts: facts in, verdict out, no I/O, no clock, no store.
//!
//! [`relaying`] judges articles that other sites (or the operator's import) bring, [`injecting`]
//! makes articles of the proto-articles that users post; this site is serving agent for both, so
//! each also does what s.3.7 asks. Both are told the time, the limits and, through a closure, which
//! newsgroups exist here; both give back everything that intake needs to file the article.
//!
//! A [`Reason`] may become 435/437/438/439/441; a failure of ours is a [`Cause`] and defers
//! (431/436/400). The types make it impossible to lose an article by our own fault: a rule can
//! only return a `Reason`, and only who talks to the store can return a `Cause`.

mod checks;
pub mod contract;
pub mod injecting;
pub mod relaying;

pub use checks::{Counts, Filing};

use crate::article::{HeadError, PathIdentity};
use crate::clock::Timestamp;
use std::fmt::{self, Write};

/// What an agent says of an article. Not an error: a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// Take it.
    Accept(T),
    /// The article is not wanted, now and later.
    Refuse(Reason),
    /// We cannot take it now; it should be offered again.
    Defer(Cause),
}

/// What both agents judge by, beside the article.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// This site's name in Path and Injection-Info.
    pub identity: &'a PathIdentity,
    /// The moment of judgement.
    pub now: Timestamp,
    /// Days after which an article is too old; none: never (RFC 5537 s.3.3).
    pub cutoff_days: Option<u32>,
    /// Octets of an article in wire form at most.
    pub article_bytes_max: usize,
    /// Newsgroups an article may name at most.
    pub crosspost_max: usize,
}

/// What articles a newsgroup of this site takes (RFC 3977 s.7.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posting {
    /// `y`: from everybody.
    Allowed,
    /// `n`: from peers, not from users here.
    Forbidden,
    /// `m`: those with Approved.
    Moderated,
    /// `x`: from nobody (RFC 6048 s.3.1).
    Closed,
    /// `j`: from peers, filed elsewhere or in [`JUNK`].
    Junk,
    /// `=other`: from peers, filed in the other newsgroup, whatever that one takes.
    Alias,
}

/// Where articles go that are filed nowhere but in newsgroups with status `j` (RFC 6048 s.3.1).
pub const JUNK: &str = "junk";

/// Why an article is refused or rejected for good. `Display` is the text behind the code, one
/// line of US-ASCII, in INN's words where INN has words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has been accepted already (RFC 5537 s.3.6 step 3).
    Duplicate,
    /// There is no header section by RFC 5536 s.2.
    Malformed(HeadError),
    /// A NUL, a bare CR or a bare LF, or no terminator.
    BadOctets,
    /// A mandatory header field is absent or blank.
    Missing(&'static str),
    /// A header field whose content is not valid.
    BadField {
        /// The field, as RFC 5536 spells it.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A header field of a proto-article with a blank line or nothing in it; its name.
    EmptyField(String),
    /// The article has another Message-ID than the command.
    MessageIdMismatch,
    /// Octets in wire form above the limit.
    TooLarge {
        /// Octets it has.
        bytes: usize,
        /// Octets it may have.
        max: usize,
    },
    /// Older than the cutoff.
    TooOld,
    /// More than 24 hours in the future.
    InFuture,
    /// This site stands in its Path already.
    Loop,
    /// Newsgroups names none.
    NoNewsgroup,
    /// What is accepted from the peer that brings it does not include it; not by its newsgroups.
    NotAgreed(contract::Objection),
    /// Newsgroups that this site does not take from there, or does not have; the first one.
    UnwantedNewsgroup(String),
    /// How many newsgroups it names, which is too many.
    TooManyNewsgroups(usize),
    /// The moderated newsgroup for which it is not approved.
    NotModerated(String),
    /// The newsgroup in which nobody posts from here.
    PostingForbidden(String),
    /// Whoever brings the article may not; why.
    NotPermitted(&'static str),
    /// Whoever posts has posted as much as their rule gives them; which limit, and until when.
    OverQuota(String),
}

/// Octets of a peer's text that a reason quotes at most: the whole reply line stays far below the
/// 512 octets of RFC 3977 s.3.1.
const QUOTED_MAX: usize = 120;

/// Text from outside as a reason quotes it: shortened, and what is not printable US-ASCII escaped.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut left = QUOTED_MAX;
        for char in self.0.chars() {
            let escaped = char.escape_default();
            let Some(rest) = left.checked_sub(escaped.len()) else {
                f.write_str("...")?;
                break;
            };
            left = rest;
            write!(f, "{escaped}")?;
        }
        f.write_char('"')
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("Duplicate"),
            Self::Malformed(error) => malformed(*error, f),
            Self::BadOctets => f.write_str("Article includes NUL, CR without LF or LF without CR"),
            Self::Missing(field) => write!(f, "Missing \"{field}\" header field"),
            Self::BadField { field, why } => write!(f, "Bad \"{field}\" header field -- {why}"),
            Self::EmptyField(field) => write!(f, "Empty line in {} header field", Quoted(field)),
            Self::MessageIdMismatch => {
                f.write_str("Bad \"Message-ID\" header field -- not the one of the command")
            }
            Self::TooLarge { bytes, max } => {
                write!(f, "Article of {bytes} bytes exceeds local limit of {max} bytes")
            }
            Self::TooOld => f.write_str("Too old"),
            Self::InFuture => f.write_str("Article injected or posted in the future"),
            Self::Loop => f.write_str("Unwanted site in path -- this one"),
            Self::NoNewsgroup => f.write_str("Bad \"Newsgroups\" header field -- it names none"),
            Self::NotAgreed(objection) => not_agreed(objection, f),
            Self::UnwantedNewsgroup(name) => write!(f, "Unwanted newsgroup {}", Quoted(name)),
            Self::TooManyNewsgroups(count) => write!(f, "Too many newsgroups ({count})"),
            Self::NotModerated(name) => {
                write!(f, "Unapproved for {} -- it is moderated, send it to the moderator", Quoted(name))
            }
            Self::PostingForbidden(name) => {
                write!(f, "Postings to {} are not allowed here", Quoted(name))
            }
            Self::NotPermitted(why) => f.write_str(why),
            Self::OverQuota(limit) => f.write_str(limit),
        }
    }
}

/// What a contract says, in INN's words where it has them.
fn not_agreed(objection: &contract::Objection, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use contract::Objection;
    match objection {
        Objection::Newsgroups(name) | Objection::Poison(name) => {
            write!(f, "Unwanted newsgroup {}", Quoted(name))
        }
        Objection::Distribution(name) | Objection::PoisonDistribution(name) => {
            write!(f, "Unwanted distribution {}", Quoted(name))
        }
        Objection::Bytes(bytes, max) => {
            write!(f, "Article of {bytes} bytes exceeds the limit of {max} bytes for this peer")
        }
        Objection::Crosspost(count, _) => write!(f, "Too many newsgroups ({count})"),
        Objection::Hops(hops, _) => write!(f, "Too many sites in Path ({hops})"),
        Objection::Age(..) => f.write_str("Too old"),
        Objection::Origin(_) => f.write_str("Not injected where it should be"),
        Objection::Kind(kind) => write!(f, "Unwanted kind of article ({})", kind.word()),
    }
}

fn malformed(error: HeadError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        HeadError::NoEmptyLine => f.write_str("No empty line between header and body"),
        HeadError::TooLarge => f.write_str("Too many header lines"),
        HeadError::LineTooLong(line) => write!(f, "Header line too long (line {line})"),
        HeadError::BadLine(line) => write!(f, "No colon-space in header line {line}"),
        HeadError::Duplicate(field) => write!(f, "Duplicate \"{}\" header field", field.name()),
        HeadError::BadOctet(line) => write!(f, "NUL, bare CR or bare LF in header line {line}"),
    }
}

/// Why an article has to wait: our side's trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another connection is transferring it.
    Pending,
    /// The store cannot take articles now.
    Store(String),
    /// No Message-ID can be made for an article that is posted without one.
    NoMessageId,
    /// The site is stopping.
    Stopping,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("Already being received from elsewhere, try again later"),
            Self::Store(why) => write!(f, "Can't store article, try again later -- {}", Quoted(why)),
            Self::NoMessageId => f.write_str("Can't make a Message-ID, try again later"),
            Self::Stopping => f.write_str("Shutting down, try again later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line_of_ascii() {
        let hostile = "a\r\n235 ok\u{7}\u{e9}\u{1f980}".repeat(100);
        for reason in [
            Reason::UnwantedNewsgroup(hostile.clone()),
            Reason::NotModerated(hostile.clone()),
            Reason::PostingForbidden(hostile.clone()),
            Reason::EmptyField(hostile.clone()),
        ] {
            let text = reason.to_string();
            assert!(text.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{text}");
            assert!(text.len() <= 200, "{} octets: {text}", text.len());
        }
        let text = Cause::Store(hostile).to_string();
        assert!(text.len() <= 200 && text.is_ascii() && !text.contains('\n'), "{text}");
    }

    #[test]
    fn reasons_are_in_the_words_of_inn() {
        let text = |reason: Reason| reason.to_string();
        assert_eq!(text(Reason::UnwantedNewsgroup("x.y".into())), "Unwanted newsgroup \"x.y\"");
        assert_eq!(text(Reason::Missing("Date")), "Missing \"Date\" header field");
        assert_eq!(
            text(Reason::TooLarge { bytes: 12, max: 5 }),
            "Article of 12 bytes exceeds local limit of 5 bytes"
        );
        assert_eq!(text(Reason::Malformed(HeadError::BadLine(3))), "No colon-space in header line 3");
    }
}
