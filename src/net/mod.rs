//! Sockets: listeners, connections, and the shell that drives [`crate::session::Server`] with the
//! store and the intake behind it. This room and [`crate::feed`] and [`crate::admin`] are the only
//! ones that know tokio.
//!
//! One task serves one connection (`connection`). It owns an input buffer only while there is
//! something in it, so an idle reader costs a few KiB. Replies leave in the order of the commands,
//! also while articles wait for their commit.

mod articles;
mod connection;
mod door;
mod gate;
mod incoming;
mod listener;
mod output;
mod pace;
mod reading;
mod settle;
mod stream;
mod tell;
mod telling;

pub use connection::serve;
pub use door::{Admitted, Door, Entry, TurnedOver};
pub use incoming::{Incoming, IncomingStatus};
pub use listener::listen;

use crate::config::{Limits, Lists};
use crate::intake::Intake;
use crate::journal::Journals;
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What all connections of a site share.
pub struct Service {
    /// The store, for readers.
    pub store: Store,
    /// The intake, for articles.
    pub intake: Intake,
    /// This site's path identity: the name in the greeting.
    pub identity: String,
    /// The operator's limits.
    pub limits: Limits,
    /// Cancelled when the site stops: connections finish what they owe and close.
    pub stop: CancellationToken,
    /// The operator's lists; a connection keeps those of its beginning, so that it answers what it
    /// announced.
    lists: RwLock<Arc<Lists>>,
    /// Octets of articles in flight, in KiB.
    pub(crate) budget: Semaphore,
    /// Who may come in, and how often.
    pub(crate) gate: gate::Gate,
    /// Figures for the operator.
    pub counters: Counters,
    /// What peers have brought.
    pub incoming: Incoming,
    /// Where articles are written down; nowhere, unless the house says otherwise.
    pub journals: Journals,
}

/// What the connections have done since the start.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Counters {
    pub connections: AtomicUsize,
    pub connections_total: AtomicU64,
    pub connections_refused: AtomicU64,
    pub connections_peers: AtomicUsize,
    pub commands: AtomicU64,
    pub accepted: AtomicU64,
    pub rejected: AtomicU64,
    pub deferred: AtomicU64,
    pub articles_sent: AtomicU64,
    pub tls: AtomicU64,
    pub tls_failed: AtomicU64,
    pub compressed: AtomicU64,
    pub compress_refused: AtomicU64,
    pub logins: AtomicU64,
    pub logins_failed: AtomicU64,
    pub logins_slowed: AtomicU64,
    pub addresses_full: AtomicU64,
    pub peers_full: AtomicU64,
    pub accounts_full: AtomicU64,
    pub quotas_met: AtomicU64,
    pub lines_too_long: AtomicU64,
    pub headers_too_large: AtomicU64,
    pub articles_too_large: AtomicU64,
    pub crossposts_too_wide: AtomicU64,
    pub idle_cut: AtomicU64,
    pub slow_cut: AtomicU64,
}

impl Counters {
    /// All of them by name; what counts how often a limit was met ends in what became of it.
    pub fn all(&self) -> BTreeMap<String, u64> {
        let now = |count: &AtomicUsize| AtomicU64::new(count.load(Ordering::Relaxed) as u64);
        let (connections, peers) = (now(&self.connections), now(&self.connections_peers));
        let named = [
            ("connections", &connections),
            ("connections_peers", &peers),
            ("connections_total", &self.connections_total),
            ("connections_refused", &self.connections_refused),
            ("addresses_full", &self.addresses_full),
            ("peers_full", &self.peers_full),
            ("accounts_full", &self.accounts_full),
            ("commands", &self.commands),
            ("accepted", &self.accepted),
            ("rejected", &self.rejected),
            ("deferred", &self.deferred),
            ("articles_sent", &self.articles_sent),
            ("tls", &self.tls),
            ("tls_failed", &self.tls_failed),
            ("compressed", &self.compressed),
            ("compress_refused", &self.compress_refused),
            ("logins", &self.logins),
            ("logins_failed", &self.logins_failed),
            ("logins_slowed", &self.logins_slowed),
            ("quotas_met", &self.quotas_met),
            ("lines_too_long", &self.lines_too_long),
            ("headers_too_large", &self.headers_too_large),
            ("articles_too_large", &self.articles_too_large),
            ("crossposts_too_wide", &self.crossposts_too_wide),
            ("idle_cut", &self.idle_cut),
            ("slow_cut", &self.slow_cut),
        ];
        named.into_iter().map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed))).collect()
    }

    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Service {
    /// A service on `store` with these limits.
    pub fn new(
        store: Store,
        intake: Intake,
        identity: String,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        let budget = Semaphore::new((limits.in_flight_bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS));
        Self {
            store,
            intake,
            identity,
            limits,
            stop,
            lists: RwLock::default(),
            budget,
            gate: gate::Gate::default(),
            counters: Counters::default(),
            incoming: Incoming::default(),
            journals: Journals::default(),
        }
    }

    /// How long somebody may be slow before it counts.
    pub(crate) fn slow_window(&self) -> Duration {
        Duration::from_secs(self.limits.slow_s)
    }

    /// The operator's lists as they are now.
    pub fn lists(&self) -> Arc<Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives connections that begin from now on these lists.
    pub fn set_lists(&self, lists: Lists) {
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
    }

    /// Is there less of the budget left than another large article takes?
    pub(crate) fn is_short(&self) -> bool {
        self.budget.available_permits() < self.permits(self.limits.article_bytes_max) as usize
    }

    /// The permits that an article of this many octets takes: never more than there are.
    pub(crate) fn permits(&self, octets: usize) -> u32 {
        let all = (self.limits.in_flight_bytes_max / 1024).max(1);
        u32::try_from(octets.div_ceil(1024).min(all)).unwrap_or(u32::MAX)
    }
}
