//! The accounts' file of a running site: read again when it has changed, so that a new account can log
//! in at once and a removed one no more.

use super::{Account, Accounts, Password};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file of accounts. What is wrong with it goes to the log, once for each change.
#[derive(Debug)]
pub struct AccountsFile {
    path: PathBuf,
    read: Mutex<Reading>,
}

/// What was read last, and of which state of the file; none: there was no file.
#[derive(Debug, Default)]
struct Reading {
    stamp: Option<Stamp>,
    accounts: Arc<Accounts>,
}

/// What tells one state of a file from another. With the time of its last chmod, because a file that
/// could not be read may be now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(of: &Metadata) -> Self {
        Self {
            device: of.dev(),
            inode: of.ino(),
            len: of.len(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        }
    }
}

impl AccountsFile {
    /// The accounts in the file at `path`, which is read now; that there is none is no mistake.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let file = Self { path: path.into(), read: Mutex::default() };
        file.accounts();
        file
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The accounts as they are now: a look at the file's metadata, and the file only if that has
    /// changed. A file that cannot be read leaves those that were, and a line in the log.
    pub fn accounts(&self) -> Arc<Accounts> {
        let mut reading = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Some(Stamp::from(&metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("{}: {error}; the accounts stay as they were", self.path.display());
                return reading.accounts.clone();
            }
        };
        if stamp == reading.stamp {
            return reading.accounts.clone();
        }
        match self.open() {
            Ok((stamp, accounts)) => {
                self.complain(&accounts);
                *reading = Reading { stamp, accounts: Arc::new(accounts) };
            }
            Err(error) => {
                tracing::error!("{}: {error}; the accounts stay as they were", self.path.display());
                reading.stamp = stamp;
            }
        }
        reading.accounts.clone()
    }

    fn open(&self) -> io::Result<(Option<Stamp>, Accounts)> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((None, Accounts::default())),
            other => other?,
        };
        // Of before the reading: what is written meanwhile is seen as a change.
        let stamp = Stamp::from(&file.metadata()?);
        Ok((Some(stamp), Accounts::read_from(&mut file)?))
    }

    fn complain(&self, accounts: &Accounts) {
        let path = self.path.display();
        if accounts.open_to_others() {
            tracing::warn!("{path}: others than its owner can read the accounts; chmod 600 {path}");
        }
        for bad in accounts.bad_lines() {
            tracing::warn!("{path}:{}: {}; {}", bad.line, bad.what, bad.cure);
        }
    }

    /// [`Accounts::find`] as the file is now.
    pub fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts().find(name)
    }

    /// [`Accounts::verify`] as the file is now.
    pub fn verify(&self, name: &str, password: &Password) -> Option<Arc<Account>> {
        self.accounts().verify(name, password)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn follows_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let file = AccountsFile::new(&path);
        assert!(file.accounts().is_empty());
        fs::write(&path, "a:*\n").unwrap();
        let first = file.accounts();
        assert!(first.find("a").is_some() && first.open_to_others());
        assert!(Arc::ptr_eq(&first, &file.accounts()), "nothing has changed");
        // Of the same length, in a new file in its place.
        fs::write(folder.path().join("new"), "b:*\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(file.find("a").is_none() && file.find("b").is_some());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!file.accounts().open_to_others());
        fs::remove_file(&path).unwrap();
        assert!(file.find("b").is_none());
    }

    #[test]
    fn what_cannot_be_read_leaves_the_accounts_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, "a:*\n").unwrap();
        let file = AccountsFile::new(&path);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(file.find("a").is_some(), "a folder is no file of accounts");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "b:*\n").unwrap();
        assert!(file.find("b").is_some());
    }
}
