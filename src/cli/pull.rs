//! `feedd pull`: the articles of another server, got as a reader gets them.

use super::import::Entrance;
use super::moment::moment;
use super::output::{counted, say, say_json, size};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::{Request, Response};
use crate::client::{Client, ClientError, ListedGroup, Login, Password, Security, Server};
use crate::config::octets_of;
use crate::intake::ImportRules;
use crate::tls::Fingerprint;
use crate::tls::client::Verification;
use crate::transfer::pull::{Extent, Pulled, Request as Pull, pull as pull_from};
use crate::transfer::{TransferError, Watcher};
use crate::wildmat::Wildmat;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The server: HOST or HOST:PORT; without a port also a name with SRV records
    host: String,
    /// The newsgroups
    #[arg(short, long, value_name = "WILDMAT", default_value = "*")]
    newsgroups: String,
    /// Of newsgroups that nothing has been brought of: so many of the newest articles
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "newnews"])]
    last: Option<u64>,
    /// Of newsgroups that nothing has been brought of: what came since then (2026-11-01, or 30d)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Ask for what is new by NEWNEWS, since the last time or --since, and not by number
    #[arg(long)]
    newnews: bool,
    /// Create the newsgroups that match and are not here
    #[arg(long)]
    create_groups: bool,
    /// Take old articles, whatever cutoff_days says
    #[arg(long)]
    no_cutoff: bool,
    /// Pass the articles on to this site's peers
    #[arg(long)]
    propagate: bool,
    /// Connections to the server
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// Octets a second at most, such as "500 KiB"
    #[arg(long, value_name = "SIZE")]
    rate: Option<String>,
    /// Where to keep what has been brought [default: pull/HOST:PORT in the data folder]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// TLS: not at all, by STARTTLS, or from the first octet [default: off; implicit on port 563]
    #[arg(long, value_name = "HOW", help_heading = "Server")]
    tls: Option<Tls>,
    /// The SHA-256 of the server's certificate or of its key: it is believed, and no other
    #[arg(long, value_name = "FINGERPRINT", help_heading = "Server")]
    pin: Option<String>,
    /// The certificates (PEM) to believe instead of this machine's authorities
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    ca: Option<PathBuf>,
    /// The name to log in with
    #[arg(long, value_name = "NAME", requires = "password_file", help_heading = "Server")]
    user: Option<String>,
    /// Its password: the first line of a file that nobody else may read
    #[arg(long, value_name = "FILE", requires = "user", help_heading = "Server")]
    password_file: Option<PathBuf>,
    /// Print the totals as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Tls {
    /// In clear
    Off,
    /// By STARTTLS
    Starttls,
    /// From the first octet
    #[value(alias = "on")]
    Implicit,
}

pub(super) fn pull(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let mut server = server(arguments)?;
    server.name_servers.clone_from(&site.config.site.name_servers);
    let newsgroups = Wildmat::parse(&arguments.newsgroups)
        .map_err(|bad| Failure::because(format!("--newsgroups: {bad}")))?;
    let rate = arguments.rate.as_deref().map(|text| octets_of(text).ok_or(text)).transpose();
    let octets_s_max =
        rate.map_err(|text| Failure::because(format!("--rate {text:?} is no size; write \"500 KiB\"")))?;
    // Of the one of its servers that answers: what has been brought is kept by its numbers.
    let found = server.find().map_err(|error| Failure::because(format!("{server}: {error}")))?;
    let name: String = found.replace(['/', '\\'], "_");
    let journal = arguments.state.clone().unwrap_or_else(|| site.data().join("pull").join(name));
    let article_bytes_max = site.config.site.limits.article_bytes_max;
    let rules = ImportRules {
        no_cutoff: arguments.no_cutoff,
        create_groups: false,
        kept: !arguments.propagate,
        from: format!("pull:{}", server.host),
        peer: String::new(),
    };
    let extent = extent(arguments)?;
    let here = newsgroups_here(&site)?;
    let site = (site.data().to_path_buf(), Entrance::of(site)?);
    let (data, entrance) = &site;
    let create = |group: &ListedGroup| {
        let request = Request::GroupAdd {
            name: group.name.clone(),
            status: Some(group.status.clone()).filter(|status| matches!(status.as_str(), "y" | "n" | "m")),
            description: Some(group.description.clone()).filter(|text| !text.is_empty()),
            next: None,
        };
        matches!(crate::admin::client::ask(data, &request), Ok(Some(Response::Done(_))))
    };
    let known = Mutex::new(here);
    let has = |group: &ListedGroup| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&group.name)
            || (arguments.create_groups && create(group) && known.insert(group.name.clone()))
    };
    let connect = || {
        let stream = entrance.open(&rules).map_err(|failure| match failure {
            Failure::Because(why) => ClientError::Refused(why),
            _ => ClientError::Refused("it does not answer".to_owned()),
        })?;
        Client::over_unix(stream)
    };
    let request = Pull {
        server,
        newsgroups,
        extent,
        connections: arguments.connections.into(),
        octets_s_max,
        article_bytes_max,
        journal,
        site: &connect,
        has: &has,
    };
    let bar = Bar::new();
    let pulled = pull_from(&request, &bar);
    bar.0.finish_and_clear();
    site.1.close();
    tell(arguments, pulled.map_err(|error| Failure::because(advice(&error)))?)
}

