//! The index on disk: sled, and nothing of it outside this file. Derived from the log; it never
//! decides whether an article exists.
//!
//! | tree | key (big-endian) | value |
//! |---|---|---|
//! | `hist` | block number 8 (seq / 256) | up to 256 entries of 32 octets, [`HistoryBlock`] |
//! | `over` | newsgroup id 4, block number 8 (article number / 64) | [`Block`] |
//! | `groups` | newsgroup id 4 | [`Facts`] as JSON |
//! | `peers` | name | [`super::peers`] as JSON |
//! | `meta` | `format`, `ckpt` | version and key check; where in the log the index is complete up to |
//!
//! What sled 0.34.7 needs of us: values in blocks (a leaf splits at 16 entries whatever their size)
//! and below a quarter of `segment_size`; plain inserts by one thread (a batch takes a global lock);
//! `flush` does not reach the disk's cache, so an fsync follows it before the checkpoint is
//! written; a half-written snapshot of an interrupted open must be deleted before the next; it may
//! panic on damaged files.
//!
//! Nor may it flush by itself: a flush finds the buffer that is being filled and then counts a
//! reference to it, and between the two another thread may have filled it up, put the next one in its
//! place and freed it. Then the buffer is freed twice. It takes a thread that is held up just there, so
//! it is rare; what protects from it is a guard of sled's epochs, which its own flushing thread does not
//! take. So there is no such thread (`flush_every_ms`), and our flushes hold a guard.

use super::behind::HistoryBlock;
use super::block::Block;
use super::groups::Facts;
use super::types::{Location, Seq, StoreError};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The form of what we keep in sled. Another one is rebuilt from the log.
const FORMAT: u32 = 1;
const CACHE_OCTETS: u64 = 64 << 20;
const SEGMENT_OCTETS: usize = 2 << 20;
const FORMAT_KEY: &[u8] = b"format";
const CHECKPOINT_KEY: &[u8] = b"ckpt";

/// The index failed; the text says how. The log is not concerned.
#[derive(Debug)]
pub(super) struct Failure(pub String);

impl From<sled::Error> for Failure {
    fn from(error: sled::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Up to where the index is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub seq: u64,
    /// Where in the log the next record begins.
    pub segment: u32,
    pub offset: u64,
}

impl Checkpoint {
    pub fn new(seq: Seq, end: Location) -> Self {
        Self { seq: seq.0, segment: end.segment, offset: end.offset }
    }
}

/// An open index.
pub(super) struct Index {
    db: sled::Db,
    hist: sled::Tree,
    over: sled::Tree,
    groups: sled::Tree,
    peers: sled::Tree,
    meta: sled::Tree,
    path: PathBuf,
    /// The next open knows that it failed.
    marked: AtomicBool,
}

/// Runs what may fail or panic inside sled.
fn guarded<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        Err(Failure(format!("panic: {text}")))
    })
}

fn insert(tree: &sled::Tree, key: &[u8], value: Vec<u8>) -> Result<(), Failure> {
    tree.insert(key, value)?;
    Ok(())
}

fn over_key(group: u32, no: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group.to_be_bytes());
    key[4..].copy_from_slice(&no.to_be_bytes());
    key
}

