//! Files through a federation: uploaded at one site, fetched from others, with kills, holes and damage
//! in between. The octets that went in are those that come out.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod server;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use server::{HoledServer, Manner};
use support::process::{free_port, temp_dir, text_of, wait_until};
use support::random::Random;
use support::site::Site;

const FEEDC: &str = env!("CARGO_BIN_EXE_feedc");
const NEWSGROUP: &str = "alt.binaries.test";
/// Octets of a part in the small tests, so that a file has many.
const PART: usize = 100 * 1024;
const SOON: Duration = Duration::from_secs(60);

/// Sites in a line: each peers with the next.
fn line<const N: usize>(identities: [&str; N]) -> [Site; N] {
    let mut sites = identities.map(|identity| Site::init(identity, &[NEWSGROUP]));
    for pair in sites.windows(2) {
        pair[0].peer_with(&pair[1]);
        pair[1].peer_with(&pair[0]);
    }
    sites.iter_mut().for_each(Site::start);
    sites
}

fn address(site: &Site) -> String {
    format!("127.0.0.1:{}", site.port)
}

fn feedc(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(FEEDC);
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).env("USER", "poster");
    command
}

fn upload(folder: &Path, server: &str, arguments: &[&str]) -> Command {
    let options = ["upload", "-n", NEWSGROUP, "-s", server, "--part-size", "100K"];
    feedc(folder, &[&options[..], arguments].concat())
}

fn text(output: &Output) -> (String, String) {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (out, err)
}

/// Runs it to its good end: what it said.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = text(&output);
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

/// Runs it to its bad end: what it complained of.
#[track_caller]
fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {out}{err}");
    err
}

/// The Message-IDs of an NZB, as they are in commands.
fn ids(nzb: &Path) -> Vec<String> {
    let text = fs::read_to_string(nzb).unwrap();
    let segments = text.lines().filter(|line| line.contains("<segment "));
    segments
        .map(|line| {
            let (_, rest) = line.split_once('>').unwrap();
            format!("<{}>", rest.strip_suffix("</segment>").unwrap())
        })
        .collect()
}

#[track_caller]
fn until_there(site: &Site, ids: &[String]) {
    let mut client = site.client();
    let mut missing = 0;
    let there = wait_until(SOON, || {
        missing = client.missing(ids).len();
        missing == 0
    });
    assert!(there, "{} lacks {missing} of {}", site.identity, ids.len());
}

#[track_caller]
fn is_same(one: &Path, other: &Path) {
    let [one_octets, other_octets] = [one, other].map(|path| fs::read(path).unwrap());
    assert!(one_octets == other_octets, "{} and {} differ", one.display(), other.display());
}

/// Runs it until its journal has so many lines, and then kills it.
#[track_caller]
fn kill_at(command: &mut Command, journal: &Path, lines: usize) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = wait_until(SOON, || text_of(journal).lines().count() >= lines);
    kill(&mut child);
    assert!(begun, "{} has not {lines} lines", journal.display());
    assert!(journal.exists(), "it was done before it was killed");
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A file of random octets in a fresh folder.
fn random_file(name: &str, octets: usize) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = temp_dir();
    let content = Random::seeded().octets(octets);
    let path = folder.path().join(name);
    fs::write(&path, &content).unwrap();
    (folder, path, content)
}

