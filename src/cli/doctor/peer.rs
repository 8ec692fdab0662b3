//! One peer, looked at from here; and from there, as far as what it lets us do tells.

use super::{Findings, both};
use crate::accounts::Accounts;
use crate::cli::site::Site;
use crate::client::{Client, ClientError, Login, Password, Security, Server};
use crate::clock;
use crate::config::{Dial, DialAddress, DialTls, Peer, Source};
use crate::feed::{FeedStatus, service_of};
use crate::tls::client::{OwnCertificate, Verification};
use crate::transport::{Machine, Network, Service, ServiceRecord, arrange, is_hidden, is_in_dns, wait_for};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// Seconds that clocks may differ: an article may be dated a day ahead, but people read times.
const CLOCKS_S: i64 = 300;
/// Articles that a feed may be behind before it is told.
const BEHIND: u64 = 10_000;

pub(super) fn look_at(
    peer: &Peer,
    site: &Site,
    feed: Option<&FeedStatus>,
    newsgroups: &[String],
    certificate: Option<&Arc<OwnCertificate>>,
    findings: &mut Findings,
) {
    files(peer, site, findings);
    patterns(peer, newsgroups, findings);
    if !peer.keys.is_empty() && peer.dial.is_some() && certificate.is_none() {
        findings.odd(
            "it is known by its key, and this site has none for it to know",
            "feedd peer key makes one; tell it to the peer's operator",
        );
    }
    let network = Machine::asking(&site.config.site.name_servers);
    for source in &peer.accept_from {
        if let Source::Host(name) = source
            && !is_hidden(name)
            && let Some(why) = unknown(&network, name)
            && !peer.dial.as_ref().is_some_and(|dial| has_records(&network, dial, name))
        {
            findings.wrong(
                format!("accept_from: {name} {why}"),
                "write a name that the DNS knows, or the peer's address",
            );
        }
    }
    if let Some(feed) = feed {
        state(feed, findings);
    }
    let identity = site.config.site.identity.as_str();
    match &peer.dial {
        None => {}
        Some(dial) if dial.proxy.is_some() => {
            findings.good(
                "it is reached by way of a proxy: its feed's state above is all that is seen from here",
            );
        }
        Some(dial) => {
            for address in &dial.addresses {
                dialled(peer, dial, address, (identity, newsgroups), &network, certificate, findings);
            }
        }
    }
}

/// How its feed stands.
fn state(feed: &FeedStatus, findings: &mut Findings) {
    let said = format!("its feed: {}", feed.state);
    if feed.last_error.is_empty() || feed.state.starts_with("connected") {
        findings.good(said);
    } else {
        findings.wrong(format!("{said}; last: {}", feed.last_error), "what follows may tell why");
    }
    if feed.lag > BEHIND && feed.state.starts_with("connected") {
        findings.odd(format!("it is {} records behind", feed.lag), "more connections, or a faster link");
    }
    let answered = feed.accepted + feed.refused + feed.rejected;
    if answered > 100 && feed.rejected * 2 > answered {
        findings.odd(
            format!("it rejects {} of {answered} articles", feed.rejected),
            "feedd peer status NAME tells why; send it only what it accepts",
        );
    }
}

