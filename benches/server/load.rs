//! The load generator: a few threads, each driving its connections through poll(2), with request
//! bytes made beforehand and replies counted, not parsed. It shares two cores with the server it
//! measures, so every microsecond it saves is a microsecond measured.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::channel::{Arrived, Channel};

/// Nothing answered for so long: the run is given up.
const STALLED_AFTER: Duration = Duration::from_secs(20);
const READ_BUFFER: usize = 256 * 1024;

/// Connects with a segment size of 1448 octets, as between real machines.
///
/// On loopback the segment is 64 KB otherwise, and a receiver with a small buffer (INN's innd sets
/// 24 KB) then advertises less than a segment: the sender stalls 200 ms at a time.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_tcp_mss(1448)?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    Ok(socket.into())
}

/// Where a connection's requests come from.
pub trait Requests: Send {
    /// The next piece of the stream, in place until the next call, and the length of each reply
    /// pushed to `lengths` where replies are counted in octets. Says how many requests it holds.
    fn next(&mut self, lengths: &mut VecDeque<usize>) -> usize;
    /// The piece that `next` made.
    fn bytes(&self) -> &[u8];
}

/// How replies are told apart.
pub enum Replies {
    /// One line each; the lines must begin with these codes, in turn.
    Lines(&'static [&'static [u8; 3]]),
    /// Replies whose lengths are known beforehand: only octets are counted.
    Octets,
}

/// One connection under load.
pub struct Lane {
    pub channel: Channel,
    pub requests: Box<dyn Requests>,
    pub replies: Replies,
    /// Requests that may be unanswered at a time.
    pub window: usize,
}

/// What a run did.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    pub answered: u64,
    pub elapsed: Duration,
    /// Octets sent and received, all lanes, as they are without TLS and compression.
    pub octets: u64,
    /// Octets received, so, and as they came on the wire.
    pub received: u64,
    pub wire: u64,
    /// What the load generator's threads took of the processors.
    pub generator_cpu: Duration,
    /// Of lanes with a window of one: from sending the first request of a turn to the last reply
    /// of that turn, microseconds.
    pub turn_micros: Vec<u32>,
}

/// What one thread drove, and from when to when.
struct Driven {
    lanes: Vec<Running>,
    began: Instant,
    last_answer: Instant,
    cpu: Duration,
}

struct Running {
    lane: Lane,
    /// Octets of the current piece that are sent already.
    sent_of_piece: usize,
    piece_len: usize,
    blocked: bool,
    wire_before: u64,
    counted: Counted,
}

/// What is owed and what came, of one lane.
struct Counted {
    window: usize,
    outstanding: usize,
    answered: u64,
    octets: u64,
    received: u64,
    lengths: VecDeque<usize>,
    /// A line cut by the end of a read.
    partial: Vec<u8>,
    /// Octets to come of the reply at the front.
    owed: usize,
    turn_began: Instant,
    turn_micros: Vec<u32>,
}

/// Drives all lanes for `time`, then waits for the replies that are owed. The connections are
/// given back open, so that what the server spent on them can still be asked.
///
/// # Errors
/// A connection that failed or stalled, or a reply of another kind than expected.
pub fn run(lanes: Vec<Lane>, time: Duration) -> Result<(Outcome, Vec<Channel>), String> {
    let threads = lanes.len().clamp(1, 2);
    let mut shares: Vec<Vec<Running>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, lane) in lanes.into_iter().enumerate() {
        lane.channel.socket().set_nonblocking(true).map_err(|e| e.to_string())?;
        shares[number % threads].push(Running::new(lane));
    }
    let start = Barrier::new(threads);
    let driven: Vec<Result<Driven, String>> = thread::scope(|scope| {
        let drivers: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(|| drive(share, &start, time))).collect();
        drivers
            .into_iter()
            .map(|driver| driver.join().unwrap_or_else(|_| Err("the load thread panicked".into())))
            .collect()
    });
    let mut outcome = Outcome::default();
    let mut channels = Vec::new();
    let mut began: Option<Instant> = None;
    let mut ended: Option<Instant> = None;
    for share in driven {
        let share = share?;
        began = Some(began.map_or(share.began, |b| b.min(share.began)));
        ended = Some(ended.map_or(share.last_answer, |e| e.max(share.last_answer)));
        outcome.generator_cpu += share.cpu;
        for running in share.lanes {
            outcome.answered += running.counted.answered;
            outcome.octets += running.counted.octets;
            outcome.received += running.counted.received;
            outcome.wire += running.lane.channel.wire_octets - running.wire_before;
            outcome.turn_micros.extend(running.counted.turn_micros);
            channels.push(running.lane.channel);
        }
    }
    if let (Some(began), Some(ended)) = (began, ended) {
        outcome.elapsed = ended - began;
    }
    Ok((outcome, channels))
}

