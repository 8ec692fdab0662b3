//! Bad input from the network: nothing is stored that was not acknowledged, memory stays bounded,
//! nobody panics, and everybody else is served on.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::articles::{message_id, posted, relayed, run_of};
use support::process::{memory_kib, wait_until};
use support::random::Random;
use support::site::Site;

const NEWSGROUP: &str = "test.a";
/// Connections opened and left, where the limits of the process allow as many.
const LEFT_OPEN: u64 = 10_000;

fn site() -> Site {
    Site::start_loaded("a.example", &[NEWSGROUP])
}

/// The site answers, holds what it acknowledged and nothing else, and did not panic.
#[track_caller]
fn is_sound(site: &Site, acknowledged: u64) {
    let mut client = site.client();
    let (count, _, high) = client.group(NEWSGROUP);
    assert_eq!((count, high), (acknowledged, acknowledged), "count and high water mark");
    let id = message_id("sound", acknowledged);
    let answer = client.takethis(&id, &relayed(&id, NEWSGROUP, 500)).unwrap();
    assert!(answer.starts_with("239"), "{answer}");
    assert!(client.has(&id));
    assert!(!site.log().contains("panicked"), "{}", site.log());
}

/// Sends all it can; a site may close at any moment.
fn throw(port: u16, bytes: &[u8]) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    // Answers pile up unread on purpose: whoever throws rubbish does not listen.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Both);
}

#[test]
fn binary_noise() {
    let site = site();
    let mut random = Random::seeded();
    for _ in 0..50 {
        let len = 1 + random.below(100_000) as usize;
        throw(site.port, &random.octets(len));
    }
    is_sound(&site, 0);
}

#[test]
fn commands_that_are_none() {
    let site = site();
    let mut client = site.client();
    let lines: [&[u8]; 14] = [
        b"",
        b" ",
        b"\0\0\0",
        b"XYZZY",
        b"ARTICLE <",
        b"ARTICLE 99999999999999999999999999",
        b"ARTICLE -1",
        b"GROUP \xff\xfe\x80",
        b"OVER 18446744073709551615-1",
        b"LISTGROUP test.a 1-99999999999999999999",
        b"NEWNEWS * 99999999 999999",
        b"LIST ACTIVE [[[[[[*?*?*?*?*?*?*?*?*?*?*?*?*?*?*?x",
        b"CHECK no-brackets",
        b"MODE",
    ];
    for line in lines {
        client.send(line).unwrap();
        client.send(b"\r\n").unwrap();
        // An empty line may be passed over in silence; DATE shows where the answers stand.
        client.command("DATE").unwrap();
        let mut answer = client.line().unwrap();
        while !answer.starts_with("111") {
            let code = answer.get(..3).unwrap_or_default();
            assert!(code.parse::<u16>().is_ok_and(|c| (100..600).contains(&c)), "{answer}");
            answer = client.line().unwrap_or_else(|e| panic!("{:?}: {e}", String::from_utf8_lossy(line)));
        }
    }
    is_sound(&site, 0);
}

#[test]
fn endless_lines_are_bounded() {
    let site = site();
    let before = memory_kib(site.pid());
    let endless = vec![b'A'; 64 << 20];
    throw(site.port, &endless);
    for command in ["TAKETHIS <endless@load.example>\r\n", "POST\r\n", "IHAVE <endless.2@load.example>\r\n"] {
        // A header line that never ends; then a body of one line that never ends.
        throw(site.port, &[command.as_bytes(), b"Subject: ", &endless].concat());
        throw(site.port, &[command.as_bytes(), b"Subject: x\r\n\r\n", &endless].concat());
    }
    let grown = memory_kib(site.pid()).saturating_sub(before);
    println!("after 7 endless lines of 64 MiB: {grown} KiB more");
    assert!(grown < 96 * 1024, "{grown} KiB");
    is_sound(&site, 0);
}

#[test]
fn half_articles_are_nothing() {
    let site = site();
    for (number, command) in ["TAKETHIS", "IHAVE", "POST"].into_iter().enumerate() {
        for part in 1..8 {
            let id = message_id("half", (number * 10 + part) as u64);
            let article = relayed(&id, NEWSGROUP, 20_000);
            let mut client = site.client();
            match command {
                "POST" => drop(client.expect("POST", "340")),
                "IHAVE" => drop(client.expect(&format!("IHAVE {id}"), "335")),
                _ => client.command(&format!("TAKETHIS {id}")).unwrap(),
            }
            client.send(&article[..article.len() * part / 8]).unwrap();
            drop(client);
        }
    }
    let mut client = site.client();
    for number in 0..2 {
        for part in 1..8 {
            let id = message_id("half", number * 10 + part);
            assert!(!client.has(&id), "{id}");
            // It is not held for whoever never finished it.
            let free = wait_until(Duration::from_secs(10), || {
                client.ask(&format!("CHECK {id}")).unwrap().starts_with("238")
            });
            assert!(free, "{id} is still awaited from the connection that is gone");
        }
    }
    is_sound(&site, 0);
}

