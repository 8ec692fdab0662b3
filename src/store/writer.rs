//! The writer: the one thread that appends to the log, by group commit. It takes all that waits,
//! gives seqs and article numbers, writes it with few large writes, syncs once, makes it visible
//! in order, and only then tells the outcomes. While one batch syncs the next one gathers.
//!
//! A write that fails (a full disk) is taken back to the last durable length and the writer goes on
//! trying. After a sync that failed nobody knows what is on the disk, and asking again may lie:
//! nothing is accepted any more until the store is opened anew.

use super::StoreError;
use super::batch::Batch;
use super::groups::{Facts, Group};
use super::held;
use super::history::Reservation;
use super::record::{self, Kind};
use super::segment::SEGMENT_HEADER;
use super::shared::Shared;
use super::types::{GroupStatus, Location, NewArticle, Outcome, Seq, Settle};
use crate::clock;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Octets of a batch after which the rest waits for the next one.
const BATCH_OCTETS: u64 = 16 << 20;
/// Milliseconds between two writes of peers' states to the log.
pub(super) const PEERS_EVERY_MS: i64 = 30_000;

/// An article on its way.
pub(super) struct Submitted {
    pub article: NewArticle,
    pub held: Reservation,
    pub body_crc: u32,
    pub waiter: Arc<dyn Settle>,
    pub tag: u64,
}

/// What is asked of the writer beside articles.
pub(super) enum Act {
    /// Create or change a newsgroup.
    Set { name: String, status: GroupStatus, description: String, creator: String },
    /// Number the articles of a newsgroup from here on.
    Number { name: String, next: u64 },
    /// Remove a newsgroup.
    Remove { name: String },
}

/// One thing to write.
pub(super) enum Job {
    Article(Box<Submitted>),
    Act(Act, Sender<Result<(), StoreError>>),
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// There is something to do that is no job.
    called: bool,
    closed: bool,
}

/// What waits for the writer. What callers may have outstanding bounds it.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Called as well, where there may be no thread to be woken: see [`super::Options::by_hand`].
    by_hand: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Queue {
    pub fn new(by_hand: Option<Arc<dyn Fn() + Send + Sync>>) -> Self {
        Self { by_hand, ..Self::default() }
    }

    /// Adds a job; gives it back when the store is closed.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut waiting = held(self.waiting.lock());
        if waiting.closed {
            return Err(job);
        }
        waiting.jobs.push_back(job);
        let first = waiting.jobs.len() == 1;
        drop(waiting);
        if first {
            self.wake();
        }
        Ok(())
    }

    fn wake(&self) {
        self.wake.notify_one();
        if let Some(call) = &self.by_hand {
            call();
        }
    }

    /// Wakes the writer though there is no job: a peer is new.
    pub fn call(&self) {
        held(self.waiting.lock()).called = true;
        self.wake();
    }

    pub fn close(&self) {
        held(self.waiting.lock()).closed = true;
        self.wake.notify_all();
    }

    /// Nothing is taken any more; what waits fails.
    fn abandon(&self) {
        let mut waiting = held(self.waiting.lock());
        waiting.closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        jobs.into_iter().for_each(fail);
    }

    /// Swaps `jobs` (empty) for all that waits; waits at most `patience` for something. False when
    /// the queue is closed and empty.
    fn take(&self, jobs: &mut VecDeque<Job>, patience: Duration) -> bool {
        let idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.called && !waiting.closed;
        let waiting = held(self.waiting.lock());
        let mut waiting = held(self.wake.wait_timeout_while(waiting, patience, idle)).0;
        std::mem::swap(jobs, &mut waiting.jobs);
        waiting.called = false;
        !(jobs.is_empty() && waiting.closed)
    }
}

/// The end of the log, where the next record goes.
pub(super) struct End {
    pub file: Arc<File>,
    pub at: Location,
    pub seq: Seq,
}

