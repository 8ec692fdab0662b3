//! A connection of the load generator, plain, over TLS, compressed, or both; and how it gets there.
//!
//! The generator shares two cores with the server it measures, so replies over TLS whose lengths are
//! known are not decrypted while the clock runs: a record says how long it is, and what is in it was
//! looked at once, before. All else is.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustls::ClientConnection;

use crate::certificate::client;
use crate::requests::Known;
use crate::support::client::Client;

/// Octets given to a layer at a time.
const PIECE: usize = 64 * 1024;

/// What is between the generator and the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    Plain,
    Tls,
    Deflate,
    /// Compressed text in TLS (RFC 8054 s.2.2.2).
    Both,
}

/// One connection.
pub struct Channel {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    deflate: Option<Box<(Compress, Decompress)>>,
    /// Packed, for the socket; `sent` of it is gone.
    unsent: Vec<u8>,
    sent: usize,
    /// From the socket, for the one who asks.
    wire: Vec<u8>,
    /// From the wire, decrypted.
    packed: Vec<u8>,
    /// Of replies that are read and not counted.
    received: Vec<u8>,
    record: Record,
    /// Octets that came from the socket.
    pub wire_octets: u64,
}

/// What a read brought.
pub enum Arrived<'a> {
    /// Octets of replies.
    Text(&'a [u8]),
    /// So many octets of replies, not looked at.
    Count(usize),
}

/// Where in the records of TLS 1.3 the reading is: five octets of header, the last two of which are
/// the length of the rest (RFC 8446 s.5.2).
#[derive(Default)]
struct Record {
    header: [u8; 5],
    have: usize,
    rest: usize,
}

/// Octets of a record's rest that are no text: its type and the tag.
const SEAL: usize = 17;

impl Channel {
    pub fn plain(socket: TcpStream) -> Self {
        Self {
            socket,
            tls: None,
            deflate: None,
            unsent: Vec::new(),
            sent: 0,
            wire: vec![0; PIECE],
            packed: Vec::new(),
            received: Vec::new(),
            record: Record::default(),
            wire_octets: 0,
        }
    }

    /// Puts `layers` on a connection that has been greeted.
    pub fn with(mut client: Client, layers: Layers) -> io::Result<Self> {
        let tls = matches!(layers, Layers::Tls | Layers::Both);
        let refused = |answer: String| io::Error::other(format!("refused: {answer}"));
        if tls {
            let answer = client.ask("STARTTLS")?;
            if !answer.starts_with("382") {
                return Err(refused(answer));
            }
        }
        let mut channel = Self::plain(client.into_socket());
        if tls {
            let mut session = client_session()?;
            session.complete_io(&mut channel.socket)?;
            channel.tls = Some(Box::new(session));
        }
        if matches!(layers, Layers::Deflate | Layers::Both) {
            let answer = channel.ask("COMPRESS DEFLATE")?;
            if !answer.starts_with("206") {
                return Err(refused(answer));
            }
            let pack = Compress::new(Compression::new(1), false);
            channel.deflate = Some(Box::new((pack, Decompress::new(false))));
        }
        Ok(channel)
    }

    /// The bare socket, for a connection that only lies there.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends a command and reads its one response line; waits.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.say(format!("{command}\r\n").as_bytes())?;
        let end = loop {
            match memchr::memchr(b'\n', &self.received) {
                Some(end) => break end,
                None => self.hear()?,
            }
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Asks for something known; waits, and looks at the length of what comes.
    pub fn check(&mut self, known: &Known) -> io::Result<()> {
        self.say(&known.request)?;
        while self.received.len() < known.reply_len {
            self.hear()?;
        }
        if self.received.len() != known.reply_len || !self.received.ends_with(b"\r\n.\r\n") {
            return Err(io::Error::other(format!("{} octets came", self.received.len())));
        }
        self.received.clear();
        Ok(())
    }

    fn say(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.write(bytes)?;
            bytes = &bytes[taken..];
        }
        self.flush()
    }

