//! Lines of the feeds' log: how each article came, and what each peer answered when it was offered.
//! Words are separated by blanks; the last of them is the rest of the line.
//!
//! ```text
//! 2026-08-25T13:37:41.839Z < a.peer 4711 <1@example.com> TAKETHIS 239 192.0.2.7
//! 2026-08-25T13:37:41.877Z < a.peer - <2@example.com> TAKETHIS 439 192.0.2.7 Too old
//! 2026-08-25T13:37:41.902Z > b.peer 4711 <1@example.com> CHECK 431 12 0 Busy
//! ```
//!
//! `<`: when, who brought it, its seq (`-`: it was not kept), Message-ID (`?`: none), by which command,
//! the reply's code, from which address, why it was rejected or deferred (and, where `feedlog_refused` asks for
//! that, refused: 435, 438). `>`: when the peer answered,
//! the peer, seq, Message-ID, to which command (`-`: none, it was put off or given up by ourselves),
//! the reply's code (0: none), milliseconds since the offer, the number of the connection, and the
//! peer's words unless it took the article. `BATCH` is no command: the article was written into a batch,
//! whose file takes the place of the words.

use super::Lines;
use crate::article::MessageId;
use crate::clock::Timestamp;
use crate::decimal;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// What stands in the place of the command where an article was written into a batch.
pub const BATCH: &str = "BATCH";

/// An article that somebody brought. `W` is `&str` in writing, `String` in reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came<W> {
    /// When it was settled: Unix milliseconds.
    pub at_ms: i64,
    /// The peer, the account or the address; `import`.
    pub from: W,
    /// Its place in the log, if it was kept.
    pub seq: Option<u64>,
    /// The command: `POST`, `IHAVE`, `TAKETHIS`.
    pub command: W,
    /// The code of our reply.
    pub code: u16,
    /// From where.
    pub address: W,
    /// Why it was rejected or deferred; empty when it was kept.
    pub reason: W,
}

/// What a peer answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replied<W> {
    /// When: Unix milliseconds.
    pub at_ms: i64,
    /// The peer.
    pub peer: W,
    /// The article's place in the log.
    pub seq: u64,
    /// The command that was answered; `-`: none.
    pub command: W,
    /// The code of the reply; 0: none.
    pub code: u16,
    /// Milliseconds since the article was offered.
    pub waited_ms: u64,
    /// The connection's number; each feed counts from 0.
    pub connection: u64,
    /// Its words, or ours if it said none.
    pub words: W,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `<`
    Came(Came<String>),
    /// `>`
    Replied(Replied<String>),
}

/// Appends how an article came.
pub fn came(lines: &mut Lines, id: Option<&MessageId>, came: &Came<&str>) {
    lines.iso(Timestamp::from_unix_ms(came.at_ms));
    lines.text.extend_from_slice(b" < ");
    lines.word(came.from);
    lines.text.push(b' ');
    match came.seq {
        Some(seq) => decimal::push(seq, &mut lines.text),
        None => lines.text.push(b'-'),
    }
    lines.text.push(b' ');
    lines.text.extend_from_slice(id.map_or(b"?", |id| id.as_str().as_bytes()));
    lines.text.push(b' ');
    lines.word(came.command);
    lines.text.push(b' ');
    decimal::push(came.code.into(), &mut lines.text);
    lines.text.push(b' ');
    lines.word(came.address);
    if !came.reason.is_empty() {
        lines.text.push(b' ');
        lines.rest(came.reason);
    }
    lines.text.push(b'\n');
}

/// Appends what a peer answered.
pub fn replied(lines: &mut Lines, id: &MessageId, replied: &Replied<&str>) {
    lines.iso(Timestamp::from_unix_ms(replied.at_ms));
    lines.text.extend_from_slice(b" > ");
    lines.word(replied.peer);
    lines.text.push(b' ');
    decimal::push(replied.seq, &mut lines.text);
    lines.text.push(b' ');
    lines.text.extend_from_slice(id.as_str().as_bytes());
    lines.text.push(b' ');
    lines.word(replied.command);
    for number in [replied.code.into(), replied.waited_ms, replied.connection] {
        lines.text.push(b' ');
        decimal::push(number, &mut lines.text);
    }
    if !replied.words.is_empty() {
        lines.text.push(b' ');
        lines.rest(replied.words);
    }
    lines.text.push(b'\n');
}

