//! The server's side of one connection (RFC 3977, RFC 4644).
//!
//! [`Server::step`] takes what it can from the input and says what to do next. Replies that need
//! nothing from outside are written to `out` at once; for the rest it hands out an [`Ask`], and the
//! shell answers with one of the `answer_*` methods, so every response line is written here and in
//! [`super::reply`]. It frames first (a line too long, an article too large is drained and answered)
//! and parses second; a bad command never costs the next one.
//!
//! The machine keeps what RFC 3977 calls the state of the session: the selected newsgroup, of which
//! it knows only the shell's token `G`, and the current article number.

use super::reply;
use crate::article::MessageId;
use crate::clock::Timestamp;
use crate::limits::COMMAND_LINE_MAX;
use crate::wildmat::Wildmat;
use crate::wire::command::RangeSpec;
use crate::wire::{ArticleSpec, Command, CommandError, ListCommand, Part, Range, TERMINATOR, find_block_end};
use bytes::{Buf, Bytes, BytesMut};

/// Consecutive commands we do not know before the connection is closed: it speaks something else.
const UNKNOWN_MAX: u32 = 20;

/// What this connection may do, from who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Read articles.
    pub read: bool,
    /// Post articles.
    pub post: bool,
    /// Offer articles (IHAVE, CHECK, TAKETHIS).
    pub offer: bool,
}

/// By which command an article comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// IHAVE (RFC 3977 s.6.3.2).
    Ihave,
    /// TAKETHIS (RFC 4644 s.2.5).
    TakeThis,
    /// POST (RFC 3977 s.6.3.1).
    Post,
}

/// A transfer: the command and the Message-ID it named (none for POST).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The command.
    pub via: Via,
    /// The Message-ID of the command.
    pub id: Option<MessageId>,
}

/// The article that a transfer brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// In wire form, terminator included.
    Article(Bytes),
    /// It was larger than allowed, has been drained, and was this many octets without its terminator.
    TooLarge(usize),
    /// TAKETHIS named something that is no Message-ID; its article has been drained.
    BadMessageId,
}

/// Which article a command means, its state-dependent forms resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locator {
    /// By Message-ID.
    Id(MessageId),
    /// By number in the selected newsgroup. `current`: the number was not in the command.
    Number {
        /// The article number.
        number: u64,
        /// It is the current article number.
        current: bool,
    },
}

/// What the shell has to look up. All of these are answered before the next command is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// CHECK: [`super::reply::check`].
    Check(MessageId),
    /// IHAVE: [`Server::answer_ihave_wanted`], or [`super::reply::ihave_unwanted`].
    Ihave(MessageId),
    /// GROUP: [`Server::answer_group`].
    Group(String),
    /// LISTGROUP, of the selected newsgroup when none is named; the numbers in `range` follow.
    Listgroup(Option<String>, Range),
    /// ARTICLE, HEAD, BODY, STAT: [`Server::answer_article`].
    Article(Part, Locator),
    /// NEXT (`up`) or LAST from the current number: [`Server::answer_neighbour`].
    Neighbour {
        /// The current article number.
        from: u64,
        /// NEXT.
        up: bool,
    },
    /// OVER by Message-ID or number range of the selected newsgroup.
    Over(Rows),
    /// HDR and XHDR.
    Hdr {
        /// The field or metadata item.
        field: String,
        /// Of which articles.
        rows: Rows,
        /// XHDR is answered 221, HDR 225.
        old: bool,
    },
    /// LIST of newsgroups.
    List(ListKind, Option<Wildmat>),
    /// NEWGROUPS.
    Newgroups(Timestamp),
    /// NEWNEWS.
    Newnews(Wildmat, Timestamp),
    /// DATE.
    Date,
}

/// Which articles OVER and HDR are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One, by Message-ID.
    Id(MessageId),
    /// A range of numbers; an empty answer is 423.
    Range(Range),
    /// The current article; an empty answer is 420.
    Current(u64),
}

/// The lists that are made from the newsgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// LIST ACTIVE (RFC 3977 s.7.6.3).
    Active,
    /// LIST ACTIVE.TIMES (s.7.6.4).
    ActiveTimes,
    /// LIST NEWSGROUPS (s.7.6.6).
    Newsgroups,
    /// LIST COUNTS (RFC 6048 s.2.2).
    Counts,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// There is no whole command in the input: read more.
    Read,
    /// A reply was written to `out`.
    Replied,
    /// Look this up and answer it.
    Ask(Ask),
    /// An article has arrived; the reply to it is owed ([`reply::transfer`]).
    Received(Transfer, Received),
    /// The last reply was written: close when it has been sent.
    Close,
}

#[derive(Debug)]
enum State {
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
    /// Dropping an article: too large, or of a TAKETHIS without Message-ID. `before` octets are gone.
    Drain {
        transfer: Transfer,
        before: usize,
        bad_id: bool,
    },
    Closed,
}

/// The state machine. `G` is the shell's token for a newsgroup.
#[derive(Debug)]
pub struct Server<G> {
    state: State,
    rights: Rights,
    article_bytes_max: usize,
    group: Option<G>,
    current: Option<u64>,
    unknown: u32,
}

