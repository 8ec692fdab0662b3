//! A TCP relay on loopback that stands for a long link: octets are passed on after half the
//! round-trip time each way, at no more than a given bandwidth, and connections can be cut.
//!
//! It is a delay line: what goes in comes out later in the same rhythm, it is not paced. A link holds
//! [`HELD_MAX`] octets each way; then it takes no more until some have left. The delay is all between
//! the relay's two sockets: the hosts' own windows see a loopback peer that takes what it is given, so
//! what is measured through it is how the programs cope with a long round trip, not how the kernel does.
//! It shares no code with the server.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Octets that are under way in one direction of a connection at most.
pub const HELD_MAX: usize = 64 * 1024 * 1024;
/// Octets read at a time.
const PIECE: usize = 256 * 1024;

/// The link that a relay stands for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    pub round_trip: Duration,
    /// Octets a second in each direction of each connection; none: as fast as it goes.
    pub octets_per_s: Option<u64>,
}

impl Link {
    pub fn of_ms(round_trip_ms: u64) -> Self {
        Self { round_trip: Duration::from_millis(round_trip_ms), octets_per_s: None }
    }
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whoever connected to the relay.
    There,
    /// To whoever connected to the relay.
    Back,
}

/// How a connection is cut. What was under way is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both sides get a reset.
    Reset,
    /// Nothing passes any more, and nobody is told.
    Silent,
    /// Nothing passes this way any more, and nobody is told.
    OneWay(Way),
}

/// A cut that comes when so many octets have been taken in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    pub way: Way,
    pub after_octets: u64,
    pub how: Cut,
}

/// What is to become of the nth connection, counted from 0.
type Plan = dyn Fn(u64) -> Option<Planned> + Send + Sync;

/// A running relay. Dropped, it closes all its connections.
pub struct Relay {
    /// Where to connect.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: u16,
    link: Link,
    plan: Box<Plan>,
    accepted: AtomicU64,
    cuts: AtomicU64,
    /// While true, connections are accepted and not passed on.
    held: Mutex<bool>,
    released: Condvar,
    stopped: AtomicBool,
    wires: Mutex<Vec<Arc<Wire>>>,
}

impl Relay {
    /// A relay to a loopback port.
    pub fn start(to: u16, link: Link) -> Self {
        Self::start_with(to, link, |_| None)
    }

    /// A relay that cuts its connections as planned.
    pub fn start_with(
        to: u16,
        link: Link,
        plan: impl Fn(u64) -> Option<Planned> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to,
            link,
            plan: Box::new(plan),
            accepted: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            held: Mutex::new(false),
            released: Condvar::new(),
            stopped: AtomicBool::new(false),
            wires: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                thread::spawn(move || shared.join(near));
            }
        });
        Self { port, shared }
    }

    /// From now on new connections are accepted and wait.
    pub fn hold(&self) {
        *lock(&self.shared.held) = true;
    }

    /// Connections that wait are passed on.
    pub fn release(&self) {
        *lock(&self.shared.held) = false;
        self.shared.released.notify_all();
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self, how: Cut) {
        for wire in lock(&self.shared.wires).iter() {
            self.shared.cut(wire, how);
        }
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Cuts made so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.release();
        self.cut(Cut::Reset);
        // The listener looks at `stopped` with the next connection.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
    }
}

impl Shared {
    /// Connects to the other side and moves octets until either has ended.
    fn join(&self, near: TcpStream) {
        let number = self.accepted.fetch_add(1, Ordering::SeqCst);
        let mut held = lock(&self.held);
        while *held {
            held = self.released.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        drop(held);
        let Ok(far) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.to))) else {
            return reset(&near);
        };
        for socket in [&near, &far] {
            let _ = socket.set_nodelay(true);
        }
        let wire = Arc::new(Wire { near, far, there: Line::default(), back: Line::default() });
        lock(&self.wires).push(wire.clone());
        if self.stopped.load(Ordering::SeqCst) {
            wire.cut(Cut::Reset);
        }
        let plan = (self.plan)(number);
        thread::scope(|scope| {
            for way in [Way::There, Way::Back] {
                let wire = &wire;
                scope.spawn(move || wire.put_out(way));
                scope.spawn(move || {
                    let planned = plan.filter(|planned| planned.way == way);
                    if wire.take_in(way, self.link, planned.map(|planned| planned.after_octets))
                        && let Some(planned) = planned
                    {
                        self.cut(wire, planned.how);
                    }
                });
            }
        });
        lock(&self.wires).retain(|other| !Arc::ptr_eq(other, &wire));
    }

    fn cut(&self, wire: &Wire, how: Cut) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        wire.cut(how);
    }
}

