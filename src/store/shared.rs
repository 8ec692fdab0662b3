//! What the store's threads and callers share, and the index thread.

use super::behind::Behind;
use super::block::Block;
use super::cache::Cache;
use super::disk::Disk;
use super::fed::Fed;
use super::groups::{Group, Groups};
use super::held;
use super::history::History;
use super::index::{Checkpoint, Failure, Index};
use super::log::Log;
use super::peers::Peers;
use super::segment::Spool;
use crate::clock;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// Octets of log after which a checkpoint is written, however short the time.
const CHECKPOINT_OCTETS: u64 = 256 << 20;
/// Milliseconds after which a checkpoint is written if anything has changed.
const CHECKPOINT_MS: i64 = 60_000;
/// Octets of open overview blocks that stay in memory although nothing is filed in them any more.
const QUIET_OCTETS_MAX: usize = 64 << 20;
/// Checkpoints without a new row that make an open block a quiet one.
const QUIET_AFTER: u32 = 2;

pub(super) struct Shared {
    pub identity: String,
    pub spool: Spool,
    pub disk: Arc<dyn Disk>,
    pub history: Arc<History>,
    pub groups: Groups,
    pub log: Log,
    pub peers: Peers,
    pub fed: Fed,
    pub behind: Behind,
    pub cache: Cache,
    /// None when closed, or when the index has failed.
    pub index: RwLock<Option<Arc<Index>>>,
    pub articles: AtomicU64,
    pub damaged: AtomicU64,
    /// Why nothing is accepted; empty when it is.
    pub refusing: Mutex<String>,
    /// There is no index thread: see [`super::Options::by_hand`].
    pub by_hand: bool,
}

impl Shared {
    pub fn index(&self) -> Option<Arc<Index>> {
        held(self.index.read()).clone()
    }

    pub fn refuse(&self, why: String) {
        *held(self.refusing.lock()) = why;
    }

    /// Returns when the index is not too far behind.
    pub fn make_room(&self) {
        if !self.by_hand {
            self.behind.wait_for_room();
        } else if let Some(index) = self.index()
            && let Err(failure) = write_behind(self, &index)
        {
            give_up(self, &index, &failure);
        }
    }
}

/// The index thread: writes behind, checkpoints, ends with a checkpoint when told to stop.
pub(super) fn run_index(shared: &Shared) {
    let _ended = Ended(shared);
    let mut indexer = Indexer::begin();
    while indexer.turn(shared, Duration::from_secs(5)) {}
}

/// What the index thread knows from turn to turn.
pub(super) struct Indexer {
    last: Checkpointed,
}

impl Indexer {
    pub fn begin() -> Self {
        Self { last: Checkpointed { at_ms: clock::now().unix_ms(), took_ms: 0, checkpoint: None } }
    }

    /// Writes what waits, waiting at most `patience` for it, and a checkpoint when it is due or the end.
    /// False when it was the end.
    pub fn turn(&mut self, shared: &Shared, patience: Duration) -> bool {
        let last = &mut self.last;
        let work = shared.behind.wait(patience);
        let (stop, log_octets) = (work.stop, work.log_octets);
        drop(work);
        let Some(index) = shared.index() else {
            if !stop {
                forget(shared);
            }
            return !stop;
        };
        let now = clock::now().unix_ms();
        // Many newsgroups make a checkpoint slow: it may take a tenth of the time, not more.
        let since = now.saturating_sub(last.at_ms);
        let due = !(0..CHECKPOINT_MS).contains(&since)
            || (log_octets >= CHECKPOINT_OCTETS && since >= 10 * last.took_ms);
        let done = if stop || due { checkpoint(shared, &index, last) } else { write_behind(shared, &index) };
        if let Err(failure) = done {
            give_up(shared, &index, &failure);
        }
        !stop
    }
}

fn give_up(shared: &Shared, index: &Index, Failure(error): &Failure) {
    tracing::error!(%error, "the index failed: articles are still taken, older ones may not be \
        found by number until the next start builds it anew");
    index.mark_failed();
    *held(shared.index.write()) = None;
    forget(shared);
}

/// However the thread ends: the writer must not wait for it.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        forget(self.0);
    }
}

/// Drops what waits for an index that failed.
fn forget(shared: &Shared) {
    for group in shared.behind.abandon() {
        group.state().rows.full.clear();
    }
}

/// Writes the full blocks.
fn write_behind(shared: &Shared, index: &Index) -> Result<(), Failure> {
    let mut work = shared.behind.work();
    let ready = std::mem::take(&mut work.ready);
    let history = std::mem::take(&mut work.history);
    drop(work);
    for block in history {
        index.put_history(&block)?;
        shared.behind.written(block.bytes.len());
    }
    for group in ready {
        write_full(shared, index, &group)?;
    }
    Ok(())
}

