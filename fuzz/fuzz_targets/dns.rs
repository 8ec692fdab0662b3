//! Whatever a name server says behind the question: it is read or refused, and what it finds are hosts.
#![no_main]

use feedd::transport::dns::message::{Answer, Found, Kind, answer, question};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "_nntp._tcp.news.example";

fuzz_target!(|input: (u8, [u8; 2], [u8; 4], &[u8])| {
    let (kind, flags, counts, records) = input;
    let kind = [Kind::Service, Kind::V4, Kind::V6][usize::from(kind % 3)];
    let mut octets = question(7, NAME, kind).expect("it is a name");
    octets[2] = flags[0] | 0x80;
    octets[3] = flags[1];
    // Of answers up to 1023, of the others fewer.
    octets[6] = counts[0] & 3;
    octets[7] = counts[1];
    octets[9] = counts[2];
    octets[11] = counts[3];
    octets.extend_from_slice(records);
    let Answer::Found(found) = answer(&octets, 7, NAME, kind) else { return };
    assert!(found.len() <= 64 && found.len() * 11 <= records.len());
    for found in found {
        match found {
            Found::Service(record) => {
                assert_eq!(kind, Kind::Service);
                assert!(record.port != 0 || record.target.is_empty());
                assert!(record.target.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet)));
                assert!(!record.target.contains("..") && !record.target.starts_with('.'));
            }
            Found::Address(address) => assert_eq!(kind == Kind::V4, address.is_ipv4()),
        }
    }
    // To another question it is no answer.
    assert_eq!(answer(&octets, 8, NAME, kind), Answer::Another);
});
