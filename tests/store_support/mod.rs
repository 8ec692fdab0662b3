//! What the store's tests share: articles, waiters, snapshots of all answers.

use feedd::article::{MessageId, NewsgroupName};
use feedd::clock::Timestamp;
use feedd::store::{GroupStatus, NewArticle, Options, Outcome, Settle, Store, Wait};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

pub const IDENTITY: &str = "site.example";

pub fn options(dir: &Path) -> Options {
    Options::new(dir, IDENTITY)
}

pub fn open(dir: &Path) -> Store {
    Store::open(options(dir)).unwrap()
}

pub fn create(store: &Store, name: &str) {
    let name = NewsgroupName::try_from(name).unwrap();
    store.set_group(&name, GroupStatus::Posting, "A group", "admin").unwrap();
}

pub fn id(name: &str) -> MessageId {
    MessageId::try_from(format!("<{name}@x>").as_str()).unwrap()
}

/// An article whose body is one line of `octets` octets and more.
pub fn article(store: &Store, name: &str, groups: &[&str], octets: usize) -> NewArticle {
    let head = format!(
        "Path: {IDENTITY}!tail\r\nNewsgroups: {}\r\nSubject: Subject {name}\r\nMessage-ID: <{name}@x>\r\n",
        groups.join(",")
    );
    let body = format!("\r\nbody {}\r\n.\r\n", "x".repeat(octets));
    NewArticle {
        id: id(name),
        head: head.into(),
        body: body.into(),
        row: format!("Subject {name}\tposter\tdate\t<{name}@x>\t").into_bytes(),
        lines: 1,
        stuffed: 0,
        groups: groups.iter().filter_map(|name| store.group(name)).collect(),
        newsgroups: groups.join(","),
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
        self.told.notify_all();
    }
}

/// Submits and waits.
pub fn put(store: &Store, name: &str, groups: &[&str], octets: usize) -> Outcome {
    let waiter = Waiter::new();
    match store.reserve(&id(name)) {
        Err(_) => Outcome::Duplicate,
        Ok(held) => {
            store.submit(article(store, name, groups, octets), held, &waiter.settle(), 0);
            waiter.outcomes(1).remove(0).1
        }
    }
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
