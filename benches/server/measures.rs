//! The measurements of one server: each opens its connections, drives them and gives a figure.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, Layers};
use crate::limits::{LimitKind, percentile};
use crate::load::{Lane, Outcome, Replies, Requests, run};
use crate::report::Figure;
use crate::requests::{Known, Numbered, Posting, Shuffled};
use crate::subject::{LARGE, LOADED, OVER_ROWS, READ_LARGE, READ_SMALL, SMALL, Subject};
use crate::support::articles::{posted, relayed};
use crate::support::client::Client;

/// Numbers of a run that never ends within the measurement.
const ENDLESS: std::ops::Range<u64> = 0..9_999_999_999;

/// A measurement by name, with how many connections it makes sense.
pub struct Measure {
    pub name: &'static str,
    pub connections: &'static [usize],
    pub unit: &'static str,
    pub limit: LimitKind,
    /// What the clients speak through; INN is measured plain only.
    pub layers: Layers,
    pub take: Take,
}

/// Takes a measurement with so many connections.
pub type Take = fn(&Bench<'_>, usize, Layers) -> Result<Taken, String>;

/// A figure, and the octets of one operation for the limit.
pub struct Taken {
    pub figure: Figure,
    pub octets: f64,
}

/// One server and what is known of it.
pub struct Bench<'a> {
    pub subject: &'a Subject,
    pub time: Duration,
    pub quick: bool,
    /// Tells runs apart, so that no Message-ID comes twice.
    pub label: &'a str,
    pub small: Arc<Vec<Known>>,
    pub small_numbers: Arc<Vec<Known>>,
    pub large: Arc<Vec<Known>>,
    pub large_numbers: Arc<Vec<Known>>,
    pub overviews: Arc<Vec<Known>>,
}

/// Seeded articles: known by CHECK, read by ARTICLE and OVER.
pub const SEEDED_SMALL: usize = 20_000;
pub const SEEDED_LARGE: usize = 64;

pub const ALL: &[usize] = &[1, 4, 16];

pub const MEASURES: &[Measure] = &[
    Measure {
        name: "TAKETHIS 2 KB",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Disk,
        layers: Layers::Plain,
        take: takethis_small,
    },
    Measure {
        name: "TAKETHIS 750 KB",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Disk,
        layers: Layers::Plain,
        take: takethis_large,
    },
    Measure {
        name: "CHECK known",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: check_known,
    },
    Measure {
        name: "CHECK unknown",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: check_unknown,
    },
    Measure {
        name: "ARTICLE 2 KB by Message-ID",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: small_by_id,
    },
    Measure {
        name: "ARTICLE 2 KB by number",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: small_by_number,
    },
    Measure {
        name: "ARTICLE 2 KB, one at a time",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: small_one_at_a_time,
    },
    Measure {
        name: "ARTICLE 750 KB by Message-ID",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: large_by_id,
    },
    Measure {
        name: "ARTICLE 750 KB by number",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: large_by_number,
    },
    Measure {
        name: "OVER rows",
        connections: ALL,
        unit: "/s",
        limit: LimitKind::Loopback,
        layers: Layers::Plain,
        take: over,
    },
    Measure {
        name: "POST 2 KB",
        connections: &[1, 16],
        unit: "/s",
        limit: LimitKind::SyncedTurn,
        layers: Layers::Plain,
        take: post,
    },
    Measure {
        name: "POST 2 KB latency, median",
        connections: &[1],
        unit: "us",
        limit: LimitKind::SyncedTurn,
        layers: Layers::Plain,
        take: post_median,
    },
    Measure {
        name: "POST 2 KB latency, 99 %",
        connections: &[1],
        unit: "us",
        limit: LimitKind::SyncedTurn,
        layers: Layers::Plain,
        take: post_p99,
    },
    Measure {
        name: "memory per idle reader",
        connections: &[1000],
        unit: "KiB",
        limit: LimitKind::None,
        layers: Layers::Plain,
        take: idle_memory,
    },
];

