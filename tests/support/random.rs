//! Chance that can be repeated: the seed is printed, and `FEEDD_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

/// xorshift64*.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded from `FEEDD_SEED`, or from the clock; says which.
    pub fn seeded() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64);
        let seed = std::env::var("FEEDD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(clock);
        println!("FEEDD_SEED={seed}");
        Self::of(seed)
    }

    pub fn of(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
