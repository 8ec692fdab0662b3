//! A client that speaks NNTP in clear, over TLS, compressed, or both, and sends octets cut as a test
//! likes. It shares nothing with feedd's own side of these layers.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// No answer for so long is a failure.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

pub struct Wire {
    pub greeting: String,
    pub socket: TcpStream,
    pub tls: Option<Box<ClientConnection>>,
    deflate: Option<(Compress, Decompress)>,
    /// What the server said and nobody has read.
    unread: Vec<u8>,
}

impl Wire {
    pub fn connect(from: Ipv4Addr, port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        socket.set_write_timeout(Some(ANSWER_WITHIN)).unwrap();
        Self { greeting: String::new(), socket, tls: None, deflate: None, unread: Vec::new() }
    }

    pub fn greet(&mut self) {
        self.greeting = self.line().unwrap();
    }

    /// Does the handshake of TLS on what is open already.
    pub fn secure(&mut self, config: Arc<ClientConfig>) -> io::Result<()> {
        assert!(self.unread.is_empty(), "said in clear: {}", lossy(&self.unread));
        let name = "here.example".try_into().unwrap();
        let mut tls = Box::new(ClientConnection::new(config, name).map_err(io::Error::other)?);
        while tls.is_handshaking() {
            tls.complete_io(&mut self.socket)?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    pub fn starttls(&mut self, config: Arc<ClientConfig>) {
        self.expect("STARTTLS", "382");
        self.secure(config).unwrap();
    }

    pub fn compress(&mut self) {
        self.expect("COMPRESS DEFLATE", "206");
        self.compressed_from_here();
    }

    /// Everything unread and to come is compressed.
    pub fn compressed_from_here(&mut self) {
        self.deflate = Some((Compress::new(Compression::default(), false), Decompress::new(false)));
        let packed = std::mem::take(&mut self.unread);
        self.take(&packed);
    }

    pub fn login(&mut self, name: &str, password: &str) -> String {
        self.expect(&format!("AUTHINFO USER {name}"), "381");
        self.ask(&format!("AUTHINFO PASS {password}"))
    }

    /// Sends octets through whatever layers there are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let packed = self.pack(bytes);
        self.send_packed(&packed)
    }

    /// What would be sent.
    pub fn on_the_wire(&mut self, bytes: &[u8]) -> Vec<u8> {
        let packed = self.pack(bytes);
        let Some(tls) = &mut self.tls else { return packed };
        let mut octets = Vec::new();
        for piece in packed.chunks(16 * 1024) {
            tls.writer().write_all(piece).unwrap();
            tls.write_tls(&mut octets).unwrap();
        }
        octets
    }

    fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.deflate {
            None => bytes.to_vec(),
            Some((pack, _)) => {
                let mut out = Vec::with_capacity(bytes.len() + 1024);
                let until = pack.total_in() + bytes.len() as u64;
                let taken = |pack: &Compress| bytes.len() - (until - pack.total_in()) as usize;
                loop {
                    out.reserve(1024);
                    pack.compress_vec(&bytes[taken(pack)..], &mut out, FlushCompress::Sync).unwrap();
                    if pack.total_in() == until && out.len() < out.capacity() {
                        break out;
                    }
                }
            }
        }
    }

    /// Past the compression.
    pub fn send_packed(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.write_all(octets),
            Some(tls) => {
                // No more than rustls takes at once.
                for piece in octets.chunks(16 * 1024) {
                    tls.writer().write_all(piece)?;
                    while tls.wants_write() {
                        tls.write_tls(&mut self.socket)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Says that there is no more to come, as part of the same octets as `last`.
    pub fn finish_with(&mut self, last: &[u8]) -> io::Result<()> {
        let mut octets = self.on_the_wire(last);
        if let Some((pack, _)) = &mut self.deflate {
            let mut end = Vec::with_capacity(1024);
            pack.compress_vec(&[], &mut end, FlushCompress::Finish).unwrap();
            match &mut self.tls {
                None => octets.extend_from_slice(&end),
                Some(tls) => tls.writer().write_all(&end)?,
            }
        }
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut octets)?;
            }
        }
        self.socket.write_all(&octets)?;
        self.socket.shutdown(std::net::Shutdown::Write)
    }

    /// Reads some more; 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut packed = Vec::new();
        match &mut self.tls {
            None => {
                let mut piece = [0; 16 * 1024];
                let count = self.socket.read(&mut piece)?;
                packed.extend_from_slice(&piece[..count]);
            }
            Some(tls) => loop {
                let ended = match tls.reader().read_to_end(&mut packed) {
                    Ok(_) => true,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                    Err(error) => return Err(error),
                };
                if ended || !packed.is_empty() {
                    break;
                }
                tls.read_tls(&mut self.socket)?;
                tls.process_new_packets().map_err(io::Error::other)?;
            },
        }
        if packed.is_empty() {
            return Ok(0);
        }
        match self.take(&packed) {
            0 => self.fill(),
            count => Ok(count),
        }
    }

    /// Unpacks what came, if it is packed: how many octets.
    fn take(&mut self, packed: &[u8]) -> usize {
        let before = self.unread.len();
        match &mut self.deflate {
            None => self.unread.extend_from_slice(packed),
            Some((_, unpack)) => {
                let start = unpack.total_in();
                loop {
                    self.unread.reserve(32 * 1024);
                    let rest = &packed[(unpack.total_in() - start) as usize..];
                    unpack.decompress_vec(rest, &mut self.unread, FlushDecompress::None).unwrap();
                    if unpack.total_in() - start == packed.len() as u64
                        && self.unread.len() < self.unread.capacity()
                    {
                        break;
                    }
                }
            }
        }
        self.unread.len() - before
    }

    /// The next response line, without its CRLF.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.unread, b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                return Ok(lossy(&line));
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The lines of a multi-line block, dot-stuffing left as it is.
    pub fn block(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().unwrap() {
                dot if dot == "." => return lines,
                line => lines.push(line),
            }
        }
    }

    /// All that the server still says until it closes or breaks off.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(0) => return std::mem::take(&mut self.unread),
                Ok(_) => {}
                Err(error) => {
                    assert!(error.kind() != ErrorKind::WouldBlock, "the connection goes on: {error}");
                    return std::mem::take(&mut self.unread);
                }
            }
        }
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).unwrap_or_else(|error| panic!("{command}: {error}"));
        self.line().unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    #[track_caller]
    pub fn expect(&mut self, command: &str, code: &str) -> String {
        let answer = self.ask(command);
        assert!(answer.starts_with(code), "{command}: wanted {code}, got {answer}");
        answer
    }

    #[track_caller]
    pub fn list(&mut self, command: &str, code: &str) -> Vec<String> {
        self.expect(command, code);
        self.block()
    }

    /// Posts an article in wire form; the last response line.
    #[track_caller]
    pub fn post(&mut self, article: &[u8]) -> String {
        self.expect("POST", "340");
        self.send(article).unwrap();
        self.line().unwrap()
    }

    /// Asserts that the server has closed, or closes, without a further word.
    #[track_caller]
    pub fn is_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{}", lossy(&rest));
    }
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