/// The files and folders that its block names.
fn files(peer: &Peer, site: &Site, findings: &mut Findings) {
    if let Some(file) = peer.dial.as_ref().and_then(|dial| dial.password_file.as_ref()) {
        password_file(file, findings);
    }
    if let Some(ca) = peer.dial.as_ref().and_then(|dial| dial.ca.as_ref())
        && let Err(error) = fs::read(ca)
    {
        findings.wrong(format!("ca: {}: {error}", ca.display()), "put the authority's certificate there");
    }
    if let Some(name) = &peer.account {
        let known = Accounts::read(&site.config.site.users)
            .is_ok_and(|accounts| accounts.sorted().iter().any(|account| account.name == *name));
        if !known {
            findings.wrong(format!("there is no account \"{name}\""), format!("feedd user add {name}"));
        }
        if site.config.site.tls.is_none() && !site.config.site.clear_logins {
            findings.wrong(
                "it is to log in, and this site takes no passwords without TLS",
                "feedd peer key makes a certificate and writes [tls]",
            );
        }
    }
    let Some(batch) = &peer.batch else { return };
    for (key, folder) in [("out", &batch.out), ("inbound", &batch.inbound)] {
        let Some(folder) = folder else { continue };
        match fs::metadata(folder) {
            Err(error) => {
                findings.odd(
                    format!("{key}: {}: {error}", folder.display()),
                    "it is made when it is first needed; or make it",
                );
            }
            Ok(found) if !found.is_dir() => {
                findings.wrong(format!("{key}: {} is no folder", folder.display()), "name a folder");
            }
            Ok(_) => findings.good(format!("{key}: {}", folder.display())),
        }
        let failed = fs::read_dir(folder.join("failed")).map(|found| found.count()).unwrap_or_default();
        if failed > 0 {
            findings.wrong(
                format!("{failed} files lie in {}", folder.join("failed").display()),
                "each has a file beside it that says why",
            );
        }
    }
}

fn password_file(file: &Path, findings: &mut Findings) {
    match fs::metadata(file) {
        Err(error) => findings.wrong(
            format!("password_file: {}: {error}", file.display()),
            "write the password into its first line",
        ),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => findings.odd(
            format!("password_file: {}: others may read it", file.display()),
            format!("chmod 600 {}", file.display()),
        ),
        Ok(_) => {
            let text = fs::read_to_string(file).unwrap_or_default();
            if text.lines().next().is_none_or(str::is_empty) {
                findings.wrong(
                    format!("password_file: {}: its first line is empty", file.display()),
                    "write the password there",
                );
            }
        }
    }
}

/// Patterns that match nothing that is here.
fn patterns(peer: &Peer, newsgroups: &[String], findings: &mut Findings) {
    let sends = peer.dial.is_some() || peer.turn || peer.batch.is_some();
    for (key, contract, counts) in [("send", &peer.send, sends), ("accept", &peer.accept, true)] {
        // `!*` is how one says nothing.
        let meant = contract.newsgroups.to_string() == "!*";
        let any = newsgroups.iter().any(|name| contract.newsgroups.wants([name.as_str()]));
        if counts && !meant && !newsgroups.is_empty() && !any {
            findings.wrong(
                format!(
                    "{key} = \"{}\" matches none of this site's {} newsgroups",
                    contract.newsgroups,
                    newsgroups.len()
                ),
                "mend the pattern, or create the newsgroups",
            );
        }
    }
}

