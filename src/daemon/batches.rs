//! Batches that peers have sent: files that appear in a peer's `inbound` folder are taken as if the peer
//! itself had sent the articles over a connection, with its contract and its Path, and then removed.
//!
//! - A file is removed when every article of it is on the disk, was here already, or is not wanted. A crash
//!   before that has it read once more, and the history knows what came.
//! - Our own trouble (a full disk, the site stops) leaves it where it is.
//! - A file that is being written is left alone: names that say so ([`is_unfinished`]), and what has
//!   changed between two looks. One that ends early may still grow: it counts as broken when it has not changed for
//!   [`GROWING`].
//! - A broken file moves to `inbound/failed/`, with the reason beside it in a file of its name and `.why`. What
//!   was whole in it has been taken.
//!
//! Each peer's folder has a thread of its own while it is read, so that nobody waits for another's batches.

use super::admission::Admission;
use crate::client::Client;
use crate::clock;
use crate::config::Peer;
use crate::intake::Origin;
use crate::net::{self, Admitted, Service};
use crate::transfer::batch::{self, Found, is_unfinished};
use crate::transfer::{Feeder, Totals, Unsent};
use crate::transport::Transport;
use rustix::fs::OFlags;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often folders are looked into.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often peers are looked for that have such folders.
const PEERS_EVERY: Duration = Duration::from_secs(5);
/// How long a file that ends early may stay unchanged before it counts as broken.
const GROWING: Duration = Duration::from_secs(60);
/// The pause after trouble of our own.
const RETRY: Duration = Duration::from_secs(10);
/// Files that are taken after one look, the first by name.
const LOOK_MAX: usize = 100;
/// Where broken files go.
const FAILED: &str = "failed";

/// A peer whose articles come in batches. There is no address that it came from: `from` says in the log how it
/// came.
pub(super) fn admitted(peer: Arc<Peer>, from: &str) -> Admitted {
    let admitted = Admitted::peer(peer.clone());
    Admitted { relay: Some(Origin::Peers { peers: vec![peer], address: from.to_owned() }), ..admitted }
}

/// Takes what comes, until the site stops.
pub(super) async fn watch(service: Arc<Service>, admission: Arc<Admission>) {
    let stop = service.stop.clone();
    let mut resting: HashMap<String, Inbound> = HashMap::new();
    let mut working: JoinSet<Inbound> = JoinSet::new();
    let mut busy: Vec<String> = Vec::new();
    while !stop.is_cancelled() {
        let peers = admission.rules().peers.clone();
        let inbound = |peer: &Peer| peer.batch.as_ref().and_then(|batch| batch.inbound.clone());
        let with_folder = || peers.iter().filter_map(|peer| Some((peer, inbound(peer)?)));
        resting.retain(|name, _| with_folder().any(|(peer, _)| peer.name == *name));
        for (peer, folder) in with_folder() {
            if busy.contains(&peer.name) {
                continue;
            }
            let before = resting.remove(&peer.name).filter(|inbound| inbound.folder == folder);
            let mut inbound = before.unwrap_or_else(|| Inbound::new(peer.clone(), folder));
            inbound.peer = peer.clone();
            busy.push(peer.name.clone());
            working.spawn(inbound.work(service.clone()));
        }
        let pause = if busy.is_empty() { PEERS_EVERY } else { LOOK_EVERY };
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(until) => break,
                Some(done) = working.join_next() => match done {
                    Ok(inbound) => {
                        busy.retain(|name| *name != inbound.peer.name);
                        resting.insert(inbound.peer.name.clone(), inbound);
                    }
                    Err(error) => {
                        tracing::error!(target: "feedd::batch", %error, "taking batches has failed");
                        // Whose it was is not known any more: all are looked at anew, and none is lost.
                        working.shutdown().await;
                        busy.clear();
                    }
                },
            }
        }
    }
    // What is being taken learns of the stop from its connection.
    while working.join_next().await.is_some() {}
}

