//! Who drips, drowns or hoards is cut, and nobody else is.

use crate::house::House;
use crate::support::articles::posted;
use crate::support::process::{memory_kib, wait_until};
use crate::support::site::Site;
use crate::wire::{Wire, lossy};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const GROUPS: &[&str] = &["misc.test"];
const A_MINUTE: Duration = Duration::from_secs(60);

/// `count` octets of `x`, packed as tightly as deflate can.
fn bomb(count: usize) -> Vec<u8> {
    let mut piece = Vec::with_capacity(64 * 1024);
    let mut pack = flate2::Compress::new(flate2::Compression::best(), false);
    // Behind a full flush all of it can come once more.
    pack.compress_vec(&vec![b'x'; 1 << 20], &mut piece, flate2::FlushCompress::Full).unwrap();
    assert_eq!(pack.total_in(), 1 << 20);
    piece.repeat(count >> 20)
}

#[test]
fn a_compression_bomb_is_cut_before_it_fills_memory() {
    const OCTETS: usize = 256 << 20;
    const BOMBS: usize = 8;
    let mut site = Site::init("here.example", GROUPS);
    site.start();
    let connect = || {
        let mut wire = Wire::connect(Ipv4Addr::LOCALHOST, site.port);
        wire.greet();
        wire
    };
    connect().expect("DATE", "111");
    let before = memory_kib(site.pid());
    let packed = bomb(OCTETS);
    let mut most = before;
    let mut wires: Vec<Wire> = Vec::new();
    for at in 0..BOMBS {
        let mut wire = connect();
        wire.compress();
        if at % 2 == 1 {
            wire.expect("POST", "340");
        }
        // It is cut while it is being sent.
        let _ = wire.send_packed(&packed);
        most = most.max(memory_kib(site.pid()));
        connect().expect("DATE", "111");
        wires.push(wire);
    }
    for mut wire in wires {
        let said = lossy(&wire.rest());
        assert!(!said.contains("240") && !said.contains("501"), "{said}");
    }
    most = most.max(memory_kib(site.pid()));
    // What they unpack to is 2 GiB.
    assert!(most - before < 96 << 10, "{} KiB for {BOMBS} bombs", most - before);
}

/// What is no bomb is too long all the same, and costs the connection nothing.
#[test]
fn an_endless_line_and_an_article_too_large_are_drained_behind_compression() {
    let house = House::start("", GROUPS, |limits| limits.article_bytes_max = 64 * 1024);
    let mut wire = house.tls();
    wire.compress();
    let mut random = crate::support::random::Random::seeded();
    let mut noise = || -> Vec<u8> { (0..8_000_000).map(|_| b'a' + (random.next() % 26) as u8).collect() };
    wire.send(&noise()).unwrap();
    wire.expect("", "501");
    wire.expect("POST", "340");
    wire.send(&noise()).unwrap();
    wire.send(b"\r\n.\r\n").unwrap();
    let answer = wire.line().unwrap();
    assert!(answer.starts_with("441") && answer.contains("8000002"), "{answer}");
    wire.expect("DATE", "111");
}

#[test]
fn octets_that_are_no_deflate_close_the_connection_and_give_its_place_back() {
    let house = House::start("", GROUPS, |_| {});
    for tls in [false, true] {
        let mut wire = if tls { house.tls() } else { house.clear() };
        wire.compress();
        wire.expect("DATE", "111");
        let _ = wire.send_packed(&[0xff; 64]);
        wire.is_closed();
    }
    // More than the compressed connections that there may be at once, all of them gone in an unseemly way.
    for number in 0..feedd::limits::COMPRESSED_MAX + 50 {
        let mut wire = house.clear();
        let answer = wire.ask("COMPRESS DEFLATE");
        assert!(answer.starts_with("206"), "after {number}: {answer}");
        let _ = wire.send_packed(&[0xff; 3]);
        drop(wire);
        let connections = &house.daemon.counters().connections;
        assert!(wait_until(A_MINUTE, || connections.load(Ordering::Relaxed) == 0));
    }
}

/// An octet that went wrong on the way, somewhere in what TLS or deflate made of a dialogue, and a
/// connection that breaks off at any place: nothing but that connection ends.
#[test]
fn damage_on_the_way_ends_one_connection_and_nothing_else() {
    let house = House::start("", GROUPS, |_| {});
    let mut random = crate::support::random::Random::seeded();
    let text =
        [&b"GROUP misc.test\r\nPOST\r\n"[..], &posted(None, "misc.test", 3000), b"OVER 1-\r\nHELP\r\n"]
            .concat();
    for round in 0..120 {
        let mut wire = if round % 3 == 0 { house.clear() } else { house.tls() };
        let compressed = round % 3 < 2;
        if compressed {
            wire.compress();
        }
        let mut octets = wire.on_the_wire(&text);
        let at = random.below(octets.len() as u64) as usize;
        if random.below(4) > 0 {
            octets[at] ^= 1 << random.below(8);
        } else {
            octets.truncate(at);
        }
        // It may have been cut before all of it is sent.
        let _ = wire.socket.write_all(&octets).and_then(|()| wire.socket.shutdown(Shutdown::Write));
        let mut said = Vec::new();
        let _ = wire.socket.read_to_end(&mut said);
    }
    let connections = &house.daemon.counters().connections;
    assert!(wait_until(A_MINUTE, || connections.load(Ordering::Relaxed) == 0));
    let mut wire = house.tls();
    assert!(wire.post(&posted(None, "misc.test", 300)).starts_with("240"));
}

