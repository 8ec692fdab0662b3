//! `feedd doctor`: what stands between this site and its peers, looked at where it is: names, ports, TLS,
//! greetings, rights, patterns, clocks. What `feedd check` finds in the files comes first.

mod both;
mod peer;

use super::check::{bad_pem, broken};
use super::output::{say, say_json};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::{Request, Response, SiteStatus};
use crate::clock;
use crate::config::Network;
use crate::tls::client::OwnCertificate;
use crate::tls::{not_after, server::dns_names};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Days before its end at which a certificate is told of.
const EXPIRES_DAYS: i64 = 14;
/// Octets that the data folder's disk should have left.
const FREE_MIN: u64 = 1 << 30;
/// How long one of our own ports may take.
const OWN_PORT: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only this peer, by its name in peers.toml
    peer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    /// As it should be.
    Good,
    /// It works, and may not be meant so.
    Odd,
    /// It does not work.
    Wrong,
}

/// Something that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// `site`, or the peer.
    about: String,
    grade: Grade,
    what: String,
    /// How to mend it; empty when it is good.
    cure: String,
}

/// What has been found so far, about one thing after the other.
#[derive(Default)]
struct Findings {
    about: String,
    all: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, grade: Grade, what: impl Into<String>, cure: impl Into<String>) {
        let (what, cure) = (what.into(), cure.into());
        self.all.push(Finding { about: self.about.clone(), grade, what, cure });
    }

    fn good(&mut self, what: impl Into<String>) {
        self.add(Grade::Good, what, "");
    }

    fn odd(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.add(Grade::Odd, what, cure);
    }

    fn wrong(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.add(Grade::Wrong, what, cure);
    }
}

/// Looks, and tells. The command fails where something does not work.
pub(super) fn doctor(arguments: &Arguments) -> Result<(), Failure> {
    let site = match Site::load(&arguments.site) {
        Err(Failure::Config(mistakes)) => return Err(broken(&mistakes)?),
        other => other?,
    };
    let mut mistakes = site.config.site.check_files();
    mistakes.extend(bad_pem(&site.config.site).filter(|_| mistakes.is_empty()));
    let mut findings = Findings { about: "site".to_owned(), all: Vec::new() };
    for mistake in &mistakes {
        findings
            .wrong(format!("{}:{}: {}", mistake.file.display(), mistake.line, mistake.what), &mistake.cure);
    }
    let status = match site.ask_running(&Request::Status) {
        Ok(Some(Response::Status(status))) => Some(*status),
        _ => None,
    };
    let peers = &site.config.peers;
    if let Some(name) = &arguments.peer
        && !peers.iter().any(|peer| peer.name == *name)
    {
        return Err(Failure::because(format!(
            "there is no peer \"{name}\" in {}",
            site.config.site.peers.display()
        )));
    }
    if arguments.peer.is_none() {
        look_at_site(&site, status.as_ref(), &mut findings);
    }
    let certificate = site
        .config
        .site
        .tls
        .as_ref()
        .and_then(|files| OwnCertificate::read(&files.certificate, &files.key).ok().map(Arc::new));
    let newsgroups = newsgroups(&site);
    for peer in peers.iter().filter(|peer| arguments.peer.as_ref().is_none_or(|name| peer.name == *name)) {
        findings.about.clone_from(&peer.name);
        let feed = status.as_ref().and_then(|status| status.feeds.iter().find(|feed| feed.peer == peer.name));
        peer::look_at(peer, &site, feed, &newsgroups, certificate.as_ref(), &mut findings);
    }
    tell(&findings.all, arguments.json)
}

fn tell(findings: &[Finding], json: bool) -> Result<(), Failure> {
    if json {
        say_json(&findings)?;
    } else {
        let mut about = "";
        let mut text = String::new();
        for finding in findings {
            if finding.about != about {
                about = &finding.about;
                text.push_str(&format!("{about}\n"));
            }
            let mark = match finding.grade {
                Grade::Good => "ok   ",
                Grade::Odd => "odd  ",
                Grade::Wrong => "WRONG",
            };
            let cure = if finding.cure.is_empty() { String::new() } else { format!("; {}", finding.cure) };
            let line = format!("  {mark}  {}{cure}", finding.what);
            text.push_str(&line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>());
            text.push('\n');
        }
        text.pop();
        say(text)?;
    }
    if findings.iter().any(|finding| finding.grade == Grade::Wrong) { Err(Failure::Said) } else { Ok(()) }
}

