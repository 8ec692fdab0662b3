//! Lines as INN's `news` log has them (newslog(5), innd(8) "LOGGING"), so that the field's own tools
//! and eyes can read them:
//!
//! ```text
//! Aug 25 13:37:41.839 + news.example <4066@example.com> 1658 a.peer other.peer
//! Aug 25 13:37:41.901 j news.example <4067@example.com> 802 a.peer
//! Aug 25 13:37:54.638 - a.peer <23k82@example.net> 437 Unwanted newsgroup "x.y"
//! ```
//!
//! `+` is accepted, `j` accepted and filed in `junk` alone, `-` rejected. INN's `?` (odd octets) does
//! not occur, because such articles are rejected here, nor does `c` (a cancel that came before its
//! article). The column behind the mark is the peer; of an article that was injected here it is this
//! site, as in INN, where it is the first entry of Path. The numbers behind a Message-ID are octets in
//! wire form, the words behind those the peers that are owed the article. Times are UTC, because sites
//! share no zone. Refused offers (CHECK, IHAVE) have no line, as in INN: nothing was transferred.

use super::Lines;
use crate::agent::Reason;
use crate::article::MessageId;
use crate::clock::Timestamp;
use crate::decimal;
use std::io;
use std::path::Path;

/// An article that is stored.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// When.
    pub at: Timestamp,
    /// It is filed in `junk` and nowhere else.
    pub junk: bool,
    /// The peer that brought it; this site's path identity if it was injected here.
    pub source: &'a str,
    /// Its Message-ID.
    pub id: &'a MessageId,
    /// Octets in wire form.
    pub bytes: usize,
}

/// Appends the line of an accepted article, and the peers to which it will be sent.
pub fn accepted<'a>(lines: &mut Lines, article: Accepted<'_>, owed: impl Iterator<Item = &'a str>) {
    lines.inn(article.at);
    lines.text.extend_from_slice(if article.junk { b" j " } else { b" + " });
    lines.word(article.source);
    lines.text.push(b' ');
    lines.text.extend_from_slice(article.id.as_str().as_bytes());
    lines.text.push(b' ');
    decimal::push(article.bytes as u64, &mut lines.text);
    for peer in owed {
        lines.text.push(b' ');
        lines.text.extend_from_slice(peer.as_bytes());
    }
    lines.text.push(b'\n');
}

/// Appends the line of an article that is rejected with `code` (437, 439, 441) for `reason`. A
/// proto-article may have no Message-ID.
pub fn rejected(
    lines: &mut Lines,
    at: Timestamp,
    source: &str,
    id: Option<&MessageId>,
    code: u16,
    reason: &Reason,
) {
    lines.inn(at);
    lines.text.extend_from_slice(b" - ");
    lines.word(source);
    lines.text.push(b' ');
    lines.text.extend_from_slice(id.map_or(b"?", |id| id.as_str().as_bytes()));
    lines.text.push(b' ');
    decimal::push(code.into(), &mut lines.text);
    lines.text.push(b' ');
    lines.rest(&words(reason));
    lines.text.push(b'\n');
}

/// The lines of an article in the file at `path` and its older parts, the oldest first. Reads all of
/// them: only on a thread that may wait.
///
/// # Errors
/// A part cannot be read.
pub fn search(path: &Path, id: &MessageId) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    super::lines_with(path, id, |line| {
        if line.split(' ').any(|word| word == id.as_str()) {
            found.push(line.to_owned());
        }
    })?;
    Ok(found)
}

/// The reason to the letter as INN writes it, where innreport looks at the letter and the reply that
/// we give says more.
fn words(reason: &Reason) -> String {
    let mut text = reason.to_string();
    match reason {
        Reason::NotModerated(_) => text.truncate(text.find(" -- ").unwrap_or(text.len())),
        Reason::TooOld => text.push_str(" -- \"before the cutoff\""),
        Reason::InFuture => text.push_str(" -- \"more than 24 hours ahead\""),
        Reason::Loop => "Unwanted site (this_one) in path".clone_into(&mut text),
        _ => {}
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_form_of_inn() {
        let at = Timestamp::from_unix_ms(1_788_180_001_839);
        let id = MessageId::try_from("<1@example.com>").unwrap();
        let mut lines = Lines::default();
        let article = Accepted { at, junk: false, source: "news.example", id: &id, bytes: 1658 };
        accepted(&mut lines, article, ["a.peer", "other.peer"].into_iter());
        let at_next = at.plus_s(86_400);
        accepted(
            &mut lines,
            Accepted { at: at_next, junk: true, source: "", bytes: 2, ..article },
            std::iter::empty(),
        );
        let said = [
            (Some(&id), 437, Reason::UnwantedNewsgroup("x\ny".into())),
            (Some(&id), 439, Reason::NotModerated("a.b".into())),
            (Some(&id), 439, Reason::Loop),
            (Some(&id), 439, Reason::TooOld),
            (None, 441, Reason::Missing("From")),
        ];
        for (id, code, reason) in said {
            rejected(&mut lines, at, "a.peer", id, code, &reason);
        }
        assert_eq!(
            String::from_utf8(lines.text).unwrap().lines().collect::<Vec<_>>(),
            [
                "Aug 31 12:40:01.839 + news.example <1@example.com> 1658 a.peer other.peer",
                "Sep  1 12:40:01.839 j ? <1@example.com> 2",
                "Aug 31 12:40:01.839 - a.peer <1@example.com> 437 Unwanted newsgroup \"x\\ny\"",
                "Aug 31 12:40:01.839 - a.peer <1@example.com> 439 Unapproved for \"a.b\"",
                "Aug 31 12:40:01.839 - a.peer <1@example.com> 439 Unwanted site (this_one) in path",
                "Aug 31 12:40:01.839 - a.peer <1@example.com> 439 Too old -- \"before the cutoff\"",
                "Aug 31 12:40:01.839 - a.peer ? 441 Missing \"From\" header field",
            ]
        );
    }
}
