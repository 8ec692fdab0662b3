//! Where random octets come from, all but those of passwords and TLS.
//!
//! A simulation draws its own: what [`draw_from`] sets is for the calling thread alone, so nothing
//! of it reaches a server, which never calls it.

use std::cell::Cell;

/// What fills octets.
#[derive(Clone, Copy)]
struct Source(fn(&mut [u8]));

thread_local! {
    /// What this thread draws from in place of the operating system.
    static SOURCE: Cell<Option<Source>> = const { Cell::new(None) };
}

/// From now on this thread's random octets come from `source`; with none, from the operating system
/// again.
pub fn draw_from(source: Option<fn(&mut [u8])>) {
    SOURCE.set(source.map(Source));
}

/// Fills `octets` with what nobody can guess.
///
/// # Errors
/// The operating system has none to give.
pub fn fill(octets: &mut [u8]) -> Result<(), getrandom::Error> {
    match SOURCE.get() {
        Some(Source(simulated)) => {
            simulated(octets);
            Ok(())
        }
        None => getrandom::fill(octets),
    }
}

/// Numbers for property tests, the same in every run, so that what fails fails again: a generator of
/// numbers below what it is asked for; `seed` is not 0.
#[cfg(test)]
pub(crate) fn xorshift(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}
