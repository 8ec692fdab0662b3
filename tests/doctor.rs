//! Planted mistakes: `feedd check` finds those that are in the files, `feedd doctor` those that are in the
//! world, and both name the cure.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::process::{free_port, wait_until};
use support::site::{FEEDD, Site};

const NEWSGROUP: &str = "test.a";
const WITHIN: Duration = Duration::from_secs(30);

fn run(site: &Site, command: &[&str]) -> (bool, String) {
    let output = Command::new(FEEDD).args(command).arg("-c").arg(site.config()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One line of the output has all of these words.
#[track_caller]
fn says(site: &Site, command: &[&str], good: bool, words: &[&str]) {
    let (ended, said) = run(site, command);
    let told = said.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "{command:?} should say {words:?} on a line:\n{said}");
    assert_eq!(ended, good, "{command:?}:\n{said}");
}

fn block(site: &Site, text: &str) {
    fs::write(site.dir().join("peers.toml"), format!("[[peer]]\nname = \"b\"\n{text}\n")).unwrap();
}

#[test]
fn check_finds_what_is_wrong_in_the_files() {
    let site = Site::init("a.example", &[NEWSGROUP]);
    for (text, words) in [
        ("adress = \"b.example\"", ["unknown key \"adress\"", "did you mean \"address\""]),
        ("address = \"b.example:nntp\"", ["its port is not a number", "write a host"]),
        (
            "address = \"b.example\"\nsend = \"comp.lang.*,comp.*\"",
            ["can never decide", "general pattern first"],
        ),
        (
            "address = \"b.example\"\nidentity = \"a.example\"",
            ["identity of this site itself", "write identity"],
        ),
        ("address = \"b.example\"\ntemplate = \"text\"", ["no template", "remove the key"]),
        ("address = \"b.example\"\npin = \"0123\"\ntls = \"starttls\"", ["no fingerprint", "feedd peer key"]),
        ("address = \"b.example\"\nuser = \"u\"\npassword_file = \"p\"", ["in clear", "add tls"]),
        ("address = \"b.example\"\nbackup_of = \"c\"", ["no peer \"c\"", "another [[peer]]"]),
        ("address = \"b.example\"\nschedule = \"25:00-26:00\"", ["no time of the week", "22:00-06:00"]),
        ("window = 5", ["can never be met", "add address"]),
        ("accept_from = \"10.0.0.1/8\"", ["bits set", "10.0.0.0/8"]),
    ] {
        block(&site, text);
        says(&site, &["check"], false, &words);
    }
}

/// A server that says these lines, one to each command, to everybody who comes.
fn scripted(lines: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut octets = [0; 4096];
            for line in lines {
                if stream.write_all(line.as_bytes()).is_err() || !matches!(stream.read(&mut octets), Ok(1..))
                {
                    break;
                }
            }
        }
    });
    port
}

