//! `feedd pull`: the articles of another server, got as its reader; each once, also when it was killed.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use support::articles::{message_id, relayed, run_of, what_travels};
use support::process::wait_until;
use support::site::{FEEDD, Site};

const NEWSGROUPS: [&str; 3] = ["rec.one", "rec.two", "alt.other"];

/// A running site with `count` articles in each newsgroup, crossposts among them.
fn source(count: usize) -> Site {
    let site = Site::start_loaded("source.example", &NEWSGROUPS);
    for newsgroup in NEWSGROUPS {
        offer(&site, newsgroup, newsgroup, count);
    }
    offer(&site, "cross", "rec.one,rec.two", 3);
    site
}

#[track_caller]
fn offer(site: &Site, run: &str, newsgroups: &str, count: usize) {
    let mut refused = Vec::new();
    let answered = |line: &str| {
        if !line.starts_with("239") {
            refused.push(line.to_owned());
        }
    };
    site.client().offer_all(run_of(run, newsgroups, 2000), count, answered).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

#[track_caller]
fn pull(site: &Site, from: &Site, more: &[&str]) -> serde_json::Value {
    let host = format!("127.0.0.1:{}", from.port);
    serde_json::from_str(&site.feedd(&["pull"], &[&[host.as_str(), "--json"], more].concat())).unwrap()
}

#[test]
fn what_is_new_is_brought_once_and_stays_here() {
    let from = source(250);
    let mut site = Site::init("site.example", &["rec.one", "rec.two"]);
    let peer = Site::start_loaded("peer.example", &NEWSGROUPS);
    site.peer_with(&peer);
    site.start();
    let first = pull(&site, &from, &["-n", "rec.*,alt.*"]);
    assert_eq!(first["accepted"], 503, "{first}");
    assert_eq!((&first["newsgroups"], &first["not_here"]), (&2.into(), &1.into()), "{first}");
    assert_eq!(first["rejected"], 0, "{first}");
    let mut client = site.client();
    assert_eq!((client.group("rec.one").0, client.group("rec.two").0), (253, 253));
    let id = message_id("rec.one", 7);
    let article = client.article(&id).unwrap();
    assert_eq!(what_travels(&article), what_travels(&from.client().article(&id).unwrap()));
    let head = String::from_utf8_lossy(&article).into_owned();
    assert!(head.starts_with("Path: site.example!source.example!"), "{head}");
    assert!(head.contains("Xref: site.example rec.one:"), "{head}");

    let again = pull(&site, &from, &["-n", "rec.*"]);
    assert_eq!((&again["accepted"], &again["duplicate"]), (&0.into(), &0.into()), "{again}");
    offer(&from, "newer", "rec.two", 5);
    let newer = pull(&site, &from, &["-n", "rec.*", "--propagate"]);
    assert_eq!((&newer["accepted"], &newer["octets"]), (&5.into(), &newer["octets"]), "{newer}");
    // What was to be passed on comes to the peer, and nothing of what came before it.
    let mut at_peer = peer.client();
    let five = wait_until(Duration::from_secs(30), || at_peer.group("rec.two").0 >= 5);
    assert!(five, "{:?}", at_peer.group("rec.two"));
    assert_eq!((at_peer.group("rec.one").0, at_peer.group("rec.two").0), (0, 5));
}

#[test]
fn newsgroups_are_created_when_told_to_and_a_stopped_site_is_enough() {
    let from = source(30);
    let site = Site::init("site.example", &["local.test"]);
    let pulled = pull(&site, &from, &["--create-groups", "--last", "10", "-n", "*,!alt.*"]);
    // The crossposts are among the last of both.
    assert_eq!((&pulled["accepted"], &pulled["newsgroups"]), (&17.into(), &2.into()), "{pulled}");
    let more = pull(&site, &from, &["--create-groups", "-n", "alt.*", "--since", "2d", "--connections", "1"]);
    assert_eq!(more["accepted"], 30, "{more}");
}

#[test]
fn newnews_brings_what_the_server_names() {
    let from = source(20);
    let mut site = Site::init("site.example", &NEWSGROUPS);
    site.start();
    let first = pull(&site, &from, &["--newnews", "--since", "1d", "-n", "rec.*"]);
    assert_eq!((&first["accepted"], &first["duplicate"]), (&43.into(), &0.into()), "{first}");
    offer(&from, "newer", "rec.two", 5);
    let newer = pull(&site, &from, &["--newnews", "-n", "rec.*"]);
    assert_eq!(newer["accepted"], 5, "{newer}");
}

#[test]
fn killed_again_and_again_it_comes_to_the_same() {
    let from = source(1500);
    let mut site = Site::init("site.example", &NEWSGROUPS);
    site.start();
    let host = format!("127.0.0.1:{}", from.port);
    let mut seen = 0;
    for _ in 0..3 {
        let mut pulling = Command::new(FEEDD)
            .args(["pull", &host, "--rate", "1 MiB", "-c"])
            .arg(site.config())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut client = site.client();
        let mut held = || NEWSGROUPS.iter().map(|name| client.group(name).0).sum::<u64>();
        assert!(wait_until(Duration::from_secs(60), || held() > seen), "nothing comes any more");
        seen = held();
        pulling.kill().unwrap();
        pulling.wait().unwrap();
    }
    let journal = site.dir().join("data/pull").join(&host);
    assert!(journal.exists());
    let last = pull(&site, &from, &[]);
    let (mut here, mut there) = (site.client(), from.client());
    for newsgroup in NEWSGROUPS {
        assert_eq!(here.group(newsgroup).0, there.group(newsgroup).0, "{newsgroup}: {last}");
    }
    assert!(last["accepted"].as_u64().unwrap() < 4503, "it began anew: {last}");
    assert_eq!(pull(&site, &from, &[])["octets"], 0);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let mut site = Site::init("site.example", &["rec.one"]);
    let port = support::process::free_port();
    let nobody = format!("127.0.0.1:{port}");
    for (arguments, told) in [
        (vec![nobody.as_str()], "refused"),
        (vec![&nobody, "--pin", "x", "--tls", "implicit"], "--pin"),
        (vec![&nobody, "--pin", "x"], "--tls"),
        (vec![&nobody, "--since", "soon"], "--since"),
        (vec![&nobody, "--rate", "fast"], "--rate"),
        (vec![&nobody, "-n", "a[b"], "--newsgroups"),
        (vec!["a:b"], "port"),
    ] {
        let output =
            Command::new(FEEDD).args(["pull", "-c"]).arg(site.config()).args(&arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(told) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    // A server that asks for a login says so, and what to do.
    let from = Site::init("source.example", &["rec.one"]);
    let config = std::fs::read_to_string(from.config()).unwrap();
    let closed =
        config.replace("[\"loopback\"]", "[]").replace("clear_logins = false", "clear_logins = true");
    std::fs::write(from.config(), closed).unwrap();
    let mut from = from;
    let mut add = Command::new(FEEDD)
        .args(["user", "add", "reader", "--password-stdin", "-c"])
        .arg(from.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut add.stdin.take().unwrap(), b"secret\n").unwrap();
    assert!(add.wait().unwrap().success());
    from.start();
    site.start();
    let output = Command::new(FEEDD)
        .args(["pull", "-c"])
        .arg(site.config())
        .arg(format!("127.0.0.1:{}", from.port))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("password") && said.contains("--tls"), "{said}");
}

#[test]
fn articles_that_are_none_do_not_stop_it() {
    let from = source(3);
    // Not for this site: it has been here before.
    let loops = message_id("loop", 1);
    let article = String::from_utf8(relayed(&loops, "rec.one", 500)).unwrap();
    let article = article.replace("Path: load.example!", "Path: load.example!site.example!");
    assert!(from.client().takethis(&loops, article.as_bytes()).unwrap().starts_with("239"));
    let mut site = Site::init("site.example", &NEWSGROUPS);
    site.start();
    let pulled = pull(&site, &from, &[]);
    assert_eq!((&pulled["accepted"], &pulled["rejected"]), (&12.into(), &1.into()), "{pulled}");
}
