//! Reading a batch from its first octet: heads, packing, marks.

use super::lzw::LzwReader;
use super::xz::Walked;
use super::{Found, HEAD, article_or_not, rnews};
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};

/// Octets that a batch may unpack to.
pub const UNPACKED_MAX: u64 = 16 << 30;
/// Heads and packings that may lie around a batch.
const DEPTH_MAX: usize = 4;
/// Octets of a head line.
const LINE_MAX: u64 = 512;
/// Octets that tell what follows; those of a packed file's own head among them.
const MAGIC_LEN: u64 = 64;

/// How something is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// compress(1).
    Lzw,
    /// gzip(1), RFC 1952.
    Gzip,
    /// xz(1).
    Xz,
}

impl Packing {
    /// What begins with these octets.
    pub fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x9d, ..] => Some(Self::Lzw),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }
}

/// What is packed in `input`, from its first octet on.
///
/// # Errors
/// As `input` has them. What would take too much memory ends in `InvalidData` when it is read.
pub fn unpack<'a>(packing: Packing, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Packing::Lzw => Box::new(LzwReader::new(input)?),
        Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
        Packing::Xz => Box::new(XzReader::new(Walked::new(input), true)),
    })
}

/// Passes over a line.
///
/// # Errors
/// As `input` has them; `InvalidData` where it is too long for a head, `UnexpectedEof` where it ends early.
pub fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    input.take(LINE_MAX).read_until(b'\n', &mut line)?;
    match line.len() as u64 {
        _ if line.ends_with(b"\n") => Ok(()),
        LINE_MAX => Err(no_head()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Hands each article of a batch to `sink`, until that returns false. What begins with no mark and is not
/// packed is one article, as for rnews.
///
/// # Errors
/// As `input` has them. `UnexpectedEof`: it ends early; the other kinds of bad input: it is broken. What
/// stood before that has been handed over.
pub fn read(
    input: Box<dyn Read + '_>,
    article_bytes_max: usize,
    sink: &mut dyn FnMut(Found<'_>) -> bool,
) -> io::Result<()> {
    read_layer(input, 0, article_bytes_max, sink)
}

fn read_layer(
    mut input: Box<dyn Read + '_>,
    depth: usize,
    article_bytes_max: usize,
    sink: &mut dyn FnMut(Found<'_>) -> bool,
) -> io::Result<()> {
    let mut magic = Vec::new();
    (&mut input).take(MAGIC_LEN).read_to_end(&mut magic)?;
    if magic.is_empty() {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "a batch with nothing in it"));
    }
    if depth > DEPTH_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "a batch that is packed too often"));
    }
    let packing = Packing::of(&magic);
    let (is_rnews, is_headed) = (magic.starts_with(rnews::MARK), magic.starts_with(HEAD));
    let mut input = BufReader::with_capacity(64 * 1024, Cursor::new(magic).chain(input));
    if let Some(packing) = packing {
        let bounded = Bounded { inner: unpack(packing, input)?, left: UNPACKED_MAX };
        return read_layer(Box::new(bounded), depth + 1, article_bytes_max, sink);
    }
    if is_rnews {
        return rnews::read(&mut input, article_bytes_max, sink);
    }
    if is_headed {
        skip_line(&mut input)?;
        return read_layer(Box::new(input), depth + 1, article_bytes_max, sink);
    }
    let mut text = Vec::new();
    (&mut input).take(article_bytes_max as u64 + 1).read_to_end(&mut text)?;
    match article_or_not((text.len() <= article_bytes_max).then_some(&text)) {
        Found::Not(why) => {
            Err(io::Error::new(ErrorKind::InvalidData, format!("no batch, and no article: {why}")))
        }
        article => {
            sink(article);
            Ok(())
        }
    }
}

fn no_head() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a first line that names no way of packing")
}

