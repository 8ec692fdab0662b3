//! A blocking NNTP client (RFC 3977): what `feedc`, `feedd demo` and `feedd import` speak with.
//!
//! One command, one answer, in the thread that asks; [`Client::into_halves`] is for who wants to have
//! many commands in flight. A server's answer may be anything: lines and blocks are bounded, and
//! nothing in them is trusted to be well-formed.
//!
//! [`Client::connect`] makes a connection ready for a reader: TLS (RFC 4642, RFC 8143), reader mode,
//! login (RFC 4643). The questions then outlive the connection: one that is lost is made once more, a
//! 480 is answered by a login, and lists and overviews are compressed where the server can (RFC 8054).
//! POST is never repeated once the article is on its way.

mod answer;
mod login;
mod pipeline;
mod questions;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Answers, ClientError};
pub use questions::{ListedGroup, OverviewRow};
pub use server::{Ask, Login, PORT, Password, Security, Server, TLS_PORT};

use crate::tls::client::handshake;
use crate::wire::Code;
use crate::wire::capability::Capabilities;
use std::io::{BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use stream::{Input, Output};

/// How long a server may be silent. A POST is answered when the article is on the server's disk.
const ANSWER_TIME: Duration = Duration::from_secs(120);
/// Octets of commands that wait until they are flushed.
const COMMANDS: usize = 256 * 1024;

/// A connection to a server, which has greeted.
pub struct Client {
    answers: Answers,
    commands: Commands,
    /// None on a Unix connection, which is ready as it is and is not made again.
    link: Option<Link>,
    posting: bool,
    /// What the server said first, behind the code.
    greeting: String,
    /// Can nobody listen?
    secure: bool,
    logged_in: bool,
    compressed: bool,
    /// Has an answer been left unread, or garbled? The next one would be taken for it.
    broken: bool,
    /// What the server says it can do, once it has been asked; none within when it knows no
    /// CAPABILITIES.
    capabilities: Option<Option<Capabilities>>,
    /// The newsgroup that is selected.
    group: Option<String>,
}

struct Link {
    server: Server,
    stream: TcpStream,
}

/// The writing half; nothing is sent before it is flushed or its buffer is full.
pub type Commands = BufWriter<Box<dyn Write + Send>>;

impl Client {
    /// Connects, and does whatever the server needs before a reader may ask: TLS, MODE READER, login.
    pub fn connect(server: &Server) -> Result<Self, ClientError> {
        let mut stream = server.connect(ANSWER_TIME)?;
        let secure = server.security == Security::Tls;
        let (input, output): (Input, Output) = if secure {
            let own = server.certificate.as_deref();
            let connection = handshake(&mut stream, &server.host, &server.verification, true, own)
                .map_err(|error| ClientError::Refused(format!("{server}: {error}")))?;
            stream::tls_halves(connection, stream.try_clone()?)?
        } else {
            (Box::new(stream.try_clone()?), Box::new(stream.try_clone()?))
        };
        let mut client = Self::greeted(input, output)?;
        client.link = Some(Link { server: server.clone(), stream });
        client.secure = secure;
        // In this order: no MODE READER behind STARTTLS or AUTHINFO (RFC 3977 s.5.3, RFC 4643 s.2.2).
        if server.as_reader {
            client.mode_reader()?;
        }
        if server.security == Security::StartTls {
            client.start_tls()?;
        }
        if server.has_login() && client.takes_logins()? {
            client.log_in()?;
        }
        Ok(client)
    }

    /// The address that it leads to; none on a Unix connection.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.link.as_ref().and_then(|link| link.stream.peer_addr().ok())
    }

    /// What the server said first, behind the code: its name, for most.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Takes a Unix connection and reads the greeting.
    pub fn over_unix(stream: UnixStream) -> Result<Self, ClientError> {
        Self::greeted(Box::new(stream.try_clone()?), Box::new(stream))
    }

    fn greeted(input: Input, output: Output) -> Result<Self, ClientError> {
        let mut answers = Answers::new(input);
        let greeting = answers.answer()?;
        // RFC 3977 s.5.1: 200 and 201 differ in whether posting is allowed.
        match greeting.code {
            Code(200 | 201) => Ok(Self {
                answers,
                commands: BufWriter::with_capacity(COMMANDS, output),
                link: None,
                posting: greeting.code == Code(200),
                greeting: greeting.text,
                secure: false,
                logged_in: false,
                compressed: false,
                broken: false,
                capabilities: None,
                group: None,
            }),
            _ => Err(ClientError::Declined(greeting)),
        }
    }

    /// Did the server allow posting when it greeted or became a reader's?
    pub fn may_post(&self) -> bool {
        self.posting
    }

    /// The two halves, for commands in flight. Nothing is asked twice there, and a 480 is the
    /// caller's: [`Client::log_in`] before.
    pub fn into_halves(self) -> (Answers, Commands) {
        (self.answers, self.commands)
    }

    /// Sends one command line and reads its response line.
    pub fn command(&mut self, line: &str) -> Result<Answer, ClientError> {
        // A line end within would be a second command.
        if line.contains(['\r', '\n', '\0']) {
            return Err(ClientError::Protocol("a command is one line".to_owned()));
        }
        self.commands.write_all(line.as_bytes())?;
        self.commands.write_all(b"\r\n")?;
        self.commands.flush()?;
        self.answers.answer()
    }

    /// A command whose only welcome response is `code`.
    fn expect(&mut self, line: &str, code: u16) -> Result<Answer, ClientError> {
        let answer = self.command(line)?;
        if answer.code == Code(code) { Ok(answer) } else { Err(ClientError::Declined(answer)) }
    }

    /// A command that `code` and a data block answer: the block's text.
    fn ask(&mut self, line: &str, code: u16) -> Result<Vec<u8>, ClientError> {
        self.expect(line, code)?;
        self.answers.block()
    }

    /// Asks what may be asked twice: over a new connection when this one is lost, after a login when
    /// the server wants one.
    fn again<T>(&mut self, question: impl Fn(&mut Self) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let (mut reconnected, mut logged_in) = (self.link.is_none(), self.link.is_none());
        if self.broken && !reconnected {
            self.reconnect()?;
        }
        loop {
            let answered = question(self);
            self.broken = matches!(answered, Err(ClientError::Io(_) | ClientError::Protocol(_)));
            match answered {
                Err(error) if error.is_lost() && !reconnected => {
                    reconnected = true;
                    self.reconnect()?;
                }
                Err(ClientError::Declined(answer)) if answer.code == Code(480) && !logged_in => {
                    logged_in = true;
                    self.log_in()?;
                }
                Err(ClientError::Declined(answer)) if answer.code == Code(483) => return Err(self.insecure()),
                done => return done,
            }
        }
    }

    /// Takes a new connection's place, with the same newsgroup selected.
    fn reconnect(&mut self) -> Result<(), ClientError> {
        let Some(link) = &self.link else { return Ok(()) };
        // First, for servers that count connections. It may be closed already.
        let _ = link.stream.shutdown(Shutdown::Both);
        let mut fresh = Self::connect(&link.server)?;
        if let Some(group) = self.group.clone() {
            fresh.expect(&format!("GROUP {group}"), 211)?;
            fresh.group = Some(group);
        }
        *self = fresh;
        Ok(())
    }

    /// What the server can do now (RFC 3977 s.5.2); none when it does not know the question.
    pub fn capabilities(&mut self) -> Result<Option<&Capabilities>, ClientError> {
        if self.capabilities.is_none() {
            let known = match self.ask("CAPABILITIES", 101) {
                Ok(block) => Some(Capabilities::parse(&String::from_utf8_lossy(&block))),
                Err(error @ ClientError::Declined(_)) if !error.is_lost() => None,
                Err(error) => return Err(error),
            };
            self.capabilities = Some(known);
        }
        Ok(self.capabilities.as_ref().and_then(Option::as_ref))
    }

    /// MODE READER, for servers that have another mode or know no CAPABILITIES (RFC 3977 s.5.3).
    fn mode_reader(&mut self) -> Result<(), ClientError> {
        if self.capabilities()?.is_some_and(|known| known.reader || !known.mode_reader) {
            return Ok(());
        }
        let answer = self.command("MODE READER")?;
        match answer.code {
            Code(200) => self.posting = true,
            Code(201) => self.posting = false,
            Code(400) => return Err(ClientError::Declined(answer)),
            // Whether it matters, the next question will tell.
            _ => {}
        }
        self.capabilities = None;
        Ok(())
    }

    /// Puts TLS under the connection (RFC 4642). What the server said in clear is forgotten.
    fn start_tls(&mut self) -> Result<(), ClientError> {
        let Some(Link { server, stream }) = &self.link else { return Ok(()) };
        let (server, mut stream) = (server.clone(), stream.try_clone()?);
        let refused = |why: String| ClientError::Refused(format!("{server}: {why}"));
        let answer = self.command("STARTTLS")?;
        if answer.code != Code(382) {
            return Err(refused(format!(
                "no STARTTLS there ({answer}); use --tls on if it has a port for TLS, or --tls off"
            )));
        }
        if self.answers.take_stream().is_none() {
            return Err(refused("octets in clear came behind its answer to STARTTLS".to_owned()));
        }
        let own = server.certificate.clone();
        let connection = handshake(&mut stream, &server.host, &server.verification, false, own.as_deref())
            .map_err(|error| refused(error.to_string()))?;
        let (input, output) = stream::tls_halves(connection, stream)?;
        self.answers = Answers::new(input);
        self.commands = BufWriter::with_capacity(COMMANDS, output);
        self.capabilities = None;
        self.secure = true;
        Ok(())
    }

    /// Does it want to know who we are? One that does not say is asked.
    fn takes_logins(&mut self) -> Result<bool, ClientError> {
        let secure = self.secure;
        // In clear a good server offers no login: log_in says what to do about it.
        Ok(self.capabilities()?.is_none_or(|known| !secure || known.authinfo_user || known.sasl_plain))
    }

    /// Compresses both directions from here on (RFC 8054), if the server can and the user lets us; for
    /// what is text and much.
    fn compress(&mut self) -> Result<(), ClientError> {
        if self.compressed || !self.link.as_ref().is_some_and(|link| link.server.compress) {
            return Ok(());
        }
        let logged_in = self.logged_in;
        let wise = self.capabilities()?.is_some_and(|known| {
            // No login can follow (RFC 8054 s.2.2.2), and who offers one may want it at any time.
            known.compress_deflate && (logged_in || !known.authinfo)
        });
        if !wise {
            return Ok(());
        }
        let answer = self.command("COMPRESS DEFLATE")?;
        if let Some(Some(known)) = &mut self.capabilities {
            // Asked once, whatever it says.
            known.compress_deflate = false;
        }
        if answer.code != Code(206) {
            return Ok(());
        }
        let early = || ClientError::Protocol("octets behind the answer to COMPRESS".to_owned());
        let input = self.answers.take_stream().ok_or_else(early)?;
        let sink: Output = Box::new(std::io::sink());
        let commands = std::mem::replace(&mut self.commands, BufWriter::with_capacity(0, sink));
        let output = commands.into_inner().map_err(|error| ClientError::Io(error.into_error()))?;
        let (input, output) = stream::deflated(input, output);
        self.answers = Answers::new(input);
        self.commands = BufWriter::with_capacity(COMMANDS, output);
        self.compressed = true;
        Ok(())
    }
}
