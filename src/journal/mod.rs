//! What a site writes down of each article, for its operator and the field's tools: two files of
//! lines, `log/news` in the form of INN's `news` log ([`news`]) and `log/feeds`, the way of each
//! article in and every reply of every peer ([`feeds`]).
//!
//! A line must cost next to nothing, for there is one for each article and each reply. So whoever has
//! something to say formats it into a buffer of its own ([`Lines`]) and hands that over under one short
//! lock ([`Journal::append`]); a thread writes what has come together, one `write` for all of it. The
//! buffer between them is bounded: when the disk is slow or full, lines are dropped and counted, and
//! neither an article nor a reply ever waits. Nothing is synced: a crash of the machine may lose the
//! last seconds of these files, and nothing else, for the spool log is the truth.
//!
//! A file that was moved away, by logrotate say, is begun anew, at once when [`Journal::reopen`] is
//! called and with the next lines in any case. Each keeps a bounded number of octets: when a quarter
//! is full it becomes `news.1`, what was `news.1` becomes `news.2`, and the oldest goes ([`parts`]).
//!
//! This room decides nothing and reads no clock.

pub mod feeds;
pub mod figures;
pub mod news;
mod stamp;
mod writer;

pub use stamp::Lines;
pub use writer::{Journal, parts};

use crate::article::MessageId;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The two files of a site; a copy writes to the same ones. [`Journals::default`] writes nothing.
#[derive(Clone, Debug, Default)]
pub struct Journals {
    /// In the form of INN's `news` log.
    pub news: Journal,
    /// Articles that came and replies of peers.
    pub feeds: Journal,
    /// Does the second have a line for each offer that was refused, too?
    pub refused: bool,
}

impl Journals {
    /// Begins both, or goes on with them; without a path there is no such file. Each keeps at most
    /// `bytes_max` octets.
    ///
    /// # Errors
    /// A thread cannot be started, or a folder cannot be made.
    pub fn open(news: Option<&Path>, feeds: Option<&Path>, bytes_max: u64) -> io::Result<Self> {
        let open = |path: Option<&Path>| match path {
            Some(path) => Journal::open(path, bytes_max),
            None => Ok(Journal::default()),
        };
        Ok(Self { news: open(news)?, feeds: open(feeds)?, refused: false })
    }

    /// The files have been moved: begins new ones.
    pub fn reopen(&self) {
        self.news.reopen();
        self.feeds.reopen();
    }

    /// Writes what waits, and ends the threads.
    pub fn close(&self) {
        self.news.close();
        self.feeds.close();
    }
}

/// Calls `each` with the lines of a file and its older parts in which the Message-ID stands somewhere, the
/// oldest first.
fn lines_with(path: &Path, id: &MessageId, mut each: impl FnMut(&str)) -> io::Result<()> {
    let finder = memchr::memmem::Finder::new(id.as_str().as_bytes());
    let mut line = Vec::new();
    for part in parts(path).iter().rev() {
        let mut file = match File::open(part) {
            // It has been rotated away at this very moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => BufReader::with_capacity(256 * 1024, file?),
        };
        while file.read_until(b'\n', &mut line)? > 0 {
            if finder.find(&line).is_some() {
                each(String::from_utf8_lossy(&line).trim_end_matches('\n'));
            }
            line.clear();
        }
    }
    Ok(())
}
