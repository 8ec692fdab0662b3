//! The server's side: certificate and key from files, read again without a restart.

use super::ALPN;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sessions that can be resumed.
const SESSIONS_MAX: usize = 4096;

/// Why there is no TLS; one line that names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// The server's config from PEM files: a certificate with its chain, its key, and the authorities of
/// client certificates, if clients may show one (they need not).
///
/// # Errors
/// A file that cannot be read or holds something else, and a key that is another certificate's.
pub fn config(certificate: &Path, key: &Path, authorities: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError { path: certificate.to_owned(), what: error.to_string() })?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                let added = roots.add(authority);
                added.map_err(|error| TlsError { path: path.to_owned(), what: error.to_string() })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError { path: path.to_owned(), what: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| TlsError {
        path: key.to_owned(),
        what: format!("does not belong to {}: {error}", certificate.display()),
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    // One ticket is enough for the next connection; each costs memory and octets.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The names a certificate is for: its DNS names, of which one may be an account's.
pub fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    webpki::EndEntityCert::try_from(certificate)
        .map(|parsed| parsed.valid_dns_names().map(str::to_owned).collect())
        .unwrap_or_default()
}

/// The key in a PEM file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(path, &error, "private key"))
}

/// The certificates in a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, &error, "certificate"))?.collect();
    let found = read.map_err(|error| wrong(path, &error, "certificate"))?;
    if found.is_empty() {
        return Err(wrong(path, &pem::Error::NoItemsFound, "certificate"));
    }
    Ok(found)
}

fn wrong(path: &Path, error: &pem::Error, wanted: &str) -> TlsError {
    let what = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("holds no {wanted} in PEM form"),
        other => format!("not PEM: {other}"),
    };
    TlsError { path: path.to_owned(), what }
}
