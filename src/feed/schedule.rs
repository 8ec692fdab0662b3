//! When to try again: a peer that cannot be reached, and articles that a peer deferred. Pure: time
//! is handed in.

use crate::clock::Timestamp;
use crate::store::Seq;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The pauses between attempts to reach a peer: doubling, with a random part so that many peers do
/// not come back at one moment.
#[derive(Debug)]
pub(super) struct Backoff {
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// The first pause.
    const SHORTEST: Duration = Duration::from_millis(250);

    /// Pauses of at most `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest: longest.max(Self::SHORTEST), failures: 0 }
    }

    /// An attempt has failed: how long to wait. `random` decides between half the pause and all of it.
    pub(super) fn pause(&mut self, random: u8) -> Duration {
        let doubled = Self::SHORTEST.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(self.longest);
        pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u8::MAX))
    }

    /// The peer has been reached.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The articles that a peer deferred (431, 436), each with the time of its next offer. They do not
/// hold the cursor; they are saved beside it.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    articles: BTreeMap<Seq, Retry>,
    due: BTreeSet<(Timestamp, Seq)>,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Timestamp,
    times: u32,
}

impl Deferred {
    /// So many articles may be deferred before no new ones are read for the peer.
    pub(super) const ENOUGH: usize = 10_000;
    const FIRST_PAUSE_S: i64 = 2;
    const LONGEST_PAUSE_S: i64 = 300;

    /// Resumes what was saved: seqs and the Unix seconds of their next offer.
    pub(super) fn resume(saved: &[(Seq, i64)]) -> Self {
        let mut deferred = Self::default();
        for &(seq, at) in saved {
            let at = Timestamp::from_unix_s(at);
            deferred.articles.insert(seq, Retry { at, times: 1 });
            deferred.due.insert((at, seq));
        }
        deferred
    }

    /// What to save.
    pub(super) fn saved(&self) -> Vec<(Seq, i64)> {
        self.articles.iter().map(|(&seq, retry)| (seq, retry.at.unix_s())).collect()
    }

    /// The peer deferred the article, for the first time or again: the pause doubles each time.
    pub(super) fn defer(&mut self, seq: Seq, now: Timestamp) {
        let times = self.articles.get(&seq).map_or(0, |retry| retry.times);
        let pause_s = (Self::FIRST_PAUSE_S << times.min(16)).min(Self::LONGEST_PAUSE_S);
        let at = now.plus_s(pause_s);
        if let Some(before) = self.articles.insert(seq, Retry { at, times: times.saturating_add(1) }) {
            self.due.remove(&(before.at, seq));
        }
        self.due.insert((at, seq));
    }

    /// The peer lacks the article: it is due. True when it was not in the set.
    pub(super) fn add(&mut self, seq: Seq, now: Timestamp) -> bool {
        let new = !self.articles.contains_key(&seq);
        if new {
            self.articles.insert(seq, Retry { at: now, times: 0 });
            self.due.insert((now, seq));
        }
        new
    }

    /// The article was taken and not offered: it is due as if it had been deferred again.
    pub(super) fn put_back(&mut self, seq: Seq, now: Timestamp) {
        if self.articles.contains_key(&seq) {
            self.defer(seq, now);
        }
    }

    /// The article is settled.
    pub(super) fn settle(&mut self, seq: Seq) {
        if let Some(retry) = self.articles.remove(&seq) {
            self.due.remove(&(retry.at, seq));
        }
    }

    /// All articles up to this one are settled; which those were.
    pub(super) fn settle_up_to(&mut self, last: Seq) -> Vec<Seq> {
        let settled: Vec<Seq> = self.articles.range(..=last).map(|(seq, _)| *seq).collect();
        settled.iter().for_each(|seq| self.settle(*seq));
        settled
    }

    /// Takes the next article that is due. It stays in the set until it is settled or deferred again.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Seq> {
        let &(at, seq) = self.due.first()?;
        // A clock that was set back must not put an article off for more than the longest pause.
        if at > now && at <= now.plus_s(Self::LONGEST_PAUSE_S) {
            return None;
        }
        self.due.pop_first();
        Some(seq)
    }

    /// How long until the next one is due.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Duration> {
        let wait_ms = self.due.first()?.0.unix_ms().saturating_sub(now.unix_ms());
        Some(Duration::from_millis(u64::try_from(wait_ms.min(Self::LONGEST_PAUSE_S * 1000)).unwrap_or(0)))
    }

    /// The oldest of them.
    pub(super) fn oldest(&self) -> Option<Seq> {
        self.articles.first_key_value().map(|(&seq, _)| seq)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.articles.len()
    }
}

