//! `peers.toml`: one `[[peer]]` block for each site that we chose and that chose us, and `[[template]]`
//! blocks for what several of them share.
//!
//! What a peer's block does not say is looked for in its templates, in their order; the sections `send`,
//! `accept` and `batch` are put together key by key.

mod address;
mod contract;
mod schedule;

use super::document::{At, Document, Section};
use super::{
    BATCH_BYTES_MAX, BATCH_EVERY_S, Batch, Compression, Dial, DialTls, Mistake, PEER_CONNECTIONS,
    PEER_CONNECTIONS_IN_MAX, PEER_RETRY_MAX_S, PEER_WINDOW, Peer,
};
use crate::article::PathIdentity;
use crate::tls::Fingerprint;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The keys of a peer that no template can have.
const OWN_KEYS: [&str; 5] = ["name", "identity", "address", "account", "template"];
/// The keys of both.
const SHARED_KEYS: [&str; 20] = [
    "tls",
    "pin",
    "ca",
    "user",
    "password_file",
    "proxy",
    "compress",
    "accept_from",
    "send",
    "accept",
    "delay_s",
    "schedule",
    "backup_of",
    "bytes_s_max",
    "connections",
    "connections_in_max",
    "window",
    "retry_max_s",
    "turn",
    "batch",
];
const BATCH_KEYS: [&str; 5] = ["out", "inbound", "every_s", "bytes_max", "compression"];

/// Octets of a peer's name.
const NAME_MAX: usize = 64;
/// Seconds that an article may be held back for a peer: a week.
const DELAY_MAX_S: u64 = 7 * 86_400;

/// A peer as read, and what its later checks point at.
struct Read {
    peer: Peer,
    at: usize,
    backup_at: usize,
}

/// Checks the text of `peers.toml`; `own` is the identity of this site.
pub(super) fn check(file: &Path, text: &str, own: &PathIdentity) -> (Vec<Peer>, Vec<Mistake>) {
    let document = Document::new(file, text);
    let mut peers: Vec<Read> = Vec::new();
    if let Some(root) = document.parse() {
        let root = Section::new(&document, root.get_ref(), 0, &["peer", "template"]);
        let folder = file.parent().unwrap_or(Path::new(""));
        let template_keys = [&["name"][..], &SHARED_KEYS].concat();
        let templates = templates(&root, &template_keys);
        let peer_keys = [&OWN_KEYS[..], &SHARED_KEYS].concat();
        for block in root.sections("peer", "peer", &peer_keys) {
            let block = with_templates(block, &templates);
            let Some(read) = read(&block, own, folder) else { continue };
            if peers.iter().any(|other| other.peer.name == read.peer.name) {
                let at = block.text("name", "").map_or(block.at, |name| name.at);
                block.mistake(
                    at,
                    format!("there are two peers \"{}\"", read.peer.name),
                    "give each a name of its own; the log and the saved cursors tell them apart by it",
                );
            }
            peers.push(read);
        }
        together(&root, &peers);
    }
    (peers.into_iter().map(|read| read.peer).collect(), document.into_mistakes())
}

/// The templates by name.
fn templates<'d, 't>(root: &Section<'d, 't>, keys: &[&str]) -> HashMap<&'d str, Section<'d, 't>> {
    let mut templates = HashMap::new();
    for block in root.sections("template", "template", keys) {
        let Some(name) = block.text("name", "\"text\"") else {
            if block.position("name").is_none() {
                block.mistake(
                    block.at,
                    "a [[template]] without \"name\"",
                    "add name = \"text\", or any name you like",
                );
            }
            continue;
        };
        if templates.contains_key(name.value) {
            block.mistake(
                name.at,
                format!("there are two templates \"{}\"", name.value),
                "give each a name of its own",
            );
        }
        // Looked at here as well, so that a mistake is told where it stands, used or not.
        let _ = contract::read(&block, "send");
        let _ = contract::read(&block, "accept");
        templates.insert(name.value, block);
    }
    templates
}

