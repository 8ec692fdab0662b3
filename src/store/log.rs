//! The log as feeds, NEWNEWS and audits read it: the youngest entries from memory, older ones from
//! the segments, found through every 256th record's place.

use super::behind::ENTRIES;
use super::held;
use super::record::{Kind, Record};
use super::segment::{Packed, Scan, Spool, Step};
use super::types::{Location, LogEntry, ReadError, Seq, Wait};
use crate::article::MessageId;
use crate::clock::Timestamp;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Entries kept in memory.
const RECENT_MAX: usize = 16_384;

/// A record's place, noted for one record of 256.
#[derive(Clone, Copy, Debug)]
struct Milestone {
    seq: Seq,
    location: Packed,
    /// The latest arrival among all records before: whole seconds, rounded up.
    latest_before_s: i64,
    /// The earliest and the latest of the articles' own dates from here to the next milestone, in seconds.
    dates_s: (i64, i64),
}

/// The end of what is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub seq: Seq,
    /// Where the next record begins.
    pub end: Location,
}

struct Recent {
    entries: VecDeque<Arc<LogEntry>>,
    /// Every article behind this seq is in `entries`.
    base: Seq,
    tip: Tip,
    milestones: Vec<Milestone>,
    latest_s: i64,
}

/// See the module.
pub(super) struct Log {
    recent: RwLock<Recent>,
    last: AtomicU64,
}

/// A record that becomes visible: its place and arrival, and the entry when it is an article.
pub(super) struct Visible {
    pub seq: Seq,
    pub location: Packed,
    pub arrived: Timestamp,
    pub entry: Option<Arc<LogEntry>>,
}

impl Recent {
    fn note(&mut self, seq: Seq, location: Packed, arrived: Timestamp, date: Option<Timestamp>) {
        let block = |seq: Seq| seq.0 / ENTRIES;
        if self.milestones.last().is_none_or(|last| block(last.seq) < block(seq)) {
            let (latest_before_s, dates_s) = (self.latest_s, (i64::MAX, i64::MIN));
            self.milestones.push(Milestone { seq, location, latest_before_s, dates_s });
        }
        if let (Some(date), Some(Milestone { dates_s: (first, last), .. })) =
            (date, self.milestones.last_mut())
        {
            *first = (*first).min(date.unix_s());
            *last = (*last).max(date.unix_s());
        }
        self.latest_s = self.latest_s.max(arrived.unix_s().saturating_add(1));
    }

    /// Where to begin reading for `seq`.
    fn milestone(&self, seq: Seq) -> Option<Milestone> {
        let at = self.milestones.partition_point(|milestone| milestone.seq <= seq);
        self.milestones.get(at.saturating_sub(1)).copied()
    }
}

impl Log {
    /// A log of which nothing is visible but `tip`.
    pub fn new(tip: Tip) -> Self {
        let recent = Recent {
            entries: VecDeque::new(),
            base: tip.seq,
            tip,
            milestones: Vec::new(),
            latest_s: i64::MIN,
        };
        Self { recent: RwLock::new(recent), last: AtomicU64::new(tip.seq.0) }
    }

    /// Notes an old record's place: at start, in order.
    pub fn note(&self, seq: Seq, location: Packed, arrived: Timestamp, date: Option<Timestamp>) {
        held(self.recent.write()).note(seq, location, arrived, date);
    }

    /// Makes records visible, in order. `dropped` gets the entries that are not recent any more, so
    /// that they are freed outside the lock.
    pub fn publish(&self, records: &mut Vec<Visible>, tip: Tip, dropped: &mut Vec<Arc<LogEntry>>) {
        let mut recent = held(self.recent.write());
        for record in records.drain(..) {
            let date = record.entry.as_ref().map(|entry| entry.date);
            recent.note(record.seq, record.location, record.arrived, date);
            if let Some(entry) = record.entry {
                recent.entries.push_back(entry);
            }
        }
        while recent.entries.len() > RECENT_MAX
            && let Some(entry) = recent.entries.pop_front()
        {
            recent.base = entry.seq;
            dropped.push(entry);
        }
        recent.tip = tip;
        self.last.store(tip.seq.0, Ordering::Release);
    }

    pub fn last(&self) -> Seq {
        Seq(self.last.load(Ordering::Acquire))
    }

    pub fn tip(&self) -> Tip {
        held(self.recent.read()).tip
    }