/// What is unpacked, up to a bound.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let octets = self.inner.read(into)?;
        self.left = self.left.checked_sub(octets as u64).ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidData, "a batch that unpacks to more than 16 GiB")
        })?;
        Ok(octets)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use lzma_rust2::{XzOptions, XzWriter};
    use std::io::Write;

    const BATCH: &[u8] = b"#! rnews 8\nA: 1\n\nx\n#! rnews 8\nB: 2\n\ny\n";

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(octets).unwrap();
        packed.finish().unwrap()
    }

    fn xz(octets: &[u8]) -> Vec<u8> {
        let mut packed = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
        packed.write_all(octets).unwrap();
        packed.finish().unwrap()
    }

    fn headed(head: &str, octets: &[u8]) -> Vec<u8> {
        [head.as_bytes(), octets].concat()
    }

    /// The articles, and the kind of the error behind them.
    fn articles(octets: &[u8]) -> (Vec<String>, Option<ErrorKind>) {
        let mut found = Vec::new();
        let read = read(Box::new(octets), 1000, &mut |article| {
            if let Found::Article(text) = article {
                found.push(String::from_utf8_lossy(text).into_owned());
            }
            true
        });
        (found, read.err().map(|error| error.kind()))
    }

    #[test]
    fn a_batch_is_read_however_it_is_packed() {
        let both = (vec!["A: 1\n\nx\n".to_owned(), "B: 2\n\ny\n".to_owned()], None);
        for batch in [
            BATCH.to_vec(),
            gzip(BATCH),
            xz(BATCH),
            headed("#! gunbatch\n", &gzip(BATCH)),
            // INN hands these to gzip, which looks for itself.
            headed("#! cunbatch\n", &gzip(BATCH)),
            headed("#! xunbatch\n", &xz(BATCH)),
            [gzip(&BATCH[..19]), gzip(&BATCH[19..])].concat(),
        ] {
            assert_eq!(articles(&batch), both);
        }
        assert_eq!(articles(b"A: 1\n\nx\n"), (vec!["A: 1\n\nx\n".to_owned()], None));
    }

    #[test]
    fn what_ends_early_can_be_told_from_what_is_broken() {
        let (early, broken) = (Some(ErrorKind::UnexpectedEof), Some(ErrorKind::InvalidData));
        for whole in [BATCH.to_vec(), headed("#! gunbatch\n", &gzip(BATCH)), xz(BATCH)] {
            for len in 0..whole.len() {
                // Between two articles nothing is missing.
                if len != 19 || !whole.starts_with(b"#! rnews") {
                    let (found, error) = articles(&whole[..len]);
                    assert!(error.is_some(), "{len} octets of {}", whole.len());
                    assert!(found.len() <= 2);
                }
            }
        }
        assert_eq!(articles(&BATCH[..30]).1, early);
        assert_eq!(articles(&gzip(BATCH)[..30]).1, early);
        assert_eq!(articles(b"no batch at all\n").1, broken);
        assert_eq!(articles(b"#! rnews 8\nA: 1\n\nx\ngarbage\n").1, broken);
        assert_eq!(articles(b"#! rnews 99999999999999999999\nA: 1\n").1, broken);
        assert_eq!(articles(b"#! rnews 9999999999999\nA: 1\n").1, early);
        let nested = (0..6).fold(BATCH.to_vec(), |inner, _| gzip(&inner));
        assert_eq!(articles(&nested).1, broken);
    }

    #[test]
    fn octets_that_are_flipped_break_nothing_but_the_batch() {
        let packed = [headed("#! gunbatch\n", &gzip(BATCH)), xz(BATCH), BATCH.to_vec()];
        for whole in &packed {
            for at in 0..whole.len() {
                for bit in [0x01, 0x80] {
                    let mut damaged = whole.clone();
                    damaged[at] ^= bit;
                    assert!(articles(&damaged).0.len() <= 2);
                }
            }
        }
    }

    #[test]
    fn a_dictionary_that_takes_all_memory_is_refused() {
        let mut greedy = xz(BATCH);
        let at = greedy.windows(2).position(|pair| pair == [0x21, 1]).unwrap() + 2;
        greedy[at] = 40;
        assert_eq!(articles(&greedy).1, Some(ErrorKind::InvalidData));
    }

    #[test]
    fn what_is_unpacked_is_bounded() {
        let mut bounded = Bounded { inner: io::repeat(0), left: 100 };
        let mut got = Vec::new();
        assert_eq!(bounded.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
