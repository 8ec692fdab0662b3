//! kill -9 of a real site at moments of chance under load, audited by a ledger of its own: what was
//! acknowledged is there, no article number is used twice, the peer ends with the same set, and the
//! index rebuilt from the log answers alike.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::articles::{message_id, posted, run_of};
use support::client::Client;
use support::process::wait_until;
use support::random::Random;
use support::site::Site;

const ROUNDS: u64 = 50;
const NEWSGROUPS: [&str; 3] = ["test.a", "test.b", "test.c"];
/// What each offering connection sends to.
const OFFERED_TO: [&str; 3] = ["test.a", "test.b", "test.a,test.b,test.c"];
/// Articles that one connection offers in a round at most.
const ROUND_MAX: usize = 1_500;

/// What the site said, kept outside of it.
#[derive(Debug, Default)]
struct Ledger {
    /// Message-IDs that were answered 239 or 240.
    acknowledged: BTreeSet<String>,
    /// Those of the last round.
    fresh: Vec<String>,
    /// What stood under a number of a newsgroup whenever somebody looked.
    numbers: BTreeMap<(usize, u64), String>,
}

impl Ledger {
    fn acknowledge(&mut self, id: &str) {
        self.fresh.push(id.to_owned());
        assert!(self.acknowledged.insert(id.to_owned()), "{id} was acknowledged twice");
    }

    /// Enters rows of an overview; a number that was another article's before is the end.
    fn enter(&mut self, newsgroup: usize, rows: Vec<(u64, String)>) {
        for (number, id) in rows {
            let before = self.numbers.insert((newsgroup, number), id.clone());
            let name = NEWSGROUPS[newsgroup];
            assert!(
                before.as_ref().is_none_or(|before| *before == id),
                "{name} {number} was {before:?} and is now {id}"
            );
        }
    }

    fn high(&self, newsgroup: usize) -> u64 {
        let all = (newsgroup, 0)..=(newsgroup, u64::MAX);
        self.numbers.range(all).next_back().map_or(0, |((_, number), _)| *number)
    }
}

/// Offers by TAKETHIS until the site is gone.
fn offer(port: u16, round: u64, connection: usize, ledger: &Mutex<Ledger>) {
    let Ok(mut client) = Client::connect(port) else { return };
    let run = format!("crash.{round}.{connection}");
    let articles = run_of(&run, OFFERED_TO[connection], 700 + 400 * connection);
    let _ = client.offer_all(articles, ROUND_MAX, |line| {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("239"), Some(id)) => ledger.lock().unwrap().acknowledge(id),
            // The site said that it stops taking articles, or was cut off within a line.
            (Some("400"), _) | (_, None) => {}
            _ => panic!("{line}"),
        }
    });
}

/// Posts one article after the other until the site is gone.
fn post(port: u16, round: u64, ledger: &Mutex<Ledger>) {
    let Ok(mut client) = Client::connect(port) else { return };
    for number in 0.. {
        let id = message_id(&format!("posted.{round}"), number);
        match client.post(&posted(Some(&id), NEWSGROUPS[2], 600)) {
            Ok(line) if line.starts_with("240") => ledger.lock().unwrap().acknowledge(&id),
            Ok(line) => panic!("{line}"),
            Err(_) => return,
        }
    }
}

/// Reads overviews as they grow: what a reader once saw under a number binds the site as well.
fn watch(port: u16, ledger: &Mutex<Ledger>, over: &AtomicBool) {
    let Ok(mut client) = Client::connect(port) else { return };
    while !over.load(Ordering::Relaxed) {
        for (newsgroup, name) in NEWSGROUPS.iter().enumerate() {
            let from = ledger.lock().unwrap().high(newsgroup) + 1;
            match rows(&mut client, name, from) {
                Some(rows) => ledger.lock().unwrap().enter(newsgroup, rows),
                None => return,
            }
        }
    }
}

/// The rows of an overview from a number on; `None` when the connection ended in between.
fn rows(client: &mut Client, newsgroup: &str, from: u64) -> Option<Vec<(u64, String)>> {
    client.ask(&format!("GROUP {newsgroup}")).ok()?;
    if !client.ask(&format!("OVER {from}-")).ok()?.starts_with("224") {
        return Some(Vec::new());
    }
    let block = client.block().ok()?;
    let text = String::from_utf8_lossy(&block).into_owned();
    text.lines()
        .map(|row| {
            let fields: Vec<&str> = row.split('\t').collect();
            Some((fields.first()?.parse().ok()?, (*fields.get(4)?).to_owned()))
        })
        .collect()
}

