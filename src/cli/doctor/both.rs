//! The peer's own view of us (XPEER), held against ours: what one sends and the other does not accept, names
//! that differ, and whether its feed reaches us.

use super::Findings;
use super::peer::{CLOSE_TO_ITS_END_DAYS, Ours};
use crate::client::{Client, ClientError};
use crate::config::{ArticleOrigin, Contract, Peer};
use crate::wildmat::Wildmat;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

/// Newsgroups that are named of those that differ.
const NAMED: usize = 3;
/// A value as long as this may have been cut.
const CUT: usize = 400;
/// How long its feed may take to reach us, which it tries when we connect: a dial's own patience and some more.
const DIALS_BACK: Duration = Duration::from_secs(12);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Asks the peer how we stand with it. That we have connected makes its feed dial us at once if it was waiting
/// to: what is told is what comes of that, and not what was wrong an hour ago.
///
/// # Errors
/// As the connection has them, and 493: it does not know which of its peers asks.
pub(super) fn ask(client: &mut Client, since: Instant) -> Result<Option<View>, ClientError> {
    loop {
        let view = client.peer_view()?;
        let is_settled = view.as_deref().is_none_or(|view| has_tried_since(view, since.elapsed()));
        if is_settled || since.elapsed() > DIALS_BACK {
            return Ok(view);
        }
        thread::sleep(ASK_EVERY);
    }
}

/// Keys and values, as the peer tells them.
type View = Vec<(String, String)>;

/// Has its feed an end of its try to reach us that is not older than this, or none to wait for?
fn has_tried_since(view: &[(String, String)], ago: Duration) -> bool {
    let get = |wanted: &str| view.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
    let failed_ms: Option<u128> = get("feed.last_error_ms").and_then(|text| text.parse().ok());
    match get("feed") {
        Some("connecting") => false,
        Some(state) if state.starts_with("waiting ") && state.ends_with(" to retry") => {
            failed_ms.is_none_or(|failed_ms| failed_ms <= ago.as_millis())
        }
        _ => true,
    }
}

/// `at` is where the peer was asked.
pub(super) fn compare(
    at: &str,
    ours: &Ours<'_>,
    peer: &Peer,
    view: &[(String, String)],
    findings: &mut Findings,
) {
    let (identity, newsgroups) = (ours.site.identity.as_str(), ours.newsgroups);
    let view: HashMap<&str, &str> = view.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let get = |key: &str| view.get(key).copied().unwrap_or_default();
    let wildmat = |key| {
        Some(get(key)).filter(|text| text.len() < CUT).and_then(|text| Wildmat::parse_subscription(text).ok())
    };
    findings.good(format!(
        "{at}: it runs {}, and takes us for its peer \"{}\" by our {}",
        view.get("software").unwrap_or(&"feedd"),
        get("called"),
        view.get("known_by").unwrap_or(&"address or key")
    ));
    let feeds = view.contains_key("feed");
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
    if site.eq_ignore_ascii_case(identity) {
        findings.wrong(
            format!(
                "{at}: it writes {identity} into Path, as this site does: neither takes what the other has"
            ),
            "give each site an identity of its own, the full domain name of its host",
        );
    } else if !peer.identities.iter().any(|name| name.as_str().eq_ignore_ascii_case(site)) {
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
    if let Some(theirs) = wildmat("send").filter(|_| feeds) {
        let lost = one_sided(newsgroups, &theirs, &peer.accept.newsgroups);
        if !lost.is_empty() {
            findings.odd(
                format!("{at}: it sends {}, and accept here keeps {} out", some(&lost), it_or_them(&lost)),
                "mend accept here, or send there",
            );
        }
    }
    for (what, from, to, sends, theirs) in limits(ours, peer, &view) {
        if theirs.is_some_and(|theirs| sends.is_none_or(|sends| sends > theirs)) {
            let theirs = theirs.unwrap_or_default();
            findings.odd(
                format!("{at}: {to} takes {what} up to {theirs}, and {from} sends larger ones as well"),
                "those are rejected each time: put the same limit on both sides",
            );
        }
    }
    words(at, ("we send", "it takes"), &in_words(&peer.send), &there(&view, "accept"), findings);
    if feeds {
        words(at, ("it sends", "we take"), &there(&view, "send"), &in_words(&peer.accept), findings);
    }
    secrecy(at, ours, peer, &view, findings);
    if findings.all.len() == before {
        findings.good(format!("{at}: what both sides have agreed on fits"));
    }
    its_feed(at, &view, findings);
}

/// What we send and it takes, what it sends and we take: name, who sends, who takes, and the limits of both. A
/// site sends nothing larger than it takes itself.
fn limits<'a>(
    ours: &Ours<'_>,
    peer: &Peer,
    view: &HashMap<&str, &str>,
) -> impl Iterator<Item = (&'a str, &'a str, &'a str, Option<usize>, Option<usize>)> {
    let number = |key: &str| view.get(key).and_then(|text| text.parse().ok());
    let bounds = &ours.site.limits;
    let least = |one: Option<usize>, other: usize| Some(one.map_or(other, |one| one.min(other)));
    let of = |contract: &Contract| {
        [
            least(contract.bytes_max, bounds.article_bytes_max),
            least(contract.crosspost_max, bounds.crosspost_max),
            contract.hops_max,
        ]
    };
    let (send, accept) = (of(&peer.send), of(&peer.accept));
    let their_accept =
        [number("accept.bytes_max"), number("accept.crosspost_max"), number("accept.hops_max")];
    let their_send = [number("send.bytes_max"), number("send.crosspost_max"), number("send.hops_max")];
    let feeds = view.contains_key("feed");
    let what = ["articles of so many octets", "articles in so many newsgroups", "articles with so many hops"];
    // Paths of more hops are the exception: a bound against loops on one side alone is no mistake.
    let both =
        move |n: usize, one: Option<usize>, other: Option<usize>| n < 2 || (one.is_some() && other.is_some());
    let out = (0..3).map(move |n| (n, what[n], "this site", "it", send[n], their_accept[n]));
    let back = (0..3).map(move |n| (n, what[n], "it", "this site", their_send[n], accept[n]));
    out.chain(back.filter(move |_| feeds))
        .filter(move |(n, .., one, other)| both(*n, *one, *other))
        .map(|(_, what, from, to, one, other)| (what, from, to, one, other))
}

