//! A simulated TCP connection: octets arrive late, in order or not at all; it ends with a FIN, with a
//! reset, or without a word, as after a power failure.

use crate::network::World;
use feedd::transport::Pipe;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// Octets that may be on the way or unread.
const WINDOW: usize = 64 * 1024;
const SEGMENT: usize = 8 * 1024;
/// How soon TCP sends again what was lost.
const AGAIN: Duration = Duration::from_millis(200);
/// After so long without an acknowledgement TCP gives up.
const GIVE_UP: Duration = Duration::from_secs(120);

enum Segment {
    Octets(Vec<u8>),
    Fin,
    Reset,
}

/// What one end sends.
#[derive(Default)]
struct Way {
    flying: VecDeque<(Instant, Segment)>,
    flying_octets: usize,
    last_at: Option<Instant>,
    arrived: VecDeque<u8>,
    fin_sent: bool,
    fin_arrived: bool,
    /// Nothing moves any more.
    over: bool,
    /// Who waits for room: the sending end.
    room: Option<Waker>,
    /// Who waits for octets: the other end.
    data: Option<Waker>,
    /// The beginning of the line being said.
    line: Vec<u8>,
}

#[derive(Default)]
struct Side {
    broken: Option<ErrorKind>,
    closed: bool,
    /// Its host is dead.
    dead: bool,
}

#[derive(Default)]
struct Both {
    ways: [Way; 2],
    sides: [Side; 2],
    /// Who has dialled is the server from now on (XTURN).
    turned: bool,
}

pub struct Conn {
    pub no: u64,
    /// Who dialled, and whom.
    pub hosts: [usize; 2],
    both: Mutex<Both>,
    moved: [Notify; 2],
    world: Arc<World>,
}

/// One end of a connection.
pub struct End {
    conn: Arc<Conn>,
    side: usize,
}

impl Both {
    /// Both ways' sleepers of this side wake up: something has happened to it.
    fn wake(&mut self, side: usize) {
        self.ways[side].room.take().into_iter().chain(self.ways[1 - side].data.take()).for_each(Waker::wake);
    }

    /// The end of this side finds the connection broken.
    fn break_side(&mut self, side: usize, kind: ErrorKind) {
        self.sides[side].broken.get_or_insert(kind);
        self.ways[side].over = true;
        self.ways[1 - side].arrived.clear();
        self.wake(side);
    }
}

impl Conn {
    pub fn open(no: u64, hosts: [usize; 2], world: Arc<World>) -> (End, End) {
        let conn = Arc::new(Self { no, hosts, both: Mutex::default(), moved: Default::default(), world });
        for side in 0..2 {
            tokio::spawn(conn.clone().carry(side));
        }
        (End { conn: conn.clone(), side: 0 }, End { conn, side: 1 })
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        self.both.lock().unwrap()
    }

    /// The host is dead. Its kernel may live: `told` says so to the other end.
    pub fn die(&self, host: usize, told: bool) {
        for side in 0..2 {
            if self.hosts[side] != host {
                continue;
            }
            let mut both = self.both();
            if std::mem::replace(&mut both.sides[side].dead, true) || both.sides[side].closed {
                continue;
            }
            let Both { ways, .. } = &mut *both;
            if told {
                self.send(&mut ways[side], side, Segment::Reset);
            } else {
                ways[side].over = true;
            }
            both.wake(side);
            drop(both);
            self.moved[side].notify_one();
        }
    }

    /// Both ends find it broken.
    pub fn reset(&self) {
        let mut both = self.both();
        for side in 0..2 {
            both.break_side(side, ErrorKind::ConnectionReset);
        }
        drop(both);
        self.moved.iter().for_each(Notify::notify_one);
    }

