//! `feedd sync` with an INN as the peer: it answers no XSYNC, is offered everything once more, and its answers
//! are the proof.

use std::process::Command;

use crate::support;
use support::articles::{message_id, run_of};
use support::client::Client;
use support::inn::{Inn, InnSetup};
use support::process::wait_until;
use support::site::{FEEDD, Site};

use super::ARRIVES_WITHIN;

/// INN has the first one only.
const NEWSGROUPS: [&str; 2] = ["test.a", "test.b"];

/// A site with articles that came before it knew INN: its feed does not owe them.
fn site_and_inn(run: &str, counts: [usize; 2]) -> (Site, Inn) {
    let mut site = Site::init("a.example", &NEWSGROUPS);
    site.accept_load();
    site.start();
    for (newsgroup, count) in NEWSGROUPS.into_iter().zip(counts) {
        offer(&mut site.client(), &format!("{run}.{newsgroup}"), newsgroup, count);
    }
    let inn = Inn::start(&InnSetup::new("inn.example", &NEWSGROUPS[..1])).unwrap();
    site.peer_with_port("inn.example", inn.port);
    (site, inn)
}

#[track_caller]
fn offer(client: &mut Client, run: &str, newsgroup: &str, count: usize) {
    let taken = |line: &str| assert!(line.starts_with("239"), "{line}");
    client.offer_all(run_of(run, newsgroup, 1500), count, taken).unwrap();
}

/// Did it succeed; what it says.
fn sync(site: &Site) -> (bool, String) {
    let output = Command::new(FEEDD).args(["sync", "inn", "-c"]).arg(site.config()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[ignore = "needs the Debian package inn2"]
fn an_inn_that_lacks_articles_gets_them_and_what_it_rejects_is_named() {
    let (site, inn) = site_and_inn("swept", [300, 3]);
    // INN has some of them from elsewhere.
    let mut peer_of_inn = Client::connect(inn.port).unwrap();
    offer(&mut peer_of_inn, "swept.test.a", "test.a", 120);
    let (whole, said) = sync(&site);
    let proof = "inn has or remembers 300 of 303 articles that it should have: 180 taken now, 120 known to it before; 3 rejected";
    assert!(!whole && said.lines().next() == Some(proof), "{said}\n{}", site.log());
    for number in 0..3 {
        let id = message_id("swept.test.b", number);
        let line = said.lines().find(|line| line.contains(&id)).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("test.b"), "INN's reason is not told: {line}");
        let feeds = site.feedd(&["trace", &id], &[]);
        assert!(feeds.contains("439") || feeds.contains("437"), "{feeds}");
    }
    let mut reader = Client::connect(inn.reader_port).unwrap();
    let arrived = wait_until(ARRIVES_WITHIN, || reader.group("test.a").0 == 300);
    assert!(arrived, "{} of 300\n{}", reader.group("test.a").0, inn.last_words());
}

#[test]
#[ignore = "needs the Debian package inn2"]
fn an_inn_whose_place_was_lost_is_offered_everything_by_itself() {
    let (mut site, inn) = site_and_inn("before", [0, 0]);
    offer(&mut site.client(), "fed", "test.a", 50);
    let mut reader = Client::connect(inn.reader_port).unwrap();
    let arrived = wait_until(ARRIVES_WITHIN, || reader.group("test.a").0 == 50);
    assert!(arrived, "{}", inn.last_words());
    site.stop();
    // INN's place, in all records of the log that name it.
    for entry in std::fs::read_dir(site.dir().join("data/spool")).unwrap() {
        let file = entry.unwrap().path();
        let mut octets = std::fs::read(&file).unwrap();
        let places: Vec<usize> = memchr::memmem::find_iter(&octets, "{\"peer\":\"inn\"").collect();
        places.into_iter().for_each(|place| octets[place + 3] ^= 0x15);
        std::fs::write(&file, octets).unwrap();
    }
    std::fs::remove_dir_all(site.dir().join("data/index")).unwrap();
    site.start();
    let proof =
        "inn has or remembers 50 of 50 articles that it should have: 0 taken now, 50 known to it before";
    assert!(wait_until(ARRIVES_WITHIN, || site.log().contains(proof)), "{}", site.log());
    let status = site.feedd(&["peer", "status"], &[]);
    assert!(!status.contains("a sync is due"), "{status}");
}
