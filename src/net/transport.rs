//! The byte streams a connection can run over.

use bytes::BytesMut;
use rustix::net::{Shutdown, shutdown};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::net::{TcpStream, UnixStream};

/// Octets dropped at a time.
const DROPPED: usize = 16 * 1024;

/// A connected stream. Reading and writing never wait; `readable` and
/// `writable` do, so that no buffer is held while nothing happens.
#[derive(Debug)]
pub enum Transport {
    /// A reader or a peer.
    Tcp(TcpStream),
    /// The operator's import, over the control socket.
    Unix(UnixStream),
}

impl Transport {
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    /// Reads into the spare capacity of `input`; `Ok(0)` is the end.
    ///
    /// Not `try_read`: only this way a read that found less than there was room for tells the runtime
    /// that the socket is empty, and the next one needs no system call to find that out.
    pub(super) async fn read_now(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => read_now(stream, input).await,
            Self::Unix(stream) => read_now(stream, input).await,
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Says that nothing more will be sent, and drops what still arrives until the client ends, too. A
    /// socket closed with octets unread resets the connection, and the client might never see the last
    /// replies.
    pub(super) async fn finish(&mut self) {
        let ended = match &*self {
            Self::Tcp(stream) => shutdown(stream, Shutdown::Write),
            Self::Unix(stream) => shutdown(stream, Shutdown::Write),
        };
        if ended.is_err() {
            return;
        }
        let mut dropped = BytesMut::new();
        while self.readable().await.is_ok() {
            dropped.clear();
            dropped.reserve(DROPPED);
            match self.read_now(&mut dropped).await {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Sends up to `count` octets of `file` from `offset` without copying them through this process.
    pub(super) fn try_send_file(&self, file: &File, mut offset: u64, count: usize) -> io::Result<usize> {
        let mut send = |socket: rustix::fd::BorrowedFd<'_>| {
            rustix::fs::sendfile(socket, file, Some(&mut offset), count).map_err(io::Error::from)
        };
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
        }
    }
}

/// Polls one read, once.
async fn read_now(stream: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<usize> {
    let mut read = pin!(stream.read_buf(input));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Pending => Poll::Ready(Err(io::ErrorKind::WouldBlock.into())),
        done => done,
    })
    .await
}
