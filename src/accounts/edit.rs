//! Edits of the accounts' file: whole or not at all, one at a time, whether a site runs or not. What
//! the operator wrote beside the accounts stays.

use super::{Account, BadName, Password, account_of, check_name};
use rustix::fs::{Gid, Uid, fchown};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the file was not changed.
#[derive(Debug)]
pub enum EditError {
    /// There is an account of this name.
    Exists(String),
    /// There is none.
    Missing(String),
    /// No account or group can have this name.
    Name(String, BadName),
    /// Reading or writing the file failed.
    Io(PathBuf, io::Error),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(name) => write!(f, "there is an account \"{name}\" already"),
            Self::Missing(name) => write!(f, "there is no account \"{name}\""),
            Self::Name(name, bad) => write!(f, "\"{name}\" is no name: {}", bad.0),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for EditError {}

/// Adds an account; without a password only a client certificate logs in to it.
///
/// # Errors
/// There is one of this name, a name is none, or the file cannot be written.
pub fn add(path: &Path, name: &str, groups: &[String], password: Option<&Password>) -> Result<(), EditError> {
    for name in groups.iter().map(String::as_str).chain([name]) {
        check_name(name).map_err(|bad| EditError::Name(name.to_owned(), bad))?;
    }
    let hash = password.map(Password::hash).transpose().map_err(|error| io_error(path, error))?;
    let account = Account { name: name.to_owned(), groups: groups.to_vec(), hash };
    edit(path, |lines| {
        if position(lines, name).is_some() {
            return Err(EditError::Exists(name.to_owned()));
        }
        lines.push(account.line());
        Ok(())
    })
}

/// Gives an account another password.
///
/// # Errors
/// There is no such account, or the file cannot be written.
pub fn set_password(path: &Path, name: &str, password: &Password) -> Result<(), EditError> {
    let hash = password.hash().map_err(|error| io_error(path, error))?;
    edit(path, |lines| {
        let line = position(lines, name).and_then(|at| lines.get_mut(at));
        let line = line.ok_or_else(|| EditError::Missing(name.to_owned()))?;
        // A line whose hash is bad is mended by this, so only its groups are looked at.
        let groups = line.trim().splitn(3, ':').nth(2).unwrap_or_default();
        *line = format!("{name}:{}:{groups}", hash.as_str());
        Ok(())
    })
}

/// Removes an account.
///
/// # Errors
/// There is no such account, or the file cannot be written.
pub fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    edit(path, |lines| {
        let before = lines.len();
        lines.retain(|line| name_of(line) != Some(name));
        if lines.len() == before { Err(EditError::Missing(name.to_owned())) } else { Ok(()) }
    })
}

/// The name of the account on a line.
fn name_of(line: &str) -> Option<&str> {
    account_of(line).and_then(|line| line.split(':').next())
}

fn position(lines: &[String], name: &str) -> Option<usize> {
    lines.iter().position(|line| name_of(line) == Some(name))
}

fn io_error(path: &Path, error: io::Error) -> EditError {
    EditError::Io(path.to_path_buf(), error)
}

/// Lets `change` have the lines of the file and writes what it makes of them.
fn edit(
    path: &Path,
    change: impl FnOnce(&mut Vec<String>) -> Result<(), EditError>,
) -> Result<(), EditError> {
    // Behind a symbolic link, the file itself is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let failed = |error| io_error(path, error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The folder is locked and not the file, which is another one after each edit.
    let folder = File::open(folder).map_err(failed)?;
    folder.lock().map_err(failed)?;
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.map_err(failed)?,
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines)?;
    let mut text = lines.join("\n");
    text.push('\n');
    replace(path, &folder, &text).map_err(failed)
}

/// Puts `text` in the place of the file, for its owner alone: after a crash either the old or the new
/// one is there.
fn replace(path: &Path, folder: &File, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    // Of an edit that was interrupted; nobody else is at it, for the folder is locked.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let owner = fs::metadata(path).or_else(|_| folder.metadata())?;
    let made = file.metadata()?;
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) && made.uid() == 0 {
        // Root edits the file of the user that the site runs as, and that user must read it.
        fchown(&file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    folder.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Accounts, password};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn edits_keep_what_the_operator_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let cheap = password::cheap("old");
        fs::write(&path, format!("# mine\nb:{cheap}:x,y\n\nbad line\n  a:{cheap}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let new = Password::try_from("new".to_owned()).unwrap();
        add(&path, "c", &["z".to_owned()], None).unwrap();
        set_password(&path, "b", &new).unwrap();
        remove(&path, "a").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], &lines[2..]), ("# mine", &["", "bad line", "c:*:z"][..]));
        let accounts = Accounts::read(&path).unwrap();
        assert!(!accounts.open_to_others());
        assert_eq!(accounts.verify("b", &new).unwrap().groups, ["x", "y"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_done_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let new = Password::try_from("new".to_owned()).unwrap();
        assert!(matches!(remove(&path, "a"), Err(EditError::Missing(_))));
        assert!(!path.exists());
        add(&path, "a", &[], None).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(add(&path, "a", &[], None), Err(EditError::Exists(_))));
        assert!(matches!(add(&path, "a b", &[], None), Err(EditError::Name(..))));
        assert!(matches!(add(&path, "b", &["@x".to_owned()], None), Err(EditError::Name(..))));
        assert!(matches!(set_password(&path, "b", &new), Err(EditError::Missing(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
        let nowhere = folder.path().join("no/such/users");
        assert!(matches!(add(&nowhere, "a", &[], None), Err(EditError::Io(..))));
    }

    #[test]
    fn edits_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for count in 0..10 {
                        add(path, &format!("a{thread}.{count}"), &[], None).unwrap();
                    }
                });
            }
        });
        assert_eq!(Accounts::read(&path).unwrap().sorted().len(), 40);
    }
}
