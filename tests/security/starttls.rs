//! STARTTLS and TLS: nothing of before the handshake counts behind it (RFC 4642 s.2.2.2), and what is
//! no handshake ends the connection.

use crate::house::{HERE, House, new_certificate};
use crate::support::process::wait_until;
use crate::wire::Wire;
use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const GROUPS: &[&str] = &["misc.test"];

#[test]
fn what_comes_in_clear_behind_starttls_is_never_done() {
    let house = House::start("", GROUPS, |_| {});
    // In the same segment: thrown away with everything else that came in clear.
    let mut wire = house.clear();
    wire.send(b"STARTTLS\r\nGROUP misc.test\r\nPOST\r\n").unwrap();
    assert!(wire.line().unwrap().starts_with("382"));
    wire.secure(house.trusting()).unwrap();
    assert!(wire.ask("DATE").starts_with("111"), "the first reply behind TLS is to the first command there");
    wire.expect("STAT", "412");
    // In the next one: no handshake, so the connection ends.
    let mut wire = house.clear();
    wire.expect("STARTTLS", "382");
    wire.send(b"GROUP misc.test\r\nQUIT\r\n").unwrap();
    let rest = wire.rest();
    assert!(!rest.windows(3).any(|code| code == b"211" || code == b"205"), "{rest:?}");
    // In the middle of the handshake.
    let mut wire = house.clear();
    wire.expect("STARTTLS", "382");
    let mut hello = Vec::new();
    let name = "here.example".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(house.trusting(), name).unwrap();
    tls.write_tls(&mut hello).unwrap();
    wire.send(&hello).unwrap();
    wire.send(b"GROUP misc.test\r\n").unwrap();
    let mut said = Vec::new();
    let _ = wire.socket.read_to_end(&mut said);
    assert!(!said.windows(3).any(|code| code == b"211"), "{said:?}");
}

#[test]
fn nothing_known_before_the_handshake_is_known_behind_it() {
    let house = House::with_logins("clear_logins = true", GROUPS, |_| {});
    let mut wire = house.clear();
    wire.expect("AUTHINFO USER alice", "381");
    wire.starttls(house.trusting());
    wire.expect(&format!("AUTHINFO PASS {}", crate::house::PASSWORD), "482");
    wire.expect("STARTTLS", "502");
    let house = House::start("", GROUPS, |_| {});
    let mut wire = house.clear();
    wire.expect("GROUP misc.test", "211");
    wire.starttls(house.trusting());
    wire.expect("LISTGROUP", "412");
    wire.expect("OVER", "412");
    assert!(!wire.list("CAPABILITIES", "101").contains(&"STARTTLS".to_owned()));
}

/// RFC 4644 allows streaming: what was sent before STARTTLS is answered before 382.
#[test]
fn replies_owed_are_given_in_clear_before_the_handshake() {
    let house = House::start("", GROUPS, |_| {});
    let mut wire = house.clear_from(crate::house::PEER);
    let mut bytes = Vec::new();
    for number in 0..20 {
        let id = crate::support::articles::message_id("owed", number);
        bytes.extend_from_slice(format!("TAKETHIS {id}\r\n").as_bytes());
        bytes.extend_from_slice(&crate::support::articles::relayed(&id, "misc.test", 500));
    }
    bytes.extend_from_slice(b"STARTTLS\r\nCHECK <injected@x>\r\n");
    wire.send(&bytes).unwrap();
    for _ in 0..20 {
        let line = wire.line().unwrap();
        assert!(line.starts_with("239"), "{line}");
    }
    assert!(wire.line().unwrap().starts_with("382"));
    wire.secure(house.trusting()).unwrap();
    wire.expect("DATE", "111");
}

#[test]
fn what_is_no_handshake_ends_the_connection_and_holds_nothing() {
    // Fewer places than attempts: one that is not given back is missed.
    let house = House::start("", GROUPS, |limits| limits.connections_per_address_max = 3);
    let counters = house.daemon.counters();
    let garbage = [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff, 0, 0, 0],
        &[0x80, 0x2e, 1, 0, 2],
        &[0; 300],
    ];
    for (octets, port) in garbage.iter().flat_map(|octets| [(octets, house.port), (octets, house.port_tls)]) {
        let mut wire = Wire::connect(HERE, port);
        if port == house.port {
            wire.greet();
            wire.expect("STARTTLS", "382");
        }
        wire.send(octets).unwrap();
        let _ = wire.socket.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = wire.socket.read_to_end(&mut said);
        assert!(said.is_empty() || said[0] == 0x15, "an alert or nothing: {said:?}");
        assert!(wait_until(Duration::from_secs(30), || counters.connections.load(Ordering::Relaxed) == 0));
    }
    assert_eq!(counters.tls_failed.load(Ordering::Relaxed), 8);
    assert_eq!(counters.addresses_full.load(Ordering::Relaxed), 0);
    house.tls().expect("DATE", "111");
}

