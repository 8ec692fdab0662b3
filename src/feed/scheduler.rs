//! One peer's feed: reads the log from the cursor, hands out what the subscription wants, settles
//! answers, saves the cursor, opens connections and waits between attempts.
//!
//! It is the only writer of the peer's state. It is woken by the log's growth, by answers, by the end
//! of a connection and by its timers; when nothing happens it costs nothing. What it holds is bounded:
//! log entries (not the articles' octets) of what is in flight on the connections, of at most
//! [`READY_ENOUGH`](super::exchange::READY_ENOUGH) and one reading more that wait for one, and the cursor
//! spans at most [`SPAN_MAX`] of them.

use super::Means;
use super::controls::Controls;
use super::cursor::Cursor;
use super::dial::dial;
use super::exchange::{Answer, ConnectionNo, Exchange, Fate, Owed, State};
use super::gate::{Gate, Opening, is_worth_saving, is_young};
use super::mend;
use super::schedule::{Backoff, Deferred};
use super::sender::{self, End, Link};
use super::turn::Turned;
use crate::clock::{self, Timestamp};
use crate::store::{LogEntry, PeerState, ReadError, Seq, Store, Wait};
use crate::transport::apart;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Articles read from the log at a time while it is in memory ...
const READ_MAX: usize = 256;
/// ... and from the disk, where each reading begins with finding the place.
const READ_COLD: usize = 1024;
/// Articles that may be settled behind one that is not before reading pauses.
const SPAN_MAX: usize = 65_536;
/// How often the cursor is saved while it moves.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after the log could not be read.
const LOG_RETRY: Duration = Duration::from_secs(1);
/// How long to do with fewer connections after the peer did not let us have another one.
const EXTRA_PAUSE: Duration = Duration::from_secs(30);

/// What of the log a feed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// From where the peer stands, for ever; that place is kept.
    Onwards,
    /// What stands behind the first and up to the second, and is dated since then, once; the scheduler keeps
    /// nothing of it.
    Between { from: Seq, to: Seq, since: Timestamp },
}

/// The task of one peer.
pub(super) struct Scheduler {
    link: Arc<Link>,
    tip: watch::Receiver<Seq>,
    span: Span,
    /// Somebody may still write to the log.
    may_grow: bool,
    controls: Controls,
    gate: Gate,
    /// What the gate said last.
    is_open: bool,
    /// When it is to be looked at again.
    gate_at: Option<Instant>,
    /// Cancelled when the gate closes: the connections end what they have begun.
    session: CancellationToken,
    cursor: Cursor,
    deferred: Deferred,
    /// Something was settled since the state was saved. Records that are no articles do not count:
    /// the store keeps peers' states in records, and saving them for their own sake would never end.
    unsaved: bool,
    save_at: Instant,
    /// The log is not read before.
    read_at: Option<Instant>,
    connections: JoinSet<End>,
    /// What ends those that the peer has opened.
    turned: Vec<CancellationToken>,
    next_no: u64,
    backoff: Backoff,
    dial_at: Instant,
    extra_at: Instant,
    /// The last failure told; none while connected.
    told: Option<String>,
    connected: bool,
    batch: Vec<Owed>,
    answers: Vec<Answer>,
}

