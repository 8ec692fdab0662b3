//! One connection to a peer: the shell around [`session::sender`](crate::session::sender).
//!
//! It moves octets both ways at once, so that two full buffers can never wait for each other, takes
//! articles from the [`Exchange`] as the window allows and hands answers back in batches. What has no
//! answer when the connection ends goes back to the exchange and is offered again. Memory is bounded
//! by the window, the [`Outbox`] and the small articles of one batch read from a cold disk.

use super::Means;
use super::dial::{Dialled, Upgrade};
use super::exchange::{Answer, ConnectionNo, Exchange, Fate, Owed};
use super::outbox::Outbox;
use crate::clock;
use crate::config::Peer;
use crate::journal::Lines;
use crate::journal::feeds::{self, Replied};
use crate::session::sender::{Close, Offered, Sender, Step, Verdict};
use crate::store::{ReadError, Store, Stored, Wait};
use crate::transport::{Transport, apart};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// Articles up to this size are read at once and leave together with their neighbours.
const WHOLE_OCTETS: usize = 32 * 1024;
/// Octets that are ready to be written before others on this thread get a turn: less than a millisecond
/// of reading and copying.
const TURN_OCTETS: usize = 256 * 1024;
/// Articles read in one go on a blocking thread when they are not in memory.
const COLD_BATCH: usize = 32;
/// Seconds that a peer may take for its greeting and its capabilities.
const GREETING_S: u64 = 30;
/// Seconds without any progress while a reply is owed ...
const REPLY_S: u64 = 60;
/// ... and one more for so many octets that may stand in buffers on the way ...
const OCTETS_PER_S: u64 = 64 * 1024;
/// ... of which there are no more than this: the largest article, and both hosts' buffers.
const BUFFERED_MAX: usize = 16 * 1024 * 1024;
/// Seconds after which a further connection that has nothing to do is closed.
const SPARE_S: u64 = 30;
/// Seconds after which a connection that has nothing to do gives back its buffer.
const REST_S: u64 = 5;
/// A peer that does not take our QUIT has this long.
const QUIT_PATIENCE: Duration = Duration::from_secs(1);
/// An article that was next to be answered when this many connections broke is deferred: it may be
/// what breaks them, and the others shall pass.
const STRIKES_MAX: u8 = 3;
/// A connection that stood so long was worth opening even if nothing was offered.
const USEFUL_S: u64 = 10;

/// What every connection of a feed shares.
pub(super) struct Link {
    pub(super) store: Store,
    pub(super) peer: Arc<Peer>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) means: Means,
    /// The peer has opened it for us: it is never spare.
    pub(super) came_in: bool,
    pub(super) stop: CancellationToken,
}

impl Link {
    /// The same for a connection that ends when `stop` is cancelled.
    pub(super) fn of_session(&self, stop: CancellationToken) -> Self {
        Self {
            store: self.store.clone(),
            peer: self.peer.clone(),
            exchange: self.exchange.clone(),
            means: self.means.clone(),
            came_in: self.came_in,
            stop,
        }
    }
}

/// How a connection ended.
pub(super) struct End {
    /// It has answered an offer, or stood for a while: the peer is up.
    pub(super) useful: bool,
    /// Why it was lost; none when we closed it ourselves.
    pub(super) why: Option<String>,
}

/// Feeds the peer over a connection until it breaks, is spare, or the feed stops.
pub(super) async fn run(link: &Link, no: ConnectionNo, dialled: Dialled) -> End {
    let Dialled { transport, opening, early, upgrade } = dialled;
    let mut sender = Sender::new(link.peer.window, link.exchange.acceptance(), opening);
    sender.receive(&early);
    let mut connection = Connection {
        link,
        no,
        transport,
        upgrade,
        sender,
        inbox: BytesMut::new(),
        outbox: Outbox::default(),
        unflushed: false,
        read: VecDeque::new(),
        cold: Vec::new(),
        answers: Vec::new(),
        lines: Lines::default(),
        batch: Vec::new(),
        wake: None,
        sending: None,
        answered: false,
        age_s: 0,
        paused_until: None,
    };
    let ended = connection.feed().await;
    let useful = connection.answered || connection.age_s >= USEFUL_S;
    if ended.is_ok() {
        connection.quit().await;
    }
    connection.give_back(ended.is_err());
    End { useful, why: ended.err() }
}

