//! A site that nobody can dial, and a site that it dials: articles flow both ways.

use crate::sites::*;
use crate::support::articles::{message_id, posted, relayed};
use crate::support::process::wait_until;
use crate::support::site::Site;
use std::collections::HashSet;
use std::fs;
use std::net::TcpStream;

/// A hub that knows the leaf by its key alone, and the leaf, which dials it. Not started.
fn hub_and_leaf(more: &str) -> (Site, Site) {
    let (hub, leaf) = (secure("hub.example"), secure("leaf.example"));
    write_peers(
        &hub,
        &format!(
            "[[peer]]\nname = \"leaf\"\nidentity = \"leaf.example\"\npin = \"{}\"\nturn = true\n",
            key_of(&leaf)
        ),
    );
    write_peers(
        &leaf,
        &format!(
            "[[peer]]\nname = \"hub\"\nidentity = \"hub.example\"\naddress = \"127.0.0.1:{}\"\n\
             tls = \"starttls\"\npin = \"{}\"\nturn = true\n{more}",
            hub.port,
            key_of(&hub)
        ),
    );
    (hub, leaf)
}

fn post(site: &Site, run: &str, number: u64) -> String {
    let id = message_id(run, number);
    let said = site.client().post(&posted(Some(&id), NEWSGROUP, 800)).unwrap();
    assert!(said.starts_with("240"), "{said}");
    id
}

/// Waits until the site has all of these, and each of them once.
#[track_caller]
fn until_each_once(site: &Site, ids: &[String]) {
    let there = wait_until(WITHIN, || site.client().missing(ids).is_empty());
    assert!(there, "{} lacks {:?}", site.identity, site.client().missing(ids));
    let rows = site.client().overview(NEWSGROUP, 1);
    let different: HashSet<&String> = rows.iter().map(|(_, id)| id).collect();
    assert_eq!(different.len(), rows.len(), "{} has one twice", site.identity);
    assert_eq!(rows.len(), ids.len(), "{} has others, too", site.identity);
}

#[test]
fn articles_flow_both_ways_over_connections_that_one_side_opened() {
    for more in ["", "compress = false\n"] {
        let (mut hub, mut leaf) = hub_and_leaf(more);
        hub.start();
        // Owed from the first moment, also while it is away.
        until_state(&hub, "leaf", "waiting for it to connect");
        let mut ids: Vec<String> = (0..20).map(|number| post(&hub, "hub", number)).collect();
        assert!(feed(&hub, "leaf")["lag"].as_u64().unwrap() >= 20);
        leaf.start();
        until_state(&hub, "leaf", "came in");
        ids.extend((0..20).map(|number| post(&leaf, "leaf", number)));
        until_each_once(&hub, &ids);
        until_each_once(&leaf, &ids);
        assert_eq!(feed(&hub, "leaf")["accepted"], 20);
        assert_eq!(counter(&hub, "compressed") > 0, more.is_empty());
        // The leaf took them as the hub's: "!!" says that it knows from whom (RFC 5536 s.3.1.5).
        let article = leaf.client().article(&ids[0]).unwrap();
        let path = crate::support::articles::path_of(&article);
        assert!(path.starts_with("leaf.example!!hub.example!"), "{path}");
        // A stop of either side is in order: nothing hangs on the turned connection.
        leaf.stop();
        until_state(&hub, "leaf", "waiting for it to connect");
        let owed = post(&hub, "hub", 100);
        ids.push(owed);
        leaf.start();
        until_each_once(&leaf, &ids);
        hub.stop();
        ids.push(post(&leaf, "leaf", 101));
        hub.start();
        until_each_once(&hub, &ids);
        until_state(&hub, "leaf", "came in");
    }
}

/// Nobody can connect to it at all: what it has comes over connections that it has opened, and what it
/// gives, too.
#[test]
fn a_site_without_a_listener_gets_and_gives() {
    let (mut hub, mut leaf) = hub_and_leaf("");
    let config = fs::read_to_string(leaf.config()).unwrap();
    let listen = format!("listen = [\"127.0.0.1:{}\"]", leaf.port);
    assert!(config.contains(&listen), "{config}");
    fs::write(leaf.config(), config.replace(&listen, "listen = []")).unwrap();
    hub.start();
    leaf.start();
    assert!(TcpStream::connect(("127.0.0.1", leaf.port)).is_err(), "nobody listens");
    until_state(&hub, "leaf", "came in");
    let mut ids: Vec<String> = (0..10).map(|number| post(&hub, "hub", number)).collect();
    let file = leaf.dir().join("article");
    let id = message_id("leaf", 1);
    fs::write(&file, relayed(&id, NEWSGROUP, 500).strip_suffix(b".\r\n").unwrap()).unwrap();
    leaf.feedd(&["import"], &[file.to_str().unwrap()]);
    ids.push(id);
    until_each_once(&hub, &ids);
    assert!(wait_until(WITHIN, || status(&leaf)["store"]["articles"] == 11), "{}", status(&leaf));
    leaf.stop();
    fs::write(leaf.config(), config).unwrap();
    leaf.start();
    until_each_once(&leaf, &ids);
}

#[test]
fn nothing_is_lost_or_doubled_when_either_side_is_killed() {
    let (mut hub, mut leaf) = hub_and_leaf("");
    hub.start();
    leaf.start();
    let mut ids = Vec::new();
    for round in 0..6 {
        for number in 0..40 {
            let number = round * 100 + number;
            ids.push(post(&hub, "hub", number));
            ids.push(post(&leaf, "leaf", number));
        }
        // In the middle of what is on its way.
        let killed = if round % 2 == 0 { &mut hub } else { &mut leaf };
        killed.kill9();
        killed.start();
    }
    until_each_once(&hub, &ids);
    until_each_once(&leaf, &ids);
}

#[test]
fn a_site_that_may_not_is_told_why_it_is_offered_nothing() {
    let (mut hub, mut leaf) = hub_and_leaf("");
    let peers = fs::read_to_string(hub.dir().join("peers.toml")).unwrap();
    write_peers(&hub, &peers.replace("turn = true\n", ""));
    hub.start();
    leaf.start();
    until_logged(&leaf, &["hub", "XTURN"]);
    // It still gives.
    let id = post(&leaf, "leaf", 1);
    assert!(wait_until(WITHIN, || hub.client().has(&id)));
    // Allowed by a reload: what is accepted from then on is owed.
    write_peers(&hub, &peers);
    hub.feedd(&["reload"], &[]);
    until_state(&hub, "leaf", "came in");
    let id = post(&hub, "hub", 1);
    assert!(wait_until(WITHIN, || leaf.client().has(&id)));
    // And taken back by another.
    write_peers(&hub, &peers.replace("turn = true\n", ""));
    hub.feedd(&["reload"], &[]);
    assert!(wait_until(WITHIN, || feed(&hub, "leaf").is_null()));
    let id = post(&hub, "hub", 2);
    write_peers(&hub, &peers);
    hub.feedd(&["reload"], &[]);
    assert!(wait_until(WITHIN, || leaf.client().has(&id)), "its cursor was kept");
}
