//! The arguments of commands (RFC 3977 s.9.2, s.9.8): the words behind the keyword, as the grammar
//! of each command wants them. Borrows the line and allocates nothing.

use super::command::{ArticleSpec, Authinfo, Command, ListCommand, Part, RangeSpec, Secret, SyncCommand};
use super::range::article_number;
use super::{ListFile, Range};
use crate::clock::{self, Timestamp};
use crate::limits::MESSAGE_ID_MAX;
use chrono::Datelike;

/// Is `text` a Message-ID (RFC 3977 s.3.6): 3 to 250 octets of printable US-ASCII between `<` and
/// `>`? An inner `<` is refused as well: RFC 5536 s.3.1.3 leaves it to domain literals, where nobody
/// writes it, and it is what two identifiers run together look like.
pub fn is_message_id(text: &[u8]) -> bool {
    let [b'<', inner @ .., b'>'] = text else { return false };
    // Without branches, so that many octets are looked at together: this is the core of CHECK.
    let printable = |octet: u8| octet.is_ascii_graphic() & (octet != b'<') & (octet != b'>');
    let all_printable = inner.iter().fold(true, |all, &octet| all & printable(octet));
    !inner.is_empty() && text.len() <= MESSAGE_ID_MAX && all_printable
}

/// What of a command line is not yet parsed. Most methods take all that is left, and give none when
/// that is not what the grammar (RFC 3977 s.9.2) says.
pub(super) struct Arguments<'a>(&'a [u8]);

