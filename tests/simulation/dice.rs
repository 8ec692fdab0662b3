//! All chance of a simulation: one generator by seed, and the time and the random octets that the
//! code of a site draws from it.

use feedd::clock::{self, Timestamp};
use feedd::random;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::time::Instant;

/// When the simulated time begins: some day of 2026.
pub const EPOCH_MS: i64 = 1_790_000_000_000;

/// A generator of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51_7cc1_b727_220a)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    pub fn ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low * 1000, high * 1000))
    }

    /// Another generator, independent of what is drawn from this one later.
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }
}

thread_local! {
    static OCTETS: RefCell<Dice> = RefCell::new(Dice::new(0));
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// How far the wall clock has been set, in milliseconds.
    static SET_MS: Cell<i64> = const { Cell::new(0) };
}

fn draw(octets: &mut [u8]) {
    OCTETS.with_borrow_mut(|dice| octets.fill_with(|| dice.number() as u8));
}

/// Milliseconds since the simulation began.
pub fn now_ms() -> u64 {
    BEGAN.get().map_or(0, |began| began.elapsed().as_millis() as u64)
}

fn simulated_time() -> Timestamp {
    Timestamp::from_unix_ms(EPOCH_MS + SET_MS.get() + now_ms().cast_signed())
}

/// Somebody sets the wall clock, forward or back; the time that passes is another matter.
pub fn set_clock(by_ms: i64) {
    SET_MS.set(SET_MS.get() + by_ms);
}

/// While this lives, this thread's time and random octets are simulated.
pub struct Simulated(());

impl Simulated {
    /// Called within the simulation's runtime, whose clock is stopped.
    pub fn begin(seed: u64) -> Self {
        OCTETS.set(Dice::new(seed ^ 0xfeed));
        BEGAN.set(Some(Instant::now()));
        SET_MS.set(0);
        clock::read_from(Some(simulated_time));
        random::draw_from(Some(draw));
        Self(())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        clock::read_from(None);
        random::draw_from(None);
        BEGAN.set(None);
    }
}
