//! Files from the articles that an NZB lists, from several servers at once.
//!
//! A part comes from whichever server is free; one that a server does not have, or has damaged (yEnc's
//! sizes and CRC32 tell), is asked of the others. Parts go to their place in `NAME.part`, each is
//! entered in the journal, and the file gets its name when all of it is there and its sum is right. BODY
//! is pipelined (RFC 3977 s.3.5), so that a long way to a server costs nothing.
//!
//! After a kill -9 the journal says what is on the disk, and the disk is asked whether that is so: parts
//! whose CRC32 is another are fetched again.

mod queue;
mod target;
mod worker;

use super::journal::Journal;
use super::waiting::Over;
use super::{TransferError, Watcher};
use crate::binary::nzb::Nzb;
use crate::binary::subject;
use crate::client::Server;
use queue::{Job, Queue, SERVERS_MAX, bit};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use target::{Folder, Target};
use worker::Work;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct Request {
    /// The files and their articles.
    pub nzb: Nzb,
    /// What the NZB is called: the journal in the folder has that name too.
    pub name: String,
    /// Where the files go.
    pub folder: PathBuf,
    /// May files that are there be replaced?
    pub force: bool,
    /// Connections to each server.
    pub connections: usize,
}

/// What has been fetched, and what has not.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The files that are there as a whole, also from an earlier run, with their octets.
    pub files: Vec<(String, u64)>,
    /// The files that are not, and why, unless parts are missing.
    pub failed: Vec<(String, String)>,
    /// The parts that no server has.
    pub missing: Vec<MissingPart>,
    /// How many parts more are not there, because a server could not be asked for them.
    pub unasked: u64,
    /// Servers that could not be asked (any more), and why.
    pub unreachable: Vec<TransferError>,
}

impl Fetched {
    /// Is every file there?
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.failed.is_empty() && self.unasked == 0
    }
}

/// A part that no server has.
#[derive(Debug)]
pub struct MissingPart {
    /// The file's name.
    pub file: String,
    /// Its number in the NZB.
    pub segment: u32,
    /// The Message-ID of its article.
    pub id: String,
    /// What was wrong with it at the last server that had one.
    pub damage: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    /// The first: which NZB it is.
    Nzb { sum: String },
    /// A file has been begun.
    Named { file: usize, name: String, size: u64 },
    /// A part is on the disk.
    Stored { file: usize, segment: usize, offset: u64, len: u64, crc: u32 },
    /// A part told the whole file's CRC32.
    Sum { file: usize, crc: u32 },
    /// A file has its name.
    Done { file: usize },
}

impl Entry {
    fn file(&self) -> Option<usize> {
        match self {
            Self::Nzb { .. } => None,
            Self::Named { file, .. }
            | Self::Stored { file, .. }
            | Self::Sum { file, .. }
            | Self::Done { file } => Some(*file),
        }
    }
}

/// The journal in the folder of the files.
pub fn journal_path(request: &Request) -> PathBuf {
    request.folder.join(journal_name(request))
}

fn journal_name(request: &Request) -> String {
    format!("{}.feedc-fetch", request.name)
}

