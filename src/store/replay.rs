//! Opening: the lock, the secret, the index up to its checkpoint, and then the log behind it, read
//! and applied again. Applying a record twice changes nothing, so the index may know more than its
//! checkpoint says. An empty index makes this the rebuild.

use super::behind::{Behind, Changes, ENTRIES, ENTRY, HistoryBlock, HistoryEntry};
use super::fed::Fed;
use super::groups::Facts;
use super::history::History;
use super::index::{Checkpoint, Failure, Index};
use super::log::{self, Log, Tip, Visible};
use super::record::Kind;
use super::segment::{Packed, SEGMENT_HEADER, Scan, Spool, Step};
use super::shared::Shared;
use super::types::{Location, Options, Seq, StoreError};
use super::writer::End;
use crate::clock;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Records applied before they are made visible together.
const STRIDE: usize = 512;
/// Text whose fingerprint tells whether an index was made under our secret.
const KEY_CHECK: &[u8] = b"feedd";
/// Text whose fingerprint gives a new log's salt.
const SALT: &[u8] = b"salt";

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |error| StoreError::Io(path.to_path_buf(), error)
}

/// Takes the lock of the store's folder, which is created when it is not there.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(dir).map_err(io_error(dir))?;
    let path = dir.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::Io(path, error)),
    }
}

