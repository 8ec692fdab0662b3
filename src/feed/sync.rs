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
use super::compare::{Comparing, LOOK, PATIENCE, Way, cannot_read};
use super::owed::judge;
use super::talk::Talk;
use crate::article::MessageId;
use crate::clock::{self, Timestamp};
use crate::config::Peer;
use crate::store::{LogEntry, Seq, Store, Swept, Wait};
use crate::sync::AHEAD_S;
use crate::transport::apart;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Two sweeps that begin within so many seconds of each other are about the same.
const SAME_S: i64 = 24 * 3600;
/// Message-IDs that a report names.
pub(super) const NAMED_MAX: usize = 20;

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
    /// Of those that are missing after everything was offered once more: rejected by the peer, not to be read
    /// here any more, and without an answer yet.
    #[serde(default)]
    pub rejected: u64,
    #[serde(default)]
    pub gone: u64,
    #[serde(default)]
    pub left: u64,
    /// Some of those that are missing.
    pub missing: Vec<String>,
}

impl Agreement {
    pub(super) fn unowed(&mut self, why: &str) {
        // By the rule: `bytes_max: it has ...`.
        let rule = why.split_once(": ").map_or(why, |(rule, _)| rule);
        *self.unowed.entry(rule.to_owned()).or_default() += 1;
    }

    /// Of what is missing these have come meanwhile; those were not asked for.
    pub(super) fn arrived(&mut self, ids: &[MessageId], unasked: &[String]) {
        self.agreed += ids.len() as u64;
        self.missing.retain(|missing| !ids.iter().any(|id| id.as_str() == missing));
        unasked.iter().for_each(|id| self.miss(id));
    }

    pub(super) fn miss(&mut self, id: impl Into<String>) {
        self.of += 1;
        if self.missing.len() < NAMED_MAX {
            self.missing.push(id.into());
        }
    }
}

impl SyncReport {
    /// The first lines of what is told: who agrees on how much.
    pub fn proof(&self) -> String {
        let Self { site, peer, .. } = self;
        let of = |way: &Agreement| format!("{} of {} articles", grouped(way.agreed), grouped(way.of));
        match (&self.accepted, self.compared) {
            // 435 and 438 say that it does not want an article: it has it, or has had it, or has rejected it before.
            (_, false) => {
                let Agreement { agreed, sent, rejected, gone, left, .. } = self.sent;
                let known = grouped(agreed.saturating_sub(sent));
                let mut text = format!("{peer} has or remembers {} that it should have", of(&self.sent));
                text.push_str(&format!(": {} taken now, {known} known to it before", grouped(sent)));
                let parts = [(rejected, "rejected"), (gone, "not to be read here"), (left, "not answered")];
                for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
                    text.push_str(&format!("; {} {what}", grouped(count)));
                }
                text
            }
            (None, true) => format!("{site} and {peer} agree on {}", of(&self.sent)),
            (Some(accepted), true) => format!(
                "{site} and {peer} agree on {} that {peer} is sent\n{site} and {peer} agree on {} that {site} accepts",
                of(&self.sent),
                of(accepted)
            ),
        }
    }

    /// Was there anything to compare at all?
    pub fn is_about_nothing(&self) -> bool {
        [Some(&self.sent), self.accepted.as_ref()].into_iter().flatten().all(|way| way.of == 0)
    }

    /// Did it come to its end, so that another try would hardly bring more?
    pub fn is_answered(&self) -> bool {
        [Some(&self.sent), self.accepted.as_ref()].into_iter().flatten().all(|way| way.left == 0)
    }

    /// Is nothing missing?
    pub fn is_whole(&self) -> bool {
        [Some(&self.sent), self.accepted.as_ref()].into_iter().flatten().all(|way| way.agreed == way.of)
    }
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// One sync with a peer at a time.
struct Turn<'a> {
    feeds: &'a Feeds,
    peer: &'a str,
}

