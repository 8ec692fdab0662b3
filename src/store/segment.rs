//! Segments: the files of the log, `spool/NNNNNNNNNN.seg`.
//!
//! A segment begins with 64 octets (magic 8, version 4, its number 4, the first seq in it 8, when it
//! was created 8, the log's salt 4, zeros, CRC-32) and then holds records one behind the other.
//! Only the last segment grows.

use super::held;
use super::record::{HEADER, Header, Record};
use super::types::{Location, Seq, StoreError};
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

/// Octets before the first record.
pub(super) const SEGMENT_HEADER: u64 = 64;
const MAGIC: [u8; 8] = *b"FEEDDLOG";
const VERSION: u32 = 1;

/// A location in 8 octets: segment, and offset in units of 8. Never 0: segments count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packed(pub u64);

impl Packed {
    pub fn new(location: Location) -> Self {
        Self(u64::from(location.segment) << 32 | (location.offset / 8) & 0xffff_ffff)
    }

    pub fn location(self) -> Location {
        Location { segment: (self.0 >> 32) as u32, offset: (self.0 & 0xffff_ffff) * 8 }
    }
}

/// The segments that exist, their files kept open.
pub(super) struct Spool {
    dir: PathBuf,
    files: RwLock<BTreeMap<u32, Arc<File>>>,
    /// With it begins the CRC of every record; random, and the same in all segments of a log.
    salt: u32,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |error| StoreError::Io(path.to_path_buf(), error)
}

/// The octets before the first record.
fn header(segment: u32, first: Seq, created: Timestamp, salt: u32) -> [u8; SEGMENT_HEADER as usize] {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&segment.to_le_bytes());
    bytes[16..24].copy_from_slice(&first.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&created.unix_ms().to_le_bytes());
    bytes[32..36].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

impl Spool {
    /// Opens all segments of a folder, creating it when it is not there. A new log gets `new_salt`.
    pub fn open(dir: PathBuf, new_salt: u32) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&dir).map_err(io_error(&dir))?;
        // The segments' folder must outlast a power failure just as they do.
        if let Some(parent) = dir.parent() {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(io_error(parent))?;
        }
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).map_err(io_error(&dir))? {
            let path = entry.map_err(io_error(&dir))?.path();
            if path.extension().is_none_or(|extension| extension != "seg") {
                continue;
            }
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let segment: u32 = stem
                .parse()
                .map_err(|_| StoreError::Corrupt(format!("{} is no segment's name", path.display())))?;
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error(&path))?;
            files.insert(segment, Arc::new(file));
        }
        let mut salts = files.iter().filter_map(|(segment, file)| salt_of(*segment, file).ok().flatten());
        let salt = salts.next_back().unwrap_or(new_salt);
        drop(salts);
        Ok(Self { dir, files: RwLock::new(files), salt })
    }

    /// What the CRC of every record begins with.
    pub fn salt(&self) -> u32 {
        self.salt
    }

    /// The path of a segment.
    pub fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(format!("{segment:010}.seg"))
    }

    /// The file of a segment, if there is such a segment.
    pub fn file(&self, segment: u32) -> Option<Arc<File>> {
        held(self.files.read()).get(&segment).cloned()
    }

    /// The segments in order.
    pub fn segments(&self) -> Vec<u32> {
        held(self.files.read()).keys().copied().collect()
    }

    /// The first segment behind `segment`.
    pub fn after(&self, segment: u32) -> Option<u32> {
        held(self.files.read()).range(segment.saturating_add(1)..).next().map(|(number, _)| *number)
    }

    /// The first seq of the first segment, as its header says.
    pub fn first_seq(&self) -> Option<Seq> {
        let segment = *self.segments().first()?;
        let mut first = [0; 8];
        self.file(segment)
            .filter(|_| self.has_header(segment).is_ok_and(|has| has))?
            .read_exact_at(&mut first, 16)
            .ok()?;
        Some(Seq(u64::from_le_bytes(first)))
    }

    /// Octets of all segments.
    pub fn octets(&self) -> u64 {
        held(self.files.read()).values().map(|file| file.metadata().map_or(0, |meta| meta.len())).sum()
    }

    /// Octets of one segment.
    pub fn octets_of(&self, segment: u32) -> u64 {
        self.file(segment).and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len())
    }

    /// Removes a segment.
    pub fn remove(&self, segment: u32) -> io::Result<()> {
        held(self.files.write()).remove(&segment);
        std::fs::remove_file(self.path(segment))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Creates a segment; on return its name and its header are on disk.
    pub fn create(&self, segment: u32, first: Seq, created: Timestamp) -> io::Result<Arc<File>> {
        let path = self.path(segment);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.write_all_at(&header(segment, first, created, self.salt), 0)?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        let file = Arc::new(file);
        held(self.files.write()).insert(segment, file.clone());
        Ok(file)
    }

    /// Is the beginning of the segment as it should be?
    pub fn has_header(&self, segment: u32) -> io::Result<bool> {
        let Some(file) = self.file(segment) else { return Ok(false) };
        Ok(salt_of(segment, &file)? == Some(self.salt))
    }
}

