//! What became of articles that were brought to a site.

use serde::Serialize;
use std::collections::BTreeMap;

/// Different reasons that are counted each for itself.
const REASONS_MAX: usize = 1000;

/// What became of all that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Kept, durably.
    pub accepted: u64,
    /// Known here already.
    pub duplicate: u64,
    /// Not wanted.
    pub rejected: u64,
    /// How often for which reason, in the site's words or, for what was not sent at all, in ours.
    pub reasons: BTreeMap<String, u64>,
}

impl Totals {
    /// Counts an article that is rejected.
    pub fn reject(&mut self, reason: &str) {
        self.rejected += 1;
        let known = self.reasons.contains_key(reason) || self.reasons.len() < REASONS_MAX;
        *self.reasons.entry(if known { reason } else { "other reasons" }.to_owned()).or_default() += 1;
    }

    /// Counts what others have counted.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    /// One line, and one more for each reason.
    pub fn shown(&self) -> String {
        let mut text =
            format!("accepted {}, duplicate {}, rejected {}", self.accepted, self.duplicate, self.rejected);
        for (reason, count) in &self.reasons {
            text.push_str(&format!("\n  rejected: {reason} x{count}"));
        }
        text
    }
}
