//! One connection: reads, steps the session, asks store and intake, writes. Everything it holds is
//! bounded: input by the article in flight, output by [`OUTPUT_BYTES_MAX`], replies owed by
//! [`OUTSTANDING_MAX`], their articles by [`OUTSTANDING_BYTES_MAX`] and by the site's budget. At a
//! bound it stops taking commands, so the client's socket fills and the client waits.

use super::settle::{Ledger, Owed, Port};
use super::stream::Stream;
use super::{Counters, Service, Transport, blocking, reading};
use crate::agent::{Cause, Reason};
use crate::article::MessageId;
use crate::clock;
use crate::config::Lists;
use crate::intake::{self, Offer, Origin, newslog};
use crate::limits::{OUTPUT_BYTES_MAX, OUTSTANDING_BYTES_MAX, OUTSTANDING_MAX};
use crate::session::reply::{self, Answer};
use crate::session::{Ask, Received, Rights, Server, Step, Transfer, Via};
use crate::store::{Group, Outcome, ReadError, Reservation, Settle};
use bytes::{Bytes, BytesMut};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Octets of the first read on a connection, and the most of one read.
const READ_MIN: usize = 4 * 1024;
const READ_MAX: usize = 256 * 1024;
/// An article being received that outgrows this takes its whole share of the site's budget.
const LARGE: usize = 1024 * 1024;
/// Octets of a file sent before anybody else on this thread gets a turn.
const FILE_PIECE: usize = 1024 * 1024;
/// Octets read and sent from files, and commands taken, before others on this thread get a turn: less
/// than a millisecond of CHECK or of large articles.
const TURN_OCTETS: usize = 64 * 1024;
const TURN_COMMANDS: usize = 2048;
/// How soon a TAKETHIS is tried again whose article another connection is bringing, and how long.
const PARKED_AGAIN: Duration = Duration::from_millis(5);
const PARKED_MAX: Duration = Duration::from_secs(30);
/// How long a connection that we close may take to read our last replies and close its side.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// What an address may do, and as whom.
#[derive(Clone)]
pub struct Admitted {
    /// What it may do.
    pub rights: Rights,
    /// Whom it relays for (IHAVE, TAKETHIS); none when it may not.
    pub relay: Option<Origin>,
    /// Who it is when it posts.
    pub poster: Origin,
    /// Its name in the log.
    pub name: String,
}

struct Connection {
    service: Arc<Service>,
    transport: Transport,
    session: Server<Arc<Group>>,
    admitted: Admitted,
    port: Arc<Port>,
    waiter: Arc<dyn Settle>,
    lists: Arc<Lists>,
    input: BytesMut,
    read_size: usize,
    /// Replies that the client has not taken.
    out: Vec<u8>,
    ledger: Ledger,
    /// The rest of the answer being given.
    stream: Option<Stream>,
    /// A command that waits for the replies owed before it.
    asked: Option<Ask>,
    /// The Message-ID that an IHAVE in progress holds.
    held: Option<Reservation>,
    /// An article that waits: for the site's budget, or for another connection that brings it too.
    parked: Option<Parked>,
    /// KiB of the site's budget that this connection holds for articles owed and being received.
    permits: u32,
    receiving_permits: u32,
    settled: Vec<(u64, Outcome)>,
    /// The site's budget had nothing left for the article being received.
    starved: bool,
    eof: bool,
    closing: bool,
    /// A 400 was said for an article that could not be kept: it is the last reply (RFC 4644 s.2.5.2).
    silent: bool,
    /// The session has taken all of `input` that it can; else it may be asked for another step.
    hungry: bool,
    /// What was done since others on this thread had a turn, as octets.
    turn: usize,
}

struct Parked {
    transfer: Transfer,
    article: Bytes,
    since: Instant,
}