/// How long an article that `arrived` is to stay here yet, of `delay_s` seconds; none: it may go. One
/// that is still to arrive came before the clock was set back, nobody knows when: it may go, too, or it
/// would wait for as long as the clock was set back.
pub(super) fn delay_left(arrived: Timestamp, delay_s: u64, now: Timestamp) -> Option<Duration> {
    let delay_ms = i64::try_from(delay_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let left_ms = arrived.unix_ms().saturating_add(delay_ms).saturating_sub(now.unix_ms());
    (left_ms > 0 && left_ms <= delay_ms).then(|| Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_unix_s(1_000_000);

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(3));
        let pauses: Vec<u128> = (0..6).map(|_| backoff.pause(u8::MAX).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 3000, 3000]);
        assert_eq!(backoff.pause(0).as_millis(), 1500, "at least half of it");
        for _ in 0..100 {
            assert!(backoff.pause(77) <= Duration::from_secs(3));
        }
        backoff.reset();
        assert_eq!(backoff.pause(u8::MAX).as_millis(), 250);
    }

    #[test]
    fn what_another_peer_has_settled_is_put_off_no_more() {
        let mut deferred = Deferred::default();
        for seq in [3, 5, 8] {
            deferred.defer(Seq(seq), T);
        }
        assert_eq!(deferred.settle_up_to(Seq(5)), [Seq(3), Seq(5)]);
        assert_eq!(deferred.settle_up_to(Seq(5)), []);
        assert_eq!((deferred.oldest(), deferred.len()), (Some(Seq(8)), 1));
        assert_eq!(deferred.take_due(T.plus_s(2)), Some(Seq(8)));
        assert_eq!(deferred.take_due(T.plus_s(2)), None);
    }

    #[test]
    fn a_deferred_article_waits_longer_each_time() {
        let mut deferred = Deferred::default();
        let mut now = T;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            deferred.defer(Seq(7), now);
            assert_eq!(deferred.take_due(now), None);
            let pause = deferred.next_due(now).map_or(0, |d| d.as_secs());
            pauses.push(pause);
            now = now.plus_s(pause.cast_signed());
            assert_eq!(deferred.take_due(now), Some(Seq(7)));
            assert_eq!(deferred.take_due(now), None, "taken once");
            assert_eq!(deferred.len(), 1, "kept until settled");
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        deferred.settle(Seq(7));
        assert_eq!((deferred.len(), deferred.next_due(now)), (0, None));
    }

    #[test]
    fn what_is_saved_is_resumed_in_order_of_time() {
        let mut deferred = Deferred::default();
        deferred.defer(Seq(3), T.plus_s(5));
        deferred.defer(Seq(1), T.plus_s(9));
        deferred.defer(Seq(2), T);
        let mut resumed = Deferred::resume(&deferred.saved());
        assert_eq!(resumed.saved(), deferred.saved());
        let later = T.plus_s(100);
        let order: Vec<_> = std::iter::from_fn(|| resumed.take_due(later)).collect();
        assert_eq!(order, [Seq(2), Seq(3), Seq(1)]);
    }

    #[test]
    fn a_clock_set_back_does_not_put_articles_off() {
        let mut deferred = Deferred::default();
        deferred.defer(Seq(1), T);
        assert_eq!(deferred.take_due(T.plus_s(-100_000)), Some(Seq(1)));
    }

    #[test]
    fn an_article_stays_for_its_delay_and_no_longer_whatever_the_clock_does() {
        let left = |delay_s, now| delay_left(T, delay_s, now).map(|left| left.as_secs());
        assert_eq!(left(0, T), None);
        assert_eq!(left(60, T), Some(60));
        assert_eq!(left(60, T.plus_s(59)), Some(1));
        assert_eq!(left(60, T.plus_s(60)), None);
        assert_eq!(left(60, T.plus_s(-7200)), None, "the clock was set back by two hours");
        assert!(left(u64::MAX, T.plus_s(1)).is_some());
    }
}
