//! The lines of accepted articles in the news log. They come from the spool log itself, behind the
//! feeds: that is where the peers are known that an article is owed to, and no article waits for it.
//!
//! What is accepted while the site runs gets its line, also what is accepted last. A crash of the site
//! may lose the lines of the last tenth of a second.

use super::owed;
use crate::agent::JUNK;
use crate::article::path;
use crate::config::Peer;
use crate::journal::news::{self, Accepted};
use crate::journal::{Journal, Lines};
use crate::store::{LogEntry, ReadError, Seq, Store, Wait};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Articles that are looked at in one go.
const READ_MAX: usize = 256;
/// How long articles gather: one wake-up for all of them.
const GATHER: Duration = Duration::from_millis(50);

/// Who writes them.
pub(super) struct Follower {
    pub(super) store: Store,
    pub(super) journal: Journal,
    /// The peers as they are now.
    pub(super) peers: watch::Receiver<Vec<Arc<Peer>>>,
    pub(super) tip: watch::Receiver<Seq>,
    pub(super) stop: CancellationToken,
    /// Articles up to here have their lines.
    pub(super) told: Seq,
}

impl Follower {
    /// Writes until it is stopped, and then to the end of the log.
    pub(super) async fn run(mut self) {
        loop {
            let stopping = self.stop.is_cancelled();
            self.tip.mark_unchanged();
            self.catch_up().await;
            if stopping {
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                grown = self.tip.changed() => match grown {
                    Ok(()) => tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = tokio::time::sleep(GATHER) => {}
                    },
                    // Nobody writes to the log any more.
                    Err(_) => self.stop.cancelled().await,
                },
            }
        }
    }

    async fn catch_up(&mut self) {
        let mut lines = Lines::default();
        loop {
            let read = match self.store.log(self.told, READ_MAX, Wait::No) {
                Err(ReadError::WouldBlock) => {
                    let (store, told) = (self.store.clone(), self.told);
                    tokio::task::spawn_blocking(move || store.log(told, READ_MAX, Wait::Disk))
                        .await
                        .unwrap_or_else(|error| Err(ReadError::Corrupt(error.to_string())))
                }
                read => read,
            };
            let (entries, next) = match read {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(?error, "articles are missing in the news log: the log cannot be read");
                    (Vec::new(), self.store.last_seq())
                }
            };
            {
                let peers = self.peers.borrow();
                for entry in &entries {
                    line(&mut lines, entry, &peers);
                }
            }
            self.journal.append(&mut lines);
            if next <= self.told {
                return;
            }
            self.told = next;
            tokio::task::consume_budget().await;
        }
    }
}

fn line(lines: &mut Lines, entry: &LogEntry, peers: &[Arc<Peer>]) {
    let source =
        if entry.source.is_empty() { path::leftmost(&entry.path).unwrap_or_default() } else { &entry.source };
    let filed = entry.numbers.split_once(':').map_or("", |(newsgroup, _)| newsgroup);
    let junk = filed == JUNK && !entry.numbers.contains(' ') && entry.newsgroups != JUNK;
    let article = Accepted { at: entry.arrived, junk, source, id: &entry.id, bytes: entry.len };
    let is_owed = |peer: &&Arc<Peer>| owed::is_fed(peer) && owed::judge(peer, entry).is_ok();
    news::accepted(lines, article, peers.iter().filter(is_owed).map(|peer| peer.name.as_str()));
}
