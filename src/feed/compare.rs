//! The comparison behind a sync: what only one of the two has is found, offered or asked for, and that is
//! repeated until nothing moves any more.

use super::Feeds;
use super::owed::judge;
use super::sweep::OWE_MAX;
use super::sync::{Agreement, first_seq};
use super::talk::Talk;
use super::watching::Watched;
use crate::article::MessageId;
use crate::config::Peer;
use crate::store::{Known, LogEntry, ReadError, Seq, Store, Wait};
use crate::sync::{self, BUCKET_S, Ranges, Summary};
use crate::transport::apart;
use crate::wildmat::Wildmat;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Records of the log looked at in one go.
const ENTRIES: usize = 1024;
/// Offers that are asked for before the answers are read.
const ASKED_MAX: usize = 500;
/// How long to wait for articles that move, and with none moving.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// Comparisons at most ...
const ROUNDS_MAX: usize = 1000;
/// ... and without fewer differences than before.
const STILL_MAX: usize = 3;
/// Articles that a peer is asked to offer before they have come: as many as do not hold up its feed.
const WANTED_MAX: usize = 2_500;
/// Octets of a wildmat that fits a command line (RFC 3977 s.3.1: 512).
const WILDMAT_MAX: usize = 200;
/// Articles that may come between the peer's counts and its lists.
const LISTED_MORE: u64 = 100_000;
/// Articles that one question asks for, about: their Message-IDs are in memory meanwhile.
const LISTED_AT_ONCE: u64 = 100_000;
/// Articles beside those in question that may be listed to have fewer questions.
const LISTED_SPARE: u64 = 50_000;
/// Articles that one comparison finds the peer to lack, about ...
const DIFFERENCES_MAX: usize = 50_000;
/// ... and we, by their Message-IDs: it may be that they stay there, and what is behind them must be seen.
const THEIRS_MAX: usize = 400_000;

/// Which newsgroups are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Those that we send; what only the peer has there counts if we accept those as well.
    Both,
    /// Those that we accept.
    Accept,
}

/// A sync with a peer that answers XSYNC.
pub(super) struct Comparing<'a> {
    pub(super) feeds: &'a Feeds,
    pub(super) store: Store,
    pub(super) peer: Arc<Peer>,
    pub(super) talk: Talk,
    pub(super) within: (i64, i64),
    /// Where the log ended when it began.
    pub(super) begun_at: Seq,
    pub(super) say: &'a (dyn Fn(String) + Send + Sync),
}

/// What one comparison found.
struct Difference {
    /// Articles here, by the newsgroups that are compared.
    here: u64,
    /// How many are only here,
    ours: u64,
    /// which of them the peer is owed,
    owed: Vec<Arc<LogEntry>>,
    /// and why the others are not owed to it.
    unowed: Agreement,
    /// Only there.
    theirs: Vec<String>,
    /// Only there, but remembered here: it was filed elsewhere, or has come just now.
    remembered: u64,
    /// Here, in hours that differ and were not looked at yet.
    unlooked: u64,
}

