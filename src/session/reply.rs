//! Response lines (RFC 3977 s.3.2, appendix C; RFC 4644 s.4) as a server writes them.

use super::ask::{Rights, Rows, Step, Transfer, Via};
use super::login::Channel;
use crate::agent::{Cause, Reason};
use crate::article::{MessageId, overview};
use crate::decimal;
use crate::wildmat::WildmatError;
use crate::wire::{ListFile, ListFiles, Part};

/// What the operator sees in CAPABILITIES.
const IMPLEMENTATION: &str = concat!("feedd ", env!("CARGO_PKG_VERSION"));

const HELP: &str = "100 Help text follows\r\n\
    ARTICLE [message-id|number]\r\n\
    AUTHINFO USER name|PASS password|SASL PLAIN [initial-response]\r\n\
    BODY [message-id|number]\r\n\
    CAPABILITIES\r\n\
    CHECK message-id\r\n\
    COMPRESS DEFLATE\r\n\
    DATE\r\n\
    GROUP newsgroup\r\n\
    HDR field [message-id|range]\r\n\
    HEAD [message-id|number]\r\n\
    HELP\r\n\
    IHAVE message-id\r\n\
    LAST\r\n\
    LIST [ACTIVE|ACTIVE.TIMES|COUNTS|NEWSGROUPS [wildmat]]\r\n\
    LIST HEADERS [MSGID|RANGE]\r\n\
    LIST [DISTRIB.PATS|DISTRIBUTIONS|MODERATORS|MOTD|OVERVIEW.FMT]\r\n\
    LIST SUBSCRIPTIONS [wildmat]\r\n\
    LISTGROUP [newsgroup [range]]\r\n\
    MODE READER\r\n\
    MODE STREAM\r\n\
    NEWGROUPS [yy]yymmdd hhmmss [GMT]\r\n\
    NEWNEWS wildmat [yy]yymmdd hhmmss [GMT]\r\n\
    NEXT\r\n\
    OVER [message-id|range]\r\n\
    POST\r\n\
    QUIT\r\n\
    STARTTLS\r\n\
    STAT [message-id|number]\r\n\
    TAKETHIS message-id\r\n\
    XGTITLE [wildmat]\r\n\
    XHDR field [message-id|range]\r\n\
    XOVER [range]\r\n\
    XPAT field message-id|range pattern\r\n\
    XPEER\r\n\
    XSYNC COUNTS|IDS ranges wildmat|OFFER message-id\r\n\
    XTURN\r\n\
    .\r\n";

/// Writes `code text` and says so.
pub fn line(code: u16, text: &str, out: &mut Vec<u8>) -> Step {
    decimal::push(code.into(), out);
    out.push(b' ');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
    Step::Replied
}

/// 501 with the command's usage.
pub(super) fn usage(usage: &str, out: &mut Vec<u8>) -> Step {
    out.extend_from_slice(b"501 Syntax: ");
    out.extend_from_slice(usage.as_bytes());
    out.extend_from_slice(b"\r\n");
    Step::Replied
}

/// 501 for a wildmat that is none; the text quotes nothing of the client's.
pub(super) fn bad_wildmat(why: &WildmatError, out: &mut Vec<u8>) -> Step {
    out.extend_from_slice(b"501 Bad wildmat: ");
    // RFC 3977 s.3.1: a response line has 512 octets at most.
    out.extend(why.0.bytes().take(400).map(|b| if b.is_ascii_graphic() || b == b' ' { b } else { b'?' }));
    out.extend_from_slice(b"\r\n");
    Step::Replied
}

/// Behind 502, for an offer of somebody who may not.
pub(super) const NOT_A_PEER: &str = "Offering not permitted: not a peer of this site";

/// 412 (RFC 3977 s.6.2.1.1).
pub fn no_group(out: &mut Vec<u8>) -> Step {
    line(412, "No newsgroup selected", out)
}

/// 420.
pub fn no_current(out: &mut Vec<u8>) -> Step {
    line(420, "Current article number is invalid", out)
}

