//! How a connection becomes another: logins, TLS behind STARTTLS, compression behind COMPRESS.

use super::connection::Connection;
use super::door::{Door, Seats};
use super::pace::Pace;
use super::tell::Tell;
use super::{Counters, Service};
use crate::access::{Quotas, Throttle};
use crate::accounts::{Account, Password};
use crate::limits::{ACCOUNT_NAME_MAX, COMPRESSED_MAX, HASHES_MAX};
use crate::session::{Credentials, Login};
use crate::tls::server::dns_names;
use rustls::ServerConnection;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a TLS handshake may take, where silence may not be shorter.
const HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// What all connections share to know who may come in.
pub(crate) struct Gate {
    pub(super) seats: Arc<Seats>,
    pub(super) site_full: Tell,
    pub(super) address_full: Tell,
    tls_failed: Tell,
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
        let look = look(self.service.clone(), entry.door.clone(), entry.from, credentials);
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
        let Some(entry) = &self.entry else { return Login::Failed };
        let counters = &self.service.counters;
        let admitted = entry.door.admit(entry.from, Some(account));
        let max = admitted.connections_max(self.service.limits.connections_per_account_max);
        let Some(seat) = self.service.gate.seats.take(&admitted.seat, max) else {
            Counters::add(&counters.accounts_full, 1);
            tracing::info!(conn = self.admitted.name, account = account.name, "refused: {max} connections");
            return Login::Busy;
        };
        Counters::add(&counters.logins, 1);
        tracing::debug!(conn = self.admitted.name, account = account.name, "logged in");
        self.seat = Some(seat);
        self.admitted = admitted;
        let view = &self.admitted.view;
        if self.session.group().is_some_and(|group| !view.allows(group.name())) {
            self.session.leave_group();
        }
        Login::Accepted(self.admitted.rights)
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
            None => Ok(()),
        }
    }

    /// TLS from here on, and the account of the client's certificate if it shows one.
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
        let names = self.transport.certificate().map(dns_names).unwrap_or_default();
        let find = |name: &String| self.entry.as_ref()?.door.accounts().find(name);
        if let Some(account) = names.iter().find_map(find)
            && let Login::Accepted(rights) = self.enter(&account)
        {
            self.session.logged_in(rights);
        }
        Ok(())
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
