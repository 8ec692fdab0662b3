//! `feedd.toml`: keys, ranges, and what they must agree on.

use super::document::{At, Document, Section};
use super::{
    CERTIFICATE, KEY, LOG_BYTES_MAX, Limits, Mistake, Network, SEGMENT_BYTES, Site, TlsFiles, rules,
};
use crate::article::PathIdentity;
use crate::article::path::BadPathIdentity;
use crate::limits::{self, DNS_PORT, NAME_SERVERS_MAX, OWN_IDENTITY_MAX};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const KEYS: [&str; 13] = [
    "identity",
    "listen",
    "listen_tls",
    "dns",
    "data",
    "peers",
    "cutoff_days",
    "newslog",
    "feedlog",
    "log_bytes_max",
    "tls",
    "access",
    "limits",
];
const TLS_KEYS: [&str; 3] = ["certificate", "key", "client_authorities"];
const ACCESS_KEYS: [&str; 5] = ["readers", "posters", "users", "clear_logins", "rule"];
const LIMITS_KEYS: [&str; 10] = [
    "article_bytes_max",
    "connections_max",
    "connections_per_address_max",
    "connections_per_account_max",
    "slow_bytes_s",
    "slow_s",
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
    let tls = site.tls.iter_mut().flat_map(|tls| {
        [&mut tls.certificate, &mut tls.key].into_iter().chain(tls.client_authorities.as_mut())
    });
    for path in [&mut site.data, &mut site.peers, &mut site.users].into_iter().chain(tls) {
        *path = folder.join(&*path);
    }
    // An empty one stays empty: no such log is kept.
    for log in [&mut site.newslog, &mut site.feedlog].into_iter().flatten() {
        if !log.as_os_str().is_empty() {
            *log = folder.join(&*log);
        }
    }
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
        site.listen = listen(root, "listen", &addresses, &[]);
    }
    if let Some(addresses) = root.texts("listen_tls", "[\"[::]:563\"]") {
        site.listen_tls = listen(root, "listen_tls", &addresses, &site.listen);
    }
    if let Some(servers) = root.texts("dns", "[\"192.0.2.53\"]") {
        site.name_servers = name_servers(root, &servers);
    }
    path(root, "data", &mut site.data);
    path(root, "peers", &mut site.peers);
    site.tls = root.section("tls", &TLS_KEYS).map(|section| tls(&section));
    if let (false, None, Some(at)) = (site.listen_tls.is_empty(), &site.tls, root.position("listen_tls")) {
        root.mistake(
            at,
            "\"listen_tls\" needs a certificate, and there is no section [tls]",
            format!("add [tls] with certificate = \"{CERTIFICATE}\" and key = \"{KEY}\""),
        );
    }
    for (key, place) in [("newslog", &mut site.newslog), ("feedlog", &mut site.feedlog)] {
        *place = root.text(key, "\"data/log/news\"").map(|text| PathBuf::from(text.value));
    }
    if let Some(at) =
        root.position("feedlog").filter(|_| site.news_log().is_some() && site.news_log() == site.feed_log())
    {
        root.mistake(at, "\"newslog\" and \"feedlog\" are the same file", "give each a file of its own");
    }
    site.log_bytes_max = root.octets("log_bytes_max", LOG_BYTES_MAX, 1 << 20..=1 << 40).value;
    let days = root.number("cutoff_days", 0, 0..=36_500).value;
    site.cutoff_days = u32::try_from(days).ok().filter(|days| *days > 0);
    if let Some(section) = root.section("limits", &LIMITS_KEYS) {
        site.limits = limits(&section);
    }
    if let Some(access) = root.section("access", &ACCESS_KEYS) {
        path(&access, "users", &mut site.users);
        site.clear_logins = access.truth("clear_logins", site.clear_logins);
        site.rules = rules::read(&access, &site.limits);
        for (key, networks) in [("readers", &mut site.readers), ("posters", &mut site.posters)] {
            if let Some(texts) = access.texts(key, "[\"loopback\", \"192.0.2.0/24\"]") {
                *networks = self::networks(&access, &texts);
            }
        }
    }
}

