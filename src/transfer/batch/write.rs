//! Writing a batch: under a name that nobody looks at, and under its own when it is on the disk.

use super::rnews::MARK;
use crate::config::Compression;
use crate::wire::block;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// How hard xz tries: more costs time and memory, and gains little on text.
const XZ_PRESET: u32 = 4;
/// What ends the names of files that are still being brought.
const UNFINISHED: [&str; 5] = [".part", ".partial", ".filepart", ".tmp", "~"];

/// Does a name say that its file is not whole yet, or not meant to be looked at?
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') || UNFINISHED.iter().any(|ending| name.ends_with(ending))
}

/// A batch that is being written. Dropped before it is published, it is not there.
pub struct BatchFile {
    folder: PathBuf,
    hidden: PathBuf,
    output: Option<Output>,
    octets: u64,
    articles: u64,
}

enum Output {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Xz(Box<XzWriter<BufWriter<File>>>),
}

impl BatchFile {
    /// Begins a batch in a folder, which is made if it is not there. `writer` tells those apart who write
    /// into one folder; each of them writes one batch at a time.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn create(folder: &Path, writer: &str, compression: Compression) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let hidden = folder.join(format!(".{writer}.part"));
        let mut file = BufWriter::with_capacity(64 * 1024, File::create(&hidden)?);
        let output = match compression {
            Compression::None => Output::Plain(file),
            Compression::Gzip => {
                file.write_all(b"#! gunbatch\n")?;
                Output::Gzip(Box::new(GzEncoder::new(file, flate2::Compression::default())))
            }
            Compression::Xz => {
                file.write_all(b"#! xunbatch\n")?;
                Output::Xz(Box::new(XzWriter::new(file, XzOptions::with_preset(XZ_PRESET))?))
            }
        };
        Ok(Self { folder: folder.to_path_buf(), hidden, output: Some(output), octets: 0, articles: 0 })
    }

    /// Octets so far, before compression.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Articles so far.
    pub fn articles(&self) -> u64 {
        self.articles
    }

    /// Adds an article, which is in wire form with its terminator.
    ///
    /// # Errors
    /// As the disk has them; the batch is lost then.
    pub fn add(&mut self, wire: &[u8]) -> io::Result<()> {
        let text = with_lf(&block::unstuff(wire));
        let mut mark = MARK.to_vec();
        mark.extend_from_slice(format!("{}\n", text.len()).as_bytes());
        let Some(output) = &mut self.output else { return Ok(()) };
        for part in [&mark, &text] {
            match output {
                Output::Plain(file) => file.write_all(part)?,
                Output::Gzip(file) => file.write_all(part)?,
                Output::Xz(file) => file.write_all(part)?,
            }
            self.octets += part.len() as u64;
        }
        self.articles += 1;
        Ok(())
    }

    /// Gives the batch its name, with `.rnews` behind it (and a number where that is taken), when all of it is
    /// on the disk. When this returns, a crash does not undo it.
    ///
    /// # Errors
    /// As the disk has them; there may be a batch then, or not.
    pub fn publish(mut self, name: &str) -> io::Result<PathBuf> {
        let Some(output) = self.output.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let written = match output {
            Output::Plain(file) => file,
            Output::Gzip(file) => file.finish()?,
            Output::Xz(file) => file.finish()?,
        };
        written.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        // What has a name may be on its way already: no other batch takes its place.
        let mut path = self.folder.join(format!("{name}.rnews"));
        let mut number = 1_u32;
        while path.symlink_metadata().is_ok() {
            number = number.saturating_add(1);
            path = self.folder.join(format!("{name}-{number}.rnews"));
        }
        fs::rename(&self.hidden, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(path)
    }
}

impl Drop for BatchFile {
    fn drop(&mut self) {
        // After publishing it is not there; what cannot be removed is overwritten by the next one.
        let _ = fs::remove_file(&self.hidden);
    }
}

/// Lines ended by LF, as files have them.
fn with_lf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.push(b'\n');
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Found, read};
    use super::*;

    const WIRE: &[u8] = b"Message-ID: <a@example>\r\n\r\n..a line with a dot\r\n\r\n.\r\n";

    #[test]
    fn what_is_written_can_be_read() {
        for compression in [Compression::None, Compression::Gzip, Compression::Xz] {
            let folder = tempfile::tempdir().unwrap();
            let mut batch = BatchFile::create(&folder.path().join("out"), "a.example", compression).unwrap();
            for _ in 0..3 {
                batch.add(WIRE).unwrap();
            }
            assert_eq!(batch.articles(), 3);
            let path = batch.publish("1-3").unwrap();
            assert_eq!(path, folder.path().join("out/1-3.rnews"));
            let mut back = Vec::new();
            read(Box::new(File::open(&path).unwrap()), 1000, &mut |found| {
                let Found::Article(text) = found else { panic!("{found:?}") };
                let mut wire = Vec::new();
                block::stuff(text, &mut wire);
                back.push(wire);
                true
            })
            .unwrap();
            assert_eq!(back, [WIRE, WIRE, WIRE]);
        }
    }

    #[test]
    fn a_batch_never_takes_the_place_of_another_nor_is_seen_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let visible = || {
            let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.retain(|name| !is_unfinished(name));
            names.sort();
            names
        };
        for _ in 0..2 {
            let mut batch = BatchFile::create(folder.path(), "a", Compression::None).unwrap();
            batch.add(WIRE).unwrap();
            let before = visible();
            batch.publish("1-1").unwrap();
            assert_eq!(visible().len(), before.len() + 1);
        }
        assert_eq!(visible(), ["1-1-2.rnews", "1-1.rnews"]);
        drop(BatchFile::create(folder.path(), "a", Compression::Gzip).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "what is given up leaves nothing");
    }
}
