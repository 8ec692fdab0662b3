//! Dates of header fields (RFC 5536 s.3.1.1, RFC 5322 s.3.3 with its obsolete forms).
//!
//! Read generously, since a relaying agent refuses an article whose Date it cannot read; written
//! in the one form that every reader knows. No clock: a date is only text here.

use crate::clock::Timestamp;
use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Parses a Date field's value: RFC 5322 with two-digit years, named zones, comments, missing
/// seconds, missing day name; unknown named zones count as UTC (RFC 5322 s.4.3), and so does a
/// missing one. Also `19-Nov-82`, as RFC 850 wrote it. The day name is not compared with the date.
pub fn parse(value: &[u8]) -> Option<Timestamp> {
    let mut scanner = Scanner(value);
    scanner.skip_blanks();
    if !scanner.word().is_empty() {
        scanner.skip_blanks();
        scanner.take(b',');
    }
    let (day, _) = scanner.number(2)?;
    scanner.take(b'-');
    let month = scanner.month()?;
    scanner.take(b'-');
    let year = match scanner.number(4)? {
        // RFC 5322 s.4.3
        (year @ 0..50, 1..=2) => year + 2000,
        (year, 1..=3) => year + 1900,
        (year, _) => year,
    };
    let (hour, _) = scanner.number(2)?;
    let (minute, _) = if scanner.take(b':') { scanner.number(2)? } else { return None };
    let (second, _) = if scanner.take(b':') { scanner.number(2)? } else { (0, 0) };
    let east_s = scanner.zone()?;
    // RFC 5322 s.3.3: years from 1900 on; 60 is a leap second, in this scale the next one.
    if !scanner.is_at_end() || year < 1900 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let day = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    let local_s = midnight + i64::from(hour * 3600 + minute * 60 + second);
    Some(Timestamp::from_unix_s(local_s - i64::from(east_s)))
}

/// What is left of a date. Every method skips the blanks, folds and comments behind what it takes.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// CFWS (RFC 5322 s.3.2.2). A comment that is not closed reaches to the end.
    fn skip_blanks(&mut self) {
        let mut depth = 0_usize;
        while let [octet, rest @ ..] = self.0 {
            match octet {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => {
                    self.0 = rest.get(1..).unwrap_or_default();
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.0 = rest;
        }
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes `octet` if it comes next.
    fn take(&mut self, octet: u8) -> bool {
        let Some(rest) = self.0.strip_prefix(&[octet]) else { return false };
        self.0 = rest;
        self.skip_blanks();
        true
    }

    fn split(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.0.iter().position(|&octet| !belongs(octet)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        self.skip_blanks();
        taken
    }

    /// Letters; none is a word too.
    fn word(&mut self) -> &'a [u8] {
        self.split(|octet| octet.is_ascii_alphabetic())
    }

    /// A number of 1 to `digits_max` digits, and how many there were.
    fn number(&mut self, digits_max: usize) -> Option<(u32, usize)> {
        let digits = self.split(|octet| octet.is_ascii_digit());
        if digits.is_empty() || digits.len() > digits_max {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        Some((value, digits.len()))
    }

    /// A month's name, from 1: its first three letters decide.
    fn month(&mut self) -> Option<u32> {
        let name = self.word().get(..3)?;
        let index = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month.as_bytes()))?;
        u32::try_from(index + 1).ok()
    }

    /// A zone as seconds east of UTC. A name behind an offset (`+0200 MEST`) is a comment without
    /// its parentheses.
    fn zone(&mut self) -> Option<i32> {
        let west = match self.0.first() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ => return Some(named_zone_h(self.word()) * 3600),
        };
        self.0 = &self.0[1..];
        let (value, digits) = self.number(4)?;
        let (hours, minutes) = if digits <= 2 { (value, 0) } else { (value / 100, value % 100) };
        self.word();
        let east_s = i32::try_from(hours * 3600 + minutes * 60).ok()?;
        Some(if west { -east_s } else { east_s })
    }
}

/// Hours east of UTC (RFC 5322 s.4.3). Military zones count as UTC, as that section asks.
fn named_zone_h(name: &[u8]) -> i32 {
    const NAMED: [(&str, i32); 8] = [
        ("EST", -5),
        ("EDT", -4),
        ("CST", -6),
        ("CDT", -5),
        ("MST", -7),
        ("MDT", -6),
        ("PST", -8),
        ("PDT", -7),
    ];
    let known = NAMED.iter().find(|(zone, _)| name.eq_ignore_ascii_case(zone.as_bytes()));
    known.map_or(0, |&(_, hours)| hours)
}

