//! What commands print: lines, tables, JSON.

use super::Failure;
use serde::Serialize;
use std::io::{self, Write};

/// Prints `text` and a newline to stdout.
pub(super) fn say(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut line = text.as_ref().to_owned();
    line.push('\n');
    write(line.as_bytes())
}

/// Writes octets to stdout at once.
pub(super) fn write(octets: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(octets).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::because(format!("stdout: {error}")),
    })
}

/// Prints a value as JSON, indented.
pub(super) fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::because(error.to_string()))?;
    say(harmless(&text))
}

/// Prints a value as one line of JSON.
pub(super) fn say_json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::because(error.to_string()))?;
    say(harmless(&text))
}

/// JSON whose strings command no terminal: JSON itself lets DEL and the controls behind it stand.
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// A table with a heading: columns as wide as their widest cell, numbers to the right. Cells come from
/// peers and articles: what would move the cursor is shown as a blank.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let clean = |cell: &str| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut lines: Vec<Vec<String>> = vec![heading.iter().map(|cell| (*cell).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()));
    let number =
        |cell: &str| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || ".,- ".contains(c));
    let columns: Vec<(usize, bool)> = (0..heading.len())
        .map(|column| {
            let cells = || lines.iter().filter_map(|line| line.get(column));
            let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
            (width, cells().skip(1).all(|cell| number(cell)) && lines.len() > 1)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&columns)
            .map(
                |(cell, (width, right))| {
                    if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

/// A count with its noun: `1 peer`, `2 peers`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Octets for people: `512 B`, `3.4 MiB`.
pub(super) fn size(octets: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = octets;
    let mut tenths = 0;
    while rest >= 1024 && unit + 1 < UNITS.len() {
        tenths = (rest % 1024) * 10 / 1024;
        rest /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{octets} B") } else { format!("{rest}.{tenths} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_stay_on_their_lines() {
        let rows = [
            vec!["a.b".to_owned(), "7".to_owned()],
            vec!["long\x1b[2J\nname".to_owned(), "12345".to_owned()],
        ];
        assert_eq!(
            table(&["name", "count"], &rows),
            "name           count\na.b                7\nlong [2J name  12345"
        );
        assert_eq!(table(&["name", "count"], &[]), "name  count");
    }

    #[test]
    fn json_commands_no_terminal() {
        let json = serde_json::to_string(&["a\u{9b}31m\x7f\x1b\n"]).unwrap_or_default();
        assert_eq!(harmless(&json), r#"["a\u009b31m\u007f\u001b\n"]"#);
    }

    #[test]
    fn sizes_read_well() {
        for (octets, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(octets), text);
        }
    }
}