fn with_templates<'d, 't>(
    block: Section<'d, 't>,
    templates: &HashMap<&'d str, Section<'d, 't>>,
) -> Section<'d, 't> {
    let mut block = block;
    for name in block.one_or_more_texts("template", "\"text\"").unwrap_or_default() {
        match templates.get(name.value) {
            Some(template) => block = block.or(template),
            None => {
                let mut known: Vec<&str> = templates.keys().copied().collect();
                known.sort_unstable();
                let cure = match known.as_slice() {
                    [] => "write a [[template]] with that name, or remove the key".to_owned(),
                    known => format!("the templates here are: {}", known.join(", ")),
                };
                block.mistake(name.at, format!("there is no template \"{}\"", name.value), cure);
            }
        }
    }
    block
}

/// One block; none when it has no usable name, without which there is nothing to keep.
fn read(block: &Section<'_, '_>, own: &PathIdentity, folder: &Path) -> Option<Read> {
    let name = name(block);
    let dial = dial(block, folder);
    let pins = pins(block);
    let account = block.text("account", "\"news.example.net\"").map(|text| text.value.to_owned());
    let accept_from = match block.one_or_more_texts("accept_from", "[\"192.0.2.7\", \"2001:db8::/48\"]") {
        Some(texts) => texts.iter().flat_map(|text| address::sources(block, text)).collect(),
        // Who proves more than an address is not known by its address alone.
        None if account.is_some() || !pins.is_empty() => Vec::new(),
        // The DNS must not hear of a name that a proxy looks up.
        None if dial.as_ref().is_some_and(|dial| dial.proxy.is_some()) => Vec::new(),
        None => dial.iter().flat_map(|dial| dial.addresses.iter().map(address::source_of)).collect(),
    };
    let peer = Peer {
        name: name.map(|name| name.value.to_owned()).unwrap_or_default(),
        identities: identities(block, name, own),
        dial: dial.map(|dial| Dial { pins: pins.clone(), ..dial }),
        accept_from,
        account,
        keys: pins,
        send: contract::read(block, "send"),
        accept: contract::read(block, "accept"),
        delay_s: block.number("delay_s", 0, 0..=DELAY_MAX_S).value,
        schedule: schedule::read(block, "schedule"),
        backup_of: block.text("backup_of", "\"news.example.net\"").map(|text| text.value.to_owned()),
        batch: batch(block, folder),
        turn: block.truth("turn", false),
        bytes_s_max: block
            .position("bytes_s_max")
            .map(|_| block.octets("bytes_s_max", 1 << 20, 1024..=1 << 40).value),
        connections: number(block, "connections", PEER_CONNECTIONS, 64),
        connections_in_max: number(block, "connections_in_max", PEER_CONNECTIONS_IN_MAX, 4096),
        window: number(block, "window", PEER_WINDOW, 65_536),
        retry_max_s: block.number("retry_max_s", PEER_RETRY_MAX_S, 1..=86_400).value,
    };
    agree(block, &peer);
    let backup_at = block.position("backup_of").unwrap_or(block.at);
    name.map(|_| Read { peer, at: block.at, backup_at })
}

