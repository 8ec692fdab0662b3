//! `feedc post`: an article from a file, from stdin or from the user's editor, new or a followup.

use super::super::Failure;
use super::super::output::say;
use super::compose::{Fields, compose};
use super::read::Wanted;
use super::reply::Followup;
use super::servers::{Identity, Servers};
use super::url::{Host, Location};
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
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
    /// The author [default: $FEEDC_FROM, else that of feedc.toml, else your user name]
    #[arg(long, value_name = "FROM")]
    from: Option<String>,
    /// The article that it answers: its Message-ID, or a URL of it
    #[arg(long, value_name = "ARTICLE")]
    reply: Option<String>,
    /// Put the quoted text of that article before a body that comes from a file (an editor has it)
    #[arg(long, requires = "reply")]
    quote: bool,
    /// Leave out the signature of feedc.toml
    #[arg(long)]
    no_signature: bool,
    /// The article, or its body alone; - is stdin. Without a file on a terminal, $EDITOR opens
    file: Option<PathBuf>,
}

pub(super) fn post(servers: &Servers, arguments: &Arguments) -> Result<(), Failure> {
    let identity = servers.identity();
    let signature = signature(&identity, arguments)?;
    let mut fields = Fields {
        newsgroups: None,
        subject: arguments.subject.clone(),
        from: arguments.from.clone().unwrap_or_else(|| default_from(&identity)),
        organization: identity.organization,
        ..Fields::default()
    };
    let mut host = None;
    if let Some(newsgroup) = &arguments.newsgroup {
        // A list of names is no URL.
        match Location::parse_url(newsgroup)? {
            Some(location) => {
                let (at, name) = location.newsgroup()?;
                (host, fields.newsgroups) = (at, Some(name));
            }
            None => fields.newsgroups = Some(newsgroup.clone()),
        }
    }
    let followup = match &arguments.reply {
        Some(article) => Some(followup(servers, article, &mut host, fields.newsgroups.is_some())?),
        None => None,
    };
    if let Some(followup) = &followup {
        followup.fill(&mut fields);
    }
    let draft = Draft::take(arguments, &fields, signature.as_deref(), followup.as_ref())?;
    // In an editor the signature stands below the text already.
    let signature = signature.filter(|_| !draft.edited);
    let posted = compose(&fields, signature.as_deref(), &draft.text).and_then(|article| {
        let answer = servers.connect(host.as_ref())?.post(&article)?;
        let id =
            answer.text.split_ascii_whitespace().find(|word| word.starts_with('<') && word.ends_with('>'));
        Ok(id.map_or("posted".to_owned(), |id| format!("posted {id}")))
    });
    match posted {
        Ok(what) => {
            draft.done();
            say(what)
        }
        Err(Failure::Because(why)) => Err(draft.kept(why)),
        Err(failure) => Err(failure),
    }
}

