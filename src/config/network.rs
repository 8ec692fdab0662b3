//! Who may come from where: addresses, prefixes, hosts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a peer may come from: a network, or a host whose addresses are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Addresses as written.
    Network(Network),
    /// A host name: all its addresses.
    Host(String),
}

/// An address or a prefix: `192.0.2.1`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address; bits behind `prefix` are zero.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// Why a text names no network, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork {
    /// What is wrong with it.
    pub what: String,
    /// How to mend it.
    pub cure: String,
}

impl Network {
    /// 127.0.0.0/8 and ::1, which the word `loopback` stands for.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// Every address there is, which the word `anywhere` stands for.
    pub const ANYWHERE: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 },
        Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 0 },
    ];

    /// The network of one address alone.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Reads an address, a prefix, or one of the words `loopback` and `anywhere`, which are two
    /// networks each.
    pub fn parse(text: &str) -> Result<Vec<Self>, BadNetwork> {
        match text {
            "loopback" => return Ok(Self::LOOPBACK.to_vec()),
            "anywhere" => return Ok(Self::ANYWHERE.to_vec()),
            _ => {}
        }
        let (address_text, prefix_text) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address_text.parse::<IpAddr>() else {
            return Err(BadNetwork {
                what: format!("\"{text}\" is neither an address nor a network"),
                cure: "write an address (192.0.2.1), a prefix (192.0.2.0/24, 2001:db8::/32), \
                       \"loopback\" or \"anywhere\""
                    .to_owned(),
            });
        };
        let address = address.to_canonical();
        let whole = Self::host(address);
        let Some(prefix_text) = prefix_text else { return Ok(vec![whole]) };
        let prefix = match prefix_text.parse::<u8>() {
            Ok(prefix) if prefix <= whole.prefix => prefix,
            _ => {
                return Err(BadNetwork {
                    what: format!("\"{text}\" has no prefix length of 0 to {}", whole.prefix),
                    cure: format!("write {address}/N with N from 0 to {}", whole.prefix),
                });
            }
        };
        let network = Self { address: leading_bits(address, prefix), prefix };
        if network.address != address {
            return Err(BadNetwork {
                what: format!("\"{text}\" has bits set behind its prefix"),
                cure: format!("write \"{network}\" for the network or \"{address}\" for the one address"),
            });
        }
        Ok(vec![network])
    }

    /// Is every address of `other` inside?
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Is `address` inside? An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && leading_bits(address, self.prefix) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if *self == Self::host(self.address) { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(host) => f.write_str(host),
        }
    }
}

/// `address` with all bits behind the first `prefix` cleared.
fn leading_bits(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()[0]
    }

    #[test]
    fn contains_what_the_prefix_says() {
        for (text, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
            ("127.0.0.0/8", "::ffff:127.3.2.1", "::ffff:128.0.0.1"),
        ] {
            assert!(network(text).contains(inside.parse().unwrap()), "{text} contains {inside}");
            assert!(!network(text).contains(outside.parse().unwrap()), "{text} contains not {outside}");
        }
    }

    #[test]
    fn prints_what_it_read() {
        for text in ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "::1"] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(Network::parse("loopback").unwrap(), Network::LOOPBACK);
        assert_eq!(network("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in
            ["", "localhost", "192.0.2", "192.0.2.1/24", "192.0.2.0/33", "::/129", "192.0.2.0/", "1.2.3.4/-1"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        let bad = Network::parse("192.0.2.1/24").unwrap_err();
        assert_eq!(bad.cure, "write \"192.0.2.0/24\" for the network or \"192.0.2.1\" for the one address");
    }
}
