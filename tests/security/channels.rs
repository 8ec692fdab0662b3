//! TLS and compression change octets and nothing else: the same dialogue has the same replies, however
//! it is cut.

use crate::house::{House, PEER};
use crate::support::articles::{message_id, posted, relayed};
use crate::support::random::Random;
use crate::wire::{Wire, lossy};

const CHANNELS: [&str; 4] = ["c0", "c1", "c2", "c3"];

fn open(house: &House, channel: &str) -> Wire {
    let tls = matches!(channel, "c2" | "c3");
    let mut wire = if tls { house.tls_from(PEER) } else { house.clear_from(PEER) };
    if matches!(channel, "c1" | "c3") {
        wire.compress();
    }
    wire
}

/// A dialogue that names no channel: `c#` stands for it.
fn dialogue(random: &mut Random, round: u64) -> Vec<u8> {
    let group = |random: &mut Random| ["misc.c#", "alt.c#", "none.c#"][random.below(3) as usize];
    let mut text: Vec<u8> = Vec::new();
    for step in 0..random.below(30) + 1 {
        let id = |random: &mut Random| message_id(&format!("c#.{round}"), random.below(8));
        let line = match random.below(16) {
            0 => format!("GROUP {}", group(random)),
            1 => format!("STAT {}", id(random)),
            2 => "LISTGROUP".to_owned(),
            3 => "OVER 1-".to_owned(),
            4 => format!("HDR Subject {}", random.below(4)),
            5 => ["NEXT", "LAST", "STAT", "BODY", "HEAD 1", "BODY 1"][random.below(6) as usize].to_owned(),
            6 => format!("CHECK {}", id(random)),
            7 => ["NONSENSE", "LIST OVERVIEW.FMT", "HELP", "MODE READER", "NEWGROUPS 1", ""]
                [random.below(6) as usize]
                .to_owned(),
            8 => "x".repeat(random.below(1200) as usize),
            9 => format!("BODY {}", id(random)),
            10 | 11 => {
                let groups = group(random);
                text.extend_from_slice(b"POST\r\n");
                let id = format!("<p.c#.{round}.{step}@load.example>");
                text.extend_from_slice(&posted(Some(&id), groups, random.below(20_000) as usize));
                continue;
            }
            _ => {
                let (id, groups) = (id(random), group(random));
                text.extend_from_slice(format!("TAKETHIS {id}\r\n").as_bytes());
                // One date for all of a dialogue's copies.
                let size = if random.below(8) == 0 { 100_000 } else { random.below(9000) };
                let article = relayed(&id, groups, size as usize);
                text.extend_from_slice(&article);
                continue;
            }
        };
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if random.below(2) == 0 {
        text.extend_from_slice(b"QUIT\r\n");
    }
    text
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    lossy(text).replace(from, to).into_bytes()
}

/// The replies that depend on the moment: Injection-Date in HEAD, the length of Path is the same.
fn without_moments(replies: &[u8]) -> String {
    lossy(replies)
        .lines()
        .filter(|line| !line.starts_with("Injection-Date:") && !line.starts_with("Injection-Info:"))
        .map(|line| {
            // CHECK of an article that is being written this moment, or has been.
            let line = &line.replace("431 <", "438 <");
            // The date of a posted article in its overview row.
            let mut fields: Vec<&str> = line.split('\t').collect();
            if fields.len() > 7 && fields[4].starts_with("<p.") {
                fields[3] = "";
            }
            fields.join("\t") + "\n"
        })
        .filter(|line| !line.starts_with("Date: "))
        .collect()
}

#[test]
fn the_same_dialogue_has_the_same_replies_over_every_channel() {
    let groups: Vec<String> =
        CHANNELS.iter().flat_map(|channel| [format!("misc.{channel}"), format!("alt.{channel}")]).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let house = House::start("", &groups, |_| {});
    let mut random = Random::seeded();
    for round in 0..30 {
        let dialogue = dialogue(&mut random, round);
        let mut replies = Vec::new();
        for channel in CHANNELS {
            let mut wire = open(&house, channel);
            let mut rest = &replaced(&dialogue, "c#", channel)[..];
            while random.below(20) > 0 && rest.len() > 1 {
                let most = [4, 100, rest.len() as u64][random.below(3) as usize].min(rest.len() as u64 - 1);
                let (piece, left) = rest.split_at(random.below(most) as usize + 1);
                wire.send(piece).unwrap();
                rest = left;
            }
            wire.finish_with(rest).unwrap();
            let said = wire.rest();
            replies.push(without_moments(&replaced(&said, channel, "c#")));
        }
        for (channel, said) in CHANNELS.iter().zip(&replies) {
            assert!(
                *said == replies[0],
                "{channel} in round {round}:\n{said}\n--- and in clear:\n{}",
                replies[0]
            );
        }
        assert!(!replies[0].is_empty());
    }
}

/// RFC 8054 s.2.2.2: what stands before COMPRESS is answered before it and in clear, what is behind it is
/// packed, though it comes in the same segment.
#[test]
fn compress_takes_its_turn_among_pipelined_commands() {
    let house = House::start("", &["misc.test"], |_| {});
    for tls in [false, true] {
        let mut wire = if tls { house.tls_from(PEER) } else { house.clear_from(PEER) };
        let mut bytes = Vec::new();
        for number in 0..20 {
            let id = message_id(if tls { "tls" } else { "clear" }, number);
            bytes.extend_from_slice(format!("TAKETHIS {id}\r\n").as_bytes());
            bytes.extend_from_slice(&relayed(&id, "misc.test", 700));
        }
        bytes.extend_from_slice(b"COMPRESS DEFLATE\r\n");
        let mut pack = flate2::Compress::new(flate2::Compression::default(), false);
        let mut packed = Vec::with_capacity(1000);
        pack.compress_vec(b"DATE\r\nGROUP misc.test\r\nQUIT\r\n", &mut packed, flate2::FlushCompress::Sync)
            .unwrap();
        bytes.extend_from_slice(&packed);
        wire.send(&bytes).unwrap();
        for code in ["239"; 20].iter().chain(&["206"]) {
            let line = wire.line().unwrap();
            assert!(line.starts_with(code), "{line}");
        }
        wire.compressed_from_here();
        let codes: Vec<String> = lossy(&wire.rest()).lines().map(|line| line[..3].to_owned()).collect();
        assert_eq!(codes, ["111", "211", "205"]);
    }
}
