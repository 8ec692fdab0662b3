//! Log lines that somebody outside can cause as often as they like.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often such a line is said at most.
const EVERY: Duration = Duration::from_secs(10);

/// One such line: it is said at once, and then at most every ten seconds, with how often it was due.
#[derive(Debug, Default)]
pub(crate) struct Tell(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    due: u64,
}

impl Tell {
    /// How often it was due since it was last said, if it is to be said now.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.due += 1;
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_sum() {
        let (tell, start) = (Tell::default(), Instant::now());
        assert_eq!(tell.due(start), Some(1));
        assert_eq!(tell.due(start + EVERY / 2), None);
        assert_eq!(tell.due(start + EVERY / 2), None);
        assert_eq!(tell.due(start + EVERY), Some(3));
    }
}
