//! Whatever stands in a config file: it is accepted, or each mistake is one clear line about a line
//! of the file.
#![no_main]

use feedd::config::{Config, Mistake};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let site = match Config::check_site(Path::new("feedd.toml"), text) {
        Ok(site) => {
            assert!(!site.listen.is_empty() && site.limits.connections_max > 0);
            site
        }
        Err(mistakes) => {
            are_clear(text, &mistakes);
            Config::built_in().site
        }
    };
    match Config::check_peers(&site, Path::new("peers.toml"), text) {
        Ok(peers) => {
            for (index, peer) in peers.iter().enumerate() {
                assert!(!peer.identities.contains(&site.identity) && peer.connections > 0 && peer.window > 0);
                assert!(peers[..index].iter().all(|other| other.name != peer.name));
            }
        }
        Err(mistakes) => are_clear(text, &mistakes),
    }
});

fn are_clear(text: &str, mistakes: &[Mistake]) {
    let lines = text.bytes().filter(|&octet| octet == b'\n').count() + 1;
    assert!(!mistakes.is_empty());
    for mistake in mistakes {
        assert!((1..=lines).contains(&mistake.line), "{mistake}");
        assert!(!mistake.what.is_empty() && !mistake.cure.is_empty(), "{mistake}");
        assert!(!mistake.to_string().chars().any(char::is_control), "{:?}", mistake.to_string());
    }
}
