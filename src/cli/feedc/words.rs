//! Text in header fields: encoded-words (RFC 2047) both ways, and octets of which nobody said what
//! they are.

pub(super) use crate::article::encoded_word::encoded;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// base64 as it is found: padded or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The text of octets in a charset; of an unknown charset, or of none, UTF-8 if they are that, else
/// windows-1252, of which ISO-8859-1 is a part.
pub(super) fn text(charset: Option<&str>, octets: &[u8]) -> String {
    let named = charset.and_then(|name| Encoding::for_label(name.as_bytes()));
    // Half of the articles that say US-ASCII hold more than that; its label means windows-1252.
    let encoding = match (named, std::str::from_utf8(octets)) {
        (Some(encoding), _) if encoding != WINDOWS_1252 => encoding,
        (_, Ok(_)) => UTF_8,
        _ => WINDOWS_1252,
    };
    encoding.decode_without_bom_handling(octets).0.into_owned()
}

/// A header field's value (one line, or with its folds) with its encoded-words decoded.
pub(super) fn decoded(value: &[u8]) -> String {
    let value = unfolded(&text(None, value));
    let mut shown = String::with_capacity(value.len());
    // Words that follow each other in one charset may share a character.
    let mut open: Option<(&str, Vec<u8>)> = None;
    let mut rest = value.as_str();
    while let Some(at) = rest.find("=?") {
        let (plain, from) = rest.split_at(at);
        let Some((charset, octets, behind)) = encoded_word(from) else {
            close(&mut open, &mut shown);
            shown.push_str(plain);
            shown.push_str("=?");
            rest = &from[2..];
            continue;
        };
        // RFC 2047 s.6.2: blanks between encoded-words are not shown.
        match &mut open {
            Some((same, gathered)) if plain.trim().is_empty() && same.eq_ignore_ascii_case(charset) => {
                gathered.extend_from_slice(&octets);
            }
            _ => {
                let blank_between = open.is_some() && plain.trim().is_empty();
                close(&mut open, &mut shown);
                if !blank_between {
                    shown.push_str(plain);
                }
                open = Some((charset, octets));
            }
        }
        rest = behind;
    }
    close(&mut open, &mut shown);
    shown.push_str(rest);
    shown
}

fn close(open: &mut Option<(&str, Vec<u8>)>, shown: &mut String) {
    if let Some((charset, octets)) = open.take() {
        shown.push_str(&text(Some(charset), &octets));
    }
}

/// `=?charset?B or Q?text?=` at the start: charset, octets, what follows.
fn encoded_word(from: &str) -> Option<(&str, Vec<u8>, &str)> {
    let (charset, rest) = from.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (content, behind) = rest.split_once("?=")?;
    // RFC 2231 s.5: a language may follow the charset.
    let charset = charset.split('*').next().filter(|charset| !charset.is_empty())?;
    if content.contains(char::is_whitespace) || charset.contains(char::is_whitespace) {
        return None;
    }
    let octets = match encoding {
        "B" | "b" => base64(content.as_bytes())?,
        "Q" | "q" => quoted_printable(content.replace('_', " ").as_bytes()),
        _ => return None,
    };
    Some((charset, octets, behind))
}

/// One line of a folded value.
fn unfolded(value: &str) -> String {
    value.replace("\r\n", "").replace(['\t', '\r', '\n'], " ")
}

/// Decodes base64 and skips what does not belong to it, such as line ends (RFC 2045 s.6.8).
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let belongs = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=".contains(octet);
    let text: Vec<u8> = text.iter().copied().filter(belongs).collect();
    LENIENT.decode(text).ok()
}

/// Decodes quoted-printable (RFC 2045 s.6.7); what is not, stays as it is.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let digit = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
    let mut octets = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        let rest = &text[at + 1..];
        match (octet, digit(rest.first()), digit(rest.get(1))) {
            (b'=', Some(high), Some(low)) => {
                octets.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            // A soft line break, with the blanks that a gateway may have put before its end.
            (b'=', ..) if rest.trim_ascii_start().len() < rest.len() || rest.is_empty() => {
                let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
                let blank = rest[..line].trim_ascii().is_empty();
                if !blank {
                    octets.push(octet);
                }
                at += if blank { 1 + line } else { 1 };
            }
            _ => {
                octets.push(octet);
                at += 1;
            }
        }
    }
    octets
}

/// The name in a From field, or its address where there is none: `A <a@b>`, `"A" <a@b>`, `a@b (A)`.
pub(super) fn author(from: &str) -> String {
    let named = from.split_once('<').map(|(name, _)| name.trim().trim_matches('"').trim());
    let comment =
        || from.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map(|(name, _)| name.trim());
    let name = named.filter(|name| !name.is_empty()).or_else(comment).filter(|name| !name.is_empty());
    name.unwrap_or(from.trim().trim_matches(['<', '>'])).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_decoded() {
        for (value, shown) in [
            ("plain", "plain"),
            ("=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
            ("Re: =?iso-8859-1?q?Gr=FC=DFe_an?= alle", "Re: Grüße an alle"),
            ("=?utf-8?Q?a?= =?utf-8?q?b?=\r\n =?utf-8?Q?c?= d", "abc d"),
            ("=?utf-8?B?w7w=?= =?iso-8859-1?Q?=FC?=", "üü"),
            // A character in two words.
            ("=?utf-8?B?ww==?= =?utf-8?B?vA==?=", "ü"),
            ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
            ("=?utf-8*de?Q?x?=", "x"),
            ("=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
            ("a =? b =?x?Q? c", "a =? b =?x?Q? c"),
            ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
            ("=?utf-8?Q?a b?=", "=?utf-8?Q?a b?="),
            ("folded\r\n\tvalue", "folded value"),
        ] {
            assert_eq!(decoded(value.as_bytes()), shown, "{value}");
        }
        assert_eq!(decoded(b"Gr\xFC\xDFe"), "Grüße");
        assert_eq!(decoded("Grüße".as_bytes()), "Grüße");
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let long = "ü€x ".repeat(60);
        for text in ["Grüße", "ascii", long.trim()] {
            assert_eq!(decoded(encoded(text).replace('\n', "\r\n").as_bytes()), text);
        }
        assert_eq!(encoded("\"Jürgen\" <j@b.example>"), "=?UTF-8?B?SsO8cmdlbg==?= <j@b.example>");
        for word in encoded(&"ü".repeat(100)).split("\n ") {
            assert!(word.len() <= 75, "{word}");
        }
    }

    #[test]
    fn quoted_printable_is_decoded() {
        for (text, octets) in [
            (&b"a=3Db=\r\nc= \t\r\nd\r\n"[..], &b"a=bcd\r\n"[..]),
            (b"=E4=e4", b"\xE4\xE4"),
            (b"=zz=4", b"=zz=4"),
            (b"100 = x", b"100 = x"),
            (b"end=", b"end"),
        ] {
            assert_eq!(quoted_printable(text), octets);
        }
    }

    #[test]
    fn authors_have_names() {
        for (from, name) in [
            ("A B <a@b>", "A B"),
            ("\"A B\" <a@b>", "A B"),
            ("a@b (A B)", "A B"),
            ("a@b", "a@b"),
            ("<a@b>", "a@b"),
            ("", ""),
        ] {
            assert_eq!(author(from), name, "{from}");
        }
    }
}
