//! A peer that is fed by files: what it is owed is written into batches, for whatever carries them.
//!
//! It is a feed like the others: a cursor on the log, and the same rule of what is owed and when. A batch
//! is written when the time for the next one has come and something is owed, or as soon as one is full.
//! The cursor moves when the batch is on the disk under its own name, and is saved as those of other feeds
//! are, a while later: after a crash some articles are written once more, and the history of the other site
//! knows them. So *at least once* from here, and exactly once there; a batch that is lost on its way is
//! lost, for nobody tells us. What the peer deferred when it was still fed over connections comes first.
//!
//! Waiting costs nothing but a look at what has come into the log: how many octets are owed is counted,
//! what is owed is not kept. A batch is written beside the runtime's threads, one article at a time.
//!
//! Names sort in the order of writing: `IDENTITY-FROM-TO-TIME.rnews`, with the places in the log that it spans
//! and Unix seconds, so that no name is used again for other articles.

use super::controls::Controls;
use super::exchange::{Exchange, State};
use super::gate::{Gate, Opening, is_worth_saving, is_young};
use super::owed::judge;
use crate::clock;
use crate::config::{Batch, Peer};
use crate::store::{LogEntry, PeerState, ReadError, Seq, Store, Wait};
use crate::transfer::batch::BatchFile;
use crate::transport::apart;
use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Log entries read at a time.
const READ_MAX: usize = 256;
/// The pause after a batch could not be written.
const RETRY: Duration = Duration::from_secs(10);
/// Operators that wait for batches at one time.
const ASKING_MAX: usize = 8;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files.
    pub batches: u64,
    /// Articles in them.
    pub articles: u64,
    /// Octets in them, before compression.
    pub octets: u64,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batches {}, articles {}, octets {}", self.batches, self.articles, self.octets)
    }
}

type Answer = oneshot::Sender<Result<Written, String>>;

/// Asks a running feed for batches.
#[derive(Clone)]
pub(super) struct Asking(mpsc::Sender<Answer>);

impl Asking {
    pub(super) async fn ask(&self) -> Result<Written, String> {
        let (answer, answered) = oneshot::channel();
        let stopped = || "the feed is being stopped".to_owned();
        self.0.send(answer).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

/// Why nothing is written for a peer.
pub(super) fn no_batches(peer: &str) -> String {
    format!("peer \"{peer}\" is not fed by files; give it out = \"FOLDER\" in [peer.batch]")
}

/// Writes what the peer is owed into batches, with the store of a site that does not run. Waits for the
/// disk.
///
/// # Errors
/// One line that says why not; what was written before stays.
pub fn write_batches(store: &Store, peer: &Peer) -> Result<Written, String> {
    let mut writing = Writing::resume(store, peer).ok_or_else(|| no_batches(&peer.name))?;
    let mut written = Written::default();
    loop {
        let one = writing.write_one(&CancellationToken::new())?;
        written.add(one);
        if one.batches == 0 {
            return Ok(written);
        }
    }
}

impl Written {
    fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.articles += other.articles;
        self.octets += other.octets;
    }
}

/// Where writing stands.
#[derive(Clone)]
struct Writing {
    store: Store,
    peer: Peer,
    batch: Batch,
    state: PeerState,
}

impl Writing {
    /// Goes on where it stood. A peer without a state starts at the end of the log, as others do. None if
    /// it is not fed by files.
    fn resume(store: &Store, peer: &Peer) -> Option<Self> {
        let batch = peer.batch.clone().filter(|batch| batch.out.is_some())?;
        let state = store.peer_state(&peer.name).unwrap_or_else(|| super::mend::begin(store, peer));
        Some(Self { store: store.clone(), peer: peer.clone(), batch, state })
    }

    /// Writes one batch and moves the cursor behind it; none if nothing is owed. Waits for the disk.
    fn write_one(&mut self, stop: &CancellationToken) -> Result<Written, String> {
        let Some(out) = self.batch.out.clone() else { return Ok(Written::default()) };
        let fail = |error: std::io::Error| format!("{}: {error}", out.display());
        let mut file: Option<BatchFile> = None;
        let mut wire = Vec::new();
        for &(seq, _) in &self.state.deferred {
            let (entries, _) = self.log(Seq(seq.0.saturating_sub(1)), 1)?;
            for entry in entries.iter().filter(|entry| entry.seq == seq && is_owed(&self.peer, entry)) {
                self.add(entry, &out, &mut wire, &mut file)?;
            }
        }
        let mut cursor = self.state.cursor;
        'reading: loop {
            let (entries, next) = self.log(cursor, READ_MAX)?;
            if next <= cursor {
                break;
            }
            for entry in &entries {
                if stop.is_cancelled() {
                    return Err("the site is being stopped".to_owned());
                }
                let full = file.as_ref().is_some_and(|file| {
                    file.octets().saturating_add(entry.len as u64) > self.batch.bytes_max
                });
                if full || is_young(&self.peer, entry).is_some() {
                    break 'reading;
                }
                if is_owed(&self.peer, entry) {
                    self.add(entry, &out, &mut wire, &mut file)?;
                }
                cursor = entry.seq;
            }
            cursor = next;
        }
        let mut written = Written::default();
        if let Some(file) = file {
            written = Written { batches: 1, articles: file.articles(), octets: file.octets() };
            let (identity, from, now) = (self.store.identity(), self.state.cursor.0 + 1, clock::now());
            let name = format!("{identity}-{from:012}-{:012}-{}", cursor.0, now.unix_s());
            let path = file.publish(&name).map_err(fail)?;
            info!(target: "feedd::feed", peer = %self.peer.name, path = %path.display(), %written, "batch");
        }
        let deferred = !self.state.deferred.is_empty();
        self.state = PeerState { cursor, deferred: Vec::new() };
        if written.batches > 0 || deferred {
            self.store.save_peer(&self.peer.name, self.state.clone());
        }
        Ok(written)
    }

