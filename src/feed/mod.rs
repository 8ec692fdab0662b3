//! Feeds: who is owed what. A feed is a cursor on the log, not a queue: what a peer is owed is
//! every article behind its cursor that its subscription wants and that it has not handled.
//!
//! Nothing is copied for a peer. Its `scheduler` reads the log from the cursor, at most a few
//! windows ahead, and puts what the peer is owed on an `exchange`; one or more connections
//! (`sender`, around the sans-IO machine of [`crate::session::sender`]) take from it and hand the
//! answers back; the `cursor` follows the settled answers and is saved behind them. So a peer that
//! is down, slow or stopped costs a few hundred log entries, holds nobody up, and resumes where it
//! was. *Reliable* means: every accepted article is offered to every peer whose subscription wants
//! it until the peer has answered for good or the article is gone from the store.
//!
//! | part | what it is |
//! |---|---|
//! | `scheduler` | one task per peer: log, subscription, answers, reconnecting |
//! | `sender` | one connection: moves octets both ways |
//! | `exchange` | what the two share |
//! | `again` | articles that are offered again, beside the new ones |
//! | `cursor` | what is settled, in any order of answers |
//! | `schedule` | pauses between attempts; deferred articles |
//! | `owed` | is an article owed to a peer? |
//! | `news` | the news log's lines of accepted articles |
//! | `gate`, `rate` | when, and how much, is sent: times of the week, backups, octets a second |
//! | `batch` | peers that are fed by files instead of connections |
//! | `turn` | connections that the other side has opened |
//! | `sync`, `compare`, `talk`, `sweep` | comparing with a peer what both have; offering it a part of the log again |
//! | `mend` | a sync by itself where something was lost |
//! | `watching` | articles whose answers a sync waits for |
//! | `controls` | what a running feed is told from outside |
//! | `outbox`, `dial` | what is to be written; opening a connection |
//!
//! A peer seen for the first time starts at the end of the log, as in INN: what was accepted before
//! is not sent to it. From then on nothing is left out.

mod again;
mod batch;
mod compare;
mod controls;
mod cursor;
mod dial;
mod exchange;
mod gate;
mod mend;
mod news;
mod opening;
mod outbox;
pub mod owed;
mod rate;
mod schedule;
mod scheduler;
mod sender;
mod sweep;
mod sync;
mod talk;
mod turn;
mod watching;

pub use batch::{Written, write_batches};
pub use dial::service as service_of;
pub use gate::Neighbours;
pub use sync::{Agreement, SyncReport, grouped};
pub use turn::{Host, Serving};

use crate::clock::{self, Timestamp};
use crate::config::{DialTls, Peer};
use crate::journal::Journals;
use crate::journal::figures::Given;
use crate::store::{Seq, Store, Wait};
use crate::tls::client::OwnCertificate;
use crate::transport::{Machine, Network, Transport};
use controls::Controls;
use exchange::{Exchange, State};
use gate::Gate;
use news::Follower;
use scheduler::{Scheduler, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use turn::{Turned, keep_turned};

/// How long a feed that a reload ends may wait for the replies it is owed.
const RELOAD_GRACE: Duration = Duration::from_secs(5);

/// Figures of one feed, for `feedd peer list` and `feedd status`. Counters begin at the start of the
/// feed.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct FeedStatus {
    pub peer: String,
    pub address: String,
    /// `connecting`, `connected (CHECK, 1 connection)`, `connected (CHECK, 1 connection, came in)`,
    /// `waiting 2.5 s to retry`, `waiting for it to connect`, `outside its schedule until Mon 22:00`,
    /// `standing by for NAME`, `writing batches every 3600 s`, `stopped`. Of articles in batches `offered` and
    /// `accepted` count those written: nobody answers.
    pub state: String,
    pub cursor: u64,
    /// Log records behind the cursor: an upper bound of the articles still owed.
    pub lag: u64,
    /// Offers made, repeated ones included.
    pub offered: u64,
    pub accepted: u64,
    /// Not wanted (435, 438).
    pub refused: u64,
    /// Transferred, but not taken (437, 439).
    pub rejected: u64,
    /// Put off (431, 436); they are offered again.
    pub deferred: u64,
    /// Not in the store any more when their turn came, or damaged there: the log names those.
    pub gone: u64,
    /// Octets of accepted articles.
    pub bytes: u64,
    /// The last thing that went wrong; empty if nothing.
    pub last_error: String,
    /// When that was, Unix milliseconds.
    #[serde(default)]
    pub last_error_ms: Option<i64>,
    /// Articles still owed, deferred ones included; if it is not exact, there are at most so many.
    #[serde(default)]
    pub owed: u64,
    #[serde(default)]
    pub owed_is_exact: bool,
    /// Seconds since the oldest of those came; none: none is owed, or it is not known.
    #[serde(default)]
    pub lag_s: Option<u64>,
    /// Of those owed, put off by the peer.
    #[serde(default)]
    pub put_off: u64,
    /// Why a sync with it is due, which comes by itself; none: it is not.
    #[serde(default)]
    pub loss: Option<String>,
    #[serde(default)]
    pub connections: u64,
    /// Is it spoken to over TLS?
    #[serde(default)]
    pub tls: bool,
    /// Since when it is connected, Unix milliseconds.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// Accepted over about the last half minute.
    #[serde(default)]
    pub articles_s: f64,
    #[serde(default)]
    pub bytes_s: f64,
    /// Why it rejected articles, the most frequent first.
    #[serde(default)]
    pub reasons: Vec<Given>,
}