/// What tells that a file has changed: its octets, and when it was changed, in nanoseconds of Unix time.
type Stamp = (u64, i128);

/// What is known of a file in the folder.
#[derive(Clone, Copy)]
struct Seen {
    stamp: Stamp,
    since: Instant,
    /// It was read as it is, and cannot be done with.
    tried: bool,
}

/// A peer's folder.
struct Inbound {
    peer: Arc<Peer>,
    folder: PathBuf,
    files: BTreeMap<String, Seen>,
    /// The last trouble told.
    told: Option<String>,
    rest_until: Option<Instant>,
}

/// What became of a batch.
enum Taken {
    /// It has been read to its end.
    Whole(Totals),
    /// It ends early, or is broken.
    Broken(io::Error, Totals),
    /// Not its fault.
    Trouble(String),
}

impl Inbound {
    fn new(peer: Arc<Peer>, folder: PathBuf) -> Self {
        Self { peer, folder, files: BTreeMap::new(), told: None, rest_until: None }
    }

    /// One look at the folder, and what follows from it.
    async fn work(mut self, service: Arc<Service>) -> Self {
        if self.rest_until.is_some_and(|until| until > Instant::now()) {
            return self;
        }
        let folder = self.folder.clone();
        let listed = tokio::task::spawn_blocking(move || list(&folder)).await;
        let listed = match listed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(listed) => listed,
            Err(error) => {
                self.trouble(format!("{}: {error}", self.folder.display()));
                return self;
            }
        };
        let now = Instant::now();
        let before = std::mem::take(&mut self.files);
        let mut ready = Vec::new();
        for (name, stamp) in listed {
            let known = before.get(&name).filter(|seen| seen.stamp == stamp).copied();
            let seen = known.unwrap_or(Seen { stamp, since: now, tried: false });
            let is_old = now.duration_since(seen.since) >= GROWING || is_past(stamp);
            if known.is_some() && (!seen.tried || is_old) {
                ready.push((name.clone(), is_old));
            }
            self.files.insert(name, seen);
        }
        for (name, is_old) in ready.into_iter().take(LOOK_MAX) {
            if service.stop.is_cancelled() {
                break;
            }
            if !self.take(&service, &name, is_old).await {
                break;
            }
        }
        self
    }

    /// Takes a file; false where the others would fare no better.
    async fn take(&mut self, service: &Arc<Service>, name: &str, is_old: bool) -> bool {
        let path = self.folder.join(name);
        let file = path.display().to_string();
        let peer = self.peer.name.clone();
        let done = match read(service, self.peer.clone(), path.clone()).await {
            Taken::Whole(totals) => {
                tracing::info!(target: "feedd::batch", %peer, file, accepted = totals.accepted,
                    duplicate = totals.duplicate, rejected = totals.rejected, "batch taken");
                fs::remove_file(&path)
            }
            Taken::Broken(error, _) if error.kind() == ErrorKind::UnexpectedEof && !is_old => {
                // Perhaps the rest is on its way.
                self.tried(name);
                return true;
            }
            Taken::Broken(error, totals) => {
                tracing::warn!(target: "feedd::batch", %peer, file, %error, accepted = totals.accepted,
                    duplicate = totals.duplicate, rejected = totals.rejected, "a broken batch");
                put_aside(&self.folder, name, &format!("{error}\n{}\n", totals.shown()))
            }
            Taken::Trouble(why) => {
                self.trouble(format!("{file}: {why}"));
                return false;
            }
        };
        match done {
            Ok(()) => self.told = None,
            Err(error) => {
                // It would be read again and again.
                self.tried(name);
                self.trouble(format!("{file} has been taken and cannot be moved away: {error}"));
            }
        }
        true
    }

    fn tried(&mut self, name: &str) {
        if let Some(seen) = self.files.get_mut(name) {
            seen.tried = true;
        }
    }

    /// Trouble is told once, and what it is about tried again a little later.
    fn trouble(&mut self, why: String) {
        self.rest_until = Some(Instant::now() + RETRY);
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(target: "feedd::batch", peer = %self.peer.name, why, "batches are not taken");
            self.told = Some(why);
        }
    }
}

