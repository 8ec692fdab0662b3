//! The house: a running site. Wiring, reload, ordered shutdown.
//!
//! Shutdown goes against the stream: listeners first, then the connections' owed replies, then the
//! feeds' outstanding offers, then the store. Each has a deadline; what misses it is offered again
//! after the next start, because nothing was acknowledged that is not on disk.

mod admission;
mod batches;
mod host;
mod reload;
mod view;

use crate::admin::trace::{Sources, trace};
use crate::admin::{self, PeerRow, PeerStatus, Request, Response, SiteStatus};
use crate::article::{MessageId, NewsgroupName};
use crate::clock::Timestamp;
use crate::config::{Config, Mistake, Peer};
use crate::feed::{Feeds, Means};
use crate::intake::{ImportRules, Intake, Origin};
use crate::journal::Journals;
use crate::net::{self, Admitted, Counters, Service};
use crate::session::Rights;
use crate::store::{GroupStatus, Options, Seq, Store, StoreError, Wait};
use crate::transport::{Machine, Transport};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use admission::{Admission, Rules};
use host::TurnedHost;

/// How long connections may take to give the replies they owe.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long feeds wait for the replies to what they have offered.
const FEEDS_MAX: Duration = Duration::from_secs(5);
/// How often the addresses of host names in `accept_from` are looked up anew.
const LOOKUP_EVERY: Duration = Duration::from_secs(300);
/// How often the log warns of a certificate that is about to end.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(86_400);
/// How soon those who are logged in learn that the accounts have changed.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(2);

/// A running site. Clones are the same site.
#[derive(Clone)]
pub struct Daemon {
    inner: Arc<Inner>,
}

struct Inner {
    config_path: Option<PathBuf>,
    config: Mutex<Arc<Config>>,
    /// What it was started with: some of it stays until a restart.
    began: Arc<Config>,
    admission: Arc<Admission>,
    network: Arc<Machine>,
    store: Store,
    service: Arc<Service>,
    feeds: Arc<Feeds>,
    addresses: Vec<SocketAddr>,
    tasks: TaskTracker,
    stop: CancellationToken,
    started: Instant,
}

