//! A small blocking NNTP client (RFC 3977): what `feedc`, `feedd demo` and `feedd import` speak with.
//!
//! One command, one answer, in the thread that asks; [`Client::into_halves`] is for who wants to have
//! many commands in flight. A server's answer may be anything: lines and blocks are bounded, and
//! nothing in them is trusted to be well-formed.

use crate::wire::{Code, block, response};
use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The port of a server that is named without one (RFC 3977 s.3).
pub const PORT: u16 = 119;
/// How long a server may be silent. A POST is answered when the article is on the server's disk.
const ANSWER_TIME: Duration = Duration::from_secs(120);
/// How long a connection to one address may take to be made.
const CONNECT_TIME: Duration = Duration::from_secs(20);
/// Octets of a line of an answer: overview rows repeat whole References and Xref fields.
const LINE_MAX: u64 = 1 << 20;
/// Octets of a data block: the largest article that a server can be configured to take.
const BLOCK_MAX: usize = 1 << 30;

/// A connection to a server, which has greeted.
pub struct Client {
    answers: Answers,
    commands: Commands,
    posting: bool,
}

/// The reading half.
pub struct Answers {
    stream: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
}

/// The writing half; nothing is sent before it is flushed or its buffer is full.
pub type Commands = BufWriter<Box<dyn Write + Send>>;

/// A response line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The three digits.
    pub code: Code,
    /// What follows them.
    pub text: String,
}

/// Why there is no result.
#[derive(Debug)]
pub enum ClientError {
    /// The connection failed.
    Io(io::Error),
    /// The server declined; its answer.
    Declined(Answer),
    /// What the server said is no NNTP; what it is.
    Protocol(String),
}

/// A newsgroup, selected (RFC 3977 s.6.1.1) or listed (s.7.6.3).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct ListedGroup {
    pub name: String,
    pub low: u64,
    pub high: u64,
    /// `y`, `n`, `m`, or what else the server says; empty when it was not asked.
    pub status: String,
    pub description: String,
}

/// An overview row (RFC 3977 s.8.3).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct OverviewRow {
    pub number: u64,
    pub subject: String,
    pub from: String,
    pub date: String,
    pub id: String,
    pub references: String,
    pub bytes: u64,
    pub lines: u64,
}

