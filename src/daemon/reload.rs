//! What a reload has changed, in words for the operator.

use crate::config::{Config, Contract, Dial, Peer, Site};

/// Lines that say what is different in `new`: `old` was in force before it, and with `began` the site was
/// started, which is what counts where only a restart applies a change.
pub(super) fn told(began: &Config, old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let mut names = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    };
    let old_of = |peer: &Peer| old.peers.iter().find(|old| old.name == peer.name);
    let is_in = |peers: &[Peer], peer: &Peer| peers.iter().any(|other| other.name == peer.name);
    names(
        "peers added",
        new.peers.iter().filter(|peer| !is_in(&old.peers, peer)).map(|peer| peer.name.as_str()).collect(),
    );
    names(
        "peers removed, their places in the log are kept",
        old.peers.iter().filter(|peer| !is_in(&new.peers, peer)).map(|peer| peer.name.as_str()).collect(),
    );
    for (peer, old) in new.peers.iter().filter_map(|peer| Some((peer, old_of(peer)?))) {
        if peer != old {
            lines.push(format!("peer {} changed: {}", peer.name, keys(old, peer).join(", ")));
        }
    }
    let site = in_force(&old.site, &new.site);
    if !site.is_empty() {
        lines.push(format!("in feedd.toml changed: {}", site.join(", ")));
    }
    if old.lists != new.lists {
        lines.push("the lists of newsreaders changed, for connections from now on".to_owned());
    }
    let fixed = fixed(&began.site, &new.site);
    if !fixed.is_empty() {
        lines.push(format!("changed, and needs a restart: {}", fixed.join(", ")));
    }
    lines
}

fn differing(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
}

/// The keys of a peer's block that differ.
fn keys(old: &Peer, new: &Peer) -> Vec<&'static str> {
    let mut keys = differing(&[("identity", old.identities != new.identities)]);
    keys.extend(dialling(old.dial.as_ref(), new.dial.as_ref()));
    let same_pins = old.dial.as_ref().map(|dial| &dial.pins) == new.dial.as_ref().map(|dial| &dial.pins);
    keys.extend(differing(&[
        ("accept_from", old.accept_from != new.accept_from),
        ("account", old.account != new.account),
        ("pin", old.keys != new.keys && same_pins),
    ]));
    let sides = [("send", &old.send, &new.send), ("accept", &old.accept, &new.accept)];
    keys.extend(sides.iter().flat_map(|(side, old, new)| contract(side, old, new)));
    keys.extend(differing(&[
        ("delay_s", old.delay_s != new.delay_s),
        ("schedule", old.schedule != new.schedule),
        ("backup_of", old.backup_of != new.backup_of),
        ("batch", old.batch != new.batch),
        ("turn", old.turn != new.turn),
        ("bytes_s_max", old.bytes_s_max != new.bytes_s_max),
        ("connections", old.connections != new.connections),
        ("connections_in_max", old.connections_in_max != new.connections_in_max),
        ("window", old.window != new.window),
        ("retry_max_s", old.retry_max_s != new.retry_max_s),
    ]));
    if keys.is_empty() {
        keys.push("something else");
    }
    keys
}

fn dialling(old: Option<&Dial>, new: Option<&Dial>) -> Vec<&'static str> {
    let (Some(old), Some(new)) = (old, new) else {
        return differing(&[("address", old.is_some() != new.is_some())]);
    };
    differing(&[
        ("address", old.addresses != new.addresses),
        ("tls", old.tls != new.tls),
        ("pin", old.pins != new.pins),
        ("ca", old.ca != new.ca),
        ("user", old.user != new.user),
        ("password_file", old.password_file != new.password_file),
        ("proxy", old.proxy != new.proxy),
        ("compress", old.compress != new.compress),
    ])
}

