//! One run: the federation of a seed, its users and its faults, until it has come to rest.

use crate::checks::{self, Articles};
use crate::dice::{Dice, Simulated, set_clock};
use crate::epilogue::{self, Scene};
use crate::ledger::Ledger;
use crate::network::{Presence, World};
use crate::offerer;
use crate::plan::{Change, Fault, Planned, Planted, SPAN, wildmat};
use crate::site::{Index, Site};
use crate::trace::Trace;
use crate::users;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Of simulated time, for all that is owed to arrive when the faults are over.
const REST_MAX: Duration = Duration::from_secs(3600);

/// What a run has shown.
#[derive(Debug)]
pub struct Outcome {
    pub wrong: Vec<String>,
    /// Two runs of a seed have the same.
    pub trace: (u64, u64),
    /// What was simulated, one line.
    pub told: String,
}

/// Simulates the federation of a seed.
pub fn run(seed: u64, planted: Planted) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let dir = tempfile::Builder::new().prefix("feedd-sim").tempdir_in(folder()).unwrap();
    runtime.block_on(async {
        let _simulated = Simulated::begin(seed);
        Run::new(seed, planted, dir.path()).run().await
    })
}

/// Where files cost least: nothing here is about real disks.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() }
}

struct Run {
    seed: u64,
    plan: Arc<Planned>,
    world: Arc<World>,
    ledger: Ledger,
    sites: Vec<Arc<Mutex<Site>>>,
    dice: Dice,
}

impl Run {
    fn new(seed: u64, planted: Planted, dir: &Path) -> Self {
        let plan = Arc::new(Planned::draw(seed, planted));
        let mut dice = Dice::new(seed).fork();
        let ledger = Ledger::default();
        let count = plan.sites.len();
        let heard = {
            let ledger = ledger.clone();
            // What users are told they note themselves.
            Box::new(move |to, from, line: &str| {
                if to != count {
                    ledger.heard(from, line);
                }
            })
        };
        let dialled = {
            let ledger = ledger.clone();
            Box::new(move |from, to| ledger.dialled(from, to))
        };
        let world = World::new(count + 2, dice.fork(), Trace::new(), heard, dialled);
        if let Some(hidden) = plan.hidden {
            world.hide(hidden);
        }
        let sites = (0..count)
            .map(|no| Arc::new(Mutex::new(Site::new(no, &plan, dir, &world, &ledger, dice.fork()))))
            .collect();
        for (_, post) in &plan.posts {
            ledger.facts().posts.insert(post.token.clone(), post.clone());
        }
        Self { seed, plan, world, ledger, sites, dice }
    }

    async fn run(mut self) -> Outcome {
        for site in &self.sites {
            site.lock().await.start();
        }
        let user = self.plan.users();
        let mut posting = JoinSet::new();
        let began = Instant::now();
        for (at, post) in &self.plan.posts {
            for &site in &post.sites {
                let (world, ledger, post) = (self.world.clone(), self.ledger.clone(), post.clone());
                let (at, dice, outside) = (began + *at, self.dice.fork(), self.plan.outside());
                posting.spawn(async move {
                    sleep_until(at).await;
                    match post.offered {
                        None => users::post(world, ledger, user, site, post, dice).await,
                        Some(way) => offerer::offer(world, ledger, outside, site, post, way, dice).await,
                    }
                });
            }
        }
        let newsgroups = self.plan.sites.iter().map(|site| site.newsgroups.clone()).collect();
        let dice = self.dice.fork();
        let reading =
            tokio::spawn(users::read(self.world.clone(), self.ledger.clone(), user, newsgroups, dice));
        let mut going_wrong = JoinSet::new();
        for (at, fault) in self.plan.faults.clone() {
            let (world, sites, plan) = (self.world.clone(), self.sites.clone(), self.plan.clone());
            going_wrong.spawn(async move {
                sleep_until(began + at).await;
                happen(&world, &plan, &sites, fault).await;
            });
        }
        sleep(SPAN).await;
        while going_wrong.join_next().await.is_some() {}
        let healed = Instant::now();
        while posting.join_next().await.is_some() {}
        let mut rested = self.rest(healed).await;
        reading.abort();
        if rested {
            let timely = checks::schedules(&self.plan, &self.ledger);
            self.ledger.facts().wrong.extend(timely);
            epilogue::probes(&self.scene(), &mut self.dice).await;
            rested = self.rest(Instant::now()).await;
        }
        if rested {
            let before = self.articles().await;
            let late = checks::delays(&self.plan, &self.ledger, &before);
            self.ledger.facts().wrong.extend(late);
            epilogue::syncs(&self.scene(), &mut self.dice).await;
            rested = self.rest(Instant::now()).await;
        }
        let articles = self.articles().await;
        if !rested {
            let owed = self.what_is_owed().await;
            self.ledger.facts().wrong.extend(owed);
        }
        self.check(&articles).await;
        let stored: usize = articles.iter().map(Articles::len).sum();
        let facts = self.ledger.facts();
        let told = format!(
            "seed {}: {} sites, {}, {} posts, {} faults; {stored} articles stored, replies {:?}, {} s simulated",
            self.seed,
            self.sites.len(),
            self.plan.shape,
            self.plan.posts.len(),
            self.plan.faults.len(),
            facts.replies,
            began.elapsed().as_secs()
        );
        Outcome { wrong: facts.wrong.clone(), trace: self.world.trace.sum(), told }
    }

    /// What the checks look at.
    fn scene(&self) -> Scene {
        Scene {
            plan: self.plan.clone(),
            world: self.world.clone(),
            ledger: self.ledger.clone(),
            sites: self.sites.clone(),
        }
    }