    fn hear(&mut self) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.received);
        let mut piece = vec![0; PIECE];
        if let Arrived::Text(bytes) = self.read(&mut piece, false)? {
            text.extend_from_slice(bytes);
        }
        self.received = text;
        Ok(())
    }

    /// Takes some of `bytes`: how many. What the layers hold of them, [`flush`](Self::flush) sends.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_none() && self.deflate.is_none() {
            return self.socket.write(bytes);
        }
        self.flush()?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        match (&mut self.deflate, &mut self.tls) {
            (Some(deflate), _) => pack(&mut deflate.0, piece, &mut self.unsent)?,
            (None, Some(tls)) => tls.writer().write_all(piece)?,
            (None, None) => {}
        }
        if let (Some(tls), Some(_)) = (&mut self.tls, &self.deflate) {
            tls.writer().write_all(&self.unsent)?;
            self.unsent.clear();
        }
        match self.flush() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(piece.len()),
        }
    }

    /// Sends what the layers hold; would-block while there is something left.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
            return Ok(());
        }
        while self.sent < self.unsent.len() {
            self.sent += self.socket.write(&self.unsent[self.sent..])?;
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once, into `buffer` where no layer is in between. With `count` the caller only wants to
    /// know how much came.
    pub fn read<'a>(&'a mut self, buffer: &'a mut [u8], count: bool) -> io::Result<Arrived<'a>> {
        let read = match self.socket.read(buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        self.wire_octets += read as u64;
        let bytes = &buffer[..read];
        let Some(tls) = &mut self.tls else {
            return match &mut self.deflate {
                None => Ok(Arrived::Text(&buffer[..read])),
                Some(deflate) => {
                    self.wire.clear();
                    unpack(&mut deflate.1, bytes, &mut self.wire)?;
                    Ok(Arrived::Text(&self.wire))
                }
            };
        };
        if count && self.deflate.is_none() {
            return Ok(Arrived::Count(self.record.text_in(bytes)));
        }
        self.packed.clear();
        let mut rest = bytes;
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let at = self.packed.len();
            self.packed.resize(at + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut self.packed[at..])?;
        }
        match &mut self.deflate {
            None => Ok(Arrived::Text(&self.packed)),
            Some(deflate) => {
                self.wire.clear();
                unpack(&mut deflate.1, &self.packed, &mut self.wire)?;
                Ok(Arrived::Text(&self.wire))
            }
        }
    }
}

fn client_session() -> io::Result<ClientConnection> {
    let name = "localhost".try_into().map_err(io::Error::other)?;
    let mut session = ClientConnection::new(client(), name).map_err(io::Error::other)?;
    session.set_buffer_limit(None);
    Ok(session)
}

impl Record {
    /// The octets of text in the records that `bytes` go on with.
    fn text_in(&mut self, mut bytes: &[u8]) -> usize {
        let mut text = 0;
        while !bytes.is_empty() {
            let gone = if self.rest > 0 {
                let gone = self.rest.min(bytes.len());
                self.rest -= gone;
                gone
            } else {
                let gone = (5 - self.have).min(bytes.len());
                self.header[self.have..self.have + gone].copy_from_slice(&bytes[..gone]);
                self.have += gone;
                if self.have == 5 {
                    self.have = 0;
                    self.rest = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                    text += self.rest.saturating_sub(SEAL);
                }
                gone
            };
            bytes = &bytes[gone..];
        }
        text
    }
}

fn pack(deflate: &mut Compress, text: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
    let start = deflate.total_in();
    loop {
        packed.reserve(text.len() / 2 + 64);
        let rest = &text[(deflate.total_in() - start) as usize..];
        deflate.compress_vec(rest, packed, FlushCompress::Sync).map_err(io::Error::other)?;
        if (deflate.total_in() - start) as usize == text.len() && packed.len() < packed.capacity() {
            return Ok(());
        }
    }
}

fn unpack(inflate: &mut Decompress, packed: &[u8], text: &mut Vec<u8>) -> io::Result<()> {
    let start = inflate.total_in();
    loop {
        text.reserve(PIECE);
        let rest = &packed[(inflate.total_in() - start) as usize..];
        inflate.decompress_vec(rest, text, FlushDecompress::None).map_err(io::Error::other)?;
        if (inflate.total_in() - start) as usize == packed.len() && text.len() < text.capacity() {
            return Ok(());
        }
    }
}
