//! Articles that are offered again: deferred ones, and those that a sync found the peer to lack. There may be
//! thousands at once, and what comes meanwhile must not wait behind them: they have every second place, and of
//! those that connections have taken there are no more than the peer takes in a few seconds.

use super::exchange::Owed;
use crate::session::sender::Offered;
use crate::store::Seq;
use std::collections::{HashMap, VecDeque};

/// Seconds of what the peer accepts that connections may have taken ...
const TAKEN_S: f64 = 2.0;
/// ... and so many articles, of so many octets, in any case.
const TAKEN_FEW: usize = 256;
const TAKEN_OCTETS: usize = 1024 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Again {
    waiting: VecDeque<Owed>,
    /// Those that connections have taken, with their octets.
    taken: HashMap<Seq, usize>,
    octets: usize,
}

impl Again {
    pub(super) fn put(&mut self, batch: &mut Vec<Owed>) {
        self.waiting.extend(batch.drain(..));
    }

    /// How many wait for a connection.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Owed> {
        self.waiting.iter()
    }

    /// The next one, unless enough are on their way, where the peer accepts so many articles and octets a
    /// second.
    pub(super) fn take(&mut self, (articles_s, octets_s): (f64, f64)) -> Option<Owed> {
        let few = self.taken.len() < TAKEN_FEW.max((articles_s * TAKEN_S) as usize)
            && self.octets < TAKEN_OCTETS.max((octets_s * TAKEN_S) as usize);
        let owed = if few { self.waiting.pop_front() } else { None }?;
        self.octets += owed.octets();
        self.taken.insert(owed.entry.seq, owed.octets());
        Some(owed)
    }

    /// It has its answer, if it is one of these; true if so.
    pub(super) fn answered(&mut self, seq: Seq) -> bool {
        let octets = self.taken.remove(&seq);
        self.octets -= octets.unwrap_or(0);
        octets.is_some()
    }

    /// A connection gives it back, unanswered; back it comes if it is none of these.
    pub(super) fn give_back(&mut self, owed: Owed) -> Option<Owed> {
        if !self.answered(owed.entry.seq) {
            return Some(owed);
        }
        self.waiting.push_front(owed);
        None
    }

    /// All that no connection has taken.
    pub(super) fn take_back(&mut self) -> VecDeque<Owed> {
        std::mem::take(&mut self.waiting)
    }
}