    fn add(
        &self,
        entry: &LogEntry,
        out: &Path,
        wire: &mut Vec<u8>,
        file: &mut Option<BatchFile>,
    ) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("{}: {error}", out.display());
        match self.read(entry, wire) {
            Ok(()) => {}
            Err(ReadError::Gone) => return Ok(()),
            Err(ReadError::Corrupt(what)) => {
                error!(target: "feedd::feed", peer = %self.peer.name, id = %entry.id, what,
                    "the article is damaged here and the peer does not get it from us");
                return Ok(());
            }
            Err(ReadError::Io(error)) => return Err(format!("reading article {}: {error}", entry.id)),
            Err(ReadError::WouldBlock) => return Err(format!("article {} is not at hand", entry.id)),
        }
        let file = match file {
            Some(file) => file,
            None => {
                let writer = self.store.identity();
                let new = BatchFile::create(out, writer, self.batch.compression).map_err(fail)?;
                file.insert(new)
            }
        };
        file.add(wire).map_err(fail)
    }

    /// A whole article in wire form.
    fn read(&self, entry: &LogEntry, wire: &mut Vec<u8>) -> Result<(), ReadError> {
        let stored = self.store.read(entry.location, Some(&entry.id), entry.len, Wait::Disk)?;
        wire.clear();
        wire.extend_from_slice(&stored.text);
        let begun = wire.len();
        if begun < stored.len {
            wire.resize(stored.len, 0);
            let rest = wire.get_mut(begun..).unwrap_or_default();
            stored.file.read_exact_at(rest, stored.offset + begun as u64).map_err(ReadError::Io)?;
        }
        Ok(())
    }

    fn log(&self, after: Seq, max: usize) -> Result<(Vec<Arc<LogEntry>>, Seq), String> {
        self.store.log(after, max, Wait::Disk).map_err(|error| format!("reading the log: {error:?}"))
    }
}

/// What the feed of such a peer works with.
pub(super) struct Files {
    pub(super) store: Store,
    pub(super) peer: Arc<Peer>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) tip: watch::Receiver<Seq>,
    pub(super) controls: Controls,
    pub(super) gate: Gate,
}

/// Starts the feed of a peer that is fed by files.
pub(super) fn start(files: Files) -> (Asking, JoinHandle<()>) {
    let (ask, asked) = mpsc::channel(ASKING_MAX);
    // Its place is in the store before this returns: what is accepted from now on is owed.
    let writing = Writing::resume(&files.store, &files.peer);
    let task = tokio::spawn(async move {
        let Some(writing) = writing else { return };
        let scanned = writing.state.cursor;
        let octets = u64::from(!writing.state.deferred.is_empty());
        let due = Instant::now();
        let feeding = Feeding { files, writing, asked, scanned, octets, due, read_at: None, told: None };
        feeding.report_cursor();
        feeding.run().await;
    });
    (Asking(ask), task)
}

fn is_owed(peer: &Peer, entry: &LogEntry) -> bool {
    judge(peer, entry).is_ok()
}

/// The feed, running.
struct Feeding {
    files: Files,
    writing: Writing,
    asked: mpsc::Receiver<Answer>,
    /// What is owed has been counted up to here ...
    scanned: Seq,
    /// ... and is so many octets.
    octets: u64,
    /// When the next batch is written, if anything is owed then.
    due: Instant,
    /// The log is not looked at before.
    read_at: Option<Instant>,
    /// The last failure told.
    told: Option<String>,
}

