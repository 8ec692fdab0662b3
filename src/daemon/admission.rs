//! Who is who at a site: the rules in force, and what they say of somebody who connects.

use crate::access::{self, Key, LoginHelps, counted_address};
use crate::accounts::{Account, AccountsFile};
use crate::config::{Config, Peer, Source};
use crate::feed::{Feeds, Means};
use crate::intake::Origin;
use crate::net::{Admitted, Door};
use crate::session::Rights;
use crate::tls::client::OwnCertificate;
use crate::tls::server::{self, TlsError};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// The door of a site. A reload replaces what it knows as a whole, or not at all.
pub(super) struct Admission {
    rules: RwLock<Arc<Rules>>,
    /// One look-up at a time: one that began before a reload must not undo what the reload's own found.
    looking_up: tokio::sync::Mutex<()>,
    accounts: AccountsFile,
    feeds: Arc<Feeds>,
}

/// The rules in force.
#[derive(Clone)]
pub(super) struct Rules {
    config: Arc<Config>,
    pub(super) peers: Vec<Arc<Peer>>,
    /// The addresses of the host names in `accept_from`.
    hosts: HashMap<String, Vec<IpAddr>>,
    tls: Option<Arc<ServerConfig>>,
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
        let read = |files: &crate::config::TlsFiles| {
            server::config(&files.certificate, &files.key, files.client_authorities.as_deref())
        };
        let tls = files.map(read).transpose()?.map(Arc::new);
        let own = |files: &crate::config::TlsFiles| OwnCertificate::read(&files.certificate, &files.key);
        let certificate = files.map(own).transpose()?.map(Arc::new);
        let peers = config.peers.iter().cloned().map(Arc::new).collect();
        Ok(Self { config, peers, hosts, tls, certificate })
    }

    /// What feeds reach peers with.
    pub(super) fn means(&self) -> Means {
        Means { certificate: self.certificate.clone(), ..Means::default() }
    }
}

impl Admission {
    pub(super) fn new(rules: Rules, feeds: Arc<Feeds>) -> Self {
        let accounts = AccountsFile::new(&rules.config.site.users);
        Self {
            rules: RwLock::new(Arc::new(rules)),
            looking_up: tokio::sync::Mutex::default(),
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

    /// Looks up the host names that peers may come from. One that cannot be looked up now keeps the
    /// addresses it had.
    pub(super) async fn look_up(&self) {
        let _one = self.looking_up.lock().await;
        let rules = self.rules();
        let names = rules.peers.iter().flat_map(|peer| &peer.accept_from).filter_map(|source| match source {
            Source::Host(name) => Some(name.clone()),
            Source::Network(_) => None,
        });
        let mut hosts = HashMap::new();
        for name in names {
            let looked_up = tokio::net::lookup_host((name.as_str(), 0)).await;
            let looked_up = looked_up.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>());
            match looked_up {
                Ok(addresses) => {
                    hosts.insert(name, addresses);
                }
                Err(error) => {
                    tracing::warn!(host = name, %error, "cannot look up a peer's host");
                    let old = rules.hosts.get(&name).cloned().unwrap_or_default();
                    hosts.insert(name, old);
                }
            }
        }
        if hosts != rules.hosts {
            // Of the rules as they are now: a reload may have been in between.
            let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            *rules = Arc::new(Rules { hosts, ..Rules::clone(&rules) });
        }
    }
}

impl Door for Admission {
    fn admit(&self, from: IpAddr, account: Option<&Account>) -> Admitted {
        let rules = self.rules();
        let site = &rules.config.site;
        let address = from.to_canonical();
        let rights = access::rights(address, account, site, &rules.peers, &rules.hosts);
        for peer in &rights.peers {
            // It is up, so dial it now and not at the end of a pause.
            self.feeds.nudge(&peer.name);
        }
        let text = address.to_string();
        let name = match (account, rights.peers.as_slice()) {
            (Some(account), _) => account.name.clone(),
            (None, [peer]) => peer.name.clone(),
            (None, _) => text.clone(),
        };
        let seat = match account {
            Some(account) => Key::Account(account.name.clone()),
            None => Key::Address(counted_address(address)),
        };
        let quota = rights.rule.as_ref().map_or(seat.clone(), |rule| Key::of(rule, account, address));
        Admitted {
            rights: Rights {
                read: rights.read.any(),
                post: rights.post.any(),
                offer: !rights.peers.is_empty(),
            },
            view: rights.read,
            rule: rights.rule,
            relay: (!rights.peers.is_empty())
                .then(|| Origin::Peers { peers: rights.peers, address: text.clone() }),
            poster: Origin::Poster {
                address: text,
                account: account.map(|account| account.name.clone()),
                may_post: rights.post,
            },
            seat,
            quota,
            name,
        }
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.rules().tls.clone()
    }

    fn accounts(&self) -> &AccountsFile {
        &self.accounts
    }

    fn login_helps(&self, from: IpAddr) -> LoginHelps {
        let rules = self.rules();
        let site = &rules.config.site;
        let without = access::rights(from, None, site, &rules.peers, &rules.hosts);
        access::login_helps(from, &without, site, &self.accounts.accounts())
    }

    fn clear_login(&self) -> bool {
        self.rules().config.site.clear_logins
    }
}
