//! A sync by itself: something was lost that the place in the log does not tell, and is made good when the
//! peer is connected again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sharing::data;
use crate::support::articles::message_id;
use crate::support::process::wait_until;
use crate::support::site::Site;
use crate::{WITHIN, offer, peer, two};

const BEGUN: &str = "a sync, because something was lost";

/// A has fed B, B is down, and A has more for it.
fn with_articles_owed(count: usize) -> (Site, Site) {
    let (mut a, mut b) = two();
    a.accept_load();
    a.start();
    b.start();
    peer(&a, &b, &[]);
    peer(&b, &a, &[]);
    offer(&a, "before", "test.a", 10);
    let mut reader = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 == 10), "{}", a.log());
    b.stop();
    offer(&a, "owed", "test.a", count);
    a.stop();
    (a, b)
}

fn segments(site: &Site) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(data(site).join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Changes the octets behind each place where this text stands; how many places there are.
fn damage(file: &Path, text: &str) -> usize {
    let mut octets = fs::read(file).unwrap();
    let places: Vec<usize> = memchr::memmem::find_iter(&octets, text).collect();
    for place in &places {
        octets[place + text.len()] ^= 0x15;
    }
    fs::write(file, octets).unwrap();
    places.len()
}

fn status(site: &Site) -> String {
    site.feedd(&["peer", "status"], &[])
}

fn times(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// The sync comes once, with this proof, and its reason is forgotten, also after a kill.
#[track_caller]
fn mended_once(a: &mut Site, proof: &str) {
    assert!(wait_until(WITHIN, || a.log().contains(proof)), "no \"{proof}\"\n{}", a.log());
    assert!(wait_until(WITHIN, || !status(a).contains("a sync is due")), "{}", status(a));
    a.stop();
    a.start();
    assert!(!status(a).contains("a sync is due"), "{}", status(a));
    assert_eq!(times(&a.log(), BEGUN), 1, "{}", a.log());
}

#[test]
fn a_lost_place_is_not_taken_for_a_new_peer() {
    let (mut a, mut b) = with_articles_owed(30);
    let damaged: usize = segments(&a).iter().map(|file| damage(file, "{\"peer\":\"b\"")).sum();
    assert!(damaged > 0, "B's place is not in the log");
    fs::remove_dir_all(data(&a).join("index")).unwrap();
    a.start();
    let shown = status(&a);
    assert!(shown.contains("b: a sync is due: its place in the log was lost"), "{shown}");
    assert!(a.log().contains("its place in the log was lost: a sync is due"), "{}", a.log());
    assert!(!a.log().contains(BEGUN), "nobody is there yet");
    b.start();
    mended_once(&mut a, "a.example and b agree on 40 of 40 articles");
    assert_eq!(b.client().group("test.a").0, 40);
}

#[test]
fn a_new_peer_has_lost_nothing() {
    let (mut a, mut b) = two();
    a.accept_load();
    a.start();
    b.start();
    offer(&a, "before", "test.a", 10);
    peer(&a, &b, &[]);
    peer(&b, &a, &[]);
    offer(&a, "after", "test.a", 5);
    let mut reader = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 == 5), "{}", a.log());
    assert!(!status(&a).contains("a sync is due"), "{}", status(&a));
    a.stop();
    assert!(!a.log().contains("lost"), "{}", a.log());
}

#[test]
fn what_left_the_log_before_it_was_offered_is_told() {
    let (mut a, mut b) = two();
    let config = fs::read_to_string(a.config()).unwrap();
    fs::write(a.config(), config.replace("segment_bytes = \"1 GiB\"", "segment_bytes = \"1 MiB\"")).unwrap();
    a.accept_load();
    a.start();
    peer(&a, &b, &[]);
    peer(&b, &a, &[]);
    offer(&a, "owed", "test.a", 2500);
    a.stop();
    let segments = segments(&a);
    assert!(segments.len() > 2, "{segments:?}");
    fs::remove_file(&segments[0]).unwrap();
    a.start();
    let shown = status(&a);
    assert!(shown.contains("b: a sync is due: records ") && shown.contains(" left the log"), "{shown}");
    b.start();
    assert!(wait_until(WITHIN, || a.log().contains(" agree on ")), "{}", a.log());
    let (count, _, _) = b.client().group("test.a");
    assert!((1000..2500).contains(&count), "{count}");
    mended_once(&mut a, &grouped(count));
}

fn grouped(count: u64) -> String {
    let count =
        if count < 1000 { count.to_string() } else { format!("{} {:03}", count / 1000, count % 1000) };
    format!("a.example and b agree on {count} of {count} articles")
}

#[test]
fn an_article_that_was_damaged_before_its_turn_is_named() {
    let (mut a, mut b) = with_articles_owed(5);
    let id = message_id("owed", 3);
    let file = segments(&a).pop().unwrap();
    let mut octets = fs::read(&file).unwrap();
    // In the body behind its header field.
    let head = memchr::memmem::find(&octets, format!("Message-ID: {id}").as_bytes()).unwrap();
    let body = head + memchr::memmem::find(&octets[head..], b"All work").unwrap();
    octets[body] = b'B';
    fs::write(&file, octets).unwrap();
    a.start();
    b.start();
    let named = || a.log().lines().any(|line| line.contains("something is missing") && line.contains(&id));
    assert!(wait_until(WITHIN, named), "{}", a.log());
    assert!(a.log().contains("agree on 14 of 15 articles"), "{}", a.log());
    assert!(status(&a).contains("a sync is due: articles were damaged or missing here"), "{}", status(&a));
    assert_eq!(b.client().group("test.a").0, 14);
    assert_eq!(times(&a.log(), BEGUN), 1, "not again and again\n{}", a.log());
}

#[test]
fn a_log_that_is_damaged_gets_back_what_a_peer_has() {
    let (mut a, mut b) = with_articles_owed(5);
    b.start();
    a.start();
    let mut reader = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 == 15), "{}", a.log());
    a.stop();
    // Facts of a record in the middle: what stands there is no article any more.
    let file = segments(&a).pop().unwrap();
    let mut octets = fs::read(&file).unwrap();
    let first = memchr::memmem::find(&octets, message_id("before", 4).as_bytes()).unwrap();
    octets[first + 3] ^= 0x15;
    fs::write(&file, octets).unwrap();
    fs::remove_dir_all(data(&a).join("index")).unwrap();
    a.start();
    assert!(wait_until(WITHIN, || a.log().contains("agree on ")), "{}", a.log());
    let proof = a.log().lines().find(|line| line.contains("agree on ")).unwrap().to_owned();
    // B has it with A in its Path, so it does not send it back, and says why.
    assert!(proof.contains("agree on 14 of 14 articles"), "{proof}");
    mended_once(&mut a, "agree on 14 of 14 articles");
}

#[test]
fn damage_that_a_feed_passes_over_is_told() {
    let (mut a, mut b) = with_articles_owed(8);
    // Facts of a record that B is owed. The index is whole: only reading finds it.
    let file = segments(&a).pop().unwrap();
    let mut octets = fs::read(&file).unwrap();
    let first = memchr::memmem::find(&octets, message_id("owed", 4).as_bytes()).unwrap();
    octets[first + 3] ^= 0x15;
    fs::write(&file, octets).unwrap();
    a.start();
    b.start();
    mended_once(&mut a, "agree on 17 of 17 articles");
    assert!(a.log().contains(" of the log are damaged"), "{}", a.log());
    assert_eq!(b.client().group("test.a").0, 17);
}
