//! Whatever a body holds is decoded without a panic and stays within its file; what is encoded comes
//! back.
#![no_main]

use feedd::binary::yenc::{Part, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(part) = decode(input) {
        assert!(part.data.len() <= input.len());
        assert!(part.offset + part.data.len() as u64 <= part.file_size);
    }
    // With its sum, which the encoder is told: one part that is the whole file.
    let part = |crc| Part {
        name: "a b",
        number: 1,
        total: 1,
        file_size: input.len() as u64,
        offset: 0,
        data: input,
        crc,
        file_crc: None,
    };
    let mut body = Vec::new();
    encode(&part(crc32fast::hash(input)), &mut body);
    assert_eq!(decode(&body).map(|part| part.data).as_deref(), Ok(input));
});
