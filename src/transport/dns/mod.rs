//! Questions to name servers (RFC 1035): for SRV records, which no call of the operating system asks for,
//! and for all names where the operator has said which servers to ask.
//!
//! A stub: the servers do the work, nothing is remembered here, and every answer is asked for anew. The
//! servers are asked in turn, twice, and five seconds are enough for all of it. Over UDP, and over TCP what
//! is too long for UDP.

pub mod message;

use super::service::ServiceRecord;
use crate::limits::{DNS_PORT, NAME_SERVERS_MAX};
use crate::random;
use message::{Answer, Found, Kind};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Where this machine's are named (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How often each is asked.
const ROUNDS: usize = 2;
/// How long one server has for one answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long all of them have together.
const WHOLE: Duration = Duration::from_secs(5);
/// How long the addresses of the other family have when those of one are there.
const OTHER_FAMILY: Duration = Duration::from_millis(250);
/// Octets of an answer over UDP that are taken; 512 are asked for (RFC 1035 s.4.2.1).
const DATAGRAM_MAX: usize = 4096;

/// The servers that this machine asks.
///
/// # Errors
/// The file that names them cannot be read, or names none that can be asked.
pub(super) fn of_this_machine() -> io::Result<Vec<SocketAddr>> {
    match fs::read_to_string(RESOLV_CONF) {
        Ok(text) => named(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => named(""),
        Err(error) => Err(io::Error::new(error.kind(), format!("{RESOLV_CONF}: {error}"))),
    }
}

/// The servers that a text in the form of resolv.conf(5) names: this machine, if it names none.
fn named(text: &str) -> io::Result<Vec<SocketAddr>> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten().map(str::to_owned)
    };
    let texts: Vec<String> = text.lines().filter_map(server).collect();
    if texts.is_empty() {
        return Ok(vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()]);
    }
    // One of a link (fe80::1%eth0) is left out.
    let servers: Vec<SocketAddr> =
        texts.iter().filter_map(|text| Some((text.parse::<IpAddr>().ok()?, DNS_PORT).into())).collect();
    if servers.is_empty() {
        return Err(io::Error::other(format!("{RESOLV_CONF} names no server that can be asked")));
    }
    Ok(servers)
}

/// The SRV records at `name`; none: there are none, and perhaps not even the name.
pub(super) async fn services(servers: &[SocketAddr], name: &str) -> io::Result<Vec<ServiceRecord>> {
    let found = ask(servers, name, Kind::Service).await?;
    Ok(found.into_iter().filter_map(Found::into_service).collect())
}

/// The addresses of a host, those of IPv6 first; none: it has none, or there is no such name.
///
/// # Errors
/// Nobody has answered for one family, and the other has no address.
pub(super) async fn addresses(servers: &[SocketAddr], host: &str) -> io::Result<Vec<IpAddr>> {
    let host = host.trim_end_matches('.');
    let (mut six, mut four) = (pin!(ask(servers, host, Kind::V6)), pin!(ask(servers, host, Kind::V4)));
    let (six, four) = tokio::select! {
        biased;
        found = &mut six => {
            let rest = rest(&found, four).await;
            (found, rest)
        }
        found = &mut four => (rest(&found, six).await, found),
    };
    let mut addresses = Vec::new();
    let mut failed = None;
    for found in [six, four] {
        match found {
            Ok(found) => addresses.extend(found.into_iter().filter_map(Found::into_address)),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if addresses.is_empty() => Err(error),
        _ => Ok(addresses),
    }
}

/// What is found of the other family; where the first has addresses it is not waited for long (RFC 8305
/// s.3): there are name servers that never answer for IPv6.
async fn rest(
    first: &io::Result<Vec<Found>>,
    other: impl Future<Output = io::Result<Vec<Found>>>,
) -> io::Result<Vec<Found>> {
    if first.as_ref().is_ok_and(|found| !found.is_empty()) {
        timeout(OTHER_FAMILY, other).await.unwrap_or_else(|_| Ok(Vec::new()))
    } else {
        other.await
    }
}

/// Asks one server after the other until one answers.
async fn ask(servers: &[SocketAddr], name: &str, kind: Kind) -> io::Result<Vec<Found>> {
    let mut last = io::Error::other("there is no name server to ask");
    let all = async {
        for _ in 0..ROUNDS {
            for server in servers.iter().take(NAME_SERVERS_MAX) {
                last = match timeout(ANSWER, ask_one(*server, name, kind)).await {
                    Ok(Ok(found)) => return Some(found),
                    Ok(Err(error)) => {
                        io::Error::new(error.kind(), format!("the name server {}: {error}", shown(*server)))
                    }
                    Err(_) => silent(*server),
                };
            }
        }
        None
    };
    match timeout(WHOLE, all).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(last),
        Err(_) => Err(servers.first().map_or(last, |server| silent(*server))),
    }
}

fn silent(server: SocketAddr) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("the name server {} does not answer", shown(server)))
}

/// Without the port that all of them have.
fn shown(server: SocketAddr) -> String {
    if server.port() == DNS_PORT { server.ip().to_string() } else { server.to_string() }
}

/// Asks one server once.
async fn ask_one(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Vec<Found>> {
    // Not to be guessed by who would answer in the server's place (RFC 5452 s.4.3); nor is the port.
    let mut id = [0; 2];
    random::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let id = u16::from_be_bytes(id);
    let question = message::question(id, name, kind)?;
    let own: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).await?;
    // From nobody else anything is taken.
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut octets = vec![0; DATAGRAM_MAX];
    loop {
        let count = socket.recv(&mut octets).await?;
        let datagram = octets.get(..count).unwrap_or_default();
        match message::answer(datagram, id, name, kind) {
            Answer::Found(found) => return Ok(found),
            Answer::Failed(why) => return Err(io::Error::other(why)),
            Answer::Truncated => break,
            // Late, or forged: the right one may still come.
            Answer::Another => {}
        }
    }
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await?;
    let mut octets = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut octets).await?;
    match message::answer(&octets, id, name, kind) {
        Answer::Found(found) => Ok(found),
        Answer::Failed(why) => Err(io::Error::other(why)),
        Answer::Truncated | Answer::Another => Err(io::Error::other("its answer over TCP is none")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_this_machine_names_the_servers() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 \n\
                    nameserver fe80::1%eth0\nnameservers 192.0.2.8\n";
        let expected: Vec<SocketAddr> =
            vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(named(text).unwrap(), expected);
        assert_eq!(named("options rotate\n").unwrap(), ["127.0.0.1:53".parse().unwrap()]);
        assert!(named("nameserver fe80::1%eth0\n").is_err());
    }
}
