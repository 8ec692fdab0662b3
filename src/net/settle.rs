//! Replies that wait for a commit: how the store's writer thread reaches a connection's task.

use crate::session::Transfer;
use crate::store::{Outcome, Settle};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Where the writer drops outcomes for one connection; the connection is woken once per batch.
#[derive(Debug, Default)]
pub(super) struct Port {
    settled: Mutex<Vec<(u64, Outcome)>>,
    pub(super) notify: Notify,
}

impl Settle for Port {
    fn settle(&self, tag: u64, outcome: Outcome) {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).push((tag, outcome));
    }

    fn wake(&self) {
        self.notify.notify_one();
    }
}

impl Port {
    /// Moves what has settled into `into`.
    pub(super) fn drain(&self, into: &mut Vec<(u64, Outcome)>) {
        into.append(&mut self.settled.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A reply that is owed.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) transfer: Transfer,
    /// The article's Message-ID (of a POST: the one we may have made).
    pub(super) id: crate::article::MessageId,
    /// Its octets.
    pub(super) len: usize,
    pub(super) outcome: Option<Outcome>,
    /// Replies to later commands that were ready before this one.
    pub(super) after: Vec<u8>,
}

/// The replies that are owed, in the order of their commands; tags count up without gaps.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owed: VecDeque<Owed>,
    /// The tag of the first of `owed`.
    first: u64,
    /// Octets of the articles whose replies are owed.
    pub(super) bytes: usize,
    /// Octets of the replies behind all of `owed` but the last.
    text_len: usize,
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    /// The tag of the next article to be submitted.
    pub(super) fn next_tag(&self) -> u64 {
        self.first + self.owed.len() as u64
    }

    /// Octets of the replies that wait behind those that are owed.
    pub(super) fn text_len(&self) -> usize {
        self.text_len + self.owed.back().map_or(0, |owed| owed.after.len())
    }

    pub(super) fn push(&mut self, owed: Owed) {
        self.text_len = self.text_len();
        self.bytes += owed.len;
        self.owed.push_back(owed);
    }

    pub(super) fn settle(&mut self, tag: u64, outcome: Outcome) {
        let index = tag.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(owed) = index.and_then(|index| self.owed.get_mut(index)) {
            owed.outcome = Some(outcome);
        }
    }

    /// The next reply that can be given now.
    pub(super) fn pop(&mut self) -> Option<(Owed, Outcome)> {
        let outcome = self.owed.front_mut()?.outcome.take()?;
        let owed = self.owed.pop_front()?;
        self.first += 1;
        self.bytes -= owed.len;
        if !self.owed.is_empty() {
            self.text_len -= owed.after.len();
        }
        Some((owed, outcome))
    }

    /// Where the text of a reply to the newest command goes: behind the last reply that is owed.
    pub(super) fn tail<'a>(&'a mut self, out: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        match self.owed.back_mut() {
            Some(owed) => &mut owed.after,
            None => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::article::MessageId;
    use crate::session::Via;
    use crate::store::Seq;

    fn owed(n: usize) -> Owed {
        let id = MessageId::try_from("<a@b.example>").expect("a Message-ID");
        let transfer = Transfer { via: Via::TakeThis, id: Some(id.clone()) };
        Owed { transfer, id, len: n, outcome: None, after: Vec::new() }
    }

    #[test]
    fn replies_leave_in_the_order_of_commands_whatever_settles_first() {
        let mut ledger = Ledger::default();
        let mut out = Vec::new();
        for n in 1..=3 {
            assert_eq!(ledger.next_tag(), n - 1);
            ledger.push(owed(n as usize));
        }
        assert_eq!(ledger.bytes, 6);
        ledger.tail(&mut out).extend_from_slice(b"238 later");
        assert!(out.is_empty(), "a later reply must not overtake");
        ledger.settle(2, Outcome::Accepted(Seq(9)));
        assert_eq!(ledger.text_len(), 9);
        ledger.settle(1, Outcome::Duplicate);
        assert!(ledger.pop().is_none());
        ledger.settle(0, Outcome::Accepted(Seq(7)));
        let lens: Vec<usize> = std::iter::from_fn(|| ledger.pop()).map(|(owed, _)| owed.len).collect();
        assert_eq!(lens, [1, 2, 3]);
        assert_eq!((ledger.bytes, ledger.next_tag(), ledger.is_empty()), (0, 3, true));
        ledger.settle(1, Outcome::Duplicate); // a stale tag is nobody's
        ledger.tail(&mut out).extend_from_slice(b"238 now");
        assert_eq!(out, b"238 now");
    }

    #[test]
    fn replies_that_wait_are_counted() {
        let mut ledger = Ledger::default();
        let mut out = Vec::new();
        for n in 0..3 {
            ledger.push(owed(1));
            ledger.tail(&mut out).resize(10 + n, b'x');
        }
        let mut lens = vec![ledger.text_len()];
        for tag in 0..3 {
            ledger.settle(tag, Outcome::Duplicate);
            ledger.pop().expect("settled");
            lens.push(ledger.text_len());
        }
        assert_eq!(lens, [33, 23, 12, 0]);
        ledger.push(owed(1));
        assert_eq!(ledger.text_len(), 0);
    }
}