    /// Puts a segment on its way.
    fn send(&self, way: &mut Way, side: usize, segment: Segment) {
        let link = self.world.link(self.hosts[side], self.hosts[1 - side]);
        let octets = match &segment {
            Segment::Octets(octets) => octets.len(),
            Segment::Fin | Segment::Reset => 0,
        };
        let (jitter, lost) = self.world.with_dice(|dice| {
            let mut lost = Duration::ZERO;
            while dice.below(1_000_000) < link.loss {
                lost = lost * 2 + AGAIN;
            }
            (link.jitter.mul_f64(dice.below(1000) as f64 / 1000.0), lost)
        });
        let now = Instant::now();
        let on_the_wire = Duration::from_secs_f64((octets + 40) as f64 / link.bandwidth.max(1) as f64);
        // In order, and behind what takes its time on the wire.
        let at = (now + link.latency + jitter + lost).max(way.last_at.unwrap_or(now)) + on_the_wire;
        way.last_at = Some(at);
        way.flying_octets += octets;
        way.flying.push_back((at, segment));
        self.moved[side].notify_one();
    }

    /// Carries what one side sends to the other, for as long as the connection lasts.
    async fn carry(self: Arc<Self>, side: usize) {
        let (from, to) = (self.hosts[side], self.hosts[1 - side]);
        loop {
            let at = {
                let both = self.both();
                let forgotten = both.sides.iter().all(|side| side.closed || side.dead);
                if both.ways[side].over || (forgotten && both.ways[side].flying.is_empty()) {
                    return;
                }
                both.ways[side].flying.front().map(|(at, _)| *at)
            };
            let Some(at) = at else {
                self.moved[side].notified().await;
                continue;
            };
            sleep_until(at).await;
            if !self.passes(from, to).await {
                return self.give_up(side);
            }
            if self.both().ways[side].over {
                return;
            }
            if !self.deliver(side) {
                return;
            }
            // Without acknowledgements no more is sent.
            if !self.passes(to, from).await {
                return self.give_up(side);
            }
        }
    }

    /// Waits until octets pass that way; false when that takes too long.
    async fn passes(&self, from: usize, to: usize) -> bool {
        if !self.world.is_cut(from, to) {
            return true;
        }
        let deadline = sleep(GIVE_UP);
        tokio::pin!(deadline);
        loop {
            let changed = self.world.changed.notified();
            if !self.world.is_cut(from, to) {
                // It is sent again when its time has come.
                let pause = self.world.with_dice(|dice| dice.ms(1, 3000));
                sleep(pause).await;
                return !self.world.is_cut(from, to) || Box::pin(self.passes(from, to)).await;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = &mut deadline => return false,
            }
        }
    }

    /// The sending end hears of it; the other one does not.
    fn give_up(&self, side: usize) {
        self.both().break_side(side, ErrorKind::TimedOut);
    }

    /// The next segment arrives; false when it was the last.
    fn deliver(&self, side: usize) -> bool {
        let mut both = self.both();
        let Some((_, segment)) = both.ways[side].flying.pop_front() else { return true };
        let receiver = &both.sides[1 - side];
        if receiver.broken.is_some() || receiver.dead || (receiver.closed && !matches!(segment, Segment::Fin))
        {
            // Nobody there knows this connection (any more).
            both.break_side(side, ErrorKind::ConnectionReset);
            return false;
        }
        let way = &mut both.ways[side];
        let more = match segment {
            Segment::Octets(octets) => {
                way.flying_octets -= octets.len();
                let crc = crc32fast::hash(&octets);
                self.world.trace.note(format_args!("c{}.{side} {} {crc:08x}", self.no, octets.len()));
                way.arrived.extend(octets);
                true
            }
            Segment::Fin => {
                way.fin_arrived = true;
                false
            }
            Segment::Reset => {
                both.break_side(1 - side, ErrorKind::ConnectionReset);
                return false;
            }
        };
        way.data.take().into_iter().for_each(Waker::wake);
        more
    }
}

