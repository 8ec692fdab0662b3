//! NZB 1.1: which articles together are which files, as XML.
//!
//! Read generously (any charset, unknown elements, Message-IDs with or without their angle brackets),
//! since there are many writers; written in the form that all readers know.

use crate::article::MessageId;
use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::collections::BTreeMap;
use std::fmt;

/// Octets of an NZB that is read: the articles of some terabytes.
pub const NZB_MAX: u64 = 256 << 20;

/// What an NZB says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nzb {
    /// Kind and text of its `meta` elements, such as `title`.
    pub meta: Vec<(String, String)>,
    /// The files; at least one when it was read.
    pub files: Vec<NzbFile>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NzbFile {
    /// From of its articles.
    pub poster: String,
    /// When it was posted, in seconds since 1970.
    pub date: i64,
    /// Subject of its first article.
    pub subject: String,
    /// The newsgroups it is in.
    pub groups: Vec<String>,
    /// Its articles, by their numbers, each of which is there once.
    pub segments: Vec<Segment>,
}

/// An article of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The part it has, from 1.
    pub number: u32,
    /// Octets of the article, or what the writer took for that.
    pub bytes: u64,
    /// Its Message-ID.
    pub id: MessageId,
}

/// A text is no NZB: where and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNzb {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Nzb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <!DOCTYPE nzb PUBLIC \"-//newzBin//DTD NZB 1.1//EN\" \
             \"http://www.newzbin.com/DTD/nzb/nzb-1.1.dtd\">\n\
             <nzb xmlns=\"http://www.newzbin.com/DTD/2003/nzb\">\n",
        )?;
        if !self.meta.is_empty() {
            f.write_str("  <head>\n")?;
            for (kind, text) in &self.meta {
                writeln!(f, "    <meta type=\"{}\">{}</meta>", xml(kind), xml(text))?;
            }
            f.write_str("  </head>\n")?;
        }
        for file in &self.files {
            let (poster, date, subject) = (xml(&file.poster), file.date, xml(&file.subject));
            writeln!(f, "  <file poster=\"{poster}\" date=\"{date}\" subject=\"{subject}\">")?;
            f.write_str("    <groups>\n")?;
            for group in &file.groups {
                writeln!(f, "      <group>{}</group>", xml(group))?;
            }
            f.write_str("    </groups>\n    <segments>\n")?;
            for Segment { number, bytes, id } in &file.segments {
                let id = xml(id.as_str().trim_start_matches('<').trim_end_matches('>'));
                writeln!(f, "      <segment bytes=\"{bytes}\" number=\"{number}\">{id}</segment>")?;
            }
            f.write_str("    </segments>\n  </file>\n")?;
        }
        f.write_str("</nzb>\n")
    }
}

/// Text as XML has it. Control characters have no form in XML 1.0 at all.
fn xml(text: &str) -> String {
    let legal = |c: char| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { '_' } else { c };
    escape(text.chars().map(legal).collect::<String>()).into_owned()
}

impl Nzb {
    /// Reads an NZB. Of two segments with one number the first counts.
    ///
    /// # Errors
    /// When it is no XML, has no file, or a file or segment lacks what it must have.
    pub fn parse(octets: &[u8]) -> Result<Self, BadNzb> {
        let text = super::text(octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets));
        let mut reader = Reader::from_str(&text);
        let mut parser = Parser::default();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string());
            let done = match event {
                Ok(Event::Eof) => Ok(true),
                Ok(event) => parser.take(event).map(|()| false),
                Err(what) => Err(what),
            };
            match done {
                Ok(false) => {}
                Ok(true) if parser.nzb.files.is_empty() => {
                    return Err(BadNzb { line: 1, what: "there is no file in it".to_owned() });
                }
                Ok(true) if parser.depth > 0 => {
                    let line = text.lines().count().max(1);
                    return Err(BadNzb { line, what: "its end is missing".to_owned() });
                }
                Ok(true) => return Ok(parser.nzb),
                Err(what) => {
                    let at = usize::try_from(reader.buffer_position()).unwrap_or(0).min(text.len());
                    let line = 1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count();
                    return Err(BadNzb { line, what });
                }
            }
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parser {
    nzb: Nzb,
    depth: usize,
    /// The text of the element that is open.
    text: String,
    file: Option<NzbFile>,
    /// The open file's segments.
    segments: BTreeMap<u32, Segment>,
    /// Octets and number of the open segment.
    segment: (u64, u32),
    /// The open meta element's kind.
    meta: String,
}

