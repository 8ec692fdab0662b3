//! Overview rows (RFC 3977 s.8.3, s.8.4).

use super::{Field, Head};

/// LIST OVERVIEW.FMT: the fields of a row behind the article number (RFC 3977 s.8.4).
pub const FORMAT: [&str; 8] =
    ["Subject:", "From:", "Date:", "Message-ID:", "References:", ":bytes", ":lines", "Xref:full"];

/// Appends the first part of a row: Subject, From, Date, Message-ID and References, TAB-separated,
/// no TAB behind the last. The store adds `:bytes`, `:lines` and Xref when it has made the numbers.
pub fn row(head: &Head<'_>, out: &mut Vec<u8>) {
    let fields = [Field::Subject, Field::From, Field::Date, Field::MessageId, Field::References];
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        if let Some(value) = head.value(field) {
            flatten(value, out);
        }
    }
}

/// Appends a field's value as OVER and HDR show it: the CRLF of a fold vanishes, then each TAB,
/// CR, LF and NUL becomes one space (RFC 3977 s.8.3.2); invalid UTF-8 is passed on as it is.
pub fn flatten(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b'\t' | b'\r' | b'\n' | 0)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = if let Some(unfolded) = special.strip_prefix(b"\r\n") {
            unfolded
        } else {
            out.push(b' ');
            &special[1..]
        };
    }
    out.extend_from_slice(rest);
}
