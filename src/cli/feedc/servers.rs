//! Which server, and who we are: the options of the command line over `feedc.toml` over defaults.
//!
//! The file is `$XDG_CONFIG_HOME/feedd/feedc.toml`, else `~/.config/feedd/feedc.toml`; it need not be.

use super::super::Failure;
use super::prompt;
use super::url::{Host, Location};
use crate::client::{Client, ClientError, Login, Password, Security, Server};
use crate::tls::Fingerprint;
use crate::tls::client::Verification;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The server when none is named: where `feedd` listens by default.
const SERVER: &str = "127.0.0.1:1119";
/// Variables that name a server: ours, and the one that newsreaders share.
const SERVER_VARIABLES: [&str; 2] = ["FEEDC_SERVER", "NNTPSERVER"];

/// How a connection is protected, as options and the file say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tls {
    // From the first octet, port 563.
    #[value(alias = "implicit")]
    On,
    // By STARTTLS, port 119.
    Starttls,
    // In clear.
    Off,
}

/// The options that every command takes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Options {
    /// The server: HOST, HOST:PORT, a name from feedc.toml, or a URL [default: $FEEDC_SERVER, $NNTPSERVER,
    /// the file's default, else 127.0.0.1:1119]; fetch takes several
    #[arg(short, long, global = true, value_name = "SERVER")]
    server: Vec<String>,
    /// TLS from the first octet, by STARTTLS, or not at all
    #[arg(long, global = true, value_name = "HOW", help_heading = "Server")]
    tls: Option<Tls>,
    /// The SHA-256 of the server's certificate or of its key: it is believed, and no other
    #[arg(long, global = true, value_name = "FINGERPRINT", help_heading = "Server")]
    pin: Option<String>,
    /// The certificates (PEM) to believe instead of this machine's authorities
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    ca: Option<PathBuf>,
    /// The name to log in with; the password is asked for if there is no file
    #[arg(long, global = true, value_name = "NAME", help_heading = "Server")]
    user: Option<String>,
    /// Its password: the first line of a file that nobody else may read
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    password_file: Option<PathBuf>,
}

/// `feedc.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<String>,
    #[serde(default)]
    server: BTreeMap<String, Entry>,
    #[serde(default)]
    identity: Identity,
}

/// A `[server.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    tls: Option<Tls>,
    name: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    password_command: Option<String>,
    pin: Option<String>,
    ca: Option<PathBuf>,
    #[serde(default)]
    clear_login: bool,
    #[serde(default = "yes")]
    compress: bool,
}

fn yes() -> bool {
    true
}

/// The `[identity]`: who posts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    /// The From field.
    pub(super) from: Option<String>,
    /// A file whose text ends each article.
    pub(super) signature: Option<PathBuf>,
    /// The Organization field.
    pub(super) organization: Option<String>,
}

/// The options and the file.
pub(super) struct Servers {
    options: Options,
    file: File,
    /// The folder that relative paths of the file count from.
    folder: PathBuf,
}

