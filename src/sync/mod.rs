//! What two sites have, compared without sending it: articles by their own date, which is the same at
//! every site, and their Message-IDs. Pure.
//!
//! The articles of an hour are summed up as how many they are and as the sum of their Message-IDs'
//! hashes. Hours whose sums are equal hold the same articles; of the others the Message-IDs are listed.
//! So two sites that agree send a line for each hour, and two that do not a little more. The hash is
//! SHA-256. Equal sums tell of equal sets unless somebody chose many Message-IDs to that end: this guards
//! against loss, not against a peer that lies, who can do so anyway.

use crate::article::MessageId;
use crate::clock::Timestamp;
use crate::tls::sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

/// Seconds of articles that are summed up together.
pub const BUCKET_S: i64 = 3600;
/// Seconds that an article's own date may be ahead of its arrival (RFC 5537 s.3.6 step 2).
pub const AHEAD_S: i64 = 24 * 3600;
/// Ranges in one question at most: a command line has 512 octets (RFC 3977 s.3.1).
pub const RANGES_MAX: usize = 12;

/// How many articles, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// The sum of their Message-IDs' hashes, modulo 2^128.
    pub hash: u128,
}

/// Articles by the hour of their own date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    hours: BTreeMap<i64, Sum>,
}

/// Seconds of Unix time: each from the first up to, but not including, the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(i64, i64)>);

/// The hash of a Message-ID with its brackets: half of its SHA-256.
pub fn hash(id: &str) -> u128 {
    let whole = sha256(id.as_bytes());
    whole.iter().take(16).fold(0, |sum, octet| sum << 8 | u128::from(*octet))
}

impl Summary {
    /// Adds an article.
    pub fn add(&mut self, id: &MessageId, date: Timestamp) {
        let sum = self.hours.entry(date.unix_s().div_euclid(BUCKET_S)).or_default();
        sum.count += 1;
        sum.hash = sum.hash.wrapping_add(hash(id.as_str()));
    }

    /// How many articles.
    pub fn count(&self) -> u64 {
        self.hours.values().map(|sum| sum.count).sum()
    }

    /// The lines of it: hour, count, sum in hexadecimal.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.hours.iter().map(|(hour, Sum { count, hash })| format!("{hour} {count} {hash:032x}"))
    }

    /// Takes over a line of [`Summary::lines`] about an hour of these seconds; false when it is none, or one
    /// that was there already. So a peer's list is no longer than what it was asked for.
    pub fn read_line(&mut self, line: &str, (from_s, to_s): (i64, i64)) -> bool {
        let mut words = line.split_ascii_whitespace();
        let (Some(hour), Some(count), Some(hash), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        let (Ok(hour), Ok(count), Ok(hash)) =
            (hour.parse::<i64>(), count.parse::<u32>(), u128::from_str_radix(hash, 16))
        else {
            return false;
        };
        if !(from_s.div_euclid(BUCKET_S)..=to_s.div_euclid(BUCKET_S)).contains(&hour) {
            return false;
        }
        let count = u64::from(count);
        self.hours.insert(hour, Sum { count, hash }).is_none()
    }

    /// How many articles there are in these hours.
    pub fn count_of(&self, hours: Range<i64>) -> u64 {
        self.hours.range(hours).map(|(_, sum)| sum.count).sum()
    }

    /// The hours in which the two differ.
    pub fn differences(&self, other: &Self) -> Vec<i64> {
        let mut hours: Vec<i64> = self
            .hours
            .iter()
            .filter(|(hour, sum)| other.hours.get(hour) != Some(sum))
            .map(|(hour, _)| *hour)
            .chain(other.hours.keys().filter(|hour| !self.hours.contains_key(hour)).copied())
            .collect();
        hours.sort_unstable();
        hours
    }
}

impl Ranges {
    /// One range.
    pub fn one(from_s: i64, to_s: i64) -> Self {
        Self(vec![(from_s, to_s)])
    }

