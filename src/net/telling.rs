//! What a connection writes down of the articles that it brings, and counts for its peer.

use super::connection::Connection;
use super::incoming::Guest;
use super::settle::Owed;
use crate::agent::{Cause, Reason};
use crate::article::{Field, Head, MessageId};
use crate::clock::{self, Timestamp};
use crate::intake::{Offer, Origin};
use crate::journal::feeds::{self, Came};
use crate::journal::{Lines, news};
use crate::session::{Via, reply};
use crate::store::Seq;

/// Lines for both logs, of one moment.
pub(super) struct Told {
    at: Timestamp,
    news: Lines,
    feeds: Lines,
}

impl Default for Told {
    fn default() -> Self {
        Self { at: clock::now(), news: Lines::default(), feeds: Lines::default() }
    }
}

impl Connection {
    /// The peer whose connection this is; none for a reader, and for the operator's import.
    fn guest(&mut self) -> Option<&mut Guest> {
        let Some(origin @ Origin::Peers { .. }) = &self.admitted.relay else {
            self.guest = None;
            return None;
        };
        let name = origin.name();
        if self.guest.as_ref().is_none_or(|guest| guest.peer != name) {
            self.guest = self.service.incoming.meet(name, self.transport.is_private());
        }
        self.guest.as_mut()
    }

    /// Counts what was answered to CHECK or IHAVE, and tells of what was refused where that is wanted. What is
    /// wanted counts when it is here.
    pub(super) fn count_offer(&mut self, command: &'static str, code: u16, id: &MessageId, offer: &Offer) {
        if let (Offer::Refused(reason), true) = (offer, self.service.journals.refused) {
            let (from, address, _) = self.bringer(Via::Ihave);
            let (at_ms, reason) = (clock::now().unix_ms(), reason.to_string());
            let came = Came { at_ms, from, seq: None, command, code, address, reason: &reason };
            let mut lines = Lines::default();
            feeds::came(&mut lines, Some(id), &came);
            self.service.journals.feeds.append(&mut lines);
        }
        let Some(guest) = self.guest() else { return };
        match offer {
            Offer::Wanted(_) => {}
            Offer::Refused(_) => guest.counts.refused += 1,
            Offer::Deferred(_) => guest.counts.deferred += 1,
        }
    }

    /// Who brings an article by this command, from which address, and what that is called.
    fn bringer(&self, via: Via) -> (&str, &str, &'static str) {
        let origin = match (via, &self.admitted.relay) {
            (Via::Ihave | Via::TakeThis, Some(origin)) => origin,
            _ => &self.admitted.poster,
        };
        match origin {
            Origin::Peers { address, .. } | Origin::Poster { address, .. } => {
                (origin.name(), address, command(via))
            }
            // The operator's commands come over the control socket.
            Origin::Import(rules) if rules.from.is_empty() => (origin.name(), "localhost", "import"),
            Origin::Import(_) => (origin.name(), "localhost", "pull"),
        }
    }

    /// An article is stored. Its line in the news log comes from the log itself: see
    /// [`crate::feed::Feeds`].
    pub(super) fn tell_accepted(&mut self, owed: &Owed, seq: Seq, told: &mut Told) {
        let via = owed.transfer.via;
        if via != Via::Post
            && let Some(guest) = self.guest()
        {
            guest.counts.accepted += 1;
            guest.counts.bytes += owed.len as u64;
        }
        if self.service.journals.feeds.is_kept() {
            let (from, address, command) = self.bringer(via);
            let code = match via {
                Via::Ihave => 235,
                Via::TakeThis => 239,
                Via::Post => 240,
            };
            let came =
                Came { at_ms: told.at.unix_ms(), from, seq: Some(seq.0), command, code, address, reason: "" };
            feeds::came(&mut told.feeds, Some(&owed.id), &came);
        }
    }

    /// An article is rejected.
    pub(super) fn tell_rejected(
        &mut self,
        via: Via,
        id: Option<&MessageId>,
        reason: &Reason,
        told: &mut Told,
    ) {
        let text = reason.to_string();
        if via != Via::Post
            && let Some(guest) = self.guest()
        {
            guest.rejected(&text);
        }
        let code = reply::rejection(via);
        let (from, address, command) = self.bringer(via);
        if self.service.journals.news.is_kept() {
            news::rejected(&mut told.news, told.at, from, id, code, reason);
        }
        if self.service.journals.feeds.is_kept() {
            let at_ms = told.at.unix_ms();
            let came = Came { at_ms, from, seq: None, command, code, address, reason: &text };
            feeds::came(&mut told.feeds, id, &came);
        }
    }

    /// An article is deferred.
    pub(super) fn tell_deferred(&mut self, via: Via, id: Option<&MessageId>, cause: &Cause, told: &mut Told) {
        if via != Via::Post
            && let Some(guest) = self.guest()
        {
            guest.counts.deferred += 1;
        }
        if self.service.journals.feeds.is_kept() {
            let text = cause.to_string();
            let (from, address, command) = self.bringer(via);
            let code = match via {
                Via::Ihave => 436,
                Via::TakeThis => 400,
                Via::Post => 441,
            };
            let at_ms = told.at.unix_ms();
            let came = Came { at_ms, from, seq: None, command, code, address, reason: &text };
            feeds::came(&mut told.feeds, id, &came);
        }
    }

    /// Hands over what was told.
    pub(super) fn hand_over(&mut self, told: &mut Told) {
        if let Some(guest) = &mut self.guest {
            guest.fold();
        }
        self.service.journals.news.append(&mut told.news);
        self.service.journals.feeds.append(&mut told.feeds);
    }
}

fn command(via: Via) -> &'static str {
    match via {
        Via::Ihave => "IHAVE",
        Via::TakeThis => "TAKETHIS",
        Via::Post => "POST",
    }
}

/// The Message-ID that an article has in its header, if it has a valid one.
pub(super) fn own_id(article: &[u8]) -> Option<MessageId> {
    let head = Head::parse(article).ok()?;
    MessageId::try_from(head.value(Field::MessageId)?).ok()
}
