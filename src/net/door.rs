//! Who comes in: what a connection is told about itself, and the places there are.

use crate::access::{Key, LoginHelps, Scope};
use crate::accounts::{Account, AccountsFile};
use crate::config::Rule;
use crate::intake::Origin;
use crate::session::{Offers, Rights};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

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

    /// The connections that there may be of this one's kind: as its rule says, or `default`.
    pub(super) fn connections_max(&self, default: usize) -> usize {
        let by_account = matches!(self.seat, Key::Account(_));
        let rule = self.rule.as_ref().filter(|rule| by_account != rule.accounts.is_empty());
        rule.and_then(|rule| rule.connections_max).unwrap_or(default)
    }
}

/// What the house knows about those who come; it may change while they are here.
pub trait Door: Send + Sync {
    /// What somebody from this address may do, logged in to this account or to none.
    fn admit(&self, from: IpAddr, account: Option<&Account>) -> Admitted;
    /// Certificate and key as they are now; none: there is no TLS.
    fn tls(&self) -> Option<Arc<ServerConfig>>;
    /// The accounts.
    fn accounts(&self) -> &AccountsFile;
    /// What somebody from this address could get by logging in.
    fn login_helps(&self, from: IpAddr) -> LoginHelps;
    /// May passwords come without TLS?
    fn clear_login(&self) -> bool;
}

/// How a connection came in.
pub struct Entry {
    /// The door.
    pub door: Arc<dyn Door>,
    /// From where.
    pub from: IpAddr,
    /// TLS from the first octet.
    pub tls: bool,
}

impl Entry {
    pub(super) fn offers(&self) -> Offers {
        let helps = self.door.login_helps(self.from);
        Offers {
            starttls: !self.tls && self.door.tls().is_some(),
            login: !self.door.accounts().accounts().is_empty(),
            login_reads: helps.read,
            login_posts: helps.post,
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
