//! Times of the week: `"22:00-06:00"`, `"Mon-Fri 22:00-06:00"`, `"Sat,Sun 00:00-24:00"`.

use crate::config::Window;
use crate::config::document::Section;

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const EVERY_DAY: u8 = 0b111_1111;

/// The windows under `key`; empty: always.
pub(super) fn read(block: &Section<'_, '_>, key: &str) -> Vec<Window> {
    const EXAMPLE: &str = "[\"Mon-Fri 22:00-06:00\", \"Sat,Sun 00:00-24:00\"]";
    let Some(texts) = block.one_or_more_texts(key, EXAMPLE) else { return Vec::new() };
    if let ([], Some(at)) = (texts.as_slice(), block.position(key)) {
        block.mistake(
            at,
            format!("\"{key}\" is empty: the peer would never be dialled"),
            "remove the key for always",
        );
    }
    let mut windows = Vec::new();
    for text in texts {
        match parse(text.value) {
            Some(window) => windows.push(window),
            None => block.mistake(
                text.at,
                format!("\"{}\" is no time of the week", text.value),
                format!("write {key} = {EXAMPLE}"),
            ),
        }
    }
    windows
}

fn parse(text: &str) -> Option<Window> {
    let text = text.trim().to_ascii_lowercase();
    let (days, times) = match text.rsplit_once(char::is_whitespace) {
        Some((days, times)) => (self::days(days)?, times),
        None => (EVERY_DAY, text.as_str()),
    };
    let (from, to) = times.split_once('-')?;
    let (from_min, to_min) = (minute(from)?, minute(to)?);
    // Midnight at the end is 24:00; a window that begins then begins on the next day.
    (from_min < 1440 && from_min != to_min).then_some(Window { days, from_min, to_min })
}

/// Days by their names or the first three letters of them, and ranges of days, which may pass Sunday.
fn days(text: &str) -> Option<u8> {
    let index = |name: &str| DAYS.iter().position(|day| name.len() >= 3 && day.starts_with(name));
    let mut days = 0_u8;
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (index(first)?, index(last)?);
        days |= 1 << day;
        while day != last {
            day = (day + 1) % DAYS.len();
            days |= 1 << day;
        }
    }
    Some(days)
}

/// `HH:MM` up to 24:00, in minutes.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two = |text: &str| {
        (text.len() <= 2 && text.bytes().all(|octet| octet.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60 && (hours < 24 || (hours, minutes) == (24, 0))).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_days_and_times() {
        let window = |days, from_min, to_min| Some(Window { days, from_min, to_min });
        for (text, expected) in [
            ("22:00-06:00", window(EVERY_DAY, 1320, 360)),
            ("Mon-Fri 22:00-06:00", window(0b001_1111, 1320, 360)),
            ("sat,sun 00:00-24:00", window(0b110_0000, 0, 1440)),
            ("Sat-Mon 1:30-2:00", window(0b110_0001, 90, 120)),
            ("Wednesday 08:00-9:00", window(0b000_0100, 480, 540)),
            ("", None),
            ("22:00", None),
            ("22:00-25:00", None),
            ("22:00-22:00", None),
            ("24:00-06:00", None),
            ("Foo 22:00-23:00", None),
            ("Mon- 22:00-23:00", None),
            ("+1:00-2:00", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
