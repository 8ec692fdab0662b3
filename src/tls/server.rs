//! The server's side: certificate and key from files, read again without a restart.

use super::{ALPN, Fingerprint, not_after};
use crate::clock::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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

/// What a site shows to its clients, and whom of them it believes.
pub struct ServerTls {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// The end of its certificate's validity.
    pub not_after: Option<Timestamp>,
    /// Who judges client certificates that shall name an account.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

/// Which client certificates pass the handshake. Clients need not show one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Those of the authorities, if there are any; without authorities none is asked for.
    Signed,
    /// Any: what is believed of it is decided behind the handshake, which proves that the client has
    /// the key.
    Any,
}

impl ServerTls {
    /// The server's side from PEM files: a certificate with its chain, its key, and the authorities of
    /// client certificates, if those may name accounts.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else, and a key that is another certificate's.
    pub fn load(
        certificate: &Path,
        key: &Path,
        authorities: Option<&Path>,
        clients: Clients,
    ) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let not_after = chain.first().and_then(not_after);
        let private = private_key(key)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError { path: certificate.to_owned(), what: error.to_string() })?;
        let authorities = authorities.map(|path| verifier(path, &provider)).transpose()?;
        let builder = match (clients, &authorities) {
            (Clients::Any, _) => builder.with_client_cert_verifier(Arc::new(AnyClient { provider })),
            (Clients::Signed, Some(verifier)) => builder.with_client_cert_verifier(verifier.clone()),
            (Clients::Signed, None) => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, private).map_err(|error| TlsError {
            path: key.to_owned(),
            what: format!("does not belong to {}: {error}", certificate.display()),
        })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        // One ticket is enough for the next connection; each costs memory and octets.
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), not_after, authorities })
    }

    /// The names in a client's certificate, if an authority of client certificates has signed it.
    /// `chain` begins with the certificate whose key the client has proved to have.
    pub fn signed_names(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Vec<String> {
        let (Some(verifier), Some((own, others))) = (&self.authorities, chain.split_first()) else {
            return Vec::new();
        };
        let now = Duration::from_secs(u64::try_from(now.unix_s()).unwrap_or_default());
        match verifier.verify_client_cert(own, others, UnixTime::since_unix_epoch(now)) {
            Ok(_) => dns_names(own),
            Err(_) => Vec::new(),
        }
    }
}

/// The config of [`ServerTls::load`] where no client needs to be known by its key.
///
/// # Errors
/// As there.
pub fn config(certificate: &Path, key: &Path, authorities: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let loaded = ServerTls::load(certificate, key, authorities, Clients::Signed)?;
    Ok(ServerConfig::clone(&loaded.config))
}

fn verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        let added = roots.add(authority);
        added.map_err(|error| TlsError { path: path.to_owned(), what: error.to_string() })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError { path: path.to_owned(), what: error.to_string() })
}

/// Takes any certificate, and none; that the client has its key is verified.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Without hints a client shows what it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that a client has shown, and proved to have the key of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The fingerprint of the certificate.
    pub certificate: Fingerprint,
    /// That of its public key.
    pub key: Option<Fingerprint>,
    /// The names that it claims; nobody need have signed them.
    pub names: Vec<String>,
}

impl Shown {
    /// What is kept of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self {
            certificate: Fingerprint::of_certificate(certificate),
            key: Fingerprint::of_key(certificate),
            names: dns_names(certificate),
        }
    }

    /// Is this its fingerprint, or that of its public key?
    pub fn is(&self, print: Fingerprint) -> bool {
        self.certificate == print || self.key == Some(print)
    }
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