/// Why a site does not start; one line for the operator.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Daemon {
    /// Opens the store, listens, starts feeds and the control socket. `config_path` is what a reload
    /// reads again. With no newsgroup at all and no config file, `groups` are created.
    pub async fn start(
        config: Config,
        config_path: Option<PathBuf>,
        groups: &[&str],
    ) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let site = Arc::new(config.site.clone());
        let rules = Rules::new(config.clone(), HashMap::new()).map_err(|bad| StartError(bad.to_string()))?;
        let (grown, tip) = watch::channel(Seq::default());
        let store = open_store(&config, grown).await?;
        create_groups(&store, groups).await?;
        // Listening comes behind the replay: who connects is served.
        let mut listeners = Vec::new();
        let clear = site.listen.iter().map(|address| (address, false));
        for (&address, tls) in clear.chain(site.listen_tls.iter().map(|address| (address, true))) {
            let listener =
                TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
            listeners.push((Arc::new(listener), tls));
        }
        let addresses = listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect();
        let control = admin::bind(&site.data)
            .and_then(tokio::net::UnixListener::from_std)
            .map_err(|error| StartError(format!("cannot open the control socket: {error}")))?;
        let stop = CancellationToken::new();
        let intake = Intake::new(store.clone(), site.clone());
        let mut service =
            Service::new(store.clone(), intake, site.identity.to_string(), site.limits.clone(), stop.clone());
        let journals =
            Journals::open(site.news_log().as_deref(), site.feed_log().as_deref(), site.log_bytes_max)
                .map_err(|error| StartError(format!("the logs of articles cannot be opened: {error}")))?;
        service.journals = journals.clone();
        let service = Arc::new(service);
        service.set_lists(config.lists.clone());
        let host = Arc::new(TurnedHost { service: service.clone() });
        let network = Machine::asking(&site.name_servers);
        let means = Means { network: network.clone(), host: Some(host), journals, ..rules.means() };
        let feeds = Arc::new(Feeds::start(store.clone(), &rules.peers, tip, means));
        let admission = Arc::new(Admission::new(rules, network.clone(), feeds.clone(), stop.clone()));
        let inner = Arc::new(Inner {
            config_path,
            began: config.clone(),
            config: Mutex::new(config),
            admission,
            network,
            store,
            service,
            feeds,
            addresses,
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            started: Instant::now(),
        });
        inner.admission.look_up().await;
        let slots = Arc::new(Semaphore::new(site.limits.connections_max.min(Semaphore::MAX_PERMITS)));
        for (listener, tls) in listeners {
            let (service, slots, tasks) = (inner.service.clone(), slots.clone(), inner.tasks.clone());
            let door = inner.admission.clone();
            inner.tasks.spawn(net::listen(listener, tls, service, slots, tasks, door));
        }
        inner.tasks.spawn({
            let inner = inner.clone();
            async move {
                let later = |every| interval_at(Instant::now() + every, every);
                let (mut look_up, mut accounts) = (later(LOOKUP_EVERY), later(ACCOUNTS_EVERY));
                let mut certificate = later(CERTIFICATE_EVERY);
                loop {
                    tokio::select! {
                        () = inner.stop.cancelled() => return,
                        _ = look_up.tick() => inner.admission.look_up().await,
                        _ = accounts.tick() => inner.admission.watch_accounts(),
                        _ = certificate.tick() => inner.admission.watch_certificate(),
                    }
                }
            }
        });
        inner.tasks.spawn({
            let inner = inner.clone();
            async move {
                tokio::select! {
                    () = inner.stop.cancelled() => {}
                    () = inner.feeds.clone().mend(inner.service.identity.clone()) => {}
                }
            }
        });
        inner.tasks.spawn(batches::watch(inner.service.clone(), inner.admission.clone()));
        let daemon = Self { inner };
        tokio::spawn(admin::server::serve(control, Arc::new(daemon.clone()), stop));
        Ok(daemon)
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.inner.addresses
    }

    /// What its connections have done since the start.
    pub fn counters(&self) -> &Counters {
        &self.inner.service.counters
    }

    /// Reads the config again and applies it, or keeps the old one and says why. Says what has changed, and
    /// what of it needs a restart. Logs that were moved are begun anew.
    pub async fn reload(&self) -> Result<String, String> {
        let Some(path) = self.inner.config_path.clone() else {
            return Err("the site runs without a config file: there is nothing to read again".to_owned());
        };
        let read = tokio::task::spawn_blocking(move || Config::read(&path))
            .await
            .map_err(|error| error.to_string())?;
        let new = Arc::new(read.map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
            format!("the old config stays in force:\n{}", lines.join("\n"))
        })?);
        let old = self.config();
        let told = reload::told(&self.inner.began, &old, &new);
        let peers = self.inner.admission.replace(new.clone());
        let peers = peers.map_err(|bad| format!("the old config stays in force:\n{bad}"))?;
        self.inner.network.ask(&new.site.name_servers);
        self.inner.feeds.set_certificate(self.inner.admission.rules().certificate());
        self.inner.service.set_lists(new.lists.clone());
        self.inner.service.journals.reopen();
        *self.inner.config.lock().unwrap_or_else(PoisonError::into_inner) = new;
        self.inner.admission.look_up().await;
        self.inner.admission.tell();
        self.inner.feeds.reload(&peers).await;
        if told.is_empty() {
            tracing::info!("reloaded; no key has changed");
            return Ok("reloaded; no key has changed".to_owned());
        }
        // One event a line, as for mistakes.
        told.iter().for_each(|line| tracing::info!("reloaded: {line}"));
        Ok(format!("reloaded\n  {}", told.join("\n  ")))
    }

    /// Stops: replies owed are given, cursors saved, the store closed.
    pub async fn stop(&self) {
        let inner = &self.inner;
        tracing::info!("stopping");
        inner.stop.cancel();
        inner.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, inner.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not take their replies in time");
        }
        inner.feeds.stop(FEEDS_MAX).await;
        let store = inner.store.clone();
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store did not close cleanly; the next start replays the log");
        }
        let journals = inner.service.journals.clone();
        // What is lost with it are lines, and it has said so.
        let _ = tokio::task::spawn_blocking(move || journals.close()).await;
        tracing::info!("stopped");
    }

    fn config(&self) -> Arc<Config> {
        self.inner.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn status(&self) -> SiteStatus {
        let inner = &self.inner;
        let mut counters = inner.service.counters.all();
        let journals = &inner.service.journals;
        counters.insert("log_lines_lost".to_owned(), journals.news.lost() + journals.feeds.lost());
        SiteStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            identity: inner.service.identity.clone(),
            running: true,
            addresses: inner.addresses.iter().map(SocketAddr::to_string).collect(),
            uptime_s: inner.started.elapsed().as_secs(),
            connections: inner.service.counters.connections.load(Ordering::Relaxed) as u64,
            counters,
            store: inner.store.stats(),
            feeds: inner.feeds.status(),
        }
    }

    /// Waits for the disk.
    fn peer_status(&self) -> Vec<PeerStatus> {
        let inner = &self.inner;
        PeerStatus::rows(
            &self.config().peers,
            inner.feeds.figures(Wait::Disk),
            inner.service.incoming.status(),
        )
    }

    /// Waits for the disk.
    fn trace(&self, id: &str) -> Response {
        let id = match MessageId::try_from(id) {
            Ok(id) => id,
            Err(bad) => return Response::Failed(format!("{id}: no Message-ID: {bad}")),
        };
        let journals = &self.inner.service.journals;
        journals.news.flush();
        journals.feeds.flush();
        let sources = Sources {
            store: &self.inner.store,
            peers: &self.config().peers,
            feeds: Some(&self.inner.feeds.status()),
            feed_log: journals.feeds.path(),
            news_log: journals.news.path(),
        };
        Response::Trace(Box::new(trace(&sources, &id)))
    }

    fn peers(&self) -> Vec<PeerRow> {
        let feeds = self.inner.feeds.status();
        let feed_of = |peer: &Peer| feeds.iter().find(|feed| feed.peer == peer.name).cloned();
        self.config().peers.iter().map(|peer| PeerRow::new(peer, feed_of(peer))).collect()
    }
}