/// What the keys of one peer must agree on.
fn agree(block: &Section<'_, '_>, peer: &Peer) {
    let name = &peer.name;
    let at = |key: &str| block.position(key).unwrap_or(block.at);
    let proofs = !peer.accept_from.is_empty() || peer.account.is_some() || !peer.keys.is_empty();
    // An address that is wrong has been told.
    let has_address = block.position("address").is_some();
    if !has_address && !proofs && block.position("accept_from").is_none() && peer.batch.is_none() {
        block.mistake(
            block.at,
            format!("peer \"{name}\" has neither \"address\" nor \"accept_from\": it can never be met"),
            "add address = \"HOST:PORT\" to dial it, or accept_from = [\"ADDRESS\"], account or pin to let it dial us",
        );
    }
    if has_address && peer.batch.is_some() {
        block.mistake(
            at("batch"),
            format!("peer \"{name}\" has both \"address\" and \"batch\""),
            "remove one: articles leave over connections or as files",
        );
    }
    let sends = has_address || peer.turn || peer.batch.as_ref().is_some_and(|batch| batch.out.is_some());
    let dialling = ["tls", "ca", "user", "password_file", "proxy", "compress", "connections", "retry_max_s"];
    let sending = ["send", "window", "delay_s", "schedule", "backup_of", "bytes_s_max"];
    let unused = sending.iter().filter(|_| !sends).chain(dialling.iter().filter(|_| !has_address));
    for key in unused.filter(|key| block.is_own(key)) {
        block.mistake(
            at(key),
            format!("\"{key}\" has no effect: peer \"{name}\" has no \"address\" and is never dialled"),
            format!("add address = \"HOST:PORT\" or remove \"{key}\""),
        );
    }
    let Some(dial) = &peer.dial else { return };
    if dial.tls == DialTls::Off {
        for key in ["pin", "ca"] {
            if block.position(key).is_some() {
                block.mistake(
                    at(key),
                    format!("\"{key}\" has no effect: peer \"{name}\" is dialled in clear"),
                    format!("add tls = \"starttls\" or tls = \"implicit\", or remove \"{key}\""),
                );
            }
        }
        let private = |host: &str| {
            let hidden = [".onion", ".i2p"].iter().any(|end| host.to_ascii_lowercase().ends_with(end));
            let loopback =
                host.parse().map_or(host == "localhost", |address: std::net::IpAddr| address.is_loopback());
            loopback || (hidden && dial.proxy.is_some())
        };
        if dial.user.is_some() && !dial.addresses.iter().all(|address| private(&address.host)) {
            block.mistake(
                at("user"),
                format!("the password of peer \"{name}\" would go over the network in clear"),
                "add tls = \"starttls\" or tls = \"implicit\", or remove \"user\"",
            );
        }
    }
    if !dial.pins.is_empty() && dial.ca.is_some() {
        block.mistake(
            at("ca"),
            "\"pin\" and \"ca\" exclude each other: a pinned key needs no authority",
            "keep one of the two",
        );
    }
    match (&dial.user, &dial.password_file) {
        (Some(_), None) => block.mistake(
            at("user"),
            "\"user\" without \"password_file\"",
            "add password_file = \"FILE\", a file whose first line is the password",
        ),
        (None, Some(_)) => block.mistake(
            at("password_file"),
            "\"password_file\" without \"user\"",
            "add user = \"NAME\", the name that the peer gave us",
        ),
        _ => {}
    }
}

/// What the peers must agree on together.
fn together(root: &Section<'_, '_>, peers: &[Read]) {
    let named = |name: &str| peers.iter().find(|read| read.peer.name == name);
    for read in peers {
        let Some(other) = &read.peer.backup_of else { continue };
        let mut seen = vec![read.peer.name.as_str()];
        let mut next = Some(other.as_str());
        while let Some(name) = next {
            if seen.contains(&name) {
                root.mistake(
                    read.backup_at,
                    format!(
                        "peer \"{}\" is a backup of itself: {} -> {name}",
                        read.peer.name,
                        seen.join(" -> ")
                    ),
                    "name a peer that is no backup of this one",
                );
                break;
            }
            seen.push(name);
            match named(name) {
                Some(read) => next = read.peer.backup_of.as_deref(),
                None if name == other => {
                    root.mistake(
                        read.backup_at,
                        format!("\"backup_of\": there is no peer \"{name}\""),
                        "write the name of another [[peer]] of this file",
                    );
                    break;
                }
                None => break,
            }
        }
    }
    for (index, read) in peers.iter().enumerate() {
        let identity = |peer: &Peer| peer.identities.first().map(ToString::to_string);
        if let Some(earlier) = peers.iter().take(index).find(|earlier| {
            earlier.peer.name != read.peer.name && identity(&earlier.peer) == identity(&read.peer)
        }) {
            root.mistake(
                read.at,
                format!(
                    "peers \"{}\" and \"{}\" have the same path identity: none would be told from the other",
                    earlier.peer.name, read.peer.name
                ),
                "write one block with two addresses, or give each the identity it puts into Path",
            );
        }
    }
}

