//! A proto-article (RFC 5537 s.3.4) from what a user gives: a body, or an article that lacks some
//! fields, in any characters.

use super::super::Failure;
use super::words;
use crate::article::{Field, Head};
use crate::wire::block;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of a line that every agent takes (RFC 5322 s.2.1.1).
const LINE_MAX: usize = 998;
/// Octets of a line of base64, of which 4 stand for 3 (RFC 2045 s.6.8).
const BASE64_LINE: usize = 57;

/// The header fields that an article gets unless it has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) newsgroups: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) from: String,
    pub(super) organization: Option<String>,
    pub(super) references: Option<String>,
    pub(super) distribution: Option<String>,
}

/// The proto-article, with LF line ends. What the text has of header fields stays, but for characters
/// that must be encoded; what it lacks comes from `fields`. `signature` is put below a body that has
/// none.
pub(super) fn compose(fields: &Fields, signature: Option<&str>, text: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut wire = Vec::new();
    block::stuff(text, &mut wire);
    // A body may begin like a header field; one that an article must have is hardly chance.
    let head = Head::parse(&wire).ok().filter(|head| {
        [Field::Newsgroups, Field::Subject, Field::From].into_iter().any(|field| head.value(field).is_some())
    });
    let given = |name: &str| head.as_ref().and_then(|head| head.find(name)).filter(|value| !value.is_empty());
    let mut article = String::new();
    let mut add = |field: Field, value: Option<&str>, option: &str| match value {
        _ if given(field.name()).is_some() => Ok(()),
        Some(value) if value.trim().is_empty() || value.contains(['\r', '\n', '\0']) => {
            Err(Failure::because(format!("{} must be one line, and not an empty one", field.name())))
        }
        Some(value) => {
            article.push_str(&format!("{}: {}\n", field.name(), words::encoded(value)));
            Ok(())
        }
        None => Err(Failure::because(format!("the article has no {}; say {option}", field.name()))),
    };
    add(Field::Newsgroups, fields.newsgroups.as_deref(), "-n NEWSGROUP")?;
    add(Field::Subject, fields.subject.as_deref(), "--subject TEXT")?;
    add(Field::From, Some(&fields.from), "--from FROM")?;
    let optional = [
        ("References", &fields.references),
        ("Distribution", &fields.distribution),
        ("Organization", &fields.organization),
    ];
    for (name, value) in optional {
        if let (None, Some(value)) = (given(name), value) {
            article.push_str(&format!("{name}: {}\n", words::encoded(value)));
        }
    }
    let mut body = match &head {
        Some(head) => {
            for (name, value) in head.iter().filter(|(_, value)| !value.is_empty()) {
                article.push_str(&format!("{}: {}\n", words::text(None, name), header_value(value)));
            }
            block::unstuff(&wire[head.len()..])
        }
        None => block::unstuff(&wire),
    };
    body.retain(|octet| *octet != b'\r');
    if body.trim_ascii().is_empty() {
        return Err(Failure::because("the article is empty; nothing is posted"));
    }
    if let Some(signature) = signature.filter(|_| !is_signed(&body)) {
        if !body.ends_with(b"\n") {
            body.push(b'\n');
        }
        // RFC 3676 s.4.3: two hyphens and a blank.
        body.extend_from_slice(format!("-- \n{}\n", signature.trim_end()).as_bytes());
    }
    if given("MIME-Version").is_none() {
        body = labelled(body, &mut article);
    }
    article.push('\n');
    let mut article = article.into_bytes();
    article.append(&mut body);
    Ok(article)
}

/// A field's value as it stands if it is US-ASCII, else in encoded-words.
fn header_value(value: &[u8]) -> String {
    let text = words::text(None, value).replace('\r', "");
    if text.is_ascii() { text } else { words::encoded(&text.replace('\n', "")) }
}

fn is_signed(body: &[u8]) -> bool {
    body.starts_with(b"-- \n") || memchr::memmem::find(body, b"\n-- \n").is_some()
}

