//! Files that are there as a whole or not at all.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a new file, or another content of one: after a crash it is the old one or the new one.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    File::create(&new).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
}

/// Gives a file another name, which nobody may have.
///
/// # Errors
/// `AlreadyExists` when somebody has.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !to.try_exists()? => fs::rename(from, to),
        done => done.map_err(io::Error::from),
    }
}

/// Makes the entries of a file's folder durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_only_when_that_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        write_whole(&one, b"1").unwrap();
        write_whole(&one, b"2").unwrap();
        fs::write(&two, b"mine").unwrap();
        assert_eq!(rename_new(&one, &two).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&two).unwrap(), b"mine");
        fs::remove_file(&two).unwrap();
        rename_new(&one, &two).unwrap();
        assert_eq!(fs::read(&two).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