#[test]
fn articles_that_are_none_are_rejected() {
    let site = site();
    let mut client = site.client();
    let id = |number| message_id("bad", number);
    let header =
        |id: &str| format!("Message-ID: {id}\r\nFrom: a@b.example\r\nSubject: x\r\nPath: load.example!x\r\n");
    let bad: Vec<Vec<u8>> = vec![
        b".\r\n".to_vec(),
        b"\r\n.\r\n".to_vec(),
        b"no header at all\r\n.\r\n".to_vec(),
        format!("{}\r\nNo newsgroups, no date.\r\n.\r\n", header(&id(3))).into_bytes(),
        [header(&id(4)).as_bytes(), b"Newsgroups: test.a\0\r\nDate: never\r\n\r\n\xff\r\n.\r\n"].concat(),
        relayed("<another@load.example>", NEWSGROUP, 500),
    ];
    for (number, article) in bad.iter().enumerate() {
        let answer = client.takethis(&id(number as u64), article).unwrap();
        assert!(answer.starts_with("439"), "{}: {answer}", String::from_utf8_lossy(article));
    }
    is_sound(&site, 0);
}

/// `article_bytes_max` of a new site.
const ARTICLE_BYTES_MAX: usize = 10_304 << 10;

/// An article of exactly this many octets, and its terminator.
fn of_size(id: &str, octets: usize) -> Vec<u8> {
    const END: &[u8] = b"\r\n.\r\n";
    let mut article = relayed(id, NEWSGROUP, octets - 500);
    article.truncate(article.len() - END.len());
    article.resize(octets - 2, b'x');
    article.extend_from_slice(END);
    article
}

#[test]
fn the_largest_article_is_taken_and_one_octet_more_is_too_much() {
    let site = site();
    let mut client = site.client();
    for (number, octets, code) in [(0, ARTICLE_BYTES_MAX, "239"), (1, ARTICLE_BYTES_MAX + 1, "439")] {
        let id = message_id("size", number);
        let answer = client.takethis(&id, &of_size(&id, octets)).unwrap();
        assert!(answer.starts_with(code), "{octets}: {answer}");
        assert!(code == "239" || answer.contains(&format!("of {octets} bytes")), "{answer}");
    }
    is_sound(&site, 1);
}

#[test]
fn what_was_too_large_for_ihave_is_held_no_longer() {
    let site = site();
    let mut client = site.client();
    let (large, next) = (message_id("large", 0), message_id("next", 0));
    client.expect(&format!("IHAVE {large}"), "335");
    client.send(&of_size(&large, ARTICLE_BYTES_MAX + 1)).unwrap();
    assert!(client.line().unwrap().starts_with("437"));
    client.expect(&format!("CHECK {large}"), "238");
    // Nor does the next transfer go under its name.
    assert!(client.takethis(&next, &relayed(&next, NEWSGROUP, 500)).unwrap().starts_with("239"));
    client.expect(&format!("CHECK {large}"), "238");
    client.expect(&format!("CHECK {next}"), "438");
    assert!(client.has(&next));
    is_sound(&site, 1);
}

#[test]
fn a_client_that_has_finished_sending_is_answered_to_the_end() {
    let site = site();
    let mut client = site.client();
    let id = message_id("large", 0);
    let article = relayed(&id, NEWSGROUP, 9 << 20);
    assert!(client.takethis(&id, &article).unwrap().starts_with("239"));
    // More than sockets hold: the end of the input is seen long before the last article is sent.
    for _ in 0..3 {
        client.command(&format!("ARTICLE {id}")).unwrap();
    }
    client.finish_sending();
    let mut octets = 0;
    let mut socket = client.into_socket();
    let mut piece = vec![0; 1 << 20];
    loop {
        match socket.read(&mut piece).expect("the site closes when all is said") {
            0 => break,
            count => octets += count,
        }
    }
    assert!(octets > 3 * article.len(), "{octets}");
    is_sound(&site, 1);
}

#[test]
fn last_words_are_not_lost_behind_input_nobody_reads() {
    let site = site();
    let mut client = site.client();
    let id = message_id("last", 0);
    let article = relayed(&id, NEWSGROUP, 500);
    let mut bytes = format!("TAKETHIS {id}\r\n").into_bytes();
    bytes.extend_from_slice(&article);
    bytes.extend_from_slice(b"QUIT\r\n");
    bytes.extend_from_slice(&b"DATE\r\n".repeat(100_000));
    client.send(&bytes).unwrap();
    client.finish_sending();
    let mut socket = client.into_socket();
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("the connection ends, it is not reset");
    assert_eq!(said.lines().map(|line| &line[..3]).collect::<Vec<_>>(), ["239", "205"]);
    is_sound(&site, 1);
}

