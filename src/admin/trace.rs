//! The story of one article, for `feedd trace`: how it came, where it is, and for each peer why it is
//! not owed the article, or what became of it there. The same question is answered by a running site
//! and by a command on a stopped one.

use super::protocol::EntryRow;
use crate::article::MessageId;
use crate::clock;
use crate::config::Peer;
use crate::feed::{FeedStatus, owed};
use crate::journal::feeds::{self, Came, Line, Replied};
use crate::journal::news;
use crate::store::{Known, LogEntry, ReadError, Store, Wait};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that is known of an article.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Trace {
    pub id: String,
    /// What the site knows of it.
    pub standing: String,
    /// Its record; none: it is not stored here.
    pub article: Option<EntryRow>,
    /// Each time that somebody brought it.
    pub came: Vec<Came<String>>,
    /// Lines of the news log, where the feeds' log has none of how it came.
    pub news: Vec<String>,
    pub peers: Vec<PeerTrace>,
    /// Where was looked, and what could not be read there.
    pub looked_in: Vec<String>,
    /// The feeds' log goes back to this moment, Unix milliseconds.
    pub log_since_ms: Option<i64>,
}

/// What became of it with one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PeerTrace {
    pub peer: String,
    pub fate: PeerFate,
    /// Every reply, the oldest first.
    pub replies: Vec<Replied<String>>,
    /// Unix milliseconds from when it came to the last reply.
    pub delay_ms: Option<i64>,
}

/// How an article stands with a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerFate {
    /// It took the article (235, 239).
    Accepted,
    /// It did not want it (435, 438).
    Refused,
    /// It got it and rejected it (437, 439).
    Rejected,
    /// It put it off (431, 436).
    Deferred {
        /// Until when, Unix seconds; none: it is being offered again, or not saved yet.
        until_s: Option<i64>,
    },
    /// It is not sent there; why.
    NotOwed(String),
    /// It is still to be sent there.
    Owed {
        /// What the feed is doing.
        state: String,
        /// The last thing that went wrong with it.
        last_error: String,
        /// Log records between the peer's cursor and the article.
        before: u64,
    },
    /// The feed is beyond it, and the log has no reply: the reply is older than the log, or the peer's
    /// feed began later than the article.
    Passed,
    /// It was not in the store any more when its turn came.
    Gone,
}

/// Where the answers are.
pub struct Sources<'a> {
    /// The store of the site.
    pub store: &'a Store,
    /// The peers as configured.
    pub peers: &'a [Peer],
    /// The feeds; none while the site is stopped.
    pub feeds: Option<&'a [FeedStatus]>,
    /// The feeds' log.
    pub feed_log: Option<&'a Path>,
    /// The news log.
    pub news_log: Option<&'a Path>,
}

/// Everything that is known of the article `id`. Reads files: only on a thread that may wait.
pub fn trace(sources: &Sources<'_>, id: &MessageId) -> Trace {
    let store = sources.store;
    let mut told = Trace { id: id.to_string(), ..Trace::default() };
    let entry = match store.entry(id, Wait::Disk) {
        Ok(entry) => entry,
        Err(ReadError::Gone) => None,
        Err(error) => {
            told.looked_in.push(format!("its record in the spool cannot be read: {error:?}"));
            None
        }
    };
    told.standing = match (&entry, store.known(id)) {
        (Some(_), _) => "stored",
        (None, Known::Yes) => "remembered, but not in the store any more",
        (None, Known::Pending) => "being received now",
        (None, Known::No) => "not known",
    }
    .to_owned();
    told.looked_in.push("the history and the spool of this site".to_owned());
    let mut replies = Vec::new();
    if let Some(lines) = search(sources.feed_log, "feeds' log", &mut told.looked_in, |log| {
        told.log_since_ms = feeds::since(log);
        feeds::search(log, id)
    }) {
        for line in lines {
            match line {
                Line::Came(came) => told.came.push(came),
                Line::Replied(reply) => replies.push(reply),
            }
        }
    }
    if told.came.is_empty() {
        let lines = search(sources.news_log, "news log", &mut told.looked_in, |log| news::search(log, id));
        told.news = lines.unwrap_or_default();
    }
    if entry.is_none() && !told.came.is_empty() && told.standing == "not known" {
        "not taken".clone_into(&mut told.standing);
    }
    told.peers = peers(sources, entry.as_ref(), replies);
    told.article = entry.as_ref().map(EntryRow::new);
    told
}

fn search<T>(
    log: Option<&Path>,
    name: &str,
    looked_in: &mut Vec<String>,
    look: impl FnOnce(&Path) -> std::io::Result<T>,
) -> Option<T> {
    let Some(log) = log else {
        looked_in.push(format!("no {name} is kept here"));
        return None;
    };
    match look(log) {
        Ok(found) => {
            looked_in.push(format!("the {name}, {}", log.display()));
            Some(found)
        }
        Err(error) => {
            looked_in.push(format!("the {name}, {}, cannot be read: {error}", log.display()));
            None
        }
    }
}

