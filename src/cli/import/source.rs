//! Finding articles in files. What a file is follows from its content, not from its name: gzip and xz
//! by their magic, tar by its checksum, mbox and batches by their first line; everything else is one
//! article, or none.

use super::mbox;
use crate::transfer::batch::{self, Found, Packing, article_or_not, rnews, skip_line, unpack};
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// Octets that tell what a file is: a tar header.
const MAGIC_LEN: usize = 512;
/// Archives within archives within archives.
const DEPTH_MAX: usize = 4;

/// Things that are no articles and are named one by one; the totals count them all.
const NAMED_MAX: usize = 10;

/// Hands what it finds to `sink`, until that returns false.
pub(super) struct Source<'p, S> {
    article_bytes_max: usize,
    bar: &'p ProgressBar,
    sink: S,
    /// `sink` wants no more.
    pub(super) stopped: bool,
    /// Files that could not be read to their end, and why.
    pub(super) troubles: Vec<String>,
    /// The first few that are no articles, with the file they are in, and why.
    pub(super) strangers: Vec<String>,
    /// The file being read.
    file: PathBuf,
}

impl<'p, S: FnMut(Found<'_>) -> bool> Source<'p, S> {
    pub(super) fn new(article_bytes_max: usize, bar: &'p ProgressBar, sink: S) -> Self {
        let (troubles, strangers) = (Vec::new(), Vec::new());
        Self { article_bytes_max, bar, sink, stopped: false, troubles, strangers, file: PathBuf::new() }
    }

    /// Goes through a file, or through all files below a folder.
    pub(super) fn walk(&mut self, path: &Path) {
        if let Err(error) = self.walk_or_fail(path) {
            self.troubles.push(format!("{}: {error}", path.display()));
        }
    }

    fn walk_or_fail(&mut self, path: &Path) -> io::Result<()> {
        if !fs::metadata(path)?.is_dir() {
            let file = self.bar.wrap_read(File::open(path)?);
            path.clone_into(&mut self.file);
            return self.read(Box::new(file), 0);
        }
        for entry in entries(path)? {
            if self.stopped {
                break;
            }
            self.walk(&entry);
        }
        Ok(())
    }

    fn read(&mut self, mut input: Box<dyn Read + '_>, depth: usize) -> io::Result<()> {
        let mut magic = Vec::with_capacity(MAGIC_LEN);
        (&mut input).take(MAGIC_LEN as u64).read_to_end(&mut magic)?;
        let kind = Kind::of(&magic);
        let mut input = BufReader::with_capacity(64 * 1024, Cursor::new(magic).chain(input));
        if depth > DEPTH_MAX {
            self.offer(Found::Not("archives packed too deep"));
            return Ok(());
        }
        match kind {
            Kind::Packed(packing) => self.read(unpack(packing, input)?, depth + 1),
            Kind::Headed => {
                skip_line(&mut input)?;
                self.read(Box::new(input), depth + 1)
            }
            Kind::Tar => self.read_tar(&mut input, depth + 1),
            Kind::Mbox => mbox::read(&mut input, self.article_bytes_max, &mut |found| self.offer(found)),
            Kind::Rnews => rnews::read(&mut input, self.article_bytes_max, &mut |found| self.offer(found)),
            Kind::Article => {
                let text = read_bounded(&mut input, self.article_bytes_max)?;
                self.offer(article_or_not(text.as_deref()));
                Ok(())
            }
        }
    }

    fn read_tar(&mut self, input: &mut dyn Read, depth: usize) -> io::Result<()> {
        let mut archive = tar::Archive::new(input);
        for entry in archive.entries()? {
            let entry = entry?;
            let hidden = entry.path().is_ok_and(|path| is_hidden(&path));
            if entry.header().entry_type().is_file() && !hidden {
                self.read(Box::new(entry), depth)?;
            }
            if self.stopped {
                break;
            }
        }
        Ok(())
    }

    fn offer(&mut self, found: Found<'_>) -> bool {
        if let Found::Not(why) = &found
            && self.strangers.len() < NAMED_MAX
        {
            self.strangers.push(format!("{}: {why}", self.file.display()));
        }
        if !self.stopped && !(self.sink)(found) {
            self.stopped = true;
        }
        !self.stopped
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Packed(Packing),
    /// A line says how what follows is packed, which is seen there, too.
    Headed,
    Tar,
    Mbox,
    Rnews,
    Article,
}

impl Kind {
    fn of(magic: &[u8]) -> Self {
        if let Some(packing) = Packing::of(magic) {
            return Self::Packed(packing);
        }
        match magic {
            _ if magic.starts_with(rnews::MARK) => Self::Rnews,
            _ if magic.starts_with(batch::HEAD) => Self::Headed,
            _ if magic.starts_with(mbox::POSTMARK) => Self::Mbox,
            _ if is_tar_header(magic) => Self::Tar,
            _ => Self::Article,
        }
    }
}

