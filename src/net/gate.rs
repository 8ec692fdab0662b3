//! How a connection becomes another: logins, TLS behind STARTTLS, compression behind COMPRESS, the
//! peer behind its first offer, and whatever the rules have made of it since.

use super::connection::Connection;
use super::door::{Admitted, Door, Entry, Seats, TurnedOver};
use super::pace::Pace;
use super::tell::Tell;
use super::{Counters, Service};
use crate::access::{Client, Key, Quotas, Throttle, WrongKey};
use crate::accounts::{Account, Password};
use crate::article::MessageId;
use crate::limits::{ACCOUNT_NAME_MAX, COMPRESSED_MAX, HASHES_MAX};
use crate::session::{Credentials, Login, reply};
use crate::store::{ReadError, Wait};
use crate::tls::server::Shown;
use crate::transport::{Transport, blocking};
use rustls::ServerConnection;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a TLS handshake may take, where silence may not be shorter.
const HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// What all connections share to know who may come in.
pub(crate) struct Gate {
    pub(super) seats: Arc<Seats>,
    pub(super) site_full: Tell,
    pub(super) address_full: Tell,
    tls_failed: Tell,
    wrong_key: Tell,
    peer_full: Tell,
    pub(super) quotas: Mutex<Quotas>,
    throttle: Mutex<Throttle>,
    /// Passwords that are looked at at once: each takes 19 MiB and a core.
    hashes: Semaphore,
    /// Connections that may still be compressed.
    compressed: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            seats: Arc::default(),
            site_full: Tell::default(),
            address_full: Tell::default(),
            tls_failed: Tell::default(),
            wrong_key: Tell::default(),
            peer_full: Tell::default(),
            quotas: Mutex::default(),
            throttle: Mutex::default(),
            hashes: Semaphore::new(HASHES_MAX),
            compressed: Arc::new(Semaphore::new(COMPRESSED_MAX)),
        }
    }
}

/// What a connection becomes when everything before has been sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Upgrade {
    Tls,
    Deflate,
    /// Ours to offer on: the session here is over.
    Turn,
}

/// A login that is being looked at.
pub(super) struct Knock(Pin<Box<dyn Future<Output = Finding> + Send>>);

/// What came of it.
pub(super) enum Finding {
    Known(Arc<Account>),
    Wrong,
    Unavailable,
}