/// Asks much more than it reads, then reads all of it, slowly: the number of lines.
fn read_slowly(site: &Site, commands: &str, mut meanwhile: impl FnMut()) -> usize {
    let mut client = site.client();
    client.send(commands.as_bytes()).unwrap();
    client.finish_sending();
    let mut socket = client.into_socket();
    let mut piece = vec![0; 16 << 10];
    let mut lines = 0;
    for number in 0.. {
        if number % 64 == 0 {
            meanwhile();
        }
        match socket.read(&mut piece).unwrap() {
            0 => break,
            count => lines += piece[..count].iter().filter(|octet| **octet == b'\n').count(),
        }
    }
    lines
}

#[test]
fn answers_read_slowly_cost_no_memory_and_hold_nobody_up() {
    let site = site();
    let count = 1_000;
    site.client()
        .offer_all(run_of("row", NEWSGROUP, 500), count, |line| assert!(line.starts_with("239")))
        .unwrap();
    let before = memory_kib(site.pid());
    let mut most = 0;
    let asked = format!("GROUP {NEWSGROUP}\r\n{}", "OVER 1-\r\n".repeat(300));
    let lines = read_slowly(&site, &asked, || {
        most = most.max(memory_kib(site.pid()).saturating_sub(before));
        site.client().expect("DATE", "111");
    });
    println!("300 overviews of {count} articles read slowly: {most} KiB more");
    assert_eq!(lines, 1 + 300 * (count + 2));
    assert!(most < 16 * 1024, "{most} KiB");
    is_sound(&site, count as u64);
}

#[test]
fn a_list_longer_than_a_piece_is_given_whole_to_a_slow_reader() {
    let count = 1_000;
    let names: Vec<String> =
        (0..count).map(|number| format!("test.{number:04}.{}", "x".repeat(440))).collect();
    let site = Site::start_loaded("a.example", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = read_slowly(&site, &"LIST\r\n".repeat(40), || {
        site.client().expect("DATE", "111");
    });
    assert_eq!(lines, 40 * (count + 2));
}

/// As many connections as this process and the site can have open; `LEFT_OPEN` at most.
fn connections_allowed() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = LEFT_OPEN + 500;
    let maximum = limit.maximum.unwrap_or(wanted);
    let raised = Rlimit { current: Some(wanted.min(maximum)), maximum: limit.maximum };
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(wanted) - 500;
    if allowed < LEFT_OPEN {
        println!("RLIMIT_NOFILE allows {allowed} connections instead of {LEFT_OPEN}");
    }
    allowed.min(LEFT_OPEN)
}

/// Opens connections and leaves them: a third at once, a third after a command, a third within an
/// article.
fn leave_open(site: &Site, count: u64) -> Vec<TcpStream> {
    (0..count)
        .map(|number| {
            let mut client = site.client();
            match number % 3 {
                0 => {}
                1 => drop(client.expect(&format!("GROUP {NEWSGROUP}"), "211")),
                _ => {
                    let id = message_id("left", number);
                    client.send(format!("TAKETHIS {id}\r\nSubject: half a li").as_bytes()).unwrap();
                }
            }
            client.into_socket()
        })
        .collect()
}

#[test]
fn connections_left_open_cost_little() {
    let count = connections_allowed();
    let site = site();
    let before = memory_kib(site.pid());
    let left = leave_open(&site, count);
    let each = memory_kib(site.pid()).saturating_sub(before) as f64 / count as f64;
    println!("{count} connections left open: {each:.1} KiB each");
    assert!(each < 64.0, "{each} KiB");
    is_sound(&site, 0);
    drop(left);
    is_sound(&site, 1);
}

/// Seconds that one reader needs for a number of articles and one poster for some articles.
fn service_s(site: &Site) -> f64 {
    let mut client = site.client();
    let began = Instant::now();
    for number in 0..1_000 {
        assert!(client.article(&message_id("read", number % 100)).is_some());
    }
    for _ in 0..100 {
        let answer = client.post(&posted(None, NEWSGROUP, 1_000)).unwrap();
        assert!(answer.starts_with("240"), "{answer}");
    }
    began.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures time: .ci/run runs it in release"]
fn others_are_served_not_slower_than_twice() {
    let count = connections_allowed();
    let site = site();
    site.client()
        .offer_all(run_of("read", NEWSGROUP, 2_000), 100, |line| assert!(line.starts_with("239")))
        .unwrap();
    let best = |site: &Site| (0..10).map(|_| service_s(site)).fold(f64::INFINITY, f64::min);
    let before = best(&site);
    let left = leave_open(&site, count);
    let meanwhile = best(&site);
    println!("alone {before:.3} s, beside {count} connections left open {meanwhile:.3} s");
    assert!(meanwhile < 2.0 * before, "{meanwhile} s, {before} s alone");
    drop(left);
}
