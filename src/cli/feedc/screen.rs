//! The terminal: what may be shown on it, how wide it is, and the pager.

use super::super::Failure;
use super::super::output::write;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};
use unicode_width::UnicodeWidthChar;

/// The text without what would command a terminal: control characters (escape sequences begin with
/// one), and those that turn the direction of what follows. Line ends and tabs stay.
pub(super) fn safe(text: &str) -> String {
    text.chars().map(|c| if commands(c) && c != '\n' && c != '\t' { '?' } else { c }).collect()
}

/// The same on one line.
pub(super) fn safe_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' || c == '\t' {
                ' '
            } else if commands(c) {
                '?'
            } else {
                c
            }
        })
        .collect()
}

fn commands(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text cut to so many columns, with `…` or `...` for what is gone.
pub(super) fn cut(text: &str, columns: usize, unicode: bool) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "..." };
    let room = columns.saturating_sub(width(mark));
    let mut taken = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken <= room
        })
        .collect();
    if columns < width(mark) { kept } else { kept + mark }
}

/// The text cut or filled to exactly so many columns.
pub(super) fn fitted(text: &str, columns: usize, unicode: bool) -> String {
    let text = cut(text, columns, unicode);
    let blanks = columns.saturating_sub(width(&text));
    text + &" ".repeat(blanks)
}

/// Columns of the terminal that stdout is; none when it is none.
pub(super) fn columns() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    Some(size.filter(|columns| *columns > 0).unwrap_or(80))
}

/// Does the locale show more than US-ASCII (POSIX: LC_ALL, LC_CTYPE, LANG, the first that is set)?
pub(super) fn unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| std::env::var(name).ok());
    let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_ascii_uppercase();
    locale.contains("UTF-8") || locale.contains("UTF8")
}

/// Shows a text: by $PAGER if stdout is a terminal and the user has one, else as it is.
pub(super) fn page(text: &str) -> Result<(), Failure> {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let Some(pager) = pager.filter(|_| io::stdout().is_terminal()) else {
        return write(text.as_bytes());
    };
    let failed = |error: io::Error| Failure::because(format!("$PAGER, {pager}: {error}"));
    let mut command = Command::new("sh");
    command.arg("-c").arg(&pager).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Short texts stay on the screen.
        command.env("LESS", "FRX");
    }
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever leaves the pager has seen enough.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait().map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(safe("a\x1b[2J\tb\nc\r\u{9b}31m\u{202e}d\u{7f}ü"), "a?[2J\tb\nc??31m?d?ü");
        assert_eq!(safe_line("a\tb\nc\x07"), "a b c?");
    }

    #[test]
    fn texts_fit_their_columns() {
        for (text, columns, cut_text) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, columns, true), cut_text);
            assert_eq!(width(&fitted(text, columns, true)), columns);
        }
        assert_eq!(cut("abcdef", 5, false), "ab...");
        assert_eq!(fitted("ü", 3, true), "ü  ");
    }
}
