//! What is to be uploaded: fixed before the first article is posted, and kept in the journal, so that
//! an upload that was interrupted is the same upload later.

use super::{Request, TransferError};
use crate::clock;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Parts of one file. What has more has too small a part size.
const PARTS_MAX: u64 = 1_000_000;
/// Octets of a Message-ID's left part before they are written in hexadecimal.
const RANDOM: usize = 16;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) newsgroups: String,
    pub(super) from: String,
    /// What stands before the customary subject.
    pub(super) words: Option<String>,
    /// Octets of a file in one article.
    pub(super) part_size: u64,
    /// When it was made, in seconds since 1970.
    pub(super) date: i64,
    pub(super) files: Vec<PlannedFile>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PlannedFile {
    pub(super) path: PathBuf,
    /// What others will call it.
    pub(super) name: String,
    pub(super) size: u64,
    /// When it was changed last, to the nanosecond.
    pub(super) modified: (i64, i64),
    /// The Message-ID of each part, with its angle brackets.
    pub(super) ids: Vec<String>,
}

impl Plan {
    /// Looks at the files and gives each part a Message-ID that nobody can guess, so that nobody can
    /// take it before (RFC 5536 s.3.1.3 asks for unique ones only).
    pub(super) fn make(request: &Request, host: &str) -> Result<Self, TransferError> {
        let domain = domain(&request.from, host);
        let files = request.files.iter().map(|path| PlannedFile::make(path, request.part_size, &domain));
        Ok(Self {
            newsgroups: request.newsgroups.clone(),
            from: request.from.clone(),
            words: request.words.clone(),
            part_size: request.part_size,
            date: clock::now().unix_s(),
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// In what an upload that was begun differs from what is asked for now; none if it is the same.
    pub(super) fn differs(&self, request: &Request) -> Option<&'static str> {
        let files = || self.files.iter().map(|file| &file.path);
        let changed = |file: &PlannedFile| {
            file.path
                .metadata()
                .map_or(true, |now| (now.len(), changed_at(&now)) != (file.size, file.modified))
        };
        if !files().eq(&request.files) {
            Some("other files")
        } else if self.newsgroups != request.newsgroups {
            Some("another newsgroup")
        } else if self.part_size != request.part_size {
            Some("another part size")
        } else if self.words != request.words || self.from != request.from {
            Some("another subject or author")
        } else if self.files.iter().any(changed) {
            Some("a file that has changed since")
        } else {
            None
        }
    }

    pub(super) fn parts(&self) -> u64 {
        self.files.iter().map(|file| file.ids.len() as u64).sum()
    }

    pub(super) fn octets(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Where in the file a part (from 0) is, and its octets.
    pub(super) fn range(&self, file: usize, part: usize) -> (u64, u64) {
        let size = self.files.get(file).map_or(0, |file| file.size);
        let offset = (part as u64).saturating_mul(self.part_size);
        (offset, self.part_size.min(size.saturating_sub(offset)))
    }
}

impl PlannedFile {
    fn make(path: &Path, part_size: u64, domain: &str) -> Result<Self, TransferError> {
        let failed = |error| TransferError::File(path.to_path_buf(), error);
        let now = path.metadata().map_err(failed)?;
        if !now.is_file() {
            return Err(TransferError::Unfit(format!("{}: not a file", path.display())));
        }
        // An empty file is one part of nothing.
        let parts = now.len().div_ceil(part_size).max(1);
        if parts > PARTS_MAX {
            return Err(TransferError::Unfit(format!(
                "{}: more than {PARTS_MAX} parts; use a larger --part-size",
                path.display()
            )));
        }
        let mut random = vec![0; parts as usize * RANDOM];
        getrandom::fill(&mut random).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        Ok(Self {
            path: path.to_path_buf(),
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            size: now.len(),
            modified: changed_at(&now),
            ids: random.chunks(RANDOM).map(|octets| format!("<{}@{domain}>", hex(octets))).collect(),
        })
    }

    /// Is the file still what was planned?
    pub(super) fn is_unchanged(&self, now: &Metadata) -> bool {
        (now.len(), changed_at(now)) == (self.size, self.modified)
    }
}

fn changed_at(now: &Metadata) -> (i64, i64) {
    (now.mtime(), now.mtime_nsec())
}

/// The right part of our Message-IDs: the domain of the author's address, else the server's.
fn domain(from: &str, host: &str) -> String {
    let address = from.rsplit_once('@').map_or("", |(_, domain)| domain.trim().trim_end_matches('>'));
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    let is_domain = |text: &&str| text.len() <= 200 && text.split('.').all(label);
    [address, host].into_iter().find(is_domain).unwrap_or("feedc.invalid").to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::MessageId;

    #[test]
    fn message_ids_are_of_the_authors_domain_or_the_servers() {
        for (from, host, expected) in [
            ("A <a@b.example>", "news.example", "b.example"),
            ("a@b.example", "news.example", "b.example"),
            ("nobody", "news.example", "news.example"),
            ("a@b c", "::1", "feedc.invalid"),
            ("a@", "127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(domain(from, host), expected, "{from}");
        }
    }

    #[test]
    fn parts_cover_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for (size, parts) in [(0, 1), (1, 1), (10, 1), (11, 2), (30, 3)] {
            let path = folder.path().join("x");
            std::fs::write(&path, vec![0; size]).unwrap();
            let file = PlannedFile::make(&path, 10, "x").unwrap();
            assert!(file.ids.iter().all(|id| MessageId::is_valid(id.as_bytes())));
            let plan = Plan {
                newsgroups: String::new(),
                from: String::new(),
                words: None,
                part_size: 10,
                date: 0,
                files: vec![file],
            };
            let ranges: Vec<(u64, u64)> = (0..parts).map(|part| plan.range(0, part)).collect();
            assert_eq!(plan.parts(), parts as u64);
            assert_eq!(ranges.iter().map(|(_, len)| len).sum::<u64>(), size as u64);
            assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
        }
    }
}