impl Comparing<'_> {
    /// Compares and moves articles until nothing moves any more.
    pub(super) async fn agree(&mut self, way: Way) -> Result<Agreement, String> {
        let contract = if way == Way::Accept { &self.peer.accept } else { &self.peer.send };
        let newsgroups = contract.newsgroups.clone();
        let same = self.peer.send.newsgroups == self.peer.accept.newsgroups;
        let (may_send, may_ask) = (way == Way::Both, way == Way::Accept || same);
        let mut total = Agreement::default();
        let (mut best, mut still) = (u64::MAX, 0);
        for round in 0..ROUNDS_MAX {
            let difference = self.compare(&newsgroups, may_send).await?;
            let mut now = Agreement {
                agreed: difference.here - difference.ours - difference.unlooked,
                sent: total.sent,
                received: total.received,
                ..difference.unowed
            };
            now.of = now.agreed + difference.unlooked;
            if difference.unlooked > 0 {
                now.missing
                    .push(format!("{} articles of hours that were not looked at", difference.unlooked));
            }
            if difference.remembered > 0 {
                now.unowed
                    .insert("known here, and not in these newsgroups".to_owned(), difference.remembered);
            }
            let owed = difference.owed;
            owed.iter().for_each(|entry| now.miss(entry.id.as_str()));
            let owing = owed.len();
            let (mut rest, mut moved) = (&owed[..], 0);
            let mut theirs = if may_ask { &difference.theirs[..] } else { &[] };
            let mut arrived: Vec<MessageId> = Vec::new();
            (self.say)(format!(
                "comparison {}: both have {}, {owing} to send, {} to ask for",
                round + 1,
                now.agreed,
                theirs.len()
            ));
            loop {
                // The peer keeps what it is asked for in its own deferred set: a few at a time.
                let (these, others) = theirs.split_at(theirs.len().min(WANTED_MAX));
                theirs = others;
                let wanted = self.ask_for(these, &mut now).await?;
                let (sent, received) = self.move_them(std::mem::take(&mut rest), &wanted).await;
                total.sent += sent;
                total.received += received;
                moved += sent + received;
                let stuck = received == 0 && !wanted.is_empty();
                arrived.extend(wanted.into_iter().filter(|id| self.store.known(id) == Known::Yes));
                if theirs.is_empty() || stuck {
                    break;
                }
            }
            let left = now.of - now.agreed + theirs.len() as u64;
            still = if left < best { 0 } else { still + 1 };
            best = best.min(left);
            // On a busy day something is always on its way: that is no difference.
            if left == 0 || moved == 0 || still == STILL_MAX {
                now.arrived(&arrived, theirs);
                (now.sent, now.received) = (total.sent, total.received);
                return Ok(now);
            }
        }
        Err("there is no end of differences".to_owned())
    }

    /// Asks the peer to offer these: those that it will.
    async fn ask_for(&mut self, theirs: &[String], now: &mut Agreement) -> Result<Vec<MessageId>, String> {
        let mut wanted = Vec::new();
        for ids in theirs.chunks(ASKED_MAX) {
            ids.iter().for_each(|id| self.talk.ask(&format!("XSYNC OFFER {id}")));
            self.talk.send().await?;
            for id in ids {
                let answer = self.talk.line().await?;
                match (answer.get(..3), MessageId::try_from(id.as_str())) {
                    (Some("292"), Ok(id)) => {
                        now.miss(id.as_str());
                        wanted.push(id);
                    }
                    (Some("492"), _) => {
                        let why = answer.splitn(3, ' ').nth(2).unwrap_or("it says no");
                        now.unowed(&format!("by {}: {why}", self.peer.name).replacen(": ", " ", 1));
                    }
                    _ => return Err(format!("unexpected answer: {answer}")),
                }
            }
        }
        Ok(wanted)
    }

    /// Waits for articles to move: how many to the peer, and how many to us. For what else the feed does it
    /// does not wait.
    async fn move_them(&mut self, owed: &[Arc<LogEntry>], wanted: &[MessageId]) -> (u64, u64) {
        let name = self.peer.name.clone();
        let mut rest = owed;
        let arrived = |store: &Store| wanted.iter().filter(|id| store.known(id) == Known::Yes).count() as u64;
        let (mut moved_at, mut told, mut last) = (Instant::now(), Instant::now(), (0, 0, 0));
        loop {
            let Watched { seqs, accepted } = self.feeds.watched(&name);
            // A few at a time: the set is kept with the peer's place in the log.
            if seqs < OWE_MAX && !rest.is_empty() {
                let (these, others) = rest.split_at(rest.len().min(OWE_MAX - seqs));
                rest = if self.feeds.owe_watched(&name, these.iter().map(|entry| &**entry)).is_ok() {
                    others
                } else {
                    &[]
                };
                continue;
            }
            let now = (accepted, arrived(&self.store), seqs);
            if now != last {
                (last, moved_at) = (now, Instant::now());
            }
            let all_arrived = last.1 == wanted.len() as u64;
            if (rest.is_empty() && seqs == 0 && all_arrived) || moved_at.elapsed() >= PATIENCE {
                self.feeds.unwatch(&name);
                return (last.0, last.1);
            }
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                (self.say)(format!("{} sent, {} received", last.0, last.1));
            }
            sleep(LOOK).await;
        }
    }

    /// Compares what stands here and there in these newsgroups.
    async fn compare(&mut self, newsgroups: &Wildmat, may_send: bool) -> Result<Difference, String> {
        let mut text = newsgroups.to_string();
        // What does not fit a line is left to the contract's own judge.
        let newsgroups = if text.len() > WILDMAT_MAX {
            text = "*".to_owned();
            Wildmat::parse_subscription("*").map_err(|error| error.to_string())?
        } else {
            newsgroups.clone()
        };
        let all = Ranges::one(self.within.0, self.within.1);
        let (mut there, within) = (Summary::default(), self.within);
        // Both scans of one comparison are about the same articles.
        let tip = self.store.last_seq();
        // It counts while we count.
        self.talk.ask(&format!("XSYNC COUNTS {all} {text}"));
        self.talk.send().await?;
        let mut here = Summary::default();
        scan(&self.store, &all, &newsgroups, tip, |entry| here.add(&entry.id, entry.date)).await?;
        self.talk
            .list(|line| match there.read_line(&line, within) {
                true => Ok(()),
                false => Err(format!("no line of counts: {line}")),
            })
            .await?;
        let (mut ours, mut owed, mut unowed) = (0, Vec::new(), Agreement::default());
        let (mut theirs, mut unlooked) = (Vec::new(), 0);
        let hours = here.differences(&there);
        // A peer lists what it has counted, and what has come since.
        let mut listed = hours.iter().map(|hour| there.count_of(*hour..hour + 1)).sum::<u64>()
            + LISTED_SPARE
            + LISTED_MORE;
        let count = |hours: Range<i64>| here.count_of(hours.clone()).max(there.count_of(hours));
        for ranges in Ranges::of_hours(&hours, self.within, count, LISTED_AT_ONCE, LISTED_SPARE) {
            self.talk.ask(&format!("XSYNC IDS {ranges} {text}"));
            self.talk.send().await?;
            let mut own: HashMap<u128, Seq> = HashMap::new();
            scan(&self.store, &ranges, &newsgroups, tip, |entry| {
                own.insert(sync::hash(entry.id.as_str()), entry.seq);
            })
            .await?;
            self.talk
                .list(|id| {
                    listed = listed.checked_sub(1).ok_or("its list of Message-IDs has no end")?;
                    // One that has come since the counts is no difference.
                    if own.remove(&sync::hash(&id)).is_none() {
                        theirs.push(id);
                    }
                    Ok(())
                })
                .await?;
            ours += own.len() as u64;
            // What has come since is on its way as ever.
            let before = |entry: &Arc<LogEntry>| entry.seq <= self.begun_at;
            let only =
                if may_send { entries(&self.store, own.into_values().collect()).await? } else { Vec::new() };
            for entry in only.into_iter().filter(before) {
                match judge(&self.peer, &entry) {
                    Ok(()) => owed.push(entry),
                    Err(why) => unowed.unowed(&why.to_string()),
                }
            }
            // The rest in the next comparison.
            if owed.len() > DIFFERENCES_MAX || theirs.len() > THEIRS_MAX {
                let behind = hours.iter().filter(|hour| **hour * BUCKET_S >= ranges.end());
                unlooked = behind.map(|hour| here.count_of(*hour..hour + 1)).sum();
                break;
            }
        }
        let mut remembered = 0;
        theirs.retain(|id| {
            let Ok(id) = MessageId::try_from(id.as_str()) else { return false };
            match self.store.known(&id) {
                Known::No => true,
                Known::Pending => false,
                Known::Yes => {
                    // One that has come during the comparison is no difference.
                    let entry = self.store.entry(&id, Wait::No).ok().flatten();
                    remembered += u64::from(entry.is_none_or(|entry| entry.seq <= tip));
                    false
                }
            }
        });
        owed.sort_unstable_by_key(|entry| entry.seq);
        Ok(Difference { here: here.count(), ours, owed, unowed, theirs, remembered, unlooked })
    }
}

