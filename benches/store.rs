//! What the store does on this machine, beside what the machine can do: durable ingest through
//! [`Store::submit`], offers, reads, overview rows. `cargo bench --bench store [-- ARTICLES [GROUPS]]`.
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use feedd::article::{MessageId, NewsgroupName};
use feedd::clock::Timestamp;
use feedd::store::{Group, GroupStatus, Known, NewArticle, Options, Outcome, Settle, Store, Wait};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const WAITERS: u64 = 16;
/// Articles a waiter may have outstanding.
const OUTSTANDING: u64 = 256;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let articles = numbers.next().unwrap_or(300_000);
    let groups = numbers.next().unwrap_or(1_000);
    let dir = tempfile::tempdir_in(std::env::var("CARGO_TARGET_TMPDIR").unwrap_or_else(|_| "target".into()));
    let dir = dir.unwrap();
    println!("{:<34}{:>12}{:>12}{:>14}", "", "per second", "CPU us each", "");
    let store = Store::open(Options::new(&dir.path().join("store"), "site.example")).unwrap();
    for n in 0..groups {
        let name = NewsgroupName::try_from(format!("bench.group.n{n}").as_str()).unwrap();
        store.set_group(&name, GroupStatus::Posting, "", "bench").unwrap();
    }
    ingest(&store, "ingest 2 KB", articles, 0, 2_000, OUTSTANDING);
    let written = store.stats().spool_bytes;
    let octets = written / articles;
    limit(dir.path(), "limit: write + fdatasync 1 MB", written.min(1 << 30), octets, 1 << 20);
    limit(dir.path(), "limit: write + fdatasync 8 MB", written.min(1 << 30), octets, 8 << 20);
    offers(&store, articles);
    reads(&store, articles);
    overview(&store);
    ingest(&store, "ingest 750 KB", 1_500, 1 << 40, 750_000, 2);
    limit(dir.path(), "limit: write + fdatasync 1 MB", 1 << 30, 750_000, 1 << 20);
    let begun = Instant::now();
    store.close();
    drop(store);
    println!("{:<34}{:>10.2} s", "close", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let store = Store::open(Options::new(&dir.path().join("store"), "site.example")).unwrap();
    println!("{:<34}{:>10.2} s", "open", begun.elapsed().as_secs_f64());
    cold_overview(&store);
    drop(store);
    Store::discard_index(&dir.path().join("store")).unwrap();
    let begun = Instant::now();
    let store = Store::open(Options::new(&dir.path().join("store"), "site.example")).unwrap();
    println!("{:<34}{:>10.2} s", "open without index (rebuild)", begun.elapsed().as_secs_f64());
    assert_eq!(store.stats().articles, articles + 1_500);
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

fn report(what: &str, count: u64, begun: Instant, cpu_begun: Duration, more: &str) {
    let seconds = begun.elapsed().as_secs_f64();
    let used = (cpu() - cpu_begun).as_secs_f64() * 1e6 / count as f64;
    println!("{what:<34}{:>12.0}{used:>12.2}{more:>14}", count as f64 / seconds);
}

fn id(n: u64) -> MessageId {
    MessageId::try_from(
        format!("<{:016x}.{n}@bench.example>", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_str(),
    )
    .unwrap()
}

/// One waiter: as many outstanding as allowed.
#[derive(Default)]
struct Waiter {
    settled: AtomicU64,
    woken: Mutex<u64>,
    wake: Condvar,
}

impl Settle for Waiter {
    fn settle(&self, _tag: u64, outcome: Outcome) {
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    fn wake(&self) {
        *self.woken.lock().unwrap() += 1;
        self.wake.notify_one();
    }
}

struct Maker {
    head: String,
    body: Bytes,
    groups: Arc<Vec<Arc<Group>>>,
    lines: u64,
}

impl Maker {
    fn article(&self, id: &MessageId, n: u64) -> NewArticle {
        // Skewed: the square of an even spread.
        let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
        let count = self.groups.len() as u64;
        let first = (((spread * spread) >> 20) * count) >> 20;
        let second = n % count;
        let mut groups = vec![self.groups[first as usize].clone()];
        if second != first && n.is_multiple_of(4) {
            groups.push(self.groups[second as usize].clone());
        }
        let newsgroups = groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(",");
        let head = format!("Message-ID: {id}\r\nNewsgroups: {newsgroups}\r\n{}", self.head);
        let row = format!(
            "Benchmarks of article {n}, part {}\tSomebody <somebody@bench.example>\tFri, 20 Nov 2026 23:58:00 +0000\t{id}\t<parent.{n}@bench.example>",
            n % 17
        );
        NewArticle {
            id: id.clone(),
            head: head.into(),
            // Its own octets, as received; of large ones there is not that much memory.
            body: if self.body.len() < 65_536 {
                Bytes::copy_from_slice(&self.body)
            } else {
                self.body.clone()
            },
            row: row.into_bytes(),
            lines: self.lines,
            stuffed: 0,
            groups,
            newsgroups,
            distribution: String::new(),
            kind: feedd::article::ArticleKind::Text,
            kept: false,
            path: b"site.example!peer.example!not-for-mail".to_vec(),
            date: Timestamp::from_unix_s(1_780_000_000),
            arrived: Timestamp::from_unix_ms(1_780_000_000_000 + n as i64),
            source: "peer".into(),
        }
    }
}

fn maker(store: &Store, octets: usize) -> Maker {
    let mut head = String::new();
    for field in [
        "Path: site.example!peer.example!not-for-mail",
        "From: Somebody <somebody@bench.example>",
        "Subject: Benchmarks of an article of the usual kind",
        "Date: Fri, 20 Nov 2026 23:58:00 +0000",
        "Injection-Info: peer.example; posting-host=\"192.0.2.1\"",
        "User-Agent: bench/1.0",
    ] {
        head.push_str(field);
        head.push_str("\r\n");
    }
    let mut body = String::from("\r\n");
    let mut lines = 0;
    while head.len() + body.len() + 150 < octets {
        body.push_str("Lines of an article, about as long as lines of text usually are, end.\r\n");
        lines += 1;
    }
    body.push_str(".\r\n");
    Maker { head, body: body.into(), groups: store.groups(), lines }
}

/// `WAITERS` waiters with many outstanding articles each, offered by two threads.
fn ingest(store: &Store, what: &str, articles: u64, first: u64, octets: usize, outstanding: u64) {
    let threads = 2;
    // Articles are made beforehand in chunks; only the store's part is in the figures.
    let mut spent = Duration::ZERO;
    let mut used = Duration::ZERO;
    let chunk = (articles / 4).max(1);
    let mut done = 0;
    while done < articles {
        let count = chunk.min(articles - done);
        let made: Vec<Vec<(NewArticle, MessageId)>> = {
            let maker = maker(store, octets);
            (0..threads)
                .map(|thread| {
                    let of_thread = (0..count).filter(|n| n % threads == thread);
                    of_thread
                        .map(|n| {
                            let n = first + done + n;
                            let id = id(n);
                            (maker.article(&id, n), id)
                        })
                        .collect()
                })
                .collect()
        };
        let begun = Instant::now();
        let cpu_begun = cpu();
        std::thread::scope(|scope| {
            for articles in made {
                scope.spawn(move || submit_all(store, articles, outstanding));
            }
        });
        spent += begun.elapsed();
        used += cpu() - cpu_begun;
        done += count;
    }
    println!(
        "{what:<34}{:>12.0}{:>12.2}{:>11} MB/s",
        articles as f64 / spent.as_secs_f64(),
        used.as_secs_f64() * 1e6 / articles as f64,
        (articles as f64 * octets as f64 / 1e6 / spent.as_secs_f64()) as u64
    );
}

fn submit_all(store: &Store, articles: Vec<(NewArticle, MessageId)>, outstanding: u64) {
    let waiters: Vec<Arc<Waiter>> = (0..WAITERS / 2).map(|_| Arc::default()).collect();
    let mut submitted = vec![0; waiters.len()];
    for (n, (article, id)) in articles.into_iter().enumerate() {
        let at = n / 16 % waiters.len();
        let waiter = &waiters[at];
        while submitted[at] - waiter.settled.load(Ordering::Acquire) >= outstanding {
            let woken = waiter.woken.lock().unwrap();
            let seen = *woken;
            if submitted[at] - waiter.settled.load(Ordering::Acquire) < outstanding {
                break;
            }
            drop(waiter.wake.wait_while(woken, |woken| *woken == seen).unwrap());
        }
        let held = store.reserve(&id).unwrap_or_else(|known| panic!("{known:?}"));
        let settle: Arc<dyn Settle> = waiter.clone();
        store.submit(article, held, &settle, n as u64);
        submitted[at] += 1;
    }
    for (waiter, submitted) in waiters.iter().zip(submitted) {
        let mut woken = waiter.woken.lock().unwrap();
        while waiter.settled.load(Ordering::Acquire) < submitted {
            woken = waiter.wake.wait_timeout(woken, Duration::from_millis(50)).unwrap().0;
        }
    }
}

fn limit(dir: &Path, what: &str, total: u64, octets: u64, batch: usize) {
    let mut file = std::fs::File::create(dir.join("limit")).unwrap();
    let bytes = vec![b'x'; batch];
    let begun = Instant::now();
    let cpu_begun = cpu();
    let mut written = 0;
    while written < total {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        written += batch as u64;
    }
    let megabytes = format!("{:.0} MB/s", written as f64 / 1e6 / begun.elapsed().as_secs_f64());
    report(what, written / octets, begun, cpu_begun, &megabytes);
    std::fs::remove_file(dir.join("limit")).unwrap();
}

fn offers(store: &Store, articles: u64) {
    for (what, first) in [("offer, known id", 0), ("offer, unknown id (reserve, free)", 1 << 50)] {
        let ids: Vec<_> = (0..articles.min(200_000)).map(|n| id(first + n)).collect();
        let begun = Instant::now();
        let cpu_begun = cpu();
        std::thread::scope(|scope| {
            for half in ids.chunks(ids.len().div_ceil(2)) {
                scope.spawn(move || {
                    for id in half.iter().cycle().take(half.len() * 5) {
                        if first == 0 {
                            assert_eq!(store.known(id), Known::Yes);
                        } else {
                            drop(black_box(store.reserve(id)));
                        }
                    }
                });
            }
        });
        report(what, ids.len() as u64 * 5, begun, cpu_begun, "2 threads");
    }
}

fn reads(store: &Store, articles: u64) {
    let ids: Vec<_> = (0..articles.min(200_000)).map(|n| id(n * 7 % articles)).collect();
    let begun = Instant::now();
    let cpu_begun = cpu();
    for id in &ids {
        let stored = store.read(store.locate(id).unwrap(), Some(id), 64 << 10, Wait::No).unwrap();
        assert_eq!(stored.len, stored.text.len());
    }
    report("read 2 KB by Message-ID", ids.len() as u64, begun, cpu_begun, "");
    let groups = store.groups();
    let begun = Instant::now();
    let cpu_begun = cpu();
    let mut read = 0;
    for group in groups.iter() {
        for number in 1..=group.marks().high.min(500) {
            let location = match store.locate_number(group, number, Wait::No) {
                Err(_) => store.locate_number(group, number, Wait::Disk).unwrap().unwrap(),
                found => found.unwrap().unwrap(),
            };
            black_box(store.read(location, None, 64 << 10, Wait::No).unwrap());
            read += 1;
        }
    }
    report("read 2 KB by number, all groups", read, begun, cpu_begun, "");
}

fn overview(store: &Store) {
    let group = store.groups().iter().max_by_key(|group| group.marks().count).unwrap().clone();
    let mut out = Vec::new();
    for (what, low) in
        [("overview rows, one group", 1), ("overview rows, last 500", group.marks().high.saturating_sub(499))]
    {
        let begun = Instant::now();
        let cpu_begun = cpu();
        let mut rows = 0;
        while rows < 2_000_000 {
            out.clear();
            store
                .over(&group, low, u64::MAX, Wait::Disk, &mut |_, _, row| {
                    out.extend_from_slice(row);
                    rows += 1;
                    true
                })
                .unwrap();
        }
        report(what, rows, begun, cpu_begun, &format!("{} rows", group.marks().high - low + 1));
    }
}

/// Every row once: from the index, with decompression.
fn cold_overview(store: &Store) {
    let mut out = Vec::new();
    let begun = Instant::now();
    let cpu_begun = cpu();
    let mut rows = 0;
    for group in store.groups().iter() {
        out.clear();
        let mut row = |_, _, row: &[u8]| {
            out.extend_from_slice(row);
            rows += 1;
            true
        };
        store.over(group, 1, u64::MAX, Wait::Disk, &mut row).unwrap();
    }
    report("overview rows, all, after open", rows, begun, cpu_begun, &format!("{rows} rows"));
}