/// The peers as configured, then those that are no peers any more but answered.
fn peers(
    sources: &Sources<'_>,
    entry: Option<&LogEntry>,
    mut replies: Vec<Replied<String>>,
) -> Vec<PeerTrace> {
    let mut rows = Vec::new();
    let mut row = |name: &str, fate: Option<PeerFate>, own: Vec<Replied<String>>| {
        let last = own.last();
        let Some(fate) = last.map(|last| answered(last, entry, name, sources.store)).or(fate) else { return };
        let delay_ms = last.and_then(|last| Some(last.at_ms - entry?.arrived.unix_ms()));
        rows.push(PeerTrace { peer: name.to_owned(), fate, replies: own, delay_ms });
    };
    for peer in sources.peers {
        let (own, others) = replies.into_iter().partition(|reply| reply.peer == peer.name);
        replies = others;
        row(&peer.name, entry.map(|entry| unanswered(sources, peer, entry)), own);
    }
    while let Some(name) = replies.first().map(|reply| reply.peer.clone()) {
        let (own, others) = replies.into_iter().partition(|reply| reply.peer == name);
        replies = others;
        row(&name, None, own);
    }
    rows
}

/// How it stands by the last reply.
fn answered(last: &Replied<String>, entry: Option<&LogEntry>, peer: &str, store: &Store) -> PeerFate {
    match (last.code, last.command.as_str()) {
        (235 | 239, _) => PeerFate::Accepted,
        (435 | 438, _) | (501, "CHECK") => PeerFate::Refused,
        (431 | 436, _) | (0, _) => {
            let state = store.peer_state(peer);
            let deferred = state.and_then(|state| {
                state.deferred.iter().find(|(seq, _)| Some(*seq) == entry.map(|entry| entry.seq)).copied()
            });
            match (deferred, last.code) {
                (Some((_, until_s)), _) => PeerFate::Deferred { until_s: Some(until_s) },
                (None, 0) => PeerFate::Gone,
                (None, _) => PeerFate::Deferred { until_s: None },
            }
        }
        _ => PeerFate::Rejected,
    }
}

/// How it stands without a reply.
fn unanswered(sources: &Sources<'_>, peer: &Peer, entry: &LogEntry) -> PeerFate {
    if let Err(why) = owed::judge(peer, entry) {
        return PeerFate::NotOwed(why.to_string());
    }
    if !owed::is_fed(peer) {
        return PeerFate::NotOwed(
            "there is no way to it: it has neither address nor turn nor batch".to_owned(),
        );
    }
    let feed = sources.feeds.and_then(|feeds| feeds.iter().find(|feed| feed.peer == peer.name));
    let state = sources.store.peer_state(&peer.name);
    let cursor = match (feed, &state) {
        (Some(feed), _) => feed.cursor,
        (None, Some(state)) => state.cursor.0,
        (None, None) => {
            return PeerFate::NotOwed("its feed has never run, and begins at the end of the log".to_owned());
        }
    };
    let deferred = state.iter().flat_map(|state| &state.deferred).find(|(seq, _)| *seq == entry.seq);
    if let Some((_, until_s)) = deferred {
        return PeerFate::Deferred { until_s: Some(*until_s) };
    }
    if entry.seq.0 <= cursor {
        return PeerFate::Passed;
    }
    PeerFate::Owed {
        state: feed.map_or("the site is stopped".to_owned(), |feed| feed.state.clone()),
        last_error: feed.map(|feed| feed.last_error.clone()).unwrap_or_default(),
        before: entry.seq.0 - cursor - 1,
    }
}

/// The figures of a peer's feed while the site is stopped, as far as the store has them.
pub fn stopped_feed(store: &Store, peer: &Peer) -> FeedStatus {
    let state = store.peer_state(&peer.name);
    let last = store.last_seq();
    let mut status = FeedStatus {
        peer: peer.name.clone(),
        address: peer.dial.as_ref().map(ToString::to_string).unwrap_or_default(),
        state: "the site is stopped".to_owned(),
        ..FeedStatus::default()
    };
    status.loss = store.loss(&peer.name).map(|loss| loss.why);
    let Some(state) = state else {
        let fed = store.fed_since(&peer.name).is_some();
        status.state = if fed { "its place in the log was lost" } else { "it has never run" }.to_owned();
        return status;
    };
    status.cursor = state.cursor.0;
    status.lag = last.0.saturating_sub(state.cursor.0);
    status.put_off = state.deferred.len() as u64;
    let owed = owed::count(store, peer, state.cursor, Wait::Disk);
    status.owed = owed.unwrap_or(status.lag) + status.put_off;
    status.owed_is_exact = owed.is_some();
    if status.owed == 0 {
        return status;
    }
    let age_s = |(entries, _): (Vec<std::sync::Arc<LogEntry>>, _)| {
        let arrived = entries.first()?.arrived;
        u64::try_from(clock::now().unix_s() - arrived.unix_s()).ok()
    };
    status.lag_s = store.log(state.cursor, 1, Wait::Disk).ok().and_then(age_s);
    status
}