impl<'a> Bench<'a> {
    /// Seeds the server and learns what its replies look like.
    pub fn prepare(
        subject: &'a Subject,
        time: Duration,
        quick: bool,
        label: &'a str,
    ) -> Result<Self, String> {
        let (small, learnt) = if quick { (4_000, 500) } else { (SEEDED_SMALL, 4_000) };
        let large = if quick { 8 } else { SEEDED_LARGE };
        subject.seed("small", READ_SMALL, small, SMALL)?;
        subject.seed("large", READ_LARGE, large, LARGE)?;
        Ok(Self {
            subject,
            time,
            quick,
            label,
            small: subject.articles_by_id("small", learnt)?,
            small_numbers: subject.articles_by_number(READ_SMALL, learnt)?,
            large: subject.articles_by_id("large", large)?,
            large_numbers: subject.articles_by_number(READ_LARGE, large)?,
            overviews: subject.overviews(READ_SMALL)?,
        })
    }

    fn seeded_small(&self) -> u64 {
        if self.quick { 4_000 } else { SEEDED_SMALL as u64 }
    }

    /// Drives `connections` lanes; each is made from an open connection and its number.
    fn drive(
        &self,
        connections: usize,
        open: impl Fn() -> Result<Channel, String>,
        lane: impl Fn(usize, Channel) -> Lane,
    ) -> Result<(Outcome, Duration), String> {
        let lanes: Result<Vec<Lane>, String> =
            (0..connections).map(|number| open().map(|channel| lane(number, channel))).collect();
        let lanes = lanes?;
        let before = self.subject.cpu_at_rest();
        let (outcome, channels) = run(lanes, self.time)?;
        let cpu = self.subject.cpu_at_rest().saturating_sub(before);
        drop(channels);
        Ok((outcome, cpu))
    }

    /// Commands whose Message-IDs are counted up, one reply line each.
    fn numbered(
        &self,
        connections: usize,
        layers: Layers,
        window: usize,
        code: &'static [&'static [u8; 3]],
        requests: impl Fn(usize) -> Numbered,
    ) -> Result<Taken, String> {
        let lane = |number, channel| Lane {
            channel,
            requests: Box::new(requests(number)),
            replies: Replies::Lines(code),
            window,
        };
        let open = || {
            let mut peer = self.subject.peer().and_then(|peer| through(peer, layers))?;
            peer.ask("MODE STREAM").map_err(|e| e.to_string())?;
            Ok(peer)
        };
        let (outcome, cpu) = self.drive(connections, open, lane)?;
        Ok(taken(&outcome, cpu, 1.0))
    }

    fn takethis(
        &self,
        connections: usize,
        layers: Layers,
        size: usize,
        window: usize,
    ) -> Result<Taken, String> {
        self.numbered(connections, layers, window, &[b"239"], |number| {
            let run = format!("{}-{size}-{layers:?}-{connections}-{number}", self.label);
            Numbered::new(&run, ENDLESS, window.div_ceil(4), |id| {
                let mut bytes = format!("TAKETHIS {id}\r\n").into_bytes();
                bytes.extend(relayed(id, LOADED[number % LOADED.len()], size));
                bytes
            })
        })
    }

    /// Reading known things at random.
    fn reading(
        &self,
        connections: usize,
        layers: Layers,
        window: usize,
        newsgroup: Option<&str>,
        known: &Arc<Vec<Known>>,
        operations: f64,
    ) -> Result<Taken, String> {
        let open = || {
            let mut reader = self.reader(layers)?;
            if let Some(newsgroup) = newsgroup {
                reader.ask(&format!("GROUP {newsgroup}")).map_err(|e| e.to_string())?;
            }
            if layers != Layers::Plain {
                reader.check(&known[0]).map_err(|e| format!("{layers:?}: {e}"))?;
            }
            Ok(reader)
        };
        let lane = |number: usize, channel| {
            let seed = 0x9e37_79b9 + number as u64;
            let requests: Box<dyn Requests> =
                Box::new(Shuffled::new(Arc::clone(known), window.div_ceil(4), seed));
            Lane { channel, requests, replies: Replies::Octets, window }
        };
        let (outcome, cpu) = self.drive(connections, open, lane)?;
        Ok(taken(&outcome, cpu, operations))
    }

    fn reader(&self, layers: Layers) -> Result<Channel, String> {
        self.subject.reader().and_then(|reader| through(reader, layers))
    }

    fn posting(&self, connections: usize, layers: Layers) -> Result<(Outcome, Duration), String> {
        let lane = |number: usize, channel| {
            let article = posted(None, LOADED[number % LOADED.len()], SMALL);
            let replies = Replies::Lines(&[b"340", b"240"]);
            Lane { channel, requests: Box::new(Posting::new(article)), replies, window: 1 }
        };
        self.drive(connections, || self.reader(layers), lane)
    }
}