    /// See [`super::Store::log`]. `lost` is called with the first and the last of
    /// records behind `after` that are damaged, so that they are passed over.
    pub fn read(
        &self,
        spool: &Spool,
        after: Seq,
        max: usize,
        wait: Wait,
        lost: &dyn Fn(Seq, Seq),
    ) -> Result<(Vec<Arc<LogEntry>>, Seq), ReadError> {
        let recent = held(self.recent.read());
        let tip = recent.tip;
        if after >= recent.base {
            let from = recent.entries.partition_point(|entry| entry.seq <= after);
            let entries: Vec<_> = recent.entries.range(from..).take(max).cloned().collect();
            let all = from + entries.len() == recent.entries.len();
            let next = if all { tip.seq } else { entries.last().map_or(after, |last| last.seq) };
            return Ok((entries, next));
        }
        if wait == Wait::No {
            return Err(ReadError::WouldBlock);
        }
        let milestone = recent.milestone(Seq(after.0 + 1));
        drop(recent);
        let mut entries = Vec::new();
        let Some(milestone) = milestone else { return Ok((entries, tip.seq)) };
        let mut next = tip.seq;
        let (damaged, last) = (Cell::new(false), Cell::new(after.0.max(milestone.seq.0.saturating_sub(1))));
        let passed = |to: u64| {
            if damaged.take() && to > last.get() {
                lost(Seq(last.get() + 1), Seq(to));
            }
        };
        scan(spool, milestone.location.location(), tip.end, &|| damaged.set(true), |location, record| {
            passed(record.header.seq.0.saturating_sub(1));
            last.set(last.get().max(record.header.seq.0));
            if record.header.seq > after && record.header.kind == Kind::Article {
                if entries.len() >= max {
                    next = entries.last().map_or(after, |last: &Arc<LogEntry>| last.seq);
                    return ControlFlow::Break(());
                }
                entries.extend(entry(location, record).map(Arc::new));
            }
            ControlFlow::Continue(())
        })
        .map_err(ReadError::Io)?;
        passed(tip.seq.0);
        Ok((entries, next))
    }

    /// See [`super::Store::skip`].
    pub fn skip(&self, after: Seq, wanted: &dyn Fn(i64, i64) -> bool) -> Seq {
        let recent = held(self.recent.read());
        let here = recent.milestones.partition_point(|milestone| milestone.seq.0 <= after.0 + 1);
        let from = here.saturating_sub(1);
        let mut rest = recent.milestones.get(from..).unwrap_or_default().iter();
        match rest.find(|Milestone { dates_s: (first, last), .. }| first <= last && wanted(*first, *last)) {
            Some(milestone) => after.max(Seq(milestone.seq.0.saturating_sub(1))),
            None => recent.tip.seq.max(after),
        }
    }

    /// See [`super::Store::seq_before`].
    pub fn seq_before(&self, spool: &Spool, at: Timestamp) -> Seq {
        let recent = held(self.recent.read());
        let tip = recent.tip;
        // All records before this milestone arrived before `at`.
        let nth = recent
            .milestones
            .partition_point(|milestone| milestone.latest_before_s.saturating_mul(1000) <= at.unix_ms());
        let Some(milestone) = recent.milestones.get(nth.saturating_sub(1)).copied() else { return tip.seq };
        if milestone.seq > recent.base {
            let from = recent.entries.partition_point(|entry| entry.seq < milestone.seq);
            let first = recent.entries.range(from..).find(|entry| entry.arrived >= at);
            return first.map_or(tip.seq, |entry| Seq(entry.seq.0 - 1));
        }
        drop(recent);
        let mut before = tip.seq;
        let scanned = scan(spool, milestone.location.location(), tip.end, &|| (), |_, record| {
            if record.header.kind == Kind::Article && record.header.arrived >= at {
                before = Seq(record.header.seq.0.saturating_sub(1));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if scanned.is_err() {
            // Too early is safe: whoever asked looks at each article's arrival again.
            before = Seq(milestone.seq.0.saturating_sub(1));
        }
        before
    }
}

/// Calls `each` with the records from `from` to `to`; those damaged are passed over.
fn scan(
    spool: &Spool,
    from: Location,
    to: Location,
    damaged: &dyn Fn(),
    mut each: impl FnMut(Location, &Record<'_>) -> ControlFlow<()>,
) -> std::io::Result<()> {
    let mut segment = from.segment;
    let mut offset = from.offset;
    while segment <= to.segment {
        let end = if segment == to.segment { to.offset } else { spool.octets_of(segment) };
        if let Some(mut scan) = Scan::new(spool, segment, offset, end).map(Scan::narrow) {
            loop {
                match scan.step()? {
                    Step::End => break,
                    Step::Damage(_) => damaged(),
                    Step::Record(at) => {
                        let location = scan.location(at);
                        if let Some(record) = scan.facts(at)?
                            && each(location, &record).is_break()
                        {
                            return Ok(());
                        }
                    }
                }
            }
        }
        let Some(next) = spool.after(segment) else { break };
        segment = next;
        offset = 0;
    }
    Ok(())
}

/// The entry of an article's record; none when its facts are not what they should be.
pub(super) fn entry(location: Location, record: &Record<'_>) -> Option<LogEntry> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(LogEntry {
        seq: record.header.seq,
        location,
        id: MessageId::try_from(record.id()).ok()?,
        newsgroups: text(record.newsgroups()),
        distribution: text(record.distribution()),
        kind: record.header.article_kind(),
        kept: record.header.kept(),
        numbers: text(record.numbers()),
        path: record.path().to_vec(),
        source: text(record.source()),
        len: record.header.article_len(),
        date: record.header.date,
        arrived: record.header.arrived,
    })
}
