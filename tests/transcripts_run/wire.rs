//! The client's end of a connection: TCP, and over it TLS and DEFLATE when the transcript says so.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

trait Transport: Read + Write {}
impl<T: Read + Write> Transport for T {}

pub struct Wire {
    transport: Option<Box<dyn Transport>>,
    /// Octets that were read and belong to no line yet.
    read: Vec<u8>,
}

impl Wire {
    pub fn new(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { transport: Some(Box::new(socket)), read: Vec::new() }
    }

    fn transport(&mut self) -> &mut dyn Transport {
        self.transport.as_mut().unwrap()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport().write_all(bytes)?;
        self.transport().flush()
    }

    /// The next line with its CRLF; less at the end of the connection.
    pub fn line(&mut self, at: &str) -> String {
        let end = loop {
            if let Some(end) = self.read.iter().position(|octet| *octet == b'\n') {
                break end + 1;
            }
            let mut piece = [0; 4096];
            match self.transport().read(&mut piece) {
                Ok(0) => break self.read.len(),
                // rustls: closed without a farewell, which is as good.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break self.read.len(),
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
                Err(error) => panic!("{at}: no answer: {error}"),
            }
        };
        String::from_utf8(self.read.drain(..end).collect()).unwrap()
    }

    /// The handshake behind 382; the server's certificate is the only one that is trusted.
    pub fn start_tls(&mut self, certificate: &Path) {
        assert!(self.read.is_empty(), "something was said between 382 and the handshake");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let below = self.transport.take().unwrap();
        self.transport = Some(Box::new(StreamOwned::new(session, below)));
        // Flushing makes the handshake.
        self.transport().flush().unwrap();
    }

    /// From here on everything is compressed, both ways (RFC 8054 s.2.2.2).
    pub fn compress(&mut self) {
        let mut deflate = Deflate {
            below: self.transport.take().unwrap(),
            packer: Compress::new(Compression::fast(), false),
            unpacker: Decompress::new(false),
            packed: Vec::new(),
        };
        // What came behind 206 in the same piece is compressed already.
        deflate.packed.append(&mut self.read);
        self.transport = Some(Box::new(deflate));
    }
}

struct Deflate {
    below: Box<dyn Transport>,
    packer: Compress,
    unpacker: Decompress,
    /// Octets from below that are not unpacked.
    packed: Vec<u8>,
}

impl Read for Deflate {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let (taken, given) = (self.unpacker.total_in(), self.unpacker.total_out());
            let status = self.unpacker.decompress(&self.packed, into, FlushDecompress::Sync);
            let status = status.map_err(io::Error::other)?;
            let taken = (self.unpacker.total_in() - taken) as usize;
            self.packed.drain(..taken);
            let given = (self.unpacker.total_out() - given) as usize;
            if given > 0 || status == Status::StreamEnd {
                return Ok(given);
            }
            let mut piece = [0; 4096];
            match self.below.read(&mut piece)? {
                0 => return Ok(0),
                count => self.packed.extend_from_slice(&piece[..count]),
            }
        }
    }
}

impl Write for Deflate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        let before = self.packer.total_in();
        self.packer.compress_vec(bytes, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        assert_eq!(self.packer.total_in() - before, bytes.len() as u64, "all of it fits");
        self.below.write_all(&out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.below.flush()
    }
}
