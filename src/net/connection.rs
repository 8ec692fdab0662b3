//! One connection: reads, steps the session, asks store and intake, writes. Everything it holds is
//! bounded: input by the article in flight, output by [`OUTPUT_BYTES_MAX`], replies owed by
//! [`OUTSTANDING_MAX`], their articles by [`OUTSTANDING_BYTES_MAX`] and by the site's budget. At a
//! bound it stops taking commands, so the client's socket fills and the client waits.

use super::door::{Admitted, Entry, Seat};
use super::gate::{Knock, Upgrade, be_turned};
use super::incoming::Guest;
use super::pace::Pace;
use super::settle::{Ledger, Port};
use super::stream::Stream;
use super::{Counters, Service};
use crate::config::Lists;
use crate::limits::{HOARD_BYTES_S, OUTPUT_BYTES_MAX, OUTSTANDING_BYTES_MAX, OUTSTANDING_MAX};
use crate::session::reply;
use crate::session::{Ask, Server, Step, Transfer};
use crate::store::{Group, Outcome, Reservation, Settle};
use crate::transport::Transport;
use bytes::{Bytes, BytesMut};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Octets of the first read on a connection, and the most of one read.
const READ_MIN: usize = 4 * 1024;
const READ_MAX: usize = 256 * 1024;
/// An article being received that outgrows this takes its whole share of the site's budget.
const LARGE: usize = 1024 * 1024;
/// Octets read and sent from files, and commands taken, before others on this thread get a turn: less
/// than a millisecond of CHECK or of large articles.
pub(super) const TURN_OCTETS: usize = 64 * 1024;
const TURN_COMMANDS: usize = 2048;
/// How soon a TAKETHIS is tried again whose article another connection is bringing.
const PARKED_AGAIN: Duration = Duration::from_millis(5);
/// How soon a connection tries again to get its part of the site's budget: there may be thousands.
const STARVED_AGAIN: Duration = Duration::from_millis(50);
/// How long a connection that we close may take to read our last replies and close its side.
const FINISH_MAX: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) service: Arc<Service>,
    pub(super) transport: Transport,
    pub(super) session: Server<Arc<Group>>,
    pub(super) admitted: Admitted,
    pub(super) port: Arc<Port>,
    pub(super) waiter: Arc<dyn Settle>,
    /// The operator's lists as they were when the connection began.
    pub(super) lists: Arc<Lists>,
    pub(super) input: BytesMut,
    pub(super) read_size: usize,
    /// Replies that the client has not taken.
    pub(super) out: Vec<u8>,
    pub(super) ledger: Ledger,
    /// The rest of the answer being given.
    pub(super) stream: Option<Stream>,
    /// A command that waits for the replies owed before it.
    pub(super) asked: Option<Ask>,
    /// The Message-ID that an IHAVE in progress holds.
    pub(super) held: Option<Reservation>,
    /// An article that waits: for the site's budget, or for another connection that brings it too.
    pub(super) parked: Option<Parked>,
    /// KiB of the site's budget that this connection holds for articles owed and being received.
    pub(super) permits: u32,
    pub(super) receiving_permits: u32,
    pub(super) settled: Vec<(u64, Outcome)>,
    /// The site's budget had nothing left for the article being received.
    pub(super) starved: bool,
    pub(super) eof: bool,
    pub(super) closing: bool,
    /// A 400 was said for an article that could not be kept: it is the last reply (RFC 4644 s.2.5.2).
    pub(super) silent: bool,
    /// The session has taken all of `input` that it can; else it may be asked for another step.
    pub(super) hungry: bool,
    /// Something was written that the layers of the transport may still hold.
    pub(super) unflushed: bool,
    /// The door it came in by; none for the operator's import.
    pub(super) entry: Option<Entry>,
    /// A login that is being looked at.
    pub(super) knock: Option<Knock>,
    /// What the connection becomes when everything before has been sent.
    pub(super) upgrade: Option<Upgrade>,
    /// The peer whose it is, from its first offer on.
    pub(super) guest: Option<Guest>,
    /// Its place among its account's connections.
    pub(super) seat: Option<Seat>,
    /// Its place among its peer's connections, from its first offer on.
    pub(super) peer_seat: Option<Seat>,
    /// Its share of the memory that compression takes.
    pub(super) compressed: Option<OwnedSemaphorePermit>,
    pub(super) pace: Pace,
    /// What was done since others on this thread had a turn, as octets.
    pub(super) turn: usize,
}

