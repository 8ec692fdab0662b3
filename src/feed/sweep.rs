//! Offering again what a peer is thought to have: single articles, or a part of the log.

use super::controls::Controls;
use super::exchange::{Exchange, State};
use super::gate::{Gate, Neighbours};
use super::owed::judge;
use super::scheduler::{Scheduler, Span};
use super::watching::{Watched, Watching};
use super::{Feeds, Running};
use crate::clock::Timestamp;
use crate::config::Peer;
use crate::store::{LogEntry, Seq, Swept};
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
    pub fn owe<'a>(
        &self,
        peer: &str,
        entries: impl IntoIterator<Item = &'a LogEntry>,
    ) -> Result<usize, String> {
        self.owe_these(peer, entries, false)
    }

    /// The same, and [`Feeds::watched`] tells how far they are.
    pub(super) fn owe_watched<'a>(
        &self,
        peer: &str,
        entries: impl IntoIterator<Item = &'a LogEntry>,
    ) -> Result<usize, String> {
        self.owe_these(peer, entries, true)
    }

    fn owe_these<'a>(
        &self,
        peer: &str,
        entries: impl IntoIterator<Item = &'a LogEntry>,
        watch: bool,
    ) -> Result<usize, String> {
        let running = self.running();
        let Some(Running { peer, controls, exchange, .. }) = running.get(peer) else {
            return Err("there is no feed to it".to_owned());
        };
        let (_, reported, ..) = exchange.figures();
        if let State::Standby { of } = reported.state {
            return Err(format!(
                "backup_of: it is sent articles while {of} cannot be reached, and that is not so"
            ));
        }
        let mut why = None;
        let mut seqs: Vec<Seq> = Vec::new();
        for entry in entries.into_iter().take(OWE_MAX) {
            match judge(peer, entry) {
                Ok(()) => seqs.push(entry.seq),
                Err(unowed) => why = Some(unowed),
            }
        }
        if let (true, Some(why)) = (seqs.is_empty(), why) {
            return Err(why.to_string());
        }
        let count = seqs.len();
        if watch {
            controls.watched().seqs.extend(&seqs);
        }
        controls.owed.lock().unwrap_or_else(PoisonError::into_inner).append(&mut seqs);
        exchange.scheduler.notify_one();
        Ok(count)
    }

    /// How far what is watched is.
    pub(super) fn watched(&self, peer: &str) -> Watched {
        let running = self.running();
        let Some(running) = running.get(peer) else { return Watched::default() };
        running.controls.watched().watched()
    }

    /// Nothing is watched any more.
    pub(super) fn unwatch(&self, peer: &str) {
        if let Some(running) = self.running().get(peer) {
            *running.controls.watched() = Watching::default();
        }
    }

    /// The peer of this name, if it has a feed.
    pub(super) fn peer(&self, name: &str) -> Option<Arc<Peer>> {
        self.running().get(name).map(|running| running.peer.clone())
    }

    /// Offers the peer once more what it should have of a part of the log, beside its feed, on a connection of
    /// its own. None: it has no feed.
    pub(super) fn sweep(&self, peer: &Arc<Peer>, swept: Swept) -> Option<Sweep> {
        let exchange = Arc::new(self.running().get(&peer.name)?.exchange.beside());
        let controls = Controls::default();
        let span = Span::Between {
            from: Seq(swept.at),
            to: Seq(swept.to),
            since: Timestamp::from_unix_s(swept.since_s),
        };
        *controls.watched() = Watching::all_from(swept);
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
            span,
        );
        Some(Sweep { exchange, controls, task: tokio::spawn(scheduler.run()) })
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

    /// What has been answered up to where.
    pub(super) fn swept(&self) -> Swept {
        self.controls.watched().swept().unwrap_or_default()
    }

    /// How many answers have come, and what went wrong last.
    pub(super) fn progress(&self) -> (u64, String) {
        let (totals, reported, ..) = self.exchange.figures();
        (totals.accepted + totals.refused + totals.rejected + totals.gone, reported.last_error)
    }

    /// Some of what the peer rejected, and of what is not to be read here any more: Message-ID and why.
    pub(super) fn named(&self) -> Vec<String> {
        self.exchange.named()
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.controls.stop.cancel();
        self.controls.abandon.cancel();
    }
}
