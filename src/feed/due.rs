//! Is an article owed to a peer, and may it leave yet? The same for connections and for files.

use crate::agent::contract::{Facts, owed};
use crate::clock;
use crate::config::Peer;
use crate::store::LogEntry;
use std::time::Duration;

/// Is the article owed to this peer? Not when it brought it itself, nor when its Path says that it
/// has it (RFC 5537 s.3.6).
pub(super) fn is_owed(peer: &Peer, entry: &LogEntry) -> bool {
    let facts = Facts {
        newsgroups: &entry.newsgroups,
        distribution: &entry.distribution,
        octets: entry.len,
        path: &entry.path,
        date: entry.date,
        now: clock::now(),
        kind: entry.kind,
    };
    owed(peer, &entry.source, entry.kept, &facts).is_ok()
}

/// How long the article is to stay here yet, so that a cancel may overtake it. A clock that was set
/// back makes that no longer than the whole delay.
pub(super) fn is_young(peer: &Peer, entry: &LogEntry) -> Option<Duration> {
    let delay_ms = i64::try_from(peer.delay_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let left_ms = entry.arrived.unix_ms().saturating_add(delay_ms) - clock::now().unix_ms();
    (delay_ms > 0 && left_ms > 0)
        .then(|| Duration::from_millis(u64::try_from(left_ms.min(delay_ms)).unwrap_or(0)))
}