impl Parser {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => {
                self.depth += 1;
                self.text.clear();
                self.begin(&start)?;
            }
            Event::Empty(start) => {
                self.text.clear();
                self.begin(&start)?;
                self.end(start.local_name().as_ref())?;
            }
            Event::End(end) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(end.local_name().as_ref())?;
            }
            Event::Text(text) => self.text.push_str(&text),
            Event::CData(text) => self.text.push_str(&text),
            Event::GeneralRef(name) => match name.resolve_char_ref().map_err(|error| error.to_string())? {
                Some(c) => self.text.push(c),
                None => match resolve_predefined_entity(&name) {
                    Some(text) => self.text.push_str(text),
                    None => return Err(format!("the entity &{};", &*name)),
                },
            },
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let attribute = |name: &str| -> Result<Option<String>, String> {
            let found = start.try_get_attribute(name).map_err(|error| error.to_string())?;
            let value = found.map(|found| found.normalized_value(XmlVersion::Implicit1_0)).transpose();
            Ok(value.map_err(|error| error.to_string())?.map(|value| value.into_owned()))
        };
        match start.local_name().as_ref() {
            "meta" => self.meta = attribute("type")?.unwrap_or_default(),
            "file" => {
                self.segments.clear();
                self.file = Some(NzbFile {
                    poster: attribute("poster")?.unwrap_or_default(),
                    date: attribute("date")?.and_then(|date| date.trim().parse().ok()).unwrap_or(0),
                    subject: attribute("subject")?.unwrap_or_default(),
                    ..NzbFile::default()
                });
            }
            "segment" => {
                let number = attribute("number")?.and_then(|number| number.trim().parse().ok());
                let bytes = attribute("bytes")?.and_then(|bytes| bytes.trim().parse().ok());
                let number = number.filter(|number| *number > 0).ok_or("a segment without a number")?;
                self.segment = (bytes.unwrap_or(0), number);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), String> {
        let text = self.text.trim();
        match name {
            "meta" => self.nzb.meta.push((std::mem::take(&mut self.meta), text.to_owned())),
            "group" => {
                let file = self.file.as_mut().ok_or("a group outside of a file")?;
                file.groups.push(text.to_owned());
            }
            "segment" if self.file.is_none() => return Err("a segment outside of a file".to_owned()),
            "segment" => {
                let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
                let id = MessageId::try_from(format!("<{bare}>").as_str())
                    .map_err(|_| format!("{bare:?} is no Message-ID"))?;
                let (bytes, number) = self.segment;
                self.segments.entry(number).or_insert(Segment { number, bytes, id });
            }
            "file" => {
                let mut file = self.file.take().ok_or("a file ends that did not begin")?;
                file.segments = std::mem::take(&mut self.segments).into_values().collect();
                if file.segments.is_empty() {
                    return Err(format!("the file {:?} has no segments", file.subject));
                }
                self.nzb.files.push(file);
            }
            _ => {}
        }
        self.text.clear();
        Ok(())
    }
}

impl fmt::Display for BadNzb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for BadNzb {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    fn id(text: &str) -> MessageId {
        MessageId::try_from(text).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut random = xorshift(21);
        let mut text = |len: u64| -> String {
            let characters = ['a', '<', '>', '&', '"', '\'', ']', ' ', 'ä', '\u{1F600}', ';', '#'];
            let inner: String = (0..random(len)).map(|_| characters[random(12) as usize]).collect();
            format!("x{inner}x")
        };
        for round in 0..200 {
            let files = (0..1 + round % 3)
                .map(|_| NzbFile {
                    poster: text(20),
                    date: round,
                    subject: text(40),
                    groups: vec![text(9), text(9)],
                    segments: (1..4)
                        .map(|number| Segment { number, bytes: 7, id: id(&format!("<{number}&'\"@b>")) })
                        .collect(),
                })
                .collect();
            let nzb = Nzb { meta: vec![("title".to_owned(), text(9))], files };
            assert_eq!(Nzb::parse(nzb.to_string().as_bytes()), Ok(nzb));
        }
    }

