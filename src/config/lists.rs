//! The folder `lists/` beside `feedd.toml`: the texts that LIST gives out as the operator wrote them
//! (RFC 3977 s.7.6.5, RFC 6048 s.2), named and written as INN's files are. A file that is not there
//! is a list that is not maintained.

use super::Mistake;
use crate::article::NewsgroupName;
use crate::limits::LIST_FILE_MAX;
use crate::wildmat::Wildmat;
use crate::wire::{ListFile, ListFiles};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The name of the folder.
pub const FOLDER: &str = "lists";

/// The lists of a site, each as the lines it is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists([Option<Vec<String>>; ListFile::ALL.len()]);

impl Lists {
    /// The lists that are there.
    pub fn there(&self) -> ListFiles {
        let there = ListFile::ALL.into_iter().filter(|list| self.lines(*list).is_some());
        there.fold(ListFiles::default(), ListFiles::with)
    }

    /// The lines of a list; none when there is no file of it.
    pub fn lines(&self, list: ListFile) -> Option<&[String]> {
        self.0.get(list as usize)?.as_deref()
    }

    /// Reads and checks the files in `folder`.
    pub(super) fn read(folder: &Path) -> (Self, Vec<Mistake>) {
        let mut lists = Self::default();
        let mut mistakes = Vec::new();
        for (list, lines) in ListFile::ALL.into_iter().zip(&mut lists.0) {
            let path = folder.join(list.keyword().to_ascii_lowercase());
            let mut mistake = |line, what: &str, cure: &str| {
                let (what, cure) = (what.to_owned(), cure.to_owned());
                mistakes.push(Mistake { file: path.clone(), line, what, cure });
            };
            match read_text(&path) {
                Ok(Some(text)) => {
                    let (checked, wrong) = check(list, &text);
                    wrong.into_iter().for_each(|(line, what, cure)| mistake(line, &what, cure));
                    *lines = Some(checked);
                }
                Ok(None) => {}
                Err((what, cure)) => mistake(1, &what, cure),
            }
        }
        (lists, mistakes)
    }
}

fn read_text(path: &Path) -> Result<Option<String>, (String, &'static str)> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(LIST_FILE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    match File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err((format!("cannot be read: {error}"), "let the user that runs feedd read it"));
        }
    }
    if bytes.len() > LIST_FILE_MAX {
        return Err((format!("larger than {} KiB", LIST_FILE_MAX / 1024), "shorten it"));
    }
    // RFC 6048: what LIST answers is UTF-8.
    String::from_utf8(bytes).map(Some).map_err(|_| ("not UTF-8".to_owned(), "save the file as UTF-8"))
}

type Wrong = (usize, String, &'static str);

/// The lines of a list as they are answered, and what is wrong with them. Empty lines and those that
/// begin with `#` are the operator's notes, but in the message of the day.
fn check(list: ListFile, text: &str) -> (Vec<String>, Vec<Wrong>) {
    let mut lines: Vec<String> = Vec::new();
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // RFC 3977 s.3.1.1: a line of a data block has no NUL, CR or LF in it.
        if line.contains(['\0', '\r']) {
            wrong.push((index + 1, "a NUL or CR inside a line".to_owned(), "take it out"));
            continue;
        }
        let checked = match list {
            ListFile::Motd => Ok(line.to_owned()),
            _ if line.trim().is_empty() || line.starts_with('#') => continue,
            ListFile::DistribPats => distrib_pat(line.trim()),
            ListFile::Distributions => distribution(line.trim()),
            ListFile::Moderators => moderator(line.trim()),
            ListFile::Subscriptions => subscription(line.trim(), &lines),
        };
        match checked {
            Ok(line) => lines.push(line),
            Err((what, cure)) => wrong.push((index + 1, what, cure)),
        }
    }
    (lines, wrong)
}

type Checked = Result<String, (String, &'static str)>;

/// `weight:wildmat:distribution` (RFC 3977 s.7.6.5).
fn distrib_pat(line: &str) -> Checked {
    const CURE: &str = "write weight:wildmat:distribution, such as 10:local.*:local";
    let mut fields = line.splitn(3, ':');
    let (Some(weight), Some(wildmat), Some(distribution)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err((format!("\"{line}\" has not three fields"), CURE));
    };
    if weight.is_empty() || weight.len() > 9 || !weight.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err((format!("\"{weight}\" is no weight"), CURE));
    }
    Wildmat::parse(wildmat).map_err(|bad| (format!("\"{wildmat}\" is no wildmat: {bad}"), CURE))?;
    if distribution.trim().is_empty() {
        return Err(("there is no distribution".to_owned(), CURE));
    }
    Ok(line.to_owned())
}

