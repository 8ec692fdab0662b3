//! Overview rows (RFC 3977 s.8.3, s.8.4).

use super::Head;

/// LIST OVERVIEW.FMT: the fields of a row behind the article number (RFC 3977 s.8.4).
pub const FORMAT: [&str; 8] =
    ["Subject:", "From:", "Date:", "Message-ID:", "References:", ":bytes", ":lines", "Xref:full"];

/// Appends the first part of a row: Subject, From, Date, Message-ID and References, TAB-separated,
/// no TAB behind the last. The store adds `:bytes`, `:lines` and Xref when it has made the numbers.
pub fn row(head: &Head<'_>, out: &mut Vec<u8>) {
    let _ = (head, out);
    todo!()
}

/// Appends a field's value as OVER and HDR show it: the CRLF of a fold vanishes, then each TAB,
/// CR, LF and NUL becomes one space (RFC 3977 s.8.3.2); invalid UTF-8 is passed on as it is.
pub fn flatten(value: &[u8], out: &mut Vec<u8>) {
    let _ = (value, out);
    todo!()
}