impl Client {
    /// Connects to `HOST:PORT`, `HOST` or `[ADDRESS]:PORT` over TCP and reads the greeting.
    pub fn connect(server: &str) -> Result<Self, ClientError> {
        let bare_host = !server.contains(':') || server.ends_with(']');
        let target = if bare_host { format!("{server}:{PORT}") } else { server.to_owned() };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in target.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIME) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(ANSWER_TIME))?;
                    stream.set_write_timeout(Some(ANSWER_TIME))?;
                    return Self::greeted(Box::new(stream.try_clone()?), Box::new(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    /// Takes a Unix connection and reads the greeting.
    pub fn over_unix(stream: UnixStream) -> Result<Self, ClientError> {
        Self::greeted(Box::new(stream.try_clone()?), Box::new(stream))
    }

    fn greeted(input: Box<dyn Read + Send>, output: Box<dyn Write + Send>) -> Result<Self, ClientError> {
        let mut answers = Answers { stream: BufReader::with_capacity(64 * 1024, input), line: Vec::new() };
        let greeting = answers.answer()?;
        // RFC 3977 s.5.1: 200 and 201 differ in whether posting is allowed.
        match greeting.code {
            Code(200 | 201) => {
                let commands = BufWriter::with_capacity(256 * 1024, output);
                Ok(Self { answers, commands, posting: greeting.code == Code(200) })
            }
            _ => Err(ClientError::Declined(greeting)),
        }
    }

    /// Did the greeting allow posting?
    pub fn may_post(&self) -> bool {
        self.posting
    }

    /// The two halves, for commands in flight.
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

    /// MODE READER, for servers that have another mode (RFC 3977 s.5.3); what others say to it does
    /// not matter.
    pub fn mode_reader(&mut self) -> Result<(), ClientError> {
        let answer = self.command("MODE READER")?;
        match answer.code {
            Code(200) => self.posting = true,
            Code(201) => self.posting = false,
            _ => {}
        }
        Ok(())
    }

    /// Selects a newsgroup (RFC 3977 s.6.1.1): its low and high water marks.
    pub fn group(&mut self, name: &str) -> Result<(u64, u64), ClientError> {
        let answer = self.expect(&format!("GROUP {name}"), 211)?;
        let mut numbers = answer.text.split_ascii_whitespace().skip(1).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(low)), Some(Ok(high))) => Ok((low, high)),
            _ => Err(ClientError::Protocol(answer.to_string())),
        }
    }

    /// Is the article there? By Message-ID or by number in the selected newsgroup.
    pub fn stat(&mut self, article: &str) -> Result<bool, ClientError> {
        let answer = self.command(&format!("STAT {article}"))?;
        match answer.code {
            Code(223) => Ok(true),
            Code(423 | 430) => Ok(false),
            _ => Err(ClientError::Declined(answer)),
        }
    }

    /// An article, by Message-ID or by number in the selected newsgroup, with CRLF line ends.
    pub fn article(&mut self, article: &str) -> Result<Vec<u8>, ClientError> {
        self.ask(&format!("ARTICLE {article}"), 220)
    }

    /// The header section of an article.
    pub fn head(&mut self, article: &str) -> Result<Vec<u8>, ClientError> {
        self.ask(&format!("HEAD {article}"), 221)
    }

    /// Overview rows of a range of article numbers in the selected newsgroup; none when the range
    /// holds no article.
    pub fn overview(&mut self, range: &str) -> Result<Vec<OverviewRow>, ClientError> {
        match self.ask(&format!("OVER {range}"), 224) {
            Ok(block) => Ok(text_lines(&block).filter_map(|line| OverviewRow::parse(&line)).collect()),
            Err(ClientError::Declined(answer)) if matches!(answer.code, Code(420 | 423)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The newsgroups that match `wildmat`, or all of them, with their descriptions.
    pub fn list(&mut self, wildmat: Option<&str>) -> Result<Vec<ListedGroup>, ClientError> {
        let argument = wildmat.map(|wildmat| format!(" {wildmat}")).unwrap_or_default();
        let active = self.ask(&format!("LIST ACTIVE{argument}"), 215)?;
        let mut groups: Vec<ListedGroup> =
            text_lines(&active).filter_map(|line| ListedGroup::parse(&line)).collect();
        // RFC 3977 s.7.6.6: a server may have no descriptions.
        match self.ask(&format!("LIST NEWSGROUPS{argument}"), 215) {
            Ok(block) => {
                let described: std::collections::HashMap<String, String> = text_lines(&block)
                    .filter_map(|line| {
                        let (name, text) = line.split_once([' ', '\t'])?;
                        Some((name.to_owned(), text.trim().to_owned()))
                    })
                    .collect();
                for group in &mut groups {
                    group.description = described.get(&group.name).cloned().unwrap_or_default();
                }
            }
            Err(ClientError::Declined(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(groups)
    }

    /// Posts a proto-article, with any line ends and without dot-stuffing (RFC 3977 s.6.3.1): the
    /// server's answer, which may name the Message-ID.
    pub fn post(&mut self, article: &[u8]) -> Result<Answer, ClientError> {
        self.expect("POST", 340)?;
        let mut text = Vec::new();
        block::stuff(article, &mut text);
        self.commands.write_all(&text)?;
        self.commands.flush()?;
        let answer = self.answers.answer()?;
        if answer.code == Code(240) { Ok(answer) } else { Err(ClientError::Declined(answer)) }
    }
}

/// Many commands in flight.
impl Client {
    /// Queues a command line; [`Client::flush`] sends it. Its answer is the next one that is not read.
    pub fn send(&mut self, line: &str) -> Result<(), ClientError> {
        if line.contains(['\r', '\n', '\0']) {
            return Err(ClientError::Protocol("a command is one line".to_owned()));
        }
        self.commands.write_all(line.as_bytes())?;
        Ok(self.commands.write_all(b"\r\n")?)
    }

    /// Queues a data block, dot-stuffed and with its terminator.
    pub fn send_block(&mut self, block: &[u8]) -> Result<(), ClientError> {
        Ok(self.commands.write_all(block)?)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        Ok(self.commands.flush()?)
    }

    /// Reads the next response line.
    pub fn answer(&mut self) -> Result<Answer, ClientError> {
        self.answers.answer()
    }

    /// Reads the data block behind a response line, with CRLF line ends and without dot-stuffing.
    pub fn block(&mut self) -> Result<Vec<u8>, ClientError> {
        self.answers.block()
    }
}

impl Answers {
    /// The next response line.
    pub fn answer(&mut self) -> Result<Answer, ClientError> {
        self.read_line()?;
        match response::Response::parse(&self.line) {
            Some(response) => Ok(Answer { code: response.code, text: response.text.to_owned() }),
            None => Err(ClientError::Protocol(String::from_utf8_lossy(&self.line).trim_end().to_owned())),
        }
    }

    /// The data block that follows, without dot-stuffing and terminator, with CRLF line ends.
    fn block(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut text: Vec<u8> = Vec::new();
        let mut line_begins = true;
        loop {
            self.read_line()?;
            let line = match self.line.strip_prefix(b".") {
                Some(b"\r\n" | b"\n") if line_begins => return Ok(text),
                Some(unstuffed) if line_begins => unstuffed,
                _ => &self.line,
            };
            // A line longer than LINE_MAX comes in pieces.
            line_begins = self.line.ends_with(b"\n");
            if text.len().saturating_add(line.len()) > BLOCK_MAX {
                return Err(ClientError::Protocol("a data block without end".to_owned()));
            }
            text.extend_from_slice(line);
        }
    }

    fn read_line(&mut self) -> Result<(), ClientError> {
        self.line.clear();
        (&mut self.stream).take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Err(
                io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection").into()
            );
        }
        Ok(())
    }
}

/// The lines of a block's text; what is not UTF-8 is shown as such.
fn text_lines(block: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    block.split_inclusive(|octet| *octet == b'\n').map(|line| String::from_utf8_lossy(line.trim_ascii_end()))
}

impl ListedGroup {
    /// A line of LIST ACTIVE: name, high, low, status (RFC 3977 s.7.6.3).
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?.to_owned();
        let high = words.next()?.parse().ok()?;
        let low = words.next()?.parse().ok()?;
        let status = words.next()?.to_owned();
        Some(Self { name, low, high, status, description: String::new() })
    }
}

impl OverviewRow {
    /// A line of OVER: the number and the seven fields that every server has (RFC 3977 s.8.3.2).
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let number = fields.next()?.parse().ok()?;
        let mut field = || fields.next().unwrap_or_default().to_owned();
        Some(Self {
            number,
            subject: field(),
            from: field(),
            date: field(),
            id: field(),
            references: field(),
            bytes: field().parse().unwrap_or(0),
            lines: field().parse().unwrap_or(0),
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.0, self.text)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Declined(answer) => write!(f, "the server says: {answer}"),
            Self::Protocol(what) => write!(f, "the server does not speak NNTP: {what:?}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Shutdown;

    /// A client of a server that has said all it will ever say; what the client sent is read from the
    /// other end.
    fn client(said: &str) -> (Client, UnixStream) {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"200 hello\r\n").unwrap();
        far.write_all(said.as_bytes()).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        (Client::over_unix(near).unwrap(), far)
    }

    fn sent(client: Client, mut far: UnixStream) -> String {
        drop(client);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn articles_are_unstuffed_and_posts_stuffed() {
        let (mut client, far) =
            client("220 1 <a@b> x\r\nA: b\r\n\r\n..dot\r\n.\r\n340 go on\r\n240 Article received <c@d>\r\n");
        assert_eq!(client.article("<a@b>").unwrap(), b"A: b\r\n\r\n.dot\r\n");
        assert_eq!(client.post(b"A: b\n\n.dot").unwrap().text, "Article received <c@d>");
        assert_eq!(sent(client, far), "ARTICLE <a@b>\r\nPOST\r\nA: b\r\n\r\n..dot\r\n.\r\n");
    }

    #[test]
    fn lists_and_overviews_are_parsed() {
        let (mut client, _far) = client(
            "215 x\r\na.b 7 3 y\r\nbad line\r\nc.d 0 1 m\r\n.\r\n215 x\r\na.b\tAll about b\r\n.\r\n\
             211 5 3 7 a.b\r\n224 x\r\n3\ts\tf\td\t<i@d>\t\t120\t4\tXref: h a.b:3\r\n.\r\n423 none\r\n",
        );
        let groups = client.list(None).unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].low, groups[0].high, groups[0].description.as_str()), (3, 7, "All about b"));
        assert_eq!(groups[1].status, "m");
        assert_eq!(client.group("a.b").unwrap(), (3, 7));
        let rows = client.overview("3-").unwrap();
        assert_eq!((rows[0].number, rows[0].id.as_str(), rows[0].bytes, rows[0].lines), (3, "<i@d>", 120, 4));
        assert_eq!(client.overview("8-").unwrap(), []);
    }

    #[test]
    fn what_is_declined_or_no_nntp_is_told() {
        let (mut client, _far) = client("411 no such newsgroup\r\nHTTP/1.1 400\r\n");
        assert_eq!(client.group("x").unwrap_err().to_string(), "the server says: 411 no such newsgroup");
        assert!(matches!(client.stat("<a@b>"), Err(ClientError::Protocol(_))));
        assert!(matches!(client.stat("<a@b>"), Err(ClientError::Io(_))));
        assert!(matches!(client.command("STAT 1\r\nQUIT"), Err(ClientError::Protocol(_))));
    }
}