impl Servers {
    /// Reads the file, if there is one.
    pub(super) fn load(options: &Options) -> Result<Self, Failure> {
        let folder = config_folder().unwrap_or_default();
        let path = folder.join("feedc.toml");
        let file = match fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
            Err(error) => return Err(Failure::because(format!("{}: {error}", path.display()))),
        };
        Ok(Self { options: options.clone(), file, folder })
    }

    /// Who posts; paths count from where they are.
    pub(super) fn identity(&self) -> Identity {
        let identity = self.file.identity.clone();
        Identity { signature: identity.signature.map(|path| self.path(&path)), ..identity }
    }

    /// Connects to the server that a URL names, or else to the one that is chosen.
    pub(super) fn connect(&self, host: Option<&Host>) -> Result<Client, Failure> {
        connect(&self.server(host)?)
    }

    /// The server that a URL names, or else the one that is chosen.
    pub(super) fn server(&self, host: Option<&Host>) -> Result<Server, Failure> {
        let server = match (host, self.options.server.as_slice()) {
            (Some(host), _) => self.at(host)?,
            (None, [_, _, ..]) => return Err(Failure::because("only fetch takes more than one server")),
            (None, [named]) if !named.is_empty() => self.named(named)?,
            _ => {
                let variable = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
                let named = SERVER_VARIABLES.iter().find_map(variable);
                let named = named.or_else(|| self.file.default.clone());
                self.named(&named.unwrap_or(SERVER.to_owned()))?
            }
        };
        self.with_options(server)
    }

    /// All servers that are chosen.
    pub(super) fn servers(&self) -> Result<Vec<Server>, Failure> {
        match self.options.server.as_slice() {
            named @ [_, _, ..] => named.iter().map(|named| self.with_options(self.named(named)?)).collect(),
            _ => Ok(vec![self.server(None)?]),
        }
    }

    /// The server as the command line's options have it.
    fn with_options(&self, mut server: Server) -> Result<Server, Failure> {
        let options = &self.options;
        apply_tls(&mut server, options.tls);
        if let Some(pin) = &options.pin {
            server.verification = Verification::Pins(vec![fingerprint(pin, "--pin")?]);
        } else if let Some(ca) = &options.ca {
            server.verification = Verification::CaFile(ca.clone());
        }
        if let Some(name) = &options.user {
            server.login = Some(Login { name: name.clone(), password: Password::Ask });
        }
        if let Some(file) = &options.password_file {
            let Some(login) = &mut server.login else {
                return Err(Failure::because(
                    "--password-file needs the name of the account; add --user NAME",
                ));
            };
            login.password = Password::File(file.clone());
        }
        server.ask = Some(prompt::login);
        Ok(server)
    }

    /// A name of the file, a URL, or an address.
    fn named(&self, text: &str) -> Result<Server, Failure> {
        if let Some(entry) = self.file.server.get(text) {
            return self.entry(text, entry);
        }
        match Location::parse_url(text)? {
            Some(Location { host: Some(host), .. }) => self.at(&host),
            Some(_) => Err(Failure::because(format!("{text:?} names no server; write news://HOST/"))),
            None => self.address(text),
        }
    }

    fn at(&self, host: &Host) -> Result<Server, Failure> {
        let mut server = self.address(&host.address)?;
        if host.tls && server.security == Security::Clear {
            server.security = Security::Tls;
        }
        if let Some(name) = &host.user {
            server.login = Some(Login { name: name.clone(), password: Password::Ask });
        }
        Ok(server)
    }

    /// An address; one that the file knows is spoken to as the file says.
    fn address(&self, address: &str) -> Result<Server, Failure> {
        let server = Server::parse(address).map_err(Failure::Because)?;
        for (name, entry) in &self.file.server {
            let known = self.entry(name, entry)?;
            let same_port = server.port.is_none() || server.port == Some(known.port());
            if known.host.eq_ignore_ascii_case(&server.host) && same_port {
                return Ok(known);
            }
        }
        Ok(server)
    }

    fn entry(&self, name: &str, entry: &Entry) -> Result<Server, Failure> {
        let at = |why: String| Failure::because(format!("feedc.toml, [server.{name}]: {why}"));
        let mut server = Server::parse(&entry.address).map_err(at)?;
        apply_tls(&mut server, entry.tls);
        let sources = [
            entry.password.clone().map(Password::Text),
            entry.password_file.as_ref().map(|path| Password::File(self.path(path))),
            entry.password_command.clone().map(Password::Command),
        ];
        let mut sources = sources.into_iter().flatten();
        let (password, another) = (sources.next(), sources.next());
        if another.is_some() {
            return Err(at("say one of password, password_file and password_command".to_owned()));
        }
        server.login = match (&entry.name, password) {
            (Some(name), password) => {
                Some(Login { name: name.clone(), password: password.unwrap_or(Password::Ask) })
            }
            (None, Some(_)) => return Err(at("a password without a name; add name = \"...\"".to_owned())),
            (None, None) => None,
        };
        server.verification = match (&entry.pin, &entry.ca) {
            (Some(_), Some(_)) => return Err(at("say one of pin and ca".to_owned())),
            (Some(pin), None) => {
                Verification::Pins(vec![fingerprint(pin, &format!("feedc.toml, [server.{name}], pin"))?])
            }
            (None, Some(ca)) => Verification::CaFile(self.path(ca)),
            (None, None) => Verification::Authorities,
        };
        server.clear_login = entry.clear_login;
        server.compress = entry.compress;
        Ok(server)
    }

    /// A path of the file.
    fn path(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), std::env::var_os("HOME")) {
            (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => self.folder.join(path),
        }
    }
}

/// Connects; the failure names the server.
pub(super) fn connect(server: &Server) -> Result<Client, Failure> {
    Client::connect(server).map_err(|error| match error {
        // It does already.
        ClientError::Refused(why) => Failure::Because(why),
        error => Failure::because(format!("{server}: {error}")),
    })
}

fn apply_tls(server: &mut Server, tls: Option<Tls>) {
    server.security = match tls {
        Some(Tls::On) => Security::Tls,
        Some(Tls::Starttls) => Security::StartTls,
        Some(Tls::Off) => Security::Clear,
        None => server.security,
    };
}

