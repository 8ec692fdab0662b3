//! A peer that was away for a month: 600,000 articles of 2 to 5 KB are stored at A by `feedd import`
//! while B is away; then B comes up, and is brought level from its cursor. What A has of it in the page
//! cache is dropped before, so that it reads from the disk. After it a stock INN that was away as well.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::shape::{Articles, newsgroups};
use crate::support::inn::{Inn, InnSetup};
use crate::support::process::{family_cpu, free_port, status_kib, temp_dir};
use crate::support::site::Site;

const ARTICLES: u64 = 600_000;
const QUICK: u64 = 6_000;
/// Of so many articles and one more, A lacks one and C another one.
const KEPT: u64 = 600;
const A_LACKS: u64 = 1;
const C_LACKS: u64 = 2;
/// No progress for so long ends it.
const STUCK: Duration = Duration::from_secs(60);

/// # Errors
/// What did not go as it must.
pub fn measure(quick: bool, with_inn: bool) -> Result<(), String> {
    let count = if quick { QUICK } else { ARTICLES };
    let names = newsgroups();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let folder = temp_dir();
    let batch = folder.path().join("batch");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs() as i64;
    let octets = write_without(A_LACKS, &batch, count, now_s)?;
    println!(
        "{count} articles, {:.0} MB, {:.0} octets each",
        octets as f64 / 1e6,
        octets as f64 / count as f64
    );

    let mut a = Site::init("a.example", &names);
    let mut b = Site::init("b.example", &names);
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "127.0.0.1"]);
    let inn_port = free_port();
    for (name, port) in [("b", b.port), ("inn", inn_port)] {
        let (address, identity) = (format!("127.0.0.1:{port}"), format!("{name}.example"));
        a.feedd(&["peer", "add"], &[name, "--address", &address, "--identity", &identity, "--send", "*"]);
    }
    // Once with both peers known, so that their cursors stand before the first article.
    a.start();
    let began = Instant::now();
    a.feedd(&["import"], &["--no-cutoff", batch.to_str().unwrap_or_default()]);
    let stored_s = count as f64 / began.elapsed().as_secs_f64();
    println!(
        "A stores   {:>9.0} articles/s, {:>6.1} s: what feedd import does with them",
        stored_s,
        began.elapsed().as_secs_f64()
    );
    a.stop();
    drop_cached(&a.dir()).map_err(|e| e.to_string())?;
    a.start();

    b.start();
    let mut watched = Watched::new(&a, "b", count);
    let took = watched.until_level()?;
    report("B", &watched, took, stored_s, b.pid());
    let at_b = articles_at(&b)?;
    println!("B has {at_b} of {count}");
    if at_b != count {
        return Err("B does not have them all".to_owned());
    }
    prove(&a, "b");
    b.stop();
    differ(&a, &names, count, now_s, &batch)?;
    if !with_inn || !crate::support::inn::is_installed() {
        println!("INN is left out.");
        return Ok(());
    }
    a.stop();
    drop_cached(&a.dir()).map_err(|e| e.to_string())?;
    a.start();
    let mut setup = InnSetup::new("inn.example", &names);
    setup.spool_mib = 4096;
    setup.port = Some(inn_port);
    let inn = Inn::start(&setup)?;
    let mut watched = Watched::new(&a, "inn", count);
    let took = watched.until_level()?;
    report("INN", &watched, took, stored_s, inn.innd_pid());
    prove(&a, "inn");
    Ok(())
}

/// Writes `count` articles as a batch, of a few more of which those of one kind are left out.
fn write_without(kind: u64, path: &Path, count: u64, now_s: i64) -> Result<u64, String> {
    let file = File::create(path).map_err(|e| e.to_string())?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let all = Articles::new(1, count / KEPT * (KEPT + 1), now_s);
    all.write_some(|number| number % (KEPT + 1) != kind, &mut out).map_err(|e| e.to_string())
}

