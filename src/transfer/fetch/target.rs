//! A file that is being put together: `NAME.part`, until every octet is there and right.

use super::{Entry, TransferError};
use crate::binary::subject::safe_name;
use crate::binary::yenc::Decoded;
use crate::transfer::disk::{rename_new, sync_folder_of};
use crate::transfer::journal::Journal;
use crate::transfer::waiting::locked;
use crc32fast::Hasher;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Octets of a part at most: no server takes articles of that size.
pub(super) const PART_MAX: u64 = 64 << 20;

/// Where all files of a fetch go.
pub(super) struct Folder<'a> {
    pub(super) path: &'a Path,
    /// May files that are there be replaced?
    pub(super) force: bool,
    pub(super) journal: &'a Journal,
    /// The names that are taken by this fetch's own files.
    pub(super) names: Mutex<HashSet<String>>,
}

/// One file.
pub(super) struct Target {
    /// Its place in the NZB.
    index: usize,
    /// What to call it if its parts do not say.
    subject_name: String,
    segments: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    name: Option<String>,
    size: u64,
    open: Option<Arc<File>>,
    /// By offset.
    parts: BTreeMap<u64, Stored>,
    /// Segments whose part is on the disk.
    stored: HashSet<usize>,
    file_crc: Option<u32>,
    is_done: bool,
    /// Why it cannot be made.
    failure: Option<String>,
}

/// A part on the disk.
#[derive(Clone, Copy)]
struct Stored {
    len: u64,
    crc: u32,
}

/// What became of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It is on the disk.
    Stored,
    /// It does not belong there; why. Another server may have the right one.
    Unfit(String),
    /// Its file cannot be made, which the file's own report says.
    Unwanted,
}

/// What has become of a file.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) is_done: bool,
    pub(super) failure: Option<String>,
}

impl Target {
    pub(super) fn new(index: usize, subject_name: Option<&str>, segments: usize) -> Self {
        let subject_name = safe_name(subject_name.unwrap_or_default());
        Self { index, subject_name, segments, state: Mutex::default() }
    }

    /// Is the part of a segment still wanted?
    pub(super) fn wants(&self, segment: usize) -> bool {
        let state = locked(&self.state);
        state.failure.is_none() && !state.is_done && !state.stored.contains(&segment)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let state = locked(&self.state);
        Outcome {
            name: state.name.clone().unwrap_or_else(|| self.subject_name.clone()),
            size: state.size,
            is_done: state.is_done,
            failure: state.failure.clone(),
        }
    }

    /// Takes an entry of an earlier run's journal.
    pub(super) fn recall(&self, entry: Entry, folder: &Folder<'_>) {
        let mut state = locked(&self.state);
        match entry {
            // What names a file was made by us, but files can be changed.
            Entry::Named { name, size, .. } if safe_name(&name) == name => {
                locked(&folder.names).extend([part_name(&name), name.clone()]);
                (state.name, state.size) = (Some(name), size);
            }
            Entry::Stored { segment, offset, len, crc, .. } => {
                state.parts.insert(offset, Stored { len, crc });
                state.stored.insert(segment);
            }
            Entry::Sum { crc, .. } => state.file_crc = Some(crc),
            Entry::Done { .. } => state.is_done = true,
            Entry::Named { .. } | Entry::Nzb { .. } => {}
        }
    }

