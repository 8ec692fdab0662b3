//! Fingerprints of certificates: SHA-256 of the whole certificate or of its public key, by which a
//! server is known without an authority.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use std::fmt;

/// A SHA-256. Its text is `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate (DER).
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Self {
        Self(sha256(certificate))
    }

    /// The fingerprint of a certificate's public key (the DER of its SubjectPublicKeyInfo), which
    /// stays when the certificate is renewed with the same key; none when it cannot be parsed.
    pub fn of_key(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        Some(Self(sha256(&parsed.subject_public_key_info())))
    }

    /// Is it that of this certificate or of its public key?
    pub fn is_of(self, certificate: &CertificateDer<'_>) -> bool {
        self == Self::of_certificate(certificate) || Self::of_key(certificate) == Some(self)
    }

    /// Reads what tools print: hexadecimal with or without colons, or base64; `sha256:`, `sha256/`
    /// or `sha256=` before it may be there.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let value = match text.get(..7) {
            Some(prefix) if ["sha256:", "sha256/", "sha256="].contains(&&*prefix.to_ascii_lowercase()) => {
                &text[7..]
            }
            _ => text,
        };
        let digits: Vec<u8> = value.bytes().filter(|octet| *octet != b':').collect();
        let octets = if digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit) {
            let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digits.chunks(2).filter_map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
        } else {
            STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok()?
        };
        Some(Self(octets.try_into().ok()?))
    }
}

/// SHA-256.
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // The provider's own SHA-256, by way of a suite that is made of it.
    if let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 {
        hash.copy_from_slice(suite.common.hash_provider.hash(octets).as_ref());
    }
    hash
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_come_in_the_forms_that_tools_print() {
        let hash = Fingerprint(sha256(b"abc"));
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), format!("sha256:{hex}"));
        let pairs: Vec<&str> = (0..32).map(|at| &hex[2 * at..2 * at + 2]).collect();
        for text in [
            hex.to_owned(),
            format!("sha256:{hex}"),
            format!("SHA256={}", pairs.join(":").to_uppercase()),
            "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".to_owned(),
            "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0".to_owned(),
        ] {
            assert_eq!(Fingerprint::parse(&text), Some(hash), "{text}");
        }
        for text in ["", "sha256:", "abcd", &hex[..62], "sha256:grüße", "é"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_certificate_is_known_by_itself_or_by_its_key() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let certificate = made.cert.der();
        let by_key = Fingerprint(sha256(&rcgen::PublicKeyData::subject_public_key_info(&made.signing_key)));
        assert_eq!(Fingerprint::of_key(certificate), Some(by_key));
        for print in [Fingerprint::of_certificate(certificate), by_key] {
            assert!(print.is_of(certificate));
            assert!(!print.is_of(other.cert.der()));
        }
    }
}
