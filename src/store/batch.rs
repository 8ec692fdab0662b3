//! A batch of the writer: records encoded one behind the other, small articles copied into one
//! buffer, large bodies written from where they were received.

use super::StoreError;
use super::behind::{Changes, HistoryEntry};
use super::disk::Disk;
use super::groups::Facts;
use super::log::{Tip, Visible};
use super::record::{self, ActText, Kind, Numbered};
use super::segment::Packed;
use super::shared::Shared;
use super::types::{Location, LogEntry, Outcome, Seq, Settle};
use super::writer::{Filing, Submitted};
use crate::clock;
use crate::clock::Timestamp;
use crate::decimal;
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

/// Octets from which a body is written from its own buffer.
const LARGE: usize = 32 * 1024;
/// Octets of buffer that are kept from one batch to the next.
const BUFFER_KEPT: usize = 32 << 20;

/// A stretch of the batch.
enum Piece {
    /// Of the buffer.
    Buffer(Range<usize>),
    /// A large body.
    Body(Bytes),
}

/// What stands behind a record of the batch.
enum Item {
    Article {
        submitted: Box<Submitted>,
        numbers: String,
        filings: Range<usize>,
        row: Range<usize>,
        len: usize,
    },
    Act {
        kind: Kind,
        facts: Box<Facts>,
        reply: Sender<Result<(), StoreError>>,
        arrived: Timestamp,
    },
    Peer {
        arrived: Timestamp,
    },
    /// Not written: it cannot be kept.
    Refused {
        submitted: Box<Submitted>,
        why: &'static str,
    },
}

struct Entry {
    seq: Seq,
    /// Octets from the batch's start.
    at: u64,
    octets: u64,
    item: Item,
}

/// See the module.
#[derive(Default)]
pub(super) struct Batch {
    buffer: Vec<u8>,
    /// Octets of the buffer that stand in a piece already.
    cut: usize,
    pieces: Vec<Piece>,
    octets: u64,
    entries: Vec<Entry>,
    filings: Vec<Filing>,
    /// Entries that are written.
    records: u64,
    settled: Vec<(Arc<dyn Settle>, u64, Outcome)>,
    replies: Vec<Sender<Result<(), StoreError>>>,
    filed: Vec<(u32, u64)>,
    changes: Changes,
    visible: Vec<Visible>,
    dropped: Vec<Arc<LogEntry>>,
    woken: HashSet<usize>,
}

impl Batch {
    /// Octets of the log it will take.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Seqs it will take.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Adds an article with the seq; false when it cannot be a record and the seq is not used.
    pub fn add_article(&mut self, shared: &Shared, seq: Seq, submitted: Box<Submitted>) -> bool {
        if !record::fits(&submitted.article) {
            self.refuse(seq, submitted, "the article is too large for the log");
            return false;
        }
        self.filed.clear();
        let filings = self.filings.len();
        let mut numbers = Vec::with_capacity(64);
        for group in &submitted.article.groups {
            if group.is_removed() || self.filed.iter().any(|(id, _)| *id == group.id) {
                continue;
            }
            let number = group.next.fetch_add(1, Ordering::Relaxed);
            if !numbers.is_empty() {
                numbers.push(b' ');
            }
            numbers.extend_from_slice(group.name().as_bytes());
            numbers.push(b':');
            decimal::push(number, &mut numbers);
            self.filed.push((group.id, number));
            self.filings.push(Filing { group: group.clone(), number });
        }
        let numbers = String::from_utf8(numbers).unwrap_or_default();
        if self.filed.is_empty() {
            self.refuse(seq, submitted, "its newsgroups have just been removed");
            return false;
        }
        let numbered = Numbered {
            seq,
            filed: &self.filed,
            numbers: &numbers,
            body_crc: submitted.body_crc,
            salt: shared.spool.salt(),
        };
        let encoded =
            record::encode_article(&mut self.buffer, &shared.identity, &submitted.article, &numbered);
        let body = &submitted.article.body;
        if body.len() < LARGE {
            self.buffer.extend_from_slice(body);
        } else {
            self.cut_piece();
            self.pieces.push(Piece::Body(body.clone()));
        }
        let padding = encoded.total - encoded.octets - body.len() as u64;
        self.buffer.resize(self.buffer.len() + padding as usize, 0);
        let len = encoded.head_len + body.len();
        let filings = filings..self.filings.len();
        let item = Item::Article { submitted, numbers, filings, row: encoded.row, len };
        self.push(seq, encoded.total, item);
        true
    }

    /// Adds an act; `reply` hears of it when it is done.
    pub fn add_act(
        &mut self,
        salt: u32,
        seq: Seq,
        kind: Kind,
        facts: Facts,
        reply: Sender<Result<(), StoreError>>,
    ) {
        let text = serde_json::to_vec(&facts).unwrap_or_default();
        let arrived = clock::now();
        let octets =
            record::encode_act(&mut self.buffer, &ActText { kind, seq, at: arrived, text: &text, salt });
        self.push(seq, octets, Item::Act { kind, facts: Box::new(facts), reply, arrived });
    }

    /// Adds a peer's state.
    pub fn add_peer(&mut self, salt: u32, seq: Seq, text: &[u8]) {
        let arrived = clock::now();
        let octets =
            record::encode_act(&mut self.buffer, &ActText { kind: Kind::Peer, seq, at: arrived, text, salt });
        self.push(seq, octets, Item::Peer { arrived });
    }

