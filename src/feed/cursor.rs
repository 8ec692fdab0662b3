//! What of the log is settled with one peer, when answers come in any order.
//!
//! Articles are handed out in the order of the log and settled in any order. The cursor stands just
//! before the oldest article that is not settled, or where reading has come to when there is none:
//! what the subscription does not want is settled by reading on. Saved behind settled answers only,
//! it makes a feed *at least once*; the receiver's history makes it exactly once.

use crate::store::Seq;
use std::collections::VecDeque;

/// The cursor of one feed.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Everything up to here has been read from the log.
    read: Seq,
    /// Handed out and not settled, or settled behind one that is not; ascending.
    open: VecDeque<Open>,
    /// How many of `open` are not settled.
    unsettled: usize,
}

#[derive(Debug)]
struct Open {
    seq: Seq,
    settled: bool,
}

impl Cursor {
    /// A cursor that resumes behind `settled`.
    pub(super) fn new(settled: Seq) -> Self {
        Self { read: settled, open: VecDeque::new(), unsettled: 0 }
    }

    /// Where to read on.
    pub(super) fn read(&self) -> Seq {
        self.read
    }

    /// The log has been read up to `seq`.
    pub(super) fn read_to(&mut self, seq: Seq) {
        self.read = self.read.max(seq);
    }

    /// The article `seq` is handed out; it stands behind all handed out before.
    pub(super) fn hand_out(&mut self, seq: Seq) {
        debug_assert!(self.open.back().is_none_or(|last| last.seq < seq), "the log is read in order");
        self.open.push_back(Open { seq, settled: false });
        self.unsettled += 1;
        self.read_to(seq);
    }

    /// Is the article `seq` to be settled yet, or to be read?
    pub(super) fn is_ahead(&self, seq: Seq) -> bool {
        seq > self.read
            || self.open.binary_search_by_key(&seq, |open| open.seq).is_ok_and(|at| !self.open[at].settled)
    }

    /// The article `seq` is settled. One that was not handed out, or is settled already, is ignored.
    pub(super) fn settle(&mut self, seq: Seq) {
        let Ok(at) = self.open.binary_search_by_key(&seq, |open| open.seq) else { return };
        let Some(open) = self.open.get_mut(at) else { return };
        if !std::mem::replace(&mut open.settled, true) {
            self.unsettled -= 1;
        }
        while self.open.front().is_some_and(|open| open.settled) {
            self.open.pop_front();
        }
    }

    /// The highest seq up to which all is settled.
    pub(super) fn settled(&self) -> Seq {
        self.open.front().map_or(self.read, |open| Seq(open.seq.0.saturating_sub(1)))
    }

    /// How many articles are handed out and not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// How many entries it keeps: unsettled ones and those settled behind the oldest of them.
    pub(super) fn span(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Small deterministic generator (xorshift64).
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % n as u64).unwrap()
        }
    }

    #[test]
    fn follows_a_naive_model_in_any_order_of_settling() {
        for seed in 1..=200 {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            let start = dice.below(1000) as u64;
            let mut cursor = Cursor::new(Seq(start));
            let mut read = start;
            let mut owed: Vec<u64> = Vec::new();
            for _ in 0..500 {
                match dice.below(3) {
                    0 => {
                        read += 1 + dice.below(3) as u64; // what is between is not wanted
                        cursor.hand_out(Seq(read));
                        owed.push(read);
                    }
                    1 => {
                        read += dice.below(3) as u64;
                        cursor.read_to(Seq(read));
                    }
                    _ if !owed.is_empty() => {
                        let seq = owed.swap_remove(dice.below(owed.len()));
                        cursor.settle(Seq(seq));
                        cursor.settle(Seq(seq));
                    }
                    _ => {}
                }
                let naive = owed.iter().min().map_or(read, |oldest| oldest - 1);
                assert_eq!(cursor.settled(), Seq(naive), "seed {seed}");
                assert_eq!(cursor.unsettled(), owed.len(), "seed {seed}");
                assert_eq!(cursor.read(), Seq(read), "seed {seed}");
            }
            for seq in owed {
                cursor.settle(Seq(seq));
            }
            assert_eq!((cursor.settled(), cursor.span()), (Seq(read), 0), "seed {seed}");
        }
    }

    #[test]
    fn a_seq_that_was_never_handed_out_is_ignored() {
        let mut cursor = Cursor::new(Seq(10));
        cursor.hand_out(Seq(12));
        cursor.settle(Seq(11));
        cursor.settle(Seq(99));
        assert_eq!(cursor.settled(), Seq(11));
    }
}
