//! Lines in the making.

use crate::clock::Timestamp;
use chrono::{DateTime, Datelike, Timelike};

/// Whole lines, formatted by whoever has something to say, to be handed over together. The date of a
/// second is worked out once.
#[derive(Debug, Default)]
pub struct Lines {
    pub(super) text: Vec<u8>,
    /// The second of `civil`.
    second: Option<i64>,
    civil: [u8; 19],
}

/// The names of months in INN's log.
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Lines {
    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// `2026-08-25T13:37:41.839Z`.
    pub(super) fn iso(&mut self, at: Timestamp) {
        self.civil(at.unix_s());
        self.text.extend_from_slice(&self.civil);
        self.milliseconds(at);
        self.text.push(b'Z');
    }

    /// `Aug 25 13:37:41.839`, UTC.
    pub(super) fn inn(&mut self, at: Timestamp) {
        self.civil(at.unix_s());
        let civil = self.civil;
        let digit = |at: usize| usize::from(civil[at].wrapping_sub(b'0'));
        let month = (digit(5) * 10 + digit(6)).saturating_sub(1);
        self.text.extend_from_slice(MONTHS.get(month).copied().unwrap_or(b"Jan"));
        self.text.push(b' ');
        self.text.push(if civil[8] == b'0' { b' ' } else { civil[8] });
        self.text.push(civil[9]);
        self.text.push(b' ');
        self.text.extend_from_slice(&civil[11..]);
        self.milliseconds(at);
    }

    fn milliseconds(&mut self, at: Timestamp) {
        let ms = at.unix_ms().rem_euclid(1000) as u64;
        self.text.extend_from_slice(&[
            b'.',
            b'0' + (ms / 100) as u8,
            b'0' + (ms / 10 % 10) as u8,
            b'0' + (ms % 10) as u8,
        ]);
    }

    /// Makes `civil` the date of this second, `2026-08-25T13:37:41`.
    fn civil(&mut self, second: i64) {
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        let at = DateTime::from_timestamp(second, 0).unwrap_or(DateTime::UNIX_EPOCH);
        self.civil = *b"0000-00-00T00:00:00";
        let mut put = |at: usize, digits: usize, number: u32| {
            let mut number = number;
            for place in (at..at + digits).rev() {
                self.civil[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0, 4, at.year().clamp(0, 9999).unsigned_abs());
        put(5, 2, at.month());
        put(8, 2, at.day());
        put(11, 2, at.hour());
        put(14, 2, at.minute());
        put(17, 2, at.second());
    }

    /// A word of its own: nothing in it may end it, and there is one.
    pub(super) fn word(&mut self, text: &str) {
        if text.is_empty() {
            self.text.push(b'?');
        }
        self.text.extend(text.bytes().map(|octet| if octet <= b' ' || octet == 0x7f { b'_' } else { octet }));
    }

    /// Text up to the end of the line: nothing in it may end the line.
    pub(super) fn rest(&mut self, text: &str) {
        self.text.extend(text.bytes().map(|octet| if octet < b' ' || octet == 0x7f { b' ' } else { octet }));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for ms in [0, 951_782_399_999, 1_788_180_001_839, 1_788_266_401_007, -1, 4_102_444_800_000] {
            let at = Timestamp::from_unix_ms(ms);
            let known = DateTime::from_timestamp_millis(ms).unwrap();
            let mut lines = Lines::default();
            lines.iso(at);
            lines.text.push(b'|');
            lines.inn(at);
            assert_eq!(
                String::from_utf8(lines.text).unwrap(),
                format!("{}|{}", known.format("%Y-%m-%dT%H:%M:%S%.3fZ"), known.format("%b %e %H:%M:%S%.3f"))
            );
        }
    }

    #[test]
    fn nothing_from_outside_ends_a_line_or_a_word() {
        let mut lines = Lines::default();
        lines.word("a b\r\n\x7f");
        lines.word("");
        lines.text.push(b' ');
        lines.rest("c d\r\n\x1b[2J");
        assert_eq!(lines.text, b"a_b___? c d   [2J");
    }
}
