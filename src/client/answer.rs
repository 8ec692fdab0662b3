//! What a server answers: response lines and data blocks, bounded, and why there is none.

use super::ANSWER_TIME;
use crate::wire::{Code, response};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// Octets of a line of an answer: overview rows repeat whole References and Xref fields.
const LINE_MAX: u64 = 1 << 20;
/// Octets of a data block: the largest article that a server can be configured to take.
const BLOCK_MAX: usize = 1 << 30;
/// Octets read at once.
const BUFFER: usize = 64 * 1024;

/// The reading half of a connection.
pub struct Answers {
    stream: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
}

/// A response line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The three digits.
    pub code: Code,
    /// What follows them.
    pub text: String,
}

/// Why there is no result; its text is one line.
#[derive(Debug)]
pub enum ClientError {
    /// The connection failed.
    Io(io::Error),
    /// The server declined; its answer.
    Declined(Answer),
    /// What the server said is no NNTP; what it is.
    Protocol(String),
    /// TLS or the login failed, or is refused by us: what, where, and the cure.
    Refused(String),
}

impl Answers {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self { stream: BufReader::with_capacity(BUFFER, input), line: Vec::new() }
    }

    /// Takes the stream out, to put a layer between; none when octets have arrived that nobody asked
    /// for: they would pass for what comes behind the new layer (RFC 8143 s.5, RFC 4642 s.2.2.2).
    pub(super) fn take_stream(&mut self) -> Option<Box<dyn Read + Send>> {
        if !self.stream.buffer().is_empty() {
            return None;
        }
        let empty: Box<dyn Read + Send> = Box::new(io::empty());
        Some(std::mem::replace(&mut self.stream, BufReader::with_capacity(0, empty)).into_inner())
    }

    /// The next response line.
    pub fn answer(&mut self) -> Result<Answer, ClientError> {
        self.read_line()?;
        match response::Response::parse(&self.line) {
            Some(response) => Ok(Answer { code: response.code, text: response.text.to_owned() }),
            None => Err(ClientError::Protocol(String::from_utf8_lossy(&self.line).trim_end().to_owned())),
        }
    }

    /// The data block that follows, without dot-stuffing and terminator, with CRLF line ends.
    pub fn block(&mut self) -> Result<Vec<u8>, ClientError> {
        self.block_within(BLOCK_MAX)
    }

    /// The same, of `octets_max` at most.
    pub(super) fn block_within(&mut self, octets_max: usize) -> Result<Vec<u8>, ClientError> {
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
            if text.len().saturating_add(line.len()) > octets_max {
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

impl ClientError {
    /// Did the server decline with this code?
    pub fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Declined(answer) if answer.code == Code(code))
    }

    /// Is the connection gone, so that another one may have the answer? A 400 says that the server
    /// closes it (RFC 3977 s.3.2.1).
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
            ),
            Self::Declined(answer) => answer.code == Code(400),
            Self::Protocol(_) | Self::Refused(_) => false,
        }
    }

    /// Does the server not know the command or its arguments (RFC 3977 s.3.2.1)?
    pub fn is_unknown_command(&self) -> bool {
        matches!(self, Self::Declined(answer) if matches!(answer.code, Code(500..=503)))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a server says may be shown on a terminal, and must not command it.
        let text: String = self.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        write!(f, "{} {text}", self.code.0)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {
                write!(f, "no answer from the server within {} s", ANSWER_TIME.as_secs())
            }
            Self::Io(error) => error.fmt(f),
            Self::Declined(answer) => write!(f, "the server says: {answer}"),
            Self::Protocol(what) => write!(f, "the server does not speak NNTP: {what:?}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
