//! Contracts between real sites: what the sender holds back, what the receiver rejects, and that
//! `feedd peer explain` says the same before.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::process::Command;
use std::time::Duration;

use support::articles::message_id;
use support::process::wait_until;
use support::site::{FEEDD, Site};

const NEWSGROUPS: [&str; 3] = ["test.a", "test.b", "local.a"];
const WITHIN: Duration = Duration::from_secs(30);

/// A proto-article with these header fields and this body.
fn article(id: &str, fields: &str, body: &str) -> Vec<u8> {
    let text = format!("From: a@b.example\nSubject: s\nMessage-ID: {id}\n{fields}\n\n{body}\n");
    format!("{}.\r\n", text.replace('\n', "\r\n")).into_bytes()
}

/// Name, header fields, body, and: does A send it, does B take it?
fn cases() -> Vec<(&'static str, String, String, bool, bool)> {
    let group = |names: &str| format!("Newsgroups: {names}");
    let yenc = "=ybegin line=128 size=3 name=x\nabc\n=yend size=3".to_owned();
    let text = || "A line of text.".to_owned();
    vec![
        ("plain", group("test.a"), text(), true, true),
        ("local", group("local.a"), text(), false, true),
        ("both", group("test.a,local.a"), text(), true, true),
        ("large", group("test.a"), "A line of text.\n".repeat(400), false, false),
        ("larger", group("test.a"), "A line of text.\n".repeat(200), true, false),
        ("distribution", group("test.a") + "\nDistribution: office", text(), false, true),
        ("distributed", group("test.a") + "\nDistribution: world, office", text(), true, true),
        ("yenc", group("test.a"), yenc, true, false),
        ("crosspost", group("test.a,test.b"), text(), true, false),
    ]
}

#[test]
fn sender_and_receiver_keep_to_what_they_agreed() {
    let mut b = Site::init("b.example", &NEWSGROUPS);
    let mut a = Site::init("a.example", &NEWSGROUPS);
    a.peer_with(&b);
    b.peer_with(&a);
    let add = |site: &Site, text: &str| {
        let peers = site.dir().join("peers.toml");
        let written: String = std::fs::read_to_string(&peers).unwrap();
        let kept =
            written.lines().filter(|line| !line.starts_with("send =") && !line.starts_with("accept ="));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        std::fs::write(&peers, kept + text).unwrap();
    };
    add(
        &a,
        "[peer.send]\nnewsgroups = \"*,!local.*\"\ndistributions = \"*,!office\"\nbytes_max = 5000\norigin = \"local\"\n",
    );
    add(&b, "[peer.accept]\nbytes_max = 3000\nkinds = [\"text\"]\ncrosspost_max = 1\n");
    b.start();
    a.start();
    let mut owed = 0;
    let mut rejected = 0;
    for (name, fields, body, sent, taken) in cases() {
        // The receiver counts what it is offered: a crosspost to two newsgroups, one of them local.
        let taken = taken && name != "both";
        let id = message_id(name, 1);
        let said = a.client().post(&article(&id, &fields, &body)).unwrap();
        assert!(said.starts_with("240"), "{name}: {said}");
        owed += u64::from(sent);
        rejected += u64::from(sent && !taken);
        let explain = |site: &Site, peer: &str, what: &str| {
            let output = Command::new(FEEDD)
                .args(["peer", "explain", peer, what, "--json", "-c"])
                .arg(site.config())
                .output()
                .unwrap();
            let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(told["send"].as_bool().unwrap(), output.status.success(), "{told}");
            told
        };
        let told = explain(&a, "b", &id);
        assert_eq!(told["send"], sent, "{name}: {told}");
        // The other side, by the article as it would come.
        let file = a.dir().join("article");
        std::fs::write(&file, a.client().article(&id).unwrap()).unwrap();
        let told = explain(&b, "a", file.to_str().unwrap());
        assert_eq!(told["accept"], taken, "{name}: {told}");
    }
    let feed = || -> serde_json::Value {
        let status: serde_json::Value = serde_json::from_str(&a.feedd(&["status", "--json"], &[])).unwrap();
        status["feeds"][0].clone()
    };
    let settled = wait_until(WITHIN, || feed()["lag"] == 0 && feed()["offered"] == owed);
    assert!(settled, "{}", feed());
    assert_eq!((&feed()["accepted"], &feed()["rejected"]), (&(owed - rejected).into(), &rejected.into()));
    for (name, _, _, sent, taken) in cases() {
        let expected = sent && taken && name != "both";
        assert_eq!(b.client().has(&message_id(name, 1)), expected, "{name}");
    }
    // What came to B does not go back, and explain says why.
    let told = Command::new(FEEDD)
        .args(["peer", "explain", "a", &message_id("plain", 1), "-c"])
        .arg(b.config())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("to a: no (it came from there)"), "{told}");
}