pub(super) struct Parked {
    pub(super) transfer: Transfer,
    pub(super) article: Bytes,
    pub(super) since: Instant,
}

/// Serves one connection until it ends. `entry` is the door it came in by, and whether TLS begins with
/// the first octet; without one there is no TLS and no login. `alarm` is cancelled when `admitted` may
/// be out of date ([`Door::news`](super::Door::news)), without a door: when the connection shall end.
pub async fn serve(
    transport: Transport,
    service: Arc<Service>,
    admitted: Admitted,
    entry: Option<(Entry, bool)>,
    alarm: CancellationToken,
) {
    let port = Arc::new(Port::default());
    let (entry, tls) = entry.map_or((None, false), |(entry, tls)| (Some(entry), tls));
    let offers = entry.as_ref().map(Entry::offers).unwrap_or_default();
    let lists = service.lists();
    let mut session = Server::new(admitted.rights, service.limits.article_bytes_max).on_channel(offers, tls);
    session.set_lists(lists.there());
    let mut connection = Connection {
        transport,
        session,
        admitted,
        waiter: port.clone(),
        port,
        lists,
        input: BytesMut::new(),
        read_size: READ_MIN,
        out: Vec::new(),
        ledger: Ledger::default(),
        stream: None,
        asked: None,
        held: None,
        parked: None,
        permits: 0,
        receiving_permits: 0,
        settled: Vec::new(),
        starved: false,
        eof: false,
        closing: false,
        silent: false,
        hungry: true,
        unflushed: false,
        entry,
        knock: None,
        upgrade: None,
        guest: None,
        seat: None,
        peer_seat: None,
        compressed: None,
        pace: Pace::default(),
        turn: 0,
        service,
    };
    let mut alarm = alarm;
    match connection.begin_and_run(tls, &mut alarm).await {
        Ok(()) if connection.eof || connection.upgrade.is_some() => {}
        Ok(()) => tokio::select! {
            biased;
            () = connection.transport.finish() => {}
            () = sleep(FINISH_MAX) => {}
            () = connection.service.stop.cancelled() => {}
        },
        Err(error) => tracing::debug!(conn = connection.admitted.name, %error, "connection lost"),
    }
    let long = connection.session.lines_too_long();
    if long > 0 {
        Counters::add(&connection.service.counters.lines_too_long, long.into());
        tracing::info!(conn = connection.admitted.name, lines = long, "sent lines that are too long");
    }
    connection.abandon().await;
    if let (Some(Upgrade::Turn), Some(entry)) = (connection.upgrade, &mut connection.entry) {
        // Apart: what it holds is nothing that every connection has room for.
        let (service, admitted) = (&*connection.service, &connection.admitted);
        Box::pin(be_turned(connection.transport, service, entry, admitted, alarm)).await;
    }
    if connection.peer_seat.is_some() {
        connection.service.counters.connections_peers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    async fn begin_and_run(&mut self, tls: bool, alarm: &mut CancellationToken) -> io::Result<()> {
        if tls {
            self.handshake().await?;
        }
        self.closing = !self.session.greet(&self.service.identity, &mut self.out);
        self.run(alarm).await
    }

    async fn run(&mut self, alarm: &mut CancellationToken) -> io::Result<()> {
        let idle_max = Duration::from_secs(self.service.limits.idle_s);
        let look_every = idle_max.min(self.service.slow_window());
        let mut active = Instant::now();
        let look = sleep_until(active + look_every);
        tokio::pin!(look);
        loop {
            if alarm.is_cancelled() && !self.closing {
                *alarm = self.alarmed();
            }
            self.settle();
            let mut again = self.advance();
            let moved = self.flush()?;
            // Room was made: for the rest of an answer, or for a command that waits.
            again |= moved && (self.stream.is_some() || !self.hungry);
            if moved {
                active = Instant::now();
            }
            if self.all_sent() {
                if self.closing {
                    return Ok(());
                }
                if matches!(self.upgrade, Some(Upgrade::Turn)) {
                    return Ok(());
                }
                if self.upgrade.is_some() {
                    self.become_it().await?;
                    active = Instant::now();
                    continue;
                }
            }
            let read = self.wants_input() && self.read().await?;
            if again || read {
                active = Instant::now();
                // A busy connection must not starve the others on its thread.
                if self.turn >= TURN_OCTETS {
                    self.turn = 0;
                    tokio::task::yield_now().await;
                }
                continue;
            }
            if self.input.is_empty() && self.out.is_empty() {
                // Nothing is going on: hold nothing.
                self.input = BytesMut::new();
                self.out = Vec::new();
                self.read_size = READ_MIN;
            }
            let wants_input = self.wants_input() && !self.starved;
            let sends_file = matches!(self.stream, Some(Stream::File { .. }));
            let unsent = !self.out.is_empty() || sends_file || self.unflushed;
            let parked = self.parked.is_some() || self.starved;
            let again_in = if self.starved { STARVED_AGAIN } else { PARKED_AGAIN };
            let stopping = self.closing;
            let line_begun = wants_input && !self.input.is_empty();
            self.pace.owes((unsent || line_begun) && !parked);
            tokio::select! {
                biased;
                () = alarm.cancelled(), if !stopping => {}
                // Due now and then only: whoever never pauses cannot keep it from its turn.
                () = &mut look => {
                    // A commit or a place that takes this long is our trouble, not the client's silence.
                    if !self.ledger.is_empty() || self.knock.is_some() || parked {
                        active = Instant::now();
                    }
                    if active.elapsed() >= idle_max {
                        return self.time_out();
                    }
                    let octets_s = self.octets_s_min();
                    if self.pace.is_too_slow(octets_s, self.service.slow_window()) {
                        return self.too_slow(octets_s);
                    }
                    look.as_mut().reset((active + idle_max).min(Instant::now() + look_every));
                }
                () = self.port.notify.notified(), if !self.ledger.is_empty() => {}
                login = Knock::answer(&mut self.knock), if self.knock.is_some() => self.let_in(login),
                ready = self.transport.readable(), if wants_input => ready?,
                ready = self.transport.writable(), if unsent => ready?,
                () = sleep(again_in), if parked => continue,
            }
            // What woke us counts as a sign of life when octets of the session's move for it: those of a
            // TLS record that is never whole do not.
        }
    }

    /// May more input be taken now?
    fn wants_input(&self) -> bool {
        self.hungry && !self.eof && !self.closing && self.may_advance()
    }

    /// May another command be taken now?
    fn may_advance(&self) -> bool {
        self.stream.is_none()
            && self.asked.is_none()
            && self.parked.is_none()
            && self.knock.is_none()
            && self.upgrade.is_none()
            && self.ledger.len() < OUTSTANDING_MAX
            && self.ledger.bytes < OUTSTANDING_BYTES_MAX
            && self.out.len() + self.ledger.text_len() < OUTPUT_BYTES_MAX
    }

    /// Has the client everything that it is owed?
    fn all_sent(&self) -> bool {
        self.out.is_empty() && !self.unflushed && self.stream.is_none() && self.ledger.is_empty()
    }

    /// Reads once; false when nothing was there. The end of the stream lets what has been received
    /// be answered.
    async fn read(&mut self) -> io::Result<bool> {
        self.starved = false;
        let have = self.session.receiving();
        if have.is_none() {
            // An article that is too large is only drained.
            self.give_back_receiving();
        }
        if have.is_some_and(|octets| octets > LARGE) && self.receiving_permits == 0 {
            let permits = self.service.permits(self.service.limits.article_bytes_max);
            let Ok(permit) = self.service.budget.try_acquire_many(permits) else {
                // It waits in the client's socket until others are done.
                self.starved = true;
                return Ok(false);
            };
            permit.forget();
            self.receiving_permits = permits;
        }
        // An article that grows is given room for as much again, so that it is moved seldom, but not for
        // more than the largest one takes.
        let article_max = self.service.limits.article_bytes_max.saturating_add(READ_MIN);
        let room = have.map_or(self.read_size, |octets| {
            self.read_size.max(octets.min(article_max.saturating_sub(octets)))
        });
        self.input.reserve(room);
        match self.transport.read_now(&mut self.input).await {
            Ok(0) => {
                self.eof = true;
                Ok(true)
            }
            Ok(count) => {
                self.turn += count;
                self.pace.moved(count);
                if count >= self.read_size {
                    self.read_size = (self.read_size * 2).min(READ_MAX);
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes commands until there is none, or a bound is met. True when something was done that may
    /// let more be done without anything arriving.
    fn advance(&mut self) -> bool {
        if let Some(parked) = self.parked.take() {
            self.submit(parked);
        }
        if self.ledger.is_empty()
            && let Some(ask) = self.asked.take()
        {
            self.read_answer(ask);
        }
        let mut commands = 0;
        let mut filled = false;
        while commands < TURN_COMMANDS {
            filled |= self.fill();
            if !self.may_advance() || self.closing {
                break;
            }
            self.hungry = false;
            let step = self.session.step(&mut self.input, self.ledger.tail(&mut self.out));
            match step {
                Step::Read => {
                    self.hungry = true;
                    self.closing |= self.eof;
                    break;
                }
                Step::Replied => {}
                Step::Close => self.closing = true,
                Step::Received(transfer, received) => self.received(transfer, received),
                Step::Ask(Ask::Check(id)) => self.check(&id),
                Step::Ask(Ask::Ihave(id)) => self.ihave(id),
                Step::StartTls => self.upgrade = Some(Upgrade::Tls),
                Step::Ask(ask) if self.ledger.is_empty() => self.read_answer(ask),
                Step::Ask(ask) => self.asked = Some(ask),
            }
            commands += 1;
        }
        self.turn += commands * (TURN_OCTETS / TURN_COMMANDS);
        Counters::add(&self.service.counters.commands, commands as u64);
        filled || commands > 0
    }

    /// The site stops, or who may do what has changed. What tells of the next change.
    fn alarmed(&mut self) -> CancellationToken {
        if self.service.stop.is_cancelled() || self.entry.is_none() {
            self.send_away("Shutting down");
            return self.service.stop.clone();
        }
        self.judge_again()
    }

    /// No further command; what is owed is given first.
    pub(super) fn send_away(&mut self, why: &str) {
        self.closing = true;
        // Nothing was said about it: it is offered again.
        self.parked = None;
        if self.stream.is_none() && self.asked.is_none() && self.session.receiving().is_none() {
            reply::line(400, why, self.ledger.tail(&mut self.out));
        }
    }

    /// RFC 3977 s.3.1: closed without a word.
    fn time_out(&mut self) -> io::Result<()> {
        Counters::add(&self.service.counters.idle_cut, 1);
        tracing::debug!(conn = self.admitted.name, "cut: idle for too long");
        Err(ErrorKind::TimedOut.into())
    }

    /// How fast the client must be: faster when it holds what others wait for.
    fn octets_s_min(&self) -> u64 {
        let octets_s = self.service.limits.slow_bytes_s;
        let hoards = octets_s > 0 && self.receiving_permits > 0 && self.service.is_short();
        if hoards { octets_s.max(HOARD_BYTES_S) } else { octets_s }
    }

    /// Somebody who drips octets, or takes them so, holds what others need.
    fn too_slow(&mut self, octets_s: u64) -> io::Result<()> {
        Counters::add(&self.service.counters.slow_cut, 1);
        tracing::info!(conn = self.admitted.name, "cut: slower than {octets_s} octets a second");
        if self.out.is_empty() && self.stream.is_none() {
            let _ = self.transport.write(b"400 Too slow\r\n").and_then(|_| self.transport.flush());
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// The connection is gone: articles at the writer are kept all the same; their share of the
    /// budget is given back when they are on disk.
    async fn abandon(&mut self) {
        self.give_back_receiving();
        self.parked = None;
        self.held = None;
        while !self.ledger.is_empty() {
            self.port.notify.notified().await;
            self.settle();
            self.out.clear();
        }
    }
}
