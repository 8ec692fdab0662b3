//! The sending side of one feed connection, sans-IO: replies in, commands and steps out.
//!
//! The machine knows the protocol and nothing else: no socket, no clock, no store. Its shell hands
//! it octets with [`Sender::receive`], articles to offer with [`Sender::offer`], and calls
//! [`Sender::next`] until that gives nothing: commands are appended to the shell's buffer, and each
//! [`Step`] tells the shell what became of an article or asks it to send one.
//!
//! - Before articles are offered come TLS, login and compression as far as they are wanted:
//!   see [`Opening`]. STREAMING means CHECK and TAKETHIS (RFC 4644), IHAVE alone means IHAVE
//!   (RFC 3977 s.6.3.2), which must not be pipelined. A server that does not know CAPABILITIES is
//!   tried with MODE STREAM (RFC 4644 s.2.3).
//! - CHECK comes first while the peer refuses some; straight TAKETHIS while it takes nearly all:
//!   see [`Acceptance`] (RFC 4644 s.2.1).
//! - At most `window` commands and [`UNANSWERED_OCTETS_MAX`] octets of articles are unanswered, and as
//!   many octets asked about. That is a bound, not a pace: what is in flight follows from what the
//!   connection takes. So that a slow one hoards nothing, it is offered articles as it sends them
//!   ([`Sender::room`]), and CHECK waits while articles that the peer has asked for do.
//! - Replies come in the order of the commands (RFC 3977 s.3.5) and name the Message-ID
//!   (RFC 4644 s.2.4.1): kind and Message-ID are both checked. A reply that is out of order but
//!   names a command of its kind that waits is taken; one that fits nothing ends the connection.
//! - Invariant: every article offered comes back exactly once: in a [`Step::Settled`], in a
//!   [`Step::Send`] (and again when begun), or from [`Sender::unsettled`].

mod acceptance;
mod opening;

pub use acceptance::Acceptance;
pub use opening::Opening;

use crate::article::MessageId;
use crate::wire::capability::Capabilities;
use crate::wire::response::Response;
use memchr::memchr;
use std::collections::VecDeque;
use std::fmt;

/// Octets of articles that may be sent and not yet answered: enough for 320 MB/s on a path with a
/// round-trip time of 200 ms. They are on their way and not in memory; what they cost is that they are
/// sent again when the connection breaks.
pub const UNANSWERED_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// Articles taken and not offered yet: enough to fill a write, and the rest may go to other connections.
const OFFERS_MAX: usize = 128;
/// Octets of a reply line that are tolerated (RFC 3977 s.3.1 says 512).
const REPLY_LINE_MAX: usize = 2048;
/// Octets of a capability list that are tolerated.
const CAPABILITIES_MAX: usize = 16 * 1024;

/// Something that can be offered to a peer.
pub trait Offered {
    /// Its Message-ID.
    fn message_id(&self) -> &MessageId;
    /// Octets of the article in wire form.
    fn octets(&self) -> usize;
}

/// The peer's last word on an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 239, 235: it has it.
    Accepted,
    /// 438, 435: it does not want it.
    Refused,
    /// 439, 437: it has seen the article and rejects it; with its words.
    Rejected(String),
    /// 431, 436: later.
    Deferred,
}

/// A reply that settled an article, for the feeds' log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The command that it answers: `CHECK`, `TAKETHIS`, `IHAVE`.
    pub command: &'static str,
    /// Its code.
    pub code: u16,
    /// The words behind the code, fit for a log line; empty if the article was accepted.
    pub words: String,
}

