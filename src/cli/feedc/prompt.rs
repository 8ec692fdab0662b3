//! Asking for a login on the terminal, without showing the password.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

/// Octets of a name or a password.
const ANSWER_MAX: u64 = 400;
/// What keys send.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

/// Asks for the login at `host`, or for the password alone. The terminal is asked whatever stdin and
/// stdout are.
pub(super) fn login(host: &str, name: Option<&str>) -> io::Result<(String, String)> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        io::Error::other(
            "the server wants a login and nobody can be asked; use --user NAME --password-file FILE",
        )
    })?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => line(&terminal, &format!("name at {host}: "))?,
    };
    let password = hidden(&terminal, &format!("password of {name} at {host}: "))?;
    Ok((name, password))
}

/// The terminal's ways, put back whatever happens.
struct Quiet<'a>(&'a File, Termios);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nothing else to be done about it.
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

/// A line that is typed, with the terminal's own editing.
fn line(mut terminal: &File, question: &str) -> io::Result<String> {
    terminal.write_all(question.as_bytes())?;
    let mut line = String::new();
    BufReader::new(terminal).take(ANSWER_MAX).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// A line that is typed and not shown.
fn hidden(mut terminal: &File, question: &str) -> io::Result<String> {
    terminal.write_all(question.as_bytes())?;
    let before = tcgetattr(terminal)?;
    let mut quiet = before.clone();
    // Ctrl-C comes as an octet: a signal would leave the terminal mute.
    quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
    let _restored = Quiet(terminal, before);
    tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
    let mut answer = Vec::new();
    for octet in BufReader::new(terminal).take(ANSWER_MAX).bytes() {
        match octet? {
            b'\r' | b'\n' => break,
            CTRL_C | CTRL_D => {
                terminal.write_all(b"\n")?;
                return Err(io::Error::other("no login was given"));
            }
            CTRL_U => answer.clear(),
            BACKSPACE | DELETE => {
                answer.pop();
            }
            octet => answer.push(octet),
        }
    }
    terminal.write_all(b"\n")?;
    String::from_utf8(answer).map_err(|_| io::Error::other("what was typed is not UTF-8"))
}
