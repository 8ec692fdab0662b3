//! feedd and INN on both sides of a feed.

use super::ARRIVES_WITHIN;
use crate::support;
use support::articles::{LOAD_IDENTITY, date_now, field, message_id, path_of, relayed, what_travels};
use support::client::Client;
use support::inn::{Inn, InnSetup};
use support::process::{free_port, wait_until};
use support::site::Site;

const NEWSGROUPS: [&str; 2] = ["test.a", "test.b"];

/// A site and an INN that feed each other.
fn site_and_inn() -> (Site, Inn) {
    let mut site = Site::init("a.example", &NEWSGROUPS);
    let setup = InnSetup::new("inn.example", &NEWSGROUPS).feeding("site", "a.example", site.port);
    let inn = Inn::start(&setup).unwrap();
    // Whoever else comes from loopback is known by the Path of what it brings, not taken for INN.
    site.accept_load();
    site.peer_with_port("inn.example", inn.port);
    site.start();
    (site, inn)
}

/// Articles of all kinds that must travel unchanged, in wire form.
fn of_all_kinds(run: &str) -> Vec<(String, Vec<u8>)> {
    let header = |id: &str, more: &str| {
        format!(
            "Path: {LOAD_IDENTITY}!.POSTED!not-for-mail\r\nFrom: A Poster <poster@{LOAD_IDENTITY}>\r\n\
             Newsgroups: test.a,test.b\r\nSubject: All kinds\r\nDate: {}\r\nMessage-ID: {id}\r\n{more}\r\n",
            date_now()
        )
        .into_bytes()
    };
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("", b"A line.\r\n".to_vec()),
        ("", b"..a dot\r\n...two dots\r\n..\r\n\r\n\r\nEmpty lines before.\r\n".to_vec()),
        ("", [&[0x80, 0xff, 0xe9, b' ', 0x01, b'\t'][..], b" 8 bit\r\n"].concat()),
        ("", [vec![b'x'; 5_000], b"\r\n".to_vec()].concat()),
        ("X-Folded: one\r\n\ttwo\r\n  three\r\nX-Spaced:   kept   \r\n", b"Folded fields.\r\n".to_vec()),
        ("X-Utf8: Gr\u{fc}\u{df}e aus K\u{f6}ln\r\n", "Grüße.\r\n".as_bytes().to_vec()),
        ("References: <1@x.example>\r\n <2@x.example>\r\nLines: 1\r\n", b"An answer.\r\n".to_vec()),
        ("", b"A line of a megabyte.\r\n".repeat(45_000)),
    ];
    bodies
        .into_iter()
        .enumerate()
        .map(|(number, (more, body))| {
            let id = message_id(run, number as u64);
            let article = [header(&id, more), body, b".\r\n".to_vec()].concat();
            (id, article)
        })
        .chain((100..150).map(|number| {
            let id = message_id(run, number);
            let article = relayed(&id, "test.a", 3_000);
            (id, article)
        }))
        .collect()
}

/// The articles arrive, and are what they were but for Path and Xref.
#[track_caller]
fn arrive_unchanged(
    articles: &[(String, Vec<u8>)],
    from: &mut Client,
    to: &mut Client,
    story: &dyn Fn() -> String,
) {
    for (id, sent) in articles {
        assert!(wait_until(ARRIVES_WITHIN, || to.has(id)), "{id} does not arrive\n{}", story());
        let at_source = from.article(id).unwrap();
        let arrived = to.article(id).unwrap();
        assert!(what_travels(&at_source) == what_travels(&arrived), "{id} was changed on its way");
        let mut unstuffed = sent.clone();
        unstuffed.truncate(sent.len() - b".\r\n".len());
        let same_fields = what_travels(&unstuffed).0 == what_travels(&arrived).0;
        assert!(same_fields, "{id}: a header field was changed\n{}", String::from_utf8_lossy(&arrived));
    }
}

