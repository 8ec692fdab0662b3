//! Who somebody is: what a connection has proved, and which peers that makes it.
//!
//! A peer is known by the key that it showed in the TLS handshake ([`Peer::keys`]), by the account it
//! has logged in to ([`Peer::account`]), or by the address it comes from ([`Peer::accept_from`]). The
//! first two prove more than an address does: who has one of them is that peer and no other. An
//! address is not believed where it cannot be the peer: in clear text when the peer is configured for
//! TLS, and when somebody shows another key than the peer's.

use crate::accounts::Account;
use crate::config::{DialTls, Peer, Source};
use crate::tls::server::Shown;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of somebody who connects.
#[derive(Clone, Debug)]
pub struct Client {
    /// From where, canonical.
    pub address: IpAddr,
    /// The connection is protected by TLS.
    pub tls: bool,
    /// The certificate whose key it has proved to have.
    pub shown: Option<Shown>,
    /// The account that it has logged in to.
    pub account: Option<Arc<Account>>,
}

impl From<IpAddr> for Client {
    /// Nothing is known yet but the address.
    fn from(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), tls: false, shown: None, account: None }
    }
}

impl Client {
    /// The peers that it is: those that it has proved to be, or else those of its address.
    pub(super) fn peers(&self, peers: &[Arc<Peer>], hosts: &HashMap<String, Vec<IpAddr>>) -> Vec<Arc<Peer>> {
        let named = |is: &dyn Fn(&Peer) -> bool| -> Vec<Arc<Peer>> {
            peers.iter().filter(|peer| self.is_private_enough(peer) && is(peer)).cloned().collect()
        };
        let proved = named(&|peer| self.has_key_of(peer) || self.has_account_of(peer));
        if !proved.is_empty() {
            return proved;
        }
        named(&|peer| {
            let shows_another_key = !peer.keys.is_empty() && self.shown.is_some();
            !shows_another_key && self.is_from(peer, hosts)
        })
    }

    /// By what it is known to be `peer`: `key`, `account` or `address`.
    pub fn proof_of(&self, peer: &Peer) -> &'static str {
        match (self.has_key_of(peer), self.has_account_of(peer)) {
            (true, _) => "key",
            (false, true) => "account",
            (false, false) => "address",
        }
    }

    fn has_key_of(&self, peer: &Peer) -> bool {
        self.shown.as_ref().is_some_and(|shown| peer.keys.iter().any(|&key| shown.is(key)))
    }

    fn has_account_of(&self, peer: &Peer) -> bool {
        self.account.as_ref().is_some_and(|account| peer.account.as_ref() == Some(&account.name))
    }

    /// A peer with TLS is never taken for it in clear text, whatever else is right.
    fn is_private_enough(&self, peer: &Peer) -> bool {
        self.tls || !needs_tls(peer)
    }

    fn is_from(&self, peer: &Peer, hosts: &HashMap<String, Vec<IpAddr>>) -> bool {
        peer.accept_from.iter().any(|source| match source {
            Source::Network(network) => network.contains(self.address),
            Source::Host(name) => hosts
                .get(name)
                .is_some_and(|addresses| addresses.iter().any(|known| known.to_canonical() == self.address)),
        })
    }
}

/// Is it spoken to over TLS only?
fn needs_tls(peer: &Peer) -> bool {
    peer.dial.as_ref().is_some_and(|dial| dial.tls != DialTls::Off)
}

/// May somebody be this peer behind TLS who is not in clear text?
pub(super) fn may_be_behind_tls(peer: &Peer) -> bool {
    !peer.keys.is_empty() || needs_tls(peer)
}

/// Somebody shows a certificate that is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongKey {
    /// By the names in it, or by its address, it wants to be a certain peer.
    pub is_meant: bool,
    /// What the log says: the fingerprint that it has, and those of the peers that it may want to be.
    pub line: String,
}

