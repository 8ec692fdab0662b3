//! mbox files (RFC 4155, with the quoting of "mboxrd"): articles that begin with a postmark line.

use crate::transfer::batch::{Found, article_or_not, begins_header};
use std::io::{self, BufRead};

/// What a postmark line begins with.
pub(super) const POSTMARK: &[u8] = b"From ";

/// Hands each article to `sink`, until that returns false. A postmark is a line `From ...` at the
/// beginning or behind an empty line, before a line that begins a header: a body may have such lines
/// too, since not every writer quotes them.
pub(super) fn read(
    input: &mut dyn BufRead,
    article_bytes_max: usize,
    sink: &mut dyn FnMut(Found<'_>) -> bool,
) -> io::Result<()> {
    let mut article = Article { text: Vec::new(), max: article_bytes_max, too_large: false };
    // A line that is a postmark if the next one begins a header.
    let mut postmark: Option<Vec<u8>> = None;
    let mut first = true;
    let mut after_empty = true;
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Some(held) = postmark.take() {
            if begins_header(&line) {
                if !first && !article.hand_over(sink) {
                    return Ok(());
                }
                first = false;
            } else {
                article.add(&held);
                first = false;
            }
        }
        let empty = line.trim_ascii_end().is_empty();
        if after_empty && line.starts_with(POSTMARK) {
            postmark = Some(line.clone());
        } else {
            article.add(unquoted(&line));
        }
        after_empty = empty;
    }
    if let Some(held) = postmark {
        article.add(&held);
    }
    article.hand_over(sink);
    Ok(())
}

/// The article being read.
struct Article {
    text: Vec<u8>,
    max: usize,
    too_large: bool,
}

impl Article {
    fn add(&mut self, line: &[u8]) {
        if self.text.len() + line.len() > self.max.saturating_add(2) {
            self.too_large = true;
        } else {
            self.text.extend_from_slice(line);
        }
    }

    /// Hands it over without the empty line that parts it from the next postmark.
    fn hand_over(&mut self, sink: &mut dyn FnMut(Found<'_>) -> bool) -> bool {
        let text = self.text.as_slice();
        let text = match text.strip_suffix(b"\n\n") {
            Some(kept) => text.get(..=kept.len()).unwrap_or(text),
            None => match text.strip_suffix(b"\r\n\r\n") {
                Some(kept) => text.get(..kept.len() + 2).unwrap_or(text),
                None => text,
            },
        };
        let go_on = sink(article_or_not((!self.too_large).then_some(text)));
        self.text.clear();
        self.too_large = false;
        go_on
    }
}

/// A line without the `>` that kept it from being a postmark.
fn unquoted(line: &[u8]) -> &[u8] {
    match line.split_first() {
        Some((b'>', rest)) => {
            let behind = rest.iter().position(|octet| *octet != b'>').unwrap_or(rest.len());
            if rest.get(behind..).is_some_and(|rest| rest.starts_with(POSTMARK)) { rest } else { line }
        }
        _ => line,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn articles(text: &str, max: usize) -> Vec<String> {
        let mut articles = Vec::new();
        read(&mut text.as_bytes(), max, &mut |found| {
            articles.push(match found {
                Found::Article(text) => String::from_utf8_lossy(text).into_owned(),
                Found::Not(reason) => format!("not: {reason}"),
            });
            true
        })
        .unwrap();
        articles
    }

    #[test]
    fn postmarks_part_articles() {
        for end in ["\n", "\r\n"] {
            let text =
                "From a@b Mon\nA: 1\n\nbody\n\nFrom c@d Tue\nB: 2\n\n>From here\n>>From there\n> From\n"
                    .replace('\n', end);
            let expected = ["A: 1\n\nbody\n", "B: 2\n\nFrom here\n>From there\n> From\n"];
            assert_eq!(articles(&text, 1000), expected.map(|article| article.replace('\n', end)));
        }
    }

    #[test]
    fn a_body_may_have_lines_like_postmarks() {
        let text = "From a@b Mon\nA: 1\n\nFrom here on\nit is body\nFrom x\nB: 2\n\nFrom the end\n";
        assert_eq!(articles(text, 1000), [text.split_once('\n').unwrap().1]);
    }

    #[test]
    fn what_is_no_article_is_told() {
        assert_eq!(articles("From a\nno header\n", 1000), ["not: no header"]);
        assert_eq!(
            articles("From a\nA: 1\n\nlong long long\n\nFrom b\nB: 2\n\nx\n", 12),
            ["not: larger than article_bytes_max", "B: 2\n\nx\n"]
        );
    }
}
