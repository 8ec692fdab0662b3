//! What each command of a client does: the answer that is known at once, or what to look up for it.

use super::ask::{Ask, ListKind, Locator, Rows, Step, Transfer, Via};
use super::reply;
use super::server::{Server, State, Unread};
use crate::article::MessageId;
use crate::sync::Ranges;
use crate::wildmat::{TextPattern, Wildmat};
use crate::wire::command::RangeSpec;
use crate::wire::{ArticleSpec, Command, ListCommand, Range, SyncCommand};

impl<G> Server<G> {
    pub(super) fn command(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Step {
        match command {
            Command::Check(id) => match self.offered(id, out) {
                Ok(id) => Step::Ask(Ask::Check(id)),
                Err(step) => step,
            },
            Command::TakeThis(id) => match MessageId::try_from(id) {
                Ok(id) if self.rights.offer => {
                    self.receive(Transfer { via: Via::TakeThis, id: Some(id) });
                    Step::Read
                }
                _ => self.drain(Unread::BadMessageId),
            },
            Command::Ihave(id) => match self.offered(id, out) {
                Ok(id) => Step::Ask(Ask::Ihave(id)),
                Err(step) => step,
            },
            Command::Post => {
                if !self.rights.post {
                    return self.denied(self.channel.offers.login_posts, 440, "Posting not permitted", out);
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
                reply::capabilities(self.rights, &self.channel, self.lists, out);
                Step::Replied
            }
            Command::Help => {
                reply::help(out);
                Step::Replied
            }
            Command::Date => Step::Ask(Ask::Date),
            Command::ModeStream if self.rights.offer => reply::line(203, "Streaming permitted", out),
            Command::ModeStream => self.may_not_offer("Streaming not permitted", out),
            Command::Sync(sync) => self.sync(sync, out),
            Command::Turn => self.turn(out),
            Command::Peer if self.rights.offer => Step::Ask(Ask::Peer),
            Command::Peer => self.may_not_offer(reply::NOT_A_PEER, out),
            Command::Authinfo(authinfo) => self.authinfo(authinfo, out),
            Command::StartTls => self.start_tls(out),
            Command::Compress(algorithm) => self.compress(algorithm, out),
            // RFC 4643 s.2.2 keeps 480 for commands that need the login.
            Command::ModeReader if self.rights.post || self.channel.may_post_by_login() => {
                reply::line(200, "Posting allowed", out)
            }
            Command::ModeReader if self.rights.read || self.channel.may_log_in() => {
                reply::line(201, "Posting prohibited", out)
            }
            Command::ModeReader => {
                // RFC 3977 s.5.3.2: without READER 502 and close.
                self.state = State::Closed;
                reply::line(502, "Reading not permitted", out);
                Step::Close
            }
            _ if !self.rights.read => {
                self.denied(self.channel.offers.login_reads, 502, "Reading not permitted", out)
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
            Command::Hdr { field, spec } => self.hdr(field, spec, false, None, out),
            Command::Xhdr { field, spec } => self.hdr(field, spec, true, None, out),
            Command::Xpat { field, spec, pattern } => {
                // RFC 2980 s.2.9: several arguments are one pattern, joined by single spaces.
                let pattern: Vec<&str> = pattern.split_ascii_whitespace().collect();
                match TextPattern::parse(&pattern.join(" ")) {
                    Ok(pattern) => self.hdr(field, spec, true, Some(pattern), out),
                    Err(why) => reply::bad_wildmat(&why, out),
                }
            }
            Command::Xgtitle(None) if self.group.is_none() => reply::no_group(out),
            Command::Xgtitle(wildmat) => match wildmat.map(Wildmat::parse).transpose() {
                Ok(wildmat) => Step::Ask(Ask::Xgtitle(wildmat)),
                Err(why) => reply::bad_wildmat(&why, out),
            },
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
            // RFC 3977 s.7.6.1: 503 for what is not maintained here.
            ListCommand::File(list, _) if !self.lists.has(list) => {
                return reply::line(503, "No such list here", out);
            }
            ListCommand::File(list, wildmat) => {
                return match wildmat.map(Wildmat::parse).transpose() {
                    Ok(wildmat) => Step::Ask(Ask::ListFile(list, wildmat)),
                    Err(why) => reply::bad_wildmat(&why, out),
                };
            }
            // RFC 3977 s.7.6.1: 501 for a keyword that is not recognised.
            ListCommand::Unknown(_) => return reply::line(501, "Unknown LIST keyword", out),
        };
        match wildmat.map(Wildmat::parse).transpose() {
            Ok(wildmat) => Step::Ask(Ask::List(kind, wildmat)),
            Err(why) => reply::bad_wildmat(&why, out),
        }
    }

    fn hdr(
        &mut self,
        field: &str,
        spec: RangeSpec<'_>,
        old: bool,
        pattern: Option<TextPattern>,
        out: &mut Vec<u8>,
    ) -> Step {
        match self.rows(spec, out) {
            Ok(rows) => Step::Ask(Ask::Hdr { field: field.to_owned(), rows, old, pattern }),
            Err(step) => step,
        }
    }

    /// XSYNC is for those who may offer: nobody else is told what is here, or makes us look for it.
    fn sync(&mut self, sync: SyncCommand<'_>, out: &mut Vec<u8>) -> Step {
        if !self.rights.offer {
            return self.may_not_offer(reply::NOT_A_PEER, out);
        }
        let (ranges, wildmat, ids) = match sync {
            SyncCommand::Offer(id) => {
                return match MessageId::try_from(id) {
                    Ok(id) => Step::Ask(Ask::SyncOffer(id)),
                    Err(_) => reply::usage("message-id", out),
                };
            }
            SyncCommand::Counts(ranges, wildmat) => (ranges, wildmat, false),
            SyncCommand::Ids(ranges, wildmat) => (ranges, wildmat, true),
        };
        let Some(ranges) = Ranges::parse(ranges) else {
            return reply::line(501, "Bad ranges: from-to[,from-to] in seconds of Unix time", out);
        };
        match Wildmat::parse_subscription(wildmat) {
            Ok(wildmat) if ids => Step::Ask(Ask::SyncIds(ranges, wildmat)),
            Ok(wildmat) => Step::Ask(Ask::SyncCounts(ranges, wildmat)),
            Err(why) => reply::bad_wildmat(&why, out),
        }
    }

    fn offered(&mut self, id: &str, out: &mut Vec<u8>) -> Result<MessageId, Step> {
        if !self.rights.offer {
            return Err(self.may_not_offer(reply::NOT_A_PEER, out));
        }
        MessageId::try_from(id).map_err(|_| reply::usage("message-id", out))
    }

    pub(super) fn receive(&mut self, transfer: Transfer) {
        self.state = State::Article { transfer, seen: 0 };
    }

    /// The article of a TAKETHIS follows whatever is wrong with it (RFC 4644 s.2.5.2); it is not read as
    /// commands, and answered when it is over: RFC 3977 s.3.2.1 has the connection go on behind 502.
    pub(super) fn drain(&mut self, why: Unread) -> Step {
        let why = if self.rights.offer { why } else { Unread::Refused };
        self.state = State::Drain { transfer: Transfer { via: Via::TakeThis, id: None }, before: 0, why };
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
}
