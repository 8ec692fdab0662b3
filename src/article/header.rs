//! The header section of an article (RFC 5536 s.2.2, s.3; RFC 5322 s.2.2): where each field is.
//!
//! What is refused here is what nobody could pass on: a relaying agent must not repair an article,
//! so the grammar is generous (8-bit octets, empty values, long lines) wherever the next agent can
//! still find its way. One pass, no allocation: every article of a feed goes through it.

use crate::limits::{HEADER_LINE_MAX, HEADER_LINES_MAX, HEADER_SECTION_MAX};
use std::fmt;

/// The header fields that the agents look at. `name()` has the spelling of RFC 5536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the field of its name
#[repr(u8)]
pub enum Field {
    Approved,
    Archive,
    Control,
    Date,
    Distribution,
    Expires,
    From,
    FollowupTo,
    InjectionDate,
    InjectionInfo,
    Lines,
    MessageId,
    Newsgroups,
    NntpPostingDate,
    NntpPostingHost,
    Path,
    References,
    ReplyTo,
    Sender,
    Subject,
    Summary,
    Supersedes,
    XTrace,
    Xref,
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = Self::Xref as usize + 1;

    /// The field's name, as RFC 5536 spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Archive => "Archive",
            Self::Control => "Control",
            Self::Date => "Date",
            Self::Distribution => "Distribution",
            Self::Expires => "Expires",
            Self::From => "From",
            Self::FollowupTo => "Followup-To",
            Self::InjectionDate => "Injection-Date",
            Self::InjectionInfo => "Injection-Info",
            Self::Lines => "Lines",
            Self::MessageId => "Message-ID",
            Self::Newsgroups => "Newsgroups",
            Self::NntpPostingDate => "NNTP-Posting-Date",
            Self::NntpPostingHost => "NNTP-Posting-Host",
            Self::Path => "Path",
            Self::References => "References",
            Self::ReplyTo => "Reply-To",
            Self::Sender => "Sender",
            Self::Subject => "Subject",
            Self::Summary => "Summary",
            Self::Supersedes => "Supersedes",
            Self::XTrace => "X-Trace",
            Self::Xref => "Xref",
        }
    }

    /// The field of this name (case-insensitive), if it is one of these.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let (first, last) = (name.first()?.to_ascii_lowercase(), name.last()?.to_ascii_lowercase());
        // Length and outer letters leave one candidate.
        let field = match (name.len(), first, last) {
            (4, b'd', _) => Self::Date,
            (4, b'f', _) => Self::From,
            (4, b'p', _) => Self::Path,
            (4, b'x', _) => Self::Xref,
            (5, ..) => Self::Lines,
            (6, ..) => Self::Sender,
            (7, b'a', _) => Self::Archive,
            (7, b'c', _) => Self::Control,
            (7, b'e', _) => Self::Expires,
            (7, b's', b't') => Self::Subject,
            (7, b's', b'y') => Self::Summary,
            (7, b'x', _) => Self::XTrace,
            (8, b'a', _) => Self::Approved,
            (8, b'r', _) => Self::ReplyTo,
            (10, b'm', _) => Self::MessageId,
            (10, b'n', _) => Self::Newsgroups,
            (10, b'r', _) => Self::References,
            (10, b's', _) => Self::Supersedes,
            (11, ..) => Self::FollowupTo,
            (12, ..) => Self::Distribution,
            (14, _, b'e') => Self::InjectionDate,
            (14, _, b'o') => Self::InjectionInfo,
            (17, _, b'e') => Self::NntpPostingDate,
            (17, _, b't') => Self::NntpPostingHost,
            _ => return None,
        };
        if name.eq_ignore_ascii_case(field.name().as_bytes()) { Some(field) } else { None }
    }
}

/// An article's header section, indexed. Borrows the article; allocates nothing.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    bytes: &'a [u8],
    /// Octets of the header section including the empty line.
    len: usize,
    /// For each [`Field`]: start of its name, start of its value, end of its value (without the
    /// last CRLF). Start 0 = end 0 means absent.
    fields: [(u32, u32, u32); Field::COUNT],
}

/// Why bytes are no header section. Line numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// No empty line ends it (RFC 5536 s.2: an article has a header, an empty line and a body).
    NoEmptyLine,
    /// The section is larger than [`crate::limits::HEADER_SECTION_MAX`] or has too many lines.
    TooLarge,
    /// A line longer than [`crate::limits::HEADER_LINE_MAX`].
    LineTooLong(u32),
    /// A line that is neither `name: value` nor a fold of the one before.
    BadLine(u32),
    /// A field of [`Field`] stands twice (RFC 5536 s.3).
    Duplicate(Field),
    /// A NUL, a bare CR or a bare LF.
    BadOctet(u32),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEmptyLine => f.write_str("no empty line ends the header"),
            Self::TooLarge => f.write_str("the header is too large"),
            Self::LineTooLong(line) => write!(f, "header line {line} is too long"),
            Self::BadLine(line) => write!(f, "header line {line} is no header field"),
            Self::Duplicate(field) => write!(f, "more than one {} header field", field.name()),
            Self::BadOctet(line) => write!(f, "NUL, bare CR or bare LF in header line {line}"),
        }
    }
}

