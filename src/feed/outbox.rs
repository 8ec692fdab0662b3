//! What waits to be written to a peer: commands and articles in one buffer, so that many of them
//! leave with one write; large articles follow piece by piece from the segment's file.

use crate::store::Stored;
use crate::transport::apart;
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets that wait before no more commands or articles are added.
const ENOUGH: usize = 256 * 1024;
/// Octets of a large article read at a time.
const PIECE: usize = 256 * 1024;

/// The buffer.
#[derive(Default)]
pub(super) struct Outbox {
    buffer: Vec<u8>,
    /// Octets of `buffer` that are written.
    written: usize,
    /// The rest of the article at the end of `buffer`.
    rest: Option<Rest>,
}

struct Rest {
    file: Arc<File>,
    offset: u64,
    octets: usize,
}

impl Outbox {
    /// May commands and articles be added? Never in the middle of an article.
    pub(super) fn has_room(&self) -> bool {
        self.rest.is_none() && self.unwritten().len() < ENOUGH
    }

    /// Is there nothing to write?
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.unwritten().is_empty()
    }

    /// What to write next.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.buffer.get(self.written..).unwrap_or_default()
    }

    /// So many octets have been written.
    pub(super) fn advance(&mut self, octets: usize) {
        self.written = self.buffer.len().min(self.written + octets);
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
        }
    }

    /// Gives its memory back while there is nothing to write.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.buffer = Vec::new();
            self.written = 0;
        }
    }

    /// Where commands are appended; only while it [`Outbox::has_room`].
    pub(super) fn commands(&mut self) -> &mut Vec<u8> {
        // Moved down only when at least half is waste: each octet moves once at most, on average.
        if self.written > 0 && self.written >= self.buffer.len() / 2 {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
        &mut self.buffer
    }

    /// Appends an article: what is in memory now, the rest as room is made.
    pub(super) fn article(&mut self, stored: &Stored) {
        self.commands().extend_from_slice(&stored.text);
        let octets = stored.len.saturating_sub(stored.text.len());
        if octets > 0 {
            let offset = stored.offset + stored.text.len() as u64;
            self.rest = Some(Rest { file: stored.file.clone(), offset, octets });
        }
    }

    /// Reads on in a large article while there is room. Waits for the disk on another thread, and
    /// only when the page cache does not have it. After an error the connection must be closed: the
    /// article cannot be ended properly any more.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        while let Some(mut rest) = self.rest.take() {
            if self.unwritten().len() >= ENOUGH {
                self.rest = Some(rest);
                break;
            }
            let octets = rest.octets.min(PIECE);
            let read = match self.read_cached(&rest, octets) {
                Some(read) => read,
                None => {
                    let (file, offset) = (rest.file.clone(), rest.offset);
                    let piece = apart(move || {
                        let mut piece = vec![0; octets];
                        file.read_exact_at(&mut piece, offset).map(|()| piece)
                    })
                    .await
                    .map_err(io::Error::other)??;
                    self.commands().extend_from_slice(&piece);
                    octets
                }
            };
            rest.offset += read as u64;
            rest.octets -= read;
            if rest.octets > 0 {
                self.rest = Some(rest);
            }
        }
        Ok(())
    }

    /// Appends up to `octets` if the page cache has them; none when reading would wait or fails.
    fn read_cached(&mut self, rest: &Rest, octets: usize) -> Option<usize> {
        let buffer = self.commands();
        let start = buffer.len();
        buffer.resize(start + octets, 0);
        let into = buffer.get_mut(start..).unwrap_or_default();
        let read = preadv2(&rest.file, &mut [IoSliceMut::new(into)], rest.offset, ReadWriteFlags::NOWAIT);
        let read = read.unwrap_or(0).min(octets);
        buffer.truncate(start + read);
        (read > 0).then_some(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::MessageId;
    use bytes::Bytes;
    use std::io::Write;

    fn stored(file: File, offset: u64, prefix: &[u8], len: usize) -> Stored {
        Stored {
            id: MessageId::try_from("<large@example.com>").unwrap(),
            head_len: 0,
            len,
            text: Bytes::copy_from_slice(prefix),
            file: Arc::new(file),
            offset,
        }
    }

    #[tokio::test]
    async fn a_large_article_passes_in_bounded_pieces_and_unchanged() {
        let mut file = tempfile::tempfile().unwrap();
        let article: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(b"before").unwrap();
        file.write_all(&article).unwrap();
        let mut outbox = Outbox::default();
        outbox.commands().extend_from_slice(b"TAKETHIS");
        outbox.article(&stored(file, 6, &article[..1000], article.len()));
        assert!(!outbox.has_room(), "no command may stand inside an article");
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            outbox.fill().await.unwrap();
            assert!(outbox.unwritten().len() <= ENOUGH + PIECE);
            let n = outbox.unwritten().len().min(100_003);
            sent.extend_from_slice(&outbox.unwritten()[..n]);
            outbox.advance(n);
        }
        assert!(sent.strip_prefix(b"TAKETHIS").is_some_and(|rest| rest == article));
        assert!(outbox.has_room());
    }

    #[tokio::test]
    async fn an_article_that_ends_early_is_an_error() {
        let mut outbox = Outbox::default();
        outbox.article(&stored(tempfile::tempfile().unwrap(), 0, b"Path: a", 100));
        assert!(outbox.fill().await.is_err());
    }
}