/// What is to be told of the certificate of somebody who connects, if it is no peer's. Not of one who is
/// another peer by its address: sites show their certificate to whoever asks for one.
pub fn wrong_key(
    client: &Client,
    peers: &[Arc<Peer>],
    hosts: &HashMap<String, Vec<IpAddr>>,
) -> Option<WrongKey> {
    /// More than these would only fill the line.
    const NAMED_MAX: usize = 3;
    let shown = client.shown.as_ref()?;
    if peers.iter().any(|peer| client.has_key_of(peer)) {
        return None;
    }
    let means = |peer: &Peer| {
        let by_name = peer
            .identities
            .iter()
            .any(|identity| shown.names.iter().any(|name| name.eq_ignore_ascii_case(identity.as_str())));
        !peer.keys.is_empty() && (by_name || client.is_from(peer, hosts))
    };
    let print = shown.key.unwrap_or(shown.certificate);
    let meant: Vec<String> = peers
        .iter()
        .filter(|peer| means(peer))
        .take(NAMED_MAX)
        .map(|peer| {
            let keys: Vec<String> = peer.keys.iter().map(ToString::to_string).collect();
            format!("peer \"{}\" has {}", peer.name, keys.join(" or "))
        })
        .collect();
    let is_meant = !meant.is_empty();
    if !is_meant && !client.peers(peers, hosts).is_empty() {
        return None;
    }
    let line = if is_meant {
        let meant = meant.join(", ");
        format!(
            "it shows the key {print}, but {meant}; if its operator confirms the new key, change \"pin\" \
             in peers.toml"
        )
    } else {
        format!("it shows the key {print}, which is no peer's")
    };
    Some(WrongKey { is_meant, line })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::accounts::Accounts;
    use crate::article::PathIdentity;
    use crate::config::{Dial, Network};
    use crate::tls::Fingerprint;

    const KEY: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

    fn peer(name: &str, change: impl FnOnce(&mut Peer)) -> Arc<Peer> {
        let mut peer = Peer::new(name, PathIdentity::try_from(format!("{name}.example").as_str()).unwrap());
        change(&mut peer);
        Arc::new(peer)
    }

    fn from_loopback(peer: &mut Peer) {
        peer.accept_from = Network::parse("127.0.0.0/8").unwrap().into_iter().map(Source::Network).collect();
    }

    fn keyed(peer: &mut Peer) {
        peer.keys = vec![Fingerprint::parse(KEY).unwrap()];
    }

    fn shown(text: &str) -> Option<Shown> {
        let key = Fingerprint::parse(text);
        Some(Shown { certificate: Fingerprint::parse(OTHER)?, key, names: vec!["pinned.example".to_owned()] })
    }

    fn client(address: &str, tls: bool, shown: Option<Shown>, account: Option<&str>) -> Client {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        std::fs::write(&file, "alice:*\nlogger:*\n").unwrap();
        let account = account.and_then(|name| Accounts::read(&file).unwrap().find(name));
        Client { tls, shown, account, ..Client::from(address.parse::<IpAddr>().unwrap()) }
    }

    #[test]
    fn a_key_or_an_account_proves_more_than_an_address() {
        let peers = [
            peer("near", from_loopback),
            peer("pinned", keyed),
            peer("both", |peer| {
                from_loopback(peer);
                keyed(peer);
                peer.keys = vec![Fingerprint::parse(OTHER).unwrap()];
            }),
            peer("logger", |peer| peer.account = Some("logger".to_owned())),
            peer("private", |peer| {
                from_loopback(peer);
                peer.dial = Some(Dial { tls: DialTls::StartTls, ..Dial::default() });
            }),
        ];
        let unknown = "sha256:0000000000000000000000000000000000000000000000000000000000000002";
        let mut strange = shown(unknown);
        if let Some(shown) = &mut strange {
            shown.certificate = Fingerprint::parse(unknown).unwrap();
        }
        for (what, client, expected) in [
            ("in clear", client("127.0.0.1", false, None, None), "near,both"),
            ("over TLS", client("127.0.0.1", true, None, None), "near,both,private"),
            ("from elsewhere", client("192.0.2.1", true, None, None), ""),
            ("a user", client("127.0.0.1", true, None, Some("alice")), "near,both,private"),
            ("its account", client("192.0.2.1", false, None, Some("logger")), "logger"),
            ("its account at a peer's address", client("127.0.0.1", true, None, Some("logger")), "logger"),
            ("its certificate", client("192.0.2.1", true, shown(KEY), None), "pinned,both"),
            ("another key", client("127.0.0.1", true, strange.clone(), None), "near,private"),
            ("another key from elsewhere", client("192.0.2.1", true, strange.clone(), None), ""),
        ] {
            let known = client.peers(&peers, &HashMap::new());
            let names: Vec<&str> = known.iter().map(|peer| peer.name.as_str()).collect();
            assert_eq!(names.join(","), expected, "{what}");
        }
    }

    #[test]
    fn a_wrong_key_is_told_with_both_fingerprints() {
        let peers = [peer("pinned", keyed), peer("other", from_loopback)];
        let unknown = "sha256:0000000000000000000000000000000000000000000000000000000000000002";
        let told = |shown| wrong_key(&client("192.0.2.1", true, shown, None), &peers, &HashMap::new());
        let WrongKey { is_meant, line } = told(shown(unknown)).unwrap();
        assert!(line.contains(unknown) && line.contains(KEY) && line.contains("\"pinned\""), "{line}");
        let mut nobody = shown(unknown);
        if let Some(shown) = &mut nobody {
            shown.names.clear();
        }
        let stranger = told(nobody.clone()).unwrap();
        assert!(is_meant && !stranger.is_meant);
        assert!(stranger.line.contains(unknown) && !stranger.line.contains(KEY), "{}", stranger.line);
        let near = client("127.0.0.1", true, nobody, None);
        assert_eq!(wrong_key(&near, &peers, &HashMap::new()), None, "its address is enough");
        assert_eq!(told(shown(KEY)), None);
        assert_eq!(told(None), None);
    }
}