impl<G> Server<G> {
    /// A connection with these rights; `article_bytes_max` is the largest article it may send.
    pub fn new(rights: Rights, article_bytes_max: usize) -> Self {
        Self { state: State::Command, rights, article_bytes_max, group: None, current: None, unknown: 0 }
    }

    /// What it may do.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The selected newsgroup.
    pub fn group(&self) -> Option<&G> {
        self.group.as_ref()
    }

    /// Is an article being received, and how many octets of it have arrived?
    pub fn receiving(&self) -> Option<usize> {
        match self.state {
            State::Article { seen, .. } => Some(seen),
            _ => None,
        }
    }

    /// The greeting (RFC 3977 s.5.1).
    pub fn greet(&self, identity: &str, out: &mut Vec<u8>) {
        reply::greeting(self.rights, identity, out);
    }

    /// Takes the next step from `input`; consumed octets are removed from it.
    pub fn step(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Step {
        loop {
            match &mut self.state {
                State::Command => return self.line(input, out),
                State::LongLine { takethis } => match memchr::memchr(b'\n', input) {
                    Some(end) => {
                        let takethis = *takethis;
                        input.advance(end + 1);
                        self.state = State::Command;
                        if !takethis {
                            return reply::line(501, "Line too long", out);
                        }
                        if !self.rights.offer {
                            return self.refuse_offers_and_close(out);
                        }
                        self.drain(Transfer { via: Via::TakeThis, id: None }, true);
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
                        self.state = State::Drain { transfer, before: 0, bad_id: false };
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
                    let State::Drain { transfer, bad_id, .. } =
                        std::mem::replace(&mut self.state, State::Command)
                    else {
                        unreachable!("matched above")
                    };
                    let what = if bad_id {
                        Received::BadMessageId
                    } else {
                        Received::TooLarge(octets.saturating_sub(TERMINATOR.len()))
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
        let searched = &input[..input.len().min(COMMAND_LINE_MAX)];
        let Some(end) = memchr::memchr(b'\n', searched) else {
            if input.len() < COMMAND_LINE_MAX {
                return Step::Read;
            }
            let keyword = searched.split(|octet| octet.is_ascii_whitespace()).next().unwrap_or_default();
            self.state = State::LongLine { takethis: keyword.eq_ignore_ascii_case(b"TAKETHIS") };
            return self.step(input, out);
        };
        // A bare LF ends a command too: people type at servers (robustness, not grammar).
        let line = &searched[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let step = match Command::parse(line) {
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
            Err(CommandError::TakeThisSyntax) if self.rights.offer => {
                self.drain(Transfer { via: Via::TakeThis, id: None }, true)
            }
            Err(CommandError::TakeThisSyntax) => self.refuse_offers_and_close(out),
        };
        input.advance(end + 1);
        match step {
            // The command was TAKETHIS: its article may be in the input already.
            Step::Read => self.step(input, out),
            step => step,
        }
    }

    fn command(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Step {
        match command {
            Command::Check(id) => match self.offered(id, out) {
                Ok(id) => Step::Ask(Ask::Check(id)),
                Err(step) => step,
            },
            Command::TakeThis(id) => {
                if !self.rights.offer {
                    // The article follows all the same; reading it as commands would be worse.
                    return self.refuse_offers_and_close(out);
                }
                match MessageId::try_from(id) {
                    Ok(id) => {
                        self.receive(Transfer { via: Via::TakeThis, id: Some(id) });
                        Step::Read
                    }
                    Err(_) => self.drain(Transfer { via: Via::TakeThis, id: None }, true),
                }
            }
            Command::Ihave(id) => match self.offered(id, out) {
                Ok(id) => Step::Ask(Ask::Ihave(id)),
                Err(step) => step,
            },
            Command::Post => {
                if !self.rights.post {
                    return reply::line(440, "Posting not permitted", out);
                }
                self.receive(Transfer { via: Via::Post, id: None });
                reply::line(340, "Send article to be posted", out)
            }
            Command::Quit => {
                self.state = State::Closed;
                reply::line(205, "Bye", out);
                Step::Close
            }
            Command::Capabilities => {
                reply::capabilities(self.rights, out);
                Step::Replied
            }
            Command::Help => {
                reply::help(out);
                Step::Replied
            }
            Command::Date => Step::Ask(Ask::Date),
            Command::ModeStream if self.rights.offer => reply::line(203, "Streaming permitted", out),
            Command::ModeStream => reply::line(502, "Streaming not permitted", out),
            Command::ModeReader if self.rights.post => reply::line(200, "Posting allowed", out),
            Command::ModeReader if self.rights.read => reply::line(201, "Posting prohibited", out),
            Command::ModeReader => reply::line(502, "Reading not permitted", out),
            command if !self.rights.read => {
                let _ = command;
                reply::line(502, "Reading not permitted", out)
            }
            command => self.reading(command, out),
        }
    }

    fn reading(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Step {
        match command {
            Command::Article(part, spec) => match self.locator(spec, out) {
                Ok(locator) => Step::Ask(Ask::Article(part, locator)),
                Err(step) => step,
            },
            Command::Group(name) => Step::Ask(Ask::Group(name.to_owned())),
            Command::Listgroup { group, range } => {
                if group.is_none() && self.group.is_none() {
                    return reply::no_group(out);
                }
                let range = range.unwrap_or(Range { low: 1, high: None });
                Step::Ask(Ask::Listgroup(group.map(str::to_owned), range))
            }
            Command::Next => self.neighbour(true, out),
            Command::Last => self.neighbour(false, out),
            Command::Over(spec) => match self.rows(spec, out) {
                Ok(rows) => Step::Ask(Ask::Over(rows)),
                Err(step) => step,
            },
            Command::Hdr { field, spec } => self.hdr(field, spec, false, out),
            Command::Xhdr { field, spec } => self.hdr(field, spec, true, out),
            Command::List(list) => self.list(list, out),
            Command::Newgroups { since } => Step::Ask(Ask::Newgroups(since)),
            Command::Newnews { wildmat, since } => match Wildmat::parse(wildmat) {
                Ok(wildmat) => Step::Ask(Ask::Newnews(wildmat, since)),
                Err(why) => reply::bad_wildmat(&why, out),
            },
            // `command` has answered all others.
            _ => reply::line(503, "Not supported", out),
        }
    }

    fn list(&mut self, list: ListCommand<'_>, out: &mut Vec<u8>) -> Step {
        let (kind, wildmat) = match list {
            ListCommand::Active(wildmat) => (ListKind::Active, wildmat),
            ListCommand::ActiveTimes(wildmat) => (ListKind::ActiveTimes, wildmat),
            ListCommand::Newsgroups(wildmat) => (ListKind::Newsgroups, wildmat),
            ListCommand::Counts(wildmat) => (ListKind::Counts, wildmat),
            ListCommand::OverviewFmt => {
                reply::overview_format(out);
                return Step::Replied;
            }
            ListCommand::Headers => {
                reply::headers(out);
                return Step::Replied;
            }
            // RFC 3977 s.7.6.1: 501 for a keyword that is not recognised.
            ListCommand::Unknown(_) => return reply::line(501, "Unknown LIST keyword", out),
        };
        match wildmat.map(Wildmat::parse).transpose() {
            Ok(wildmat) => Step::Ask(Ask::List(kind, wildmat)),
            Err(why) => reply::bad_wildmat(&why, out),
        }
    }

    fn hdr(&mut self, field: &str, spec: RangeSpec<'_>, old: bool, out: &mut Vec<u8>) -> Step {
        match self.rows(spec, out) {
            Ok(rows) => Step::Ask(Ask::Hdr { field: field.to_owned(), rows, old }),
            Err(step) => step,
        }
    }

    fn offered(&mut self, id: &str, out: &mut Vec<u8>) -> Result<MessageId, Step> {
        if !self.rights.offer {
            return Err(reply::line(502, "Offering not permitted: not a peer of this site", out));
        }
        MessageId::try_from(id).map_err(|_| reply::usage("message-id", out))
    }

    fn refuse_offers_and_close(&mut self, out: &mut Vec<u8>) -> Step {
        self.state = State::Closed;
        reply::line(502, "Offering not permitted: not a peer of this site", out);
        Step::Close
    }

    fn receive(&mut self, transfer: Transfer) {
        self.state = State::Article { transfer, seen: 0 };
    }

    fn drain(&mut self, transfer: Transfer, bad_id: bool) -> Step {
        self.state = State::Drain { transfer, before: 0, bad_id };
        Step::Read
    }

    fn locator(&self, spec: ArticleSpec<'_>, out: &mut Vec<u8>) -> Result<Locator, Step> {
        match spec {
            ArticleSpec::Id(id) => {
                MessageId::try_from(id).map(Locator::Id).map_err(|_| reply::usage("message-id", out))
            }
            _ if self.group.is_none() => Err(reply::no_group(out)),
            ArticleSpec::Number(number) => Ok(Locator::Number { number, current: false }),
            ArticleSpec::Current => match self.current {
                Some(number) => Ok(Locator::Number { number, current: true }),
                None => Err(reply::no_current(out)),
            },
        }
    }

    fn rows(&self, spec: RangeSpec<'_>, out: &mut Vec<u8>) -> Result<Rows, Step> {
        match spec {
            RangeSpec::Id(id) => {
                MessageId::try_from(id).map(Rows::Id).map_err(|_| reply::usage("message-id", out))
            }
            _ if self.group.is_none() => Err(reply::no_group(out)),
            RangeSpec::Range(range) => Ok(Rows::Range(range)),
            RangeSpec::Current => match self.current {
                Some(number) => Ok(Rows::Current(number)),
                None => Err(reply::no_current(out)),
            },
        }
    }

    fn neighbour(&self, up: bool, out: &mut Vec<u8>) -> Step {
        match (&self.group, self.current) {
            (None, _) => reply::no_group(out),
            (Some(_), None) => reply::no_current(out),
            (Some(_), Some(from)) => Step::Ask(Ask::Neighbour { from, up }),
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
