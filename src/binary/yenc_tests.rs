//! yEnc: round trips, known octets, and whatever else a body may hold.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::random::xorshift;

fn encoded(part: &Part<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(part, &mut out);
    out
}

fn single(data: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(data);
    let file_size = data.len() as u64;
    encoded(&Part { name: "a b.bin", number: 1, total: 1, file_size, offset: 0, data, crc, file_crc: None })
}

#[test]
fn known_octets() {
    // 214, 224, 227 and 19 become NUL, LF, CR and `=`; 246 and 223 a blank and a TAB.
    let body = single(&[214, 224, 227, 19, 246, 0, 223]);
    let text = b"=ybegin line=128 size=7 name=a b.bin\r\n=@=J=M=} *=I\r\n=yend size=7 crc32=";
    assert!(body.starts_with(text), "{}", body.escape_ascii());
    assert!(body.ends_with(b"\r\n"));
    assert_eq!(single(b""), b"=ybegin line=128 size=0 name=a b.bin\r\n=yend size=0 crc32=00000000\r\n");
}

#[test]
fn every_length_and_octet_comes_back() {
    let mut random = xorshift(11);
    for len in (0..600).chain([5_000, 70_000]) {
        let data: Vec<u8> = match len % 3 {
            0 => (0..len).map(|at| at as u8).collect(),
            1 => (0..len).map(|_| random(256) as u8).collect(),
            // Critical ones only, and blanks.
            _ => (0..len).map(|_| [214, 224, 227, 19, 246, 223, 4][random(7) as usize]).collect(),
        };
        let body = single(&data);
        for line in body.split(|octet| *octet == b'\n').filter(|line| !line.starts_with(b"=y")) {
            assert!(line.len() <= LINE + 2, "{} octets", line.len());
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert!(!line.iter().any(|octet| matches!(octet, 0 | b'\r')));
            let ends = [line.first(), line.last()];
            assert!(!ends.into_iter().flatten().any(|octet| matches!(octet, b' ' | b'\t')));
        }
        let part = decode(&body).unwrap();
        assert_eq!((part.name.as_str(), part.offset, part.file_size), ("a b.bin", 0, data.len() as u64));
        assert!(part.data == data, "length {len}");
        let unix: Vec<u8> = body.iter().copied().filter(|octet| *octet != b'\r').collect();
        assert!(decode(&unix).unwrap().data == data, "length {len}, lines ending in LF");
    }
}

#[test]
fn several_parts_are_the_file() {
    let mut random = xorshift(12);
    let file: Vec<u8> = (0..10_000).map(|_| random(256) as u8).collect();
    let mut whole = vec![0; file.len()];
    let parts = file.chunks(3_000);
    for (index, data) in parts.enumerate() {
        let body = encoded(&Part {
            name: "x",
            number: index as u32 + 1,
            total: 4,
            file_size: 10_000,
            offset: index as u64 * 3_000,
            data,
            crc: crc32fast::hash(data),
            file_crc: (index == 3).then(|| crc32fast::hash(&file)),
        });
        let text = String::from_utf8_lossy(&body).into_owned();
        if index == 1 {
            assert!(text.starts_with(
                "=ybegin part=2 total=4 line=128 size=10000 name=x\r\n=ypart begin=3001 end=6000\r\n"
            ));
        }
        let part = decode(&[b"some words\r\n\r\n", &body[..], b"and more\r\n"].concat()).unwrap();
        assert_eq!(part.file_crc.is_some(), index == 3);
        whole[part.offset as usize..][..part.data.len()].copy_from_slice(&part.data);
    }
    assert!(whole == file);
}

