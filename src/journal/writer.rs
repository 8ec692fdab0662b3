//! A file of lines with a thread of its own: see [the room](super).

use super::Lines;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Octets that may wait for the disk; what comes on top is dropped.
const WAITING_MAX: usize = 8 * 1024 * 1024;
/// How long lines gather before they are written ...
const GATHER: Duration = Duration::from_millis(100);
/// ... unless there are so many octets of them.
const ENOUGH: usize = 256 * 1024;
/// The file in use and the older ones.
const PARTS: u64 = 4;
/// How long [`Journal::flush`] waits for the disk.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// A file of lines. Clones write to the same one; the default writes nothing.
#[derive(Clone, Debug, Default)]
pub struct Journal(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Octets of one part.
    part_bytes: u64,
    state: Mutex<State>,
    /// There is something to do.
    call: Condvar,
    /// Something was done.
    done: Condvar,
    /// Lines that were dropped.
    lost: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Octets handed over, and of those written or given up.
    taken: u64,
    done: u64,
    /// Do not gather.
    hurry: bool,
    reopen: bool,
    stop: bool,
}

/// The parts of the file at `path` that are there, the newest first.
pub fn parts(path: &Path) -> Vec<PathBuf> {
    std::iter::once(path.to_path_buf())
        .chain((1..PARTS).map(|age| part(path, age)))
        .filter(|path| path.is_file())
        .collect()
}

fn part(path: &Path, age: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

impl Journal {
    /// Begins the file at `path` or goes on with it; it and its older parts keep `bytes_max` octets. A
    /// file that cannot be written is tried again and costs lines, not the site.
    ///
    /// # Errors
    /// The folder cannot be made, or the thread cannot be started.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let shared = Arc::new(Shared {
            path: path.to_path_buf(),
            part_bytes: (bytes_max / PARTS).max(1),
            state: Mutex::default(),
            call: Condvar::new(),
            done: Condvar::new(),
            lost: AtomicU64::new(0),
            thread: Mutex::default(),
        });
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Self(Some(shared)))
    }

    /// Is anything written at all?
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Where the file is; none when nothing is written.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|shared| shared.path.as_path())
    }

    /// Hands lines over; `lines` is left empty. Never waits for the disk.
    pub fn append(&self, lines: &mut Lines) {
        if lines.is_empty() {
            return;
        }
        if let Some(shared) = &self.0 {
            shared.append(&lines.text);
        }
        lines.text.clear();
    }

    /// Begins a new file if the old one was moved.
    pub fn reopen(&self) {
        if let Some(shared) = &self.0 {
            shared.lock().reopen = true;
            shared.call.notify_one();
        }
    }

    /// Waits until what was handed over so far is in the file, for two seconds at most.
    pub fn flush(&self) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.lock();
        let target = state.taken;
        state.hurry = true;
        shared.call.notify_one();
        let waited = shared.done.wait_timeout_while(state, FLUSH_MAX, |state| state.done < target);
        // In time or not: what is in the file by now is what there is to see.
        drop(waited);
    }

    /// Lines that were dropped because the disk was slow or full.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.lost.load(Ordering::Relaxed))
    }

    /// Writes what waits and ends the thread; what is handed over later is dropped.
    pub fn close(&self) {
        let Some(shared) = &self.0 else { return };
        shared.lock().stop = true;
        shared.call.notify_one();
        let thread = shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(path = %shared.path.display(), "the thread of a log panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, text: &[u8]) {
        let mut state = self.lock();
        if state.stop || state.waiting.len() + text.len() > WAITING_MAX {
            drop(state);
            self.lose(text);
            return;
        }
        let (first, before) = (state.waiting.is_empty(), state.waiting.len());
        state.waiting.extend_from_slice(text);
        state.taken += text.len() as u64;
        let call = first || (before < ENOUGH && state.waiting.len() >= ENOUGH);
        drop(state);
        if call {
            self.call.notify_one();
        }
    }

    fn lose(&self, text: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', text).count() as u64;
        if self.lost.fetch_add(lines, Ordering::Relaxed) == 0 {
            tracing::warn!(path = %self.path.display(), "the disk is slow or full: lines of this log are dropped");
        }
    }

    fn run(&self) {
        let mut file = Part::default();
        let mut batch = Vec::new();
        loop {
            let (stop, octets) = self.gather(&mut batch, &mut file);
            if !batch.is_empty()
                && let Err(error) = file.write(&self.path, self.part_bytes, &batch)
            {
                if !file.failed {
                    tracing::warn!(path = %self.path.display(), %error, "a log cannot be written; its lines are dropped");
                }
                file = Part { failed: true, ..Part::default() };
                self.lost.fetch_add(memchr::memchr_iter(b'\n', &batch).count() as u64, Ordering::Relaxed);
            }
            batch.clear();
            self.lock().done += octets;
            self.done.notify_all();
            if stop {
                return;
            }
        }
    }

    /// Waits for lines, and takes all there are: is it time to stop, and how many octets?
    fn gather(&self, batch: &mut Vec<u8>, file: &mut Part) -> (bool, u64) {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.stop && !state.reopen;
        let few = |state: &mut State| state.waiting.len() < ENOUGH && !state.stop && !state.hurry;
        let state = self.call.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) =
            self.call.wait_timeout_while(state, GATHER, few).unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.reopen) {
            file.open = None;
        }
        state.hurry = false;
        std::mem::swap(&mut state.waiting, batch);
        (state.stop, batch.len() as u64)
    }
}