/// The entries of these records, in their order.
async fn entries(store: &Store, mut seqs: Vec<Seq>) -> Result<Vec<Arc<LogEntry>>, String> {
    seqs.sort_unstable();
    let store = store.clone();
    let read = move || {
        let mut entries = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let (mut found, _) = store.log(Seq(seq.0.saturating_sub(1)), 1, Wait::Disk)?;
            entries.extend(found.pop().filter(|entry| entry.seq == seq));
        }
        Ok(entries)
    };
    let read: Result<_, ReadError> = apart(read).await.map_err(|error| error.to_string())?;
    read.map_err(|error| cannot_read(&error))
}

pub(super) fn cannot_read(error: &ReadError) -> String {
    format!("the log cannot be read: {error:?}")
}

/// Calls `each` for the articles here of these ranges and newsgroups.
async fn scan(
    store: &Store,
    ranges: &Ranges,
    newsgroups: &Wildmat,
    tip: Seq,
    mut each: impl FnMut(&LogEntry),
) -> Result<(), String> {
    let mut after = first_seq(store, ranges.first()).await;
    loop {
        after = store.skip(after, &|first_s, last_s| ranges.touch(first_s, last_s));
        let reading = store.clone();
        let read = apart(move || reading.log(after, ENTRIES, Wait::Disk)).await;
        let (entries, next) =
            read.map_err(|error| error.to_string())?.map_err(|error| cannot_read(&error))?;
        for entry in &entries {
            if entry.seq <= tip
                && ranges.contain(entry.date.unix_s())
                && newsgroups.wants(entry.newsgroups.split(','))
            {
                each(entry);
            }
        }
        if next <= after || next >= tip {
            return Ok(());
        }
        after = next;
    }
}