/// How the peer is dialled, its pins apart; none without an address.
fn dial(block: &Section<'_, '_>, folder: &Path) -> Option<Dial> {
    let texts = block.one_or_more_texts("address", "\"news.example.net:119\"");
    if let (Some([]), Some(at)) = (texts.as_deref(), block.position("address")) {
        block.mistake(at, "\"address\" is an empty list", "name at least one, or remove the key");
    }
    let tls = match block.text("tls", "\"starttls\"") {
        None => None,
        Some(text) => match text.value {
            "off" => Some(DialTls::Off),
            "starttls" => Some(DialTls::StartTls),
            "implicit" => Some(DialTls::Implicit),
            other => {
                block.mistake(
                    text.at,
                    format!("\"tls\" is \"{other}\""),
                    "write \"off\", \"starttls\" or \"implicit\" (from the first octet, port 563)",
                );
                None
            }
        },
    };
    let path = |key: &str, example: &str| block.text(key, example).map(|text| folder.join(text.value));
    let ca = path("ca", "\"peer-ca.pem\"");
    let user = block.text("user", "\"our-name\"").map(|text| text.value.to_owned());
    let password_file = path("password_file", "\"secrets/news.example.net\"");
    let proxy = address::proxy(block, "proxy");
    let compress = block.truth("compress", true);
    let addresses: Vec<_> = texts?.iter().filter_map(|text| address::dial_address(block, text)).collect();
    if addresses.is_empty() {
        return None;
    }
    // Port 563 is for nothing else (RFC 8143 s.3).
    let only_563 = addresses.iter().all(|address| address.port == Some(crate::limits::TLS_PORT));
    let tls = tls.unwrap_or(if only_563 { DialTls::Implicit } else { DialTls::Off });
    Some(Dial { addresses, tls, pins: Vec::new(), ca, user, password_file, proxy, compress })
}

/// The keys by which the peer is known, whoever dials.
fn pins(block: &Section<'_, '_>) -> Vec<Fingerprint> {
    const EXAMPLE: &str = "\"sha256:64 hexadecimal digits\"";
    let mut pins = Vec::new();
    for text in block.one_or_more_texts("pin", EXAMPLE).unwrap_or_default() {
        match Fingerprint::parse(text.value) {
            Some(pin) => pins.push(pin),
            None => block.mistake(
                text.at,
                format!("\"{}\" is no fingerprint of a key", text.value),
                format!("write pin = {EXAMPLE}, which `feedd peer key` prints at the peer"),
            ),
        }
    }
    pins
}

/// `[peer.batch]`.
fn batch(block: &Section<'_, '_>, folder: &Path) -> Option<Batch> {
    let section = block.section("batch", &BATCH_KEYS)?;
    let path = |key: &str| -> Option<PathBuf> {
        section.text(key, "\"batches/news.example.net\"").map(|text| folder.join(text.value))
    };
    let compression = match section.text("compression", "\"gzip\"").map(|text| (text.at, text.value)) {
        None | Some((_, "gzip")) => Compression::Gzip,
        Some((_, "none")) => Compression::None,
        Some((_, "xz")) => Compression::Xz,
        Some((at, other)) => {
            section.mistake(
                at,
                format!("\"compression\" is \"{other}\""),
                "write \"none\", \"gzip\" or \"xz\"",
            );
            Compression::Gzip
        }
    };
    let batch = Batch {
        out: path("out"),
        inbound: path("inbound"),
        every_s: section.number("every_s", BATCH_EVERY_S, 1..=30 * 86_400).value,
        bytes_max: section.octets("bytes_max", BATCH_BYTES_MAX, 1024..=1 << 40).value,
        compression,
    };
    if batch.out.is_none() && batch.inbound.is_none() {
        section.mistake(
            section.at,
            "\"batch\" names no folder",
            "add out = \"FOLDER\" for what is sent, inbound = \"FOLDER\" for what arrives, or both",
        );
    }
    if batch.out.is_some() && batch.out == batch.inbound {
        section.mistake(
            section.at,
            "\"out\" and \"inbound\" are one folder: what is sent would be taken for what arrived",
            "name two folders",
        );
    }
    Some(batch)
}

fn name<'d>(block: &Section<'d, '_>) -> Option<At<&'d str>> {
    // The name of a template is not the peer's.
    if !block.is_own("name") {
        block.mistake(
            block.at,
            "a [[peer]] without \"name\"",
            "add name = \"news.example.net\", or any short name you like",
        );
        return None;
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

fn number(block: &Section<'_, '_>, key: &str, default: usize, max: u64) -> usize {
    let default_number = u64::try_from(default).unwrap_or(max);
    usize::try_from(block.number(key, default_number, 1..=max).value).unwrap_or(default)
}