    #[test]
    fn what_others_write_is_read() {
        let nzb = Nzb::parse(
            b"\xEF\xBB\xBF<?xml version='1.0' encoding='iso-8859-1' ?>\n<!DOCTYPE nzb PUBLIC '-//x' 'y'>\n\
              <!-- words --><nzb xmlns='z'><head><meta type='tag'>HD</meta></head>\n\
              <file subject='gr\xFC&#223;e &quot;a.bin&quot;' poster='a &lt;b@c&gt;'>\n\
              <groups><group> a.b </group></groups><segments>\n\
              <segment number='2' bytes='x'><![CDATA[two@x]]></segment><segment bytes='3' number='1'>\n\
              &lt;one&amp;@x&gt; </segment><segment number='2'>other@x</segment></segments></file></nzb>",
        )
        .unwrap();
        let file = &nzb.files[0];
        assert_eq!((file.subject.as_str(), file.poster.as_str()), ("gr\u{fc}\u{df}e \"a.bin\"", "a <b@c>"));
        assert_eq!(file.groups, ["a.b"]);
        let ids: Vec<(u32, u64, &str)> = file
            .segments
            .iter()
            .map(|segment| (segment.number, segment.bytes, segment.id.as_str()))
            .collect();
        assert_eq!(ids, [(1, 3, "<one&@x>"), (2, 0, "<two@x>")]);
    }

    #[test]
    fn what_is_no_nzb_is_told_with_its_line() {
        let inside = |inside: &str| format!("<nzb>\n<file subject='s'>\n<segments>{inside}");
        for (text, told) in [
            (String::new(), "line 1: there is no file in it"),
            ("words".to_owned(), "line 1: there is no file in it"),
            ("<nzb></nzb>".to_owned(), "line 1: there is no file in it"),
            (inside("</segments></file></nzb>"), "line 3: the file \"s\" has no segments"),
            (inside("<segment>a@b</segment>"), "line 3: a segment without a number"),
            (inside("<segment number='0'>a@b</segment>"), "line 3: a segment without a number"),
            (inside("<segment number='1'>a b</segment>"), "line 3: \"a b\" is no Message-ID"),
            (inside("<segment number='1'>&x;</segment>"), "line 3: the entity &x;"),
            (inside("<segment number='1'>a@b</segment></segments></file>"), "line 3: its end is missing"),
            ("<segment number='1'>a@b</segment>".to_owned(), "line 1: a segment outside of a file"),
            ("<group>a</group>".to_owned(), "line 1: a group outside of a file"),
        ] {
            assert_eq!(Nzb::parse(text.as_bytes()).unwrap_err().to_string(), told, "{text}");
        }
        assert!(Nzb::parse(inside("</file>").as_bytes()).is_err());
    }

    #[test]
    fn whatever_comes_is_no_panic() {
        let mut random = xorshift(22);
        let whole = Nzb {
            meta: Vec::new(),
            files: vec![NzbFile {
                subject: "\u{e4}<&".to_owned(),
                segments: vec![Segment { number: 1, bytes: 1, id: id("<a@b>") }],
                ..NzbFile::default()
            }],
        };
        let whole = whole.to_string().into_bytes();
        for _ in 0..20_000 {
            let mut text = whole.clone();
            for _ in 0..=random(4) {
                let at = random(text.len() as u64) as usize;
                match random(3) {
                    0 => text[at] = random(256) as u8,
                    1 => drop(text.remove(at)),
                    _ => text.insert(at, b"<>&;\"/"[random(6) as usize]),
                }
            }
            let _ = Nzb::parse(&text);
        }
    }
}
