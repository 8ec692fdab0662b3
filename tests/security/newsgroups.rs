//! What a rule does not give is not there: newsgroups that somebody may not read, places where they may
//! not post, more than their share.

use crate::house::{House, PASSWORD};
use crate::support::articles::{message_id, posted};
use crate::wire::Wire;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const GROUPS: &[&str] = &["public.a", "public.b", "hidden.c", "hidden.d"];

/// Everybody on loopback sees all; alice only what is public, of which she posts to one.
const NARROW: &str = "clear_logins = true\n\
    [[access.rule]]\naccounts = [\"alice\"]\nread = \"public.*\"\npost = \"public.a\"\n\
    [[access.rule]]\nnetworks = [\"loopback\"]\nread = \"*\"\npost = \"*\"\n";

/// A site with an article in each newsgroup and one that is crossposted.
fn filled() -> House {
    let house = House::with_logins(NARROW, GROUPS, |_| {});
    let mut wire = house.clear();
    for (at, groups) in
        ["public.a", "public.b", "hidden.c", "hidden.d", "public.a,hidden.c"].iter().enumerate()
    {
        let id = message_id("filled", at as u64);
        assert!(wire.post(&posted(Some(&id), groups, 300)).starts_with("240"));
    }
    house
}

fn alice(house: &House) -> Wire {
    let mut wire = house.clear();
    assert!(wire.login("alice", PASSWORD).starts_with("281"));
    wire
}

#[test]
fn lists_do_not_name_what_may_not_be_read() {
    let house = filled();
    let (mut wire, mut everybody) = (alice(&house), house.clear());
    for command in [
        "LIST",
        "LIST ACTIVE",
        "LIST ACTIVE hidden.*",
        "LIST ACTIVE hidden.c",
        "LIST ACTIVE.TIMES",
        "LIST NEWSGROUPS",
        "LIST NEWSGROUPS *",
        "LIST COUNTS",
        "LIST COUNTS *,!public.*",
        "NEWGROUPS 19990101 000000 GMT",
    ] {
        let code = if command.starts_with("LIST") { "215" } else { "231" };
        let seen = wire.list(command, code);
        assert!(!seen.iter().any(|line| line.contains("hidden")), "{command}: {seen:?}");
        let all = everybody.list(command, code);
        assert!(all.iter().any(|line| line.contains("hidden")), "{command}: {all:?}");
    }
    for command in
        ["LIST SUBSCRIPTIONS", "LIST DISTRIB.PATS", "LIST MODERATORS", "LIST MOTD", "LIST DISTRIBUTIONS"]
    {
        wire.expect(command, "50");
    }
    let since = "19990101 000000 GMT";
    let news = wire.list(&format!("NEWNEWS * {since}"), "230");
    assert_eq!(news, [0, 1, 4].map(|number| message_id("filled", number)));
    assert!(wire.list(&format!("NEWNEWS hidden.* {since}"), "230").is_empty());
    assert_eq!(everybody.list(&format!("NEWNEWS hidden.* {since}"), "230").len(), 3);
}

/// Hidden or not there at all: the same words.
#[test]
fn hidden_is_answered_as_absent() {
    let house = filled();
    let mut wire = alice(&house);
    wire.expect("GROUP public.b", "211");
    let (hidden, absent) = (message_id("filled", 2), message_id("absent", 2));
    for command in [
        "GROUP N",
        "LISTGROUP N",
        "LISTGROUP N 1-",
        "ARTICLE I",
        "HEAD I",
        "BODY I",
        "STAT I",
        "OVER I",
        "HDR Subject I",
        "HDR X-Face I",
        "HDR :bytes I",
        "XHDR Subject I",
        "XHDR Newsgroups I",
        "XPAT Subject I *",
    ] {
        let ask = |wire: &mut Wire, group: &str, id: &str| {
            wire.ask(&command.replace(" N", &format!(" {group}")).replace(" I", &format!(" {id}")))
        };
        let seen = ask(&mut wire, "hidden.c", &hidden);
        assert_eq!(seen, ask(&mut wire, "absent.c", &absent), "{command}");
        assert!(!seen.starts_with('2'), "{command}: {seen}");
    }
    // What is crossposted is read in the one that may be read, and by its Message-ID.
    let crossposted = message_id("filled", 4);
    for command in ["ARTICLE", "HEAD", "BODY", "STAT", "OVER", "HDR Subject", "XHDR Subject"] {
        let answer = wire.ask(&format!("{command} {crossposted}"));
        assert!(answer.starts_with('2'), "{command}: {answer}");
        if command != "STAT" {
            wire.block();
        }
    }
    wire.expect("GROUP public.a", "211 2 1 2");
    wire.expect("STAT 2", &format!("223 2 {crossposted}"));
    assert_eq!(wire.list("OVER 1-", "224").len(), 2);
}

