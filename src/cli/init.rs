//! `feedd init`: the folder of a new site.

use super::Failure;
use super::output::say;
use super::site::{create, store_failure};
use crate::article::{NewsgroupName, PathIdentity};
use crate::config::{Config, own_identity};
use crate::store::{GroupStatus, Options, Store};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The commented defaults: a new site's files are these, with its own values in them.
const FEEDD_TOML: &str = include_str!("../../config/feedd.toml");
const PEERS_TOML: &str = include_str!("../../config/peers.toml");

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder; it is created, and may exist if no site is in it
    dir: PathBuf,
    /// The site's name in Path and Xref: the full domain name of the host
    #[arg(long, value_name = "PATH-IDENTITY", value_parser = path_identity)]
    identity: PathIdentity,
    /// An address to listen on, may be repeated; port 0 takes any free one [default: 127.0.0.1:1119]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    listen: Vec<SocketAddr>,
    /// A newsgroup to create; may be repeated
    #[arg(long, value_name = "NAME", value_parser = newsgroup_name)]
    group: Vec<NewsgroupName>,
    /// A moderated newsgroup to create; may be repeated
    #[arg(long, value_name = "NAME", value_parser = newsgroup_name)]
    moderated: Vec<NewsgroupName>,
}

fn path_identity(text: &str) -> Result<PathIdentity, String> {
    own_identity(text).map_err(|bad| bad.0.to_owned())
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:119 or [::]:119".to_owned())
}

/// A newsgroup name on the command line.
pub(super) fn newsgroup_name(text: &str) -> Result<NewsgroupName, String> {
    NewsgroupName::try_from(text).map_err(|bad| bad.0.to_owned())
}

/// Writes the folder and says what to do next.
pub(super) fn init(arguments: &Arguments) -> Result<(), Failure> {
    let dir = &arguments.dir;
    let config_path = dir.join("feedd.toml");
    for path in [&config_path, &dir.join(crate::config::PEERS), &dir.join(crate::config::DATA)] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::because(format!(
                "{} exists already: nothing is overwritten; choose another folder",
                path.display()
            )));
        }
    }
    std::fs::create_dir_all(dir).map_err(|error| Failure::because(format!("{}: {error}", dir.display())))?;
    write_new(&dir.join(crate::config::PEERS), PEERS_TOML)?;
    write_new(&config_path, &feedd_toml(&arguments.identity, &arguments.listen))?;
    let config = Config::read(&config_path).map_err(Failure::Config)?;
    let data = &config.site.data;
    let failed = |error| store_failure(data, &error);
    let store = Store::open(Options::new(data, arguments.identity.as_str())).map_err(failed)?;
    for (names, status) in
        [(&arguments.group, GroupStatus::Posting), (&arguments.moderated, GroupStatus::Moderated)]
    {
        for name in names {
            create(&store, name.as_str(), status.clone(), "").map_err(failed)?;
        }
    }
    store.close();
    say(next_steps(&config_path, &config, arguments.group.is_empty() && arguments.moderated.is_empty()))
}

/// The commented defaults with the values of this site.
fn feedd_toml(identity: &PathIdentity, listen: &[SocketAddr]) -> String {
    let mut text = String::new();
    for line in FEEDD_TOML.lines() {
        match line.split_once(" = ").map(|(key, _)| key) {
            Some("identity") => {
                text.push_str("identity = ");
                text.push_str(&quoted(identity.as_str()));
            }
            Some("listen") if !listen.is_empty() => {
                let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
                text.push_str(&format!("listen = [{}]", listen.join(", ")));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::because(format!("{}: {error}", path.display())))
}

fn next_steps(path: &Path, config: &Config, no_newsgroups: bool) -> String {
    let file = path.display();
    let newsgroup = if no_newsgroups { "local.test" } else { "another.newsgroup" };
    let server = match config.site.listen.first() {
        Some(address) if address.port() != 0 => address.to_string(),
        _ => "HOST:PORT".to_owned(),
    };
    format!(
        "{identity}: a site is in {dir}\n\
         \x20 run it                feedd run -c {file}\n\
         \x20 create a newsgroup    feedd group add {newsgroup} -c {file}\n\
         \x20 add a peer            feedd peer add news.example.net --address news.example.net:119 -c {file}\n\
         \x20 check the config      feedd check -c {file}\n\
         \x20 read and post         feedc list -s {server}",
        identity = config.site.identity,
        dir = path.parent().unwrap_or(path).display(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_new_file_differs_from_the_defaults_in_the_values_alone() {
        let identity = PathIdentity::try_from("a.example").unwrap();
        let listen = ["127.0.0.1:0".parse().unwrap(), "[::1]:119".parse().unwrap()];
        let text = feedd_toml(&identity, &listen);
        let changed: Vec<_> = text.lines().zip(FEEDD_TOML.lines()).filter(|(new, old)| new != old).collect();
        assert_eq!(
            changed,
            [
                ("identity = \"a.example\"", "identity = \"feedd.localhost\""),
                ("listen = [\"127.0.0.1:0\", \"[::1]:119\"]", "listen = [\"127.0.0.1:1119\"]"),
            ]
        );
        assert_eq!(text.lines().count(), FEEDD_TOML.lines().count());
    }
}
