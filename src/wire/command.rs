//! Commands as a server reads them (RFC 3977 s.3.1, s.9.2; RFC 4642 s.3; RFC 4643 s.3; RFC 4644 s.3.1;
//! RFC 8054 s.4; XOVER, XHDR, XPAT and XGTITLE of RFC 2980).

use super::arguments::Arguments;
use super::{ListFile, Range};
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
    /// A list of the operator's; only SUBSCRIPTIONS takes a \[wildmat\] (RFC 6048 s.2.6).
    File(ListFile, Option<&'a str>),
    /// A keyword we do not know: 501 (RFC 3977 s.7.6.1).
    Unknown(&'a str),
}

/// Something that must not be shown: its `Debug` does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a str);

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

/// The variants of AUTHINFO (RFC 4643 s.2.3.1, s.2.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authinfo<'a> {
    /// AUTHINFO USER: all behind the keyword.
    User(&'a str),
    /// AUTHINFO PASS: all behind the keyword.
    Pass(Secret<'a>),
    /// AUTHINFO SASL mechanism \[initial-response\]; the response is base64, not decoded.
    Sasl {
        /// The mechanism, as sent.
        mechanism: &'a str,
        /// The initial response.
        initial: Option<Secret<'a>>,
    },
    /// AUTHINFO GENERIC and whatever else there was.
    Unknown,
}

/// The variants of XSYNC, a private command of this project (RFC 3977 s.3.3): what a peer asks to find out
/// whether both have the same articles. Ranges and wildmats are unparsed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncCommand<'a> {
    /// XSYNC COUNTS ranges wildmat: for each hour how many articles, and the sum of their hashes.
    Counts(&'a str, &'a str),
    /// XSYNC IDS ranges wildmat: the Message-IDs.
    Ids(&'a str, &'a str),
    /// XSYNC OFFER message-id: offer it to me.
    Offer(&'a str),
}

/// One command line, parsed. Keywords are case-insensitive; arguments are as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant is the command of its name
pub enum Command<'a> {
    Article(Part, ArticleSpec<'a>),
    Authinfo(Authinfo<'a>),
    Capabilities,
    Check(&'a str),
    /// COMPRESS with its algorithm.
    Compress(&'a str),
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
    StartTls,
    TakeThis(&'a str),
    /// XSYNC, of this project.
    Sync(SyncCommand<'a>),
    /// XTURN, of this project: client and server change places.
    Turn,
    /// XPEER, of this project: how the peer stands with the server.
    Peer,
    /// XGTITLE \[wildmat\] (RFC 2980 s.2.4): LIST NEWSGROUPS, answered 282; without wildmat of the current
    /// newsgroup.
    Xgtitle(Option<&'a str>),
    /// XHDR (RFC 2980 s.2.6): answered 221, otherwise as HDR.
    Xhdr {
        field: &'a str,
        spec: RangeSpec<'a>,
    },
    /// XPAT (RFC 2980 s.2.9): XHDR of those that match. `pattern` is unparsed text with blanks inside.
    Xpat {
        field: &'a str,
        spec: RangeSpec<'a>,
        pattern: &'a str,
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
        let mut arguments = Arguments::new(line);
        let keyword = arguments.next().ok_or(CommandError::Unknown)?;
        let mut upper = [0; KEYWORD_MAX];
        let upper = upper.get_mut(..keyword.len()).ok_or(CommandError::Unknown)?;
        upper.copy_from_slice(keyword);
        upper.make_ascii_uppercase();

        let (parsed, usage) = match &*upper {
            b"CHECK" => (arguments.message_id().map(Self::Check), "CHECK message-id"),
            b"TAKETHIS" => {
                return arguments.message_id().map(Self::TakeThis).ok_or(CommandError::TakeThisSyntax);
            }
            b"IHAVE" => (arguments.message_id().map(Self::Ihave), "IHAVE message-id"),
            b"ARTICLE" => (arguments.article(Part::Article), "ARTICLE [message-id|number]"),
            b"HEAD" => (arguments.article(Part::Head), "HEAD [message-id|number]"),
            b"BODY" => (arguments.article(Part::Body), "BODY [message-id|number]"),
            b"STAT" => (arguments.article(Part::Stat), "STAT [message-id|number]"),
            b"OVER" => (arguments.range_spec().map(Self::Over), "OVER [message-id|range]"),
            b"XOVER" => (arguments.xover(), "XOVER [range]"),
            b"HDR" => (
                arguments.hdr().map(|(field, spec)| Self::Hdr { field, spec }),
                "HDR field [message-id|range]",
            ),
            b"XHDR" => (
                arguments.hdr().map(|(field, spec)| Self::Xhdr { field, spec }),
                "XHDR field [message-id|range]",
            ),
            b"XPAT" => (arguments.xpat(), "XPAT field message-id|range pattern"),
            b"XSYNC" => (
                arguments.sync().map(Self::Sync),
                "XSYNC COUNTS|IDS from-to[,from-to] wildmat|OFFER message-id",
            ),
            b"XTURN" => (arguments.end(Self::Turn), "XTURN"),
            b"XPEER" => (arguments.end(Self::Peer), "XPEER"),
            b"XGTITLE" => (arguments.optional_text().map(Self::Xgtitle), "XGTITLE [wildmat]"),
            b"GROUP" => (arguments.only_text().map(Self::Group), "GROUP newsgroup"),
            b"LISTGROUP" => (arguments.listgroup(), "LISTGROUP [newsgroup [range]]"),
            b"LIST" => (arguments.list().map(Self::List), "LIST [keyword [wildmat]]"),
            b"NEXT" => (arguments.end(Self::Next), "NEXT"),
            b"LAST" => (arguments.end(Self::Last), "LAST"),
            b"MODE" => (arguments.mode(), "MODE READER|STREAM"),
            b"CAPABILITIES" => (arguments.capabilities(), "CAPABILITIES [keyword]"),
            b"POST" => (arguments.end(Self::Post), "POST"),
            b"NEWNEWS" => (arguments.newnews(), "NEWNEWS wildmat [yy]yymmdd hhmmss [GMT]"),
            b"NEWGROUPS" => (
                arguments.date_time().map(|since| Self::Newgroups { since }),
                "NEWGROUPS [yy]yymmdd hhmmss [GMT]",
            ),
            b"DATE" => (arguments.end(Self::Date), "DATE"),
            b"HELP" => (arguments.end(Self::Help), "HELP"),
            b"AUTHINFO" => (
                arguments.authinfo().map(Self::Authinfo),
                "AUTHINFO USER name|PASS password|SASL mechanism [initial-response]",
            ),
            b"STARTTLS" => (arguments.end(Self::StartTls), "STARTTLS"),
            b"COMPRESS" => (arguments.algorithm().map(Self::Compress), "COMPRESS algorithm"),
            b"QUIT" => (arguments.end(Self::Quit), "QUIT"),
            _ => return Err(CommandError::Unknown),
        };
        parsed.ok_or(CommandError::Syntax(usage))
    }
}

/// Octets of the longest keyword.
const KEYWORD_MAX: usize = "CAPABILITIES".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        use Command::*;
        let id = "<45223423@example.com>";
        let range = |low, high| RangeSpec::Range(super::Range { low, high });
        let at = Timestamp::from_unix_s;
        let table = [
            ("CHECK <45223423@example.com>", Check(id)),
            ("check\t<45223423@example.com>  ", Check(id)),
            ("TakeThis <45223423@example.com>", TakeThis(id)),
            ("IHAVE <45223423@example.com>", Ihave(id)),
            ("ARTICLE", Article(Part::Article, ArticleSpec::Current)),
            ("ARTICLE 0", Article(Part::Article, ArticleSpec::Number(0))),
            ("HEAD 3000234", Article(Part::Head, ArticleSpec::Number(3_000_234))),
            ("body <45223423@example.com>", Article(Part::Body, ArticleSpec::Id(id))),
            ("STAT \t 12", Article(Part::Stat, ArticleSpec::Number(12))),
            ("OVER", Over(RangeSpec::Current)),
            ("OVER <45223423@example.com>", Over(RangeSpec::Id(id))),
            ("OVER 1-", Over(range(1, None))),
            ("xover 1-9", Over(range(1, Some(9)))),
            ("XOVER", Over(RangeSpec::Current)),
            ("HDR Subject", Hdr { field: "Subject", spec: RangeSpec::Current }),
            ("HDR :bytes 3", Hdr { field: ":bytes", spec: range(3, Some(3)) }),
            ("XHDR X-Face <45223423@example.com>", Xhdr { field: "X-Face", spec: RangeSpec::Id(id) }),
            ("GROUP misc.test", Group("misc.test")),
            ("GROUP köln.allgemein", Group("köln.allgemein")),
            ("LISTGROUP", Listgroup { group: None, range: None }),
            ("LISTGROUP misc.test", Listgroup { group: Some("misc.test"), range: None }),
            (
                "LISTGROUP misc.test 3-",
                Listgroup { group: Some("misc.test"), range: Some(super::Range { low: 3, high: None }) },
            ),
            ("NEXT", Next),
            ("LAST ", Last),
            ("MODE READER", ModeReader),
            ("mode stream", ModeStream),
            ("CAPABILITIES", Capabilities),
            ("CAPABILITIES AUTOUPDATE", Capabilities),
            ("POST", Post),
            ("DATE", Date),
            ("HELP", Help),
            ("QUIT", Quit),
            ("STARTTLS", StartTls),
            ("compress deflate", Compress("deflate")),
            ("AUTHINFO USER a b@c ", Authinfo(super::Authinfo::User("a b@c"))),
            ("authinfo pass  x  y ", Authinfo(super::Authinfo::Pass(Secret("x  y")))),
            ("AUTHINFO GENERIC x", Authinfo(super::Authinfo::Unknown)),
            (
                "AUTHINFO SASL PLAIN AGEAYg==",
                Authinfo(super::Authinfo::Sasl { mechanism: "PLAIN", initial: Some(Secret("AGEAYg==")) }),
            ),
            ("AUTHINFO SASL plain", Authinfo(super::Authinfo::Sasl { mechanism: "plain", initial: None })),
            ("LIST", List(ListCommand::Active(None))),
            ("LIST ACTIVE", List(ListCommand::Active(None))),
            ("list active misc.*,!*.x", List(ListCommand::Active(Some("misc.*,!*.x")))),
            ("LIST ACTIVE.TIMES *", List(ListCommand::ActiveTimes(Some("*")))),
            ("LIST NEWSGROUPS", List(ListCommand::Newsgroups(None))),
            ("LIST Overview.FMT", List(ListCommand::OverviewFmt)),
            ("LIST HEADERS", List(ListCommand::Headers)),
            ("LIST HEADERS msgid", List(ListCommand::Headers)),
            ("LIST COUNTS a*", List(ListCommand::Counts(Some("a*")))),
            ("LIST motd", List(ListCommand::File(ListFile::Motd, None))),
            ("LIST DISTRIB.PATS", List(ListCommand::File(ListFile::DistribPats, None))),
            ("LIST SUBSCRIPTIONS a*", List(ListCommand::File(ListFile::Subscriptions, Some("a*")))),
            ("xturn", Turn),
            ("xpeer", Peer),
            ("xsync counts 5-9,10-20 *,!a.*", Sync(SyncCommand::Counts("5-9,10-20", "*,!a.*"))),
            ("XSYNC IDS 5-9 *", Sync(SyncCommand::Ids("5-9", "*"))),
            ("XSYNC offer <a@b>", Sync(SyncCommand::Offer("<a@b>"))),
            ("XGTITLE", Xgtitle(None)),
            ("XGTITLE a*", Xgtitle(Some("a*"))),
            (
                "XPAT Subject 1- *a* \t b* ",
                Xpat { field: "Subject", spec: range(1, None), pattern: "*a* \t b*" },
            ),
            (
                "XPAT From <45223423@example.com> *",
                Xpat { field: "From", spec: RangeSpec::Id(id), pattern: "*" },
            ),
            ("LIST XTRA.MENU 1 2", List(ListCommand::Unknown("XTRA.MENU"))),
            ("NEWGROUPS 19990624 000000 GMT", Newgroups { since: at(930_182_400) }),
            ("NEWGROUPS 20000229 235960", Newgroups { since: at(951_868_800) }),
            (
                "NEWNEWS news.*,sci.* 19990624 000001 gmt",
                Newnews { wildmat: "news.*,sci.*", since: at(930_182_401) },
            ),
        ];
        for (line, expected) in table {
            assert_eq!(Command::parse(line.as_bytes()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn unknown_keywords() {
        for line in
            ["", "  ", "CHECKS <a@b>", "XYZZY", "CAPABILITIESX", "GRÜPPE x", "AUTHINFOX USER x", "QUIT\0"]
        {
            assert_eq!(Command::parse(line.as_bytes()), Err(CommandError::Unknown), "{line}");
        }
        assert_eq!(Command::parse(b"\xFF\xFE x"), Err(CommandError::Unknown));
    }

    #[test]
    fn wrong_arguments() {
        let table = [
            (&b"XPAT Subject"[..], "XPAT field message-id|range pattern"),
            (b"XPAT Subject 1-", "XPAT field message-id|range pattern"),
            (b"XPAT Subject x *", "XPAT field message-id|range pattern"),
            (b"XTURN now", "XTURN"),
            (b"XGTITLE a b", "XGTITLE [wildmat]"),
            (b"LIST MOTD *", "LIST [keyword [wildmat]]"),
            (b"LIST DISTRIB.PATS *", "LIST [keyword [wildmat]]"),
            (b"LIST SUBSCRIPTIONS a b", "LIST [keyword [wildmat]]"),
            (b"CHECK", "CHECK message-id"),
            (b"CHECK 5", "CHECK message-id"),
            (b"CHECK <a@b> <c@d>", "CHECK message-id"),
            (b"CHECK <a\xE9@b>", "CHECK message-id"),
            (b"IHAVE a@b", "IHAVE message-id"),
            (b"ARTICLE <a", "ARTICLE [message-id|number]"),
            (b"ARTICLE <a@b>x", "ARTICLE [message-id|number]"),
            (b"ARTICLE 1-2", "ARTICLE [message-id|number]"),
            (b"ARTICLE 12345678901234567", "ARTICLE [message-id|number]"),
            (b"HEAD 1 2", "HEAD [message-id|number]"),
            (b"BODY x", "BODY [message-id|number]"),
            (b"STAT <>", "STAT [message-id|number]"),
            (b"OVER x", "OVER [message-id|range]"),
            (b"OVER 1 2", "OVER [message-id|range]"),
            (b"XOVER <a@b>", "XOVER [range]"),
            (b"XOVER -", "XOVER [range]"),
            (b"HDR", "HDR field [message-id|range]"),
            (b"HDR : 1", "HDR field [message-id|range]"),
            (b"HDR Subject: 1", "HDR field [message-id|range]"),
            (b"HDR Subject 1 2", "HDR field [message-id|range]"),
            (b"XHDR", "XHDR field [message-id|range]"),
            (b"GROUP", "GROUP newsgroup"),
            (b"GROUP a b", "GROUP newsgroup"),
            (b"GROUP a\x07b", "GROUP newsgroup"),
            (b"GROUP a\xFFb", "GROUP newsgroup"),
            (b"LISTGROUP a x", "LISTGROUP [newsgroup [range]]"),
            (b"LISTGROUP a 1 2", "LISTGROUP [newsgroup [range]]"),
            (b"LIST ACTIVE a b", "LIST [keyword [wildmat]]"),
            (b"LIST OVERVIEW.FMT *", "LIST [keyword [wildmat]]"),
            (b"LIST HEADERS *", "LIST [keyword [wildmat]]"),
            (b"LIST *", "LIST [keyword [wildmat]]"),
            (b"NEXT 1", "NEXT"),
            (b"AUTHINFO", "AUTHINFO USER name|PASS password|SASL mechanism [initial-response]"),
            (b"AUTHINFO USER", "AUTHINFO USER name|PASS password|SASL mechanism [initial-response]"),
            (b"AUTHINFO PASS \xFF", "AUTHINFO USER name|PASS password|SASL mechanism [initial-response]"),
            (b"AUTHINFO SASL", "AUTHINFO USER name|PASS password|SASL mechanism [initial-response]"),
            (
                b"AUTHINFO SASL PLAIN = =",
                "AUTHINFO USER name|PASS password|SASL mechanism [initial-response]",
            ),
            (b"STARTTLS now", "STARTTLS"),
            (b"COMPRESS", "COMPRESS algorithm"),
            (b"COMPRESS DE/FLATE", "COMPRESS algorithm"),
            (b"LAST 1", "LAST"),
            (b"MODE", "MODE READER|STREAM"),
            (b"MODE WRITER", "MODE READER|STREAM"),
            (b"MODE READER x", "MODE READER|STREAM"),
            (b"CAPABILITIES 1", "CAPABILITIES [keyword]"),
            (b"POST now", "POST"),
            (b"DATE GMT", "DATE"),
            (b"HELP me", "HELP"),
            (b"QUIT now", "QUIT"),
            (b"NEWGROUPS 990624", "NEWGROUPS [yy]yymmdd hhmmss [GMT]"),
            (b"NEWGROUPS 19990631 000000", "NEWGROUPS [yy]yymmdd hhmmss [GMT]"),
            (b"NEWGROUPS 19990630 240000", "NEWGROUPS [yy]yymmdd hhmmss [GMT]"),
            (b"NEWGROUPS 19990630 000000 CET", "NEWGROUPS [yy]yymmdd hhmmss [GMT]"),
            (b"NEWNEWS 19990630 000000", "NEWNEWS wildmat [yy]yymmdd hhmmss [GMT]"),
        ];
        for (line, usage) in table {
            let parsed = Command::parse(line);
            assert_eq!(parsed, Err(CommandError::Syntax(usage)), "{:?}", line.escape_ascii().to_string());
        }
    }

    /// RFC 4644 s.2.5: the article follows whatever the argument was.
    #[test]
    fn takethis_announces_an_article_even_when_wrong() {
        for line in ["TAKETHIS", "TAKETHIS x", "TAKETHIS <a@b> x", "takethis <a@b"] {
            assert_eq!(Command::parse(line.as_bytes()), Err(CommandError::TakeThisSyntax), "{line}");
        }
    }

    #[test]
    fn noise_is_answered_and_never_a_panic() {
        let mut state = 11_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let words: [&[u8]; 16] = [
            b"CHECK",
            b"article",
            b"OVER",
            b"HDR",
            b"LIST",
            b"NEWNEWS",
            b"LISTGROUP",
            b"<a@b>",
            b"<",
            b"1-",
            b"-",
            b"\xC3",
            b"990101",
            b"99999999",
            b"000000",
            b"\0",
        ];
        for _ in 0..20_000 {
            let mut line = Vec::new();
            for _ in 0..next(6) {
                line.extend_from_slice(words[next(words.len())]);
                line.extend_from_slice([&b" "[..], b"\t", b"", b" "][next(4)]);
            }
            // Keyword case and outer blanks change nothing.
            let plain = Command::parse(&line).is_ok();
            let keyword = line.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(line.len());
            line[..keyword].make_ascii_lowercase();
            line.extend_from_slice(b" \t");
            assert_eq!(Command::parse(&line).is_ok(), plain, "{:?}", line.escape_ascii().to_string());
        }
    }
}
