//! What a reader asks: newsgroups, articles, overviews, header fields; and POST.

use super::{Answer, Client, ClientError};
use crate::clock::Timestamp;
use crate::wire::{Code, block};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;

/// A newsgroup, selected (RFC 3977 s.6.1.1) or listed (s.7.6.3).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct ListedGroup {
    pub name: String,
    pub low: u64,
    pub high: u64,
    /// `y`, `n`, `m`, or what else the server says; empty when it was not asked.
    pub status: String,
    pub description: String,
}

/// An overview row (RFC 3977 s.8.3).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct OverviewRow {
    pub number: u64,
    pub subject: String,
    pub from: String,
    pub date: String,
    pub id: String,
    pub references: String,
    pub bytes: u64,
    pub lines: u64,
}

impl Client {
    /// Selects a newsgroup (RFC 3977 s.6.1.1): its low and high water marks.
    pub fn group(&mut self, name: &str) -> Result<(u64, u64), ClientError> {
        self.again(|client| {
            let answer = client.expect(&format!("GROUP {name}"), 211)?;
            client.group = Some(name.to_owned());
            let mut numbers = answer.text.split_ascii_whitespace().skip(1).map(str::parse);
            match (numbers.next(), numbers.next()) {
                (Some(Ok(low)), Some(Ok(high))) => Ok((low, high)),
                _ => Err(ClientError::Protocol(answer.to_string())),
            }
        })
    }

    /// Is the article there? By Message-ID or by number in the selected newsgroup.
    pub fn stat(&mut self, article: &str) -> Result<bool, ClientError> {
        self.again(|client| {
            let answer = client.command(&format!("STAT {article}"))?;
            match answer.code {
                Code(223) => Ok(true),
                Code(423 | 430) => Ok(false),
                _ => Err(ClientError::Declined(answer)),
            }
        })
    }

    /// An article, by Message-ID or by number in the selected newsgroup, with CRLF line ends.
    pub fn article(&mut self, article: &str) -> Result<Vec<u8>, ClientError> {
        self.again(|client| client.ask(&format!("ARTICLE {article}"), 220))
    }

    /// The header section of an article.
    pub fn head(&mut self, article: &str) -> Result<Vec<u8>, ClientError> {
        self.again(|client| client.ask(&format!("HEAD {article}"), 221))
    }

    /// The body of an article, with CRLF line ends.
    pub fn body(&mut self, article: &str) -> Result<Vec<u8>, ClientError> {
        self.again(|client| client.ask(&format!("BODY {article}"), 222))
    }

    /// Overview rows of a range of article numbers in the selected newsgroup; none when the range
    /// holds no article. By XOVER (RFC 2980 s.2.8) where the server knows no OVER.
    pub fn overview(&mut self, range: &str) -> Result<Vec<OverviewRow>, ClientError> {
        let block = self.again(|client| {
            client.compress()?;
            client.either([&format!("OVER {range}"), &format!("XOVER {range}")], 224)
        });
        match none_in_range(block)? {
            Some(block) => Ok(text_lines(&block).filter_map(|line| OverviewRow::parse(&line)).collect()),
            None => Ok(Vec::new()),
        }
    }

    /// A header field of the articles of a range in the selected newsgroup, with their numbers, by HDR
    /// (RFC 3977 s.8.5) or XHDR (RFC 2980 s.2.6). A 503 declines a field that the server has no table of.
    pub fn field(&mut self, field: &str, range: &str) -> Result<Vec<(u64, String)>, ClientError> {
        let block = self.again(|client| {
            client.compress()?;
            // 225 answers HDR, 221 XHDR.
            match client.ask(&format!("HDR {field} {range}"), 225) {
                Err(error) if error.is_unknown_command() => client.ask(&format!("XHDR {field} {range}"), 221),
                done => done,
            }
        });
        Ok(none_in_range(block)?.map(|block| numbered(&block)).unwrap_or_default())
    }

