//! Sites that exchange articles by files alone: real processes, folders, kill -9.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use support::articles::{message_id, relayed, run_of, what_travels};
use support::process::wait_until;
use support::site::{FEEDD, Site};

const NEWSGROUP: &str = "test.a";
const WITHIN: Duration = Duration::from_secs(60);

/// Folders by which two sites exchange batches: what one writes is what arrives at the other.
struct Link {
    folder: tempfile::TempDir,
}

impl Link {
    fn new() -> Self {
        Self { folder: support::process::temp_dir() }
    }

    fn folder(&self, to: &Site) -> PathBuf {
        self.folder.path().join(&to.identity)
    }

    /// Both sites know each other, and exchange batches.
    fn join(one: &Site, other: &Site, keys: &str) -> Self {
        let link = Self::new();
        link.add(one, other, keys);
        link.add(other, one, keys);
        link
    }

    /// `site` knows `other` as a peer that is fed by files.
    fn add(&self, site: &Site, other: &Site, keys: &str) {
        let name = name(other);
        let block = format!(
            "\n[[peer]]\nname = \"{name}\"\nidentity = [\"{}\"]\n\n[peer.batch]\nout = \"{}\"\ninbound = \"{}\"\n{keys}\n",
            other.identity,
            self.folder(other).display(),
            self.folder(site).display(),
        );
        let mut peers = OpenOptions::new().append(true).open(site.dir().join("peers.toml")).unwrap();
        peers.write_all(block.as_bytes()).unwrap();
    }
}

fn name(site: &Site) -> String {
    site.identity.split('.').next().unwrap().to_owned()
}

fn site(identity: &str) -> Site {
    let site = Site::init(identity, &[NEWSGROUP]);
    site.accept_load();
    site
}

/// Visible files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|path| path.is_file() && !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    files.sort();
    files
}

/// Offers `count` fresh articles, each of which must be taken.
#[track_caller]
fn load(site: &Site, run: &str, count: usize) {
    let answered = |line: &str| assert!(line.starts_with("239"), "{line}");
    site.client().offer_all(run_of(run, NEWSGROUP, 1_500), count, answered).unwrap();
}

fn count(site: &Site) -> u64 {
    site.client().group(NEWSGROUP).0
}

/// Waits until the newsgroup has `expected` articles at `site`, and sees that each stands there once.
#[track_caller]
fn until_exactly(site: &Site, expected: u64) {
    let mut seen = 0;
    let arrived = wait_until(WITHIN, || {
        seen = count(site);
        seen >= expected
    });
    assert!(arrived, "{} has {seen} of {expected}\n{}", site.identity, site.log());
    let rows = site.client().overview(NEWSGROUP, 1);
    let ids: HashSet<&String> = rows.iter().map(|(_, id)| id).collect();
    assert_eq!((rows.len() as u64, ids.len() as u64), (expected, expected), "{}", site.identity);
}

