//! What an article carries, as far as feeds tell articles apart by it: text, or files. A look at the
//! beginning of the body, not a scan of it: this runs over every article.

use super::header::Head;

/// Text or files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ArticleKind {
    /// For people to read; also what cannot be told.
    #[default]
    Text = 0,
    /// A file, or a part of one, in yEnc.
    Yenc = 1,
    /// A file in another encoding: uuencode, base64.
    Binary = 2,
}

/// Octets at the beginning of the body that are looked at: behind a word of introduction the file has
/// begun, or it is the smaller part.
const LOOKED_AT: usize = 16 * 1024;
/// Lines in a row that look encoded, after which it is no signature or quotation any more.
const RUN: usize = 40;

impl ArticleKind {
    /// The kind of an article by its header section and its body (from the empty line on, wire form).
    pub fn of(head: &Head<'_>, body: &[u8]) -> Self {
        let (mut uuencoded, mut base64) = (0, 0);
        let looked_at = body.get(..LOOKED_AT).unwrap_or(body);
        let mut rest = looked_at;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line.first() {
                Some(b'=') if line.starts_with(b"=ybegin ") => return Self::Yenc,
                Some(b'b') if is_uuencode_begin(line) => return Self::Binary,
                // A full line of uuencode: 45 octets, which `M` stands for, in 60 characters.
                Some(b'M') if matches!(line.len(), 61 | 62) && !line.contains(&b'z') => uuencoded += 1,
                _ => uuencoded = 0,
            }
            base64 = if matches!(line.len(), 60..=76) && is_base64(line) { base64 + 1 } else { 0 };
            if uuencoded >= RUN {
                return Self::Binary;
            }
            // Text in UTF-8 may travel so, too.
            if base64 >= RUN && !is_text(head) {
                return Self::Binary;
            }
        }
        Self::Text
    }

    /// What the operator calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Yenc => "yenc",
            Self::Binary => "binary",
        }
    }
}

/// `begin 644 name`.
fn is_uuencode_begin(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"begin ") else { return false };
    let digits = rest.iter().take_while(|octet| (b'0'..=b'7').contains(octet)).count();
    matches!(digits, 3 | 4) && rest.get(digits) == Some(&b' ') && rest.len() > digits + 1
}

fn is_base64(line: &[u8]) -> bool {
    line.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'='))
}

/// Is the article as a whole a text, however it is encoded?
fn is_text(head: &Head<'_>) -> bool {
    let starts = |value: &[u8]| value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"));
    head.find("Content-Type").is_some_and(starts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kind(header: &str, body: &str) -> ArticleKind {
        let text = format!("{header}\r\n{}\r\n", body.replace('\n', "\r\n"));
        let head = Head::parse(text.as_bytes()).unwrap();
        ArticleKind::of(&head, &text.as_bytes()[head.section().len()..])
    }

    #[test]
    fn files_are_told_from_text() {
        let plain = "Subject: x\r\n";
        let uu = format!("M{}\n", "#".repeat(60)).repeat(60);
        let base64 = format!("{}\n", "QUJD".repeat(19)).repeat(60);
        assert_eq!(kind(plain, "Hello.\n\nBye.\n"), ArticleKind::Text);
        assert_eq!(
            kind(plain, "see below\n\n=ybegin line=128 size=9 name=a\nx\n=yend size=9\n"),
            ArticleKind::Yenc
        );
        assert_eq!(kind(plain, &format!("here\nbegin 644 a.txt\n{uu}end\n")), ArticleKind::Binary);
        assert_eq!(kind(plain, &uu), ArticleKind::Binary, "a part in the middle");
        assert_eq!(kind(plain, &base64), ArticleKind::Binary);
        assert_eq!(kind("Content-Type: TEXT/plain; charset=utf-8\r\n", &base64), ArticleKind::Text);
        for text in ["begin again\n", "begin 644\n", "begin 99 x\n", "My\nMother\n", "=ybegin\n", ""] {
            assert_eq!(kind(plain, text), ArticleKind::Text, "{text}");
        }
        let signature = format!("{}\n", "QUJD".repeat(19)).repeat(20);
        assert_eq!(kind(plain, &signature), ArticleKind::Text, "a key or a signature");
    }
}