/// `send` where its newsgroups differ, `send.bytes_max` and the like where something else does.
fn contract(side: &str, old: &Contract, new: &Contract) -> Vec<&'static str> {
    let sends = side == "send";
    let name = |send: &'static str, accept: &'static str| if sends { send } else { accept };
    differing(&[
        (name("send", "accept"), old.newsgroups != new.newsgroups),
        (name("send.distributions", "accept.distributions"), old.distributions != new.distributions),
        (name("send.bytes_max", "accept.bytes_max"), old.bytes_max != new.bytes_max),
        (name("send.crosspost_max", "accept.crosspost_max"), old.crosspost_max != new.crosspost_max),
        (name("send.hops_max", "accept.hops_max"), old.hops_max != new.hops_max),
        (name("send.age_days_max", "accept.age_days_max"), old.age_days_max != new.age_days_max),
        (name("send.origin", "accept.origin"), old.origin != new.origin),
        (name("send.kinds", "accept.kinds"), old.kinds != new.kinds),
    ])
}

/// The keys of `feedd.toml` that differ and are in force at once.
fn in_force(old: &Site, new: &Site) -> Vec<&'static str> {
    differing(&[
        ("readers", old.readers != new.readers),
        ("posters", old.posters != new.posters),
        ("clear_logins", old.clear_logins != new.clear_logins),
        ("[[access.rule]]", old.rules != new.rules),
        ("[tls]", old.tls != new.tls),
        ("peers", old.peers != new.peers),
        ("dns", old.name_servers != new.name_servers),
    ])
}

/// The keys of `feedd.toml` that differ from those the site was started with, and stay as they were.
fn fixed(began: &Site, new: &Site) -> Vec<&'static str> {
    differing(&[
        ("identity", began.identity != new.identity),
        ("listen", began.listen != new.listen),
        ("listen_tls", began.listen_tls != new.listen_tls),
        ("data", began.data != new.data),
        ("users", began.users != new.users),
        ("cutoff_days", began.cutoff_days != new.cutoff_days),
        ("newslog", began.news_log() != new.news_log()),
        ("feedlog", began.feed_log() != new.feed_log()),
        ("log_bytes_max", began.log_bytes_max != new.log_bytes_max),
        ("[limits]", began.limits != new.limits),
    ])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(peers: &str) -> Config {
        let mut config = Config::built_in();
        config.peers = Config::check_peers(&config.site, Path::new("peers.toml"), peers).unwrap();
        config
    }

    #[test]
    fn what_has_changed_is_named_key_by_key() {
        let old = config(
            "[[peer]]\nname = \"b\"\naddress = \"b.example:119\"\n[[peer]]\nname = \"c\"\naddress = \"c.example:119\"\n[[peer]]\nname = \"d\"\naddress = \"d.example:119\"\n",
        );
        assert!(told(&old, &old, &old).is_empty());
        let mut new = config(
            "[[peer]]\nname = \"b\"\naddress = \"b.example:1119\"\nwindow = 9\n[peer.send]\nnewsgroups = \"comp.*\"\nbytes_max = \"64 KiB\"\n[[peer]]\nname = \"c\"\naddress = \"c.example:119\"\n[[peer]]\nname = \"e\"\naddress = \"e.example:119\"\n",
        );
        new.site.readers.clear();
        new.site.cutoff_days = Some(3);
        new.site.log_bytes_max = 1 << 20;
        let expected = [
            "peers added: e",
            "peers removed, their places in the log are kept: d",
            "peer b changed: address, send, send.bytes_max, window",
            "in feedd.toml changed: readers",
            "changed, and needs a restart: cutoff_days, log_bytes_max",
        ];
        // accept_from follows the address where it is not given.
        let told_now: Vec<String> =
            told(&old, &old, &new).iter().map(|line| line.replace(" accept_from,", "")).collect();
        assert_eq!(told_now, expected);
        assert_eq!(
            told(&old, &new, &new),
            ["changed, and needs a restart: cutoff_days, log_bytes_max"],
            "until it was restarted"
        );
    }
}
