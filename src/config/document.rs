//! A TOML file as something to complain about: values are asked for by key and type, and what is not
//! as it should be becomes a [`Mistake`] with its line. Reading goes on after a mistake, so that the
//! operator sees all of them at once.

use super::Mistake;
use std::cell::RefCell;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The mistakes found in one file so far, and what it takes to number lines.
pub(super) struct Document<'t> {
    file: &'t Path,
    text: &'t str,
    mistakes: RefCell<Vec<Mistake>>,
}

/// A value and where it begins in the file, in octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// A table of the file: the top level, `[limits]`, one `[[peer]]`.
pub(super) struct Section<'d, 't> {
    document: &'d Document<'t>,
    /// Where a key is looked for, in this order: behind the first one are templates.
    tables: Vec<&'d DeTable<'t>>,
    /// Where it begins, for what is missing in it.
    pub(super) at: usize,
}

impl<'t> Document<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, mistakes: RefCell::default() }
    }

    /// The file's top level; none, and a mistake for each error, when it is no TOML. What a parser
    /// makes of a broken file is not looked at: it would only be complained about twice.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'t>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            let what = error.message().replace('\n', ", ");
            self.mistake(at, format!("not TOML: {what}"), syntax_cure(&what));
        }
        errors.is_empty().then_some(table)
    }

    /// The line, from 1, of what begins at octet `at`.
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        memchr::memchr_iter(b'\n', before).count() + 1
    }

    pub(super) fn mistake(&self, at: usize, what: impl Into<String>, cure: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake {
            file: self.file.to_path_buf(),
            line: self.line(at),
            what: on_one_line(&what.into()),
            cure: on_one_line(&cure.into()),
        });
    }

    /// All mistakes, by line.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.line);
        mistakes
    }
}

/// A mistake quotes what stands in the file, which may be control characters.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line
}

/// What to do about a syntax error: the parser says what it met, hardly ever what is meant.
fn syntax_cure(what: &str) -> &'static str {
    if what.contains("duplicate") {
        "keep one of the two"
    } else if what.contains("string") || what.contains("quote") {
        "put the text between double quotes, on one line"
    } else if what.contains("array") || what.contains(']') {
        "write lists as [\"a\", \"b\"]"
    } else {
        "write key = value: texts in double quotes, lists in [ ], comments behind #"
    }
}

