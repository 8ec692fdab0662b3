//! How peers are dialled: TLS, pins, authorities, logins; and that nothing is said to a wrong one.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::articles::{message_id, posted};
use support::process::{free_port, wait_until};
use support::site::{FEEDD, Site};

const NEWSGROUP: &str = "test.a";
const WITHIN: Duration = Duration::from_secs(30);

/// A site with a certificate of its own making, that also listens with TLS from the first octet.
fn secure(identity: &str) -> (Site, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    (Site::init_with(identity, &[NEWSGROUP], &["--self-signed", "--listen-tls", &listen]), port)
}

fn key(site: &Site) -> String {
    let shown: serde_json::Value =
        serde_json::from_str(&site.feedd(&["peer", "key", "--json"], &[])).unwrap();
    shown["key"].as_str().unwrap().to_owned()
}

fn post(site: &Site, run: &str, number: u64) -> String {
    let id = message_id(run, number);
    let said = site.client().post(&posted(Some(&id), NEWSGROUP, 1000)).unwrap();
    assert!(said.starts_with("240"), "{said}");
    id
}

#[track_caller]
fn until_there(site: &Site, id: &str) {
    assert!(wait_until(WITHIN, || site.client().has(id)), "{} has no {id}", site.identity);
}

fn feed(site: &Site) -> serde_json::Value {
    let status: serde_json::Value = serde_json::from_str(&site.feedd(&["status", "--json"], &[])).unwrap();
    status["feeds"][0].clone()
}

/// Waits for an error of the only feed that has these words.
#[track_caller]
fn until_error(site: &Site, words: &[&str]) -> String {
    let mut last = String::new();
    let told = wait_until(WITHIN, || {
        last = feed(site)["last_error"].as_str().unwrap().to_owned();
        words.iter().all(|word| last.contains(word))
    });
    assert!(told, "{last:?} should say {words:?}");
    last
}

#[test]
fn articles_travel_over_tls_to_a_pinned_key() {
    let (mut b, b_tls) = secure("b.example");
    let pin = key(&b);
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "loopback"]);
    b.start();
    for (how, port) in [("starttls", b.port), ("implicit", b_tls)] {
        let mut a = Site::init("a.example", &[NEWSGROUP]);
        let address = format!("127.0.0.1:{port}");
        a.feedd(
            &["peer", "add"],
            &["b", "--identity", "b.example", "--address", &address, "--tls", how, "--pin", &pin],
        );
        a.start();
        let ids: Vec<String> = (0..50).map(|number| post(&a, how, number)).collect();
        ids.iter().for_each(|id| until_there(&b, id));
        assert_eq!(feed(&a)["accepted"], 50, "{how}");
        let status: serde_json::Value = serde_json::from_str(&b.feedd(&["status", "--json"], &[])).unwrap();
        assert!(status["counters"]["tls"].as_u64().unwrap() > 0, "{how}: {status}");
        a.stop();
    }
}

#[test]
fn a_wrong_key_gets_nothing_and_is_told() {
    let (mut b, b_tls) = secure("b.example");
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "loopback"]);
    b.start();
    let wrong = format!("sha256:{}", "7".repeat(64));
    for (how, port) in [("starttls", b.port), ("implicit", b_tls)] {
        let mut a = Site::init("a.example", &[NEWSGROUP]);
        let address = format!("127.0.0.1:{port}");
        a.feedd(
            &["peer", "add"],
            &["b", "--identity", "b.example", "--address", &address, "--tls", how, "--pin", &wrong],
        );
        a.start();
        let id = post(&a, "wrong", 1);
        let told = until_error(&a, &["not the pinned one", &key(&b), &wrong]);
        assert_eq!(told.lines().count(), 1);
        assert!(a.log().contains(&wrong) && a.log().contains(&key(&b)), "{}", a.log());
        assert!(!b.client().has(&id));
        assert_eq!(feed(&a)["offered"], 0);
    }
}

#[test]
fn without_authority_or_for_another_name_it_is_not_believed() {
    let (mut b, b_tls) = secure("b.example");
    b.start();
    let mut a = Site::init("a.example", &[NEWSGROUP]);
    let address = format!("127.0.0.1:{b_tls}");
    a.feedd(&["peer", "add"], &["b", "--identity", "b.example", "--address", &address, "--tls", "implicit"]);
    a.start();
    post(&a, "unknown", 1);
    until_error(&a, &["certificate"]);
    // Its own certificate as the authority; the address is among its names.
    let ca = b.dir().join("tls/certificate.pem");
    let peers = a.dir().join("peers.toml");
    let text = std::fs::read_to_string(&peers).unwrap();
    std::fs::write(&peers, text + &format!("ca = \"{}\"\n", ca.display())).unwrap();
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "loopback"]);
    a.feedd(&["reload"], &[]);
    until_there(&b, &message_id("unknown", 1));
}

