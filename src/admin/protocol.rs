//! The control socket's words: one [`Request`] and one [`Response`] per connection, each a line of JSON.

use super::trace::Trace;
use crate::article::ArticleKind;
use crate::config::Peer;
use crate::feed::{FeedStatus, SyncReport};
use crate::intake::ImportRules;
use crate::net::IncomingStatus;
use crate::store::{Group, LogEntry, Stats, VerifyReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Octets of a request line, newline included. Only the operator can connect; the bound is against
/// mistakes.
pub const REQUEST_MAX: usize = 64 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Create a newsgroup, or change what is given of one that exists.
    GroupAdd {
        /// Its name.
        name: String,
        /// As in LIST ACTIVE; none: unchanged, or `y` for a new one.
        status: Option<String>,
        /// What LIST NEWSGROUPS says of it; none: unchanged, or nothing for a new one.
        description: Option<String>,
        /// The number that its next article gets at least; none: as it comes.
        #[serde(default)]
        next: Option<u64>,
    },
    /// Remove a newsgroup.
    GroupRemove {
        /// Its name.
        name: String,
    },
    /// The newsgroups, by name.
    GroupList {
        /// Only those that match; none: all.
        wildmat: Option<String>,
    },
    /// The peers, in the order of `peers.toml`.
    PeerList,
    /// What the log says of an article.
    Entry {
        /// Its Message-ID.
        id: String,
    },
    /// Make sure that a peer has what it should have, and that this site has what it has for it. Answered by
    /// [`Response::Progress`] now and then, and [`Response::Synced`].
    Sync {
        /// The peer's name.
        peer: String,
        /// Articles since then, by their own dates; Unix seconds.
        since_s: i64,
    },
    /// What came from each peer and went to it.
    PeerStatus,
    /// Everything that is known of an article.
    Trace {
        /// Its Message-ID.
        id: String,
    },
    /// The figures of the site.
    Status,
    /// Check every record of the spool.
    Verify,
    /// Read the config again.
    Reload,
    /// Write what a peer that is fed by files is owed into batches, now.
    BatchWrite {
        /// Its name.
        peer: String,
    },
    /// Go over to NNTP and take articles, as from a peer with every right; or as from the peer that the rules
    /// name.
    Import(ImportRules),
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done; one line that says what.
    Done(String),
    /// To [`Request::GroupList`].
    Groups(Vec<GroupRow>),
    /// To [`Request::PeerList`].
    Peers(Vec<PeerRow>),
    /// How far a request is that takes long; another answer follows.
    Progress(String),
    /// To [`Request::Sync`].
    Synced(Box<SyncReport>),
    /// To [`Request::Entry`]; none: the site has no such article.
    Entry(Option<Box<EntryRow>>),
    /// To [`Request::PeerStatus`].
    PeerStatus(Vec<PeerStatus>),
    /// To [`Request::Trace`].
    Trace(Box<Trace>),
    /// To [`Request::Status`].
    Status(Box<SiteStatus>),
    /// To [`Request::Verify`].
    Verified(VerifyReport),
    /// To [`Request::Import`]: NNTP begins, with the server's greeting.
    Import,
    /// It cannot be done; one line that says why. Nothing has changed.
    Failed(String),
}

/// A newsgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct GroupRow {
    pub name: String,
    /// As in LIST ACTIVE.
    pub status: String,
    pub low: u64,
    pub high: u64,
    pub count: u64,
    pub description: String,
    /// Unix seconds.
    pub created: i64,
    pub creator: String,
}

/// What the log says of an article, beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EntryRow {
    pub id: String,
    pub seq: u64,
    pub newsgroups: String,
    pub distribution: String,
    /// `text`, `yenc` or `binary`.
    pub kind: String,
    /// It is not passed on.
    pub kept: bool,
    /// The newsgroups it is filed in, each with its number, as in Xref.
    pub numbers: String,
    pub path: String,
    /// The peer it came from; empty for one injected or imported here.
    pub source: String,
    /// In wire form.
    pub octets: usize,
    /// Its own date, Unix seconds.
    pub date_s: i64,
    /// When it came, Unix milliseconds.
    pub arrived_ms: i64,
    pub segment: u32,
    /// Octets from the segment's start.
    pub offset: u64,
}