struct Connection<'a> {
    link: &'a Link,
    no: ConnectionNo,
    transport: Transport,
    upgrade: Option<Upgrade>,
    sender: Sender<Owed>,
    inbox: BytesMut,
    outbox: Outbox,
    /// The layers of the transport may hold something that was written.
    unflushed: bool,
    /// Read from the disk, to go out next.
    read: VecDeque<(Owed, Result<Stored, ReadError>)>,
    /// To go out next, but not in memory.
    cold: Vec<Owed>,
    answers: Vec<Answer>,
    /// The lines of those.
    lines: Lines,
    batch: Vec<Owed>,
    /// Woken when there is something to take; none until the peer takes articles.
    wake: Option<Arc<Notify>>,
    /// The article begun last.
    sending: Option<Owed>,
    /// The peer has answered an offer.
    answered: bool,
    age_s: u64,
    /// Nothing is sent before: the peer has had its octets of this second.
    paused_until: Option<Instant>,
}

impl Connection<'_> {
    /// Returns when it may be closed in order; the error says why it was lost.
    async fn feed(&mut self) -> Result<(), String> {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet_s = 0;
        let mut stopping = false;
        let mut turn = 0;
        loop {
            loop {
                self.produce().await?;
                if self.take() == 0 {
                    break;
                }
            }
            self.link.means.journals.feeds.append(&mut self.lines);
            self.link.exchange.settle(&mut self.answers, self.sender.acceptance());
            if stopping && (self.wake.is_none() || !self.is_busy()) {
                return Ok(());
            }
            let before = self.outbox.unwritten().len();
            turn += before;
            let sent = match self.push() {
                Ok(sent) => sent,
                Err(error) => return Err(self.last_words(&error).await),
            };
            // There is room for more.
            let moved = self.outbox.unwritten().len() < before;
            if moved {
                quiet_s = 0;
            }
            tokio::select! {
                biased;
                ready = self.transport.readable() => {
                    ready.map_err(|error| error.to_string())?;
                    if self.receive().await? {
                        quiet_s = 0;
                    }
                }
                () = self.link.stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.sender.drain();
                }
                _ = second.tick() => {
                    quiet_s += 1;
                    self.age_s += 1;
                    if self.is_spare(quiet_s)? {
                        return Ok(());
                    }
                    if quiet_s == REST_S {
                        self.outbox.release();
                        self.inbox = BytesMut::new();
                        self.lines = Lines::default();
                    }
                }
                () = woken(self.wake.as_deref()) => quiet_s = 0,
                () = until(self.paused_until) => quiet_s = 0,
                ready = self.transport.writable(), if !sent => ready.map_err(|error| error.to_string())?,
                () = std::future::ready(()), if moved => {}
            }
            // A peer that takes whatever it is given must not hold up the others on this thread.
            if turn >= TURN_OCTETS {
                turn = 0;
                tokio::task::yield_now().await;
            } else {
                tokio::task::consume_budget().await;
            }
        }
    }

    /// Writes what can be written now; has everything left?
    fn push(&mut self) -> io::Result<bool> {
        while !self.outbox.unwritten().is_empty() {
            match self.transport.write(self.outbox.unwritten()) {
                Ok(octets) => self.outbox.advance(octets),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            self.unflushed = true;
        }
        // Not in the middle of a large article, whose rest follows at once.
        if self.unflushed && self.outbox.is_empty() {
            match self.transport.flush() {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes what has arrived; was there anything?
    async fn receive(&mut self) -> Result<bool, String> {
        match self.transport.read_now(&mut self.inbox).await {
            Ok(0) => Err("closed by the peer".to_owned()),
            Ok(_) => {
                self.sender.receive(&self.inbox);
                self.inbox.clear();
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writing has failed: what the peer had to say before is heard, a 400 above all.
    async fn last_words(&mut self, error: &io::Error) -> String {
        while self.receive().await == Ok(true) {
            if let Err(why) = self.produce().await {
                return why;
            }
        }
        error.to_string()
    }

    /// Is there anything under way?
    fn is_busy(&self) -> bool {
        self.sender.is_owed() || !self.outbox.is_empty()
    }

    /// After `quiet_s` seconds without progress: is it not needed any more? The error says that the
    /// peer has had its time.
    fn is_spare(&self, quiet_s: u64) -> Result<bool, String> {
        if self.wake.is_none() {
            return if quiet_s > GREETING_S { Err("no greeting".to_owned()) } else { Ok(false) };
        }
        if self.is_busy() {
            let under_way = self.sender.unanswered_octets().min(BUFFERED_MAX);
            let allowed_s = REPLY_S + under_way as u64 / OCTETS_PER_S;
            return if quiet_s > allowed_s { Err(format!("no reply for {quiet_s} s")) } else { Ok(false) };
        }
        Ok(quiet_s > SPARE_S && !self.link.came_in && !self.link.exchange.is_oldest(self.no))
    }

    /// Takes what the window allows from the exchange; says how many.
    fn take(&mut self) -> usize {
        let room = self.sender.room();
        if room == 0 {
            return 0;
        }
        self.link.exchange.take(self.no, room, &mut self.batch);
        let taken = self.batch.len();
        let now = Instant::now();
        for mut owed in self.batch.drain(..) {
            owed.offered = Some(now);
            self.sender.offer(owed);
        }
        taken
    }

    /// Works off replies, and fills the outbox as long as it has room.
    async fn produce(&mut self) -> Result<(), String> {
        loop {
            self.outbox.fill().await.map_err(|error| self.cannot_go_on(&error))?;
            while self.outbox.has_room()
                && self.may_spend()
                && let Some((owed, read)) = self.read.pop_front()
            {
                self.begin(owed, read)?;
            }
            let may_send = self.outbox.has_room() && self.cold.len() < COLD_BATCH && self.may_spend();
            match self.sender.next(self.outbox.commands(), may_send) {
                Some(step) => self.step(step).await?,
                None if self.cold.is_empty() || !self.outbox.has_room() => return Ok(()),
                None => self.read_cold().await,
            }
        }
    }

    /// May octets be sent now, as far as the peer's rate goes?
    fn may_spend(&mut self) -> bool {
        if self.link.peer.bytes_s_max.is_none() {
            return true;
        }
        self.paused_until = self.link.exchange.wait().map(|pause| Instant::now() + pause);
        self.paused_until.is_none()
    }

    async fn step(&mut self, step: Step<Owed>) -> Result<(), String> {
        let mut step = Some(step);
        while let Some(this) = step.take() {
            match this {
                Step::Send(owed) => self.send(owed)?,
                Step::Settled(owed, verdict) => self.settled(&owed, verdict),
                Step::Ready { streaming } => {
                    let tls = self.transport.is_private();
                    self.link.exchange.report(|reported| reported.tls = tls);
                    self.wake = Some(self.link.exchange.open(self.no, streaming));
                }
                Step::StartTls => {
                    // RFC 4642 s.2.2.2: somebody else may have put it there.
                    if !self.sender.take_input().is_empty() {
                        return Err("octets in clear came behind its answer to STARTTLS".to_owned());
                    }
                    let own = self.link.means.certificate.get();
                    match &self.upgrade {
                        Some(upgrade) => upgrade.start(&mut self.transport, own.as_deref()).await?,
                        None => return Err("no TLS was to begin here".to_owned()),
                    }
                    self.sender.secured(self.outbox.commands());
                }
                Step::StartDeflate => {
                    let mut packed = BytesMut::from(self.sender.take_input().as_slice());
                    self.transport.start_deflate(&mut packed);
                    step = self.sender.compressed(self.outbox.commands());
                }
                Step::Opened | Step::Turned => return Err("it changed places without being asked".to_owned()),
                Step::Close(why) => return Err(why.to_string()),
            }
        }
        Ok(())
    }

    fn send(&mut self, owed: Owed) -> Result<(), String> {
        // One that is read already must not overtake those that are not.
        if self.cold.is_empty() {
            match read(&self.link.store, &owed, Wait::No) {
                Err(ReadError::WouldBlock) => {}
                read => return self.begin(owed, read),
            }
        }
        self.cold.push(owed);
        Ok(())
    }

    async fn read_cold(&mut self) {
        let cold = std::mem::take(&mut self.cold);
        let store = self.link.store.clone();
        let kept = cold.clone();
        let reading = apart(move || {
            let read_one = |owed| {
                let stored = read(&store, &owed, Wait::Disk);
                (owed, stored)
            };
            cold.into_iter().map(read_one).collect()
        });
        self.read = reading.await.unwrap_or_else(|error| {
            let failed = |owed| (owed, Err(ReadError::Io(io::Error::other(error.to_string()))));
            kept.into_iter().map(failed).collect()
        });
    }

    fn begin(&mut self, owed: Owed, read: Result<Stored, ReadError>) -> Result<(), String> {
        match read {
            Ok(stored) => {
                self.sending = Some(owed.clone());
                self.sender.begin(owed, self.outbox.commands());
                self.outbox.article(&stored);
                self.link.exchange.spend(stored.len);
                Ok(())
            }
            Err(error) => {
                // Our own trouble is not the last word on an article, its absence is. A damaged one is
                // absent: another try reads the same octets, and would hold up the others for ever.
                let fate = match &error {
                    ReadError::Gone => Fate::Gone,
                    ReadError::Corrupt(what) => {
                        error!(target: "feedd::feed", peer = %self.link.peer.name, id = %owed.entry.id, what,
                            "the article is damaged here and the peer does not get it from us");
                        Fate::Gone
                    }
                    ReadError::WouldBlock | ReadError::Io(_) => {
                        warn!(target: "feedd::feed", peer = %self.link.peer.name, id = %owed.entry.id, ?error,
                            "article cannot be read");
                        Fate::Deferred
                    }
                };
                let words = match fate {
                    Fate::Gone => "not in the store any more",
                    _ => "cannot be read now",
                };
                if fate == Fate::Gone {
                    self.link.exchange.name(&owed.entry.id, words);
                }
                self.tell(&owed, words);
                let closed = self.sender.cannot_send(&owed);
                self.answers.push(answer(&owed, fate));
                closed.map_err(|why: Close| why.to_string())
            }
        }
    }

    fn settled(&mut self, owed: &Owed, verdict: Verdict) {
        let fate = match verdict {
            Verdict::Accepted => Fate::Accepted,
            Verdict::Refused => {
                debug!(target: "feedd::feed", peer = %self.link.peer.name, id = %owed.entry.id, "refused");
                Fate::Refused
            }
            Verdict::Deferred => Fate::Deferred,
            Verdict::Rejected(words) => {
                debug!(target: "feedd::feed", peer = %self.link.peer.name, id = %owed.entry.id, %words,
                    "rejected");
                Fate::Rejected
            }
        };
        let reply = self.sender.last_reply();
        if fate == Fate::Rejected {
            self.link.exchange.count_rejected(&owed.entry.id, &reply.words);
        }
        if self.link.means.journals.feeds.is_kept() {
            let (no, name) = (self.no, &self.link.peer.name);
            tell(&mut self.lines, name, no, owed, (reply.command, reply.code, &reply.words));
        }
        self.answered = true;
        self.answers.push(answer(owed, fate));
    }

    /// Writes down what became of an article without a reply.
    fn tell(&mut self, owed: &Owed, words: &str) {
        if self.link.means.journals.feeds.is_kept() {
            tell(&mut self.lines, &self.link.peer.name, self.no, owed, ("-", 0, words));
        }
    }

    /// A large article broke off: it is put off, for the disk may fail again.
    fn cannot_go_on(&mut self, error: &io::Error) -> String {
        if let Some(owed) = &mut self.sending {
            owed.strikes = STRIKES_MAX;
        }
        format!("an article cannot be read to its end: {error}")
    }

    /// Says QUIT and closes, as far as the peer lets us.
    async fn quit(&mut self) {
        self.sender.quit(self.outbox.commands());
        let goodbye = async {
            while let Ok(false) = self.push() {
                if self.transport.writable().await.is_err() {
                    return;
                }
            }
            self.transport.finish().await;
        };
        // The answers are in: whether the peer hears the goodbye changes nothing.
        let _ = timeout(QUIT_PATIENCE, goodbye).await;
    }

    /// Hands in the last answers and gives back what has none.
    fn give_back(mut self, broken: bool) {
        let acceptance = self.sender.acceptance();
        let unread = self.read.into_iter().map(|(owed, _)| owed).chain(self.cold);
        let mut unsettled: Vec<Owed> = self.sender.unsettled().chain(unread).collect();
        if broken {
            if let Some(next) = unsettled.first_mut() {
                next.strikes = next.strikes.saturating_add(1);
            }
            let struck = self.sending.filter(|owed| owed.strikes >= STRIKES_MAX).map(|owed| owed.entry.seq);
            let is_put_off = |owed: &Owed| owed.strikes >= STRIKES_MAX || Some(owed.entry.seq) == struck;
            let (put_off, kept) = unsettled.into_iter().partition(is_put_off);
            unsettled = kept;
            for owed in put_off {
                if self.link.means.journals.feeds.is_kept() {
                    let said = ("-", 0, "connections broke while it was sent");
                    tell(&mut self.lines, &self.link.peer.name, self.no, &owed, said);
                }
                self.answers.push(answer(&owed, Fate::Deferred));
            }
        }
        self.link.means.journals.feeds.append(&mut self.lines);
        self.link.exchange.settle(&mut self.answers, acceptance);
        self.link.exchange.close(self.no, unsettled);
    }
}

/// Writes down what became of an offer: the command, the reply's code and its words.
fn tell(lines: &mut Lines, peer: &str, no: ConnectionNo, owed: &Owed, said: (&str, u16, &str)) {
    let (command, code, words) = said;
    // The command's reply repeats the Message-ID, the line has it already.
    let words = words.strip_prefix(owed.entry.id.as_str()).unwrap_or(words).trim();
    let waited = owed.offered.map_or(Duration::ZERO, |offered| offered.elapsed());
    let replied = Replied {
        at_ms: clock::now().unix_ms(),
        peer,
        seq: owed.entry.seq.0,
        command,
        code,
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        connection: no.0,
        words,
    };
    feeds::replied(lines, &owed.entry.id, &replied);
}

fn answer(owed: &Owed, fate: Fate) -> Answer {
    Answer { seq: owed.entry.seq, fate, octets: owed.octets() }
}

fn read(store: &Store, owed: &Owed, wait: Wait) -> Result<Stored, ReadError> {
    store.read(owed.entry.location, Some(&owed.entry.id), WHOLE_OCTETS, wait)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

async fn woken(wake: Option<&Notify>) {
    match wake {
        Some(wake) => wake.notified().await,
        None => pending().await,
    }
}