impl std::error::Error for HeadError {}

impl<'a> Head<'a> {
    /// Indexes the header section of `article` (wire form; what follows the empty line is not
    /// looked at). A header line of a good article never begins with a dot, so dot-stuffing does
    /// not matter here. A field body that is empty or blank only is kept as present and empty.
    /// The field name is followed by a colon and a blank (RFC 5536 s.2.2, RFC 3977 s.3.6: other
    /// servers would refuse the article); the blank may be missing only where the line ends.
    pub fn parse(article: &'a [u8]) -> Result<Self, HeadError> {
        let mut head = Self { bytes: article, len: 0, fields: [ABSENT; Field::COUNT] };
        let window = &article[..article.len().min(HEADER_SECTION_MAX)];
        let cut_short =
            if window.len() < article.len() { HeadError::TooLarge } else { HeadError::NoEmptyLine };
        // The field whose folds may follow.
        let mut open: Option<Field> = None;
        let mut number = 0;
        let mut start = 0;
        loop {
            number += 1;
            let rest = &window[start..];
            // One scan finds the line's end and whatever must not be in it.
            let len = match memchr::memchr3(b'\r', b'\n', 0, rest) {
                Some(at) if rest[at..].starts_with(b"\r\n") => at,
                Some(at) if rest[at..] != *b"\r" => return Err(HeadError::BadOctet(number)),
                _ => return Err(cut_short),
            };
            let line = &rest[..len];
            let behind = start + len + 2;
            match line {
                [] => {
                    head.len = behind;
                    return Ok(head);
                }
                _ if len > HEADER_LINE_MAX => return Err(HeadError::LineTooLong(number)),
                _ if number as usize > HEADER_LINES_MAX => return Err(HeadError::TooLarge),
                // The terminator of the data block.
                b"." => return Err(HeadError::NoEmptyLine),
                [b' ' | b'\t', ..] => match open {
                    None if number == 1 => return Err(HeadError::BadLine(number)),
                    None => {}
                    Some(field) => head.fields[field as usize].2 = offset(start + len),
                },
                _ => {
                    let colon = name_len(line).ok_or(HeadError::BadLine(number))?;
                    open = Field::from_name(&line[..colon]);
                    if let Some(field) = open {
                        let entry = &mut head.fields[field as usize];
                        if *entry != ABSENT {
                            return Err(HeadError::Duplicate(field));
                        }
                        *entry = (offset(start), offset(start + colon + 1), offset(start + len));
                    }
                }
            }
            start = behind;
        }
    }

    /// Octets of the header section with its empty line: the body begins there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a header section has at least its empty line.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole header section without the empty line.
    pub fn section(&self) -> &'a [u8] {
        &self.bytes[..self.len - 2]
    }

    /// The value of a field as it stands (folds inside, outer blanks trimmed, no last CRLF).
    pub fn value(&self, field: Field) -> Option<&'a [u8]> {
        let (_, start, end) = self.fields[field as usize];
        if end == 0 { None } else { Some(self.bytes[start as usize..end as usize].trim_ascii()) }
    }

    /// Where the whole field stands in the article, from its name to behind its last CRLF: for
    /// cutting it out or replacing it.
    pub fn span(&self, field: Field) -> Option<std::ops::Range<usize>> {
        let (start, _, end) = self.fields[field as usize];
        if end == 0 { None } else { Some(start as usize..end as usize + 2) }
    }

    /// The value of any field by name, the first one: for HDR of fields that are not indexed.
    pub fn find(&self, name: &str) -> Option<&'a [u8]> {
        match Field::from_name(name.as_bytes()) {
            Some(field) => self.value(field),
            None => self
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
                .map(|(_, value)| value),
        }
    }

    /// All fields in order: name, and value as [`Head::value`] gives it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        let mut rest = self.section();
        std::iter::from_fn(move || {
            let colon = rest.iter().position(|&octet| octet == b':')?;
            let end = memchr::memchr_iter(b'\n', rest)
                .map(|at| at + 1)
                .find(|&behind| !matches!(rest.get(behind), Some(b' ' | b'\t')))
                .unwrap_or(rest.len());
            let (field, behind) = rest.split_at(end);
            rest = behind;
            Some((&field[..colon], field[colon + 1..].trim_ascii()))
        })
    }
}

