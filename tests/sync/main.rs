//! `feedd sync`: two sites whose stores were made different come to agree, and say so truly.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod losses;
mod sharing;
#[path = "../support/mod.rs"]
mod support;
mod sweeps;

use std::process::Command;

use std::process::{Child, Stdio};
use std::time::Duration;

use support::articles::{message_id, run_of};
use support::site::{FEEDD, Site};

const NEWSGROUPS: [&str; 2] = ["test.a", "local.a"];

/// Two sites that do not know each other yet. They are told apart by keys: all of this is one host.
fn two() -> (Site, Site) {
    let site = |identity| Site::init_with(identity, &NEWSGROUPS, &["--self-signed"]);
    (site("a.example"), site("b.example"))
}

fn key(site: &Site) -> String {
    let shown: serde_json::Value =
        serde_json::from_str(&site.feedd(&["peer", "key", "--json"], &[])).unwrap();
    shown["key"].as_str().unwrap().to_owned()
}

fn peer(site: &Site, other: &Site, more: &[&str]) {
    let name = other.identity.split('.').next().unwrap();
    let address = format!("127.0.0.1:{}", other.port);
    let add = [name, "--identity", &other.identity, "--address", &address, "--pin", &key(other)];
    site.feedd(&["peer", "add"], &[&add[..], more].concat());
}

/// Adds a line to the last peer's block, and has the site read it.
fn add_to_peer(site: &Site, line: &str) {
    let peers = site.dir().join("peers.toml");
    let text = std::fs::read_to_string(&peers).unwrap();
    std::fs::write(&peers, format!("{text}{line}\n")).unwrap();
    if site.pid() != 0 {
        site.feedd(&["reload"], &[]);
    }
}

