//! What the sites' `peers.toml` say of each other, now and before: operators change it while articles are
//! on their way. An article must go where every contract that was in force while it waited lets it go,
//! and may go where one of them did.

use crate::dice::now_ms;
use feedd::config::Window;
use feedd::wildmat::Wildmat;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// For so long, in milliseconds, what was in force may still show after a change: connections end what
/// they have begun.
const LINGERS_MS: u64 = 10_000;
/// The simulated time begins so many milliseconds after a full minute.
const PAST_MINUTE_MS: u64 = (crate::dice::EPOCH_MS % 60_000).unsigned_abs();

/// A value and its changes, each with its time.
#[derive(Clone, Debug)]
struct Versions<T>(Vec<(u64, T)>);

impl<T> Versions<T> {
    fn new(first: T) -> Self {
        Self(vec![(0, first)])
    }

    fn now(&self) -> &T {
        &self.0[self.0.len() - 1].1
    }

    fn change(&mut self, to: T) {
        self.0.push((now_ms(), to));
    }

    /// Those in force at some time since then.
    fn since(&self, since_ms: u64) -> impl Iterator<Item = (usize, &T)> {
        let ended = |no: usize| self.0.get(no + 1).map(|(at, _)| at + LINGERS_MS);
        self.0
            .iter()
            .enumerate()
            .filter(move |(no, _)| ended(*no).is_none_or(|ended| ended > since_ms))
            .map(|(no, (_, value))| (no, value))
    }
}

/// Times at which a peer is sent to: the first `open_min` minutes of each `every_min`.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    every_min: u64,
    open_min: u64,
}

impl Times {
    pub fn new(every_min: u64, open_min: u64) -> Self {
        Self { every_min, open_min }
    }

    fn minute_ms(self, at_ms: u64) -> u64 {
        (at_ms + PAST_MINUTE_MS) % (self.every_min * 60_000)
    }

    /// Milliseconds since they were open last, while they are closed.
    pub fn closed_for_ms(self, at_ms: u64) -> Option<u64> {
        self.minute_ms(at_ms).checked_sub(self.open_min * 60_000)
    }

    /// The same as windows of the week, for two hours.
    pub fn windows(self) -> Vec<Window> {
        use chrono::{DateTime, Datelike, Local, Timelike};
        const DAY_MIN: u64 = 24 * 60;
        // This machine's zone is the one that counts, whichever it is.
        let begin = DateTime::from_timestamp_millis(crate::dice::EPOCH_MS).unwrap().with_timezone(&Local);
        let day = u64::from(begin.weekday().num_days_from_monday());
        let first = day * DAY_MIN + u64::from(begin.hour() * 60 + begin.minute());
        (0..120 / self.every_min)
            .map(|no| {
                let from = first + no * self.every_min;
                let window = |at: u64| u16::try_from(at % DAY_MIN).unwrap();
                Window {
                    days: 1 << (from / DAY_MIN % 7),
                    from_min: window(from),
                    to_min: window(from + self.open_min),
                }
            })
            .collect()
    }
}

/// What one site sends to another, and what that one accepts from it.
struct Edge {
    /// None: the other site stands not in the sender's `peers.toml`.
    send: Versions<Option<Wildmat>>,
    /// None: the sender does not stand in the other's.
    accept: Versions<Option<Wildmat>>,
    /// What both begin with when the two meet.
    first: (Wildmat, Wildmat),
    delay_s: Versions<u64>,
    /// It is sent to only while this other site cannot be reached.
    backup_of: Option<usize>,
}

/// The contract as it is now, for the configs.
pub struct Now {
    pub send: Wildmat,
    pub delay_s: u64,
    pub backup_of: Option<usize>,
}

/// All edges, by who sends and who receives.
#[derive(Default)]
pub struct Contracts(Mutex<BTreeMap<(usize, usize), Edge>>);

