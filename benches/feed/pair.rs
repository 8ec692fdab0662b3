//! Two servers with a link between them, and how fast articles go from one to the other.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::prose;
use crate::support::articles::message_id;
use crate::support::client::Client;
use crate::support::inn::{Inn, InnSetup};
use crate::support::process::wait_until;
use crate::support::relay::{Link, Relay};
use crate::support::site::Site;

pub const NEWSGROUP: &str = "bench.a";
/// The feeder must have connected by then ...
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// ... and a measurement ends after so long, with what has arrived.
const TAKES_MAX: Duration = Duration::from_secs(120);
/// Nothing new at B for so long, though there should be: the feed is stuck.
const STUCK: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Feedd,
    Inn,
}

/// How fast it went.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub articles_per_s: f64,
    /// Connections that A opened.
    pub connections: u64,
}

/// A server that is running.
pub enum Server {
    Feedd(Site),
    Inn(Inn),
}

impl Server {
    pub fn peer_port(&self) -> u16 {
        match self {
            Self::Feedd(site) => site.port,
            Self::Inn(inn) => inn.port,
        }
    }

    /// A connection as a reader.
    pub fn reader(&self) -> Result<Client, String> {
        let port = match self {
            Self::Feedd(site) => site.port,
            Self::Inn(inn) => inn.reader_port,
        };
        Client::connect(port).map_err(|e| format!("reading from port {port}: {e}"))
    }

    /// A server that takes articles from everybody on loopback.
    pub fn receiver(kind: Kind, identity: &str) -> Result<Self, String> {
        match kind {
            Kind::Feedd => Ok(Self::Feedd(Site::start_loaded(identity, &[NEWSGROUP]))),
            Kind::Inn => {
                let mut setup = InnSetup::new(identity, &[NEWSGROUP]);
                setup.spool_mib = 4096;
                Inn::start(&setup).map(Self::Inn)
            }
        }
    }

    /// The same, and it feeds `b.example` at a loopback port.
    pub fn sender(kind: Kind, identity: &str, to: u16) -> Result<Self, String> {
        match kind {
            Kind::Feedd => {
                let mut site = Site::init(identity, &[NEWSGROUP]);
                site.accept_load();
                let address = format!("127.0.0.1:{to}");
                site.feedd(
                    &["peer", "add"],
                    &["b", "--address", &address, "--identity", "b.example", "--send", "*"],
                );
                site.start();
                Ok(Self::Feedd(site))
            }
            Kind::Inn => {
                let mut setup = InnSetup::new(identity, &[NEWSGROUP]).feeding("b", "b.example", to);
                setup.spool_mib = 4096;
                Inn::start(&setup).map(Self::Inn)
            }
        }
    }
}

/// Sends `count` articles from a server of one kind to one of the other kind.
pub fn measure(from: Kind, to: Kind, link: Link, size: usize, count: u64) -> Result<Rate, String> {
    let b = Server::receiver(to, "b.example")?;
    let relay = Relay::start(b.peer_port(), link);
    relay.hold();
    let a = Server::sender(from, "a.example", relay.port)?;
    seed(a.peer_port(), "feed", 0..count, size)?;
    if !wait_until(CONNECT_WITHIN, || relay.accepted() > 0) {
        return Err("A does not connect".to_owned());
    }
    let mut reader = b.reader()?;
    relay.release();
    let arrived = arrivals(&mut reader, count)?;
    Ok(Rate { articles_per_s: arrived, connections: relay.accepted() })
}

/// Watches a newsgroup fill up to `count` articles; articles a second between the first and the last.
pub fn arrivals(reader: &mut Client, count: u64) -> Result<f64, String> {
    let began = Instant::now();
    let mut first = None;
    let (mut last, mut last_at) = (0, began);
    while last < count && began.elapsed() < TAKES_MAX {
        let (have, ..) = reader.group(NEWSGROUP);
        let now = Instant::now();
        if have > last {
            (last, last_at) = (have, now);
            first.get_or_insert((have, now));
        } else if now - last_at > STUCK {
            return Err(format!("{last} of {count} arrived, and then no more"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    match first {
        Some((have, at)) if last > have => Ok((last - have) as f64 / (last_at - at).as_secs_f64()),
        _ => Err("too few articles to tell a rate".to_owned()),
    }
}

/// Stores articles at a server by TAKETHIS, as fast as it takes them.
pub fn seed(port: u16, run: &str, numbers: std::ops::Range<u64>, size: usize) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("storing articles: {e}");
    let mut peer = Client::connect(port).map_err(failed)?;
    let mut writer = peer.writer();
    let (run, count) = (run.to_owned(), numbers.end - numbers.start);
    let sending = thread::spawn(move || {
        let mut bytes = Vec::new();
        for number in numbers {
            let id = message_id(&run, number);
            bytes.extend_from_slice(format!("TAKETHIS {id}\r\n").as_bytes());
            bytes.extend(prose::article(&id, NEWSGROUP, number, size));
            if bytes.len() > 128 * 1024 {
                writer.write_all(&bytes)?;
                bytes.clear();
            }
        }
        writer.write_all(&bytes)
    });
    for _ in 0..count {
        let answer = peer.line().map_err(failed)?;
        if !answer.starts_with("239") {
            return Err(format!("storing articles: {answer}"));
        }
    }
    sending.join().unwrap_or_else(|_| Err(std::io::Error::other("panicked"))).map_err(failed)
}

/// What one TCP connection moves through the relay, octets a second.
pub fn bare(link: Link, time: Duration) -> Result<f64, String> {
    let failed = |e: std::io::Error| format!("the link: {e}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let relay = Relay::start(listener.local_addr().map_err(failed)?.port(), link);
    let mut near = TcpStream::connect(("127.0.0.1", relay.port)).map_err(failed)?;
    let (mut far, _) = listener.accept().map_err(failed)?;
    let sending = thread::spawn(move || {
        let piece = vec![b'a'; 256 * 1024];
        while near.write_all(&piece).is_ok() {}
    });
    let mut buffer = vec![0; 256 * 1024];
    let mut received = far.read(&mut buffer).map_err(failed)?;
    let began = Instant::now();
    while began.elapsed() < time {
        received += far.read(&mut buffer).map_err(failed)?;
    }
    let rate = received as f64 / began.elapsed().as_secs_f64();
    drop(relay);
    drop(far);
    let _ = sending.join();
    Ok(rate)
}