impl<'d, 't> Section<'d, 't> {
    /// A section that may hold the keys `known`; every other key in it is a mistake.
    pub(super) fn new(document: &'d Document<'t>, table: &'d DeTable<'t>, at: usize, known: &[&str]) -> Self {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let cure = match nearest(name, known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known here are: {}", known.join(", ")),
                };
                document.mistake(key.span().start, format!("unknown key \"{name}\""), cure);
            }
        }
        Self { document, tables: vec![table], at }
    }

    /// What does not stand here is as in `template`, whose keys have been looked at.
    pub(super) fn or(mut self, template: &Self) -> Self {
        self.tables.extend(&template.tables);
        self
    }

    pub(super) fn mistake(&self, at: usize, what: impl Into<String>, cure: impl Into<String>) {
        self.document.mistake(at, what, cure);
    }

    /// The line, from 1, on which this section begins.
    pub(super) fn line(&self) -> usize {
        self.document.line(self.at)
    }

    fn entry(&self, key: &str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.tables.iter().find_map(|table| entry(table, key))
    }

    /// Does `key` stand in the section itself, and not in a template?
    pub(super) fn is_own(&self, key: &str) -> bool {
        self.tables.first().is_some_and(|table| entry(table, key).is_some())
    }

    /// Is the value of `key` a text?
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    fn wrong_type(&self, value: &Spanned<DeValue<'t>>, key: &str, wanted: &str, example: &str) {
        let kind = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a truth value",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let at = value.span().start;
        self.mistake(at, format!("\"{key}\" is {kind}, not {wanted}"), format!("write {key} = {example}"));
    }

    /// A text.
    pub(super) fn text(&self, key: &str, example: &str) -> Option<At<&'d str>> {
        let value = self.entry(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text.as_ref(), at: value.span().start }),
            _ => {
                self.wrong_type(value, key, "a text", example);
                None
            }
        }
    }

    /// A truth value, or `default` where the key is absent or wrong.
    pub(super) fn truth(&self, key: &str, default: bool) -> bool {
        match self.entry(key).map(|value| (value, value.get_ref())) {
            None => default,
            Some((_, DeValue::Boolean(truth))) => *truth,
            Some((value, _)) => {
                self.wrong_type(value, key, "a truth value", if default { "true" } else { "false" });
                default
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str, example: &str) -> Option<Vec<At<&'d str>>> {
        let value = self.entry(key)?;
        match value.get_ref() {
            DeValue::Array(items) => Some(self.items(items.iter(), key, example)),
            _ => {
                self.wrong_type(value, key, "a list of texts", example);
                None
            }
        }
    }

    /// A text or a list of texts.
    pub(super) fn one_or_more_texts(&self, key: &str, example: &str) -> Option<Vec<At<&'d str>>> {
        let value = self.entry(key)?;
        match value.get_ref() {
            DeValue::String(_) => Some(self.items(std::iter::once(value), key, example)),
            _ => self.texts(key, example),
        }
    }

    fn items<'v>(
        &self,
        items: impl Iterator<Item = &'d Spanned<DeValue<'v>>>,
        key: &str,
        example: &str,
    ) -> Vec<At<&'d str>>
    where
        't: 'v,
        'v: 'd,
    {
        let mut texts = Vec::new();
        for item in items {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::String(text) => texts.push(At { value: text.as_ref(), at }),
                _ => self.mistake(
                    at,
                    format!("\"{key}\" holds something that is not a text"),
                    format!("write {key} = {example}"),
                ),
            }
        }
        texts
    }

    /// A whole number within `range`, or `default` where the key is absent or wrong.
    pub(super) fn number(&self, key: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> At<u64> {
        let fallback = At { value: default, at: self.at };
        let Some(value) = self.entry(key) else { return fallback };
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_type(value, key, "a whole number", &default.to_string());
            return fallback;
        };
        let at = value.span().start;
        // Too large for 64 bits, or negative, is out of range as well.
        match u64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if range.contains(&number) => At { value: number, at },
            _ => {
                self.mistake(
                    at,
                    format!("\"{key}\" is {digits}, which is out of range"),
                    format!(
                        "write a number from {} to {}; the default is {default}",
                        range.start(),
                        range.end()
                    ),
                );
                At { value: default, at }
            }
        }
    }

    /// A number of octets within `range`: a whole number, or a text with a unit.
    pub(super) fn octets(&self, key: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> At<u64> {
        let fallback = At { value: default, at: self.at };
        let Some(value) = self.entry(key) else { return fallback };
        let at = value.span().start;
        let octets = match value.get_ref() {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            DeValue::String(text) => match super::size::parse(text) {
                Some(octets) => Some(octets),
                None => {
                    self.mistake(
                        at,
                        format!("\"{text}\" is no size"),
                        format!("write a size such as {key} = \"{}\"", super::size::print(default)),
                    );
                    return At { value: default, at };
                }
            },
            _ => {
                let example = format!("\"{}\"", super::size::print(default));
                self.wrong_type(value, key, "a size", &example);
                return fallback;
            }
        };
        match octets {
            Some(octets) if range.contains(&octets) => At { value: octets, at },
            _ => {
                self.mistake(
                    at,
                    format!("\"{key}\" is out of range"),
                    format!(
                        "write a size from \"{}\" to \"{}\"; the default is \"{}\"",
                        super::size::print(*range.start()),
                        super::size::print(*range.end()),
                        super::size::print(default)
                    ),
                );
                At { value: default, at }
            }
        }
    }

    /// Where the value of `key` begins; none when the key is absent.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.entry(key).map(|value| value.span().start)
    }

    /// The table under `key`, which may hold the keys `known`; those of templates stand behind it.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Option<Section<'d, 't>> {
        let value = self.entry(key)?;
        match value.get_ref() {
            DeValue::Table(_) => self.sections_or_texts(key, known),
            _ => {
                self.mistake(
                    value.span().start,
                    format!("\"{key}\" is not a section"),
                    format!("write [{key}] on a line of its own and its keys below"),
                );
                None
            }
        }
    }

    /// The same where a text may stand in the table's place, which is passed by; none when there are
    /// only such.
    pub(super) fn sections_or_texts(&self, key: &str, known: &[&str]) -> Option<Section<'d, 't>> {
        let found = self.tables.iter().enumerate().filter_map(|(layer, table)| {
            let value = entry(table, key)?;
            let DeValue::Table(table) = value.get_ref() else { return None };
            Some((layer, table, value.span().start))
        });
        found.fold(None, |merged: Option<Section<'d, 't>>, (layer, table, at)| {
            // A template's keys were looked at where it stands.
            let next = match layer {
                0 => Section::new(self.document, table, at, known),
                _ => Section { document: self.document, tables: vec![table], at },
            };
            Some(match merged {
                None => next,
                Some(first) => first.or(&next),
            })
        })
    }

    /// The tables under `key`, each written as `[[written]]`.
    pub(super) fn sections(&self, key: &str, written: &str, known: &[&str]) -> Vec<Section<'d, 't>> {
        let Some(value) = self.entry(key) else { return Vec::new() };
        let cure = format!("write [[{written}]] on a line of its own and its keys below");
        let DeValue::Array(items) = value.get_ref() else {
            self.mistake(value.span().start, format!("\"{key}\" is not a list of sections"), cure);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    sections.push(Section::new(self.document, table, item.span().start, known));
                }
                _ => self.mistake(item.span().start, format!("\"{key}\" holds no section"), cure.as_str()),
            }
        }
        sections
    }
}

fn entry<'d, 't>(table: &'d DeTable<'t>, key: &str) -> Option<&'d Spanned<DeValue<'t>>> {
    table.iter().find_map(|(name, value)| (name.get_ref() == key).then_some(value))
}

/// The known key that is most like `name`, if any is like it: at most a third of it mistyped.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let farthest = (name.len() / 3).max(1);
    known
        .iter()
        .map(|key| (distance(&name.to_ascii_lowercase(), key), *key))
        .filter(|(distance, key)| *distance <= farthest || key.starts_with(name) || name.starts_with(key))
        .min()
        .map(|(_, key)| key)
}

/// Insertions, deletions and replacements between two texts (Levenshtein, one row at a time).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, of_a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, of_b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(of_a != *of_b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_not_strangers() {
        let known = ["identity", "listen", "data", "peers", "cutoff_days"];
        for (name, near) in [
            ("identiy", Some("identity")),
            ("Listen", Some("listen")),
            ("peer", Some("peers")),
            ("cutoff", Some("cutoff_days")),
            ("cutof_day", Some("cutoff_days")),
            ("hostname", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
