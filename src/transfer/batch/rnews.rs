//! rnews batches (INN's rnews(1), RFC 1036 s.3.3): each article behind a line `#! rnews OCTETS`.

use super::{Found, article_or_not};
use std::io::{self, BufRead, Read};

/// What the line before an article begins with.
pub(crate) const MARK: &[u8] = b"#! rnews ";
/// Octets of that line.
const MARK_LINE_MAX: u64 = 512;

/// Hands each article to `sink`, until that returns false. Where the counts do not lead from mark to
/// mark, the rest of the batch cannot be told apart.
pub fn read(
    input: &mut dyn BufRead,
    article_bytes_max: usize,
    sink: &mut dyn FnMut(Found<'_>) -> bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut *input).take(MARK_LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Some(octets) = octets(&line) else {
            let is_whole =
                line.ends_with(b"\n") || !MARK.starts_with(line.get(..MARK.len()).unwrap_or(&line));
            return Err(if is_whole { no_mark() } else { ends_early() });
        };
        let mut article = (&mut *input).take(octets);
        let go_on = if octets > article_bytes_max as u64 {
            if io::copy(&mut article, &mut io::sink())? < octets {
                return Err(ends_early());
            }
            sink(article_or_not(None))
        } else {
            let mut text = Vec::new();
            article.read_to_end(&mut text)?;
            if (text.len() as u64) < octets {
                return Err(ends_early());
            }
            sink(article_or_not(Some(&text)))
        };
        if !go_on {
            return Ok(());
        }
    }
}

fn ends_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "an rnews batch that ends within an article")
}

fn no_mark() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an rnews batch whose counts do not agree")
}

/// The count of a mark line, behind which some writers say more.
fn octets(line: &[u8]) -> Option<u64> {
    let words = std::str::from_utf8(line.strip_prefix(MARK)?).ok()?;
    words.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn articles(batch: &str, max: usize) -> (Vec<String>, bool) {
        let mut articles = Vec::new();
        let read = read(&mut batch.as_bytes(), max, &mut |found| {
            articles.push(match found {
                Found::Article(text) => String::from_utf8_lossy(text).into_owned(),
                Found::Not(reason) => format!("not: {reason}"),
            });
            true
        });
        (articles, read.is_ok())
    }

    #[test]
    fn counts_lead_from_mark_to_mark() {
        let (found, whole) = articles("#! rnews 9\nA: 1\n\nx\n\n#! rnews 8 site\nB: 2\n\ny\n", 100);
        assert_eq!(found, ["A: 1\n\nx\n\n", "B: 2\n\ny\n"]);
        assert!(whole);
        let (found, whole) = articles("#! rnews 9\nA: 1\n\nx\n\n#! rnews 8\nB: 2\n\ny\n", 8);
        assert_eq!(found, ["not: larger than article_bytes_max", "B: 2\n\ny\n"]);
        assert!(whole);
    }

    #[test]
    fn a_broken_batch_is_an_error_behind_what_was_whole() {
        for batch in [
            "#! rnews 8\nA: 1\n\nx\n#! rnews 8\nB: 2\n\n",
            "#! rnews 8\nA: 1\n\nx\ngarbage\n",
            "#! rnews 8\nA: 1\n\nx\n#! rnews -1\n",
        ] {
            let (found, whole) = articles(batch, 100);
            assert_eq!(found, ["A: 1\n\nx\n"]);
            assert!(!whole, "{batch:?}");
        }
    }
}