impl Feeding {
    async fn run(mut self) {
        let stop = self.files.controls.stop.clone();
        let every = Duration::from_secs(self.writing.batch.every_s);
        let mut may_grow = true;
        while !stop.is_cancelled() {
            let now = Instant::now();
            let (opening, again) = self.files.gate.look(clock::now(), now);
            let gate_at = again.map(|pause| now + pause);
            let open = opening == Opening::Open;
            self.files.tip.mark_unchanged();
            match opening {
                Opening::Open => {
                    let every_s = self.writing.batch.every_s;
                    self.files.exchange.report(|reported| reported.state = State::Batches { every_s });
                    self.count().await;
                    let full = self.octets >= self.writing.batch.bytes_max;
                    let is_due = self.due <= now && self.octets > 0;
                    if (full || is_due) && self.read_at.is_none_or(|at| at <= now || is_due) {
                        // A failure has been told, and is tried again.
                        let _ = self.write(!is_due).await;
                    }
                    if self.due <= now {
                        self.due = now + every;
                    }
                }
                Opening::Closed { state, settled } => {
                    self.files.exchange.report(|reported| reported.state = state);
                    self.follow(settled);
                }
            }
            let wake = [open.then_some(self.due), self.read_at.filter(|at| *at > now), gate_at];
            let wake = wake.into_iter().flatten().min().unwrap_or(now + RETRY);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(answer) = self.asked.recv() => {
                    let written = self.write(false).await;
                    // Who asked may have gone.
                    let _ = answer.send(written);
                }
                grown = self.files.tip.changed(), if open && may_grow && self.read_at.is_none() => {
                    may_grow = grown.is_ok();
                }
                () = sleep_until(wake) => {}
            }
            self.read_at = self.read_at.filter(|at| *at > Instant::now());
        }
        self.files.exchange.report(|reported| reported.state = State::Stopped);
    }

    /// Counts what has come into the log since the last time, as far as a batch goes.
    async fn count(&mut self) {
        while self.read_at.is_none() && self.octets < self.writing.batch.bytes_max {
            let after = self.scanned;
            let (entries, next) = match self.read_log(after).await {
                Ok(read) => read,
                Err(why) => return self.failed(&why),
            };
            if next <= after {
                break;
            }
            for entry in entries {
                if let Some(pause) = is_young(&self.files.peer, &entry) {
                    self.read_at = Some(Instant::now() + pause);
                    return;
                }
                if is_owed(&self.files.peer, &entry) {
                    self.octets = self.octets.saturating_add(entry.len as u64);
                }
                self.scanned = entry.seq;
            }
            self.scanned = next;
            tokio::task::consume_budget().await;
        }
        if self.octets == 0 {
            // Nothing up to here is for this peer.
            self.writing.state.cursor = self.scanned;
            self.report_cursor();
        }
    }

    async fn read_log(&self, after: Seq) -> Result<(Vec<Arc<LogEntry>>, Seq), String> {
        match self.files.store.log(after, READ_MAX, Wait::No) {
            Err(ReadError::WouldBlock) => {
                let writing = self.writing.clone();
                apart(move || writing.log(after, READ_MAX))
                    .await
                    .unwrap_or_else(|error| Err(error.to_string()))
            }
            read => read.map_err(|error| format!("reading the log: {error:?}")),
        }
    }

    /// Writes batches until nothing is owed, or as many as are full.
    async fn write(&mut self, full_only: bool) -> Result<Written, String> {
        let mut written = Written::default();
        loop {
            let mut writing = self.writing.clone();
            let stop = self.files.controls.stop.clone();
            let done = apart(move || {
                let one = writing.write_one(&stop);
                (writing, one)
            });
            let one = match done.await {
                Ok((writing, one)) => {
                    self.writing = writing;
                    one
                }
                Err(error) => Err(error.to_string()),
            };
            let one = match one {
                Ok(one) => one,
                Err(why) => {
                    if !self.files.controls.stop.is_cancelled() {
                        self.failed(&why);
                    }
                    return Err(why);
                }
            };
            self.told = None;
            self.files.exchange.count_written(one.articles, one.octets);
            written.add(one);
            self.scanned = self.writing.state.cursor;
            self.octets = 0;
            self.report_cursor();
            if full_only {
                self.count().await;
            }
            let goes_on =
                if full_only { self.octets >= self.writing.batch.bytes_max } else { one.batches > 0 };
            if !goes_on || self.files.controls.stop.is_cancelled() {
                return Ok(written);
            }
        }
    }

    /// A backup is owed only what the other peer has not settled.
    fn follow(&mut self, settled: Option<Seq>) {
        if let Some(settled) = settled.filter(|settled| *settled > self.writing.state.cursor) {
            self.writing.state.cursor = settled;
            self.scanned = settled;
            self.octets = 0;
            let name = &self.files.peer.name;
            let saved = self.files.store.peer_state(name).unwrap_or_default().cursor;
            if is_worth_saving(saved, settled) {
                self.files.store.save_peer(name, self.writing.state.clone());
            }
            self.report_cursor();
        }
    }

    fn report_cursor(&self) {
        let state = &self.writing.state;
        self.files.exchange.report(|reported| {
            (reported.cursor, reported.read) = (state.cursor, state.cursor);
            reported.deferred = state.deferred.len();
            reported.oldest_deferred = state.deferred.first().map(|(seq, _)| *seq);
        });
    }

    /// Something failed: it is told once, and tried again.
    fn failed(&mut self, why: &str) {
        self.read_at = Some(Instant::now() + RETRY);
        self.due = self.due.max(Instant::now() + RETRY);
        self.files.exchange.report(|reported| reported.failed(why));
        if self.told.as_deref() != Some(why) {
            warn!(target: "feedd::feed", peer = %self.files.peer.name, why, "no batch can be written");
            self.told = Some(why.to_owned());
        }
    }
}