impl Line {
    /// Reads a line and the Message-ID in it; none when it is none of ours.
    pub fn parse(line: &str) -> Option<(&str, Self)> {
        let mut words = line.splitn(5, ' ');
        let at = chrono::DateTime::parse_from_rfc3339(words.next()?).ok()?;
        let at_ms = at.timestamp_millis();
        let (way, who, seq) = (words.next()?, words.next()?.to_owned(), words.next()?);
        let (id, rest) = words.next()?.split_once(' ')?;
        if way == "<" {
            let mut words = rest.splitn(4, ' ');
            let came = Came {
                at_ms,
                from: who,
                seq: if seq == "-" { None } else { Some(seq.parse().ok()?) },
                command: words.next()?.to_owned(),
                code: words.next()?.parse().ok()?,
                address: words.next()?.to_owned(),
                reason: words.next().unwrap_or_default().to_owned(),
            };
            return Some((id, Self::Came(came)));
        }
        let mut words = rest.splitn(5, ' ');
        let replied = Replied {
            at_ms,
            peer: who,
            seq: seq.parse().ok()?,
            command: words.next()?.to_owned(),
            code: words.next()?.parse().ok()?,
            waited_ms: words.next()?.parse().ok()?,
            connection: words.next()?.parse().ok()?,
            words: words.next().unwrap_or_default().to_owned(),
        };
        (way == ">").then_some((id, Self::Replied(replied)))
    }
}

/// What the file at `path` and its older parts say of an article, the oldest first. Reads all of them:
/// only on a thread that may wait.
///
/// # Errors
/// A part cannot be read.
pub fn search(path: &Path, id: &MessageId) -> io::Result<Vec<Line>> {
    let mut found = Vec::new();
    super::lines_with(path, id, |line| {
        found.extend(Line::parse(line).filter(|(named, _)| *named == id.as_str()).map(|(_, line)| line));
    })?;
    Ok(found)
}

/// The moment of the oldest line that is there, Unix milliseconds; none without lines.
pub fn since(path: &Path) -> Option<i64> {
    let oldest = super::parts(path).pop()?;
    let mut line = String::new();
    BufReader::new(File::open(oldest).ok()?).read_line(&mut line).ok()?;
    let at = chrono::DateTime::parse_from_rfc3339(line.split(' ').next()?).ok()?;
    Some(at.timestamp_millis())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_and_only_those_of_the_article() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feeds");
        let id = MessageId::try_from("<1@example.com>").unwrap();
        let other = MessageId::try_from("<11@example.com>").unwrap();
        let kept = Came {
            at_ms: 1_788_180_001_839,
            from: "a.peer",
            seq: Some(4711),
            command: "TAKETHIS",
            code: 239,
            address: "192.0.2.7",
            reason: "",
        };
        let rejected =
            Came { seq: None, code: 439, reason: "Bad \"Path\" of <1@example.com>", ..kept.clone() };
        let answer = Replied {
            at_ms: 1_788_180_001_840,
            peer: "b",
            seq: 4711,
            command: "CHECK",
            code: 431,
            waited_ms: 12,
            connection: 0,
            words: "too busy",
        };
        let silent = Replied { command: "-", code: 0, words: "", ..answer.clone() };
        let mut lines = Lines::default();
        came(&mut lines, Some(&id), &kept);
        came(&mut lines, None, &rejected);
        came(&mut lines, Some(&other), &rejected);
        std::fs::write(folder.path().join("feeds.1"), &lines.text).unwrap();
        lines.text.clear();
        replied(&mut lines, &id, &answer);
        replied(&mut lines, &id, &silent);
        replied(&mut lines, &other, &answer);
        lines.text.extend_from_slice(b"2026-08-25T13:37:41.902Z > torn <1@example.com>");
        std::fs::write(&path, &lines.text).unwrap();

        let found = search(&path, &id).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(matches!(&found[0], Line::Came(came) if came.seq == Some(4711) && came.at_ms == kept.at_ms));
        let Line::Replied(read) = &found[1] else { panic!("{found:?}") };
        assert_eq!((read.code, read.waited_ms, read.words.as_str()), (431, 12, "too busy"));
        assert!(matches!(&found[2], Line::Replied(read) if read.command == "-" && read.words.is_empty()));
        assert!(
            matches!(&search(&path, &other).unwrap()[0], Line::Came(came) if came.reason == rejected.reason)
        );
        assert_eq!(since(&path), Some(kept.at_ms));
        assert_eq!(since(&folder.path().join("none")), None);
    }
}