/// What its server says to us.
fn dialled(
    peer: &Peer,
    dial: &Dial,
    address: &DialAddress,
    (identity, newsgroups): (&str, &[String]),
    network: &Machine,
    certificate: Option<&Arc<OwnCertificate>>,
    findings: &mut Findings,
) {
    let mut server = match server(dial, address, certificate) {
        Ok(server) => server,
        Err(why) => return findings.wrong(format!("{address}: {why}"), "mend the address"),
    };
    server.by_service = true;
    server.name_servers = network.name_servers().to_vec();
    let mut at = server.to_string();
    let records = server.service().map(|service| records(network, service, address, findings));
    match records {
        Some(Found::Nobody) => return,
        Some(Found::Servers) => at = address.to_string(),
        Some(Found::None) | None => match host(network, &address.host, server.port()) {
            Ok(found) if found.is_empty() => {
                return findings.wrong(format!("{at}: the name has no address"), "mend the DNS");
            }
            Ok(_) => {}
            Err(error) => {
                return findings.wrong(
                    format!("{at}: the name cannot be looked up: {error}"),
                    "mend the name in peers.toml, or the DNS",
                );
            }
        },
    }
    let mut client = match Client::connect(&server) {
        Ok(client) => client,
        Err(error) => return unreachable_by(&at, dial, &error, findings),
    };
    // Which of its addresses it was.
    if let Some(to) = client.remote().map(|to| to.to_string()).filter(|to| *to != at) {
        at = format!("{at} ({to})");
    }
    let how = match dial.tls {
        DialTls::Off => "in clear",
        DialTls::StartTls => "with STARTTLS",
        DialTls::Implicit => "with TLS",
    };
    let known = match client.capabilities() {
        Ok(known) => known.cloned(),
        Err(error) => return findings.wrong(format!("{at}: CAPABILITIES: {error}"), "is it an NNTP server?"),
    };
    if dial.tls == DialTls::Off && known.as_ref().is_some_and(|known| known.starttls) {
        findings.odd(
            format!("{at}: it offers TLS, and is spoken to in clear"),
            "write tls = \"starttls\" and its pin",
        );
    }
    match &known {
        Some(known) if known.streaming || known.ihave => {
            findings.good(format!("{at}: answers {how}, and takes articles from us"));
        }
        Some(_) => findings.wrong(
            format!("{at}: answers {how}, and takes no articles from us"),
            "its operator must admit this site as a peer: by address, by account, or by the key that feedd peer key prints",
        ),
        None => findings.good(format!("{at}: answers {how}; an old server that does not tell what it can")),
    }
    if peer.turn && known.as_ref().is_some_and(|known| !known.turn) {
        findings.wrong(
            format!("{at}: it does not offer XTURN to us"),
            "it must be feedd, know this site by key or account, and have turn = true in its block for us",
        );
    }
    if let Some(name) = greeted_as(&client, known.as_ref().and_then(|known| known.implementation.as_deref()))
        && !peer.identities.iter().any(|identity| identity.as_str().eq_ignore_ascii_case(&name))
    {
        findings.odd(
            format!("{at}: it calls itself {name}, and identity is {}", identities(peer)),
            format!(
                "if that is what it puts into Path, write identity = \"{name}\": else it is sent what it has"
            ),
        );
    }
    if let Ok(there_s) = client.date() {
        let ahead_s = there_s - clock::now().unix_s();
        if ahead_s.abs() > CLOCKS_S {
            findings.odd(
                format!(
                    "{at}: its clock is {} s {} ours",
                    ahead_s.abs(),
                    if ahead_s > 0 { "ahead of" } else { "behind" }
                ),
                "set the wrong one by NTP: articles from the future are rejected",
            );
        }
    }
    if known.as_ref().is_some_and(|known| known.streaming)
        && let Ok(Some(view)) = client.peer_view()
    {
        both::compare(&at, identity, peer, newsgroups, &view, findings);
    }
    if known.as_ref().is_some_and(|known| known.reader)
        && let Ok(theirs) = client.list(None)
        && !theirs.is_empty()
        && !theirs.iter().any(|group| {
            peer.send.newsgroups.wants([group.name.as_str()]) && newsgroups.contains(&group.name)
        })
    {
        findings.odd(
            format!("{at}: of the newsgroups that we send it has none"),
            "it will reject every article; ask its operator to create them, or mend send",
        );
    }
}

/// What the DNS says of a service.
enum Found {
    /// Nothing: the host itself is meant.
    None,
    Servers,
    /// It is decidedly not there.
    Nobody,
}

/// Asks for the SRV records of an address, and tells what they say.
fn records(network: &Machine, service: Service, address: &DialAddress, findings: &mut Findings) -> Found {
    let name = service.name_at(&address.host);
    let itself = format!("port {} of {} itself is tried", service.port(), address.host);
    let found = match wait_for(network.services(&name)).and_then(|found| found) {
        Err(error) => {
            findings.odd(
                format!("{address}: it cannot be found out whether there are SRV records {name}: {error}"),
                format!("mend the DNS, or name other servers with dns in feedd.toml; {itself} meanwhile"),
            );
            return Found::None;
        }
        Ok(found) => found,
    };
    if found.is_empty() {
        findings.good(format!("{address}: there are no SRV records {name}: {itself}"));
        return Found::None;
    }
    if found.iter().all(|record| record.target.is_empty()) {
        findings.wrong(
            format!("{address}: its SRV record {name} has the target \".\": there is no such service"),
            "ask its operator where it is dialled, and write that with its port",
        );
        return Found::Nobody;
    }
    let shown = |ServiceRecord { priority, weight, port, target }: ServiceRecord| {
        format!("{target}:{port} (priority {priority}, weight {weight})")
    };
    let servers: Vec<String> = arrange(found).into_iter().flatten().map(shown).collect();
    findings.good(format!("{address}: the SRV records {name} name {}", servers.join(", ")));
    Found::Servers
}