/// One connection through the relay.
struct Wire {
    near: TcpStream,
    far: TcpStream,
    there: Line,
    back: Line,
}

/// What is under way in one direction.
#[derive(Default)]
struct Line {
    state: Mutex<Under>,
    changed: Condvar,
}

#[derive(Default)]
struct Under {
    pieces: VecDeque<Piece>,
    octets: usize,
    /// Nothing more comes; what is there is still put out.
    ended: bool,
    /// Nothing passes any more.
    dead: bool,
    /// The wire is gone: both threads end.
    gone: bool,
}

struct Piece {
    due: Instant,
    octets: Vec<u8>,
}

impl Wire {
    fn sides(&self, way: Way) -> (&TcpStream, &TcpStream, &Line) {
        match way {
            Way::There => (&self.near, &self.far, &self.there),
            Way::Back => (&self.far, &self.near, &self.back),
        }
    }

    fn cut(&self, how: Cut) {
        for way in [Way::There, Way::Back] {
            if let Cut::OneWay(only) = how
                && only != way
            {
                continue;
            }
            let line = self.sides(way).2;
            let mut under = lock(&line.state);
            under.dead = true;
            under.gone |= how == Cut::Reset;
            under.pieces.clear();
            under.octets = 0;
            line.changed.notify_all();
        }
        if how == Cut::Reset {
            reset(&self.near);
            reset(&self.far);
        }
    }

    /// Reads one side. True when `until` octets have been taken: the rest is not read.
    fn take_in(&self, way: Way, link: Link, until: Option<u64>) -> bool {
        let (mut from, _, line) = self.sides(way);
        let mut buffer = vec![0; PIECE];
        let mut taken = 0;
        let mut free_at = Instant::now();
        loop {
            let left = until.map_or(PIECE as u64, |until| until - taken).min(PIECE as u64) as usize;
            if left == 0 {
                return true;
            }
            let count = match from.read(&mut buffer[..left]) {
                Ok(0) | Err(_) => {
                    let mut under = lock(&line.state);
                    under.ended = true;
                    line.changed.notify_all();
                    return false;
                }
                Ok(count) => count,
            };
            taken += count as u64;
            let now = Instant::now();
            if let Some(octets_per_s) = link.octets_per_s {
                let takes = Duration::from_secs_f64(count as f64 / octets_per_s as f64);
                free_at = free_at.max(now) + takes;
            }
            let due = free_at.max(now) + link.round_trip / 2;
            let mut under = lock(&line.state);
            while (under.octets > HELD_MAX || under.dead) && !under.gone {
                under = line.changed.wait(under).unwrap_or_else(PoisonError::into_inner);
            }
            if under.gone {
                return false;
            }
            under.octets += count;
            under.pieces.push_back(Piece { due, octets: buffer[..count].to_vec() });
            line.changed.notify_all();
        }
    }

    /// Writes to the other side what is due.
    fn put_out(&self, way: Way) {
        let (_, mut to, line) = self.sides(way);
        loop {
            let mut under = lock(&line.state);
            let piece = loop {
                if under.gone {
                    return;
                }
                let now = Instant::now();
                let wait = match under.pieces.front() {
                    Some(piece) if piece.due <= now => break under.pieces.pop_front().unwrap(),
                    Some(piece) => piece.due - now,
                    None if under.ended && !under.dead => {
                        drop(under);
                        let _ = to.shutdown(Shutdown::Write);
                        return;
                    }
                    None => Duration::from_secs(3600),
                };
                under = line.changed.wait_timeout(under, wait).unwrap_or_else(PoisonError::into_inner).0;
            };
            under.octets = under.octets.saturating_sub(piece.octets.len());
            line.changed.notify_all();
            drop(under);
            if to.write_all(&piece.octets).is_err() {
                // The other side is gone, so this one is told.
                self.cut(Cut::Reset);
                return;
            }
        }
    }
}

/// Closes with a reset, also where another thread holds the socket.
fn reset(socket: &TcpStream) {
    // Where the kernel does not disconnect a socket that somebody waits for, the reset comes with the
    // last close, behind the end of the stream.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
    if rustix::net::connect_unspec(socket).is_err() {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
