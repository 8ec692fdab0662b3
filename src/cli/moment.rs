//! Moments on the command line.

use super::Failure;
use crate::article::date;
use crate::clock::{self, Timestamp};

/// A date, a date of a header field, or how long ago.
pub(super) fn moment(text: &str) -> Result<Timestamp, Failure> {
    let midnight = format!("{text} 00:00:00");
    let day = chrono::NaiveDateTime::parse_from_str(&midnight, "%Y-%m-%d %H:%M:%S");
    let ago = || {
        let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "d" => 86_400,
            "h" => 3600,
            "w" => 7 * 86_400,
            _ => return None,
        };
        Some(clock::now().plus_s(-count.parse::<i64>().ok()?.checked_mul(seconds)?))
    };
    let day = day.ok().map(|day| Timestamp::from_unix_s(day.and_utc().timestamp()));
    day.or_else(ago).or_else(|| date::parse(text.as_bytes())).ok_or_else(|| {
        Failure::because(format!("--since {text:?} is no time; write 2026-11-01 (UTC), 36h, 30d or 8w"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_how_long_ago() {
        assert_eq!(moment("2026-11-01").unwrap(), Timestamp::from_unix_s(1_793_491_200));
        let ago = clock::now().unix_s() - moment("36h").unwrap().unix_s();
        assert!((36 * 3600..36 * 3600 + 60).contains(&ago), "{ago}");
        for text in ["", "d", "x", "2026-13-01", "3y", "-"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
