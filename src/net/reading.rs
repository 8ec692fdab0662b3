//! Reading articles for a connection: find, read what is small at once, leave the rest to a stream.

use super::Service;
use super::stream::{Filter, Item, Numbers, Stream, field_value};
use crate::access::Scope;
use crate::article::MessageId;
use crate::article::date;
use crate::clock::{self, Timestamp};
use crate::config::Lists;
use crate::session::ask::{ListKind, Rows};
use crate::session::reply;
use crate::session::{Ask, Locator, Server};
use crate::store::{Group, Location, ReadError, Store, Stored, Wait};
use crate::sync::{self, Ranges, Summary};
use crate::transport::blocking;
use crate::wildmat::{TextPattern, Wildmat};
use crate::wire::{ListFile, Part, Range};
use std::sync::Arc;

/// Octets of an article that are read in one go; what is larger is sent from the file.
const WHOLE: usize = 32 * 1024;

type Session = Server<Arc<Group>>;

/// Answers a reader's question: a reply in `out`, and the stream that follows it, if any.
pub(super) fn answer(
    service: &Service,
    lists: &Lists,
    session: &mut Session,
    view: &Scope,
    ask: Ask,
    out: &mut Vec<u8>,
) -> Result<Option<Stream>, ReadError> {
    let store = &service.store;
    let find = |name: &str| store.group(name).filter(|group| view.allows(group.name()));
    match ask {
        Ask::Group(name) => {
            match find(&name) {
                Some(group) => {
                    let marks = group.marks();
                    let marks = (marks.low, marks.high, marks.count);
                    session.answer_group(group, &name, marks, false, out);
                }
                None => drop(reply::line(411, "No such newsgroup", out)),
            }
            Ok(None)
        }
        Ask::Listgroup(name, range) => {
            let group = match name {
                Some(name) => find(&name),
                None => session.group().cloned(),
            };
            let Some(group) = group else {
                reply::line(411, "No such newsgroup", out);
                return Ok(None);
            };
            let marks = group.marks();
            let name = group.name().to_owned();
            session.answer_group(group.clone(), &name, (marks.low, marks.high, marks.count), true, out);
            // RFC 3977 s.6.1.2.2: as things were at this moment.
            let high = range.high.map_or(marks.high, |high| high.min(marks.high));
            Ok(Some(Stream::Listgroup(numbers(group, Range { high: Some(high), ..range }))))
        }
        Ask::Article(_, ref locator @ Locator::Id(ref id)) if !shows(store, view, id)? => {
            session.answer_no_article(locator, out);
            Ok(None)
        }
        Ask::Over(ref rows @ Rows::Id(ref id)) | Ask::Hdr { rows: ref rows @ Rows::Id(ref id), .. }
            if !shows(store, view, id)? =>
        {
            reply::no_rows(rows, out);
            Ok(None)
        }
        Ask::Article(part, locator) => article(service, session, part, &locator, out),
        Ask::Neighbour { from, up } => {
            neighbour(store, session, from, up, out)?;
            Ok(None)
        }
        Ask::Over(rows) => over(store, session, &rows, out),
        Ask::Hdr { field, rows, old, pattern } => hdr(store, session, &field, &rows, old, pattern, out),
        Ask::List(kind, wildmat) => {
            reply::line(215, "List of newsgroups follows", out);
            Ok(Some(Stream::List {
                groups: store.groups(),
                at: 0,
                kind,
                filter: Filter { wildmat, since: None, view: view.clone() },
            }))
        }
        Ask::Xgtitle(wildmat) => {
            reply::line(282, "List of newsgroups follows", out);
            let groups = match (&wildmat, session.group()) {
                (None, Some(group)) => Arc::new(vec![group.clone()]),
                _ => store.groups(),
            };
            let filter = Filter { wildmat, since: None, view: view.clone() };
            Ok(Some(Stream::List { groups, at: 0, kind: ListKind::Newsgroups, filter }))
        }
        Ask::ListFile(list, wildmat) => {
            let lines = lists.lines(list).unwrap_or_default().iter().map(String::as_str);
            // RFC 6048 s.2.6.2: only newsgroups that are here.
            let shown = |name: &&str| {
                list != ListFile::Subscriptions
                    || (find(name).is_some() && wildmat.as_ref().is_none_or(|w| w.matches(name)))
            };
            reply::list_file(list, lines.filter(shown), out);
            Ok(None)
        }
        Ask::Newgroups(since) => {
            reply::line(231, "New newsgroups follow", out);
            let filter = Filter { wildmat: None, since: Some(since), view: view.clone() };
            Ok(Some(Stream::List { groups: store.groups(), at: 0, kind: ListKind::Active, filter }))
        }
        Ask::Newnews(wildmat, since) => {
            reply::line(230, "New articles follow", out);
            let after = blocking(|| store.seq_before(since));
            Ok(Some(Stream::Newnews { after, wildmat, since }))
        }
        Ask::Date => {
            reply::line(111, &date::digits(clock::now()), out);
            Ok(None)
        }
        Ask::SyncCounts(ranges, wildmat) => {
            reply::line(291, "Counts follow", out);
            Ok(Some(sync(store, ranges, wildmat, Some(Summary::default()))))
        }
        Ask::SyncIds(ranges, wildmat) => {
            reply::line(291, "Message-IDs follow", out);
            Ok(Some(sync(store, ranges, wildmat, None)))
        }
        // The connection answers offers itself, which are the intake's, and what changes the connection.
        Ask::Check(_)
        | Ask::Ihave(_)
        | Ask::Login(_)
        | Ask::Compress
        | Ask::Turn
        | Ask::SyncOffer(_)
        | Ask::Peer => Ok(None),
    }
}

