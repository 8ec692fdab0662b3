//! Articles of chance that have the shape of real ones: which header fields there are and how often,
//! how many newsgroups, references and hops, lines and quoted lines, counted in 1,000 articles of text
//! newsgroups. Bodies are made longer than those, so that an article has 2 to 5 KB in all.

use std::io::{self, Write};

use crate::prose::WORDS;
use crate::support::articles::LOAD_IDENTITY;

/// Newsgroups that articles go to, the first ones most.
const NEWSGROUPS: u64 = 60;
/// Seconds over which the articles are spread, up to now.
const MONTH_S: i64 = 30 * 86_400;

pub fn newsgroup(number: u64) -> String {
    format!("bench.discussion.g{number:02}")
}

pub fn newsgroups() -> Vec<String> {
    (0..NEWSGROUPS).map(newsgroup).collect()
}

/// A stream of articles; the same for the same seed and the same moment.
pub struct Articles {
    words: Vec<&'static str>,
    state: u64,
    now_s: i64,
    count: u64,
    next: u64,
}

impl Articles {
    pub fn new(seed: u64, count: u64, now_s: i64) -> Self {
        let words = WORDS.split_whitespace().collect();
        Self { words, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, now_s, count, next: 0 }
    }

    /// Writes all of them as one rnews batch.
    pub fn write_batch(self, out: &mut impl Write) -> io::Result<u64> {
        self.write_some(|_| true, out)
    }

    /// Writes those whose number is wanted.
    pub fn write_some(mut self, wanted: impl Fn(u64) -> bool, out: &mut impl Write) -> io::Result<u64> {
        let mut octets = 0;
        let mut article = String::new();
        while self.next < self.count {
            article.clear();
            let number = self.next;
            self.article(&mut article);
            if !wanted(number) {
                continue;
            }
            octets += article.len() as u64;
            writeln!(out, "#! rnews {}", article.len())?;
            out.write_all(article.as_bytes())?;
        }
        out.flush()?;
        Ok(octets)
    }

    /// xorshift64*.
    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % end
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn word(&mut self) -> &'static str {
        let end = self.words.len() as u64;
        // Of two chances the smaller one: common words are commoner.
        let at = self.below(end).min(self.below(end));
        self.words[at as usize]
    }

    fn words(&mut self, count: u64) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    fn host(&mut self) -> String {
        format!("{}{}.{}.example", self.word(), self.below(90), self.word())
    }

    fn id(&mut self, number: u64) -> String {
        format!("{number:x}.{:x}@{}", number.wrapping_mul(0x9e37_79b9) & 0xff_ffff, LOAD_IDENTITY)
    }

    fn article(&mut self, out: &mut String) {
        let number = self.next;
        self.next += 1;
        let hops = 6 + self.below(8);
        let path: Vec<String> = (0..hops).map(|_| self.host()).collect();
        let host = self.host();
        let from = format!("{}@{host} ({} {})", self.word(), self.word(), self.word());
        // A quarter goes to two newsgroups, some to four.
        let crossposts = match self.below(100) {
            0..=69 => 1,
            70..=94 => 2,
            _ => 4,
        };
        let mut groups: Vec<String> = Vec::new();
        while groups.len() < crossposts {
            let group = newsgroup(self.below(NEWSGROUPS).min(self.below(NEWSGROUPS)));
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let sent_s = self.now_s - MONTH_S + (MONTH_S as f64 * number as f64 / self.count as f64) as i64;
        let date = chrono::DateTime::from_timestamp(sent_s, 0).unwrap_or_default();
        let id = self.id(number);
        let length = 3 + self.below(4);
        let subject = self.words(length);
        let is_reply = self.percent(62) && number > 0;
        let mut field = |name: &str, value: &str| {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push('\n');
        };
        field("Path", &format!("{LOAD_IDENTITY}!{}!not-for-mail", path.join("!")));
        field("From", &from);
        field("Newsgroups", &groups.join(","));
        field("Subject", &if is_reply { format!("Re: {subject}") } else { subject });
        field("Date", &date.format("%a, %d %b %Y %H:%M:%S +0000").to_string());
        field("Message-ID", &format!("<{id}>"));
        if is_reply {
            let count = 1 + self.below(4);
            let ids: Vec<String> = (0..count)
                .map(|_| {
                    let before = self.below(number);
                    format!("<{}>", self.id(before))
                })
                .collect();
            field("References", &ids.join(" "));
        }
        for (name, percent, words) in [
            ("Organization", 95, 4),
            ("Distribution", 22, 0),
            ("Reply-To", 14, 3),
            ("Keywords", 6, 3),
            ("X-Newsreader", 5, 3),
        ] {
            if self.percent(percent) {
                let value = if words == 0 { "world".to_owned() } else { self.words(words) };
                field(name, &value);
            }
        }
        if self.percent(42) {
            field("NNTP-Posting-Host", &host);
        }
        out.push('\n');
        let octets = 2_000 + self.below(3_000) as usize;
        let quotes = self.percent(55);
        while out.len() < octets {
            if quotes && self.percent(40) {
                out.push_str("> ");
            }
            let end = out.len() + if self.percent(25) { self.below(30) as usize } else { 62 };
            while out.len() < end {
                out.push_str(self.word());
                out.push(' ');
            }
            out.push('\n');
        }
    }
}
