//! Sites with certificates, and clients that show one.

use crate::support::process::wait_until;
use crate::support::site::{FEEDD, Site};
use crate::wire::Wire;
use feedd::clock;
use feedd::tls::{Fingerprint, self_signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

pub const NEWSGROUP: &str = "test.a";
pub const WITHIN: Duration = Duration::from_secs(60);
/// Where clients come from unless a test says otherwise.
pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A site with a certificate of its own making. Its certificate is for `here.example`, too, which is the
/// name that [`Wire`] asks for.
pub fn secure(identity: &str) -> Site {
    let site = Site::init_with(identity, &[NEWSGROUP], &["--self-signed"]);
    let [certificate, key] = ["tls/certificate.pem", "tls/key.pem"].map(|name| site.dir().join(name));
    for path in [&certificate, &key] {
        fs::remove_file(path).unwrap();
    }
    let names = [identity, "here.example", "127.0.0.1"].map(str::to_owned);
    self_signed::make(&names, clock::now()).unwrap().write(&certificate, &key).unwrap();
    site
}

/// The fingerprint of a site's public key.
pub fn key_of(site: &Site) -> String {
    let pem = fs::read(site.dir().join("tls/certificate.pem")).unwrap();
    Fingerprint::of_key(&CertificateDer::from_pem_slice(&pem).unwrap()).unwrap().to_string()
}

/// Replaces peers.toml.
pub fn write_peers(site: &Site, text: &str) {
    fs::write(site.dir().join("peers.toml"), text).unwrap();
}

/// Something that a client can prove to have: a certificate and its key, in PEM.
pub struct Shown {
    pub certificate: String,
    pub key: String,
}

impl Shown {
    /// A new one for this name.
    pub fn new(name: &str) -> Self {
        let made = self_signed::make(&[name.to_owned()], clock::now()).unwrap();
        Self { certificate: made.certificate, key: made.key }
    }

    pub fn fingerprint(&self) -> String {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        Fingerprint::of_key(&certificate).unwrap().to_string()
    }
}

/// A client's config that trusts the site's certificate, and shows one of its own or none.
fn client(site: &Site, shown: Option<&Shown>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.dir().join("tls/certificate.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(Shown { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// A connection in clear, greeting read.
pub fn clear(site: &Site, from: Ipv4Addr) -> Wire {
    let mut wire = Wire::connect(from, site.port);
    wire.greet();
    wire
}

/// A connection behind STARTTLS.
pub fn tls(site: &Site, from: Ipv4Addr, shown: Option<&Shown>) -> Wire {
    let mut wire = clear(site, from);
    wire.starttls(client(site, shown));
    wire
}

/// Adds an account.
pub fn add_user(site: &Site, name: &str, password: &str) {
    let mut add = Command::new(FEEDD)
        .args(["user", "add", name, "--password-stdin", "-c"])
        .arg(site.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    add.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    assert!(add.wait().unwrap().success());
}

pub fn status(site: &Site) -> serde_json::Value {
    serde_json::from_str(&site.feedd(&["status", "--json"], &[])).unwrap()
}

/// One of the counters that the site shows.
pub fn counter(site: &Site, name: &str) -> u64 {
    status(site)["counters"][name].as_u64().unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// What the site tells of its feed to this peer.
pub fn feed(site: &Site, peer: &str) -> serde_json::Value {
    let status = status(site);
    let feeds = status["feeds"].as_array().unwrap();
    feeds.iter().find(|feed| feed["peer"] == peer).cloned().unwrap_or_default()
}

/// Waits until the feed to the peer is in a state with this in it.
#[track_caller]
pub fn until_state(site: &Site, peer: &str, words: &str) {
    let mut last = serde_json::Value::Null;
    let there = wait_until(WITHIN, || {
        last = feed(site, peer);
        last["state"].as_str().is_some_and(|state| state.contains(words))
    });
    assert!(there, "{}: the feed to {peer} should be {words:?}: {last}", site.identity);
}

/// Waits until the log says this, and gives the line.
#[track_caller]
pub fn until_logged(site: &Site, words: &[&str]) -> String {
    let mut line = None;
    wait_until(WITHIN, || {
        let log = site.log();
        line = log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned);
        line.is_some()
    });
    line.unwrap_or_else(|| panic!("{} does not log {words:?}:\n{}", site.identity, site.log()))
}
