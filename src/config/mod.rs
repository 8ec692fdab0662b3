//! The operator's two files, `feedd.toml` (this site) and `peers.toml` (its peers): TOML in,
//! checked immutable values out. Every mistake is told with file, line and cure.

use crate::article::PathIdentity;
use crate::wildmat::Wildmat;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// `feedd.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Site {
    /// This site's name in Path and Xref.
    pub identity: PathIdentity,
    pub listen: Vec<SocketAddr>,
    /// The data folder, absolute or relative to the working folder (the file's own folder is prepended
    /// to a relative one on reading).
    pub data: PathBuf,
    /// `peers.toml`.
    pub peers: PathBuf,
    /// Who may read and post: networks. Default: loopback.
    pub readers: Vec<Network>,
    pub posters: Vec<Network>,
    /// Days after which an article is too old to be accepted from a peer; none: no cutoff (the
    /// default, because the history forgets nothing).
    pub cutoff_days: Option<u32>,
    pub limits: Limits,
}

/// `[limits]` of `feedd.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Limits {
    pub article_bytes_max: usize,
    pub connections_max: usize,
    pub in_flight_bytes_max: usize,
    pub idle_s: u64,
    pub crosspost_max: usize,
    pub segment_bytes: u64,
}

/// A block of `peers.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Peer {
    pub name: String,
    /// Its path identities; the first is the one expected in Path.
    pub identities: Vec<PathIdentity>,
    /// Where it is dialled, `host:port`; none: that peer only dials us.
    pub address: Option<String>,
    /// From where it may connect.
    pub accept_from: Vec<Source>,
    /// What we send it; nothing without an address.
    pub send: Wildmat,
    /// What we accept from it.
    pub accept: Wildmat,
    /// Connections we open to it at most.
    pub connections: usize,
    /// Commands in flight on each.
    pub window: usize,
    /// The longest pause between two attempts to reach it, seconds.
    pub retry_max_s: u64,
}

/// Where a peer may come from: a network, or a host whose addresses are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Source {
    Network(Network),
    Host(String),
}

/// An address or a prefix: `192.0.2.1`, `2001:db8::/32`, or `loopback` (127.0.0.0/8 and ::1 both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address; bits behind `prefix` are zero.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Is `address` inside? An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let _ = address;
        todo!()
    }
}

/// Both files, checked together.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Config {
    pub site: Site,
    pub peers: Vec<Peer>,
}

/// One mistake: `file:line: what is wrong; how to mend it`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Mistake {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    pub what: String,
    pub cure: String,
}

impl Config {
    /// The built-in defaults: loopback, `./data`, no peers.
    pub fn built_in() -> Self {
        todo!()
    }

    /// Reads and checks `feedd.toml` at `path` and the `peers.toml` it names; all mistakes at once.
    pub fn read(path: &Path) -> Result<Self, Vec<Mistake>> {
        let _ = path;
        todo!()
    }
}