/// A site that has as much as A, and lacks one of 601 articles that A has, and A as many of its own.
fn differ(a: &Site, names: &[&str], count: u64, now_s: i64, batch: &Path) -> Result<(), String> {
    write_without(C_LACKS, batch, count, now_s)?;
    let mut c = Site::init("c.example", names);
    c.start();
    c.feedd(&["import"], &["--no-cutoff", batch.to_str().unwrap_or_default()]);
    for (site, other) in [(a, &c), (&c, a)] {
        let (name, address) = (&other.identity, format!("127.0.0.1:{}", other.port));
        site.feedd(&["peer", "add"], &[name, "--address", &address, "--identity", name]);
    }
    println!("C has as many, {} of them others:", count / KEPT);
    prove(a, "c.example");
    println!(
        "  A {} MB anonymous now, C {} MB",
        status_kib(a.pid(), "RssAnon") / 1024,
        status_kib(c.pid(), "RssAnon") / 1024
    );
    c.stop();
    Ok(())
}

/// Prints what `feedd sync` says at its end, and how long it took; it fails where an article is missing.
fn prove(a: &Site, peer: &str) {
    let began = Instant::now();
    let said = a.feedd(&["sync"], &[peer]);
    let lines: Vec<&str> = said.lines().take(2).map(str::trim).collect();
    println!("{} ({:.1} s)", lines.join("; "), began.elapsed().as_secs_f64());
}

/// A line about a peer that has been brought level.
fn report(name: &str, watched: &Watched<'_>, took: Duration, stored_s: f64, pid: u32) {
    let rate = watched.count as f64 / took.as_secs_f64();
    let a = watched.a.pid();
    let cpu_us = (family_cpu(a) - watched.cpu_before).as_secs_f64() * 1e6 / watched.count as f64;
    println!(
        "{name:<3} is level {rate:>8.0} articles/s, {:>6.1} s: {:.2} of A's import. A: {cpu_us:.1} us of CPU time an \
         article, {} MB anonymous\n    and {} MB resident at most; {name}: {} MB anonymous, {} MB resident at most. \
         A's feed: {}",
        took.as_secs_f64(),
        rate / stored_s,
        watched.anon_max_kib / 1024,
        status_kib(a, "VmHWM") / 1024,
        status_kib(pid, "RssAnon") / 1024,
        status_kib(pid, "VmHWM") / 1024,
        watched.last,
    );
}

/// A's feed to one peer.
struct Watched<'a> {
    a: &'a Site,
    peer: &'static str,
    count: u64,
    began: Instant,
    cpu_before: Duration,
    anon_max_kib: u64,
    last: String,
}

impl<'a> Watched<'a> {
    fn new(a: &'a Site, peer: &'static str, count: u64) -> Self {
        let cpu_before = family_cpu(a.pid());
        Self { a, peer, count, began: Instant::now(), cpu_before, anon_max_kib: 0, last: String::new() }
    }

    /// Waits until the peer has answered for all.
    fn until_level(&mut self) -> Result<Duration, String> {
        let (mut most, mut since) = (0, Instant::now());
        loop {
            let text = self.a.feedd(&["peer", "list"], &["--json"]);
            self.anon_max_kib = self.anon_max_kib.max(status_kib(self.a.pid(), "RssAnon"));
            let list: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
            let feed = find(&list, self.peer).ok_or_else(|| format!("no peer {}: {text}", self.peer))?;
            let number = |name: &str| feed.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
            let done = number("accepted");
            self.last = format!(
                "accepted {done}, refused {}, rejected {}, deferred {}, lag {}",
                number("refused"),
                number("rejected"),
                number("deferred"),
                number("lag")
            );
            if done + number("rejected") + number("refused") >= self.count {
                return Ok(self.began.elapsed());
            }
            if done > most {
                (most, since) = (done, Instant::now());
            } else if since.elapsed() > STUCK {
                return Err(format!("{} does not go on: {}", self.peer, self.last));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The object in this JSON that says `"peer": name` and has counters.
fn find<'v>(value: &'v serde_json::Value, name: &str) -> Option<&'v serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => {
            let is_it = fields.get("peer").and_then(|peer| peer.as_str()) == Some(name);
            if is_it && fields.contains_key("accepted") {
                return Some(value);
            }
            fields.values().find_map(|inner| find(inner, name))
        }
        serde_json::Value::Array(items) => items.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

fn articles_at(site: &Site) -> Result<u64, String> {
    let text = site.feedd(&["status"], &["--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    status
        .pointer("/store/articles")
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(|| format!("no count of articles: {text}"))
}

/// Forgets what the page cache has of the files in and below a folder.
pub fn drop_cached(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_cached(&path)?;
        } else if path.is_file() {
            let file = OpenOptions::new().read(true).open(&path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
