//! Header fields' values that are not US-ASCII: encoded-words (RFC 2047).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of text in one encoded-word, so that it stays below 75 (RFC 2047 s.2).
const WORD_OCTETS: usize = 42;

/// A header field's value in US-ASCII (RFC 5536 s.2.2): what is not is put into encoded-words
/// (RFC 2047 s.4.1), an address behind it stays as it is.
pub fn encoded(value: &str) -> String {
    if value.is_ascii() {
        return value.to_owned();
    }
    let (phrase, address) = match value.rfind(" <") {
        Some(at) if value[at..].is_ascii() => value.split_at(at),
        _ => (value, ""),
    };
    let phrase = phrase.trim();
    // Quotes belong to the phrase of an address, and not into its encoded-words.
    let bare = phrase.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let phrase = if address.is_empty() { phrase } else { bare.unwrap_or(phrase) };
    let mut words = Vec::new();
    let mut word = String::new();
    for c in phrase.chars() {
        if word.len() + c.len_utf8() > WORD_OCTETS {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    // Blanks between encoded-words are not shown (RFC 2047 s.6.2).
    format!("{}{address}", words.join("\n "))
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn only_what_is_not_ascii_is_encoded() {
        assert_eq!(encoded("plain <a@b.example>"), "plain <a@b.example>");
        assert_eq!(encoded("Grüße"), "=?UTF-8?B?R3LDvMOfZQ==?=");
        assert_eq!(encoded("Jürgen <j@b.example>"), "=?UTF-8?B?SsO8cmdlbg==?= <j@b.example>");
        for word in encoded(&"ü".repeat(100)).split("\n ") {
            assert!(word.len() <= 75, "{word}");
        }
    }
}
