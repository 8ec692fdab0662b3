//! A ring of four, both ways: three sites, with TLS and pinned keys between them, and an INN.
//!
//! ```text
//!     a.example ==TLS== b.example
//!        ||                |
//!       TLS              clear
//!        ||                |
//!     d.example --clear-- inn.example
//! ```
//!
//! Articles are posted and offered at all four while any of them is killed with -9 again and again.
//! Then every article must be at every site, once. INN does not promise what we do: what it has
//! acknowledged and lost is told apart, is given back to it by `feedd sync` and taken from it by
//! `feedd pull`, and is counted. `FEEDD_RING_S` is how many seconds it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::articles::{message_id, posted, relayed};
use crate::support::client::Client;
use crate::support::inn::{Inn, InnSetup};
use crate::support::process::{free_port, wait_until};
use crate::support::random::Random;
use crate::support::site::Site;

const NEWSGROUPS: [&str; 2] = ["test.a", "test.b"];
const POSTED_TO: [&str; 3] = ["test.a", "test.b", "test.a,test.b"];
const OCTETS: [usize; 4] = [500, 1_500, 3_000, 6_000];
/// One of so many articles is large.
const LARGE_OF: u64 = 40;
const LARGE: usize = 90_000;
const SECONDS: u64 = 40;
/// Between two articles of one poster.
const PACE: Duration = Duration::from_millis(40);
/// How long the ring may take to become level once all run again.
const LEVEL_WITHIN: Duration = Duration::from_secs(300);
/// INN is not waited for any longer when nothing has changed for so long.
const NOTHING_FOR: Duration = Duration::from_secs(20);
const INN: usize = 3;

/// What each of the four has said of each article.
#[derive(Debug, Default)]
struct Ledger {
    /// 239 or 240 was said; by whom.
    acknowledged: BTreeMap<String, usize>,
    /// The connection broke, or it was deferred: it may be there or not, but not half.
    open: BTreeSet<String>,
}

/// Where articles are brought to one of the four: by a peer and by a poster.
#[derive(Debug, Clone, Copy)]
struct Doors {
    node: usize,
    peers: u16,
    readers: u16,
}

struct Ring {
    sites: [Site; 3],
    inn: Inn,
}

impl Ring {
    /// For so many seconds.
    fn start(seconds: u64) -> Self {
        let mut sites = ["a.example", "b.example", "d.example"]
            .map(|identity| Site::init_with(identity, &NEWSGROUPS, &["--self-signed"]));
        let [a, b, d] = &sites;
        let mut setup = InnSetup::new("inn.example", &NEWSGROUPS);
        setup.careful = true;
        // Nothing is overwritten because it is full: some hundred articles of 5 KiB a second.
        setup.spool_mib = 512 + 2 * seconds;
        setup.port = Some(free_port());
        let setup = setup.feeding("b", "b.example", b.port).feeding("d", "d.example", d.port);
        for (one, two) in [(a, b), (b, a), (a, d), (d, a)] {
            let name = two.identity.split('.').next().unwrap();
            let address = format!("127.0.0.1:{}", two.port);
            let more = ["--identity", &two.identity, "--address", &address, "--pin", &key(two)];
            one.feedd(&["peer", "add"], &[&[name], &more[..]].concat());
        }
        for site in [a, b, d] {
            site.accept_load();
        }
        b.peer_with_port("inn.example", setup.port.unwrap());
        d.peer_with_port("inn.example", setup.port.unwrap());
        let inn = Inn::start(&setup).unwrap();
        sites.iter_mut().for_each(Site::start);
        Self { sites, inn }
    }

    fn doors(&self) -> Vec<Doors> {
        let of_sites = self.sites.iter().enumerate();
        of_sites
            .map(|(node, site)| Doors { node, peers: site.port, readers: site.port })
            .chain([Doors { node: INN, peers: self.inn.port, readers: self.inn.reader_port }])
            .collect()
    }

