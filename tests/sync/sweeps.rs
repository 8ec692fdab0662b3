//! A peer that is no feedd is offered everything once more.

use crate::support::articles::message_id;
use crate::support::process::wait_until;
use crate::support::site::Site;
use crate::{NEWSGROUPS, WITHIN, add_to_peer, begin_sync, offer, sync};

#[test]
fn a_peer_that_is_no_feedd_is_offered_everything_once_more() {
    let mut a = Site::init("a.example", &NEWSGROUPS);
    let mut b = Site::init("b.example", &NEWSGROUPS);
    a.accept_load();
    a.start();
    offer(&a, "before", "test.a", 120);
    // Known to B as one of two on this host, so nobody in particular: it is not asked by XSYNC OFFER, and
    // an old server would not know the question either.
    let (port, stop) = without_xsync(b.port);
    a.peer_with_port("b.example", port);
    b.peer_with(&a);
    b.start();
    let (whole, report) = sync(&a, "b");
    assert!(whole, "{report:#}");
    assert_eq!((&report["compared"], &report["sent"]["sent"]), (&false.into(), &120.into()), "{report:#}");
    let (whole, report) = sync(&a, "b");
    assert!(whole && report["sent"]["agreed"] == 120 && report["sent"]["sent"] == 0, "{report:#}");
    assert_eq!(b.client().group("test.a").0, 120);
    drop(stop);
}

/// A door to the server behind a port that takes XSYNC out of its capabilities.
fn without_xsync(port: u16) -> (u16, impl Drop) {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    struct Stop;
    impl Drop for Stop {
        fn drop(&mut self) {}
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let copy = |mut from: TcpStream, mut to: TcpStream| {
                let mut octets = [0; 65536];
                while let Ok(count @ 1..) = from.read(&mut octets) {
                    let mut text = octets[..count].to_vec();
                    if let Some(at) = memchr::memmem::find(&text, b"XSYNC\r\n") {
                        text[at..at + 5].copy_from_slice(b"XNONE");
                    }
                    if to.write_all(&text).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            };
            let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || copy(near, far));
            std::thread::spawn(move || copy(far2, near2));
        }
    });
    (own, Stop)
}

/// A has articles in two newsgroups, and B behind a door without XSYNC as its peer.
fn with_door(counts: [usize; 2]) -> (Site, Site, impl Drop) {
    let mut a = Site::init("a.example", &NEWSGROUPS);
    let mut b = Site::init("b.example", &NEWSGROUPS);
    a.accept_load();
    a.start();
    for (newsgroup, count) in NEWSGROUPS.into_iter().zip(counts) {
        offer(&a, newsgroup, newsgroup, count);
    }
    let (port, stop) = without_xsync(b.port);
    a.peer_with_port("b.example", port);
    b.peer_with(&a);
    b.start();
    (a, b, stop)
}

#[test]
fn what_is_rejected_is_named_with_the_peers_words() {
    let (a, b, _stop) = with_door([40, 3]);
    b.feedd(&["group", "remove"], &["local.a"]);
    let (whole, report) = sync(&a, "b");
    assert!(!whole, "{report:#}");
    let sent = &report["sent"];
    let counts = ["agreed", "of", "sent", "rejected", "left"].map(|name| sent[name].as_u64().unwrap());
    assert_eq!(counts, [40, 43, 40, 3, 0], "{report:#}");
    let missing: Vec<&str> =
        sent["missing"].as_array().unwrap().iter().filter_map(serde_json::Value::as_str).collect();
    for number in 0..3 {
        let id = message_id("local.a", number);
        let named = missing.iter().find(|line| line.starts_with(&id)).unwrap_or_else(|| panic!("{report:#}"));
        assert!(named.len() > id.len() + 5, "no reason: {named}");
    }
    let trace = a.feedd(&["trace", &message_id("local.a", 2)], &[]);
    assert!(trace.contains("439") || trace.contains("437"), "{trace}");
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was() {
    const COUNT: usize = 1200;
    let (mut a, b, _stop) = with_door([COUNT, 0]);
    // Five seconds, if nobody interrupts it.
    add_to_peer(&a, "bytes_s_max = 350000");
    let mut first = begin_sync(&a, "b");
    let mut reader = b.client();
    assert!(wait_until(WITHIN, || reader.group("test.a").0 >= 600), "{}", a.log());
    first.kill().unwrap();
    first.wait().unwrap();
    // The site keeps how far it was, and does not go on with what nobody waits for.
    a.stop();
    let before = reader.group("test.a").0;
    assert!(before < COUNT as u64, "it was not interrupted");
    a.start();
    let (whole, report) = sync(&a, "b");
    let sent = &report["sent"];
    assert!(whole && sent["agreed"] == COUNT && sent["of"] == COUNT, "{report:#}");
    assert_eq!(reader.group("test.a").0, COUNT as u64);
    let trace = a.feedd(&["trace", &message_id("test.a", 0)], &["--json"]);
    assert!(trace.contains("239") && !trace.contains("438"), "it was offered twice: {trace}");
    // It has come to its end: another one is about everything again.
    let (whole, report) = sync(&a, "b");
    assert!(whole && report["sent"]["sent"] == 0 && report["sent"]["of"] == COUNT, "{report:#}");
    let trace = a.feedd(&["trace", &message_id("test.a", 0)], &["--json"]);
    assert!(trace.contains("438"), "{trace}");
}