#[test]
fn doctor_finds_what_is_wrong_in_the_world() {
    let mut site = Site::init("a.example", &[NEWSGROUP]);
    says(&site, &["doctor"], false, &["no site runs on", "feedd run"]);
    site.start();
    says(&site, &["doctor"], true, &["no name of the Internet's", "full domain name"]);
    let file = |name: &str, text: &str, mode| {
        let path = site.dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("open", "secret\n", 0o644);
    file("empty", "\n", 0o600);
    let refusing = free_port();
    const HELLO: &str = "200 b.example ready\r\n";
    let stranger = scripted(&[HELLO, "101 list\r\nVERSION 2\r\nREADER\r\n.\r\n", "111 20200101000000\r\n"]);
    let late =
        scripted(&[HELLO, "101 list\r\nVERSION 2\r\nIHAVE\r\nSTREAMING\r\n.\r\n", "111 20200101000000\r\n"]);
    let renamed = scripted(&[
        "200 other.example InterNetNews ready\r\n",
        "101 list\r\nVERSION 2\r\nIMPLEMENTATION INN 2.7.1\r\nIHAVE\r\n.\r\n",
        "500 what?\r\n",
    ]);
    let turned_away = scripted(&["502 b.example: no permission\r\n"]);
    let no_nntp = scripted(&["HTTP/1.1 400 Bad Request\r\n\r\n"]);
    let no_tls = scripted(&[HELLO, "101 list\r\nVERSION 2\r\nIHAVE\r\n.\r\n", "500 what?\r\n"]);
    let at = |port: u16| format!("address = \"127.0.0.1:{port}\"\nidentity = \"b.example\"\n");
    for (text, good, words) in [
        (at(refusing), false, ["refused", "is the port right"]),
        (
            "address = \"no.such.name.invalid:119\"".to_owned(),
            false,
            ["cannot be looked up", "mend the name"],
        ),
        (at(stranger), false, ["takes no articles from us", "must admit this site"]),
        (at(late), true, ["its clock is", "NTP"]),
        (at(renamed), true, ["calls itself other.example", "write identity = \"other.example\""]),
        (at(turned_away), false, ["no permission", "turns us away"]),
        (at(no_nntp), false, ["127.0.0.1", "NNTP"]),
        (at(no_tls) + "tls = \"starttls\"", false, ["STARTTLS", "--tls"]),
        (at(late) + "send = \"comp.*\"", false, ["matches none of this site's", "mend the pattern"]),
        (at(late) + "accept = \"comp.*\"", false, ["accept = ", "mend the pattern"]),
        ("account = \"nobody\"".to_owned(), false, ["no account \"nobody\"", "feedd user add nobody"]),
        (at(late) + "user = \"u\"\npassword_file = \"gone\"", false, ["gone", "write the password"]),
        (at(late) + "user = \"u\"\npassword_file = \"open\"", false, ["others may read it", "chmod 600"]),
        (
            at(late) + "user = \"u\"\npassword_file = \"empty\"",
            false,
            ["first line is empty", "write the password"],
        ),
        (at(late) + "tls = \"starttls\"\nca = \"gone.pem\"", false, ["gone.pem", "put the authority's"]),
        ("accept_from = \"no.such.name.invalid\"".to_owned(), false, ["accept_from", "DNS"]),
        (at(late) + "turn = true", false, ["XTURN", "turn = true"]),
    ] {
        block(&site, &text);
        says(&site, &["doctor", "b"], good, &words);
    }
    let json = run(&site, &["doctor", "b", "--json"]).1;
    let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["about"] == "b"), "{findings}");
}

#[test]
fn two_sites_that_fit_are_well() {
    let site = |identity| Site::init_with(identity, &[NEWSGROUP], &["--self-signed"]);
    let (mut a, mut b) = (site("a.example"), site("b.example"));
    let key = |site: &Site| -> String {
        let shown: serde_json::Value =
            serde_json::from_str(&site.feedd(&["peer", "key", "--json"], &[])).unwrap();
        shown["key"].as_str().unwrap().to_owned()
    };
    for (site, other) in [(&a, &b), (&b, &a)] {
        let address = format!("127.0.0.1:{}", other.port);
        let name = other.identity.split('.').next().unwrap();
        let add = [name, "--identity", &other.identity, "--address", &address, "--pin", &key(other)];
        site.feedd(&["peer", "add"], &add);
    }
    a.start();
    // One side alone: the peer is not there.
    says(&a, &["doctor", "b"], false, &["refused", "does it run?"]);
    b.start();
    assert!(wait_until(WITHIN, || run(&a, &["doctor", "b"]).0), "{}", run(&a, &["doctor", "b"]).1);
    says(&a, &["doctor", "b"], true, &["answers with STARTTLS, and takes articles from us"]);
    says(&b, &["doctor", "a"], true, &["takes articles from us"]);
    // From the other end: it does not know our key any more.
    fs::write(b.dir().join("peers.toml"), "").unwrap();
    b.feedd(&["reload"], &[]);
    says(&a, &["doctor", "b"], false, &["takes no articles from us", "feedd peer key"]);
}

