//! What a peer that asks (XPEER) is told of how it stands here, so that `feedd doctor` at the other end
//! sees both ends. Only what concerns this peer: neither addresses nor files of this site, nor other peers.

use crate::access::Client;
use crate::clock::Timestamp;
use crate::config::{ArticleOrigin, Contract, DialTls, Peer, Site};
use crate::feed::FeedStatus;

/// Who asks, whom, and when.
pub(super) struct Asked<'a> {
    pub(super) site: &'a Site,
    pub(super) client: &'a Client,
    /// When this site's certificate ends, if it has one.
    pub(super) certificate_ends: Option<Timestamp>,
    pub(super) now: Timestamp,
}

type View = Vec<(&'static str, String)>;

/// Keys and values.
pub(super) fn of(asked: &Asked<'_>, peer: &Peer, feed: Option<&FeedStatus>) -> View {
    let Asked { site, client, .. } = asked;
    let identities: Vec<String> = peer.identities.iter().map(ToString::to_string).collect();
    let mut view = vec![
        ("site", site.identity.to_string()),
        ("software", format!("feedd {}", env!("CARGO_PKG_VERSION"))),
        ("called", peer.name.clone()),
        ("known_by", client.proof_of(peer).to_owned()),
        ("tls", if client.tls { "yes" } else { "no" }.to_owned()),
        ("identity", identities.join(" ")),
    ];
    if let Some(ends) = asked.certificate_ends {
        let days = (ends.unix_s() - asked.now.unix_s()).div_euclid(86_400);
        view.push(("certificate.days", days.to_string()));
    }
    contract(["accept", "accept.distributions", "accept.origin", "accept.kinds"], &peer.accept, &mut view);
    contract(["send", "send.distributions", "send.origin", "send.kinds"], &peer.send, &mut view);
    // The site's own limits count as well, for what comes and so for what can leave.
    let of_site = (site.limits.article_bytes_max, site.limits.crosspost_max, site.cutoff_days);
    let accepts = ["accept.bytes_max", "accept.crosspost_max", "accept.hops_max", "accept.age_days_max"];
    let sends = ["send.bytes_max", "send.crosspost_max", "send.hops_max", "send.age_days_max"];
    limits(accepts, &peer.accept, of_site, &mut view);
    limits(sends, &peer.send, of_site, &mut view);
    if let Some(dial) = &peer.dial {
        let tls = match dial.tls {
            DialTls::Off => "off",
            DialTls::StartTls => "starttls",
            DialTls::Implicit => "implicit",
        };
        view.push(("dials", tls.to_owned()));
    }
    if peer.turn {
        view.push(("turn", "yes".to_owned()));
    }
    view.push(("sync", "yes".to_owned()));
    if let Some(status) = feed {
        feed_to_it(asked, peer, status, &mut view);
    }
    view
}

/// What is said in words: newsgroups, and what else is not as it is by default.
fn contract(keys: [&'static str; 4], contract: &Contract, view: &mut View) {
    let [newsgroups, distributions, origin, kinds] = keys;
    view.push((newsgroups, contract.newsgroups.to_string()));
    let all = Contract::default();
    if contract.distributions != all.distributions {
        view.push((distributions, contract.distributions.to_string()));
    }
    match contract.origin {
        ArticleOrigin::Any => {}
        ArticleOrigin::Local => view.push((origin, "local".to_owned())),
        ArticleOrigin::Relayed => view.push((origin, "relayed".to_owned())),
    }
    if !contract.kinds.is_empty() {
        let words: Vec<&str> = contract.kinds.iter().map(|kind| kind.word()).collect();
        view.push((kinds, words.join(" ")));
    }
}

/// Octets, newsgroups, hops and days; `of_site` are the bounds of all articles here.
fn limits(
    keys: [&'static str; 4],
    contract: &Contract,
    (bytes, crosspost, days): (usize, usize, Option<u32>),
    view: &mut View,
) {
    let least = |one: Option<usize>, other: usize| Some(one.map_or(other, |one| one.min(other)).to_string());
    let age = contract.age_days_max.into_iter().chain(days).min();
    let values = [
        least(contract.bytes_max, bytes),
        least(contract.crosspost_max, crosspost),
        contract.hops_max.map(|max| max.to_string()),
        age.map(|max| max.to_string()),
    ];
    view.extend(keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))));
}

