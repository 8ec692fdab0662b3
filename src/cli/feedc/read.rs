//! `feedc read`: one article, as it came or for a person.

use super::super::Failure;
use super::super::output::{say_json, write};
use super::screen::{page, safe, safe_line};
use super::servers::Servers;
use super::url::{Host, Location, What};
use super::{mime, words};
use crate::article::Head;
use crate::client::Client;
use serde::Serialize;
use std::io::{self, IsTerminal};

/// The fields that are shown to a person, in this order.
const SHOWN: [&str; 8] =
    ["From", "Newsgroups", "Followup-To", "Subject", "Date", "Organization", "Message-ID", "References"];

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Its Message-ID, the newsgroup it is in, or a URL of it
    #[arg(value_name = "MESSAGE-ID|NEWSGROUP|URL")]
    article: String,
    /// Its number in that newsgroup
    number: Option<u64>,
    /// As it came, with all header fields and nothing decoded [default where stdout is no terminal]
    #[arg(long, conflicts_with_all = ["text", "json"])]
    raw: bool,
    /// For a person, decoded, with the main header fields [default on a terminal]
    #[arg(long, conflicts_with = "json")]
    text: bool,
    /// Print JSON: every header field decoded, and the text
    #[arg(long)]
    json: bool,
}

/// An article as JSON.
#[derive(Serialize)]
struct Shown {
    header: Vec<(String, String)>,
    text: String,
}

pub(super) fn read(servers: &Servers, arguments: &Arguments) -> Result<(), Failure> {
    let article = Wanted::parse(&arguments.article, arguments.number)?;
    let mut client = servers.connect(article.host.as_ref())?;
    let article = article.fetch(&mut client)?;
    let terminal = io::stdout().is_terminal();
    if arguments.json {
        return match Head::parse(&article) {
            Ok(head) => say_json(&Shown {
                header: head
                    .iter()
                    .map(|(name, value)| (words::text(None, name), words::decoded(value)))
                    .collect(),
                text: mime::body(&head, &article[head.len()..]),
            }),
            Err(why) => Err(Failure::because(format!("the article has no header: {why}; try --raw"))),
        };
    }
    if arguments.raw || !(terminal || arguments.text) {
        return write(&as_it_came(&article, terminal));
    }
    page(&for_a_person(&article))
}

/// An article that is asked for.
pub(super) struct Wanted {
    pub(super) host: Option<Host>,
    newsgroup: Option<String>,
    article: String,
}

impl Wanted {
    /// From what stands on the command line: a Message-ID, a URL, or a newsgroup and a number.
    pub(super) fn parse(text: &str, number: Option<u64>) -> Result<Self, Failure> {
        let location = Location::parse(text)?;
        let (newsgroup, article) = match (location.what, number) {
            (What::Article(id), _) => (None, id.to_string()),
            (What::Number(newsgroup, number), None) | (What::Newsgroups(newsgroup), Some(number)) => {
                (Some(newsgroup), number.to_string())
            }
            (What::Number(..), Some(_)) => {
                return Err(Failure::because("the URL has the article's number; leave out the other one"));
            }
            (What::Newsgroups(_) | What::Nothing, _) => {
                return Err(Failure::because("say which article of the newsgroup: its number is missing"));
            }
        };
        Ok(Self { host: location.host, newsgroup, article })
    }

    /// The article, with CRLF line ends.
    pub(super) fn fetch(&self, client: &mut Client) -> Result<Vec<u8>, Failure> {
        if let Some(newsgroup) = &self.newsgroup {
            client.group(newsgroup)?;
        }
        Ok(client.article(&self.article)?)
    }
}

/// An article as a shell wants it: lines end in LF. On a terminal, what would command it (escape
/// sequences above all) is shown as `?`.
fn as_it_came(text: &[u8], terminal: bool) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                shown.extend_from_slice(line);
                shown.push(b'\n');
            }
            None => shown.extend_from_slice(line),
        }
    }
    if terminal { safe(&String::from_utf8_lossy(&shown)).into() } else { shown }
}

/// The main header fields and the text, decoded; nothing in it commands a terminal.
fn for_a_person(article: &[u8]) -> String {
    let Ok(head) = Head::parse(article) else {
        return safe(&String::from_utf8_lossy(article).replace("\r\n", "\n"));
    };
    let mut text = String::new();
    for name in SHOWN {
        if let Some(value) = head.find(name).filter(|value| !value.is_empty()) {
            text.push_str(&format!("{name}: {}\n", safe_line(&words::decoded(value))));
        }
    }
    text.push('\n');
    text.push_str(&safe(&mime::body(&head, &article[head.len()..])));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_are_shown_with_lf_and_without_commands_to_the_terminal() {
        assert_eq!(as_it_came(b"A: b\r\n\r\n\x1b[2Jx\r\ny", false), b"A: b\n\n\x1b[2Jx\ny");
        assert_eq!(as_it_came(b"A: b\r\n\r\n\x1b[2J\tx\r\ny", true), b"A: b\n\n?[2J\tx\ny");
    }

    #[test]
    fn a_person_sees_the_main_fields_and_the_text() {
        let article = b"Path: x!y\r\nSubject: =?utf-8?Q?Gr=C3=BC=1B=5B2J?=\r\nFrom: A <a@b>\r\n\
                        Content-Type: text/plain; charset=iso-8859-1\r\n\r\ngr\xFC\x1b[31m\r\n";
        assert_eq!(for_a_person(article), "From: A <a@b>\nSubject: Grü?[2J\n\ngrü?[31m\n");
        assert_eq!(for_a_person(b"no header \x1b"), "no header ?");
    }

    #[test]
    fn an_article_is_named_by_message_id_or_number_or_url() {
        for (text, number, newsgroup, article) in [
            ("<a@b>", None, None, "<a@b>"),
            ("a@b", None, None, "<a@b>"),
            ("a.b", Some(7), Some("a.b"), "7"),
            ("nntp://h/a.b/7", None, Some("a.b"), "7"),
            ("news:a@b", None, None, "<a@b>"),
        ] {
            let wanted = Wanted::parse(text, number).ok();
            let found = wanted.as_ref().map(|wanted| (wanted.newsgroup.as_deref(), wanted.article.as_str()));
            assert_eq!(found, Some((newsgroup, article)), "{text}");
        }
        assert!(Wanted::parse("a.b", None).is_err() && Wanted::parse("nntp://h/a.b/7", Some(8)).is_err());
    }
}
