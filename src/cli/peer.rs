//! `feedd peer`: who articles are exchanged with. `peers.toml` stays the operator's: a new block is
//! written behind what is there, and nothing else is touched.

use super::init::quoted;
use super::output::{say, say_json, table};
use super::site::Site;
use super::{ConfigFile, Failure, Report};
use crate::admin::{PeerRow, Request, Response};
use crate::config::{self, Config};
use clap::Subcommand;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Add a peer to peers.toml, and to the site if it runs
    Add(Box<Add>),
    /// Take a peer out of peers.toml, and out of the site if it runs; its place in the log is kept, and a
    /// peer of that name that is added later goes on from there
    Remove(super::peer_remove::Arguments),
    /// List the peers and how their feeds stand
    List(Report),
    /// Show what goes to each peer and comes from it: counts, rates, lag, reasons, the last error
    Status(super::peer_status::Arguments),
    /// Say whether an article goes to a peer, and is accepted from it, and which rule decides
    Explain(super::explain::Arguments),
    /// Print this site's own public key, and the command that makes this site a peer of another
    Key(Report),
}

#[derive(clap::Args)]
struct Add {
    /// What this site calls the peer; its path identity, unless --identity says otherwise
    name: String,
    /// Where it is dialled, repeated if it has several addresses; without a port where its SRV records say,
    /// or else 119, or 563 for TLS; without an address it only dials us
    #[arg(long, value_name = "HOST[:PORT]")]
    address: Vec<String>,
    /// Its path identity, repeated if it has several [default: its name]
    #[arg(long, value_name = "ID")]
    identity: Vec<String>,
    /// From where it may connect: address, prefix, host or "loopback" [default: the host of --address;
    /// nowhere with --pin or --account, which prove more, or with --proxy]
    #[arg(long, value_name = "ADDR")]
    accept_from: Vec<String>,
    /// TLS when it is dialled: not at all, by STARTTLS, or from the first octet [default: starttls with
    /// --pin, implicit for port 563, else off]
    #[arg(long, value_name = "HOW")]
    tls: Option<Tls>,
    /// Its public key, as `feedd peer key` prints it there: who shows it is this peer, and nobody else
    #[arg(long, value_name = "KEY")]
    pin: Vec<String>,
    /// The name that we log in with there
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// The file of the password for it: its first line
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// The account of this site by which it may log in here (see `feedd user`)
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The SOCKS5 proxy on the way there, such as socks5://127.0.0.1:9050
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// A connection that one of us opens carries articles both ways: for sites that cannot be dialled
    #[arg(long)]
    turn: bool,
    /// The templates of peers.toml that say the rest
    #[arg(long, value_name = "NAME")]
    template: Vec<String>,
    /// The newsgroups that are sent to it [default: *]
    #[arg(long, value_name = "WILDMAT")]
    send: Option<String>,
    /// The newsgroups that are accepted from it [default: *]
    #[arg(long, value_name = "WILDMAT")]
    accept: Option<String>,
    #[command(flatten)]
    site: ConfigFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tls {
    /// In clear
    Off,
    /// By STARTTLS
    Starttls,
    /// From the first octet
    #[value(alias = "on")]
    Implicit,
}

impl Tls {
    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
        }
    }
}

pub(super) fn peer(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.act {
        Act::Add(add) => self::add(add),
        Act::Remove(arguments) => super::peer_remove::remove(arguments),
        Act::List(report) => list(report),
        Act::Status(arguments) => super::peer_status::status(arguments),
        Act::Explain(arguments) => super::explain::explain(arguments),
        Act::Key(report) => super::peer_key::key(report),
    }
}

