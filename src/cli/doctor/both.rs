//! The peer's own view of us (XPEER), held against ours: what one sends and the other does not accept, names
//! that differ, and whether its feed reaches us.

use super::Findings;
use crate::config::{Contract, Peer};
use crate::wildmat::Wildmat;
use std::collections::HashMap;

/// Newsgroups that are named of those that differ.
const NAMED: usize = 3;
/// A value as long as this may have been cut.
const CUT: usize = 400;

/// `identity` is ours, `newsgroups` are those of this site, `at` is where the peer was asked.
pub(super) fn compare(
    at: &str,
    identity: &str,
    peer: &Peer,
    newsgroups: &[String],
    view: &[(String, String)],
    findings: &mut Findings,
) {
    let view: HashMap<&str, &str> = view.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let get = |key: &str| view.get(key).copied().unwrap_or_default();
    let wildmat = |key| {
        Some(get(key)).filter(|text| text.len() < CUT).and_then(|text| Wildmat::parse_subscription(text).ok())
    };
    let before = findings.all.len();
    let known: Vec<&str> = get("identity").split(' ').collect();
    if !known.iter().any(|name| name.eq_ignore_ascii_case(identity)) {
        findings.wrong(
            format!("{at}: it knows us as {}, and we write {identity} into Path", known.join(" ")),
            format!(
                "its operator: identity = \"{identity}\" in the block \"{}\"; else it offers us what we have",
                get("called")
            ),
        );
    }
    let site = get("site");
    if !peer.identities.iter().any(|name| name.as_str().eq_ignore_ascii_case(site)) {
        findings.wrong(
            format!("{at}: it writes {site} into Path, and its identity here is another"),
            format!("write identity = \"{site}\": else it is offered what it has"),
        );
    }
    if let Some(theirs) = wildmat("accept") {
        let lost = one_sided(newsgroups, &peer.send.newsgroups, &theirs);
        if !lost.is_empty() {
            findings.odd(
                format!("{at}: we send {}, and it does not accept {}", some(&lost), it_or_them(&lost)),
                format!("it accepts \"{}\": mend send here, or accept there", get("accept")),
            );
        }
    }
    if let Some(theirs) = wildmat("send").filter(|_| view.contains_key("feed")) {
        let lost = one_sided(newsgroups, &theirs, &peer.accept.newsgroups);
        if !lost.is_empty() {
            findings.odd(
                format!("{at}: it sends {}, and accept here keeps {} out", some(&lost), it_or_them(&lost)),
                "mend accept here, or send there",
            );
        }
    }
    for (what, from, to, ours, theirs) in limits(peer, &view) {
        if theirs.is_some_and(|theirs| ours.is_none_or(|ours| ours > theirs)) {
            let theirs = theirs.unwrap_or_default();
            findings.odd(
                format!("{at}: {to} takes {what} up to {theirs}, and {from} sends larger ones as well"),
                "those are rejected each time: put the same limit on both sides",
            );
        }
    }
    if findings.all.len() == before {
        findings.good(format!("{at}: what both sides have agreed on fits"));
    }
    its_feed(at, &view, findings);
}

/// What we send and it takes, what it sends and we take: name, who sends, who takes, and the limits of both.
fn limits<'a>(
    peer: &Peer,
    view: &HashMap<&str, &str>,
) -> impl Iterator<Item = (&'a str, &'a str, &'a str, Option<usize>, Option<usize>)> {
    let number = |key: &str| view.get(key).and_then(|text| text.parse().ok());
    let of = |contract: &Contract| [contract.bytes_max, contract.crosspost_max];
    let (send, accept) = (of(&peer.send), of(&peer.accept));
    let their_accept = [number("accept.bytes_max"), number("accept.crosspost_max")];
    let their_send = [number("send.bytes_max"), number("send.crosspost_max")];
    let feeds = view.contains_key("feed");
    let what = ["articles of so many octets", "articles in so many newsgroups"];
    let out = (0..2).map(move |n| (what[n], "this site", "it", send[n], their_accept[n]));
    let back = (0..2).map(move |n| (what[n], "it", "this site", their_send[n], accept[n]));
    out.chain(back.filter(move |_| feeds))
}

/// How its feed to us stands.
fn its_feed(at: &str, view: &HashMap<&str, &str>, findings: &mut Findings) {
    let Some(state) = view.get("feed") else {
        findings.good(format!("{at}: it sends us nothing: it has no way to us, and none is asked for"));
        return;
    };
    let error = view.get("feed.last_error").copied().unwrap_or_default();
    if state.starts_with("connected") || error.is_empty() {
        findings.good(format!("{at}: its feed to us: {state}"));
    } else {
        findings.wrong(
            format!("{at}: its feed to us: {state}; last: {error}"),
            "mend what it says, here or there; feedd doctor there tells more",
        );
    }
    if let Some(loss) = view.get("feed.loss") {
        findings.odd(format!("{at}: it has lost something: {loss}"), "its sync with us comes by itself");
    }
}

/// Newsgroups that the one sends and the other does not accept.
fn one_sided<'n>(newsgroups: &'n [String], send: &Wildmat, accept: &Wildmat) -> Vec<&'n str> {
    let wants = |wildmat: &Wildmat, name: &str| wildmat.wants([name]);
    newsgroups.iter().map(String::as_str).filter(|name| wants(send, name) && !wants(accept, name)).collect()
}

fn some(names: &[&str]) -> String {
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more newsgroups"),
    }
}

fn it_or_them(names: &[&str]) -> &'static str {
    if names.len() == 1 { "it" } else { "them" }
}