    /// Questions about these hours (ascending), as far as they lie in `within`, ascending too: each of at
    /// most [`RANGES_MAX`] ranges, and of about `enough` articles, as `count` says how many an hour has. Each
    /// question has both sites read their logs once: so that they are few, short gaps between hours are
    /// asked for as well, with at most `spare` articles.
    pub fn of_hours(
        hours: &[i64],
        within: (i64, i64),
        count: impl Fn(Range<i64>) -> u64,
        enough: u64,
        spare: u64,
    ) -> Vec<Self> {
        // From each hour the gap to the next one, the emptiest first.
        let gaps = hours.windows(2).filter_map(|two| Some(two.first()? + 1..*two.get(1)?));
        let mut gaps: Vec<(u64, Range<i64>)> =
            gaps.filter(|gap| !gap.is_empty()).map(|gap| (count(gap.clone()), gap)).collect();
        gaps.sort_unstable_by_key(|(articles, gap)| (*articles, gap.start));
        let (mut left, mut closed) = (spare, BTreeSet::new());
        let too_many = (gaps.len() + 1).saturating_sub(RANGES_MAX);
        for (articles, gap) in gaps.into_iter().take(too_many) {
            let Some(rest) = left.checked_sub(articles) else { break };
            left = rest;
            closed.insert(gap.start);
        }
        let (mut questions, mut ranges, mut asked): (Vec<Self>, Vec<(i64, i64)>, u64) = Default::default();
        for (at, &hour) in hours.iter().enumerate() {
            let until = match hours.get(at + 1) {
                Some(&next) if closed.contains(&(hour + 1)) => next,
                _ => hour + 1,
            };
            let (from, to) = ((hour * BUCKET_S).max(within.0), (until * BUCKET_S).min(within.1));
            if from >= to {
                continue;
            }
            if asked >= enough && !ranges.is_empty() {
                questions.push(Self(std::mem::take(&mut ranges)));
                asked = 0;
            }
            asked += count(hour..until);
            let full = ranges.len() == RANGES_MAX;
            match ranges.last_mut() {
                Some((_, end)) if *end == from => *end = to,
                _ if full => {
                    questions.push(Self(std::mem::replace(&mut ranges, vec![(from, to)])));
                    asked = count(hour..until);
                }
                _ => ranges.push((from, to)),
            }
        }
        if !ranges.is_empty() {
            questions.push(Self(ranges));
        }
        questions
    }

    /// Reads `from-to[,from-to]`; none when it is no such thing, or more than [`RANGES_MAX`].
    pub fn parse(text: &str) -> Option<Self> {
        let range = |part: &str| {
            let (from, to) = part.split_once('-')?;
            let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
            let (from, to) = (i64::try_from(from).ok()?, i64::try_from(to).ok()?);
            (from < to).then_some((from, to))
        };
        let ranges: Vec<(i64, i64)> =
            text.split(',').take(RANGES_MAX + 1).map(range).collect::<Option<_>>()?;
        (ranges.len() <= RANGES_MAX).then_some(Self(ranges))
    }

    /// Does a range hold this second?
    pub fn contain(&self, at_s: i64) -> bool {
        self.0.iter().any(|(from, to)| (*from..*to).contains(&at_s))
    }

    /// Does a range hold any of the seconds from `first_s` to `last_s`?
    pub fn touch(&self, first_s: i64, last_s: i64) -> bool {
        self.0.iter().any(|(from, to)| *from <= last_s && first_s < *to)
    }

    /// The second behind the last one.
    pub fn end(&self) -> i64 {
        self.0.iter().map(|(_, to)| *to).max().unwrap_or(0)
    }

