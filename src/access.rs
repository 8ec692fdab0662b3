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
