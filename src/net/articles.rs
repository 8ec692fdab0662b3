//! What a connection does with articles and offers: to the intake, and their replies back in the
//! order of the commands.

use super::Counters;
use super::connection::{Connection, Parked};
use super::settle::Owed;
use super::telling::{Told, own_id};
use crate::agent::{Cause, Reason};
use crate::article::{HeadError, MessageId};
use crate::intake::{self, Offer};
use crate::session::reply::{self, Answer};
use crate::session::{Received, Transfer, Via};
use crate::store::Outcome;
use crate::wire::TERMINATOR;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How long a TAKETHIS waits for another connection that is bringing its article, too.
const PARKED_MAX: Duration = Duration::from_secs(30);

impl Connection {
    pub(super) fn check(&mut self, id: &MessageId) {
        if !self.is_seated_as_peer() {
            return;
        }
        let Some(origin) = &self.admitted.relay else { return };
        let offer = self.service.intake.offer(origin, id);
        self.count_offer(&offer);
        let out = self.ledger.tail(&mut self.out);
        match &offer {
            Offer::Wanted(_) => reply::check(id, Ok(()), out),
            Offer::Refused(reason) => reply::check(id, Err(Ok(reason)), out),
            Offer::Deferred(cause) => reply::check(id, Err(Err(cause)), out),
        }
    }

    pub(super) fn ihave(&mut self, id: MessageId) {
        if !self.is_seated_as_peer() {
            return;
        }
        let Some(origin) = &self.admitted.relay else { return };
        let offer = self.service.intake.offer(origin, &id);
        self.count_offer(&offer);
        let out = self.ledger.tail(&mut self.out);
        match offer {
            Offer::Wanted(held) => {
                self.held = Some(held);
                self.session.answer_ihave_wanted(id, out);
            }
            Offer::Refused(reason) => reply::ihave_unwanted(Ok(&reason), out),
            Offer::Deferred(cause) => reply::ihave_unwanted(Err(&cause), out),
        }
    }

    pub(super) fn received(&mut self, transfer: Transfer, received: Received) {
        self.give_back_receiving();
        if transfer.via != Via::Post && !self.is_seated_as_peer() {
            return;
        }
        match received {
            Received::Article(article) => {
                if transfer.via == Via::Post
                    && let Some(reason) = self.over_limit(article.len())
                {
                    return self.unread(&transfer, &reason);
                }
                self.submit(Parked { transfer, article, since: Instant::now() });
            }
            Received::TooLarge(bytes) => {
                let reason = Reason::TooLarge { bytes, max: self.service.limits.article_bytes_max };
                self.unread(&transfer, &reason);
            }
            Received::BadMessageId => {
                let reason = Reason::BadField { field: "Message-ID", why: "not a message-id" };
                self.unread(&transfer, &reason);
            }
        }
    }

    /// Why an article of this many octets is more than the client's rule gives it, if it is.
    fn over_limit(&self, octets: usize) -> Option<Reason> {
        let rule = self.admitted.rule.as_ref()?;
        let bytes = octets.saturating_sub(TERMINATOR.len());
        if let Some(max) = rule.article_bytes_max
            && bytes > max
        {
            return Some(Reason::TooLarge { bytes, max });
        }
        let mut quotas = self.service.gate.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let exceeded = quotas.take(&self.admitted.quota, rule, bytes, Instant::now().into_std()).err()?;
        Counters::add(&self.service.counters.quotas_met, 1);
        tracing::info!(conn = self.admitted.name, "rejected: {exceeded}");
        Some(Reason::OverQuota(exceeded.to_string()))
    }

    /// Hands an article to the intake, or parks it.
    pub(super) fn submit(&mut self, article: Parked) {
        let Parked { transfer, article, since } = article;
        let (via, len) = (transfer.via, article.len());
        let permits = self.service.permits(len);
        let Ok(permit) = self.service.budget.try_acquire_many(permits) else {
            self.parked = Some(Parked { transfer, article, since });
            return;
        };
        permit.forget();
        self.permits += permits;
        let tag = self.ledger.next_tag();
        let intake = &self.service.intake;
        let received = match (transfer.via, &transfer.id, &self.admitted.relay) {
            (Via::Post, _, _) => intake.inject(&self.admitted.poster, article.clone(), &self.waiter, tag),
            (_, Some(id), Some(origin)) => {
                // TAKETHIS brings none: what an IHAVE holds is for its own article.
                let held = self.held.take_if(|_| transfer.via == Via::Ihave);
                intake.relay(origin, id, article.clone(), held, &self.waiter, tag)
            }
            // The session lets nobody transfer who may not offer.
            _ => intake::Received::Rejected(Reason::NotPermitted("offering")),
        };
        match received {
            intake::Received::Queued(id) => {
                self.ledger.push(Owed { transfer, id, len, outcome: None, after: Vec::new() });
                return;
            }
            intake::Received::Rejected(reason) => {
                // The proto-article may have named itself.
                let id = transfer.id.clone().or_else(|| own_id(&article));
                self.rejected(&transfer, id.as_ref(), &reason);
            }
            intake::Received::Deferred(Cause::Pending)
                if transfer.via == Via::TakeThis && since.elapsed() < PARKED_MAX =>
            {
                // TAKETHIS knows no "later": wait until the other connection has it or has failed.
                self.parked = Some(Parked { transfer, article, since });
            }
            intake::Received::Deferred(cause) => self.deferred(&transfer, &cause),
        }
        self.release(len);
        self.give_back_quota(via, len);
    }

