//! The server's side of one connection (RFC 3977, RFC 4644).
//!
//! [`Server::step`] takes what it can from the input and says what to do next. Replies that need
//! nothing from outside are written to `out` at once; for the rest it hands out an [`Ask`](super::Ask), and the
//! shell answers with one of the `answer_*` methods, so every response line is written here and in
//! [`super::reply`]. It frames first (a line too long, an article too large is drained and answered)
//! and parses second; a bad command never costs the next one.
//!
//! The machine keeps what RFC 3977 calls the state of the session: the selected newsgroup, of which
//! it knows only the shell's token `G`, and the current article number.

use super::ask::{Locator, Received, Rights, Step, Transfer, Via};
use super::login::Channel;
use super::reply;
use crate::article::MessageId;
use crate::limits::{AUTHINFO_LINE_MAX, COMMAND_LINE_MAX};
use crate::wire::{Command, CommandError, ListFiles, Part, TERMINATOR, find_block_end};
use bytes::{Buf, BytesMut};

/// Consecutive commands we do not know before the connection is closed: it speaks something else.
const UNKNOWN_MAX: u32 = 20;

#[derive(Debug)]
pub(super) enum State {
    Command,
    /// Dropping the rest of a line that is too long; behind a TAKETHIS an article follows it.
    LongLine {
        takethis: bool,
    },
    /// Receiving the article of a transfer; `seen` octets of it have been searched for its end.
    Article {
        transfer: Transfer,
        seen: usize,
    },
    /// Dropping an article that is not taken. `before` octets are gone.
    Drain {
        transfer: Transfer,
        before: usize,
        why: Unread,
    },
    /// The next line answers a SASL challenge.
    Sasl,
    /// 382 was said: the next octets are TLS.
    Handshake,
    /// 290 was said: the client is the server now.
    Turned,
    Closed,
}

/// Why an article is not even looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unread {
    TooLarge,
    /// TAKETHIS did not name it.
    BadMessageId,
    /// The client may not offer.
    Refused,
}

/// The state machine. `G` is the shell's token for a newsgroup.
#[derive(Debug)]
pub struct Server<G> {
    pub(super) state: State,
    pub(super) rights: Rights,
    article_bytes_max: usize,
    pub(super) group: Option<G>,
    pub(super) current: Option<u64>,
    pub(super) lists: ListFiles,
    unknown: u32,
    lines_too_long: u32,
    pub(super) channel: Channel,
}

impl<G> Server<G> {
    /// A connection with these rights; `article_bytes_max` is the largest article it may send.
    pub fn new(rights: Rights, article_bytes_max: usize) -> Self {
        Self {
            state: State::Command,
            rights,
            article_bytes_max,
            group: None,
            current: None,
            lists: ListFiles::default(),
            unknown: 0,
            lines_too_long: 0,
            channel: Channel::default(),
        }
    }

    /// Names the operator's lists that are there to be asked for; none at first.
    pub fn set_lists(&mut self, lists: ListFiles) {
        self.lists = lists;
    }

    /// What it may do.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The selected newsgroup.
    pub fn group(&self) -> Option<&G> {
        self.group.as_ref()
    }

    /// The selected newsgroup is none of the client's any more.
    pub fn leave_group(&mut self) {
        self.group = None;
        self.current = None;
    }

    /// Is an article being received, and how many octets of it have arrived?
    pub fn receiving(&self) -> Option<usize> {
        match self.state {
            State::Article { seen, .. } => Some(seen),
            _ => None,
        }
    }

    /// How many lines were longer than a command may be.
    pub fn lines_too_long(&self) -> u32 {
        self.lines_too_long
    }

    /// The greeting (RFC 3977 s.5.1).
    /// False for somebody who may do nothing: the connection ends behind it.
    pub fn greet(&self, identity: &str, out: &mut Vec<u8>) -> bool {
        let login = self.channel.may_log_in() || self.channel.may_be_peer_behind_tls();
        reply::greeting(self.rights, &self.channel, identity, out);
        login || self.rights != Rights::default()
    }

