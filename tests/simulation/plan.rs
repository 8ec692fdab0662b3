//! What a seed means: the sites and who peers with whom, who is sent what, which articles are posted
//! where and when, and what goes wrong.

use crate::contracts::{Contracts, Times};
use crate::dice::Dice;
use crate::ledger::{Offered, Post};
use crate::network::{Presence, address};
use crate::site::{Index, source};
use feedd::article::PathIdentity;
use feedd::config::{Contract, Dial, Network, Peer, Source};
use feedd::wildmat::Wildmat;
use std::collections::BTreeMap;
use std::time::Duration;

const PATTERNS: [&str; 4] = ["a.*,b.*", "*,!c.*", "*,@c.local", "b.*,c.talk"];
const NEWSGROUPS: [&str; 6] = ["a.one", "a.two", "b.one", "b.two", "c.talk", "c.local"];

pub struct Planned {
    pub sites: Vec<SitePlan>,
    /// Who sends to whom, by site and site; there is always one the other way, too.
    pub edges: BTreeMap<(usize, usize), Edge>,
    /// What they send and accept, which changes.
    pub contracts: Contracts,
    /// Who is behind NAT: it dials the others, and they use its connections.
    pub hidden: Option<usize>,
    /// A site, its peer, and another peer that is a backup of that one.
    pub backup: Option<[usize; 3]>,
    pub posts: Vec<(Duration, Post)>,
    pub faults: Vec<(Duration, Fault)>,
    pub shape: &'static str,
    pub planted: Planted,
}

pub struct SitePlan {
    pub identity: String,
    pub newsgroups: Vec<&'static str>,
    pub segment_bytes: u64,
}

pub struct Edge {
    window: usize,
    connections: usize,
    compress: bool,
    bytes_s_max: Option<u64>,
    /// When it is sent to; none: always.
    pub times: Option<Times>,
}

/// A fault of ours, planted to see that it is found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planted {
    pub disk_lies: bool,
    pub cursor_too_early: bool,
    pub deferred_lost: bool,
    /// Peers are sent to at any time, at once, and backups beside the others.
    pub times_ignored: bool,
    pub delay_ignored: bool,
    pub backup_beside: bool,
    /// A reload changes nothing.
    pub reload_ignored: bool,
}

#[derive(Clone, Debug)]
pub enum Fault {
    /// From one to the other nothing arrives.
    Cut {
        from: usize,
        to: usize,
        lasts: Duration,
    },
    /// Between these sites and the others nothing arrives.
    Split {
        sites: Vec<usize>,
        lasts: Duration,
    },
    Loss {
        a: usize,
        b: usize,
        of_a_million: u64,
        lasts: Duration,
    },
    Slow {
        a: usize,
        b: usize,
        bandwidth: u64,
        lasts: Duration,
    },
    Reset {
        a: usize,
        b: usize,
    },
    Crash {
        site: usize,
        presence: Presence,
        index: Index,
        down: Duration,
    },
    Restart {
        site: usize,
        down: Duration,
    },
    Full {
        site: usize,
        lasts: Duration,
    },
    /// A sync fails; the operator starts the site anew later.
    SyncFails {
        site: usize,
        lasts: Duration,
    },
    /// An operator changes a contract, and the site reads it again.
    Reload {
        from: usize,
        to: usize,
        change: Change,
    },
    /// Two sites strike each other out, and are friends again later; or they meet now for the first time.
    Part {
        a: usize,
        b: usize,
        lasts: Duration,
    },
    /// The wall clock of all sites is set.
    Clock {
        by_ms: i64,
    },
}