/// The secret under which Message-IDs are hashed, made at the first start.
fn secret(dir: &Path) -> Result<[u8; 16], StoreError> {
    let path = dir.join("secret");
    match std::fs::read(&path) {
        Ok(bytes) => {
            if let Ok(secret) = <[u8; 16]>::try_from(bytes.as_slice()) {
                return Ok(secret);
            }
            tracing::error!(path = %path.display(), "the secret is damaged: a new one, and the index is built anew");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::Io(path, error)),
    }
    let mut secret = [0; 16];
    crate::random::fill(&mut secret)
        .map_err(|error| StoreError::Io(path.clone(), io::Error::other(error.to_string())))?;
    let new = dir.join("secret.new");
    let write = || {
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        io::Write::write_all(&mut file, &secret)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(io_error(&path))?;
    Ok(secret)
}

/// What the index knows, read into memory.
struct Loaded {
    checkpoint: Checkpoint,
    index: Index,
    shared: Shared,
}

/// Opens everything but the threads. The log behind the checkpoint is still to be replayed.
pub(super) fn load(options: &Options) -> Result<(Shared, Checkpoint), StoreError> {
    let path = options.dir.join("index");
    let secret = secret(&options.dir)?;
    let open = || {
        let history = Arc::new(History::new(&secret));
        // Should the segments' headers be damaged, the secret gives the salt again.
        let salt = history.fingerprint_of(SALT).0 as u32;
        let check = history.fingerprint_of(KEY_CHECK).0.to_le_bytes();
        let index = Index::open(&path, &check)?;
        let checkpoint = index.checkpoint().ok().flatten().unwrap_or_default();
        let tip = Tip {
            seq: Seq(checkpoint.seq),
            end: Location { segment: checkpoint.segment, offset: checkpoint.offset },
        };
        let shared = Shared {
            identity: options.identity.clone(),
            spool: Spool::open(options.dir.join("spool"), salt)?,
            disk: options.disk.clone(),
            history,
            groups: Default::default(),
            log: Log::new(tip),
            peers: Default::default(),
            fed: Fed::open(&options.dir),
            behind: Behind::default(),
            cache: Default::default(),
            index: Default::default(),
            articles: Default::default(),
            damaged: Default::default(),
            refusing: Default::default(),
            by_hand: options.by_hand.is_some(),
        };
        Ok(Loaded { checkpoint, index, shared })
    };
    let first = open()?;
    let loaded = match fill(&first) {
        Ok(()) => first,
        Err(Failure(why)) => {
            tracing::error!(error = %why, "the index is of no use; it is built anew from the log");
            first.index.mark_failed();
            drop(first);
            let again = open()?;
            fill(&again).map_err(|Failure(why)| StoreError::Corrupt(why))?;
            again
        }
    };
    let Loaded { checkpoint, index, mut shared } = loaded;
    shared.index = Some(Arc::new(index)).into();
    Ok((shared, checkpoint))
}

/// Reads the index into memory: history, newsgroups, peers.
fn fill(Loaded { checkpoint, index, shared }: &Loaded) -> Result<(), Failure> {
    let mut last = None;
    let mut open = HistoryBlock { no: checkpoint.seq / ENTRIES, bytes: Vec::new() };
    let mut articles = 0;
    index.load_history(|block| {
        for entry in block.entries().take_while(|entry| entry.seq.0 <= checkpoint.seq) {
            if let Some(fingerprint) = entry.fingerprint {
                shared.history.put(fingerprint, entry.location);
                articles += 1;
            }
            let date = entry.fingerprint.map(|_| entry.date);
            shared.log.note(entry.seq, entry.location, entry.arrived, date);
            last = Some(entry);
        }
        if block.no == open.no {
            open = block;
            open.bytes.truncate((checkpoint.seq % ENTRIES + 1) as usize * ENTRY);
        }
    })?;
    index.load_groups(|facts| drop(shared.groups.load(facts)))?;
    let mut damaged_peer = false;
    index.load_peers(|text| damaged_peer |= !shared.peers.load(text, false))?;
    if damaged_peer {
        return Err(Failure("a peer's state is damaged".into()));
    }
    shared.articles.store(articles, Ordering::Relaxed);
    shared.behind.work().open = open;
    if checkpoint.seq > 0 {
        fits_log(shared, checkpoint, last)?;
    }
    Ok(())
}

/// Is the checkpoint's record in the log, where the index says it is?
fn fits_log(shared: &Shared, checkpoint: &Checkpoint, last: Option<HistoryEntry>) -> Result<(), Failure> {
    let stranger = || Failure("the index does not belong to this log".into());
    let last = last.filter(|last| last.seq.0 == checkpoint.seq).ok_or_else(stranger)?;
    let location = last.location.location();
    let end = shared.spool.octets_of(location.segment);
    let scan = Scan::new(&shared.spool, location.segment, location.offset, end);
    let mut scan = scan.ok_or_else(stranger)?.narrow();
    let seq = scan.facts(location.offset)?.map(|record| record.header.seq);
    (seq == Some(last.seq)).then_some(()).ok_or_else(stranger)
}

/// Replays the log behind the checkpoint, cuts a torn tail and returns where the writer goes on.
pub(super) fn replay(shared: &Shared, from: Checkpoint, options: &Options) -> Result<End, StoreError> {
    let segments = shared.spool.segments();
    let mut segments: Vec<u32> = segments.into_iter().filter(|segment| *segment >= from.segment).collect();
    // A last segment cut off in its creation has nothing in it that was acknowledged.
    if let Some(&last) = segments.last()
        && !shared.spool.has_header(last).map_err(io_error(&shared.spool.path(last)))?
        && shared.spool.octets_of(last) <= SEGMENT_HEADER
    {
        segments.pop();
        shared.spool.remove(last).map_err(io_error(&shared.spool.path(last)))?;
    }
    if let Some(&last) = segments.last() {
        let behind = if last == from.segment { from.offset } else { 0 };
        settle(shared, last, behind).map_err(io_error(&shared.spool.path(last)))?;
    }
    let mut replay = Replay {
        shared,
        tip: shared.log.tip(),
        changes: Changes::default(),
        visible: Vec::new(),
        dropped: Vec::new(),
        lost: None,
        done: 0,
        total: segments.iter().map(|segment| shared.spool.octets_of(*segment)).sum(),
        on_replay: &*options.on_replay,
    };
    replay.total = replay.total.saturating_sub(from.offset);
    for &segment in &segments {
        let offset = if segment == from.segment { from.offset } else { SEGMENT_HEADER };
        let last = segments.last() == Some(&segment);
        replay.segment(segment, offset, last).map_err(io_error(&shared.spool.path(segment)))?;
    }
    replay.show();
    let (tip, lost) = (replay.tip, replay.lost);
    let cut = shared
        .peers
        .end_at(tip.seq)
        .map(|had| format!("the end of the log was lost: record {} of {}", tip.seq.0, had.0));
    if let Some(why) = cut.or(lost) {
        shared.peers.lose(&why);
    }
    for group in shared.groups.all() {
        group.take_back_numbers();
    }
    let file = match segments.last() {
        Some(&segment) => shared.spool.file(segment),
        None => None,
    };
    let (file, at) = match file {
        Some(file) => (file, tip.end),
        None => {
            let segment = from.segment + 1;
            let first = Seq(tip.seq.0 + 1);
            let file = shared.spool.create(segment, first, clock::now());
            let file = file.map_err(io_error(&shared.spool.path(segment)))?;
            (file, Location { segment, offset: SEGMENT_HEADER })
        }
    };
    shared.log.publish(&mut Vec::new(), Tip { seq: tip.seq, end: at }, &mut Vec::new());
    Ok(End { file, at, seq: tip.seq })
}

/// Makes the disk keep what the last process wrote and may not have synced, before any of it is
/// shown: a peer that hears that an article is known never sends it again. What a failed sync left in
/// the page cache alone, from the offset `behind` on, is dropped there, so that it is the disk that is
/// read.
fn settle(shared: &Shared, segment: u32, behind: u64) -> io::Result<()> {
    let Some(file) = shared.spool.file(segment) else { return Ok(()) };
    shared.disk.sync(&file, segment)?;
    if let Err(error) = rustix::fs::fadvise(&file, behind, None, rustix::fs::Advice::DontNeed) {
        tracing::debug!(%error, "the file system does not drop its cache");
    }
    Ok(())
}

struct Replay<'a> {
    shared: &'a Shared,
    tip: Tip,
    changes: Changes,
    visible: Vec<Visible>,
    dropped: Vec<Arc<super::types::LogEntry>>,
    /// What was damaged last.
    lost: Option<String>,
    done: u64,
    total: u64,
    on_replay: &'a (dyn Fn(u64, u64) + Send + Sync),
}