/// The path under `key` replaces the default in `place`.
fn path(section: &Section<'_, '_>, key: &str, place: &mut PathBuf) {
    let example = format!("\"{}\"", place.display());
    match section.text(key, &example) {
        Some(text) if text.value.is_empty() => {
            section.mistake(text.at, format!("\"{key}\" is empty"), format!("write {key} = {example}"));
        }
        Some(text) => *place = PathBuf::from(text.value),
        None => {}
    }
}

fn tls(section: &Section<'_, '_>) -> TlsFiles {
    let mut files = TlsFiles { certificate: CERTIFICATE.into(), key: KEY.into(), client_authorities: None };
    path(section, "certificate", &mut files.certificate);
    path(section, "key", &mut files.key);
    if section.position("client_authorities").is_some() {
        let mut authorities = PathBuf::from("tls/authorities.pem");
        path(section, "client_authorities", &mut authorities);
        files.client_authorities = Some(authorities);
    }
    files
}

/// The addresses under `key`; none of them may be one of `others`, which "listen" has.
fn listen(root: &Section<'_, '_>, key: &str, texts: &[At<&str>], others: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for text in texts {
        match text.value.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 && addresses.contains(&address) => {
                root.mistake(text.at, format!("\"{address}\" stands in \"{key}\" twice"), "keep one of them");
            }
            Ok(address) if address.port() != 0 && others.contains(&address) => {
                root.mistake(
                    text.at,
                    format!("\"{address}\" stands in \"listen\" as well"),
                    "give TLS a port of its own, 563 by custom; \"listen\" offers STARTTLS anyway",
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

/// Name servers, by default on port 53.
fn name_servers(root: &Section<'_, '_>, texts: &[At<&str>]) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for text in texts {
        let alone = |text: &str| Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
        match text.value.parse::<SocketAddr>().ok().or_else(|| alone(text.value)) {
            Some(server) if server.port() != 0 && servers.len() < NAME_SERVERS_MAX => servers.push(server),
            Some(server) if server.port() != 0 => root.mistake(
                text.at,
                format!("\"dns\" has more than {NAME_SERVERS_MAX} name servers"),
                "keep those that are nearest: the others would never be asked",
            ),
            _ => root.mistake(
                text.at,
                format!("\"{}\" is no address of a name server", text.value),
                "write an address with or without a port: \"192.0.2.53\", \"[2001:db8::53]:5353\"",
            ),
        }
    }
    servers
}

pub(super) fn networks(access: &Section<'_, '_>, texts: &[At<&str>]) -> Vec<Network> {
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
    let connections = |key, default| size(section.number(key, octets(default), 1..=1_000_000).value);
    Limits {
        article_bytes_max: size(article.value),
        connections_max: connections("connections_max", limits::CONNECTIONS_MAX),
        connections_per_address_max: connections(
            "connections_per_address_max",
            limits::CONNECTIONS_PER_ADDRESS_MAX,
        ),
        connections_per_account_max: connections(
            "connections_per_account_max",
            limits::CONNECTIONS_PER_ACCOUNT_MAX,
        ),
        slow_s: section.number("slow_s", limits::SLOW_S, 1..=3600).value,
        slow_bytes_s: section.number("slow_bytes_s", limits::SLOW_BYTES_S, 0..=1 << 20).value,
        in_flight_bytes_max: size(in_flight.value),
        // RFC 3977 s.3.1: the autologout timer is at least three minutes.
        idle_s: section.number("idle_s", limits::IDLE_S, 180..=86_400).value,
        crosspost_max: size(section.number("crosspost_max", octets(limits::CROSSPOST_MAX), 1..=1000).value),
        segment_bytes: segment.value,
    }
}

pub(super) fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
