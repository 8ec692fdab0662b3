//! `feedc post`: a proto-article (RFC 5537 s.3.4) from what the user gives.

use super::super::Failure;
use super::super::output::say;
use crate::article::{Field, Head, encoded_word};
use crate::wire::block;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The newsgroup, or several separated by commas
    #[arg(short, long, value_name = "NEWSGROUP")]
    newsgroup: Option<String>,
    /// The subject
    #[arg(long)]
    subject: Option<String>,
    /// The author [default: $FEEDC_FROM, else your user name]
    #[arg(long, value_name = "FROM")]
    from: Option<String>,
    /// The article, or its body alone; - is stdin. Without a file on a terminal, $EDITOR opens
    file: Option<PathBuf>,
}

pub(super) fn post(server: &str, arguments: &Arguments) -> Result<(), Failure> {
    let author = arguments.from.clone().unwrap_or_else(default_from);
    let mut draft = None;
    let text = match &arguments.file {
        Some(path) if path != Path::new("-") => {
            fs::read(path).map_err(|error| Failure::because(format!("{}: {error}", path.display())))?
        }
        None if io::stdin().is_terminal() => {
            let path = edit(arguments, &author)?;
            let text = fs::read(&path).map_err(|error| Failure::because(error.to_string()))?;
            draft = Some(path);
            text
        }
        _ => {
            let mut text = Vec::new();
            io::stdin()
                .read_to_end(&mut text)
                .map_err(|error| Failure::because(format!("stdin: {error}")))?;
            text
        }
    };
    let posted = compose(arguments, &author, &text).and_then(|article| {
        let answer = super::connect(server)?.post(&article)?;
        let id =
            answer.text.split_ascii_whitespace().find(|word| word.starts_with('<') && word.ends_with('>'));
        Ok(id.map_or("posted".to_owned(), |id| format!("posted {id}")))
    });
    match (posted, draft) {
        (Ok(what), draft) => {
            if let Some(path) = draft {
                // It lies in the folder for temporary files: a leftover is no failure.
                let _ = fs::remove_file(path);
            }
            say(what)
        }
        (Err(Failure::Because(why)), Some(path)) => {
            Err(Failure::Because(format!("{why}\nfeedc: the draft is kept in {}", path.display())))
        }
        (Err(failure), _) => Err(failure),
    }
}

/// An address that says who posts and reaches nobody (RFC 5537 s.3.4 with RFC 2606's `.invalid`).
pub(super) fn default_from() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    variable("FEEDC_FROM").unwrap_or_else(|| {
        let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or("anonymous".to_owned());
        format!("{user} <{user}@user.invalid>")
    })
}

/// The proto-article: what the text has of header fields stays as it is, what it lacks comes from the
/// command line.
fn compose(arguments: &Arguments, author: &str, text: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut wire = Vec::new();
    block::stuff(text, &mut wire);
    // A body may begin like a header field; one that an article must have is hardly chance.
    let head = Head::parse(&wire).ok().filter(|head| {
        [Field::Newsgroups, Field::Subject, Field::From].into_iter().any(|field| head.value(field).is_some())
    });
    let given = |field: Field| head.as_ref().is_some_and(|head| head.value(field).is_some());
    let mut article = String::new();
    let mut add = |field: Field, value: Option<&str>, option: &str| match value {
        _ if given(field) => Ok(()),
        Some(value) if value.trim().is_empty() || value.contains(['\r', '\n', '\0']) => {
            Err(Failure::because(format!("{} must be one line, and not an empty one", field.name())))
        }
        Some(value) => {
            article.push_str(&format!("{}: {}\n", field.name(), encoded_word::encoded(value)));
            Ok(())
        }
        None => Err(Failure::because(format!("the article has no {}; say {option}", field.name()))),
    };
    add(Field::Newsgroups, arguments.newsgroup.as_deref(), "-n NEWSGROUP")?;
    add(Field::Subject, arguments.subject.as_deref(), "--subject TEXT")?;
    add(Field::From, Some(author), "--from FROM")?;
    let has_mime = head.as_ref().is_some_and(|head| head.find("MIME-Version").is_some());
    if !has_mime && !text.is_ascii() {
        let charset = if std::str::from_utf8(text).is_ok() { "UTF-8" } else { "ISO-8859-1" };
        article.push_str(&format!(
            "MIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n"
        ));
    }
    if head.is_none() {
        article.push('\n');
    }
    let mut article = article.into_bytes();
    article.extend_from_slice(text);
    Ok(article)
}

/// Opens the user's editor on a draft and returns its file, once something has been written.
fn edit(arguments: &Arguments, author: &str) -> Result<PathBuf, Failure> {
    let template = format!(
        "Newsgroups: {}\nSubject: {}\nFrom: {author}\n\n",
        arguments.newsgroup.as_deref().unwrap_or_default(),
        arguments.subject.as_deref().unwrap_or_default(),
    );
    let random = getrandom::u64().map_err(|error| Failure::because(error.to_string()))?;
    let path = std::env::temp_dir().join(format!("feedc-{random:016x}.txt"));
    let failed = |error: io::Error| Failure::because(format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(template.as_bytes()).map_err(failed)?;
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
    let editor = editor.filter(|editor| !editor.is_empty()).unwrap_or("vi".to_owned());
    // Editors are set with arguments, so a shell takes the words apart.
    let edited = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&path).status();
    let give_up = |why: String| {
        let _ = fs::remove_file(&path);
        Err(Failure::Because(why))
    };
    match edited {
        Ok(status) if !status.success() => {
            give_up(format!("{editor} ended with {status}; nothing is posted"))
        }
        Err(error) => give_up(format!("{editor}: {error}")),
        Ok(_) if fs::read(&path).is_ok_and(|text| text.trim_ascii() == template.as_bytes().trim_ascii()) => {
            give_up("the draft is as it was; nothing is posted".to_owned())
        }
        Ok(_) => Ok(path),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn arguments(newsgroup: Option<&str>, subject: Option<&str>) -> Arguments {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Arguments { newsgroup: text(newsgroup), subject: text(subject), from: None, file: None }
    }

    fn composed(newsgroup: Option<&str>, subject: Option<&str>, text: &str) -> Result<String, String> {
        match compose(&arguments(newsgroup, subject), "a@b.example", text.as_bytes()) {
            Ok(article) => Ok(String::from_utf8(article).unwrap()),
            Err(Failure::Because(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_gets_its_header_and_an_article_what_it_lacks() {
        let header = "Newsgroups: x.test\nSubject: s\nFrom: a@b.example\n";
        for body in ["hello\n", "Note: not a header\n\nhello\n", "", "hello"] {
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
    }

    #[test]
    fn what_is_not_ascii_is_labelled() {
        let article = composed(Some("x.test"), Some("Grüße"), "schöne Grüße\n").unwrap();
        assert!(article.contains("Subject: =?UTF-8?B?R3LDvMOfZQ==?=\n"), "{article}");
        assert!(article.contains("charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\nschöne"), "{article}");
    }
}