fn look_at_site(site: &Site, status: Option<&SiteStatus>, findings: &mut Findings) {
    let config = &site.config.site;
    let identity = config.identity.as_str();
    let unreal = ["localhost", "example", "invalid", "test", "local"];
    if !identity.contains('.') || unreal.iter().any(|end| identity.ends_with(&format!(".{end}"))) {
        findings.odd(
            format!("identity \"{identity}\" is no name of the Internet's"),
            "a name that others use, too, makes them refuse each other's articles: write this host's full domain name",
        );
    }
    match status {
        None => findings.wrong(
            format!("no site runs on {}", config.data.display()),
            "start it: feedd run, or the service of deploy/",
        ),
        Some(status) => {
            findings.good(format!("it runs, on {}", status.addresses.join(" ")));
            if !status.store.refusing.is_empty() {
                findings.wrong(
                    format!("it takes no articles: {}", status.store.refusing),
                    "make room, or mend the disk",
                );
            }
            if status.store.damaged > 0 {
                findings.wrong(
                    format!("{} records are damaged", status.store.damaged),
                    "feedd verify tells which",
                );
            }
            if status.store.newsgroups == 0 {
                findings.wrong(
                    "it has no newsgroups: every article is rejected",
                    "feedd group add local.general",
                );
            }
            status
                .addresses
                .iter()
                .filter_map(|address| address.parse().ok())
                .for_each(|at| own_port(at, findings));
        }
    }
    let loopback =
        |address: &SocketAddr| Network::LOOPBACK.iter().any(|network| network.contains(address.ip()));
    let mut listening = config.listen.iter().chain(&config.listen_tls);
    let from_outside =
        |network: &str| !network.starts_with("127.") && network != "::1/128" && network != "::1";
    let expected = site
        .config
        .peers
        .iter()
        .any(|peer| peer.accept_from.iter().any(|source| from_outside(&source.to_string())));
    if listening.all(loopback) && expected {
        findings.odd(
            "peers are to connect, and it listens on loopback only",
            "write listen = [\"[::]:119\"] in feedd.toml",
        );
    }
    if let Ok(free) = rustix::fs::statvfs(&config.data)
        && free.f_bavail.saturating_mul(free.f_frsize) < FREE_MIN
    {
        findings.odd(
            format!("less than 1 GiB is left for {}", config.data.display()),
            "make room: a full disk defers every article",
        );
    }
    if let Some(tls) = &config.tls {
        certificate(&tls.certificate, identity, findings);
    }
}

/// Does somebody answer there, and are we that?
fn own_port(at: SocketAddr, findings: &mut Findings) {
    let to = match at.ip() {
        IpAddr::V4(any) if any.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port()),
        IpAddr::V6(any) if any.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), at.port()),
        _ => at,
    };
    if let Err(error) = TcpStream::connect_timeout(&to, OWN_PORT) {
        findings
            .wrong(format!("nobody answers on {at}: {error}"), "a firewall of this host may be in between");
    }
}

fn certificate(path: &Path, identity: &str, findings: &mut Findings) {
    let Some(Ok(first)) = CertificateDer::pem_file_iter(path).ok().and_then(|mut all| all.next()) else {
        return;
    };
    if let Some(end) = not_after(&first) {
        let days = (end.unix_s() - clock::now().unix_s()) / 86_400;
        let cure = "renew it, and feedd reload";
        if days < 0 {
            findings.wrong(format!("{}: the certificate has expired", path.display()), cure);
        } else if days < EXPIRES_DAYS {
            findings.odd(format!("{}: the certificate expires in {days} days", path.display()), cure);
        }
    }
    let names = dns_names(&first);
    if !names.is_empty() && !names.iter().any(|name| name.eq_ignore_ascii_case(identity)) {
        findings.odd(
            format!("{}: the certificate is for {}, not for {identity}", path.display(), names.join(", ")),
            "who verifies it by that name will not believe it; get one for the identity, or have its key pinned",
        );
    }
}

/// The newsgroups of this site.
fn newsgroups(site: &Site) -> Vec<String> {
    match site.ask(&Request::GroupList { wildmat: None }) {
        Ok(Response::Groups(groups)) => groups.into_iter().map(|group| group.name).collect(),
        _ => Vec::new(),
    }
}