fn drive(mut lanes: Vec<Running>, start: &Barrier, time: Duration) -> Result<Driven, String> {
    let mut buffer = vec![0; READ_BUFFER];
    start.wait();
    let cpu_before = thread_cpu();
    let began = Instant::now();
    let mut last_answer = began;
    loop {
        let open = began.elapsed() < time;
        for lane in &mut lanes {
            lane.send(open)?;
        }
        if !open && lanes.iter().all(|lane| lane.counted.outstanding == 0 && lane.piece_len == 0) {
            let cpu = thread_cpu().saturating_sub(cpu_before);
            return Ok(Driven { lanes, began, last_answer, cpu });
        }
        let mut polled: Vec<PollFd<'_>> = lanes
            .iter()
            .map(|lane| {
                let wanted = if lane.blocked { PollFlags::OUT } else { PollFlags::empty() };
                PollFd::new(lane.lane.channel.socket(), wanted | PollFlags::IN)
            })
            .collect();
        let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        match poll(&mut polled, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}")),
        }
        let ready: Vec<PollFlags> = polled.iter().map(|polled| polled.revents()).collect();
        for (lane, ready) in lanes.iter_mut().zip(ready) {
            if ready.intersects(PollFlags::OUT) {
                lane.blocked = false;
            }
            if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
                && lane.receive(&mut buffer)?
            {
                last_answer = Instant::now();
            }
        }
        if last_answer.elapsed() > STALLED_AFTER {
            let owed: usize = lanes.iter().map(|lane| lane.counted.outstanding).sum();
            return Err(format!("no reply for {STALLED_AFTER:?}, {owed} owed"));
        }
    }
}

