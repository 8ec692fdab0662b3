//! Feeds: who is owed what. A feed is a cursor on the log, not a queue: what a peer is owed is
//! every article behind its cursor that its subscription wants and that it has not handled.

use crate::config::Peer;
use crate::store::{Seq, Store};
use std::sync::Arc;

/// Figures of one feed, for `feedd peer list` and `feedd status`.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct FeedStatus {
    pub peer: String,
    pub address: String,
    /// `connected`, `waiting to retry in 2 s`, `idle`, ...
    pub state: String,
    pub cursor: u64,
    /// Log records behind the cursor: an upper bound of the articles still owed.
    pub lag: u64,
    pub offered: u64,
    pub accepted: u64,
    pub refused: u64,
    pub rejected: u64,
    pub deferred: u64,
    pub bytes: u64,
    /// The last thing that went wrong; empty if nothing.
    pub last_error: String,
}

/// The running feeds of a site.
pub struct Feeds {}

#[allow(unused_variables, clippy::todo, clippy::unused_async)]
impl Feeds {
    /// Starts a task for every peer that has an address. Called within a tokio runtime. `tip` says
    /// when the log has grown.
    pub fn start(store: Store, peers: &[Arc<Peer>], tip: tokio::sync::watch::Receiver<Seq>) -> Self {
        todo!()
    }

    /// Applies a new list of peers: new ones start, gone ones stop (their cursor stays in the store),
    /// unchanged ones are not disturbed.
    pub async fn reload(&self, peers: &[Arc<Peer>]) {
        todo!()
    }

    /// The peer has just connected to us, so it is up: dial now instead of at the end of the backoff.
    pub fn nudge(&self, peer: &str) {
        todo!()
    }

    /// Figures, by peer name.
    pub fn status(&self) -> Vec<FeedStatus> {
        todo!()
    }

    /// Stops all feeds: no new offers, replies owed are awaited for at most `grace`, cursors saved.
    pub async fn stop(&self, grace: std::time::Duration) {
        todo!()
    }
}