#[test]
fn damage_is_told() {
    let part = |head: &str, range: &str, lines: &str, tail: &str| {
        let text = format!("=ybegin {head}\r\n{range}{lines}\r\n{tail}");
        decode(text.as_bytes()).map(|part| part.data.len()).map_err(|bad| bad.to_string())
    };
    let one = "line=128 size=2 name=x";
    let two = "part=1 line=128 size=9 name=x";
    assert_eq!(part(one, "", "kl", "=yend size=2"), Ok(2));
    assert_eq!(part(two, "=ypart begin=1 end=2\r\n", "kl", "=yend size=2 part=1"), Ok(2));
    for (bad, why) in [
        (part(one, "", "kl", ""), "its end is missing"),
        (part(one, "", "klm", "=yend size=2"), "3 octets instead of 2"),
        (part(one, "", "k", "=yend size=1"), "1 octets instead of 2"),
        (part(one, "", "kl", "=yend size=2 crc32=1"), "its CRC32 is wrong"),
        (part(one, "", "kl", "=yend size=2 crc32=xyz"), "=yend has a CRC32 that is none"),
        (part(one, "", "k=\r\nl", "=yend size=2"), "a line ends within an escape"),
        (part(one, "", "kl", "=yend"), "=yend has no size"),
        (part("line=128 size=2", "", "kl", "=yend size=2"), "=ybegin has no name"),
        (part("line=128 size=-2 name=x", "", "kl", "=yend size=2"), "=ybegin has no size"),
        (part(two, "", "kl", "=yend size=2"), "=ypart is missing"),
        (part(two, "=ypart begin=0 end=2\r\n", "kl", "=yend size=2"), "=ypart has no range"),
        (part(two, "=ypart begin=9 end=2\r\n", "", "=yend size=2"), "=ypart has a range outside of the file"),
        (
            part(two, "=ypart begin=9 end=10\r\n", "kl", "=yend size=2"),
            "=ypart has a range outside of the file",
        ),
        (part(two, "=ypart begin=1 end=2\r\n", "kl", "=yend size=2 pcrc32=1"), "its CRC32 is wrong"),
        (decode(b"begin 644 x\r\n").map(|_| 0).map_err(|bad| bad.to_string()), "no yEnc in it"),
    ] {
        assert_eq!(bad, Err(why.to_owned()));
    }
}

#[test]
fn whatever_comes_is_no_panic_and_no_wrong_octet() {
    let mut random = xorshift(13);
    let data: Vec<u8> = (0..700).map(|_| random(256) as u8).collect();
    let whole = encoded(&Part {
        name: "x",
        number: 2,
        total: 3,
        file_size: 2_000,
        offset: 700,
        data: &data,
        crc: crc32fast::hash(&data),
        file_crc: Some(7),
    });
    for _ in 0..20_000 {
        let mut body = whole.clone();
        for _ in 0..=random(3) {
            let at = random(body.len() as u64) as usize;
            match random(4) {
                0 => body.truncate(at.max(1)),
                1 => body[at] = random(256) as u8,
                2 => drop(body.remove(at)),
                _ => body.insert(at, b"=\r\n0 "[random(5) as usize]),
            }
            if body.is_empty() {
                break;
            }
        }
        if let Ok(part) = decode(&body) {
            // The sum protects the octets, as long as it is there.
            let tail = &whole[memmem::find(&whole, b"\n=yend").unwrap()..];
            assert!(part.data == data || !body.ends_with(tail));
            assert!(part.offset + part.data.len() as u64 <= part.file_size);
        }
    }
}

#[test]
#[ignore = "measures: cargo test --release --lib yenc -- --ignored --nocapture"]
fn speed() {
    let mut random = xorshift(14);
    let data: Vec<u8> = (0..716_800).map(|_| random(256) as u8).collect();
    let rounds = 300;
    let began = std::time::Instant::now();
    let mut body = Vec::new();
    for _ in 0..rounds {
        body = single(&data);
    }
    let encoding = began.elapsed();
    let began = std::time::Instant::now();
    for _ in 0..rounds {
        assert_eq!(decode(&body).unwrap().data.len(), data.len());
    }
    let rate = |took: std::time::Duration| (rounds * data.len()) as f64 / 1e6 / took.as_secs_f64();
    println!("encode {:.0} MB/s, decode {:.0} MB/s", rate(encoding), rate(began.elapsed()));
}
