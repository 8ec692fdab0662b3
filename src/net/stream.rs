//! Answers that may be long: produced piece by piece as the client takes them, so that a connection
//! never holds more than one piece.

use super::reading;
use crate::access::Scope;
use crate::article::{Head, overview};
use crate::clock::Timestamp;
use crate::decimal;
use crate::limits::OUTPUT_BYTES_MAX;
use crate::session::ask::ListKind;
use crate::store::{Group, GroupStatus, Location, ReadError, Seq, Store, Wait};
use crate::sync::{Ranges, Summary};
use crate::transport::blocking;
use crate::wildmat::{TextPattern, Wildmat};
use std::fs::File;
use std::sync::Arc;

/// Log entries looked at for one piece of a NEWNEWS answer.
const NEWNEWS_ENTRIES: usize = 1024;
/// Articles opened for one piece of an HDR answer.
const HDR_ARTICLES: usize = 64;
/// Octets of fields that XPAT matches for one piece of its answer.
const MATCHED_OCTETS: usize = 16 * 1024;

/// The rest of an answer.
pub(super) enum Stream {
    /// Octets of a segment file, then `tail`.
    File { file: Arc<File>, offset: u64, remaining: u64, tail: &'static [u8] },
    /// OVER: rows of a number range.
    Over(Numbers),
    /// LISTGROUP: the numbers alone.
    Listgroup(Numbers),
    /// HDR, XHDR and XPAT over a number range.
    Hdr(Numbers, Item, Option<TextPattern>),
    /// LIST and NEWGROUPS: lines made from newsgroups.
    List { groups: Arc<Vec<Arc<Group>>>, at: usize, kind: ListKind, filter: Filter },
    /// XSYNC: the articles of these ranges and newsgroups, summed up or by their Message-IDs.
    Sync { after: Seq, ranges: Ranges, wildmat: Wildmat, summary: Option<Summary> },
    /// Lines that are there already.
    Lines(std::vec::IntoIter<String>),
    /// NEWNEWS: Message-IDs from the log.
    Newnews { after: Seq, wildmat: Wildmat, since: Timestamp },
}

/// Article numbers still to be looked at.
pub(super) struct Numbers {
    pub(super) group: Arc<Group>,
    pub(super) next: u64,
    pub(super) high: u64,
}

/// Which newsgroups a list shows.
pub(super) struct Filter {
    pub(super) wildmat: Option<Wildmat>,
    pub(super) since: Option<Timestamp>,
    /// The newsgroups that there are for this client.
    pub(super) view: Scope,
}

/// What HDR shows of an article.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A column of the overview row.
    Column(usize),
    /// A header field that only the article has.
    Field(String),
}

impl Item {
    /// The column of Xref.
    pub(super) const XREF: usize = 7;

    /// The item of this name, if there is one: `:bytes`, `:lines` or any header field.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(metadata) = name.strip_prefix(':') {
            return match metadata {
                m if m.eq_ignore_ascii_case("bytes") => Some(Self::Column(5)),
                m if m.eq_ignore_ascii_case("lines") => Some(Self::Column(6)),
                _ => None,
            };
        }
        const COLUMNS: [(&str, usize); 6] =
            [("Subject", 0), ("From", 1), ("Date", 2), ("Message-ID", 3), ("References", 4), ("Xref", 7)];
        let column = COLUMNS.iter().find(|(column, _)| name.eq_ignore_ascii_case(column));
        Some(column.map_or_else(|| Self::Field(name.to_owned()), |&(_, at)| Self::Column(at)))
    }

    /// Appends the line `number value`, unless there is a pattern and the value does not match.
    pub(super) fn line(number: u64, value: &[u8], pattern: Option<&TextPattern>, out: &mut Vec<u8>) {
        if pattern.is_some_and(|pattern| !pattern.matches(&String::from_utf8_lossy(value))) {
            return;
        }
        decimal::push(number, out);
        out.push(b' ');
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the item's value from an overview row.
    pub(super) fn from_row(column: usize, row: &[u8], out: &mut Vec<u8>) {
        let value = row.split(|&b| b == b'\t').nth(column).unwrap_or_default();
        out.extend_from_slice(value.strip_prefix(b"Xref: ").unwrap_or(value));
    }
}

