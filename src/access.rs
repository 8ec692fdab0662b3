//! Who may read, post and offer: a pure table. What a connection may do follows from who it is, not
//! from the port it came to; closed by default, because a rule must name it.
//!
//! RFC 5537 s.3.5 step 1: an injecting agent takes articles of trusted sources only. s.3.6: so does
//! a relaying agent.

use crate::config::{Peer, Site, Source};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What a connection may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rights {
    /// GROUP, ARTICLE, OVER, LIST, ...
    pub read: bool,
    /// POST.
    pub post: bool,
    /// The peers for which it may offer (IHAVE, CHECK, TAKETHIS), in the order of the config; several
    /// when they share an address, and the connection may then do what any of them may.
    pub peers: Vec<Arc<Peer>>,
}

impl Rights {
    /// May it do anything at all?
    pub fn any(&self) -> bool {
        self.read || self.post || !self.peers.is_empty()
    }
}

/// The rights of a connection from `address`. `hosts` has the addresses of the host names in
/// [`Peer::accept_from`], looked up before; a host that is not in it is not trusted.
pub fn rights(
    address: IpAddr,
    site: &Site,
    peers: &[Arc<Peer>],
    hosts: &HashMap<String, Vec<IpAddr>>,
) -> Rights {
    let is_from = |source: &Source| match source {
        Source::Network(network) => network.contains(address),
        Source::Host(name) => hosts.get(name).is_some_and(|addresses| {
            addresses.iter().any(|known| known.to_canonical() == address.to_canonical())
        }),
    };
    Rights {
        read: site.readers.iter().any(|network| network.contains(address)),
        post: site.posters.iter().any(|network| network.contains(address)),
        peers: peers.iter().filter(|peer| peer.accept_from.iter().any(is_from)).cloned().collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::PathIdentity;
    use crate::config::{Config, Network};
    use crate::wildmat::Wildmat;

    fn peer(name: &str, accept_from: Vec<Source>) -> Arc<Peer> {
        Arc::new(Peer {
            name: name.to_owned(),
            identities: vec![PathIdentity::try_from(name).unwrap()],
            address: None,
            accept_from,
            send: Wildmat::parse_subscription("*").unwrap(),
            accept: Wildmat::parse_subscription("*").unwrap(),
            connections: 1,
            window: 1,
            retry_max_s: 1,
        })
    }

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()[0]
    }

    #[test]
    fn closed_unless_a_rule_names_the_address() {
        let mut site = Config::built_in().site;
        site.readers = vec![network("192.0.2.0/24")];
        site.posters = vec![network("192.0.2.7")];
        let hosts = HashMap::from([("news.example".to_owned(), vec!["198.51.100.9".parse().unwrap()])]);
        let peers = [
            peer("a", vec![Source::Network(network("198.51.100.0/24"))]),
            peer("b", vec![Source::Host("news.example".to_owned())]),
            peer("c", vec![Source::Host("unknown.example".to_owned())]),
        ];
        let of = |address: &str| {
            let rights = rights(address.parse().unwrap(), &site, &peers, &hosts);
            let names: Vec<_> = rights.peers.iter().map(|peer| peer.name.clone()).collect();
            (rights.read, rights.post, names.join(","), rights.any())
        };
        assert_eq!(of("192.0.2.7"), (true, true, String::new(), true));
        assert_eq!(of("192.0.2.8"), (true, false, String::new(), true));
        assert_eq!(of("198.51.100.9"), (false, false, "a,b".to_owned(), true), "both share the address");
        assert_eq!(of("::ffff:198.51.100.9"), (false, false, "a,b".to_owned(), true));
        assert_eq!(of("198.51.100.8"), (false, false, "a".to_owned(), true));
        assert_eq!(of("203.0.113.1"), (false, false, String::new(), false));
        assert_eq!(of("::1"), (false, false, String::new(), false));
    }
}
