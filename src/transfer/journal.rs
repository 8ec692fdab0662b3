//! What a transfer has done so far: a file of JSON lines that is only appended to.
//!
//! A line that a crash tore is no line: it and what is behind it are cut off at the next start. Entries
//! are written at once and made durable by [`Journal::sync`]; what a power failure takes from the end
//! costs work, nothing else, since whoever reads a journal checks what it says.

use super::disk::sync_folder_of;
use super::waiting::locked;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// An open journal, which no other process has open.
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens or makes it: with the entries that it has.
    ///
    /// # Errors
    /// `ResourceBusy` when another process has it open; when the disk fails.
    pub(super) fn open<T: DeserializeOwned>(path: &Path) -> io::Result<(Self, Vec<T>)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut entries = Vec::new();
        let mut end = 0;
        let mut line = Vec::new();
        let mut reader = BufReader::new(&mut file);
        while reader.read_until(b'\n', &mut line)? > 0 {
            match serde_json::from_slice(&line) {
                Ok(entry) if line.ends_with(b"\n") => entries.push(entry),
                _ => break,
            }
            end += line.len() as u64;
            line.clear();
        }
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        sync_folder_of(path)?;
        Ok((Self { path: path.to_path_buf(), file: Mutex::new(file) }, entries))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an entry.
    pub(super) fn add(&self, entry: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        locked(&self.file).write_all(&line)
    }

    /// Makes durable what has been added.
    pub(super) fn sync(&self) -> io::Result<()> {
        locked(&self.file).sync_data()
    }

    /// Removes it: all is done.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let (journal, entries) = Journal::open::<(u32, String)>(&path).unwrap();
        assert_eq!(entries, []);
        journal.add(&(1, "one")).unwrap();
        journal.add(&(2, "t\nwo")).unwrap();
        journal.sync().unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (journal, entries) = Journal::open::<(u32, String)>(&path).unwrap();
            assert_eq!(entries.len(), whole[..cut].iter().filter(|octet| **octet == b'\n').count());
            journal.add(&(3, "three")).unwrap();
            drop(journal);
            let (_, more) = Journal::open::<(u32, String)>(&path).unwrap();
            assert_eq!(more.len(), entries.len() + 1);
            assert_eq!(more.last(), Some(&(3, "three".to_owned())));
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let (first, _) = Journal::open::<u32>(&path).unwrap();
        let second = Journal::open::<u32>(&path).map(|_| ()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
        first.remove().unwrap();
        assert!(!path.exists());
    }
}
