//! One article and seven peers: one takes it, one has it, one rejects it, one puts it off, one is down,
//! one is not sent such things, one brought it.

use super::support::articles::{LOAD_IDENTITY, message_id, relayed};
use super::support::process::{free_port, wait_until};
use super::support::site::Site;
use super::{NEWSGROUP, WITHIN, busy, figures, json, of_peer, post, run, text, trace};

/// A site `a` and what it feeds; `down` is not there.
struct Federation {
    a: Site,
    takes: Site,
    has_it: Site,
    rejects: Site,
    down_port: u16,
}

impl Federation {
    fn start(id: &str) -> Self {
        let a = Site::init("a.example", &[NEWSGROUP]);
        let mut takes = Site::init("takes.example", &[NEWSGROUP]);
        let mut has_it = Site::init("has.example", &[NEWSGROUP]);
        let mut rejects = Site::init("rejects.example", &["test.other"]);
        for site in [&takes, &has_it, &rejects] {
            site.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "127.0.0.1"]);
            a.peer_with(site);
        }
        let down_port = free_port();
        a.peer_with_port("down.example", down_port);
        a.peer_with_port("busy.example", busy::start("no room"));
        let picky = ["picky", "--identity", "picky.example", "--address", "127.0.0.1:9", "--send", "comp.*"];
        a.feedd(&["peer", "add"], &picky);
        for site in [&mut takes, &mut has_it, &mut rejects] {
            site.start();
        }
        assert!(post(&has_it, id, NEWSGROUP).starts_with("240"));
        let mut federation = Self { a, takes, has_it, rejects, down_port };
        federation.a.accept_load();
        federation.a.start();
        federation
    }
}

#[test]
fn the_story_of_an_article_is_told_and_it_is_true() {
    let id = message_id("story", 1);
    let mut sites = Federation::start(&id);
    let said = sites.a.client().takethis(&id, &relayed(&id, NEWSGROUP, 1000)).unwrap();
    assert!(said.starts_with("239"), "{said}");
    let settled = || {
        let told = trace(&sites.a, &id);
        ["takes", "has", "rejects", "busy"]
            .iter()
            .all(|peer| !of_peer(&told, peer)["replies"].as_array().unwrap().is_empty())
    };
    assert!(wait_until(WITHIN, settled), "{}", text(&run(&sites.a, &["trace", &id])));

    let told = trace(&sites.a, &id);
    assert_eq!(told["standing"], "stored");
    assert_eq!(told["article"]["numbers"], format!("{NEWSGROUP}:1"));
    let came = &told["came"][0];
    assert_eq!(came["command"], "TAKETHIS");
    assert_eq!((came["code"].as_u64(), came["address"].as_str()), (Some(239), Some("127.0.0.1")));
    assert_eq!(came["seq"], told["article"]["seq"]);
    let fate = |peer: &str| of_peer(&told, peer)["fate"].clone();
    assert_eq!(fate("takes"), "accepted");
    assert_eq!(fate("has"), "refused");
    assert_eq!(fate("rejects"), "rejected");
    assert!(fate("busy")["deferred"]["until_s"].is_i64() || fate("busy")["deferred"].is_object(), "{told}");
    assert!(fate("picky")["not_owed"].as_str().unwrap().starts_with("newsgroups:"), "{told}");
    assert_eq!(fate("load")["not_owed"], "it came from there");
    assert!(fate("down")["owed"]["last_error"].as_str().unwrap().contains("refused"), "{told}");
    assert_eq!(of_peer(&told, "takes")["replies"][0]["code"], 239);
    assert_eq!(of_peer(&told, "has")["replies"][0]["code"], 438);
    let rejected = of_peer(&told, "rejects")["replies"][0].clone();
    assert_eq!(rejected["code"], 439);
    assert_eq!(rejected["words"], format!("Unwanted newsgroup \"{NEWSGROUP}\""));
    assert_eq!(of_peer(&told, "busy")["replies"][0]["words"], "no room");

    // The others tell their side of it.
    assert_eq!(trace(&sites.takes, &id)["came"][0]["from"], "a");
    let theirs = trace(&sites.rejects, &id);
    assert_eq!(theirs["standing"], "not taken");
    assert_eq!(theirs["came"][0]["reason"], format!("Unwanted newsgroup \"{NEWSGROUP}\""));

    // A stopped site knows the same from its files, and a started one goes on.
    sites.a.stop();
    let stopped = trace(&sites.a, &id);
    for peer in ["takes", "has", "rejects"] {
        assert_eq!(of_peer(&stopped, peer), of_peer(&told, peer));
    }
    assert!(of_peer(&stopped, "busy")["fate"]["deferred"]["until_s"].is_i64(), "{stopped}");
    assert_eq!(of_peer(&stopped, "down")["fate"]["owed"]["state"], "the site is stopped");
    let mut down = Site::init("down.example", &[NEWSGROUP]);
    down.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "127.0.0.1"]);
    down.port = sites.down_port;
    let config = std::fs::read_to_string(down.config()).unwrap();
    let listen = config.lines().find(|line| line.starts_with("listen =")).unwrap();
    let moved = config.replace(listen, &format!("listen = [\"127.0.0.1:{}\"]", sites.down_port));
    std::fs::write(down.config(), moved).unwrap();
    down.start();
    sites.a.start();
    let arrived = || of_peer(&trace(&sites.a, &id), "down")["fate"] == "accepted";
    assert!(wait_until(WITHIN, arrived), "{}", text(&run(&sites.a, &["trace", &id])));

    // People read it, too.
    let shown = text(&run(&sites.a, &["trace", id.trim_matches(['<', '>'])]));
    for part in
        ["stored", "by TAKETHIS: taken (239)", "REJECTED", "not sent: newsgroups:", "deferred; offered"]
    {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
}

