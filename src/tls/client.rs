//! The side that connects: whom it believes to be the server, and the handshake.

use super::server::{self, TlsError};
use super::{ALPN, Fingerprint};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    RootCertStore, SignatureScheme,
};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

/// By what the server's certificate is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// The authorities that this machine knows.
    #[default]
    Authorities,
    /// The certificates in a PEM file, and no other.
    CaFile(PathBuf),
    /// It is one of these fingerprints, whatever its name, date and signatures.
    Pins(Vec<Fingerprint>),
    /// By nothing: whoever is in between may read and change everything.
    None,
}

/// Why there is no TLS with a server.
#[derive(Debug)]
pub enum HandshakeError {
    /// The certificate is not believed.
    Certificate {
        /// What is wrong with it and what to do, in a line.
        why: String,
        /// What the server showed.
        seen: Fingerprint,
    },
    /// The other end does not speak TLS.
    NoTls,
    /// The connection failed.
    Io(io::Error),
    /// What was asked for cannot be set up, or TLS failed; a line that says why.
    Failed(String),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { why, .. } | Self::Failed(why) => f.write_str(why),
            Self::NoTls => f.write_str("there is no TLS on that port; use --tls starttls or --tls off"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// What is wrong with a certificate that was verified by `verification`, and what to do.
fn distrust(why: &Error, seen: Fingerprint, verification: &Verification) -> String {
    if let Verification::Pins(pins) = verification {
        let pins: Vec<String> = pins.iter().map(ToString::to_string).collect();
        return format!(
            "its certificate is not the pinned one: it shows {seen}, pinned is {}; ask its operator \
             whether it has a new one before you change the pin",
            pins.join(" or ")
        );
    }
    let reason = match why {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not known: no authority that we trust has signed it".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
            if !presented.is_empty() =>
        {
            format!("its certificate is for another name: {}", presented.join(", "))
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name".to_owned(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        other => format!("its certificate is not believed: {other}"),
    };
    format!("{reason}; use --ca FILE, or --pin {seen} if its operator confirms that")
}

/// A client's side of TLS that has not begun yet.
pub struct Handshake {
    connection: ClientConnection,
    verifier: Arc<Verifier>,
    verification: Verification,
}

impl Handshake {
    /// With `host` (a name or an address). `alpn` offers `nntp`, which is for connections that begin with
    /// TLS; `own` is the certificate that we show when we are asked for one.
    ///
    /// # Errors
    /// [`HandshakeError::Failed`]: what is asked for cannot be set up.
    pub fn new(
        host: &str,
        verification: &Verification,
        alpn: bool,
        own: Option<&OwnCertificate>,
    ) -> Result<Self, HandshakeError> {
        let failed = |why: String| HandshakeError::Failed(why);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier {
            known: known(verification, &provider)?,
            provider: Arc::clone(&provider),
            seen: OnceLock::new(),
        });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(OwnCertificate { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| failed(format!("our own certificate: {error}")))?,
        };
        if alpn {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(format!("{host:?} is neither a host name nor an address")))?;
        let connection =
            ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))?;
        Ok(Self { connection, verifier, verification: verification.clone() })
    }

    /// The connection, and what tells why its handshake failed.
    pub fn into_parts(self) -> (ClientConnection, impl FnOnce(io::Error) -> HandshakeError + Send) {
        let Self { connection, verifier, verification } = self;
        (connection, move |error| judged(error, &verifier, &verification))
    }
}

/// A certificate of ours and its key.
#[derive(Debug)]
pub struct OwnCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl OwnCertificate {
    /// Reads it from PEM files.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self { chain: server::certificates(certificate)?, key: server::private_key(key)? })
    }

    /// The fingerprint of its key, which others may pin.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.chain.first().and_then(Fingerprint::of_key)
    }
}

/// Does the handshake with `host` (a name or an address) over a connection. `alpn` offers `nntp`,
/// which is for connections that begin with TLS; `own` is the certificate that we show when we are asked
/// for one.
pub fn handshake(
    stream: &mut (impl Read + Write),
    host: &str,
    verification: &Verification,
    alpn: bool,
    own: Option<&OwnCertificate>,
) -> Result<ClientConnection, HandshakeError> {
    let (mut connection, why) = Handshake::new(host, verification, alpn, own)?.into_parts();
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(stream) {
            return Err(why(error));
        }
    }
    // What the last flight left to be written, such as a session ticket's acknowledgement.
    while connection.wants_write() {
        connection.write_tls(stream).map_err(HandshakeError::Io)?;
    }
    Ok(connection)
}

fn judged(error: io::Error, verifier: &Verifier, verification: &Verification) -> HandshakeError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(_)) => HandshakeError::NoTls,
        Some(why @ (Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_))) => {
            match verifier.seen.get() {
                Some(&seen) => HandshakeError::Certificate { why: distrust(why, seen, verification), seen },
                None => HandshakeError::Failed(format!("TLS: {why}")),
            }
        }
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            HandshakeError::Failed("the server speaks TLS, but not NNTP there".to_owned())
        }
        Some(other) => HandshakeError::Failed(format!("TLS: {other}")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            HandshakeError::Failed("the server closed the connection instead of beginning TLS".to_owned())
        }
        None => HandshakeError::Io(error),
    }
}

/// What is known of the server beforehand.
#[derive(Debug)]
enum Known {
    Authorities(Arc<WebPkiServerVerifier>),
    Pins(Vec<Fingerprint>),
    Nothing,
}

/// The machine's authorities: read once, it is a large file.
static AUTHORITIES: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

fn known(verification: &Verification, provider: &Arc<CryptoProvider>) -> Result<Known, HandshakeError> {
    let roots = match verification {
        Verification::Pins(pins) => return Ok(Known::Pins(pins.clone())),
        Verification::None => return Ok(Known::Nothing),
        Verification::Authorities if AUTHORITIES.is_empty() => {
            return Err(HandshakeError::Failed(
                "this machine knows no certificate authorities (package ca-certificates); use --ca FILE or \
                 --pin FINGERPRINT"
                    .to_owned(),
            ));
        }
        Verification::Authorities => Arc::clone(&AUTHORITIES),
        Verification::CaFile(path) => Arc::new(roots_of(path).map_err(HandshakeError::Failed)?),
    };
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map(Known::Authorities)
        .map_err(|error| HandshakeError::Failed(error.to_string()))
}

/// The certificates of a PEM file.
fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let said = |why: String| format!("{}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| said(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| said(format!("no PEM: {error}")))?;
        roots.add(certificate).map_err(|error| said(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(said("there is no certificate (BEGIN CERTIFICATE) in it".to_owned()));
    }
    Ok(roots)
}

/// Remembers what the server shows, whatever is thought of it.
#[derive(Debug)]
struct Verifier {
    known: Known,
    provider: Arc<CryptoProvider>,
    seen: OnceLock<Fingerprint>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of_key(end_entity).unwrap_or_else(|| Fingerprint::of_certificate(end_entity));
        // One connection shows one certificate.
        let _ = self.seen.set(seen);
        match &self.known {
            Known::Authorities(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Known::Pins(pins) if pins.iter().any(|pin| pin.is_of(end_entity)) => {
                Ok(ServerCertVerified::assertion())
            }
            Known::Pins(_) => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Known::Nothing => Ok(ServerCertVerified::assertion()),
        }
    }

    // That the server holds the certificate's key is verified in every case.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
