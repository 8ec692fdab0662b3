//! A date that can be read lies in the years that can be written; every moment in those years is
//! written so that it reads back.
#![no_main]

use feedd::article::date;
use feedd::clock::Timestamp;
use libfuzzer_sys::fuzz_target;

/// 1900 begins, 10000 begins; seconds since 1970.
const YEARS: std::ops::Range<i64> = -2_208_988_800..253_402_300_800;
/// The farthest zone that can be written is `+9999`.
const FARTHEST_ZONE_S: i64 = (99 * 60 + 99) * 60;

fuzz_target!(|input: &[u8]| {
    if let Some(at) = date::parse(input) {
        // A leap second is the first of the next minute.
        assert!(at.unix_s() >= YEARS.start - FARTHEST_ZONE_S && at.unix_s() <= YEARS.end + FARTHEST_ZONE_S);
        reads_back(at);
    }
    if let Some(octets) = input.first_chunk() {
        reads_back(Timestamp::from_unix_ms(i64::from_le_bytes(*octets)));
    }
});

fn reads_back(at: Timestamp) {
    let (digits, written) = (date::digits(at), date::format(at));
    assert_eq!(digits.len(), "20261120235800".len());
    if YEARS.contains(&at.unix_s()) {
        let again = date::parse(written.as_bytes()).expect("what we write we read");
        assert_eq!(again.unix_s(), at.unix_s());
    }
}