    /// An article that was not kept is not on its poster's account.
    fn give_back_quota(&self, via: Via, len: usize) {
        if via == Via::Post && self.admitted.rule.is_some() {
            let mut quotas = self.service.gate.quotas.lock().unwrap_or_else(PoisonError::into_inner);
            quotas.give_back(&self.admitted.quota, len.saturating_sub(TERMINATOR.len()));
        }
    }

    /// Rejects what the intake has never seen.
    pub(super) fn unread(&mut self, transfer: &Transfer, reason: &Reason) {
        self.held = None;
        self.rejected(transfer, transfer.id.as_ref(), reason);
    }

    /// An article is rejected; `id` as far as it is known.
    fn rejected(&mut self, transfer: &Transfer, id: Option<&MessageId>, reason: &Reason) {
        let mut told = Told::default();
        self.tell_rejected(transfer.via, id, reason, &mut told);
        self.hand_over(&mut told);
        let counters = &self.service.counters;
        Counters::add(&counters.rejected, 1);
        match reason {
            Reason::TooLarge { .. } => Counters::add(&counters.articles_too_large, 1),
            Reason::TooManyNewsgroups(_) => Counters::add(&counters.crossposts_too_wide, 1),
            Reason::Malformed(HeadError::TooLarge | HeadError::LineTooLong(_)) => {
                Counters::add(&counters.headers_too_large, 1);
            }
            _ => {}
        }
        reply::transfer(transfer, &Answer::Rejected(reason), self.ledger.tail(&mut self.out));
    }

    pub(super) fn deferred(&mut self, transfer: &Transfer, cause: &Cause) {
        Counters::add(&self.service.counters.deferred, 1);
        let mut told = Told::default();
        self.tell_deferred(transfer.via, transfer.id.as_ref(), cause, &mut told);
        self.hand_over(&mut told);
        tracing::debug!(conn = self.admitted.name, %cause, "deferred");
        self.closing |= reply::transfer(transfer, &Answer::Deferred(cause), self.ledger.tail(&mut self.out));
    }

    pub(super) fn give_back_receiving(&mut self) {
        let permits = std::mem::take(&mut self.receiving_permits);
        self.service.budget.add_permits(permits as usize);
    }

    pub(super) fn release(&mut self, octets: usize) {
        let permits = self.service.permits(octets);
        self.permits -= permits;
        self.service.budget.add_permits(permits as usize);
    }

    /// Gives the replies whose articles are on disk.
    pub(super) fn settle(&mut self) {
        if let Some(guest) = &mut self.guest {
            guest.fold();
        }
        if self.ledger.is_empty() {
            return;
        }
        self.port.drain(&mut self.settled);
        for (tag, outcome) in self.settled.drain(..) {
            self.ledger.settle(tag, outcome);
        }
        let mut permits = 0;
        let mut told = Told::default();
        while let Some((owed, outcome)) = self.ledger.pop() {
            permits += self.service.permits(owed.len);
            if !matches!(outcome, Outcome::Accepted(_)) {
                self.give_back_quota(owed.transfer.via, owed.len);
            }
            if self.silent {
                continue;
            }
            let close = match &outcome {
                Outcome::Accepted(seq) => {
                    Counters::add(&self.service.counters.accepted, 1);
                    self.tell_accepted(&owed, *seq, &mut told);
                    reply::transfer(&owed.transfer, &Answer::Kept(&owed.id), &mut self.out)
                }
                Outcome::Duplicate => {
                    Counters::add(&self.service.counters.rejected, 1);
                    self.tell_rejected(owed.transfer.via, Some(&owed.id), &Reason::Duplicate, &mut told);
                    reply::transfer(&owed.transfer, &Answer::Rejected(&Reason::Duplicate), &mut self.out)
                }
                Outcome::Failed(why) => {
                    Counters::add(&self.service.counters.deferred, 1);
                    let cause = Cause::Store(why.clone());
                    self.tell_deferred(owed.transfer.via, Some(&owed.id), &cause, &mut told);
                    reply::transfer(&owed.transfer, &Answer::Deferred(&cause), &mut self.out)
                }
            };
            if close {
                (self.closing, self.silent) = (true, true);
                (self.asked, self.parked) = (None, None);
            } else {
                self.out.extend_from_slice(&owed.after);
            }
        }
        self.permits -= permits;
        self.service.budget.add_permits(permits as usize);
        self.hand_over(&mut told);
    }
}
