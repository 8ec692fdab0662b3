//! Making sure that a peer has what it should have, and that we have what it has for us; with a proof.
//!
//! With a peer that answers XSYNC the two sets are compared ([`crate::sync`]): what only we have is
//! offered by the ordinary feed, what only the peer has it is asked to offer. That goes on until nothing
//! moves any more. Any other peer is offered all of it once more, which costs a CHECK for each article
//! that it has.
//!
//! Compared is what stands here and there in the newsgroups that we send, and in those that we accept,
//! by the articles' own dates. What comes during the sync is left to the feeds. What a contract keeps back is told apart
//! from what is missing.

use super::Feeds;
use super::owed::judge;
use super::talk::Talk;
use crate::article::MessageId;
use crate::clock::{self, Timestamp};
use crate::config::Peer;
use crate::store::{Known, LogEntry, Seq, Store, Wait};
use crate::sync::{AHEAD_S, BUCKET_S, Ranges, Summary};
use crate::transport::apart;
use crate::wildmat::Wildmat;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Records of the log looked at in one go.
const ENTRIES: usize = 1024;
/// Offers that are asked for before the answers are read.
const ASKED_MAX: usize = 500;
/// How long to wait for articles that move, and with none moving.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);
/// Comparisons at most.
const ROUNDS_MAX: usize = 1000;
/// Octets of a wildmat that fits a command line (RFC 3977 s.3.1: 512).
const WILDMAT_MAX: usize = 200;
/// Articles that may come between the peer's counts and its lists.
const LISTED_MORE: u64 = 100_000;
/// Differences that are looked at in one comparison.
const DIFFERENCES_MAX: usize = 50_000;
/// Message-IDs that a report names.
const NAMED_MAX: usize = 20;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct SyncReport {
    pub site: String,
    pub peer: String,
    /// Unix seconds of the articles' dates: from, and up to but not including.
    pub since_s: i64,
    pub until_s: i64,
    /// By comparison (XSYNC); else the peer was offered everything.
    pub compared: bool,
    /// What the peer should have of ours.
    pub sent: Agreement,
    /// What we should have of the peer's; the same as `sent` where the newsgroups are the same.
    pub accepted: Option<Agreement>,
    pub seconds: u64,
}

/// How far the two agree on what one direction is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Agreement {
    /// Articles that both have.
    pub agreed: u64,
    /// Articles that both should have.
    pub of: u64,
    /// What moved during the sync, to the peer and to us.
    pub sent: u64,
    pub received: u64,
    /// Articles that one has and the other is not owed: how many for which rule.
    pub unowed: BTreeMap<String, u64>,
    /// Some of those that are missing.
    pub missing: Vec<String>,
}

impl Agreement {
    fn unowed(&mut self, why: &str) {
        // By the rule: `bytes_max: it has ...`.
        let rule = why.split_once(": ").map_or(why, |(rule, _)| rule);
        *self.unowed.entry(rule.to_owned()).or_default() += 1;
    }

    fn miss(&mut self, id: impl Into<String>) {
        self.of += 1;
        if self.missing.len() < NAMED_MAX {
            self.missing.push(id.into());
        }
    }
}

impl SyncReport {
    /// Is nothing missing?
    pub fn is_whole(&self) -> bool {
        [Some(&self.sent), self.accepted.as_ref()].into_iter().flatten().all(|way| way.agreed == way.of)
    }
}

impl Feeds {
    /// Synchronizes with a peer: articles since then. `say` is told how far it is.
    ///
    /// # Errors
    /// There is no such peer, or it cannot be asked; one line.
    pub async fn sync(
        &self,
        name: &str,
        site: &str,
        since: Timestamp,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<SyncReport, String> {
        let peer = self.peer(name).ok_or_else(|| format!("there is no feed to \"{name}\""))?;
        let Some(how) = peer.dial.clone() else {
            return Err(format!("{name} is not dialled: run it at the other site"));
        };
        let begun = Instant::now();
        let begun_at = clock::now();
        // Articles may be dated a day ahead.
        let within = (since.unix_s().max(0), begun_at.plus_s(AHEAD_S).unix_s() + 1);
        if within.0 >= within.1 {
            return Err("the time since when lies in the future".to_owned());
        }
        let mut report = SyncReport {
            site: site.to_owned(),
            peer: name.to_owned(),
            since_s: within.0,
            until_s: within.1,
            ..SyncReport::default()
        };
        match Talk::open(&self.means(), &how).await {
            Ok(talk) => {
                report.compared = true;
                let store = self.store.clone();
                let mut sync = Comparing { feeds: self, store, peer, talk, within, begun_at, say };
                report.sent = sync.agree(Way::Both).await?;
                if sync.peer.send.newsgroups != sync.peer.accept.newsgroups {
                    let sent = std::mem::take(&mut report.sent);
                    report.accepted = Some(sync.agree(Way::Accept).await?);
                    report.sent = sent;
                }
                sync.talk.quit().await;
            }
            Err(why) if why.contains("does not offer XSYNC") => {
                say(format!("{name} does not answer XSYNC: it is offered everything once more"));
                report.sent = self.offer_again(&peer, within, say).await;
            }
            Err(why) => return Err(format!("{name} cannot be asked: {why}")),
        }
        report.seconds = begun.elapsed().as_secs();
        Ok(report)
    }

    /// Offers the peer everything since then once more; its answers are the proof.
    async fn offer_again(
        &self,
        peer: &Arc<Peer>,
        within: (i64, i64),
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Agreement {
        let to = self.store.last_seq();
        let from = first_seq(&self.store, within.0).await;
        let sweep = self.sweep(peer, from, to);
        let (mut told, mut moved_at, mut last) = (Instant::now(), Instant::now(), 0);
        while !sweep.is_done() {
            sleep(LOOK).await;
            let (totals, cursor, error) = sweep.figures();
            let answered = totals.accepted + totals.refused + totals.rejected + totals.gone;
            if answered != last {
                (last, moved_at) = (answered, Instant::now());
            }
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                let trouble = if error.is_empty() { String::new() } else { format!(" ({error})") };
                say(format!("{answered} answered, at record {} of {}{trouble}", cursor.0, to.0));
            }
            if moved_at.elapsed() >= PATIENCE * 5 {
                break;
            }
        }
        let (totals, cursor, _) = sweep.figures();
        let has = totals.accepted + totals.refused;
        let mut agreement = Agreement {
            agreed: has,
            of: has + totals.rejected,
            sent: totals.accepted,
            ..Agreement::default()
        };
        if totals.rejected > 0 {
            agreement.missing.push(format!("{} rejected by the peer", totals.rejected));
        }
        if totals.gone > 0 {
            agreement.unowed.insert("not readable here any more".to_owned(), totals.gone);
        }
        if cursor < to {
            agreement.of += to.0 - cursor.0;
            agreement.missing.push(format!("not offered: records {} to {}", cursor.0 + 1, to.0));
        }
        agreement
    }
}

/// Which newsgroups are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Those that we send; what only the peer has there counts if we accept those as well.
    Both,
    /// Those that we accept.
    Accept,
}

