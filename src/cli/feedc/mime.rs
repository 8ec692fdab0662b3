//! The body of an article as text (RFC 2045, RFC 2046): charset and transfer encoding decoded, the
//! parts that are text shown, of the others a line each.

use super::words;
use crate::article::Head;

/// Multiparts within multiparts.
const DEPTH_MAX: usize = 5;
/// Parts of one multipart.
const PARTS_MAX: usize = 100;

/// The body of an article (CRLF line ends, no dot-stuffing) as text with LF line ends.
pub(super) fn body(head: &Head<'_>, body: &[u8]) -> String {
    let value = |name: &str| head.find(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let kind = value("Content-Type").map(|value| ContentType::parse(&value)).unwrap_or_default();
    let mut text = String::new();
    show(&kind, value("Content-Transfer-Encoding").as_deref(), body, 0, &mut text);
    text.replace("\r\n", "\n")
}

/// `type/subtype; name=value; ...` (RFC 2045 s.5.1).
#[derive(Debug, PartialEq, Eq)]
struct ContentType {
    /// In lower case.
    kind: String,
    parameters: Vec<(String, String)>,
}

impl Default for ContentType {
    fn default() -> Self {
        Self { kind: "text/plain".to_owned(), parameters: Vec::new() }
    }
}

impl ContentType {
    fn parse(value: &str) -> Self {
        let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let kind = kind.trim().to_ascii_lowercase();
        let mut parameters = Vec::new();
        while let Some((name, behind)) = rest.split_once('=') {
            let behind = behind.trim_start();
            let (text, left) = match behind.strip_prefix('"') {
                Some(quoted) => quoted_string(quoted),
                None => {
                    let end = behind.find(';').unwrap_or(behind.len());
                    (behind[..end].trim().to_owned(), &behind[end..])
                }
            };
            parameters.push((name.trim_matches([' ', '\t', '\r', '\n', ';']).to_ascii_lowercase(), text));
            rest = left;
        }
        Self { kind: if kind.contains('/') { kind } else { "text/plain".to_owned() }, parameters }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// Appends a part.
fn show(kind: &ContentType, encoding: Option<&str>, octets: &[u8], depth: usize, text: &mut String) {
    let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    if kind.kind.starts_with("multipart/") && depth < DEPTH_MAX {
        let Some(boundary) = kind.parameter("boundary").filter(|boundary| !boundary.is_empty()) else {
            text.push_str(&words::text(None, octets));
            return;
        };
        let parts = parts(octets, boundary);
        // RFC 2046 s.5.1.4: the same in several forms; we show the plain one.
        let plain = parts.iter().position(|part| part.kind.kind == "text/plain");
        match plain.or(if parts.is_empty() { None } else { Some(0) }) {
            Some(chosen) if kind.kind == "multipart/alternative" => {
                parts[chosen].show(depth, text);
            }
            _ => parts.iter().for_each(|part| part.show(depth, text)),
        }
        return;
    }
    let decoded = match encoding.as_str() {
        "base64" => words::base64(octets).unwrap_or_else(|| octets.to_vec()),
        "quoted-printable" => words::quoted_printable(octets),
        _ => octets.to_vec(),
    };
    if kind.kind.starts_with("text/") || kind.kind.starts_with("message/") {
        text.push_str(&words::text(kind.parameter("charset"), &decoded));
    } else {
        let name = kind.parameter("name").map(|name| format!(" {}", words::decoded(name.as_bytes())));
        text.push_str(&format!("[{}{}, {} octets]\r\n", kind.kind, name.unwrap_or_default(), decoded.len()));
    }
}

/// A part of a multipart.
struct Part<'a> {
    kind: ContentType,
    encoding: Option<String>,
    octets: &'a [u8],
}

impl Part<'_> {
    fn show(&self, depth: usize, text: &mut String) {
        if !text.is_empty() && !text.ends_with("\n\n") && !text.ends_with("\r\n\r\n") {
            text.push_str(if text.ends_with('\n') { "\r\n" } else { "\r\n\r\n" });
        }
        show(&self.kind, self.encoding.as_deref(), self.octets, depth + 1, text);
    }
}

/// The parts between the lines of the boundary (RFC 2046 s.5.1.1).
fn parts<'a>(octets: &'a [u8], boundary: &str) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut began: Option<usize> = None;
    let mut at = 0_usize;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let mark = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary.as_bytes()));
        if let Some(rest) = mark.map(<[u8]>::trim_ascii).filter(|rest| rest.is_empty() || *rest == b"--") {
            if let Some(start) = began {
                // The line end before the boundary belongs to it.
                let end = at.saturating_sub(2).max(start);
                parts.push(part(&octets[start..end]));
            }
            began = if rest.is_empty() { Some(at + line.len()) } else { None };
            if parts.len() >= PARTS_MAX {
                return parts;
            }
        }
        at += line.len();
    }
    if let Some(start) = began {
        parts.push(part(&octets[start..]));
    }
    parts
}

fn part(octets: &[u8]) -> Part<'_> {
    // A part without header begins with the empty line; Head knows that as well.
    let Ok(head) = Head::parse(octets) else {
        return Part { kind: ContentType::default(), encoding: None, octets };
    };
    let value = |name: &str| head.find(name).map(|value| String::from_utf8_lossy(value).into_owned());
    Part {
        kind: value("Content-Type").map(|value| ContentType::parse(&value)).unwrap_or_default(),
        encoding: value("Content-Transfer-Encoding"),
        octets: &octets[head.len()..],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(article: &[u8]) -> String {
        let head = Head::parse(article).unwrap();
        body(&head, &article[head.len()..])
    }

    #[test]
    fn bodies_are_decoded() {
        for (article, text) in [
            (&b"A: b\r\n\r\nplain\r\n"[..], "plain\n"),
            (b"A: b\r\n\r\ngr\xFC\xDFe\r\n", "grüße\n"),
            (b"Content-Type: text/plain; charset=\"iso-8859-15\"\r\n\r\n\xA4\r\n", "€\n"),
            (
                b"Content-Type: text/plain; format=flowed;\r\n charset=utf-8\r\nContent-Transfer-Encoding: \
                  Quoted-Printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n",
                "Grüße\n",
            ),
            (b"Content-Transfer-Encoding: base64\r\n\r\nR3LD\r\nvMOfZQ==\r\n", "Grüße"),
            (b"Content-Type: nonsense\r\n\r\nx", "x"),
            (b"Content-Type: image/png; name=a.png\r\n\r\nx", "[image/png a.png, 1 octets]\n"),
            (b"Content-Type: multipart/mixed\r\n\r\nno boundary", "no boundary"),
        ] {
            assert_eq!(shown(article), text);
        }
    }

    #[test]
    fn of_parts_the_text_is_shown() {
        let mixed = b"Content-Type: multipart/mixed; boundary=\"b b\"\r\n\r\npreamble\r\n--b b\r\n\r\none\r\n--b b\r\n\
                      Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n\
                      <p>\r\n--c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nzwei\r\n--c--\r\n--b b\r\n\
                      Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b b--\r\nend";
        assert_eq!(shown(mixed), "one\n\nzwei\n\n[application/zip, 3 octets]\n");
        let endless = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\n\r\nlast";
        assert_eq!(shown(endless).trim(), "last");
    }

    #[test]
    fn multiparts_do_not_nest_for_ever() {
        let mut article = b"A: b\r\n".to_vec();
        for depth in 0..50 {
            article.extend(
                format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n").bytes(),
            );
        }
        article.extend_from_slice(b"\r\nx");
        assert!(shown(&article).contains("[multipart/mixed"));
    }
}
