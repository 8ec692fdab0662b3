//! Waiting between attempts, and knowing when there is nothing left to wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Failures in a row that a connection may have before it is given up; with [`delay`] that is about two
/// minutes.
pub(super) const FAILURES_MAX: u32 = 10;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait after so many failures in a row.
pub(super) fn delay(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

/// Something that is over once, for all threads.
#[derive(Default)]
pub(super) struct Over {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    pub(super) fn set(&self) {
        *locked(&self.is_over) = true;
        self.changed.notify_all();
    }

    pub(super) fn is_set(&self) -> bool {
        *locked(&self.is_over)
    }

    /// Waits until it is over, or the time is: is it over?
    pub(super) fn wait(&self, time: Duration) -> bool {
        let guard = locked(&self.is_over);
        let waited = self.changed.wait_timeout_while(guard, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The value in a mutex. A thread that panicked holding it left nothing half done that matters here.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound() {
        let delays: Vec<u128> = (1..=FAILURES_MAX).map(|failures| delay(failures).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn what_is_over_ends_the_waiting() {
        let over = Over::default();
        assert!(!over.wait(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            scope.spawn(|| over.set());
            assert!(over.wait(Duration::from_secs(60)));
        });
        assert!(over.is_set());
    }
}
