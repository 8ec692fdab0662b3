//! Followups (RFC 5537 s.3.4.3): what a new article takes over from the one it answers.

use super::super::Failure;
use super::compose::Fields;
use super::{mime, words};
use crate::article::{Field, Head};

/// Octets of a References field with its name (RFC 5537 s.3.4.4).
const REFERENCES_MAX: usize = 998;

/// What a followup begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Followup {
    pub(super) newsgroups: Option<String>,
    pub(super) subject: String,
    pub(super) references: String,
    pub(super) distribution: Option<String>,
    /// The article's text, quoted, under a line that says whose it is.
    pub(super) quote: String,
    /// To whom a reply is wanted by mail instead (`Followup-To: poster`).
    pub(super) poster: Option<String>,
}

impl Followup {
    /// Reads the article that is answered (CRLF line ends, no dot-stuffing).
    pub(super) fn to(article: &[u8]) -> Result<Self, Failure> {
        let head = Head::parse(article)
            .map_err(|why| Failure::because(format!("the article to be answered has no header: {why}")))?;
        let value = |field: Field| head.value(field).map(words::decoded).filter(|value| !value.is_empty());
        let id = value(Field::MessageId)
            .ok_or_else(|| Failure::because("the article to be answered has no Message-ID"))?;
        let author = value(Field::From).unwrap_or_default();
        let followup_to = value(Field::FollowupTo);
        let wants_mail = followup_to.as_deref().is_some_and(|to| to.eq_ignore_ascii_case("poster"));
        let poster =
            if wants_mail { Some(value(Field::ReplyTo).unwrap_or_else(|| author.clone())) } else { None };
        let newsgroups = followup_to.filter(|_| !wants_mail).or_else(|| value(Field::Newsgroups));
        let subject = value(Field::Subject).unwrap_or_default();
        let subject = if subject.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("re: ")) {
            subject
        } else {
            format!("Re: {subject}")
        };
        let text = mime::body(&head, &article[head.len()..]);
        let date = value(Field::Date);
        Ok(Self {
            newsgroups,
            subject,
            references: references(value(Field::References).as_deref(), &id),
            distribution: value(Field::Distribution),
            quote: quoted(&words::author(&author), date.as_deref(), &text),
            poster,
        })
    }

    /// Gives the article what it does not have yet.
    pub(super) fn fill(&self, fields: &mut Fields) {
        fields.newsgroups = fields.newsgroups.take().or_else(|| self.newsgroups.clone());
        fields.subject = fields.subject.take().or_else(|| Some(self.subject.clone()));
        fields.distribution = self.distribution.clone();
        fields.references = Some(self.references.clone());
    }
}

/// The References of a followup (RFC 5537 s.3.4.4): those of the article that is answered, then its
/// Message-ID. What is too long loses Message-IDs behind the first one; the last two stay.
fn references(parent: Option<&str>, id: &str) -> String {
    let mut ids: Vec<&str> = parent.unwrap_or_default().split_ascii_whitespace().chain([id]).collect();
    let octets = |ids: &[&str]| "References:".len() + ids.iter().map(|id| 1 + id.len()).sum::<usize>();
    while octets(&ids) > REFERENCES_MAX && ids.len() > 3 {
        ids.remove(1);
    }
    ids.join(" ")
}

/// The text with `>` before its lines, without the signature.
fn quoted(author: &str, date: Option<&str>, text: &str) -> String {
    let text = text.split_once("\n-- \n").map_or(text, |(text, _)| text);
    let mut quote = match date {
        Some(date) => format!("On {date}, {author} wrote:\n"),
        None => format!("{author} wrote:\n"),
    };
    for line in text.trim_end().lines() {
        // What is a quote already is not set off from its mark.
        let mark = if line.starts_with('>') || line.is_empty() { ">" } else { "> " };
        quote.push_str(&format!("{mark}{line}\n"));
    }
    // What the article has of control characters is not passed on.
    super::screen::safe(&quote)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_followup_takes_over_what_it_should() {
        let article = b"From: =?utf-8?Q?J=C3=BCrgen?= <j@b>\r\nNewsgroups: a.b,c.d\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
                        Date: 1 Jan 2026 00:00:00 GMT\r\nMessage-ID: <3@x>\r\nReferences: <1@x>\r\n <2@x>\r\nDistribution: de\r\n\
                        Followup-To: c.d\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\none=21\r\n\r\n> two\r\n-- \r\nJ\r\n";
        let followup = Followup::to(article).unwrap();
        assert_eq!(
            followup,
            Followup {
                newsgroups: Some("c.d".to_owned()),
                subject: "Re: Grüße".to_owned(),
                references: "<1@x> <2@x> <3@x>".to_owned(),
                distribution: Some("de".to_owned()),
                quote: "On 1 Jan 2026 00:00:00 GMT, Jürgen wrote:\n> one!\n>\n>> two\n".to_owned(),
                poster: None,
            }
        );
        let mail =
            b"From: a@b\r\nReply-To: c@d\r\nNewsgroups: a.b\r\nSubject: Re: s\r\nMessage-ID: <3@x>\r\n\
                     Followup-To: poster\r\n\r\n";
        let followup = Followup::to(mail).unwrap();
        assert_eq!((followup.poster.as_deref(), followup.subject.as_str()), (Some("c@d"), "Re: s"));
        assert_eq!(followup.newsgroups.as_deref(), Some("a.b"));
        assert!(Followup::to(b"From: a@b\r\n\r\n").is_err());
    }

    #[test]
    fn references_stay_below_their_limit() {
        let many: Vec<String> = (0..100).map(|at| format!("<{at:018}@x>")).collect();
        let trimmed = references(Some(&many.join(" ")), "<last@x>");
        assert!("References: ".len() + trimmed.len() <= REFERENCES_MAX);
        let ids: Vec<&str> = trimmed.split(' ').collect();
        assert_eq!(
            (ids[0], ids[ids.len() - 2], ids[ids.len() - 1]),
            (many[0].as_str(), many[99].as_str(), "<last@x>")
        );
        assert!(ids.len() > 30);
    }
}
