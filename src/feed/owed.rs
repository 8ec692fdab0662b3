//! Is an article owed to a peer? One answer for feeds, for the news log and for `feedd trace`.

use crate::agent::contract::{self, Facts, Unowed};
use crate::clock;
use crate::config::Peer;
use crate::store::{LogEntry, Seq, Store, Wait};

/// Articles that are looked at to count those owed.
const COUNTED_MAX: usize = 1000;

/// Is this article owed to the peer, as its contract is now (RFC 5537 s.3.6)?
///
/// # Errors
/// Why not.
pub fn judge(peer: &Peer, entry: &LogEntry) -> Result<(), Unowed> {
    let facts = Facts {
        newsgroups: &entry.newsgroups,
        distribution: &entry.distribution,
        octets: entry.len,
        path: &entry.path,
        date: entry.date,
        now: clock::now(),
        kind: entry.kind,
    };
    contract::owed(peer, &entry.source, entry.kept, &facts)
}

/// How many of the articles behind `after` are owed to the peer. There may be too many to count: then none.
pub fn count(store: &Store, peer: &Peer, after: Seq, wait: Wait) -> Option<u64> {
    let (entries, next) = store.log(after, COUNTED_MAX, wait).ok()?;
    let owed = entries.iter().filter(|entry| judge(peer, entry).is_ok()).count() as u64;
    (next >= store.last_seq()).then_some(owed)
}

/// Does the peer get articles from us at all?
pub fn is_fed(peer: &Peer) -> bool {
    peer.dial.is_some() || peer.turn || peer.batch.as_ref().is_some_and(|batch| batch.out.is_some())
}
