//! Offering again what a peer is thought to have: single articles, or a part of the log.

use super::exchange::{Exchange, Totals};
use super::gate::{Gate, Neighbours};
use super::owed::judge;
use super::scheduler::{Controls, Scheduler, Span};
use super::{Feeds, Running};
use crate::config::Peer;
use crate::store::{LogEntry, Seq};
use std::sync::{Arc, PoisonError};
use tokio::task::JoinHandle;

/// Articles that one call of [`Feeds::owe`] takes: they are kept in the peer's deferred set, which is
/// small and durable.
pub(super) const OWE_MAX: usize = 5_000;

impl Feeds {
    /// The peer lacks these articles: its feed offers them, also after a restart. How many of them it
    /// takes, at most 5,000.
    ///
    /// # Errors
    /// There is no feed to it, or none of them is owed to it: why not.
    pub fn owe(&self, peer: &str, entries: &[LogEntry]) -> Result<usize, String> {
        let running = self.running();
        let Some(Running { peer, controls, exchange, .. }) = running.get(peer) else {
            return Err("there is no feed to it".to_owned());
        };
        let mut why = None;
        let mut seqs: Vec<Seq> = Vec::new();
        for entry in entries.iter().take(OWE_MAX) {
            match judge(peer, entry) {
                Ok(()) => seqs.push(entry.seq),
                Err(unowed) => why = Some(unowed),
            }
        }
        if let (true, Some(why)) = (seqs.is_empty(), why) {
            return Err(why.to_string());
        }
        let count = seqs.len();
        controls.owed.lock().unwrap_or_else(PoisonError::into_inner).append(&mut seqs);
        exchange.scheduler.notify_one();
        Ok(count)
    }

    /// The peer of this name, if it has a feed.
    pub(super) fn peer(&self, name: &str) -> Option<Arc<Peer>> {
        self.running().get(name).map(|running| running.peer.clone())
    }

    /// What the feed of this peer stands at: its totals, and what is deferred.
    pub(super) fn standing(&self, name: &str) -> Option<(Totals, usize)> {
        let exchange = self.running().get(name)?.exchange.clone();
        let (totals, reported, ..) = exchange.figures();
        Some((totals, reported.deferred))
    }

    /// Offers the peer once more what it should have of a part of the log, beside its feed.
    pub(super) fn sweep(&self, peer: &Arc<Peer>, from: Seq, to: Seq) -> Sweep {
        let exchange = Arc::new(Exchange::default());
        exchange.set_rate(peer.bytes_s_max);
        let controls = Controls::default();
        // Never in place of another peer, and at any time: somebody has asked for it.
        let own =
            Peer { connections: 1, schedule: Vec::new(), backup_of: None, delay_s: 0, ..Peer::clone(peer) };
        let own = Arc::new(own);
        let scheduler = Scheduler::new(
            self.store.clone(),
            exchange.clone(),
            self.tip.clone(),
            controls.clone(),
            self.means(),
            Gate::new(own, Neighbours::default()),
            Span::Between(from, to),
        );
        Sweep { exchange, controls, task: tokio::spawn(scheduler.run()) }
    }
}

/// A part of the log that is being offered again. Stops when it is dropped.
pub(super) struct Sweep {
    exchange: Arc<Exchange>,
    controls: Controls,
    task: JoinHandle<()>,
}

impl Sweep {
    pub(super) fn is_done(&self) -> bool {
        self.task.is_finished()
    }

    /// What has been answered so far, up to where, and what went wrong last.
    pub(super) fn figures(&self) -> (Totals, Seq, String) {
        let (totals, reported, ..) = self.exchange.figures();
        (totals, reported.cursor, reported.last_error)
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.controls.stop.cancel();
        self.controls.abandon.cancel();
    }
}