impl EntryRow {
    /// The row of an entry.
    pub fn new(entry: &LogEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            seq: entry.seq.0,
            newsgroups: entry.newsgroups.clone(),
            distribution: entry.distribution.clone(),
            kind: entry.kind.word().to_owned(),
            kept: entry.kept,
            numbers: entry.numbers.clone(),
            path: String::from_utf8_lossy(&entry.path).into_owned(),
            source: entry.source.clone(),
            octets: entry.len,
            date_s: entry.date.unix_s(),
            arrived_ms: entry.arrived.unix_ms(),
            segment: entry.location.segment,
            offset: entry.location.offset,
        }
    }

    /// What it carries.
    pub fn kind(&self) -> ArticleKind {
        let kinds = [ArticleKind::Yenc, ArticleKind::Binary];
        kinds.into_iter().find(|kind| kind.word() == self.kind).unwrap_or_default()
    }
}

/// A peer as configured, and its feed where it has one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PeerRow {
    pub name: String,
    pub identities: Vec<String>,
    pub address: Option<String>,
    pub accept_from: Vec<String>,
    pub send: String,
    pub accept: String,
    pub feed: Option<FeedStatus>,
}

/// What came from a peer and went to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PeerStatus {
    /// Its name; an address, where several peers offer from one.
    pub peer: String,
    /// None: it is sent nothing.
    pub out: Option<FeedStatus>,
    /// None: it has offered nothing since the site started.
    pub incoming: Option<IncomingStatus>,
}

impl PeerStatus {
    /// The rows of these peers, then of addresses that several of them share.
    pub fn rows(peers: &[Peer], mut feeds: Vec<FeedStatus>, mut incoming: Vec<IncomingStatus>) -> Vec<Self> {
        let mut rows: Vec<Self> = peers
            .iter()
            .map(|peer| Self {
                peer: peer.name.clone(),
                out: feeds.extract_if(.., |feed| feed.peer == peer.name).next(),
                incoming: incoming.extract_if(.., |row| row.peer == peer.name).next(),
            })
            .collect();
        rows.extend(incoming.into_iter().map(|row| Self {
            peer: row.peer.clone(),
            out: None,
            incoming: Some(row),
        }));
        rows
    }
}

/// The figures of a site. A stopped site has no addresses, connections and feeds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SiteStatus {
    pub version: String,
    pub identity: String,
    pub running: bool,
    pub addresses: Vec<String>,
    /// Seconds since it started.
    pub uptime_s: u64,
    pub connections: u64,
    /// What its connections have done since it started, by name.
    pub counters: BTreeMap<String, u64>,
    pub store: Stats,
    pub feeds: Vec<FeedStatus>,
}

impl GroupRow {
    /// The row of `group` at this moment.
    pub fn new(group: &Group) -> Self {
        let marks = group.marks();
        let (created, creator) = group.created();
        Self {
            name: group.name().to_owned(),
            status: group.status().to_string(),
            low: marks.low,
            high: marks.high,
            count: marks.count,
            description: group.description(),
            created: created.unix_s(),
            creator,
        }
    }
}

impl PeerRow {
    /// The row of `peer`; `feed` are the figures of its feed, if it runs.
    pub fn new(peer: &Peer, feed: Option<FeedStatus>) -> Self {
        Self {
            name: peer.name.clone(),
            identities: peer.identities.iter().map(ToString::to_string).collect(),
            address: peer.dial.as_ref().map(ToString::to_string),
            accept_from: peer.accept_from.iter().map(ToString::to_string).collect(),
            send: peer.send.newsgroups.to_string(),
            accept: peer.accept.newsgroups.to_string(),
            feed,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_are_single_lines_that_read_back() {
        let requests = [
            Request::GroupAdd {
                name: "local.test".to_owned(),
                status: Some("=local.other".to_owned()),
                description: Some("two\nlines".to_owned()),
                next: Some(7),
            },
            Request::GroupRemove { name: "local.test".to_owned() },
            Request::GroupList { wildmat: None },
            Request::PeerList,
            Request::PeerStatus,
            Request::Trace { id: "<1@a.example>".to_owned() },
            Request::Status,
            Request::Verify,
            Request::Reload,
            Request::Import(ImportRules { no_cutoff: true, ..ImportRules::default() }),
        ];
        for request in requests {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
        assert_eq!(serde_json::to_string(&Request::Status).unwrap(), "\"status\"");
        assert_eq!(serde_json::to_string(&Response::Done("x".to_owned())).unwrap(), "{\"done\":\"x\"}");
    }
}