/// What the shell has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<A> {
    /// The peer takes articles from now on; with streaming or by IHAVE.
    Ready {
        /// CHECK and TAKETHIS are used.
        streaming: bool,
    },
    /// Send this article: read it, call [`Sender::begin`], append its octets to the output before
    /// anything else. If it cannot be read, call [`Sender::cannot_send`] instead.
    Send(A),
    /// Do the handshake of TLS, then call [`Sender::secured`].
    StartTls,
    /// Everything behind this is packed (RFC 8054), in both directions; then go on.
    StartDeflate,
    /// The peer answers XSYNC: the shell goes on by itself.
    Opened,
    /// XTURN is answered: the peer is the client now, and waits for our greeting.
    Turned,
    /// The peer has answered for good, or for now when deferred.
    Settled(A, Verdict),
    /// The connection is of no more use: close it. What is unanswered is offered again on the next.
    Close(Close),
}

/// Why the machine gives a connection up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// The greeting was not 200 or 201.
    TurnedAway(String),
    /// Neither STREAMING nor IHAVE: this peer does not take articles from us.
    NoTransfer,
    /// 400: the peer cannot go on now (RFC 3977 s.3.2.1, RFC 4644 s.2.5.2).
    Unavailable(String),
    /// 480, 483: the peer wants to know who we are, or wants TLS.
    Unauthorised(String),
    /// TLS was to begin, and the peer does not do it.
    NoTls(String),
    /// The peer does not take the login.
    LoginRefused(String),
    /// It does not know XSYNC, or not from us.
    NoSync,
    /// The peer does not offer us articles over a connection of ours (XTURN).
    NoTurn(String),
    /// A reply that fits no command.
    Protocol(String),
    /// An article that was asked for by 335 cannot be sent, and IHAVE has no way to say so.
    Withdrawn,
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TurnedAway(line) => write!(f, "turned away: {line}"),
            Self::NoTransfer => f.write_str("takes no articles from us: neither STREAMING nor IHAVE"),
            Self::Unavailable(line) => write!(f, "unavailable: {line}"),
            Self::Unauthorised(line) => write!(f, "asks for authentication or privacy: {line}"),
            Self::NoTls(why) => write!(f, "no TLS, and without it nothing is sent: {why}"),
            Self::LoginRefused(line) => write!(f, "the login is refused: {line}"),
            Self::NoSync => f.write_str("the peer does not offer XSYNC to us"),
            Self::NoTurn(why) => f.write_str(why),
            Self::Protocol(what) => write!(f, "protocol error: {what}"),
            Self::Withdrawn => f.write_str("an article vanished after it was asked for"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Capabilities,
    CapabilityList,
    /// STARTTLS has been said.
    StartTls,
    /// TLS begins: the shell does the handshake.
    Handshake,
    /// AUTHINFO USER has been said; AUTHINFO PASS, or SASL PLAIN with all of it.
    User,
    Password,
    /// COMPRESS has been said.
    Compress,
    /// Packing begins.
    Deflate,
    /// XTURN has been said.
    Turn,
    /// `listed`: a capability list was given, and it had neither STREAMING nor IHAVE.
    ModeStream {
        listed: bool,
    },
    Ready {
        streaming: bool,
    },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Check,
    /// `checked`: a 238 went before, so its answer says nothing about straight sending.
    TakeThis {
        checked: bool,
    },
    Ihave,
    /// The article behind a 335.
    IhaveArticle,
}

impl Kind {
    fn command(self) -> &'static str {
        match self {
            Self::Check => "CHECK",
            Self::TakeThis { .. } => "TAKETHIS",
            Self::Ihave | Self::IhaveArticle => "IHAVE",
        }
    }
}

struct Waiting<A> {
    kind: Kind,
    article: A,
}

/// The machine. `A` is what the shell knows an article by.
pub struct Sender<A> {
    phase: Phase,
    window: usize,
    acceptance: Acceptance,
    /// Not offered yet.
    offers: VecDeque<A>,
    /// Asked for by the peer (238, 335), not begun yet.
    wanted: VecDeque<A>,
    /// Commands without a reply, oldest first.
    waiting: VecDeque<Waiting<A>>,
    /// Articles the shell holds between [`Step::Send`] and [`Sender::begin`], and of what kind.
    handed: VecDeque<Kind>,
    /// Octets of articles handed out or sent and not answered.
    octets: usize,
    /// Octets of articles that CHECK asks about.
    checked: usize,
    /// No new command is given any more.
    draining: bool,
    input: Vec<u8>,
    /// Octets of `input` that are done with.
    taken: usize,
    capabilities: String,
    /// What is left to do before articles are offered.
    opening: Opening,
    /// What the peer says it can do; none when it does not know the question.
    known: Option<Capabilities>,
    last: Reply,
}