/// The writer, in its thread.
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub queue: Arc<Queue>,
    pub end: End,
    pub segment_bytes: u64,
    pub on_commit: Arc<dyn Fn(Seq) + Send + Sync>,
    /// Why nothing can be written until the store is opened anew.
    pub broken: Option<String>,
    pub desk: Desk,
}

/// What the writer works with from turn to turn.
pub(super) struct Desk {
    jobs: VecDeque<Job>,
    batch: Batch,
    /// When peers' states were written last, in Unix milliseconds.
    peers_at: i64,
}

impl Default for Desk {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), batch: Batch::default(), peers_at: clock::now().unix_ms() }
    }
}

impl Drop for Writer {
    /// However the thread ends: whoever submits later must hear of it.
    fn drop(&mut self) {
        self.queue.abandon();
        self.shared.refuse("the writer has ended".into());
    }
}

fn no_group(name: &str) -> StoreError {
    StoreError::Refused(format!("there is no newsgroup {name}"))
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        while self.turn(Duration::from_millis(PEERS_EVERY_MS as u64)) {}
    }

    /// Writes all that waits, and peers' states when they are due; waits at most `patience` for
    /// something. False when the queue is closed and empty.
    pub fn turn(&mut self, patience: Duration) -> bool {
        let mut desk = std::mem::take(&mut self.desk);
        let open = self.work(&mut desk, patience);
        self.desk = desk;
        open
    }

    fn work(&mut self, Desk { jobs, batch, peers_at }: &mut Desk, patience: Duration) -> bool {
        let open = self.queue.take(jobs, patience);
        let now = clock::now().unix_ms();
        let due = !(0..PEERS_EVERY_MS).contains(&(now.saturating_sub(*peers_at)));
        if !open || due || self.shared.peers.take_newcomers() {
            *peers_at = now;
            self.write_peers(batch);
        }
        while !jobs.is_empty() {
            if self.shared.peers.take_newcomers() {
                self.write_peers(batch);
            }
            self.shared.make_room();
            self.gather(jobs, batch);
            self.commit(batch);
        }
        open
    }

    /// Moves jobs into the batch until it is large enough. An act closes it: what follows must see
    /// what the act has done.
    fn gather(&self, jobs: &mut VecDeque<Job>, batch: &mut Batch) {
        let mut seq = self.end.seq;
        while batch.octets() < BATCH_OCTETS
            && let Some(job) = jobs.pop_front()
        {
            match job {
                Job::Article(submitted) => {
                    let next = Seq(seq.0 + 1);
                    if batch.add_article(&self.shared, next, submitted) {
                        seq = next;
                    }
                }
                Job::Act(act, reply) => {
                    match self.record_of(act) {
                        Ok((kind, facts)) => {
                            batch.add_act(self.shared.spool.salt(), Seq(seq.0 + 1), kind, facts, reply)
                        }
                        // Whoever asked may have gone; then nobody needs the answer.
                        Err(error) => drop(reply.send(Err(error))),
                    }
                    return;
                }
            }
        }
    }

    fn record_of(&self, act: Act) -> Result<(Kind, Facts), StoreError> {
        let groups = &self.shared.groups;
        match act {
            Act::Number { name, next } => {
                let facts = groups.named(&name).ok_or_else(|| no_group(&name))?.state().facts.clone();
                if next <= facts.high {
                    let taken = format!("{name} has given numbers up to {}; they only go up", facts.high);
                    return Err(StoreError::Refused(taken));
                }
                Ok((Kind::Newsgroup, Facts { high: next - 1, ..facts }))
            }
            Act::Remove { name } => {
                let group = groups.named(&name).ok_or_else(|| no_group(&name))?;
                let facts = Facts { removed: true, ..group.state().facts.clone() };
                Ok((Kind::Removed, facts))
            }
            Act::Set { name, status, description, creator } => {
                let old = groups.any(&name).map(|group| group.state().facts.clone());
                let alive = old.as_ref().filter(|old| !old.removed);
                Ok((
                    Kind::Newsgroup,
                    Facts {
                        id: old.as_ref().map_or_else(|| groups.free_id(), |old| old.id),
                        status: status.to_string(),
                        description,
                        created_ms: alive.map_or_else(|| clock::now().unix_ms(), |old| old.created_ms),
                        creator: alive.map_or(creator, |old| old.creator.clone()),
                        removed: false,
                        low: 0,
                        high: 0,
                        count: 0,
                        acted: 0,
                        name,
                    },
                ))
            }
        }
    }

    fn write_peers(&mut self, batch: &mut Batch) {
        let texts = self.shared.peers.owed_to_log();
        if texts.is_empty() {
            return;
        }
        let mut seq = self.end.seq;
        for text in texts {
            if text.len() + record::HEADER < record::FACTS_MAX {
                seq = Seq(seq.0 + 1);
                batch.add_peer(self.shared.spool.salt(), seq, &text);
            }
        }
        if !self.commit(batch) {
            self.shared.peers.log_failed();
            return;
        }
        // Behind the record: whoever stands here is known to the log.
        self.shared.fed.note(self.shared.peers.names(), clock::now());
    }

    /// Writes the batch, syncs, makes it visible and tells the outcomes; leaves it empty. False when
    /// it could not be written.
    fn commit(&mut self, batch: &mut Batch) -> bool {
        let done = match &self.broken {
            Some(why) => Err(why.clone()),
            None if batch.octets() == 0 => Ok(()),
            None => self.write(batch),
        };
        match done {
            Ok(()) => {
                let at = self.end.at;
                self.end.seq = Seq(self.end.seq.0 + batch.records());
                self.end.at.offset += batch.octets();
                let tip = super::log::Tip { seq: self.end.seq, end: self.end.at };
                batch.publish(&self.shared, at, tip);
                batch.settle();
                (self.on_commit)(tip.seq);
                true
            }
            Err(why) => {
                tracing::error!(error = %why, "a batch could not be written");
                self.shared.refuse(why.clone());
                batch.fail(&why);
                false
            }
        }
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), String> {
        if self.end.at.offset >= self.segment_bytes {
            self.begin_segment().map_err(|error| format!("no new segment: {error}"))?;
        }
        let End { file, at, .. } = &self.end;
        let disk = &*self.shared.disk;
        if let Err(error) = batch.write(disk, file, *at) {
            let why = format!("writing the log: {error}");
            if let Err(error) = file.set_len(at.offset) {
                self.broken = Some(format!("{why}; what was written could not be taken back: {error}"));
            }
            return Err(why);
        }
        if let Err(error) = disk.sync(file, at.segment) {
            let why = format!("syncing the log: {error}; the store must be opened anew");
            self.broken = Some(why.clone());
            return Err(why);
        }
        let mut refusing = held(self.shared.refusing.lock());
        if !refusing.is_empty() {
            tracing::info!("the log can be written again");
            refusing.clear();
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let segment = self.end.at.segment + 1;
        let first = Seq(self.end.seq.0 + 1);
        self.end.file = self.shared.spool.create(segment, first, clock::now())?;
        self.end.at = Location { segment, offset: SEGMENT_HEADER };
        Ok(())
    }
}

/// Tells a submitted article's failure from the submitting thread: the store is closed.
pub(super) fn fail(job: Job) {
    match job {
        Job::Article(submitted) => {
            let Submitted { waiter, tag, held, .. } = *submitted;
            drop(held);
            waiter.settle(tag, Outcome::Failed("the store is closed".into()));
            waiter.wake();
        }
        Job::Act(_, reply) => {
            // Whoever asked may have gone; then nobody needs the answer.
            drop(reply.send(Err(StoreError::Unavailable("the store is closed".into()))));
        }
    }
}

/// A newsgroup's number for one article of a batch.
pub(super) struct Filing {
    pub group: Arc<Group>,
    pub number: u64,
}
