//! Files to and from servers: [`upload`] posts them in parts, [`fetch`] gets them from the articles
//! that an NZB lists, over several connections each. And whole newsgroups: [`pull`] brings the articles
//! of another server to this site, as a reader. [`batch`] reads and writes files of articles for sites
//! that no connection leads to, and [`Feeder`] sends articles to this site's own intake.
//!
//! The first three keep a journal of what has been done, so that one that was killed goes on where it was: what
//! a journal says is checked (by STAT at the server, by CRC32 on the disk), so that nothing is posted
//! twice and no octet is taken on trust. Threads of their own, as many as connections; memory is
//! bounded by connections times what a few articles hold.

pub mod batch;
mod disk;
mod feeder;
pub mod fetch;
mod journal;
pub mod pull;
mod totals;
pub mod upload;
mod waiting;

pub use feeder::{Ended, Feeder, Unsent};
pub use totals::Totals;

use crate::client::{ClientError, Server};
use crate::wire::Code;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Who wants to know how far it is.
pub trait Watcher: Sync {
    /// So many octets are to be transferred, and so many of them have been before.
    fn begins(&self, total: u64, before: u64);
    /// So many more are.
    fn advances(&self, octets: u64);
}

/// Why a transfer ended before its end. What it has done stands in its journal.
#[derive(Debug)]
pub enum TransferError {
    /// A file or folder, and what it did.
    File(PathBuf, io::Error),
    /// A server, and what it did.
    Server(Box<Server>, ClientError),
    /// What was asked for cannot be; why and the cure, one line.
    Unfit(String),
}

impl TransferError {
    /// What a server did.
    fn from_server(server: &Server, error: ClientError) -> Self {
        Self::Server(Box::new(server.clone()), error)
    }

    /// For `map_err` of whatever is done with the file at `path`.
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::File(path, error)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            // This one names its server itself.
            Self::Server(_, ClientError::Refused(why)) => f.write_str(why),
            Self::Server(server, error) => write!(f, "{server}: {error}"),
            Self::Unfit(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TransferError {}

/// Will the same question perhaps be answered a little later? A server that is stopped, full or not
/// up yet; not one that says no.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Io(_) => true,
        ClientError::Declined(answer) => matches!(answer.code, Code(400 | 403)),
        _ => false,
    }
}