/// Serves one connection until it ends.
pub async fn serve(transport: Transport, service: Arc<Service>, admitted: Admitted) {
    let port = Arc::new(Port::default());
    let mut session = Server::new(admitted.rights, service.limits.article_bytes_max);
    let lists = service.lists();
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
        turn: 0,
        service,
    };
    connection.session.greet(&connection.service.identity, &mut connection.out);
    connection.closing = connection.admitted.rights == Rights::default();
    match connection.run().await {
        Ok(()) if connection.eof => {}
        Ok(()) => tokio::select! {
            () = connection.transport.finish() => {}
            () = sleep(FINISH_MAX) => {}
            () = connection.service.stop.cancelled() => {}
        },
        Err(error) => tracing::debug!(conn = connection.admitted.name, %error, "connection lost"),
    }
    connection.abandon().await;
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        let idle_max = Duration::from_secs(self.service.limits.idle_s);
        let mut active = Instant::now();
        let idle = sleep_until(active + idle_max);
        tokio::pin!(idle);
        let stop = self.service.stop.clone();
        loop {
            if stop.is_cancelled() && !self.closing {
                self.stop();
            }
            self.settle();
            let mut again = self.advance();
            let moved = self.flush()?;
            // Room was made: for the rest of an answer, or for a command that waits.
            again |= moved && (self.stream.is_some() || !self.hungry);
            if self.closing && self.out.is_empty() && self.stream.is_none() && self.ledger.is_empty() {
                return Ok(());
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
            let unsent = !self.out.is_empty() || matches!(self.stream, Some(Stream::File { .. }));
            let parked = self.parked.is_some() || self.starved;
            let stopping = self.closing;
            tokio::select! {
                ready = self.transport.readable(), if wants_input => ready?,
                ready = self.transport.writable(), if unsent => ready?,
                () = self.port.notify.notified(), if !self.ledger.is_empty() => {}
                () = sleep(PARKED_AGAIN), if parked => continue,
                () = stop.cancelled(), if !stopping => {}
                () = &mut idle => {
                    if active.elapsed() >= idle_max {
                        // A commit that takes this long is our trouble, not the client's silence.
                        if self.ledger.is_empty() {
                            // RFC 3977 s.3.1: without a word.
                            return Err(ErrorKind::TimedOut.into());
                        }
                        active = Instant::now();
                    }
                    idle.as_mut().reset(active + idle_max);
                    continue;
                }
            }
            active = Instant::now();
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
            && self.ledger.len() < OUTSTANDING_MAX
            && self.ledger.bytes < OUTSTANDING_BYTES_MAX
            && self.out.len() + self.ledger.text_len() < OUTPUT_BYTES_MAX
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
                Step::Ask(ask) if self.ledger.is_empty() => self.read_answer(ask),
                Step::Ask(ask) => self.asked = Some(ask),
            }
            commands += 1;
        }
        self.turn += commands * (TURN_OCTETS / TURN_COMMANDS);
        Counters::add(&self.service.counters.commands, commands as u64);
        filled || commands > 0
    }

    fn check(&mut self, id: &MessageId) {
        let Some(origin) = &self.admitted.relay else { return };
        let offer = self.service.intake.offer(origin, id);
        let out = self.ledger.tail(&mut self.out);
        match &offer {
            Offer::Wanted(_) => reply::check(id, Ok(()), out),
            Offer::Refused(reason) => reply::check(id, Err(Ok(reason)), out),
            Offer::Deferred(cause) => reply::check(id, Err(Err(cause)), out),
        }
    }

    fn ihave(&mut self, id: MessageId) {
        let Some(origin) = &self.admitted.relay else { return };
        let offer = self.service.intake.offer(origin, &id);
        let out = self.ledger.tail(&mut self.out);
        match offer {
            Offer::Wanted(held) => {
                self.held = Some(held);
                self.session.answer_ihave_wanted(id, out);
            }
            Offer::Refused(reason) => reply::ihave_unwanted(Ok(&reason), out),
            Offer::Deferred(cause) => reply::ihave_unwanted(Err(&cause), out),
        }
    }

    fn received(&mut self, transfer: Transfer, received: Received) {
        self.give_back_receiving();
        match received {
            Received::Article(article) => {
                self.submit(Parked { transfer, article, since: Instant::now() });
            }
            Received::TooLarge(bytes) => {
                let reason = Reason::TooLarge { bytes, max: self.service.limits.article_bytes_max };
                self.unread(&transfer, &reason);
            }
            Received::BadMessageId => {
                let reason = Reason::BadField { field: "Message-ID", why: "not a message-id" };
                self.unread(&transfer, &reason);
            }
        }
    }

    /// Hands an article to the intake, or parks it.
    fn submit(&mut self, article: Parked) {
        let Parked { transfer, article, since } = article;
        let len = article.len();
        let permits = self.service.permits(len);
        let Ok(permit) = self.service.budget.try_acquire_many(permits) else {
            self.parked = Some(Parked { transfer, article, since });
            return;
        };
        permit.forget();
        self.permits += permits;
        let tag = self.ledger.next_tag();
        let intake = &self.service.intake;
        let received = match (transfer.via, &transfer.id, &self.admitted.relay) {
            (Via::Post, _, _) => intake.inject(&self.admitted.poster, article.clone(), &self.waiter, tag),
            (_, Some(id), Some(origin)) => {
                // TAKETHIS brings none: what an IHAVE holds is for its own article.
                let held = self.held.take_if(|_| transfer.via == Via::Ihave);
                let relay = || intake.relay(origin, id, article.clone(), held, &self.waiter, tag);
                // An import may create newsgroups, which waits for the disk.
                if matches!(origin, Origin::Import { .. }) { blocking(relay) } else { relay() }
            }
            // The session lets nobody transfer who may not offer.
            _ => intake::Received::Rejected(Reason::NotPermitted("offering")),
        };
        match received {
            intake::Received::Queued(id) => {
                self.ledger.push(Owed { transfer, id, len, outcome: None, after: Vec::new() });
                return;
            }
            intake::Received::Rejected(reason) => self.rejected(&transfer, &reason),
            intake::Received::Deferred(Cause::Pending)
                if transfer.via == Via::TakeThis && since.elapsed() < PARKED_MAX =>
            {
                // TAKETHIS knows no "later": wait until the other connection has it or has failed.
                self.parked = Some(Parked { transfer, article, since });
            }
            intake::Received::Deferred(cause) => self.deferred(&transfer, &cause),
        }
        self.release(len);
    }

    /// Rejects what the intake has never seen.
    fn unread(&mut self, transfer: &Transfer, reason: &Reason) {
        self.held = None;
        newslog::rejected(
            clock::now(),
            &self.admitted.name,
            transfer.id.as_ref(),
            reply::rejection(transfer.via),
            reason,
        );
        self.rejected(transfer, reason);
    }

    fn rejected(&mut self, transfer: &Transfer, reason: &Reason) {
        Counters::add(&self.service.counters.rejected, 1);
        reply::transfer(transfer, &Answer::Rejected(reason), self.ledger.tail(&mut self.out));
    }

    fn deferred(&mut self, transfer: &Transfer, cause: &Cause) {
        Counters::add(&self.service.counters.deferred, 1);
        tracing::debug!(conn = self.admitted.name, %cause, "deferred");
        self.closing |= reply::transfer(transfer, &Answer::Deferred(cause), self.ledger.tail(&mut self.out));
    }

    fn give_back_receiving(&mut self) {
        let permits = std::mem::take(&mut self.receiving_permits);
        self.service.budget.add_permits(permits as usize);
    }

    fn release(&mut self, octets: usize) {
        let permits = self.service.permits(octets);
        self.permits -= permits;
        self.service.budget.add_permits(permits as usize);
    }

    /// Gives the replies whose articles are on disk.
    fn settle(&mut self) {
        if self.ledger.is_empty() {
            return;
        }
        self.port.drain(&mut self.settled);
        for (tag, outcome) in self.settled.drain(..) {
            self.ledger.settle(tag, outcome);
        }
        let mut permits = 0;
        let now = clock::now();
        let name = &self.admitted.name;
        while let Some((owed, outcome)) = self.ledger.pop() {
            permits += self.service.permits(owed.len);
            if self.silent {
                continue;
            }
            let close = match &outcome {
                Outcome::Accepted(_) => {
                    Counters::add(&self.service.counters.accepted, 1);
                    newslog::accepted(now, name, &owed.id, owed.len, &[]);
                    reply::transfer(&owed.transfer, &Answer::Kept(&owed.id), &mut self.out)
                }
                Outcome::Duplicate => {
                    Counters::add(&self.service.counters.rejected, 1);
                    let code = reply::rejection(owed.transfer.via);
                    newslog::rejected(now, name, Some(&owed.id), code, &Reason::Duplicate);
                    reply::transfer(&owed.transfer, &Answer::Rejected(&Reason::Duplicate), &mut self.out)
                }
                Outcome::Failed(why) => {
                    Counters::add(&self.service.counters.deferred, 1);
                    let cause = Cause::Store(why.clone());
                    reply::transfer(&owed.transfer, &Answer::Deferred(&cause), &mut self.out)
                }
            };
            if close {
                (self.closing, self.silent) = (true, true);
                (self.asked, self.parked) = (None, None);
            } else {
                self.out.extend_from_slice(&owed.after);
            }
        }
        self.permits -= permits;
        self.service.budget.add_permits(permits as usize);
    }

    fn read_answer(&mut self, ask: Ask) {
        let before = self.out.len();
        match reading::answer(&self.service, &self.lists, &mut self.session, ask, &mut self.out) {
            Ok(stream) => self.stream = stream,
            Err(error) => {
                self.out.truncate(before);
                self.fault(&error);
            }
        }
    }

    /// Our own trouble with a read: 403 (RFC 3977 s.3.2.1), and the operator is told.
    fn fault(&mut self, error: &ReadError) {
        tracing::error!(conn = self.admitted.name, ?error, "cannot read");
        reply::line(403, "Internal fault, the operator has been told", &mut self.out);
    }

    /// Produces one piece more of the answer being given, if there is room. True when it did.
    fn fill(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        if matches!(stream, Stream::File { .. }) || self.out.len() >= OUTPUT_BYTES_MAX {
            return false;
        }
        // Looking may take long and find nothing to say.
        self.turn += TURN_OCTETS / 4;
        match stream.fill(&self.service.store, &mut self.out) {
            Ok(false) => {}
            Ok(true) => self.stream = None,
            Err(error) => {
                // In the middle of a block there is no way to say so but to end the connection.
                tracing::error!(conn = self.admitted.name, ?error, "cannot read");
                self.stream = None;
                self.closing = true;
            }
        }
        true
    }

    /// Writes what the socket takes, and drops it: `out` holds no more than the client has not taken.
    /// True when something was written.
    fn flush(&mut self) -> io::Result<bool> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.transport.try_write(&self.out[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.out.drain(..sent);
                    return Ok(sent > 0);
                }
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        Ok((sent > 0) | self.send_file()?)
    }

    fn send_file(&mut self) -> io::Result<bool> {
        let Some(Stream::File { file, offset, remaining, tail }) = &mut self.stream else {
            return Ok(false);
        };
        let mut budget = FILE_PIECE;
        let mut moved = false;
        while *remaining > 0 && budget > 0 {
            let count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(budget);
            let sent = if in_memory(file, *offset, count) {
                self.transport.try_send_file(file, *offset, count)
            } else {
                blocking(|| self.transport.try_send_file(file, *offset, count))
            };
            match sent {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    *offset += count as u64;
                    *remaining -= count as u64;
                    budget = budget.saturating_sub(count);
                    self.turn += count;
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(moved),
                Err(error) => return Err(error),
            }
        }
        if *remaining == 0 {
            self.out.extend_from_slice(tail);
            self.stream = None;
            moved = true;
        }
        Ok(moved)
    }

    /// The site stops: no further command; what is owed is given first.
    fn stop(&mut self) {
        self.closing = true;
        // Nothing was said about it: it is offered again.
        self.parked = None;
        if self.stream.is_none() && self.asked.is_none() && self.session.receiving().is_none() {
            reply::line(400, "Shutting down", self.ledger.tail(&mut self.out));
        }
    }

    /// The connection is gone: articles at the writer are kept all the same; their share of the
    /// budget is given back when they are on disk.
    async fn abandon(mut self) {
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

/// Are the first and the last octet of this piece of a file in the page cache? A guess, but a wrong
/// one costs other tasks of this thread one wait for the disk, no more.
fn in_memory(file: &std::fs::File, offset: u64, count: usize) -> bool {
    let last = offset + count.saturating_sub(1) as u64;
    [offset, last].into_iter().all(|at| {
        let mut octet = [0u8; 1];
        let mut slices = [io::IoSliceMut::new(&mut octet)];
        rustix::io::preadv2(file, &mut slices, at, rustix::io::ReadWriteFlags::NOWAIT).is_ok()
    })
}
