//! A network that is made up, on a clock that is stopped: who is tried when.
#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::time::sleep;

/// What becomes of an attempt, and after how many milliseconds.
#[derive(Clone, Copy)]
enum Fate {
    Connects(u64),
    Refuses(u64),
    Silent,
}

use Fate::{Connects, Refuses, Silent};

#[derive(Default)]
struct Paper {
    begun: Option<Instant>,
    records: BTreeMap<String, Vec<ServiceRecord>>,
    /// The error of every question for records.
    broken: Option<ErrorKind>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    fates: BTreeMap<SocketAddr, Fate>,
    /// The attempts: at which millisecond, where.
    tried: Mutex<Vec<(u64, String)>>,
    asked: Mutex<Vec<String>>,
}

impl Paper {
    fn new() -> Self {
        Self { begun: Some(Instant::now()), ..Self::default() }
    }

    fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        self.hosts.insert(name.to_owned(), addresses.iter().map(|text| text.parse().unwrap()).collect());
        self
    }

    fn record(mut self, name: &str, priority: u16, target: &str, port: u16) -> Self {
        let record = ServiceRecord { priority, weight: 1, port, target: target.to_owned() };
        self.records.entry(name.to_owned()).or_default().push(record);
        self
    }

    fn fate(mut self, address: &str, fate: Fate) -> Self {
        self.fates.insert(address.parse().unwrap(), fate);
        self
    }

    fn now_ms(&self) -> u64 {
        self.begun.unwrap().elapsed().as_millis() as u64
    }

    /// Reaches the news of `host`; says what was tried, and what came of it.
    async fn reach(&self, host: &str) -> (Vec<(u64, String)>, Result<(SocketAddr, u64), String>) {
        let reached = reach(self, host, Place::Service(Service::Nntp)).await;
        let reached = reached.map(|reached| (reached.to, self.now_ms())).map_err(|error| error.to_string());
        (self.tried.lock().unwrap().clone(), reached)
    }
}

impl Network for Paper {
    fn look_up(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let found = match (self.hosts.get(host), host.parse::<IpAddr>()) {
            (Some(found), _) => Ok(found.iter().map(|address| SocketAddr::new(*address, port)).collect()),
            (None, Ok(address)) => Ok(vec![SocketAddr::new(address, port)]),
            (None, Err(_)) => Err(io::Error::other("no such host")),
        };
        Box::pin(async { found })
    }

    fn services(&self, name: &str) -> Pending<Vec<ServiceRecord>> {
        self.asked.lock().unwrap().push(name.to_owned());
        match self.broken {
            Some(ErrorKind::WouldBlock) => Box::pin(std::future::pending()),
            Some(kind) => Box::pin(async move { Err(kind.into()) }),
            None => {
                let records = self.records.get(name).cloned().unwrap_or_default();
                Box::pin(async { Ok(records) })
            }
        }
    }

    fn connect(&self, to: SocketAddr) -> Pending<Transport> {
        self.tried.lock().unwrap().push((self.now_ms(), to.to_string()));
        let fate = self.fates.get(&to).copied().unwrap_or(Silent);
        Box::pin(async move {
            match fate {
                Connects(ms) => {
                    sleep(Duration::from_millis(ms)).await;
                    let (near, _) = tokio::net::UnixStream::pair()?;
                    Ok(Transport::unix(near))
                }
                Refuses(ms) => {
                    sleep(Duration::from_millis(ms)).await;
                    Err(ErrorKind::ConnectionRefused.into())
                }
                Silent => std::future::pending().await,
            }
        })
    }
}