impl Knock {
    /// Waits for the finding, if there is a knock.
    pub(super) async fn answer(knock: &mut Option<Self>) -> Finding {
        match knock {
            Some(knock) => knock.0.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

impl Connection {
    /// AUTHINFO: the password is looked at, and the client waits meanwhile.
    pub(super) fn knock(&mut self, credentials: Credentials) {
        let Some(entry) = &self.entry else {
            return self.session.answer_login(Login::Failed, &mut self.out);
        };
        let look = look(self.service.clone(), entry.door.clone(), entry.client.address, credentials);
        self.knock = Some(Knock(Box::pin(look)));
    }

    /// The password has been looked at.
    pub(super) fn let_in(&mut self, finding: Finding) {
        self.knock = None;
        let counters = &self.service.counters;
        let login = match finding {
            Finding::Known(account) => self.enter(&account),
            Finding::Wrong => {
                Counters::add(&counters.logins_failed, 1);
                Login::Failed
            }
            Finding::Unavailable => Login::Unavailable,
        };
        self.session.answer_login(login, &mut self.out);
    }

    /// The client is this account's.
    fn enter(&mut self, account: &Arc<Account>) -> Login {
        let Some(entry) = &mut self.entry else { return Login::Failed };
        let counters = &self.service.counters;
        let client = Client { account: Some(account.clone()), ..entry.client.clone() };
        let admitted = entry.door.admit(&client);
        let max = admitted.connections_max(self.service.limits.connections_per_account_max);
        let Some(seat) = self.service.gate.seats.take(&admitted.seat, max) else {
            Counters::add(&counters.accounts_full, 1);
            tracing::info!(conn = self.admitted.name, account = account.name, "refused: {max} connections");
            return Login::Busy;
        };
        entry.client = client;
        Counters::add(&counters.logins, 1);
        tracing::debug!(conn = self.admitted.name, account = account.name, "logged in");
        self.seat = Some(seat);
        self.become_whom(admitted);
        Login::Accepted(self.admitted.rights)
    }

    /// From here on it is somebody else, or may do something else.
    fn become_whom(&mut self, admitted: Admitted) {
        let before = std::mem::replace(&mut self.admitted, admitted);
        if self.admitted.peer_seat().map(|seat| seat.0) != before.peer_seat().map(|seat| seat.0) {
            self.leave_peer_seat();
        } else if self.peer_seat.is_some() {
            self.admitted.name = before.name;
        }
        let view = &self.admitted.view;
        if self.session.group().is_some_and(|group| !view.allows(group.name())) {
            self.session.leave_group();
        }
        let offers = self.entry.as_ref().map(Entry::offers).unwrap_or_default();
        self.session.admitted(self.admitted.rights, offers);
    }

    /// The rules, the accounts or the peers have changed: is it still who it was? Who loses something
    /// by that is sent away, with the replies it is owed; the others notice nothing. What counts from
    /// now on until the next change.
    pub(super) fn judge_again(&mut self) -> CancellationToken {
        let Some(entry) = &mut self.entry else { return self.service.stop.clone() };
        let (news, judged) = entry.judge_again(&self.admitted);
        match judged {
            Ok(admitted) => self.become_whom(admitted),
            Err(why) => {
                tracing::info!(conn = self.admitted.name, "sent away: {why}");
                self.send_away(why);
            }
        }
        news
    }

    /// The first offer: from here on it is counted as a peer's, and not as one of the readers who share
    /// its address. False when the peer has as many connections as it may; then it was told.
    pub(super) fn is_seated_as_peer(&mut self) -> bool {
        if self.peer_seat.is_some() {
            return true;
        }
        // The operator's import has no bound.
        let Some((key, max)) = self.admitted.peer_seat() else { return true };
        let (gate, counters) = (&self.service.gate, &self.service.counters);
        if let Some(seat) = gate.seats.take(&key, max) {
            self.peer_seat = Some(seat);
            counters.connections_peers.fetch_add(1, Ordering::Relaxed);
            if let Some(peer) = self.admitted.peer_name() {
                tracing::debug!(conn = self.admitted.name, peer, "offers");
                self.admitted.name = peer.to_owned();
            }
            return true;
        }
        Counters::add(&counters.peers_full, 1);
        if let (Some(times), Key::Peer(peer)) = (gate.peer_full.due(Instant::now()), &key) {
            tracing::info!(conn = self.admitted.name, peer, times, "refused: connections_in_max is {max}");
        }
        // RFC 3977 s.3.2.1: 400, for now; nothing was said about an article.
        self.held = None;
        self.closing = true;
        reply::line(400, "Too many connections of yours, try again later", self.ledger.tail(&mut self.out));
        false
    }

    pub(super) fn leave_peer_seat(&mut self) {
        if self.peer_seat.take().is_some() {
            self.service.counters.connections_peers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// XTURN: the connection becomes one of ours to the peer, if its feed is there.
    pub(super) fn turn(&mut self) {
        if !self.is_seated_as_peer() {
            return;
        }
        let door = self.entry.as_ref().map(|entry| &entry.door);
        let turns = door.zip(self.admitted.peer_name()).is_some_and(|(door, peer)| door.takes_turns(peer));
        if turns {
            self.upgrade = Some(Upgrade::Turn);
        }
        self.session.answer_turn(turns, &mut self.out);
    }

    /// XSYNC OFFER: the peer lacks this article.
    pub(super) fn sync_offer(&mut self, id: &MessageId) {
        let entry = match blocking(|| self.service.store.entry(id, Wait::Disk)) {
            Ok(Some(entry)) => Ok(entry),
            Ok(None) | Err(ReadError::Gone) => Err("it is not here".to_owned()),
            Err(error) => return self.fault(&error),
        };
        let door = self.entry.as_ref().map(|entry| &entry.door).zip(self.admitted.peer_name());
        let owed = entry.and_then(|entry| match door {
            Some((door, peer)) => door.owe(peer, &entry),
            None => Err("several peers share this address: which one is unknown".to_owned()),
        });
        reply::sync_offer(id, owed.as_ref().copied().map_err(String::as_str), &mut self.out);
    }

    /// XPEER: what concerns the peer, and nobody else.
    pub(super) fn peer_view(&mut self) {
        let door = self.entry.as_ref().map(|entry| &entry.door).zip(self.admitted.peer_name());
        let view = door.and_then(|(door, peer)| door.view(peer));
        reply::peer_view(view.as_deref(), &mut self.out);
    }

    /// COMPRESS: there is a bound to the memory that it takes.
    pub(super) fn compress(&mut self) {
        match self.service.gate.compressed.clone().try_acquire_owned() {
            Ok(place) => {
                self.compressed = Some(place);
                self.upgrade = Some(Upgrade::Deflate);
                Counters::add(&self.service.counters.compressed, 1);
            }
            Err(_) => Counters::add(&self.service.counters.compress_refused, 1),
        }
        self.session.answer_compress(self.upgrade.is_some(), &mut self.out);
    }

    /// Everything before has been sent: the connection becomes what it asked to be.
    pub(super) async fn become_it(&mut self) -> io::Result<()> {
        // A handshake has its own bound.
        self.pace = Pace::default();
        match self.upgrade.take() {
            Some(Upgrade::Tls) => {
                // RFC 4642 s.2.2.2: nothing that came in clear counts any more.
                self.input.clear();
                self.session.secured();
                self.handshake().await
            }
            Some(Upgrade::Deflate) => {
                self.transport.start_deflate(&mut self.input);
                Ok(())
            }
            Some(Upgrade::Turn) | None => Ok(()),
        }
    }

    /// TLS from here on, and what the client's certificate says of it if it shows one.
    pub(super) async fn handshake(&mut self) -> io::Result<()> {
        let config = self.entry.as_ref().and_then(|entry| entry.door.tls());
        let config = config.ok_or_else(|| io::Error::other("the certificate is gone"))?;
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let within = HANDSHAKE_MAX.min(Duration::from_secs(self.service.limits.idle_s));
        let done = tokio::select! {
            biased;
            done = timeout(within, self.transport.start_tls(session.into())) => done.unwrap_or_else(|late| Err(late.into())),
            () = self.service.stop.cancelled() => return Err(ErrorKind::Interrupted.into()),
        };
        if let Err(error) = done {
            Counters::add(&self.service.counters.tls_failed, 1);
            if let Some(times) = self.service.gate.tls_failed.due(Instant::now()) {
                tracing::info!(conn = self.admitted.name, %error, times, "no TLS handshake");
            }
            return Err(error);
        }
        Counters::add(&self.service.counters.tls, 1);
        let Some(entry) = &mut self.entry else { return Ok(()) };
        let chain = self.transport.certificates();
        entry.client.tls = true;
        entry.client.shown = chain.first().map(Shown::of);
        let account = entry.door.account_of(chain);
        let admitted = entry.door.admit(&entry.client);
        self.become_whom(admitted);
        match account {
            Some(account) => {
                if let Login::Accepted(rights) = self.enter(&account) {
                    self.session.logged_in(rights);
                }
            }
            None => self.tell_of_wrong_key(),
        }
        Ok(())
    }

    fn tell_of_wrong_key(&self) {
        let told = self.entry.as_ref().and_then(|entry| entry.door.wrong_key(&entry.client));
        let Some(WrongKey { is_meant, line }) = told else { return };
        let Some(times) = self.service.gate.wrong_key.due(Instant::now()) else { return };
        if is_meant {
            tracing::warn!(conn = self.admitted.name, times, "{line}");
        } else {
            tracing::info!(conn = self.admitted.name, times, "{line}");
        }
    }
}

/// Nothing is left of a session: the feed of its peer has the connection until it ends, or until the
/// client is that peer no more.
pub(super) async fn be_turned(
    transport: Transport,
    service: &Service,
    entry: &mut Entry,
    admitted: &Admitted,
    mut alarm: CancellationToken,
) {
    let Some(peer) = admitted.peer_name() else { return };
    tracing::info!(peer, "has opened a connection that we offer on");
    let TurnedOver { stop, ended } = entry.door.turn(peer, transport);
    loop {
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            // The feeds end behind the connections.
            () = service.stop.cancelled() => return,
            () = alarm.cancelled(), if !stop.is_cancelled() => {
                let (news, judged) = entry.judge_again(admitted);
                alarm = news;
                if let Err(why) = judged {
                    tracing::info!(peer, "nothing more is offered on its connection: {why}");
                    stop.cancel();
                }
            }
        }
    }
}

/// Looks at a password. Whoever guesses waits, and longer each time; whoever has guessed too often is
/// not even looked at. Who must wait is asked with a place in hand, when the guesses made at the same
/// time on other connections have been found wrong, or each burst of them would be free.
async fn look(service: Arc<Service>, door: Arc<dyn Door>, from: IpAddr, credentials: Credentials) -> Finding {
    let Credentials { name, password } = credentials;
    let gate = &service.gate;
    let Ok(mut place) = gate.hashes.acquire().await else { return Finding::Unavailable };
    let Some(wait) = throttle(gate).attempt(from, Instant::now()) else {
        Counters::add(&service.counters.logins_slowed, 1);
        // Not for everybody's eyes: there may be as many of these as the network brings.
        tracing::debug!(%from, "refused: too many logins that fail");
        return Finding::Wrong;
    };
    if !wait.is_zero() {
        drop(place);
        Counters::add(&service.counters.logins_slowed, 1);
        tracing::debug!(%from, wait_s = wait.as_secs(), "a login is slowed");
        tokio::time::sleep(wait).await;
        let Ok(again) = gate.hashes.acquire().await else { return Finding::Unavailable };
        place = again;
    }
    let looked = match Password::try_from(password) {
        Ok(password) => {
            let name = name.clone();
            tokio::task::spawn_blocking(move || door.accounts().verify(&name, &password)).await
        }
        Err(_) => Ok(None),
    };
    let finding = match looked {
        Ok(Some(account)) => {
            throttle(gate).succeeded(from, Instant::now());
            Finding::Known(account)
        }
        Ok(None) => {
            throttle(gate).failed(from, Instant::now());
            // No account has a longer one.
            let account: String = name.chars().take(ACCOUNT_NAME_MAX).collect();
            tracing::info!(%from, account = %account.escape_debug(), "login failed");
            Finding::Wrong
        }
        Err(error) => {
            tracing::error!(%error, "a password could not be looked at");
            Finding::Unavailable
        }
    };
    // Not before the throttle knows.
    drop(place);
    finding
}

fn throttle(gate: &Gate) -> std::sync::MutexGuard<'_, Throttle> {
    gate.throttle.lock().unwrap_or_else(PoisonError::into_inner)
}