#[test]
fn the_figures_of_peers_agree_with_what_happened() {
    let id = message_id("figures", 1);
    let mut sites = Federation::start(&id);
    for (id, newsgroup) in [(&id, NEWSGROUP), (&message_id("figures", 2), NEWSGROUP)] {
        let said = sites.a.client().takethis(id, &relayed(id, newsgroup, 1000)).unwrap();
        assert!(said.starts_with("239"), "{said}");
    }
    let unwanted = message_id("figures", 3);
    let said = sites.a.client().takethis(&unwanted, &relayed(&unwanted, "no.such", 1000)).unwrap();
    assert!(said.starts_with("439"), "{said}");
    let out = |peer: &str| figures(&sites.a, peer)["out"].clone();
    let done = |out: &serde_json::Value| {
        ["accepted", "refused", "rejected", "put_off"].iter().map(|name| out[*name].as_u64().unwrap()).sum()
    };
    let settled = || ["takes", "has", "rejects", "busy"].iter().all(|peer| done(&out(peer)) == 2);
    let settled: &dyn Fn() -> bool = &|| {
        let _: u64 = done(&out("takes"));
        settled()
    };
    assert!(wait_until(WITHIN, settled), "{}", text(&run(&sites.a, &["peer", "status"])));
    let counted = |peer: &str| {
        let out = out(peer);
        let figure = |name: &str| out[name].as_u64().unwrap();
        (figure("accepted"), figure("refused"), figure("rejected"), figure("owed"))
    };
    assert_eq!(counted("takes"), (2, 0, 0, 0));
    assert_eq!(counted("has"), (1, 1, 0, 0));
    assert_eq!(counted("rejects"), (0, 0, 2, 0));
    assert_eq!(counted("busy"), (0, 0, 0, 2));
    assert_eq!(counted("down"), (0, 0, 0, 2));
    assert_eq!(counted("picky"), (0, 0, 0, 0));
    assert!(out("takes")["bytes"].as_u64().unwrap() > 1500);
    assert!(out("takes")["since_ms"].is_i64() && out("takes")["tls"] == false);
    assert_eq!(out("rejects")["reasons"][0]["reason"], "Unwanted newsgroup");
    assert_eq!(out("rejects")["reasons"][0]["times"], 2);
    let down = out("down");
    assert!(down["lag_s"].is_u64() && down["last_error_ms"].is_i64() && down["since_ms"].is_null(), "{down}");
    assert!(down["owed_is_exact"] == true && out("takes")["lag_s"].is_null());

    let theirs = figures(&sites.takes, "a")["incoming"].clone();
    assert_eq!((theirs["offered"].as_u64(), theirs["accepted"].as_u64()), (Some(2), Some(2)), "{theirs}");
    assert_eq!(theirs["connections"], 1);
    assert!(theirs["last_article_ms"].is_i64());
    let theirs = figures(&sites.has_it, "a")["incoming"].clone();
    assert_eq!((theirs["accepted"].as_u64(), theirs["refused"].as_u64()), (Some(1), Some(1)), "{theirs}");
    let theirs = figures(&sites.rejects, "a")["incoming"].clone();
    assert_eq!(theirs["rejected"], 2);
    assert_eq!(theirs["reasons"][0]["reason"], "Unwanted newsgroup");
    // Several peers of `a` come from loopback: they are told apart by Path, their connections are not.
    let ours = figures(&sites.a, "127.0.0.1")["incoming"].clone();
    assert_eq!((ours["accepted"].as_u64(), ours["rejected"].as_u64()), (Some(2), Some(1)), "{ours}");

    let shown = text(&run(&sites.a, &["peer", "status"]));
    assert!(shown.contains("rejects: it rejected 2 for \"Unwanted newsgroup\""), "{shown}");
    let one = text(&run(&sites.a, &["peer", "status", "takes"]));
    assert!(one.contains("takes") && !one.contains("rejects"), "{one}");
    let none = run(&sites.a, &["peer", "status", "nobody"]);
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("picky"), "{none:?}");
    assert!(sites.a.feedd(&["peer", "list"], &[]).contains(LOAD_IDENTITY));

    sites.a.stop();
    let stopped = json(&sites.a, &["peer", "status"]);
    let down = stopped.as_array().unwrap().iter().find(|row| row["peer"] == "down").unwrap();
    assert_eq!(down["out"]["owed"], 2, "{down}");
}