fn tries(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(ms, to)| (*ms, (*to).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_families_take_turns_and_the_first_that_connects_is_kept() {
    let news = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"];
    let paper = Paper::new().host("news.example", &news).fate("192.0.2.1:119", Connects(20));
    let (tried, reached) = paper.reach("news.example").await;
    assert_eq!(tried, tries(&[(0, "[2001:db8::1]:119"), (250, "192.0.2.1:119")]));
    assert_eq!(reached, Ok(("192.0.2.1:119".parse().unwrap(), 270)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_lets_the_next_one_begin_at_once() {
    let paper = Paper::new()
        .host("news.example", &["192.0.2.1", "2001:db8::1", "192.0.2.2"])
        .fate("192.0.2.1:119", Refuses(5))
        .fate("[2001:db8::1]:119", Connects(600))
        .fate("192.0.2.2:119", Connects(400));
    let (tried, reached) = paper.reach("news.example").await;
    assert_eq!(tried, tries(&[(0, "192.0.2.1:119"), (5, "[2001:db8::1]:119"), (255, "192.0.2.2:119")]));
    // The second one is there first although it is slower: it has begun before.
    assert_eq!(reached, Ok(("[2001:db8::1]:119".parse().unwrap(), 605)));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answers_has_an_end_and_a_reason() {
    let paper = Paper::new()
        .host("news.example", &["192.0.2.1", "2001:db8::1", "192.0.2.2"])
        .fate("192.0.2.2:119", Refuses(1));
    let (tried, reached) = paper.reach("news.example").await;
    assert_eq!(tried.len(), 3);
    let why = reached.unwrap_err();
    for words in ["192.0.2.2:119: ", "refused", "192.0.2.1:119: it took too long", "[2001:db8::1]:119: "] {
        assert!(why.contains(words), "{why}");
    }
    assert!(paper.now_ms() <= 10_250, "{}", paper.now_ms());
    // An address alone is not said again.
    let (_, reached) = Paper::new().fate("192.0.2.9:119", Refuses(1)).reach("192.0.2.9").await;
    assert_eq!(reached, Err("connection refused".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_higher_priority_waits_until_the_lower_one_has_failed() {
    let name = "_nntp._tcp.news.example";
    let paper = Paper::new()
        .record(name, 20, "c.example", 1119)
        .record(name, 10, "a.example", 2119)
        .host("a.example", &["192.0.2.1"])
        .host("c.example", &["192.0.2.3"])
        .fate("192.0.2.3:1119", Connects(1));
    // A slow server of the lower priority is kept.
    let paper = paper.fate("192.0.2.1:2119", Connects(5000));
    let (tried, reached) = paper.reach("news.example").await;
    assert_eq!(tried, tries(&[(0, "192.0.2.1:2119")]));
    assert_eq!(reached, Ok(("192.0.2.1:2119".parse().unwrap(), 5000)));
    // A silent one is not waited for without end.
    let paper = Paper { begun: Some(Instant::now()), tried: Mutex::default(), ..paper };
    let paper = paper.fate("192.0.2.1:2119", Silent);
    let (tried, reached) = paper.reach("news.example").await;
    assert_eq!(tried, tries(&[(0, "192.0.2.1:2119"), (10_000, "192.0.2.3:1119")]));
    assert_eq!(reached, Ok(("192.0.2.3:1119".parse().unwrap(), 10_001)));
    // One that is not in the DNS costs nothing.
    let mut paper = Paper { begun: Some(Instant::now()), tried: Mutex::default(), ..paper };
    paper.hosts.remove("a.example");
    let (tried, _) = paper.reach("news.example").await;
    assert_eq!(tried, tries(&[(0, "192.0.2.3:1119")]));
}

#[tokio::test(start_paused = true)]
async fn servers_of_one_priority_race() {
    let name = "_nntp._tcp.news.example";
    let paper = Paper::new()
        .record(name, 10, "a.example", 119)
        .record(name, 10, "b.example", 119)
        .host("a.example", &["192.0.2.1"])
        .host("b.example", &["192.0.2.2"])
        .fate("192.0.2.2:119", Connects(1));
    let (tried, reached) = paper.reach("news.example").await;
    let (to, ms) = reached.unwrap();
    assert_eq!(to, "192.0.2.2:119".parse().unwrap());
    // Whichever was drawn first.
    assert_eq!(ms, if tried.len() == 2 { 251 } else { 1 });
}

#[tokio::test(start_paused = true)]
async fn the_root_as_a_target_means_that_nobody_is_tried() {
    let name = "_nntp._tcp.news.example";
    let paper = Paper::new().record(name, 0, "", 0).host("news.example", &["192.0.2.1"]);
    let (tried, reached) = paper.reach("news.example").await;
    assert!(tried.is_empty());
    let why = reached.unwrap_err();
    assert!(why.contains("no such service") && why.contains(name), "{why}");
    assert_eq!(*paper.asked.lock().unwrap(), [name]);
    // Beside others it says nothing.
    let paper = paper
        .record(name, 1, "a.example", 119)
        .host("a.example", &["192.0.2.2"])
        .fate("192.0.2.2:119", Connects(0));
    assert!(paper.reach("news.example").await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_records_the_host_itself_is_tried() {
    for broken in [None, Some(ErrorKind::Other), Some(ErrorKind::WouldBlock)] {
        let mut paper = Paper::new().host("news.example", &["192.0.2.1"]).fate("192.0.2.1:119", Connects(1));
        paper.broken = broken;
        let (_, reached) = paper.reach("news.example").await;
        // A question without an answer has an end.
        let waited = if broken == Some(ErrorKind::WouldBlock) { 10_000 } else { 0 };
        assert_eq!(reached, Ok(("192.0.2.1:119".parse().unwrap(), waited + 1)));
    }
    // Where nothing helps, both are told.
    let mut paper = Paper::new();
    paper.broken = Some(ErrorKind::ConnectionRefused);
    let why = paper.reach("news.example").await.1.unwrap_err();
    assert!(why.starts_with("cannot be looked up: no such host; _nntp._tcp.news.example: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn only_names_without_a_port_are_asked_for_records() {
    let paper = Paper::new().host("localhost", &["127.0.0.1"]).host("news.example", &["192.0.2.1"]);
    for (host, place) in [
        ("192.0.2.1", Place::Service(Service::Nntp)),
        ("localhost", Place::Service(Service::Nntps)),
        ("abcdef.onion", Place::Service(Service::Nntp)),
        ("news.example", Place::Port(119)),
    ] {
        assert!(reach(&paper, host, place).await.is_err());
    }
    assert_eq!(*paper.asked.lock().unwrap(), ["192.0.2.1", "localhost", "abcdef.onion", "news.example"]);
    let tried = paper.tried.lock().unwrap().iter().map(|(_, to)| to.clone()).collect::<Vec<_>>();
    assert_eq!(tried, ["192.0.2.1:119", "127.0.0.1:563", "192.0.2.1:119"]);
}

#[test]
fn who_has_no_runtime_waits_on_a_thread() {
    assert_eq!(wait_for(async { 7 }).unwrap(), 7);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Also within another one.
    assert_eq!(runtime.block_on(async { wait_for(async { 8 }).unwrap() }), 8);
}
