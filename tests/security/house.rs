//! A site inside the test's own process, so that its limits can be shorter than a config may say, and
//! its counters be read.

use crate::wire::Wire;
use feedd::accounts::{self, Password};
use feedd::clock;
use feedd::config::{Config, Limits};
use feedd::daemon::Daemon;
use feedd::tls::self_signed;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where clients come from unless a test says otherwise.
pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Where the peer of every site here comes from.
pub const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// alice's password; so that it can be told from all else in a log.
pub const PASSWORD: &str = "ebN7-Zr4q-Wq9u";

/// A running site with TLS, accounts and a peer.
pub struct House {
    pub daemon: Daemon,
    /// STARTTLS is offered here.
    pub port: u16,
    /// TLS from the first octet.
    pub port_tls: u16,
    pub folder: TempDir,
    runtime: Runtime,
}

impl House {
    /// With these lines of config behind `[tls]`, and the limits as `adjust` leaves them.
    pub fn start(config: &str, groups: &[&str], adjust: impl FnOnce(&mut Limits)) -> Self {
        let folder = crate::support::process::temp_dir();
        let path = folder.path().join("feedd.toml");
        new_certificate(folder.path());
        let text = format!(
            "identity = \"here.example\"\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n\
             [tls]\n{config}"
        );
        fs::write(&path, text).unwrap();
        let peer = "[[peer]]\nname = \"load\"\nidentity = \"load.example\"\naccept_from = [\"127.0.0.9\"]\n";
        fs::write(folder.path().join("peers.toml"), peer).unwrap();
        let mut read = Config::read(&path).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        adjust(&mut read.site.limits);
        let runtime = Runtime::new().unwrap();
        let daemon = runtime.block_on(Daemon::start(read, Some(path), groups)).unwrap();
        let ports: Vec<u16> = daemon.addresses().iter().map(|address| address.port()).collect();
        Self { daemon, port: ports[0], port_tls: ports[1], folder, runtime }
    }

    /// One that asks for a login to read or post, over TLS.
    pub fn with_logins(rules: &str, groups: &[&str], adjust: impl FnOnce(&mut Limits)) -> Self {
        let config = format!("[access]\nreaders = []\nposters = []\n{rules}");
        let house = Self::start(&config, groups, adjust);
        house.add_account("alice", &["staff"], Some(PASSWORD));
        house
    }

    pub fn add_account(&self, name: &str, groups: &[&str], password: Option<&str>) {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        let password = password.map(|text| Password::try_from(text.to_owned()).unwrap());
        accounts::add(&self.folder.path().join("users"), name, &groups, password.as_ref()).unwrap();
    }

    pub fn reload(&self) -> Result<String, String> {
        self.runtime.block_on(self.daemon.reload())
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("feedd.toml")
    }

    /// A connection in clear, greeting read.
    pub fn clear(&self) -> Wire {
        self.clear_from(HERE)
    }

    pub fn clear_from(&self, from: Ipv4Addr) -> Wire {
        let mut wire = Wire::connect(from, self.port);
        wire.greet();
        wire
    }

    /// A connection over TLS, greeting read.
    pub fn tls(&self) -> Wire {
        self.tls_from(HERE)
    }

    pub fn tls_from(&self, from: Ipv4Addr) -> Wire {
        let mut wire = Wire::connect(from, self.port_tls);
        wire.secure(self.trusting()).unwrap();
        wire.greet();
        wire
    }

    /// A client's config that trusts this site's certificate as it is in the file.
    pub fn trusting(&self) -> Arc<rustls::ClientConfig> {
        Arc::new(self.client(&[b"nntp"]))
    }

    pub fn client(&self, alpn: &[&[u8]]) -> rustls::ClientConfig {
        self.client_with(None, alpn)
    }

    /// With a certificate to show, and its key.
    pub fn client_with(&self, shown: Option<(&str, &str)>, alpn: &[&[u8]]) -> rustls::ClientConfig {
        let roots = roots(self.folder.path());
        let builder =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.runtime.block_on(self.daemon.stop());
    }
}

fn roots(folder: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("tls/certificate.pem")).unwrap()).unwrap();
    roots
}

/// A client's config that trusts the certificate of the site in this folder.
pub fn trusting(folder: &Path) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots(folder)).with_no_client_auth())
}

/// Puts a certificate of its own into the folder, in place of the one before.
pub fn new_certificate(folder: &Path) {
    let (certificate, key) = (folder.join("tls/certificate.pem"), folder.join("tls/key.pem"));
    for path in [&certificate, &key] {
        let _ = fs::remove_file(path);
    }
    let names = self_signed::names("here.example", &[]);
    self_signed::make(&names, clock::now()).unwrap().write(&certificate, &key).unwrap();
}