/// The greeting: 200, 201, or 502 for somebody who may do nothing (RFC 3977 s.5.1.1).
///
/// Whoever may post after a login is told 200 before it: there are clients that never try to post after a 201.
pub(super) fn greeting(rights: Rights, channel: &Channel, identity: &str, out: &mut Vec<u8>) {
    let (code, text) = match rights {
        Rights { post: true, .. } => (200, "ready, posting allowed"),
        _ if channel.may_post_by_login() => (200, "ready, log in to post"),
        _ if channel.may_log_in() || channel.may_be_peer_behind_tls() => (201, "ready, posting prohibited"),
        Rights { read: false, offer: false, .. } => (502, "access denied: no rule admits your address"),
        _ => (201, "ready, posting prohibited"),
    };
    decimal::push(code, out);
    for part in [" ", identity, " ", IMPLEMENTATION, " ", text, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// CAPABILITIES (RFC 3977 s.5.2; STREAMING of RFC 4644 s.2.2, STARTTLS of RFC 4642 s.2.1, AUTHINFO and
/// SASL of RFC 4643 s.2.1, COMPRESS of RFC 8054 s.2.1): only what would not be refused. `lists` are the
/// operator's lists that are there.
pub(super) fn capabilities(rights: Rights, channel: &Channel, lists: ListFiles, out: &mut Vec<u8>) {
    out.extend_from_slice(b"101 Capability list:\r\nVERSION 2\r\nIMPLEMENTATION ");
    out.extend_from_slice(IMPLEMENTATION.as_bytes());
    out.extend_from_slice(b"\r\n");
    if rights.read {
        out.extend_from_slice(
            b"READER\r\nHDR\r\nLIST ACTIVE ACTIVE.TIMES COUNTS HEADERS NEWSGROUPS OVERVIEW.FMT",
        );
        for list in ListFile::ALL.into_iter().filter(|list| lists.has(*list)) {
            out.push(b' ');
            out.extend_from_slice(list.keyword().as_bytes());
        }
        out.extend_from_slice(b"\r\nNEWNEWS\r\nOVER MSGID\r\n");
    }
    if rights.post {
        out.extend_from_slice(b"POST\r\n");
    }
    if rights.offer {
        out.extend_from_slice(b"IHAVE\r\nSTREAMING\r\nXSYNC\r\n");
    }
    if rights.turn {
        // RFC 3977 s.3.3.3: a private extension's label begins with X.
        out.extend_from_slice(b"XTURN\r\n");
    }
    if channel.may_start_tls() {
        out.extend_from_slice(b"STARTTLS\r\n");
    }
    if channel.takes_passwords() {
        out.extend_from_slice(b"AUTHINFO USER SASL\r\n");
    } else if channel.may_log_in() {
        out.extend_from_slice(b"AUTHINFO\r\n");
    }
    // RFC 4643 s.2.2: the mechanisms stay in the list after the login, so that a client can see whether
    // somebody in between took some away before.
    if channel.takes_passwords() || channel.logged_in {
        out.extend_from_slice(b"SASL PLAIN\r\n");
    }
    if channel.may_compress() {
        out.extend_from_slice(b"COMPRESS DEFLATE\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

/// The reply to XSYNC OFFER (RFC 3977 s.3.2: x9x is for private extensions): the article will be offered;
/// or it is not owed, and why; or it is not here.
pub fn sync_offer(id: &MessageId, owed: Result<(), &str>, out: &mut Vec<u8>) {
    match owed {
        Ok(()) => with_id(b"292 ", id, "", out),
        Err(why) => {
            let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
            with_id(b"492 ", id, &why, out);
        }
    }
}

/// The reply to XPEER: 293 and lines `key value`; or it is not known which peer this is.
pub fn peer_view(view: Option<&[(&str, String)]>, out: &mut Vec<u8>) {
    let Some(view) = view else {
        line(493, "Several peers share this address: which one you are is unknown", out);
        return;
    };
    line(293, "How you stand here", out);
    for (key, value) in view {
        let value: String = value.chars().filter(|c| !c.is_control()).take(400).collect();
        out.extend_from_slice(format!("{key} {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b".\r\n");
}

/// HELP (RFC 3977 s.7.2).
pub(super) fn help(out: &mut Vec<u8>) {
    out.extend_from_slice(HELP.as_bytes());
}

/// LIST OVERVIEW.FMT (RFC 3977 s.8.4).
pub(super) fn overview_format(out: &mut Vec<u8>) {
    out.extend_from_slice(b"215 Order of fields in overview\r\n");
    for field in overview::FORMAT {
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

/// LIST HEADERS (RFC 3977 s.8.6): any header field, and these metadata items.
pub(super) fn headers(out: &mut Vec<u8>) {
    out.extend_from_slice(b"215 Fields and metadata items\r\n:\r\n:bytes\r\n:lines\r\n.\r\n");
}

/// 215 for one of the operator's lists, and its lines.
pub fn list_file<'a>(list: ListFile, lines: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    let text = match list {
        ListFile::DistribPats => "Distribution patterns follow",
        ListFile::Distributions => "Distributions follow",
        ListFile::Moderators => "Submission templates follow",
        ListFile::Motd => "Message of the day follows",
        ListFile::Subscriptions => "Recommended newsgroups follow",
    };
    line(215, text, out);
    for line in lines {
        if line.starts_with('.') {
            out.push(b'.');
        }
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

/// 211 for GROUP and LISTGROUP; `marks` are low, high, count (RFC 3977 s.6.1.1).
pub(super) fn group(name: &str, marks: (u64, u64, u64), list_follows: bool, out: &mut Vec<u8>) {
    let (low, high, count) = marks;
    out.extend_from_slice(b"211");
    for number in [count, low, high] {
        out.push(b' ');
        decimal::push(number, out);
    }
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(if list_follows { b" list follows\r\n" } else { b"\r\n" });
}

/// 220, 221, 222, 223: `code number message-id` (RFC 3977 s.6.2).
pub fn article(part: Part, number: u64, id: &MessageId, out: &mut Vec<u8>) {
    out.extend_from_slice(match part {
        Part::Article => b"220 ",
        Part::Head => b"221 ",
        Part::Body => b"222 ",
        Part::Stat => b"223 ",
    });
    decimal::push(number, out);
    out.push(b' ');
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// OVER and HDR have nothing to show: 423, 420 or 430 (RFC 3977 s.8.3.1).
pub fn no_rows(rows: &Rows, out: &mut Vec<u8>) {
    match rows {
        Rows::Id(_) => line(430, "No such article", out),
        Rows::Range(_) => line(423, "No articles in that range", out),
        Rows::Current(_) => no_current(out),
    };
}

/// The verdict on an article or on an offer, as the reply needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It is kept, durably; for POST with the article's Message-ID.
    Kept(&'a MessageId),
    /// Not now, not later.
    Rejected(&'a Reason),
    /// Our trouble; try again.
    Deferred(&'a Cause),
}

/// The code that rejects an article for good: 437, 439 or 441.
pub fn rejection(via: Via) -> u16 {
    match via {
        Via::Ihave => 437,
        Via::TakeThis => 439,
        Via::Post => 441,
    }
}

/// The reply to a transferred article: 239/439, 235/436/437, 240/441. For a TAKETHIS that is
/// deferred it is 400, and the connection must be closed behind it (RFC 4644 s.2.5.2): true then.
pub fn transfer(transfer: &Transfer, answer: &Answer<'_>, out: &mut Vec<u8>) -> bool {
    match (transfer.via, answer) {
        (Via::TakeThis, Answer::Kept(id)) => with_id(b"239 ", id, "", out),
        (Via::TakeThis, Answer::Rejected(reason)) => match &transfer.id {
            Some(id) => with_id(b"439 ", id, &reason.to_string(), out),
            None => line_string(501, &reason.to_string(), out),
        },
        (Via::TakeThis, Answer::Deferred(cause)) => {
            line_string(400, &cause.to_string(), out);
            return true;
        }
        (Via::Ihave, Answer::Kept(id)) => with_id(b"235 ", id, "", out),
        (Via::Ihave, Answer::Rejected(reason)) => line_string(437, &reason.to_string(), out),
        (Via::Ihave, Answer::Deferred(cause)) => line_string(436, &cause.to_string(), out),
        (Via::Post, Answer::Kept(id)) => {
            out.extend_from_slice(b"240 Article received ");
            out.extend_from_slice(id.as_str().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        (Via::Post, Answer::Rejected(reason)) => line_string(441, &reason.to_string(), out),
        (Via::Post, Answer::Deferred(cause)) => {
            line_string(441, &format!("Try again later: {cause}"), out);
        }
    }
    false
}

/// The reply to CHECK: 238, 438, 431 (RFC 4644 s.2.4).
pub fn check(id: &MessageId, answer: Result<(), Result<&Reason, &Cause>>, out: &mut Vec<u8>) {
    match answer {
        Ok(()) => with_id(b"238 ", id, "", out),
        Err(Ok(_)) => with_id(b"438 ", id, "", out),
        Err(Err(_)) => with_id(b"431 ", id, "", out),
    }
}

/// The reply to an IHAVE that is not wanted: 435 or 436 (RFC 3977 s.6.3.2).
pub fn ihave_unwanted(answer: Result<&Reason, &Cause>, out: &mut Vec<u8>) {
    match answer {
        Ok(reason) => line_string(435, &reason.to_string(), out),
        Err(cause) => line_string(436, &cause.to_string(), out),
    }
}

fn line_string(code: u16, text: &str, out: &mut Vec<u8>) {
    line(code, text, out);
}

fn with_id(code: &[u8; 4], id: &MessageId, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(code);
    out.extend_from_slice(id.as_str().as_bytes());
    if !text.is_empty() {
        out.push(b' ');
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
