//! The one seam to the network, dialling and listening: a machine's own, or a simulated one.

use super::service::{ServiceRecord, is_in_dns};
use super::{Transport, blocking, dns};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::{TcpListener, TcpStream, lookup_host};

/// Something that takes a while.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// How names become addresses, and addresses connections.
pub trait Network: Send + Sync {
    /// The addresses of a host (a name or an address), each with `port`.
    fn look_up(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>>;
    /// The SRV records at `name` (RFC 2782), such as `_nntp._tcp.news.example`; none: there are none. A
    /// network without a DNS has none.
    fn services(&self, _name: &str) -> Pending<Vec<ServiceRecord>> {
        Box::pin(async { Ok(Vec::new()) })
    }
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
#[derive(Debug, Default)]
pub struct Machine {
    /// The name servers that the operator has named; none: those of the machine.
    name_servers: RwLock<Arc<[SocketAddr]>>,
}

impl Machine {
    /// It, to be shared, with these name servers in place of the machine's own resolver; none: with that.
    pub fn asking(name_servers: &[SocketAddr]) -> Arc<Self> {
        Arc::new(Self { name_servers: RwLock::new(name_servers.into()) })
    }

    /// From now on these are asked.
    pub fn ask(&self, name_servers: &[SocketAddr]) {
        *self.name_servers.write().unwrap_or_else(PoisonError::into_inner) = name_servers.into();
    }

    /// Those that are asked; none: the machine's own resolver is.
    pub(crate) fn name_servers(&self) -> Arc<[SocketAddr]> {
        self.name_servers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Network for Machine {
    fn look_up(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Box::pin(async move { Ok(vec![SocketAddr::new(address, port)]) });
        }
        let (host, servers) = (host.to_owned(), self.name_servers());
        // What the DNS does not know may be known to the system: localhost, Tor's names by its own means.
        if servers.is_empty() || !is_in_dns(&host) {
            return Box::pin(async move { Ok(lookup_host((host.as_str(), port)).await?.collect()) });
        }
        Box::pin(async move {
            let found = dns::addresses(&servers, &host).await?;
            Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
        })
    }

    fn services(&self, name: &str) -> Pending<Vec<ServiceRecord>> {
        let (name, named) = (name.to_owned(), self.name_servers());
        Box::pin(async move {
            // Read each time: it changes with the networks that a machine is in.
            let servers = if named.is_empty() { blocking(dns::of_this_machine)?.into() } else { named };
            dns::services(&servers, &name).await
        })
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
