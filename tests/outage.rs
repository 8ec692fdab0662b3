//! Peers that are down, slow or stopped: who is owed an article gets it, and nobody else waits.
//!
//! The large ones measure time and memory, so they are ignored by default and run in release by
//! `.ci/run`.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use support::articles::run_of;
use support::process::{memory_kib, wait_until};
use support::site::Site;

const NEWSGROUP: &str = "test.a";

/// Sites A and B that peer with each other; neither runs yet.
fn two_peers() -> (Site, Site) {
    let a = Site::init("a.example", &[NEWSGROUP]);
    let b = Site::init("b.example", &[NEWSGROUP]);
    a.accept_load();
    a.peer_with(&b);
    b.peer_with(&a);
    (a, b)
}

/// Offers `count` fresh articles, each of which must be taken.
#[track_caller]
fn load(site: &Site, run: &str, count: usize, size: usize) {
    let mut refused = Vec::new();
    let answered = |line: &str| {
        if !line.starts_with("239") {
            refused.push(line.to_owned());
        }
    };
    site.client().offer_all(run_of(run, NEWSGROUP, size), count, answered).unwrap();
    assert!(refused.is_empty(), "not taken: {:?}", &refused[..refused.len().min(3)]);
}

/// Waits until the newsgroup has `count` articles at `site`; how long that took.
#[track_caller]
fn until_count(site: &Site, count: u64, within: Duration) -> Duration {
    let began = Instant::now();
    let mut client = site.client();
    let mut seen = 0;
    let arrived = wait_until(within, || {
        seen = client.group(NEWSGROUP).0;
        seen >= count
    });
    assert!(arrived, "{} has {seen} of {count} after {within:?}", site.identity);
    began.elapsed()
}

/// Each article stands once in the newsgroup, and no other.
#[track_caller]
fn exactly(site: &Site, count: u64) {
    let mut client = site.client();
    let rows = client.overview(NEWSGROUP, 1);
    let ids: HashSet<&String> = rows.iter().map(|(_, id)| id).collect();
    assert_eq!((rows.len() as u64, ids.len() as u64), (count, count), "rows, Message-IDs");
    assert_eq!(client.group(NEWSGROUP).0, count, "GROUP's count");
}

/// A figure of the feed from `site` to `peer`, from `feedd status --json`.
fn figure(site: &Site, peer: &str, name: &str) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&site.feedd(&["status"], &["--json"])).unwrap();
    let feeds = status["feeds"].as_array().unwrap();
    let feed = feeds.iter().find(|feed| feed["peer"] == peer).unwrap();
    feed[name].as_u64().unwrap()
}

/// `count` articles arrive at A while B is down; then B comes back, and nothing new is posted.
fn comes_back(count: u64, size: usize) -> Duration {
    let (mut a, mut b) = two_peers();
    a.start();
    load(&a, "missed", count as usize, size);
    b.start();
    let took = until_count(&b, count, Duration::from_secs(60));
    exactly(&b, count);
    assert!(wait_until(Duration::from_secs(10), || figure(&a, "b", "accepted") == count));
    assert_eq!(figure(&a, "b", "offered"), count, "each is offered once");
    took
}

#[test]
fn a_peer_that_was_down_gets_what_it_missed() {
    comes_back(300, 1_000);
}

#[test]
fn a_peer_that_goes_away_in_between_gets_the_rest() {
    let (mut a, mut b) = two_peers();
    b.start();
    a.start();
    load(&a, "before", 100, 1_000);
    until_count(&b, 100, Duration::from_secs(30));
    b.stop();
    load(&a, "meanwhile", 100, 1_000);
    b.start();
    until_count(&b, 200, Duration::from_secs(30));
    exactly(&b, 200);
}

#[test]
#[ignore = "measures time: .ci/run runs it in release"]
fn ten_thousand_missed_articles_arrive_within_five_seconds() {
    let took = comes_back(10_000, 2_000);
    println!("10,000 articles arrived {:.2} s after the peer's return", took.as_secs_f64());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
#[ignore = "measures time: .ci/run runs it in release"]
fn a_burst_of_five_thousand_arrives_whole_and_at_once() {
    let (mut a, mut b) = two_peers();
    b.start();
    a.start();
    load(&a, "first", 1, 2_000);
    until_count(&b, 1, Duration::from_secs(30));
    load(&a, "burst", 5_000, 2_000);
    let took = until_count(&b, 5_001, Duration::from_secs(60));
    exactly(&b, 5_001);
    println!("5,000 articles were all at the peer {:.2} s after the last was taken", took.as_secs_f64());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// What is owed to a peer that is down is not kept in memory: a site that owes 80 MB grows like one
/// that owes nobody anything.
#[test]
#[ignore = "measures memory: .ci/run runs it in release"]
fn what_a_peer_is_owed_is_not_kept_in_memory() {
    const ARTICLES: usize = 10_000;
    let growth = |site: &mut Site| {
        site.start();
        load(site, "first", 100, 8_000);
        let before = memory_kib(site.pid());
        load(site, "owed", ARTICLES, 8_000);
        memory_kib(site.pid()).saturating_sub(before)
    };
    let mut alone = Site::init("a.example", &[NEWSGROUP]);
    alone.accept_load();
    let alone = growth(&mut alone);
    let (mut a, _b) = two_peers();
    let owing = growth(&mut a);
    println!("80 MB for nobody: {alone} KiB more; owed to a peer that is down: {owing} KiB more");
    assert!(owing < alone + 32 * 1024, "{owing} KiB, {alone} KiB without a peer");
}

#[test]
fn a_stopped_peer_slows_nobody_else() {
    const ARTICLES: u64 = 2_000;
    let (mut a, mut b) = two_peers();
    let mut c = Site::init("c.example", &[NEWSGROUP]);
    a.peer_with(&c);
    c.peer_with(&a);
    for site in [&mut b, &mut c, &mut a] {
        site.start();
    }
    load(&a, "first", 10, 2_000);
    until_count(&b, 10, Duration::from_secs(30));
    until_count(&c, 10, Duration::from_secs(30));
    c.freeze();
    load(&a, "burst", ARTICLES as usize, 2_000);
    until_count(&b, ARTICLES + 10, Duration::from_secs(30));
    c.thaw();
    until_count(&c, ARTICLES + 10, Duration::from_secs(60));
    for site in [&b, &c] {
        exactly(site, ARTICLES + 10);
    }
}