impl<'a> Iterator for Arguments<'a> {
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

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

impl<'a> Arguments<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// XSYNC.
    pub(super) fn sync(mut self) -> Option<SyncCommand<'a>> {
        let what = self.text()?;
        if what.eq_ignore_ascii_case("OFFER") {
            return self.message_id().map(SyncCommand::Offer);
        }
        let (ranges, wildmat) = (self.text()?, self.text()?);
        let command = match what {
            what if what.eq_ignore_ascii_case("COUNTS") => SyncCommand::Counts(ranges, wildmat),
            what if what.eq_ignore_ascii_case("IDS") => SyncCommand::Ids(ranges, wildmat),
            _ => return None,
        };
        self.end(command)
    }

    /// `value`, if nothing is left.
    pub(super) fn end<T>(mut self, value: T) -> Option<T> {
        if self.next().is_none() { Some(value) } else { None }
    }

    /// The next word if it is a `token`: UTF-8 without control characters.
    fn text(&mut self) -> Option<&'a str> {
        let word = std::str::from_utf8(self.next()?).ok()?;
        if word.bytes().any(|octet| octet.is_ascii_control()) { None } else { Some(word) }
    }

    /// `[token]`: none only when it is there and not a token, or when more follows.
    pub(super) fn optional_text(self) -> Option<Option<&'a str>> {
        if trim_blanks(self.0).is_empty() {
            return Some(None);
        }
        self.only_text().map(Some)
    }

    pub(super) fn only_text(mut self) -> Option<&'a str> {
        let text = self.text()?;
        self.end(text)
    }

    pub(super) fn message_id(&self) -> Option<&'a str> {
        // What has no blank inside is one word.
        let word = trim_blanks(self.0);
        if is_message_id(word) { std::str::from_utf8(word).ok() } else { None }
    }

    /// `[article-ref]`
    pub(super) fn article(self, part: Part) -> Option<Command<'a>> {
        if let Some(id) = self.message_id() {
            return Some(Command::Article(part, ArticleSpec::Id(id)));
        }
        let spec = match self.optional_text()? {
            None => ArticleSpec::Current,
            Some(number) => ArticleSpec::Number(article_number(number)?),
        };
        Some(Command::Article(part, spec))
    }

    /// `[range-ref]`
    pub(super) fn range_spec(self) -> Option<RangeSpec<'a>> {
        if let Some(id) = self.message_id() {
            return Some(RangeSpec::Id(id));
        }
        match self.optional_text()? {
            None => Some(RangeSpec::Current),
            Some(range) => Range::parse(range).map(RangeSpec::Range),
        }
    }

    /// RFC 2980 s.2.8: no Message-ID form.
    pub(super) fn xover(self) -> Option<Command<'a>> {
        match self.range_spec()? {
            RangeSpec::Id(_) => None,
            spec => Some(Command::Over(spec)),
        }
    }

    /// `header-meta-name [range-ref]`
    pub(super) fn hdr(mut self) -> Option<(&'a str, RangeSpec<'a>)> {
        let field = self.text()?;
        let name = field.strip_prefix(':').unwrap_or(field);
        let legal = |octet: u8| octet.is_ascii_graphic() && octet != b':';
        if name.is_empty() || !name.bytes().all(legal) {
            return None;
        }
        Some((field, self.range_spec()?))
    }

    /// `header range|message-id pat *(WS pat)` (RFC 2980 s.2.9)
    pub(super) fn xpat(mut self) -> Option<Command<'a>> {
        let field = self.text()?;
        let (_, RangeSpec::Current) = Self(field.as_bytes()).hdr()? else { return None };
        let spec = match Self(self.next()?).range_spec()? {
            RangeSpec::Current => return None,
            spec => spec,
        };
        let pattern = std::str::from_utf8(trim_blanks(self.0)).ok()?;
        let legal = |octet: u8| octet == b'\t' || !octet.is_ascii_control();
        if pattern.is_empty() || !pattern.bytes().all(legal) {
            return None;
        }
        Some(Command::Xpat { field, spec, pattern })
    }

    /// `[newsgroup-name [range]]`
    pub(super) fn listgroup(mut self) -> Option<Command<'a>> {
        let Some(word) = self.next() else {
            return Some(Command::Listgroup { group: None, range: None });
        };
        let group = Self(word).only_text()?;
        let range = match self.optional_text()? {
            None => None,
            Some(range) => Some(Range::parse(range)?),
        };
        Some(Command::Listgroup { group: Some(group), range })
    }

    /// `[keyword [token]]`, RFC 3977 s.7.6.1
    pub(super) fn list(mut self) -> Option<ListCommand<'a>> {
        let Some(word) = self.next() else { return Some(ListCommand::Active(None)) };
        let keyword = Self(word).only_text().filter(|word| is_keyword(word))?;
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
        } else if let Some(list) = ListFile::of_keyword(keyword) {
            // RFC 6048: an argument where none is expected is 501.
            match list {
                ListFile::Subscriptions => self.optional_text().map(|w| ListCommand::File(list, w)),
                _ => self.end(ListCommand::File(list, None)),
            }
        } else {
            Some(ListCommand::Unknown(keyword))
        }
    }

    /// What is left, without the blanks around it, if it is text; blanks within a name or a password
    /// stand as sent (RFC 4643 s.2.3.2 leaves that to the server).
    fn rest(self) -> Option<&'a str> {
        let rest = std::str::from_utf8(trim_blanks(self.0)).ok()?;
        if rest.is_empty() || rest.bytes().any(|octet| octet.is_ascii_control()) { None } else { Some(rest) }
    }

    /// RFC 4643 s.3.1
    pub(super) fn authinfo(mut self) -> Option<Authinfo<'a>> {
        let keyword = self.text()?;
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("USER") {
            self.rest().map(Authinfo::User)
        } else if is("PASS") {
            self.rest().map(|password| Authinfo::Pass(Secret(password)))
        } else if is("SASL") {
            let mechanism = self.text()?;
            Some(Authinfo::Sasl { mechanism, initial: self.optional_text()?.map(Secret) })
        } else {
            Some(Authinfo::Unknown)
        }
    }

    /// RFC 8054 s.4: 1 to 20 letters, digits, `-` and `_`.
    pub(super) fn algorithm(self) -> Option<&'a str> {
        let legal = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        self.only_text().filter(|name| name.len() <= 20 && name.bytes().all(legal))
    }

    pub(super) fn mode(self) -> Option<Command<'a>> {
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
    pub(super) fn capabilities(self) -> Option<Command<'a>> {
        match self.optional_text()? {
            Some(word) if !is_keyword(word) => None,
            _ => Some(Command::Capabilities),
        }
    }

    pub(super) fn newnews(mut self) -> Option<Command<'a>> {
        let wildmat = self.text()?;
        Some(Command::Newnews { wildmat, since: self.date_time()? })
    }

    /// `date time ["GMT"]` (RFC 3977 s.7.3.2). Without GMT the server's zone is meant: UTC, which
    /// is the only one this server has.
    pub(super) fn date_time(mut self) -> Option<Timestamp> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids() {
        let longest = format!("<{}>", "x".repeat(248));
        for id in ["<a>", "<a@b>", "<\"strange\"@[1.2.3.4]>", longest.as_str()] {
            assert!(is_message_id(id.as_bytes()), "{id}");
        }
        let too_long = format!("<{}>", "x".repeat(249));
        for id in
            ["", "<", ">", "<>", "a@b", "<a@b", "a@b>", "<a b>", "<a>b>", "<a<b>", "<ä@b>", too_long.as_str()]
        {
            assert!(!is_message_id(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn years_of_two_digits() {
        for (yy, this_year, year) in
            [(99, 2026, 1999), (26, 2026, 2026), (27, 2026, 1927), (0, 2000, 2000), (1, 2000, 1901)]
        {
            assert_eq!(century(yy, this_year), year);
        }
        let since = Arguments::new(b"700101 000000").date_time();
        assert_eq!(since, Some(Timestamp::from_unix_s(0)));
    }
}
