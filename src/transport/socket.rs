//! What is below all layers: a TCP or Unix socket, or a simulated one.

use bytes::BytesMut;
use rustix::net::{Shutdown, shutdown, sockopt};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::net::{TcpStream, UnixStream};

/// Something connected. Reading and writing never wait.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Pipe(Box<dyn Pipe>),
}

/// A connection that is not the operating system's. Reading and writing never wait and say so with
/// [`ErrorKind::WouldBlock`].
pub trait Pipe: Send + Sync {
    /// Is there something to read, or the end? Wakes `context` when there is.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Is there room to write, or is it broken? Wakes `context` when there is.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads some octets; 0: the other side has ended.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;
    /// Takes some octets.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Nothing more will be written.
    fn end(&self) -> io::Result<()>;
}

/// Octets read from a pipe at a time.
const PIPE_PIECE: usize = 16 * 1024;

impl Socket {
    /// Reads into the spare capacity of `into`, of which there are at least `room` octets.
    ///
    /// Not `try_read`: only this way a read that found less than there was room for tells the runtime
    /// that the socket is empty, and the next one needs no system call to find that out.
    pub(super) async fn read_now(&mut self, into: &mut BytesMut, room: usize) -> io::Result<usize> {
        into.reserve(room);
        match self {
            Self::Tcp(stream) => read_now(stream, into).await,
            Self::Unix(stream) => read_now(stream, into).await,
            Self::Pipe(pipe) => {
                let start = into.len();
                into.resize(start + PIPE_PIECE, 0);
                let read = pipe.try_read(into.get_mut(start..).unwrap_or_default());
                into.truncate(start + *read.as_ref().unwrap_or(&0));
                read
            }
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
            Self::Pipe(pipe) => poll_fn(|context| pipe.poll_readable(context)).await,
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
            Self::Pipe(pipe) => poll_fn(|context| pipe.poll_writable(context)).await,
        }
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => shutdown(stream, Shutdown::Write).map_err(io::Error::from),
            Self::Unix(stream) => shutdown(stream, Shutdown::Write).map_err(io::Error::from),
            Self::Pipe(pipe) => pipe.end(),
        }
    }

    /// Has the operating system ask the other side for a sign of life when nothing moves for so long.
    pub(super) fn keep_alive(&self, idle: Duration) -> io::Result<()> {
        if let Self::Tcp(stream) = self {
            sockopt::set_socket_keepalive(stream, true)?;
            sockopt::set_tcp_keepidle(stream, idle)?;
            sockopt::set_tcp_keepintvl(stream, idle / 4)?;
        }
        Ok(())
    }

    /// Sends up to `count` octets of `file` from `offset` without copying them through this process.
    pub(super) fn send_file(&self, file: &File, mut offset: u64, count: usize) -> io::Result<usize> {
        let mut send = |socket: rustix::fd::BorrowedFd<'_>| {
            rustix::fs::sendfile(socket, file, Some(&mut offset), count).map_err(io::Error::from)
        };
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Self::Pipe(_) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

/// Writing that would block says so.
impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Pipe(pipe) => pipe.try_write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(pieces),
            Self::Unix(stream) => stream.try_write_vectored(pieces),
            Self::Pipe(pipe) => {
                pipe.try_write(pieces.iter().find(|piece| !piece.is_empty()).map_or(&[], |piece| piece))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Polls one read, once.
async fn read_now(stream: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<usize> {
    let mut read = pin!(stream.read_buf(input));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Pending => Poll::Ready(Err(ErrorKind::WouldBlock.into())),
        done => done,
    })
    .await
}
