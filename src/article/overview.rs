//! Overview rows (RFC 3977 s.8.3, s.8.4).

use super::{Field, Head};
use crate::limits::{MESSAGE_ID_MAX, OVERVIEW_FIELD_MAX};

/// LIST OVERVIEW.FMT: the fields of a row behind the article number (RFC 3977 s.8.4). `Bytes:` and
/// `Lines:` are that section's older names for `:bytes` and `:lines`; slrn uses no overview without them.
pub const FORMAT: [&str; 8] =
    ["Subject:", "From:", "Date:", "Message-ID:", "References:", "Bytes:", "Lines:", "Xref:full"];

/// Appends the first part of a row: Subject, From, Date, Message-ID and References, TAB-separated,
/// no TAB behind the last. The store adds `:bytes`, `:lines` and Xref when it has made the numbers.
///
/// A row stands in memory once for each newsgroup of its article, so a field has at most
/// [`OVERVIEW_FIELD_MAX`] octets in it: References loses Message-IDs behind its first, any other its end.
pub fn row(head: &Head<'_>, out: &mut Vec<u8>) {
    let fields = [Field::Subject, Field::From, Field::Date, Field::MessageId, Field::References];
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        if let Some(value) = head.value(field) {
            let start = out.len();
            flatten(value, out);
            shorten(field, start, out);
        }
    }
}

/// Cuts the field that begins at `start` to what a row may hold.
fn shorten(field: Field, start: usize, out: &mut Vec<u8>) {
    let excess = (out.len() - start).saturating_sub(OVERVIEW_FIELD_MAX);
    if excess == 0 {
        return;
    }
    if field == Field::References {
        // RFC 5537 s.3.4.4: trimming keeps the first Message-ID and the last ones.
        let value = out.get(start..).unwrap_or_default();
        let first = value.iter().take(MESSAGE_ID_MAX).position(|&octet| octet == b' ').map_or(0, |at| at + 1);
        let behind = start + first;
        let rest = out.get(behind + excess..).unwrap_or_default();
        let whole = rest.iter().position(|&octet| octet == b'<').unwrap_or(rest.len());
        out.drain(behind..behind + excess + whole);
    } else {
        let mut end = start + OVERVIEW_FIELD_MAX;
        // Not in the middle of a character of UTF-8.
        while end > start && out.get(end).is_some_and(|octet| octet & 0xC0 == 0x80) {
            end -= 1;
        }
        out.truncate(end);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn flat(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flatten(value, &mut out);
        out
    }

    #[test]
    fn values_become_one_field() {
        assert_eq!(flat(b"a plain one"), b"a plain one");
        assert_eq!(flat(b"folded\r\n once\r\n\ttwice"), b"folded once twice");
        assert_eq!(flat(b"tab\there"), b"tab here");
        // The example of RFC 3977 s.8.3.2: two spaces, since CR and the first LF are a fold.
        assert_eq!(flat(b"a\r\n\n\tb"), b"a  b");
        assert_eq!(flat(b"\0\r\n\r\r"), b"   ");
        assert_eq!(flat(b"gr\xFC\xDFe"), b"gr\xFC\xDFe");
        assert_eq!(flat(b""), b"");
    }

    #[test]
    fn rows() {
        let article = b"Path: a!b\r\nFrom: \"Demo\tUser\" <nobody@example.com>\r\nSubject: I am\r\n just\r\n\
            Message-ID: <45223423@example.com>\r\nDate: 6 Oct 1998 04:38:40 -0500\r\n\r\n";
        let mut out = b"3000\t".to_vec();
        row(&Head::parse(article).unwrap(), &mut out);
        let expected = "3000\tI am just\t\"Demo User\" <nobody@example.com>\t6 Oct 1998 04:38:40 -0500\t\
                        <45223423@example.com>\t";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn long_fields_are_cut_where_it_hurts_least() {
        let ids: Vec<String> = (0..200).map(|n| format!("<{n:03}.reference@example.com>")).collect();
        let article = format!(
            "Subject: {}\r\nFrom: a@example.com\r\nDate: x\r\nMessage-ID: <a@b>\r\nReferences: {}\r\n\r\n",
            "\u{e4}".repeat(OVERVIEW_FIELD_MAX),
            ids.join("\r\n ")
        );
        let mut out = Vec::new();
        row(&Head::parse(article.as_bytes()).unwrap(), &mut out);
        let row = String::from_utf8(out).unwrap();
        let fields: Vec<&str> = row.split('\t').collect();
        assert_eq!(fields[0], "\u{e4}".repeat(OVERVIEW_FIELD_MAX / 2));
        let kept: Vec<&str> = fields[4].split(' ').collect();
        assert!(fields[4].len() <= OVERVIEW_FIELD_MAX && fields[4].len() > OVERVIEW_FIELD_MAX - 30);
        assert_eq!(kept[0], ids[0]);
        assert_eq!(kept[1..], ids[ids.len() + 1 - kept.len()..]);
    }
}
