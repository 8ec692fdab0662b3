//! Patterns of a subscription that can never matter. The rightmost pattern that matches decides
//! (RFC 3977 s.4.1), so one whose every newsgroup a later one matches too is dead text, and nearly
//! always a list written in the wrong order. One that matches no newsgroup name is a slip.

use super::document::{At, Section};
use crate::article::NewsgroupName;
use crate::wildmat::{Mark, Pattern, Wildmat};

/// A pattern that could be left out, and what to do about it.
pub(super) struct WithoutEffect {
    pub(super) what: String,
    pub(super) cure: String,
}

/// Reads the subscription under `key`; none, and a mistake, when it is no wildmat. Patterns without
/// effect are mistakes, too.
pub(super) fn subscription(block: &Section<'_, '_>, key: &str, text: At<&str>) -> Option<Wildmat> {
    match Wildmat::parse_subscription(text.value) {
        Ok(wildmat) => {
            for pattern in without_effect(&wildmat) {
                block.mistake(text.at, format!("\"{key}\": {}", pattern.what), pattern.cure);
            }
            Some(wildmat)
        }
        Err(bad) => {
            block.mistake(
                text.at,
                format!("\"{key}\" is no wildmat: {}", bad.0),
                "write patterns separated by commas, such as \"comp.*,!comp.binaries.*\"",
            );
            None
        }
    }
}

/// Finds the patterns of `wildmat` that change nothing. It may miss some, but names none that does
/// matter.
pub(super) fn without_effect(wildmat: &Wildmat) -> Vec<WithoutEffect> {
    let patterns = &wildmat.patterns;
    // Lone `!*` is how one says "nothing".
    if let [Pattern { mark: Mark::Negated, text }] = patterns.as_slice()
        && text == "*"
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, pattern) in patterns.iter().enumerate() {
        let (before, after) = patterns.split_at(index);
        let after = after.get(1..).unwrap_or_default();
        let text = written(pattern);
        // Whatever stands for a wildcard, the octets beside it stay.
        if let Err(bad) = NewsgroupName::check(&pattern.text.replace(['*', '?'], "x")) {
            found.push(WithoutEffect {
                what: format!("the pattern \"{text}\" can match no newsgroup name: {}", bad.0),
                cure: "write whole names (comp.lang.c) or hierarchies (comp.*)".to_owned(),
            });
        } else if let Some(later) = after.iter().find(|later| covers(&later.text, &pattern.text)) {
            let later = written(later);
            found.push(WithoutEffect {
                what: format!(
                    "the pattern \"{text}\" can never decide: \"{later}\" behind it matches all of the same newsgroups"
                ),
                cure: "put the general pattern first and the exceptions behind it".to_owned(),
            });
        } else if pattern.mark == Mark::Negated && before.is_empty() {
            found.push(WithoutEffect {
                what: format!("the pattern \"{text}\" excludes nothing: no pattern stands before it"),
                cure: format!(
                    "put what is wanted before it, such as \"*,{text}\", or write \"!*\" for nothing at all"
                ),
            });
        }
    }
    found
}

fn written(pattern: &Pattern) -> String {
    Wildmat { patterns: vec![pattern.clone()] }.to_string()
}

/// Does `general` surely match every text that `special` matches? Equal patterns do. Else `general`
/// must be of octets and `*` alone, and match `special` read as a text in which each wildcard is one
/// octet that only `*` takes. (A wildmat has no sets and no escapes.)
fn covers(general: &str, special: &str) -> bool {
    general == special || (!general.contains('?') && star_match(general.as_bytes(), special.as_bytes()))
}

/// Matches `general`, in which `*` takes any run of octets and no other octet takes a wildcard, by
/// remembering the last `*` only.
fn star_match(general: &[u8], special: &[u8]) -> bool {
    let (mut g, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(octet) = special.get(s) {
        match general.get(g) {
            Some(b'*') => {
                g += 1;
                retry = Some((g, s));
            }
            Some(same) if same == octet => {
                g += 1;
                s += 1;
            }
            _ => match retry {
                Some((behind_star, taken)) => {
                    retry = Some((behind_star, taken + 1));
                    g = behind_star;
                    s = taken + 1;
                }
                None => return false,
            },
        }
    }
    general.get(g..).is_some_and(|rest| rest.iter().all(|octet| *octet == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_only_what_it_surely_matches() {
        for (general, special, covered) in [
            ("*", "comp.*", true),
            ("comp.*", "comp.lang.*", true),
            ("comp.*", "comp.lang.c", true),
            ("comp.*", "comp*", false),
            ("comp.*", "co*.x", false),
            ("comp*", "comp.?", true),
            ("*.test", "local.test", true),
            ("a?c", "abc", false),
            ("a*c", "a?c", true),
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
        ] {
            assert_eq!(covers(general, special), covered, "{general} covers {special}");
        }
    }

    #[test]
    fn names_the_patterns_without_effect() {
        for (text, dead) in [
            ("*", 0),
            ("*,!local.*", 0),
            ("comp.*,!comp.binaries.*,comp.binaries.ibm", 0),
            ("@alt.binaries.*,alt.*", 1),
            ("alt.*,@alt.binaries.*", 0),
            ("!local.*,*", 1),
            ("!local.*", 1),
            ("!*", 0),
            ("comp.lang.*,comp.*", 1),
            ("a.*,b.*,*", 2),
            ("@alt.*,!alt.test", 0),
            ("comp.", 1),
            ("comp..*", 1),
            ("*.binaries.*,a?b.*", 0),
        ] {
            let Ok(wildmat) = Wildmat::parse_subscription(text) else { panic!("{text} is a wildmat") };
            assert_eq!(without_effect(&wildmat).len(), dead, "{text}");
        }
    }
}