impl End {
    pub fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    /// Reads what there is, waiting for it; empty at the end.
    pub async fn read_some(&self) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; SEGMENT];
        loop {
            poll_fn(|context| self.poll_readable(context)).await?;
            match self.try_read(&mut octets) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    octets.truncate(read?);
                    return Ok(octets);
                }
            }
        }
    }

    pub async fn write_all(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            poll_fn(|context| self.poll_writable(context)).await?;
            match self.try_write(octets) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => octets = &octets[written?..],
            }
        }
        Ok(())
    }

    fn fault(&self, side: &Side) -> io::Result<()> {
        match side.broken {
            Some(kind) => Err(kind.into()),
            // A dead host's task that has not been dropped yet.
            None if side.dead => Err(ErrorKind::NetworkDown.into()),
            None => Ok(()),
        }
    }
}

impl Pipe for End {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut both = self.conn.both();
        if self.fault(&both.sides[self.side]).is_err() {
            return Poll::Ready(Ok(()));
        }
        let way = &mut both.ways[1 - self.side];
        if way.fin_arrived || !way.arrived.is_empty() {
            return Poll::Ready(Ok(()));
        }
        way.data = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut both = self.conn.both();
        if self.fault(&both.sides[self.side]).is_err() {
            return Poll::Ready(Ok(()));
        }
        let way = &mut both.ways[self.side];
        if way.flying_octets + way.arrived.len() < WINDOW {
            return Poll::Ready(Ok(()));
        }
        way.room = Some(context.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut both = self.conn.both();
        self.fault(&both.sides[self.side])?;
        let way = &mut both.ways[1 - self.side];
        if way.arrived.is_empty() {
            return if way.fin_arrived { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let mut count = into.len().min(way.arrived.len());
        // Where a read ends is nothing to rely on.
        self.conn.world.with_dice(|dice| {
            if dice.once_in(8) {
                count = dice.between(1, count as u64) as usize;
            }
        });
        for (to, octet) in into.iter_mut().zip(way.arrived.drain(..count)) {
            *to = octet;
        }
        way.room.take().into_iter().for_each(Waker::wake);
        Ok(count)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut both = self.conn.both();
        self.fault(&both.sides[self.side])?;
        let way = &mut both.ways[self.side];
        if way.fin_sent {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = WINDOW.saturating_sub(way.flying_octets + way.arrived.len());
        let mut count = bytes.len().min(room).min(SEGMENT);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.conn.world.with_dice(|dice| {
            if dice.once_in(8) {
                count = dice.between(1, count as u64) as usize;
            }
        });
        let said = bytes[..count].to_vec();
        for octet in &said {
            let way = &mut both.ways[self.side];
            way.line.push(*octet);
            if *octet == b'\n' {
                let line = std::mem::take(&mut way.line);
                if self.side == usize::from(!both.turned) {
                    let (to, from) = (self.conn.hosts[1 - self.side], self.conn.hosts[self.side]);
                    both.turned |= line.starts_with(b"290 ");
                    (self.conn.world.heard)(to, from, String::from_utf8_lossy(&line).trim_end());
                }
            }
        }
        self.conn.send(&mut both.ways[self.side], self.side, Segment::Octets(said));
        Ok(count)
    }

    fn end(&self) -> io::Result<()> {
        let mut both = self.conn.both();
        self.fault(&both.sides[self.side])?;
        let way = &mut both.ways[self.side];
        if !std::mem::replace(&mut way.fin_sent, true) {
            self.conn.send(way, self.side, Segment::Fin);
        }
        Ok(())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut both = self.conn.both();
        let side = &mut both.sides[self.side];
        side.closed = true;
        if !side.dead && side.broken.is_none() {
            let unread = !both.ways[1 - self.side].arrived.is_empty();
            let way = &mut both.ways[self.side];
            if unread {
                self.conn.send(way, self.side, Segment::Reset);
            } else if !std::mem::replace(&mut way.fin_sent, true) {
                self.conn.send(way, self.side, Segment::Fin);
            }
        }
        drop(both);
        // Whoever carries for a connection that nobody has any more ends.
        self.conn.moved.iter().for_each(Notify::notify_one);
    }
}