/// The salt in a segment's beginning; none when that is damaged.
fn salt_of(segment: u32, file: &File) -> io::Result<Option<u32>> {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let crc = crc32fast::hash(&bytes[..60]);
    let right = bytes[..8] == MAGIC
        && bytes[8..12] == VERSION.to_le_bytes()
        && bytes[12..16] == segment.to_le_bytes()
        && bytes[60..] == crc.to_le_bytes();
    let salt: [u8; 4] = [bytes[32], bytes[33], bytes[34], bytes[35]];
    Ok(right.then_some(u32::from_le_bytes(salt)))
}

/// Octets a scan reads at once.
const WINDOW: usize = 1 << 20;

/// Reads a segment's records in order, with few large reads; bodies that are not asked for are
/// jumped over.
pub(super) struct Scan {
    file: Arc<File>,
    salt: u32,
    segment: u32,
    end: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    read_at_once: usize,
}

/// What a scan found next.
pub(super) enum Step {
    /// A record whose fixed part and facts are right: it is at this offset; ask [`Scan::facts`].
    Record(u64),
    /// Octets that are no record.
    Damage(std::ops::Range<u64>),
    /// The end of the segment.
    End,
}

impl Scan {
    /// A scan of a segment from `at` (where a record begins) to `end`; none when there is no such
    /// segment.
    pub fn new(spool: &Spool, segment: u32, at: u64, end: u64) -> Option<Self> {
        let at = at.max(SEGMENT_HEADER);
        let window = Vec::new();
        let (file, salt) = (spool.file(segment)?, spool.salt);
        Some(Self { file, salt, segment, end, at, window, window_at: 0, read_at_once: WINDOW })
    }

    /// The same, reading less at once: for the few records of one answer.
    pub fn narrow(mut self) -> Self {
        self.read_at_once = WINDOW / 8;
        self
    }

    /// `len` octets at `at`, fewer at the end.
    pub fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + len as u64 > window_end {
            let want = self.read_at_once.max(len);
            let want = want.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
            self.window.resize(want, 0);
            self.window_at = at;
            let mut have = 0;
            while have < want {
                match self.file.read_at(&mut self.window[have..], at + have as u64) {
                    Ok(0) => break,
                    Ok(read) => have += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.window.clear();
                        return Err(error);
                    }
                }
            }
            self.window.truncate(have);
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX).min(self.window.len());
        let to = (from + len).min(self.window.len());
        Ok(&self.window[from..to])
    }

    /// The octets from a record's beginning to its article.
    pub fn facts(&mut self, at: u64) -> io::Result<Option<Record<'_>>> {
        let Some(header) = Header::parse(self.bytes(at, HEADER)?) else { return Ok(None) };
        if at + header.total() > self.end {
            return Ok(None);
        }
        let salt = self.salt;
        Ok(Record::parse(self.bytes(at, header.article_at())?, salt))
    }

    /// The next record or what stands in its place.
    pub fn step(&mut self) -> io::Result<Step> {
        let at = self.at;
        if at >= self.end {
            return Ok(Step::End);
        }
        if let Some(record) = self.facts(at)? {
            self.at = at + record.header.total();
            return Ok(Step::Record(at));
        }
        let mut next = at + 8;
        while next < self.end && self.facts(next)?.is_none() {
            next += 8;
        }
        self.at = next.min(self.end);
        Ok(Step::Damage(at..self.at))
    }

    /// Are the article's octets right? The record at `at` must have been found.
    pub fn article_is_whole(&mut self, at: u64) -> io::Result<bool> {
        let Some(record) = self.facts(at)? else { return Ok(false) };
        let header = record.header;
        let head_at = at + header.article_at() as u64;
        let head_crc = self.crc(head_at, header.head_len as usize)?;
        let body_crc = self.crc(head_at + u64::from(header.head_len), header.body_len as usize)?;
        Ok(head_crc == Some(header.head_crc) && body_crc == Some(header.body_crc))
    }

    fn crc(&mut self, mut at: u64, mut len: usize) -> io::Result<Option<u32>> {
        let mut crc = crc32fast::Hasher::new();
        while len > 0 {
            let part = self.bytes(at, len.min(WINDOW / 2))?;
            if part.is_empty() {
                return Ok(None);
            }
            crc.update(part);
            at += part.len() as u64;
            len -= part.len();
        }
        Ok(Some(crc.finalize()))
    }

    /// Where the record at `offset` is.
    pub fn location(&self, offset: u64) -> Location {
        Location { segment: self.segment, offset }
    }
}