#[test]
#[ignore = "needs the Debian package inn2"]
fn inn_feeds_a_site_and_is_fed_by_it() {
    let (site, inn) = site_and_inn();
    let story = || format!("site:\n{}\nINN:\n{}", site.log(), inn.last_words());
    let mut at_site = site.client();
    let mut at_inn = Client::connect(inn.reader_port).unwrap();
    let mut peer_of_inn = Client::connect(inn.port).unwrap();

    let from_inn = of_all_kinds("from.inn");
    for (id, article) in &from_inn {
        let answer = peer_of_inn.takethis(id, article).unwrap();
        assert!(answer.starts_with("239"), "INN: {answer}");
    }
    arrive_unchanged(&from_inn, &mut at_inn, &mut at_site, &story);
    let path = path_of(&at_site.article(&from_inn[0].0).unwrap());
    assert!(path.starts_with("a.example!") && path.contains("inn.example!"), "{path}");

    let from_site = of_all_kinds("from.site");
    let mut peer_of_site = site.client();
    for (id, article) in &from_site {
        let answer = peer_of_site.takethis(id, article).unwrap();
        assert!(answer.starts_with("239"), "site: {answer}");
    }
    arrive_unchanged(&from_site, &mut at_site, &mut at_inn, &story);
    let path = path_of(&at_inn.article(&from_site[0].0).unwrap());
    assert!(path.starts_with("inn.example!") && path.contains("a.example!"), "{path}");

    // What a reader posts on one side can be read on the other.
    for (number, (here, there)) in [(0, (true, false)), (1, (false, true))] {
        let id = message_id("posted", number);
        let article = support::articles::posted(Some(&id), "test.b", 1_000);
        let poster = if here { &mut at_site } else { &mut at_inn };
        let answer = poster.post(&article).unwrap();
        assert!(answer.starts_with("240"), "{answer}");
        let reader = if there { &mut at_site } else { &mut at_inn };
        assert!(wait_until(ARRIVES_WITHIN, || reader.has(&id)), "{id} does not arrive\n{}", story());
        let arrived = reader.article(&id).unwrap();
        assert!(field(&arrived, "Injection-Info").is_some(), "{}", String::from_utf8_lossy(&arrived));
    }

    // Neither sends back what it got: everything is there once.
    for client in [&mut at_site, &mut at_inn] {
        client.ask("MODE READER").unwrap();
        assert_eq!(client.group("test.a").0, (from_inn.len() + from_site.len()) as u64);
    }
    assert!(!site.log().contains("panicked"), "{}", site.log());
}

#[test]
#[ignore = "needs the Debian package inn2"]
fn a_burst_from_inn_arrives_whole() {
    let (site, inn) = site_and_inn();
    let mut peer_of_inn = Client::connect(inn.port).unwrap();
    let articles = support::articles::run_of("burst", "test.a", 2_000);
    let mut taken = 0;
    peer_of_inn.offer_all(articles, 3_000, |line| taken += u64::from(line.starts_with("239"))).unwrap();
    assert_eq!(taken, 3_000);
    let mut at_site = site.client();
    let arrived = wait_until(ARRIVES_WITHIN, || at_site.group("test.a").0 == taken);
    assert!(arrived, "{} of {taken}\n{}", at_site.group("test.a").0, inn.last_words());
}

#[test]
#[ignore = "needs the Debian package inn2"]
fn inn_comes_back_and_gets_what_it_missed() {
    let port = free_port();
    let mut site = Site::init("a.example", &NEWSGROUPS);
    site.accept_load();
    site.peer_with_port("inn.example", port);
    site.start();
    let articles = support::articles::run_of("missed", "test.a", 2_000);
    site.client().offer_all(articles, 500, |line| assert!(line.starts_with("239"), "{line}")).unwrap();
    let mut setup = InnSetup::new("inn.example", &NEWSGROUPS);
    setup.port = Some(port);
    let inn = Inn::start(&setup).unwrap();
    let mut reader = Client::connect(inn.reader_port).unwrap();
    let arrived = wait_until(ARRIVES_WITHIN, || reader.group("test.a").0 == 500);
    assert!(arrived, "{} of 500\n{}", reader.group("test.a").0, site.log());
}
