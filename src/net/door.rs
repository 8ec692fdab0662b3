//! Who comes in: what a connection is told about itself, and the places there are.

use crate::access::{Client, Key, LoginHelps, Scope, WrongKey};
use crate::accounts::{Account, AccountsFile};
use crate::config::{Peer, Rule};
use crate::intake::Origin;
use crate::session::{Offers, Rights};
use crate::store::LogEntry;
use crate::transport::Transport;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// What a client may do, and as whom.
#[derive(Clone)]
pub struct Admitted {
    /// What it may do.
    pub rights: Rights,
    /// The newsgroups it may read: the others are not there for it.
    pub view: Scope,
    /// The rule that says so, with its limits; none where no rule is about it.
    pub rule: Option<Arc<Rule>>,
    /// Whom it relays for (IHAVE, TAKETHIS); none when it may not.
    pub relay: Option<Origin>,
    /// Who it is when it posts.
    pub poster: Origin,
    /// With whose connections it is counted.
    pub seat: Key,
    /// On whose account its articles go.
    pub quota: Key,
    /// Its name in the log.
    pub name: String,
}

impl Admitted {
    /// The operator's own: on this host, and no rule is about it.
    pub fn operator(name: &str, rights: Rights, relay: Option<Origin>) -> Self {
        let seat = Key::Address(Ipv4Addr::LOCALHOST.into());
        let may_post = if rights.post { Scope::All } else { Scope::Nothing };
        Self {
            rights,
            view: if rights.read { Scope::All } else { Scope::Nothing },
            rule: None,
            relay,
            poster: Origin::Poster { address: "localhost".to_owned(), account: None, may_post },
            quota: seat.clone(),
            seat,
            name: name.to_owned(),
        }
    }

    /// A peer on a connection that we have opened, and on which it is the client.
    pub fn peer(peer: Arc<Peer>) -> Self {
        let rights = Rights { offer: true, ..Rights::default() };
        let address = peer.dial.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = peer.name.clone();
        let relay = Origin::Peers { peers: vec![peer], address };
        Self { seat: Key::Peer(name.clone()), ..Self::operator(&name, rights, Some(relay)) }
    }

    /// The connections that there may be of this one's kind: as its rule says, or `default`; and those
    /// that its peers may have, because it may be theirs.
    pub(super) fn connections_max(&self, default: usize) -> usize {
        let by_account = matches!(self.seat, Key::Account(_));
        let rule = self.rule.as_ref().filter(|rule| by_account != rule.accounts.is_empty());
        let max = rule.and_then(|rule| rule.connections_max).unwrap_or(default);
        max.saturating_add(self.peer_seat().map_or(0, |(_, max)| max))
    }

    /// With whose connections it is counted as a peer's, and how many of them there may be. Peers that
    /// share an address share their places.
    pub(super) fn peer_seat(&self) -> Option<(Key, usize)> {
        let Some(Origin::Peers { peers, .. }) = &self.relay else { return None };
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        let max = peers.iter().map(|peer| peer.connections_in_max).fold(0, usize::saturating_add);
        Some((Key::Peer(names.join(",")), max))
    }

    /// The name of the peer that it is, if it is that of one peer alone.
    pub(super) fn peer_name(&self) -> Option<&str> {
        match &self.relay {
            Some(Origin::Peers { peers, .. }) if peers.len() == 1 => {
                peers.first().map(|peer| peer.name.as_str())
            }
            _ => None,
        }
    }

    /// May it still do all that `before` might, as the same?
    pub(super) fn keeps(&self, before: &Self) -> bool {
        let (now, then) = (self.rights, before.rights);
        let keeps = |now: bool, then: bool| now || !then;
        keeps(now.read, then.read)
            && keeps(now.post, then.post)
            && keeps(now.offer, then.offer)
            && keeps(now.turn, then.turn)
            && self.seat == before.seat
            && self.peer_seat().map(|seat| seat.0) == before.peer_seat().map(|seat| seat.0)
    }
}