/// What is wrong at the other end, seen from here.
#[test]
fn doctor_sees_both_ends() {
    let site = |identity| Site::init_with(identity, &[NEWSGROUP, "test.b", "test.c"], &["--self-signed"]);
    let (mut a, mut b) = (site("a.example"), site("b.example"));
    let key = |site: &Site| -> String {
        let shown: serde_json::Value =
            serde_json::from_str(&site.feedd(&["peer", "key", "--json"], &[])).unwrap();
        shown["key"].as_str().unwrap().to_owned()
    };
    let (key_a, key_b) = (key(&a), key(&b));
    let peers = |site: &Site, other: &Site, key: &str, text: &str| {
        let block = format!(
            "[[peer]]\nname = \"{}\"\naddress = \"127.0.0.1:{}\"\ntls = \"starttls\"\npin = \"{key}\"\n{text}\n",
            other.identity, other.port
        );
        fs::write(site.dir().join("peers.toml"), block).unwrap();
    };
    peers(&a, &b, &key_b, "");
    peers(&b, &a, &key_a, "");
    a.start();
    b.start();
    let all_well = || run(&a, &["doctor", "b.example"]);
    let feeds = |said: &str| said.contains("its feed to us: connected") && said.contains("agreed on fits");
    assert!(wait_until(WITHIN, || feeds(&all_well().1)), "{}", all_well().1);
    assert!(all_well().0, "{}", all_well().1);

    let other = format!("address = \"127.0.0.1:{}\"\n", free_port());
    for (text, good, words) in [
        ("identity = \"other.example\"", false, ["knows us as other.example", "identity = \"a.example\""]),
        ("accept = \"*,!test.a\"", true, ["we send test.a", "mend send here"]),
        ("accept = \"test.a,@test.b\"", true, ["we send test.b, test.c", "accept there"]),
        (
            "accept = { bytes_max = 20000 }",
            true,
            ["it takes articles of so many octets up to 20000", "same limit"],
        ),
    ] {
        peers(&b, &a, &key_a, text);
        b.feedd(&["reload"], &[]);
        says(&a, &["doctor", "b.example"], good, &words);
    }
    // It sends what we keep out.
    peers(&b, &a, &key_a, "");
    b.feedd(&["reload"], &[]);
    peers(&a, &b, &key_b, "accept = \"*,!test.c\"");
    says(
        &a,
        &["doctor", "b.example"],
        true,
        &["it sends test.c, and accept here keeps it out", "send there"],
    );
    // It does not reach us: nobody is where it dials; and the key there is another.
    peers(&a, &b, &key_b, "");
    let wrong = format!("sha256:{}", "7".repeat(64));
    let there = |address: &str, pin: &str| {
        format!(
            "[[peer]]\nname = \"a.example\"\n{address}tls = \"starttls\"\npin = [\"{pin}\", \"{key_a}\"]\n"
        )
    };
    fs::write(b.dir().join("peers.toml"), there(&other, &wrong)).unwrap();
    b.feedd(&["reload"], &[]);
    let refused = || run(&a, &["doctor", "b.example"]).1.contains("its feed to us: waiting");
    assert!(wait_until(WITHIN, refused), "{}", run(&a, &["doctor", "b.example"]).1);
    says(&a, &["doctor", "b.example"], false, &["its feed to us: waiting", "refused", "mend what it says"]);
    // It has no way to us.
    fs::write(b.dir().join("peers.toml"), there("", &wrong).replace("tls = \"starttls\"\n", "")).unwrap();
    b.feedd(&["reload"], &[]);
    says(&a, &["doctor", "b.example"], true, &["sends us nothing", "no way to us"]);
}