    fn kill9(&mut self, node: usize) {
        match self.sites.get_mut(node) {
            Some(site) => site.kill9(),
            None => self.inn.kill9(),
        }
    }

    fn start_again(&mut self, node: usize) {
        match self.sites.get_mut(node) {
            Some(site) => site.start(),
            None => self.inn.start_again().unwrap(),
        }
    }

    /// The rows of each of the four: number, Message-ID, by newsgroup.
    fn rows(&self) -> Vec<Vec<Vec<(u64, String)>>> {
        let ports = self.doors().into_iter().map(|doors| doors.readers);
        ports
            .map(|port| {
                let mut client = Client::connect(port).unwrap();
                NEWSGROUPS.iter().map(|newsgroup| client.overview(newsgroup, 1)).collect()
            })
            .collect()
    }

    /// The Message-IDs at each of the four.
    fn held(&self) -> Vec<BTreeSet<String>> {
        let of_one = |newsgroups: Vec<Vec<(u64, String)>>| {
            newsgroups.into_iter().flatten().map(|(_, id)| id).collect()
        };
        self.rows().into_iter().map(of_one).collect()
    }

    /// How many articles each newsgroup of each of the four has.
    fn counts(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for doors in self.doors() {
            let mut client = Client::connect(doors.readers).unwrap();
            counts.extend(NEWSGROUPS.map(|newsgroup| client.group(newsgroup).0));
        }
        counts
    }

    /// Waits until all four have the same articles, or nothing moves any longer.
    fn settle(&self) {
        let (mut last, mut since) = (Vec::new(), Instant::now());
        let settled = wait_until(LEVEL_WITHIN, || {
            let counts = self.counts();
            let level = counts.chunks(NEWSGROUPS.len()).all(|one| *one == counts[..NEWSGROUPS.len()]);
            if counts != last {
                (last, since) = (counts, Instant::now());
            }
            level && self.sites.iter().all(owes_nothing) || since.elapsed() > NOTHING_FOR
        });
        assert!(settled, "articles still move: {last:?}");
    }
}

fn key(site: &Site) -> String {
    let shown: serde_json::Value =
        serde_json::from_str(&site.feedd(&["peer", "key", "--json"], &[])).unwrap();
    shown["key"].as_str().unwrap().to_owned()
}

fn owes_nothing(site: &Site) -> bool {
    let status: serde_json::Value = serde_json::from_str(&site.feedd(&["status", "--json"], &[])).unwrap();
    let feeds = status["feeds"].as_array().unwrap();
    feeds.iter().all(|feed| feed["owed"] == 0)
}

/// Brings one article after the other to one of the four until it is `over`.
fn bring(doors: Doors, as_peer: bool, seed: u64, ledger: &Mutex<Ledger>, over: &AtomicBool) {
    let run = format!("ring{}.{}", doors.node, if as_peer { "peer" } else { "post" });
    let mut random = Random::of(seed);
    let mut connection = None;
    for number in 0.. {
        let id = message_id(&run, number);
        let to = POSTED_TO[random.below(POSTED_TO.len() as u64) as usize];
        let usual = OCTETS[random.below(OCTETS.len() as u64) as usize];
        let octets = if random.below(LARGE_OF) == 0 { LARGE } else { usual };
        let said = say(&mut connection, doors, as_peer, &id, to, octets);
        {
            let mut ledger = ledger.lock().unwrap();
            match said {
                Ok(line) if line.starts_with("239") || line.starts_with("240") => {
                    ledger.acknowledged.insert(id, doors.node);
                }
                // It is about to stop, or (INN's nnrpd) has no innd to give it to.
                Ok(line) if line.starts_with("400") || line.starts_with("441") && doors.node == INN => {
                    ledger.open.insert(id);
                    connection = None;
                }
                Ok(line) => panic!("{run}: {id}: {line}"),
                Err(_) => {
                    ledger.open.insert(id);
                    connection = None;
                }
            }
        }
        if wait_until(PACE, || over.load(Ordering::Relaxed)) {
            return;
        }
    }
}

