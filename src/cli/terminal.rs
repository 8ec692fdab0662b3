//! Passwords, typed unseen or from stdin.

use super::Failure;
use crate::accounts::Password;
use crate::limits::PASSWORD_MAX;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

/// A new password: the first line of stdin, or typed twice on the terminal.
pub(super) fn new_password(from_stdin: bool, name: &str) -> Result<Password, Failure> {
    if from_stdin {
        let line = line(io::stdin().lock()).map_err(|error| Failure::because(format!("stdin: {error}")))?;
        return checked(line);
    }
    let no_terminal = |error: io::Error| {
        Failure::because(format!("no terminal to ask for the password ({error}); use --password-stdin"))
    };
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let first = checked(ask(&terminal, &format!("Password of {name}: ")).map_err(no_terminal)?)?;
    let again = ask(&terminal, "Again: ").map_err(no_terminal)?;
    if checked(again)? == first {
        Ok(first)
    } else {
        Err(Failure::because("the two are not the same; nothing was changed"))
    }
}

fn checked(line: String) -> Result<Password, Failure> {
    Password::try_from(line).map_err(|bad| Failure::because(bad.0))
}

/// The first line without its end, a little more than a password may have at most.
fn line(from: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(PASSWORD_MAX as u64 + 8)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// A line typed unseen.
pub(super) fn ask(mut terminal: &File, prompt: &str) -> io::Result<String> {
    let unseen = Unseen::new(terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    let line = line(terminal);
    drop(unseen);
    terminal.write_all(b"\n")?;
    line
}

/// What is typed is not shown as long as this lives.
struct Unseen<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Unseen<'t> {
    fn new(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &unseen)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(self.terminal, OptionalActions::Flush, &self.before) {
            eprintln!("feedd: the terminal: {error}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_ends() {
        for (text, expected) in [("a b\r\nc\n", "a b"), ("a", "a"), ("", ""), ("\n", ""), (" a \n", " a ")] {
            assert_eq!(line(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
        let endless = io::repeat(b'a');
        assert!(Password::try_from(line(endless).unwrap()).is_err());
    }
}
