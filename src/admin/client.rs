//! The commands' end of the control socket.

use super::protocol::{Request, Response};
use super::socket;
use crate::intake::ImportRules;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Asks the site whose data is in `data`; none when it does not run. Waits as long as the answer takes.
pub fn ask(data: &Path, request: &Request) -> io::Result<Option<Response>> {
    let Some(stream) = send(data, request)? else { return Ok(None) };
    let mut line = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut line)?;
    if line.is_empty() { Err(ended()) } else { Ok(Some(serde_json::from_slice(&line)?)) }
}

/// Asks for something that takes long: `told` has how far it is, and the last answer is given back.
pub fn follow(data: &Path, request: &Request, mut told: impl FnMut(String)) -> io::Result<Option<Response>> {
    let Some(stream) = send(data, request)? else { return Ok(None) };
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(ended());
        }
        match serde_json::from_slice(&line)? {
            Response::Progress(text) => told(text),
            last => return Ok(Some(last)),
        }
    }
}

/// Asks the site to go over to NNTP: the connection that the greeting comes on, or the answer that
/// says why not. None when the site does not run.
pub fn import(data: &Path, rules: &ImportRules) -> io::Result<Option<Result<UnixStream, String>>> {
    let Some(mut stream) = send(data, &Request::Import(rules.clone()))? else {
        return Ok(None);
    };
    // Not an octet further than the newline: the greeting stands behind it.
    let mut line = Vec::new();
    let mut octet = [0];
    while !line.ends_with(b"\n") {
        match stream.read(&mut octet) {
            Ok(0) => return Err(ended()),
            Ok(_) => line.extend_from_slice(&octet),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(match serde_json::from_slice(&line)? {
        Response::Import => Ok(stream),
        Response::Failed(why) => Err(why),
        other => Err(format!("an unexpected answer: {other:?}")),
    }))
}

fn send(data: &Path, request: &Request) -> io::Result<Option<UnixStream>> {
    let Some(mut stream) = socket::connect(data)? else { return Ok(None) };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(Some(stream))
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the site ended the connection")
}