/// Was the file changed so long ago that nobody writes to it any more?
fn is_past((_, changed_ns): Stamp) -> bool {
    let growing_ns = i128::try_from(GROWING.as_nanos()).unwrap_or(i128::MAX);
    i128::from(clock::now().unix_ms()) * 1_000_000 - changed_ns >= growing_ns
}

/// The files of a folder that are to be looked at, by name; the folder is made if it is not there.
fn list(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let mut files = BTreeMap::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            return Ok(files);
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // It may have been renamed since.
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if metadata.is_file() && !is_unfinished(&name) {
            let changed_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            files.insert(name, (metadata.len(), changed_ns));
            if files.len() > 2 * LOOK_MAX {
                files.pop_last();
            }
        }
    }
    Ok(files)
}

/// Moves a broken file away, and says why.
fn put_aside(folder: &Path, name: &str, why: &str) -> io::Result<()> {
    let failed = folder.join(FAILED);
    fs::create_dir_all(&failed)?;
    let mut to = failed.join(name);
    let mut number = 1_u32;
    while to.symlink_metadata().is_ok() {
        number = number.saturating_add(1);
        to = failed.join(format!("{name}.{number}"));
    }
    let mut reason = to.clone().into_os_string();
    reason.push(".why");
    fs::write(reason, why)?;
    fs::rename(folder.join(name), to)
}

/// Reads a batch into the site, over a connection within this process.
async fn read(service: &Arc<Service>, peer: Arc<Peer>, path: PathBuf) -> Taken {
    let (near, far) = match pair() {
        Ok(pair) => pair,
        Err(error) => return Taken::Trouble(error.to_string()),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let admitted = admitted(peer, &format!("batch:{name}"));
    let serving = net::serve(Transport::unix(far), service.clone(), admitted, None, service.stop.clone());
    let article_bytes_max = service.limits.article_bytes_max;
    let reading = tokio::task::spawn_blocking(move || take(near, &path, article_bytes_max));
    let (taken, ()) = tokio::join!(reading, serving);
    taken.unwrap_or_else(|error| Taken::Trouble(error.to_string()))
}

fn pair() -> io::Result<(std::os::unix::net::UnixStream, UnixStream)> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    far.set_nonblocking(true)?;
    Ok((near, UnixStream::from_std(far)?))
}

/// Sends the articles of a batch.
fn take(site: std::os::unix::net::UnixStream, path: &Path, article_bytes_max: usize) -> Taken {
    let client = match Client::over_unix(site) {
        Ok(client) => client,
        Err(error) => return Taken::Trouble(error.to_string()),
    };
    let file = match open(path) {
        Ok(file) => file,
        Err(error) => return Taken::Trouble(error.to_string()),
    };
    let mut feeder = Feeder::start(client);
    let mut own = Totals::default();
    let read = batch::read(Box::new(file), article_bytes_max, &mut |found| {
        match found {
            Found::Article(text) => match feeder.send(text) {
                Ok(()) => {}
                Err(Unsent::Rejected(why)) => own.reject(&why),
                Err(Unsent::Closed) => return false,
            },
            Found::Not(why) => own.reject(why),
        }
        true
    });
    let ended = feeder.finish();
    let mut totals = ended.totals;
    totals.add(&own);
    match (ended.failure, read) {
        (Some(why), _) => Taken::Trouble(why),
        (None, Ok(())) => Taken::Whole(totals),
        (None, Err(error)) if is_of_disk(&error) => Taken::Trouble(error.to_string()),
        (None, Err(error)) => Taken::Broken(error, totals),
    }
}

/// Opens a file and nothing else that may have taken its name.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidInput.into()) }
}

/// Did reading fail, and not what was read?
fn is_of_disk(error: &io::Error) -> bool {
    error.raw_os_error().is_some()
}
