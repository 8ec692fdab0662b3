//! `feedd init`: the folder of a new site.

use super::Failure;
use super::output::say;
use super::site::{create, store_failure};
use crate::article::{NewsgroupName, PathIdentity};
use crate::clock;
use crate::config::{self, Config, own_identity};
use crate::store::{GroupStatus, Options, Store};
use crate::tls::self_signed;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The commented defaults: a new site's files are these, with its own values in them.
const FEEDD_TOML: &str = include_str!("../../config/feedd.toml");
const PEERS_TOML: &str = include_str!("../../config/peers.toml");

/// What begins the lines of `[tls]` in them, which a site with TLS has without `# `.
const TLS_LINES: [&str; 3] = ["# [tls]", "# certificate", "# key"];

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
    /// An address that speaks TLS from the first octet, may be repeated; 563 is the port for it
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    listen_tls: Vec<SocketAddr>,
    /// Make a certificate that no authority has signed; then every port offers TLS
    #[arg(long)]
    self_signed: bool,
    /// Nobody reads or posts without an account, not even on this host
    #[arg(long)]
    require_login: bool,
    /// A newsgroup to create; may be repeated
    #[arg(long, value_name = "NAME", value_parser = newsgroup_name)]
    group: Vec<NewsgroupName>,
    /// A moderated newsgroup to create; may be repeated
    #[arg(long, value_name = "NAME", value_parser = newsgroup_name)]
    moderated: Vec<NewsgroupName>,
}

impl Arguments {
    /// Has the site a section `[tls]`?
    fn tls(&self) -> bool {
        self.self_signed || !self.listen_tls.is_empty()
    }
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
    let mut mine = vec!["feedd.toml", config::PEERS, config::DATA, config::USERS];
    if arguments.self_signed {
        mine.extend([config::CERTIFICATE, config::KEY]);
    }
    for path in mine.into_iter().map(|name| dir.join(name)) {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::because(format!(
                "{} exists already: nothing is overwritten; choose another folder",
                path.display()
            )));
        }
    }
    let certificate = match arguments.self_signed {
        true => {
            let listen = [arguments.listen.as_slice(), &arguments.listen_tls].concat();
            let names = self_signed::names(arguments.identity.as_str(), &listen);
            Some(self_signed::make(&names, clock::now()).map_err(Failure::Because)?)
        }
        false => None,
    };
    std::fs::create_dir_all(dir).map_err(|error| Failure::because(format!("{}: {error}", dir.display())))?;
    write_new(&dir.join(config::PEERS), PEERS_TOML)?;
    if let Some(certificate) = certificate {
        let [path, key] = [config::CERTIFICATE, config::KEY].map(|name| dir.join(name));
        certificate.write(&path, &key).map_err(Failure::Because)?;
    }
    write_new(&config_path, &feedd_toml(arguments))?;
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
    say(next_steps(&config_path, &config, arguments))
}