#[test]
fn a_handshake_that_is_never_finished_ends() {
    let house = House::start("", GROUPS, |limits| limits.idle_s = 1);
    let begun = Instant::now();
    let mut clear = house.clear();
    clear.expect("STARTTLS", "382");
    clear.send(&[0x16, 3, 1]).unwrap();
    let mut implicit = Wire::connect(HERE, house.port_tls);
    implicit.is_closed();
    clear.is_closed();
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(house.daemon.counters().tls_failed.load(Ordering::Relaxed), 2);
    assert_eq!(house.daemon.counters().idle_cut.load(Ordering::Relaxed), 0);
}

/// RFC 8143 s.3.1 and RFC 8996: no TLS below 1.2. A ClientHello as TLS 1.1 has it.
#[test]
fn tls_1_1_is_refused() {
    let house = House::start("", GROUPS, |_| {});
    let mut wire = Wire::connect(HERE, house.port_tls);
    let mut hello = vec![3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.push(0);
    hello.extend_from_slice(&[0, 4, 0xc0, 0x13, 0, 0x2f]);
    hello.extend_from_slice(&[1, 0]);
    // Signature algorithms and groups, so that nothing but the version is amiss.
    hello.extend_from_slice(&[0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23]);
    let mut record = vec![0x16, 3, 1, 0, (hello.len() + 4) as u8, 1, 0, 0, hello.len() as u8];
    record.extend_from_slice(&hello);
    wire.socket.write_all(&record).unwrap();
    let mut said = Vec::new();
    let _ = wire.socket.read_to_end(&mut said);
    // An alert, fatal: protocol_version.
    assert_eq!((said[0], said[5], said[6]), (0x15, 2, 70), "{said:?}");
}

#[test]
fn alpn_is_nntp_or_nothing() {
    let house = House::start("", GROUPS, |_| {});
    for (offered, agreed) in
        [(&[&b"nntp"[..]][..], Some(&b"nntp"[..])), (&[b"http/1.1", b"nntp"], Some(b"nntp")), (&[], None)]
    {
        let mut wire = Wire::connect(HERE, house.port_tls);
        wire.secure(Arc::new(house.client(offered))).unwrap();
        wire.greet();
        assert_eq!(wire.tls.as_ref().unwrap().alpn_protocol(), agreed);
    }
    let mut wire = Wire::connect(HERE, house.port_tls);
    let refused = wire.secure(Arc::new(house.client(&[b"http/1.1"]))).unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let house = House::start("", GROUPS, |_| {});
    let old = house.trusting();
    let mut before = house.tls();
    new_certificate(house.folder.path());
    // Nothing changes before the reload.
    Wire::connect(HERE, house.port_tls).secure(old.clone()).unwrap();
    let done = house.reload().unwrap();
    assert!(done.starts_with("reloaded"), "{done}");
    let mut wire = house.tls();
    wire.expect("DATE", "111");
    let mut distrusting = Wire::connect(HERE, house.port_tls);
    distrusting.secure(Arc::new(rustls::ClientConfig::clone(&old))).unwrap_err();
    before.expect("GROUP misc.test", "211");
    // STARTTLS takes the new one, too, on a connection that came before.
    let mut clear = house.clear();
    // Broken: another's key, then no PEM, then gone. The old one goes on.
    let (certificate, key) =
        (house.folder.path().join("tls/certificate.pem"), house.folder.path().join("tls/key.pem"));
    let good = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
    let trusting = house.trusting();
    new_certificate(house.folder.path());
    fs::write(&certificate, &good.0).unwrap();
    for (broken, says) in
        [(None, "does not belong to"), (Some("nonsense"), "holds no private key"), (Some(""), "holds no")]
    {
        if let Some(text) = broken {
            fs::write(&key, text).unwrap();
        }
        let why = house.reload().unwrap_err();
        assert!(why.contains(says) && why.contains("key.pem") && why.contains("old config"), "{why}");
        Wire::connect(HERE, house.port_tls).secure(trusting.clone()).unwrap();
    }
    fs::remove_file(&key).unwrap();
    let why = house.reload().unwrap_err();
    assert!(why.contains("key.pem"), "{why}");
    clear.starttls(trusting);
    before.expect("DATE", "111");
}
