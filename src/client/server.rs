//! A server as the user names it: where it is, how it is spoken to, and who we are there.

use super::ClientError;
use crate::tls::client::{OwnCertificate, Verification};
use crate::transport::{Machine, Network, Place, Service, is_in_dns, reach, wait_for};
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use crate::limits::{PORT, TLS_PORT};

/// How long a connection that is only looked for is waited on.
const FINDING: Duration = Duration::from_secs(1);

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first octet on (RFC 8143).
    Tls,
    /// TLS by STARTTLS, and no connection without it (RFC 4642).
    StartTls,
    /// Not at all.
    #[default]
    Clear,
}

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// It is this.
    Text(String),
    /// The first line of a file that nobody else may read.
    File(PathBuf),
    /// The first line that a shell command prints.
    Command(String),
    /// The user is asked ([`Server::ask`]).
    Ask,
}

/// Who we are at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name of the account.
    pub name: String,
    /// Its password.
    pub password: Password,
}

/// Asks the user for the login at a host, given the name if it is known: name and password.
pub type Ask = fn(host: &str, name: Option<&str>) -> io::Result<(String, String)>;

/// A server and how to speak with it. Clones share the login once it is known, so that many
/// connections ask for it once; and the server that has been found by SRV records, so that all of them
/// meet the same article numbers.
#[derive(Clone)]
pub struct Server {
    /// A host name or an address.
    pub host: String,
    /// None is the port of [`Server::security`].
    pub port: Option<u16>,
    /// How the connection is protected.
    pub security: Security,
    /// By what the server's certificate is verified.
    pub verification: Verification,
    /// Given at once when the server takes logins; without one, a server that demands it is asked for
    /// with [`Server::ask`].
    pub login: Option<Login>,
    /// May a password go over a connection in clear?
    pub clear_login: bool,
    /// May lists and overviews be compressed (RFC 8054)?
    pub compress: bool,
    /// Shall it serve a reader? A peer is left in the mode in which it takes articles.
    pub as_reader: bool,
    /// The certificate of ours that it is shown when it asks for one.
    pub certificate: Option<Arc<OwnCertificate>>,
    /// Asks the user; none where there is nobody.
    pub ask: Option<Ask>,
    /// Without a port: may SRV records say which servers it is (RFC 2782)? A newsreader means the host
    /// that it names, and the article numbers there.
    pub by_service: bool,
    /// The name servers to ask; none: this machine's own resolver.
    pub name_servers: Vec<SocketAddr>,
    known: Arc<OnceLock<Credentials>>,
    /// The host and the port that the first connection has found.
    found: Arc<OnceLock<(String, u16)>>,
}

/// A name and its password.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: String,
}

impl Server {
    /// One of which nothing else is known.
    fn new(host: String, port: Option<u16>, security: Security) -> Self {
        Self {
            host,
            port,
            security,
            verification: Verification::Authorities,
            login: None,
            clear_login: false,
            compress: true,
            as_reader: true,
            certificate: None,
            ask: None,
            by_service: false,
            name_servers: Vec::new(),
            known: Arc::default(),
            found: Arc::default(),
        }
    }

    /// A server at `HOST`, `HOST:PORT`, `ADDRESS`, `[ADDRESS]` or `[ADDRESS]:PORT`, in clear unless the
    /// port is 563, without login. The error is one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("server {text:?}: {why}; write HOST or HOST:PORT");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, behind) = rest.split_once(']').ok_or_else(|| bad("the ] is missing"))?;
                (address, behind.strip_prefix(':').or(if behind.is_empty() { None } else { Some(behind) }))
            }
            // More than one colon: an IPv6 address without brackets.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@".contains(c))
        {
            return Err(bad("no host name"));
        }
        let port = match port.map(str::parse) {
            Some(Ok(0) | Err(_)) => return Err(bad("the port is not a number from 1 to 65535")),
            Some(Ok(port)) => Some(port),
            None => None,
        };
        let security = if port == Some(TLS_PORT) { Security::Tls } else { Security::Clear };
        Ok(Self::new(host.to_owned(), port, security))
    }

    /// The port, by default that of the security.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.security == Security::Tls { TLS_PORT } else { PORT })
    }

    /// The service that SRV records are asked for; none: they are not.
    pub fn service(&self) -> Option<Service> {
        let service = if self.security == Security::Tls { Service::Nntps } else { Service::Nntp };
        (self.by_service && self.port.is_none() && is_in_dns(&self.host)).then_some(service)
    }

    /// Finds out which server the name stands for, as `HOST:PORT`; where there are SRV records by
    /// connecting, because only who answers counts.
    ///
    /// # Errors
    /// There are records, and none of their servers answers.
    pub fn find(&self) -> io::Result<String> {
        if let Some(service) = self.service()
            && self.found.get().is_none()
        {
            let records = Machine::asking(&self.name_servers).services(&service.name_at(&self.host));
            if wait_for(records)?.is_ok_and(|records| !records.is_empty()) {
                self.connect(FINDING)?;
            }
        }
        let Some((host, port)) = self.found.get() else { return Ok(self.to_string()) };
        Ok(Self::new(host.clone(), Some(*port), self.security).to_string())
    }

    /// Connects to it; `silence` is how long it may say nothing.
    pub(super) fn connect(&self, silence: Duration) -> io::Result<TcpStream> {
        let (host, place) = match (self.found.get(), self.service()) {
            (Some((host, port)), _) => (host.as_str(), Place::Port(*port)),
            (None, Some(service)) => (self.host.as_str(), Place::Service(service)),
            (None, None) => (self.host.as_str(), Place::Port(self.port())),
        };
        let network = Machine::asking(&self.name_servers);
        let stream = wait_for(async {
            let reached = reach(&*network, host, place).await?;
            if self.service().is_some() {
                let itself = || (self.host.clone(), self.port());
                self.found.get_or_init(|| reached.server.clone().unwrap_or_else(itself));
            }
            reached.into_blocking()
        })??;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        Ok(stream)
    }

    /// Is there a login to be given without being asked for it?
    pub(super) fn has_login(&self) -> bool {
        self.login.is_some() || self.known.get().is_some()
    }

    /// The name and the password, from where the user keeps them or from the user.
    pub(super) fn credentials(&self) -> Result<Credentials, ClientError> {
        if let Some(known) = self.known.get() {
            return Ok(known.clone());
        }
        let refused = |why: String| ClientError::Refused(format!("{self}: {why}"));
        let found = match &self.login {
            Some(Login { name, password }) => {
                let password = match password {
                    Password::Text(text) => Ok(text.clone()),
                    Password::File(path) => read_password(path),
                    Password::Command(command) => run_password(command),
                    Password::Ask => self.asked(Some(name)).map(|(_, password)| password),
                };
                Credentials { name: name.clone(), password: password.map_err(refused)? }
            }
            None => {
                let (name, password) = self.asked(None).map_err(refused)?;
                Credentials { name, password }
            }
        };
        Ok(self.known.get_or_init(|| found).clone())
    }

    fn asked(&self, name: Option<&str>) -> Result<(String, String), String> {
        let Some(ask) = self.ask else {
            return Err("the server wants a login; use --user NAME --password-file FILE".to_owned());
        };
        ask(&self.host, name).map_err(|error| error.to_string())
    }
}