impl<A: Offered> Sender<A> {
    /// A machine for a connection that has just been opened, over TLS if that begins with the first
    /// octet. `window` is how many commands may be unanswered; `acceptance` is what earlier connections
    /// have learned of the peer.
    pub fn new(window: usize, acceptance: Acceptance, opening: Opening) -> Self {
        Self {
            phase: Phase::Greeting,
            window: window.max(1),
            acceptance,
            offers: VecDeque::new(),
            wanted: VecDeque::new(),
            waiting: VecDeque::new(),
            handed: VecDeque::new(),
            octets: 0,
            checked: 0,
            draining: false,
            input: Vec::new(),
            taken: 0,
            capabilities: String::new(),
            opening,
            known: None,
            last: Reply::default(),
        }
    }

    /// Takes octets that came from the peer, in pieces of any size.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// How many more articles it takes; none before it is ready, and few ahead of those that it has
    /// offered: other connections may be faster.
    pub fn room(&self) -> usize {
        let window = match self.phase {
            Phase::Ready { streaming: true } => self.window,
            Phase::Ready { streaming: false } => 1,
            _ => 0,
        };
        let ahead = OFFERS_MAX.saturating_sub(self.offers.len());
        if self.draining { 0 } else { window.saturating_sub(self.held()).min(ahead) }
    }

    /// Takes an article to offer.
    pub fn offer(&mut self, article: A) {
        self.offers.push_back(article);
    }

    /// Does the peer owe us a reply, or we an article to it?
    pub fn is_owed(&self) -> bool {
        match self.phase {
            Phase::Ready { .. } => self.held() > self.offers.len(),
            Phase::Closed => false,
            _ => true,
        }
    }

    /// Does it hold any article?
    pub fn is_idle(&self) -> bool {
        self.held() == 0
    }

    /// Octets of articles sent and not answered.
    pub fn unanswered_octets(&self) -> usize {
        self.octets
    }

    /// The reply behind the last [`Step::Settled`].
    pub fn last_reply(&self) -> &Reply {
        &self.last
    }