/// Adds the fields that say what the body is (RFC 2045), where it is not plain US-ASCII in lines that
/// everybody takes; the body as it is sent.
fn labelled(body: Vec<u8>, header: &mut String) -> Vec<u8> {
    let long = body.split(|octet| *octet == b'\n').any(|line| line.len() > LINE_MAX);
    if body.is_ascii() && !long {
        return body;
    }
    let charset = if std::str::from_utf8(&body).is_ok() { "UTF-8" } else { "ISO-8859-1" };
    let encoding = if long { "base64" } else { "8bit" };
    header.push_str(&format!(
        "MIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n"
    ));
    if !long {
        return body;
    }
    // Text is encoded with CRLF line ends (RFC 2045 s.6.8).
    let text = String::from_utf8_lossy(&body).replace('\n', "\r\n");
    let octets = if charset == "UTF-8" { text.as_bytes() } else { &body };
    octets.chunks(BASE64_LINE).flat_map(|line| (STANDARD.encode(line) + "\n").into_bytes()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn composed(newsgroup: Option<&str>, subject: Option<&str>, text: &str) -> Result<String, String> {
        let fields = Fields {
            newsgroups: newsgroup.map(str::to_owned),
            subject: subject.map(str::to_owned),
            from: "a@b.example".to_owned(),
            ..Fields::default()
        };
        match compose(&fields, None, text.as_bytes()) {
            Ok(article) => Ok(String::from_utf8(article).unwrap()),
            Err(Failure::Because(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_gets_its_header_and_an_article_what_it_lacks() {
        let header = "Newsgroups: x.test\nSubject: s\nFrom: a@b.example\n";
        for body in ["hello\n", "Note: not a header\n\nhello\n", ".dot\n"] {
            assert_eq!(composed(Some("x.test"), Some("s"), body).unwrap(), format!("{header}\n{body}"));
        }
        assert_eq!(
            composed(Some("x.test"), None, "Subject: mine\nX: y\n\nhello\n").unwrap(),
            "Newsgroups: x.test\nFrom: a@b.example\nSubject: mine\nX: y\n\nhello\n"
        );
        assert_eq!(
            composed(None, Some("s"), "hello").unwrap_err(),
            "the article has no Newsgroups; say -n NEWSGROUP"
        );
        assert!(composed(Some("x.test"), Some("two\nlines"), "hello").is_err());
        for empty in ["", " \n\n", "Subject: s\n\n \n"] {
            assert!(composed(Some("x.test"), Some("s"), empty).unwrap_err().contains("empty"), "{empty:?}");
        }
    }

    #[test]
    fn what_is_not_ascii_is_labelled() {
        let article = composed(Some("x.test"), Some("Grüße"), "schöne Grüße\n").unwrap();
        assert!(article.contains("Subject: =?UTF-8?B?R3LDvMOfZQ==?=\n"), "{article}");
        assert!(article.contains("charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\nschöne"), "{article}");
        let written =
            composed(None, None, "Newsgroups: x.test\nSubject: Grüße\nFrom: J <j@b>\n\nx\n").unwrap();
        assert!(written.contains("Subject: =?UTF-8?B?R3LDvMOfZQ==?=\n") && written.is_ascii(), "{written}");
    }

    #[test]
    fn long_lines_are_wrapped_up() {
        let line = "ü".repeat(600);
        let article = composed(Some("x.test"), Some("s"), &line).unwrap();
        assert!(article.lines().all(|line| line.len() <= 76), "{article}");
        let body = article.split_once("\n\n").unwrap().1;
        assert_eq!(words::base64(body.as_bytes()).unwrap(), format!("{line}\r\n").as_bytes());
    }

    #[test]
    fn a_signature_is_put_below_once() {
        let fields = Fields {
            newsgroups: Some("x".to_owned()),
            subject: Some("s".to_owned()),
            from: "a@b".to_owned(),
            ..Fields::default()
        };
        let signed =
            |body: &str| String::from_utf8(compose(&fields, Some("me\n"), body.as_bytes()).unwrap()).unwrap();
        assert!(signed("hello").ends_with("\n\nhello\n-- \nme\n"));
        assert!(signed("hello\n-- \nyou\n").ends_with("\n\nhello\n-- \nyou\n"));
    }
}
