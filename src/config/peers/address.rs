//! Where a peer is dialled, through which proxy, and from where it may connect.

use crate::config::document::{At, Section};
use crate::config::{DialAddress, Network, Source};
use std::net::IpAddr;

const EXAMPLES: &str = "write a host with or without a port: \"news.example.net\", \"news.example.net:119\", \
                        \"192.0.2.7:119\", \"[2001:db8::7]:119\"";

/// An address to dial; none, and a mistake, when it is none.
pub(super) fn dial_address(block: &Section<'_, '_>, text: &At<&str>) -> Option<DialAddress> {
    match parse(text.value) {
        Ok(address) => Some(address),
        Err(what) => {
            block.mistake(text.at, format!("\"{}\" is no address to dial: {what}", text.value), EXAMPLES);
            None
        }
    }
}

/// A proxy: `socks5://HOST:PORT`.
pub(super) fn proxy(block: &Section<'_, '_>, key: &str) -> Option<DialAddress> {
    const EXAMPLE: &str = "\"socks5://127.0.0.1:9050\"";
    let text = block.text(key, EXAMPLE)?;
    let rest = text.value.strip_prefix("socks5://").or_else(|| text.value.strip_prefix("socks5h://"));
    let bad = |what: &str| {
        let said = format!("\"{}\" is no proxy: {what}", text.value);
        block.mistake(text.at, said, format!("write {key} = {EXAMPLE}"));
        None
    };
    match rest.map(|rest| parse(rest.trim_end_matches('/'))) {
        None => bad("it does not begin with socks5://"),
        Some(Err(what)) => bad(what),
        Some(Ok(DialAddress { port: None, .. })) => bad("it has no port"),
        Some(Ok(address)) => Some(address),
    }
}

/// `HOST`, `HOST:PORT`, `ADDRESS`, `[ADDRESS]:PORT`; or what is wrong with it.
fn parse(text: &str) -> Result<DialAddress, &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']').ok_or("the ] is missing")?;
            if address.parse::<IpAddr>().is_err() {
                return Err("there is no address in the brackets");
            }
            match behind.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None if behind.is_empty() => (address, None),
                None => return Err("a : is missing behind the ]"),
            }
        }
        None if text.parse::<IpAddr>().is_ok() => (text, None),
        None if text.matches(':').count() > 1 => {
            return Err("an IPv6 address with a port stands in brackets");
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port.map(str::parse::<u16>) {
        Some(Ok(0) | Err(_)) => return Err("its port is not a number from 1 to 65535"),
        Some(Ok(port)) => Some(port),
        None => None,
    };
    let host = match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) if is_host_name(host) => host.to_owned(),
        Err(_) => return Err("it has no host name"),
    };
    Ok(DialAddress { host, port })
}

/// Where the host of an address may connect from.
pub(super) fn source_of(address: &DialAddress) -> Source {
    match address.host.parse::<IpAddr>() {
        Ok(address) => Source::Network(Network::host(address)),
        Err(_) => Source::Host(address.host.clone()),
    }
}

/// What stands in `accept_from`.
pub(super) fn sources(block: &Section<'_, '_>, text: &At<&str>) -> Vec<Source> {
    match Network::parse(text.value) {
        Ok(networks) => networks.into_iter().map(Source::Network).collect(),
        Err(_) if is_host_name(text.value) => vec![Source::Host(text.value.to_owned())],
        Err(bad) => {
            block.mistake(text.at, bad.what, format!("{}, or a host name", bad.cure));
            Vec::new()
        }
    }
}

/// A host name (RFC 1123 s.2.1), which an address misspelt (`192.0.2`, `10.0.0.256`) is not.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    let last_is_a_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()));
    text.len() <= 253 && !last_is_a_number && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_or_without_a_port() {
        for (text, host, port) in [
            ("news.example.net:119", "news.example.net", Some(119)),
            ("news.example.net", "news.example.net", None),
            ("192.0.2.7:563", "192.0.2.7", Some(563)),
            ("2001:db8::7", "2001:db8::7", None),
            ("[2001:DB8::7]:119", "2001:db8::7", Some(119)),
            ("abc.onion:119", "abc.onion", Some(119)),
        ] {
            let expected = DialAddress { host: host.to_owned(), port };
            assert_eq!(parse(text), Ok(expected.clone()), "{text}");
            assert_eq!(parse(&expected.to_string()), Ok(expected), "{text}");
        }
        for text in
            ["", ":119", "a:0", "a:b", "a:70000", "[::1", "[a]:1", "[::1]1", "a b:1", "10.0.0.256:1", "::1:x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
