//! The store: **spool** (article bytes, the truth) and **index** (everything looked up, derived).
//!
//! # Contract
//!
//! - An article is *accepted* when its record is on disk and it is visible; [`Outcome::Accepted`] is
//!   told after both. What was accepted survives any crash; what was not may or may not be there.
//! - Seqs become visible in order, without holes while the log is undamaged. An article number
//!   shows in [`Group::marks`] only when its row can be read, and is never given twice (RFC 3977
//!   s.6), not even after a crash or a rebuild.
//! - A Message-ID is accepted once: [`Store::reserve`] is the only way to [`Store::submit`].
//! - Everything but the log is derived. The index (sled) that is lost, damaged or foreign is built
//!   anew from the log and then answers the same.
//! - Damage is contained: a damaged record is skipped, counted and reported; nothing of it is served.
//! - No failure here is a verdict on an article: [`Outcome::Failed`] and every [`ReadError`] but
//!   [`ReadError::Gone`] mean *later*.
//!
//! # Layout
//!
//! ```text
//! DIR/lock                     held while a process has the store open
//! DIR/secret                   16 octets: the key of the Message-ID hash
//! DIR/fed                      which peers have been fed: see `fed`
//! DIR/spool/NNNNNNNNNN.seg     the log: see `segment` and `record`
//! DIR/index/                   sled: see `index`
//! ```
//!
//! # Threads and memory
//!
//! Callers hand articles to one *writer* thread (`writer`, `batch`): group commit, one `fdatasync` a
//! batch. What it makes visible is in memory: history (all of it, `history`), open overview blocks
//! and full ones on their way (`groups`, `block`), recent log entries (`log`). One *index* thread
//! (`shared`, `behind`) writes blocks to sled behind it and now and then a checkpoint; at start the
//! log is replayed from there (`replay`). Reads take what memory has; with [`Wait::No`] they never
//! wait for a disk.
//!
//! Without threads of its own ([`Options::by_hand`]) the same work is done by [`Store::turn`].
//!
//! Nothing of sled, files or locks leaks through this face. It is synchronous; calls that may wait
//! for a disk say so.

mod batch;
mod behind;
mod block;
mod cache;
mod disk;
mod fed;
mod groups;
mod history;
mod index;
mod log;
mod peers;
mod read;
mod record;
mod replay;
mod segment;
mod shared;
mod types;
mod verify;
mod writer;

pub use disk::{Disk, RealDisk};
pub use groups::Group;
pub use history::Reservation;
pub use types::{
    GroupStatus, Known, Location, LogEntry, Loss, Marks, NewArticle, Options, Outcome, PeerState, ReadError,
    Seq, Settle, Stats, StoreError, Stored, Swept, VerifyReport, Wait,
};

use crate::article::{MessageId, NewsgroupName};
use crate::clock::Timestamp;
use shared::{Indexer, Shared};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LockResult, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::{Act, Job, Queue, Submitted, Writer};

/// Octets of a segment at most: a location has 32 bits for its offset in units of 8.
const SEGMENT_OCTETS_MAX: u64 = 16 << 30;

/// What a lock guards, also when a thread died holding it: every change made under our locks is
/// complete before anything can panic.
fn held<G>(lock: LockResult<G>) -> G {
    lock.unwrap_or_else(PoisonError::into_inner)
}

/// The store of one site. Cheap to clone; the last clone's [`Store::close`] or drop ends its threads.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    running: Mutex<Option<Running>>,
}

/// What ends with [`Store::close`].
struct Running {
    hands: Hands,
    lock: File,
}

/// Who does the work.
enum Hands {
    Threads {
        writer: JoinHandle<()>,
        index: JoinHandle<()>,
    },
    /// Whoever calls [`Store::turn`].
    Callers(Box<(Writer, Indexer)>),
}

impl Inner {
    fn close(&self) {
        let Some(Running { hands, lock }) = held(self.running.lock()).take() else { return };
        self.queue.close();
        match hands {
            Hands::Threads { writer, index } => {
                join(writer);
                self.shared.behind.stop();
                join(index);
            }
            Hands::Callers(hands) => {
                let (mut writer, mut indexer) = *hands;
                while writer.turn(Duration::ZERO) {}
                self.shared.behind.stop();
                while indexer.turn(&self.shared, Duration::ZERO) {}
            }
        }
        *held(self.shared.index.write()) = None;
        drop(lock);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits for a thread's end, unless it is this one (a waiter may hold the last clone of the store).
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|error| StoreError::Unavailable(format!("no thread {name}: {error}")))
}

