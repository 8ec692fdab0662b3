//! A site without sockets: a real store, and articles put into it as intake does.

use crate::receiver::Receiver;
use bytes::Bytes;
use feedd::article::{MessageId, NewsgroupName, PathIdentity};
use feedd::clock;
use feedd::config::{Contract, Dial, Peer};
use feedd::feed::{FeedStatus, Feeds, Means};
use feedd::store::{GroupStatus, NewArticle, Options, Outcome, Seq, Settle, Store, Wait};
use feedd::wildmat::Wildmat;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(60);

pub struct Site {
    store: Store,
    tip: watch::Receiver<Seq>,
    dir: tempfile::TempDir,
}

/// Passes outcomes on to whoever waits.
struct Outcomes(Mutex<mpsc::Sender<Outcome>>);

impl Settle for Outcomes {
    fn settle(&self, _tag: u64, outcome: Outcome) {
        self.0.lock().unwrap().send(outcome).unwrap();
    }

    fn wake(&self) {}
}

fn open(dir: &std::path::Path) -> (Store, watch::Receiver<Seq>) {
    let (tell, tip) = watch::channel(Seq(0));
    let mut options = Options::new(dir, "site.example");
    options.on_commit = Arc::new(move |seq| {
        tell.send_replace(seq);
    });
    (Store::open(options).unwrap(), tip)
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, tip) = open(dir.path());
        for group in ["local.test", "local.poison", "other.test"] {
            let name = NewsgroupName::try_from(group).unwrap();
            store.set_group(&name, GroupStatus::Posting, "", "test").unwrap();
        }
        Self { store, tip, dir }
    }

    /// Closes the store and opens it again. No feed may be running.
    pub fn reopen(&mut self) {
        self.store.close();
        let other = tempfile::tempdir().unwrap();
        // The old store must be gone before its folder is opened again.
        (self.store, self.tip) = open(other.path());
        (self.store, self.tip) = open(self.dir.path());
    }

    pub fn feeds(&self, peers: &[Arc<Peer>]) -> Feeds {
        Feeds::start(self.store.clone(), peers, self.tip.clone(), Means::default())
    }

    /// Accepts small articles with these numbers in their Message-IDs; returns when they are durable.
    pub fn accept(&self, numbers: Range<usize>) {
        let articles = numbers.map(|n| {
            let lines = n % 7;
            let body = format!("\r\n{}.\r\n", "..a line with a dot\r\n".repeat(lines));
            self.article(n, "", "site.example!.POSTED!not-for-mail", "local.test", body)
        });
        self.submit(articles.collect());
    }

    pub fn accept_from(&self, source: &str, path: &str, newsgroups: &str, n: usize) {
        let body = "\r\ntext\r\n.\r\n".to_owned();
        self.submit(vec![self.article(n, source, path, newsgroups, body)]);
    }

    /// Accepts an article with a body of about so many octets.
    pub fn accept_large(&self, n: usize, octets: usize) {
        let lines: String = (0..octets / 60 + 1).map(|line| format!("{line:058}\r\n")).collect();
        let body = format!("\r\n{lines}.\r\n");
        self.submit(vec![self.article(n, "", "site.example!not-for-mail", "local.test", body)]);
    }

    fn article(&self, n: usize, source: &str, path: &str, newsgroups: &str, body: String) -> NewArticle {
        let id = format!("<{n}@site.example>");
        let head =
            format!("Path: {path}\r\nMessage-ID: {id}\r\nNewsgroups: {newsgroups}\r\nSubject: {n}\r\n");
        NewArticle {
            id: MessageId::try_from(id.as_str()).unwrap(),
            head: Bytes::from(head),
            body: Bytes::from(body.into_bytes()),
            row: format!("{n}\t\t\t{id}\t").into_bytes(),
            lines: 0,
            stuffed: 0,
            groups: newsgroups.split(',').map(|name| self.store.group(name).unwrap()).collect(),
            newsgroups: newsgroups.to_owned(),
            distribution: String::new(),
            kind: feedd::article::ArticleKind::Text,
            kept: false,
            path: path.as_bytes().to_vec(),
            date: clock::now(),
            arrived: clock::now(),
            source: source.to_owned(),
        }
    }

    fn submit(&self, articles: Vec<NewArticle>) {
        let (tell, outcomes) = mpsc::channel();
        let waiter: Arc<dyn Settle> = Arc::new(Outcomes(Mutex::new(tell)));
        let count = articles.len();
        for article in articles {
            let held = self.store.reserve(&article.id).ok().unwrap();
            self.store.submit(article, held, &waiter, 0);
        }
        for _ in 0..count {
            let outcome = outcomes.recv_timeout(DEADLINE).unwrap();
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        }
    }

    /// Flips a bit of the header section of the article with this number, on the disk.
    pub fn damage(&self, n: usize) {
        let spool = std::fs::read_dir(self.dir.path().join("spool")).unwrap();
        let mark = format!("Newsgroups: local.test\r\nSubject: {n}\r\n");
        for path in spool.map(|entry| entry.unwrap().path()) {
            let mut octets = std::fs::read(&path).unwrap();
            if let Some(at) = octets.windows(mark.len()).position(|part| part == mark.as_bytes()) {
                octets[at] ^= 1;
                let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                return file.write_all_at(&octets, 0).unwrap();
            }
        }
        panic!("article {n} is not in the spool");
    }

    /// The article as it is stored and has to arrive.
    pub fn stored(&self, id: &str) -> Vec<u8> {
        let id = MessageId::try_from(id).unwrap();
        let location = self.store.locate(&id).unwrap();
        let stored = self.store.read(location, Some(&id), usize::MAX, Wait::Disk).unwrap();
        assert_eq!(stored.text.len(), stored.len);
        stored.text.to_vec()
    }

    /// Waits until the only feed's figures satisfy `done`.
    pub async fn until(&self, feeds: &Feeds, what: &str, done: impl Fn(&FeedStatus) -> bool) {
        let waiting = async {
            while !done(&feeds.status()[0]) {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(DEADLINE, waiting).await.is_ok();
        assert!(reached, "not within the deadline: {what}; {:?}", feeds.status());
    }
}

/// A peer that wants `local.*`, but nothing that is crossposted to `local.poison`.
pub fn peer(name: &str, receiver: &Receiver) -> Arc<Peer> {
    peer_at(name, receiver.address)
}

pub fn peer_at(name: &str, address: SocketAddr) -> Arc<Peer> {
    Arc::new(Peer {
        dial: Some(Dial::to(address.into())),
        send: Contract::of(Wildmat::parse_subscription("local.*,@local.poison").unwrap()),
        connections: 2,
        window: 64,
        retry_max_s: 1,
        ..Peer::new(name, PathIdentity::try_from(format!("{name}.example").as_str()).unwrap())
    })
}
