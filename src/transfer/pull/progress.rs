//! What has been brought, by newsgroup and number: ranges in a journal that is compacted at each start.

use super::super::TransferError;
use super::super::disk::write_whole;
use super::super::journal::Journal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// All that was there of these numbers has been brought.
    Done { newsgroup: String, low: u64, high: u64 },
    /// All that the server had by this time (Unix seconds, its clock) has been brought by NEWNEWS.
    NewNews { until_s: i64 },
    /// The server has given other numbers: what was said of the newsgroup before is void.
    Anew { newsgroup: String },
}

/// The journal, and what it says.
pub(super) struct Progress {
    journal: Journal,
    path: PathBuf,
    done: BTreeMap<String, Vec<(u64, u64)>>,
    newnews_s: Option<i64>,
}

impl Progress {
    /// Opens the journal or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, TransferError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::ResourceBusy => TransferError::Unfit(format!(
                "{}: another pull from this server is under way",
                path.display()
            )),
            _ => TransferError::File(path.to_path_buf(), error),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| TransferError::File(folder.to_path_buf(), error))?;
        }
        let (mut journal, entries) = Journal::open::<Entry>(path).map_err(failed)?;
        let lines = entries.len();
        let mut done: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        let mut newnews_s = None;
        for entry in entries {
            match entry {
                Entry::Done { newsgroup, low, high } => add(done.entry(newsgroup).or_default(), low, high),
                Entry::NewNews { until_s } => newnews_s = Some(until_s),
                Entry::Anew { newsgroup } => drop(done.remove(&newsgroup)),
            }
        }
        let least: usize = done.values().map(Vec::len).sum::<usize>() + usize::from(newnews_s.is_some());
        if lines > least {
            // Under the lock of the old file, which goes with it.
            let mut text = Vec::new();
            let ranges = done.iter().flat_map(|(newsgroup, ranges)| {
                ranges.iter().map(|&(low, high)| Entry::Done { newsgroup: newsgroup.clone(), low, high })
            });
            for entry in ranges.chain(newnews_s.map(|until_s| Entry::NewNews { until_s })) {
                serde_json::to_writer(&mut text, &entry).map_err(|error| failed(error.into()))?;
                text.push(b'\n');
            }
            write_whole(path, &text).map_err(failed)?;
            journal = Journal::open::<Entry>(path).map_err(failed)?.0;
        }
        Ok(Self { journal, path: path.to_path_buf(), done, newnews_s })
    }

    /// The numbers of `low..=high` that have not been brought; none that were ever brought: `first` says
    /// where to begin.
    pub(super) fn missing(&self, newsgroup: &str, low: u64, high: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut from = low;
        for &(begin, end) in self.done.get(newsgroup).map(Vec::as_slice).unwrap_or_default() {
            if end < from {
                continue;
            }
            if begin > high {
                break;
            }
            if begin > from {
                missing.push((from, begin - 1));
            }
            from = end.saturating_add(1);
        }
        if from <= high {
            missing.push((from, high));
        }
        missing
    }

    /// The lowest and the highest number brought of a newsgroup; none of one that is new.
    pub(super) fn marks(&self, newsgroup: &str) -> Option<(u64, u64)> {
        let ranges = self.done.get(newsgroup)?;
        Some((ranges.first()?.0, ranges.last()?.1))
    }

    /// Up to when (Unix seconds of the server's clock) NEWNEWS has brought everything.
    pub(super) fn newnews_s(&self) -> Option<i64> {
        self.newnews_s
    }

    /// What stands here of a newsgroup is void.
    pub(super) fn anew(&mut self, newsgroup: &str) -> Result<(), TransferError> {
        self.done.remove(newsgroup);
        self.write(&Entry::Anew { newsgroup: newsgroup.to_owned() })
    }

    /// These numbers have been brought.
    pub(super) fn done(&mut self, newsgroup: &str, low: u64, high: u64) -> Result<(), TransferError> {
        add(self.done.entry(newsgroup.to_owned()).or_default(), low, high);
        self.write(&Entry::Done { newsgroup: newsgroup.to_owned(), low, high })
    }

    /// All that the server had by this time has been brought.
    pub(super) fn newnews(&mut self, until_s: i64) -> Result<(), TransferError> {
        self.newnews_s = Some(until_s);
        self.write(&Entry::NewNews { until_s })
    }

    fn write(&self, entry: &Entry) -> Result<(), TransferError> {
        // Not synced: what a power failure takes is asked for again, and the site knows it.
        self.journal.add(entry).map_err(TransferError::at(&self.path))
    }
}

/// Adds a range to ranges that are in order and apart from each other.
fn add(ranges: &mut Vec<(u64, u64)>, low: u64, high: u64) {
    let at = ranges.partition_point(|&(_, end)| end.saturating_add(1) < low);
    let mut joined = (low, high);
    let behind = ranges.iter().skip(at).take_while(|&&(begin, _)| begin <= high.saturating_add(1)).count();
    for &(begin, end) in ranges.iter().skip(at).take(behind) {
        joined = (joined.0.min(begin), joined.1.max(end));
    }
    ranges.splice(at..at + behind, [joined]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_those_of_a_set_of_numbers() {
        let mut random = xorshift(7);
        for _ in 0..200 {
            let (mut ranges, mut set) = (Vec::new(), BTreeSet::new());
            for _ in 0..30 {
                let low = random(60) + 1;
                let high = low + random(8);
                add(&mut ranges, low, high);
                set.extend(low..=high);
                assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{ranges:?}");
                assert!(ranges.iter().flat_map(|&(low, high)| low..=high).eq(set.iter().copied()));
            }
        }
    }

    #[test]
    fn what_is_missing_is_found_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull/server");
        let mut progress = Progress::open(&path).unwrap();
        assert_eq!(progress.missing("a.b", 1, 10), [(1, 10)]);
        for (low, high) in [(3, 4), (5, 6), (9, 9)] {
            progress.done("a.b", low, high).unwrap();
        }
        progress.done("c", 1, 5).unwrap();
        progress.newnews(77).unwrap();
        assert!(Progress::open(&path).is_err_and(|error| error.to_string().contains("under way")));
        drop(progress);
        for _ in 0..2 {
            let progress = Progress::open(&path).unwrap();
            assert_eq!(progress.missing("a.b", 1, 10), [(1, 2), (7, 8), (10, 10)]);
            assert_eq!(progress.missing("a.b", 4, 6), []);
            assert_eq!((progress.marks("a.b"), progress.marks("d")), (Some((3, 9)), None));
            assert_eq!(progress.newnews_s(), Some(77));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        Progress::open(&path).unwrap().anew("a.b").unwrap();
        assert_eq!(Progress::open(&path).unwrap().missing("a.b", 1, 3), [(1, 3)]);
    }
}
