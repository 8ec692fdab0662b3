//! A Path with something prepended is a Path, and says who did it.
#![no_main]

use feedd::article::path::{Diagnostic, PathIdentity, has_identity, is_valid, leftmost, prepend};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &[u8]| {
    let own = PathIdentity::try_from("own.example").expect("a path identity");
    let had_it = has_identity(path, own.as_str());
    for diagnostic in [Diagnostic::Match, Diagnostic::Seen("192.0.2.1".into()), Diagnostic::Posted(None)] {
        let next = prepend(&own, &diagnostic, Some(path));
        assert_eq!(leftmost(&next), Some(own.as_str()));
        assert!(has_identity(&next, own.as_str()));
        if is_valid(path) {
            assert!(is_valid(&next));
        }
    }
    if let Some(identity) = leftmost(path) {
        assert!(identity.starts_with('.') || has_identity(path, identity));
    }
    if let Ok(text) = std::str::from_utf8(path)
        && let Ok(identity) = PathIdentity::try_from(text)
    {
        assert!(!had_it && is_valid(identity.as_str().as_bytes()));
    }
});
