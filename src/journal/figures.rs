//! Figures that are kept while a site runs: how often each reason was given, and how fast something
//! goes on. Both are small and bounded; time is handed in.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds of reasons that are told apart; what comes on top is [`OTHER`].
const KINDS_MAX: usize = 32;
/// Characters of a kind.
const KIND_CHARACTERS_MAX: usize = 80;
/// The kind of reasons that are none of the others'.
const OTHER: &str = "(other reasons)";
/// Seconds over which a [`Meter`] looks back.
const WINDOW_S: i64 = 30;

/// How often each kind of reason was given.
#[derive(Clone, Debug, Default)]
pub struct Reasons(BTreeMap<String, u64>);

/// A kind of reason and how often it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The reason, without what differs from article to article.
    pub reason: String,
    /// How often.
    pub times: u64,
}

impl Reasons {
    /// Counts one. What a reason quotes, and Message-IDs and numbers in it, make no other kind.
    pub fn count(&mut self, reason: &str) {
        let kind = kind(reason);
        if let Some(times) = self.0.get_mut(&kind) {
            *times += 1;
        } else if self.0.len() < KINDS_MAX {
            self.0.insert(kind, 1);
        } else {
            *self.0.entry(OTHER.to_owned()).or_default() += 1;
        }
    }

    /// All of them, the most frequent first.
    pub fn all(&self) -> Vec<Given> {
        let mut all: Vec<Given> =
            self.0.iter().map(|(reason, &times)| Given { reason: reason.clone(), times }).collect();
        all.sort_by_key(|given| std::cmp::Reverse(given.times));
        all
    }
}

/// A reason without what differs from article to article.
fn kind(reason: &str) -> String {
    let mut rest = reason.trim_start();
    if rest.starts_with('<')
        && let Some((_, behind)) = rest.split_once('>')
    {
        rest = behind.trim_start();
    }
    let rest = rest.split('"').next().unwrap_or_default();
    let rest = rest.split(" -- ").next().unwrap_or_default();
    let mut kind = String::new();
    for c in rest.chars().take(KIND_CHARACTERS_MAX) {
        match c {
            '0'..='9' if kind.ends_with('#') => {}
            '0'..='9' => kind.push('#'),
            _ if c.is_control() => kind.push(' '),
            _ => kind.push(c),
        }
    }
    let kind = kind.trim_end();
    if kind.is_empty() { "(no reason given)".to_owned() } else { kind.to_owned() }
}

/// How much comes in a second, over about the last half minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// When the window began, Unix milliseconds.
    began_ms: i64,
    now: [u64; 2],
    /// What the window before had.
    before: [u64; 2],
}

impl Meter {
    /// So many articles and octets more, at this moment.
    pub fn add(&mut self, at: Timestamp, articles: u64, bytes: u64) {
        self.turn(at);
        self.now[0] += articles;
        self.now[1] += bytes;
    }

    /// Articles and octets a second.
    pub fn rates(&self, at: Timestamp) -> (f64, f64) {
        let mut meter = *self;
        meter.turn(at);
        let window_ms = (WINDOW_S * 1000) as f64;
        let into_ms = (at.unix_ms() - meter.began_ms).clamp(0, WINDOW_S * 1000) as f64;
        // Of the window before as much as lies within the last half minute.
        let rate = |n: usize| {
            let sum = meter.now[n] as f64 + meter.before[n] as f64 * (1.0 - into_ms / window_ms);
            sum * 1000.0 / window_ms
        };
        (rate(0), rate(1))
    }

    fn turn(&mut self, at: Timestamp) {
        let into_ms = at.unix_ms() - self.began_ms;
        let window_ms = WINDOW_S * 1000;
        // Also when the clock was set back.
        if (0..window_ms).contains(&into_ms) {
            return;
        }
        self.before = if (window_ms..2 * window_ms).contains(&into_ms) { self.now } else { [0, 0] };
        self.now = [0, 0];
        self.began_ms = at.unix_ms() - at.unix_ms().rem_euclid(window_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_kind_and_there_are_not_too_many() {
        let mut reasons = Reasons::default();
        for n in 0..5 {
            reasons.count(&format!("<{n}@example.com> Unwanted newsgroup \"a.b{n}\""));
        }
        reasons.count("Article of 12 bytes exceeds local limit of 5 bytes");
        reasons.count("Article of 123 bytes exceeds local limit of 5 bytes");
        reasons.count("<1@example.com>");
        let all: Vec<_> = reasons.all().into_iter().map(|given| (given.reason, given.times)).collect();
        assert_eq!(
            all,
            [
                ("Unwanted newsgroup".to_owned(), 5),
                ("Article of # bytes exceeds local limit of # bytes".to_owned(), 2),
                ("(no reason given)".to_owned(), 1)
            ]
        );
        for n in 0..26 * 26 {
            let letter = |n: u32| char::from_u32(u32::from('a') + n % 26).unwrap_or('a');
            reasons.count(&format!("{}{}", letter(n), letter(n / 26)));
        }
        assert!(reasons.0.len() <= KINDS_MAX + 1);
        assert_eq!(reasons.0.values().sum::<u64>(), 8 + 26 * 26);
    }

    #[test]
    fn a_rate_follows_what_comes_and_forgets_it() {
        let start = Timestamp::from_unix_s(1_000_000);
        let mut meter = Meter::default();
        assert!(meter.rates(start).0.abs() < f64::EPSILON);
        for s in 0..300 {
            meter.add(start.plus_s(s), 10, 1000);
        }
        let (articles, bytes) = meter.rates(start.plus_s(300));
        assert!((9.0..11.0).contains(&articles), "{articles}");
        assert!((900.0..1100.0).contains(&bytes), "{bytes}");
        assert!(meter.rates(start.plus_s(400)).0.abs() < f64::EPSILON);
        assert!(meter.rates(start.plus_s(-4000)).0.abs() < f64::EPSILON, "the clock was set back");
    }
}
