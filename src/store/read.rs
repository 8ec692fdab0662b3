//! Reading: articles from the segments, overview rows from memory or the index.

use super::block::{Block, NUMBERS};
use super::groups::Group;
use super::index::Failure;
use super::log;
use super::record::{HEADER, Header, Record};
use super::shared::{Shared, adopt};
use super::types::{Location, LogEntry, ReadError, Stored, Wait};
use crate::article::MessageId;
use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets of the first read: record and article of a small one come at once.
const FIRST: usize = 4096;

/// Fills `buffer[have..]` from `offset` on, less at the end of the file; returns how much there is.
fn fill(
    file: &File,
    buffer: &mut [u8],
    mut have: usize,
    offset: u64,
    wait: Wait,
) -> Result<usize, ReadError> {
    while have < buffer.len() {
        let at = offset + have as u64;
        let read = match wait {
            Wait::No => match rustix::io::preadv2(
                file,
                &mut [IoSliceMut::new(&mut buffer[have..])],
                at,
                ReadWriteFlags::NOWAIT,
            ) {
                Err(Errno::AGAIN) => return Err(ReadError::WouldBlock),
                // Not every file system can tell: then the read may wait.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.read_at(&mut buffer[have..], at),
                Err(Errno::INTR) => continue,
                done => done.map_err(Into::into),
            },
            Wait::Disk => file.read_at(&mut buffer[have..], at),
        };
        match read {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::Io(error)),
        }
    }
    Ok(have)
}

/// A record's beginning, read as far as needed.
struct Opened {
    file: Arc<File>,
    bytes: Vec<u8>,
    header: Header,
}

impl Opened {
    /// Reads until there are `len` octets of the record.
    fn extend(&mut self, len: usize, location: Location, wait: Wait) -> Result<(), ReadError> {
        if self.bytes.len() < len {
            let have = self.bytes.len();
            self.bytes.resize(len, 0);
            if fill(&self.file, &mut self.bytes, have, location.offset, wait)? < len {
                return Err(ReadError::Corrupt(format!("{location:?}: the segment ends within the record")));
            }
        }
        Ok(())
    }

    fn record(&self, location: Location, salt: u32) -> Result<Record<'_>, ReadError> {
        Record::parse(&self.bytes, salt)
            .ok_or_else(|| ReadError::Corrupt(format!("{location:?}: the record's facts are damaged")))
    }
}

impl Shared {
    fn open_record(&self, location: Location, wait: Wait) -> Result<Opened, ReadError> {
        let file = self.spool.file(location.segment).ok_or(ReadError::Gone)?;
        let mut bytes = vec![0; FIRST];
        let have = first(&file, &mut bytes, location.offset, wait)?;
        bytes.truncate(have);
        let header = Header::parse(&bytes)
            .ok_or_else(|| ReadError::Corrupt(format!("{location:?}: no record begins here")))?;
        let mut opened = Opened { file, bytes, header };
        opened.extend(header.article_at(), location, wait)?;
        Ok(opened)
    }

    /// See [`super::Store::read`].
    pub fn read(
        &self,
        location: Location,
        expect: Option<&MessageId>,
        whole: usize,
        wait: Wait,
    ) -> Result<Stored, ReadError> {
        let mut opened = self.open_record(location, wait)?;
        let header = opened.header;
        let article_at = header.article_at();
        let head_len = header.head_len as usize;
        let len = header.article_len();
        opened.extend(article_at + if len <= whole { len } else { head_len }, location, wait)?;
        let record = opened.record(location, self.spool.salt())?;
        let id = MessageId::try_from(record.id())
            .map_err(|_| ReadError::Corrupt(format!("{location:?}: no article's record")))?;
        if expect.is_some_and(|expect| *expect != id) {
            return Err(ReadError::Gone);
        }
        let end = opened.bytes.len().min(article_at + len);
        let (head, rest) = opened.bytes[article_at..end].split_at(head_len);
        let damaged = crc32fast::hash(head) != header.head_crc
            || (head.len() + rest.len() == len && crc32fast::hash(rest) != header.body_crc);
        if damaged {
            return Err(ReadError::Corrupt(format!("{location:?}: the article is damaged")));
        }
        let text = Bytes::from(opened.bytes).slice(article_at..end);
        Ok(Stored { id, head_len, len, text, file: opened.file, offset: location.offset + article_at as u64 })
    }