impl<'a> Turn<'a> {
    fn take(feeds: &'a Feeds, peer: &'a str) -> Result<Self, String> {
        let mut syncing = feeds.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if !syncing.insert(peer.to_owned()) {
            return Err(format!("a sync with {peer} is under way"));
        }
        Ok(Self { feeds, peer })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.feeds.syncing.lock().unwrap_or_else(PoisonError::into_inner).remove(self.peer);
        self.feeds.unwatch(self.peer);
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
        let _turn = Turn::take(self, name)?;
        let loss = self.store.loss(name);
        let begun = Instant::now();
        // Not a time: a clock may have been set back.
        let begun_at = self.store.last_seq();
        // Articles may be dated a day ahead.
        let within = (since.unix_s().max(0), clock::now().plus_s(AHEAD_S).unix_s() + 1);
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
            Err(failed) if failed.no_sync => {
                say(format!("{name} does not answer XSYNC: it is offered everything once more"));
                report.sent = self.offer_again(&peer, &mut report.since_s, say).await?;
            }
            Err(failed) => return Err(format!("{name} cannot be asked: {}", failed.why)),
        }
        report.seconds = begun.elapsed().as_secs();
        if let Some(loss) =
            loss.filter(|_| report.is_whole() && report.since_s <= self.owed_since(name).unix_s().max(0))
        {
            self.store.mended(name, &loss);
        }
        Ok(report)
    }

    /// Offers the peer everything since then once more; its answers are the proof. Goes on where an earlier
    /// one about the same time was interrupted.
    async fn offer_again(
        &self,
        peer: &Arc<Peer>,
        since_s: &mut i64,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Agreement, String> {
        let to = self.store.last_seq().0;
        // `--since 36h` is a little later each time.
        let same = |swept: &Swept| (*since_s - SAME_S..=*since_s).contains(&swept.since_s) && swept.at <= to;
        let swept = match self.store.sweep(&peer.name).filter(same) {
            Some(swept) => {
                say(format!(
                    "goes on behind record {}, {} articles answered before",
                    swept.at,
                    swept.answered()
                ));
                Swept { to, ..swept }
            }
            None => {
                let at = first_seq(&self.store, *since_s).await.0.min(to);
                Swept { since_s: *since_s, at, to, ..Swept::default() }
            }
        };
        *since_s = swept.since_s;
        let ended = || format!("there is no feed to \"{}\" any more", peer.name);
        let sweep = self.sweep(peer, swept).ok_or_else(ended)?;
        let (mut told, mut moved_at, mut last) = (Instant::now(), Instant::now(), (0, 0));
        while !sweep.is_done() {
            sleep(LOOK).await;
            let (swept, (answers, error)) = (sweep.swept(), sweep.progress());
            if (swept.at, answers) != last {
                (last, moved_at) = ((swept.at, answers), Instant::now());
            }
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                let trouble = if error.is_empty() { String::new() } else { format!(" ({error})") };
                say(format!("{answers} answered, at record {} of {to}{trouble}", swept.at));
                self.store.set_sweep(&peer.name, Some(swept));
            }
            if moved_at.elapsed() >= PATIENCE * 5 {
                break;
            }
        }
        let (swept, named) = (sweep.swept(), sweep.named());
        drop(sweep);
        let left = owed_between(&self.store, peer, &swept).await?;
        self.store.set_sweep(&peer.name, (swept.at < to).then(|| swept.clone()));
        let has = swept.accepted + swept.refused;
        Ok(Agreement {
            agreed: has,
            of: has + swept.rejected + swept.gone + left,
            sent: swept.accepted,
            rejected: swept.rejected,
            gone: swept.gone,
            left,
            missing: named,
            ..Agreement::default()
        })
    }
}

/// How many articles of a sweep are owed to the peer that have no answer. Those behind the place that have one
/// count too: they are offered again by whoever goes on.
async fn owed_between(store: &Store, peer: &Arc<Peer>, swept: &Swept) -> Result<u64, String> {
    let (store, peer) = (store.clone(), peer.clone());
    let (mut after, to, since) = (Seq(swept.at), Seq(swept.to), Timestamp::from_unix_s(swept.since_s));
    let count = move || {
        let mut count = 0;
        while after < to {
            let (entries, next) = store.log(after, 1024, Wait::Disk).map_err(|error| cannot_read(&error))?;
            let owed = |entry: &&Arc<LogEntry>| {
                entry.seq <= to && entry.date >= since && judge(&peer, entry).is_ok()
            };
            count += entries.iter().filter(owed).count() as u64;
            if next <= after {
                break;
            }
            after = next;
        }
        Ok(count)
    };
    apart(count).await.map_err(|error| error.to_string())?
}

/// The last record before the first article with such a date can have come.
pub(super) async fn first_seq(store: &Store, since_s: i64) -> Seq {
    let store = store.clone();
    let first = Timestamp::from_unix_s(since_s).plus_s(-AHEAD_S);
    let found = apart(move || store.seq_before(first)).await;
    found.unwrap_or_default()
}
