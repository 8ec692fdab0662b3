//! Certificates that a site makes for itself: for a site that no authority knows, and for tests. Who
//! connects must be given the certificate, or its fingerprint, by hand.

use crate::clock::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long one is valid: ten years, for nobody renews it but its operator.
const VALID: Duration = Duration::from_secs(3652 * 86_400);
/// Before its making, for clocks that go behind.
const BEFORE: Duration = Duration::from_secs(86_400);
/// Octets of a common name (RFC 5280, ub-common-name).
const COMMON_NAME_MAX: usize = 64;

/// A certificate and its key, each as PEM text.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate, which is its own authority.
    pub certificate: String,
    /// Its private key (ECDSA on P-256, PKCS #8).
    pub key: String,
}

/// The names that a site is reached by: its identity, the host itself, and the addresses it listens on.
pub fn names(identity: &str, listen: &[SocketAddr]) -> Vec<String> {
    let mut names: Vec<String> = [identity, "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for address in listen.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()) {
        let name = IpAddr::to_canonical(&address).to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Makes a certificate for `names` (DNS names and addresses), valid for ten years from `now`.
///
/// # Errors
/// A name that no certificate can have, or there are no random numbers; one line.
pub fn make(names: &[String], now: Timestamp) -> Result<SelfSigned, String> {
    let failed = |error: rcgen::Error| format!("no certificate can be made: {error}");
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let now = Duration::from_secs(u64::try_from(now.unix_s()).unwrap_or_default());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BEFORE);
    params.not_after = epoch + now + VALID;
    params.distinguished_name = DistinguishedName::new();
    let name = names.first().filter(|name| name.len() <= COMMON_NAME_MAX);
    params.distinguished_name.push(DnType::CommonName, name.map_or("feedd", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // To show it where this site is the client, too.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(SelfSigned { certificate: certificate.pem(), key: key.serialize_pem() })
}

impl SelfSigned {
    /// Writes both to new files, the key for its owner alone; folders that are missing are made.
    ///
    /// # Errors
    /// A file is there already, or cannot be written; the path and why.
    pub fn write(&self, certificate: &Path, key: &Path) -> Result<(), String> {
        for (path, text, mode) in [(certificate, &self.certificate, 0o644), (key, &self.key, 0o600)] {
            write_new(path, text, mode).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::{RootCertStore, ServerConfig};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

    #[test]
    fn clients_that_trust_it_believe_it_for_ten_years_under_each_of_its_names() {
        let names =
            names("news.example.org", &["192.0.2.7:119".parse().unwrap(), "[::]:563".parse().unwrap()]);
        assert_eq!(names, ["news.example.org", "localhost", "127.0.0.1", "::1", "192.0.2.7"]);
        let made = make(&names, NOW).unwrap();
        let certificate = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let believed = |name: &str, days: i64| {
            let at = u64::try_from(NOW.plus_s(days * 86_400).unix_s()).unwrap();
            let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier.verify_server_cert(&certificate, &[], &name, &[], at).is_ok()
        };
        for name in &names {
            assert!(believed(name, 0), "{name}");
        }
        assert!(believed("localhost", 3650) && !believed("localhost", 3660) && !believed("localhost", -2));
        assert!(!believed("other.example.org", 0));
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
    }

    #[test]
    fn the_files_are_new_and_the_key_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["tls/certificate.pem", "tls/key.pem"].map(|name| folder.path().join(name));
        let long = "a".repeat(COMMON_NAME_MAX + 1);
        let made = make(&[long], NOW).unwrap();
        made.write(&certificate, &key).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&key), 0o600);
        assert!(made.write(&certificate, &key).unwrap_err().contains("certificate.pem"));
        assert!(make(&["ä".to_owned()], NOW).is_err());
    }
}