/// The file in use.
#[derive(Default)]
struct Part {
    open: Option<File>,
    octets: u64,
    /// The last write failed, and that was told.
    failed: bool,
}

impl Part {
    /// Writes whole lines behind the others, into a new file when the old one is full or was moved.
    fn write(&mut self, path: &Path, part_bytes: u64, lines: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|file| !is_at(file, path)) {
            self.open = None;
        }
        if self.open.is_some() && self.octets > 0 && self.octets + lines.len() as u64 > part_bytes {
            self.open = None;
            for age in (1..PARTS).rev() {
                let from = if age == 1 { path.to_path_buf() } else { part(path, age - 1) };
                match fs::rename(from, part(path, age)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        if self.open.is_none() {
            // Who talks to whom is the operator's business, and the news group's as elsewhere.
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
            self.octets = file.metadata()?.len();
            self.open = Some(file);
        }
        if let Some(file) = &mut self.open {
            file.write_all(lines)?;
            self.octets += lines.len() as u64;
            self.failed = false;
        }
        Ok(())
    }
}

/// Is the open file still the one of this name?
fn is_at(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (open, named) = (file.metadata()?, fs::metadata(path)?);
        Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn say(journal: &Journal, text: &str) {
        let mut lines = Lines::default();
        lines.rest(text);
        lines.text.push(b'\n');
        journal.append(&mut lines);
        assert!(lines.is_empty());
    }

    #[test]
    fn lines_of_many_threads_are_whole_and_in_the_order_of_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/news");
        let journal = Journal::open(&path, 1 << 30).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let journal = journal.clone();
                scope.spawn(move || (0..1000).for_each(|n| say(&journal, &format!("{writer} {n}"))));
            }
        });
        journal.flush();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 4000, "a flush is complete");
        for writer in 0..4 {
            let own = text.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
            assert!(own.eq((0..1000).map(|n: i32| n.to_string()).collect::<Vec<_>>()));
        }
        say(&journal, "last");
        journal.close();
        assert!(fs::read_to_string(&path).unwrap().ends_with("\nlast\n"), "a close loses nothing");
        say(&journal, "late");
        assert_eq!(journal.lost(), 1);
    }

    #[test]
    fn a_file_that_was_moved_is_begun_anew_and_an_old_one_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("news");
        fs::write(&path, "before\n").unwrap();
        let journal = Journal::open(&path, 1 << 30).unwrap();
        say(&journal, "one");
        journal.flush();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\none\n");
        fs::rename(&path, folder.path().join("moved")).unwrap();
        say(&journal, "two");
        journal.flush();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "before\none\n");
    }

    #[test]
    fn a_site_keeps_no_more_than_it_was_told_and_the_newest_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feeds");
        let journal = Journal::open(&path, 4000).unwrap();
        for n in 0..1000 {
            say(&journal, &format!("{n:099}"));
            if n % 5 == 0 {
                journal.flush();
            }
        }
        journal.close();
        let parts = parts(&path);
        assert_eq!(parts.len(), 4);
        let text: String = parts.iter().rev().map(|part| fs::read_to_string(part).unwrap()).collect();
        assert!(text.len() <= 4000, "{} octets", text.len());
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.last() == Some(&999));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing else is left");
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("news");
        fs::create_dir(&path).unwrap();
        let journal = Journal::open(&path, 1 << 30).unwrap();
        say(&journal, "one");
        journal.flush();
        assert_eq!(journal.lost(), 1);
        fs::remove_dir(&path).unwrap();
        say(&journal, "two");
        journal.close();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n", "it goes on when it can");
    }
}
