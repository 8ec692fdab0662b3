//! Where the scheduler of a peer and its connections meet: articles owed go out, answers come back,
//! both in batches under one short lock. Nothing here waits.
//!
//! Articles go to the connection that was opened first as long as it is ready for more, so that with
//! little traffic one connection carries everything, in order; others get what it cannot take.
//!
//! The queue is short: the scheduler fills it up when connections have emptied it, so that what a feed
//! holds is what is in flight and a few hundred articles, whatever the window.

use super::again::Again;
use super::rate::Rate;
use crate::article::MessageId;
use crate::clock::{self, Timestamp};
use crate::journal::figures::{Given, Meter, Reasons};
use crate::session::sender::{Acceptance, Offered};
use crate::store::{LogEntry, Seq};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Articles that wait for a connection before the log is read no further ...
pub(super) const READY_ENOUGH: usize = 1024;
/// ... until no more than so many wait.
const READY_FEW: usize = 512;
/// Octets of articles that wait while all connections are busy, for which another one is opened even if
/// the articles are few.
const READY_OCTETS: usize = 16 * 1024 * 1024;

/// Articles that are kept by their Message-IDs of those that a peer does not take.
const NAMED_MAX: usize = 20;

/// An article the peer is owed.
#[derive(Clone)]
pub(super) struct Owed {
    pub(super) entry: Arc<LogEntry>,
    /// How many connections were lost while this article's answer was the next one due.
    pub(super) strikes: u8,
    /// When a connection took it to offer it.
    pub(super) offered: Option<Instant>,
}

impl Owed {
    /// An article that has not been offered yet.
    pub(super) fn new(entry: Arc<LogEntry>) -> Self {
        Self { entry, strikes: 0, offered: None }
    }
}

impl Offered for Owed {
    fn message_id(&self) -> &MessageId {
        &self.entry.id
    }

    fn octets(&self) -> usize {
        self.entry.len
    }
}

/// What became of an article with this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Transferred (239, 235).
    Accepted,
    /// Not wanted (438, 435).
    Refused,
    /// Transferred and rejected (439, 437).
    Rejected,
    /// Not in the store any more, or damaged there.
    Gone,
    /// To be offered again later.
    Deferred,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) seq: Seq,
    pub(super) fate: Fate,
    /// Octets of the article.
    pub(super) octets: usize,
}

/// Running totals, as the operator sees them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) offered: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) rejected: u64,
    pub(super) deferred: u64,
    pub(super) gone: u64,
    pub(super) bytes: u64,
}

/// What the feed is doing, for [`super::FeedStatus`].
#[derive(Clone, Debug, Default)]
pub(super) struct Reported {
    pub(super) state: State,
    pub(super) cursor: Seq,
    /// The log has been read up to here.
    pub(super) read: Seq,
    /// Articles handed out and not settled.
    pub(super) unsettled: usize,
    /// Articles that the peer deferred, and the oldest of them.
    pub(super) deferred: usize,
    pub(super) oldest_deferred: Option<Seq>,
    pub(super) last_error: String,
    /// When that was.
    pub(super) last_error_at: Option<Timestamp>,
    /// The connection opened last is over TLS.
    pub(super) tls: bool,
    /// How many of the connections the peer has opened.
    pub(super) came_in: usize,
}

impl Reported {
    /// Something went wrong.
    pub(super) fn failed(&mut self, what: &str) {
        what.clone_into(&mut self.last_error);
        self.last_error_at = Some(clock::now());
    }
}

/// The state of the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Connecting,
    /// Streaming or by IHAVE.
    Connected {
        streaming: bool,
    },
    /// The next attempt comes in so many milliseconds after the pause began.
    Waiting {
        pause_ms: u64,
    },
    /// It is not dialled, and has no connection open that it is fed over.
    Away,
    /// Outside its schedule, until this time of the week.
    Closed {
        until: String,
    },
    /// The other peer that it is a backup of can be reached.
    Standby {
        of: String,
    },
    /// It is fed by files, at least so many seconds apart.
    Batches {
        every_s: u64,
    },
    Stopped,
}

/// A connection's number, ascending in the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionNo(pub(super) u64);

#[derive(Default)]
struct Inner {
    queue: VecDeque<Owed>,
    again: Again,
    answers: Vec<Answer>,
    /// Connections that take articles, in the order of opening.
    connections: Vec<Slot>,
    totals: Totals,
    acceptance: Acceptance,
    reported: Reported,
    /// Why the peer rejected articles.
    reasons: Reasons,
    /// Some of those, and of what is gone here: Message-ID and why.
    named: Vec<String>,
    /// What it accepts.
    meter: Meter,
    /// Since when a connection takes articles; none: none does.
    connected: Option<Timestamp>,
    /// What bounds the octets a second, if anything does.
    rate: Option<Arc<Mutex<Rate>>>,
}

