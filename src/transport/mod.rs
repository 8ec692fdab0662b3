//! The byte streams a connection can run over: a socket, and the layers on it. Below is TLS, above
//! it compression (RFC 8054 s.2.2.2); without either, files leave by `sendfile`.

mod deflate;
pub mod dns;
mod network;
mod reach;
mod service;
mod socket;
pub(crate) mod socks;
mod tls;

pub use network::{Listener, Machine, Network, Pending};
pub use reach::{Place, Reached, Unreached, reach, wait_for};
pub use service::{Service, ServiceRecord, arrange, is_hidden, is_in_dns};
pub use socket::Pipe;

use bytes::BytesMut;
use deflate::Deflate;
use rustix::io::{ReadWriteFlags, preadv2};
use rustls::Connection;
use rustls::pki_types::CertificateDer;
use socket::Socket;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;
use tls::Tls;
use tokio::net::{TcpStream, UnixStream};

/// Octets dropped at a time.
const DROPPED: usize = 16 * 1024;
/// Octets taken from the socket at a time.
const WIRE: usize = 64 * 1024;
/// Octets given to a layer at a time: each ends with a system call, and all of them fit a core's cache.
pub(crate) const LAYER_PIECE: usize = 128 * 1024;

thread_local! {
    /// What is read of a file for the layers of a connection.
    static PIECE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connected stream. Reading and writing never wait; `readable` and
/// `writable` do, so that no buffer is held while nothing happens.
pub struct Transport {
    socket: Socket,
    layers: Option<Box<Layers>>,
}

/// What is between the socket and the session, in either direction.
#[derive(Default)]
struct Layers {
    tls: Option<Box<Tls>>,
    deflate: Option<Deflate>,
    /// From the socket, for TLS.
    wire: BytesMut,
    /// From the client, to be unpacked.
    packed: BytesMut,
    /// Packed, for the socket or TLS.
    unsent: Vec<u8>,
    /// There may be more to read without anything coming from the socket.
    more: bool,
}

impl Transport {
    /// Is there TLS?
    pub(crate) fn is_private(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.tls.is_some())
    }

    /// A reader or a peer.
    pub fn tcp(stream: TcpStream) -> Self {
        Self { socket: Socket::Tcp(stream), layers: None }
    }

    /// The socket alone; none where there is another one, or something over it.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match (self.socket, self.layers) {
            (Socket::Tcp(stream), None) => Some(stream),
            _ => None,
        }
    }

    /// A connection of another kind than the operating system's: a simulated one.
    pub fn pipe(pipe: Box<dyn Pipe>) -> Self {
        Self { socket: Socket::Pipe(pipe), layers: None }
    }

    /// The operator's import, over the control socket.
    pub fn unix(stream: UnixStream) -> Self {
        Self { socket: Socket::Unix(stream), layers: None }
    }

    /// Has the operating system ask the other side for a sign of life when nothing moves for so long: a
    /// router in between may forget a silent connection (RFC 5382 s.5), and does not say so.
    pub(crate) fn keep_alive(&self, idle: Duration) {
        if let Err(error) = self.socket.keep_alive(idle) {
            tracing::debug!(%error, "no keep-alive");
        }
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.layers.as_ref().is_some_and(|layers| layers.more) {
            return Ok(());
        }
        self.socket.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Does the handshake of a server or of a client; everything behind it is TLS.
    pub(crate) async fn start_tls(&mut self, session: Connection) -> io::Result<()> {
        let layers = self.layers.get_or_insert_default();
        layers.tls = Some(Tls::new(session));
        loop {
            let handshaking = layers.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
            match layers.send(&mut self.socket) {
                Ok(()) if !handshaking => return Ok(()),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.writable().await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.socket.readable().await?;
            match self.socket.read_now(&mut layers.wire, 4096).await {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = layers.decrypt() {
                // The alert says why.
                let _ = layers.send(&mut self.socket);
                return Err(error);
            }
        }
    }

    /// Packs and unpacks everything from now on. `input` has what the client sent behind its command.
    pub(crate) fn start_deflate(&mut self, input: &mut BytesMut) {
        let layers = self.layers.get_or_insert_default();
        layers.deflate = Some(Deflate::new());
        layers.packed = input.split();
    }

    /// The certificate that the other side has proved to have the key of, and its chain; empty if none.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        let tls = self.layers.as_ref().and_then(|layers| layers.tls.as_ref());
        tls.map(|tls| tls.certificates()).unwrap_or_default()
    }

    /// Reads to the end of `input`, into its spare capacity where no layer is in between; `Ok(0)` is the
    /// end.
    pub(crate) async fn read_now(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        let Some(layers) = &mut self.layers else { return self.socket.read_now(input, 0).await };
        loop {
            let count = layers.unwrap(input)?;
            // What is unpacked at a time is bounded.
            layers.more =
                layers.deflate.is_some() && count > 0 && (count >= WIRE || !layers.packed.is_empty());
            if count > 0 {
                return Ok(count);
            }
            if layers.ended() {
                return Ok(0);
            }
            let to = if layers.tls.is_some() { &mut layers.wire } else { &mut layers.packed };
            match self.socket.read_now(to, WIRE).await {
                Ok(0) => return Ok(0),
                Ok(_) => {}
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock {
                        layers.give_back();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Takes some of `bytes`: how many. They are sent at the latest by [`flush`](Self::flush).
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(layers) = &mut self.layers else { return self.socket.write(bytes) };
        // One piece at a time is held here: what the client does not take stays with the session.
        layers.send(&mut self.socket)?;
        let piece = bytes.get(..LAYER_PIECE).unwrap_or(bytes);
        layers.wrap(piece)?;
        match layers.send(&mut self.socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(piece.len()),
        }
    }

    /// Sends what the layers hold; would-block while there is something left.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(layers) = &mut self.layers else { return Ok(()) };
        layers.send(&mut self.socket)?;
        if let Some(deflate) = &mut layers.deflate {
            deflate.flush(&mut layers.unsent)?;
            layers.encrypt()?;
            layers.send(&mut self.socket)?;
            layers.unsent = Vec::new();
        }
        Ok(())
    }

    /// Says that nothing more will be sent, and drops what still arrives until the client ends, too. A
    /// socket closed with octets unread resets the connection, and the client might never see the last
    /// replies.
    pub(crate) async fn finish(&mut self) {
        if let Some(layers) = &mut self.layers
            && let Some(tls) = &mut layers.tls
        {
            tls.close();
            while let Err(error) = layers.send(&mut self.socket) {
                if error.kind() != ErrorKind::WouldBlock || self.socket.writable().await.is_err() {
                    return;
                }
            }
        }
        self.layers = None;
        if self.socket.end().is_err() {
            return;
        }
        let mut dropped = BytesMut::new();
        while self.readable().await.is_ok() {
            dropped.clear();
            match self.socket.read_now(&mut dropped, DROPPED).await {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Can files be sent without being read?
    pub(crate) fn sends_files(&self) -> bool {
        self.layers.is_none() && !matches!(self.socket, Socket::Pipe(_))
    }

    /// Takes some of the `count` octets of `file` from `offset`, as [`write`](Self::write) does: how many.
    pub(crate) fn copy_file(&mut self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        if let Some(layers) = &mut self.layers {
            // Else the octets are read in vain.
            layers.send(&mut self.socket)?;
        }
        PIECE.with_borrow_mut(|piece| {
            // One for each thread, cleared once: a buffer of its own would be cleared for each read.
            piece.resize(LAYER_PIECE, 0);
            let piece = piece.get_mut(..count.min(LAYER_PIECE)).unwrap_or_default();
            let read = read_some(file, offset, piece)?;
            self.write(piece.get(..read).unwrap_or_default())
        })
    }

    /// Sends up to `count` octets of `file` from `offset` without copying them through this process.
    pub(crate) fn try_send_file(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.socket.send_file(file, offset, count)
    }
}

impl Layers {
    /// Moves what has arrived to the end of `input`, decrypted and unpacked: how many octets.
    fn unwrap(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        let before = input.len();
        match (&mut self.tls, &mut self.deflate) {
            (Some(tls), None) => {
                // What came in clear text behind a COMPRESS that was refused, or with the handshake.
                input.extend_from_slice(&self.packed.split());
                tls.receive(&mut self.wire, input)?;
                Ok(input.len() - before)
            }
            (tls, Some(deflate)) => {
                if let Some(tls) = tls {
                    tls.receive(&mut self.wire, &mut self.packed)?;
                }
                deflate.unpack(&mut self.packed, input, WIRE)
            }
            (None, None) => Ok(0),
        }
    }

    /// Has the client said that nothing more will come, in one of the layers' own ways?
    fn ended(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.ended()) || self.deflate.as_ref().is_some_and(Deflate::ended)
    }

    /// TLS alone, while the handshake goes on; the client's first command may come with its end.
    fn decrypt(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.receive(&mut self.wire, &mut self.packed),
            None => Ok(()),
        }
    }

    fn wrap(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&mut self.deflate, &mut self.tls) {
            (Some(deflate), _) => deflate.pack(bytes, &mut self.unsent)?,
            (None, Some(tls)) => return tls.write(bytes),
            (None, None) => {}
        }
        self.encrypt()
    }

    /// What is packed goes to TLS, if there is TLS.
    fn encrypt(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.write(&self.unsent)?;
            self.unsent.clear();
        }
        Ok(())
    }

    /// Sends what is ready for the socket; would-block while there is something left.
    fn send(&mut self, socket: &mut Socket) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            return tls.send(socket);
        }
        let mut sent = 0;
        let done = loop {
            match self.unsent.get(sent..) {
                None | Some([]) => break Ok(()),
                Some(rest) => match socket.write(rest) {
                    Ok(count) => sent += count,
                    Err(error) => break Err(error),
                },
            }
        };
        self.unsent.drain(..sent);
        done
    }

    /// Nothing is going on: hold nothing.
    fn give_back(&mut self) {
        for buffer in [&mut self.wire, &mut self.packed] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }
}

/// Reads at least one octet of a file, in a wait for the disk only if they are not in memory.
fn read_some(file: &File, offset: u64, piece: &mut [u8]) -> io::Result<usize> {
    let mut slices = [IoSliceMut::new(piece)];
    let read = match preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Ok(count) if count > 0 => count,
        _ => blocking(|| file.read_at(piece, offset)).inspect_err(|error| {
            tracing::error!(%error, "cannot read");
        })?,
    };
    match read {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

/// Runs something that may wait for a disk, without holding up the other tasks of this thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // One thread only (a simulation): there is nobody to make way for.
        _ => work(),
    }
}

/// Runs something that may wait for a disk on another thread, and waits for it. The error says that it
/// panicked there, or that the runtime ends.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::spawn_blocking(work).await,
        // A simulation: another thread would be done when it pleases.
        _ => Ok(work()),
    }
}