/// A sync with a peer that answers XSYNC.
struct Comparing<'a> {
    feeds: &'a Feeds,
    store: Store,
    peer: Arc<Peer>,
    talk: Talk,
    within: (i64, i64),
    begun_at: Timestamp,
    say: &'a (dyn Fn(String) + Send + Sync),
}

/// What one comparison found.
struct Difference {
    /// Articles here, by the newsgroups that are compared.
    here: u64,
    /// Only here.
    ours: Vec<LogEntry>,
    /// Only there.
    theirs: Vec<String>,
    /// Only there, but remembered here: it was filed elsewhere, or has come just now.
    remembered: u64,
    /// Here, in hours that differ and were not looked at yet.
    unlooked: u64,
}

impl Comparing<'_> {
    /// Compares and moves articles until nothing moves any more.
    async fn agree(&mut self, way: Way) -> Result<Agreement, String> {
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
            // What has come since is on its way as ever.
            let before = |entry: &LogEntry| entry.arrived < self.begun_at;
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

    /// Waits for articles to move: how many to the peer, and how many to us.
    async fn move_them(&mut self, owed: &[LogEntry], wanted: &[MessageId]) -> (u64, u64) {
        let name = self.peer.name.clone();
        let before = self.feeds.standing(&name).map(|(totals, _)| totals.accepted).unwrap_or_default();
        let mut rest = owed;
        let arrived = |store: &Store| wanted.iter().filter(|id| store.known(id) == Known::Yes).count() as u64;
        let (mut moved_at, mut told, mut last) = (Instant::now(), Instant::now(), (0, 0, 0));
        loop {
            let (totals, deferred) = self.feeds.standing(&name).unwrap_or_default();
            // A few at a time: the set is kept with the peer's place in the log.
            if deferred < super::sweep::OWE_MAX && !rest.is_empty() {
                let taken = rest.len().min(super::sweep::OWE_MAX);
                let (these, others) = rest.split_at(taken);
                if self.feeds.owe(&name, these).is_ok() {
                    rest = others;
                    sleep(LOOK).await;
                    continue;
                }
                rest = &[];
            }
            let now = (totals.accepted - before.min(totals.accepted), arrived(&self.store), deferred);
            if now != last {
                (last, moved_at) = (now, Instant::now());
            }
            let all_arrived = last.1 == wanted.len() as u64;
            if (rest.is_empty() && deferred == 0 && all_arrived) || moved_at.elapsed() >= PATIENCE {
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
        let mut listed = hours.iter().map(|hour| there.count_of(*hour)).sum::<u64>() + LISTED_MORE;
        for ranges in Ranges::of_hours(&hours, self.within) {
            let mut own: HashMap<String, LogEntry> = HashMap::new();
            scan(&self.store, &ranges, &newsgroups, |entry| {
                own.insert(entry.id.to_string(), LogEntry::clone(entry));
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
                unlooked = behind.map(|hour| here.count_of(*hour)).sum();
                break;
            }
        }
        ours.sort_unstable_by_key(|entry| entry.seq);
        let listed = theirs.len();
        theirs
            .retain(|id| MessageId::try_from(id.as_str()).is_ok_and(|id| self.store.known(&id) == Known::No));
        let remembered = (listed - theirs.len()) as u64;
        Ok(Difference { here: here.count(), ours, theirs, remembered, unlooked })
    }
}

/// The last record before the first article with such a date can have come.
async fn first_seq(store: &Store, since_s: i64) -> Seq {
    let store = store.clone();
    let first = Timestamp::from_unix_s(since_s).plus_s(-AHEAD_S);
    let found = apart(move || store.seq_before(first)).await;
    found.unwrap_or_default()
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
        let (entries, next) = read
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("the log cannot be read: {error:?}"))?;
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
