//! A site's disk: it may be full, fail to sync, and loses at a power failure what was not synced. One
//! that lies says that it has synced and has not: a fault planted to see that it is found.

use crate::dice::Dice;
use feedd::store::{Disk, RealDisk};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Octets of a segment's own beginning, which is synced when the segment is created.
const SEGMENT_HEADER: u64 = 64;
/// What a disk writes as a whole.
const PAGE: usize = 512;

#[derive(Default)]
pub struct SimDisk {
    pub full: AtomicBool,
    /// The next sync fails.
    pub fails: AtomicBool,
    pub lies: AtomicBool,
    /// Octets that are kept whatever happens, by segment.
    synced: Mutex<BTreeMap<u32, u64>>,
}

impl SimDisk {
    /// The power fails: behind what was synced some of the octets are there and others are zeros.
    pub fn lose_unsynced(&self, spool: &Path, dice: &mut Dice) {
        let synced = self.synced.lock().unwrap();
        let mut segments: Vec<_> =
            std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.sort();
        for path in segments {
            let Some(segment) = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok()) else {
                continue;
            };
            let kept = synced.get(&segment).copied().unwrap_or(SEGMENT_HEADER);
            let mut octets = std::fs::read(&path).unwrap();
            let len = octets.len() as u64;
            if len <= kept {
                continue;
            }
            octets.truncate((kept + dice.below(len - kept + 1)) as usize);
            for page in octets[kept as usize..].chunks_mut(PAGE) {
                if dice.once_in(2) {
                    page.fill(0);
                }
            }
            std::fs::write(&path, octets).unwrap();
        }
    }
}

impl Disk for SimDisk {
    fn write(&self, file: &File, segment: u32, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            // As a full disk does: some of it is written.
            RealDisk.write(file, segment, offset, &mut parts[..1])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, segment, offset, parts)
    }

    fn sync(&self, file: &File, segment: u32) -> io::Result<()> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        if !self.lies.load(Ordering::Relaxed) {
            self.synced.lock().unwrap().insert(segment, file.metadata()?.len());
        }
        Ok(())
    }
}