fn read_password(path: &Path) -> Result<String, String> {
    let said = |why: String| format!("password file {}: {why}", path.display());
    let mode = fs::metadata(path).map_err(|error| said(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(said(format!("others may read it; chmod 600 {}", path.display())));
    }
    let text = fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
    first_line(&text).ok_or_else(|| said("there is no password in it".to_owned()))
}

fn run_password(command: &str) -> Result<String, String> {
    let said = |why: String| format!("password_command {command:?}: {why}");
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| said(error.to_string()))?;
    if !output.status.success() {
        return Err(said(output.status.to_string()));
    }
    first_line(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| said("it printed no password".to_owned()))
}

fn first_line(text: &str) -> Option<String> {
    text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
}

impl From<SocketAddr> for Server {
    /// A server in clear, without login.
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip().to_string(), Some(address.port()), Security::Clear)
    }
}

impl fmt::Display for Server {
    /// `HOST:PORT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port())
        } else {
            write!(f, "{}:{}", self.host, self.port())
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.to_string())
            .field("security", &self.security)
            .field("verification", &self.verification)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Password {
    /// Tells where it comes from, never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Command(command) => write!(f, "Command({command:?})"),
            Self::Ask => f.write_str("Ask"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_with_or_without_port() {
        for (text, address, security) in [
            ("a.example", "a.example:119", Security::Clear),
            ("a.example:1119", "a.example:1119", Security::Clear),
            ("a.example:563", "a.example:563", Security::Tls),
            ("192.0.2.1", "192.0.2.1:119", Security::Clear),
            ("::1", "[::1]:119", Security::Clear),
            ("[::1]", "[::1]:119", Security::Clear),
            ("[::1]:563", "[::1]:563", Security::Tls),
        ] {
            let server = Server::parse(text).unwrap();
            assert_eq!((server.to_string().as_str(), server.security), (address, security), "{text}");
        }
        for text in ["", ":119", "a:0", "a:70000", "a:b", "[::1", "[::1]x", "a b", "a/b", "a@b:1"] {
            assert!(Server::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_come_from_where_nobody_else_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "se cret\nnot this\n").unwrap();
        let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o600);
        assert_eq!(read_password(&file).as_deref(), Ok("se cret"));
        mode(0o640);
        assert!(read_password(&file).unwrap_err().contains("chmod 600"));
        assert_eq!(run_password("echo secret; echo more").as_deref(), Ok("secret"));
        assert!(run_password("exit 3").unwrap_err().contains("3"));
        assert!(run_password("true").unwrap_err().contains("no password"));
    }

    #[test]
    fn a_login_is_asked_for_once() {
        let mut server = Server::parse("a.example").unwrap();
        assert!(server.credentials().is_err());
        server.ask = Some(|_, _| Ok(("me".to_owned(), "secret".to_owned())));
        let other = server.clone();
        assert_eq!(server.credentials().unwrap().name, "me");
        server.ask = None;
        assert_eq!(server.credentials().unwrap().password, "secret");
        assert_eq!(other.credentials().unwrap().password, "secret");
        assert!(!format!("{server:?}").contains("secret"));
    }
}