#[test]
fn a_folder_uploaded_at_one_end_is_fetched_from_the_others() {
    let [a, b, c] = line(["a.example", "b.example", "c.example"]);
    let folder = temp_dir();
    let inside = folder.path().join("things");
    fs::create_dir(&inside).unwrap();
    let mut random = Random::seeded();
    let names = ["big.bin", "Grüße & \"mehr\".txt", "empty", "one part"];
    for (name, octets) in names.iter().zip([10 * 1024 * 1024 + 17, 3 * PART, 0, 1]) {
        fs::write(inside.join(name), random.octets(octets)).unwrap();
    }
    let said = succeed(
        upload(folder.path(), &address(&a), &["things", "--subject", "Dinge: äöü"])
            .env("FEEDC_FROM", "A <a@b.example>"),
    );
    assert!(said.contains("uploaded 4 files") && said.contains("things.nzb"), "{said}");
    let nzb = folder.path().join("things.nzb");
    let ids = ids(&nzb);
    assert_eq!(ids.len(), 103 + 3 + 1 + 1);
    assert!(ids.iter().all(|id| id.ends_with("@b.example>")));
    assert!(!folder.path().join("things.feedc-upload").exists());
    assert!(fs::read_to_string(&nzb).unwrap().contains("subject=\"Dinge: äöü [1/4] - "));

    for site in [&b, &c] {
        until_there(site, &ids);
    }
    let servers = [address(&b), address(&c)];
    let out = folder.path().join("out");
    let fetch = ["fetch", "things.nzb", "-s", &servers[0], "-s", &servers[1], "-o", "out"];
    let said = succeed(&mut feedc(folder.path(), &fetch));
    assert!(said.contains("fetched 4 files"), "{said}");
    for name in names {
        is_same(&inside.join(name), &out.join(name));
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4, "nothing else is left");

    // What is there stays, unless it is to be replaced.
    fs::write(out.join("empty"), "mine").unwrap();
    let said = fail(&mut feedc(folder.path(), &fetch));
    assert!(said.contains("feedc: empty: is there already; --force replaces it\n"), "{said}");
    assert_eq!(fs::read(out.join("empty")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4);
    succeed(&mut feedc(folder.path(), &[&fetch[..], &["--force"]].concat()));
    assert_eq!(fs::read(out.join("empty")).unwrap(), b"");
}

#[test]
fn killed_uploads_and_fetches_go_on_where_they_were() {
    let [mut a, b] = line(["a.example", "b.example"]);
    let (folder, file, content) = random_file("big.bin", 12 << 20);
    let parts = content.len().div_ceil(PART);
    let arguments = ["big.bin"];
    let server = address(&a);
    let state = folder.path().join("big.bin.feedc-upload");

    kill_at(&mut upload(folder.path(), &server, &arguments), &state, 15);
    assert!(!folder.path().join("big.bin.nzb").exists());
    // Not with something else under the same name, which nobody would notice.
    let said = fail(&mut upload(folder.path(), &server, &["big.bin", "--subject", "other"]));
    assert!(said.contains("another subject") && said.contains("remove the file"), "{said}");
    // A journal that is behind the server: what the last lines said is found by STAT.
    let known = text_of(&state);
    let first: String = known.split_inclusive('\n').take(8).collect();
    fs::write(&state, format!("{first}{{\"Taken\":{{\"fi")).unwrap();
    // A site that joins now gets the rest only.
    let mut late = Site::init("late.example", &[NEWSGROUP]);
    late.start();
    late.peer_with(&a);
    a.peer_with(&late);

    // The server dies in the middle of the second run, which waits for it.
    let mut second = upload(folder.path(), &server, &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = known.lines().count() + 15;
    assert!(wait_until(SOON, || text_of(&state).lines().count() >= lines));
    a.kill9();
    a.start();
    assert!(second.wait().unwrap().success());
    let said = std::io::read_to_string(second.stdout.take().unwrap()).unwrap();
    assert!(said.contains(" of them from before"), "{said}");
    let nzb = folder.path().join("big.bin.nzb");
    let ids = ids(&nzb);
    assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (parts, parts));
    let posted: HashSet<String> = a.client().overview(NEWSGROUP, 1).into_iter().map(|(_, id)| id).collect();
    assert_eq!(posted, ids.iter().cloned().collect(), "each once, and nothing else");
    assert_eq!(a.client().group(NEWSGROUP).0, parts as u64);
    until_there(&b, &ids);

    let out = folder.path().join("out");
    let state = out.join("big.bin.nzb.feedc-fetch");
    let from_b = address(&b);
    let fetch = ["fetch", "big.bin.nzb", "-s", &from_b, "-o", "out", "--connections", "2"];
    kill_at(&mut feedc(folder.path(), &fetch), &state, 20);
    // What the journal says is not believed.
    let part = out.join("big.bin.part");
    let mut octets = fs::read(&part).unwrap();
    let damaged = octets.iter().position(|octet| *octet != 0).unwrap();
    octets[damaged] ^= 1;
    fs::write(&part, octets).unwrap();

    // One of the two servers has only what was posted last.
    let from_late = address(&late);
    let missing = late.client().missing(&ids).len();
    assert!(missing > 0 && missing < parts, "{missing} of {parts}");
    let said = succeed(&mut feedc(folder.path(), &[&fetch[..], &["-s", &from_late]].concat()));
    assert!(said.contains("fetched 1 file"), "{said}");
    is_same(&file, &out.join("big.bin"));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn what_one_server_lacks_or_damages_comes_from_another() {
    let [a] = line(["a.example"]);
    let (folder, file, _) = random_file("big.bin", 4 << 20);
    succeed(&mut upload(folder.path(), &address(&a), &["big.bin", "--nzb", "list.nzb"]));
    let ids = ids(&folder.path().join("list.nzb"));
    let mut client = a.client();
    let manners = [Manner::Gives, Manner::Lacks, Manner::Damages, Manner::Breaks];
    let bodies: HashMap<String, (Vec<u8>, Manner)> = ids
        .iter()
        .zip(manners.into_iter().cycle())
        .map(|(id, manner)| {
            client.expect(&format!("BODY {id}"), "222");
            let mut stuffed = Vec::new();
            for line in client.block().unwrap().split_inclusive(|octet| *octet == b'\n') {
                stuffed.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
                stuffed.extend_from_slice(line);
            }
            (id.clone(), (stuffed, manner))
        })
        .collect();
    let holes = HoledServer::start(bodies);
    let holed = holes.address.to_string();
    let nobody = format!("127.0.0.1:{}", free_port());

    let said = fail(&mut feedc(folder.path(), &["fetch", "list.nzb", "-s", &holed, "-o", "out"]));
    for (index, id) in ids.iter().enumerate() {
        let why = match manners[index % 4] {
            Manner::Lacks => "no server has it",
            Manner::Damages => "its CRC32 is wrong",
            _ => {
                assert!(!said.contains(id.as_str()), "{said}");
                continue;
            }
        };
        let line = format!("feedc: big.bin: segment {} {id}: {why}\n", index + 1);
        assert!(said.contains(&line), "{said}\nlacks {line}");
    }
    assert!(said.contains("parts are missing; what is there is kept, and"), "{said}");
    let asked = holes.asked.load(Ordering::Relaxed);
    assert!(asked >= ids.len(), "{asked}");

    // The same again, with another server that has all and one that is not there.
    let site = address(&a);
    let servers = ["-s", &holed, "-s", &site, "-s", &nobody];
    succeed(&mut feedc(folder.path(), &[&["fetch", "list.nzb", "-o", "out"], &servers[..]].concat()));
    is_same(&file, &folder.path().join("out/big.bin"));
    let again = holes.asked.load(Ordering::Relaxed) - asked;
    assert!(again <= ids.len() / 2, "only what was missing is asked for: {again}");

    // And from nothing, with the site as the first.
    let servers = ["-s", &site, "-s", &holed];
    succeed(&mut feedc(folder.path(), &[&["fetch", "list.nzb", "-o", "two"], &servers[..]].concat()));
    is_same(&file, &folder.path().join("two/big.bin"));
}

#[test]
fn mistakes_are_told_in_one_line() {
    let [a] = line(["a.example"]);
    let (folder, ..) = random_file("big.bin", 12 << 20);
    let server = address(&a);
    let one = |command: &mut Command, parts: &[&str]| {
        let said = fail(command);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    let whole = ["upload", "big.bin", "-n", NEWSGROUP, "-s", &server, "--part-size", "16M"];
    one(&mut feedc(folder.path(), &whole), &["441", "smaller --part-size"]);
    assert!(!folder.path().join("big.bin.feedc-upload").exists(), "another size may be tried at once");
    one(&mut upload(folder.path(), &server, &["none.bin"]), &["none.bin: No such file"]);
    one(
        &mut upload(folder.path(), &server, &["big.bin", "--from", "a\nb"]),
        &["the author must be one line"],
    );
    let elsewhere = ["upload", "big.bin", "-n", "no.such.newsgroup", "-s", &server];
    one(&mut feedc(folder.path(), &elsewhere), &["441", "no.such.newsgroup"]);
    fs::write(folder.path().join("big.bin.nzb"), "x").unwrap();
    one(&mut upload(folder.path(), &server, &["big.bin"]), &["big.bin.nzb is there already", "--nzb"]);
    one(
        &mut feedc(folder.path(), &["fetch", "big.bin.nzb", "-s", &server]),
        &["line 1: there is no file in it"],
    );
    one(&mut feedc(folder.path(), &["fetch", "none.nzb", "-s", &server]), &["none.nzb: No such file"]);
    let nobody = format!("127.0.0.1:{}", free_port());
    fs::remove_file(folder.path().join("big.bin.nzb")).unwrap();
    one(&mut upload(folder.path(), &nobody, &["big.bin"]), &[&nobody, "refused"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no journal of nothing");
    let two = ["list", "-s", &server, "-s", &server];
    one(&mut feedc(folder.path(), &two), &["only fetch takes more than one server"]);
}

/// The acceptance: 200 MB, SHA-256, both kills, and holes. `cargo test --release --test files --
/// --ignored --nocapture` prints the rates.
#[test]
#[ignore = "takes a while: .ci/run runs it in release"]
fn two_hundred_megabytes() {
    let sum = |path: &Path| {
        let output = Command::new("sha256sum").arg(path).output().ok()?;
        String::from_utf8_lossy(&output.stdout).split(' ').next().map(str::to_owned)
    };
    let [a, b, c] = line(["a.example", "b.example", "c.example"]);
    let (folder, file, _) = random_file("big.bin", 200_000_000);
    if sum(&file).is_none() {
        println!("skipped: no sha256sum here");
        return;
    }
    let [at_a, at_b, at_c] = [&a, &b, &c].map(address);
    let options = ["upload", "big.bin", "-n", NEWSGROUP, "-s", &at_a];
    println!(
        "upload, undisturbed: {}",
        succeed(&mut feedc(folder.path(), &[&options[..], &["--nzb", "one.nzb"]].concat()))
    );
    let state = folder.path().join("two.feedc-upload");
    let two = [&options[..], &["--nzb", "two.nzb"]].concat();
    kill_at(&mut feedc(folder.path(), &two), &state, 100);
    let mut late = Site::init("late.example", &[NEWSGROUP]);
    late.start();
    late.peer_with(&a);
    a.peer_with(&late);
    println!("upload, killed: {}", succeed(&mut feedc(folder.path(), &two)));
    let ids = [ids(&folder.path().join("one.nzb")), ids(&folder.path().join("two.nzb"))].concat();
    for site in [&b, &c] {
        until_there(site, &ids);
    }
    let missing = late.client().missing(&ids[280..]).len();
    assert!((100..280).contains(&missing), "{missing}");
    let at_late = address(&late);
    // The second list from one that has all and one that joined in the middle of it.
    let fetch = |list, from, into| ["fetch", list, "-s", &at_b, "-s", from, "-o", into];
    println!("fetch, undisturbed: {}", succeed(&mut feedc(folder.path(), &fetch("one.nzb", &at_c, "one"))));
    kill_at(
        &mut feedc(folder.path(), &fetch("two.nzb", &at_late, "two")),
        &folder.path().join("two/two.nzb.feedc-fetch"),
        100,
    );
    println!("fetch, killed: {}", succeed(&mut feedc(folder.path(), &fetch("two.nzb", &at_late, "two"))));
    for copy in ["one/big.bin", "two/big.bin"] {
        assert_eq!(sum(&folder.path().join(copy)), sum(&file), "{copy}");
    }
}