fn through(client: Client, layers: Layers) -> Result<Channel, String> {
    Channel::with(client, layers).map_err(|e| format!("{layers:?}: {e}"))
}

/// A rate of replies, each worth so many operations.
fn taken(outcome: &Outcome, cpu: Duration, operations_per_reply: f64) -> Taken {
    let operations = outcome.answered as f64 * operations_per_reply;
    Taken {
        figure: Figure::rate(outcome, operations_per_reply, cpu),
        octets: outcome.octets as f64 / operations.max(1.0),
    }
}

pub fn takethis_small(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.takethis(connections, layers, SMALL, 256)
}

pub fn takethis_large(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.takethis(connections, layers, LARGE, 4)
}

fn check_known(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.numbered(connections, layers, 256, &[b"438"], |_| {
        Numbered::new("small", 0..bench.seeded_small(), 64, |id| format!("CHECK {id}\r\n").into_bytes())
    })
}

fn check_unknown(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.numbered(connections, layers, 256, &[b"238"], |number| {
        let run = format!("{}-unknown-{connections}-{number}", bench.label);
        Numbered::new(&run, ENDLESS, 64, |id| format!("CHECK {id}\r\n").into_bytes())
    })
}

pub fn small_by_id(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.reading(connections, layers, 64, None, &bench.small, 1.0)
}

fn small_by_number(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.reading(connections, layers, 64, Some(READ_SMALL), &bench.small_numbers, 1.0)
}

/// As most newsreaders ask: the next command after the last answer.
fn small_one_at_a_time(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.reading(connections, layers, 1, None, &bench.small, 1.0)
}

pub fn large_by_id(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.reading(connections, layers, 4, None, &bench.large, 1.0)
}

fn large_by_number(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.reading(connections, layers, 4, Some(READ_LARGE), &bench.large_numbers, 1.0)
}

pub fn over(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    bench.reading(connections, layers, 4, Some(READ_SMALL), &bench.overviews, OVER_ROWS as f64)
}

pub fn post(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    let (outcome, cpu) = bench.posting(connections, layers)?;
    Ok(taken(&outcome, cpu, 0.5))
}

fn post_latency(
    bench: &Bench<'_>,
    connections: usize,
    layers: Layers,
    percent: usize,
) -> Result<Taken, String> {
    let (outcome, _) = bench.posting(connections, layers)?;
    let mut micros: Vec<f64> = outcome.turn_micros.iter().map(|us| f64::from(*us)).collect();
    let value = percentile(&mut micros, percent);
    Ok(Taken { figure: Figure::bare(value), octets: 0.0 })
}

fn post_median(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    post_latency(bench, connections, layers, 50)
}

fn post_p99(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    post_latency(bench, connections, layers, 99)
}

/// What each of many readers costs that selected a newsgroup, read an article and then idles: the
/// second thousand of them on a fresh server, for the first also takes what the server has free.
pub fn idle_memory(bench: &Bench<'_>, connections: usize, layers: Layers) -> Result<Taken, String> {
    let subject = bench.subject.fresh()?;
    subject.seed("small", READ_SMALL, 100, SMALL)?;
    let known = subject.articles_by_id("small", 100)?;
    let mut readers = Vec::new();
    let mut memory_kib = [0; 2];
    for memory_kib in &mut memory_kib {
        for number in 0..connections as u64 {
            let mut reader = subject.reader().and_then(|reader| through(reader, layers))?;
            let failed = |e: std::io::Error| format!("{}: {e}", subject.name);
            reader.ask(&format!("GROUP {READ_SMALL}")).map_err(failed)?;
            reader.check(&known[number as usize % known.len()]).map_err(failed)?;
            readers.push(reader.into_socket());
        }
        *memory_kib = subject.memory_kib();
    }
    let [before, after] = memory_kib;
    let value = after.saturating_sub(before) as f64 / connections as f64;
    Ok(Taken { figure: Figure::bare(value), octets: 0.0 })
}
