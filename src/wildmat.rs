//! wildmat patterns (RFC 3977 s.4) and the subscriptions of peers, which add the poison mark `@`
//! (INN's newsfeeds(5)). Matching takes O(pattern x text) at worst, never exponential time, so a
//! wildmat may come from anybody who can send a command.

mod text;

pub use text::TextPattern;

use std::fmt;

/// A comma-separated list of patterns; the rightmost one that matches decides (RFC 3977 s.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildmat {
    pub(crate) patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) mark: Mark,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    Negated,
    Poison,
}

/// What a subscription says of one newsgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The rightmost matching pattern is a plain one.
    Yes,
    /// No pattern matches, or the rightmost one that does has `!`.
    No,
    /// The rightmost one that matches has `@`: an article in such a newsgroup is not wanted at
    /// all, whatever else it is crossposted to.
    Poison,
}

/// Why a text is not a wildmat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WildmatError(pub String);

impl fmt::Display for WildmatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WildmatError {}

impl Wildmat {
    /// Parses a wildmat of RFC 3977 s.4.1 (`@` is an ordinary character). Other than there, the
    /// first pattern may have `!` too: it matches nothing, and newsreaders do send it.
    pub fn parse(text: &str) -> Result<Self, WildmatError> {
        let patterns = text.split(',').map(|part| match part.strip_prefix('!') {
            Some(rest) => Pattern::checked(Mark::Negated, rest),
            None => Pattern::checked(Mark::Plain, part),
        });
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Parses the subscription of a peer: a wildmat in which `@` marks poison. Blanks around a
    /// pattern are allowed.
    pub fn parse_subscription(text: &str) -> Result<Self, WildmatError> {
        let patterns = text.split(',').map(str::trim).map(|part| {
            if let Some(rest) = part.strip_prefix('!') {
                Pattern::checked(Mark::Negated, rest)
            } else if let Some(rest) = part.strip_prefix('@') {
                Pattern::checked(Mark::Poison, rest)
            } else {
                Pattern::checked(Mark::Plain, part)
            }
        });
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Does `text` match (poison counts as no)?
    pub fn matches(&self, text: &str) -> bool {
        self.judge(text) == Match::Yes
    }

    /// The full answer for one newsgroup.
    pub fn judge(&self, text: &str) -> Match {
        match self.patterns.iter().rev().find(|pattern| pattern.matches(text)) {
            Some(Pattern { mark: Mark::Plain, .. }) => Match::Yes,
            Some(Pattern { mark: Mark::Poison, .. }) => Match::Poison,
            Some(Pattern { mark: Mark::Negated, .. }) | None => Match::No,
        }
    }

    /// Is an article in `newsgroups` wanted: at least one matches and none is poison?
    pub fn wants<'a>(&self, newsgroups: impl IntoIterator<Item = &'a str>) -> bool {
        let mut wanted = false;
        for newsgroup in newsgroups {
            match self.judge(newsgroup) {
                Match::Yes => wanted = true,
                Match::No => {}
                Match::Poison => return false,
            }
        }
        wanted
    }
}

/// The text form; for a subscription it can be parsed again by [`Wildmat::parse_subscription`].
impl fmt::Display for Wildmat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.patterns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let mark = match pattern.mark {
                Mark::Plain => "",
                Mark::Negated => "!",
                Mark::Poison => "@",
            };
            write!(f, "{comma}{mark}{}", pattern.text)?;
        }
        Ok(())
    }
}

impl Pattern {
    fn checked(mark: Mark, text: &str) -> Result<Self, WildmatError> {
        if text.is_empty() {
            return Err(WildmatError("empty pattern".into()));
        }
        for c in text.chars() {
            match c {
                // RFC 3977 s.4.1: their meaning differs between programs, so they have none.
                '[' | ']' | '\\' => {
                    return Err(WildmatError(format!(
                        "`{c}` in `{text}`: sets and escapes are not part of a wildmat (RFC 3977 section 4.1)"
                    )));
                }
                '!' => return Err(WildmatError(format!("`!` inside `{text}`: it may only begin a pattern"))),
                c if c.is_whitespace() || c.is_control() => {
                    return Err(WildmatError(format!(
                        "blank or control character in `{}`",
                        text.escape_debug()
                    )));
                }
                _ => {}
            }
        }
        Ok(Self { mark, text: text.into() })
    }

    /// RFC 3977 s.4.2, anchored at both ends. Only the last `*` is ever tried again: whatever an
    /// earlier one could take more, the later one can take as well.
    fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.text.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // Behind the last `*` in the pattern, and where in the text what it takes ends.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&octet) = text.get(t) {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    if p == pattern.len() {
                        return true;
                    }
                    star = Some((p, t));
                }
                Some(b'?') => {
                    p += 1;
                    t = next_char(text, t);
                }
                Some(&wanted) if wanted == octet => {
                    p += 1;
                    t += 1;
                }
                _ => match star {
                    Some((behind, taken)) => {
                        let taken = next_char(text, taken);
                        star = Some((behind, taken));
                        (p, t) = (behind, taken);
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(p).all(|&octet| octet == b'*')
    }
}

