//! The comparison behind a sync: what only one of the two has is found, offered or asked for, and that is
//! repeated until nothing moves any more.

use super::Feeds;
use super::owed::judge;
use super::sweep::{OWE_MAX, Watched};
use super::sync::{Agreement, first_seq};
use super::talk::Talk;
use crate::article::MessageId;
use crate::config::Peer;
use crate::store::{Known, LogEntry, ReadError, Seq, Store, Wait};
use crate::sync::{BUCKET_S, Ranges, Summary};
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
/// Comparisons at most.
const ROUNDS_MAX: usize = 1000;
/// Octets of a wildmat that fits a command line (RFC 3977 s.3.1: 512).
const WILDMAT_MAX: usize = 200;
/// Articles that may come between the peer's counts and its lists.
const LISTED_MORE: u64 = 100_000;
/// Articles that one question asks for, about: their Message-IDs are in memory meanwhile.
const LISTED_AT_ONCE: u64 = 100_000;
/// Articles beside those in question that may be listed to have fewer questions.
const LISTED_SPARE: u64 = 50_000;
/// Differences that are looked at in one comparison.
const DIFFERENCES_MAX: usize = 50_000;

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
    /// Only here.
    ours: Vec<Arc<LogEntry>>,
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
        let mut best = usize::MAX;
        for round in 0..ROUNDS_MAX {
            let difference = self.compare(&newsgroups).await?;
            let mut now = Agreement {
                agreed: difference.here - difference.ours.len() as u64 - difference.unlooked,
                sent: total.sent,
                received: total.received,
                ..Agreement::default()
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
            let mut owed = Vec::new();
            // What has come since is on its way as ever. (Not by time: a clock may have been set back.)
            let before = |entry: &LogEntry| entry.seq <= self.begun_at;
            for entry in difference.ours.into_iter().filter(|entry| may_send && before(entry)) {
                match judge(&self.peer, &entry) {
                    Ok(()) => {
                        now.miss(entry.id.as_str());
                        owed.push(entry);
                    }
                    Err(why) => now.unowed(&why.to_string()),
                }
            }
            let wanted = if may_ask { self.ask_for(difference.theirs, &mut now).await? } else { Vec::new() };
            let left = owed.len() + wanted.len();
            (self.say)(format!(
                "comparison {}: both have {}, {} to send, {} to receive",
                round + 1,
                now.agreed,
                owed.len(),
                wanted.len()
            ));
            // Another try where it is better than it was.
            if left == 0 || left >= best {
                return Ok(now);
            }
            best = left;
            let (sent, received) = self.move_them(&owed, &wanted).await;
            total.sent += sent;
            total.received += received;
        }
        Err("there is no end of differences".to_owned())
    }

    /// Asks the peer to offer these: those that it will.
    async fn ask_for(&mut self, theirs: Vec<String>, now: &mut Agreement) -> Result<Vec<MessageId>, String> {
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
    async fn compare(&mut self, newsgroups: &Wildmat) -> Result<Difference, String> {
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
        self.talk
            .list(&format!("XSYNC COUNTS {all} {text}"), |line| match there.read_line(&line, within) {
                true => Ok(()),
                false => Err(format!("no line of counts: {line}")),
            })
            .await?;
        let mut here = Summary::default();
        scan(&self.store, &all, &newsgroups, |entry| here.add(&entry.id, entry.date)).await?;
        let (mut ours, mut theirs, mut unlooked) = (Vec::new(), Vec::new(), 0);
        let hours = here.differences(&there);
        // A peer lists what it has counted, and what has come since.
        let mut listed = hours.iter().map(|hour| there.count_of(*hour..hour + 1)).sum::<u64>()
            + LISTED_SPARE
            + LISTED_MORE;
        let count = |hours: Range<i64>| here.count_of(hours.clone()).max(there.count_of(hours));
        for ranges in Ranges::of_hours(&hours, self.within, count, LISTED_AT_ONCE, LISTED_SPARE) {
            let mut own: HashMap<String, Seq> = HashMap::new();
            scan(&self.store, &ranges, &newsgroups, |entry| {
                own.insert(entry.id.to_string(), entry.seq);
            })
            .await?;
            self.talk
                .list(&format!("XSYNC IDS {ranges} {text}"), |id| {
                    listed = listed.checked_sub(1).ok_or("its list of Message-IDs has no end")?;
                    // One that has come since the counts is no difference.
                    if own.remove(&id).is_none() {
                        theirs.push(id);
                    }
                    Ok(())
                })
                .await?;
            ours.extend(own.into_values());
            // The rest in the next comparison.
            if ours.len() + theirs.len() > DIFFERENCES_MAX {
                let behind = hours.iter().filter(|hour| **hour * BUCKET_S >= ranges.end());
                unlooked = behind.map(|hour| here.count_of(*hour..hour + 1)).sum();
                break;
            }
        }
        let ours = entries(&self.store, ours).await?;
        let listed = theirs.len();
        theirs
            .retain(|id| MessageId::try_from(id.as_str()).is_ok_and(|id| self.store.known(&id) == Known::No));
        let remembered = (listed - theirs.len()) as u64;
        Ok(Difference { here: here.count(), ours, theirs, remembered, unlooked })
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

fn cannot_read(error: &ReadError) -> String {
    format!("the log cannot be read: {error:?}")
}

/// Calls `each` for the articles here of these ranges and newsgroups.
async fn scan(
    store: &Store,
    ranges: &Ranges,
    newsgroups: &Wildmat,
    mut each: impl FnMut(&LogEntry),
) -> Result<(), String> {
    let mut after = first_seq(store, ranges.first()).await;
    loop {
        let reading = store.clone();
        let read = apart(move || reading.log(after, ENTRIES, Wait::Disk)).await;
        let (entries, next) =
            read.map_err(|error| error.to_string())?.map_err(|error| cannot_read(&error))?;
        for entry in &entries {
            if ranges.contain(entry.date.unix_s()) && newsgroups.wants(entry.newsgroups.split(',')) {
                each(entry);
            }
        }
        if next <= after {
            return Ok(());
        }
        after = next;
    }
}