/// What this thread has taken of the processors so far.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Running {
    fn new(lane: Lane) -> Self {
        let counted = Counted {
            window: lane.window,
            outstanding: 0,
            answered: 0,
            octets: 0,
            received: 0,
            lengths: VecDeque::new(),
            partial: Vec::new(),
            owed: 0,
            turn_began: Instant::now(),
            turn_micros: Vec::new(),
        };
        let wire_before = lane.channel.wire_octets;
        Self { lane, sent_of_piece: 0, piece_len: 0, blocked: false, wire_before, counted }
    }

    /// Sends while the window and the socket have room; begins nothing new when not `open`.
    fn send(&mut self, open: bool) -> Result<(), String> {
        let Self { lane, counted, .. } = self;
        while !self.blocked {
            let sent = match lane.channel.flush() {
                Ok(()) if self.sent_of_piece < self.piece_len => {
                    lane.channel.write(&lane.requests.bytes()[self.sent_of_piece..])
                }
                Ok(()) => {
                    self.piece_len = 0;
                    // A turn of several requests (POST, then its article) is not left half done.
                    let mid_turn = match lane.replies {
                        Replies::Lines(codes) => !counted.answered.is_multiple_of(codes.len() as u64),
                        Replies::Octets => false,
                    };
                    // The piece to come is not known yet; a quarter of the window is the house rule.
                    let room = counted.outstanding <= counted.window - counted.window.div_ceil(4);
                    if !room || !(open || mid_turn) {
                        return Ok(());
                    }
                    if counted.window == 1 && !mid_turn {
                        counted.turn_began = Instant::now();
                    }
                    counted.outstanding += lane.requests.next(&mut counted.lengths);
                    self.sent_of_piece = 0;
                    self.piece_len = lane.requests.bytes().len();
                    Ok(0)
                }
                Err(e) => Err(e),
            };
            match sent {
                Ok(sent) => {
                    self.sent_of_piece += sent;
                    counted.octets += sent as u64;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    let last = counted.last_heard(&mut lane.channel);
                    return Err(format!("sending: {e}; last heard {last}"));
                }
            }
        }
        Ok(())
    }

    /// Reads once. Says whether a reply was completed.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool, String> {
        let Self { lane, counted, .. } = self;
        let count = matches!(lane.replies, Replies::Octets);
        let arrived = match lane.channel.read(buffer, count) {
            Ok(arrived) => arrived,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(e) => return Err(format!("receiving: {e}; last heard {}", tail(&counted.partial))),
        };
        let before = counted.answered;
        match (&lane.replies, arrived) {
            (Replies::Lines(codes), Arrived::Text(text)) => {
                counted.came(text.len());
                counted.count_lines(text, codes)?;
            }
            (_, Arrived::Text(text)) => counted.count_octets(text.len(), text)?,
            (_, Arrived::Count(count)) => counted.count_octets(count, &[])?,
        }
        Ok(counted.answered > before)
    }
}

impl Counted {
    fn came(&mut self, octets: usize) {
        self.octets += octets as u64;
        self.received += octets as u64;
    }

    fn count_lines(&mut self, bytes: &[u8], codes: &[&[u8; 3]]) -> Result<(), String> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            let wanted = codes[(self.answered % codes.len() as u64) as usize];
            let line = if self.partial.is_empty() {
                line
            } else {
                self.partial.extend_from_slice(line);
                self.partial.as_slice()
            };
            if !line.starts_with(wanted) {
                let (got, wanted) = (String::from_utf8_lossy(line), String::from_utf8_lossy(wanted));
                return Err(format!("expected {wanted}, got {got:?}"));
            }
            self.partial.clear();
            self.answer(codes.len());
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Counts `arrived` octets; `bytes` are they, unless nobody looked at them.
    fn count_octets(&mut self, arrived: usize, bytes: &[u8]) -> Result<(), String> {
        self.came(arrived);
        let mut rest = arrived;
        loop {
            if self.owed == 0 {
                match self.lengths.pop_front() {
                    Some(length) => self.owed = length,
                    None if rest == 0 => return Ok(()),
                    None => return Err(format!("more said than asked: {}", tail(bytes))),
                }
            }
            if rest < self.owed {
                self.owed -= rest;
                return Ok(());
            }
            rest -= self.owed;
            self.owed = 0;
            // Every reply counted in octets is a block: wrong lengths show at its end.
            let block = bytes.get(..arrived - rest).unwrap_or_default();
            if !block.is_empty() && !block.ends_with(&b".\r\n"[3 - block.len().min(3)..]) {
                return Err(format!("a block ends with {}", tail(block)));
            }
            self.answer(1);
        }
    }

    fn answer(&mut self, turn: usize) {
        self.answered += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.window == 1 && self.answered.is_multiple_of(turn as u64) {
            self.turn_micros.push(self.turn_began.elapsed().as_micros() as u32);
        }
    }

    fn last_heard(&mut self, channel: &mut Channel) -> String {
        let mut rest = [0; 512];
        if let Ok(Arrived::Text(text)) = channel.read(&mut rest, false) {
            self.partial.extend_from_slice(text);
        }
        tail(&self.partial)
    }
}

fn tail(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(80)..]))
}
