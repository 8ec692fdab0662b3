//! The only place that reads time. Everything else is handed a [`Timestamp`].
//!
//! A simulation has a time of its own: what [`read_from`] sets is for the calling thread alone, so
//! nothing of it reaches a server, which never calls it.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    /// What this thread reads in place of the wall clock.
    static SOURCE: Cell<Option<fn() -> Timestamp>> = const { Cell::new(None) };
}

/// A moment: milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// From seconds since the Unix epoch.
    pub const fn from_unix_s(s: i64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_s(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment moved by `seconds` (which may be negative).
    pub const fn plus_s(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

/// From now on this thread's time comes from `source`; with none, from the wall clock again.
pub fn read_from(source: Option<fn() -> Timestamp>) {
    SOURCE.set(source);
}

/// The wall clock's reading.
pub fn now() -> Timestamp {
    if let Some(simulated) = SOURCE.get() {
        return simulated();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