    /// See [`super::Store::row`].
    pub fn row(&self, id: &MessageId, wait: Wait) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(location) = self.history.locate(self.history.fingerprint(id)) else { return Ok(None) };
        let opened = self.open_record(location, wait)?;
        let record = opened.record(location, self.spool.salt())?;
        Ok((record.id() == id.as_str().as_bytes()).then(|| record.row().to_vec()))
    }

    /// See [`super::Store::entry`].
    pub fn entry(&self, id: &MessageId, wait: Wait) -> Result<Option<LogEntry>, ReadError> {
        let Some(location) = self.history.locate(self.history.fingerprint(id)) else { return Ok(None) };
        let opened = self.open_record(location, wait)?;
        let record = opened.record(location, self.spool.salt())?;
        let is_it = record.id() == id.as_str().as_bytes();
        Ok(if is_it { log::entry(location, &record) } else { None })
    }

    /// Block `no` of the newsgroup's overview.
    pub fn block(&self, group: &Group, no: u64, wait: Wait) -> Result<Arc<Block>, ReadError> {
        let state = group.state();
        let found = state.rows.block(no);
        let grows = state.facts.high / NUMBERS == no;
        let drops = state.rows.drops;
        drop(state);
        match &found {
            Some(block) if block.whole => return Ok(block.clone()),
            None if !grows => {
                if let Some(block) = self.cache.find(group.id, no) {
                    return Ok(block);
                }
            }
            _ => {}
        }
        if wait == Wait::No {
            return Err(ReadError::WouldBlock);
        }
        let index =
            self.index().ok_or_else(|| ReadError::Io(std::io::Error::other("the index is closed")))?;
        let stored = index.block(group.id, no).map_err(|Failure(error)| {
            // Other blocks may be good: they are read until the next start builds the index anew.
            tracing::error!(%error, "the index failed a reader; the next start builds it anew");
            index.mark_failed();
            ReadError::Io(std::io::Error::other(error))
        })?;
        let mut block = stored.unwrap_or_else(|| Block::new(no, true));
        if grows {
            adopt(group, &block, Some(drops));
        }
        let Some(found) = found else {
            let block = Arc::new(block);
            if !grows {
                self.cache.put(group.id, block.clone());
            }
            return Ok(block);
        };
        block.merge(&found);
        Ok(Arc::new(block))
    }

    /// See [`super::Store::locate_number`].
    pub fn locate_number(
        &self,
        group: &Group,
        number: u64,
        wait: Wait,
    ) -> Result<Option<Location>, ReadError> {
        let state = group.state();
        if number < state.facts.low || number > state.facts.high {
            return Ok(None);
        }
        let found = state.rows.location(number);
        drop(state);
        if let Some(packed) = found {
            return Ok(Some(packed.location()));
        }
        let block = self.block(group, number / NUMBERS, wait)?;
        Ok(block.location(number).map(|packed| packed.location()))
    }

    /// See [`super::Store::neighbour`].
    pub fn neighbour(
        &self,
        group: &Group,
        number: u64,
        up: bool,
        wait: Wait,
    ) -> Result<Option<u64>, ReadError> {
        let marks = group.marks();
        let Some(mut at) = (if up { number.checked_add(1) } else { number.checked_sub(1) }) else {
            return Ok(None);
        };
        at = if up { at.max(marks.low) } else { at.min(marks.high) };
        while (marks.low..=marks.high).contains(&at) {
            let no = at / NUMBERS;
            if let Some(found) = self.block(group, no, wait)?.nearest(at, up) {
                return Ok((marks.low..=marks.high).contains(&found).then_some(found));
            }
            at = match (up, no) {
                (true, _) => (no + 1) * NUMBERS,
                (false, 0) => break,
                (false, _) => no * NUMBERS - 1,
            };
        }
        Ok(None)
    }

    /// See [`super::Store::over`].
    pub fn over(
        &self,
        group: &Group,
        low: u64,
        high: u64,
        wait: Wait,
        row: &mut dyn FnMut(u64, Location, &[u8]) -> bool,
    ) -> Result<Option<u64>, ReadError> {
        let marks = group.marks();
        let low = low.max(marks.low);
        let high = high.min(marks.high);
        let mut number = low;
        while number <= high {
            let no = number / NUMBERS;
            let block = match self.block(group, no, wait) {
                Err(_) if number > low => return Ok(Some(number)),
                block => block?,
            };
            let end = ((no + 1) * NUMBERS).min(high + 1);
            for (number, packed, text) in block.rows(number..end) {
                if !row(number, packed.location(), text) {
                    return Ok((number < high).then_some(number + 1));
                }
            }
            number = end;
        }
        Ok(None)
    }
}

/// The first read: what there is, but at least a record's fixed part.
fn first(file: &File, bytes: &mut [u8], offset: u64, wait: Wait) -> Result<usize, ReadError> {
    match fill(file, bytes, 0, offset, wait) {
        Err(ReadError::WouldBlock) => fill(file, &mut bytes[..HEADER], 0, offset, wait),
        have => have,
    }
}
