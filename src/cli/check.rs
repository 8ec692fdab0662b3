//! `feedd check`.

use super::output::{counted, say};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::accounts::Accounts;
use crate::config::{self, Mistake, Peer, Subject};
use crate::feed::service_of;
use crate::tls::server;
use crate::transport::is_in_dns;
use crate::wire::ListFile;

/// Says what is wrong with the two files and those they name, or what they say. The mistakes are what this command is
/// asked for: they go to stdout.
pub(super) fn check(file: &ConfigFile) -> Result<(), Failure> {
    let site = match Site::load(file) {
        Err(Failure::Config(mistakes)) => return Err(broken(&mistakes)?),
        other => other?,
    };
    let of = &site.config.site;
    let mut mistakes = of.check_files();
    if mistakes.is_empty() {
        mistakes.extend(bad_pem(of));
    }
    if !mistakes.is_empty() {
        return Err(broken(&mistakes)?);
    }
    let source = site.path.as_ref().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    let starttls = if of.tls.is_some() { " (STARTTLS)" } else { "" };
    let listen = of.listen.iter().map(|address| format!("{address}{starttls}"));
    let listen: Vec<String> =
        listen.chain(of.listen_tls.iter().map(|address| format!("{address} (TLS)"))).collect();
    say(format!(
        "{source}: ok\n  identity {}, data in {}\n  listens on {}",
        of.identity,
        of.data.display(),
        if listen.is_empty() { "nothing".to_owned() } else { listen.join(", ") }
    ))?;
    let there = site.config.lists.there();
    let lists: Vec<&str> =
        ListFile::ALL.into_iter().filter(|list| there.has(*list)).map(ListFile::keyword).collect();
    if !lists.is_empty() {
        say(format!("  LIST gives out {}", lists.join(", ")))?;
    }
    for (line, subject) in of.unknown_subjects() {
        let nobody = match subject {
            Subject::Group(_) => "nobody is in that group",
            _ => "there is no such account",
        };
        say(format!("{source}:{line}: the rule names {subject}, and {nobody} (yet)"))?;
    }
    let accounts = Accounts::read(&of.users).unwrap_or_default().sorted().len();
    if accounts > 0 || !of.rules.is_empty() {
        let logins = match (of.tls.is_some(), of.clear_logins) {
            (_, true) => "logins with and without TLS",
            (true, false) => "logins over TLS only",
            (false, false) => "no logins: passwords are taken over TLS only, and there is no [tls]",
        };
        let accounts = counted(accounts as u64, "account");
        let rules = counted(of.rules.len() as u64, "rule");
        say(format!("{}: ok\n  {accounts}, {rules}; {logins}", of.users.display()))?;
    }
    let peers = &site.config.peers;
    say(format!("{}: ok\n  {}", of.peers.display(), counted(peers.len() as u64, "peer")))?;
    for peer in peers {
        let address = peer.way().unwrap_or("(dials us)".to_owned());
        let services = services(peer);
        let services = if services.is_empty() {
            String::new()
        } else {
            format!(" (by the SRV records {}, if there are any)", services.join(", "))
        };
        let from: Vec<String> = peer.accept_from.iter().map(ToString::to_string).collect();
        say(format!(
            "  {} at {address}{services} from {}: send {}, accept {}",
            peer.name,
            from.join(" "),
            peer.send.newsgroups,
            peer.accept.newsgroups
        ))?;
    }
    Ok(())
}

/// Where the SRV records by which it is dialled would stand.
fn services(peer: &Peer) -> Vec<String> {
    let Some(dial) = peer.dial.as_ref().filter(|dial| dial.proxy.is_none()) else { return Vec::new() };
    let by_service =
        dial.addresses.iter().filter(|address| address.port.is_none() && is_in_dns(&address.host));
    by_service.map(|address| service_of(dial.tls).name_at(&address.host)).collect()
}

/// What TLS cannot begin with: no PEM, or a key of another certificate.
pub(super) fn bad_pem(site: &config::Site) -> Option<Mistake> {
    let tls = site.tls.as_ref()?;
    let bad = server::config(&tls.certificate, &tls.key, tls.client_authorities.as_deref()).err()?;
    let cure = "put a certificate and its own key there, in PEM form".to_owned();
    Some(Mistake { file: bad.path, line: 1, what: bad.what, cure })
}

/// Tells the mistakes.
pub(super) fn broken(mistakes: &[Mistake]) -> Result<Failure, Failure> {
    let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    say(text.join("\n"))?;
    Ok(Failure::Said)
}
