//! The operator's files, `feedd.toml` (this site) and `peers.toml` (its peers), TOML in,
//! checked immutable values out; and the lists that LIST gives out ([`Lists`]).
//!
//! Every mistake is told with file, line and cure ([`Mistake`]), all of them at once: unknown keys,
//! wrong types, what is out of range, contradictions, and subscription patterns that can never
//! matter. What this room returns without mistakes is fit to run; nothing is checked again later.
//! Every key has a default, which is a constant of this room or of [`crate::limits`];
//! `config/feedd.toml` and `config/peers.toml` of the source tree show them all.

mod contract;
mod document;
mod files;
mod lists;
mod network;
mod patterns;
mod peers;
mod rules;
mod site;
mod size;

pub use contract::{ArticleOrigin, Batch, Compression, Contract, Dial, DialAddress, DialTls, Window};
pub use lists::Lists;
pub use network::{BadNetwork, Network, Source};
pub use rules::{Rule, Scope, Subject};
pub use site::own_identity;
pub use size::parse as octets_of;

use crate::article::PathIdentity;
use crate::limits;
use crate::tls::Fingerprint;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The path identity of a site without a config file.
pub const IDENTITY: &str = "feedd.localhost";
/// Where a site listens by default: the unprivileged sibling of NNTP's port 119, on loopback.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1119);
/// The data folder by default, beside `feedd.toml`.
pub const DATA: &str = "data";
/// The file of peers by default, beside `feedd.toml`.
pub const PEERS: &str = "peers.toml";
/// The file of accounts by default, beside `feedd.toml`.
pub const USERS: &str = "users";
/// The file of the server's certificate chain by default, beside `feedd.toml`.
pub const CERTIFICATE: &str = "tls/certificate.pem";
/// The file of the certificate's private key by default, beside `feedd.toml`.
pub const KEY: &str = "tls/key.pem";
/// Seconds over which `posts_max` and `bytes_max` of a rule count, default: a day.
pub const RULE_PERIOD_S: u64 = 86_400;
/// Octets after which a segment of the spool log is sealed, default: large enough that a busy site
/// has few files, small enough that expiry can drop one.
pub const SEGMENT_BYTES: u64 = 1 << 30;
/// The folder of the logs in the data folder.
pub const LOGS: &str = "log";
/// Octets that the news log and the feeds' log keep each, default: two million lines.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// Connections opened to one peer at most, default: enough that one large article does not hold up
/// the small ones behind it.
pub const PEER_CONNECTIONS: usize = 4;
/// Seconds between two batches for a peer that is fed by files, default.
pub const BATCH_EVERY_S: u64 = 3600;
/// Octets of such a batch at most, default.
pub const BATCH_BYTES_MAX: u64 = 64 << 20;
/// Connections that one peer may have open to us, default.
pub const PEER_CONNECTIONS_IN_MAX: usize = 64;
/// Commands in flight on one connection to a peer at most, default: fills 200 ms of round-trip time at
/// 80,000 articles a second. It bounds memory; what is in flight follows from what the connection takes.
pub const PEER_WINDOW: usize = 16_384;
/// Seconds between two attempts to reach a peer at most, default: short, because a dial costs
/// next to nothing and a peer that is back should not wait for its articles.
pub const PEER_RETRY_MAX_S: u64 = 3;
/// What is sent to and accepted from a peer by default: everything.
pub const PEER_SUBSCRIPTION: &str = "*";

/// `feedd.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// This site's name in Path and Xref.
    pub identity: PathIdentity,
    /// Where it listens; port 0 means any free one.
    pub listen: Vec<SocketAddr>,
    /// Where it listens with TLS from the first octet (RFC 8143 s.1, port 563); needs [`Site::tls`].
    pub listen_tls: Vec<SocketAddr>,
    /// The name servers that are asked for the names of peers; none: this machine's own resolver is.
    pub name_servers: Vec<SocketAddr>,
    /// `[tls]`: with it `listen` offers STARTTLS (RFC 4642).
    pub tls: Option<TlsFiles>,
    /// The data folder, absolute or relative to the working folder (the file's own folder is prepended
    /// to a relative one on reading).
    pub data: PathBuf,
    /// `peers.toml`, resolved as `data` is.
    pub peers: PathBuf,
    /// Who may read. Default: loopback.
    pub readers: Vec<Network>,
    /// Who may post. Default: loopback.
    pub posters: Vec<Network>,
    /// The file of accounts, resolved as `data` is.
    pub users: PathBuf,
    /// May a password be sent without TLS? By default not, not even over loopback.
    pub clear_logins: bool,
    /// `[[access.rule]]`, in the order of the file: the first that matches decides.
    pub rules: Vec<Arc<Rule>>,
    /// Days after which an article is too old to be accepted from a peer (RFC 5537 s.3.6 step 3);
    /// none: no cutoff. That is the default, because the history forgets nothing: an old article
    /// cannot come back, and what a peer brings after a month of silence is not lost.
    pub cutoff_days: Option<u32>,
    /// The news log, resolved as `data` is; empty: none is kept; none: see [`Site::news_log`].
    pub newslog: Option<PathBuf>,
    /// The feeds' log, likewise.
    pub feedlog: Option<PathBuf>,
    /// Octets that each of the two keeps at most, older parts included.
    pub log_bytes_max: u64,
    /// `[limits]`.
    pub limits: Limits,
}

