//! Multi-line data blocks (RFC 3977 s.3.1.1): finding the end, dot-stuffing both ways.
//!
//! Only CRLF ends a line here: `LF . LF` inside a block ends nothing, or a peer could smuggle
//! commands into an article.

use memchr::memmem::Finder;
use std::sync::LazyLock;

/// The line that ends a data block.
pub const TERMINATOR: &[u8] = b".\r\n";

/// The last line's CRLF and the terminator.
const END: &[u8] = b"\r\n.\r\n";

static END_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(END));

/// Finds the end of a data block in `bytes`, which starts at the block's first octet: the index
/// just behind the terminating `CRLF . CRLF` (or behind `. CRLF` when the block is empty).
///
/// `seen` is how many octets of `bytes` an earlier call has searched already (0 at first), so
/// that a block that arrives in pieces is scanned once.
pub fn find_block_end(bytes: &[u8], seen: usize) -> Option<usize> {
    if bytes.starts_with(TERMINATOR) {
        return Some(TERMINATOR.len());
    }
    // All of the end but its last octet may have been there the last time.
    let from = seen.saturating_sub(END.len() - 1);
    let found = END_FINDER.find(bytes.get(from..)?)?;
    Some(from + found + END.len())
}

/// Appends `text` to `out` as a data block: every line ends in CRLF (a bare LF becomes CRLF), a
/// leading dot is doubled, and the terminating `.CRLF` is added.
pub fn stuff(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 32 + TERMINATOR.len());
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(TERMINATOR);
}

/// The text of a data block without dot-stuffing; `block` may or may not hold its terminator.
pub fn unstuff(block: &[u8]) -> Vec<u8> {
    let mut rest = match block.strip_suffix(TERMINATOR) {
        // Else it is the end of a longer line.
        Some(text) if text.is_empty() || text.ends_with(b"\r\n") => text,
        _ => block,
    };
    let mut text = Vec::with_capacity(rest.len());
    rest = rest.strip_prefix(b".").unwrap_or(rest);
    let stuffed = Finder::new(b"\r\n.");
    while let Some(found) = stuffed.find(rest) {
        let (line, behind) = rest.split_at(found + 2);
        text.extend_from_slice(line);
        rest = behind.strip_prefix(b".").unwrap_or(behind);
    }
    text.extend_from_slice(rest);
    text
}
