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
use super::compare::{Comparing, LOOK, PATIENCE, Way};
use super::owed::judge;
use super::talk::Talk;
use crate::clock::{self, Timestamp};
use crate::config::Peer;
use crate::store::{LogEntry, Seq, Store, Wait};
use crate::sync::AHEAD_S;
use crate::transport::apart;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

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
    /// Some of those that are missing.
    pub missing: Vec<String>,
}

impl Agreement {
    pub(super) fn unowed(&mut self, why: &str) {
        // By the rule: `bytes_max: it has ...`.
        let rule = why.split_once(": ").map_or(why, |(rule, _)| rule);
        *self.unowed.entry(rule.to_owned()).or_default() += 1;
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
            (_, false) => format!("{peer} has {} that it should have", of(&self.sent)),
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
        let begun = Instant::now();
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
                report.sent = self.offer_again(&peer, within, say).await;
            }
            Err(failed) => return Err(format!("{name} cannot be asked: {}", failed.why)),
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
            of: has + totals.rejected + totals.gone,
            sent: totals.accepted,
            missing: sweep.named(),
            ..Agreement::default()
        };
        drop(sweep);
        if cursor < to {
            let left = owed_between(&self.store, peer, cursor, to).await;
            agreement.of += left;
            agreement.missing.push(format!("{left} that were not offered, from record {} on", cursor.0 + 1));
        }
        agreement
    }
}

/// How many articles of these records are owed to the peer.
async fn owed_between(store: &Store, peer: &Arc<Peer>, mut after: Seq, to: Seq) -> u64 {
    let (store, peer) = (store.clone(), peer.clone());
    let count = move || {
        let mut count = 0;
        while after < to
            && let Ok((entries, next)) = store.log(after, 1024, Wait::Disk)
            && next > after
        {
            let owed = |entry: &&Arc<LogEntry>| entry.seq <= to && judge(&peer, entry).is_ok();
            count += entries.iter().filter(owed).count() as u64;
            after = next;
        }
        count
    };
    apart(count).await.unwrap_or_default()
}

/// The last record before the first article with such a date can have come.
pub(super) async fn first_seq(store: &Store, since_s: i64) -> Seq {
    let store = store.clone();
    let first = Timestamp::from_unix_s(since_s).plus_s(-AHEAD_S);
    let found = apart(move || store.seq_before(first)).await;
    found.unwrap_or_default()
}
