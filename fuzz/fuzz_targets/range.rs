//! A range that was read and written again is the same one.
#![no_main]

use feedd::wire::Range;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(range) = Range::parse(text) else { return };
    assert_eq!(Range::parse(&range.to_string()), Some(range));
    assert!(text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'-'));
    assert!(range.low < 10_u64.pow(16) && range.high.is_none_or(|high| high < 10_u64.pow(16)));
});