/// Where the UTF-8 character after the one at `at` begins.
fn next_char(text: &[u8], at: usize) -> usize {
    let continued = text.iter().skip(at + 1).take_while(|&&octet| octet & 0xC0 == 0x80).count();
    at + 1 + continued
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    #[test]
    fn examples_of_rfc3977() {
        // Section 4.4 and the end of section 4.2.
        let table: [(&str, &[&str], &[&str]); 16] = [
            ("abc", &["abc"], &["ab", "abcd", "xabc", "", "ABC"]),
            ("abc,def", &["abc", "def"], &["abcdef", "abc,def"]),
            ("£", &["£"], &["££", "\u{a2}"]),
            ("a*", &["a", "ab", "a£"], &["ba", ""]),
            ("a*b", &["ab", "aab", "abb", "a.b.b"], &["a", "b", "abc"]),
            ("a*,*b", &["a", "b", "ax", "xb"], &["xax", "bx"]),
            ("a*,!*b", &["a", "abc"], &["ab", "axb", "b"]),
            ("a*,!*b,c*", &["a", "cb", "c"], &["ab", "b"]),
            ("a*,c*,!*b", &["a", "c", "abc"], &["ab", "cb"]),
            ("?a*", &["xa", "xab", "£a"], &["a", "xxa"]),
            ("??a*", &["xxa", "££a"], &["xa", "£a"]),
            ("*a?", &["ab", "xaa", "a£"], &["a", "xa", "abb"]),
            ("*a??", &["abb", "aab", "a££"], &["ab", "a£"]),
            ("a*,!*b,*c*", &["aaa", "ccb"], &["abb", "xxx"]),
            ("*", &["", "x", "£"], &[]),
            ("!*,a", &["a"], &["b"]),
        ];
        for (text, yes, no) in table {
            let wildmat = Wildmat::parse(text).unwrap();
            assert_eq!(wildmat.to_string(), text);
            for name in yes {
                assert!(wildmat.matches(name), "{text} should match {name}");
            }
            for name in no {
                assert!(!wildmat.matches(name), "{text} should not match {name}");
            }
        }
    }

    #[test]
    fn what_is_no_wildmat() {
        for text in
            ["", ",", "a,", ",a", "a,,b", "!", "a!b", "!!a", "a b", " a", "[ab]", "a\\*", "]", "a\u{7f}"]
        {
            assert!(Wildmat::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "@", "a, ,b", "@!a", "a b"] {
            assert!(Wildmat::parse_subscription(text).is_err(), "{text:?}");
        }
        let error = Wildmat::parse("comp.[ab]*").unwrap_err();
        assert!(error.to_string().contains("`[` in `comp.[ab]*`"), "{error}");
    }

    #[test]
    fn poison_keeps_the_whole_article_out() {
        let peer = Wildmat::parse_subscription("comp.*, !comp.binaries.*,\n @*.test, local.test").unwrap();
        assert_eq!(peer.to_string(), "comp.*,!comp.binaries.*,@*.test,local.test");
        assert_eq!(peer.judge("comp.lang.c"), Match::Yes);
        assert_eq!(peer.judge("comp.binaries.x"), Match::No);
        assert_eq!(peer.judge("rec.food"), Match::No);
        assert_eq!(peer.judge("comp.test"), Match::Poison);
        assert_eq!(peer.judge("local.test"), Match::Yes);
        assert!(!peer.matches("comp.test"));
        assert!(peer.wants(["rec.food", "comp.lang.c"]));
        assert!(peer.wants(["comp.lang.c", "comp.binaries.x"]));
        assert!(!peer.wants(["comp.lang.c", "alt.test"]));
        assert!(!peer.wants(["rec.food"]));
        assert!(!peer.wants([]));
        // Of a plain wildmat `@` is an ordinary character.
        assert!(Wildmat::parse("@a").unwrap().matches("@a"));
    }

    /// RFC 3977 s.4.2 to the letter, as slow as that is.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            (['?', rest @ ..], [_, behind @ ..]) => naive(rest, behind),
            ([c, rest @ ..], [d, behind @ ..]) => c == d && naive(rest, behind),
            _ => false,
        }
    }

    #[test]
    fn agrees_with_the_naive_matcher() {
        let mut random = xorshift(4);
        let mut matched = 0;
        for _ in 0..20_000 {
            let mut draw = |alphabet: &[char], len_max: u64| -> Vec<char> {
                (0..random(len_max)).map(|_| alphabet[random(alphabet.len() as u64) as usize]).collect()
            };
            let mut pattern = draw(&['a', 'b', '£', '*', '?', '*'], 8);
            if pattern.is_empty() {
                pattern.push('*');
            }
            let text = draw(&['a', 'b', '£', '¢', '€'], 10);
            let wildmat = Wildmat::parse(&pattern.iter().collect::<String>()).unwrap();
            let expected = naive(&pattern, &text);
            matched += u32::from(expected);
            assert_eq!(wildmat.matches(&text.iter().collect::<String>()), expected, "{pattern:?} {text:?}");
        }
        assert!((2_000..18_000).contains(&matched), "a fair mix of answers: {matched}");
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        // The naive matcher would need more steps than there are atoms; this test then never ends.
        let wildmat = Wildmat::parse(&("*a".repeat(60) + "*b")).unwrap();
        assert!(!wildmat.matches(&"a".repeat(2_000)));
        let wildmat = Wildmat::parse(&("*a?".repeat(60) + "*b")).unwrap();
        assert!(!wildmat.matches(&"a".repeat(2_000)));
    }
}
