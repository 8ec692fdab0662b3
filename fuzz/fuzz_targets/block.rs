//! The end of a block does not depend on how it arrives, and stuffing comes back.
#![no_main]

use feedd::wire::block::{find_block_end, stuff, unstuff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(input.0) + 1, input.1);
    let whole = find_block_end(bytes, 0);
    let (mut arrived, mut seen) = (0, 0);
    let in_pieces = loop {
        match find_block_end(&bytes[..arrived], seen) {
            Some(end) => break Some(end),
            None if arrived == bytes.len() => break None,
            None => (seen, arrived) = (arrived, bytes.len().min(arrived + piece)),
        }
    };
    assert_eq!(in_pieces, whole);

    let mut block = Vec::new();
    stuff(bytes, &mut block);
    assert_eq!(find_block_end(&block, 0), Some(block.len()));
    let text = unstuff(&block);
    let mut again = Vec::new();
    stuff(&text, &mut again);
    assert_eq!(again, block);
});
