//! Who is who at a site: the rules in force, and what they say of somebody who connects.

use super::view;
use crate::access::{self, Client, Key, LoginHelps, WrongKey, counted_address};
use crate::accounts::{Account, Accounts, AccountsFile};
use crate::clock::{self, Timestamp};
use crate::config::{Config, Peer, Source};
use crate::feed::{Feeds, Means, service_of};
use crate::intake::Origin;
use crate::net::{Admitted, Door, TurnedOver};
use crate::session::Rights;
use crate::store::LogEntry;
use crate::tls::client::OwnCertificate;
use crate::tls::server::{Clients, ServerTls, TlsError};
use crate::transport::{Network, Service, Transport, is_hidden, is_in_dns};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Days before its end from which on the log warns of the certificate.
const EXPIRY_WARNED_DAYS: i64 = 14;
/// How long the addresses of one name may take.
const LOOK_UP: Duration = Duration::from_secs(20);

/// The door of a site. A reload replaces what it knows as a whole, or not at all.
pub(super) struct Admission {
    rules: RwLock<Arc<Rules>>,
    /// One look-up at a time: one that began before a reload must not undo what the reload's own found.
    looking_up: tokio::sync::Mutex<()>,
    network: Arc<dyn Network>,
    accounts: AccountsFile,
    /// The accounts as the connections know them.
    accounts_told: Mutex<Arc<Accounts>>,
    /// Cancelled when connections shall ask again.
    news: Mutex<CancellationToken>,
    stop: CancellationToken,
    feeds: Arc<Feeds>,
}

/// The rules in force.
#[derive(Clone)]
pub(super) struct Rules {
    config: Arc<Config>,
    pub(super) peers: Vec<Arc<Peer>>,
    /// The addresses of the host names in `accept_from`, those of the servers of their SRV records included.
    hosts: HashMap<String, Vec<IpAddr>>,
    tls: Option<Arc<ServerTls>>,
    /// The same certificate, for when we dial.
    certificate: Option<Arc<OwnCertificate>>,
}

impl Rules {
    /// The rules of `config`, its certificate read from the files.
    ///
    /// # Errors
    /// What is wrong with certificate or key.
    pub(super) fn new(config: Arc<Config>, hosts: HashMap<String, Vec<IpAddr>>) -> Result<Self, TlsError> {
        let files = config.site.tls.as_ref();
        // Only where it matters: there are newsreaders that ask their user for a certificate then.
        let keys = config.peers.iter().any(|peer| !peer.keys.is_empty());
        let clients = if keys { Clients::Any } else { Clients::Signed };
        let read = |files: &crate::config::TlsFiles| {
            ServerTls::load(&files.certificate, &files.key, files.client_authorities.as_deref(), clients)
        };
        let tls = files.map(read).transpose()?.map(Arc::new);
        let own = |files: &crate::config::TlsFiles| OwnCertificate::read(&files.certificate, &files.key);
        let certificate = files.map(own).transpose()?.map(Arc::new);
        let peers = config.peers.iter().cloned().map(Arc::new).collect();
        let rules = Self { config, peers, hosts, tls, certificate };
        rules.watch_certificate(clock::now());
        Ok(rules)
    }

    /// What feeds reach peers with.
    pub(super) fn means(&self) -> Means {
        let means = Means::default();
        means.certificate.set(self.certificate.clone());
        means
    }

    /// What is shown to peers.
    pub(super) fn certificate(&self) -> Option<Arc<OwnCertificate>> {
        self.certificate.clone()
    }

    /// Warns of a certificate that is about to end.
    fn watch_certificate(&self, now: Timestamp) {
        let Some((files, tls)) = self.config.site.tls.as_ref().zip(self.tls.as_ref()) else { return };
        let Some(left_s) = tls.not_after.map(|end| end.unix_s().saturating_sub(now.unix_s())) else { return };
        let path = files.certificate.display();
        let cure = "renew it, then \"feedd reload\"";
        let days = left_s.div_euclid(86_400);
        if left_s <= 0 {
            tracing::error!("{path}: the certificate has expired, and clients refuse it; {cure}");
        } else if days < EXPIRY_WARNED_DAYS {
            tracing::warn!(days, "{path}: the certificate expires in {days} days; {cure}");
        }
    }
}

