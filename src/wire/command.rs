//! Commands as a server reads them (RFC 3977 s.3.1, s.9.2; RFC 4644 s.3.1; XOVER and XHDR of RFC 2980).

use super::Range;
use super::range::article_number;
use crate::clock::{self, Timestamp};
use crate::limits::MESSAGE_ID_MAX;
use chrono::Datelike;

/// Which part of an article a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// ARTICLE: header, empty line, body.
    Article,
    /// HEAD: header only.
    Head,
    /// BODY: body only.
    Body,
    /// STAT: nothing but its existence.
    Stat,
}

/// How a command names an article.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArticleSpec<'a> {
    /// By Message-ID (with its angle brackets).
    Id(&'a str),
    /// By article number in the current newsgroup.
    Number(u64),
    /// The current article.
    Current,
}

/// How OVER and HDR name articles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec<'a> {
    /// One article by Message-ID.
    Id(&'a str),
    /// Article numbers in the current newsgroup.
    Range(Range),
    /// The current article.
    Current,
}

/// The variants of LIST (RFC 3977 s.7.6, s.8.4, s.8.6). `wildmat` is unparsed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListCommand<'a> {
    /// LIST, LIST ACTIVE \[wildmat\].
    Active(Option<&'a str>),
    /// LIST ACTIVE.TIMES \[wildmat\].
    ActiveTimes(Option<&'a str>),
    /// LIST NEWSGROUPS \[wildmat\].
    Newsgroups(Option<&'a str>),
    /// LIST OVERVIEW.FMT.
    OverviewFmt,
    /// LIST HEADERS \[MSGID|RANGE\].
    Headers,
    /// LIST COUNTS \[wildmat\] (RFC 6048).
    Counts(Option<&'a str>),
    /// A keyword we do not know: 501 or 503 (RFC 3977 s.7.6.1).
    Unknown(&'a str),
}

/// One command line, parsed. Keywords are case-insensitive; arguments are as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant is the command of its name
pub enum Command<'a> {
    Article(Part, ArticleSpec<'a>),
    Capabilities,
    Check(&'a str),
    Date,
    Group(&'a str),
    Hdr {
        field: &'a str,
        spec: RangeSpec<'a>,
    },
    Help,
    Ihave(&'a str),
    Last,
    List(ListCommand<'a>),
    Listgroup {
        group: Option<&'a str>,
        range: Option<Range>,
    },
    ModeReader,
    ModeStream,
    Newgroups {
        since: Timestamp,
    },
    Newnews {
        wildmat: &'a str,
        since: Timestamp,
    },
    Next,
    /// OVER, and XOVER, which has no Message-ID form.
    Over(RangeSpec<'a>),
    Post,
    Quit,
    TakeThis(&'a str),
    /// XHDR (RFC 2980 s.2.6): answered 221, otherwise as HDR.
    Xhdr {
        field: &'a str,
        spec: RangeSpec<'a>,
    },
}

/// Why a line is no command we can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// 500: the keyword is unknown.
    Unknown,
    /// 501: known, but the arguments are wrong; the text is the command's usage.
    Syntax(&'static str),
    /// 501, and an article follows all the same: TAKETHIS with a bad Message-ID.
    TakeThisSyntax,
}

impl<'a> Command<'a> {
    /// Parses one line without its CRLF. Message-IDs in the result satisfy RFC 3977 s.3.6
    /// (`<`, `>`, 3-250 octets, printable US-ASCII without blanks or inner angle brackets).
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        let mut words = Words(line);
        let keyword = words.next().ok_or(CommandError::Unknown)?;
        let mut upper = [0; KEYWORD_MAX];
        let upper = upper.get_mut(..keyword.len()).ok_or(CommandError::Unknown)?;
        upper.copy_from_slice(keyword);
        upper.make_ascii_uppercase();

        let (parsed, usage) = match &*upper {
            b"CHECK" => (words.message_id().map(Self::Check), "CHECK message-id"),
            b"TAKETHIS" => {
                return words.message_id().map(Self::TakeThis).ok_or(CommandError::TakeThisSyntax);
            }
            b"IHAVE" => (words.message_id().map(Self::Ihave), "IHAVE message-id"),
            b"ARTICLE" => (words.article(Part::Article), "ARTICLE [message-id|number]"),
            b"HEAD" => (words.article(Part::Head), "HEAD [message-id|number]"),
            b"BODY" => (words.article(Part::Body), "BODY [message-id|number]"),
            b"STAT" => (words.article(Part::Stat), "STAT [message-id|number]"),
            b"OVER" => (words.range_spec().map(Self::Over), "OVER [message-id|range]"),
            b"XOVER" => (words.xover(), "XOVER [range]"),
            b"HDR" => {
                (words.hdr().map(|(field, spec)| Self::Hdr { field, spec }), "HDR field [message-id|range]")
            }
            b"XHDR" => {
                (words.hdr().map(|(field, spec)| Self::Xhdr { field, spec }), "XHDR field [message-id|range]")
            }
            b"GROUP" => (words.only_text().map(Self::Group), "GROUP newsgroup"),
            b"LISTGROUP" => (words.listgroup(), "LISTGROUP [newsgroup [range]]"),
            b"LIST" => (words.list().map(Self::List), "LIST [keyword [wildmat]]"),
            b"NEXT" => (words.end(Self::Next), "NEXT"),
            b"LAST" => (words.end(Self::Last), "LAST"),
            b"MODE" => (words.mode(), "MODE READER|STREAM"),
            b"CAPABILITIES" => (words.capabilities(), "CAPABILITIES [keyword]"),
            b"POST" => (words.end(Self::Post), "POST"),
            b"NEWNEWS" => (words.newnews(), "NEWNEWS wildmat [yy]yymmdd hhmmss [GMT]"),
            b"NEWGROUPS" => (
                words.date_time().map(|since| Self::Newgroups { since }),
                "NEWGROUPS [yy]yymmdd hhmmss [GMT]",
            ),
            b"DATE" => (words.end(Self::Date), "DATE"),
            b"HELP" => (words.end(Self::Help), "HELP"),
            b"QUIT" => (words.end(Self::Quit), "QUIT"),
            _ => return Err(CommandError::Unknown),
        };
        parsed.ok_or(CommandError::Syntax(usage))
    }
}

/// Octets of the longest keyword.
const KEYWORD_MAX: usize = "CAPABILITIES".len();

/// Is `text` a Message-ID (RFC 3977 s.3.6): 3 to 250 octets of printable US-ASCII between `<` and
/// `>`? An inner `<` is refused as well: it would be legal here, but in no article (RFC 5536
/// s.3.1.3), and it is what a mangled References field looks like.
pub fn is_message_id(text: &[u8]) -> bool {
    let [b'<', inner @ .., b'>'] = text else { return false };
    let printable = |&octet: &u8| octet.is_ascii_graphic() && octet != b'<' && octet != b'>';
    !inner.is_empty() && text.len() <= MESSAGE_ID_MAX && inner.iter().all(printable)
}

/// The words of a command line that are not yet parsed. Its methods take the rest of the line and
/// give none when it is not what the grammar (RFC 3977 s.9.2) says.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&octet| !is_blank(octet))?;
        let (_, rest) = self.0.split_at(start);
        let len = rest.iter().position(|&octet| is_blank(octet)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(len);
        self.0 = rest;
        Some(word)
    }
}

fn is_blank(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

impl<'a> Words<'a> {
    /// `value`, if nothing is left.
    fn end<T>(mut self, value: T) -> Option<T> {
        if self.next().is_none() { Some(value) } else { None }
    }

    /// The next word if it is a `token`: UTF-8 without control characters.
    fn text(&mut self) -> Option<&'a str> {
        let word = std::str::from_utf8(self.next()?).ok()?;
        if word.bytes().any(|octet| octet.is_ascii_control()) { None } else { Some(word) }
    }

    /// `[token]`: none only when it is there and not a token, or when more follows.
    fn optional_text(self) -> Option<Option<&'a str>> {
        if self.0.iter().all(|&octet| is_blank(octet)) {
            return Some(None);
        }
        self.only_text().map(Some)
    }

    fn only_text(mut self) -> Option<&'a str> {
        let text = self.text()?;
        self.end(text)
    }

    fn message_id(mut self) -> Option<&'a str> {
        let word = self.next()?;
        let id = if is_message_id(word) { std::str::from_utf8(word).ok()? } else { return None };
        self.end(id)
    }

    /// `[article-ref]`
    fn article(self, part: Part) -> Option<Command<'a>> {
        let spec = match self.optional_text()? {
            None => ArticleSpec::Current,
            Some(id) if is_message_id(id.as_bytes()) => ArticleSpec::Id(id),
            Some(number) => ArticleSpec::Number(article_number(number)?),
        };
        Some(Command::Article(part, spec))
    }

    /// `[range-ref]`
    fn range_spec(self) -> Option<RangeSpec<'a>> {
        Some(match self.optional_text()? {
            None => RangeSpec::Current,
            Some(id) if is_message_id(id.as_bytes()) => RangeSpec::Id(id),
            Some(range) => RangeSpec::Range(Range::parse(range)?),
        })
    }

    /// RFC 2980 s.2.8: no Message-ID form.
    fn xover(self) -> Option<Command<'a>> {
        match self.range_spec()? {
            RangeSpec::Id(_) => None,
            spec => Some(Command::Over(spec)),
        }
    }

    /// `header-meta-name [range-ref]`
    fn hdr(mut self) -> Option<(&'a str, RangeSpec<'a>)> {
        let field = self.text()?;
        let name = field.strip_prefix(':').unwrap_or(field);
        let legal = |octet: u8| octet.is_ascii_graphic() && octet != b':';
        if name.is_empty() || !name.bytes().all(legal) {
            return None;
        }
        Some((field, self.range_spec()?))
    }

    /// `[newsgroup-name [range]]`
    fn listgroup(mut self) -> Option<Command<'a>> {
        let Some(word) = self.next() else {
            return Some(Command::Listgroup { group: None, range: None });
        };
        let group = Words(word).only_text()?;
        let range = match self.optional_text()? {
            None => None,
            Some(range) => Some(Range::parse(range)?),
        };
        Some(Command::Listgroup { group: Some(group), range })
    }

    /// `[keyword [token]]`, RFC 3977 s.7.6.1
    fn list(mut self) -> Option<ListCommand<'a>> {
        let Some(word) = self.next() else { return Some(ListCommand::Active(None)) };
        let keyword = Words(word).only_text().filter(|word| is_keyword(word))?;
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("ACTIVE") {
            self.optional_text().map(ListCommand::Active)
        } else if is("NEWSGROUPS") {
            self.optional_text().map(ListCommand::Newsgroups)
        } else if is("OVERVIEW.FMT") {
            self.end(ListCommand::OverviewFmt)
        } else if is("ACTIVE.TIMES") {
            self.optional_text().map(ListCommand::ActiveTimes)
        } else if is("COUNTS") {
            self.optional_text().map(ListCommand::Counts)
        } else if is("HEADERS") {
            // RFC 3977 s.8.6.2: the argument names a form of HDR; all forms know all fields here.
            match self.optional_text()? {
                Some(form) if !["MSGID", "RANGE"].iter().any(|f| form.eq_ignore_ascii_case(f)) => None,
                _ => Some(ListCommand::Headers),
            }
        } else {
            Some(ListCommand::Unknown(keyword))
        }
    }

    fn mode(self) -> Option<Command<'a>> {
        let mode = self.only_text()?;
        if mode.eq_ignore_ascii_case("READER") {
            Some(Command::ModeReader)
        } else if mode.eq_ignore_ascii_case("STREAM") {
            Some(Command::ModeStream)
        } else {
            None
        }
    }

    /// RFC 3977 s.5.2.2: the argument is reserved; servers ignore it if it is a keyword.
    fn capabilities(self) -> Option<Command<'a>> {
        match self.optional_text()? {
            Some(word) if !is_keyword(word) => None,
            _ => Some(Command::Capabilities),
        }
    }

    fn newnews(mut self) -> Option<Command<'a>> {
        let wildmat = self.text()?;
        Some(Command::Newnews { wildmat, since: self.date_time()? })
    }

    /// `date time ["GMT"]` (RFC 3977 s.7.3.2). Without GMT the server's zone is meant: UTC, which
    /// is the only one this server has.
    fn date_time(mut self) -> Option<Timestamp> {
        let (date, time) = (self.text()?, self.text()?);
        match self.optional_text()? {
            Some(zone) if !zone.eq_ignore_ascii_case("GMT") => return None,
            _ => {}
        }
        let (year, month_day) = match date.len() {
            8 => (digits(date.get(..4)?)?, digits(date.get(4..)?)?),
            6 => {
                let this_year = chrono::DateTime::from_timestamp_millis(clock::now().unix_ms())?.year();
                (century(digits(date.get(..2)?)?, this_year.unsigned_abs()), digits(date.get(2..)?)?)
            }
            _ => return None,
        };
        let clock = if time.len() == 6 { digits(time)? } else { return None };
        let (hour, minute, second) = (clock / 10_000, clock / 100 % 100, clock % 100);
        // 60 is a leap second: the same moment as the next one in this scale.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let day =
            chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month_day / 100, month_day % 100)?;
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
        Some(Timestamp::from_unix_s(midnight + i64::from(hour * 3600 + minute * 60 + second)))
    }
}

/// `ALPHA 2*(ALPHA / DIGIT / "." / "-")` (RFC 3977 s.9.8).
fn is_keyword(word: &str) -> bool {
    let rest = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'.' || octet == b'-';
    word.len() >= 3 && word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.bytes().all(rest)
}

/// The number that `text`, at most 9 digits, stands for.
fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|octet| octet.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// RFC 3977 s.7.3.2: a year of two digits is in the current century if it is not in the future,
/// in the previous one otherwise.
fn century(yy: u32, this_year: u32) -> u32 {
    let this_century = this_year - this_year % 100;
    if yy <= this_year % 100 { this_century + yy } else { (this_century + yy).saturating_sub(100) }
}
