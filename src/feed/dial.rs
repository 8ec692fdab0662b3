//! Opening a connection to a peer: names are looked up each time, every address is tried, and TLS from
//! the first octet begins here. What is to be done before articles are offered goes along.
//!
//! An address without a port is that of the servers that its SRV records name, if it has any. By TLS the
//! name that the operator has written is verified all the same, and not theirs: whoever can forge records
//! can forge those as well (RFC 9525 s.6.1, the source domain).

use crate::config::{Dial, DialAddress, DialTls};
use crate::session::sender::Opening;
use crate::tls::client::{Handshake, HandshakeError, OwnCertificate, Verification};
use crate::transport::{Network, Place, Service, Transport, reach, socks};
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use tracing::debug;

/// How long a proxy may take: a circuit through Tor is made first.
const PROXY: Duration = Duration::from_secs(60);
/// The port of a SOCKS proxy that is named without one (RFC 1928).
const SOCKS_PORT: u16 = 1080;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// A connection that has been opened, and what is left to be done on it.
pub(super) struct Dialled {
    pub(super) transport: Transport,
    pub(super) opening: Opening,
    /// What the peer has said already.
    pub(super) early: BytesMut,
    /// By what the peer is verified where TLS begins behind STARTTLS.
    pub(super) upgrade: Option<Upgrade>,
}

/// TLS behind STARTTLS.
pub(super) struct Upgrade {
    host: String,
    verification: Verification,
}

/// Connects to a peer. The error is that of the last address tried, one line.
pub(super) async fn dial(
    network: &dyn Network,
    dial: &Dial,
    own: Option<&OwnCertificate>,
) -> Result<Dialled, String> {
    let login = match (&dial.user, &dial.password_file) {
        (Some(user), Some(file)) => Some((user.clone(), password(file)?)),
        _ => None,
    };
    let verification = verification(dial);
    let mut last = String::from("there is no address to dial");
    for address in &dial.addresses {
        let Connected { mut transport, to: remote, early } = match connect(network, dial, address).await {
            Ok(connected) => connected,
            Err(why) => {
                last = format!("{address}: {why}");
                continue;
            }
        };
        if dial.tls == DialTls::Implicit && !early.is_empty() {
            last = format!("{address}: octets came before TLS");
            continue;
        }
        if dial.tls == DialTls::Implicit
            && let Err(error) = start_tls(&mut transport, &address.host, &verification, true, own).await
        {
            last = format!("{address}: {error}");
            continue;
        }
        let in_clear_to_ourselves = dial.tls == DialTls::Off && remote.ip().is_loopback();
        let opening = Opening {
            start_tls: dial.tls == DialTls::StartTls,
            login,
            // Between processes of one host it only costs.
            compress: dial.compress && (dial.proxy.is_some() || !in_clear_to_ourselves),
            turn: false,
            sync: false,
        };
        let upgrade = opening.start_tls.then(|| Upgrade { host: address.host.clone(), verification });
        return Ok(Dialled { transport, opening, early, upgrade });
    }
    Err(last)
}

impl From<Transport> for Dialled {
    /// One that the peer has opened, and on which it is the server now.
    fn from(transport: Transport) -> Self {
        Self { transport, opening: Opening::default(), early: BytesMut::new(), upgrade: None }
    }
}

impl Upgrade {
    /// Begins TLS on a connection whose STARTTLS has been answered.
    pub(super) async fn start(
        &self,
        transport: &mut Transport,
        own: Option<&OwnCertificate>,
    ) -> Result<(), String> {
        start_tls(transport, &self.host, &self.verification, false, own)
            .await
            .map_err(|error| format!("{}: {error}", self.host))
    }
}

/// A connection, where it went, and what has come over it already.
struct Connected {
    transport: Transport,
    to: SocketAddr,
    early: BytesMut,
}

/// Connects to one of the addresses, by way of the proxy if there is one.
async fn connect(network: &dyn Network, dial: &Dial, address: &DialAddress) -> Result<Connected, String> {
    let place = address.port.map_or(Place::Service(service(dial.tls)), Place::Port);
    let Some(proxy) = &dial.proxy else {
        let reached = reach(network, &address.host, place).await.map_err(|why| why.to_string())?;
        if let Some((server, port)) = &reached.server {
            let (to, host) = (reached.to, &address.host);
            debug!(target: "feedd::feed", host, server, port, %to, "connected by way of an SRV record");
        }
        return Ok(Connected { transport: reached.transport, to: reached.to, early: BytesMut::new() });
    };
    let at = Place::Port(proxy.port.unwrap_or(SOCKS_PORT));
    let reached = reach(network, &proxy.host, at).await.map_err(|why| format!("the proxy {proxy}: {why}"))?;
    let mut transport = reached.transport;
    // It looks up the name, and knows no SRV records.
    let asked = timeout(PROXY, socks::connect(&mut transport, &address.host, place.port())).await;
    let early = asked.map_err(|_| "the proxy took too long".to_owned())??;
    Ok(Connected { transport, to: reached.to, early })
}

/// The service of a peer that is dialled so.
pub fn service(tls: DialTls) -> Service {
    match tls {
        DialTls::Implicit => Service::Nntps,
        DialTls::Off | DialTls::StartTls => Service::Nntp,
    }
}

async fn start_tls(
    transport: &mut Transport,
    host: &str,
    verification: &Verification,
    alpn: bool,
    own: Option<&OwnCertificate>,
) -> Result<(), HandshakeError> {
    let (connection, why) = Handshake::new(host, verification, alpn, own)?.into_parts();
    match timeout(HANDSHAKE, transport.start_tls(connection.into())).await {
        Ok(done) => done.map_err(why),
        Err(_) => Err(HandshakeError::Io(io::Error::new(io::ErrorKind::TimedOut, "TLS took too long"))),
    }
}

fn verification(dial: &Dial) -> Verification {
    match &dial.ca {
        _ if !dial.pins.is_empty() => Verification::Pins(dial.pins.clone()),
        Some(ca) => Verification::CaFile(ca.clone()),
        None => Verification::Authorities,
    }
}

/// The first line of the file.
fn password(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("password file {}: {error}", file.display()))?;
    match text.lines().next().filter(|line| !line.is_empty() && !line.contains('\0')) {
        Some(line) => Ok(line.to_owned()),
        None => Err(format!("password file {}: there is no password in its first line", file.display())),
    }
}
