//! Multi-line data blocks (RFC 3977 s.3.1.1): finding the end, dot-stuffing both ways.

/// Finds the end of a data block in `bytes`, which starts at the block's first octet: the index
/// just behind the terminating `CRLF . CRLF` (or behind `. CRLF` when the block is empty).
///
/// `seen` is how many octets of `bytes` an earlier call has searched already (0 at first), so
/// that a block that arrives in pieces is scanned once.
pub fn find_block_end(bytes: &[u8], seen: usize) -> Option<usize> {
    let _ = (bytes, seen);
    todo!()
}

/// Appends `text` to `out` as a data block: every line ends in CRLF (a bare LF becomes CRLF), a
/// leading dot is doubled, and the terminating `.CRLF` is added.
pub fn stuff(text: &[u8], out: &mut Vec<u8>) {
    let _ = (text, out);
    todo!()
}

/// The text of a data block without dot-stuffing; `block` may or may not hold its terminator.
pub fn unstuff(block: &[u8]) -> Vec<u8> {
    let _ = block;
    todo!()
}