/// Writes a newsgroup's full blocks; they leave memory when the index has them.
fn write_full(shared: &Shared, index: &Index, group: &Group) -> Result<(), Failure> {
    let mut full = group.state().rows.full.clone();
    while !full.is_empty() {
        let mut octets = 0;
        for block in &full {
            octets += block.octets();
            let block = completed(index, group, block.clone())?;
            index.put_block(group.id, &block)?;
            shared.cache.put(group.id, block);
        }
        let mut state = group.state();
        state.rows.full.drain(..full.len());
        full.clone_from(&state.rows.full);
        drop(state);
        shared.behind.written(octets);
    }
    Ok(())
}

/// The block with all rows the index has of it.
fn completed(index: &Index, group: &Group, block: Arc<Block>) -> Result<Arc<Block>, Failure> {
    if block.whole {
        return Ok(block);
    }
    let mut block = Block::clone(&block);
    if let Some(stored) = index.block(group.id, block.no)? {
        block.merge(&stored);
    }
    block.whole = true;
    Ok(Arc::new(block))
}

/// The last checkpoint of this thread.
struct Checkpointed {
    at_ms: i64,
    took_ms: i64,
    checkpoint: Option<Checkpoint>,
}

/// Writes everything that changed, and then that the index is complete up to here. What is visible
/// when it begins is in memory or in the index already; what comes meanwhile may be written too.
fn checkpoint(shared: &Shared, index: &Index, last: &mut Checkpointed) -> Result<(), Failure> {
    let begun = clock::now().unix_ms();
    let tip = shared.log.tip();
    let at = Checkpoint::new(tip.seq, tip.end);
    shared.behind.work().log_octets = 0;
    write_behind(shared, index)?;
    let touched = std::mem::take(&mut shared.behind.work().touched);
    let peers = shared.peers.owed_to_index();
    let idle = touched.is_empty() && peers.is_empty() && last.checkpoint == Some(at);
    for group in &touched {
        write_full(shared, index, group)?;
        let mut state = group.state();
        state.rows.dirty = false;
        let open = state.rows.open.clone();
        let full = !state.rows.full.is_empty();
        let facts = state.facts.clone();
        drop(state);
        if full {
            write_full(shared, index, group)?;
        }
        if let Some(open) = open {
            let open = completed(index, group, Arc::new(open))?;
            index.put_block(group.id, &open)?;
            adopt(group, &open, None);
        }
        index.put_group(&facts)?;
    }
    let open = shared.behind.work().open.clone();
    if !open.bytes.is_empty() && !idle {
        // Blocks that became full meanwhile are older than the open one.
        write_behind(shared, index)?;
        index.put_history(&open)?;
    }
    for (peer, text) in peers {
        index.put_peer(&peer, text)?;
    }
    if !idle {
        index.set_checkpoint(at)?;
        last.checkpoint = Some(at);
    }
    drop_quiet(shared);
    last.at_ms = clock::now().unix_ms();
    last.took_ms = last.at_ms.saturating_sub(begun).max(0);
    Ok(())
}

/// Gives the newsgroup's open block the rows of the index, so that it need not be merged again.
/// `drops`: the count of drops when the index was read; if there was one since, it is too late.
pub(super) fn adopt(group: &Group, stored: &Block, drops: Option<u64>) {
    let mut state = group.state();
    if drops.is_some_and(|drops| drops != state.rows.drops) {
        return;
    }
    let grows = state.facts.high / super::block::NUMBERS;
    match &mut state.rows.open {
        Some(open) if open.no == stored.no && !open.whole => {
            open.merge(stored);
            open.whole = true;
        }
        None if drops.is_some() && grows == stored.no => {
            state.rows.open = Some(stored.clone());
        }
        _ => {}
    }
}

/// Drops open blocks that the index has and nobody adds to, when they take too much memory.
fn drop_quiet(shared: &Shared) {
    let mut octets = 0;
    for group in shared.groups.all() {
        let mut state = group.state();
        let rows = &mut state.rows;
        let Some(open) = &rows.open else { continue };
        octets += open.octets();
        if rows.dirty {
            continue;
        }
        rows.quiet = rows.quiet.saturating_add(1);
        if rows.quiet >= QUIET_AFTER && octets > QUIET_OCTETS_MAX {
            octets -= open.octets();
            rows.open = None;
            rows.drops += 1;
        }
    }
}