    async fn articles(&self) -> Vec<Articles> {
        let mut all = Vec::new();
        for site in &self.sites {
            all.push(site.lock().await.store().map(checks::articles).unwrap_or_default());
        }
        all
    }

    /// Waits until everything is where it should be and nothing is owed.
    async fn rest(&self, healed: Instant) -> bool {
        let mut looks = 0;
        while healed.elapsed() < REST_MAX {
            sleep(Duration::from_secs(2)).await;
            let mut at_rest = true;
            for site in &self.sites {
                at_rest &= checks::is_at_rest(&*site.lock().await);
            }
            // What a peer defers is in its saved state a second later.
            looks = if at_rest { looks + 1 } else { 0 };
            if looks == 3 {
                return true;
            }
        }
        false
    }

    async fn what_is_owed(&self) -> Vec<String> {
        let mut owed = vec!["it does not come to rest".to_owned()];
        for site in &self.sites {
            let site = site.lock().await;
            for feed in site.feeds() {
                let state = site.store().and_then(|store| store.peer_state(&feed.peer)).unwrap_or_default();
                if feed.lag > 0 || !state.deferred.is_empty() {
                    owed.push(format!("s{} owes: {feed:?}, saved {state:?}", site.no));
                }
            }
        }
        owed
    }

    async fn check(&mut self, articles: &[Articles]) {
        let mut wrong = checks::distribution(&self.plan, &self.ledger, articles);
        wrong.extend(checks::promises(&self.plan, &self.ledger, articles));
        for (site, articles) in self.sites.iter().zip(articles) {
            wrong.extend(checks::site(&self.plan, &self.ledger, &*site.lock().await, articles));
        }
        // Once more after a power failure that costs the index: everything comes from the log.
        let mut site = self.sites[self.dice.index(self.sites.len())].lock().await;
        site.crash(Presence::Silent, Index::Lost);
        site.start();
        let again = site.store().map(checks::articles).unwrap_or_default();
        wrong.extend(checks::site(&self.plan, &self.ledger, &site, &again));
        self.ledger.facts().wrong.extend(wrong);
    }
}

/// Something goes wrong, and is mended when its time is over.
async fn happen(world: &World, plan: &Planned, sites: &[Arc<Mutex<Site>>], fault: Fault) {
    world.trace.note(format_args!("{fault:?}"));
    let cut = |pairs: Vec<(usize, usize)>, lasts| async move {
        for &(from, to) in &pairs {
            world.change(from, to, |link| link.cuts += 1);
        }
        sleep(lasts).await;
        for (from, to) in pairs {
            world.change(from, to, |link| link.cuts -= 1);
        }
    };
    match fault {
        Fault::Cut { from, to, lasts } => cut(vec![(from, to)], lasts).await,
        Fault::Split { sites: there, lasts } => {
            let all = 0..sites.len();
            let apart = |(a, b): &(usize, usize)| there.contains(a) != there.contains(b);
            let pairs = all.clone().flat_map(|a| all.clone().map(move |b| (a, b))).filter(apart).collect();
            cut(pairs, lasts).await;
        }
        Fault::Loss { a, b, of_a_million, lasts } => {
            let before = (world.link(a, b).loss, world.link(b, a).loss);
            world.change(a, b, |link| link.loss = of_a_million);
            world.change(b, a, |link| link.loss = of_a_million);
            sleep(lasts).await;
            world.change(a, b, |link| link.loss = before.0.min(1000));
            world.change(b, a, |link| link.loss = before.1.min(1000));
        }
        Fault::Slow { a, b, bandwidth, lasts } => {
            world.change(a, b, |link| link.bandwidth = bandwidth);
            sleep(lasts).await;
            world.change(a, b, |link| link.bandwidth = 1 << 20);
        }
        Fault::Reset { a, b } => world.reset(a, b),
        Fault::Crash { site, presence, index, down } => {
            let mut site = sites[site].lock().await;
            site.crash(presence, index);
            sleep(down).await;
            if presence == Presence::Silent {
                world.power_on(site.no);
                sleep(Duration::from_secs(1)).await;
            }
            site.start();
        }
        Fault::Restart { site, down } => {
            let mut site = sites[site].lock().await;
            site.stop().await;
            sleep(down).await;
            site.start();
        }
        Fault::Full { site, lasts } => {
            let disk = sites[site].lock().await.disk.clone();
            disk.full.store(true, Ordering::Relaxed);
            sleep(lasts).await;
            disk.full.store(false, Ordering::Relaxed);
        }
        Fault::Reload { from, to, change } => {
            let edge = (from, to);
            let reads = if matches!(change, Change::Accept(_)) { to } else { from };
            let site = sites[reads].lock().await;
            match change {
                Change::Send(pattern) => plan.contracts.set_send(edge, &wildmat(pattern)),
                Change::Accept(pattern) => plan.contracts.set_accept(edge, &wildmat(pattern)),
                Change::Delay(delay_s) => plan.contracts.set_delay(edge, delay_s),
            }
            site.reload().await;
        }
        Fault::Part { a, b, lasts } => {
            let know = |knows| async move {
                for (site, other) in [(a, b), (b, a)] {
                    let running = sites[site].lock().await;
                    plan.contracts.know(site, other, knows);
                    running.reload().await;
                }
            };
            if plan.contracts.sends((a, b)).is_some() {
                know(false).await;
                sleep(lasts).await;
            }
            know(true).await;
        }
        Fault::Clock { by_ms } => set_clock(by_ms),
        Fault::SyncFails { site, lasts } => {
            sites[site].lock().await.disk.fails.store(true, Ordering::Relaxed);
            sleep(lasts).await;
            let mut site = sites[site].lock().await;
            site.disk.fails.store(false, Ordering::Relaxed);
            site.stop().await;
            site.start();
        }
    }
}
