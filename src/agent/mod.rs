//! The duties of RFC 5537 s.3 as pure verdicts: facts in, verdict out, no I/O, no clock.
//!
//! A [`Reason`] may become 435/437/438/439/441; a failure of ours is a [`Cause`] and defers
//! (431/436/400). The types make it impossible to lose an article by our own fault.

pub mod injecting;
pub mod relaying;

use std::fmt;

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

/// Why an article is refused or rejected for good. `Display` is the text behind the code, one
/// line of US-ASCII, in INN's words where INN has words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the text is in `Display`
pub enum Reason {
    Duplicate,
    Malformed(crate::article::HeadError),
    BadOctets,
    Missing(&'static str),
    BadField { field: &'static str, why: &'static str },
    MessageIdMismatch,
    TooLarge { bytes: usize, max: usize },
    TooOld,
    InFuture,
    Loop,
    NoNewsgroup,
    UnwantedNewsgroup(String),
    TooManyNewsgroups(usize),
    NotModerated(String),
    PostingForbidden(String),
    NotPermitted(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

/// Why an article has to wait: our side's trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another connection is transferring it.
    Pending,
    /// The store cannot take articles now.
    Store(String),
    /// The site is stopping.
    Stopping,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