/// One article on a connection that is opened if there is none: what is said to it.
fn say(
    connection: &mut Option<Client>,
    doors: Doors,
    as_peer: bool,
    id: &str,
    newsgroups: &str,
    octets: usize,
) -> io::Result<String> {
    if connection.is_none() {
        *connection = Some(Client::connect(if as_peer { doors.peers } else { doors.readers })?);
    }
    let client = connection.as_mut().unwrap();
    if as_peer {
        client.takethis(id, &relayed(id, newsgroups, octets))
    } else {
        client.post(&posted(Some(id), newsgroups, octets))
    }
}

/// Kills one or two of the four at moments of chance and starts them again, until time is up. How
/// often each was killed.
fn kill_about(ring: &mut Ring, until: Instant, random: &mut Random) -> [u64; 4] {
    let mut kills = [0; 4];
    while Instant::now() < until {
        let chosen = random.below(4) as usize;
        let mut down = vec![chosen];
        if random.below(4) == 0 {
            down.push((chosen + 1 + random.below(3) as usize) % 4);
        }
        for node in down {
            let pause = Duration::from_millis(random.below(4_000));
            let moment = Instant::now() + pause;
            wait_until(pause, || Instant::now() >= moment);
            ring.kill9(node);
            kills[node] += 1;
            let pause = Duration::from_millis(random.below(3_000));
            let moment = Instant::now() + pause;
            wait_until(pause, || Instant::now() >= moment);
            ring.start_again(node);
        }
    }
    kills
}

