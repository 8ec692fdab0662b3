//! The values that pass through the store's face.

use super::disk::{Disk, RealDisk};
use super::groups::Group;
use crate::article::{ArticleKind, MessageId, NewsgroupName};
use crate::clock::Timestamp;
use bytes::Bytes;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The global sequence number of a record of the log; 0 is before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Number of the segment.
    pub segment: u32,
    /// Octets from the segment's start.
    pub offset: u64,
}

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// The folder that holds everything (`spool/`, `index/`, `lock`).
    pub dir: PathBuf,
    /// The name in Xref: this site's path identity.
    pub identity: String,
    /// Called with the highest visible seq after each batch, from the writer's thread; must be quick.
    pub on_commit: Arc<dyn Fn(Seq) + Send + Sync>,
    /// Called while the log is replayed or the index rebuilt: octets done, octets in all.
    pub on_replay: Arc<dyn Fn(u64, u64) + Send + Sync>,
    /// Octets after which a segment is sealed and the next one begun.
    pub segment_bytes: u64,
    /// The disk that segments are written to.
    pub disk: Arc<dyn Disk>,
    /// None: the store has threads of its own. Else it has none, and all it does it does in its callers'
    /// threads: this is called when something begins to wait, and somebody must call
    /// [`super::Store::turn`] then, and every few seconds. For simulations, where the order of all
    /// things is drawn from a seed. Must be quick and must not call the store.
    pub by_hand: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// An article ready to be kept: everything is decided but its seq and its numbers.
pub struct NewArticle {
    /// Its Message-ID; must be reserved by [`super::Store::reserve`].
    pub id: MessageId,
    /// The header section as it shall be stored and served, without Xref and without the empty line;
    /// ends in CRLF. The store appends the Xref line.
    pub head: Bytes,
    /// From the empty line (its CRLF) to the terminator `.CRLF` inclusive.
    pub body: Bytes,
    /// Overview: Subject to References, as [`crate::article::overview::row`] makes it.
    pub row: Vec<u8>,
    /// `:lines`.
    pub lines: u64,
    /// Octets that dot-stuffing added: `:bytes` leaves them out.
    pub stuffed: u64,
    /// The newsgroups to file it in (they exist), in the order of Newsgroups.
    pub groups: Vec<Arc<Group>>,
    /// All names in Newsgroups: what feeds match.
    pub newsgroups: String,
    /// The names in Distribution, comma-separated; empty: none (RFC 5536 s.3.2.4).
    pub distribution: String,
    /// What it carries.
    pub kind: ArticleKind,
    /// It stays here: feeds pass it by.
    pub kept: bool,
    /// The new value of Path: what feeds look in for the peer's identity.
    pub path: Vec<u8>,
    /// The article's own date: Injection-Date, else Date.
    pub date: Timestamp,
    /// When it came.
    pub arrived: Timestamp,
    /// The peer it came from; empty for an article injected here.
    pub source: String,
}

/// What became of a submitted article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk and visible.
    Accepted(Seq),
    /// Its Message-ID is remembered already.
    Duplicate,
    /// The store cannot keep it now (disk full, stopping, ...): defer.
    Failed(String),
}

/// Who waits for outcomes: one per connection. Called from the writer's thread, in the order of
/// submission; must be quick and must not call the store. After [`super::Store::close`] it is called
/// from the submitting thread.
pub trait Settle: Send + Sync {
    /// The article submitted with `tag` has its outcome.
    fn settle(&self, tag: u64, outcome: Outcome);
    /// Everything this batch settles for this waiter has been told: wake it once.
    fn wake(&self);
}

/// What is known of a Message-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    No,
    /// It is being received or waits for its commit.
    Pending,
    /// It is remembered (and perhaps still stored).
    Yes,
}

/// A newsgroup's status (RFC 3977 s.7.6.3; RFC 6048 s.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupStatus {
    /// `y`: posting is allowed.
    Posting,
    /// `n`: no local posting.
    NoPosting,
    /// `m`: moderated.
    Moderated,
    /// `x`: closed, to peers as well.
    Closed,
    /// `j`: from peers only, and filed in `junk` when nowhere else.
    Junk,
    /// `=other`: from peers only, and filed in that newsgroup.
    Alias(NewsgroupName),
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Posting => "y",
            Self::NoPosting => "n",
            Self::Moderated => "m",
            Self::Closed => "x",
            Self::Junk => "j",
            Self::Alias(other) => return write!(f, "={other}"),
        })
    }
}

impl GroupStatus {
    /// The status that LIST ACTIVE shows as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "y" => Self::Posting,
            "n" => Self::NoPosting,
            "m" => Self::Moderated,
            "x" => Self::Closed,
            "j" => Self::Junk,
            _ => Self::Alias(NewsgroupName::try_from(text.strip_prefix('=')?).ok()?),
        })
    }
}