fn batch(site: &Site, arguments: &[&str], input: Option<&[u8]>) -> Output {
    let mut feedd = Command::new(FEEDD);
    feedd.arg("batch").args(arguments).arg("-c").arg(site.config());
    feedd.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = feedd.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(input) = input {
        stdin.write_all(input).unwrap();
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// An article of the peer `identity`, as it stands in a batch.
fn by(identity: &str, id: &str) -> String {
    let wire = String::from_utf8(relayed(id, NEWSGROUP, 300)).unwrap();
    let text = wire.replace("Path: ", &format!("Path: {identity}!")).replace("\r\n", "\n");
    text.strip_suffix(".\n").unwrap().to_owned()
}

fn rnews(articles: &[String]) -> String {
    articles.iter().map(|article| format!("#! rnews {}\n{article}", article.len())).collect()
}

#[test]
fn three_sites_of_which_two_exchange_files_have_every_article_once() {
    let (mut a, mut b, mut c) = (site("a.example"), site("b.example"), site("c.example"));
    a.peer_with(&b);
    b.peer_with(&a);
    let link = Link::join(&b, &c, "every_s = 1\nbytes_max = \"64 KiB\"");
    for site in [&mut a, &mut b, &mut c] {
        site.start();
    }
    load(&a, "from-a", 400);
    load(&c, "from-c", 200);
    load(&b, "from-b", 100);
    for site in [&a, &b, &c] {
        until_exactly(site, 700);
    }
    // What was taken is removed, and nothing comes back where it came from.
    assert!(wait_until(WITHIN, || files(&link.folder(&b)).is_empty() && files(&link.folder(&c)).is_empty()));
    let id = message_id("from-a", 7);
    let [at_a, at_c] = [&a, &c].map(|site| site.client().article(&id).unwrap());
    assert_eq!(what_travels(&at_a), what_travels(&at_c), "not an octet has changed on the way");
    let status = c.feedd(&["status"], &["--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let feed = &status["feeds"][0];
    assert_eq!((&feed["peer"], &feed["state"]), (&"b".into(), &"writing batches every 1 s".into()));
    assert_eq!(feed["accepted"], 200, "what b sent is not sent back to it");
}

#[test]
fn no_kill_loses_an_article_or_doubles_it() {
    let (mut b, mut c) = (site("b.example"), site("c.example"));
    let link = Link::join(&b, &c, "every_s = 1\nbytes_max = \"32 KiB\"\ncompression = \"none\"");
    b.start();
    c.start();
    for round in 0..6 {
        load(&b, &format!("b-{round}"), 150);
        load(&c, &format!("c-{round}"), 150);
        // At no moment in particular: while batches are written, taken and removed.
        let writes = || !files(&link.folder(&b)).is_empty() || !files(&link.folder(&c)).is_empty();
        wait_until(Duration::from_millis(300 * round), || round < 3 && writes());
        for site in [&mut b, &mut c] {
            site.kill9();
            site.start();
        }
    }
    until_exactly(&b, 1_800);
    until_exactly(&c, 1_800);
    let left = || [files(&link.folder(&b)), files(&link.folder(&c))].concat();
    assert!(wait_until(WITHIN, || left().is_empty()), "{:?}", left());
    for site in [&b, &c] {
        assert!(!link.folder(site).join("failed").exists(), "{}", site.log());
    }
}

#[test]
fn broken_files_are_put_aside_and_unfinished_ones_left_alone() {
    let (mut b, c) = (site("b.example"), site("c.example"));
    let link = Link::join(&b, &c, "every_s = 3600");
    let inbound = link.folder(&b);
    fs::create_dir_all(&inbound).unwrap();
    let ids: Vec<String> = (0..6).map(|n| message_id("file", n)).collect();
    let article = |n: usize| by("c.example", &ids[n]);
    let put = |name: &str, text: &str| fs::write(inbound.join(name), text).unwrap();
    let whole = rnews(&[article(0)]);
    put("garbage", "this is no batch\n");
    put("counts", &format!("{}what is this?\n", rnews(&[article(1)])));
    put(".hidden", &whole);
    put("coming.part", &whole);
    // It ends within its second article. Nobody knows yet if the rest will come ...
    let cut = rnews(&[article(2), article(3)]);
    put("growing", &cut[..cut.len() - 40]);
    // ... and of this one everybody does.
    put("cut", &cut[..cut.len() - 40]);
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(inbound.join("cut")).unwrap().set_modified(old).unwrap();
    let other = by("stranger.example", &ids[4]);
    let unwanted = by("c.example", &ids[5]).replace(NEWSGROUP, "no.such.group");
    put("contract", &rnews(&[other, unwanted]));
    b.start();
    let failed = inbound.join("failed");
    let aside = |name: &str| failed.join(name).exists() && !inbound.join(name).exists();
    assert!(wait_until(WITHIN, || aside("garbage") && aside("counts") && aside("cut")), "{}", b.log());
    assert!(wait_until(WITHIN, || !inbound.join("contract").exists()), "{}", b.log());
    let why = fs::read_to_string(failed.join("cut.why")).unwrap();
    assert!(why.starts_with("an rnews batch that ends within an article\naccepted 1"), "{why}");
    let mut client = b.client();
    assert!(client.has(&ids[1]) && client.has(&ids[2]), "what was whole has been taken");
    assert!(!client.has(&ids[0]) && !client.has(&ids[5]));
    // It came from c, whatever its Path said; now that says so, too (RFC 5536 s.3.1.5).
    let path = support::articles::path_of(&client.article(&ids[4]).unwrap());
    assert!(path.starts_with("b.example!.MISMATCH.c.example!stranger.example!"), "{path}");
    assert!(inbound.join(".hidden").exists() && inbound.join("coming.part").exists());
    assert!(inbound.join("growing").exists());
    // The rest comes, and then it is whole.
    put("growing", &cut);
    assert!(wait_until(WITHIN, || !inbound.join("growing").exists()), "{}", b.log());
    assert!(client.has(&ids[3]));
    assert!(!aside("growing"));
}

#[test]
fn batches_by_hand_of_sites_that_run_and_that_do_not() {
    let (mut b, mut c) = (site("b.example"), site("c.example"));
    let link = Link::join(&b, &c, "every_s = 86400\ncompression = \"xz\"");
    b.start();
    // What is owed at the start is written at once; from then on a day passes.
    load(&b, "one", 50);
    let write = |site: &Site, peer: &str| {
        let written = batch(site, &["write", peer], None);
        assert!(written.status.success(), "{}", said(&written));
        said(&written)
    };
    write(&b, "c");
    assert!(write(&b, "c").starts_with("batches 0, articles 0"));
    b.stop();
    assert!(write(&b, "c").starts_with("batches 0, articles 0"), "the cursor has been kept");
    let batches = files(&link.folder(&c));
    assert!(!batches.is_empty());
    let read = |site: &Site, file: &Path| batch(site, &["read", "b", file.to_str().unwrap()], None);
    // Into a site that does not run, and from stdin into one that does.
    let taken = read(&c, &batches[0]);
    assert!(taken.status.success() && said(&taken).starts_with("accepted "), "{}", said(&taken));
    c.start();
    for file in &batches {
        let piped = batch(&c, &["read", "b", "-"], Some(&fs::read(file).unwrap()));
        assert!(piped.status.success(), "{}", said(&piped));
    }
    until_exactly(&c, 50);
    // What cannot be read to its end is to be kept by whoever brought it.
    let cut = batch(&c, &["read", "b", "-"], Some(b"#! rnews 100\nPath: b.example\n"));
    assert_eq!(cut.status.code(), Some(1), "{}", said(&cut));
    assert!(said(&cut).contains("ends within an article; keep it and try it again"), "{}", said(&cut));
    let nobody = batch(&c, &["read", "nobody", "-"], Some(b""));
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).contains("there is no peer \"nobody\" in peers.toml"));
    let by_line = batch(&c, &["write", "load"], None);
    assert!(said(&by_line).contains("peer \"load\" is not fed by files"), "{}", said(&by_line));
}

fn json(site: &Site, command: &[&str]) -> serde_json::Value {
    let arguments = [&command[1..], &["--json"]].concat();
    serde_json::from_str(&site.feedd(&command[..1], &arguments)).unwrap()
}

fn state(site: &Site, peer: &str) -> String {
    let status = json(site, &["status"]);
    let feed = status["feeds"].as_array().unwrap().iter().find(|feed| feed["peer"] == peer).cloned();
    feed.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Adds keys to the peers of a site that are fed by files, before [peer.batch].
fn with_keys(site: &Site, keys: &str) {
    let path = site.dir().join("peers.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("\n[peer.batch]", &format!("{keys}\n\n[peer.batch]"))).unwrap();
}

#[test]
fn the_story_of_an_article_names_the_files_that_it_was_in() {
    let (mut b, mut c) = (site("b.example"), site("c.example"));
    let _link = Link::join(&b, &c, "every_s = 1");
    b.start();
    c.start();
    load(&b, "story", 3);
    until_exactly(&c, 3);
    let id = message_id("story", 1);
    let there = json(&c, &["trace", &id]);
    let file = there["came"][0]["address"].as_str().unwrap().strip_prefix("batch:").unwrap().to_owned();
    assert!(file.starts_with("b.example-") && file.ends_with(".rnews"), "{there}");
    let here = json(&b, &["trace", &id]);
    let peers = here["peers"].as_array().unwrap();
    let to_c = peers.iter().find(|peer| peer["peer"] == "c").unwrap();
    assert_eq!(to_c["fate"], "batched");
    assert!(to_c["replies"][0]["words"].as_str().unwrap().ends_with(&file), "{to_c}, not {file}");
    let told = b.feedd(&["trace"], &[&id]);
    assert!(told.contains("written into a batch") && told.contains(&file), "{told}");
    // Also by the command of a site that is stopped. What is owed at the start is written then, and here nothing is.
    c.stop();
    b.stop();
    let path = b.dir().join("peers.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("every_s = 1\n", "every_s = 86400\n")).unwrap();
    b.start();
    assert!(wait_until(WITHIN, || state(&b, "c") == "writing batches every 86400 s"));
    load(&b, "later", 1);
    b.stop();
    let written = said(&batch(&b, &["write", "c"], None));
    let id = message_id("later", 0);
    let told = b.feedd(&["trace"], &[&id]);
    assert!(written.starts_with("batches 1, articles 1"), "{written}");
    assert!(told.contains("written into a batch"), "{told}");
}

#[test]
fn batches_keep_to_the_rate_of_their_peer_and_an_operator_need_not_wait() {
    let (mut b, c) = (site("b.example"), site("c.example"));
    let link = Link::new();
    link.add(&b, &c, "every_s = 1\nbytes_max = \"256 KiB\"\ncompression = \"none\"");
    with_keys(&b, "bytes_s_max = \"1 KiB\"");
    b.start();
    load(&b, "rate", 600);
    // One is written, and is worth minutes at that rate.
    assert!(wait_until(WITHIN, || !files(&link.folder(&c)).is_empty()), "{}", b.log());
    let all = said(&batch(&b, &["write", "c"], None));
    let articles: usize = all.split_once("articles ").unwrap().1.split(',').next().unwrap().parse().unwrap();
    assert!((300..600).contains(&articles), "the others were still owed: {all}");
}

#[test]
fn a_backup_by_files_takes_over_where_the_other_peer_stopped() {
    let (mut a, mut b, mut c) = (site("a.example"), site("b.example"), site("c.example"));
    a.peer_with(&b);
    b.peer_with(&a);
    let link = Link::join(&a, &c, "every_s = 1");
    with_keys(&a, "backup_of = \"b\"");
    for site in [&mut a, &mut b, &mut c] {
        site.start();
    }
    assert!(wait_until(WITHIN, || state(&a, "b").starts_with("connected")), "{}", a.log());
    load(&a, "first", 20);
    until_exactly(&b, 20);
    assert_eq!(state(&a, "c"), "standing by for b");
    assert!(files(&link.folder(&c)).is_empty());
    b.kill9();
    load(&a, "outage", 10);
    until_exactly(&c, 10);
    b.start();
    until_exactly(&b, 30);
    assert!(wait_until(WITHIN, || state(&a, "c") == "standing by for b"), "{}", state(&a, "c"));
    load(&a, "last", 5);
    until_exactly(&b, 35);
    assert_eq!(count(&c), 10, "it stands by again");
}