/// XSYNC looks from where the first article can have arrived: its own date is at most a day ahead of
/// that (RFC 5537 s.3.6 step 2).
fn sync(store: &Store, ranges: Ranges, wildmat: Wildmat, summary: Option<Summary>) -> Stream {
    let first = Timestamp::from_unix_s(ranges.first()).plus_s(-sync::AHEAD_S);
    let after = blocking(|| store.seq_before(first));
    Stream::Sync { after, ranges, wildmat, summary }
}

fn numbers(group: Arc<Group>, range: Range) -> Numbers {
    let high = range.high.unwrap_or(u64::MAX).min(group.marks().high);
    Numbers { group, next: range.low.max(1), high }
}

/// Runs a read that must not wait; if it would, once more where it may.
fn read<T>(mut work: impl FnMut(Wait) -> Result<T, ReadError>) -> Result<T, ReadError> {
    match work(Wait::No) {
        Err(ReadError::WouldBlock) => blocking(|| work(Wait::Disk)),
        result => result,
    }
}

/// May the article with this Message-ID be seen: does it stand in a newsgroup that may be read?
fn shows(store: &Store, view: &Scope, id: &MessageId) -> Result<bool, ReadError> {
    if *view == Scope::All {
        return Ok(true);
    }
    let Some(row) = read(|wait| store.row(id, wait))? else { return Ok(false) };
    let mut xref = Vec::new();
    Item::from_row(Item::XREF, &row, &mut xref);
    // RFC 5536 s.3.2.14: the server's name, then newsgroup:number for each.
    let xref = String::from_utf8_lossy(&xref);
    let newsgroups = xref.split_ascii_whitespace().skip(1);
    Ok(view.allows_any(newsgroups.filter_map(|place| place.rsplit_once(':')).map(|(name, _)| name)))
}

fn locate(store: &Store, session: &Session, locator: &Locator) -> Result<Option<Location>, ReadError> {
    match (locator, session.group()) {
        (Locator::Id(id), _) => Ok(store.locate(id)),
        (Locator::Number { number, .. }, Some(group)) => {
            read(|wait| store.locate_number(group, *number, wait))
        }
        (Locator::Number { .. }, None) => Ok(None),
    }
}

/// Finds and reads an article; none when there is none (any more).
fn fetch(
    store: &Store,
    session: &Session,
    locator: &Locator,
    whole: usize,
) -> Result<Option<Stored>, ReadError> {
    let expect = match locator {
        Locator::Id(id) => Some(id),
        Locator::Number { .. } => None,
    };
    let Some(location) = locate(store, session, locator)? else { return Ok(None) };
    match read(|wait| store.read(location, expect, whole, wait)) {
        Ok(stored) => Ok(Some(stored)),
        Err(ReadError::Gone) => Ok(None),
        Err(error) => Err(error),
    }
}

fn article(
    service: &Service,
    session: &mut Session,
    part: Part,
    locator: &Locator,
    out: &mut Vec<u8>,
) -> Result<Option<Stream>, ReadError> {
    let whole = match part {
        Part::Article | Part::Body => WHOLE,
        Part::Head | Part::Stat => 4096,
    };
    let Some(stored) = fetch(&service.store, session, locator, whole)? else {
        session.answer_no_article(locator, out);
        return Ok(None);
    };
    session.answer_article(part, locator, &stored.id, out);
    if part == Part::Stat {
        return Ok(None);
    }
    super::Counters::add(&service.counters.articles_sent, 1);
    let (from, to, tail): (usize, usize, &'static [u8]) = match part {
        Part::Article | Part::Stat => (0, stored.len, b""),
        Part::Head => (0, stored.head_len, b".\r\n"),
        // Behind the empty line's CRLF; the terminator is stored with the body.
        Part::Body => (stored.head_len.saturating_add(2), stored.len, b""),
    };
    let in_text = |at: usize| at.min(stored.text.len());
    out.extend_from_slice(stored.text.get(in_text(from)..in_text(to)).unwrap_or_default());
    let sent_to = in_text(to).max(from);
    if sent_to >= to {
        out.extend_from_slice(tail);
        return Ok(None);
    }
    Ok(Some(Stream::File {
        file: stored.file,
        offset: stored.offset + sent_to as u64,
        remaining: (to - sent_to) as u64,
        tail,
    }))
}

