//! Opening a connection to a peer: names are looked up each time, every address is tried.

use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How long looking up the name, and connecting to one address, may take each.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to `address`, `host:port`. The error is that of the last address tried.
pub(super) async fn dial(address: &str) -> io::Result<TcpStream> {
    let addresses = timeout(PATIENCE, lookup_host(address)).await.map_err(|_| timed_out("looking up"))??;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Commands are batched here already; waiting for more would only delay them.
                stream.set_nodelay(true)?;
                // An idle feed finds out in the end that its peer has vanished without a word.
                rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = timed_out("connecting"),
        }
    }
    Err(last)
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took too long"))
}