/// What changes between two sites.
#[derive(Clone, Debug)]
pub enum Change {
    Send(&'static str),
    Accept(&'static str),
    Delay(u64),
}

/// A peer of all sites that is not part of the federation: it only offers.
pub const OUTSIDE: &str = "outside";
pub const OUTSIDE_IDENTITY: &str = "outside.example";

/// How long posts and faults come.
pub const SPAN: Duration = Duration::from_secs(150);

impl Planned {
    pub fn draw(seed: u64, planted: Planted) -> Self {
        let mut dice = Dice::new(seed);
        let count = dice.between(3, 12) as usize;
        let sites: Vec<SitePlan> = (0..count).map(|no| site(no, &mut dice)).collect();
        let (shape, pairs) = shape(count, &mut dice);
        let (mut edges, contracts) = (BTreeMap::new(), Contracts::default());
        let known = pairs.len();
        let strangers = strangers(count, &pairs, &mut dice);
        for (no, (a, b)) in pairs.into_iter().chain(strangers).enumerate() {
            for pair in [(a, b), (b, a)] {
                let (send, accept) = (wildmat(pattern(&mut dice)), wildmat(pattern(&mut dice)));
                let delay_s = if dice.once_in(8) { dice.between(1, 20) } else { 0 };
                contracts.add(pair, send, accept, delay_s, no < known);
                edges.insert(pair, edge(&mut dice));
            }
        }
        let hidden = dice.once_in(3).then(|| dice.index(count));
        let backup = if dice.once_in(2) { backup(&contracts, count, hidden, &mut dice) } else { None };
        if let Some([site, first, second]) = backup {
            contracts.make_backup((site, second), first);
            for peer in [first, second] {
                edges.get_mut(&(site, peer)).unwrap().times = None;
                contracts.set_delay((site, peer), 0);
            }
        }
        let posts = posts(&sites, hidden, &mut dice);
        let mut faults = faults(&edges, count, &mut dice);
        if edges.values().any(|edge| edge.times.is_some()) {
            faults.retain(|(_, fault)| !matches!(fault, Fault::Clock { .. }));
        }
        Self { sites, edges, contracts, hidden, backup, posts, faults, shape, planted }
    }

    /// The peers of a site, as its config has them.
    pub fn peers_of(&self, site: usize) -> Vec<Peer> {
        let ours = self.edges.iter().filter(|((from, _), _)| *from == site);
        let (identity, planted) = (PathIdentity::try_from(OUTSIDE_IDENTITY).unwrap(), self.planted);
        let outside = Peer {
            accept_from: vec![Source::Network(Network::host(source(self.outside())))],
            ..Peer::new(OUTSIDE, identity)
        };
        ours.filter_map(|(&(_, to), edge)| {
            let now = self.contracts.sends((site, to))?;
            let accept = self.contracts.accepts((to, site))?;
            let times = edge.times.filter(|_| !planted.times_ignored);
            let backup_of = now.backup_of.filter(|_| !planted.backup_beside);
            let identity = PathIdentity::try_from(self.sites[to].identity.as_str()).unwrap();
            let dial = Dial { compress: edge.compress, ..Dial::to(address(to).into()) };
            Some(Peer {
                dial: Some(dial).filter(|_| self.hidden != Some(to)),
                turn: [Some(to), Some(site)].contains(&self.hidden),
                accept_from: vec![Source::Network(Network::host(source(to)))],
                send: Contract::of(now.send),
                accept: Contract::of(accept),
                schedule: times.map_or(Vec::new(), Times::windows),
                backup_of: backup_of.map(|of| format!("s{of}")),
                connections: edge.connections,
                window: edge.window,
                delay_s: if planted.delay_ignored { 0 } else { now.delay_s },
                bytes_s_max: edge.bytes_s_max,
                ..Peer::new(&format!("s{to}"), identity)
            })
        })
        .chain([outside])
        .collect()
    }

    /// The host of the users.
    pub fn users(&self) -> usize {
        self.sites.len()
    }

    /// The host of the peer that only offers.
    pub fn outside(&self) -> usize {
        self.sites.len() + 1
    }

    /// Has a site some of these newsgroups?
    pub fn carries(&self, site: usize, newsgroups: &[&str]) -> bool {
        newsgroups.iter().any(|name| self.sites[site].newsgroups.contains(name))
    }

    /// Must an article that stands at one site since then come to the other?
    pub fn must_pass(&self, from: usize, to: usize, newsgroups: &[&str], since_ms: u64) -> bool {
        self.carries(to, newsgroups) && self.contracts.must((from, to), newsgroups, since_ms)
    }

    /// May it?
    pub fn may_pass(&self, from: usize, to: usize, newsgroups: &[&str], since_ms: u64) -> bool {
        self.carries(to, newsgroups) && self.contracts.may((from, to), newsgroups, since_ms)
    }
}

fn site(no: usize, dice: &mut Dice) -> SitePlan {
    let mut newsgroups = NEWSGROUPS.to_vec();
    if dice.once_in(3) {
        newsgroups.retain(|_| !dice.once_in(3));
    }
    if newsgroups.is_empty() {
        newsgroups.push(NEWSGROUPS[0]);
    }
    let segment_bytes = *dice.pick(&[16 << 10, 128 << 10, 1 << 30]);
    SitePlan { identity: format!("s{no}.example"), newsgroups, segment_bytes }
}

pub fn wildmat(pattern: &str) -> Wildmat {
    Wildmat::parse_subscription(pattern).unwrap()
}

fn pattern(dice: &mut Dice) -> &'static str {
    if dice.once_in(4) { dice.pick::<&str>(&PATTERNS) } else { "*" }
}

fn edge(dice: &mut Dice) -> Edge {
    Edge {
        window: *dice.pick(&[1, 8, 256]),
        connections: dice.between(1, 3) as usize,
        compress: dice.once_in(4),
        bytes_s_max: dice.once_in(8).then(|| dice.between(4_000, 100_000)),
        times: dice.once_in(16).then(|| *dice.pick(&[Times::new(4, 2), Times::new(5, 1), Times::new(6, 3)])),
    }
}

/// Pairs that do not know each other at first.
fn strangers(count: usize, pairs: &[(usize, usize)], dice: &mut Dice) -> Vec<(usize, usize)> {
    let mut strangers = Vec::new();
    for _ in 0..dice.below(3) {
        let (a, b) = (dice.index(count), dice.index(count));
        let pair = (a.min(b), a.max(b));
        if a != b && !pairs.contains(&pair) && !strangers.contains(&pair) {
            strangers.push(pair);
        }
    }
    strangers
}

/// A site with two peers that it dials: the second becomes a backup of the first.
fn backup(contracts: &Contracts, count: usize, hidden: Option<usize>, dice: &mut Dice) -> Option<[usize; 3]> {
    let site = dice.index(count);
    let is_dialled = |to: &usize| contracts.sends((site, *to)).is_some() && hidden != Some(*to);
    let peers: Vec<usize> = (0..count).filter(is_dialled).collect();
    if peers.len() < 2 {
        return None;
    }
    let first = dice.index(peers.len());
    let second = (first + 1 + dice.index(peers.len() - 1)) % peers.len();
    Some([site, peers[first], peers[second]])
}

fn shape(count: usize, dice: &mut Dice) -> (&'static str, Vec<(usize, usize)>) {
    let line = (1..count).map(|no| (no - 1, no));
    match dice.below(5) {
        0 => ("line", line.collect()),
        1 => ("ring", line.chain([(0, count - 1)]).collect()),
        2 => ("star", (1..count).map(|no| (0, no)).collect()),
        3 if count <= 7 => ("mesh", (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()),
        _ => {
            // A random tree, and some more.
            let mut pairs: Vec<(usize, usize)> = (1..count).map(|no| (dice.index(no), no)).collect();
            for _ in 0..dice.index(count + 1) {
                let (a, b) = (dice.index(count), dice.index(count));
                let pair = (a.min(b), a.max(b));
                if a != b && !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
            ("random", pairs)
        }
    }
}

fn moment(dice: &mut Dice) -> Duration {
    Duration::from_millis(dice.below(SPAN.as_millis() as u64))
}

fn posts(sites: &[SitePlan], hidden: Option<usize>, dice: &mut Dice) -> Vec<(Duration, Post)> {
    let count = *dice.pick(&[20, 60, 120]);
    // Some come all at once.
    let bursts: Vec<Duration> = (0..3).map(|_| moment(dice)).collect();
    let mut posts: Vec<(Duration, Post)> = (0..count)
        .map(|no| {
            let at = if dice.once_in(3) { *dice.pick(&bursts) } else { moment(dice) };
            let site = dice.index(sites.len());
            let known = &sites[site].newsgroups;
            let mut newsgroups = vec![*dice.pick(known)];
            while dice.once_in(4) && newsgroups.len() < known.len() {
                let more = *dice.pick(known);
                if !newsgroups.contains(&more) {
                    newsgroups.push(more);
                }
            }
            let token = format!("t{no}");
            let mut at_sites = vec![site];
            // Who is behind NAT puts off what its peers offer while somebody else brings it.
            let hidden = hidden.filter(|_| dice.once_in(2));
            let other = hidden.unwrap_or_else(|| dice.index(sites.len()));
            // Not sure that it worked, or impatient: the same article somewhere else as well.
            let elsewhere = newsgroups.iter().all(|name| sites[other].newsgroups.contains(name));
            if (hidden.is_some() || dice.once_in(4)) && other != site && elsewhere {
                at_sites.push(other);
            }
            let ways = [Offered::Ihave, Offered::Check, Offered::TakeThis];
            let offered = dice.once_in(4).then(|| *dice.pick(&ways));
            let own_id = offered.is_some() || at_sites.len() > 1 || !dice.once_in(8);
            let id = own_id.then(|| format!("<{token}@user.example>"));
            (at, Post { token, id, newsgroups, sites: at_sites, body: body(dice), offered })
        })
        .collect();
    posts.sort_by_key(|(at, _)| *at);
    posts
}

/// A body in wire form, without its terminator.
fn body(dice: &mut Dice) -> String {
    let octets = *dice.pick(&[0, 100, 100, 2_000, 2_000, 2_000, 20_000, 150_000]);
    let mut body = String::new();
    while body.len() < octets {
        body.push_str(dice.pick::<&str>(&["..", "... dots\r\n", "\r\n", "a line\r\n", "239 <x@y>\r\n"]));
        body.push_str("0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 abcdefghijklmnop\r\n");
    }
    body
}

fn faults(edges: &BTreeMap<(usize, usize), Edge>, count: usize, dice: &mut Dice) -> Vec<(Duration, Fault)> {
    let most = *dice.pick(&[8, 20, 50]);
    let how_many = dice.below(most);
    let mut faults: Vec<(Duration, Fault)> =
        (0..how_many).map(|_| (moment(dice), fault(edges, count, dice))).collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn fault(edges: &BTreeMap<(usize, usize), Edge>, count: usize, dice: &mut Dice) -> Fault {
    let site = dice.index(count);
    let (a, b) = (site, (site + 1 + dice.index(count - 1)) % count);
    let longest = *dice.pick(&[1_000, 20_000, 90_000]);
    let lasts = dice.ms(10, longest);
    match dice.below(16) {
        0 => Fault::Cut { from: a, to: b, lasts },
        1 => Fault::Split { sites: (0..count).filter(|_| dice.once_in(2)).collect(), lasts },
        2 => Fault::Loss { a, b, of_a_million: dice.between(10_000, 300_000), lasts },
        3 => Fault::Slow { a, b, bandwidth: dice.between(500, 20_000), lasts },
        4 | 5 => Fault::Reset { a, b },
        6..9 => {
            let presence = *dice.pick(&[Presence::Refuses, Presence::Silent]);
            let index = *dice.pick(&[Index::Kept, Index::Lost, Index::Old]);
            Fault::Crash { site, presence, index, down: lasts }
        }
        9 => Fault::Restart { site, down: lasts },
        10 => Fault::Full { site, lasts },
        11 => Fault::Clock { by_ms: dice.between(0, 4 * 3_600_000).cast_signed() - 2 * 3_600_000 },
        12 => Fault::SyncFails { site, lasts },
        sort => {
            let (&(from, to), _) = edges.iter().nth(dice.index(edges.len())).unwrap();
            let pattern = if dice.once_in(2) { "*" } else { *dice.pick(&PATTERNS) };
            match (sort, dice.below(3)) {
                (13, _) => Fault::Part { a: from, b: to, lasts },
                (_, 0) => Fault::Reload { from, to, change: Change::Send(pattern) },
                (_, 1) => Fault::Reload { from, to, change: Change::Accept(pattern) },
                (..) => Fault::Reload { from, to, change: Change::Delay(dice.below(30)) },
            }
        }
    }
}
