//! One site: the store, intake, connections and feeds of the real server on a simulated disk, network
//! and clock; wired as the daemon wires them, and ended as a crash ends them.

use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::ledger::Ledger;
use crate::network::{Presence, World, address};
use crate::plan::{Planned, SitePlan};
use feedd::access::{Client, Key, LoginHelps, Scope};
use feedd::accounts::AccountsFile;
use feedd::article::NewsgroupName;
use feedd::config::{Limits, Peer, Site as SiteConfig, Source};
use feedd::feed::{FeedStatus, Feeds, Means};
use feedd::intake::{Intake, Origin};
use feedd::net::{self, Admitted, Door, Service};
use feedd::session::Rights;
use feedd::store::{GroupStatus, Options, PeerState, Seq, Store};
use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a crash treats what is derived from the log.
#[derive(Clone, Copy, Debug)]
pub enum Index {
    Kept,
    Lost,
    /// As it was when the site started last.
    Old,
}

pub struct Site {
    pub no: usize,
    plan: Arc<Planned>,
    dir: PathBuf,
    pub disk: Arc<SimDisk>,
    world: Arc<World>,
    ledger: Ledger,
    dice: Dice,
    running: Option<Running>,
}

struct Running {
    store: Store,
    feeds: Arc<Vec<Feeds>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    turning: JoinHandle<()>,
}

/// Who comes: a peer by its address, or a user.
struct SimDoor {
    peers: Vec<Arc<Peer>>,
    feeds: Arc<Vec<Feeds>>,
    accounts: AccountsFile,
    stop: CancellationToken,
}

impl Door for SimDoor {
    fn admit(&self, client: &Client) -> Admitted {
        let from = client.address;
        let is_from = |source: &Source| matches!(source, Source::Network(network) if network.contains(from));
        let peers: Vec<_> =
            self.peers.iter().filter(|peer| peer.accept_from.iter().any(is_from)).cloned().collect();
        for peer in &peers {
            self.feeds.iter().for_each(|feed| feed.nudge(&peer.name));
        }
        let text = from.to_string();
        let is_peer = !peers.is_empty();
        let mut admitted = Admitted::operator(
            peers.first().map_or(&text, |peer| &peer.name),
            Rights { read: !is_peer, post: !is_peer, offer: is_peer, turn: false },
            is_peer.then(|| Origin::Peers { peers: peers.clone(), address: text.clone() }),
        );
        admitted.seat = Key::Address(from);
        admitted.quota = Key::Address(from);
        admitted.poster = Origin::Poster { address: text, account: None, may_post: Scope::All };
        admitted
    }

    fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        None
    }

    fn accounts(&self) -> &AccountsFile {
        &self.accounts
    }

    fn login_helps(&self, _client: &Client) -> LoginHelps {
        LoginHelps::default()
    }

    fn clear_login(&self) -> bool {
        false
    }

    fn news(&self) -> CancellationToken {
        self.stop.clone()
    }
}

impl Site {
    pub fn new(
        no: usize,
        plan: &Arc<Planned>,
        dir: &Path,
        world: &Arc<World>,
        ledger: &Ledger,
        dice: Dice,
    ) -> Self {
        let disk = Arc::new(SimDisk::default());
        disk.lies.store(plan.planted.disk_lies, Ordering::Relaxed);
        let (plan, world, ledger) = (plan.clone(), world.clone(), ledger.clone());
        Self { no, plan, dir: dir.join(format!("s{no}")), disk, world, ledger, dice, running: None }
    }

    /// The store, while it runs.
    pub fn store(&self) -> Option<&Store> {
        self.running.as_ref().map(|running| &running.store)
    }

    pub fn feeds(&self) -> Vec<FeedStatus> {
        self.running.iter().flat_map(|running| running.feeds.iter()).flat_map(Feeds::status).collect()
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        self.plan.peers_of(self.no).into_iter().map(Arc::new).collect()
    }