#[test]
#[ignore = "needs the Debian package inn2; FEEDD_RING_S=600 for ten minutes"]
fn a_ring_of_four_survives_kills() {
    let seconds = std::env::var("FEEDD_RING_S").ok().and_then(|s| s.parse().ok()).unwrap_or(SECONDS);
    let mut random = Random::seeded();
    let mut ring = Ring::start(seconds);
    let ledger = Mutex::new(Ledger::default());
    let over = AtomicBool::new(false);
    let kills = thread::scope(|scope| {
        for doors in ring.doors() {
            for as_peer in [false, true] {
                let (seed, ledger, over) = (random.next(), &ledger, &over);
                scope.spawn(move || bring(doors, as_peer, seed, ledger, over));
            }
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        let kills = kill_about(&mut ring, until, &mut random);
        over.store(true, Ordering::Relaxed);
        kills
    });
    let began = Instant::now();
    ring.settle();
    let level = began.elapsed();
    let ledger = ledger.into_inner().unwrap();
    let lost = judge(&ring, &ledger);
    println!(
        "{seconds} s, killed a, b, d, INN: {kills:?}; {} articles acknowledged, {} open; level after {:.1} s\n\
         INN lost {} that it had acknowledged to our feeds, did not pass on {} that it has or had",
        ledger.acknowledged.len(),
        ledger.open.len(),
        level.as_secs_f64(),
        lost.by_inn.len(),
        lost.within_inn.len(),
    );
    heal(&ring, &ledger, &lost);
    assert!(ledger.acknowledged.len() as u64 > 10 * seconds, "too little load to mean anything");
}

/// What is not where it should be, and is not of our doing.
struct Lost {
    /// It told our feeds that it has it, and has it not.
    by_inn: BTreeSet<String>,
    /// It was brought to INN, and no site of ours ever saw it.
    within_inn: BTreeSet<String>,
}

/// Our three sites have the same articles, all that any of them acknowledged, each once; where INN
/// differs, it had been given the article and said so.
fn judge(ring: &Ring, ledger: &Ledger) -> Lost {
    let held = ring.held();
    let ours: BTreeSet<&String> = held[..INN].iter().flatten().collect();
    for (site, held) in ring.sites.iter().zip(&held) {
        let missing: Vec<&&String> = ours.iter().filter(|id| !held.contains(**id)).collect();
        let story: Vec<String> = missing.iter().take(3).map(|id| tales(ring, id)).collect();
        assert!(missing.is_empty(), "{} lacks {}: {}", site.identity, missing.len(), story.join("\n"));
    }
    for (id, node) in &ledger.acknowledged {
        assert!(*node == INN || ours.contains(id), "{id} was acknowledged by {node} and lost");
    }
    for (site, newsgroups) in ring.sites.iter().zip(ring.rows()) {
        for rows in newsgroups {
            let ids: BTreeSet<&String> = rows.iter().map(|(_, id)| id).collect();
            assert_eq!(ids.len(), rows.len(), "{}: a Message-ID under two numbers", site.identity);
        }
        no_path_twice(site);
    }
    let by_inn: BTreeSet<String> =
        ours.iter().filter(|id| !held[INN].contains(**id)).map(|id| (**id).clone()).collect();
    for id in by_inn.iter().take(500) {
        let told = [1, 2].map(|site| tale(&ring.sites[site], id));
        let given = told.iter().any(|tale| tale.contains("239") || tale.contains("438"))
            || ledger.acknowledged.get(id) == Some(&INN);
        assert!(given, "INN lacks {id}, and was not given it:\n{}", told.join("\n"));
    }
    let brought_to_inn = ledger.acknowledged.iter().filter(|(_, node)| **node == INN);
    let within_inn: BTreeSet<String> =
        brought_to_inn.map(|(id, _)| id).filter(|id| !ours.contains(id)).cloned().collect();
    for id in within_inn.iter().take(100) {
        let told = tales(ring, id);
        assert!(!told.contains("taken"), "INN was told that we have {id}:\n{told}");
    }
    Lost { by_inn, within_inn }
}

fn tale(site: &Site, id: &str) -> String {
    let output = std::process::Command::new(crate::support::site::FEEDD)
        .args(["trace", id, "-c"])
        .arg(site.config())
        .output()
        .unwrap();
    format!("{}: {}", site.identity, String::from_utf8_lossy(&output.stdout))
}

fn tales(ring: &Ring, id: &str) -> String {
    ring.sites.iter().map(|site| tale(site, id)).collect()
}

/// No article has been to a site twice.
fn no_path_twice(site: &Site) {
    let mut client = site.client();
    for newsgroup in NEWSGROUPS {
        client.group(newsgroup);
        for line in client.list("HDR Path 1-", "225") {
            let (_, path) = line.split_once(' ').unwrap();
            let mut sites: Vec<&str> = path.split('!').filter(|part| part.ends_with(".example")).collect();
            let count = sites.len();
            sites.sort_unstable();
            sites.dedup();
            assert_eq!(sites.len(), count, "{}: {path}", site.identity);
        }
    }
}

/// What INN has lost is given back by a sync, what it has kept to itself is fetched by a pull: then all
/// four have everything but what INN has lost for good.
fn heal(ring: &Ring, ledger: &Ledger, lost: &Lost) {
    let b = &ring.sites[1];
    if !lost.within_inn.is_empty() {
        let server = format!("127.0.0.1:{}", ring.inn.reader_port);
        println!("{}", b.feedd(&["pull"], &[&server, "--propagate"]));
    }
    if !lost.by_inn.is_empty() {
        println!("{}", b.feedd(&["sync"], &["inn"]));
    }
    ring.settle();
    let held = ring.held();
    let gone = ledger.acknowledged.keys().filter(|id| !held[INN].contains(*id)).count();
    println!("{} articles at each of the four; INN lost {gone} for good", held[INN].len());
    for (number, one) in held.iter().enumerate() {
        let missing: Vec<&String> = held.iter().flatten().filter(|id| !one.contains(*id)).collect();
        assert!(missing.is_empty(), "{number} lacks {} at the end: {:?}", missing.len(), missing.first());
    }
    assert!(gone <= lost.within_inn.len(), "{gone} are nowhere");
}