impl Stream {
    /// Appends the next piece to `out`; true when there is nothing more (then the terminator stands).
    pub(super) fn fill(&mut self, store: &Store, view: &Scope, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        match self {
            // The connection sends it past `out`.
            Self::File { .. } => Ok(false),
            Self::Over(numbers) => numbers.rows(store, out, |number, _, row, out| {
                decimal::push(number, out);
                out.push(b'\t');
                out.extend_from_slice(row);
                out.extend_from_slice(b"\r\n");
                0
            }),
            Self::Listgroup(numbers) => numbers.rows(store, out, |number, _, _, out| {
                decimal::push(number, out);
                out.extend_from_slice(b"\r\n");
                0
            }),
            Self::Hdr(numbers, Item::Column(column), pattern) => {
                let column = *column;
                let mut value = Vec::new();
                numbers.rows(store, out, |number, _, row, out| {
                    value.clear();
                    Item::from_row(column, row, &mut value);
                    Item::line(number, &value, pattern.as_ref(), out);
                    if pattern.is_some() { value.len() } else { 0 }
                })
            }
            Self::Hdr(numbers, Item::Field(field), pattern) => {
                numbers.fields(store, field, pattern.as_ref(), out)
            }
            Self::List { groups, at, kind, filter } => {
                while let Some(group) = groups.get(*at) {
                    if out.len() >= OUTPUT_BYTES_MAX {
                        return Ok(false);
                    }
                    *at += 1;
                    if filter.shows(group) {
                        list_line(*kind, group, out);
                    }
                }
                out.extend_from_slice(b".\r\n");
                Ok(true)
            }
            Self::Sync { after, ranges, wildmat, summary } => {
                *after = store.skip(*after, &|first_s, last_s| ranges.touch(first_s, last_s));
                let (entries, next) = match store.log(*after, NEWNEWS_ENTRIES, Wait::No) {
                    Err(ReadError::WouldBlock) => {
                        blocking(|| store.log(*after, NEWNEWS_ENTRIES, Wait::Disk))?
                    }
                    other => other?,
                };
                for entry in &entries {
                    if ranges.contain(entry.date.unix_s()) && wildmat.wants(entry.newsgroups.split(',')) {
                        match summary {
                            Some(summary) => summary.add(&entry.id, entry.date),
                            None => {
                                out.extend_from_slice(entry.id.as_str().as_bytes());
                                out.extend_from_slice(b"\r\n");
                            }
                        }
                    }
                }
                let done = next <= *after;
                *after = next;
                if !done {
                    return Ok(false);
                }
                let lines: Vec<String> = summary.iter().flat_map(Summary::lines).collect();
                *self = Self::Lines(lines.into_iter());
                Ok(false)
            }
            Self::Lines(lines) => {
                while out.len() < OUTPUT_BYTES_MAX {
                    let Some(line) = lines.next() else {
                        out.extend_from_slice(b".\r\n");
                        return Ok(true);
                    };
                    out.extend_from_slice(line.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                Ok(false)
            }
            Self::Newnews { after, wildmat, since } => {
                let (entries, next) = match store.log(*after, NEWNEWS_ENTRIES, Wait::No) {
                    Err(ReadError::WouldBlock) => {
                        blocking(|| store.log(*after, NEWNEWS_ENTRIES, Wait::Disk))?
                    }
                    other => other?,
                };
                for entry in &entries {
                    let seen = |name: &&str| {
                        *view == Scope::All
                            || (view.allows(name)
                                && store.group(name).is_some_and(|group| !leads_out(view, &group)))
                    };
                    let mut newsgroups = entry.newsgroups.split(',').filter(seen);
                    if entry.arrived >= *since && newsgroups.any(|name| wildmat.matches(name)) {
                        out.extend_from_slice(entry.id.as_str().as_bytes());
                        out.extend_from_slice(b"\r\n");
                    }
                }
                let done = next <= *after;
                *after = next;
                if done {
                    out.extend_from_slice(b".\r\n");
                }
                Ok(done)
            }
        }
    }
}

impl Filter {
    fn shows(&self, group: &Group) -> bool {
        self.view.allows(group.name())
            && self.wildmat.as_ref().is_none_or(|wildmat| wildmat.matches(group.name()))
            && self.since.is_none_or(|since| group.created().0 >= since)
            && !leads_out(&self.view, group)
    }
}

/// Is it an alias of a newsgroup that is not there for this client? Its line would name that one.
fn leads_out(view: &Scope, group: &Group) -> bool {
    *view != Scope::All && matches!(group.status(), GroupStatus::Alias(other) if !view.allows(other.as_str()))
}

impl Numbers {
    /// Appends a line for each article until `out` is full, enough was matched or the range ends; true
    /// at the end. `line` tells how many octets it matched.
    fn rows(
        &mut self,
        store: &Store,
        out: &mut Vec<u8>,
        mut line: impl FnMut(u64, Location, &[u8], &mut Vec<u8>) -> usize,
    ) -> Result<bool, ReadError> {
        let Self { group, next, high } = self;
        let mut matched = 0;
        let mut piece = |wait: Wait| {
            let low = *next;
            let reached = store.over(group, low, *high, wait, &mut |number, location, row| {
                matched += line(number, location, row, out);
                // Rows that were given before a read had to wait are not given again.
                *next = number.saturating_add(1);
                out.len() < OUTPUT_BYTES_MAX && matched < MATCHED_OCTETS
            })?;
            if let Some(reached) = reached {
                *next = reached;
            }
            Ok(reached.is_none())
        };
        let done = match piece(Wait::No) {
            Err(ReadError::WouldBlock) => blocking(|| piece(Wait::Disk)),
            done => done,
        }?;
        if done {
            out.extend_from_slice(b".\r\n");
        }
        Ok(done)
    }

    /// Appends `number value` of a field that is not in the overview, for the next few articles.
    fn fields(
        &mut self,
        store: &Store,
        field: &str,
        pattern: Option<&TextPattern>,
        out: &mut Vec<u8>,
    ) -> Result<bool, ReadError> {
        blocking(|| {
            let mut articles = Vec::with_capacity(HDR_ARTICLES);
            let reached =
                store.over(&self.group, self.next, self.high, Wait::Disk, &mut |number, location, _| {
                    articles.push((number, location));
                    articles.len() < HDR_ARTICLES
                })?;
            let mut value = Vec::new();
            let mut matched = 0;
            for (number, location) in articles {
                if out.len() >= OUTPUT_BYTES_MAX || matched >= MATCHED_OCTETS {
                    self.next = number;
                    return Ok(false);
                }
                value.clear();
                match reading::head(store, location, None, Wait::Disk) {
                    Ok(head) => field_value(&head, field, &mut value),
                    // It went between the row and now: RFC 3977 s.8.5.2 lets its line be empty.
                    Err(ReadError::Gone) => {}
                    Err(error) => return Err(error),
                }
                Item::line(number, &value, pattern, out);
                matched += if pattern.is_some() { value.len() } else { 0 };
            }
            match reached {
                Some(reached) => self.next = reached,
                None => out.extend_from_slice(b".\r\n"),
            }
            Ok(reached.is_none())
        })
    }
}

/// Appends the flattened value of a field of an article's header section (with its empty line).
pub(super) fn field_value(head: &[u8], field: &str, out: &mut Vec<u8>) {
    if let Ok(head) = Head::parse(head) {
        overview::flatten(head.find(field).unwrap_or_default(), out);
    }
}

fn list_line(kind: ListKind, group: &Group, out: &mut Vec<u8>) {
    out.extend_from_slice(group.name().as_bytes());
    let marks = group.marks();
    let numbers: &[u64] = match kind {
        // RFC 3977 s.7.6.3: high before low.
        ListKind::Active => &[marks.high, marks.low],
        // RFC 6048 s.2.2.
        ListKind::Counts => &[marks.high, marks.low, marks.count],
        ListKind::ActiveTimes | ListKind::Newsgroups => &[],
    };
    for &number in numbers {
        out.push(b' ');
        decimal::push(number, out);
    }
    match kind {
        ListKind::Active | ListKind::Counts => {
            out.push(b' ');
            out.extend_from_slice(group.status().to_string().as_bytes());
        }
        ListKind::ActiveTimes => {
            let (created, creator) = group.created();
            out.push(b' ');
            decimal::push(u64::try_from(created.unix_s()).unwrap_or(0), out);
            out.push(b' ');
            out.extend_from_slice(creator.as_bytes());
        }
        ListKind::Newsgroups => {
            out.push(b'\t');
            out.extend_from_slice(group.description().as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}
