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
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        if line.starts_with(b".") {
            out.push(b'.');
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    #[test]
    fn ends_of_blocks() {
        let table: [(&[u8], Option<usize>); 14] = [
            (b"", None),
            (b".", None),
            (b".\r", None),
            (b".\r\n", Some(3)),
            (b".\r\nQUIT\r\n", Some(3)),
            (b"..\r\n.\r\n", Some(7)),
            (b"a\r\n.\r\n", Some(6)),
            (b"a\r\n.\r\nDATE\r\n.\r\n", Some(6)),
            (b"\r\n.\r\n", Some(5)),
            (b"a\r\n..\r\n", None),
            (b"a\r\n.b\r\n", None),
            // Only CRLF ends a line.
            (b"a\n.\n", None),
            (b"a\n.\r\n", None),
            (b"a\r\n.\n.\r\n", None),
        ];
        for (bytes, end) in table {
            assert_eq!(find_block_end(bytes, 0), end, "{:?}", bytes.escape_ascii().to_string());
        }
        assert_eq!(find_block_end(b"a\r\n", 100), None);
    }

    #[test]
    fn any_chunking_finds_the_same_end() {
        let mut random = xorshift(7);
        for _ in 0..20_000 {
            let len = random(24);
            let bytes: Vec<u8> = (0..len).map(|_| b"\r\n.a"[random(4) as usize]).collect();
            let whole = find_block_end(&bytes, 0);
            let (mut arrived, mut seen) = (0, 0);
            let pieces = loop {
                match find_block_end(&bytes[..arrived], seen) {
                    Some(end) => break Some(end),
                    None if arrived == bytes.len() => break None,
                    None => {
                        seen = arrived;
                        arrived = bytes.len().min(arrived + 1 + random(6) as usize);
                    }
                }
            };
            assert_eq!(whole, pieces, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn known_blocks() {
        let table: [(&[u8], &[u8], &[u8]); 8] = [
            (b"", b".\r\n", b""),
            (b"a", b"a\r\n.\r\n", b"a\r\n"),
            (b"a\nb\r\n", b"a\r\nb\r\n.\r\n", b"a\r\nb\r\n"),
            (b".\n", b"..\r\n.\r\n", b".\r\n"),
            (b".a\n..b\nc.\n", b"..a\r\n...b\r\nc.\r\n.\r\n", b".a\r\n..b\r\nc.\r\n"),
            (b"\n\n", b"\r\n\r\n.\r\n", b"\r\n\r\n"),
            (b"a\n\n.", b"a\r\n\r\n..\r\n.\r\n", b"a\r\n\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n", b"a\r\n"),
        ];
        for (text, block, back) in table {
            let mut out = b"220 0\r\n".to_vec();
            stuff(text, &mut out);
            assert_eq!(out.strip_prefix(b"220 0\r\n"), Some(block));
            assert_eq!(unstuff(block), back);
        }
        assert_eq!(unstuff(b"a\r\n..b\r\n"), b"a\r\n.b\r\n", "the terminator may be missing");
        assert_eq!(unstuff(b"the end.\r\n"), b"the end.\r\n", "a full stop is no terminator");
    }

    #[test]
    fn stuffing_comes_back() {
        let mut random = xorshift(9);
        for _ in 0..5_000 {
            let lines = random(6);
            let mut text = Vec::new();
            for _ in 0..lines {
                text.extend((0..random(4)).map(|_| [b'.', b'x', 0xE9][random(3) as usize]));
                text.extend_from_slice(b"\r\n");
            }
            let mut block = Vec::new();
            stuff(&text, &mut block);
            assert_eq!(find_block_end(&block, 0), Some(block.len()));
            assert_eq!(unstuff(&block), text);
            block.truncate(block.len() - TERMINATOR.len());
            assert_eq!(unstuff(&block), text);
        }
    }
}