/// A tar header says the sum of its own octets, its eight octets counted as blanks; old archives
/// have no other mark.
fn is_tar_header(magic: &[u8]) -> bool {
    let Some((before, rest)) = magic.split_at_checked(148) else { return false };
    let Some((told, after)) = rest.split_at_checked(8) else { return false };
    let digits: &[u8] = told.trim_ascii_start();
    let digits_end = digits.iter().position(|octet| !(b'0'..=b'7').contains(octet)).unwrap_or(digits.len());
    let told = digits
        .get(..digits_end)
        .unwrap_or_default()
        .iter()
        .fold(0_u32, |sum, digit| (sum << 3).wrapping_add(u32::from(digit - b'0')));
    let sum: u32 = before.iter().chain(after).map(|octet| u32::from(*octet)).sum();
    magic.len() == MAGIC_LEN && sum > 0 && told == sum + 8 * u32::from(b' ')
}

/// Reads to the end; none when that is more than `max` octets, which are then passed over.
fn read_bounded(input: &mut dyn BufRead, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    (&mut *input).take(max as u64 + 1).read_to_end(&mut text)?;
    if text.len() <= max {
        return Ok(Some(text));
    }
    io::copy(input, &mut io::sink())?;
    Ok(None)
}

/// What is in a folder, in the order of a traditional spool: numbers by value, then names. Hidden
/// files are not articles.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !is_hidden(&path) {
            entries.push(path);
        }
    }
    entries.sort_by_cached_key(|path| {
        let number =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
        (number.unwrap_or(u64::MAX), path.clone())
    });
    Ok(entries)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Octets of all files, for the progress bar; what cannot be read counts nothing.
pub(super) fn octets(paths: &[PathBuf]) -> u64 {
    let of = |path: &PathBuf| match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => octets(&entries(path).unwrap_or_default()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    paths.iter().map(of).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    const A: &[u8] = b"Message-ID: <a@example>\n\na\n";
    const B: &[u8] = b"Message-ID: <b@example>\r\n\r\nb\r\n";

    /// What xz(1) makes of [`A`].
    const A_IN_XZ: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x10\x00\x00\x00\xa8\x70\
            \x8e\x86\x01\x00\x1a\x4d\x65\x73\x73\x61\x67\x65\x2d\x49\x44\x3a\x20\x3c\x61\x40\x65\x78\
            \x61\x6d\x70\x6c\x65\x3e\x0a\x0a\x61\x0a\x00\x00\x04\x91\x89\xb7\x00\x01\x2f\x1b\xaa\x44\
            \xff\xb8\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";

    /// Everything found below `path`, articles as text and the rest as reasons.
    fn found(path: &Path, max: usize) -> Vec<String> {
        let mut found = Vec::new();
        let bar = ProgressBar::hidden();
        let mut source = Source::new(max, &bar, |item| {
            found.push(match item {
                Found::Article(text) => String::from_utf8_lossy(text).into_owned(),
                Found::Not(reason) => reason.to_owned(),
            });
            true
        });
        source.walk(path);
        let troubles = std::mem::take(&mut source.troubles);
        found.extend(troubles.into_iter().map(|_| "trouble".to_owned()));
        found
    }

    fn text(article: &[u8]) -> String {
        String::from_utf8_lossy(article).into_owned()
    }

    fn tar() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, article) in [("spool/1", A), ("spool/.overview", b"x"), ("spool/2", B)] {
            let mut header = tar::Header::new_old();
            header.set_size(article.len() as u64);
            header.set_cksum();
            archive.append_data(&mut header, name, article).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn a_folder_is_walked_in_the_order_of_numbers() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("10")).unwrap();
        for (name, article) in [("10/1", B), ("9", A), ("z", b"no colon here\n"), (".x", A), ("y", b"")] {
            fs::write(folder.path().join(name), article).unwrap();
        }
        let expected = [text(A), text(B), "an empty file".to_owned(), "no header".to_owned()];
        assert_eq!(found(folder.path(), 1000), expected);
        let paths = [folder.path().to_path_buf()];
        assert_eq!(octets(&paths), (A.len() + B.len() + "no colon here\n".len()) as u64);
    }

    #[test]
    fn archives_are_known_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("articles");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar()).unwrap();
        for packed in [tar(), gz.finish().unwrap()] {
            fs::write(&file, packed).unwrap();
            assert_eq!(found(&file, 1000), [text(A), text(B)]);
        }
        fs::write(&file, A_IN_XZ).unwrap();
        assert_eq!(found(&file, 1000), [text(A)]);
    }

    #[test]
    fn a_damaged_archive_is_trouble_and_what_came_before_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("articles");
        let mut archive = tar();
        // The checksum in the header behind the first article, which takes two blocks.
        archive[2 * 512 + 150] ^= 1;
        fs::write(&file, archive).unwrap();
        let found = found(&file, 1000);
        assert_eq!(found, [text(A), "trouble".to_owned()]);
    }

    #[test]
    fn what_is_too_large_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("articles");
        fs::write(&file, tar()).unwrap();
        assert_eq!(found(&file, A.len()), [text(A), "larger than article_bytes_max".to_owned()]);
    }

    #[test]
    fn a_sink_can_stop_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("articles");
        fs::write(&file, tar()).unwrap();
        let bar = ProgressBar::hidden();
        let mut count = 0;
        let mut source = Source::new(1000, &bar, |_| {
            count += 1;
            false
        });
        source.walk(folder.path());
        assert!(source.stopped);
        assert_eq!(count, 1);
    }
}
