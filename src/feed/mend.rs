//! A sync by itself, where something was lost that the cursor does not tell, and the places where that is
//! noticed:
//!
//! - the place of a peer that has been fed before is not in the log any more ([`begin`]);
//! - the log begins behind the place: segments went before their articles were offered ([`look_for_gap`]).
//!   That is asked of the store at the start of a feed and at each reading from the disk, so that whoever
//!   removes segments has nothing to tell the feeds;
//! - records are damaged that the feed passes over ([`read_on`]);
//! - an article was damaged here, or missing, when it was to be offered (the scheduler);
//! - a part of the log was damaged when it was replayed: there may have been what this peer has given us, or
//!   is owed (the store).
//!
//! A loss is kept in the record of the peer's place until a sync has made it good. A new peer has lost
//! nothing: it begins at the end of the log.

use super::Feeds;
use crate::clock::Timestamp;
use crate::config::Peer;
use crate::store::{LogEntry, Loss, PeerState, ReadError, Seq, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// How often is looked for losses.
const LOOK: Duration = Duration::from_secs(2);
/// Syncs that run by themselves at the same time.
const AT_ONCE: usize = 2;
/// The pause after a sync that did not end in a whole proof ...
const AGAIN: Duration = Duration::from_secs(600);
/// ... which doubles up to this.
const AGAIN_MAX: Duration = Duration::from_secs(24 * 3600);
/// Syncs that came to their end without a whole proof, after which it is as good as it gets: what the
/// other site rejects it will reject for ever.
const TRIES_MAX: u32 = 5;
/// What a peer is owed was dated so many days before it came here, at most, as far as a sync that nobody
/// asked for is concerned.
const BEFORE_S: i64 = 7 * 24 * 3600;

/// Where a feed begins that has no state: at the end of the log, as in INN. If the peer was fed before, its
/// place was lost, and a sync is due. One that we do not dial cannot be synced from here: it is offered
/// again what came since it was fed first.
pub(super) fn begin(store: &Store, peer: &Peer) -> PeerState {
    let mut state = PeerState { cursor: store.last_seq(), deferred: Vec::new() };
    let mut loss = None;
    if let Some(since) = store.fed_since(&peer.name) {
        if peer.dial.is_some() {
            let why = "its place in the log was lost";
            warn!(target: "feedd::feed", peer = %peer.name, "{why}: a sync is due");
            loss = Some(why.to_owned());
        } else {
            state.cursor = store.seq_before(since);
            warn!(
                target: "feedd::feed", peer = %peer.name, from = state.cursor.0 + 1,
                "its place in the log was lost: it is offered again what came since it was fed first"
            );
        }
    }
    store.begin_peer(&peer.name, state.clone(), loss);
    state
}

/// Is what comes behind `after` gone from the log already? Then it is kept as a loss.
pub(super) fn look_for_gap(store: &Store, peer: &str, after: Seq) {
    if after >= store.last_seq() {
        return;
    }
    let first = store.first_seq().unwrap_or_default();
    if after.0 + 1 < first.0 {
        let why = format!("records {} to {} left the log before they were offered", after.0 + 1, first.0 - 1);
        warn!(target: "feedd::feed", peer, %why, "the feed has a gap: a sync is due");
        store.lose(peer, &why);
    }
}

/// Reads on in the log for a feed; what is lost of it is kept as a loss. Waits for the disk.
pub(super) fn read_on(
    store: &Store,
    peer: &str,
    after: Seq,
    max: usize,
) -> Result<(Vec<Arc<LogEntry>>, Seq), ReadError> {
    look_for_gap(store, peer, after);
    store.log_telling(after, max, &|first, last| {
        let why = format!("records {} to {} of the log are damaged", first.0, last.0);
        warn!(target: "feedd::feed", peer, %why, "the feed passes over them: a sync is due");
        store.lose(peer, &why);
    })
}

/// What became of a sync by itself.
enum Ended {
    /// Nothing is missing.
    Whole,
    /// It came to its end, and something is missing.
    Parts,
    /// It did not.
    Broken,
}

/// When a peer's turn is again.
#[derive(Default)]
struct Again {
    at: Option<Instant>,
    pause: Duration,
    tries: u32,
}

impl Feeds {
    /// Syncs with each peer of which a loss is known, as soon as it is connected; for ever. `site` is our
    /// path identity.
    pub async fn mend(self: Arc<Self>, site: String) {
        let mut again: HashMap<String, Again> = HashMap::new();
        let mut syncing = JoinSet::new();
        let mut busy: Vec<String> = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = syncing.join_next() => {
                    // A panic in it has been reported already; that peer has its turn after a restart.
                    let Ok((peer, loss, ended)) = done else { continue };
                    busy.retain(|name| *name != peer);
                    self.ended(peer, &loss, &ended, &mut again);
                }
                () = sleep(LOOK) => {}
            }
            for (peer, loss) in self.losses() {
                let waits = again.get(&peer).and_then(|again| again.at).is_some_and(|at| Instant::now() < at);
                if waits || busy.contains(&peer) || syncing.len() >= AT_ONCE {
                    continue;
                }
                info!(target: "feedd::feed", %peer, why = %loss.why, "a sync, because something was lost");
                busy.push(peer.clone());
                let (feeds, site) = (self.clone(), site.clone());
                syncing.spawn(async move {
                    let ended = feeds.mend_one(&site, &peer).await;
                    (peer, loss, ended)
                });
            }
        }
    }

    fn ended(&self, peer: String, loss: &Loss, ended: &Ended, again: &mut HashMap<String, Again>) {
        let next = again.entry(peer.clone()).or_default();
        next.tries += u32::from(matches!(ended, Ended::Parts));
        let given_up = next.tries >= TRIES_MAX;
        if given_up {
            warn!(target: "feedd::feed", %peer, "something is missing for good: no more syncs for this loss");
        }
        if given_up || matches!(ended, Ended::Whole) {
            self.store.mended(&peer, loss);
            again.remove(&peer);
        } else {
            next.pause = if next.pause.is_zero() { AGAIN } else { (next.pause * 2).min(AGAIN_MAX) };
            next.at = Some(Instant::now() + next.pause);
        }
    }

    async fn mend_one(&self, site: &str, peer: &str) -> Ended {
        match self.sync(peer, site, self.owed_since(peer), &|_| ()).await {
            Ok(report) if report.is_whole() => {
                info!(target: "feedd::feed", peer, proof = %report.proof(), "synced");
                Ended::Whole
            }
            Ok(report) => {
                let ways = [Some(&report.sent), report.accepted.as_ref()];
                let missing: Vec<&str> =
                    ways.into_iter().flatten().flat_map(|way| &way.missing).map(String::as_str).collect();
                warn!(
                    target: "feedd::feed", peer, proof = %report.proof(), missing = %missing.join(" "),
                    "synced, and something is missing"
                );
                if report.is_answered() { Ended::Parts } else { Ended::Broken }
            }
            Err(why) => {
                warn!(target: "feedd::feed", peer, %why, "no sync");
                Ended::Broken
            }
        }
    }

    /// Since when articles are dated that make a loss good: before it was fed for the first time nothing was
    /// owed to the peer.
    pub(super) fn owed_since(&self, peer: &str) -> Timestamp {
        self.store.fed_since(peer).map_or(Timestamp::default(), |since| since.plus_s(-BEFORE_S))
    }

    /// The peers that are dialled and connected, and of which a loss is known.
    fn losses(&self) -> Vec<(String, Loss)> {
        let running = self.running();
        let connected =
            running.iter().filter(|(_, feed)| feed.peer.dial.is_some() && feed.exchange.connections() > 0);
        connected.filter_map(|(name, _)| Some((name.clone(), self.store.loss(name)?))).collect()
    }
}
