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
    Add(Add),
    /// List the peers and how their feeds stand
    List(Report),
}

#[derive(clap::Args)]
struct Add {
    /// What this site calls the peer; its path identity, unless --identity says otherwise
    name: String,
    /// Where it is dialled; without, it only dials us and is sent nothing
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Its path identity, repeated if it has several [default: its name]
    #[arg(long, value_name = "ID")]
    identity: Vec<String>,
    /// From where it may connect: address, prefix, host or "loopback" [default: the host of --address]
    #[arg(long, value_name = "ADDR")]
    accept_from: Vec<String>,
    /// The newsgroups that are sent to it [default: *]
    #[arg(long, value_name = "WILDMAT")]
    send: Option<String>,
    /// The newsgroups that are accepted from it [default: *]
    #[arg(long, value_name = "WILDMAT")]
    accept: Option<String>,
    #[command(flatten)]
    site: ConfigFile,
}

pub(super) fn peer(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.act {
        Act::Add(add) => self::add(add),
        Act::List(report) => list(report),
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
    let dialled = add.address.is_some();
    let mut line = |key: &str, given: Option<String>, default: &str| match given {
        Some(value) => text.push_str(&format!("{key} = {value}\n")),
        None => text.push_str(&format!("# {key} = {default}\n")),
    };
    line(
        "identity",
        (!add.identity.is_empty()).then(|| list(&add.identity)),
        &list(std::slice::from_ref(&add.name)),
    );
    line("address", add.address.as_deref().map(quoted), "\"HOST:PORT\"");
    line(
        "accept_from",
        (!add.accept_from.is_empty()).then(|| list(&add.accept_from)),
        "[the host of address]",
    );
    line("accept", add.accept.as_deref().map(quoted), &quoted(config::PEER_SUBSCRIPTION));
    if dialled || add.send.is_some() {
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
fn replace(path: &Path, text: &str) -> io::Result<()> {
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

    #[test]
    fn a_new_block_stands_alone_and_says_what_was_given() {
        let add = Add {
            name: "b".to_owned(),
            address: Some("b.example:119".to_owned()),
            identity: vec!["b.example".to_owned()],
            accept_from: vec!["loopback".to_owned()],
            send: None,
            accept: Some("comp.*".to_owned()),
            site: ConfigFile { config: None },
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
        let add = Add {
            name: "b\"\n[[peer]]\nname = \"c".to_owned(),
            address: Some("b.example:119".to_owned()),
            identity: vec!["b.example".to_owned()],
            accept_from: Vec::new(),
            send: None,
            accept: None,
            site: ConfigFile { config: None },
        };
        assert!(Config::check_peers(&Config::built_in().site, Path::new("p"), &block(&add)).is_err());
    }
}