    /// The earliest second.
    pub fn first(&self) -> i64 {
        self.0.iter().map(|(from, _)| *from).min().unwrap_or(0)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            write!(f, "{}{from}-{to}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    fn id(n: u64) -> MessageId {
        MessageId::try_from(format!("<{n}@a.example>").as_str()).unwrap()
    }

    #[test]
    fn differences_are_found_in_their_hours_and_nowhere_else() {
        let mut random = xorshift(11);
        for round in 0..300 {
            let articles: Vec<(u64, i64)> = (0..random(400)).map(|n| (n, random(50) as i64 * 1800)).collect();
            let (mut a, mut b) = (Summary::default(), Summary::default());
            let mut expected = BTreeSet::new();
            let mut order: Vec<usize> = (0..articles.len()).collect();
            order.sort_by_cached_key(|_| random(1000));
            for &(n, at) in &articles {
                a.add(&id(n), Timestamp::from_unix_s(at));
            }
            for index in order {
                let (n, at) = articles[index];
                if round > 0 && random(100) == 0 {
                    expected.insert(at / BUCKET_S);
                } else {
                    b.add(&id(n), Timestamp::from_unix_s(at));
                }
            }
            assert_eq!(a.differences(&b), expected.iter().copied().collect::<Vec<_>>());
            assert_eq!(b.differences(&a), a.differences(&b));
            let mut read = Summary::default();
            assert!(a.lines().all(|line| read.read_line(&line, (0, 25 * 3600))));
            assert_eq!(read, a);
            assert_eq!(a.count(), articles.len() as u64);
        }
        let mut none = Summary::default();
        let bad = [
            "",
            "1 2",
            "1 2 x",
            "1 2 3 4",
            "a 1 0",
            "9223372036854775807 1 0",
            "-1 1 0",
            "11 1 0",
            "1 4294967296 0",
        ];
        for line in bad {
            assert!(!none.read_line(line, (0, 10 * 3600)), "{line}");
        }
        assert!(none.read_line("10 1 0", (0, 10 * 3600)) && !none.read_line("10 1 0", (0, 10 * 3600)));
    }

    #[test]
    fn ranges_are_asked_for_in_few_short_lines() {
        let mut random = xorshift(7);
        for round in 0..200 {
            let counts: Vec<u64> = (0..230).map(|_| if random(3) == 0 { 0 } else { random(50) }).collect();
            let hours: Vec<i64> = (0..210).filter(|_| random(1 + round / 40) == 0).collect();
            let count = |range: Range<i64>| counts[range.start as usize..range.end as usize].iter().sum();
            let (enough, spare) = (1 + random(3000), random(1000));
            let within = (1800, 203 * 3600 - 10);
            let questions = Ranges::of_hours(&hours, within, count, enough, spare);
            let (mut seen, mut before) = (BTreeSet::new(), 0);
            for question in &questions {
                let text = question.to_string();
                assert!(text.len() < 400, "{text}");
                assert_eq!(Ranges::parse(&text).as_ref(), Some(question));
                assert!(question.first() >= before, "ascending");
                before = question.end();
                for second in (0..210 * 3600).step_by(900).filter(|at| question.contain(*at)) {
                    assert!(seen.insert(second));
                }
            }
            let wanted: BTreeSet<i64> = (0..210 * 3600)
                .step_by(900)
                .filter(|at| hours.contains(&(at / 3600)) && (within.0..within.1).contains(at))
                .collect();
            assert!(wanted.is_subset(&seen) && seen.iter().all(|at| (within.0..within.1).contains(at)));
            let beside: BTreeSet<i64> = seen.difference(&wanted).map(|at| at / 3600).collect();
            assert!(beside.iter().map(|hour| counts[*hour as usize]).sum::<u64>() <= spare);
            if spare == 0 && enough > 3000 {
                assert_eq!(seen, wanted);
            }
        }
        // Every second hour: all in one question where that costs little.
        let hours: Vec<i64> = (0..100).map(|n| n * 2).collect();
        let count = |range: Range<i64>| (range.end - range.start) as u64;
        let questions = |spare| Ranges::of_hours(&hours, (0, 1 << 40), count, u64::MAX, spare).len();
        assert_eq!((questions(0), questions(40), questions(1000)), (9, 5, 1));
        for bad in
            ["", "5", "5-5", "6-5", "a-b", "-5-6", "1-2,", &"1-2,".repeat(40), "1-99999999999999999999"]
        {
            assert_eq!(Ranges::parse(bad), None, "{bad}");
        }
    }
}
