//! The patterns of XPAT (RFC 2980 s.2.9, s.3.3): unlike a newsgroup's they are matched against any
//! text, have no commas and no `!`, and know sets and escapes. Newsreaders rely on `[Ww]ord`.

use super::WildmatError;

/// One pattern: `*` any characters, `?` one, `[a-z]` and `[^a-z]` one of a set or none of it, `\x`
/// the character x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern(Vec<Atom>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Atom {
    Char(char),
    One,
    Any,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl TextPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// It is empty, a set has no end, or a `\` no character behind it.
    pub fn parse(text: &str) -> Result<Self, WildmatError> {
        let mut atoms = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            atoms.push(match c {
                '*' => Atom::Any,
                '?' => Atom::One,
                '\\' => Atom::Char(rest.next().ok_or_else(|| bad(text, "nothing behind the last `\\`"))?),
                '[' => {
                    let (set, behind) =
                        set(rest.as_str()).ok_or_else(|| bad(text, "a `[` without its `]`"))?;
                    rest = behind.chars();
                    set
                }
                c => Atom::Char(c),
            });
        }
        if atoms.is_empty() { Err(WildmatError("empty pattern".into())) } else { Ok(Self(atoms)) }
    }

    /// Does all of `text` match? Takes O(pattern x text) at worst: as for a wildmat, only the last `*`
    /// is ever tried again.
    pub fn matches(&self, text: &str) -> bool {
        let atoms = self.0.as_slice();
        let mut rest = text.chars();
        let mut at = 0;
        // Behind the last `*` in the pattern, and the text behind what it takes.
        let mut star: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if let Some(Atom::Any) = atoms.get(at) {
                at += 1;
                if at == atoms.len() {
                    return true;
                }
                star = Some((at, rest.clone()));
                continue;
            }
            let mut behind = rest.clone();
            let Some(c) = behind.next() else { return at == atoms.len() };
            if atoms.get(at).is_some_and(|atom| atom.takes(c)) {
                at += 1;
                rest = behind;
                continue;
            }
            let Some((after, taken)) = &mut star else { return false };
            taken.next();
            at = *after;
            rest = taken.clone();
        }
    }
}

impl Atom {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => true,
            Self::Any => false,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

/// The set whose text begins behind its `[`, and what follows its `]`. A `]` that comes first is one
/// of the set.
fn set(text: &str) -> Option<(Atom, &str)> {
    let (negated, text) = match text.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    let mut rest = text.chars();
    loop {
        let low = rest.next()?;
        if low == ']' && !ranges.is_empty() {
            return Some((Atom::Set { negated, ranges }, rest.as_str()));
        }
        let mut ahead = rest.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) if high != ']' => {
                rest = ahead;
                high
            }
            _ => low,
        };
        ranges.push((low, high));
    }
}

fn bad(text: &str, why: &str) -> WildmatError {
    WildmatError(format!("`{}`: {why}", text.escape_debug()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    #[test]
    fn known_patterns() {
        let table: [(&str, &[&str], &[&str]); 12] = [
            ("abc", &["abc"], &["ab", "abcd", "", "ABC"]),
            ("*", &["", "x", "two words"], &[]),
            ("*a b*", &["a b", "xa bx"], &["ab", "a  b"]),
            ("a?c", &["abc", "a£c"], &["ac", "abbc"]),
            ("[Rr]e: *", &["Re: x", "re: "], &["RE: x", "Re:x"]),
            ("[^a-c]x", &["dx", "£x"], &["ax", "bx", "x"]),
            ("[]a-]", &["]", "a", "-"], &["b", "[", ""]),
            ("a\\*[*]", &["a**"], &["ab*", "a*b"]),
            ("a,!b", &["a,!b"], &["a", "b"]),
            ("*aab*aac", &["aaabaaac", "aabaac"], &["aabaacx", "aac"]),
            ("x**", &["x", "xyz"], &["y"]),
            ("[z-a]", &[], &["z", "a", "m"]),
        ];
        for (text, yes, no) in table {
            let pattern = TextPattern::parse(text).unwrap();
            yes.iter().for_each(|t| assert!(pattern.matches(t), "{text} should match {t}"));
            no.iter().for_each(|t| assert!(!pattern.matches(t), "{text} should not match {t}"));
        }
        for text in ["", "[", "[a", "[]", "[^]", "a\\"] {
            assert!(TextPattern::parse(text).is_err(), "{text}");
        }
    }

    /// The definition, as slow as it is.
    fn naive(atoms: &[Atom], text: &[char]) -> bool {
        match (atoms, text) {
            ([], []) => true,
            ([Atom::Any, rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ([atom, rest @ ..], [c, behind @ ..]) => atom.takes(*c) && naive(rest, behind),
            _ => false,
        }
    }

    #[test]
    fn agrees_with_the_naive_matcher() {
        let mut random = xorshift(5);
        let mut matched = 0;
        for _ in 0..20_000 {
            let parts = ["a", "b", "£", "*", "?", "[ab]", "[^a]", "*"];
            let pattern: String = (0..=random(7)).map(|_| parts[random(8) as usize]).collect();
            let text: String = (0..random(10)).map(|_| ['a', 'b', '£', '¢'][random(4) as usize]).collect();
            let pattern = TextPattern::parse(&pattern).unwrap();
            let expected = naive(&pattern.0, &text.chars().collect::<Vec<_>>());
            matched += u32::from(expected);
            assert_eq!(pattern.matches(&text), expected, "{pattern:?} {text:?}");
        }
        assert!((2_000..18_000).contains(&matched), "a fair mix of answers: {matched}");
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        let pattern = TextPattern::parse(&("*[a]?".repeat(60) + "*b")).unwrap();
        assert!(!pattern.matches(&"a".repeat(2_000)));
    }
}