/// How a peer stands, for its backup.
pub(super) struct Standing {
    /// It is to be reached, and cannot.
    pub(super) is_down: bool,
    /// Everything up to here is settled.
    pub(super) cursor: Seq,
}

struct Slot {
    no: ConnectionNo,
    wake: Arc<Notify>,
    /// It has room and found nothing to take.
    idle: bool,
}

/// The exchange of one peer.
#[derive(Default)]
pub(super) struct Exchange {
    inner: Mutex<Inner>,
    /// Answers, or a connection that became ready: the scheduler has something to do.
    pub(super) scheduler: Notify,
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock is complete in itself, so a poisoned lock is still good.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // -- the scheduler's side --

    /// Puts articles behind those that wait. `batch` is left empty.
    pub(super) fn put(&self, batch: &mut Vec<Owed>) {
        if batch.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.queue.extend(batch.drain(..));
        inner.wake_for_queue();
    }

    /// Puts articles that are offered again behind those that wait. `batch` is left empty.
    pub(super) fn put_again(&self, batch: &mut Vec<Owed>) {
        if batch.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.again.put(batch);
        inner.wake_for_queue();
    }

    /// Takes the answers that have come in, into `answers`, which is empty.
    pub(super) fn collect(&self, answers: &mut Vec<Answer>) {
        std::mem::swap(&mut self.lock().answers, answers);
    }

    /// How many more articles are wanted to wait for a connection.
    pub(super) fn room(&self) -> usize {
        READY_ENOUGH.saturating_sub(self.lock().queue.len())
    }

    /// The same of those that are offered again.
    pub(super) fn room_again(&self) -> usize {
        READY_ENOUGH.saturating_sub(self.lock().again.len())
    }

    /// Are all connections busy while articles wait?
    pub(super) fn is_short_of_connections(&self) -> bool {
        let inner = self.lock();
        inner.connections.iter().all(|slot| !slot.idle)
            && (inner.waiting() > READY_FEW
                || inner.queue.iter().chain(inner.again.waiting()).map(Owed::octets).sum::<usize>()
                    > READY_OCTETS)
    }

    /// Takes back what no connection has taken.
    pub(super) fn take_back(&self) -> VecDeque<Owed> {
        let mut inner = self.lock();
        let mut all = std::mem::take(&mut inner.queue);
        all.append(&mut inner.again.take_back());
        all
    }

    /// Bounds what is sent to so many octets a second, from now on.
    pub(super) fn set_rate(&self, octets_s: Option<u64>) {
        let rate = octets_s.map(|octets_s| Arc::new(Mutex::new(Rate::new(octets_s, Instant::now()))));
        self.lock().rate = rate;
    }

    /// An exchange beside this one for offering again, with the same peer: one bound for the octets of both.
    /// The peer is always asked first.
    pub(super) fn beside(&self) -> Self {
        let rate = self.lock().rate.clone();
        let inner = Inner { rate, acceptance: Acceptance::asking(), ..Inner::default() };
        Self { inner: Mutex::new(inner), ..Self::default() }
    }

    /// How it stands, for a backup.
    pub(super) fn standing(&self) -> Standing {
        let inner = self.lock();
        let state = &inner.reported.state;
        let idle = matches!(state, State::Closed { .. } | State::Standby { .. } | State::Batches { .. });
        Standing { is_down: inner.connections.is_empty() && !idle, cursor: inner.reported.cursor }
    }

    /// So many articles of so many octets have been written into files: nobody answers those.
    pub(super) fn count_written(&self, articles: u64, octets: u64) {
        let mut inner = self.lock();
        inner.totals.offered += articles;
        inner.totals.accepted += articles;
        inner.totals.bytes = inner.totals.bytes.saturating_add(octets);
        if articles > 0 {
            inner.meter.add(clock::now(), articles, octets);
        }
    }

    // -- a connection's side --

    /// How long to wait before anything is sent; none: now.
    pub(super) fn wait(&self) -> Option<Duration> {
        let rate = self.lock().rate.clone()?;
        rate.lock().unwrap_or_else(PoisonError::into_inner).wait(Instant::now())
    }

    /// So many octets are sent.
    pub(super) fn spend(&self, octets: usize) {
        if let Some(rate) = &self.lock().rate {
            rate.lock().unwrap_or_else(PoisonError::into_inner).spend(octets);
        }
    }