impl Scheduler {
    /// Resumes the peer's feed. A peer without a saved state starts at the end of the log, as in INN,
    /// and that is saved at once: whatever is accepted from now on is owed to it.
    pub(super) fn new(
        store: Store,
        exchange: Arc<Exchange>,
        tip: watch::Receiver<Seq>,
        controls: Controls,
        means: Means,
        gate: Gate,
        span: Span,
    ) -> Self {
        let peer = gate.peer.clone();
        let state = match span {
            Span::Onwards => {
                let state = store.peer_state(&peer.name).unwrap_or_else(|| mend::begin(&store, &peer));
                mend::look_for_gap(&store, &peer.name, state.cursor);
                state
            }
            Span::Between { from, .. } => PeerState { cursor: from, deferred: Vec::new() },
        };
        exchange.report(|reported| {
            reported.cursor = state.cursor;
            reported.read = state.cursor;
            if peer.dial.is_none() {
                reported.state = State::Away;
            }
        });
        let now = Instant::now();
        let stop = controls.stop.clone();
        Self {
            tip,
            span,
            may_grow: true,
            session: controls.stop.child_token(),
            controls,
            gate,
            is_open: true,
            gate_at: None,
            cursor: Cursor::new(state.cursor),
            deferred: Deferred::resume(&state.deferred),
            unsaved: false,
            save_at: now,
            read_at: None,
            connections: JoinSet::new(),
            turned: Vec::new(),
            next_no: 0,
            backoff: Backoff::new(Duration::from_secs(peer.retry_max_s)),
            dial_at: now,
            extra_at: now,
            told: None,
            connected: false,
            batch: Vec::new(),
            answers: Vec::new(),
            link: Arc::new(Link { store, peer, exchange, means, came_in: false, stop }),
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        while !self.controls.stop.is_cancelled() {
            self.settle();
            if self.has_swept() {
                self.controls.stop.cancel();
                break;
            }
            self.take_owed();
            self.look_at_gate();
            if self.is_open {
                self.refill().await;
                self.connect();
            }
            self.save(false);
            self.wait().await;
        }
        self.finish().await;
    }

    /// Is everything settled that it is about?
    fn has_swept(&self) -> bool {
        matches!(self.span, Span::Between { to, .. } if self.cursor.settled() >= to && self.deferred.len() == 0)
    }

    /// The last record that it is about.
    fn end(&self) -> Seq {
        if let Span::Between { to, .. } = self.span { to } else { Seq(u64::MAX) }
    }

    /// What the peer was found to lack is offered as if it had been deferred until now.
    fn take_owed(&mut self) {
        let owed = std::mem::take(&mut *self.controls.owed.lock().unwrap_or_else(PoisonError::into_inner));
        let now = clock::now();
        for seq in owed {
            // It is on its way anyhow.
            if !self.cursor.is_ahead(seq) {
                self.unsaved |= self.deferred.add(seq, now);
            }
        }
        self.report_cursor();
    }

    fn may_read(&self) -> bool {
        self.is_open
            && self.cursor.read() < self.end()
            && self.link.exchange.room() > 0
            && self.cursor.span() < SPAN_MAX
            && self.deferred.len() < Deferred::ENOUGH
            && (self.span == Span::Onwards || self.controls.watched().behind() < SPAN_MAX)
            && self.read_at.is_none_or(|at| at <= Instant::now())
    }

    /// Sleeps until there may be something to do.
    async fn wait(&mut self) {
        let wake_at = self.wake_at();
        let may_read = self.may_read();
        tokio::select! {
            biased;
            grown = self.tip.changed(), if may_read && self.may_grow => {
                // Nobody is left to write to the log: the site is stopping.
                self.may_grow = grown.is_ok();
            }
            () = self.link.exchange.scheduler.notified() => {}
            Some(end) = self.connections.join_next() => {
                self.lost(end.unwrap_or_else(|error| End { useful: false, why: Some(error.to_string()) }));
            }
            () = self.controls.nudge.notified() => {
                self.backoff.reset();
                self.dial_at = Instant::now();
            }
            () = self.controls.stop.cancelled() => {}
            () = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }

    /// The next moment at which a timer is due.
    fn wake_at(&self) -> Option<Instant> {
        let now = Instant::now();
        [
            self.unsaved.then_some(self.save_at),
            (self.is_open && self.connections.is_empty() && self.link.peer.dial.is_some())
                .then_some(self.dial_at),
            self.read_at.filter(|&at| at > now),
            self.deferred.next_due(clock::now()).filter(|_| self.is_open).map(|pause| now + pause),
            self.gate_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    // -- the gate --

    /// Asks whether the peer is sent to now.
    fn look_at_gate(&mut self) {
        let now = Instant::now();
        let (opening, again) = self.gate.look(clock::now(), now);
        self.gate_at = again.map(|pause| now + pause);
        match opening {
            Opening::Open => {
                if !self.is_open {
                    self.is_open = true;
                    self.session = self.controls.stop.child_token();
                    self.backoff.reset();
                    self.dial_at = now;
                }
            }
            Opening::Closed { state, settled } => {
                if self.is_open {
                    self.is_open = false;
                    self.session.cancel();
                    self.turned.iter().for_each(CancellationToken::cancel);
                    self.turned.clear();
                }
                if self.connections.is_empty() {
                    self.take_back();
                    self.link.exchange.report(|reported| reported.state = state);
                    self.follow(settled);
                }
            }
        }
    }

    /// What has been handed out and no connection has taken is as if it had not been read.
    fn take_back(&mut self) {
        if self.cursor.span() == 0 {
            return;
        }
        let now = clock::now();
        for owed in self.link.exchange.take_back() {
            self.deferred.put_back(owed.entry.seq, now);
        }
        self.cursor = Cursor::new(self.cursor.settled());
    }

    /// Where the store thinks that the peer stands.
    fn store_has(&self) -> Seq {
        self.link.store.peer_state(&self.link.peer.name).unwrap_or_default().cursor
    }

    /// A backup is owed only what the other peer has not settled.
    fn follow(&mut self, settled: Option<Seq>) {
        let Some(settled) = settled else { return };
        // What it has put off is not its matter any more either.
        let put_off = self.deferred.settle_up_to(settled);
        if !put_off.is_empty() {
            let mut watched = self.controls.watched();
            watched.seqs.retain(|seq| !put_off.contains(seq));
            drop(watched);
            self.unsaved = true;
            self.report_cursor();
        }
        if settled > self.cursor.read() {
            self.cursor.read_to(settled);
            self.unsaved |= is_worth_saving(self.store_has(), settled);
            self.report_cursor();
        }
    }

    // -- articles --

    /// Takes the answers that have come in.
    fn settle(&mut self) {
        self.link.exchange.collect(&mut self.answers);
        if self.answers.is_empty() {
            return;
        }
        let now = clock::now();
        let mut lost = false;
        let mut watching = self.controls.watched();
        for answer in self.answers.drain(..) {
            if answer.fate == Fate::Deferred {
                self.deferred.defer(answer.seq, now);
            } else {
                if self.deferred.len() > 0 {
                    self.deferred.settle(answer.seq);
                }
                let watched = watching.settle(answer.seq, answer.fate);
                lost |= answer.fate == Fate::Gone && !watched;
            }
            self.cursor.settle(answer.seq);
            self.unsaved = true;
        }
        drop(watching);
        // What a sync has asked for is told by that sync.
        if lost {
            self.lose_articles();
        }
        self.report_cursor();
    }

    /// Articles were damaged or missing here when they were to be offered.
    fn lose_articles(&self) {
        if self.span == Span::Onwards {
            let why = "articles were damaged or missing here when their turn came";
            self.link.store.lose(&self.link.peer.name, why);
        }
    }

    fn report_cursor(&self) {
        self.link.exchange.report(|reported| {
            reported.cursor = self.cursor.settled();
            reported.read = self.cursor.read();
            reported.unsettled = self.cursor.unsettled();
            reported.deferred = self.deferred.len();
            reported.oldest_deferred = self.deferred.oldest();
        });
        if self.span != Span::Onwards {
            let settled = self.cursor.settled();
            let before_deferred = self.deferred.oldest().map(|seq| Seq(seq.0.saturating_sub(1)));
            self.controls.watched().come_to(before_deferred.map_or(settled, |before| before.min(settled)));
        }
    }

    /// Hands out deferred articles that are due, then what is new in the log.
    async fn refill(&mut self) {
        self.refill_deferred().await;
        self.tip.mark_unchanged();
        while self.may_read() {
            let after = self.cursor.read();
            let (entries, next) = match self.read_log(after, READ_MAX).await {
                Ok(read) => read,
                Err(error) => {
                    self.cannot_read_log(&error);
                    break;
                }
            };
            self.read_at = None;
            if next <= after {
                break;
            }
            self.unsaved |= !entries.is_empty();
            let mut young = None;
            for entry in entries {
                if entry.seq > self.end() {
                    break;
                }
                if let Some(pause) = is_young(&self.link.peer, &entry) {
                    young = Some((Seq(entry.seq.0.saturating_sub(1)), pause));
                    break;
                }
                if self.is_owed(&entry) {
                    self.cursor.hand_out(entry.seq);
                    self.batch.push(Owed::new(entry));
                }
            }
            self.cursor.read_to(young.map_or(next, |(before, _)| before).min(self.end()));
            self.link.exchange.put(&mut self.batch);
            if let Some((_, pause)) = young {
                self.read_at = Some(Instant::now() + pause);
                break;
            }
            tokio::task::consume_budget().await;
        }
        self.report_cursor();
    }

    async fn refill_deferred(&mut self) {
        let now = clock::now();
        let mut due = self.link.exchange.room_again();
        while due > 0
            && let Some(seq) = self.deferred.take_due(now)
        {
            due -= 1;
            match self.read_log(Seq(seq.0.saturating_sub(1)), 1).await {
                Ok((mut entries, _)) => {
                    let found = entries.pop().filter(|entry| entry.seq == seq);
                    let gone = found.is_none();
                    match found.filter(|entry| self.is_owed(entry)) {
                        Some(entry) => self.batch.push(Owed::new(entry)),
                        // Lost, or unsubscribed in the meantime.
                        None => {
                            self.deferred.settle(seq);
                            let fate = if gone { Fate::Gone } else { Fate::Refused };
                            let watched = self.controls.watched().settle(seq, fate);
                            self.unsaved = true;
                            if gone && !watched {
                                self.lose_articles();
                            }
                        }
                    }
                }
                Err(error) => {
                    self.deferred.defer(seq, now);
                    self.cannot_read_log(&error);
                }
            }
        }
        self.link.exchange.put_again(&mut self.batch);
    }

    /// Reads the log: from memory at once, from the disk on another thread.
    async fn read_log(&self, after: Seq, max: usize) -> Result<(Vec<Arc<LogEntry>>, Seq), ReadError> {
        match self.link.store.log(after, max, Wait::No) {
            Err(ReadError::WouldBlock) => {
                let (store, peer, span) = (self.link.store.clone(), self.link.peer.clone(), self.span);
                // One that is looked for by its place is wanted alone.
                let max = if max == READ_MAX { READ_COLD } else { max };
                let read = move || {
                    if max == READ_COLD && span == Span::Onwards {
                        return mend::read_on(&store, &peer.name, after, max);
                    }
                    store.log(after, max, Wait::Disk)
                };
                apart(read).await.unwrap_or_else(|error| Err(ReadError::Corrupt(error.to_string())))
            }
            read => read,
        }
    }

    fn cannot_read_log(&mut self, error: &ReadError) {
        warn!(target: "feedd::feed", peer = %self.link.peer.name, ?error, "the log cannot be read");
        self.link.exchange.report(|reported| reported.failed(&format!("reading the log: {error:?}")));
        self.read_at = Some(Instant::now() + LOG_RETRY);
    }

    fn is_owed(&self, entry: &LogEntry) -> bool {
        let dated = !matches!(self.span, Span::Between { since, .. } if entry.date < since);
        dated && super::owed::judge(&self.link.peer, entry).is_ok()
    }

    // -- the cursor on disk --

    fn save(&mut self, at_once: bool) {
        self.unsaved &= self.span == Span::Onwards;
        if self.unsaved && (at_once || self.save_at <= Instant::now()) {
            let state = PeerState { cursor: self.cursor.settled(), deferred: self.deferred.saved() };
            self.unsaved = false;
            self.save_at = Instant::now() + SAVE_EVERY;
            self.link.store.save_peer(&self.link.peer.name, state);
        }
    }

    // -- connections --

    /// Feeds the peer over a connection that it has opened.
    fn take_in(&mut self, turned: Turned) {
        let Turned { transport, stop, ended } = turned;
        self.turned.retain(|stop| !stop.is_cancelled());
        self.turned.push(stop.clone());
        let no = ConnectionNo(self.next_no);
        self.next_no += 1;
        let link = Link { came_in: true, ..self.link.of_session(stop) };
        self.connections.spawn(async move {
            link.exchange.report(|reported| reported.came_in += 1);
            let end = sender::run(&link, no, transport.into()).await;
            link.exchange.report(|reported| reported.came_in -= 1);
            drop(ended);
            end
        });
    }

    /// Opens a connection if one is needed: always one, more while there is more than they can take.
    fn connect(&mut self) {
        for turned in self.controls.came_in.take() {
            self.take_in(turned);
        }
        let peer = &self.link.peer;
        let open = self.link.exchange.connections();
        if open > 0 && !self.connected {
            self.connected = true;
            self.told = None;
            info!(target: "feedd::feed", peer = %peer.name, "connected");
        }
        let needed = if self.connections.is_empty() {
            self.dial_at <= Instant::now()
        } else {
            open == self.connections.len()
                && open < peer.connections
                && self.extra_at <= Instant::now()
                && self.link.exchange.is_short_of_connections()
        };
        let Some(how) = peer.dial.clone().filter(|_| needed) else { return };
        if self.connections.is_empty() {
            self.link.exchange.report(|reported| reported.state = State::Connecting);
        }
        let no = ConnectionNo(self.next_no);
        self.next_no += 1;
        let link = self.link.of_session(self.session.clone());
        self.connections.spawn(async move {
            let means = &link.means;
            match dial(&*means.network, &how, means.certificate.get().as_deref()).await {
                Ok(dialled) => sender::run(&link, no, dialled).await,
                Err(error) => End { useful: false, why: Some(format!("cannot connect: {error}")) },
            }
        });
    }

    /// A connection has ended.
    fn lost(&mut self, end: End) {
        if end.useful {
            self.backoff.reset();
        }
        let last = self.connections.is_empty();
        if let Some(why) = end.why {
            self.link.exchange.report(|reported| reported.failed(&why));
            if !last {
                self.extra_at = Instant::now() + EXTRA_PAUSE;
            } else if self.told.as_ref() != Some(&why) {
                let what = if self.connected { "lost" } else { "not connected" };
                info!(target: "feedd::feed", peer = %self.link.peer.name, %why, "{what}");
                self.told = Some(why);
            }
        }
        if last {
            self.connected = false;
            let mut random = [0];
            // Without randomness the pauses are merely less well spread.
            let _ = crate::random::fill(&mut random);
            let pause = self.backoff.pause(random[0]);
            self.dial_at = Instant::now() + pause;
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let dialled = self.link.peer.dial.is_some();
            let state = if dialled { State::Waiting { pause_ms } } else { State::Away };
            self.link.exchange.report(|reported| reported.state = state);
        }
    }

    /// Lets the connections come to their end, and saves what is settled by then.
    async fn finish(mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.controls.abandon.cancelled() => break,
                ended = self.connections.join_next() => if ended.is_none() { break },
            }
        }
        self.connections.shutdown().await;
        self.settle();
        self.save(true);
        self.link.exchange.report(|reported| reported.state = State::Stopped);
    }
}
