//! A wildmat that was read and written again is the same one, and answers in bounded time.
#![no_main]

use feedd::wildmat::{Match, Wildmat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (pattern, text) = input;
    if let Ok(wildmat) = Wildmat::parse(pattern) {
        assert_eq!(wildmat.to_string(), pattern);
        assert_eq!(wildmat.matches(text), wildmat.wants([text]));
        assert_ne!(wildmat.judge(text), Match::Poison);
    }
    if let Ok(subscription) = Wildmat::parse_subscription(pattern) {
        assert_eq!(Wildmat::parse_subscription(&subscription.to_string()), Ok(subscription));
    }
});