/// Formats a Date field's value, UTC: `Fri, 20 Nov 2026 23:58:00 +0000`.
pub fn format(at: Timestamp) -> String {
    let at = utc(at);
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
        DAYS[at.weekday().num_days_from_monday() as usize],
        at.day(),
        MONTHS[at.month0() as usize],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The 14 digits of DATE (RFC 3977 s.7.1): `yyyymmddhhmmss`, UTC.
pub fn digits(at: Timestamp) -> String {
    let at = utc(at);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The moment, brought into the years that have four digits.
fn utc(at: Timestamp) -> DateTime<Utc> {
    /// 0000-01-01 00:00:00 and 9999-12-31 23:59:59 UTC.
    const RANGE_S: (i64, i64) = (-62_167_219_200, 253_402_300_799);
    DateTime::from_timestamp(at.unix_s().clamp(RANGE_S.0, RANGE_S.1), 0).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seconds(value: &str) -> Option<i64> {
        parse(value.as_bytes()).map(Timestamp::unix_s)
    }

    #[test]
    fn dates_in_use() {
        // 1997-11-21 15:55:06 UTC
        let table = [
            "Fri, 21 Nov 1997 09:55:06 -0600",
            "Fri, 21 Nov 1997 15:55:06 +0000",
            "21 Nov 1997 15:55:06 GMT",
            "21 Nov 97 15:55:06 GMT",
            "21 Nov 1997 15:55:06",
            "21 nov 1997 15:55:06 gmt",
            "Friday, 21-Nov-97 15:55:06 UTC",
            "Friday,21 November 1997 15:55:06 Z",
            "Fri 21 Nov 1997 15:55:06 ut",
            "21 Nov 1997 10:55:06 EST",
            "21 Nov 1997 11:55:06 EDT",
            "21 Nov 1997 09:55:06 CST",
            "21 Nov 1997 10:55:06 CDT",
            "21 Nov 1997 08:55:06 MST",
            "21 Nov 1997 09:55:06 MDT",
            "21 Nov 1997 07:55:06 PST",
            "21 Nov 1997 08:55:06 PDT",
            "21 Nov 1997 15:55:06 XYZZY",
            "21 Nov 1997 15:55:06 A",
            "21 Nov 1997 16:55:06 +0100 (MET)",
            "21 Nov 1997 16:55:06 +0100 MET",
            "21 Nov 1997 16:55:06 +01",
            "21 Nov 1997 05:25:06 -1030",
            "Fri, 21 Nov 1997 09(comment (nested \\) one)):   55  :  06 -0600",
            "\r\n\tFri,\r\n 21\tNov 1997\r\n 15:55:06 GMT(Zulu",
        ];
        for value in table {
            assert_eq!(seconds(value), Some(880_127_706), "{value}");
        }
        assert_eq!(seconds("21 Nov 1997 15:55 GMT"), Some(880_127_700), "no seconds");
    }

    #[test]
    fn years() {
        for (year, expected) in
            [("49", 2049), ("50", 1950), ("00", 2000), ("099", 1999), ("126", 2026), ("9999", 9999)]
        {
            let date = digits(parse(format!("1 Jan {year} 00:00:00 GMT").as_bytes()).unwrap());
            assert_eq!(date, format!("{expected:04}0101000000"));
        }
        assert_eq!(seconds("29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(seconds("31 Dec 2016 23:59:60 GMT"), seconds("1 Jan 2017 00:00:00 GMT"), "a leap second");
    }

    #[test]
    fn no_dates() {
        for value in [
            "",
            "yesterday",
            "Fri, 21 Nov 1997",
            "Fri, 21 Nov 1997 15",
            "31 Nov 1997 15:55:06 GMT",
            "29 Feb 1900 15:55:06 GMT",
            "0 Nov 1997 15:55:06 GMT",
            "21 Nov 1899 15:55:06 GMT",
            "21 Nov 19970 15:55:06 GMT",
            "21 Nov 1997 24:00:00 GMT",
            "21 Nov 1997 23:60:00 GMT",
            "21 Nov 1997 23:00:61 GMT",
            "21 Nov 1997 23:00:00 +12345",
            "21 Nov 1997 23:00:00 +",
            "21 Nov 1997 23:00:00 GMT, or so",
            "21 No 1997 23:00:00 GMT",
            "21 Foo 1997 23:00:00 GMT",
            "99999999999999999999 Nov 1997 23:00:00 GMT",
            "Wed, 21 Nov 1997 23:00:00 \u{e9}",
            "((((",
        ] {
            assert_eq!(seconds(value), None, "{value}");
        }
        assert_eq!(parse(b"21 Nov 1997 23:00:00 \xFF"), None);
        assert_eq!(parse(b"(\\"), None);
    }

    #[test]
    fn written_dates_read_back() {
        assert_eq!(format(Timestamp::from_unix_s(1_795_219_080)), "Fri, 20 Nov 2026 23:58:00 +0000");
        assert_eq!(digits(Timestamp::from_unix_ms(930_182_400_999)), "19990624000000");
        let mut at = Timestamp::from_unix_s(-2_208_988_800); // 1900
        while at < Timestamp::from_unix_s(253_402_300_800) {
            assert_eq!(parse(format(at).as_bytes()), Some(at));
            // The library's own reader as a second opinion.
            let second = DateTime::parse_from_rfc2822(&format(at)).unwrap();
            assert_eq!(second.timestamp(), at.unix_s());
            at = at.plus_s(86_400 * 45 + 12_345);
        }
    }

    #[test]
    fn moments_out_of_range_are_the_nearest_in_range() {
        assert_eq!(digits(Timestamp::from_unix_ms(i64::MAX)), "99991231235959");
        assert_eq!(digits(Timestamp::from_unix_ms(i64::MIN)), "00000101000000");
    }
}
