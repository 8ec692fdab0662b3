//! A small, blocking, raw NNTP client (RFC 3977, RFC 4644) for tests. It shares no code with
//! feedd on purpose: a misreading of the RFC must not agree with itself.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// No answer for so long is a failure.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// One connection to an NNTP server on loopback.
#[derive(Debug)]
pub struct Client {
    /// The line the server greeted us with.
    pub greeting: String,
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    /// Connects and reads the greeting.
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::on(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?)
    }

    /// Takes over a connected socket and reads the greeting.
    pub fn on(writer: TcpStream) -> io::Result<Self> {
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(ANSWER_WITHIN))?;
        writer.set_write_timeout(Some(ANSWER_WITHIN))?;
        let reader = BufReader::with_capacity(64 * 1024, writer.try_clone()?);
        let mut client = Self { greeting: String::new(), reader, writer };
        client.greeting = client.line()?;
        Ok(client)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Sends one command line.
    pub fn command(&mut self, command: &str) -> io::Result<()> {
        self.send(format!("{command}\r\n").as_bytes())
    }

    /// The next response line, without its CRLF.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line.ends_with(b"\r\n") {
            return Err(io::Error::other(format!("a line without CRLF: {:?}", lossy(&line))));
        }
        line.truncate(line.len() - 2);
        Ok(lossy(&line))
    }

    /// Sends a command and reads its one response line.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.command(command)?;
        self.line()
    }

    /// Sends a command whose answer must begin with `code`.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect(&mut self, command: &str, code: &str) -> String {
        let answer = self.ask(command).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(answer.starts_with(code), "{command}: wanted {code}, got {answer}");
        answer
    }

    /// The lines of a multi-line data block (RFC 3977 s.3.1.1), dot-stuffing undone, as they were
    /// on the wire otherwise: each with its CRLF.
    pub fn block(&mut self) -> io::Result<Vec<u8>> {
        let mut block = Vec::new();
        loop {
            let start = block.len();
            if self.reader.read_until(b'\n', &mut block)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = &block[start..];
            if line == b".\r\n" {
                block.truncate(start);
                return Ok(block);
            }
            if line.starts_with(b".") {
                block.remove(start);
            }
        }
    }

    /// How many octets the next multi-line data block takes on the wire, lone dot included.
    pub fn block_len(&mut self) -> io::Result<usize> {
        let mut line = Vec::new();
        let mut len = 0;
        while line != b".\r\n" {
            line.clear();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            len += line.len();
        }
        Ok(len)
    }

    /// The bare connection, for whoever speaks on in another way.
    pub fn into_socket(self) -> TcpStream {
        self.writer
    }

    /// Sends a command with a multi-line answer: the response line must begin with `code`.
    ///
    /// # Panics
    /// When it does not, or the connection fails.
    #[track_caller]
    pub fn list(&mut self, command: &str, code: &str) -> Vec<String> {
        self.expect(command, code);
        let block = self.block().unwrap_or_else(|e| panic!("{command}: {e}"));
        lossy(&block).lines().map(str::to_owned).collect()
    }

    /// The whole article, dot-stuffing undone; `None` on 423 or 430.
    ///
    /// # Panics
    /// On any other answer.
    #[track_caller]
    pub fn article(&mut self, which: &str) -> Option<Vec<u8>> {
        let answer = self.ask(&format!("ARTICLE {which}")).unwrap();
        if answer.starts_with("423") || answer.starts_with("430") {
            return None;
        }
        assert!(answer.starts_with("220"), "ARTICLE {which}: {answer}");
        Some(self.block().unwrap())
    }

    /// Whether the server has the article.
    ///
    /// # Panics
    /// On an answer other than 223 and 430.
    #[track_caller]
    pub fn has(&mut self, message_id: &str) -> bool {
        let answer = self.ask(&format!("STAT {message_id}")).unwrap();
        assert!(answer.starts_with("223") || answer.starts_with("430"), "STAT: {answer}");
        answer.starts_with("223")
    }

    /// Count, low and high water mark of a newsgroup, which becomes the selected one.
    #[track_caller]
    pub fn group(&mut self, name: &str) -> (u64, u64, u64) {
        let answer = self.expect(&format!("GROUP {name}"), "211");
        let numbers: Vec<u64> =
            answer.split(' ').skip(1).take(3).map(|number| number.parse().unwrap()).collect();
        (numbers[0], numbers[1], numbers[2])
    }

    /// Offers one article by TAKETHIS; `article` is dot-stuffed and ends with the lone dot.
    pub fn takethis(&mut self, message_id: &str, article: &[u8]) -> io::Result<String> {
        let mut bytes = format!("TAKETHIS {message_id}\r\n").into_bytes();
        bytes.extend_from_slice(article);
        self.send(&bytes)?;
        self.line()
    }

    /// Posts one article in wire form, the lone dot included. The last response line.
    pub fn post(&mut self, article: &[u8]) -> io::Result<String> {
        let answer = self.ask("POST")?;
        if !answer.starts_with("340") {
            return Ok(answer);
        }
        self.send(article)?;
        self.line()
    }

    /// A second handle for writing, so that one thread sends while another reads.
    pub fn writer(&self) -> TcpStream {
        self.writer.try_clone().unwrap()
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&self) {
        let _ = self.writer.shutdown(Shutdown::Write);
    }

    /// All that the server still has to say until it closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.reader.read_to_end(&mut bytes);
        bytes
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
