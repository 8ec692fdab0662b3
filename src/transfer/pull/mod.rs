//! Articles of another server, got as a reader gets them and brought to this site.
//!
//! Any server will do that lets us read: it is asked what newsgroups it has, what is in them, and for
//! the articles that this site does not know. They pass through the site's intake and get its own
//! numbers. A journal says what has been brought: another run goes on where one was killed, and the
//! next one brings what is new.
//!
//! Each connection to the server (`worker`) has one of its own to the site. It takes a piece of a
//! newsgroup at a time (`plan`), asks for the Message-IDs, asks the site which it lacks (CHECK), gets
//! those, many commands in flight, and hands them on by TAKETHIS. The piece is done, and in the journal,
//! when the site has answered for each: what it said 239 to is on its disk.

mod plan;
mod progress;
mod worker;

use super::waiting::{Over, locked};
use super::{Totals, TransferError, Watcher};
use crate::client::{Client, ClientError, ListedGroup, Server};
use crate::clock::Timestamp;
use crate::wildmat::Wildmat;
use plan::Queue;
use progress::Progress;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use worker::Pace;

/// What is to be pulled, and how.
pub struct Request<'a> {
    /// From where.
    pub server: Server,
    /// The newsgroups, as far as the site has them.
    pub newsgroups: Wildmat,
    /// Which of their articles.
    pub extent: Extent,
    /// Connections to the server.
    pub connections: usize,
    /// Octets of articles a second at most, over all connections.
    pub octets_s_max: Option<u64>,
    /// Octets of an article that the site takes.
    pub article_bytes_max: usize,
    /// The file that says what has been brought.
    pub journal: PathBuf,
    /// A new connection to the site's intake.
    pub site: &'a (dyn Fn() -> Result<Client, ClientError> + Sync),
    /// Does the site have this newsgroup? It may be created by the question.
    pub has: &'a (dyn Fn(&ListedGroup) -> bool + Sync),
}

/// Which articles of the newsgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that have not been brought before.
    All,
    /// Of a newsgroup that nothing has been brought of, so many of the newest numbers.
    Last(u64),
    /// Of a newsgroup that nothing has been brought of, those since then.
    Since(Timestamp),
    /// Those that the server says are new (NEWNEWS, RFC 3977 s.7.4) since the last time or, the first
    /// time, since then.
    NewNews(Timestamp),
}

/// How it ended.
#[derive(Debug, Default)]
pub struct Pulled {
    /// What became of the articles that were got; `duplicate` are those that the site knew before they
    /// were asked for.
    pub totals: Totals,
    /// Numbers that had no article, or none any more.
    pub gone: u64,
    /// Octets of articles that were got.
    pub octets: u64,
    /// Newsgroups that were looked into.
    pub newsgroups: u64,
    /// Newsgroups of the server that match, but are not here.
    pub not_here: u64,
    /// Newsgroups that the server has numbered anew since the last time; all of them is looked at again.
    pub renumbered: Vec<String>,
    /// Why not all was done; what was done is in the journal.
    pub failure: Option<TransferError>,
}

/// What the connections share.
struct Work<'a> {
    request: &'a Request<'a>,
    queue: Queue,
    progress: Mutex<Progress>,
    pulled: Mutex<Pulled>,
    pace: Pace,
    watcher: &'a dyn Watcher,
    over: Over,
}

/// Pulls. What the watcher is told are article numbers, or Message-IDs for [`Extent::NewNews`].
///
/// # Errors
/// When the journal cannot be used, and when the server cannot be asked at all. What fails later is told
/// in the result.
pub fn pull(request: &Request<'_>, watcher: &dyn Watcher) -> Result<Pulled, TransferError> {
    let mut progress = Progress::open(&request.journal)?;
    let from_server = |error| TransferError::from_server(&request.server, error);
    let mut client = Client::connect(&request.server).map_err(from_server)?;
    let plan = plan::plan(&mut client, request, &progress)?;
    for newsgroup in &plan.renumbered {
        progress.anew(newsgroup)?;
    }
    let all = plan.jobs.iter().map(plan::Job::size).sum();
    watcher.begins(all, 0);
    let work = Work {
        request,
        queue: Queue::new(plan.jobs),
        progress: Mutex::new(progress),
        pulled: Mutex::new(Pulled {
            newsgroups: plan.newsgroups,
            not_here: plan.not_here,
            renumbered: plan.renumbered,
            ..Pulled::default()
        }),
        pace: Pace::new(request.octets_s_max),
        watcher,
        over: Over::default(),
    };
    let mut clients = vec![Some(client)];
    clients.resize_with(request.connections.max(1), || None);
    let mut failures: Vec<TransferError> = thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> =
            clients.into_iter().map(|client| scope.spawn(move || worker::pull_over(client, work))).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()?.err()).collect()
    });
    let done = work.queue.is_empty();
    let mut progress = work.progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if done && let Some(until) = plan.newnews_until {
        progress.newnews(until)?;
    }
    let mut pulled = std::mem::take(&mut *locked(&work.pulled));
    // A connection that was refused is no matter where others did its work.
    pulled.failure = if done { None } else { failures.pop() };
    Ok(pulled)
}