/// What feeds reach their peers with.
#[derive(Clone)]
pub struct Means {
    /// The network that is dialled over.
    pub network: Arc<dyn Network>,
    /// This site's certificate, shown to peers that ask for one.
    pub certificate: Shown,
    /// The server, for connections that we open and on which the peer offers; none: there are none.
    pub host: Option<Arc<dyn Host>>,
    /// Where articles and replies are written down.
    pub journals: Journals,
    /// The site's other feeds.
    pub neighbours: Neighbours,
}

impl Default for Means {
    /// This machine's network, no certificate and no server.
    fn default() -> Self {
        Self {
            network: Machine::asking(&[]),
            certificate: Shown::default(),
            host: None,
            journals: Journals::default(),
            neighbours: Neighbours::default(),
        }
    }
}

/// The certificate that this site shows to peers, as it is now: all clones are the same one.
#[derive(Clone, Default)]
pub struct Shown(Arc<RwLock<Option<Arc<OwnCertificate>>>>);

impl Shown {
    pub(in crate::feed) fn get(&self) -> Option<Arc<OwnCertificate>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows another one from now on.
    pub fn set(&self, certificate: Option<Arc<OwnCertificate>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }
}

/// The running feeds of a site.
pub struct Feeds {
    means: Mutex<Means>,
    neighbours: Neighbours,
    store: Store,
    tip: watch::Receiver<Seq>,
    running: Mutex<BTreeMap<String, Running>>,
    /// Peers with which a sync is under way.
    syncing: Mutex<BTreeSet<String>>,
    /// All peers, for the news log.
    known: watch::Sender<Vec<Arc<Peer>>>,
    news: Mutex<Option<(CancellationToken, JoinHandle<()>)>>,
}

struct Running {
    peer: Arc<Peer>,
    exchange: Arc<Exchange>,
    controls: Controls,
    /// Who is fed by files: asks for batches now.
    batches: Option<batch::Asking>,
    task: JoinHandle<()>,
}

impl Feeds {
    /// Starts a task for every peer that has an address. Called within a tokio runtime. `tip` says
    /// when the log has grown. What is accepted after this call is owed to each of them.
    pub fn start(store: Store, peers: &[Arc<Peer>], tip: watch::Receiver<Seq>, means: Means) -> Self {
        let (known, peers_now) = watch::channel(peers.to_vec());
        let journal = means.journals.news.clone();
        let news = journal.is_kept().then(|| {
            let (stop, told) = (CancellationToken::new(), store.last_seq());
            let (store, tip) = (store.clone(), tip.clone());
            let follower = Follower { store, journal, peers: peers_now, tip, stop: stop.clone(), told };
            (stop, tokio::spawn(follower.run()))
        });
        let neighbours = means.neighbours.clone();
        let (means, running, news) = (Mutex::new(means), Mutex::default(), Mutex::new(news));
        let feeds = Self { means, neighbours, store, tip, running, syncing: Mutex::default(), known, news };
        for peer in peers {
            feeds.start_peer(peer);
        }
        feeds
    }

    /// From the next connection on this certificate is shown.
    pub fn set_certificate(&self, certificate: Option<Arc<OwnCertificate>>) {
        self.means().certificate.set(certificate);
    }