/// What the house knows about those who come; it may change while they are here.
pub trait Door: Send + Sync {
    /// What somebody of whom this is known may do.
    fn admit(&self, client: &Client) -> Admitted;
    /// Certificate and key as they are now; none: there is no TLS.
    fn tls(&self) -> Option<Arc<ServerConfig>>;
    /// The accounts.
    fn accounts(&self) -> &AccountsFile;
    /// The account that a client's certificate (with its chain) names, if an authority says so.
    fn account_of(&self, _chain: &[CertificateDer<'_>]) -> Option<Arc<Account>> {
        None
    }
    /// What is to be told of a certificate that is nobody's.
    fn wrong_key(&self, _client: &Client) -> Option<WrongKey> {
        None
    }
    /// What somebody could get by logging in, or behind TLS.
    fn login_helps(&self, client: &Client) -> LoginHelps;
    /// May passwords come without TLS?
    fn clear_login(&self) -> bool;
    /// Cancelled when what was said of who may do what counts no more: then ask again. Also when the
    /// site stops.
    fn news(&self) -> CancellationToken;
    /// Is there a feed that this peer can take over its own connection?
    fn takes_turns(&self, _peer: &str) -> bool {
        false
    }
    /// XSYNC OFFER: the peer is offered this article over its feed.
    ///
    /// # Errors
    /// Why not.
    fn owe(&self, _peer: &str, _entry: &LogEntry) -> Result<(), String> {
        Err("there is no feed to it".to_owned())
    }

    /// XPEER: how this peer stands here, as keys and values; none when it is no peer.
    fn view(&self, _peer: &str) -> Option<Vec<(&'static str, String)>> {
        None
    }

    /// XTURN: from here on the peer is fed over its own connection.
    fn turn(&self, _peer: &str, transport: Transport) -> TurnedOver {
        drop(transport);
        let over = TurnedOver { stop: CancellationToken::new(), ended: CancellationToken::new() };
        over.ended.cancel();
        over
    }
}

/// A connection that a feed has.
pub struct TurnedOver {
    /// For us: makes the feed leave it.
    pub stop: CancellationToken,
    /// Cancelled when the feed has left it.
    pub ended: CancellationToken,
}

/// How a connection came in.
pub struct Entry {
    /// The door.
    pub door: Arc<dyn Door>,
    /// Who it is, as far as that is known.
    pub client: Client,
}

impl Entry {
    /// What the client may do now that something has changed, and what tells of the next change; or why
    /// it may not do all that it might before.
    pub(super) fn judge_again(
        &mut self,
        before: &Admitted,
    ) -> (CancellationToken, Result<Admitted, &'static str>) {
        // Before the question: the answer may be out of date by the time it is given.
        let news = self.door.news();
        if let Some(known) = &self.client.account {
            let now = self.door.accounts().find(&known.name);
            let Some(now) = now.filter(|now| now.has_password_of(known)) else {
                return (news, Err("Your account has changed, log in again"));
            };
            self.client.account = Some(now);
        }
        let admitted = self.door.admit(&self.client);
        if admitted.keeps(before) {
            (news, Ok(admitted))
        } else {
            (news, Err("What you may do here has changed, connect again"))
        }
    }

    pub(super) fn offers(&self) -> Offers {
        let helps = self.door.login_helps(&self.client);
        Offers {
            starttls: !self.client.tls && self.door.tls().is_some(),
            login: !self.door.accounts().accounts().is_empty(),
            login_reads: helps.read,
            login_posts: helps.post,
            login_offers: helps.offer,
            tls_offers: helps.offer_behind_tls,
            clear_login: self.door.clear_login(),
            compress: true,
        }
    }
}

/// The connections that there are, by whose they are.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<HashMap<Key, usize>>);

/// A connection's place; it is free again when this is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    key: Key,
}

impl Seats {
    /// A place beside the others of `key`, of whom there may be `max`.
    pub(super) fn take(self: &Arc<Self>, key: &Key, max: usize) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(key).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(Seat { seats: self.clone(), key: key.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.key)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let seats = Arc::new(Seats::default());
        let (alice, bob) = (Key::Account("alice".to_owned()), Key::Account("bob".to_owned()));
        let first = seats.take(&alice, 2).unwrap();
        let second = seats.take(&alice, 2).unwrap();
        assert!(seats.take(&alice, 2).is_none());
        assert!(seats.take(&bob, 2).is_some(), "each has its own");
        drop(first);
        assert!(seats.take(&alice, 2).is_some());
        drop(second);
        assert!(seats.0.lock().unwrap().is_empty(), "nothing is kept of who is gone");
    }
}