/// `[tls]` of `feedd.toml`: PEM files, resolved as [`Site::data`] is. Whether they are there and fit
/// is seen when they are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, this site's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates: who shows one of theirs is logged in as the account that
    /// it names.
    pub client_authorities: Option<PathBuf>,
}

/// `[limits]` of `feedd.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of an article on the wire.
    pub article_bytes_max: usize,
    /// Connections in total.
    pub connections_max: usize,
    /// Connections from one address (IPv6: one /64).
    pub connections_per_address_max: usize,
    /// Connections of one account, where no rule says otherwise.
    pub connections_per_account_max: usize,
    /// Octets a second that a client must manage over [`slow_s`](Self::slow_s) while it sends a command
    /// line or an article, or takes our replies; 0: any.
    pub slow_bytes_s: u64,
    /// Seconds over which `slow_bytes_s` counts.
    pub slow_s: u64,
    /// Octets of articles being received or waiting for their commit, in the whole site.
    pub in_flight_bytes_max: usize,
    /// Seconds of silence before a connection is closed.
    pub idle_s: u64,
    /// Newsgroups one article may name.
    pub crosspost_max: usize,
    /// Octets after which a segment of the spool log is sealed.
    pub segment_bytes: u64,
}

/// A block of `peers.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// What the operator calls it: letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// Its path identities; the first is the one expected in Path.
    pub identities: Vec<PathIdentity>,
    /// How it is dialled; none: that peer only dials us.
    pub dial: Option<Dial>,
    /// From where it may connect.
    pub accept_from: Vec<Source>,
    /// The account (in the file of accounts) by which it may log in to be known; none: no login does.
    pub account: Option<String>,
    /// The keys of its client certificates by which it is known.
    pub keys: Vec<Fingerprint>,
    /// What we send it.
    pub send: Contract,
    /// What we accept from it.
    pub accept: Contract,
    /// Seconds that an article stays here before it is sent, so that a cancel may overtake it.
    pub delay_s: u64,
    /// When it is dialled and sent to; none: always.
    pub schedule: Vec<Window>,
    /// It is sent articles only while this other peer cannot be reached.
    pub backup_of: Option<String>,
    /// Articles are exchanged as batches in files, not over connections.
    pub batch: Option<Batch>,
    /// Articles for it also leave over connections that it has opened, where it asks for that.
    pub turn: bool,
    /// Octets a second that it is sent at most.
    pub bytes_s_max: Option<u64>,
    /// Connections we open to it at most.
    pub connections: usize,
    /// Connections that it may have open to us.
    pub connections_in_max: usize,
    /// Commands in flight on each.
    pub window: usize,
    /// The longest pause between two attempts to reach it, seconds.
    pub retry_max_s: u64,
}

impl Peer {
    /// The way to it, as the operator sees it: where it is dialled, or the folder of its batches; none if
    /// it only dials us.
    pub fn way(&self) -> Option<String> {
        let folder = |batch: &Batch| batch.out.as_ref().or(batch.inbound.as_ref()).cloned();
        let folder = self.batch.as_ref().and_then(folder);
        let dial = self.dial.as_ref().map(ToString::to_string);
        dial.or_else(|| folder.map(|folder| folder.display().to_string()))
    }

    /// A peer of this name and path identity, with the defaults of all other keys.
    pub fn new(name: &str, identity: PathIdentity) -> Self {
        Self {
            name: name.to_owned(),
            identities: vec![identity],
            dial: None,
            accept_from: Vec::new(),
            account: None,
            keys: Vec::new(),
            send: Contract::default(),
            accept: Contract::default(),
            delay_s: 0,
            schedule: Vec::new(),
            backup_of: None,
            batch: None,
            turn: false,
            bytes_s_max: None,
            connections: PEER_CONNECTIONS,
            connections_in_max: PEER_CONNECTIONS_IN_MAX,
            window: PEER_WINDOW,
            retry_max_s: PEER_RETRY_MAX_S,
        }
    }
}

