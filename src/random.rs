//! Numbers for property tests: the same in every run, so that what fails fails again.

/// A generator of numbers below what it is asked for; `seed` is not 0.
pub(crate) fn xorshift(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}
