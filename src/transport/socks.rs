//! The way through a SOCKS5 proxy (RFC 1928), without a login: for Tor, i2p, and networks that let nothing
//! else out. The proxy looks up names, so that nobody else learns where we go.

use super::Transport;
use bytes::{Buf, BytesMut};
use std::io::ErrorKind;
use std::net::IpAddr;

/// Has the proxy at the other end connect to a host. What the host has said already is left over.
///
/// # Errors
/// The proxy cannot or does not want to, or is none; one line.
pub(crate) async fn connect(transport: &mut Transport, host: &str, port: u16) -> Result<BytesMut, String> {
    let mut input = BytesMut::new();
    // s.3: version 5, one method, no authentication.
    send(transport, &[5, 1, 0]).await?;
    receive(transport, &mut input, 2).await?;
    match (input.get_u8(), input.get_u8()) {
        (5, 0) => {}
        (5, _) => return Err("the proxy wants a login".to_owned()),
        _ => return Err("the proxy does not speak SOCKS5".to_owned()),
    }
    // s.4: CONNECT.
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length =
                u8::try_from(host.len()).map_err(|_| "the name is too long for the proxy".to_owned())?;
            request.extend_from_slice(&[3, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    send(transport, &request).await?;
    // s.6: the reply, whose address nobody needs.
    receive(transport, &mut input, 5).await?;
    let (version, reply, kind, length) = (input[0], input[1], input[3], input[4]);
    if version != 5 {
        return Err("the proxy does not speak SOCKS5".to_owned());
    }
    if reply != 0 {
        return Err(format!("the proxy cannot reach it: {}", words(reply)));
    }
    let address = match kind {
        1 => 4,
        4 => 16,
        3 => 1 + usize::from(length),
        _ => return Err("the proxy's reply is none of SOCKS5".to_owned()),
    };
    let whole = 4 + address + 2;
    receive(transport, &mut input, whole).await?;
    input.advance(whole);
    Ok(input)
}

/// The reply's words (s.6).
fn words(reply: u8) -> String {
    match reply {
        1 => "general failure".to_owned(),
        2 => "not allowed by its rules".to_owned(),
        3 => "network unreachable".to_owned(),
        4 => "host unreachable".to_owned(),
        5 => "connection refused".to_owned(),
        6 => "time to live expired".to_owned(),
        7 => "it does not connect".to_owned(),
        8 => "kind of address not supported".to_owned(),
        other => format!("reply {other}"),
    }
}

async fn send(transport: &mut Transport, octets: &[u8]) -> Result<(), String> {
    let mut sent = 0;
    while let Some(rest) = octets.get(sent..).filter(|rest| !rest.is_empty()) {
        match transport.write(rest) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                transport.writable().await.map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Reads until there are so many octets; there may be more.
async fn receive(transport: &mut Transport, input: &mut BytesMut, octets: usize) -> Result<(), String> {
    while input.len() < octets {
        // A read whose task has had its turn says so like one that finds nothing.
        tokio::task::consume_budget().await;
        transport.readable().await.map_err(|error| error.to_string())?;
        match transport.read_now(input).await {
            Ok(0) => return Err("closed by the proxy".to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