/// All files, checked together.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `feedd.toml`.
    pub site: Site,
    /// `peers.toml`, in the order of the file.
    pub peers: Vec<Peer>,
    /// The folder `lists/` beside `feedd.toml`.
    pub lists: Lists,
}

/// One mistake: `file:line: what is wrong; how to mend it`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file as it was named.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub cure: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file.display(), self.line, self.what, self.cure)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            article_bytes_max: limits::ARTICLE_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            connections_per_account_max: limits::CONNECTIONS_PER_ACCOUNT_MAX,
            slow_bytes_s: limits::SLOW_BYTES_S,
            slow_s: limits::SLOW_S,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES_MAX,
            idle_s: limits::IDLE_S,
            crosspost_max: limits::CROSSPOST_MAX,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        let Ok(identity) = PathIdentity::try_from(IDENTITY) else {
            unreachable!("the default identity is one");
        };
        Self {
            identity,
            listen: vec![LISTEN],
            listen_tls: Vec::new(),
            name_servers: Vec::new(),
            tls: None,
            data: DATA.into(),
            peers: PEERS.into(),
            readers: Network::LOOPBACK.to_vec(),
            posters: Network::LOOPBACK.to_vec(),
            users: USERS.into(),
            clear_logins: false,
            rules: Vec::new(),
            cutoff_days: None,
            newslog: None,
            feedlog: None,
            log_bytes_max: LOG_BYTES_MAX,
            limits: Limits::default(),
        }
    }
}

impl Site {
    /// Where the log of articles in INN's form is kept, by default in the data folder; none: nowhere.
    pub fn news_log(&self) -> Option<PathBuf> {
        self.log(self.newslog.as_ref(), "news")
    }

    /// Where the log of the feeds is kept, likewise.
    pub fn feed_log(&self) -> Option<PathBuf> {
        self.log(self.feedlog.as_ref(), "feeds")
    }

    fn log(&self, set: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
        match set {
            Some(path) if path.as_os_str().is_empty() => None,
            Some(path) => Some(path.clone()),
            None => Some(self.data.join(LOGS).join(name)),
        }
    }
}

impl Config {
    /// The built-in defaults: loopback, `./data`, no peers.
    pub fn built_in() -> Self {
        Self { site: Site::default(), peers: Vec::new(), lists: Lists::default() }
    }

    /// Reads and checks `feedd.toml` at `path` and the `peers.toml` it names; all mistakes at once,
    /// those of `feedd.toml` first, and the lists beside it. A site without a `peers.toml` has no peers.
    pub fn read(path: &Path) -> Result<Self, Vec<Mistake>> {
        let text = read_text(path)?;
        let (site, mut mistakes) = site::check(path, &text);
        let peers = match Self::read_peers(&site) {
            Ok(peers) => peers,
            Err(more) => {
                mistakes.extend(more);
                Vec::new()
            }
        };
        let (lists, more) = Lists::read(&path.parent().unwrap_or(Path::new("")).join(lists::FOLDER));
        mistakes.extend(more);
        if mistakes.is_empty() { Ok(Self { site, peers, lists }) } else { Err(mistakes) }
    }

    fn read_peers(site: &Site) -> Result<Vec<Peer>, Vec<Mistake>> {
        match std::fs::metadata(&site.peers) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            _ => Self::check_peers(site, &site.peers, &read_text(&site.peers)?),
        }
    }

    /// Checks `text` as a `feedd.toml`; `file` is what mistakes call it, and relative paths begin at
    /// its folder.
    pub fn check_site(file: &Path, text: &str) -> Result<Site, Vec<Mistake>> {
        let (site, mistakes) = site::check(file, text);
        if mistakes.is_empty() { Ok(site) } else { Err(mistakes) }
    }

    /// Checks `text` as the `peers.toml` of `site`; `file` is what mistakes call it.
    pub fn check_peers(site: &Site, file: &Path, text: &str) -> Result<Vec<Peer>, Vec<Mistake>> {
        let (peers, mistakes) = peers::check(file, text, &site.identity);
        if mistakes.is_empty() { Ok(peers) } else { Err(mistakes) }
    }
}

/// The text of a config file.
fn read_text(path: &Path) -> Result<String, Vec<Mistake>> {
    let mistake = |line, what: String, cure: &str| {
        vec![Mistake { file: path.to_path_buf(), line, what, cure: cure.to_owned() }]
    };
    let bytes = std::fs::read(path).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::NotFound => "name an existing file with -c, or make one with `feedd init`",
            ErrorKind::PermissionDenied => "let the user that runs feedd read it",
            _ => "name a readable file with -c",
        };
        mistake(1, format!("cannot be read: {error}"), cure)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', good).count() + 1;
        mistake(line, "not UTF-8".to_owned(), "save the file as UTF-8")
    })
}