/// A server that says these lines, each to the next command, and keeps all that it hears.
fn recorder(lines: &'static [&'static str]) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let serve = move |mut stream: TcpStream| {
        let mut octets = [0; 4096];
        for line in lines {
            stream.write_all(line.as_bytes())?;
            let count = stream.read(&mut octets)?;
            kept.lock().unwrap().extend_from_slice(&octets[..count]);
        }
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    };
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(serve(stream))));
    (port, heard)
}

#[test]
fn a_peer_without_tls_hears_neither_article_nor_password() {
    for lines in [
        &["200 hello\r\n", "101 list\r\nVERSION 2\r\nIHAVE\r\nSTREAMING\r\nAUTHINFO USER\r\n.\r\n"][..],
        &["200 hello\r\n", "101 list\r\nVERSION 2\r\nSTARTTLS\r\nSTREAMING\r\n.\r\n", "580 not now\r\n"],
        &["200 hello\r\n", "500 what?\r\n", "500 what?\r\n"],
        // What somebody in between has put behind the answer.
        &["200 hello\r\n", "101 list\r\nSTARTTLS\r\n.\r\n", "382 go on\r\n203 streaming\r\n"],
    ] {
        let (port, heard) = recorder(lines);
        let mut a = Site::init("a.example", &[NEWSGROUP]);
        let secret = a.dir().join("secret");
        std::fs::write(&secret, "open sesame\n").unwrap();
        let address = format!("127.0.0.1:{port}");
        let file = secret.to_str().unwrap();
        a.feedd(
            &["peer", "add"],
            &["b", "--address", &address, "--tls", "starttls", "--user", "us", "--password-file", file],
        );
        a.start();
        post(&a, "clear", 1);
        assert!(wait_until(WITHIN, || feed(&a)["last_error"].as_str().unwrap().contains("TLS")));
        a.stop();
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        for line in heard.lines() {
            assert!(["CAPABILITIES", "STARTTLS"].contains(&line), "said in clear: {heard}");
        }
        assert!(heard.starts_with("CAPABILITIES\r\n"), "{heard}");
    }
}

#[test]
fn a_login_that_is_refused_is_told_without_its_password() {
    let (mut b, _) = secure("b.example");
    let mut add = Command::new(FEEDD)
        .args(["user", "add", "a-feeds", "--password-stdin", "-c"])
        .arg(b.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    add.stdin.take().unwrap().write_all(b"open sesame\n").unwrap();
    assert!(add.wait().unwrap().success());
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--account", "a-feeds"]);
    b.start();
    let (pin, address) = (key(&b), format!("127.0.0.1:{}", b.port));
    let mut a = Site::init("a.example", &[NEWSGROUP]);
    let secret = a.dir().join("secret");
    std::fs::write(&secret, "guess\n").unwrap();
    let add = ["b", "--identity", "b.example", "--address", &address, "--pin", &pin];
    let login = ["--user", "a-feeds", "--password-file", secret.to_str().unwrap()];
    a.feedd(&["peer", "add"], &[&add[..], &login].concat());
    a.start();
    post(&a, "refused", 1);
    let told = until_error(&a, &["login is refused", "481"]);
    assert!(!told.contains("guess") && !a.log().contains("guess"), "{told}");
}

#[test]
fn a_site_without_a_key_gets_one_and_the_line_for_its_peers() {
    let mut site = Site::init("a.example", &[NEWSGROUP]);
    site.start();
    let shown = site.feedd(&["peer", "key"], &[]);
    let again = site.feedd(&["peer", "key"], &[]);
    assert_eq!(shown, again, "it stays the same");
    let key = shown.lines().next().unwrap();
    assert!(key.starts_with("sha256:") && key.len() == 71, "{shown}");
    let command = shown.lines().last().unwrap().trim();
    let rest = command.strip_prefix("feedd peer add ").unwrap();
    assert!(rest.ends_with(&format!("--tls starttls --pin {key}")), "{command}");
    // The line does what it says, and the running site has TLS from now on.
    let mut other = Site::init("b.example", &[NEWSGROUP]);
    let address = format!("127.0.0.1:{}", site.port);
    let told = rest.replace(&format!("a.example:{}", site.port), &address);
    other.feedd(&["peer", "add"], &told.split(' ').collect::<Vec<_>>());
    site.feedd(&["peer", "add"], &["b", "--identity", "b.example", "--accept-from", "loopback"]);
    other.start();
    until_there(&site, &post(&other, "key", 1));
}

/// A proxy that does by the book what a feed asks of it (RFC 1928), in small pieces, and keeps the names.
fn proxy(to: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    let serve = move |mut near: TcpStream| -> std::io::Result<()> {
        let mut hello = [0; 3];
        near.read_exact(&mut hello)?;
        assert_eq!(hello, [5, 1, 0]);
        near.write_all(&[5])?;
        near.write_all(&[0])?;
        let mut head = [0; 5];
        near.read_exact(&mut head)?;
        assert_eq!(head[..4], [5, 1, 0, 3], "a name, not an address");
        let mut name = vec![0; usize::from(head[4]) + 2];
        near.read_exact(&mut name)?;
        let port = name.split_off(name.len() - 2);
        let name = String::from_utf8(name).unwrap();
        let refused = name.starts_with("refused");
        kept.lock().unwrap().push(format!("{name}:{}", u16::from_be_bytes([port[0], port[1]])));
        if refused {
            return near.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        let mut far = TcpStream::connect(("127.0.0.1", to))?;
        // The greeting comes with the reply.
        let mut greeting = [0; 512];
        let count = far.read(&mut greeting)?;
        near.write_all(&[&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &greeting[..count]].concat())?;
        let (mut back, mut from_far) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || std::io::copy(&mut from_far, &mut back));
        std::io::copy(&mut near, &mut far).map(drop)
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || drop(serve(stream)));
        }
    });
    (port, asked)
}