/// A newsgroup's water marks and count, taken in one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Reported low water mark: `high + 1` when empty and numbers were given; 1 for a new one.
    pub low: u64,
    /// Reported high water mark: `low - 1` when empty.
    pub high: u64,
    /// The true count of articles.
    pub count: u64,
}

/// A stored article found by a read: enough to serve any part of it.
pub struct Stored {
    /// Its Message-ID.
    pub id: MessageId,
    /// Octets of the header section without the empty line.
    pub head_len: usize,
    /// Octets in all, wire form, terminator included.
    pub len: usize,
    /// The beginning of the article: all of it when it is small (`text.len() == len`).
    pub text: Bytes,
    /// The segment's file and where in it the article begins: for what is not in `text`.
    pub file: Arc<std::fs::File>,
    /// Octets from the file's start.
    pub offset: u64,
}

/// Why a read gives nothing. None of these is a verdict on the article.
#[derive(Debug)]
pub enum ReadError {
    /// It would wait for the disk: call again where waiting is allowed ([`Wait::Disk`]).
    WouldBlock,
    /// The article has gone (expired, cancelled) since it was located.
    Gone,
    /// The record is damaged.
    Corrupt(String),
    /// The disk failed.
    Io(std::io::Error),
}

/// May a read wait for the disk?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// No: [`ReadError::WouldBlock`] unless the bytes are in memory.
    No,
    /// Yes: only on a thread that may block.
    Disk,
}

/// One record of the log as feeds, NEWNEWS and audits see it.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Its place in the order of arrival.
    pub seq: Seq,
    /// Where the article is.
    pub location: Location,
    /// Its Message-ID.
    pub id: MessageId,
    /// The names in its Newsgroups, comma-separated.
    pub newsgroups: String,
    /// The names in Distribution, comma-separated; empty: none.
    pub distribution: String,
    /// What it carries.
    pub kind: ArticleKind,
    /// It stays here: no feed passes it on.
    pub kept: bool,
    /// The local newsgroups and the numbers given there: `group:number` separated by blanks, as in Xref.
    pub numbers: String,
    /// Its Path as stored (own identity first).
    pub path: Vec<u8>,
    /// The peer it came from; empty for one injected here.
    pub source: String,
    /// Octets, wire form.
    pub len: usize,
    /// Its own date.
    pub date: Timestamp,
    /// When it came.
    pub arrived: Timestamp,
}

/// A peer's place in the log: everything up to `cursor` is settled but for `deferred`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// The highest seq up to which all is settled (or stands in `deferred`).
    pub cursor: Seq,
    /// What the peer deferred: seq and the Unix second before which it is not offered again.
    pub deferred: Vec<(Seq, i64)>,
}

/// Something was lost, so that what a peer has and what we have may differ although its state does not
/// tell: a sync is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What was lost; one line.
    pub why: String,
    /// How often something was lost since the start: more of it than this is not made good.
    pub(super) noticed: u64,
}

/// How far a peer has been offered a part of the log once more: what goes on there after an interruption.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Swept {
    /// Articles dated since then, Unix seconds.
    pub since_s: i64,
    /// Everything up to this record has an answer for good ...
    pub at: u64,
    /// ... of what there is up to this one.
    pub to: u64,
    /// Of those with an answer: taken now,
    pub accepted: u64,
    /// known to the peer before,
    pub refused: u64,
    /// rejected,
    pub rejected: u64,
    /// and not to be read here any more.
    pub gone: u64,
}

/// Figures for `feedd status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Stats {
    pub seq: u64,
    pub articles: u64,
    pub newsgroups: u64,
    pub history: u64,
    pub segments: u64,
    pub spool_bytes: u64,
    pub index_bytes: u64,
    /// Records the index thread has not written to sled yet.
    pub index_behind: u64,
    pub damaged: u64,
    /// Empty while the store takes articles; else why not.
    pub refusing: String,
}

/// Why a store does not open or an act does not succeed.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open.
    Locked,
    /// The disk failed; what and where.
    Io(PathBuf, std::io::Error),
    /// The files are not what they should be; what and where.
    Corrupt(String),
    /// The store stopped taking writes; why.
    Unavailable(String),
    /// The act makes no sense (creating a newsgroup that exists, ...).
    Refused(String),
}

/// What [`super::Store::verify`] found.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct VerifyReport {
    pub records: u64,
    pub articles: u64,
    pub bytes: u64,
    /// One line for each thing found wrong.
    pub damage: Vec<String>,
}

impl Swept {
    /// Articles that have an answer for good.
    pub fn answered(&self) -> u64 {
        self.accepted + self.refused + self.rejected + self.gone
    }
}

impl Options {
    /// The defaults for a store in `dir`.
    pub fn new(dir: &Path, identity: &str) -> Self {
        Self {
            dir: dir.to_path_buf(),
            identity: identity.to_owned(),
            on_commit: Arc::new(|_| {}),
            on_replay: Arc::new(|_, _| {}),
            segment_bytes: 1 << 30,
            disk: Arc::new(RealDisk),
            by_hand: None,
        }
    }
}
