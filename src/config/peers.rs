//! `peers.toml`: one `[[peer]]` block for each site that we chose and that chose us.

use super::document::{At, Document, Section};
use super::{
    Contract, Dial, DialAddress, Mistake, Network, PEER_CONNECTIONS, PEER_RETRY_MAX_S, PEER_SUBSCRIPTION,
    PEER_WINDOW, Peer, Source, patterns,
};
use crate::article::PathIdentity;
use crate::wildmat::Wildmat;
use std::net::IpAddr;
use std::path::Path;

const KEYS: [&str; 9] =
    ["name", "identity", "address", "accept_from", "send", "accept", "connections", "window", "retry_max_s"];

/// Octets of a peer's name.
const NAME_MAX: usize = 64;

/// Checks the text of `peers.toml`; `own` is the identity of this site.
pub(super) fn check(file: &Path, text: &str, own: &PathIdentity) -> (Vec<Peer>, Vec<Mistake>) {
    let document = Document::new(file, text);
    let mut peers: Vec<Peer> = Vec::new();
    if let Some(root) = document.parse() {
        let root = Section::new(&document, root.get_ref(), 0, &["peer"]);
        for block in root.sections("peer", "peer", &KEYS) {
            let Some(peer) = read(&block, own) else { continue };
            if peers.iter().any(|other| other.name == peer.name) {
                let at = block.text("name", "").map_or(block.at, |name| name.at);
                block.mistake(
                    at,
                    format!("there are two peers \"{}\"", peer.name),
                    "give each a name of its own; the log and the saved cursors tell them apart by it",
                );
            }
            peers.push(peer);
        }
    }
    (peers, document.into_mistakes())
}

/// One block; none when it has no usable name, without which there is nothing to keep.
fn read(block: &Section<'_, '_>, own: &PathIdentity) -> Option<Peer> {
    let name = name(block);
    let address = block.text("address", "\"news.example.net:119\"").map(|text| (text, host_of(block, text)));
    let accept_from = match block.one_or_more_texts("accept_from", "[\"192.0.2.7\", \"2001:db8::/48\"]") {
        Some(texts) => texts.iter().flat_map(|text| sources(block, text)).collect(),
        None => address.as_ref().and_then(|(_, host)| host.clone()).into_iter().collect(),
    };
    let dial = address.as_ref().and_then(|(text, _)| {
        let (host, port) = text.value.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Dial::to(DialAddress { host, port: port.parse().ok() }))
    });
    let contract = |key| Contract::of(subscription(block, key));
    let peer = Peer {
        name: name.map(|name| name.value.to_owned()).unwrap_or_default(),
        identities: identities(block, name, own),
        dial,
        accept_from,
        send: contract("send"),
        accept: contract("accept"),
        connections: number(block, "connections", PEER_CONNECTIONS, 64),
        window: number(block, "window", PEER_WINDOW, 4096),
        retry_max_s: block.number("retry_max_s", PEER_RETRY_MAX_S, 1..=86_400).value,
        ..Peer::new("", own.clone())
    };
    if address.is_none() {
        if block.one_or_more_texts("accept_from", "").is_none_or(|texts| texts.is_empty()) {
            block.mistake(
                block.at,
                format!(
                    "peer \"{}\" has neither \"address\" nor \"accept_from\": it can never be met",
                    peer.name
                ),
                "add address = \"HOST:PORT\" to dial it, or accept_from = [\"ADDRESS\"] to let it dial us",
            );
        }
        for key in ["send", "connections", "window", "retry_max_s"] {
            if let Some(at) = block.position(key) {
                block.mistake(
                    at,
                    format!(
                        "\"{key}\" has no effect: peer \"{}\" has no \"address\" and is never dialled",
                        peer.name
                    ),
                    format!("add address = \"HOST:PORT\" or remove \"{key}\""),
                );
            }
        }
    }
    name.map(|_| peer)
}

