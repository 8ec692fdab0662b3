//! A bound on the octets a second that a peer is sent, over all its connections. Pure: time is handed in.

use std::time::Duration;
use tokio::time::Instant;

/// So many seconds of the rate may be sent at once after a rest.
const BURST_S: f64 = 1.0;

/// A bucket of octets that fills at the rate. What is sent may exceed what is in it, once: the next
/// article waits until the debt is paid. So articles of any size keep to the rate.
#[derive(Debug)]
pub(super) struct Rate {
    octets_s: f64,
    level: f64,
    at: Instant,
}

impl Rate {
    /// A full bucket.
    pub(super) fn new(octets_s: u64, now: Instant) -> Self {
        let octets_s = octets_s.max(1) as f64;
        Self { octets_s, level: octets_s * BURST_S, at: now }
    }

    /// How long to wait before something is sent; none: now.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.octets_s).min(self.octets_s * BURST_S);
        self.at = self.at.max(now);
        // A little later than exactly: a timer that fires early would only ask again.
        (self.level < 0.0).then(|| Duration::from_secs_f64(-self.level / self.octets_s + 0.001))
    }

    /// So many octets are sent.
    pub(super) fn spend(&mut self, octets: usize) {
        self.level -= octets as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_of_any_size_keep_to_the_rate() {
        for octets in [1, 2_000, 740_000] {
            let begin = Instant::now();
            let mut now = begin;
            let mut rate = Rate::new(100_000, now);
            let mut sent = 0_usize;
            while sent < 10_000_000 {
                match rate.wait(now) {
                    Some(pause) => now += pause,
                    None => {
                        rate.spend(octets);
                        sent += octets;
                    }
                }
            }
            let seconds = now.duration_since(begin).as_secs_f64();
            let allowed = 100_000.0 * (seconds + BURST_S) + octets as f64;
            assert!(sent as f64 <= allowed * 1.01, "{octets}: {sent} in {seconds} s");
            assert!(sent as f64 >= 100_000.0 * seconds * 0.97, "{octets}: {sent} in {seconds} s");
        }
    }
}