#[test]
fn a_proxy_is_given_the_name_and_nothing_is_said_past_it() {
    let (mut b, _) = secure("b.example");
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "loopback"]);
    b.start();
    let (port, asked) = proxy(b.port);
    let url = format!("socks5://127.0.0.1:{port}");
    let mut a = Site::init("a.example", &[NEWSGROUP]);
    let hidden = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";
    let add = ["b", "--identity", "b.example", "--address", hidden, "--pin", &key(&b), "--proxy", &url];
    a.feedd(&["peer", "add"], &add);
    let add = ["c", "--identity", "c.example", "--address", "refused.i2p:1119", "--proxy", &url];
    a.feedd(&["peer", "add"], &add);
    a.start();
    let id = post(&a, "proxy", 1);
    until_there(&b, &id);
    let asked = asked.lock().unwrap().clone();
    assert!(asked.contains(&format!("{hidden}:119")), "{asked:?}");
    let status =
        || -> serde_json::Value { serde_json::from_str(&a.feedd(&["status", "--json"], &[])).unwrap() };
    let told = wait_until(WITHIN, || {
        status()["feeds"][1]["last_error"]
            .as_str()
            .unwrap()
            .contains("the proxy cannot reach it: connection refused")
    });
    assert!(told, "{}", status());
}

#[test]
#[ignore = "needs microsocks, of Debian's package of that name"]
fn a_real_proxy_leads_there() {
    let port = free_port();
    let address = port.to_string();
    let Ok(mut proxy) =
        Command::new("microsocks").args(["-i", "127.0.0.1", "-p", &address]).stderr(Stdio::null()).spawn()
    else {
        println!("skipped: microsocks is not installed");
        return;
    };
    let (mut b, b_tls) = secure("b.example");
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "loopback"]);
    b.start();
    for (run, port_of_b, tls) in
        [("starttls", b.port, "starttls"), ("implicit", b_tls, "implicit"), ("clear", b.port, "off")]
    {
        let mut a = Site::init("a.example", &[NEWSGROUP]);
        let (to, url) = (format!("localhost:{port_of_b}"), format!("socks5://127.0.0.1:{port}"));
        let mut add = vec!["b", "--identity", "b.example", "--address", &to, "--tls", tls, "--proxy", &url];
        let pin = key(&b);
        if tls != "off" {
            add.extend(["--pin", &pin]);
        }
        a.feedd(&["peer", "add"], &add);
        a.start();
        until_there(&b, &post(&a, run, 1));
    }
    proxy.kill().unwrap();
    proxy.wait().unwrap();
}
