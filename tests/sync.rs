//! `feedd sync`: two sites whose stores were made different come to agree, and say so truly.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::process::Command;

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
fn a_peer_that_is_no_feedd_is_offered_everything_once_more() {
    let mut a = Site::init("a.example", &NEWSGROUPS);
    let mut b = Site::init("b.example", &NEWSGROUPS);
    a.accept_load();
    a.start();
    offer(&a, "before", "test.a", 120);
    // Known to B as one of two on this host, so nobody in particular: it is not asked by XSYNC OFFER, and
    // an old server would not know the question either.
    let (port, stop) = without_xsync(b.port);
    a.peer_with_port("b.example", port);
    b.peer_with(&a);
    b.start();
    let (whole, report) = sync(&a, "b");
    assert!(whole, "{report:#}");
    assert_eq!((&report["compared"], &report["sent"]["sent"]), (&false.into(), &120.into()), "{report:#}");
    let (whole, report) = sync(&a, "b");
    assert!(whole && report["sent"]["agreed"] == 120 && report["sent"]["sent"] == 0, "{report:#}");
    assert_eq!(b.client().group("test.a").0, 120);
    drop(stop);
}

/// A door to the server behind a port that takes XSYNC out of its capabilities.
fn without_xsync(port: u16) -> (u16, impl Drop) {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    struct Stop;
    impl Drop for Stop {
        fn drop(&mut self) {}
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let copy = |mut from: TcpStream, mut to: TcpStream| {
                let mut octets = [0; 65536];
                while let Ok(count @ 1..) = from.read(&mut octets) {
                    let mut text = octets[..count].to_vec();
                    if let Some(at) = memchr::memmem::find(&text, b"XSYNC\r\n") {
                        text[at..at + 5].copy_from_slice(b"XNONE");
                    }
                    if to.write_all(&text).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            };
            let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || copy(near, far));
            std::thread::spawn(move || copy(far2, near2));
        }
    });
    (own, Stop)
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
