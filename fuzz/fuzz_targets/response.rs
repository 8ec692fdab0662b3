//! A response line that was read and written again is the same one.
#![no_main]

use feedd::wire::response::Response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Some(response) = Response::parse(line) {
        let again = format!("{} {}\r\n", response.code, response.text);
        assert_eq!(Response::parse(again.as_bytes()), Some(response));
        assert!(response.argument().is_none_or(|word| response.text.contains(word)));
    }
});
