//! Batches: files of articles, for sites that no connection leads to. They travel as they can: by
//! UUCP or NNCP, over a folder that is copied, on a stick that is carried.
//!
//! The format is that of rnews(1) (C News, INN; RFC 1036 s.3.3 has its beginnings): each article behind a line
//! `#! rnews OCTETS`, its lines ended by LF, without dot-stuffing and terminator. A batch that is packed has
//! one more line before it all, which names the program that unpacks it: `#! cunbatch` (compress), `#! gunbatch`
//! (gzip), `#! xunbatch` (xz).
//!
//! | part | what it is |
//! |---|---|
//! | [`rnews`] | from mark to mark |
//! | [`read`] | a whole file: what is packed is unpacked, whatever its first line says |
//! | `write` | a file that is there whole or not at all |
//! | `lzw` | what compress(1) makes |
//! | `xz` | what unpacking xz would cost, before it is paid |
//!
//! What is read comes from outside: counts lie, files end early, a little file unpacks to a large one.
//! Memory is bounded by one article and by what the unpacking takes, and what a file unpacks to by
//! [`UNPACKED_MAX`]. Nothing here decides about an article.

mod lzw;
mod read;
pub mod rnews;
mod write;
mod xz;

pub use read::{Packing, UNPACKED_MAX, read, skip_line, unpack};
pub use write::{BatchFile, is_unfinished};

/// What the first line of every batch begins with.
pub const HEAD: &[u8] = b"#! ";

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An article as it lay there: any line ends, no dot-stuffing.
    Article(&'a [u8]),
    /// Something that cannot be one, and why.
    Not(&'static str),
}

/// A whole article, or why not: none is one that was longer than allowed.
pub fn article_or_not(text: Option<&[u8]>) -> Found<'_> {
    match text {
        None => Found::Not("larger than article_bytes_max"),
        Some([]) => Found::Not("an empty file"),
        Some(text) if begins_header(text) => Found::Article(text),
        Some(_) => Found::Not("no header"),
    }
}

/// Does the text begin with a header field: a name of printable characters, a colon (RFC 5322 s.2.2)?
pub fn begins_header(text: &[u8]) -> bool {
    let name_len = text.iter().position(|octet| !octet.is_ascii_graphic() || *octet == b':');
    name_len.is_some_and(|len| len > 0 && text.get(len) == Some(&b':'))
}