impl Store {
    /// Opens or creates the store: takes the lock, opens sled (rebuilding it when it is lost, corrupt
    /// or foreign), replays the log behind the checkpoint, cuts a torn tail.
    pub fn open(options: Options) -> Result<Store, StoreError> {
        let lock = replay::lock(&options.dir)?;
        let (shared, checkpoint) = replay::load(&options)?;
        let shared = Arc::new(shared);
        let queue = Arc::new(Queue::new(options.by_hand.clone()));
        let writer = |end| Writer {
            shared: shared.clone(),
            queue: queue.clone(),
            end,
            segment_bytes: options.segment_bytes.clamp(segment::SEGMENT_HEADER, SEGMENT_OCTETS_MAX),
            on_commit: options.on_commit.clone(),
            broken: None,
            desk: Default::default(),
        };
        if options.by_hand.is_some() {
            let writer = writer(replay::replay(&shared, checkpoint, &options)?);
            let hands = Hands::Callers(Box::new((writer, Indexer::begin())));
            let running = Mutex::new(Some(Running { hands, lock }));
            return Ok(Store { inner: Arc::new(Inner { shared, queue, running }) });
        }
        // From here on the index thread runs, so that a long replay does not fill the memory.
        let index = spawn("index", {
            let shared = shared.clone();
            move || shared::run_index(&shared)
        })?;
        let started = replay::replay(&shared, checkpoint, &options).and_then(|end| {
            let writer = writer(end);
            spawn("writer", move || writer.run())
        });
        match started {
            Ok(writer) => {
                let running = Mutex::new(Some(Running { hands: Hands::Threads { writer, index }, lock }));
                Ok(Store { inner: Arc::new(Inner { shared, queue, running }) })
            }
            Err(error) => {
                shared.behind.stop();
                join(index);
                Err(error)
            }
        }
    }