/// Everything acknowledged is there; every number is what it was; every row's article exists.
#[track_caller]
fn audit(site: &Site, ledger: &mut Ledger, everything: bool) {
    let mut client = site.client();
    let missing =
        if everything { client.missing(&ledger.acknowledged) } else { client.missing(&ledger.fresh) };
    assert!(missing.is_empty(), "acknowledged and lost: {} {:?}", missing.len(), missing.first());
    for (newsgroup, name) in NEWSGROUPS.iter().enumerate() {
        let from = if everything { 1 } else { ledger.high(newsgroup).saturating_sub(2_000).max(1) };
        let rows = client.overview(name, from);
        if everything {
            let (count, low, high) = client.group(name);
            assert_eq!(rows.len() as u64, count, "{name}: rows and GROUP's count");
            assert!(rows.first().is_none_or(|(first, _)| *first == low), "{name}: low water mark");
            assert!(rows.last().is_none_or(|(last, _)| *last == high), "{name}: high water mark");
            let ids: BTreeSet<&String> = rows.iter().map(|(_, id)| id).collect();
            assert_eq!(ids.len(), rows.len(), "{name}: a Message-ID under two numbers");
        }
        ledger.enter(newsgroup, rows);
    }
}

/// The Message-IDs of every newsgroup.
fn held(site: &Site) -> Vec<BTreeSet<String>> {
    let mut client = site.client();
    NEWSGROUPS.iter().map(|name| client.overview(name, 1).into_iter().map(|(_, id)| id).collect()).collect()
}

/// Every answer to GROUP, OVER and ARTICLE (by number and by Message-ID), as fingerprints.
fn answers(site: &Site) -> BTreeMap<String, u64> {
    let mut client = site.client();
    let mut answers = BTreeMap::new();
    let fingerprint = |bytes: &[u8]| {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        hasher.finish()
    };
    for name in NEWSGROUPS {
        let group = client.expect(&format!("GROUP {name}"), "211");
        answers.insert(format!("GROUP {name}"), fingerprint(group.as_bytes()));
        let over = client.list("OVER 1-", "224");
        answers.insert(format!("OVER {name}"), fingerprint(over.join("\n").as_bytes()));
        for (number, id) in client.overview(name, 1) {
            for which in [number.to_string(), id] {
                let article = client.article(&which).unwrap_or_else(|| panic!("{name} {which}"));
                answers.insert(format!("ARTICLE {name} {which}"), fingerprint(&article));
            }
        }
    }
    answers
}

#[test]
#[ignore = "takes a while: .ci/run runs it in release"]
fn fifty_crashes_lose_nothing() {
    let mut random = Random::seeded();
    let mut a = Site::init("a.example", &NEWSGROUPS);
    let mut b = Site::init("b.example", &NEWSGROUPS);
    a.accept_load();
    a.peer_with(&b);
    b.peer_with(&a);
    b.start();
    let ledger = Mutex::new(Ledger::default());
    for round in 0..ROUNDS {
        a.start();
        audit(&a, &mut ledger.lock().unwrap(), round % 10 == 9);
        ledger.lock().unwrap().fresh.clear();
        let moment = Duration::from_millis(5 + random.below(146));
        let over = AtomicBool::new(false);
        let port = a.port;
        thread::scope(|scope| {
            for connection in 0..OFFERED_TO.len() {
                let ledger = &ledger;
                scope.spawn(move || offer(port, round, connection, ledger));
            }
            scope.spawn(|| post(port, round, &ledger));
            scope.spawn(|| watch(port, &ledger, &over));
            // The moment of the crash: the one thing here that is a matter of time.
            let began = Instant::now();
            wait_until(moment, || began.elapsed() >= moment);
            a.kill9();
            over.store(true, Ordering::Relaxed);
        });
    }
    a.start();
    let acknowledged = {
        let mut ledger = ledger.lock().unwrap();
        audit(&a, &mut ledger, true);
        ledger.acknowledged.len()
    };
    println!("{ROUNDS} crashes, {acknowledged} articles acknowledged, none lost");
    assert!(acknowledged > 100 * ROUNDS as usize, "too little load to mean anything");

    let at_a = held(&a);
    let mut at_b = Vec::new();
    let same = wait_until(Duration::from_secs(60), || {
        at_b = held(&b);
        at_b == at_a
    });
    for (newsgroup, (a, b)) in at_a.iter().zip(&at_b).enumerate() {
        let name = NEWSGROUPS[newsgroup];
        let (lacks, extra) = (a.difference(b).count(), b.difference(a).count());
        assert!(same, "{name}: the peer lacks {lacks} of {} and has {extra} more", a.len());
    }

    let before = answers(&a);
    a.stop();
    std::fs::remove_dir_all(a.dir().join("data/index")).unwrap();
    a.feedd(&["rebuild"], &[]);
    a.start();
    let after = answers(&a);
    let changed: Vec<&String> = before
        .iter()
        .filter(|(asked, answer)| after.get(*asked) != Some(*answer))
        .map(|(asked, _)| asked)
        .collect();
    assert!(changed.is_empty(), "{} answers changed: {:?}", changed.len(), &changed[..changed.len().min(5)]);
    assert_eq!(before.len(), after.len());
    assert!(!a.log().contains("panicked"), "{}", a.log());
}