    /// Takes the next step from `input`; consumed octets are removed from it.
    pub fn step(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Step {
        loop {
            match &mut self.state {
                State::Command | State::Sasl => return self.line(input, out),
                State::Handshake | State::Turned => {
                    input.clear();
                    return Step::Read;
                }
                State::LongLine { takethis } => match memchr::memchr(b'\n', input) {
                    Some(end) => {
                        let takethis = *takethis;
                        input.advance(end + 1);
                        self.state = State::Command;
                        if !takethis {
                            return reply::line(501, "Line too long", out);
                        }
                        self.drain(Unread::BadMessageId);
                    }
                    None => {
                        input.clear();
                        return Step::Read;
                    }
                },
                State::Article { seen, .. } => {
                    let end = find_block_end(input, *seen);
                    // `.CRLF` of the terminator is not the article's.
                    if end.unwrap_or(input.len()) > self.article_bytes_max.saturating_add(TERMINATOR.len()) {
                        let State::Article { transfer, .. } =
                            std::mem::replace(&mut self.state, State::Command)
                        else {
                            unreachable!("matched above")
                        };
                        self.state = State::Drain { transfer, before: 0, why: Unread::TooLarge };
                        continue;
                    }
                    let Some(end) = end else {
                        *seen = input.len();
                        return Step::Read;
                    };
                    let article = input.split_to(end).freeze();
                    let State::Article { transfer, .. } = std::mem::replace(&mut self.state, State::Command)
                    else {
                        unreachable!("matched above")
                    };
                    return Step::Received(transfer, Received::Article(article));
                }
                State::Drain { before, .. } => {
                    let end = if *before == 0 {
                        find_block_end(input, 0)
                    } else {
                        // Mid-article the block's start is gone: only a whole CRLF.CRLF ends it.
                        memchr::memmem::find(input, b"\r\n.\r\n").map(|at| at + 5)
                    };
                    let Some(end) = end else {
                        let drop = input.len().saturating_sub(4);
                        *before = before.saturating_add(drop);
                        input.advance(drop);
                        return Step::Read;
                    };
                    let octets = before.saturating_add(end);
                    input.advance(end);
                    let State::Drain { transfer, why, .. } =
                        std::mem::replace(&mut self.state, State::Command)
                    else {
                        unreachable!("matched above")
                    };
                    let what = match why {
                        Unread::Refused => return self.may_not_offer(reply::NOT_A_PEER, out),
                        Unread::BadMessageId => Received::BadMessageId,
                        Unread::TooLarge => Received::TooLarge(octets.saturating_sub(TERMINATOR.len())),
                    };
                    return Step::Received(transfer, what);
                }
                State::Closed => {
                    input.clear();
                    return Step::Close;
                }
            }
        }
    }

    fn line(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Step {
        let sasl = matches!(self.state, State::Sasl);
        // RFC 4643 s.2.4.1: AUTHINFO may be longer than other commands.
        let long = sasl || input.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTHINFO"));
        let line_max = if long { AUTHINFO_LINE_MAX } else { COMMAND_LINE_MAX };
        let searched = &input[..input.len().min(line_max)];
        let Some(end) = memchr::memchr(b'\n', searched) else {
            if input.len() < line_max {
                return Step::Read;
            }
            self.lines_too_long = self.lines_too_long.saturating_add(1);
            let keyword = searched.split(|octet| octet.is_ascii_whitespace()).next().unwrap_or_default();
            self.state = State::LongLine { takethis: !sasl && keyword.eq_ignore_ascii_case(b"TAKETHIS") };
            return self.step(input, out);
        };
        // A bare LF ends a command too: people type at servers (robustness, not grammar).
        let line = &searched[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let step = match Command::parse(line) {
            _ if sasl => self.sasl_response(line, out),
            Ok(command) => {
                self.unknown = 0;
                self.command(command, out)
            }
            Err(CommandError::Unknown) => {
                self.unknown += 1;
                if self.unknown >= UNKNOWN_MAX {
                    self.state = State::Closed;
                    reply::line(400, "Too many unknown commands", out);
                    Step::Close
                } else {
                    reply::line(500, "What?", out)
                }
            }
            Err(CommandError::Syntax(usage)) => reply::usage(usage, out),
            Err(CommandError::TakeThisSyntax) => self.drain(Unread::BadMessageId),
        };
        input.advance(end + 1);
        if matches!(self.state, State::Handshake) {
            // RFC 4642 s.2.2.2: whoever sent this did it in clear.
            input.clear();
            return step;
        }
        match step {
            // The command was TAKETHIS: its article may be in the input already.
            Step::Read => self.step(input, out),
            step => step,
        }
    }

    // -- what the shell found --

    /// IHAVE's article is wanted: 335, and the article is received next.
    pub fn answer_ihave_wanted(&mut self, id: MessageId, out: &mut Vec<u8>) {
        self.receive(Transfer { via: Via::Ihave, id: Some(id) });
        reply::line(335, "Send it", out);
    }

    /// GROUP or LISTGROUP found a newsgroup: it is selected, its first article is current.
    /// `marks` are low, high, count.
    pub fn answer_group(
        &mut self,
        group: G,
        name: &str,
        marks: (u64, u64, u64),
        list_follows: bool,
        out: &mut Vec<u8>,
    ) {
        let (low, high, count) = marks;
        self.group = Some(group);
        // RFC 3977 s.6.1.1.2: in an empty newsgroup the current article number is invalid.
        self.current = (count > 0).then_some(low);
        reply::group(name, marks, list_follows, out);
        let _ = high;
    }

    /// ARTICLE, HEAD, BODY, STAT found the article: the response line; the text is the shell's to send.
    pub fn answer_article(&mut self, part: Part, locator: &Locator, id: &MessageId, out: &mut Vec<u8>) {
        let number = match *locator {
            Locator::Number { number, .. } => {
                self.current = Some(number);
                number
            }
            Locator::Id(_) => 0,
        };
        reply::article(part, number, id, out);
    }

    /// ARTICLE, HEAD, BODY, STAT found nothing (RFC 3977 s.6.2.1.1).
    pub fn answer_no_article(&self, locator: &Locator, out: &mut Vec<u8>) {
        match locator {
            Locator::Id(_) => reply::line(430, "No such article", out),
            Locator::Number { current: false, .. } => reply::line(423, "No article with that number", out),
            Locator::Number { current: true, .. } => reply::no_current(out),
        };
    }

    /// NEXT or LAST found an article: it is current now.
    pub fn answer_neighbour(&mut self, number: u64, id: &MessageId, out: &mut Vec<u8>) {
        self.current = Some(number);
        reply::article(Part::Stat, number, id, out);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
