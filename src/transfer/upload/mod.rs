//! Files posted in parts (RFC 3977 s.6.3.1), each an article of its own, and the NZB that lists them.
//!
//! # Nothing twice, nothing left out
//!
//! The plan with all Message-IDs is durable before the first POST, and each 240 is entered in the
//! journal. What an earlier run cannot be sure of is looked for by STAT, and so is an article whose
//! connection was lost or that a server calls a duplicate: its Message-ID is ours alone, so when it is
//! there it is ours.
//!
//! POST must not be pipelined (RFC 3977 s.6.3.1): what hides the round trips is several connections,
//! each with its next article ready while the server answers the last one.

mod plan;
mod poster;
mod source;

use super::disk::write_whole;
use super::journal::Journal;
use super::waiting::{Over, locked};
use super::{TransferError, Watcher};
use crate::article::MessageId;
use crate::binary::nzb::{Nzb, NzbFile, Segment};
use crate::client::{Client, Server};
use plan::Plan;
use poster::{Article, Work};
use serde::{Deserialize, Serialize};
use source::Source;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

/// STAT commands in flight.
const STATS: usize = 200;

/// What is to be uploaded.
#[derive(Clone, Debug)]
pub struct Request {
    /// Files, in this order.
    pub files: Vec<PathBuf>,
    /// The newsgroups, separated by commas.
    pub newsgroups: String,
    /// Who posts: a From field's value.
    pub from: String,
    /// What stands before the customary subject.
    pub words: Option<String>,
    /// Octets of a file in one article.
    pub part_size: u64,
    /// Connections side by side.
    pub connections: usize,
    /// The NZB to write; the journal is beside it.
    pub nzb: PathBuf,
}

/// What has been uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Octets of all files.
    pub octets: u64,
    /// Articles of all files.
    pub articles: u64,
    /// How many of them were there from an earlier run.
    pub before: u64,
}

/// An article that the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    /// Octets of the article as it was sent.
    bytes: u64,
    /// The CRC32 of its part.
    crc: u32,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    Plan(Plan),
    Taken { file: usize, part: usize, taken: Taken },
}

/// The journal beside an NZB.
pub fn journal_path(nzb: &std::path::Path) -> PathBuf {
    let mut name = nzb.file_stem().unwrap_or_default().to_owned();
    name.push(".feedc-upload");
    nzb.with_file_name(name)
}

/// Uploads, or goes on with an upload that ended before its end.
///
/// # Errors
/// When a file or the journal cannot be read or written, when the server refuses an article for good
/// or is not there for two minutes. The journal stays, and the same request goes on.
pub fn upload(request: &Request, server: &Server, watcher: &dyn Watcher) -> Result<Uploaded, TransferError> {
    let path = journal_path(&request.nzb);
    let (journal, entries) = Journal::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => {
            TransferError::Unfit(format!("{}: another feedc is at this upload", path.display()))
        }
        _ => TransferError::File(path.clone(), error),
    })?;
    let mut entries = entries.into_iter();
    let (plan, resumed) = match entries.next() {
        Some(Entry::Plan(plan)) => (plan, true),
        _ if request.nzb.exists() => {
            // The journal is the empty one that was just made.
            journal.remove().map_err(TransferError::at(&path))?;
            return Err(TransferError::Unfit(format!(
                "{} is there already, the list of another upload; name another with --nzb",
                request.nzb.display()
            )));
        }
        _ => match Plan::make(request, &server.host) {
            Ok(plan) => (plan, false),
            Err(error) => {
                journal.remove().map_err(TransferError::at(&path))?;
                return Err(error);
            }
        },
    };
    if let Some(what) = plan.differs(request) {
        return Err(TransferError::Unfit(format!(
            "{} is of an upload that was not finished, with {what}; repeat that one's command to go on \
             with it, or remove the file to begin anew",
            path.display()
        )));
    }
    if !resumed {
        journal.add(&Entry::Plan(plan.clone())).map_err(TransferError::at(&path))?;
        journal.sync().map_err(TransferError::at(&path))?;
    }
    let mut taken: Vec<Vec<Option<Taken>>> =
        plan.files.iter().map(|file| vec![None; file.ids.len()]).collect();
    for entry in entries {
        if let Entry::Taken { file, part, taken: one } = entry
            && let Some(place) = taken.get_mut(file).and_then(|parts| parts.get_mut(part))
        {
            *place = Some(one);
        }
    }
    let before = octets_taken(&plan, &taken);
    watcher.begins(plan.octets(), before);
    let there = match survey(&plan, &taken, server, resumed) {
        Ok(there) => there,
        Err(error) => {
            if !resumed {
                journal.remove().map_err(TransferError::at(&path))?;
            }
            return Err(error);
        }
    };
    let from_before = taken.iter().flatten().flatten().count() as u64 + there.len() as u64;
    let work = Work {
        plan: &plan,
        server,
        journal: &journal,
        watcher,
        there,
        source: Mutex::new(Source::new(&plan)),
        spare: Mutex::new(Vec::new()),
        taken: Mutex::new(taken),
        over: Over::default(),
    };
    let done = post_all(&work, request.connections);
    let taken = work.taken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(error) = done {
        if taken.iter().flatten().all(Option::is_none) && matches!(error, TransferError::Unfit(_)) {
            // Nothing has been posted, and nothing will be this way.
            journal.remove().map_err(TransferError::at(&path))?;
        }
        return Err(error);
    }
    let nzb = listed(&plan, &taken).to_string();
    write_whole(&request.nzb, nzb.as_bytes()).map_err(TransferError::at(&request.nzb))?;
    journal.remove().map_err(TransferError::at(&path))?;
    Ok(Uploaded { octets: plan.octets(), articles: plan.parts(), before: from_before })
}

