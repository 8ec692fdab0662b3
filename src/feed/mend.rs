//! A sync by itself, where something was lost that the cursor does not tell: articles that left the log
//! before they were offered, or a part of our own log, in which there may have been what this peer has
//! given us. The store keeps the loss until the proof is whole.

use super::Feeds;
use crate::clock::Timestamp;
use crate::store::{Seq, Store};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// How often is looked for losses.
const LOOK: Duration = Duration::from_secs(2);
/// The pause after a sync that did not end in a whole proof ...
const AGAIN: Duration = Duration::from_secs(600);
/// ... which doubles up to this.
const AGAIN_MAX: Duration = Duration::from_secs(24 * 3600);

/// Is what comes behind `after` gone from the log already? Then it is kept as a loss.
pub(super) fn look_for_gap(store: &Store, peer: &str, after: Seq) {
    let first = store.first_seq().unwrap_or_default();
    if after.0 + 1 < first.0 {
        let why = format!("records {} to {} left the log before they were offered", after.0 + 1, first.0 - 1);
        warn!(target: "feedd::feed", peer, %why, "the feed has a gap");
        store.set_loss(peer, Some(why));
    }
}

impl Feeds {
    /// Syncs with each peer of which a loss is known, as soon as it is connected; for ever. `site` is our
    /// path identity.
    pub async fn mend(&self, site: &str) {
        let mut again: HashMap<String, (Instant, Duration)> = HashMap::new();
        loop {
            sleep(LOOK).await;
            for (peer, why) in self.losses() {
                let now = Instant::now();
                if again.get(&peer).is_some_and(|(at, _)| now < *at) {
                    continue;
                }
                info!(target: "feedd::feed", %peer, %why, "a sync, because something was lost");
                if self.mend_one(site, &peer).await {
                    self.store.set_loss(&peer, None);
                    again.remove(&peer);
                } else {
                    let pause = again.get(&peer).map_or(AGAIN, |(_, pause)| (*pause * 2).min(AGAIN_MAX));
                    again.insert(peer, (Instant::now() + pause, pause));
                }
            }
        }
    }

    /// Is the proof whole?
    async fn mend_one(&self, site: &str, peer: &str) -> bool {
        match self.sync(peer, site, Timestamp::default(), &|_| ()).await {
            Ok(report) if report.is_whole() => {
                info!(target: "feedd::feed", peer, proof = %report.proof(), "synced");
                true
            }
            Ok(report) => {
                let ways = [Some(&report.sent), report.accepted.as_ref()];
                let missing: Vec<&str> =
                    ways.into_iter().flatten().flat_map(|way| &way.missing).map(String::as_str).collect();
                warn!(
                    target: "feedd::feed", peer, proof = %report.proof(), missing = %missing.join(" "),
                    "synced, and something is missing"
                );
                false
            }
            Err(why) => {
                warn!(target: "feedd::feed", peer, %why, "no sync");
                false
            }
        }
    }

    /// The peers that are dialled and connected, and of which a loss is known.
    fn losses(&self) -> Vec<(String, String)> {
        let running = self.running();
        let connected =
            running.iter().filter(|(_, feed)| feed.peer.dial.is_some() && feed.exchange.connections() > 0);
        connected.filter_map(|(name, _)| Some((name.clone(), self.store.loss(name)?))).collect()
    }
}