fn fingerprint(text: &str, place: &str) -> Result<Fingerprint, Failure> {
    Fingerprint::parse(text).ok_or_else(|| {
        Failure::because(format!("{place}: {text:?} is no SHA-256; write sha256: and 64 hexadecimal digits"))
    })
}

/// Where the file is: the folder of settings of the user, if there is one.
fn config_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let settings = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
    Some(settings.join("feedd"))
}

fn parse(path: &Path, text: &str) -> Result<File, Failure> {
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::because(format!("{}:{line}: {}", path.display(), error.message().replace('\n', " ")))
    })?;
    let holds_password = file.server.values().any(|entry| entry.password.is_some());
    let mode = fs::metadata(path).map(|data| data.permissions().mode()).unwrap_or(0);
    if holds_password && mode & 0o077 != 0 {
        return Err(Failure::because(format!(
            "{path}: it holds a password and others may read it; chmod 600 {path}, or use password_file",
            path = path.display()
        )));
    }
    match &file.default {
        Some(default) if !file.server.contains_key(default) => Err(Failure::because(format!(
            "{}: default = {default:?} names no server of it; add [server.{default}]",
            path.display()
        ))),
        _ => Ok(file),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn servers(text: &str, options: Options) -> Result<Servers, String> {
        let file = parse(Path::new("/none/feedc.toml"), text).map_err(said)?;
        Ok(Servers { options, file, folder: PathBuf::from("/conf") })
    }

    fn said(failure: Failure) -> String {
        match failure {
            Failure::Because(why) => why,
            other => panic!("{other:?}"),
        }
    }

    const FILE: &str = "default = \"home\"\n[server.home]\naddress = \"news.example\"\ntls = \"on\"\n\
                        name = \"me\"\npassword_file = \"secret\"\n[server.old]\naddress = \"old.example:1190\"\n\
                        pin = \"abababababababababababababababababababababababababababababababab\"\n";

    #[test]
    fn options_come_before_the_file() {
        let all = servers(FILE, Options::default()).unwrap();
        let home = all.named("home").unwrap();
        assert_eq!((home.to_string().as_str(), home.security), ("news.example:563", Security::Tls));
        let login = home.login.unwrap();
        assert_eq!(login.password, Password::File(PathBuf::from("/conf/secret")));
        assert!(matches!(all.named("old").unwrap().verification, Verification::Pins(_)));
        // What the file knows of an address holds however it is named.
        assert!(all.named("NEWS.example").unwrap().login.is_some());
        assert!(all.named("nntps://news.example:563/a.b").unwrap().login.is_some());
        assert!(all.named("news.example:119").unwrap().login.is_none());

        let options = Options {
            server: vec!["home".to_owned()],
            tls: Some(Tls::Starttls),
            user: Some("you".to_owned()),
            ..Options::default()
        };
        let chosen = servers(FILE, options).unwrap().server(None).unwrap();
        assert_eq!((chosen.to_string().as_str(), chosen.security), ("news.example:119", Security::StartTls));
        assert_eq!(chosen.login.unwrap(), Login { name: "you".to_owned(), password: Password::Ask });
    }

    #[test]
    fn the_commented_file_is_a_good_one() {
        let text = include_str!("../../../config/feedc.toml");
        let all = servers(text, Options::default()).unwrap();
        let home = all.named("home").unwrap();
        assert!(home.compress && !home.clear_login && home.login.is_some());
        // What is commented out is right as well.
        let uncommented = text.replace("# ca = ", "ca = ").replace("# organization", "organization");
        let uncommented = uncommented.replace("# signature = ", "signature = ");
        let all = servers(&uncommented, Options::default()).unwrap();
        let ca = PathBuf::from("/conf/home.pem");
        assert_eq!(all.named("home").unwrap().verification, Verification::CaFile(ca));
        assert_eq!(all.identity().signature, Some(PathBuf::from("/conf/signature")));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, told) in [
            ("defalt = 1\n", "/none/feedc.toml:1: unknown field"),
            ("[server.a]\naddress = \"x\"\ntls = \"maybe\"\n", "/none/feedc.toml:3: "),
            ("default = \"b\"\n", "add [server.b]"),
        ] {
            let why = servers(text, Options::default()).map(|_| ()).unwrap_err();
            assert!(why.contains(told) && !why.contains('\n'), "{why}");
        }
        let broken = "[server.a]\naddress = \"x\"\npassword = \"p\"\n";
        let why = said(servers(broken, Options::default()).unwrap().named("a").unwrap_err());
        assert!(why.contains("[server.a]") && why.contains("add name"), "{why}");
        let options = Options { password_file: Some(PathBuf::from("x")), ..Options::default() };
        assert!(said(servers("", options).unwrap().server(None).unwrap_err()).contains("--user"));
    }
}
