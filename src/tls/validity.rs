//! Until when a certificate is valid: read from its DER, because who verifies does not tell.

use crate::clock::Timestamp;
use chrono::NaiveDate;
use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity (RFC 5280 s.4.1.2.5); none when it cannot be read.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version, serialNumber, signature, issuer,
    // validity SEQUENCE { notBefore, notAfter }, ... (RFC 5280 s.4.1).
    let (_, certificate) = element(&mut certificate.as_ref())?;
    let (_, mut fields) = element(&mut &*certificate)?;
    let (tag, _) = element(&mut &*fields)?;
    let before_validity = if tag == VERSION { 4 } else { 3 };
    for _ in 0..before_validity {
        element(&mut fields)?;
    }
    let (tag, mut validity) = element(&mut fields)?;
    element(&mut validity).filter(|_| tag == SEQUENCE)?;
    let (tag, text) = element(&mut validity)?;
    time(tag, text)
}

/// Takes the next element: its tag and its octets.
fn element<'a>(from: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = from.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Four octets of length are more than any certificate has.
        let count = usize::from(first & 0x7f);
        let octets = rest.get(..count).filter(|octets| (1..=4).contains(&octets.len()))?;
        (octets.iter().fold(0, |length, &octet| length << 8 | usize::from(octet)), rest.get(count..)?)
    };
    let value = rest.get(..length)?;
    *from = rest.get(length..)?;
    Some((tag, value))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 s.4.1.2.5.1, s.4.1.2.5.2).
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let short = match tag {
        UTC_TIME => true,
        GENERALIZED_TIME => false,
        _ => return None,
    };
    let wanted = if short { 12 } else { 14 };
    if digits.len() != wanted || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = digits.split_at(wanted - 10);
    let year: i32 = year.parse().ok()?;
    let year = match year {
        0..50 if short => year + 2000,
        _ if short => year + 1900,
        _ => year,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u32>().ok();
    let day = NaiveDate::from_ymd_opt(year, two(0)?, two(2)?)?;
    let moment = day.and_hms_opt(two(4)?, two(6)?, two(8)?)?;
    Some(Timestamp::from_unix_s(moment.and_utc().timestamp()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::self_signed;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn the_end_of_a_certificate_is_found() {
        for now in [1_800_000_000, 2_600_000_000] {
            let made = self_signed::make(&["a.example".to_owned()], Timestamp::from_unix_s(now)).unwrap();
            let certificate = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
            // The second one ends after 2050, where the form of the time is another.
            assert_eq!(not_after(&certificate), Some(Timestamp::from_unix_s(now + 3652 * 86_400)));
            for cut in 0..certificate.len().min(400) {
                let _ = not_after(&CertificateDer::from(&certificate[..cut]));
            }
        }
        for noise in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", &[0x30; 64]] {
            assert_eq!(not_after(&CertificateDer::from(noise)), None);
        }
    }

    #[test]
    fn times() {
        let s = |tag, text: &str| time(tag, text.as_bytes()).map(Timestamp::unix_s);
        assert_eq!(s(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(s(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(s(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        for text in ["700101000000", "7001010000Z", "701301000000Z", "70010100000äZ", "+00101000000Z"] {
            assert_eq!(s(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(s(SEQUENCE, "700101000000Z"), None);
    }
}
