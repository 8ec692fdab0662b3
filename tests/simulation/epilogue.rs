//! When all faults are over and all is at rest: what contracts say of time is tried with articles of their
//! own, and sites synchronize with each other, whose reports must be true.

use crate::checks::{self, Articles};
use crate::dice::{Dice, now_ms};
use crate::ledger::{Ledger, Post};
use crate::network::World;
use crate::plan::Planned;
use crate::site::Site;
use crate::users;
use feedd::store::LogEntry;
use feedd::wildmat::Wildmat;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// How long something that must happen may take: a look at the other peer, a dial, a pause behind one
/// that failed, a slow link.
const SOON: Duration = Duration::from_secs(120);
/// How long is watched that something does not happen.
const WATCH: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(500);

/// The federation.
pub struct Scene {
    pub plan: Arc<Planned>,
    pub world: Arc<World>,
    pub ledger: Ledger,
    pub sites: Vec<Arc<Mutex<Site>>>,
}

impl Scene {
    /// Posts an article at a site that both peers and the sites themselves want; none: there is none such.
    async fn probe(&self, site: usize, to: &[usize], name: &str, dice: &mut Dice) -> Option<()> {
        let wanted = |newsgroup: &&&'static str| {
            to.iter().all(|to| self.plan.may_pass(site, *to, &[**newsgroup], now_ms()))
        };
        let newsgroup = *self.plan.sites[site].newsgroups.iter().find(wanted)?;
        let token = format!("probe-{name}");
        let id = Some(format!("<{token}@user.example>"));
        let body = "a probe\r\n".to_owned();
        let post = Post {
            token: token.clone(),
            id,
            newsgroups: vec![newsgroup],
            sites: vec![site],
            body,
            offered: None,
        };
        self.ledger.facts().posts.insert(token, post.clone());
        let (world, ledger, user) = (self.world.clone(), self.ledger.clone(), self.plan.users());
        users::post(world, ledger, user, site, post, dice.fork()).await;
        Some(())
    }

    async fn articles(&self, site: usize) -> Result<Articles, String> {
        let site = self.sites[site].lock().await;
        site.store().map(checks::articles).ok_or_else(|| format!("s{} is not up", site.no))
    }

    async fn offered(&self, from: usize, to: usize) -> u64 {
        self.sites[from].lock().await.feed(to).offered
    }

    /// Waits for a peer to be offered more than it was.
    async fn is_offered_more(&self, from: usize, to: usize, than: u64, within: Duration) -> bool {
        let until = now_ms() + within.as_millis() as u64;
        while now_ms() < until {
            if self.offered(from, to).await > than {
                return true;
            }
            sleep(LOOK).await;
        }
        false
    }
}

/// Articles that are due at a certain time, or in place of another peer.
pub async fn probes(scene: &Scene, dice: &mut Dice) {
    if let Some([site, first, second]) = scene.plan.backup {
        backup(scene, site, first, second, dice).await;
    }
    let scheduled = scene.plan.edges.iter().filter(|(_, edge)| edge.times.is_some());
    let edges: Vec<(usize, usize)> = scheduled.map(|(edge, _)| *edge).collect();
    if !edges.is_empty() {
        let (from, to) = *dice.pick(&edges);
        schedule(scene, from, to, dice).await;
    }
}

/// A backup is sent nothing while the other peer is there, and all while it is not.
async fn backup(scene: &Scene, site: usize, first: usize, second: usize, dice: &mut Dice) {
    let peers = [first, second];
    // The other peer is known to be there when it has answered.
    let before = scene.offered(site, second).await;
    if scene.probe(site, &peers, "stands-by", dice).await.is_none() {
        return;
    }
    if scene.is_offered_more(site, second, before, WATCH).await {
        scene.ledger.wrong(format!("s{site} sends to its backup s{second} while s{first} is there"));
    }
    scene.sites[first].lock().await.stop().await;
    // It takes over when the other one has been away for a while, and before that it is one failed dial late.
    scene.probe(site, &peers, "takes-over", dice).await;
    if !scene.is_offered_more(site, second, before, SOON).await {
        scene.ledger.wrong(format!("s{site} sends nothing to its backup s{second} while s{first} is away"));
    }
    scene.sites[first].lock().await.start();
}

