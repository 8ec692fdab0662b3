//! The one seam to the network, dialling and listening: a machine's own, or a simulated one.

use super::Transport;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, lookup_host};

/// Something that takes a while.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// How names become addresses, and addresses connections.
pub trait Network: Send + Sync {
    /// The addresses of a host (a name or an address), each with `port`.
    fn look_up(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>>;
    /// Opens a connection.
    fn connect(&self, to: SocketAddr) -> Pending<Transport>;
}

/// Where connections come in.
pub trait Listener: Send + Sync {
    /// The next one, and from where.
    fn accept(&self) -> Pending<(Transport, SocketAddr)>;
}

impl Listener for Arc<TcpListener> {
    fn accept(&self) -> Pending<(Transport, SocketAddr)> {
        let listener = self.clone();
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(&listener).await?;
            // Replies are batched already; one that cannot be set is only slower.
            let _ = stream.set_nodelay(true);
            Ok((Transport::tcp(stream), from))
        })
    }
}

/// This machine's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Machine {
    /// It, to be shared.
    pub fn network() -> Arc<dyn Network> {
        Arc::new(Self)
    }
}

impl Network for Machine {
    fn look_up(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(lookup_host((host.as_str(), port)).await?.collect()) })
    }

    fn connect(&self, to: SocketAddr) -> Pending<Transport> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            // Commands are batched already; waiting for more would only delay them.
            stream.set_nodelay(true)?;
            // Who is idle finds out in the end that the other side has vanished without a word.
            rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
            Ok(Transport::tcp(stream))
        })
    }
}
