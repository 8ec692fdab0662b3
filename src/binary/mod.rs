//! Files in articles: what a file's part looks like in a body ([`yenc`]), how a list of articles that
//! together are files is written down ([`nzb`]), and how a subject and a file's name stand for each
//! other ([`subject`]).
//!
//! Octets in, values out: nothing here opens a file or a connection. All of it comes from strangers,
//! so whatever is read is bounded by what was given and nothing in it can panic.

pub mod nzb;
pub mod subject;
pub mod yenc;

pub use nzb::Nzb;

/// Text of unknown charset: UTF-8 if it is that, else ISO-8859-1, which everything is.
fn text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(char::from).collect(),
    }
}