/// How the feed to the peer stands.
fn feed_to_it(asked: &Asked<'_>, peer: &Peer, feed: &FeedStatus, view: &mut View) {
    // For whom it stands by is between others.
    let standing_by = feed.state.starts_with("standing by for ");
    view.push(("feed", if standing_by { "standing by, as a backup".to_owned() } else { feed.state.clone() }));
    view.push(("feed.owed", feed.owed.to_string()));
    view.push(("feed.rejected", feed.rejected.to_string()));
    if !feed.last_error.is_empty() {
        view.push(("feed.last_error", without_ours(peer, feed.last_error.clone())));
        if let Some(at_ms) = feed.last_error_ms {
            let ago_ms = asked.now.unix_ms().saturating_sub(at_ms).max(0);
            view.push(("feed.last_error_ms", ago_ms.to_string()));
        }
    }
    if let Some(loss) = &feed.loss {
        view.push(("feed.loss", loss.clone()));
    }
}

/// The names of this site's files, and its proxy, are nobody else's business.
fn without_ours(peer: &Peer, mut text: String) -> String {
    if text.starts_with("reading the log:") {
        return "its own log cannot be read".to_owned();
    }
    let dial = peer.dial.iter();
    let files = dial.clone().flat_map(|dial| [&dial.password_file, &dial.ca]).flatten();
    for file in files.chain(peer.batch.iter().flat_map(|batch| &batch.out)) {
        text = text.replace(&file.display().to_string(), "a file");
    }
    for proxy in dial.filter_map(|dial| dial.proxy.as_ref()) {
        text = text.replace(&format!(" {proxy}:"), ":");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::PathIdentity;
    use crate::config::{Dial, DialAddress};
    use std::net::IpAddr;

    #[test]
    fn nothing_is_told_of_files_proxies_or_other_peers() {
        let address = |host: &str| DialAddress { host: host.to_owned(), port: Some(1080) };
        let mut dial = Dial::to(address("b.example"));
        dial.password_file = Some("/etc/feedd/secrets/b".into());
        dial.proxy = Some(address("10.0.0.5"));
        let peer = Peer { dial: Some(dial), ..Peer::new("b", PathIdentity::try_from("b.example").unwrap()) };
        let site = Site::default();
        let client = Client::from(IpAddr::from([192, 0, 2, 1]));
        let now = Timestamp::from_unix_s(100 * 86_400);
        let certificate_ends = Some(now.plus_s(-1));
        let asked = Asked { site: &site, client: &client, certificate_ends, now };
        let told = |state: &str, error: &str| {
            let last_error_ms = Some(now.unix_ms() - 1500);
            let (state, last_error) = (state.to_owned(), error.to_owned());
            let feed = FeedStatus { state, last_error, last_error_ms, ..FeedStatus::default() };
            of(&asked, &peer, Some(&feed))
        };
        let value = |view: &View, key: &str| {
            view.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        for error in [
            "cannot connect: password file /etc/feedd/secrets/b: No such file",
            "cannot connect: b.example:1080: the proxy 10.0.0.5:1080: Connection refused",
            "reading the log: Io(Os { path: \"/var/lib/feedd\" })",
        ] {
            let view = told("standing by for c.example", error);
            let text: String = view.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
            for hidden in ["/etc", "/var", "10.0.0.5", "c.example"] {
                assert!(!text.contains(hidden), "{hidden} in\n{text}");
            }
        }
        let view = told("waiting 2.0 s to retry", "Connection refused");
        for (key, expected) in [
            ("feed", "waiting 2.0 s to retry"),
            ("feed.last_error", "Connection refused"),
            ("feed.last_error_ms", "1500"),
            ("certificate.days", "-1"),
            ("known_by", "address"),
            ("tls", "no"),
            ("dials", "off"),
        ] {
            assert_eq!(value(&view, key), expected, "{key}");
        }
    }
}
