//! What the store's tests share: articles, waiters, a disk that fails, all answers of a store.

use feedd::article::{MessageId, NewsgroupName};
use feedd::clock::Timestamp;
use feedd::store::{Disk, GroupStatus, NewArticle, Options, Outcome, RealDisk, Seq, Settle, Store, Wait};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

pub const IDENTITY: &str = "site.example";

pub fn options(dir: &Path) -> Options {
    Options::new(dir, IDENTITY)
}

pub fn open(dir: &Path) -> Store {
    Store::open(options(dir)).unwrap()
}

pub fn name(name: &str) -> NewsgroupName {
    NewsgroupName::try_from(name).unwrap()
}

pub fn create(store: &Store, group: &str) {
    store.set_group(&name(group), GroupStatus::Posting, "A group", "admin").unwrap();
}

pub fn id(name: &str) -> MessageId {
    MessageId::try_from(format!("<{name}@x>").as_str()).unwrap()
}

/// An article whose body is one line of `octets` octets and more.
pub fn article(store: &Store, name: &str, groups: &[&str], octets: usize) -> NewArticle {
    article_with(store, name, groups, &format!("body {}", "x".repeat(octets)))
}

pub fn article_with(store: &Store, name: &str, groups: &[&str], body: &str) -> NewArticle {
    let head = format!(
        "Path: {IDENTITY}!tail\r\nNewsgroups: {}\r\nSubject: Subject {name}\r\nMessage-ID: <{name}@x>\r\n",
        groups.join(",")
    );
    NewArticle {
        id: id(name),
        head: head.into(),
        body: format!("\r\n{body}\r\n.\r\n").into(),
        row: format!("Subject {name}\tposter\tdate\t<{name}@x>\t").into_bytes(),
        lines: 1,
        stuffed: 0,
        groups: groups.iter().filter_map(|name| store.group(name)).collect(),
        newsgroups: groups.join(","),
        distribution: String::new(),
        kind: feedd::article::ArticleKind::Text,
        kept: false,
        path: format!("{IDENTITY}!tail").into_bytes(),
        date: Timestamp::from_unix_s(1_700_000_000),
        arrived: feedd::clock::now(),
        source: "peer".into(),
    }
}

/// Collects outcomes.
#[derive(Default)]
pub struct Waiter {
    settled: Mutex<Vec<(u64, Outcome)>>,
    told: Condvar,
}

impl Waiter {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn settle(self: &Arc<Self>) -> Arc<dyn Settle> {
        self.clone()
    }

    /// Waits for `count` outcomes and takes all there are.
    pub fn outcomes(&self, count: usize) -> Vec<(u64, Outcome)> {
        let settled = self.settled.lock().unwrap();
        let mut settled = self.told.wait_while(settled, |settled| settled.len() < count).unwrap();
        std::mem::take(&mut *settled)
    }
}

impl Settle for Waiter {
    fn settle(&self, tag: u64, outcome: Outcome) {
        self.settled.lock().unwrap().push((tag, outcome));
    }

    fn wake(&self) {
        // With the lock, so that it does not fall between a look and the wait.
        drop(self.settled.lock().unwrap());
        self.told.notify_all();
    }
}

/// Submits an article of this name and waits for its outcome.
pub fn put(store: &Store, name: &str, groups: &[&str], octets: usize) -> Outcome {
    put_article(store, article(store, name, groups, octets))
}

pub fn put_article(store: &Store, article: NewArticle) -> Outcome {
    let waiter = Waiter::new();
    match store.reserve(&article.id) {
        Err(_) => Outcome::Duplicate,
        Ok(held) => {
            store.submit(article, held, &waiter.settle(), 0);
            waiter.outcomes(1).remove(0).1
        }
    }
}

pub fn accepted(outcome: Outcome) -> Seq {
    let Outcome::Accepted(seq) = outcome else { panic!("{outcome:?}") };
    seq
}

pub fn rows(store: &Store, group: &str, low: u64, high: u64) -> Vec<(u64, String)> {
    let group = store.group(group).unwrap();
    let mut rows = Vec::new();
    let next = store
        .over(&group, low, high, Wait::Disk, &mut |number, _, row| {
            rows.push((number, String::from_utf8(row.to_vec()).unwrap()));
            true
        })
        .unwrap();
    assert_eq!(next, None);
    rows
}

