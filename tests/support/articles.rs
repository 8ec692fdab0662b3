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

/// An endless run of relayed articles with their Message-IDs: `<run.0@…>`, `<run.1@…>`, ...
pub fn run_of(
    run: &str,
    newsgroups: &str,
    size: usize,
) -> impl Iterator<Item = (String, Vec<u8>)> + Send + 'static {
    let (run, newsgroups) = (run.to_owned(), newsgroups.to_owned());
    (0..).map(move |number| {
        let id = message_id(&run, number);
        let article = relayed(&id, &newsgroups, size);
        (id, article)
    })
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

/// The fields of a header (each with its folded lines) and the body, split at the empty line; line
/// ends become LF. Path and Xref, which every site makes its own, are left out.
pub fn what_travels(article: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let unix: Vec<u8> = without_cr(article);
    let split = memchr::memmem::find(&unix, b"\n\n").map_or(unix.len(), |at| at + 1);
    let (header, body) = unix.split_at(split);
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in header.split_inclusive(|octet| *octet == b'\n') {
        match fields.last_mut() {
            Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                field.extend_from_slice(line);
            }
            _ => fields.push(line.to_vec()),
        }
    }
    fields.retain(|field| {
        let name = field.split(|octet| *octet == b':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case(b"Path") && !name.eq_ignore_ascii_case(b"Xref")
    });
    (fields, body.to_vec())
}

/// CRLF to LF.
fn without_cr(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, octet) in bytes.iter().enumerate() {
        if !(*octet == b'\r' && bytes.get(at + 1) == Some(&b'\n')) {
            out.push(*octet);
        }
    }
    out
}

/// The content of a header field, as text; the field's folded lines included.
pub fn field(article: &[u8], name: &str) -> Option<String> {
    let prefix = format!("{}:", name.to_ascii_lowercase());
    what_travels(article).0.iter().find_map(|field| {
        let text = String::from_utf8_lossy(field).into_owned();
        let is_it = text.to_ascii_lowercase().starts_with(&prefix);
        is_it.then(|| text[prefix.len()..].trim().to_owned())
    })
}

/// A line of Path of an article, for messages: the one field `what_travels` leaves out that tells
/// the way an article took.
pub fn path_of(article: &[u8]) -> String {
    String::from_utf8_lossy(article)
        .lines()
        .find_map(|line| line.strip_prefix("Path: "))
        .unwrap_or_default()
        .to_owned()
}
