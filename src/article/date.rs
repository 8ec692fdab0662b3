//! Dates of header fields (RFC 5536 s.3.1.1, RFC 5322 s.3.3 with its obsolete forms).

use crate::clock::Timestamp;

/// Parses a Date field's value: RFC 5322 with two-digit years, named zones, comments, missing
/// seconds, missing day name; unknown named zones count as UTC (RFC 5322 s.4.3).
pub fn parse(value: &[u8]) -> Option<Timestamp> {
    let _ = value;
    todo!()
}

/// Formats a Date field's value, UTC: `Fri, 20 Nov 2026 23:58:00 +0000`.
pub fn format(at: Timestamp) -> String {
    let _ = at;
    todo!()
}

/// The 14 digits of DATE (RFC 3977 s.7.1): `yyyymmddhhmmss`, UTC.
pub fn digits(at: Timestamp) -> String {
    let _ = at;
    todo!()
}