    /// Applies a new list of peers: new ones start, gone ones stop (their cursor stays in the store),
    /// unchanged ones are not disturbed.
    pub async fn reload(&self, peers: &[Arc<Peer>]) {
        self.known.send_replace(peers.to_vec());
        let stopped = {
            let mut running = self.running();
            let (kept, stopped): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut *running)
                .into_iter()
                .partition(|(_, running)| peers.contains(&running.peer));
            *running = kept;
            stopped
        };
        stop_all(stopped.into_values().collect(), RELOAD_GRACE).await;
        for peer in peers {
            self.start_peer(peer);
        }
    }

    /// The peer has just connected to us, so it is up: dial now instead of at the end of the backoff.
    pub fn nudge(&self, peer: &str) {
        if let Some(running) = self.running().get(peer) {
            running.controls.nudge.notify_one();
        }
    }

    /// Is there a feed that the peer can take over its own connection?
    pub fn takes_turns(&self, peer: &str) -> bool {
        self.running().get(peer).is_some_and(|running| running.peer.turn)
    }

    /// Has the peer's feed take a connection that the peer has opened for it: what makes the feed leave
    /// it, and what is cancelled when it has ended. Both are at once if there is no such feed.
    pub fn turn(&self, peer: &str, transport: Transport) -> (CancellationToken, CancellationToken) {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let running = self.running();
        let Some(feed) = running.get(peer).filter(|feed| feed.peer.turn) else {
            return (CancellationToken::new(), ended);
        };
        transport.keep_alive(turn::KEEP_ALIVE);
        let stop = feed.controls.stop.child_token();
        feed.controls.came_in.put(Turned { transport, stop: stop.clone(), ended: guard });
        feed.exchange.scheduler.notify_one();
        (stop, ended)
    }

    /// Figures, by peer name, without a look at the disk.
    pub fn status(&self) -> Vec<FeedStatus> {
        self.figures(Wait::No)
    }

    /// Figures, by peer name. With [`Wait::Disk`] the age of what is owed is known also where it has to
    /// be read from the disk.
    pub fn figures(&self, wait: Wait) -> Vec<FeedStatus> {
        let last = self.store.last_seq().0;
        let mut rows: Vec<_> =
            self.running().values().map(|running| (running.peer.clone(), running.status(last))).collect();
        for (peer, (row, unread, deferred)) in &mut rows {
            row.loss = self.store.loss(&peer.name).map(|loss| loss.why);
            if *unread < Seq(last)
                && let Some(owed) = owed::count(&self.store, peer, *unread, wait)
            {
                row.owed = row.owed.saturating_sub(last - unread.0) + owed;
                row.owed_is_exact = true;
            }
            let undelivered = (row.owed > row.put_off).then_some(Seq(row.cursor));
            let before_deferred = deferred.map(|seq| Seq(seq.0.saturating_sub(1)));
            row.lag_s = [undelivered, before_deferred]
                .into_iter()
                .flatten()
                .filter_map(|after| self.age_s(after, wait))
                .max();
        }
        rows.into_iter().map(|(_, (row, ..))| row).collect()
    }

    /// Seconds since the first article behind `after` came.
    fn age_s(&self, after: Seq, wait: Wait) -> Option<u64> {
        let (entries, _) = self.store.log(after, 1, wait).ok()?;
        let age_ms = clock::now().unix_ms() - entries.first()?.arrived.unix_ms();
        Some(u64::try_from(age_ms / 1000).unwrap_or(0))
    }

    /// Writes what a peer is owed that is fed by files into batches, now.
    ///
    /// # Errors
    /// One line that says why not; what was written before stays.
    pub async fn write_batches(&self, peer: &str) -> Result<Written, String> {
        let asking = self.running().get(peer).and_then(|running| running.batches.clone());
        match asking {
            Some(asking) => asking.ask().await,
            None => Err(batch::no_batches(peer)),
        }
    }

    /// Stops all feeds: no new offers, replies owed are awaited for at most `grace`, cursors saved.
    pub async fn stop(&self, grace: Duration) {
        let running = std::mem::take(&mut *self.running());
        stop_all(running.into_values().collect(), grace).await;
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, task)) = news {
            stop.cancel();
            // A panic in it has been reported already.
            let _ = task.await;
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        // Every change of the map is complete in itself, so a poisoned lock is still good.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn means(&self) -> Means {
        self.means.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn start_peer(&self, peer: &Arc<Peer>) {
        let mut running = self.running();
        // One that is not dialled may come for what it is owed.
        let by_files = peer.batch.as_ref().is_some_and(|batch| batch.out.is_some());
        if (peer.dial.is_none() && !peer.turn && !by_files) || running.contains_key(&peer.name) {
            return;
        }
        let exchange = Arc::new(Exchange::default());
        exchange.set_rate(peer.bytes_s_max);
        self.neighbours.add(&peer.name, &exchange);
        let controls = Controls::default();
        let gate = Gate::new(peer.clone(), self.neighbours.clone());
        if by_files {
            let files = batch::Files {
                store: self.store.clone(),
                peer: peer.clone(),
                exchange: exchange.clone(),
                tip: self.tip.clone(),
                controls: controls.clone(),
                gate,
                feed_log: self.means().journals.feeds,
            };
            let (batches, task) = batch::start(files);
            let batches = Some(batches);
            running
                .insert(peer.name.clone(), Running { peer: peer.clone(), exchange, controls, batches, task });
            return;
        }
        let scheduler = Scheduler::new(
            self.store.clone(),
            exchange.clone(),
            self.tip.clone(),
            controls.clone(),
            self.means(),
            gate,
            Span::Onwards,
        );
        let turning = keep_turned(peer.clone(), self.means(), exchange.clone(), controls.clone());
        let turns = peer.turn;
        let task = tokio::spawn(async move {
            if turns {
                tokio::join!(scheduler.run(), turning);
            } else {
                scheduler.run().await;
            }
        });
        running.insert(
            peer.name.clone(),
            Running { peer: peer.clone(), exchange, controls, batches: None, task },
        );
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        for running in self.running().values() {
            running.controls.stop.cancel();
            running.controls.abandon.cancel();
        }
        if let Some((stop, _)) = &*self.news.lock().unwrap_or_else(PoisonError::into_inner) {
            stop.cancel();
        }
    }
}