fn name<'d>(block: &Section<'d, '_>) -> Option<At<&'d str>> {
    if block.position("name").is_none() {
        block.mistake(
            block.at,
            "a [[peer]] without \"name\"",
            "add name = \"news.example.net\", or any short name you like",
        );
    }
    let name = block.text("name", "\"news.example.net\"")?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.value.is_empty() || name.value.len() > NAME_MAX || !name.value.chars().all(good) {
        block.mistake(
            name.at,
            format!("\"{}\" is no name for a peer", name.value),
            format!("write 1 to {NAME_MAX} letters, digits, dots, hyphens and underscores"),
        );
        return None;
    }
    Some(name)
}

/// The path identities: as given, or else the name.
fn identities(block: &Section<'_, '_>, name: Option<At<&str>>, own: &PathIdentity) -> Vec<PathIdentity> {
    let given = block.one_or_more_texts("identity", "\"news.example.net\"");
    if let (Some([]), Some(at)) = (given.as_deref(), block.position("identity")) {
        block.mistake(
            at,
            "\"identity\" is an empty list",
            "name at least one, or remove the key: the peer's name counts",
        );
    }
    let mut identities: Vec<PathIdentity> = Vec::new();
    for text in given.unwrap_or_else(|| name.into_iter().collect()) {
        match PathIdentity::try_from(text.value) {
            Ok(identity) if identity.as_str().eq_ignore_ascii_case(own.as_str()) => block.mistake(
                text.at,
                format!("\"{identity}\" is the identity of this site itself"),
                "write identity = \"...\" with the name that the peer puts into Path",
            ),
            Ok(identity) if identities.contains(&identity) => {
                block.mistake(text.at, format!("\"{identity}\" stands there twice"), "keep one of them");
            }
            Ok(identity) => identities.push(identity),
            Err(bad) => block.mistake(
                text.at,
                format!("\"{}\" is no path identity: {}", text.value, bad.0),
                "write identity = \"...\" with the name that the peer puts into Path",
            ),
        }
    }
    identities
}

/// Where the host of an address may connect from: what `accept_from` is when it is not given.
fn host_of(block: &Section<'_, '_>, address: At<&str>) -> Option<Source> {
    let bad = |what: &str| {
        block.mistake(
            address.at,
            format!("\"{}\" is no address to dial: {what}", address.value),
            "write a host and a port: \"news.example.net:119\", \"192.0.2.7:119\", \"[2001:db8::7]:119\"",
        );
        None
    };
    let Some((host, port)) = address.value.rsplit_once(':') else { return bad("it has no port") };
    if !port.parse::<u16>().is_ok_and(|port| port != 0) {
        return bad("its port is not a number from 1 to 65535");
    }
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').unwrap_or(host),
        None if host.contains(':') => return bad("an IPv6 address stands in brackets"),
        None => host,
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Source::Network(Network::host(address.to_canonical())));
    }
    if is_host_name(host) { Some(Source::Host(host.to_owned())) } else { bad("it has no host name") }
}

fn sources(block: &Section<'_, '_>, text: &At<&str>) -> Vec<Source> {
    match Network::parse(text.value) {
        Ok(networks) => networks.into_iter().map(Source::Network).collect(),
        Err(_) if is_host_name(text.value) => vec![Source::Host(text.value.to_owned())],
        Err(bad) => {
            block.mistake(text.at, bad.what, format!("{}, or a host name", bad.cure));
            Vec::new()
        }
    }
}

/// A host name (RFC 1123 s.2.1), which an address misspelt (`192.0.2`, `10.0.0.256`) is not.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    let last_is_a_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()));
    text.len() <= 253 && !last_is_a_number && text.split('.').all(label)
}

fn subscription(block: &Section<'_, '_>, key: &str) -> Wildmat {
    let text = block.text(key, "\"*,!local.*\"").unwrap_or(At { value: PEER_SUBSCRIPTION, at: block.at });
    patterns::subscription(block, key, text).unwrap_or(Wildmat { patterns: Vec::new() })
}

fn number(block: &Section<'_, '_>, key: &str, default: usize, max: u64) -> usize {
    let default_number = u64::try_from(default).unwrap_or(max);
    usize::try_from(block.number(key, default_number, 1..=max).value).unwrap_or(default)
}
