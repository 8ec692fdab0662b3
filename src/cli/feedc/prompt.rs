//! Asking for a login on the terminal.

use super::super::terminal::ask;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Octets of a name.
const NAME_MAX: u64 = 400;

/// Asks for the login at `host`, or for the password alone. The terminal is asked whatever stdin and
/// stdout are.
pub(super) fn login(host: &str, name: Option<&str>) -> io::Result<(String, String)> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        io::Error::other("a login is wanted and nobody can be asked; use --user NAME --password-file FILE")
    })?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            write!(terminal, "Name at {host}: ")?;
            let mut line = String::new();
            BufReader::new(&terminal).take(NAME_MAX).read_line(&mut line)?;
            line.trim().to_owned()
        }
    };
    if name.is_empty() {
        return Err(io::Error::other("no name was given"));
    }
    let password = ask(&terminal, &format!("Password of {name} at {host}: "))?;
    Ok((name, password))
}