#[test]
fn a_login_that_narrows_the_view_takes_the_newsgroup_away() {
    let house = filled();
    let mut wire = house.clear();
    wire.expect("GROUP hidden.c", "211 2 1 2");
    wire.expect("NEXT", "223");
    assert!(wire.login("alice", PASSWORD).starts_with("281"));
    for command in [
        "ARTICLE",
        "HEAD 1",
        "BODY 2",
        "STAT",
        "NEXT",
        "LAST",
        "OVER",
        "OVER 1-",
        "XOVER 1-",
        "HDR Subject 1-",
        "XHDR From 1-",
        "LISTGROUP",
    ] {
        wire.expect(command, "412");
    }
    // One that may be read stays selected.
    let mut wire = house.clear();
    wire.expect("GROUP public.a", "211");
    assert!(wire.login("alice", PASSWORD).starts_with("281"));
    wire.expect("STAT", "223 1");
}

#[test]
fn posting_where_one_may_not_says_so_and_nothing_else() {
    let house = filled();
    let mut wire = alice(&house);
    let mut refused = |groups: &str| {
        let answer = wire.post(&posted(None, groups, 300));
        assert!(answer.starts_with("441"), "{groups}: {answer}");
        answer
    };
    assert_eq!(refused("hidden.c"), "441 Postings to \"hidden.c\" are not allowed here");
    assert_eq!(refused("absent.c"), refused("hidden.c").replace("hidden", "absent"));
    assert_eq!(refused("absent.x,hidden.c"), refused("absent.x,absent.c"));
    assert_eq!(refused("public.a,hidden.c"), "441 Postings to \"hidden.c\" are not allowed here");
    assert_eq!(refused("public.a,absent.c"), refused("public.a,hidden.c").replace("hidden", "absent"));
    assert_eq!(refused("public.b"), "441 Postings to \"public.b\" are not allowed here");
    let id = message_id("allowed", 1);
    assert!(wire.post(&posted(Some(&id), "public.a", 300)).starts_with("240"));
    wire.expect(&format!("STAT {id}"), "223 0");
    wire.expect("GROUP public.a", "211 3 1 3");
    house.clear().expect("GROUP hidden.c", "211 2 1 2");
}

#[test]
fn a_rule_counts_what_was_kept() {
    let rules = "clear_logins = true\n[[access.rule]]\naccounts = [\"*\"]\nread = \"*\"\npost = \"public.*\"\n\
        posts_max = 2\narticle_bytes_max = \"4 KiB\"\n";
    let house = House::with_logins(rules, GROUPS, |_| {});
    house.add_account("bob", &[], Some(PASSWORD));
    let mut wire = alice(&house);
    let id = message_id("counted", 1);
    let large = wire.post(&posted(None, "public.a", 5000));
    assert!(large.starts_with("441") && large.contains("4096"), "{large}");
    assert!(wire.post(&posted(Some(&id), "public.a", 300)).starts_with("240"));
    // What is refused or a duplicate costs nothing.
    for _ in 0..3 {
        assert!(wire.post(&posted(Some(&id), "public.a", 300)).starts_with("441 Dup"));
        assert!(wire.post(&posted(None, "hidden.c", 300)).starts_with("441 Post"));
    }
    assert!(wire.post(&posted(None, "public.a", 300)).starts_with("240"));
    for mut wire in [wire, alice(&house)] {
        let over = wire.post(&posted(None, "public.a", 300));
        assert!(over.starts_with("441") && over.contains('2'), "{over}");
    }
    assert_eq!(house.daemon.counters().quotas_met.load(Ordering::Relaxed), 2);
    let mut bob = house.clear();
    assert!(bob.login("bob", PASSWORD).starts_with("281"));
    assert!(bob.post(&posted(None, "public.a", 300)).starts_with("240"));
}

#[test]
fn an_address_has_so_many_places_and_gets_them_back() {
    let house = House::start("", GROUPS, |limits| limits.connections_per_address_max = 2);
    let there = Ipv4Addr::new(127, 0, 0, 3);
    let held = [house.clear(), house.clear()];
    let mut third = house.clear();
    assert!(third.greeting.starts_with("400"), "{}", third.greeting);
    third.is_closed();
    assert!(house.clear_from(there).greeting.starts_with("200"), "others have their own");
    // Peers are not counted with readers.
    let peers: Vec<Wire> = (0..4).map(|_| house.clear_from(crate::house::PEER)).collect();
    assert!(peers.iter().all(|peer| peer.greeting.starts_with("20")));
    drop(held);
    let begun = Instant::now();
    while !house.clear().greeting.starts_with("200") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the places are not given back");
    }
    assert!(house.daemon.counters().addresses_full.load(Ordering::Relaxed) >= 1);
}
