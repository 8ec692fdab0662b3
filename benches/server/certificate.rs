//! TLS of the measurement: a certificate that nobody has signed, and a client that believes anybody.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConnection, SignatureScheme,
};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Gives the site in `dir` a certificate and a section `[tls]`.
pub fn equip(dir: &Path) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    fs::write(dir.join(CERTIFICATE), made.cert.pem())?;
    fs::write(dir.join(KEY), made.signing_key.serialize_pem())?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(dir.join(KEY), private)?;
    let mut config = fs::OpenOptions::new().append(true).open(dir.join("feedd.toml"))?;
    write!(config, "\n[tls]\ncertificate = \"{CERTIFICATE}\"\nkey = \"{KEY}\"\n")
}

/// The client's side, for all connections.
pub fn client() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let provider = Arc::new(ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
                .with_no_client_auth();
            Arc::new(config)
        })
        .clone()
}

/// Octets a second that one core encrypts with the same library and settings as the server, from
/// memory to memory.
pub fn sealing(time: Duration) -> io::Result<f64> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("feedd.toml"), "")?;
    equip(dir.path())?;
    let config = feedd::tls::server::config(&dir.path().join(CERTIFICATE), &dir.path().join(KEY), None)
        .map_err(|e| io::Error::other(e.to_string()))?;
    let mut server = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut client = ClientConnection::new(client(), name).map_err(io::Error::other)?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire)?;
        server.read_tls(&mut &wire[..])?;
        server.process_new_packets().map_err(io::Error::other)?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        client.read_tls(&mut &wire[..])?;
        client.process_new_packets().map_err(io::Error::other)?;
    }
    let piece = vec![b'a'; 64 * 1024];
    let mut sealed = 0usize;
    let began = Instant::now();
    while began.elapsed() < time {
        server.writer().write_all(&piece)?;
        while server.wants_write() {
            server.write_tls(&mut io::sink())?;
        }
        sealed += piece.len();
    }
    Ok(sealed as f64 / began.elapsed().as_secs_f64())
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
