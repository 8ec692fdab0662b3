//! How fast a client is while it owes us octets, or takes those that we owe it. Silence between
//! commands is the business of the idle timer; this is about the drip that never falls silent.

use std::time::Duration;
use tokio::time::Instant;

/// Octets that moved since the client has owed us some.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    octets: u64,
}

impl Pace {
    pub(super) fn moved(&mut self, octets: usize) {
        self.octets = self.octets.saturating_add(octets as u64);
    }

    /// Is a command or an article half sent, or a reply not taken?
    pub(super) fn owes(&mut self, owes: bool) {
        match (owes, self.since) {
            (false, _) => self.since = None,
            (true, None) => *self = Self { since: Some(Instant::now()), octets: 0 },
            (true, Some(_)) => {}
        }
    }

    /// Was it slower than `octets_s` for all of `window`? Where it was not, the next window begins.
    pub(super) fn is_too_slow(&mut self, octets_s: u64, window: Duration) -> bool {
        let Some(since) = self.since else { return false };
        let elapsed = since.elapsed();
        if elapsed < window {
            return false;
        }
        let slow = self.octets < octets_s.saturating_mul(elapsed.as_secs());
        *self = Self { since: Some(Instant::now()), octets: 0 };
        slow
    }
}
