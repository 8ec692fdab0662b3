//! What peers bring, counted by peer: for `feedd peer status`.
//!
//! A connection counts for itself ([`Guest`]) and adds that to its peer's figures between two reads of
//! its socket, so that many connections do not fight for one counter at each offer.

use crate::clock::{self, Timestamp};
use crate::journal::figures::{Given, Meter, Reasons};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Peers, or addresses that several peers share, that are told apart.
const PEERS_MAX: usize = 4096;

/// What one peer has brought since the site started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IncomingStatus {
    /// The peer; an address where several peers share one.
    pub peer: String,
    /// Connections that are open.
    pub connections: u64,
    /// Of those, over TLS.
    pub tls: u64,
    /// Offers that were answered for good or put off; one that was asked for counts when it is here.
    pub offered: u64,
    pub accepted: u64,
    /// Not wanted (435, 438).
    pub refused: u64,
    /// Transferred, but not taken (437, 439).
    pub rejected: u64,
    /// Put off (431, 436, 400).
    pub deferred: u64,
    /// Octets of accepted articles.
    pub bytes: u64,
    /// Over about the last half minute.
    pub articles_s: f64,
    pub bytes_s: f64,
    /// Why articles were rejected, the most frequent first.
    pub reasons: Vec<Given>,
    /// The last accepted article: Unix milliseconds; none: there was none.
    pub last_article_ms: Option<i64>,
    /// The first connection since the site started: Unix milliseconds.
    pub since_ms: i64,
}

/// The figures of all peers.
#[derive(Debug, Default)]
pub struct Incoming(Mutex<BTreeMap<String, Arc<Mutex<Figures>>>>);

#[derive(Debug, Default)]
struct Figures {
    connections: u64,
    tls: u64,
    counts: Counts,
    reasons: Reasons,
    meter: Meter,
    last_article: Option<Timestamp>,
    since: Timestamp,
}

/// What a connection has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) rejected: u64,
    pub(super) deferred: u64,
    /// Octets of accepted articles.
    pub(super) bytes: u64,
}

/// A peer's connection, from its first offer on; it is counted as open while this lives.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) peer: String,
    figures: Arc<Mutex<Figures>>,
    tls: bool,
    /// Not added to the peer's figures yet.
    pub(super) counts: Counts,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is complete in itself, so a poisoned one is still good.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incoming {
    /// A connection of this peer has come, over TLS or not; none when there are too many peers to tell apart.
    pub(super) fn meet(&self, peer: &str, tls: bool) -> Option<Guest> {
        let mut peers = held(&self.0);
        if !peers.contains_key(peer) && peers.len() >= PEERS_MAX {
            return None;
        }
        let figures = peers.entry(peer.to_owned()).or_insert_with(|| {
            let since = clock::now();
            Arc::new(Mutex::new(Figures { since, ..Figures::default() }))
        });
        let mut sum = held(figures);
        sum.connections += 1;
        sum.tls += u64::from(tls);
        drop(sum);
        Some(Guest { peer: peer.to_owned(), figures: figures.clone(), tls, counts: Counts::default() })
    }

    /// All figures, by peer.
    pub fn status(&self) -> Vec<IncomingStatus> {
        let now = clock::now();
        held(&self.0).iter().map(|(peer, figures)| held(figures).status(peer, now)).collect()
    }
}

impl Figures {
    fn status(&self, peer: &str, now: Timestamp) -> IncomingStatus {
        let Counts { accepted, refused, rejected, deferred, bytes } = self.counts;
        let (articles_s, bytes_s) = self.meter.rates(now);
        IncomingStatus {
            peer: peer.to_owned(),
            connections: self.connections,
            tls: self.tls,
            offered: accepted + refused + rejected + deferred,
            accepted,
            refused,
            rejected,
            deferred,
            bytes,
            articles_s,
            bytes_s,
            reasons: self.reasons.all(),
            last_article_ms: self.last_article.map(Timestamp::unix_ms),
            since_ms: self.since.unix_ms(),
        }
    }
}

impl Guest {
    /// An article was rejected.
    pub(super) fn rejected(&mut self, reason: &str) {
        self.counts.rejected += 1;
        held(&self.figures).reasons.count(reason);
    }

    /// Adds what was counted to the peer's figures.
    pub(super) fn fold(&mut self) {
        if self.counts == Counts::default() {
            return;
        }
        let counts = std::mem::take(&mut self.counts);
        let mut figures = held(&self.figures);
        let sum = &mut figures.counts;
        sum.accepted += counts.accepted;
        sum.refused += counts.refused;
        sum.rejected += counts.rejected;
        sum.deferred += counts.deferred;
        sum.bytes += counts.bytes;
        if counts.accepted > 0 {
            let now = clock::now();
            figures.last_article = Some(now);
            figures.meter.add(now, counts.accepted, counts.bytes);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.fold();
        let mut figures = held(&self.figures);
        figures.connections = figures.connections.saturating_sub(1);
        figures.tls = figures.tls.saturating_sub(u64::from(self.tls));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_peer_add_up_and_leave() {
        let incoming = Incoming::default();
        let mut first = incoming.meet("b", false).unwrap();
        let mut second = incoming.meet("b", true).unwrap();
        let _other = incoming.meet("c", false).unwrap();
        first.counts = Counts { accepted: 2, bytes: 30, ..Counts::default() };
        second.counts.refused = 5;
        second.rejected("Unwanted newsgroup \"x\"");
        first.fold();
        first.fold();
        let b = |incoming: &Incoming| incoming.status().into_iter().find(|row| row.peer == "b").unwrap();
        let row = b(&incoming);
        assert_eq!((row.connections, row.tls, row.accepted, row.bytes, row.refused), (2, 1, 2, 30, 0));
        assert!(row.last_article_ms.is_some());
        drop((first, second));
        let row = b(&incoming);
        assert_eq!((row.connections, row.tls, row.offered, row.rejected), (0, 0, 8, 1));
        assert_eq!(row.reasons[0], Given { reason: "Unwanted newsgroup".to_owned(), times: 1 });
    }
}
