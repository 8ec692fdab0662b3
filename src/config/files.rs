//! The files that `feedd.toml` and `peers.toml` name, as far as they can be wrong without anything being wrong
//! in those: looked at by `feedd check`, not on each reading of the config. So it is told by the rights of who
//! asks.

use super::{Config, Mistake, Peer, Site, Source, Subject};
use crate::accounts::Accounts;
use rustix::fs::Access;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

impl Site {
    /// What is wrong with the files of `[tls]`, of the accounts and of the logs: missing, unreadable, open to
    /// others, lines that are no accounts, no file that can be written.
    pub fn check_files(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (key, log) in [("newslog", self.news_log()), ("feedlog", self.feed_log())] {
            let cure =
                format!("let the user that runs feedd write there, or name another file: {key} = \"FILE\"");
            mistakes.extend(log.and_then(|log| unwritable_file(&log, &cure)));
        }
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

impl Config {
    /// What is wrong with the files and folders that peers' blocks name: what cannot be read, and what cannot
    /// be written.
    pub fn check_peer_files(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for peer in &self.peers {
            if let Some(dial) = &peer.dial {
                let password = format!("write the password of peer \"{}\" into its first line", peer.name);
                let ca = format!("put the authority's certificate for peer \"{}\" there", peer.name);
                mistakes.extend(dial.password_file.iter().filter_map(|file| readable(file, &password, 0)));
                mistakes.extend(dial.ca.iter().filter_map(|file| readable(file, &ca, 0)));
            }
            for (key, folder) in folders(peer) {
                let cure = format!(
                    "let the user that runs feedd write there, or give peer \"{}\" another {key} = \"FOLDER\"",
                    peer.name
                );
                mistakes.extend(unwritable_folder(folder, &cure));
            }
        }
        mistakes
    }

    /// What works, and may not be meant so; each with what to do, one line.
    pub fn check_peers_odd(&self) -> Vec<String> {
        let mut odd = Vec::new();
        for (number, peer) in self.peers.iter().enumerate() {
            if let Some(file) = peer.dial.as_ref().and_then(|dial| dial.password_file.as_ref())
                && fs::metadata(file).is_ok_and(|found| found.mode() & 0o007 != 0)
            {
                let file = file.display();
                odd.push(format!(
                    "{file}: everybody can read the password of peer \"{}\"; chmod 600 {file}",
                    peer.name
                ));
            }
            for (key, folder) in folders(peer).filter(|(_, folder)| !folder.exists()) {
                odd.push(format!(
                    "{}: {key} of peer \"{}\" is not there yet; it is made when it is needed, or another name was meant",
                    folder.display(),
                    peer.name
                ));
            }
            let earlier = self.peers.iter().take(number);
            if let Some((other, address)) =
                earlier.filter_map(|other| Some((other, shared(other, peer)?))).next()
            {
                odd.push(format!(
                    "{}: peers \"{}\" and \"{}\" both come from {address}, and only the address tells who they are: \
                     an article is its whose identity stands first in its Path, they are one row in \"feedd peer status\", \
                     and neither can use XTURN, XSYNC or XPEER; give each a pin or an account",
                    self.site.peers.display(),
                    other.name,
                    peer.name
                ));
            }
        }
        odd
    }
}

/// The folders of a peer's batches.
fn folders(peer: &Peer) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let batch = peer.batch.iter();
    batch
        .flat_map(|batch| [("out", &batch.out), ("inbound", &batch.inbound)])
        .filter_map(|(key, folder)| Some((key, folder.as_ref()?)))
}

/// From where both come, if nothing but the address tells them apart.
fn shared(one: &Peer, other: &Peer) -> Option<String> {
    let by_address_only = |peer: &Peer| peer.keys.is_empty() && peer.account.is_none();
    if !by_address_only(one) || !by_address_only(other) {
        return None;
    }
    let overlap = |one: &Source, other: &Source| match (one, other) {
        (Source::Network(one), Source::Network(other)) => {
            one.contains(other.address) || other.contains(one.address)
        }
        (Source::Host(one), Source::Host(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    };
    let found =
        other.accept_from.iter().find(|source| one.accept_from.iter().any(|known| overlap(known, source)));
    found.map(ToString::to_string)
}

/// The mistake of a file that cannot be written, or begun.
fn unwritable_file(path: &Path, cure: &str) -> Option<Mistake> {
    let wrong = |what: String| Some(mistake(path, 1, what, cure));
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => wrong("is a folder, and no file can be there".to_owned()),
        Ok(_) => match rustix::fs::access(path, Access::WRITE_OK) {
            Ok(()) => None,
            Err(error) => wrong(format!("cannot be written: {error}")),
        },
        Err(_) => unwritable_folder(path.parent()?, cure),
    }
}

/// The mistake of a folder in which nothing can be made, or which cannot be made itself.
fn unwritable_folder(path: &Path, cure: &str) -> Option<Mistake> {
    // As far as it is there; the rest is made.
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    let wrong = |what: String| Some(mistake(path, 1, what, cure));
    match fs::metadata(there) {
        Ok(found) if !found.is_dir() && there == path => wrong("is no folder".to_owned()),
        Ok(found) if !found.is_dir() => wrong(format!("cannot be made: {} is no folder", there.display())),
        Ok(_) => match rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => None,
            Err(error) => wrong(format!("cannot be written: {}: {error}", there.display())),
        },
        Err(error) => wrong(format!("cannot be looked at: {}: {error}", there.display())),
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