/// Nothing is offered outside the times of a peer, and all that is owed within.
async fn schedule(scene: &Scene, from: usize, to: usize, dice: &mut Dice) {
    let Some(times) = scene.plan.edges[&(from, to)].times else { return };
    let since_closed = || times.closed_for_ms(now_ms());
    while since_closed().is_some() {
        sleep(LOOK).await;
    }
    while since_closed().is_none_or(|since| since < 5000) {
        sleep(LOOK).await;
    }
    let before = scene.offered(from, to).await;
    if scene.probe(from, &[to], "waits", dice).await.is_none() {
        return;
    }
    if scene.is_offered_more(from, to, before, WATCH).await {
        scene.ledger.wrong(format!("s{from} sends to s{to} outside its schedule"));
    }
    let opens = Duration::from_secs(5 * 60) + SOON;
    if !scene.is_offered_more(from, to, before, opens).await {
        scene.ledger.wrong(format!("s{from} sends nothing to s{to} within its schedule"));
    }
}

/// Some sites synchronize with a peer.
pub async fn syncs(scene: &Scene, dice: &mut Dice) {
    let plan = &scene.plan;
    let is_plain = |edge: (usize, usize)| {
        plan.contracts.sends(edge).is_some()
            && plan.contracts.accepts(edge).is_some()
            && !plan.contracts.is_backup(edge)
            && plan.edges[&edge].times.is_none()
    };
    let pairs = plan.edges.keys().copied().filter(|(a, b)| is_plain((*a, *b)) && is_plain((*b, *a)));
    let pairs: Vec<(usize, usize)> = pairs.filter(|(_, b)| plan.hidden != Some(*b)).collect();
    for _ in 0..pairs.len().min(2) {
        let (a, b) = *dice.pick(&pairs);
        if let Err(wrong) = sync(scene, a, b).await {
            scene.ledger.wrong(format!("s{a} synchronizes with s{b}: {wrong}"));
        }
    }
}

/// One says how far it agrees with the other: is that true?
async fn sync(scene: &Scene, a: usize, b: usize) -> Result<(), String> {
    let before = scene.articles(a).await?;
    let report = scene.sites[a].lock().await.sync(b).await?;
    let (ours, theirs) = (&scene.articles(a).await?, &scene.articles(b).await?);
    let contracts = &scene.plan.contracts;
    let (Some(there), Some(here)) = (contracts.sends((a, b)), contracts.sends((b, a))) else {
        return Err("they are no peers".to_owned());
    };
    let accepts = contracts.accepts((b, a)).ok_or("they are no peers")?;
    let same = there.send == accepts;
    let lacks = |to: usize, of: &Articles, other: &Articles, wanted: &[&Wildmat]| {
        let owed = |entry: &LogEntry| {
            let identity = &scene.plan.sites[to].identity;
            let path = String::from_utf8_lossy(&entry.path);
            *entry.source != *format!("s{to}")
                && !path.split('!').any(|entry| entry == identity)
                && wanted.iter().all(|by| by.wants(entry.newsgroups.split(',')))
        };
        of.iter().filter(|(id, entry)| !other.contains_key(*id) && owed(entry)).count() as u64
    };
    let both = |ours: &Articles, by: &Wildmat| {
        let counts = |(id, entry): &(&String, &Arc<LogEntry>)| {
            theirs.contains_key(*id) && by.wants(entry.newsgroups.split(','))
        };
        ours.iter().filter(counts).count() as u64
    };
    // What the other has for us comes behind, where that is another matter.
    let first = if same { ours } else { &before };
    let they_lack = lacks(b, first, theirs, &[&there.send]);
    let we_lack = lacks(a, theirs, ours, &[&here.send, &accepts]);
    let expected = (both(first, &there.send), they_lack + if same { we_lack } else { 0 });
    let told = (report.sent.agreed, report.sent.of - report.sent.agreed);
    if !report.compared || told != expected {
        return Err(format!("{report:?}, and they have {} and lack {}", expected.0, expected.1));
    }
    match &report.accepted {
        Some(accepted) => {
            let told = (accepted.agreed, accepted.of - accepted.agreed);
            let expected = (both(ours, &accepts), we_lack);
            if same || told != expected {
                return Err(format!("{report:?}, and we have {} and lack {}", expected.0, expected.1));
            }
        }
        None if !same => return Err(format!("{report:?} says nothing of what we accept")),
        None => {}
    }
    Ok(())
}