    fn push(&mut self, seq: Seq, octets: u64, item: Item) {
        self.entries.push(Entry { seq, at: self.octets, octets, item });
        self.octets += octets;
        self.records += 1;
    }

    fn refuse(&mut self, seq: Seq, submitted: Box<Submitted>, why: &'static str) {
        let item = Item::Refused { submitted, why };
        self.entries.push(Entry { seq, at: self.octets, octets: 0, item });
    }

    fn cut_piece(&mut self) {
        if self.cut < self.buffer.len() {
            self.pieces.push(Piece::Buffer(self.cut..self.buffer.len()));
            self.cut = self.buffer.len();
        }
    }

    /// Writes all of it at `at`.
    pub fn write(&mut self, disk: &dyn Disk, file: &File, at: Location) -> io::Result<()> {
        self.cut_piece();
        let mut parts: Vec<IoSlice<'_>> = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Buffer(range) => IoSlice::new(&self.buffer[range.clone()]),
                Piece::Body(body) => IoSlice::new(body),
            })
            .collect();
        disk.write(file, at.segment, at.offset, &mut parts)
    }

    /// Makes the batch, durable at `at`, visible: first where each article is, then its rows and
    /// numbers, then the new end of the log.
    pub fn publish(&mut self, shared: &Shared, at: Location, tip: Tip) {
        for Entry { seq, at: ahead, octets, item } in self.entries.drain(..) {
            let location = Location { segment: at.segment, offset: at.offset + ahead };
            let packed = Packed::new(location);
            let mut entry = HistoryEntry {
                seq,
                fingerprint: None,
                location: packed,
                date: Timestamp::default(),
                arrived: Timestamp::default(),
            };
            let mut visible = Visible { seq, location: packed, arrived: Timestamp::default(), entry: None };
            match item {
                Item::Refused { submitted, why } => {
                    let Submitted { held, waiter, tag, .. } = *submitted;
                    drop(held);
                    self.settled.push((waiter, tag, Outcome::Failed(why.into())));
                    continue;
                }
                Item::Peer { arrived } => entry.arrived = arrived,
                Item::Act { kind, facts, reply, arrived } => {
                    entry.arrived = arrived;
                    let group = match kind {
                        Kind::Removed => shared.groups.remove(facts.id, seq),
                        _ => Some(shared.groups.set(*facts, seq)),
                    };
                    if let Some(group) = group {
                        self.changes.touch(group);
                    }
                    self.replies.push(reply);
                }
                Item::Article { submitted, numbers, filings, row, len } => {
                    let Submitted { article, mut held, waiter, tag, .. } = *submitted;
                    held.keep(packed);
                    for filing in &self.filings[filings] {
                        self.changes.file(&filing.group, filing.number, packed, &self.buffer[row.clone()]);
                    }
                    entry.fingerprint = Some(held.fingerprint());
                    entry.date = article.date;
                    entry.arrived = article.arrived;
                    shared.articles.fetch_add(1, Ordering::Relaxed);
                    visible.entry = Some(Arc::new(LogEntry {
                        seq,
                        location,
                        id: article.id,
                        newsgroups: article.newsgroups,
                        distribution: article.distribution,
                        kind: article.kind,
                        kept: article.kept,
                        numbers,
                        path: article.path,
                        source: article.source,
                        len,
                        date: article.date,
                        arrived: article.arrived,
                    }));
                    self.settled.push((waiter, tag, Outcome::Accepted(seq)));
                }
            }
            visible.arrived = entry.arrived;
            self.visible.push(visible);
            self.changes.remember(entry, octets);
        }
        // Before the end moves: a checkpoint at the new end must find all of it.
        shared.behind.hand_over(&mut self.changes);
        shared.log.publish(&mut self.visible, tip, &mut self.dropped);
    }

    /// Tells that nothing of the batch was kept: seqs and numbers are given again.
    pub fn fail(&mut self, why: &str) {
        for filing in &self.filings {
            filing.group.take_back_numbers();
        }
        for Entry { item, .. } in self.entries.drain(..) {
            match item {
                Item::Article { submitted, .. } | Item::Refused { submitted, .. } => {
                    let Submitted { held, waiter, tag, .. } = *submitted;
                    drop(held);
                    self.settled.push((waiter, tag, Outcome::Failed(why.to_owned())));
                }
                // Whoever asked may have gone; then nobody needs the answer.
                Item::Act { reply, .. } => drop(reply.send(Err(StoreError::Unavailable(why.to_owned())))),
                Item::Peer { .. } => {}
            }
        }
        self.settle();
    }

    /// Tells the outcomes, wakes each waiter once, and empties the batch.
    pub fn settle(&mut self) {
        let mut wake = Vec::new();
        self.woken.clear();
        for (waiter, tag, outcome) in self.settled.drain(..) {
            waiter.settle(tag, outcome);
            if self.woken.insert(Arc::as_ptr(&waiter).cast::<()>() as usize) {
                wake.push(waiter);
            }
        }
        for waiter in wake {
            waiter.wake();
        }
        for reply in self.replies.drain(..) {
            // Whoever asked may have gone; then nobody needs the answer.
            drop(reply.send(Ok(())));
        }
        self.reset();
    }

    /// Empties it for the next one.
    fn reset(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        self.cut = 0;
        self.pieces.clear();
        self.octets = 0;
        self.records = 0;
        self.filings.clear();
        self.dropped.clear();
    }
}