    /// A connection takes articles from now on.
    pub(super) fn open(&self, no: ConnectionNo, streaming: bool) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let mut inner = self.lock();
        let at = inner.connections.partition_point(|slot| slot.no < no);
        inner.connections.insert(at, Slot { no, wake: wake.clone(), idle: false });
        inner.reported.state = State::Connected { streaming };
        inner.connected.get_or_insert_with(clock::now);
        self.scheduler.notify_one();
        wake
    }

    /// A connection takes no more. What it had not settled goes back to the front, in the order of
    /// the log.
    pub(super) fn close(&self, no: ConnectionNo, mut unsettled: Vec<Owed>) {
        unsettled.sort_unstable_by_key(|owed| std::cmp::Reverse(owed.entry.seq));
        let mut inner = self.lock();
        inner.connections.retain(|slot| slot.no != no);
        if inner.connections.is_empty() {
            inner.connected = None;
        }
        for owed in unsettled {
            if let Some(owed) = inner.again.give_back(owed) {
                inner.queue.push_front(owed);
            }
        }
        inner.wake_for_queue();
    }

    /// Takes up to `room` articles into `batch`; when there are none, the connection is idle and will
    /// be woken.
    pub(super) fn take(&self, no: ConnectionNo, room: usize, batch: &mut Vec<Owed>) {
        let mut inner = self.lock();
        let before = (inner.queue.len(), inner.again.len());
        let already = batch.len();
        inner.share(room.min(before.0 + before.1), batch);
        let take = batch.len() - already;
        inner.totals.offered += take as u64;
        if let Some(slot) = inner.connections.iter_mut().find(|slot| slot.no == no) {
            slot.idle = take == 0;
        }
        let low = |before: usize, now: usize| before > READY_FEW && now <= READY_FEW;
        let runs_low = low(before.0, inner.queue.len()) || low(before.1, inner.again.len());
        drop(inner);
        if runs_low {
            self.scheduler.notify_one();
        }
    }

    /// Hands in answers; `answers` is left empty.
    pub(super) fn settle(&self, answers: &mut Vec<Answer>, acceptance: Acceptance) {
        if answers.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let before = inner.totals;
        for answer in answers.iter() {
            inner.totals.count(*answer);
        }
        let (articles, bytes) = (inner.totals.accepted - before.accepted, inner.totals.bytes - before.bytes);
        if articles > 0 {
            inner.meter.add(clock::now(), articles, bytes);
        }
        inner.acceptance = acceptance;
        if answers.iter().fold(false, |any, answer| inner.again.answered(answer.seq) | any) {
            inner.wake_for_queue();
        }
        inner.answers.append(answers);
        drop(inner);
        self.scheduler.notify_one();
    }

    /// Is this the oldest connection? It stays open when there is nothing to do.
    pub(super) fn is_oldest(&self, no: ConnectionNo) -> bool {
        self.lock().connections.first().is_none_or(|slot| slot.no == no)
    }

    /// What earlier connections have learned of the peer.
    pub(super) fn acceptance(&self) -> Acceptance {
        self.lock().acceptance
    }

    // -- figures --

    /// The peer rejected an article with these words.
    pub(super) fn count_rejected(&self, id: &MessageId, words: &str) {
        self.lock().reasons.count(words);
        self.name(id, words);
    }

    /// This article does not come to the peer, and why; the first ones are kept.
    pub(super) fn name(&self, id: &MessageId, why: &str) {
        let mut inner = self.lock();
        if inner.named.len() < NAMED_MAX {
            inner.named.push(format!("{id} {why}"));
        }
    }

    /// What [`Exchange::name`] has kept.
    pub(super) fn named(&self) -> Vec<String> {
        self.lock().named.clone()
    }

    /// Why the peer rejected articles; what it accepts in a second: articles and octets; since when it
    /// has been connected.
    pub(super) fn details(&self) -> (Vec<Given>, (f64, f64), Option<Timestamp>) {
        let inner = self.lock();
        (inner.reasons.all(), inner.meter.rates(clock::now()), inner.connected)
    }

    /// How many connections take articles.
    pub(super) fn connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// Changes what is reported.
    pub(super) fn report(&self, change: impl FnOnce(&mut Reported)) {
        change(&mut self.lock().reported);
    }

    /// Totals, what is reported, how many connections are open, and if articles are sent unasked.
    pub(super) fn figures(&self) -> (Totals, Reported, usize, bool) {
        let inner = self.lock();
        (inner.totals, inner.reported.clone(), inner.connections.len(), inner.acceptance.straight())
    }
}

impl Inner {
    /// How many articles wait for a connection.
    fn waiting(&self) -> usize {
        self.queue.len() + self.again.len()
    }

    /// Takes so many in turns from both.
    fn share(&mut self, take: usize, batch: &mut Vec<Owed>) {
        if self.again.len() == 0 {
            batch.extend(self.queue.drain(..take.min(self.queue.len())));
            return;
        }
        let rates = self.meter.rates(clock::now());
        let end = batch.len() + take;
        while batch.len() < end {
            let before = batch.len();
            batch.extend(self.queue.pop_front());
            if batch.len() < end {
                batch.extend(self.again.take(rates));
            }
            if batch.len() == before {
                return;
            }
        }
    }

