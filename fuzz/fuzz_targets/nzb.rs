//! An NZB that was read and written again is the same one.
#![no_main]

use feedd::binary::Nzb;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(nzb) = Nzb::parse(input) {
        let once = nzb.to_string();
        let again = Nzb::parse(once.as_bytes()).map(|nzb| nzb.to_string());
        assert_eq!(again.as_deref(), Ok(once.as_str()));
    }
});
