//! Colours and redrawing where stdout is a terminal; plain text elsewhere.

use super::super::Failure;
use super::super::output::{say, write};
use std::io::IsTerminal;

/// How stdout likes it.
pub(super) struct Screen {
    terminal: bool,
    colours: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        // https://no-color.org: any value but the empty one.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal, colours: terminal && wanted }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn cyan(&self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Puts `new` where `old` stands at the end of the screen, or behind it.
    pub(super) fn redraw(&self, old: &str, new: &str) -> Result<(), Failure> {
        if self.terminal && !old.is_empty() {
            // Up to the old text's first line, and clear to the end of the screen.
            write(format!("\x1b[{}F\x1b[J", old.lines().count()).as_bytes())?;
        }
        say(new)
    }
}