#[test]
fn an_article_that_nobody_has_seen_is_looked_for_and_the_command_fails() {
    let mut site = Site::init("a.example", &[NEWSGROUP]);
    for running in [false, true] {
        if running {
            site.start();
        }
        let output = run(&site, &["trace", "<none@nowhere.example>"]);
        assert_eq!(output.status.code(), Some(1));
        let shown = text(&output);
        for part in ["not known", "looked in", "spool", "feeds' log", "news log"] {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
        let wrong = run(&site, &["trace", "no message id"]);
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("no Message-ID"), "{wrong:?}");
    }
}

#[test]
fn an_imported_article_and_a_posted_one_say_how_they_came() {
    let mut site = Site::init("a.example", &[NEWSGROUP]);
    site.start();
    let (imported, posted) = (message_id("came", 1), message_id("came", 2));
    let file = site.dir().join("article");
    let wire = relayed(&imported, NEWSGROUP, 1000);
    std::fs::write(&file, wire.strip_suffix(b".\r\n").unwrap()).unwrap();
    site.feedd(&["import"], &[file.to_str().unwrap()]);
    assert!(post(&site, &posted, NEWSGROUP).starts_with("240"));
    let came = |id: &str| trace(&site, id)["came"][0].clone();
    assert_eq!(
        (came(&imported)["command"].as_str(), came(&imported)["code"].as_u64()),
        (Some("import"), Some(239))
    );
    assert_eq!(
        (came(&posted)["command"].as_str(), came(&posted)["code"].as_u64()),
        (Some("POST"), Some(240))
    );
    assert_eq!(came(&posted)["address"], "127.0.0.1");
}

#[test]
fn a_watch_goes_on_until_nobody_reads_it() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut site = Site::init("a.example", &[NEWSGROUP]);
    site.accept_load();
    site.start();
    let mut watch = Command::new(super::FEEDD)
        .args(["peer", "status", "--watch", "--json", "-c"])
        .arg(site.config())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        let rows: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(rows[0]["peer"], "load");
    }
    drop(lines);
    assert!(wait_until(WITHIN, || watch.try_wait().unwrap().is_some()), "it goes on for nobody");
    assert!(watch.wait().unwrap().success());
}