impl Admission {
    pub(super) fn new(
        rules: Rules,
        network: Arc<dyn Network>,
        feeds: Arc<Feeds>,
        stop: CancellationToken,
    ) -> Self {
        let accounts = AccountsFile::new(&rules.config.site.users);
        Self {
            accounts_told: Mutex::new(accounts.accounts()),
            news: Mutex::new(stop.child_token()),
            stop,
            rules: RwLock::new(Arc::new(rules)),
            looking_up: tokio::sync::Mutex::default(),
            network,
            accounts,
            feeds,
        }
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rules of `config` are in force from now on: its peers.
    ///
    /// # Errors
    /// What is wrong with certificate or key; then the old rules stay.
    pub(super) fn replace(&self, config: Arc<Config>) -> Result<Vec<Arc<Peer>>, TlsError> {
        let rules = Rules::new(config, self.rules().hosts.clone())?;
        let peers = rules.peers.clone();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        Ok(peers)
    }

    /// Has every connection ask again who it is.
    pub(super) fn tell(&self) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *news, self.stop.child_token()).cancel();
    }

    /// Looks whether the file of accounts has changed; who is logged in learns of it then.
    pub(super) fn watch_accounts(&self) {
        let now = self.accounts.accounts();
        let mut told = self.accounts_told.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&told, &now) {
            *told = now;
            drop(told);
            self.tell();
        }
    }

    /// Warns of a certificate that is about to end.
    pub(super) fn watch_certificate(&self) {
        self.rules().watch_certificate(clock::now());
    }

    /// Looks up the host names that peers may come from, all at once. One that cannot be looked up now
    /// keeps the addresses it had.
    pub(super) async fn look_up(&self) {
        let _one = self.looking_up.lock().await;
        let rules = self.rules();
        let mut lookups = JoinSet::new();
        for (name, services) in names(&rules.peers) {
            let network = self.network.clone();
            lookups.spawn(async move {
                let found = timeout(LOOK_UP, addresses(&*network, &name, &services)).await;
                let late = || (BTreeSet::new(), Some(io::ErrorKind::TimedOut.into()));
                (name, found.unwrap_or_else(|_| late()))
            });
        }
        let mut hosts = HashMap::new();
        while let Some(done) = lookups.join_next().await {
            // One that panicked has been reported already.
            let Ok((name, (mut found, failed))) = done else { continue };
            if let Some(error) = failed {
                tracing::warn!(host = name, %error, "cannot look up a peer's host");
                found.extend(rules.hosts.get(&name).into_iter().flatten());
            }
            hosts.insert(name, found.into_iter().collect::<Vec<IpAddr>>());
        }
        if hosts != rules.hosts {
            // Of the rules as they are now: a reload may have been in between.
            let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            *rules = Arc::new(Rules { hosts, ..Rules::clone(&rules) });
        }
    }
}

/// The names that peers may come from, and the services of each that they are dialled by: who is dialled by
/// what SRV records say also comes from there.
fn names(peers: &[Arc<Peer>]) -> HashMap<String, Vec<Service>> {
    let mut names: HashMap<String, Vec<Service>> = HashMap::new();
    for peer in peers {
        for source in &peer.accept_from {
            let Source::Host(name) = source else { continue };
            if is_hidden(name) {
                continue;
            }
            let services = names.entry(name.clone()).or_default();
            let dial = peer.dial.as_ref().filter(|dial| is_in_dns(name) && dial.leaves_port_open(name));
            services.extend(dial.map(|dial| service_of(dial.tls)));
        }
    }
    names
}