    /// Looks whether the disk has what the journal says: parts that are not there or are not right are
    /// fetched again. `places` are the segments' offsets as the journal has them.
    pub(super) fn verify(
        &self,
        places: &BTreeMap<usize, u64>,
        folder: &Folder<'_>,
    ) -> Result<(), TransferError> {
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let Some(name) = state.name.clone() else {
            state.parts.clear();
            state.stored.clear();
            return Ok(());
        };
        let (part, whole) = (folder.path.join(part_name(&name)), folder.path.join(&name));
        if state.is_done && whole.exists() {
            return Ok(());
        }
        // What was finished and then removed is fetched again.
        state.is_done = false;
        // It may have got its name just before the end of that run.
        let renamed = state.stored.len() == self.segments && !part.exists() && whole.exists();
        let path = if renamed { &whole } else { &part };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(TransferError::at(path))?;
        let mut data = Vec::new();
        let mut wrong = HashSet::new();
        for (offset, stored) in &state.parts {
            data.resize(usize::try_from(stored.len.min(PART_MAX)).unwrap_or(0), 0);
            match file.read_exact_at(&mut data, *offset) {
                Ok(()) if crc32fast::hash(&data) == stored.crc => {}
                Ok(()) => drop(wrong.insert(*offset)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => drop(wrong.insert(*offset)),
                Err(error) => return Err(TransferError::File(path.clone(), error)),
            }
        }
        if renamed {
            // Somebody else's file of that name is no part of this.
            state.is_done = wrong.is_empty();
            if wrong.is_empty() {
                return Ok(());
            }
            state.parts.clear();
            state.stored.clear();
            return Ok(());
        }
        state.parts.retain(|offset, _| !wrong.contains(offset));
        state
            .stored
            .retain(|segment| places.get(segment).is_some_and(|offset| state.parts.contains_key(offset)));
        state.open = Some(Arc::new(file));
        drop(guard);
        // Everything may have been there but the last step.
        self.finish(folder)
    }

    /// Writes a part to its place; the last one makes the file.
    pub(super) fn deliver(
        &self,
        segment: usize,
        part: &Decoded,
        folder: &Folder<'_>,
    ) -> Result<Delivered, TransferError> {
        let len = part.data.len() as u64;
        let (file, path) = {
            let mut state = locked(&self.state);
            if state.failure.is_some() || state.is_done || state.stored.contains(&segment) {
                return Ok(Delivered::Unwanted);
            }
            if part.file_size > PART_MAX.saturating_mul(self.segments as u64) {
                return Ok(Delivered::Unfit(format!("of a file of {} octets", part.file_size)));
            }
            if !self.open(&mut state, part, folder)? {
                return Ok(Delivered::Unwanted);
            }
            if part.file_size != state.size {
                return Ok(Delivered::Unfit(format!("of a file of {} octets", part.file_size)));
            }
            let end = part.offset + len;
            let before = state.parts.range(..end).next_back();
            if before.is_some_and(|(offset, stored)| offset + stored.len > part.offset) {
                return Ok(Delivered::Unfit("the octets of another part".to_owned()));
            }
            state.parts.insert(part.offset, Stored { len, crc: part.crc });
            let Some(file) = state.open.clone() else { return Ok(Delivered::Unwanted) };
            (file, folder.path.join(part_name(state.name.as_deref().unwrap_or_default())))
        };
        file.write_all_at(&part.data, part.offset).map_err(TransferError::at(&path))?;
        let note =
            |entry: Entry| folder.journal.add(&entry).map_err(TransferError::at(folder.journal.path()));
        note(Entry::Stored { file: self.index, segment, offset: part.offset, len, crc: part.crc })?;
        if let Some(crc) = part.file_crc {
            note(Entry::Sum { file: self.index, crc })?;
            locked(&self.state).file_crc = Some(crc);
        }
        locked(&self.state).stored.insert(segment);
        self.finish(folder)?;
        Ok(Delivered::Stored)
    }

    /// Makes the folder's entry for it, once; false when that is not possible.
    fn open(&self, state: &mut State, part: &Decoded, folder: &Folder<'_>) -> Result<bool, TransferError> {
        if state.open.is_some() {
            return Ok(true);
        }
        if state.name.is_none() {
            let given = if part.name.is_empty() { self.subject_name.clone() } else { safe_name(&part.name) };
            let name = unique(given, &mut locked(&folder.names));
            let path = folder.path.join(&name);
            state.name = Some(name);
            if path.symlink_metadata().is_ok() && !folder.force {
                state.failure = Some("is there already; --force replaces it".to_owned());
                return Ok(false);
            }
        }
        let name = state.name.clone().unwrap_or_default();
        let path = folder.path.join(part_name(&name));
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if folder.force {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        match options.open(&path) {
            Ok(file) => state.open = Some(Arc::new(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let name = part_name(&name);
                state.failure = Some(format!("has a {name} that is not of this fetch; --force replaces it"));
                return Ok(false);
            }
            Err(error) => return Err(TransferError::File(path, error)),
        }
        state.size = part.file_size;
        let entry = Entry::Named { file: self.index, name, size: state.size };
        folder.journal.add(&entry).map_err(TransferError::at(folder.journal.path()))?;
        Ok(true)
    }

    /// If every segment is there: checks that they are the whole file, and gives it its name.
    fn finish(&self, folder: &Folder<'_>) -> Result<(), TransferError> {
        let mut state = locked(&self.state);
        if state.is_done || state.stored.len() < self.segments {
            return Ok(());
        }
        let mut sum = Hasher::new();
        let mut end = 0;
        for (offset, stored) in &state.parts {
            if *offset != end {
                break;
            }
            sum.combine(&Hasher::new_with_initial_len(stored.crc, stored.len));
            end += stored.len;
        }
        if end != state.size {
            state.failure = Some(format!(
                "octets from {end} on are in none of the {} segments of the NZB",
                self.segments
            ));
            return Ok(());
        }
        if state.file_crc.is_some_and(|crc| crc != sum.finalize()) {
            state.failure = Some(format!(
                "each part is right, but the sum of the whole is not; remove {} to fetch it anew",
                part_name(state.name.as_deref().unwrap_or_default())
            ));
            return Ok(());
        }
        let name = state.name.clone().unwrap_or_default();
        let (part, whole) = (folder.path.join(part_name(&name)), folder.path.join(&name));
        if let Some(file) = state.open.take() {
            file.set_len(state.size).and_then(|()| file.sync_all()).map_err(TransferError::at(&part))?;
        }
        let renamed = if folder.force { fs::rename(&part, &whole) } else { rename_new(&part, &whole) };
        match renamed.and_then(|()| sync_folder_of(&whole)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                state.failure = Some("is there already; --force replaces it".to_owned());
                return Ok(());
            }
            Err(error) => return Err(TransferError::File(whole, error)),
        }
        state.is_done = true;
        let entry = Entry::Done { file: self.index };
        folder.journal.add(&entry).map_err(TransferError::at(folder.journal.path()))
    }

    /// Makes durable what has been written.
    pub(super) fn sync(&self) -> io::Result<()> {
        let open = locked(&self.state).open.clone();
        open.map_or(Ok(()), |file| file.sync_data())
    }

    /// The offset of what an entry says is stored, by its segment.
    pub(super) fn place(entry: &Entry) -> Option<(usize, usize, u64)> {
        match entry {
            Entry::Stored { file, segment, offset, .. } => Some((*file, *segment, *offset)),
            _ => None,
        }
    }

    /// Is any of it on the disk, by this fetch?
    pub(super) fn has_anything(&self) -> bool {
        let state = locked(&self.state);
        state.is_done || !state.parts.is_empty()
    }
}

fn part_name(name: &str) -> String {
    format!("{name}.part")
}

/// The name, or with a number behind it when another file of this fetch has it.
fn unique(name: String, names: &mut HashSet<String>) -> String {
    let is_free = |name: &String| !names.contains(name) && !names.contains(&part_name(name));
    let free = Some(name.clone())
        .into_iter()
        .chain((2..).map(|number: u64| format!("{name}.{number}")))
        .find(is_free)
        .unwrap_or(name);
    names.extend([part_name(&free), free.clone()]);
    free
}
