//! What a reload changes for connections that are there, and what it leaves alone; and a certificate
//! that is about to end.

use crate::sites::*;
use crate::support::articles::{message_id, posted};
use crate::support::process::{signal, wait_until};
use crate::support::site::{FEEDD, Site};
use rustix::process::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

const A: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);
const B: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

fn peer(name: &str, more: &str) -> String {
    format!("[[peer]]\nname = \"{name}\"\nidentity = \"{name}.example\"\n{more}\n")
}

#[test]
fn who_is_unchanged_stays_and_who_is_gone_is_sent_away() {
    let mut site = Site::init("here.example", &[NEWSGROUP]);
    let [a, b] = [("a", "accept_from = [\"127.0.0.8\"]"), ("b", "accept_from = [\"127.0.0.9\"]")]
        .map(|(name, more)| peer(name, more));
    write_peers(&site, &format!("{a}{b}"));
    site.start();
    let (mut from_a, mut from_b, mut reader) = (clear(&site, A), clear(&site, B), clear(&site, HERE));
    let mut never_offered = clear(&site, B);
    from_a.expect("CHECK <1@x.example>", "238");
    from_b.expect("CHECK <1@x.example>", "238");
    reader.expect("GROUP test.a", "211");
    // A bad file changes nothing, and says why.
    write_peers(&site, &format!("{a}{b}colour = \"blue\"\n"));
    let failed = Command::new(FEEDD).args(["reload", "-c"]).arg(site.config()).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("colour"), "{said}");
    signal(site.pid(), Signal::HUP);
    until_logged(&site, &["stays in force"]);
    until_logged(&site, &["unknown key", "colour"]);
    from_a.expect("CHECK <2@x.example>", "238");
    from_b.expect("CHECK <2@x.example>", "238");
    // b may bring other newsgroups now; it is still b.
    let narrow = peer("b", "accept_from = [\"127.0.0.9\"]\naccept = \"other.*\"");
    write_peers(&site, &format!("{a}{narrow}"));
    site.feedd(&["reload"], &[]);
    from_b.expect("CHECK <3@x.example>", "238");
    let id = message_id("reload", 3);
    let mut octets = format!("TAKETHIS {id}\r\n").into_bytes();
    octets.extend_from_slice(&crate::support::articles::relayed(&id, NEWSGROUP, 500));
    from_b.send(&octets).unwrap();
    let said = from_b.line().unwrap();
    assert!(said.starts_with("439"), "the new contract counts on a connection of before: {said}");
    write_peers(&site, &a);
    site.feedd(&["reload"], &[]);
    for wire in [&mut from_b, &mut never_offered] {
        let said = wire.line().unwrap();
        assert!(said.starts_with("400"), "{said}");
        wire.is_closed();
    }
    from_a.expect("CHECK <4@x.example>", "238");
    reader.expect("GROUP test.a", "211");
    assert!(wait_until(WITHIN, || counter(&site, "connections") == 2));
    until_logged(&site, &["sent away"]);
}

#[test]
fn a_feed_keeps_its_connection_when_its_peer_did_not_change() {
    let mut receiver = Site::init("b.example", &[NEWSGROUP]);
    write_peers(&receiver, &peer("a", "accept_from = [\"loopback\"]"));
    receiver.start();
    let mut sender = Site::init("a.example", &[NEWSGROUP]);
    let to_b = peer("b", &format!("address = \"127.0.0.1:{}\"", receiver.port));
    write_peers(&sender, &to_b);
    sender.start();
    until_state(&sender, "b", "connected");
    // Its first offer makes it a peer's connection.
    let post = |run: &str| {
        let id = message_id(run, 1);
        assert!(sender.client().post(&posted(Some(&id), NEWSGROUP, 500)).unwrap().starts_with("240"));
        id
    };
    let first = post("before");
    assert!(wait_until(WITHIN, || counter(&receiver, "accepted") == 1), "{first}");
    let before = counter(&receiver, "connections_total");
    let stranger = peer("c", "accept_from = [\"192.0.2.1\"]");
    write_peers(&sender, &format!("{to_b}{stranger}"));
    sender.feedd(&["reload"], &[]);
    write_peers(&receiver, &format!("{stranger}{}", peer("a", "accept_from = [\"loopback\"]")));
    receiver.feedd(&["reload"], &[]);
    post("behind");
    assert!(wait_until(WITHIN, || counter(&receiver, "accepted") == 2));
    assert_eq!(counter(&receiver, "connections_total"), before, "nobody has connected again");
    // A peer that has changed is dialled anew.
    write_peers(&sender, &format!("{}window = 7\n", to_b));
    sender.feedd(&["reload"], &[]);
    post("anew");
    assert!(wait_until(WITHIN, || counter(&receiver, "accepted") == 3));
    assert_eq!(counter(&receiver, "connections_total"), before + 1);
}

#[test]
fn a_certificate_that_is_about_to_end_is_told() {
    let mut site = secure("here.example");
    for (days, words) in [(20_i64, None), (5, Some("expires in 5 days")), (-2, Some("has expired"))] {
        let [certificate, key] = ["tls/certificate.pem", "tls/key.pem"].map(|name| site.dir().join(name));
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["here.example".to_owned()]).unwrap();
        let now = u64::try_from(feedd::clock::now().unix_s()).unwrap();
        let end = now.checked_add_signed(days * 86_400 + 3600).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(now - 40 * 86_400);
        params.not_after = epoch + Duration::from_secs(end);
        fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        fs::write(&key, pair.serialize_pem()).unwrap();
        if days == 20 {
            site.start();
            assert!(!site.log().contains("expire"), "{}", site.log());
        } else {
            site.feedd(&["reload"], &[]);
        }
        if let Some(words) = words {
            until_logged(&site, &[words, "certificate.pem"]);
        }
    }
}

/// What the operator renews is shown with the next connection; nobody has to stop and start.
#[test]
fn a_new_key_is_shown_from_the_next_connection_on() {
    let (mut sender, mut receiver) = (secure("a.example"), secure("b.example"));
    let new = Shown::new("a.example");
    let block = |name: &str, more: &str, pin: &str| {
        format!("[[peer]]\nname = \"{name}\"\nidentity = \"{name}.example\"\n{more}pin = \"{pin}\"\n")
    };
    let to_b = format!("address = \"127.0.0.1:{}\"\ntls = \"starttls\"\n", receiver.port);
    write_peers(&sender, &block("b", &to_b, &key_of(&receiver)));
    write_peers(&receiver, &block("a", "", &new.fingerprint()));
    receiver.start();
    sender.start();
    let id = message_id("renewed", 1);
    assert!(sender.client().post(&posted(Some(&id), NEWSGROUP, 500)).unwrap().starts_with("240"));
    let told = || feed(&sender, "b")["last_error"].as_str().is_some_and(|error| !error.is_empty());
    assert!(wait_until(WITHIN, told), "its old key is nobody's");
    assert!(!receiver.client().has(&id));
    fs::write(sender.dir().join("tls/certificate.pem"), &new.certificate).unwrap();
    fs::write(sender.dir().join("tls/key.pem"), &new.key).unwrap();
    sender.feedd(&["reload"], &[]);
    assert!(wait_until(WITHIN, || receiver.client().has(&id)), "{}", feed(&sender, "b"));
}