    /// What it has learned of the peer.
    pub fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    /// Nothing more is offered from now on; what the peer has asked for is still sent.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Says goodbye (RFC 3977 s.5.4). Only when no reply is owed and nothing is being sent.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        if !self.is_owed() {
            out.extend_from_slice(b"QUIT\r\n");
        }
        self.phase = Phase::Closed;
    }

    /// Gives back every article that has no answer, oldest command first. The machine is done with.
    pub fn unsettled(mut self) -> impl Iterator<Item = A> {
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|w| w.article);
        waiting.chain(std::mem::take(&mut self.wanted)).chain(std::mem::take(&mut self.offers))
    }

    /// The article of the oldest [`Step::Send`] not begun yet is going out: its octets must follow in
    /// `out` at once.
    pub fn begin(&mut self, article: A, out: &mut Vec<u8>) {
        let kind = self.handed.pop_front().unwrap_or(Kind::TakeThis { checked: true });
        if matches!(kind, Kind::TakeThis { .. }) {
            command(out, b"TAKETHIS ", article.message_id());
        }
        self.waiting.push_back(Waiting { kind, article });
    }

    /// The article of the oldest [`Step::Send`] not begun yet cannot be sent; the shell keeps it.
    /// Where the peer waits for it already (335), the connection has to be closed.
    pub fn cannot_send(&mut self, article: &A) -> Result<(), Close> {
        self.octets = self.octets.saturating_sub(article.octets());
        if self.handed.pop_front() == Some(Kind::IhaveArticle) {
            self.phase = Phase::Closed;
            return Err(Close::Withdrawn);
        }
        Ok(())
    }

    /// The next step, if there is one; commands are appended to `out`. With `may_send` false only
    /// replies are worked off: no command is written and no article asked for.
    pub fn next(&mut self, out: &mut Vec<u8>, may_send: bool) -> Option<Step<A>> {
        loop {
            // Commands go before the next reply, so that the steps do not depend on how the replies
            // were cut into pieces.
            if may_send && let Some(step) = self.produce(out) {
                return Some(step);
            }
            if self.phase == Phase::Closed {
                return None;
            }
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let Some(end) = memchr(b'\n', rest) else {
                if rest.len() > REPLY_LINE_MAX {
                    return Some(self.close(Close::Protocol("a reply line has no end".to_owned())));
                }
                return None;
            };
            let start = self.taken;
            self.taken += end + 1;
            // Taken out for the time of the call: the line borrows it.
            let input = std::mem::take(&mut self.input);
            let line = input.get(start..start + end).unwrap_or_default();
            let step = self.reply(line.strip_suffix(b"\r").unwrap_or(line), out);
            self.input = input;
            if step.is_some() {
                return step;
            }
        }
    }

    fn held(&self) -> usize {
        self.offers.len() + self.wanted.len() + self.waiting.len() + self.handed.len()
    }

    fn close(&mut self, why: Close) -> Step<A> {
        self.phase = Phase::Closed;
        Step::Close(why)
    }

    /// Writes commands, or asks for an article to be sent.
    fn produce(&mut self, out: &mut Vec<u8>) -> Option<Step<A>> {
        let Phase::Ready { streaming } = self.phase else { return None };
        if let Some(step) = self.hand_wanted(streaming) {
            return Some(step);
        }
        while !self.draining
            && let Some(article) = self.offers.front()
        {
            if streaming && self.acceptance.straight() {
                if !self.fits(article) {
                    return None;
                }
                let article = self.offers.pop_front()?;
                return Some(self.hand(article, Kind::TakeThis { checked: false }));
            }
            // RFC 3977 s.6.3.2.1: IHAVE must not be pipelined.
            if !streaming && (!self.waiting.is_empty() || !self.handed.is_empty()) {
                return None;
            }
            // The peer keeps what it asks for reserved: it is not asked for more than can follow.
            let is_full = !within(self.checked, article) || !self.wanted.is_empty();
            if streaming && is_full {
                return None;
            }
            let article = self.offers.pop_front()?;
            self.checked = self.checked.saturating_add(article.octets());
            let (word, kind) = if streaming {
                (b"CHECK ".as_slice(), Kind::Check)
            } else {
                (b"IHAVE ".as_slice(), Kind::Ihave)
            };
            command(out, word, article.message_id());
            self.waiting.push_back(Waiting { kind, article });
        }
        None
    }

    fn hand_wanted(&mut self, streaming: bool) -> Option<Step<A>> {
        if !self.fits(self.wanted.front()?) {
            return None;
        }
        let article = self.wanted.pop_front()?;
        Some(
            self.hand(article, if streaming { Kind::TakeThis { checked: true } } else { Kind::IhaveArticle }),
        )
    }

    /// One article is always allowed, however large.
    fn fits(&self, article: &A) -> bool {
        within(self.octets, article)
    }

    fn hand(&mut self, article: A, kind: Kind) -> Step<A> {
        self.octets = self.octets.saturating_add(article.octets());
        self.handed.push_back(kind);
        Step::Send(article)
    }

    fn reply(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Step<A>> {
        if self.phase == Phase::CapabilityList {
            return self.capability(line, out);
        }
        let Some(reply) = Response::parse(line) else {
            return Some(self.close(Close::Protocol(format!("not a reply: {}", shown(line)))));
        };
        match (self.phase, reply.code.0) {
            (Phase::Closed, _) => None,
            (phase, 400) if phase != Phase::Greeting => Some(self.close(Close::Unavailable(shown(line)))),
            (Phase::Ready { .. }, 480 | 483) => Some(self.close(Close::Unauthorised(shown(line)))),
            (Phase::Ready { .. }, code) => self.answer(code, &reply, line),
            (_, code) => self.opening_reply(code, line, out),
        }
    }

    /// The reply to a command about an article.
    fn answer(&mut self, code: u16, reply: &Response<'_>, line: &[u8]) -> Option<Step<A>> {
        let Some(Waiting { kind, article }) = self.answered(code, reply.argument()) else {
            return Some(self.close(Close::Protocol(format!("unexpected reply: {}", shown(line)))));
        };
        match kind {
            Kind::Check => self.acceptance.record(code == 238),
            Kind::TakeThis { checked: false } => self.acceptance.record(code == 239),
            _ => {}
        }
        match kind {
            Kind::TakeThis { .. } | Kind::IhaveArticle => {
                self.octets = self.octets.saturating_sub(article.octets());
            }
            Kind::Check | Kind::Ihave => self.checked = self.checked.saturating_sub(article.octets()),
        }
        let verdict = match (code, kind) {
            (238 | 335, _) => {
                self.wanted.push_back(article);
                return None;
            }
            (235 | 239, _) => Verdict::Accepted,
            (431 | 436, _) => Verdict::Deferred,
            (435 | 438, _) => Verdict::Refused,
            (437 | 439, _) => Verdict::Rejected(shown(reply.text.as_bytes())),
            // 501: the peer cannot take this Message-ID, now or later.
            (_, Kind::Check | Kind::Ihave) => Verdict::Refused,
            (_, Kind::TakeThis { .. } | Kind::IhaveArticle) => Verdict::Rejected(shown(line)),
        };
        self.last.command = kind.command();
        self.last.code = code;
        self.last.words.clear();
        if verdict != Verdict::Accepted {
            push_shown(reply.text.as_bytes(), &mut self.last.words);
        }
        Some(Step::Settled(article, verdict))
    }

    /// The command that a reply answers: the oldest, or the one of its kind that it names.
    fn answered(&mut self, code: u16, argument: Option<&str>) -> Option<Waiting<A>> {
        let may_answer = |kind: Kind| match kind {
            Kind::Check => matches!(code, 238 | 431 | 438 | 501),
            // 431 is none of its replies, but some servers give it.
            Kind::TakeThis { .. } => matches!(code, 239 | 431 | 439 | 501),
            Kind::Ihave => matches!(code, 335 | 435 | 436 | 501),
            Kind::IhaveArticle => matches!(code, 235 | 436 | 437 | 501),
        };
        let named = argument.filter(|word| word.starts_with('<'));
        let fits = |waiting: &Waiting<A>| {
            may_answer(waiting.kind)
                && match (waiting.kind, named) {
                    (Kind::Check | Kind::TakeThis { .. }, Some(id)) => {
                        code == 501 || waiting.article.message_id().as_str() == id
                    }
                    _ => true,
                }
        };
        if fits(self.waiting.front()?) {
            return self.waiting.pop_front();
        }
        named?;
        let at = self.waiting.iter().position(fits)?;
        self.waiting.remove(at)
    }
}

fn within(octets: usize, article: &impl Offered) -> bool {
    octets == 0 || octets.saturating_add(article.octets()) <= UNANSWERED_OCTETS_MAX
}

fn command(out: &mut Vec<u8>, word: &[u8], id: &MessageId) {
    out.extend_from_slice(word);
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A peer's words, fit for a log line: bounded, without control characters.
fn shown(line: &[u8]) -> String {
    let mut words = String::new();
    push_shown(line, &mut words);
    words
}

fn push_shown(line: &[u8], words: &mut String) {
    const CHARACTERS_MAX: usize = 200;
    let line = String::from_utf8_lossy(line);
    words.extend(line.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