    /// Starts it, for the first time or again.
    pub fn start(&mut self) {
        let SitePlan { identity, newsgroups, segment_bytes, .. } = &self.plan.sites[self.no];
        self.keep_index("index", "index.old");
        let peers = self.peers();
        let work = Arc::new(Notify::new());
        let (tells, tips): (Vec<_>, Vec<_>) = peers.iter().map(|_| watch::channel(Seq::default())).unzip();
        let mut options = Options::new(&self.dir, identity);
        options.segment_bytes = *segment_bytes;
        options.disk = self.disk.clone();
        options.by_hand = Some({
            let work = work.clone();
            Arc::new(move || work.notify_one())
        });
        options.on_commit = Arc::new(move |seq| {
            for tell in &tells {
                tell.send_replace(seq);
            }
        });
        // A disk that fails right now: the site is started again, as a service manager does.
        let store = match Store::open(options.clone()).or_else(|_| Store::open(options)) {
            Ok(store) => store,
            Err(error) => return self.ledger.wrong(format!("s{} does not start: {error:?}", self.no)),
        };
        for name in newsgroups {
            if store.group(name).is_none() {
                let name = NewsgroupName::try_from(*name).unwrap();
                // A disk that is full right now: some newsgroups come with the next start.
                let _ = store.set_group(&name, GroupStatus::Posting, "", "feedd");
            }
        }
        let mut seen = BTreeSet::new();
        let mut at = Seq::default();
        while at < store.last_seq() {
            at = self.ledger.follow(self.no, &store, at, &mut seen);
        }
        self.ledger.still_there(self.no, &seen);
        self.world.trace.note(format_args!("s{} starts at {:?}, {} articles", self.no, at, seen.len()));
        self.plant(&store, &peers);

        let config = SiteConfig {
            identity: feedd::article::PathIdentity::try_from(identity.as_str()).unwrap(),
            limits: Limits { segment_bytes: *segment_bytes, ..Limits::default() },
            ..SiteConfig::default()
        };
        let stop = CancellationToken::new();
        let intake = Intake::new(store.clone(), Arc::new(config.clone()));
        let service =
            Service::new(store.clone(), intake, identity.clone(), config.limits.clone(), stop.clone());
        let (network, listener) = self.world.start(self.no);
        let means = Means { network: Arc::new(network), ..Means::default() };
        // One set of feeds for each peer: several waiters for one tip are woken in an order drawn at random.
        let start = |(peer, tip)| Feeds::start(store.clone(), &[peer], tip, means.clone());
        let feeds: Arc<Vec<Feeds>> = Arc::new(peers.iter().cloned().zip(tips).map(start).collect());
        let accounts = AccountsFile::new(self.dir.join("users"));
        let door = Arc::new(SimDoor { peers, feeds: feeds.clone(), accounts, stop: stop.clone() });
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(1000));
        tasks.spawn(net::listen(listener, false, Arc::new(service), slots, tasks.clone(), door));
        let turning = tokio::spawn(turn(
            self.no,
            store.clone(),
            work,
            self.ledger.clone(),
            (at, seen),
            self.dice.fork(),
        ));
        self.running = Some(Running { store, feeds, stop, tasks, turning });
    }

    /// Stands the saved state of the peers on its head, where the plan says so.
    fn plant(&self, store: &Store, peers: &[Arc<Peer>]) {
        for peer in peers {
            let Some(state) = store.peer_state(&peer.name) else { continue };
            if self.plan.planted.cursor_too_early {
                store.save_peer(&peer.name, PeerState { cursor: store.last_seq(), ..state });
            } else if self.plan.planted.deferred_lost {
                store.save_peer(&peer.name, PeerState { deferred: Vec::new(), ..state });
            }
        }
    }

    /// Dies at this moment.
    pub fn crash(&mut self, presence: Presence, index: Index) {
        let Some(Running { store, feeds, stop, tasks: _, turning }) = self.running.take() else { return };
        self.world.trace.note(format_args!("s{} dies: {presence:?}, index {index:?}", self.no));
        // What its tasks still do reaches nothing: neither network nor disk.
        self.world.stop(self.no, presence);
        store.abandon();
        self.index_is_closed();
        turning.abort();
        stop.cancel();
        drop(feeds);
        if presence == Presence::Silent {
            self.disk.lose_unsynced(&self.dir.join("spool"), &mut self.dice);
        }
        match index {
            Index::Kept => {}
            Index::Lost => drop(std::fs::remove_dir_all(self.dir.join("index"))),
            Index::Old => self.keep_index("index.old", "index"),
        }
    }

    /// Stops as an operator stops it.
    pub async fn stop(&mut self) {
        let Some(Running { store, feeds, stop, tasks, turning }) = self.running.take() else { return };
        self.world.trace.note(format_args!("s{} stops", self.no));
        stop.cancel();
        tasks.close();
        // As the daemon does: what misses its deadline is offered again after the next start.
        let _ = timeout(Duration::from_secs(10), tasks.wait()).await;
        for feed in feeds.iter() {
            feed.stop(Duration::from_secs(5)).await;
        }
        turning.abort();
        store.close();
        self.index_is_closed();
        self.world.stop(self.no, Presence::Refuses);
    }

    /// Returns when the index that was open is closed: threads of its own finish it, in a time that is
    /// not simulated, and a start before that would find it locked.
    fn index_is_closed(&self) {
        let Ok(file) = File::open(self.dir.join("index/db")) else { return };
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while file.try_lock().is_err() {
            assert!(std::time::Instant::now() < deadline, "s{}: the index stays open", self.no);
            std::thread::yield_now();
        }
    }

    /// Copies a folder of the index over another.
    fn keep_index(&self, from: &str, to: &str) {
        let (from, to) = (self.dir.join(from), self.dir.join(to));
        drop(std::fs::remove_dir_all(&to));
        if from.is_dir() {
            copy(&from, &to);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The store's work: when something waits, after the time that a commit takes, and now and then.
async fn turn(
    no: usize,
    store: Store,
    work: Arc<Notify>,
    ledger: Ledger,
    (mut at, mut seen): (Seq, BTreeSet<String>),
    mut dice: Dice,
) {
    loop {
        // Not in a select: the pause between two looks is the only timer.
        let _ = timeout(Duration::from_secs(5), work.notified()).await;
        sleep(Duration::from_micros(dice.between(100, 20_000))).await;
        store.turn();
        if at < store.last_seq() {
            at = ledger.follow(no, &store, at, &mut seen);
        }
    }
}

/// The address that stands for a host.
pub fn source(host: usize) -> IpAddr {
    address(host).ip()
}
