//! Articles made for tests and load: unique Message-IDs, a body of a wanted size, wire form.

use std::time::{SystemTime, UNIX_EPOCH};

/// The path identity of whoever offers the articles.
pub const LOAD_IDENTITY: &str = "load.example";

/// The present in RFC 5322 form, in UTC: articles made now are not beyond any cutoff.
pub fn date_now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    chrono::DateTime::from_timestamp(now as i64, 0)
        .map(|date| date.format("%a, %d %b %Y %H:%M:%S +0000").to_string())
        .unwrap_or_default()
}

/// A Message-ID that is unique by `run` (one test or measurement) and `number`, of fixed length.
pub fn message_id(run: &str, number: u64) -> String {
    format!("<{run}.{number:010}@{LOAD_IDENTITY}>")
}

/// An article as a peer sends it: header, empty line, a body of whole lines so that all of it has
/// about `size` octets, CRLF throughout, dot-stuffed, and the terminating dot.
pub fn relayed(message_id: &str, newsgroups: &str, size: usize) -> Vec<u8> {
    let header = format!(
        "Path: {LOAD_IDENTITY}!.POSTED!not-for-mail\r\n\
         From: A Poster <poster@{LOAD_IDENTITY}>\r\n\
         Newsgroups: {newsgroups}\r\n\
         Subject: An article of {size} octets\r\n\
         Date: {}\r\n\
         Message-ID: {message_id}\r\n",
        date_now()
    );
    with_body(header, size)
}

/// An article as a newsreader posts it. Without `message_id` the site makes one.
pub fn posted(message_id: Option<&str>, newsgroups: &str, size: usize) -> Vec<u8> {
    let mut header = format!(
        "From: A Poster <poster@{LOAD_IDENTITY}>\r\n\
         Newsgroups: {newsgroups}\r\n\
         Subject: An article of {size} octets\r\n"
    );
    if let Some(id) = message_id {
        header.push_str(&format!("Message-ID: {id}\r\n"));
    }
    with_body(header, size)
}

fn with_body(header: String, size: usize) -> Vec<u8> {
    const LINE: &[u8] = b"All work and no play makes Jack a dull boy, says the proverb of 1659.\r\n";
    let mut article = header.into_bytes();
    article.extend_from_slice(b"\r\n");
    loop {
        article.extend_from_slice(LINE);
        if article.len() + LINE.len() > size {
            break;
        }
    }
    article.extend_from_slice(b".\r\n");
    article
}