impl Contracts {
    fn edges(&self) -> MutexGuard<'_, BTreeMap<(usize, usize), Edge>> {
        self.0.lock().unwrap()
    }

    /// One that is in force from the beginning, or whose sites do not know each other at first.
    pub fn add(&self, edge: (usize, usize), send: Wildmat, accept: Wildmat, delay_s: u64, known: bool) {
        let versions = |first: &Wildmat| Versions::new(known.then(|| first.clone()));
        let added = Edge {
            send: versions(&send),
            accept: versions(&accept),
            first: (send, accept),
            delay_s: Versions::new(delay_s),
            backup_of: None,
        };
        self.edges().insert(edge, added);
    }

    pub fn make_backup(&self, edge: (usize, usize), of: usize) {
        self.edges().get_mut(&edge).unwrap().backup_of = Some(of);
    }

    /// What the sender's config says now; none: the peer does not stand in it.
    pub fn sends(&self, edge: (usize, usize)) -> Option<Now> {
        let edges = self.edges();
        let edge = edges.get(&edge)?;
        Some(Now { send: edge.send.now().clone()?, delay_s: *edge.delay_s.now(), backup_of: edge.backup_of })
    }

    /// What the receiver's config says now.
    pub fn accepts(&self, edge: (usize, usize)) -> Option<Wildmat> {
        self.edges().get(&edge)?.accept.now().clone()
    }

    pub fn is_backup(&self, edge: (usize, usize)) -> bool {
        self.edges().get(&edge).is_some_and(|edge| edge.backup_of.is_some())
    }

    // -- changes --

    pub fn set_send(&self, edge: (usize, usize), to: &Wildmat) {
        if let Some(edge) = self.edges().get_mut(&edge).filter(|edge| edge.send.now().is_some()) {
            edge.send.change(Some(to.clone()));
        }
    }

    pub fn set_accept(&self, edge: (usize, usize), to: &Wildmat) {
        if let Some(edge) = self.edges().get_mut(&edge).filter(|edge| edge.accept.now().is_some()) {
            edge.accept.change(Some(to.clone()));
        }
    }

    pub fn set_delay(&self, edge: (usize, usize), to: u64) {
        if let Some(edge) = self.edges().get_mut(&edge) {
            edge.delay_s.change(to);
        }
    }

    /// One site strikes the other out of its config, or puts it back as it was before.
    pub fn know(&self, site: usize, other: usize, knows: bool) {
        let mut edges = self.edges();
        let set = |versions: &mut Versions<Option<Wildmat>>, first: &Wildmat| {
            if versions.now().is_some() != knows {
                let last = versions.0.iter().rev().find_map(|(_, version)| version.clone());
                versions.change(knows.then(|| last.unwrap_or_else(|| first.clone())));
            }
        };
        if let Some(Edge { send, first, .. }) = edges.get_mut(&(site, other)) {
            set(send, &first.0);
        }
        if let Some(Edge { accept, first, .. }) = edges.get_mut(&(other, site)) {
            set(accept, &first.1);
        }
    }

    // -- what follows --

    /// Must an article that stands at `from` since then come to `to`, which has some of its newsgroups?
    pub fn must(&self, edge: (usize, usize), newsgroups: &[&str], since_ms: u64) -> bool {
        let edges = self.edges();
        let Some(edge) = edges.get(&edge).filter(|edge| edge.backup_of.is_none()) else { return false };
        [&edge.send, &edge.accept].into_iter().all(|versions| {
            versions.now().is_some()
                && versions.since(since_ms).all(|(no, version)| match version {
                    Some(wildmat) => wildmat.wants(newsgroups.iter().copied()),
                    // Who was struck out and is back is owed what came meanwhile; who is new is not.
                    None => no > 0,
                })
        })
    }

    /// May it?
    pub fn may(&self, edge: (usize, usize), newsgroups: &[&str], since_ms: u64) -> bool {
        let edges = self.edges();
        let Some(edge) = edges.get(&edge) else { return false };
        [&edge.send, &edge.accept].into_iter().all(|versions| {
            let wants = |version: &Option<Wildmat>| {
                version.as_ref().is_some_and(|wildmat| wildmat.wants(newsgroups.iter().copied()))
            };
            versions.since(since_ms).any(|(_, version)| wants(version))
        })
    }

    /// Seconds that it was held back at least.
    pub fn delay_s(&self, edge: (usize, usize), since_ms: u64) -> u64 {
        let edges = self.edges();
        let delays = edges.get(&edge).map(|edge| edge.delay_s.since(since_ms).map(|(_, delay)| *delay));
        delays.into_iter().flatten().min().unwrap_or(0)
    }
}