/// Fetches, or goes on with a fetch that ended before its end.
///
/// # Errors
/// When a file or the journal cannot be read or written. That a server has no part, or cannot be asked,
/// is no error but told in the result.
pub fn fetch(request: &Request, servers: &[Server], watcher: &dyn Watcher) -> Result<Fetched, TransferError> {
    if servers.len() > SERVERS_MAX {
        return Err(TransferError::Unfit(format!("more than {SERVERS_MAX} servers")));
    }
    let path = journal_path(request);
    let (journal, entries) = Journal::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => {
            TransferError::Unfit(format!("{}: another feedc is at this fetch", path.display()))
        }
        _ => TransferError::File(path.clone(), error),
    })?;
    let mut entries = entries.into_iter();
    let own = sum(&request.nzb);
    match entries.next() {
        Some(Entry::Nzb { sum }) if sum == own => {}
        Some(_) => {
            return Err(TransferError::Unfit(format!(
                "{} is of another NZB; finish that one, or remove the file",
                path.display()
            )));
        }
        None => journal.add(&Entry::Nzb { sum: own }).map_err(TransferError::at(&path))?,
    }
    let names = Mutex::new(HashSet::from([journal_name(request)]));
    let folder = Folder { path: &request.folder, force: request.force, journal: &journal, names };
    let targets: Vec<Target> = request
        .nzb
        .files
        .iter()
        .enumerate()
        .map(|(index, file)| Target::new(index, subject::name(&file.subject), file.segments.len()))
        .collect();
    recall(entries, &targets, &folder)?;

    let jobs = || {
        let files = request.nzb.files.iter().enumerate();
        files.flat_map(|(file, listed)| {
            (0..listed.segments.len()).map(move |segment| Job { file, segment, asked: 0, damage: None })
        })
    };
    let bytes = |jobs: &mut dyn Iterator<Item = Job>| -> u64 {
        jobs.map(|job| request.nzb.files[job.file].segments[job.segment].bytes)
            .fold(0, |sum, bytes| sum.saturating_add(bytes))
    };
    let is_wanted = |job: &Job| targets[job.file].wants(job.segment);
    watcher.begins(bytes(&mut jobs()), bytes(&mut jobs().filter(|job| !is_wanted(job))));
    let connections = request.connections.max(1);
    let queue = Queue::new(jobs().filter(is_wanted), vec![connections; servers.len()]);
    let work = Work {
        nzb: &request.nzb,
        servers,
        targets: &targets,
        folder: &folder,
        queue: &queue,
        watcher,
        reached: servers.iter().map(|_| AtomicBool::new(false)).collect(),
        unsynced: Mutex::new(0),
        over: Over::default(),
    };
    let ended: Vec<Result<(), TransferError>> = thread::scope(|scope| {
        let of_servers = (0..servers.len()).flat_map(|server| (0..connections).map(move |_| server));
        let work = &work;
        let workers: Vec<_> =
            of_servers.map(|server| scope.spawn(move || worker::fetch_from(server, work))).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    let mut fetched = Fetched::default();
    for error in ended.into_iter().filter_map(Result::err) {
        match error {
            // Its other connections say the same.
            error @ TransferError::Server(..) => {
                if fetched.unreachable.iter().all(|known| known.to_string() != error.to_string()) {
                    fetched.unreachable.push(error);
                }
            }
            fatal => return Err(fatal),
        }
    }
    let everybody = (0..servers.len()).fold(0, |all, server| all | bit(server));
    report(&request.nzb, queue, &targets, everybody, &mut fetched);
    let is_whole = fetched.is_whole();
    if is_whole || !targets.iter().any(Target::has_anything) {
        journal.remove().map_err(TransferError::at(&path))?;
    } else {
        targets.iter().try_for_each(|target| worker::sync(target, &folder))?;
    }
    Ok(fetched)
}

/// Which NZB it is: of another one no part is the same.
fn sum(nzb: &Nzb) -> String {
    let mut hasher = SipHasher13::new();
    for file in &nzb.files {
        hasher.write_usize(file.segments.len());
        for segment in &file.segments {
            hasher.write_u32(segment.number);
            hasher.write(segment.id.as_str().as_bytes());
        }
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

/// Where an earlier run left off.
fn recall(
    entries: impl Iterator<Item = Entry>,
    targets: &[Target],
    folder: &Folder<'_>,
) -> Result<(), TransferError> {
    let mut places: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); targets.len()];
    for entry in entries {
        if let Some((file, segment, offset)) = Target::place(&entry)
            && let Some(places) = places.get_mut(file)
        {
            places.insert(segment, offset);
        }
        if let Some(target) = entry.file().and_then(|file| targets.get(file)) {
            target.recall(entry, folder);
        }
    }
    targets.iter().zip(&places).try_for_each(|(target, places)| target.verify(places, folder))
}

fn report(nzb: &Nzb, queue: Queue, targets: &[Target], everybody: u32, fetched: &mut Fetched) {
    let mut lost = queue.into_lost();
    lost.sort_by_key(|job| (job.file, job.segment));
    for target in targets {
        let outcome = target.outcome();
        if outcome.is_done {
            fetched.files.push((outcome.name, outcome.size));
        } else if let Some(why) = outcome.failure {
            fetched.failed.push((outcome.name, why));
        }
    }
    for job in lost {
        let outcome = targets[job.file].outcome();
        // A file that cannot be made misses nothing.
        if outcome.failure.is_some() {
            continue;
        }
        if job.asked != everybody {
            fetched.unasked += 1;
        } else {
            let segment = &nzb.files[job.file].segments[job.segment];
            fetched.missing.push(MissingPart {
                file: outcome.name,
                segment: segment.number,
                id: segment.id.to_string(),
                damage: job.damage,
            });
        }
    }
}
