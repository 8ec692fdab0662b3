//! Who may read, post and offer: a pure table. What a connection may do follows from who it is, not
//! from the port it came to; closed by default, because a rule must name it. Who it is stands in
//! `client`: a peer is known by its key, its account or its address. And how often:
//! [`Throttle`] slows those who guess passwords, [`Quotas`] counts what is posted. Neither reads a
//! clock, both are bounded.
//!
//! RFC 5537 s.3.5 step 1: an injecting agent takes articles of trusted sources only. s.3.6: so does
//! a relaying agent.

mod client;
mod quotas;
mod throttle;

pub use crate::config::Scope;
pub use client::{Client, WrongKey, wrong_key};
pub use quotas::{Exceeded, Key, Quotas};
pub use throttle::Throttle;

use crate::accounts::Accounts;
use crate::config::{Network, Peer, Rule, Site};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// What a connection may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rights {
    /// GROUP, ARTICLE, OVER, LIST, ...
    pub read: Scope,
    /// POST.
    pub post: Scope,
    /// The peers for which it may offer (IHAVE, CHECK, TAKETHIS), in the order of the config; several
    /// when they share an address, and the connection may then do what any of them may.
    pub peers: Vec<Arc<Peer>>,
    /// The rule that decided what it may read and post; it may have limits.
    pub rule: Option<Arc<Rule>>,
}

impl Rights {
    /// May it do anything at all?
    pub fn any(&self) -> bool {
        self.read.any() || self.post.any() || !self.peers.is_empty()
    }
}

/// What somebody could get by logging in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginHelps {
    /// Some account reads what this connection may not: 480 is the answer and not 502
    /// (RFC 3977 s.3.2.1).
    pub read: bool,
    /// Some account posts where this connection may not.
    pub post: bool,
    /// Some account is a peer's, and this connection is no peer's.
    pub offer: bool,
    /// It is no peer's as things are, and might be one's behind TLS: there a peer may show its key.
    pub offer_behind_tls: bool,
}

/// The rights of somebody who connects. `hosts` has the addresses of the host names in
/// [`Peer::accept_from`], looked up before; a host that is not in it is not trusted.
pub fn rights(
    client: &Client,
    site: &Site,
    peers: &[Arc<Peer>],
    hosts: &HashMap<String, Vec<IpAddr>>,
) -> Rights {
    let (address, account) = (client.address, client.account.as_deref());
    let rule = site.rules.iter().find(|rule| rule.matches(address, account)).cloned();
    let (read, post) = match &rule {
        Some(rule) => (rule.read.clone(), rule.post.clone()),
        None if account.is_some() => (Scope::All, Scope::All),
        None => (scope(&site.readers, address), scope(&site.posters, address)),
    };
    Rights { read, post, peers: client.peers(peers, hosts), rule }
}

fn scope(networks: &[Network], address: IpAddr) -> Scope {
    if networks.iter().any(|network| network.contains(address)) { Scope::All } else { Scope::Nothing }
}

/// Could a connection that has not logged in, and has the rights `without`, get more with an account,
/// or with TLS? Asked of the rules and not of each account: an account that a rule names need not be
/// there yet.
pub fn login_helps(
    client: &Client,
    without: &Rights,
    site: &Site,
    accounts: &Accounts,
    peers: &[Arc<Peer>],
) -> LoginHelps {
    let address = client.address;
    let mut helps = LoginHelps::default();
    if without.peers.is_empty() {
        helps.offer_behind_tls = !client.tls && peers.iter().any(|peer| client::may_be_behind_tls(peer));
    }
    if accounts.is_empty() {
        return helps;
    }
    helps.offer = without.peers.is_empty() && peers.iter().any(|peer| peer.account.is_some());
    let mut gives = |read: &Scope, post: &Scope| {
        // Of two lists of patterns neither is surely the larger: then it may help.
        helps.read |= without.read != Scope::All && read.any() && *read != without.read;
        helps.post |= without.post != Scope::All && post.any() && *post != without.post;
    };
    for rule in site.rules.iter().filter(|rule| rule.is_for_address(address)) {
        gives(&rule.read, &rule.post);
        if rule.takes_all_accounts() {
            return helps;
        }
    }
    gives(&Scope::All, &Scope::All);
    helps
}

/// What counts as one address where connections, failures and posts are counted: of IPv6 the /64,
/// which is what one subscriber has.
pub fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::PathIdentity;
    use crate::config::{Config, Source};
    use crate::wildmat::Wildmat;

    fn peer(name: &str, accept_from: Vec<Source>) -> Arc<Peer> {
        Arc::new(Peer { accept_from, ..Peer::new(name, PathIdentity::try_from(name).unwrap()) })
    }

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()[0]
    }

    /// A site with this text behind `[access]`.
    fn site(access: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("feedd.toml");
        std::fs::write(&file, format!("identity = \"a.example\"\n[access]\n{access}")).unwrap();
        Config::read(&file).unwrap().site
    }

    /// Accounts as in the file of them.
    fn accounts(lines: &str) -> Accounts {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        std::fs::write(&file, lines).unwrap();
        Accounts::read(&file).unwrap()
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
            let rights = rights(&Client::from(address.parse::<IpAddr>().unwrap()), &site, &peers, &hosts);
            let names: Vec<_> = rights.peers.iter().map(|peer| peer.name.clone()).collect();
            (rights.read.any(), rights.post.any(), names.join(","), rights.any())
        };
        assert_eq!(of("192.0.2.7"), (true, true, String::new(), true));
        assert_eq!(of("192.0.2.8"), (true, false, String::new(), true));
        assert_eq!(of("198.51.100.9"), (false, false, "a,b".to_owned(), true), "both share the address");
        assert_eq!(of("::ffff:198.51.100.9"), (false, false, "a,b".to_owned(), true));
        assert_eq!(of("198.51.100.8"), (false, false, "a".to_owned(), true));
        assert_eq!(of("203.0.113.1"), (false, false, String::new(), false));
        assert_eq!(of("::1"), (false, false, String::new(), false));
    }

    const RULES: &str = r#"