fn neighbour(
    store: &Store,
    session: &mut Session,
    from: u64,
    up: bool,
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let Some(group) = session.group().cloned() else {
        reply::no_group(out);
        return Ok(());
    };
    let mut number = from;
    // An article may expire between being found and being read: then the next one is meant.
    while let Some(next) = read(|wait| store.neighbour(&group, number, up, wait))? {
        if let Some(stored) = fetch(store, session, &Locator::Number { number: next, current: false }, 4096)?
        {
            session.answer_neighbour(next, &stored.id, out);
            return Ok(());
        }
        number = next;
    }
    if up {
        reply::line(421, "No next article in this group", out);
    } else {
        reply::line(422, "No previous article in this group", out);
    }
    Ok(())
}

fn over(
    store: &Store,
    session: &Session,
    rows: &Rows,
    out: &mut Vec<u8>,
) -> Result<Option<Stream>, ReadError> {
    if let Rows::Id(id) = rows {
        match read(|wait| store.row(id, wait))? {
            Some(row) => {
                // RFC 3977 s.8.3.2: the number is 0 where the article was named by Message-ID.
                out.extend_from_slice(b"224 Overview information follows\r\n0\t");
                out.extend_from_slice(&row);
                out.extend_from_slice(b"\r\n.\r\n");
            }
            None => reply::no_rows(rows, out),
        }
        return Ok(None);
    }
    begin(store, session, rows, out, 224, "Overview information follows", Stream::Over)
}

fn hdr(
    store: &Store,
    session: &Session,
    field: &str,
    rows: &Rows,
    old: bool,
    pattern: Option<TextPattern>,
    out: &mut Vec<u8>,
) -> Result<Option<Stream>, ReadError> {
    let code = if old { 221 } else { 225 };
    let Some(item) = Item::named(field) else {
        reply::line(503, "No such metadata item", out);
        return Ok(None);
    };
    let Rows::Id(id) = rows else {
        let patterned = pattern.is_some();
        let start = out.len();
        let stream = begin(store, session, rows, out, code, "Headers follow", |numbers| {
            Stream::Hdr(numbers, item, pattern)
        })?;
        if stream.is_none() && patterned {
            // RFC 2980 s.2.9: an empty list is no error.
            out.truncate(start);
            reply::line(code, "Headers follow", out);
            out.extend_from_slice(b".\r\n");
        }
        return Ok(stream);
    };
    let mut value = Vec::new();
    let found = match &item {
        Item::Column(column) => read(|wait| store.row(id, wait))?.map(|row| {
            Item::from_row(*column, &row, &mut value);
        }),
        Item::Field(name) => match store.locate(id) {
            Some(location) => match read(|wait| head(store, location, Some(id), wait)) {
                Ok(head) => {
                    field_value(&head, name, &mut value);
                    Some(())
                }
                Err(ReadError::Gone) => None,
                Err(error) => return Err(error),
            },
            None => None,
        },
    };
    if found.is_none() {
        reply::no_rows(rows, out);
        return Ok(None);
    }
    reply::line(code, "Headers follow", out);
    Item::line(0, &value, pattern.as_ref(), out);
    out.extend_from_slice(b".\r\n");
    Ok(None)
}

/// Begins an answer about article numbers, or says that there are none.
fn begin(
    store: &Store,
    session: &Session,
    rows: &Rows,
    out: &mut Vec<u8>,
    code: u16,
    text: &str,
    stream: impl FnOnce(Numbers) -> Stream,
) -> Result<Option<Stream>, ReadError> {
    let Some(group) = session.group() else {
        reply::no_group(out);
        return Ok(None);
    };
    let range = match *rows {
        Rows::Range(range) => range,
        Rows::Current(number) => Range { low: number, high: Some(number) },
        Rows::Id(_) => return Ok(None),
    };
    let numbers = numbers(group.clone(), range);
    let mut any = false;
    if numbers.next <= numbers.high {
        read(|wait| {
            store.over(group, numbers.next, numbers.high, wait, &mut |_, _, _| {
                any = true;
                false
            })
        })?;
    }
    if !any {
        reply::no_rows(rows, out);
        return Ok(None);
    }
    reply::line(code, text, out);
    Ok(Some(stream(numbers)))
}

/// An article's header section with its empty line, from its record.
pub(super) fn head(
    store: &Store,
    location: Location,
    expect: Option<&crate::article::MessageId>,
    wait: Wait,
) -> Result<Vec<u8>, ReadError> {
    let stored = store.read(location, expect, crate::limits::HEADER_SECTION_MAX, wait)?;
    let len = stored.head_len.saturating_add(2);
    if let Some(head) = stored.text.get(..len) {
        return Ok(head.to_vec());
    }
    // Larger than what was read: the article is large, and so is its header.
    use std::os::unix::fs::FileExt;
    let mut head = vec![0; len];
    stored.file.read_exact_at(&mut head, stored.offset).map_err(ReadError::Io)?;
    Ok(head)
}
