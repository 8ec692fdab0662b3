//! The servers that a domain names for NNTP in its SRV records (RFC 2782), and the order in which they
//! are tried. Nothing is asked here.

use crate::limits::{PORT, TLS_PORT};
use crate::random;
use std::net::IpAddr;

/// A service of a domain, by the name that it is registered under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// NNTP, in clear or with STARTTLS behind the greeting.
    Nntp,
    /// NNTP with TLS from the first octet (RFC 8143 s.3).
    Nntps,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Servers of a lower one are tried before those of a higher one.
    pub priority: u16,
    /// Among servers of one priority: its share of the clients.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The server's host name; empty for the root, which stands for "there is no such service".
    pub target: String,
}

impl Service {
    /// Where the records of a domain stand.
    pub fn name_at(self, domain: &str) -> String {
        let label = match self {
            Self::Nntp => "_nntp",
            Self::Nntps => "_nntps",
        };
        format!("{label}._tcp.{}", domain.trim_end_matches('.'))
    }

    /// The port of a host that has no records.
    pub fn port(self) -> u16 {
        match self {
            Self::Nntp => PORT,
            Self::Nntps => TLS_PORT,
        }
    }
}

/// Is it a name of Tor's, of i2p's or of another such network's, of which no resolver must hear (RFC 7686
/// s.2, RFC 9476 s.2)?
pub fn is_hidden(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let top = host.rsplit_once('.').map_or(host, |(_, top)| top);
    ["onion", "i2p", "alt"].iter().any(|hidden| top.eq_ignore_ascii_case(hidden))
}

/// Does the DNS know names such as `host`? It does not know addresses, names without a dot, names of this
/// machine (RFC 6761 s.6.3) and of its link (RFC 6762 s.3), and hidden ones.
pub fn is_in_dns(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let Some((_, top)) = host.rsplit_once('.') else { return false };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    // RFC 1035 s.2.3.4, with room for the labels of a service.
    host.len() <= 253 - "_nntps._tcp.".len()
        && host.split('.').all(label)
        && host.parse::<IpAddr>().is_err()
        && !matches!(top, "localhost" | "local")
        && !is_hidden(&host)
}

/// The servers in the order in which they are tried, those of one priority together: ordered anew at each
/// call, so that weights tell over many (RFC 2782, "Weight").
pub fn arrange(mut records: Vec<ServiceRecord>) -> Vec<Vec<ServiceRecord>> {
    // Those without weight come first in each round, so that they are drawn now and then.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut priorities: Vec<Vec<ServiceRecord>> = Vec::new();
    for record in records {
        match priorities.last_mut() {
            Some(same) if same.first().is_some_and(|first| first.priority == record.priority) => {
                same.push(record);
            }
            _ => priorities.push(vec![record]),
        }
    }
    for same in &mut priorities {
        let mut left = std::mem::take(same);
        while !left.is_empty() {
            let sum: u64 = left.iter().map(|record| u64::from(record.weight)).sum();
            let drawn = below(sum + 1);
            let mut running = 0;
            let chosen = left.iter().position(|record| {
                running += u64::from(record.weight);
                running >= drawn
            });
            same.push(left.remove(chosen.unwrap_or(0)));
        }
    }
    priorities
}

/// A random number below `end`.
fn below(end: u64) -> u64 {
    let mut octets = [0; 8];
    // Without randomness the load is merely spread less well.
    let _ = random::fill(&mut octets);
    u64::from_le_bytes(octets) % end
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static DICE: RefCell<Box<dyn FnMut(u64) -> u64>> = RefCell::new(Box::new(random::xorshift(7)));
    }

    fn draw(octets: &mut [u8]) {
        let drawn = || DICE.with_borrow_mut(|dice| dice(256)) as u8;
        octets.iter_mut().for_each(|octet| *octet = drawn());
    }

    fn record(priority: u16, weight: u16, target: &str) -> ServiceRecord {
        ServiceRecord { priority, weight, port: 119, target: target.to_owned() }
    }

    #[test]
    fn records_stand_below_the_domain() {
        assert_eq!(Service::Nntp.name_at("news.example"), "_nntp._tcp.news.example");
        assert_eq!(Service::Nntps.name_at("news.example."), "_nntps._tcp.news.example");
        assert_eq!((Service::Nntp.port(), Service::Nntps.port()), (119, 563));
    }

    #[test]
    fn only_names_of_the_dns_are_asked_for() {
        for host in ["news.example", "NEWS.Example.", "a_b.example.org", "1.2.3.example"] {
            assert!(is_in_dns(host), "{host}");
        }
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}example", "abcdefg.".repeat(30));
        for host in [
            "news",
            "localhost",
            "site.localhost",
            "host.local",
            "192.0.2.1",
            "2001:db8::1",
            "abcdef.onion",
            "abcdef.ONION.",
            "news.i2p",
            "",
            ".",
            "a..example",
            "b\u{fc}cher.example",
            "a\\.b.example",
            &long,
            &longer,
        ] {
            assert!(!is_in_dns(host), "{host}");
        }
    }

    #[test]
    fn priorities_come_in_their_order() {
        random::draw_from(Some(draw));
        let records =
            vec![record(20, 1, "c"), record(10, 0, "b"), record(5, 60_000, "a"), record(10, 0, "b")];
        let targets: Vec<Vec<String>> = arrange(records)
            .into_iter()
            .map(|same| same.into_iter().map(|record| record.target).collect())
            .collect();
        assert_eq!(targets, [vec!["a"], vec!["b", "b"], vec!["c"]]);
        assert!(arrange(Vec::new()).is_empty());
    }

    #[test]
    fn weights_are_shares() {
        random::draw_from(Some(draw));
        let records = || vec![record(1, 60, "a"), record(1, 30, "b"), record(1, 10, "c"), record(1, 0, "d")];
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..10_000 {
            let arranged = arrange(records());
            let [same] = arranged.as_slice() else { panic!("one priority") };
            assert_eq!(same.len(), 4);
            *first.entry(same[0].target.clone()).or_default() += 1;
        }
        // A hundredth of 101 for the one without weight: RFC 2782 gives it "a very small chance".
        for (target, share) in [("a", 5940), ("b", 2970), ("c", 990), ("d", 99)] {
            let count = first[target];
            assert!(count.abs_diff(share) < 200 && count > 50, "{target}: {first:?}");
        }
    }
}
