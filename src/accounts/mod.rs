//! The accounts of a site's users: a file with a line for each, as passwd files are:
//!
//! ```text
//! # comments and empty lines are kept
//! alice:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$...:staff,moderators
//! gate:*:machines
//! ```
//!
//! Name, hash of the password in PHC form (argon2id; `*`: no password fits, only a client certificate
//! logs in), groups for the rules of `feedd.toml`. The file is truth and not derived: it stays apart
//! from the index, which may be thrown away. A bad line costs nobody but itself.
//!
//! [`Accounts`] is one reading of the file, [`AccountsFile`] reads it again when it has changed, and
//! [`add`], [`set_password`] and [`remove`] edit it while a site runs.

mod edit;
mod file;
mod password;

pub use edit::{EditError, add, remove, set_password};
pub use file::AccountsFile;
pub use password::{BadPassword, Password};

use crate::limits::ACCOUNT_NAME_MAX;
use password::Hash;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// The groups it is in, without `@`.
    pub groups: Vec<String>,
    /// None: no password fits.
    hash: Option<Hash>,
}

/// The accounts as the file was once read.
#[derive(Debug, Default)]
pub struct Accounts {
    by_name: HashMap<String, Arc<Account>>,
    bad_lines: Vec<BadLine>,
    open_to_others: bool,
}

/// A line that holds no account; the others are unharmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub cure: String,
}

/// Why a text is no name of an account or of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName(pub &'static str);

/// Is `name` one that an account or a group may have? Printable UTF-8 without blanks, so that AUTHINFO
/// USER can send it (RFC 4643 s.2.3.1), and without what the file and the rules set apart by.
///
/// # Errors
/// It is not; the reason.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let bad = if name.is_empty() {
        "it is empty"
    } else if name.len() > ACCOUNT_NAME_MAX {
        "it is longer than 128 octets"
    } else if name.starts_with(['@', '#']) {
        "it begins with \"@\" or \"#\""
    } else if name == "*" {
        "\"*\" stands for everybody"
    } else if name.contains([':', ',']) {
        "it has \":\" or \",\" in it"
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "it has a blank or a control character in it"
    } else {
        return Ok(());
    };
    Err(BadName(bad))
}

impl Account {
    /// Has it a password, or does it log in by client certificate alone?
    pub fn has_password(&self) -> bool {
        self.hash.is_some()
    }

    /// Is its password the same as that of `other`, an earlier state of the account?
    pub fn has_password_of(&self, other: &Self) -> bool {
        self.hash == other.hash
    }

    /// Reads a line that is no comment.
    fn parse(line: &str) -> Result<Self, (String, &'static str)> {
        const FORM: &str = "write name:hash:group,group, or let `feedd user add` write it";
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        check_name(name).map_err(|bad| (format!("\"{name}\" is no name of an account: {}", bad.0), FORM))?;
        let hash = fields.next().ok_or_else(|| (format!("\"{name}\" has no password"), FORM))?;
        let hash = match hash {
            "*" => None,
            hash => Some(Hash::try_from(hash).map_err(|why| {
                (format!("the password of \"{name}\" is {why}"), "give it a new one with `feedd user passwd`")
            })?),
        };
        let mut groups: Vec<String> = Vec::new();
        for group in fields.next().unwrap_or_default().split(',').filter(|group| !group.is_empty()) {
            let group = group.strip_prefix('@').unwrap_or(group);
            check_name(group)
                .map_err(|bad| (format!("\"{group}\" is no name of a group: {}", bad.0), FORM))?;
            if !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
        if fields.next().is_some() {
            return Err((format!("\"{name}\" has more than three fields"), FORM));
        }
        Ok(Self { name: name.to_owned(), groups, hash })
    }

    /// Its line in the file.
    fn line(&self) -> String {
        let hash = self.hash.as_ref().map_or("*", Hash::as_str);
        format!("{}:{hash}:{}", self.name, self.groups.join(","))
    }
}

/// The account's line, if it is no comment and no empty one.
fn account_of(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

impl Accounts {
    /// Reads the file; one that is not there holds no accounts.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        Self::read_from(&mut file)
    }

    fn read_from(file: &mut File) -> io::Result<Self> {
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        let mut accounts = Self::parse(&octets);
        accounts.open_to_others = file.metadata()?.mode() & 0o077 != 0;
        Ok(accounts)
    }

    fn parse(octets: &[u8]) -> Self {
        let mut accounts = Self::default();
        for (index, line) in octets.split(|octet| *octet == b'\n').enumerate() {
            let mut bad = |what: String, cure: &str| {
                accounts.bad_lines.push(BadLine { line: index + 1, what, cure: cure.to_owned() });
            };
            let Ok(line) = std::str::from_utf8(line) else {
                bad("not UTF-8".to_owned(), "save the file as UTF-8");
                continue;
            };
            let Some(line) = account_of(line) else { continue };
            match Account::parse(line) {
                Ok(account) if accounts.by_name.contains_key(&account.name) => {
                    bad(format!("there are two accounts \"{}\"", account.name), "keep one; the first counts");
                }
                Ok(account) => {
                    accounts.by_name.insert(account.name.clone(), Arc::new(account));
                }
                Err((what, cure)) => bad(what, cure),
            }
        }
        accounts
    }

    /// The account of this name. What a client certificate names is looked up here.
    pub fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.by_name.get(name).cloned()
    }