/// The entry of a field that is not there.
const ABSENT: (u32, u32, u32) = (0, 0, 0);

/// An offset below [`HEADER_SECTION_MAX`] as it is stored.
fn offset(at: usize) -> u32 {
    debug_assert!(at <= HEADER_SECTION_MAX);
    at as u32
}

/// The length of the field name that begins `line`, if a colon and a blank (or nothing) follow.
fn name_len(line: &[u8]) -> Option<usize> {
    // RFC 5322 s.2.2: printable US-ASCII except the colon, which also rules out a blank before it.
    let len = line.iter().position(|&octet| octet == b':' || !octet.is_ascii_graphic())?;
    match line.get(len..)? {
        [b':'] | [b':', b' ' | b'\t', ..] if len > 0 => Some(len),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    const FIELDS: [Field; Field::COUNT] = [
        Field::Approved,
        Field::Archive,
        Field::Control,
        Field::Date,
        Field::Distribution,
        Field::Expires,
        Field::From,
        Field::FollowupTo,
        Field::InjectionDate,
        Field::InjectionInfo,
        Field::Lines,
        Field::MessageId,
        Field::Newsgroups,
        Field::NntpPostingDate,
        Field::NntpPostingHost,
        Field::Path,
        Field::References,
        Field::ReplyTo,
        Field::Sender,
        Field::Subject,
        Field::Summary,
        Field::Supersedes,
        Field::XTrace,
        Field::Xref,
    ];

    fn error(article: &[u8]) -> Option<HeadError> {
        Head::parse(article).err()
    }

    #[test]
    fn names_of_fields() {
        for (index, field) in FIELDS.into_iter().enumerate() {
            assert_eq!(field as usize, index);
            let name = field.name();
            for name in [name.to_owned(), name.to_uppercase(), name.to_lowercase()] {
                assert_eq!(Field::from_name(name.as_bytes()), Some(field));
            }
            // Nothing that only looks like it.
            let mut near = name.as_bytes().to_vec();
            near[1] ^= 1;
            assert_eq!(Field::from_name(&near), None);
            assert_eq!(Field::from_name(&name.as_bytes()[1..]), None);
        }
        assert_eq!(Field::from_name(b""), None);
        assert_eq!(Field::from_name(b"Organization"), None);
    }

    #[test]
    fn an_article() {
        let article =
            b"Path: a!b\r\nsubject:\tFolded\r\n  twice \r\n\there  \r\nX-Face: \xFF\x1B\r\n more\r\n\
            References: \r\nSummary:\r\nX-FACE: 2\r\nMessage-ID: <a@b>\r\n\r\nFrom: the body\r\n";
        let head = Head::parse(article).unwrap();
        assert_eq!(head.value(Field::Path), Some(&b"a!b"[..]));
        assert_eq!(head.value(Field::Subject), Some(&b"Folded\r\n  twice \r\n\there"[..]));
        assert_eq!(head.value(Field::References), Some(&b""[..]), "present and empty");
        assert_eq!(head.value(Field::Summary), Some(&b""[..]), "present and empty");
        assert_eq!(head.value(Field::From), None, "the body is not looked at");
        assert_eq!(&article[head.span(Field::Path).unwrap()], b"Path: a!b\r\n");
        let subject = b"subject:\tFolded\r\n  twice \r\n\there  \r\n";
        assert_eq!(&article[head.span(Field::Subject).unwrap()], subject);
        assert_eq!(&article[head.span(Field::Summary).unwrap()], b"Summary:\r\n");
        assert_eq!(head.span(Field::From), None);
        assert_eq!(head.find("x-face"), Some(&b"\xFF\x1B\r\n more"[..]), "the first one");
        assert_eq!(head.find("PATH"), head.value(Field::Path));
        assert_eq!(head.find("x-no"), None);
        assert_eq!(&article[head.len()..], b"From: the body\r\n");
        assert!(head.section().ends_with(b"<a@b>\r\n"));
        assert!(!head.is_empty());
        let names: Vec<_> = head.iter().map(|(name, _)| name).collect();
        let expected = ["Path", "subject", "X-Face", "References", "Summary", "X-FACE", "Message-ID"];
        assert_eq!(names, expected.map(str::as_bytes));
        assert_eq!(head.iter().last(), Some((&b"Message-ID"[..], &b"<a@b>"[..])));
    }

    #[test]
    fn a_field_may_stand_at_the_very_start_and_be_empty() {
        let head = Head::parse(b"Subject:\r\n\r\n").unwrap();
        assert_eq!(head.value(Field::Subject), Some(&b""[..]));
        assert_eq!(head.span(Field::Subject), Some(0..10));
        let head = Head::parse(b"\r\nbody").unwrap();
        assert_eq!((head.len(), head.section(), head.iter().count()), (2, &b""[..], 0));
    }

    #[test]
    fn what_is_no_header_section() {
        let table: [(&[u8], HeadError); 21] = [
            (b"", HeadError::NoEmptyLine),
            (b"\r", HeadError::NoEmptyLine),
            (b"Subject: a", HeadError::NoEmptyLine),
            (b"Subject: a\r", HeadError::NoEmptyLine),
            (b"Subject: a\r\n", HeadError::NoEmptyLine),
            (b"Subject: a\r\n.\r\n", HeadError::NoEmptyLine),
            (b"Subject: a\n\n", HeadError::BadOctet(1)),
            (b"Subject: a\r\nFrom: \0\r\n\r\n", HeadError::BadOctet(2)),
            (b"Subject: a\rb\r\n\r\n", HeadError::BadOctet(1)),
            (b"Subject: a\r\n\n", HeadError::BadOctet(2)),
            (b"Subject: a\r\r\n\r\n", HeadError::BadOctet(1)),
            (b" folded\r\n\r\n", HeadError::BadLine(1)),
            (b"Subject: a\r\nno field\r\n\r\n", HeadError::BadLine(2)),
            (b"Subject : a\r\n\r\n", HeadError::BadLine(1)),
            (b": a\r\n\r\n", HeadError::BadLine(1)),
            (b"Subject:a\r\n\r\n", HeadError::BadLine(1)),
            (b"Subject\r\n\r\n", HeadError::BadLine(1)),
            (b"Subj\xFCct: a\r\n\r\n", HeadError::BadLine(1)),
            (b"Path: a\r\n b\r\nX: b\r\npath: c\r\n\r\n", HeadError::Duplicate(Field::Path)),
            (b"Summary:\r\nSummary:\r\n\r\n", HeadError::Duplicate(Field::Summary)),
            (b"..a: b\r\n.c\r\n\r\n", HeadError::BadLine(2)),
        ];
        for (article, expected) in table {
            assert_eq!(error(article), Some(expected), "{:?}", article.escape_ascii().to_string());
        }
    }

    #[test]
    fn limits_hold() {
        let line = |len: usize| format!("X: {}\r\n", "x".repeat(len - 3));
        let with = |lines: String| error((lines + "\r\n").as_bytes());
        assert_eq!(with(line(HEADER_LINE_MAX)), None);
        assert_eq!(with(line(HEADER_LINE_MAX + 1)), Some(HeadError::LineTooLong(1)));
        assert_eq!(with(line(10).repeat(HEADER_LINES_MAX)), None);
        assert_eq!(with(line(10).repeat(HEADER_LINES_MAX + 1)), Some(HeadError::TooLarge));
        let half = line(HEADER_SECTION_MAX / 16 - 2).repeat(15);
        let rest = HEADER_SECTION_MAX - half.len() - 4;
        assert_eq!(with(half.clone() + &line(rest)), None);
        assert_eq!(with(half + &line(rest + 1)), Some(HeadError::TooLarge));
        assert_eq!(error(&vec![b'x'; HEADER_SECTION_MAX * 2]), Some(HeadError::TooLarge));
    }

    #[test]
    fn fields_read_back_as_written() {
        let mut random = xorshift(6);
        for _ in 0..3_000 {
            let mut article = Vec::new();
            let mut written: Vec<(String, Vec<u8>)> = Vec::new();
            for field in FIELDS {
                if random(3) > 0 {
                    continue;
                }
                let value = [&b""[..], b"v", b"two words", b"a\r\n b", b"\xE9:x\r\n\t."][random(5) as usize];
                let name =
                    if random(4) == 0 { format!("X-{}", field.name()) } else { field.name().to_owned() };
                article.extend_from_slice(name.as_bytes());
                article.extend_from_slice([&b": "[..], b":\t", b":  "][random(3) as usize]);
                article.extend_from_slice(value);
                article.extend_from_slice(b"\r\n");
                written.push((name, value.to_vec()));
            }
            article.extend_from_slice(b"\r\nbody\r\n");
            let head = Head::parse(&article).unwrap();
            let read: Vec<_> = head
                .iter()
                .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                .collect();
            assert_eq!(read, written);
            for (name, value) in &written {
                assert_eq!(head.find(name), Some(&value[..]));
            }
            let spans: usize =
                FIELDS.iter().filter_map(|&field| head.span(field)).map(|span| span.len()).sum();
            assert!(spans <= head.section().len());
            // No prefix of it is taken for the whole.
            assert_eq!(error(&article[..head.len() - 1]), Some(HeadError::NoEmptyLine));
        }
    }
}