impl Replay<'_> {
    fn segment(&mut self, segment: u32, offset: u64, last: bool) -> io::Result<()> {
        let spool = &self.shared.spool;
        let Some(file) = spool.file(segment) else { return Ok(()) };
        let len = spool.octets_of(segment);
        let Some(mut scan) = Scan::new(spool, segment, offset, len) else { return Ok(()) };
        // Records whose article is damaged: a torn tail, unless something whole follows.
        let mut torn: Vec<u64> = Vec::new();
        let mut end = offset.max(SEGMENT_HEADER);
        let mut cut = None;
        loop {
            match scan.step()? {
                Step::End => break,
                Step::Damage(range) if last && range.end == len => {
                    cut = Some(range.start);
                    break;
                }
                Step::Damage(range) => {
                    self.damage(segment, &range);
                    end = range.end;
                }
                Step::Record(at) => {
                    if last && !scan.article_is_whole(at)? {
                        torn.push(at);
                        continue;
                    }
                    for at in torn.drain(..) {
                        self.lose(&mut scan, at)?;
                    }
                    end = self.apply(&mut scan, at)?;
                }
            }
        }
        if let Some(&first) = torn.first() {
            cut = Some(first);
        }
        if let Some(cut) = cut {
            tracing::warn!(
                segment,
                octets = len - cut,
                "the log's torn tail is cut: nothing of it was acknowledged"
            );
            file.set_len(cut)?;
            file.sync_all()?;
            end = cut;
        }
        self.tip.end = Location { segment, offset: end };
        self.done += len.saturating_sub(offset);
        self.show();
        Ok(())
    }

    fn damage(&mut self, segment: u32, range: &std::ops::Range<u64>) {
        self.lost = Some(format!("the log is damaged: segment {segment}, {} to {}", range.start, range.end));
        self.shared.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            segment,
            from = range.start,
            to = range.end,
            "the log is damaged; what was here is lost"
        );
    }

    /// Applies the record at `at`; returns where it ends.
    fn apply(&mut self, scan: &mut Scan, at: u64) -> io::Result<u64> {
        let location = scan.location(at);
        let Some(record) = scan.facts(at)? else { return Ok(at) };
        let header = record.header;
        let end = at + header.total();
        if header.seq <= self.tip.seq {
            self.damage(location.segment, &(at..end));
            return Ok(end);
        }
        let packed = Packed::new(location);
        let mut fingerprint = None;
        let mut entry = None;
        let groups = &self.shared.groups;
        match header.kind {
            Kind::Article => {
                let id = self.shared.history.fingerprint_of(record.id());
                self.shared.history.put(id, packed);
                self.shared.articles.fetch_add(1, Ordering::Relaxed);
                for ((group, number), name) in record.filed().zip(record.names()) {
                    // A newsgroup whose own record is lost is known from its articles.
                    let group = groups.by_id(group).unwrap_or_else(|| {
                        groups.set(Facts::unknown(group, name, header.arrived), header.seq)
                    });
                    self.changes.file(&group, number, packed, record.row());
                }
                fingerprint = Some(id);
                entry = log::entry(location, &record).map(Arc::new);
            }
            Kind::Newsgroup | Kind::Removed => match serde_json::from_slice::<Facts>(record.row()) {
                Ok(facts) if header.kind == Kind::Removed => {
                    groups
                        .remove(facts.id, header.seq)
                        .into_iter()
                        .for_each(|group| self.changes.touch(group));
                }
                Ok(facts) => self.changes.touch(groups.set(facts, header.seq)),
                Err(_) => self.damage(location.segment, &(at..end)),
            },
            Kind::Peer => {
                if !self.shared.peers.load(record.row(), true) {
                    self.damage(location.segment, &(at..end));
                }
            }
        }
        let (date, arrived) = (header.date, header.arrived);
        self.visible.push(Visible { seq: header.seq, location: packed, arrived, entry });
        let entry = HistoryEntry { seq: header.seq, fingerprint, location: packed, date, arrived };
        self.changes.remember(entry, header.total());
        self.tip = Tip { seq: header.seq, end: Location { offset: end, ..location } };
        if self.visible.len() >= STRIDE {
            self.show();
            (self.on_replay)(self.done + at, self.total.max(self.done + at));
        }
        Ok(end)
    }

    /// An article is damaged though its facts are whole: it is lost and may be sent again, but its
    /// numbers are not given again.
    fn lose(&mut self, scan: &mut Scan, at: u64) -> io::Result<()> {
        let segment = scan.location(at).segment;
        let Some(record) = scan.facts(at)? else { return Ok(()) };
        self.damage(segment, &(at..at + record.header.total()));
        for (group, number) in record.filed() {
            if let Some(group) = self.shared.groups.by_id(group) {
                group.state().skip(number);
                self.changes.touch(group);
            }
        }
        self.tip.seq = self.tip.seq.max(record.header.seq);
        Ok(())
    }

    /// Makes what was applied visible.
    fn show(&mut self) {
        self.shared.behind.hand_over(&mut self.changes);
        self.shared.log.publish(&mut self.visible, self.tip, &mut self.dropped);
        self.dropped.clear();
        self.shared.make_room();
    }
}
