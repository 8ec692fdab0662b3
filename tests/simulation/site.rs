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
use feedd::clock::Timestamp;
use feedd::config::{Limits, Peer, Site as SiteConfig, Source};
use feedd::feed::{FeedStatus, Feeds, Host, Means, Neighbours, Serving, SyncReport};
use feedd::intake::{Intake, Origin};
use feedd::net::{self, Admitted, Door, Service, TurnedOver};
use feedd::session::Rights;
use feedd::store::{GroupStatus, LogEntry, Options, PeerState, Seq, Store};
use feedd::transport::Transport;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
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

/// The feeds of a site by the name of the peer.
type PeerFeeds = BTreeMap<String, Feeds>;

struct Running {
    store: Store,
    feeds: Arc<PeerFeeds>,
    door: Arc<SimDoor>,
    stop: CancellationToken,
    tasks: TaskTracker,
    turning: JoinHandle<()>,
}

/// Who comes: a peer by its address, or a user.
struct SimDoor {
    peers: Mutex<Vec<Arc<Peer>>>,
    feeds: Arc<PeerFeeds>,
    accounts: AccountsFile,
    news: Mutex<CancellationToken>,
    stop: CancellationToken,
}

impl SimDoor {
    /// These are the peers from now on, and every connection asks again who it is.
    fn replace(&self, peers: Vec<Arc<Peer>>) {
        *self.peers.lock().unwrap() = peers;
        let mut news = self.news.lock().unwrap();
        std::mem::replace(&mut *news, self.stop.child_token()).cancel();
    }
}

/// The server's side of connections that the site has opened itself.
struct SimHost(Arc<Service>);

impl Host for SimHost {
    fn serve(&self, peer: Arc<Peer>, transport: Transport, stop: CancellationToken) -> Serving {
        Box::pin(net::serve(transport, self.0.clone(), Admitted::peer(peer), None, stop))
    }

    fn stopping(&self) -> CancellationToken {
        self.0.stop.clone()
    }
}

impl Door for SimDoor {
    fn admit(&self, client: &Client) -> Admitted {
        let from = client.address;
        let is_from = |source: &Source| matches!(source, Source::Network(network) if network.contains(from));
        let all = self.peers.lock().unwrap().clone();
        let peers: Vec<_> = all.iter().filter(|peer| peer.accept_from.iter().any(is_from)).cloned().collect();
        for peer in &peers {
            self.feeds.values().for_each(|feed| feed.nudge(&peer.name));
        }
        let turn = matches!(peers.as_slice(), [peer] if peer.turn);
        let text = from.to_string();
        let is_peer = !peers.is_empty();
        let mut admitted = Admitted::operator(
            peers.first().map_or(&text, |peer| &peer.name),
            Rights { read: !is_peer, post: !is_peer, offer: is_peer, turn },
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
        self.news.lock().unwrap().clone()
    }

    fn owe(&self, peer: &str, entry: &LogEntry) -> Result<(), String> {
        let feeds = self.feeds.get(peer).ok_or("there is no feed to it")?;
        feeds.owe(peer, std::slice::from_ref(entry)).map(drop)
    }

    fn takes_turns(&self, peer: &str) -> bool {
        self.feeds.get(peer).is_some_and(|feeds| feeds.takes_turns(peer))
    }

    fn turn(&self, peer: &str, transport: Transport) -> TurnedOver {
        let (stop, ended) = self.feeds[peer].turn(peer, transport);
        TurnedOver { stop, ended }
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
        self.running.iter().flat_map(|running| running.feeds.values()).flat_map(Feeds::status).collect()
    }

    /// What a running site has to say about one of its feeds.
    pub fn feed(&self, to: usize) -> FeedStatus {
        let name = format!("s{to}");
        self.feeds().into_iter().find(|feed| feed.peer == name).unwrap_or_default()
    }

    /// Reads its peers again, as `feedd reload` does.
    pub async fn reload(&self) {
        let Some(running) = self.running.as_ref().filter(|_| !self.plan.planted.reload_ignored) else {
            return;
        };
        let peers = self.peers();
        self.world.trace.note(format_args!("s{} reads its peers again", self.no));
        running.door.replace(peers.clone());
        for (name, feeds) in running.feeds.iter() {
            let of_it: Vec<_> = peers.iter().filter(|peer| peer.name == *name).cloned().collect();
            feeds.reload(&of_it).await;
        }
    }

    /// Synchronizes with a peer, as `feedd sync` does.
    pub async fn sync(&self, with: usize) -> Result<SyncReport, String> {
        let running = self.running.as_ref().ok_or("it is not up")?;
        let (name, identity) = (format!("s{with}"), &self.plan.sites[self.no].identity);
        let feeds = running.feeds.get(&name).ok_or("there is no feed to it")?;
        feeds.sync(&name, identity, Timestamp::from_unix_s(0), &|_| {}).await
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
        let names: Vec<String> = (0..self.plan.sites.len()).map(|no| format!("s{no}")).collect();
        let (tells, tips): (Vec<_>, Vec<_>) = names.iter().map(|_| watch::channel(Seq::default())).unzip();
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
        let service = Arc::new(service);
        let (network, listener) = self.world.start(self.no);
        let means = Means {
            network: Arc::new(network),
            host: Some(Arc::new(SimHost(service.clone()))),
            neighbours: Neighbours::default(),
            ..Means::default()
        };
        // One set of feeds for each peer: several waiters for one tip are woken in an order drawn at random.
        let start = |(name, tip): (String, _)| {
            let of_it: Vec<_> = peers.iter().filter(|peer| peer.name == name).cloned().collect();
            let feeds = Feeds::start(store.clone(), &of_it, tip, means.clone());
            (name, feeds)
        };
        let feeds: Arc<PeerFeeds> = Arc::new(names.into_iter().zip(tips).map(start).collect());
        let door = Arc::new(SimDoor {
            peers: Mutex::new(peers),
            feeds: feeds.clone(),
            accounts: AccountsFile::new(self.dir.join("users")),
            news: Mutex::new(stop.child_token()),
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(1000));
        tasks.spawn(net::listen(listener, false, service, slots, tasks.clone(), door.clone()));
        let turning = tokio::spawn(turn(
            self.no,
            store.clone(),
            work,
            self.ledger.clone(),
            (at, seen),
            self.dice.fork(),
        ));
        self.running = Some(Running { store, feeds, door, stop, tasks, turning });
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
        let Some(Running { store, feeds, door, stop, tasks: _, turning }) = self.running.take() else {
            return;
        };
        self.world.trace.note(format_args!("s{} dies: {presence:?}, index {index:?}", self.no));
        // What its tasks still do reaches nothing: neither network nor disk.
        self.world.stop(self.no, presence);
        store.abandon();
        self.index_is_closed();
        turning.abort();
        stop.cancel();
        drop((feeds, door));
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
        let Some(Running { store, feeds, stop, tasks, turning, .. }) = self.running.take() else { return };
        self.world.trace.note(format_args!("s{} stops", self.no));
        stop.cancel();
        tasks.close();
        // As the daemon does: what misses its deadline is offered again after the next start.
        let _ = timeout(Duration::from_secs(10), tasks.wait()).await;
        for feed in feeds.values() {
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