/// Why nobody can come from a host of this name; none: somebody can.
fn unknown(network: &Machine, name: &str) -> Option<String> {
    match host(network, name, 0) {
        Ok(found) => found.is_empty().then(|| "has no address".to_owned()),
        Err(error) => Some(format!("cannot be looked up: {error}")),
    }
}

/// Do SRV records name servers of this host, which may come from there?
fn has_records(network: &Machine, dial: &Dial, host: &str) -> bool {
    if !is_in_dns(host) || !dial.leaves_port_open(host) {
        return false;
    }
    let name = service_of(dial.tls).name_at(host);
    let found = wait_for(network.services(&name)).and_then(|found| found);
    found.is_ok_and(|found| found.iter().any(|record| !record.target.is_empty()))
}

fn host(network: &Machine, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    wait_for(network.look_up(name, port))?
}

/// Why there is no connection, and what that means.
fn unreachable_by(at: &str, dial: &Dial, error: &ClientError, findings: &mut Findings) {
    let text = error.to_string();
    let cure = match error {
        ClientError::Io(io) => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                "nobody listens there: is the port right, and does it run?"
            }
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
                "a firewall may be in between; or it wants TLS from the first octet (tls = \"implicit\")"
            }
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                if dial.tls == DialTls::Off =>
            {
                "it hung up without a greeting: it may not know our address, or want TLS (tls = \"implicit\")"
            }
            _ => "see whether it is up, and reachable from here",
        },
        ClientError::Declined(answer) if matches!(answer.code.0, 400 | 502) => {
            "it turns us away: its operator must admit this site's address, account or key"
        }
        ClientError::Declined(answer) if matches!(answer.code.0, 481 | 482) => {
            "the login is refused: compare user and password_file with what its operator gave us"
        }
        ClientError::Declined(_) | ClientError::Refused(_) => "",
        ClientError::Protocol(_) => "what answers there is no NNTP server, or wants TLS from the first octet",
    };
    findings.wrong(format!("{at}: {text}"), cure);
}

/// What the greeting calls the server, if its first word is a name.
fn greeted_as(client: &Client, implementation: Option<&str>) -> Option<String> {
    // Only servers whose greeting begins with their path identity: feedd and INN.
    implementation.filter(|text| text.starts_with("feedd") || text.starts_with("INN"))?;
    let word = client.greeting().split_ascii_whitespace().next()?;
    (word.contains('.') && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')))
        .then(|| word.to_owned())
}

fn identities(peer: &Peer) -> String {
    let all: Vec<String> = peer.identities.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// The peer as a server to be asked.
fn server(
    dial: &Dial,
    address: &DialAddress,
    certificate: Option<&Arc<OwnCertificate>>,
) -> Result<Server, String> {
    let mut server = Server::parse(&address.to_string())?;
    server.security = match dial.tls {
        DialTls::Off => Security::Clear,
        DialTls::StartTls => Security::StartTls,
        DialTls::Implicit => Security::Tls,
    };
    server.verification = match &dial.ca {
        _ if !dial.pins.is_empty() => Verification::Pins(dial.pins.clone()),
        Some(ca) => Verification::CaFile(ca.clone()),
        None => Verification::Authorities,
    };
    server.login = match (&dial.user, &dial.password_file) {
        (Some(name), Some(file)) => {
            Some(Login { name: name.clone(), password: Password::File(file.clone()) })
        }
        _ => None,
    };
    server.clear_login = true;
    server.compress = false;
    server.as_reader = false;
    server.certificate = certificate.cloned();
    Ok(server)
}