/// The addresses of a host and of the servers that it names for these services; and what went wrong, when
/// there may be more.
async fn addresses(
    network: &dyn Network,
    name: &str,
    services: &[Service],
) -> (BTreeSet<IpAddr>, Option<io::Error>) {
    let (mut found, mut failed) = (BTreeSet::new(), None);
    let mut hosts = Vec::new();
    for service in services {
        match network.services(&service.name_at(name)).await {
            Ok(records) => hosts.extend(records.into_iter().map(|record| record.target)),
            Err(error) => failed = Some(error),
        }
    }
    hosts.retain(|host| !host.is_empty());
    // A name may stand for its servers alone.
    let alone = hosts.is_empty();
    hosts.push(name.to_owned());
    for host in hosts {
        match network.look_up(&host, 0).await {
            Ok(addresses) => found.extend(addresses.into_iter().map(|address| address.ip())),
            Err(_) if host == name && !alone => {}
            Err(error) => failed = Some(error),
        }
    }
    (found, failed)
}

impl Door for Admission {
    fn admit(&self, client: &Client) -> Admitted {
        let rules = self.rules();
        let site = &rules.config.site;
        let (address, account) = (client.address, client.account.as_deref());
        let rights = access::rights(client, site, &rules.peers, &rules.hosts);
        for peer in &rights.peers {
            // It is up, so dial it now and not at the end of a pause.
            self.feeds.nudge(&peer.name);
        }
        let text = address.to_string();
        let seat = match account {
            Some(account) => Key::Account(account.name.clone()),
            None => Key::Address(counted_address(address)),
        };
        let quota = rights.rule.as_ref().map_or(seat.clone(), |rule| Key::of(rule, account, address));
        let turn = matches!(rights.peers.as_slice(), [peer] if peer.turn);
        Admitted {
            rights: Rights {
                read: rights.read.any(),
                post: rights.post.any(),
                offer: !rights.peers.is_empty(),
                turn,
            },
            view: rights.read,
            rule: rights.rule,
            relay: (!rights.peers.is_empty())
                .then(|| Origin::Peers { peers: rights.peers, address: text.clone() }),
            // That it is a peer is seen when it offers: readers may share its address.
            name: account.map_or_else(|| text.clone(), |account| account.name.clone()),
            poster: Origin::Poster {
                address: text,
                account: account.map(|account| account.name.clone()),
                may_post: rights.post,
            },
            seat,
            quota,
        }
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.rules().tls.as_ref().map(|tls| tls.config.clone())
    }

    fn accounts(&self) -> &AccountsFile {
        &self.accounts
    }

    fn account_of(&self, chain: &[CertificateDer<'_>]) -> Option<Arc<Account>> {
        let names = self.rules().tls.as_ref()?.signed_names(chain, clock::now());
        names.iter().find_map(|name| self.accounts.find(name))
    }

    fn wrong_key(&self, client: &Client) -> Option<WrongKey> {
        let rules = self.rules();
        access::wrong_key(client, &rules.peers, &rules.hosts)
    }

    fn login_helps(&self, client: &Client) -> LoginHelps {
        let rules = self.rules();
        let site = &rules.config.site;
        let without = Client { account: None, ..client.clone() };
        let rights = access::rights(&without, site, &rules.peers, &rules.hosts);
        access::login_helps(&without, &rights, site, &self.accounts.accounts(), &rules.peers)
    }

    fn clear_login(&self) -> bool {
        self.rules().config.site.clear_logins
    }

    fn news(&self) -> CancellationToken {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn owe(&self, peer: &str, entry: &LogEntry) -> Result<(), String> {
        self.feeds.owe(peer, [entry]).map(drop)
    }

    fn view(&self, peer: &str) -> Option<Vec<(&'static str, String)>> {
        let rules = self.rules();
        let peer = rules.peers.iter().find(|known| known.name == peer)?;
        let feed = self.feeds.status().into_iter().find(|feed| feed.peer == peer.name);
        Some(view::of(rules.config.site.identity.as_str(), peer, feed.as_ref()))
    }

    fn takes_turns(&self, peer: &str) -> bool {
        self.feeds.takes_turns(peer)
    }

    fn turn(&self, peer: &str, transport: Transport) -> TurnedOver {
        let (stop, ended) = self.feeds.turn(peer, transport);
        TurnedOver { stop, ended }
    }
}
