//! Logins that fail, slowed for each address. The first few cost nothing, for people mistype; each
//! further one makes the next attempt from there wait, twice as long as the one before, and attempts
//! at the same time wait in line. Forgotten an hour after the last failure; a login that succeeds
//! forgets nothing, or who has one account could guess at the others for ever.

use super::counted_address;
use crate::limits::THROTTLED_MAX;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failures that cost nothing.
const FREE: u32 = 3;
/// The pause behind the first one that does, which doubles, and the longest.
const DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// The longest that an attempt waits in line.
const LINE_MAX: Duration = Duration::from_secs(60);
/// How long a failure is remembered.
const MEMORY: Duration = Duration::from_secs(3600);

/// The failures of each address.
#[derive(Debug, Default)]
pub struct Throttle {
    by_address: HashMap<IpAddr, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
    /// The next attempt may be made then.
    free_at: Instant,
}

impl Throttle {
    /// How long an attempt from `address` waits before the password is looked at; none: so many wait
    /// already that it is refused. An attempt that is let in must be made.
    pub fn attempt(&mut self, address: IpAddr, now: Instant) -> Option<Duration> {
        let Some(failures) = self.by_address.get_mut(&counted_address(address)) else {
            return Some(Duration::ZERO);
        };
        if failures.is_forgotten(now) || failures.count < FREE {
            return Some(Duration::ZERO);
        }
        let wait = failures.free_at.saturating_duration_since(now);
        if wait > LINE_MAX {
            return None;
        }
        failures.free_at = now + wait + failures.delay();
        Some(wait)
    }

    /// An attempt from `address` has failed.
    pub fn failed(&mut self, address: IpAddr, now: Instant) {
        let address = counted_address(address);
        let fresh = Failures { count: 0, last: now, free_at: now };
        if !self.by_address.contains_key(&address) {
            self.make_room(now);
        }
        let failures = self.by_address.entry(address).or_insert(fresh);
        if failures.is_forgotten(now) {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if failures.count >= FREE {
            failures.free_at = failures.free_at.max(now + failures.delay());
        }
    }

    /// An attempt has succeeded: nobody waits for it any more.
    pub fn succeeded(&mut self, address: IpAddr, now: Instant) {
        if let Some(failures) = self.by_address.get_mut(&counted_address(address)) {
            failures.free_at = now;
        }
    }

    /// Forgets what is old and, where that is not enough, the address with the fewest failures: who
    /// has failed often is not forgotten for many who failed once.
    fn make_room(&mut self, now: Instant) {
        if self.by_address.len() < THROTTLED_MAX {
            return;
        }
        self.by_address.retain(|_, failures| !failures.is_forgotten(now));
        if self.by_address.len() < THROTTLED_MAX {
            return;
        }
        let least = self.by_address.iter().min_by_key(|(_, failures)| (failures.count, failures.last));
        if let Some(address) = least.map(|(address, _)| *address) {
            self.by_address.remove(&address);
        }
    }
}

impl Failures {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= MEMORY
    }

    /// The pause behind the last failure.
    fn delay(&self) -> Duration {
        let doublings = self.count.saturating_sub(FREE).min(16);
        DELAY.saturating_mul(1 << doublings).min(DELAY_MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_failure_doubles_the_wait() {
        let mut throttle = Throttle::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            let wait = throttle.attempt(HERE, now).unwrap();
            waits.push(wait.as_secs());
            now += wait;
            throttle.failed(HERE, now);
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(throttle.attempt(elsewhere, now), Some(Duration::ZERO));
        assert_eq!(throttle.attempt(HERE, now + MEMORY), Some(Duration::ZERO), "forgotten after an hour");
        throttle.failed(HERE, now + MEMORY);
        assert_eq!(throttle.attempt(HERE, now + MEMORY), Some(Duration::ZERO));
    }

    #[test]
    fn attempts_at_the_same_time_wait_in_line() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..20 {
            throttle.failed(HERE, now);
        }
        let line: Vec<_> = (0..4).map(|_| throttle.attempt(HERE, now)).collect();
        assert_eq!(line, [Some(s(30)), Some(s(60)), None, None]);
        throttle.succeeded(HERE, now + s(30));
        assert_eq!(throttle.attempt(HERE, now + s(30)), Some(s(0)), "nobody waits for one who is in");
        throttle.failed(HERE, now + s(30));
        assert_eq!(throttle.attempt(HERE, now + s(30)), Some(s(30)), "and nothing was forgotten");
    }

    #[test]
    fn an_ipv6_subscriber_has_one_place() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for host in 0..4 {
            throttle.failed(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)), now);
        }
        let other = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 9, 9, 9, 9));
        assert_eq!(throttle.attempt(other, now), Some(s(2)));
        assert_eq!(throttle.by_address.len(), 1);
    }

    #[test]
    fn many_addresses_neither_fill_memory_nor_push_out_who_failed_often() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..5 {
            throttle.failed(HERE, now);
        }
        for host in 0..THROTTLED_MAX as u32 + 100 {
            throttle.failed(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host)), now + s(1));
        }
        assert_eq!(throttle.by_address.len(), THROTTLED_MAX);
        assert!(throttle.attempt(HERE, now + s(1)).unwrap() > s(1));
        throttle.failed(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), now + s(1) + MEMORY);
        assert_eq!(throttle.by_address.len(), 1, "what is old makes room");
    }
}