    /// Removes the index folder: the next [`Store::open`] makes it anew from the log. The store must
    /// not be open.
    pub fn discard_index(dir: &Path) -> Result<(), StoreError> {
        let lock = replay::lock(dir)?;
        let index = dir.join("index");
        match std::fs::remove_dir_all(&index) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Io(index, error)),
            _ => {
                drop(lock);
                Ok(())
            }
        }
    }

    /// Drains the writer, checkpoints, ends the threads. Idempotent; later submissions fail, and what
    /// is not in memory cannot be read any more.
    pub fn close(&self) {
        self.inner.close();
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    // -- by hand: a store without threads --

    /// Writes all that waits, makes it visible and tells the outcomes, and does what the index is
    /// behind. Only for a store [`Options::by_hand`]; any other does so by itself.
    pub fn turn(&self) {
        let mut running = held(self.inner.running.lock());
        if let Some(Running { hands: Hands::Callers(hands), .. }) = &mut *running {
            let (writer, indexer) = &mut **hands;
            writer.turn(Duration::ZERO);
            indexer.turn(&self.inner.shared, Duration::ZERO);
        }
    }

    /// Ends a store [`Options::by_hand`] as the death of its process would: nothing more is written, no
    /// checkpoint either, and what waits fails. Any other is closed.
    pub fn abandon(&self) {
        let mut running = held(self.inner.running.lock());
        if let Some(Running { hands: Hands::Callers(_), .. }) = &*running {
            let ended = running.take();
            // The writer's end tells those who wait, and they may ask the store.
            drop(running);
            *held(self.inner.shared.index.write()) = None;
            drop(ended);
        } else {
            drop(running);
            self.close();
        }
    }

    // -- history --

    /// What is known of the id. Memory only.
    pub fn known(&self, id: &MessageId) -> Known {
        self.shared().history.known(id)
    }

    /// Takes hold of an id, unless it is known or held. Memory only.
    pub fn reserve(&self, id: &MessageId) -> Result<Reservation, Known> {
        Reservation::take(&self.shared().history, id)
    }

    // -- writing --

    /// Hands an article to the writer; `waiter.settle(tag, ..)` tells the outcome once it is durable.
    /// Never waits for the disk.
    pub fn submit(&self, article: NewArticle, held: Reservation, waiter: &Arc<dyn Settle>, tag: u64) {
        let body_crc = crc32fast::hash(&article.body);
        let submitted = Box::new(Submitted { article, held, body_crc, waiter: waiter.clone(), tag });
        if let Err(job) = self.inner.queue.push(Job::Article(submitted)) {
            writer::fail(job);
        }
    }

    /// Creates or changes a newsgroup, durably. Waits for the disk.
    pub fn set_group(
        &self,
        name: &NewsgroupName,
        status: GroupStatus,
        description: &str,
        creator: &str,
    ) -> Result<(), StoreError> {
        self.act(Act::Set {
            name: name.as_str().to_owned(),
            status,
            description: description.to_owned(),
            creator: creator.to_owned(),
        })
    }

    /// Gives the next article of a newsgroup at least the number `next`, durably: newsreaders that know
    /// a newsgroup from another server go on where they were. Waits for the disk.
    ///
    /// # Errors
    /// There is no such newsgroup, or the number has been given: a number is never used twice.
    pub fn number_from(&self, name: &NewsgroupName, next: u64) -> Result<(), StoreError> {
        self.act(Act::Number { name: name.as_str().to_owned(), next })
    }

    /// Removes a newsgroup, durably: it is not listed or filed into any more. Waits for the disk.
    pub fn remove_group(&self, name: &NewsgroupName) -> Result<(), StoreError> {
        self.act(Act::Remove { name: name.as_str().to_owned() })
    }

    fn act(&self, act: Act) -> Result<(), StoreError> {
        let (reply, done) = mpsc::channel();
        if let Err(job) = self.inner.queue.push(Job::Act(act, reply)) {
            writer::fail(job);
        }
        if self.inner.shared.by_hand {
            self.turn();
        }
        done.recv().unwrap_or_else(|_| Err(StoreError::Unavailable("the writer has ended".into())))
    }

    // -- reading --

    /// The newsgroup of this name.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.shared().groups.named(name)
    }

    /// All newsgroups, by name.
    pub fn groups(&self) -> Arc<Vec<Arc<Group>>> {
        self.shared().groups.list()
    }

    /// Where the article with this id is. Memory only.
    pub fn locate(&self, id: &MessageId) -> Option<Location> {
        let history = &self.shared().history;
        history.locate(history.fingerprint(id))
    }

    /// The article with this number. `Ok(None)`: there is none.
    pub fn locate_number(
        &self,
        group: &Group,
        number: u64,
        wait: Wait,
    ) -> Result<Option<Location>, ReadError> {
        self.shared().locate_number(group, number, wait)
    }

    /// The nearest article number above (`up`) or below `number` that exists, for NEXT and LAST.
    pub fn neighbour(
        &self,
        group: &Group,
        number: u64,
        up: bool,
        wait: Wait,
    ) -> Result<Option<u64>, ReadError> {
        self.shared().neighbour(group, number, up, wait)
    }

    /// Reads an article's beginning: all of it when it is at most `whole` octets, in any case its
    /// header section. With `expect`, a record of another Message-ID is [`ReadError::Gone`] (a
    /// colliding fingerprint). What is returned has been checked: the header section always, the
    /// body when all of it is.
    pub fn read(
        &self,
        location: Location,
        expect: Option<&MessageId>,
        whole: usize,
        wait: Wait,
    ) -> Result<Stored, ReadError> {
        self.shared().read(location, expect, whole, wait)
    }

    /// Calls `row(number, location, row)` for each article of `low..=high` in order until it returns
    /// false (that row counts as taken); the row is without its number and ends before CRLF. Returns
    /// the number to go on from, none at the end. When rows were passed before something failed, the
    /// error comes from the next call.
    pub fn over(
        &self,
        group: &Group,
        low: u64,
        high: u64,
        wait: Wait,
        row: &mut dyn FnMut(u64, Location, &[u8]) -> bool,
    ) -> Result<Option<u64>, ReadError> {
        self.shared().over(group, low, high, wait, row)
    }

    /// The overview row of one article by Message-ID, from its record.
    pub fn row(&self, id: &MessageId, wait: Wait) -> Result<Option<Vec<u8>>, ReadError> {
        self.shared().row(id, wait)
    }

    /// The log's entry of one article by Message-ID, from its record.
    pub fn entry(&self, id: &MessageId, wait: Wait) -> Result<Option<LogEntry>, ReadError> {
        self.shared().entry(id, wait)
    }

    /// Up to `max` articles behind `after` in order, and the seq to go on from (which may be higher
    /// than the last entry's: other records are skipped). Recent ones come from memory; older ones
    /// wait for the disk.
    pub fn log(&self, after: Seq, max: usize, wait: Wait) -> Result<(Vec<Arc<LogEntry>>, Seq), ReadError> {
        self.shared().log.read(&self.shared().spool, after, max, wait, &|_, _| ())
    }

    /// The same, and `lost` is called with the first and the last of records behind `after` that are damaged,
    /// so that they are passed over.
    pub fn log_telling(
        &self,
        after: Seq,
        max: usize,
        lost: &dyn Fn(Seq, Seq),
    ) -> Result<(Vec<Arc<LogEntry>>, Seq), ReadError> {
        self.shared().log.read(&self.shared().spool, after, max, Wait::Disk, lost)
    }

    /// Where to go on behind `after` when only articles are looked for whose own dates `wanted` may want: asked
    /// with the earliest and the latest of some hundred articles, Unix seconds. Memory only.
    pub fn skip(&self, after: Seq, wanted: &dyn Fn(i64, i64) -> bool) -> Seq {
        self.shared().log.skip(after, wanted)
    }

    /// The last seq before the first article that arrived at or after `at` (for NEWNEWS). May wait
    /// for the disk.
    pub fn seq_before(&self, at: Timestamp) -> Seq {
        self.shared().log.seq_before(&self.shared().spool, at)
    }

    /// The first record that the log still holds. Reads the beginning of a segment.
    pub fn first_seq(&self) -> Option<Seq> {
        self.shared().spool.first_seq()
    }

    /// This site's path identity.
    pub fn identity(&self) -> &str {
        &self.shared().identity
    }

    /// The highest visible seq.
    pub fn last_seq(&self) -> Seq {
        self.shared().log.last()
    }

    // -- peers --

    /// Where the peer stands; none when it was never saved.
    pub fn peer_state(&self, peer: &str) -> Option<PeerState> {
        self.shared().peers.state(peer)
    }

    /// Keeps a peer's state: at once in memory, with the next checkpoint (at most a minute later, or at
    /// close) in the index and in the log. The first state of a peer goes into the log at once, before
    /// the next batch of articles.
    pub fn save_peer(&self, peer: &str, state: PeerState) {
        self.begin_peer(peer, state, None);
    }

    /// The same, with a loss that is known of a peer which has no state yet; else it is not kept.
    pub fn begin_peer(&self, peer: &str, state: PeerState, loss: Option<String>) {
        if self.shared().peers.save(peer, state, loss) {
            self.inner.queue.call();
        }
    }

    /// Since when the peer has been fed, if it ever was: also where its state was lost with the log.
    pub fn fed_since(&self, peer: &str) -> Option<Timestamp> {
        self.shared().fed.since(peer)
    }

    /// Why what this peer has and what we have may differ, if the store knows of a loss that its state
    /// does not tell.
    pub fn loss(&self, peer: &str) -> Option<Loss> {
        self.shared().peers.loss(peer)
    }

    /// Keeps such a loss of a peer whose state is kept, as [`Store::save_peer`] keeps that. The first one
    /// stays until it is mended.
    pub fn lose(&self, peer: &str, why: &str) {
        self.shared().peers.lose_of(peer, why);
    }

    /// The loss is made good; one that was noticed since [`Store::loss`] told it is not.
    pub fn mended(&self, peer: &str, loss: &Loss) {
        self.shared().peers.mended(peer, loss);
    }

    /// How far the peer has been offered everything once more, if that was interrupted.
    pub fn sweep(&self, peer: &str) -> Option<Swept> {
        self.shared().peers.sweep(peer)
    }

    /// Keeps that, as [`Store::save_peer`] keeps a state; none: it has come to its end.
    pub fn set_sweep(&self, peer: &str, sweep: Option<Swept>) {
        self.shared().peers.set_sweep(peer, sweep);
    }

    // -- the operator --

    /// Figures of this moment. Asks the file system for lengths.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        Stats {
            seq: shared.log.last().0,
            articles: shared.articles.load(Ordering::Relaxed),
            newsgroups: shared.groups.list().len() as u64,
            history: shared.history.len() as u64,
            segments: shared.spool.segments().len() as u64,
            spool_bytes: shared.spool.octets(),
            index_bytes: shared.index().map_or(0, |index| index.octets()),
            index_behind: shared.behind.records(),
            damaged: shared.damaged.load(Ordering::Relaxed),
            refusing: held(shared.refusing.lock()).clone(),
        }
    }

    /// Checks every record's checksums and that the index agrees with the log. Waits for the disk.
    pub fn verify(&self, progress: &dyn Fn(u64, u64)) -> Result<VerifyReport, StoreError> {
        verify::verify(self.shared(), progress)
    }
}
