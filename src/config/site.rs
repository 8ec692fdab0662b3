//! `feedd.toml`: keys, ranges, and what they must agree on.

use super::document::{At, Document, Section};
use super::{Limits, Mistake, Network, SEGMENT_BYTES, Site};
use crate::article::PathIdentity;
use crate::article::path::BadPathIdentity;
use crate::limits::{self, OWN_IDENTITY_MAX};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const KEYS: [&str; 7] = ["identity", "listen", "data", "peers", "cutoff_days", "access", "limits"];
const ACCESS_KEYS: [&str; 2] = ["readers", "posters"];
const LIMITS_KEYS: [&str; 6] = [
    "article_bytes_max",
    "connections_max",
    "in_flight_bytes_max",
    "idle_s",
    "crosspost_max",
    "segment_bytes",
];

/// The largest article that can be asked for; segments number their octets with room to spare.
const ARTICLE_BYTES_CEILING: u64 = 1 << 30;

/// Checks the text of `feedd.toml`. Where there are mistakes the value holds defaults in their place.
pub(super) fn check(file: &Path, text: &str) -> (Site, Vec<Mistake>) {
    let document = Document::new(file, text);
    let mut site = Site::default();
    if let Some(root) = document.parse() {
        read(&Section::new(&document, root.get_ref(), 0, &KEYS), &mut site);
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    site.data = folder.join(&site.data);
    site.peers = folder.join(&site.peers);
    (site, document.into_mistakes())
}

/// A site's own path identity; says why when it is none.
///
/// # Errors
/// It is no path identity, or longer than [`OWN_IDENTITY_MAX`].
pub fn own_identity(text: &str) -> Result<PathIdentity, BadPathIdentity> {
    let identity = PathIdentity::try_from(text)?;
    if text.len() > OWN_IDENTITY_MAX {
        return Err(BadPathIdentity("no Message-ID has room for one of more than 200 octets"));
    }
    Ok(identity)
}

fn read(root: &Section<'_, '_>, site: &mut Site) {
    match root.text("identity", "\"news.example.org\"") {
        Some(text) => match own_identity(text.value) {
            Ok(identity) => site.identity = identity,
            Err(bad) => root.mistake(
                text.at,
                format!("\"{}\" is no path identity: {}", text.value, bad.0),
                "write this host's full domain name, such as \"news.example.org\"",
            ),
        },
        // A name that other sites share would make them refuse this site's articles as their own.
        None => root.mistake(
            root.at,
            "\"identity\" is missing",
            "add identity = \"news.example.org\" with this host's full domain name",
        ),
    }
    if let Some(addresses) = root.texts("listen", "[\"127.0.0.1:1119\"]") {
        site.listen = listen(root, &addresses);
    }
    for (key, place) in [("data", &mut site.data), ("peers", &mut site.peers)] {
        let example = format!("\"{}\"", place.display());
        match root.text(key, &example) {
            Some(text) if text.value.is_empty() => {
                root.mistake(text.at, format!("\"{key}\" is empty"), format!("write {key} = {example}"));
            }
            Some(text) => *place = PathBuf::from(text.value),
            None => {}
        }
    }
    let days = root.number("cutoff_days", 0, 0..=36_500).value;
    site.cutoff_days = u32::try_from(days).ok().filter(|days| *days > 0);
    if let Some(access) = root.section("access", &ACCESS_KEYS) {
        for (key, networks) in [("readers", &mut site.readers), ("posters", &mut site.posters)] {
            if let Some(texts) = access.texts(key, "[\"loopback\", \"192.0.2.0/24\"]") {
                *networks = self::networks(&access, &texts);
            }
        }
    }
    if let Some(section) = root.section("limits", &LIMITS_KEYS) {
        site.limits = limits(&section);
    }
}

fn listen(root: &Section<'_, '_>, texts: &[At<&str>]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for text in texts {
        match text.value.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 && addresses.contains(&address) => {
                root.mistake(
                    text.at,
                    format!("\"{address}\" stands in \"listen\" twice"),
                    "keep one of them",
                );
            }
            Ok(address) => addresses.push(address),
            Err(_) => root.mistake(
                text.at,
                format!("\"{}\" is no address to listen on", text.value),
                "write an address and a port: \"127.0.0.1:119\", \"[::]:119\" (every address of this host)",
            ),
        }
    }
    addresses
}

fn networks(access: &Section<'_, '_>, texts: &[At<&str>]) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in texts {
        match Network::parse(text.value) {
            Ok(more) => networks.extend(more),
            Err(bad) => access.mistake(text.at, bad.what, bad.cure),
        }
    }
    networks
}

fn limits(section: &Section<'_, '_>) -> Limits {
    let article =
        section.octets("article_bytes_max", octets(limits::ARTICLE_BYTES_MAX), 4096..=ARTICLE_BYTES_CEILING);
    let in_flight =
        section.octets("in_flight_bytes_max", octets(limits::IN_FLIGHT_BYTES_MAX), 1 << 16..=1 << 40);
    if in_flight.value < article.value {
        section.mistake(
            in_flight.at.max(article.at),
            "\"in_flight_bytes_max\" is less than one article of \"article_bytes_max\"",
            "raise the first or lower the second",
        );
    }
    let segment = section.octets("segment_bytes", SEGMENT_BYTES, 1 << 20..=1 << 36);
    Limits {
        article_bytes_max: size(article.value),
        connections_max: size(
            section.number("connections_max", octets(limits::CONNECTIONS_MAX), 1..=1_000_000).value,
        ),
        in_flight_bytes_max: size(in_flight.value),
        // RFC 3977 s.3.1: the autologout timer is at least three minutes.
        idle_s: section.number("idle_s", limits::IDLE_S, 180..=86_400).value,
        crosspost_max: size(section.number("crosspost_max", octets(limits::CROSSPOST_MAX), 1..=1000).value),
        segment_bytes: segment.value,
    }
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
