//! A sync beside the feed, beside another sync, and with somebody who is killed in the middle of it.

use std::process::Command;

use crate::support::articles::message_id;
use crate::support::process::wait_until;
use crate::support::site::{FEEDD, Site};
use crate::{WITHIN, add_to_peer, begin_sync, offer, peer, sync, two};

/// Articles that only one of the two has, at either side.
const EACH: usize = 700;
/// What lets those pass in some seconds, so that there is a middle.
const SLOW: &str = "bytes_s_max = 300000";

/// Two running sites that know each other, each with articles of its own that the other is not owed yet.
fn different() -> (Site, Site) {
    let (mut a, mut b) = two();
    for site in [&mut a, &mut b] {
        site.accept_load();
        site.start();
    }
    offer(&a, "only-a", "test.a", EACH);
    offer(&b, "only-b", "test.a", EACH);
    peer(&a, &b, &[]);
    peer(&b, &a, &[]);
    add_to_peer(&a, SLOW);
    add_to_peer(&b, SLOW);
    (a, b)
}

fn agree_in_the_end(a: &Site, b: &Site, of: usize) {
    let (whole, report) = sync(a, "b");
    assert!(whole && report["sent"]["agreed"] == of && report["sent"]["of"] == of, "{report:#}\n{}", a.log());
    for site in [a, b] {
        assert_eq!(site.client().group("test.a").0, of as u64, "{}", site.identity);
    }
}

#[test]
fn the_peer_is_killed_in_the_middle_and_again() {
    let (a, mut b) = different();
    for enough in [EACH + 100, EACH + 250] {
        let mut syncing = begin_sync(&a, "b");
        let mut reader = b.client();
        assert!(wait_until(WITHIN, || reader.group("test.a").0 >= enough as u64), "{}", a.log());
        b.kill9();
        syncing.kill().unwrap();
        syncing.wait().unwrap();
        b.start();
        assert!(b.client().group("test.a").0 < 2 * EACH as u64, "there was no middle");
    }
    // Whoever was waiting for the first sync is gone, and it ends; until then there is no second one.
    let free = || !begin_and_hear(&a).contains("under way");
    assert!(wait_until(WITHIN, free), "{}", a.log());
    agree_in_the_end(&a, &b, 2 * EACH);
}

#[test]
fn the_site_that_syncs_is_killed_in_the_middle() {
    let (mut a, b) = different();
    let mut syncing = begin_sync(&a, "b");
    let mut reader = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 >= (EACH + 100) as u64), "{}", a.log());
    a.kill9();
    assert!(!syncing.wait().unwrap().success(), "a sync that was killed has no proof");
    a.start();
    agree_in_the_end(&a, &b, 2 * EACH);
}

#[test]
fn an_index_that_is_built_anew_changes_nothing() {
    let (mut a, mut b) = different();
    agree_in_the_end(&a, &b, 2 * EACH);
    b.stop();
    std::fs::remove_dir_all(data(&b).join("index")).unwrap();
    b.start();
    offer(&a, "later", "test.a", 20);
    agree_in_the_end(&a, &b, 2 * EACH + 20);
    a.stop();
    assert!(
        !a.log().contains("because something was lost") && !b.log().contains("because something was lost")
    );
}

/// Runs a sync to its end: what it says on standard error.
fn begin_and_hear(site: &Site) -> String {
    let output = Command::new(FEEDD).args(["sync", "b", "-c"]).arg(site.config()).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The folder of the store.
pub fn data(site: &Site) -> std::path::PathBuf {
    site.dir().join("data")
}

#[test]
fn a_second_sync_with_the_same_peer_gets_one_plain_line() {
    let (a, b) = different();
    let mut first = begin_sync(&a, "b");
    let mut reader = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 > EACH as u64), "{}", a.log());
    let said = begin_and_hear(&a);
    assert!(said.contains("a sync with b is under way") && said.trim_end().lines().count() == 1, "{said}");
    assert!(first.wait().unwrap().success(), "the first one is not disturbed\n{}", a.log());
}

#[test]
fn the_feed_goes_on_beside_a_sync() {
    let (a, b) = different();
    let mut syncing = begin_sync(&a, "b");
    let mut reader = b.client();
    let mut other = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 > EACH as u64), "{}", a.log());
    offer(&a, "live", "test.a", 20);
    let live: Vec<String> = (0..20).map(|number| message_id("live", number)).collect();
    assert!(wait_until(WITHIN, || other.missing(&live).is_empty()), "{}", a.log());
    let behind: Vec<String> = (0..EACH as u64).map(|number| message_id("only-a", number)).collect();
    assert!(!other.missing(&behind).is_empty(), "the articles of the day waited for the whole sync");
    assert!(syncing.wait().unwrap().success(), "{}", a.log());
}