#[track_caller]
fn offer(site: &Site, run: &str, newsgroup: &str, count: usize) {
    let mut refused = Vec::new();
    let answered = |line: &str| {
        if !line.starts_with("239") {
            refused.push(line.to_owned());
        }
    };
    site.client().offer_all(run_of(run, newsgroup, 1500), count, answered).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Syncs: did it succeed, and its report.
fn sync(site: &Site, peer: &str) -> (bool, serde_json::Value) {
    let output =
        Command::new(FEEDD).args(["sync", peer, "--json", "-c"]).arg(site.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"));
    (output.status.success(), report)
}

/// Begins a sync, and does not wait for it.
fn begin_sync(site: &Site, peer: &str) -> Child {
    let mut feedd = Command::new(FEEDD);
    feedd.args(["sync", peer, "--json", "-c"]).arg(site.config());
    feedd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Nothing here takes longer than a minute on the slowest machine.
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn what_either_lacks_comes_from_the_other() {
    let (mut a, mut b) = two();
    a.accept_load();
    b.accept_load();
    a.start();
    b.start();
    // Different on purpose: they are no peers yet, and a new peer is owed nothing of before.
    offer(&a, "both", "test.a", 300);
    offer(&b, "both", "test.a", 300);
    offer(&a, "only-a", "test.a", 70);
    // More Message-IDs than one turn of a task reads.
    offer(&a, "many", "test.a", 3000);
    offer(&b, "many", "test.a", 3000);
    offer(&b, "only-b", "test.a", 40);
    offer(&a, "local", "local.a", 5);
    peer(&a, &b, &["--send", "*,!local.*", "--accept", "*,!local.*"]);
    peer(&b, &a, &["--send", "*,!local.*", "--accept", "*,!local.*"]);
    let (whole, report) = sync(&a, "b");
    assert!(whole, "{report:#}");
    let sent = &report["sent"];
    assert_eq!((&sent["agreed"], &sent["of"]), (&3410.into(), &3410.into()), "{report:#}");
    assert_eq!((&sent["sent"], &sent["received"]), (&70.into(), &40.into()), "{report:#}");
    assert_eq!(report["compared"], true);
    for site in [&a, &b] {
        assert_eq!(site.client().group("test.a").0, 3410, "{}", site.identity);
    }
    assert!(!b.client().has(&message_id("local", 0)));
    // Nothing is left to do, from either side.
    for (site, name) in [(&a, "b"), (&b, "a")] {
        let (whole, report) = sync(site, name);
        assert!(whole && report["sent"]["of"] == 3410 && report["sent"]["sent"] == 0, "{report:#}");
    }
    let text = a.feedd(&["sync", "b"], &[]);
    assert!(text.starts_with("a.example and b agree on 3 410 of 3 410 articles\n"), "{text}");
}

#[test]
fn what_a_contract_keeps_back_is_told_apart_from_what_is_missing() {
    let (mut a, mut b) = two();
    a.accept_load();
    b.accept_load();
    a.start();
    b.start();
    offer(&a, "small", "test.a", 20);
    peer(&b, &a, &[]);
    peer(&a, &b, &[]);
    let peers = a.dir().join("peers.toml");
    let unlimited = std::fs::read_to_string(&peers).unwrap();
    std::fs::write(&peers, format!("{unlimited}send = {{ bytes_max = 600 }}\n")).unwrap();
    a.feedd(&["reload"], &[]);
    let (whole, report) = sync(&a, "b");
    assert!(whole, "{report:#}");
    assert_eq!(report["sent"]["unowed"]["bytes_max"], 20, "{report:#}");
    assert_eq!((&report["sent"]["agreed"], &report["sent"]["of"]), (&0.into(), &0.into()));
    // Asked from the other side, it is the peer that says so.
    let (whole, report) = sync(&b, "a");
    assert!(whole, "{report:#}");
    let unowed = report["sent"]["unowed"].as_object().unwrap();
    assert_eq!(unowed.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), 20, "{report:#}");
    // One that the peer rejects is missing.
    std::fs::write(&peers, unlimited).unwrap();
    a.feedd(&["reload"], &[]);
    b.feedd(&["group", "remove"], &["test.a"]);
    let (whole, report) = sync(&a, "b");
    assert!(!whole, "{report:#}");
    assert_eq!((&report["sent"]["agreed"], &report["sent"]["of"]), (&0.into(), &20.into()), "{report:#}");
    assert_eq!(report["sent"]["missing"].as_array().unwrap().len(), 20);
}

#[test]
fn who_is_no_peer_learns_nothing() {
    let mut a = Site::init("a.example", &NEWSGROUPS);
    a.start();
    let mut client = a.client();
    for command in ["XSYNC COUNTS 0-5 *", "XSYNC IDS 0-5 *", "XSYNC OFFER <a@b>"] {
        assert!(client.ask(command).unwrap().starts_with("502"), "{command}");
    }
    assert!(!client.list("CAPABILITIES", "101").iter().any(|line| line == "XSYNC"));
    a.accept_load();
    a.feedd(&["reload"], &[]);
    let mut client = a.client();
    assert!(client.list("CAPABILITIES", "101").iter().any(|line| line == "XSYNC"));
    for command in [
        "XSYNC",
        "XSYNC COUNTS",
        "XSYNC COUNTS x *",
        "XSYNC COUNTS 5-4 *",
        "XSYNC IDS 0-5 a[b",
        "XSYNC OFFER x",
    ] {
        assert!(client.ask(command).unwrap().starts_with("501"), "{command}");
    }
    assert!(client.list("XSYNC COUNTS 0-9999999999 *", "291").is_empty());
}

#[test]
fn three_sites_come_to_agree_whatever_each_of_them_had() {
    let mut sites = ["a.example", "b.example", "c.example"]
        .map(|identity| Site::init_with(identity, &NEWSGROUPS, &["--self-signed"]));
    for site in &mut sites {
        site.accept_load();
        site.start();
    }
    let [a, b, c] = &sites;
    offer(a, "all", "test.a", 50);
    offer(b, "all", "test.a", 50);
    offer(c, "all", "test.a", 50);
    for (site, run, count) in [(a, "only-a", 30), (b, "only-b", 20), (c, "only-c", 10)] {
        offer(site, run, "test.a", count);
    }
    // A line: A and C do not know each other.
    for (site, other) in [(a, b), (b, a), (b, c), (c, b)] {
        peer(site, other, &[]);
    }
    let (whole, report) = sync(b, "a");
    assert!(whole && report["sent"]["agreed"] == 100, "{report:#}");
    // What B has from A since then C gets by the feed; what B had before, by the sync.
    let (whole, report) = sync(c, "b");
    assert!(whole && report["sent"]["agreed"] == 110, "{report:#}");
    for (site, name) in [(a, "b"), (b, "a"), (b, "c"), (c, "b")] {
        let (whole, report) = sync(site, name);
        assert!(whole && report["sent"]["of"] == 110, "{} and {name}: {report:#}", site.identity);
    }
    for site in &sites {
        assert_eq!(site.client().group("test.a").0, 110, "{}", site.identity);
    }
}

#[test]
fn each_owes_what_its_contract_says_where_the_patterns_differ() {
    const GROUPS: [&str; 3] = ["test.a", "test.b", "local.a"];
    let site = |identity| {
        let mut site = Site::init_with(identity, &GROUPS, &["--self-signed"]);
        site.accept_load();
        site.start();
        site
    };
    let (a, b) = (site("a.example"), site("b.example"));
    for (at, run) in [(&a, "of-a"), (&b, "of-b")] {
        for (newsgroup, count) in [("test.a", 7), ("test.b", 5), ("local.a", 3)] {
            offer(at, &format!("{run}.{newsgroup}"), newsgroup, count);
        }
    }
    // A sends test.*, accepts test.a and local.*; B sends all, accepts test.a alone.
    for (site, other, send, accept) in [(&a, &b, "test.*", "test.a,local.*"), (&b, &a, "*", "test.a")] {
        // Whoever comes from this host is the other one from now on, and nobody else.
        std::fs::write(site.dir().join("peers.toml"), "").unwrap();
        peer(site, other, &["--send", send, "--accept", accept, "--accept-from", "127.0.0.1"]);
        site.feedd(&["reload"], &[]);
    }
    let (whole, report) = sync(&a, "b");
    // B rejects what it does not accept of test.b, so those five are missing: the operators do not agree.
    assert!(!whole, "{report:#}");
    let way = |way: &str| [&report[way]["agreed"], &report[way]["of"]].map(|n| n.as_u64().unwrap());
    assert_eq!(way("sent"), [7, 12], "{report:#}");
    // What A accepts, and B has: all of test.a by now, and B's three of local.a.
    assert_eq!(way("accepted"), [17, 17], "{report:#}");
    for (site, newsgroup, count) in
        [(&a, "test.a", 14), (&a, "local.a", 6), (&a, "test.b", 5), (&b, "test.a", 14), (&b, "test.b", 5)]
    {
        assert_eq!(site.client().group(newsgroup).0, count, "{newsgroup} at {}", site.identity);
    }
    assert_eq!(b.client().group("local.a").0, 3, "A does not send it");
}

#[test]
fn nothing_to_compare_is_said_so() {
    let (mut a, mut b) = two();
    a.start();
    b.start();
    peer(&a, &b, &[]);
    peer(&b, &a, &[]);
    let said = a.feedd(&["sync", "b"], &["--since", "1h"]);
    assert!(said.starts_with("nothing to compare: ") && said.contains(" since "), "{said}");
}
