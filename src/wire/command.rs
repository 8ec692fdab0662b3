//! Commands as a server reads them (RFC 3977 s.3.1, s.9.2; RFC 4644 s.3.1; XOVER and XHDR of RFC 2980).

use super::Range;
use crate::clock::Timestamp;

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
        let _ = line;
        todo!()
    }
}