readers = ["192.0.2.0/24"]
posters = ["192.0.2.7"]
[[access.rule]]
accounts = ["mallory"]
read = "!*"
[[access.rule]]
accounts = ["@staff", "alice"]
networks = ["10.0.0.0/8"]
read = "*"
post = "*"
[[access.rule]]
accounts = ["@staff"]
read = "*"
post = "local.*,!local.secret.*"
[[access.rule]]
networks = ["10.1.0.0/16"]
read = "public.*"
[[access.rule]]
accounts = ["*"]
networks = ["203.0.113.0/24"]
read = "*"
"#;
    const USERS: &str = "alice:*\nbob:*:staff\ncarol:*:other\nmallory:*:staff\n";

    /// From where and as whom: what is read, where is posted, and does logging in help?
    #[test]
    fn the_first_rule_that_matches_decides() {
        let site = site(RULES);
        let accounts = accounts(USERS);
        for (address, name, read, post) in [
            ("10.0.0.1", "alice", "*", "*"),
            ("10.0.0.1", "bob", "*", "*"),
            ("10.1.0.1", "bob", "*", "*"),
            ("10.1.0.1", "carol", "public.*", "!*"),
            ("10.1.0.1", "", "public.*", "!*"),
            ("10.0.0.1", "carol", "*", "*"),
            ("10.0.0.1", "", "!*", "!*"),
            ("198.51.100.1", "bob", "*", "local.*,!local.secret.*"),
            ("198.51.100.1", "alice", "*", "*"),
            ("198.51.100.1", "mallory", "!*", "!*"),
            ("10.0.0.1", "mallory", "!*", "!*"),
            ("192.0.2.7", "", "*", "*"),
            ("192.0.2.8", "", "*", "!*"),
            ("192.0.2.8", "carol", "*", "*"),
            ("203.0.113.9", "carol", "*", "!*"),
            ("203.0.113.9", "", "!*", "!*"),
            ("203.0.113.9", "bob", "*", "local.*,!local.secret.*"),
        ] {
            let account = accounts.find(name);
            let client = Client { account, ..Client::from(address.parse::<IpAddr>().unwrap()) };
            let got = rights(&client, &site, &[], &HashMap::new());
            assert_eq!(
                (got.read.to_string().as_str(), got.post.to_string().as_str()),
                (read, post),
                "{name} from {address}"
            );
            assert_eq!(got.any(), read != "!*" || post != "!*");
        }
    }

    #[test]
    fn login_helps_where_an_account_gets_more() {
        let everybody = "accounts = [\"*\"]\nread = \"*\"\n[[access.rule]]\nnetworks = [\"loopback\"]\n";
        let cases = [
            (RULES.to_owned(), "192.0.2.7", (false, false)),
            (RULES.to_owned(), "192.0.2.8", (false, true)),
            (RULES.to_owned(), "203.0.113.9", (true, true)),
            // A rule without accounts takes all who come from there, but staff has one before it.
            (RULES.to_owned(), "10.1.0.1", (true, true)),
            ("readers = []\nposters = []\n".to_owned(), "127.0.0.1", (true, true)),
            (String::new(), "127.0.0.1", (false, false)),
            (
                format!("readers = []\nposters = []\n[[access.rule]]\n{everybody}read = \"*\""),
                "127.0.0.1",
                (false, false),
            ),
            (
                format!("readers = []\nposters = []\n[[access.rule]]\n{everybody}read = \"*\""),
                "10.0.0.1",
                (true, false),
            ),
            (
                "[[access.rule]]\nnetworks = [\"anywhere\"]\nread = \"a.*\"\n".to_owned(),
                "127.0.0.1",
                (false, false),
            ),
        ];
        for (access, address, (read, post)) in cases {
            let site = site(&access);
            let client = Client::from(address.parse::<IpAddr>().unwrap());
            let without = rights(&client, &site, &[], &HashMap::new());
            let helps = login_helps(&client, &without, &site, &accounts(USERS), &[]);
            let expected = LoginHelps { read, post, ..LoginHelps::default() };
            assert_eq!(helps, expected, "from {address} with {access}");
            let nobody = login_helps(&client, &without, &site, &Accounts::default(), &[]);
            assert_eq!(nobody, LoginHelps::default());
        }
    }

    #[test]
    fn a_scope_of_newsgroups() {
        let scope = Scope::from(Wildmat::parse("*,!local.secret.*").unwrap());
        assert!(scope.allows("local.general") && !scope.allows("local.secret.x"));
        assert!(scope.allows_any(["local.secret.x", "comp.test"]) && !scope.allows_any(["local.secret.x"]));
        assert_eq!(scope.first_denied(["comp.test", "local.secret.x"]), Some("local.secret.x"));
        assert_eq!(Scope::All.first_denied(["comp.test"]), None);
        assert_eq!(Scope::Nothing.first_denied(["comp.test"]), Some("comp.test"));
        assert!(!Scope::Nothing.allows_any(["comp.test"]) && Scope::All.allows_any(["comp.test"]));
        for (text, scope) in [("*", Scope::All), ("!*", Scope::Nothing)] {
            assert_eq!(Scope::from(Wildmat::parse(text).unwrap()), scope);
        }
    }

    #[test]
    fn an_ipv6_subscriber_counts_once() {
        for (address, counted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(counted_address(address.parse().unwrap()), counted.parse::<IpAddr>().unwrap());
        }
    }
}