/// Distributions, origin and kinds; empty: any.
type Words = [(&'static str, String); 3];

fn in_words(contract: &Contract) -> Words {
    let any = |is_any: bool, text: String| if is_any { String::new() } else { text };
    let all = Contract::default();
    let kinds: Vec<&str> = contract.kinds.iter().map(|kind| kind.word()).collect();
    let origin = match contract.origin {
        ArticleOrigin::Any => "",
        ArticleOrigin::Local => "local",
        ArticleOrigin::Relayed => "relayed",
    };
    let distributions = contract.distributions.to_string();
    [
        ("distributions", any(contract.distributions == all.distributions, distributions)),
        ("origin", origin.to_owned()),
        ("kinds", kinds.join(" ")),
    ]
}

fn there(view: &HashMap<&str, &str>, side: &str) -> Words {
    ["distributions", "origin", "kinds"]
        .map(|key| (key, view.get(format!("{side}.{key}").as_str()).copied().unwrap_or_default().to_owned()))
}

/// What one sends is more than the other takes, in what is no number.
fn words(at: &str, (from, to): (&str, &str), sends: &Words, takes: &Words, findings: &mut Findings) {
    for ((key, sent), (_, taken)) in sends.iter().zip(takes) {
        let is_part = match *key {
            "kinds" => !sent.is_empty() && sent.split(' ').all(|kind| taken.split(' ').any(|k| k == kind)),
            _ => sent == taken,
        };
        if !taken.is_empty() && !is_part {
            let sent = if sent.is_empty() { "any" } else { sent };
            findings.odd(
                format!("{at}: {key}: {from} \"{sent}\", and {to} \"{taken}\" only"),
                format!("the rest is rejected each time: write {key} = \"{taken}\" where it is sent"),
            );
        }
    }
}

/// TLS: how each side speaks to the other, and how long the peer's certificate lasts.
fn secrecy(at: &str, ours: &Ours<'_>, peer: &Peer, view: &HashMap<&str, &str>, findings: &mut Findings) {
    match (view.get("dials").copied(), ours.site.tls.is_some()) {
        (Some("off"), true) => findings.odd(
            format!("{at}: it dials us in clear, and this site offers TLS"),
            "its operator: tls = \"starttls\" and the pin that feedd peer key prints here",
        ),
        (Some(how @ ("starttls" | "implicit")), false) => findings.wrong(
            format!("{at}: it dials us with TLS ({how}), and this site has no certificate"),
            "feedd peer key makes one, then feedd reload",
        ),
        (Some("implicit"), true) if ours.site.listen_tls.is_empty() => findings.wrong(
            format!("{at}: it dials us with TLS from the first octet, and no port here is for that"),
            "write listen_tls = [\"[::]:563\"] in feedd.toml; or its operator: tls = \"starttls\"",
        ),
        _ => {}
    }
    if let Some(days) = view.get("certificate.days").and_then(|text| text.parse::<i64>().ok()) {
        let cure = "its operator: renew it, then feedd reload there";
        if days < 0 {
            findings.wrong(format!("{at}: its certificate has expired"), cure);
        } else if days < CLOSE_TO_ITS_END_DAYS {
            findings.odd(format!("{at}: its certificate expires in {days} days"), cure);
        }
    }
    if view.contains_key("turn") && !peer.turn && !view.contains_key("dials") {
        findings.wrong(
            format!("{at}: it waits for us to fetch what it has for us (XTURN), and we never do"),
            "write turn = true in its block here; or its operator: address = \"HOST:PORT\" in its block for us",
        );
    }
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