fn octets_taken(plan: &Plan, taken: &[Vec<Option<Taken>>]) -> u64 {
    let octets = taken.iter().enumerate().flat_map(|(file, parts)| {
        parts.iter().enumerate().filter(|(_, taken)| taken.is_some()).map(move |(part, _)| (file, part))
    });
    octets.map(|(file, part)| plan.range(file, part).1).sum()
}

/// Which articles the server has though the journal does not say so: a run that was killed had sent
/// them. Asked over one connection, many at a time; made in any case, since a server that is not there
/// at the beginning is not waited for.
fn survey(
    plan: &Plan,
    taken: &[Vec<Option<Taken>>],
    server: &Server,
    resumed: bool,
) -> Result<HashSet<(usize, usize)>, TransferError> {
    let unsure: Vec<(usize, usize)> = (0..plan.files.len())
        .flat_map(|file| (0..plan.files[file].ids.len()).map(move |part| (file, part)))
        .filter(|(file, part)| resumed && taken[*file][*part].is_none())
        .collect();
    let mut there = HashSet::new();
    let failed = |error| TransferError::from_server(server, error);
    let mut client = Client::connect(server).map_err(failed)?;
    for some in unsure.chunks(STATS) {
        for (file, part) in some {
            client.send(&format!("STAT {}", plan.files[*file].ids[*part])).map_err(failed)?;
        }
        client.flush().map_err(failed)?;
        for place in some {
            if client.answer().map_err(failed)?.code.0 == 223 {
                there.insert(*place);
            }
        }
    }
    Ok(there)
}

/// Posts what is left, over several connections, until all is taken.
fn post_all(work: &Work<'_>, connections: usize) -> Result<(), TransferError> {
    loop {
        let before = work.missing();
        if before == 0 {
            return Ok(());
        }
        let ended: Vec<Result<(), TransferError>> = thread::scope(|scope| {
            let posters: Vec<_> =
                (0..connections.max(1)).map(|_| scope.spawn(|| poster::post(work))).collect();
            posters.into_iter().filter_map(|poster| poster.join().ok()).collect()
        });
        let synced = work.journal.sync().map_err(TransferError::at(work.journal.path()));
        let missing = work.missing();
        let fatal = work.over.is_set() && missing > 0;
        // A connection that gave up left its articles to the others, who may have been done by then.
        if let Some(error) = ended.into_iter().find_map(Result::err)
            && (fatal || missing == before)
        {
            return Err(error);
        }
        synced?;
        if missing == before {
            return Err(TransferError::Unfit("a thread of the upload ended by itself".to_owned()));
        }
    }
}

fn listed(plan: &Plan, taken: &[Vec<Option<Taken>>]) -> Nzb {
    let files = plan.files.iter().zip(taken).enumerate().map(|(index, (file, taken))| {
        let segments = file.ids.iter().zip(taken).zip(1..).filter_map(|((id, taken), number)| {
            let id = MessageId::try_from(id.as_str()).ok()?;
            Some(Segment { number, bytes: taken.as_ref()?.bytes, id })
        });
        NzbFile {
            poster: plan.from.clone(),
            date: plan.date,
            subject: Article::subject(plan, index, 0),
            groups: plan.newsgroups.split(',').map(|group| group.trim().to_owned()).collect(),
            segments: segments.collect(),
        }
    });
    Nzb { meta: Vec::new(), files: files.collect() }
}

impl Work<'_> {
    /// Articles that the server does not have yet.
    fn missing(&self) -> usize {
        locked(&self.taken).iter().flatten().filter(|taken| taken.is_none()).count()
    }
}
