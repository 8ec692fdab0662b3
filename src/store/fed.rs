//! Which peers have been fed, and since when: the file `fed`, a line `NAME TAB seconds` for each.
//!
//! Where a peer stands is in the log, and the log can be lost. Without this file a peer whose place was lost
//! could not be told from a new one, which begins at the end of the log: what it was owed would be left out,
//! and nobody would hear of it. It is written behind a peer's first record, and again for another peer only.

use super::held;
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// See the module.
pub(super) struct Fed {
    path: PathBuf,
    since: Mutex<BTreeMap<String, i64>>,
}

impl Fed {
    /// Reads the file, if there is one. One that cannot be read is told of: then a lost place looks like a
    /// new peer.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("fed");
        let since = match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().filter_map(line).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "it is not known which peers have been fed");
                BTreeMap::new()
            }
        };
        Self { path, since: Mutex::new(since) }
    }

    /// Since when the peer has been fed; none: never.
    pub fn since(&self, peer: &str) -> Option<Timestamp> {
        held(self.since.lock()).get(peer).copied().map(Timestamp::from_unix_s)
    }

    /// These are fed from now on, if they were not before. Waits for the disk if one of them is new.
    pub fn note(&self, peers: impl IntoIterator<Item = String>, now: Timestamp) {
        let mut since = held(self.since.lock());
        let before = since.len();
        for peer in peers {
            since.entry(peer).or_insert(now.unix_s());
        }
        if since.len() == before {
            return;
        }
        let lines = since.iter().filter(|(peer, _)| !peer.contains(['\t', '\n']));
        let text: String = lines.map(|(peer, at)| format!("{peer}\t{at}\n")).collect();
        if let Err(error) = self.write(&text) {
            tracing::error!(path = %self.path.display(), %error, "it could not be noted which peers are fed");
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

fn line(line: &str) -> Option<(String, i64)> {
    let (peer, at) = line.split_once('\t')?;
    Some((peer.to_owned(), at.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_is_kept_and_a_damaged_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let at = Timestamp::from_unix_s;
        let fed = Fed::open(dir.path());
        assert_eq!(fed.since("a"), None);
        fed.note(["a".to_owned()], at(7));
        fed.note(["a".to_owned(), "b".to_owned()], at(9));
        let fed = Fed::open(dir.path());
        assert_eq!((fed.since("a"), fed.since("b"), fed.since("c")), (Some(at(7)), Some(at(9)), None));
        std::fs::write(dir.path().join("fed"), "a\t7\nb 9\nc\tx\n\nd\t1\n").unwrap();
        let fed = Fed::open(dir.path());
        assert_eq!(["a", "b", "c", "d"].map(|peer| fed.since(peer).is_some()), [true, false, false, true]);
    }
}