fn add(add: &Add) -> Result<(), Failure> {
    let site = Site::load(&add.site)?;
    if site.path.is_none() {
        return Err(Failure::because(
            "a site of built-in defaults has no peers.toml; make a site with `feedd init` or name one with -c",
        ));
    }
    // Behind a symbolic link, the file itself is replaced.
    let named = &site.config.site.peers;
    let path = fs::canonicalize(named).unwrap_or_else(|_| named.clone());
    let failed = |error: io::Error| Failure::because(format!("{}: {error}", path.display()));
    let old = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.map_err(failed)?,
    };
    let new = format!("{old}{}{}", gap(&old), block(add));
    let peers = Config::check_peers(&site.config.site, &path, &new).map_err(|mistakes| {
        // The file was good before, so what is wrong is on the command line: its lines say nothing.
        let told: Vec<String> =
            mistakes.iter().map(|mistake| format!("{}; {}", mistake.what, mistake.cure)).collect();
        Failure::because(format!("{} (nothing was written)", told.join("\nfeedd: ")))
    })?;
    if peers.len() != site.config.peers.len() + 1 {
        return Err(Failure::because(format!("{}: no [[peer]] can stand at its end", path.display())));
    }
    replace(&path, &new).map_err(failed)?;
    let told = match site.ask_running(&Request::Reload)? {
        Some(_) => "and the running site knows it",
        None => "and takes effect when the site starts",
    };
    say(format!("{} is in {} {told}", add.name, path.display()))
}

/// What keeps a new block apart from the text before it.
fn gap(text: &str) -> &'static str {
    match text {
        "" => "",
        _ if text.ends_with("\n\n") => "",
        _ if text.ends_with('\n') => "\n",
        _ => "\n\n",
    }
}

/// The block of a new peer: what was given, and as comments what was not.
fn block(add: &Add) -> String {
    let mut text = format!("[[peer]]\nname = {}\n", quoted(&add.name));
    let list = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    let dialled = !add.address.is_empty();
    let sent = dialled || add.turn;
    let mut line = |key: &str, given: Option<String>, default: &str| match given {
        Some(value) => text.push_str(&format!("{key} = {value}\n")),
        None => text.push_str(&format!("# {key} = {default}\n")),
    };
    let some_list = |texts: &[String]| (!texts.is_empty()).then(|| list(texts));
    if !add.template.is_empty() {
        line("template", some_list(&add.template), "");
    }
    line("identity", some_list(&add.identity), &list(std::slice::from_ref(&add.name)));
    line("address", some_list(&add.address), "[\"HOST:PORT\"]");
    if dialled {
        let port_563 = add.address.iter().all(|address| address.ends_with(":563"));
        let by_default = if port_563 { Tls::Implicit } else { Tls::Starttls };
        let tls = add.tls.or_else(|| (!add.pin.is_empty()).then_some(by_default));
        line("tls", tls.map(|tls| quoted(tls.word())), "\"off\"");
    }
    if !add.pin.is_empty() {
        line("pin", some_list(&add.pin), "");
    }
    let path = |path: &PathBuf| quoted(&std::path::absolute(path).unwrap_or(path.clone()).to_string_lossy());
    for (key, given) in [
        ("user", add.user.as_deref().map(quoted)),
        ("password_file", add.password_file.as_ref().map(path)),
        ("account", add.account.as_deref().map(quoted)),
        ("proxy", add.proxy.as_deref().map(quoted)),
        ("turn", add.turn.then(|| "true".to_owned())),
    ] {
        if given.is_some() {
            line(key, given, "");
        }
    }
    line("accept_from", some_list(&add.accept_from), "[the host of address]");
    line("accept", add.accept.as_deref().map(quoted), &quoted(config::PEER_SUBSCRIPTION));
    if sent || add.send.is_some() {
        line("send", add.send.as_deref().map(quoted), &quoted(config::PEER_SUBSCRIPTION));
    }
    if dialled {
        line("connections", None, &config::PEER_CONNECTIONS.to_string());
        line("window", None, &config::PEER_WINDOW.to_string());
        line("retry_max_s", None, &config::PEER_RETRY_MAX_S.to_string());
    }
    text
}

