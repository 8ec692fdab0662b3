//! A site that nobody can dial, and a site that it dials: articles flow both ways.

use crate::sites::*;
use crate::support::articles::{message_id, posted, relayed};
use crate::support::process::wait_until;
use crate::support::site::Site;
use std::collections::HashSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

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
    // A large one now and then, which leaves piece by piece.
    let size = if number % 10 == 7 { 400_000 } else { 800 };
    let said = site.client().post(&posted(Some(&id), NEWSGROUP, size)).unwrap();
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

/// By a password over TLS, and by its address in clear.
#[test]
fn places_change_however_the_peer_is_known() {
    for by_password in [true, false] {
        let (mut hub, mut leaf) = hub_and_leaf("");
        let at = format!("address = \"127.0.0.1:{}\"\n", hub.port);
        let (known, dialled) = if by_password {
            add_user(&hub, "leaf-feeds", "open sesame");
            let secret = leaf.dir().join("secret");
            fs::write(&secret, "open sesame\n").unwrap();
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
            let tls = format!("tls = \"starttls\"\npin = \"{}\"\n", key_of(&hub));
            let login = "user = \"leaf-feeds\"\npassword_file = \"secret\"\n";
            ("account = \"leaf-feeds\"\n", format!("{tls}{login}"))
        } else {
            ("accept_from = [\"127.0.0.1\"]\n", String::new())
        };
        let leafs = "[[peer]]\nname = \"leaf\"\nidentity = \"leaf.example\"\nturn = true\n";
        write_peers(&hub, &format!("{leafs}{known}"));
        let hubs = "[[peer]]\nname = \"hub\"\nidentity = \"hub.example\"\nturn = true\n";
        write_peers(&leaf, &format!("{hubs}{at}{dialled}"));
        hub.start();
        leaf.start();
        until_state(&hub, "leaf", "came in");
        let ids = [post(&hub, "hub", 1), post(&leaf, "leaf", 1)];
        until_each_once(&hub, &ids);
        until_each_once(&leaf, &ids);
    }
}

#[test]
fn a_reload_ends_a_turned_connection_only_where_its_peer_has_changed() {
    let (mut hub, mut leaf) = hub_and_leaf("");
    hub.start();
    leaf.start();
    until_state(&hub, "leaf", "came in");
    until_state(&leaf, "hub", "connected");
    let mut ids = vec![post(&hub, "hub", 1), post(&leaf, "leaf", 1)];
    until_each_once(&hub, &ids);
    until_each_once(&leaf, &ids);
    // Two connections of the leaf's, and nobody else's now.
    assert!(wait_until(WITHIN, || counter(&hub, "connections") == 2));
    let before = counter(&hub, "connections_total");
    let stranger = "[[peer]]\nname = \"c\"\nidentity = \"c.example\"\naccept_from = [\"192.0.2.1\"]\n";
    for site in [&hub, &leaf] {
        let peers = fs::read_to_string(site.dir().join("peers.toml")).unwrap();
        write_peers(site, &format!("{stranger}{peers}"));
        site.feedd(&["reload"], &[]);
    }
    let looks = 1;
    ids.push(post(&hub, "hub", 2));
    assert!(wait_until(WITHIN, || feed(&hub, "leaf")["accepted"] == 2));
    assert_eq!(counter(&hub, "connections_total"), before + looks, "nobody has connected again");
    // The leaf's side of the contract changes: both of its connections are opened anew.
    let peers = fs::read_to_string(leaf.dir().join("peers.toml")).unwrap();
    write_peers(&leaf, &format!("{peers}window = 9\n"));
    leaf.feedd(&["reload"], &[]);
    ids.extend([post(&hub, "hub", 3), post(&leaf, "leaf", 3)]);
    until_each_once(&hub, &ids);
    until_each_once(&leaf, &ids);
    assert!(counter(&hub, "connections_total") >= before + looks + 2);
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