/// A distribution and its description (RFC 6048 s.2.3.2), a TAB between them.
fn distribution(line: &str) -> Checked {
    match line.split_once([' ', '\t']) {
        Some((name, description)) => Ok(format!("{name}\t{}", description.trim_start())),
        None => Err((
            format!("\"{line}\" has no description"),
            "write a distribution and what it means, such as: local Local to this site.",
        )),
    }
}

/// `wildmat:template` (RFC 6048 s.2.4.2): `%s` once at most, `%` otherwise doubled.
fn moderator(line: &str) -> Checked {
    const CURE: &str = "write wildmat:address, such as local.*:%s@moderators.example.com";
    let Some((wildmat, template)) = line.split_once(':') else {
        return Err((format!("\"{line}\" has no address"), CURE));
    };
    Wildmat::parse(wildmat).map_err(|bad| (format!("\"{wildmat}\" is no wildmat: {bad}"), CURE))?;
    let plain = template.replace("%%", "");
    if template.is_empty() || plain.matches("%s").count() > 1 || plain.replace("%s", "").contains('%') {
        return Err((
            format!("\"{template}\" is no submission template"),
            "use %s once at most, and %% for a percent sign",
        ));
    }
    Ok(line.to_owned())
}

/// A newsgroup, once (RFC 6048 s.2.6.2).
fn subscription(line: &str, earlier: &[String]) -> Checked {
    if let Err(bad) = NewsgroupName::check(line) {
        return Err((format!("\"{line}\" is no newsgroup name: {bad}"), "write one newsgroup on each line"));
    }
    if earlier.iter().any(|name| name == line) {
        return Err((format!("{line} stands there twice"), "keep the first"));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_each_list() {
        let table = [
            (
                ListFile::DistribPats,
                "# note\n10:local.*:local\r\n\n5:*:world\n",
                "10:local.*:local|5:*:world",
            ),
            (
                ListFile::Distributions,
                "fr  Local to France.\nusa\tthe USA",
                "fr\tLocal to France.|usa\tthe USA",
            ),
            (
                ListFile::Moderators,
                "foo.bar:a@example.com\n*:%s+100%%@x\n",
                "foo.bar:a@example.com|*:%s+100%%@x",
            ),
            (ListFile::Motd, "# no note\n\n.dot\n", "# no note||.dot"),
            (ListFile::Subscriptions, " local.welcome \nlocal.test", "local.welcome|local.test"),
        ];
        for (list, text, lines) in table {
            assert_eq!(check(list, text), (lines.split('|').map(str::to_owned).collect(), Vec::new()));
        }
    }

    #[test]
    fn each_mistake_has_its_line() {
        for (list, line) in [
            (ListFile::DistribPats, "10:local.*"),
            (ListFile::DistribPats, "ten:local.*:local"),
            (ListFile::DistribPats, "10:lo[ab]:local"),
            (ListFile::DistribPats, "10:local.*: "),
            (ListFile::Distributions, "fr"),
            (ListFile::Moderators, "local.*"),
            (ListFile::Moderators, "local.*:"),
            (ListFile::Moderators, "local.*:%s%s@x"),
            (ListFile::Moderators, "local.*:100%@x"),
            (ListFile::Moderators, "a b:%s@x"),
            (ListFile::Motd, "a\rb"),
            (ListFile::Subscriptions, "not a newsgroup"),
            (ListFile::Subscriptions, "x\nx"),
        ] {
            let (_, wrong) = check(list, &format!("\n{line}\n"));
            assert_eq!(wrong.len(), 1, "{line}: {wrong:?}");
            assert_eq!(wrong[0].0, 1 + line.lines().count(), "{line}: {wrong:?}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_lists_that_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lists::read(&folder.path().join("none")), (Lists::default(), Vec::new()));
        std::fs::write(folder.path().join("motd"), "Welcome\n").unwrap();
        std::fs::write(folder.path().join("subscriptions"), "").unwrap();
        std::fs::write(folder.path().join("moderators"), [0xFF]).unwrap();
        std::fs::write(folder.path().join("distributions"), vec![b'x'; LIST_FILE_MAX + 1]).unwrap();
        let (lists, mistakes) = Lists::read(folder.path());
        assert_eq!(lists.lines(ListFile::Motd), Some(&["Welcome".to_owned()][..]));
        assert_eq!(lists.lines(ListFile::Subscriptions), Some(&[][..]));
        assert_eq!(lists.lines(ListFile::DistribPats), None);
        assert_eq!(lists.there(), ListFiles::default().with(ListFile::Motd).with(ListFile::Subscriptions));
        let said: Vec<String> = mistakes.iter().map(|m| m.what.clone()).collect();
        assert_eq!(said, ["larger than 64 KiB", "not UTF-8"]);
    }
}
