//! What the index is behind the log: blocks that became full, newsgroups that changed, history
//! entries. The writer (and the replay) adds; the index thread takes. It is bounded: the writer
//! waits when the index thread falls too far behind.

use super::groups::Group;
use super::held;
use super::history::Fingerprint;
use super::segment::Packed;
use super::types::Seq;
use crate::clock::Timestamp;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Octets of full blocks that may wait.
const OCTETS_MAX: i64 = 192 << 20;
/// Entries in a block of the history.
pub(super) const ENTRIES: u64 = 256;
/// Octets of an entry: fingerprint 16, location 8, date 4, arrived 4 (seconds).
pub(super) const ENTRY: usize = 32;

/// 256 consecutive seqs of the log as the index keeps them. The entry of an act has no fingerprint;
/// that of a seq which was never used is all zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct HistoryBlock {
    /// The block's number: seq / 256.
    pub no: u64,
    pub bytes: Vec<u8>,
}

/// One record of the log in the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryEntry {
    pub seq: Seq,
    /// None for an act.
    pub fingerprint: Option<Fingerprint>,
    pub location: Packed,
    pub date: Timestamp,
    pub arrived: Timestamp,
}

/// Whole seconds in 4 octets: until 2106.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.unix_s().max(0)).unwrap_or(u32::MAX)
}

impl HistoryBlock {
    fn new(no: u64) -> Self {
        Self { no, bytes: Vec::with_capacity(ENTRIES as usize * ENTRY) }
    }

    fn put(&mut self, entry: &HistoryEntry) {
        let at = (entry.seq.0 % ENTRIES) as usize * ENTRY;
        if self.bytes.len() < at + ENTRY {
            self.bytes.resize(at + ENTRY, 0);
        }
        let place = &mut self.bytes[at..at + ENTRY];
        place[..16].copy_from_slice(&entry.fingerprint.map_or(0, |of| of.0).to_le_bytes());
        place[16..24].copy_from_slice(&entry.location.0.to_le_bytes());
        place[24..28].copy_from_slice(&seconds(entry.date).to_le_bytes());
        place[28..].copy_from_slice(&seconds(entry.arrived).to_le_bytes());
    }

    /// The entries in order.
    pub fn entries(&self) -> impl Iterator<Item = HistoryEntry> + '_ {
        self.bytes.chunks_exact(ENTRY).zip(self.no * ENTRIES..).filter_map(|(entry, seq)| {
            let fingerprint = u128::from_le_bytes(entry[..16].try_into().ok()?);
            let location = u64::from_le_bytes(entry[16..24].try_into().ok()?);
            let second = |at: usize| {
                let octets: [u8; 4] = entry[at..at + 4].try_into().ok()?;
                Some(Timestamp::from_unix_s(u32::from_le_bytes(octets).into()))
            };
            (location != 0).then_some(HistoryEntry {
                seq: Seq(seq),
                fingerprint: (fingerprint != 0).then_some(Fingerprint(fingerprint)),
                location: Packed(location),
                date: second(24)?,
                arrived: second(28)?,
            })
        })
    }
}

/// What one batch changed, gathered without a lock.
#[derive(Default)]
pub(super) struct Changes {
    touched: Vec<Arc<Group>>,
    ready: Vec<Arc<Group>>,
    history: Vec<HistoryEntry>,
    octets: usize,
    log_octets: u64,
}

impl Changes {
    /// Files an article in a newsgroup: from now on it is seen there.
    pub fn file(&mut self, group: &Arc<Group>, number: u64, location: Packed, row: &[u8]) {
        let filed = group.state().file(number, location, row);
        if filed.turned_dirty {
            self.touched.push(group.clone());
        }
        if filed.turned_ready {
            self.ready.push(group.clone());
        }
        self.octets += filed.filled;
    }

    /// The facts of a newsgroup have changed.
    pub fn touch(&mut self, group: Arc<Group>) {
        let was_dirty = std::mem::replace(&mut group.state().rows.dirty, true);
        if !was_dirty {
            self.touched.push(group);
        }
    }