fn signature(identity: &Identity, arguments: &Arguments) -> Result<Option<String>, Failure> {
    let Some(path) = identity.signature.as_ref().filter(|_| !arguments.no_signature) else { return Ok(None) };
    let text = fs::read(path)
        .map_err(|error| Failure::because(format!("the signature, {}: {error}", path.display())))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The article that is answered, fetched from where its URL says; the followup goes there too.
fn followup(
    servers: &Servers,
    article: &str,
    host: &mut Option<Host>,
    has_newsgroup: bool,
) -> Result<Followup, Failure> {
    let wanted = Wanted::parse(article, None)?;
    *host = host.take().or_else(|| wanted.host.clone());
    let followup = Followup::to(&wanted.fetch(&mut servers.connect(host.as_ref())?)?)?;
    match &followup.poster {
        // RFC 5537 s.3.4.3 step 1: not by default.
        Some(poster) if !has_newsgroup => Err(Failure::because(format!(
            "its author wants answers by mail, to {}; to post it nevertheless say -n NEWSGROUP",
            super::screen::safe_line(poster)
        ))),
        _ => Ok(followup),
    }
}

/// An address that says who posts and reaches nobody (RFC 5537 s.3.4 with RFC 2606's `.invalid`),
/// unless the user has said who it is.
pub(super) fn default_from(identity: &Identity) -> String {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    variable("FEEDC_FROM").or_else(|| identity.from.clone()).unwrap_or_else(|| {
        let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or("anonymous".to_owned());
        format!("{user} <{user}@user.invalid>")
    })
}

/// What the user wrote, and where it is kept.
struct Draft {
    text: Vec<u8>,
    edited: bool,
    /// The file that is ours; none when the text came from stdin or from the user's own file.
    file: Option<PathBuf>,
    from_stdin: bool,
}

impl Draft {
    fn take(
        arguments: &Arguments,
        fields: &Fields,
        signature: Option<&str>,
        followup: Option<&Followup>,
    ) -> Result<Self, Failure> {
        let quote = followup.map(|followup| followup.quote.as_str());
        let mut draft = Self { text: Vec::new(), edited: false, file: None, from_stdin: false };
        match &arguments.file {
            Some(path) if path != Path::new("-") => {
                draft.text = fs::read(path)
                    .map_err(|error| Failure::because(format!("{}: {error}", path.display())))?;
            }
            None if io::stdin().is_terminal() => {
                let path = edit(&template(fields, signature, quote))?;
                draft.text = fs::read(&path)
                    .map_err(|error| Failure::because(format!("{}: {error}", path.display())))?;
                draft.edited = true;
                draft.file = Some(path);
            }
            _ => {
                io::stdin()
                    .read_to_end(&mut draft.text)
                    .map_err(|error| Failure::because(format!("stdin: {error}")))?;
                draft.from_stdin = true;
            }
        }
        if let (false, true, Some(quote)) = (draft.edited, arguments.quote, quote) {
            draft.text = [quote.as_bytes(), b"\n", &draft.text].concat();
        }
        Ok(draft)
    }

    /// It is posted.
    fn done(self) {
        if let Some(path) = self.file {
            // A leftover is no failure.
            let _ = fs::remove_file(path);
        }
    }

    /// It is not posted: keeps what would be lost, and says where.
    fn kept(self, why: String) -> Failure {
        let path = match self.file {
            Some(path) => path,
            None if self.from_stdin && !self.text.trim_ascii().is_empty() => match new_draft(&self.text) {
                Ok(path) => path,
                Err(failure) => return failure,
            },
            None => return Failure::Because(why),
        };
        Failure::Because(format!("{why}\nfeedc: the draft is kept in {}", path.display()))
    }
}

/// What the editor shows first.
fn template(fields: &Fields, signature: Option<&str>, quote: Option<&str>) -> String {
    let line = |name: &str, value: Option<&str>| format!("{name}: {}\n", value.unwrap_or_default());
    let mut text = line("Newsgroups", fields.newsgroups.as_deref());
    text.push_str(&line("Subject", fields.subject.as_deref()));
    text.push_str(&line("From", Some(&fields.from)));
    text.push('\n');
    text.push_str(quote.unwrap_or_default());
    if let Some(signature) = signature {
        text.push_str(&format!("\n-- \n{}\n", signature.trim_end()));
    }
    text
}

/// Writes a draft into a new file that nobody else may read: where the user's state is kept, so that
/// it is there after a restart.
fn new_draft(text: &[u8]) -> Result<PathBuf, Failure> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let folder = state.map_or_else(std::env::temp_dir, |state| state.join("feedd/drafts"));
    let failed =
        |path: &Path, error: io::Error| Failure::because(format!("the draft, {}: {error}", path.display()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| failed(&folder, error))?;
    let random = getrandom::u64().map_err(|error| Failure::because(error.to_string()))?;
    let path = folder.join(format!("{random:016x}.txt"));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text))
        .map_err(|error| failed(&path, error))?;
    Ok(path)
}

/// Opens the user's editor on a draft and returns its file, once something has been written.
fn edit(template: &str) -> Result<PathBuf, Failure> {
    let path = new_draft(template.as_bytes())?;
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
    let editor = editor.filter(|editor| !editor.is_empty()).unwrap_or("vi".to_owned());
    // Editors are set with arguments, so a shell takes the words apart.
    let edited = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&path).status();
    let unchanged =
        || fs::read(&path).is_ok_and(|text| text.trim_ascii() == template.as_bytes().trim_ascii());
    let give_up = |why: String| {
        if !unchanged() {
            return Err(Failure::Because(format!("{why}; the draft is kept in {}", path.display())));
        }
        // Nothing of the user's is in it.
        let _ = fs::remove_file(&path);
        Err(Failure::Because(format!("{why}; nothing is posted")))
    };
    match edited {
        Ok(status) if !status.success() => give_up(format!("{editor} ended with {status}")),
        Err(error) => give_up(format!("{editor}: {error}")),
        Ok(_) if unchanged() => give_up("the draft is as it was".to_owned()),
        Ok(_) => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editor_shows_header_quote_and_signature() {
        let fields =
            Fields { newsgroups: Some("a.b".to_owned()), from: "me".to_owned(), ..Fields::default() };
        assert_eq!(
            template(&fields, Some("me\n"), Some("> x\n")),
            "Newsgroups: a.b\nSubject: \nFrom: me\n\n> x\n\n-- \nme\n"
        );
        assert_eq!(template(&fields, None, None), "Newsgroups: a.b\nSubject: \nFrom: me\n\n");
    }
}