/// A client that begins and does not go on, in one of the ways there are.
fn begun(wire: &mut Wire, way: usize) {
    match way {
        0 => wire.send(b"GROUP mi").unwrap(),
        1 => {
            wire.expect("POST", "340");
            wire.send(b"From: a@b.example\r\nSubject: s\r\n").unwrap();
        }
        _ => {
            // Replies that nobody takes: more than the sockets hold.
            for _ in 0..60 {
                wire.send(b"ARTICLE <large@load.example>\r\n").unwrap();
            }
        }
    }
}

#[test]
fn who_is_too_slow_is_cut_and_who_is_silent_is_not() {
    let house = House::start("", GROUPS, |limits| (limits.slow_s, limits.slow_bytes_s) = (1, 1000));
    let counters = house.daemon.counters();
    let article = posted(Some("<large@load.example>"), "misc.test", 400_000);
    assert!(house.clear().post(&article).starts_with("240"));
    let mut silent = [house.clear(), house.tls(), house.tls(), house.clear()];
    silent[2].compress();
    // Asked for an article, and none of it sent.
    silent[3].expect("POST", "340");
    for way in 0..3 {
        for channel in 0..3 {
            let mut wire = if channel == 0 { house.clear() } else { house.tls() };
            if channel == 2 && way < 2 {
                wire.compress();
            }
            let before = counters.slow_cut.load(Ordering::Relaxed);
            begun(&mut wire, way);
            assert!(
                wait_until(A_MINUTE, || counters.slow_cut.load(Ordering::Relaxed) > before),
                "way {way}, channel {channel}: {counters:?}"
            );
            if way < 2 {
                let said = lossy(&wire.rest());
                assert!(said.starts_with("400 Too slow"), "way {way}, channel {channel}: {said}");
            }
        }
    }
    // Seconds have gone by, and they still are there.
    for wire in &mut silent[..3] {
        wire.expect("DATE", "111");
    }
    assert!(silent[3].ask("From: a@b.example\r\n\r\n.").starts_with("441"));
    assert_eq!(counters.slow_cut.load(Ordering::Relaxed), 9);
}

const LARGE: usize = 2 << 20;

/// Limits under which two large articles are all that may be on their way.
fn two_at_a_time(limits: &mut feedd::config::Limits) {
    limits.article_bytes_max = LARGE;
    limits.in_flight_bytes_max = 2 * LARGE;
    (limits.idle_s, limits.slow_s, limits.slow_bytes_s) = (2, 2, 1);
}

/// Sends so much of a large article that it takes its share of the budget.
fn half_sent(house: &House) -> Wire {
    let mut wire = house.clear();
    wire.expect("POST", "340");
    let article = posted(None, "misc.test", LARGE - 4096);
    wire.send(&article[..article.len() * 3 / 4]).unwrap();
    wire
}

/// Senders that are slow, but not so slow as to be cut for that, hold the budget while nobody else needs
/// it; and who waits for it is not cut for waiting.
#[test]
fn who_dribbles_large_articles_does_not_keep_others_from_sending() {
    let house = House::start("", GROUPS, two_at_a_time);
    let (stop, stopped) = mpsc::channel::<()>();
    let mut hoards: Vec<Wire> = (0..3).map(|_| half_sent(&house)).collect();
    let dribbling = thread::spawn(move || {
        // A hundred octets a second each.
        while stopped.recv_timeout(Duration::from_millis(100)) == Err(mpsc::RecvTimeoutError::Timeout) {
            hoards.retain_mut(|wire| wire.send(b"drip drip\n").is_ok());
        }
        hoards.len()
    });
    let article = posted(None, "misc.test", LARGE - 4096);
    let sent: Vec<_> = (0..4)
        .map(|_| {
            let (mut wire, article) = (house.clear(), article.clone());
            thread::spawn(move || wire.post(&article))
        })
        .collect();
    for sender in sent {
        let answer = sender.join().unwrap();
        assert!(answer.starts_with("240"), "{answer}");
    }
    drop(stop);
    dribbling.join().unwrap();
    let counters = house.daemon.counters();
    // One share is enough for four articles, one after the other.
    assert!((1..=3).contains(&counters.slow_cut.load(Ordering::Relaxed)), "{counters:?}");
    assert_eq!(counters.accepted.load(Ordering::Relaxed), 4);
}

#[test]
fn who_goes_in_the_middle_of_a_large_article_leaves_its_share() {
    let house = House::start("", GROUPS, |limits| {
        two_at_a_time(limits);
        (limits.idle_s, limits.slow_s) = (600, 600);
    });
    for _ in 0..5 {
        drop(half_sent(&house));
    }
    let article = posted(None, "misc.test", LARGE - 4096);
    assert!(house.clear().post(&article).starts_with("240"));
}

/// A login that is made to wait is our doing, with a command half sent behind it or none.
#[test]
fn who_waits_for_us_is_not_cut() {
    let house = House::with_logins("clear_logins = true", GROUPS, |limits| {
        (limits.idle_s, limits.slow_s, limits.slow_bytes_s) = (2, 2, 1000);
    });
    let waiting: Vec<_> = (0..6)
        .map(|_| {
            let mut wire = house.clear();
            thread::spawn(move || {
                wire.send(b"AUTHINFO USER alice\r\nAUTHINFO PASS wrong\r\nDAT").unwrap();
                let answers = [wire.line().unwrap(), wire.line().unwrap()];
                (answers.map(|answer| answer[..3].to_owned()), wire.ask("E"))
            })
        })
        .collect();
    for waiting in waiting {
        let (answers, date) = waiting.join().unwrap();
        assert_eq!(answers, ["381", "481"]);
        assert!(date.starts_with("111"), "{date}");
    }
    assert!(house.daemon.counters().logins_slowed.load(Ordering::Relaxed) >= 2);
}