/// Everything a store answers about its newsgroups and articles.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub groups: BTreeMap<String, (u64, u64, u64, String)>,
    pub rows: BTreeMap<(String, u64), String>,
    pub articles: BTreeMap<String, Vec<u8>>,
    pub log: Vec<(u64, String, String)>,
}

pub fn answers(store: &Store) -> Answers {
    let mut answers = Answers::default();
    for group in store.groups().iter() {
        let marks = group.marks();
        let name = group.name().to_owned();
        let facts = (marks.low, marks.high, marks.count, group.description());
        answers.groups.insert(name.clone(), facts);
        let found = rows(store, &name, 0, u64::MAX);
        assert_eq!(found.len() as u64, marks.count, "{name}");
        for (number, row) in found {
            let location = store.locate_number(group, number, Wait::Disk).unwrap().unwrap();
            let stored = store.read(location, None, usize::MAX, Wait::Disk).unwrap();
            assert_eq!(store.locate(&stored.id), Some(location));
            assert_eq!(store.row(&stored.id, Wait::Disk).unwrap().unwrap(), row.as_bytes());
            assert!(row.contains(stored.id.as_str()));
            answers.articles.insert(stored.id.to_string(), stored.text.to_vec());
            answers.rows.insert((name.clone(), number), row);
        }
    }
    let mut after = Seq(0);
    loop {
        let (entries, next) = store.log(after, 40, Wait::Disk).unwrap();
        for entry in &entries {
            answers.log.push((entry.seq.0, entry.id.to_string(), entry.numbers.clone()));
        }
        if next == after {
            break;
        }
        after = next;
    }
    assert_eq!(after, store.last_seq());
    answers
}

/// A disk with limits: it may be full, it may fail to sync, and at a crash only what was synced is
/// sure to be there.
pub struct FaultyDisk {
    /// Octets it still takes.
    pub room: AtomicU64,
    /// Syncs until one fails.
    pub syncs: AtomicU64,
    synced: Mutex<BTreeMap<u32, u64>>,
    written: Mutex<BTreeMap<u32, u64>>,
}

impl FaultyDisk {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            room: AtomicU64::new(u64::MAX),
            syncs: AtomicU64::new(u64::MAX),
            synced: Mutex::default(),
            written: Mutex::default(),
        })
    }

    /// The power fails: of what was not synced, some pages are there and others are zeros.
    pub fn lose_unsynced(&self, spool: &Path, random: &mut Random) {
        for (segment, written) in self.written.lock().unwrap().iter() {
            let synced = self.synced.lock().unwrap().get(segment).copied().unwrap_or(64);
            let path = spool.join(format!("{segment:010}.seg"));
            let mut bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes.len() as u64, *written);
            let keep = synced + random.below(written - synced + 1);
            bytes.truncate(keep as usize);
            for page in bytes[synced as usize..].chunks_mut(512) {
                if random.below(2) == 0 {
                    page.fill(0);
                }
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

impl Disk for FaultyDisk {
    fn write(&self, file: &File, segment: u32, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let octets: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if self.room.load(Ordering::Relaxed) < octets {
            // As a full disk does: some of it is written.
            RealDisk.write(file, segment, offset, &mut parts[..1])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room.fetch_sub(octets, Ordering::Relaxed);
        self.written.lock().unwrap().insert(segment, offset + octets);
        RealDisk.write(file, segment, offset, parts)
    }

    fn sync(&self, file: &File, segment: u32) -> io::Result<()> {
        if self.syncs.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.syncs.store(0, Ordering::Relaxed);
            return Err(io::Error::other("the disk is gone"));
        }
        RealDisk.sync(file, segment)?;
        let written = self.written.lock().unwrap()[&segment];
        self.synced.lock().unwrap().insert(segment, written);
        Ok(())
    }
}

/// Copies a store's folder as it is at this moment: what a killed process leaves.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if let Err(error) = std::fs::copy(entry.path(), to) {
            // A temporary file of the running store may have gone.
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}

/// A small generator; the seed is printed by the test that uses it.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).checked_rem(end).unwrap_or_default()
    }
}
