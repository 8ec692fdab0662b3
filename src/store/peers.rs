//! Where each peer stands in the log. The states are in memory; the writer puts those that changed
//! into the log now and then, the index thread into the index at each checkpoint.

use super::held;
use super::types::{Loss, PeerState, Seq, Swept};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The text of a [`super::record::Kind::Peer`] record and of the index's row.
#[derive(Serialize, Deserialize)]
struct Text {
    peer: String,
    cursor: u64,
    deferred: Vec<(u64, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sweep: Option<Swept>,
}

#[derive(Default)]
struct Entry {
    state: PeerState,
    /// Why what it has and what we have may differ although the state says nothing of it.
    loss: Option<String>,
    /// How often such a thing was noticed since the start.
    noticed: u64,
    /// Where an offering of everything has come to.
    sweep: Option<Swept>,
    /// Changed since it was last written to the log.
    log_owes: bool,
    /// Changed since it was last written to the index.
    index_owes: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Peers {
    /// In the order in which they are written: the same acts make the same log.
    entries: Mutex<BTreeMap<String, Entry>>,
    /// The log has never heard of a peer that is here.
    newcomers: AtomicBool,
}

impl Entry {
    fn text(&self, peer: &str) -> Vec<u8> {
        let deferred = self.state.deferred.iter().map(|(seq, at)| (seq.0, *at)).collect();
        let (cursor, loss, sweep) = (self.state.cursor.0, self.loss.clone(), self.sweep.clone());
        let text = Text { peer: peer.to_owned(), cursor, deferred, loss, sweep };
        serde_json::to_vec(&text).unwrap_or_default()
    }

    /// Something was lost. The first reason stays: it is the one that the operator looks for.
    fn lose(&mut self, why: &str) {
        self.noticed += 1;
        if self.loss.is_none() {
            self.loss = Some(why.to_owned());
            (self.log_owes, self.index_owes) = (true, true);
        }
    }
}

impl Peers {
    pub fn state(&self, peer: &str) -> Option<PeerState> {
        held(self.entries.lock()).get(peer).map(|entry| entry.state.clone())
    }

    /// Keeps a state; true when the peer is new. With its first state comes what is known of a loss: one
    /// record has both.
    pub fn save(&self, peer: &str, state: PeerState, loss: Option<String>) -> bool {
        let mut entries = held(self.entries.lock());
        let Some(entry) = entries.get_mut(peer) else {
            let entry = Entry { state, loss, log_owes: true, index_owes: true, ..Entry::default() };
            entries.insert(peer.to_owned(), entry);
            self.newcomers.store(true, Ordering::Release);
            return true;
        };
        if entry.state != state {
            entry.state = state;
            (entry.log_owes, entry.index_owes) = (true, true);
        }
        false
    }

    /// Why what this peer has and what we have may differ, if something is known.
    pub fn loss(&self, peer: &str) -> Option<Loss> {
        let entries = held(self.entries.lock());
        let entry = entries.get(peer)?;
        entry.loss.clone().map(|why| Loss { why, noticed: entry.noticed })
    }

    /// Keeps that.
    pub fn lose_of(&self, peer: &str, why: &str) {
        if let Some(entry) = held(self.entries.lock()).get_mut(peer) {
            entry.lose(why);
        }
    }

    /// It is made good, unless something more was lost since `loss` was asked for.
    pub fn mended(&self, peer: &str, loss: &Loss) {
        if let Some(entry) = held(self.entries.lock()).get_mut(peer)
            && entry.noticed == loss.noticed
        {
            entry.loss = None;
            (entry.log_owes, entry.index_owes) = (true, true);
        }
    }

    /// Where an offering of everything has come to, if one was begun and did not end.
    pub fn sweep(&self, peer: &str) -> Option<Swept> {
        held(self.entries.lock()).get(peer)?.sweep.clone()
    }

    /// Keeps that; none: it has ended.
    pub fn set_sweep(&self, peer: &str, sweep: Option<Swept>) {
        if let Some(entry) = held(self.entries.lock()).get_mut(peer)
            && entry.sweep != sweep
        {
            entry.sweep = sweep;
            (entry.log_owes, entry.index_owes) = (true, true);
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        held(self.entries.lock()).keys().cloned().collect()
    }

    /// Something was lost here: each of the peers may have given it to us, or be owed it.
    pub fn lose(&self, why: &str) {
        held(self.entries.lock()).values_mut().for_each(|entry| entry.lose(why));
    }

    /// Has a peer come for the first time since this was asked last? Where it stands goes into the log
    /// at once: lost in a crash, it would begin behind what it is owed.
    pub fn take_newcomers(&self) -> bool {
        self.newcomers.load(Ordering::Relaxed) && self.newcomers.swap(false, Ordering::AcqRel)
    }

    /// Takes over a state from a text of the index or (`from_log`) of the log; false when it is none.
    pub fn load(&self, text: &[u8], from_log: bool) -> bool {
        let Ok(text) = serde_json::from_slice::<Text>(text) else { return false };
        let deferred = text.deferred.into_iter().map(|(seq, at)| (Seq(seq), at)).collect();
        let state = PeerState { cursor: Seq(text.cursor), deferred };
        let (loss, sweep) = (text.loss, text.sweep);
        let entry = Entry { state, loss, sweep, index_owes: from_log, ..Entry::default() };
        held(self.entries.lock()).insert(text.peer, entry);
        true
    }

    /// The log ends at `last`. A state that knows more is of a tail that was lost: what comes under
    /// those seqs now is owed to the peer. The seq that the log had, if so.
    pub fn end_at(&self, last: Seq) -> Option<Seq> {
        let mut entries = held(self.entries.lock());
        let had = entries.values().map(|entry| entry.state.cursor).max().filter(|had| *had > last);
        for entry in entries.values_mut() {
            entry.state.cursor = entry.state.cursor.min(last);
            entry.state.deferred.retain(|(seq, _)| *seq <= last);
            entry.sweep = entry.sweep.take().filter(|sweep| sweep.to <= last.0);
        }
        had
    }

    /// The texts that the log lacks; they count as written.
    pub fn owed_to_log(&self) -> Vec<Vec<u8>> {
        let mut entries = held(self.entries.lock());
        let owed = entries.iter_mut().filter(|(_, entry)| entry.log_owes);
        let write = |(peer, entry): (&String, &mut Entry)| {
            entry.log_owes = false;
            entry.text(peer)
        };
        owed.map(write).collect()
    }

    /// The log could not be written: it lacks them still.
    pub fn log_failed(&self) {
        self.newcomers.store(true, Ordering::Release);
        held(self.entries.lock()).values_mut().for_each(|entry| entry.log_owes = true);
    }

    /// Peers and texts that the index lacks; they count as written.
    pub fn owed_to_index(&self) -> Vec<(String, Vec<u8>)> {
        let mut entries = held(self.entries.lock());
        let owed = entries.iter_mut().filter(|(_, entry)| entry.index_owes);
        let write = |(peer, entry): (&String, &mut Entry)| {
            entry.index_owes = false;
            (peer.clone(), entry.text(peer))
        };
        owed.map(write).collect()
    }
}