impl Index {
    /// Opens the index in `path`; when it is lost, damaged, of another format or of another store
    /// (`key_check`), puts what is there aside and begins an empty one.
    pub fn open(path: &Path, key_check: &[u8; 16]) -> Result<Self, StoreError> {
        let failed = failure_mark(path);
        if !failed.exists() {
            match Self::try_open(path, key_check) {
                Ok(index) => return Ok(index),
                Err(Failure(text)) => tracing::error!(index = %path.display(), error = %text,
                    "the index does not open; it is put aside and built anew from the log"),
            }
        } else {
            tracing::error!(index = %path.display(), "the index failed last time; it is built anew from the log");
        }
        let aside = path.with_extension("damaged");
        let io = |error| StoreError::Io(path.to_path_buf(), error);
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(io)?;
        }
        if path.exists() {
            std::fs::rename(path, &aside).map_err(io)?;
        }
        if failed.exists() {
            std::fs::remove_file(&failed).map_err(io)?;
        }
        Self::try_open(path, key_check)
            .map_err(|Failure(text)| StoreError::Corrupt(format!("a new index does not open: {text}")))
    }

    fn try_open(path: &Path, key_check: &[u8; 16]) -> Result<Self, Failure> {
        drop_unfinished_snapshots(path)?;
        guarded(|| {
            let db = sled::Config::new()
                .path(path)
                .cache_capacity(CACHE_OCTETS)
                .segment_size(SEGMENT_OCTETS)
                .flush_every_ms(None)
                .open()?;
            let meta = db.open_tree("meta")?;
            let mut format = FORMAT.to_be_bytes().to_vec();
            format.extend_from_slice(key_check);
            match meta.get(FORMAT_KEY)? {
                Some(found) if found == format => {}
                Some(_) => return Err(Failure("it is of another format or of another store".into())),
                None if db.was_recovered() && !meta.is_empty() => {
                    return Err(Failure("it does not say its format".into()));
                }
                None => drop(meta.insert(FORMAT_KEY, format)?),
            }
            Ok(Self {
                hist: db.open_tree("hist")?,
                over: db.open_tree("over")?,
                groups: db.open_tree("groups")?,
                peers: db.open_tree("peers")?,
                meta,
                db,
                path: path.to_path_buf(),
                marked: AtomicBool::new(false),
            })
        })
    }

    /// The next open shall not use this index.
    pub fn mark_failed(&self) {
        if self.marked.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = File::create(failure_mark(&self.path)).and_then(|mark| mark.sync_all()) {
            tracing::error!(%error, "the failed index could not be marked");
        }
    }

    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, Failure> {
        guarded(|| {
            let Some(value) = self.meta.get(CHECKPOINT_KEY)? else { return Ok(None) };
            serde_json::from_slice(&value).map(Some).map_err(|error| Failure(error.to_string()))
        })
    }

    /// Makes everything inserted so far durable and then notes that it is complete up to here.
    pub fn set_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Failure> {
        guarded(|| {
            self.flush()?;
            let text = serde_json::to_vec(&checkpoint).map_err(|error| Failure(error.to_string()))?;
            self.meta.insert(CHECKPOINT_KEY, text)?;
            self.flush()
        })
    }

    /// `Db::flush` writes, but does not flush the disk's cache nor commit the file's length.
    fn flush(&self) -> Result<(), Failure> {
        // Readers write, too, when they tidy up pages: see the module.
        let guard = sled::crossbeam_pin();
        self.db.flush()?;
        drop(guard);
        File::open(self.path.join("db"))?.sync_all()?;
        Ok(())
    }

    /// Calls `each` with every block of the history in order.
    pub fn load_history(&self, mut each: impl FnMut(HistoryBlock)) -> Result<(), Failure> {
        guarded(|| {
            for row in &self.hist {
                let (key, value) = row?;
                let key = <[u8; 8]>::try_from(&*key).map_err(|_| Failure("a bad history key".into()))?;
                each(HistoryBlock { no: u64::from_be_bytes(key), bytes: value.to_vec() });
            }
            Ok(())
        })
    }

    pub fn put_history(&self, block: &HistoryBlock) -> Result<(), Failure> {
        guarded(|| insert(&self.hist, &block.no.to_be_bytes(), block.bytes.clone()))
    }

    /// Block `no` of a newsgroup's overview.
    pub fn block(&self, group: u32, no: u64) -> Result<Option<Block>, Failure> {
        guarded(|| {
            let Some(value) = self.over.get(over_key(group, no))? else { return Ok(None) };
            let damaged = || Failure(format!("overview block {no} of newsgroup {group} is damaged"));
            Block::decode(no, &value).ok_or_else(damaged).map(Some)
        })
    }

    pub fn put_block(&self, group: u32, block: &Block) -> Result<(), Failure> {
        guarded(|| insert(&self.over, &over_key(group, block.no), block.encode()))
    }

    pub fn load_groups(&self, mut each: impl FnMut(Facts)) -> Result<(), Failure> {
        guarded(|| {
            for row in &self.groups {
                each(serde_json::from_slice(&row?.1).map_err(|error| Failure(error.to_string()))?);
            }
            Ok(())
        })
    }

    pub fn put_group(&self, facts: &Facts) -> Result<(), Failure> {
        let text = serde_json::to_vec(facts).map_err(|error| Failure(error.to_string()))?;
        guarded(|| insert(&self.groups, &facts.id.to_be_bytes(), text))
    }

    pub fn load_peers(&self, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
        guarded(|| {
            for row in &self.peers {
                each(&row?.1);
            }
            Ok(())
        })
    }

    pub fn put_peer(&self, peer: &str, text: Vec<u8>) -> Result<(), Failure> {
        guarded(|| insert(&self.peers, peer.as_bytes(), text))
    }

    /// Octets on disk.
    pub fn octets(&self) -> u64 {
        guarded(|| Ok(self.db.size_on_disk()?)).unwrap_or(0)
    }
}

/// A file beside the index says that it failed.
fn failure_mark(path: &Path) -> PathBuf {
    path.with_extension("failed")
}

/// sled believes the newest snapshot by its name, also one whose writing was interrupted, and then
/// never opens again.
fn drop_unfinished_snapshots(path: &Path) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// See the module: such a thread frees what others use.
    #[test]
    fn nothing_flushes_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index"), &[0; 16]).unwrap();
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
        // One that has just ended has no name any more.
        let names: Vec<String> = threads
            .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok())
            .collect();
        assert!(!names.is_empty() && names.iter().all(|name| name.trim() != "log flusher"), "{names:?}");
        index.set_checkpoint(Checkpoint::default()).unwrap();
        assert_eq!(index.checkpoint().unwrap(), Some(Checkpoint::default()));
    }
}