impl Running {
    /// `last` is the highest seq of the log. With it, how far the log has been read, and the oldest article
    /// that the peer deferred.
    fn status(&self, last: u64) -> (FeedStatus, Seq, Option<Seq>) {
        let (reasons, (articles_s, bytes_s), since) = self.exchange.details();
        let (totals, reported, connections, straight) = self.exchange.figures();
        let state = match reported.state {
            State::Connecting => "connecting".to_owned(),
            State::Connected { streaming } => {
                let how = match (streaming, straight) {
                    (true, true) => "TAKETHIS",
                    (true, false) => "CHECK",
                    (false, _) => "IHAVE",
                };
                let plural = if connections == 1 { "" } else { "s" };
                let whose = match reported.came_in {
                    0 => String::new(),
                    came_in if came_in == connections => ", came in".to_owned(),
                    came_in => format!(", {came_in} came in"),
                };
                format!("connected ({how}, {connections} connection{plural}{whose})")
            }
            State::Waiting { pause_ms } => format!("waiting {:.1} s to retry", pause_ms as f64 / 1000.0),
            State::Away => "waiting for it to connect".to_owned(),
            State::Closed { until } => format!("outside its schedule until {until}"),
            State::Standby { of } => format!("standing by for {of}"),
            State::Batches { every_s } => format!("writing batches every {every_s} s"),
            State::Stopped => "stopped".to_owned(),
        };
        // What has not been read may hold records that are no articles, and articles that it is not owed.
        let unread = last.saturating_sub(reported.read.0);
        let status = FeedStatus {
            peer: self.peer.name.clone(),
            address: self.peer.way().unwrap_or_default(),
            state,
            cursor: reported.cursor.0,
            lag: last.saturating_sub(reported.cursor.0),
            offered: totals.offered,
            accepted: totals.accepted,
            refused: totals.refused,
            rejected: totals.rejected,
            deferred: totals.deferred,
            gone: totals.gone,
            bytes: totals.bytes,
            last_error: reported.last_error,
            last_error_ms: reported.last_error_at.map(Timestamp::unix_ms),
            owed: (reported.unsettled + reported.deferred) as u64 + unread,
            owed_is_exact: unread == 0,
            lag_s: None,
            put_off: reported.deferred as u64,
            loss: None,
            connections: connections as u64,
            tls: match (connections, &self.peer.dial) {
                (0, Some(dial)) => dial.tls != DialTls::Off,
                (0, None) => false,
                _ => reported.tls,
            },
            since_ms: since.map(Timestamp::unix_ms),
            articles_s,
            bytes_s,
            reasons,
        };
        (status, reported.read, reported.oldest_deferred)
    }
}

/// Stops feeds, all at the same time.
async fn stop_all(feeds: Vec<Running>, grace: Duration) {
    let mut stopping = JoinSet::new();
    for Running { controls, mut task, .. } in feeds {
        controls.stop.cancel();
        stopping.spawn(async move {
            if tokio::time::timeout(grace, &mut task).await.is_err() {
                controls.abandon.cancel();
                // It only saves its cursor now; a panic in it has been reported already.
                let _ = task.await;
            }
        });
    }
    while stopping.join_next().await.is_some() {}
}