fn tell(arguments: &Arguments, pulled: Pulled) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        totals: &'a crate::transfer::Totals,
        gone: u64,
        octets: u64,
        newsgroups: u64,
        not_here: u64,
    }
    for newsgroup in &pulled.renumbered {
        eprintln!("feedd: the server has numbered {newsgroup} anew; all of it was looked at again");
    }
    let Pulled { totals, gone, octets, newsgroups, not_here, .. } = &pulled;
    if arguments.json {
        let (gone, octets, newsgroups, not_here) = (*gone, *octets, *newsgroups, *not_here);
        say_json(&Shown { totals, gone, octets, newsgroups, not_here })?;
    } else {
        let mut text = totals.shown();
        text.push_str(&format!("\n{} received", size(*octets)));
        if !arguments.newnews {
            text.push_str(&format!(" from {}", counted(*newsgroups, "newsgroup")));
        }
        if *gone > 0 {
            text.push_str(&format!(", {gone} numbers without an article"));
        }
        if *not_here > 0 {
            text.push_str(&format!(
                "\n{} left out, not being here; --create-groups makes them",
                counted(*not_here, "newsgroup")
            ));
        }
        say(text)?;
    }
    match pulled.failure {
        Some(error) => Err(Failure::because(format!(
            "not all was pulled: {error}; the same command goes on where it stopped"
        ))),
        None => Ok(()),
    }
}

/// An error with what can be done about it.
fn advice(error: &TransferError) -> String {
    match error {
        TransferError::Server(_, declined @ ClientError::Declined(answer)) => match answer.code.0 {
            480 => format!("{error}; log in with --user and --password-file"),
            483 => format!("{error}; use --tls starttls or --tls implicit"),
            500..=503 if declined.is_unknown_command() => {
                format!("{error}; where it is NEWNEWS that the server does not answer, leave out --newnews")
            }
            _ => error.to_string(),
        },
        _ => error.to_string(),
    }
}

fn server(arguments: &Arguments) -> Result<Server, Failure> {
    let mut server = Server::parse(&arguments.host).map_err(Failure::Because)?;
    server.by_service = true;
    server.security = match arguments.tls {
        None => server.security,
        Some(Tls::Off) => Security::Clear,
        Some(Tls::Starttls) => Security::StartTls,
        Some(Tls::Implicit) => Security::Tls,
    };
    if server.security == Security::Clear && (arguments.pin.is_some() || arguments.ca.is_some()) {
        return Err(Failure::because("--pin and --ca are for TLS; add --tls starttls or --tls implicit"));
    }
    server.verification = match (&arguments.pin, &arguments.ca) {
        (Some(_), Some(_)) => return Err(Failure::because("--pin and --ca exclude each other; keep one")),
        (Some(pin), None) => Verification::Pins(vec![Fingerprint::parse(pin).ok_or_else(|| {
            Failure::because(format!("--pin {pin:?} is no SHA-256; write sha256: and 64 hexadecimal digits"))
        })?]),
        (None, Some(ca)) => Verification::CaFile(ca.clone()),
        (None, None) => Verification::Authorities,
    };
    server.login = match (&arguments.user, &arguments.password_file) {
        (Some(name), Some(file)) => {
            Some(Login { name: name.clone(), password: Password::File(file.clone()) })
        }
        _ => None,
    };
    Ok(server)
}

fn extent(arguments: &Arguments) -> Result<Extent, Failure> {
    let since = arguments.since.as_deref().map(moment).transpose()?;
    Ok(match (arguments.newnews, since, arguments.last) {
        (true, since, _) => Extent::NewNews(since.unwrap_or_default()),
        (false, Some(since), _) => Extent::Since(since),
        (false, None, Some(count)) => Extent::Last(count),
        (false, None, None) => Extent::All,
    })
}

/// The newsgroups of this site.
fn newsgroups_here(site: &Site) -> Result<HashSet<String>, Failure> {
    match site.ask(&Request::GroupList { wildmat: None })? {
        Response::Groups(groups) => Ok(groups.into_iter().map(|group| group.name).collect()),
        other => Err(Failure::because(format!("an unexpected answer: {other:?}"))),
    }
}

/// Shows article numbers as they are done.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0).with_prefix("pulling");
        let style = ProgressStyle::with_template(
            "{prefix} {wide_bar} {human_pos}/{human_len} numbers {per_sec} eta {eta}",
        );
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }
}

impl Watcher for Bar {
    fn begins(&self, total: u64, before: u64) {
        self.0.set_length(total);
        self.0.set_position(before);
    }

    fn advances(&self, numbers: u64) {
        self.0.inc(numbers);
    }
}