    /// A record of the log.
    pub fn remember(&mut self, entry: HistoryEntry, octets: u64) {
        self.history.push(entry);
        self.log_octets += octets;
    }
}

/// What waits for the index thread.
#[derive(Default)]
pub(super) struct Work {
    /// Newsgroups with full blocks.
    pub ready: Vec<Arc<Group>>,
    /// Newsgroups changed since the last checkpoint.
    pub touched: Vec<Arc<Group>>,
    /// Full blocks of the history.
    pub history: Vec<HistoryBlock>,
    /// The block that grows.
    pub open: HistoryBlock,
    /// Octets of the full blocks. Below zero while one is written that is not handed over yet: the
    /// index thread finds it in its newsgroup before the batch is done.
    pub octets: i64,
    /// Octets of log since the last checkpoint.
    pub log_octets: u64,
    /// The index thread shall end.
    pub stop: bool,
    /// The index failed: nothing is gathered any more.
    pub abandoned: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Behind {
    work: Mutex<Work>,
    wake: Condvar,
    room: Condvar,
}

impl Behind {
    pub fn work(&self) -> MutexGuard<'_, Work> {
        held(self.work.lock())
    }

    /// Hands the changes over and leaves `changes` empty.
    pub fn hand_over(&self, changes: &mut Changes) {
        let mut work = self.work();
        for entry in changes.history.drain(..) {
            let no = entry.seq.0 / ENTRIES;
            if work.open.no != no {
                let full = std::mem::replace(&mut work.open, HistoryBlock::new(no));
                if !full.bytes.is_empty() {
                    work.octets += full.bytes.len() as i64;
                    work.history.push(full);
                }
            }
            work.open.put(&entry);
        }
        work.ready.append(&mut changes.ready);
        work.touched.append(&mut changes.touched);
        work.octets += std::mem::take(&mut changes.octets) as i64;
        work.log_octets += std::mem::take(&mut changes.log_octets);
        if work.abandoned {
            work.history.clear();
            work.octets = 0;
        }
        let wake = !work.ready.is_empty() || !work.history.is_empty();
        drop(work);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Returns when the index thread is not too far behind.
    pub fn wait_for_room(&self) {
        let work = self.work();
        drop(held(self.room.wait_while(work, |work| work.octets > OCTETS_MAX && !work.abandoned)));
    }

    /// The index thread has written this much.
    pub fn written(&self, octets: usize) {
        self.work().octets -= octets as i64;
        self.room.notify_all();
    }

    /// The index failed: nothing is gathered any more. Returns the newsgroups with full blocks.
    pub fn abandon(&self) -> Vec<Arc<Group>> {
        let mut work = self.work();
        work.abandoned = true;
        work.touched.clear();
        work.history.clear();
        work.octets = 0;
        let ready = std::mem::take(&mut work.ready);
        drop(work);
        self.room.notify_all();
        ready
    }

    /// Waits for work, at most `patience`.
    pub fn wait(&self, patience: Duration) -> MutexGuard<'_, Work> {
        let idle = |work: &mut Work| work.ready.is_empty() && work.history.is_empty() && !work.stop;
        held(self.wake.wait_timeout_while(self.work(), patience, idle)).0
    }

    /// Records that are in no full block of the history yet written.
    pub fn records(&self) -> u64 {
        let work = self.work();
        work.history.len() as u64 * ENTRIES + (work.open.bytes.len() / ENTRY) as u64
    }

    /// Tells the index thread to end.
    pub fn stop(&self) {
        self.work().stop = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_written_before_it_is_handed_over_is_not_counted_for_ever() {
        const BLOCK: usize = OCTETS_MAX as usize / 4;
        let behind = Behind::default();
        // The index thread finds a full block in its newsgroup before the writer hands the batch over.
        for _ in 0..6 {
            behind.written(BLOCK);
            behind.hand_over(&mut Changes { octets: BLOCK, ..Changes::default() });
        }
        assert_eq!(behind.work().octets, 0, "else the writer waits for room that nobody makes");
    }
}