/// Puts `text` in the place of the file: after a crash either the old or the new one is there.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn list(report: &Report) -> Result<(), Failure> {
    let site = Site::load(&report.site)?;
    let peers = match site.ask_running(&Request::PeerList)? {
        Some(Response::Peers(peers)) => peers,
        Some(other) => return Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => site.config.peers.iter().map(|peer| PeerRow::new(peer, None)).collect(),
    };
    if report.json {
        return say_json(&peers);
    }
    let rows: Vec<Vec<String>> = peers
        .into_iter()
        .map(|peer| {
            let feed = peer.feed.as_ref();
            let figure = |figure: Option<u64>| figure.map_or("-".to_owned(), |figure| figure.to_string());
            vec![
                peer.name,
                peer.identities.join(" "),
                peer.address.unwrap_or("(dials us)".to_owned()),
                peer.accept_from.join(" "),
                peer.send,
                peer.accept,
                feed.map_or("-".to_owned(), |feed| feed.state.clone()),
                figure(feed.map(|feed| feed.lag)),
                figure(feed.map(|feed| feed.accepted)),
            ]
        })
        .collect();
    let heading = ["peer", "identity", "address", "accepts from", "send", "accept", "feed", "lag", "taken"];
    say(table(&heading, &rows))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::DialTls;

    fn plain(name: &str) -> Add {
        Add {
            name: name.to_owned(),
            address: vec!["b.example:119".to_owned()],
            identity: Vec::new(),
            accept_from: Vec::new(),
            tls: None,
            pin: Vec::new(),
            user: None,
            password_file: None,
            account: None,
            proxy: None,
            turn: false,
            template: Vec::new(),
            send: None,
            accept: None,
            site: ConfigFile { config: None },
        }
    }

    #[test]
    fn who_has_a_key_is_spoken_to_over_tls() {
        let pin = vec![format!("sha256:{}", "0".repeat(64))];
        for (address, tls, expected) in [
            ("b.example:119", None, DialTls::StartTls),
            ("b.example:563", None, DialTls::Implicit),
            ("b.example", Some(Tls::Implicit), DialTls::Implicit),
        ] {
            let add = Add {
                address: vec![address.to_owned()],
                tls,
                pin: pin.clone(),
                user: Some("us".to_owned()),
                password_file: Some("secret".into()),
                proxy: Some("socks5://127.0.0.1:9050".to_owned()),
                account: Some("b".to_owned()),
                turn: true,
                ..plain("b")
            };
            let peers = Config::check_peers(&Config::built_in().site, Path::new("p"), &block(&add)).unwrap();
            let dial = peers[0].dial.as_ref().unwrap();
            assert_eq!((dial.tls, dial.pins.len(), dial.proxy.is_some()), (expected, 1, true), "{address}");
            assert!(dial.password_file.as_ref().is_some_and(|file| file.is_absolute()));
            assert!(peers[0].turn && peers[0].accept_from.is_empty());
        }
    }

    #[test]
    fn a_new_block_stands_alone_and_says_what_was_given() {
        let add = Add {
            identity: vec!["b.example".to_owned()],
            accept_from: vec!["loopback".to_owned()],
            accept: Some("comp.*".to_owned()),
            ..plain("b")
        };
        for old in ["", "# a comment without an end", "# a comment\n", "# a comment\n\n"] {
            let text = format!("{old}{}{}", gap(old), block(&add));
            let peers =
                Config::check_peers(&Config::built_in().site, Path::new("peers.toml"), &text).unwrap();
            assert_eq!(peers.len(), 1, "{text}");
            assert_eq!(peers[0].accept.newsgroups.to_string(), "comp.*");
            assert_eq!(peers[0].send.newsgroups.to_string(), "*");
            assert!(text.contains("# send = \"*\"\n"), "{text}");
        }
    }

    #[test]
    fn what_is_given_cannot_leave_its_string() {
        let add = Add { identity: vec!["b.example".to_owned()], ..plain("b\"\n[[peer]]\nname = \"c") };
        assert!(Config::check_peers(&Config::built_in().site, Path::new("p"), &block(&add)).is_err());
    }
}