impl admin::server::Control for Daemon {
    async fn answer(&self, request: Request) -> Response {
        match request {
            Request::PeerList => Response::Peers(self.peers()),
            Request::PeerStatus => {
                let this = self.clone();
                let rows = tokio::task::spawn_blocking(move || this.peer_status()).await;
                rows.map_or_else(|error| Response::Failed(error.to_string()), Response::PeerStatus)
            }
            Request::Trace { id } => {
                let this = self.clone();
                let told = tokio::task::spawn_blocking(move || this.trace(&id)).await;
                told.unwrap_or_else(|error| Response::Failed(error.to_string()))
            }
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Reload => match self.reload().await {
                Ok(done) => Response::Done(done),
                Err(why) => Response::Failed(why),
            },
            Request::BatchWrite { peer } => match self.inner.feeds.write_batches(&peer).await {
                Ok(written) => Response::Done(written.to_string()),
                Err(why) => Response::Failed(why),
            },
            request => {
                let store = self.inner.store.clone();
                let answer = tokio::task::spawn_blocking(move || admin::from_store(&store, &request)).await;
                match answer {
                    Ok(Some(response)) => response,
                    Ok(None) => Response::Failed("this is not a question for a running site".to_owned()),
                    Err(error) => Response::Failed(error.to_string()),
                }
            }
        }
    }

    async fn sync(&self, peer: String, since_s: i64, say: UnboundedSender<String>) -> Response {
        let inner = &self.inner;
        // Nobody may be listening.
        let tell = move |text| drop(say.send(text));
        let since = Timestamp::from_unix_s(since_s);
        let syncing = inner.feeds.sync(&peer, &inner.service.identity, since, &tell);
        tokio::select! {
            done = syncing => done.map_or_else(Response::Failed, |report| Response::Synced(Box::new(report))),
            () = inner.stop.cancelled() => Response::Failed("the site is stopping".to_owned()),
        }
    }

    async fn import(&self, stream: UnixStream, rules: ImportRules) {
        let admitted = if rules.peer.is_empty() {
            let rights = Rights { read: true, post: false, offer: true, turn: false };
            Admitted::operator("import", rights, Some(Origin::Import(rules)))
        } else {
            let peers = &self.inner.admission.rules().peers;
            let Some(peer) = peers.iter().find(|peer| peer.name == rules.peer) else {
                tracing::warn!(peer = %rules.peer, "a batch of a peer that is not in peers.toml");
                return;
            };
            batches::admitted(peer.clone())
        };
        let (service, stop) = (self.inner.service.clone(), self.inner.stop.clone());
        let serving = net::serve(Transport::unix(stream), service, admitted, None, stop);
        self.inner.tasks.track_future(serving).await;
    }
}

async fn open_store(config: &Config, grown: watch::Sender<Seq>) -> Result<Store, StartError> {
    let site = &config.site;
    let mut options = Options::new(&site.data, site.identity.as_str());
    options.segment_bytes = site.limits.segment_bytes;
    options.on_commit = Arc::new(move |seq| {
        grown.send_replace(seq);
    });
    let data = site.data.clone();
    tokio::task::spawn_blocking(move || Store::open(options))
        .await
        .map_err(|error| StartError(error.to_string()))?
        .map_err(|error| StartError(explain(&data, &error)))
}

async fn create_groups(store: &Store, groups: &[&str]) -> Result<(), StartError> {
    if !store.groups().is_empty() {
        return Ok(());
    }
    for group in groups {
        let name = NewsgroupName::try_from(*group).map_err(|bad| StartError(bad.0.to_owned()))?;
        let store = store.clone();
        tokio::task::spawn_blocking(move || store.set_group(&name, GroupStatus::Posting, "", "feedd"))
            .await
            .map_err(|error| StartError(error.to_string()))?
            .map_err(|error| StartError(format!("cannot create newsgroup {group}: {error:?}")))?;
    }
    Ok(())
}

/// Why an address cannot be listened on, and what helps.
fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> StartError {
    let cure = match error.kind() {
        ErrorKind::PermissionDenied => "; ports below 1024 need the right to bind them: see deploy/",
        ErrorKind::AddrInUse => "; does another server run there? \"listen\" in feedd.toml names another",
        ErrorKind::AddrNotAvailable => "; it is no address of this host",
        _ => "",
    };
    StartError(format!("cannot listen on {address}: {error}{cure}"))
}

/// A store's error at the start as one line.
fn explain(data: &Path, error: &StoreError) -> String {
    let data = data.display();
    match error {
        StoreError::Locked => format!("{data} is in use: another feedd runs on it"),
        StoreError::Io(path, error) => format!("{}: {error}", path.display()),
        StoreError::Corrupt(what) => {
            format!("the store in {data} is damaged: {what}; \"feedd verify\" tells more")
        }
        StoreError::Unavailable(why) | StoreError::Refused(why) => why.clone(),
    }
}
