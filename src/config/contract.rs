//! What a peer and this site have agreed on: what is sent and accepted, and how it is dialled.

use crate::article::ArticleKind;
use crate::tls::Fingerprint;
use crate::wildmat::{Mark, Pattern, Wildmat};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What passes from one site to the other: newsgroups, and what else an article must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// Its newsgroups: one at least matches, and none is poison.
    pub newsgroups: Wildmat,
    /// Of the names in Distribution one at least matches and none is poison, if it has that field.
    pub distributions: Wildmat,
    /// Octets of an article at most, wire form.
    pub bytes_max: Option<usize>,
    /// Newsgroups that it names at most.
    pub crosspost_max: Option<usize>,
    /// Path identities in its Path at most, those of this site included.
    pub hops_max: Option<usize>,
    /// Days since its own date at most.
    pub age_days_max: Option<u32>,
    /// Where it was injected.
    pub origin: ArticleOrigin,
    /// What it may carry; none: anything.
    pub kinds: Vec<ArticleKind>,
}

impl Contract {
    /// Everything in these newsgroups.
    pub fn of(newsgroups: Wildmat) -> Self {
        Self { newsgroups, ..Self::default() }
    }
}

/// Where the articles of a contract were injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArticleOrigin {
    /// Anywhere.
    #[default]
    Any,
    /// At the sending site itself.
    Local,
    /// Elsewhere.
    Relayed,
}

impl Default for Contract {
    /// Everything.
    fn default() -> Self {
        let everything = Wildmat { patterns: vec![Pattern { mark: Mark::Plain, text: "*".to_owned() }] };
        Self {
            newsgroups: everything.clone(),
            distributions: everything,
            bytes_max: None,
            crosspost_max: None,
            hops_max: None,
            age_days_max: None,
            origin: ArticleOrigin::Any,
            kinds: Vec::new(),
        }
    }
}

/// How a peer is dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dial {
    /// Where, in the order in which they are tried.
    pub addresses: Vec<DialAddress>,
    /// Whether, and when, TLS begins; a peer with TLS is never spoken to in clear.
    pub tls: DialTls,
    /// The public keys (or certificates) that it may show; none: its certificate is verified by `ca`.
    pub pins: Vec<Fingerprint>,
    /// The PEM file of the authorities that are believed; none: those that this machine knows.
    pub ca: Option<PathBuf>,
    /// The name that we log in by; none: without a login.
    pub user: Option<String>,
    /// The file of the password, resolved as the config file's other paths are.
    pub password_file: Option<PathBuf>,
    /// The SOCKS5 proxy on the way, which also looks up the names (RFC 1928).
    pub proxy: Option<DialAddress>,
    /// Is COMPRESS used where the peer offers it?
    pub compress: bool,
}

impl Dial {
    /// In clear, without a login.
    pub fn to(address: DialAddress) -> Self {
        Self { addresses: vec![address], compress: true, ..Self::default() }
    }

    /// Is this host dialled by us, and without a port, so that SRV records may say where it is?
    pub fn leaves_port_open(&self, host: &str) -> bool {
        let open = |address: &DialAddress| address.port.is_none() && address.host.eq_ignore_ascii_case(host);
        self.proxy.is_none() && self.addresses.iter().any(open)
    }
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// None: the one that SRV records name (RFC 2782), or the well-known one, 119 or 563 (RFC 8143 s.3).
    pub port: Option<u16>,
}

impl From<SocketAddr> for DialAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: Some(address.port()) }
    }
}

/// Whether, and when, TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialTls {
    /// Never.
    #[default]
    Off,
    /// Behind STARTTLS (RFC 4642).
    StartTls,
    /// With the first octet (RFC 8143, port 563).
    Implicit,
}

impl fmt::Display for DialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// A time of the week at which a peer that is not always there is sent to, in this machine's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins; Monday is bit 0.
    pub days: u8,
    /// Minutes of the day at which it begins.
    pub from_min: u16,
    /// Minutes of the day before which it ends; not above `from_min`: on the next day.
    pub to_min: u16,
}

/// Exchange by files: rnews batches in folders, for links that never connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The folder that batches for the peer are put into; none: nothing is sent.
    pub out: Option<PathBuf>,
    /// The folder in which batches of the peer arrive; none: nothing is.
    pub inbound: Option<PathBuf>,
    /// Seconds between two batches.
    pub every_s: u64,
    /// Octets of a batch at most, before compression; one article may exceed it.
    pub bytes_max: u64,
    /// How batches are compressed.
    pub compression: Compression,
}

/// How a batch is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not.
    None,
    /// gzip, which rnews of INN and C News know as `#! gunbatch`.
    #[default]
    Gzip,
    /// xz.
    Xz,
}