    /// The account of this name, if this is its password. Takes tens of milliseconds and 19 MiB of
    /// memory on purpose, and as long when there is no such account: not for a thread that has others
    /// to serve, nor for many at once.
    pub fn verify(&self, name: &str, password: &Password) -> Option<Arc<Account>> {
        let account = self.find(name);
        match account.as_ref().and_then(|account| account.hash.as_ref()) {
            Some(hash) => account.clone().filter(|_| hash.is_of(password)),
            None => {
                password.spend_time();
                None
            }
        }
    }

    /// Are there none: can nobody log in?
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All of them, by name.
    pub fn sorted(&self) -> Vec<Arc<Account>> {
        let mut accounts: Vec<_> = self.by_name.values().cloned().collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        accounts
    }

    /// The lines that are no accounts, for the operator.
    pub fn bad_lines(&self) -> &[BadLine] {
        &self.bad_lines
    }

    /// Can others than its owner read or write the file?
    pub fn open_to_others(&self) -> bool {
        self.open_to_others
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["alice", "bob@example.org", "jörg", "a.b-c_d", "Ünï"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(ACCOUNT_NAME_MAX + 1);
        for name in ["", "*", "@staff", "#a", "a b", "a:b", "a,b", "a\tb", "a\u{a0}b", "a\u{7}", &long] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_bad_line_costs_nobody_but_itself() {
        let good = password::cheap("secret");
        let text = format!(
            "# the staff\n\nalice:{good}:staff,@staff,mod\r\n  bob:{good}\nbob:{good}:x\nno password\nc d:*\n\
             eve:plain:x\nf:*:a b\ng:*:a:b\n\u{fffd}:*\ngate:*:machines"
        );
        let accounts = Accounts::parse(text.replace('\u{fffd}', "\u{1}").as_bytes());
        let lines: Vec<usize> = accounts.bad_lines().iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [5, 6, 7, 8, 9, 10, 11], "{:?}", accounts.bad_lines());
        assert!(accounts.bad_lines().iter().all(|bad| !bad.cure.is_empty()));
        let names: Vec<String> = accounts.sorted().iter().map(|account| account.name.clone()).collect();
        assert_eq!(names, ["alice", "bob", "gate"]);
        assert_eq!(accounts.find("alice").unwrap().groups, ["staff", "mod"]);
        assert!(!accounts.find("gate").unwrap().has_password());
        let octets = [b"a:*\n\xff:*\nb:*".as_slice()].concat();
        let accounts = Accounts::parse(&octets);
        assert_eq!((accounts.by_name.len(), accounts.bad_lines()[0].line), (2, 2));
    }

    #[test]
    fn verify_knows_name_and_password_together() {
        let text = format!("a:{}\nb:{}\nc:*\n", password::cheap("secret"), password::cheap("other"));
        let accounts = Accounts::parse(text.as_bytes());
        let verify = |name: &str, text: &str| {
            let password = Password::try_from(text.to_owned()).unwrap();
            accounts.verify(name, &password).map(|account| account.name.clone())
        };
        assert_eq!(verify("a", "secret"), Some("a".to_owned()));
        assert_eq!(verify("b", "other"), Some("b".to_owned()));
        assert_eq!(verify("b", "secret"), None);
        assert_eq!(verify("a", "Secret"), None);
        assert_eq!(verify("A", "secret"), None);
        assert_eq!(verify("c", "*"), None);
        assert_eq!(verify("d", "secret"), None);
    }

    #[test]
    fn a_line_reads_back_and_shows_no_hash() {
        let line = format!("jörg:{}:a,b", password::cheap("secret"));
        let account = Account::parse(&line).unwrap();
        assert_eq!(account.line(), line);
        assert!(!format!("{account:?}").contains("argon2"), "{account:?}");
    }
}