    /// Wakes the oldest idle connection, and more of them the more articles wait.
    fn wake_for_queue(&mut self) {
        /// What one connection is given before a second one is woken.
        const SHARE: usize = 64;
        let wanted = self.waiting().div_ceil(SHARE);
        for slot in self.connections.iter_mut().filter(|slot| slot.idle).take(wanted) {
            slot.idle = false;
            slot.wake.notify_one();
        }
    }
}

impl Totals {
    fn count(&mut self, answer: Answer) {
        match answer.fate {
            Fate::Accepted => {
                self.accepted += 1;
                self.bytes = self.bytes.saturating_add(answer.octets as u64);
            }
            Fate::Refused => self.refused += 1,
            Fate::Rejected => self.rejected += 1,
            Fate::Gone => self.gone += 1,
            Fate::Deferred => self.deferred += 1,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::ArticleKind;
    use crate::clock::Timestamp;
    use crate::store::Location;

    fn owed(seq: u64, len: usize) -> Owed {
        let entry = LogEntry {
            seq: Seq(seq),
            location: Location { segment: 0, offset: 0 },
            id: MessageId::try_from(format!("<{seq}@example.com>").as_str()).unwrap(),
            newsgroups: "local.test".to_owned(),
            distribution: String::new(),
            kind: ArticleKind::Text,
            kept: false,
            numbers: String::new(),
            path: Vec::new(),
            source: String::new(),
            len,
            date: Timestamp::from_unix_s(0),
            arrived: Timestamp::from_unix_s(0),
        };
        Owed::new(Arc::new(entry))
    }

    /// Has the scheduler been told, since the last time?
    async fn told(exchange: &Exchange) -> bool {
        tokio::select! {
            biased;
            () = exchange.scheduler.notified() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn the_scheduler_is_told_once_when_few_are_left() {
        let exchange = Exchange::default();
        exchange.open(ConnectionNo(1), true);
        assert!(told(&exchange).await, "a connection is ready");
        exchange.put(&mut (0..READY_ENOUGH as u64).map(|seq| owed(seq, 2000)).collect());
        assert_eq!(exchange.room(), 0);
        let mut taken = Vec::new();
        exchange.take(ConnectionNo(1), READY_ENOUGH - READY_FEW - 1, &mut taken);
        assert!(!told(&exchange).await, "there are enough");
        exchange.take(ConnectionNo(1), 1, &mut taken);
        assert!(told(&exchange).await, "there are few");
        exchange.take(ConnectionNo(1), 1, &mut taken);
        assert!(!told(&exchange).await, "it knows");
        assert_eq!(exchange.room(), taken.len());
        assert!(taken.iter().map(|owed| owed.entry.seq.0).eq(0..taken.len() as u64), "in order");
    }

    #[test]
    fn another_connection_is_for_many_articles_or_large_ones_that_wait() {
        for (count, octets, short) in
            [(READY_FEW, 2000, false), (READY_FEW + 1, 2000, true), (30, 740_000, true)]
        {
            let exchange = Exchange::default();
            exchange.open(ConnectionNo(1), true);
            exchange.put(&mut (0..count as u64).map(|seq| owed(seq, octets)).collect());
            assert_eq!(exchange.is_short_of_connections(), short, "{count} of {octets} octets");
        }
        let exchange = Exchange::default();
        exchange.open(ConnectionNo(1), true);
        exchange.open(ConnectionNo(2), true);
        exchange.take(ConnectionNo(2), 10, &mut Vec::new());
        exchange.lock().queue.extend((0..1000).map(|seq| owed(seq, 2000)));
        assert!(!exchange.is_short_of_connections(), "one has nothing to do");
    }

    #[test]
    fn what_is_offered_again_has_every_second_place() {
        let exchange = Exchange::default();
        exchange.put(&mut (10..13).map(|seq| owed(seq, 2000)).collect());
        exchange.put_again(&mut (0..5).map(|seq| owed(seq, 2000)).collect());
        let mut taken = Vec::new();
        for room in [1, 2, 3, 9] {
            let mut batch = Vec::new();
            exchange.take(ConnectionNo(1), room, &mut batch);
            taken.extend(batch.iter().map(|owed| owed.entry.seq.0));
        }
        assert_eq!(taken, [10, 11, 0, 12, 1, 2, 3, 4]);
        exchange.put_again(&mut vec![owed(7, 2000)]);
        exchange.put(&mut vec![owed(20, 2000)]);
        assert_eq!(exchange.take_back().len(), 2);
    }
}
