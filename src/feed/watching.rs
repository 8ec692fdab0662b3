//! Articles whose answers a sync waits for: single ones that it has the feed offer, or all of a sweep.

use super::exchange::Fate;
use crate::store::{Seq, Swept};
use std::collections::{BTreeMap, HashSet};

/// What is waited for.
#[derive(Default)]
pub(super) struct Watching {
    /// Single articles that have no answer yet.
    pub(super) seqs: HashSet<Seq>,
    accepted: u64,
    sweep: Option<Sweeping>,
}

/// How far single articles are.
#[derive(Clone, Copy, Default)]
pub(super) struct Watched {
    /// How many have no answer yet.
    pub(super) seqs: usize,
    /// How many the peer has accepted.
    pub(super) accepted: u64,
}

/// All of a sweep. What is counted is what stands up to one place, so that whoever goes on from there
/// counts no article twice.
struct Sweeping {
    swept: Swept,
    /// Answers for what stands behind that place.
    behind: BTreeMap<Seq, Fate>,
}

impl Watching {
    /// Waits for everything behind a place.
    pub(super) fn all_from(swept: Swept) -> Self {
        let behind = BTreeMap::new();
        Self { sweep: Some(Sweeping { swept, behind }), ..Self::default() }
    }

    /// An article has its answer for good. True if somebody waited for it.
    pub(super) fn settle(&mut self, seq: Seq, fate: Fate) -> bool {
        if let Some(sweep) = &mut self.sweep {
            sweep.behind.insert(seq, fate);
            return true;
        }
        let watched = self.seqs.remove(&seq);
        self.accepted += u64::from(watched && fate == Fate::Accepted);
        watched
    }

    /// How far single articles are.
    pub(super) fn watched(&self) -> Watched {
        Watched { seqs: self.seqs.len(), accepted: self.accepted }
    }

    /// Everything up to here has its answer.
    pub(super) fn come_to(&mut self, place: Seq) {
        let Some(Sweeping { swept, behind }) = &mut self.sweep else { return };
        let rest = behind.split_off(&Seq(place.0.saturating_add(1)));
        for fate in std::mem::replace(behind, rest).into_values() {
            let count = match fate {
                Fate::Accepted => &mut swept.accepted,
                Fate::Refused => &mut swept.refused,
                Fate::Rejected => &mut swept.rejected,
                Fate::Gone => &mut swept.gone,
                Fate::Deferred => continue,
            };
            *count += 1;
        }
        swept.at = swept.at.max(place.0.min(swept.to));
    }

    /// Answers that are not counted yet.
    pub(super) fn behind(&self) -> usize {
        self.sweep.as_ref().map_or(0, |sweep| sweep.behind.len())
    }

    /// How far a sweep is.
    pub(super) fn swept(&self) -> Option<Swept> {
        self.sweep.as_ref().map(|sweep| sweep.swept.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_counts_what_stands_up_to_its_place() {
        let mut watching = Watching::all_from(Swept { at: 10, to: 20, accepted: 3, ..Swept::default() });
        for (seq, fate) in [(15, Fate::Accepted), (12, Fate::Refused), (11, Fate::Rejected), (19, Fate::Gone)]
        {
            assert!(watching.settle(Seq(seq), fate));
        }
        let counts = |watching: &Watching| {
            watching
                .swept()
                .map(|swept| (swept.at, swept.accepted, swept.refused, swept.rejected, swept.gone))
        };
        watching.come_to(Seq(12));
        assert_eq!((counts(&watching), watching.behind()), (Some((12, 3, 1, 1, 0)), 2));
        watching.come_to(Seq(25));
        assert_eq!((counts(&watching), watching.behind()), (Some((20, 4, 1, 1, 1)), 0));
    }
}