/// The commented defaults with the values of this site.
fn feedd_toml(arguments: &Arguments) -> String {
    let list = |addresses: &[SocketAddr]| {
        let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        format!("[{}]", addresses.join(", "))
    };
    let Arguments { identity, listen, listen_tls, require_login, .. } = arguments;
    let mut text = String::new();
    for line in FEEDD_TOML.lines() {
        let key = line.split_once(" = ").map_or(line, |(key, _)| key);
        let value = match key {
            "identity" => Some(quoted(identity.as_str())),
            "listen" if !listen.is_empty() => Some(list(listen)),
            "listen_tls" if !listen_tls.is_empty() => Some(list(listen_tls)),
            "readers" | "posters" if *require_login => Some("[]".to_owned()),
            _ => None,
        };
        match value {
            Some(value) => text.push_str(&format!("{key} = {value}")),
            None if arguments.tls() && TLS_LINES.contains(&key) => text.push_str(&line[2..]),
            None => text.push_str(line),
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

fn next_steps(path: &Path, config: &Config, arguments: &Arguments) -> String {
    let file = path.display();
    let site = &config.site;
    let mut steps: Vec<(&str, String)> = Vec::new();
    if let (Some(tls), false) = (&site.tls, arguments.self_signed) {
        steps.push(("put the certificate", format!("into {}", tls.certificate.display())));
        steps.push(("and its key", format!("into {}, mode 600", tls.key.display())));
    }
    if arguments.require_login {
        if site.tls.is_none() {
            steps.push(("let users log in", format!("by a section [tls] in {file}: it has none yet")));
        }
        steps.push(("add an account", format!("feedd user add NAME -c {file}")));
    }
    let no_newsgroups = arguments.group.is_empty() && arguments.moderated.is_empty();
    let newsgroup = if no_newsgroups { "local.test" } else { "another.newsgroup" };
    let peer = "feedd peer add news.example.net --address news.example.net:119";
    steps.push(("run it", format!("feedd run -c {file}")));
    steps.push(("create a newsgroup", format!("feedd group add {newsgroup} -c {file}")));
    steps.push(("add a peer", format!("{peer} -c {file}")));
    steps.push(("check the config", format!("feedd check -c {file}")));
    if arguments.self_signed {
        let certificate = path.with_file_name(config::CERTIFICATE);
        steps.push(("let clients trust", certificate.display().to_string()));
    }
    let server = |addresses: &[SocketAddr]| match addresses.first() {
        Some(address) if address.port() != 0 => address.to_string(),
        _ => "HOST:PORT".to_owned(),
    };
    steps.push(match (arguments.require_login, site.listen_tls.is_empty()) {
        (false, _) => ("read and post", format!("feedc list -s {}", server(&site.listen))),
        (true, true) => ("read and post", format!("log in over STARTTLS at {}", server(&site.listen))),
        (true, false) => ("read and post", format!("log in over TLS at {}", server(&site.listen_tls))),
    });
    let dir = path.parent().unwrap_or(path).display();
    let mut text = format!("{}: a site is in {dir}", site.identity);
    for (what, how) in steps {
        text.push_str(&format!("\n  {what:<22}{how}"));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_new_file_differs_from_the_defaults_in_the_values_alone() {
        let mut arguments = Arguments {
            dir: PathBuf::new(),
            identity: PathIdentity::try_from("a.example").unwrap(),
            listen: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:119".parse().unwrap()],
            listen_tls: Vec::new(),
            self_signed: false,
            require_login: false,
            group: Vec::new(),
            moderated: Vec::new(),
        };
        let changed = |text: &str| -> Vec<(String, String)> {
            assert_eq!(text.lines().count(), FEEDD_TOML.lines().count());
            let lines = text.lines().zip(FEEDD_TOML.lines()).filter(|(new, old)| new != old);
            lines.map(|(new, old)| (new.to_owned(), old.to_owned())).collect()
        };
        let owned = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
            lines.iter().map(|(new, old)| ((*new).to_owned(), (*old).to_owned())).collect()
        };
        assert_eq!(
            changed(&feedd_toml(&arguments)),
            owned(&[
                ("identity = \"a.example\"", "identity = \"feedd.localhost\""),
                ("listen = [\"127.0.0.1:0\", \"[::1]:119\"]", "listen = [\"127.0.0.1:1119\"]"),
            ])
        );
        arguments.listen_tls = vec!["0.0.0.0:563".parse().unwrap()];
        arguments.require_login = true;
        assert_eq!(
            changed(&feedd_toml(&arguments))[2..],
            owned(&[
                ("listen_tls = [\"0.0.0.0:563\"]", "listen_tls = []"),
                ("[tls]", "# [tls]"),
                ("certificate = \"tls/certificate.pem\"", "# certificate = \"tls/certificate.pem\""),
                ("key = \"tls/key.pem\"", "# key = \"tls/key.pem\""),
                ("readers = []", "readers = [\"loopback\"]"),
                ("posters = []", "posters = [\"loopback\"]"),
            ])
        );
    }
}