    /// The articles of a range whose header field matches a wildmat, by XPAT (RFC 2980 s.2.9), with
    /// their numbers and the field; none when the server does not search.
    pub fn matching(
        &mut self,
        field: &str,
        range: &str,
        wildmat: &str,
    ) -> Result<Option<Vec<(u64, String)>>, ClientError> {
        let block = self.again(|client| client.ask(&format!("XPAT {field} {range} {wildmat}"), 221));
        match none_in_range(block) {
            Ok(block) => Ok(Some(block.map(|block| numbered(&block)).unwrap_or_default())),
            Err(error) if error.is_unknown_command() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newsgroups that match `wildmat`, or all of them, with their descriptions.
    pub fn list(&mut self, wildmat: Option<&str>) -> Result<Vec<ListedGroup>, ClientError> {
        let argument = wildmat.map(|wildmat| format!(" {wildmat}")).unwrap_or_default();
        let active = self.again(|client| {
            client.compress()?;
            client.ask(&format!("LIST ACTIVE{argument}"), 215)
        })?;
        let mut groups: Vec<ListedGroup> =
            text_lines(&active).filter_map(|line| ListedGroup::parse(&line)).collect();
        // RFC 3977 s.7.6.6: a server may have no descriptions.
        match self.again(|client| client.ask(&format!("LIST NEWSGROUPS{argument}"), 215)) {
            Ok(block) => {
                let described: HashMap<String, String> = text_lines(&block)
                    .filter_map(|line| {
                        let (name, text) = line.split_once([' ', '\t'])?;
                        Some((name.to_owned(), text.trim().to_owned()))
                    })
                    .collect();
                for group in &mut groups {
                    group.description = described.get(&group.name).cloned().unwrap_or_default();
                }
            }
            Err(ClientError::Declined(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(groups)
    }

    /// How we stand with a server that is feedd and has us as a peer (XPEER): keys and values; none when it
    /// does not tell.
    pub fn peer_view(&mut self) -> Result<Option<Vec<(String, String)>>, ClientError> {
        match self.ask("XPEER", 293) {
            Ok(block) => {
                let pair = |line: Cow<'_, str>| {
                    let (key, value) = line.trim_end().split_once(' ')?;
                    Some((key.to_owned(), value.to_owned()))
                };
                Ok(Some(text_lines(&block).filter_map(pair).collect()))
            }
            Err(error @ ClientError::Declined(_)) if !error.is_lost() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The server's clock (RFC 3977 s.7.1), Unix seconds.
    pub fn date(&mut self) -> Result<i64, ClientError> {
        self.again(|client| {
            let answer = client.expect("DATE", 111)?;
            let at = chrono::NaiveDateTime::parse_from_str(answer.text.trim(), "%Y%m%d%H%M%S");
            at.map(|at| at.and_utc().timestamp()).map_err(|_| ClientError::Protocol(answer.to_string()))
        })
    }

    /// The Message-IDs of what has come since then in the newsgroups that match (RFC 3977 s.7.4). Many
    /// servers do not answer that.
    pub fn newnews(&mut self, wildmat: &str, since: Timestamp) -> Result<Vec<String>, ClientError> {
        let since = chrono::DateTime::from_timestamp(since.unix_s(), 0).unwrap_or_default();
        let line = format!("NEWNEWS {wildmat} {} GMT", since.format("%Y%m%d %H%M%S"));
        let block = self.again(|client| client.ask(&line, 230))?;
        Ok(text_lines(&block).filter(|line| !line.is_empty()).map(Cow::into_owned).collect())
    }

    /// Posts a proto-article, with any line ends and without dot-stuffing (RFC 3977 s.6.3.1): the
    /// server's answer, which may name the Message-ID.
    pub fn post(&mut self, article: &[u8]) -> Result<Answer, ClientError> {
        // Until the server says go on nothing has been posted, and it may be asked again.
        self.again(|client| client.expect("POST", 340))?;
        let mut text = Vec::new();
        block::stuff(article, &mut text);
        self.commands.write_all(&text)?;
        self.commands.flush()?;
        let answer = self.answers.answer()?;
        if answer.code == Code(240) { Ok(answer) } else { Err(ClientError::Declined(answer)) }
    }

    /// Two names of one question; the second for servers that do not know the first.
    fn either(&mut self, lines: [&str; 2], code: u16) -> Result<Vec<u8>, ClientError> {
        match self.ask(lines[0], code) {
            Err(error) if error.is_unknown_command() => self.ask(lines[1], code),
            done => done,
        }
    }
}

/// A range without articles is no failure (RFC 3977 s.8.3.2; 420 is RFC 2980's).
fn none_in_range(block: Result<Vec<u8>, ClientError>) -> Result<Option<Vec<u8>>, ClientError> {
    match block {
        Ok(block) => Ok(Some(block)),
        Err(ClientError::Declined(answer)) if matches!(answer.code, Code(420 | 423 | 430)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lines of a block's text; what is not UTF-8 is shown as such.
fn text_lines(block: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    block.split_inclusive(|octet| *octet == b'\n').map(|line| String::from_utf8_lossy(line.trim_ascii_end()))
}

/// Lines of a number and a text.
fn numbered(block: &[u8]) -> Vec<(u64, String)> {
    text_lines(block)
        .filter_map(|line| {
            let (number, text) = line.split_once(' ').unwrap_or((&line, ""));
            Some((number.parse().ok()?, text.to_owned()))
        })
        .collect()
}

impl ListedGroup {
    /// A line of LIST ACTIVE: name, high, low, status (RFC 3977 s.7.6.3).
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?.to_owned();
        let high = words.next()?.parse().ok()?;
        let low = words.next()?.parse().ok()?;
        let status = words.next()?.to_owned();
        Some(Self { name, low, high, status, description: String::new() })
    }
}

impl OverviewRow {
    /// A line of OVER: the number and the seven fields that every server has (RFC 3977 s.8.3.2).
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let number = fields.next()?.parse().ok()?;
        let mut field = || fields.next().unwrap_or_default().to_owned();
        Some(Self {
            number,
            subject: field(),
            from: field(),
            date: field(),
            id: field(),
            references: field(),
            bytes: field().parse().unwrap_or(0),
            lines: field().parse().unwrap_or(0),
        })
    }
}
