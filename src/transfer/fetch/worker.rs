//! One connection that fetches parts until no server has one left for it.

use super::queue::{Job, Queue};
use super::target::{Delivered, Folder, PART_MAX, Target};
use super::{Nzb, TransferError, Watcher};
use crate::binary::yenc;
use crate::client::{Client, ClientError, Server};
use crate::transfer::is_passing;
use crate::transfer::waiting::{FAILURES_MAX, Over, delay, locked};
use crate::wire::Code;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Commands in flight: enough that a round trip takes no time from the articles.
const DEPTH: usize = 4;
/// Octets of an article: twice the largest part, as whose octets all were escaped.
const ARTICLE_MAX: usize = 2 * PART_MAX as usize;
/// Octets after which what has been written is made durable.
const SYNC_EVERY: u64 = 64 << 20;

/// What the connections share.
pub(super) struct Work<'a> {
    pub(super) nzb: &'a Nzb,
    pub(super) servers: &'a [Server],
    pub(super) targets: &'a [Target],
    pub(super) folder: &'a Folder<'a>,
    pub(super) queue: &'a Queue,
    pub(super) watcher: &'a dyn Watcher,
    /// For each server, whether a connection to it was ever made: one that was not there at the
    /// beginning is not waited for.
    pub(super) reached: Vec<AtomicBool>,
    /// Octets that have been written since the last sync.
    pub(super) unsynced: Mutex<u64>,
    /// Something is wrong for good, or all is done.
    pub(super) over: Over,
}

/// Why a connection is of no use any more.
enum Trouble {
    Server(ClientError),
    /// Neither is another one.
    Final(TransferError),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Server(error)
    }
}

/// A connection's share in the work, which ends with it however it ends.
struct Share<'a> {
    queue: &'a Queue,
    server: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.queue.leave(self.server);
        if thread::panicking() {
            // What it had in hand nobody will bring back, so nobody must wait for it.
            self.queue.stop();
        }
    }
}

/// Fetches over one connection at a time to a server.
///
/// # Errors
/// When the server is not to be had, or for something that ends the fetch as a whole.
pub(super) fn fetch_from(server: usize, work: &Work<'_>) -> Result<(), TransferError> {
    let _share = Share { queue: work.queue, server };
    fetch_over_connections(server, work)
}

fn fetch_over_connections(server: usize, work: &Work<'_>) -> Result<(), TransferError> {
    let mut failures = 0;
    let mut must_log_in = false;
    while work.queue.wait(server) {
        let mut window = VecDeque::new();
        let connected = connect(&work.servers[server], must_log_in).map_err(Trouble::from);
        if connected.is_ok() {
            work.reached[server].store(true, Ordering::Relaxed);
        }
        let fetched = connected
            .and_then(|mut client| fetch_over(&mut client, server, work, &mut window, &mut failures));
        window.into_iter().rev().for_each(|job| work.queue.give_back(job));
        match fetched {
            Ok(()) => continue,
            Err(Trouble::Final(error)) => {
                work.queue.stop();
                work.over.set();
                return Err(error);
            }
            Err(Trouble::Server(ClientError::Declined(answer)))
                if answer.code == Code(480) && !must_log_in =>
            {
                must_log_in = true;
                continue;
            }
            Err(Trouble::Server(error)) => {
                failures += 1;
                let is_known = work.reached[server].load(Ordering::Relaxed);
                if !is_known || !is_passing(&error) || failures > FAILURES_MAX {
                    return Err(TransferError::from_server(&work.servers[server], error));
                }
            }
        }
        if work.over.wait(delay(failures)) {
            break;
        }
    }
    if work.queue.is_finished() {
        work.over.set();
    }
    Ok(())
}

/// A server may want to know who asks only when it is asked for an article.
fn connect(server: &Server, must_log_in: bool) -> Result<Client, ClientError> {
    let mut client = Client::connect(server)?;
    if must_log_in {
        client.log_in()?;
    }
    Ok(client)
}

/// Fetches until there is nothing for the server to do; what it was asked for and did not answer is in
/// the window.
fn fetch_over(
    client: &mut Client,
    server: usize,
    work: &Work<'_>,
    window: &mut VecDeque<Job>,
    failures: &mut u32,
) -> Result<(), Trouble> {
    while !window.is_empty() || work.queue.wait(server) {
        while window.len() < DEPTH
            && let Some(job) = work.queue.take(server)
        {
            if !work.targets[job.file].wants(job.segment) {
                work.queue.done();
                continue;
            }
            let segment = &work.nzb.files[job.file].segments[job.segment];
            window.push_back(job);
            client.send(&format!("BODY {}", segment.id))?;
        }
        if window.is_empty() {
            continue;
        }
        client.flush()?;
        let answer = client.answer()?;
        let given = match answer.code {
            Code(222) => Ok(client.block(ARTICLE_MAX)?),
            Code(400 | 403 | 480..=483 | 500..=502) => return Err(ClientError::Declined(answer).into()),
            // RFC 3977 s.6.2.3.1, and 451 from servers that had to remove it.
            Code(420 | 423 | 430 | 451) => Err(None),
            Code(400..) => Err(Some(answer.to_string())),
            _ => return Err(ClientError::Protocol(answer.to_string()).into()),
        };
        *failures = 0;
        let Some(job) = window.pop_front() else { break };
        match given {
            Ok(block) => take_in(&block, server, job, work).map_err(Trouble::Final)?,
            Err(why) => work.queue.not_from(server, job, why),
        }
    }
    Ok(())
}

/// Puts what a server gave in its place, or asks another one.
fn take_in(block: &[u8], server: usize, job: Job, work: &Work<'_>) -> Result<(), TransferError> {
    let part = match yenc::decode(block) {
        Ok(part) => part,
        Err(bad) => {
            work.queue.not_from(server, job, Some(bad.to_string()));
            return Ok(());
        }
    };
    let target = &work.targets[job.file];
    let delivered = match target.deliver(job.segment, &part, work.folder) {
        Ok(delivered) => delivered,
        Err(error) => {
            work.queue.done();
            return Err(error);
        }
    };
    match delivered {
        Delivered::Stored => {
            work.watcher.advances(work.nzb.files[job.file].segments[job.segment].bytes);
            work.queue.done();
            let mut unsynced = locked(&work.unsynced);
            *unsynced += part.data.len() as u64;
            if *unsynced >= SYNC_EVERY {
                *unsynced = 0;
                drop(unsynced);
                sync(target, work.folder)?;
            }
        }
        Delivered::Unfit(why) => work.queue.not_from(server, job, Some(why)),
        Delivered::Unwanted => work.queue.done(),
    }
    Ok(())
}

/// Makes durable what is written, and then what the journal says of it.
pub(super) fn sync(target: &Target, folder: &Folder<'_>) -> Result<(), TransferError> {
    target.sync().map_err(TransferError::at(folder.path))?;
    folder.journal.sync().map_err(TransferError::at(folder.journal.path()))
}
