//! The files that `feedd.toml` names, as far as they can be wrong without anything being wrong in it:
//! looked at by `feedd check`, not on each reading of the config.

use super::{Mistake, Site, Subject};
use crate::accounts::Accounts;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Site {
    /// What is wrong with the files of `[tls]` and of the accounts: missing, unreadable, open to
    /// others, lines that are no accounts.
    pub fn check_files(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if let Some(tls) = &self.tls {
            let certificate = "put the certificate there, or name another file in [tls]";
            let key = "put the certificate's key there, or name another file in [tls]";
            let authorities = "put the authorities' certificates there, or remove \"client_authorities\"";
            mistakes.extend(readable(&tls.certificate, certificate, 0));
            mistakes.extend(readable(&tls.key, key, 0o007));
            mistakes.extend(tls.client_authorities.iter().filter_map(|path| readable(path, authorities, 0)));
        }
        match Accounts::read(&self.users) {
            Err(error) => {
                let what = format!("cannot be read: {error}");
                mistakes.push(mistake(&self.users, 1, what, "let the user that runs feedd read it"));
            }
            Ok(accounts) => {
                if accounts.open_to_others() {
                    mistakes.push(too_open(&self.users));
                }
                mistakes.extend(
                    accounts
                        .bad_lines()
                        .iter()
                        .map(|bad| mistake(&self.users, bad.line, bad.what.clone(), &bad.cure)),
                );
            }
        }
        mistakes
    }

    /// Accounts and groups that rules name and nobody has: a slip, or they come later. Each with the
    /// line of its rule.
    pub fn unknown_subjects(&self) -> Vec<(usize, &Subject)> {
        let accounts = Accounts::read(&self.users).unwrap_or_default().sorted();
        let groups: BTreeSet<&String> = accounts.iter().flat_map(|account| &account.groups).collect();
        let known = |subject: &Subject| match subject {
            Subject::Anybody => true,
            Subject::Group(group) => groups.contains(group),
            Subject::Account(name) => accounts.iter().any(|account| account.name == *name),
        };
        self.rules
            .iter()
            .flat_map(|rule| rule.accounts.iter().map(|subject| (rule.line, subject)))
            .filter(|(_, subject)| !known(subject))
            .collect()
    }
}

/// The mistake of a file that cannot be read, or that has a permission of `forbidden`.
fn readable(path: &Path, cure: &str, forbidden: u32) -> Option<Mistake> {
    let metadata = File::open(path).and_then(|file| file.metadata());
    match metadata {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let cure = "let the user that runs feedd read it";
            Some(mistake(path, 1, format!("cannot be read: {error}"), cure))
        }
        Err(error) => Some(mistake(path, 1, format!("cannot be read: {error}"), cure)),
        Ok(metadata) if !metadata.is_file() => Some(mistake(path, 1, "is no file".to_owned(), cure)),
        Ok(metadata) if metadata.mode() & forbidden != 0 => Some(too_open(path)),
        Ok(_) => None,
    }
}

fn too_open(path: &Path) -> Mistake {
    mistake(
        path,
        1,
        "others than its owner can read or write it".to_owned(),
        &format!("chmod 600 {}", path.display()),
    )
}

fn mistake(file: &Path, line: usize, what: String, cure: &str) -> Mistake {
    Mistake { file: file.to_path_buf(), line, what, cure: cure.to_owned() }
}
