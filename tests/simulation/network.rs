//! A network of hosts: links with latency, jitter, bandwidth and loss, each direction of its own; any
//! direction may be cut. Hosts listen, refuse, or are silent.

use crate::dice::Dice;
use crate::pipe::{Conn, End};
use crate::trace::Trace;
use feedd::transport::{Listener, Network, Pending, Transport};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

const PORT: u16 = 119;

/// One direction between two hosts.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub latency: Duration,
    pub jitter: Duration,
    /// Octets a second.
    pub bandwidth: u64,
    /// Of a million segments so many are lost, which for TCP means late.
    pub loss: u64,
    /// How many faults cut it.
    pub cuts: u32,
}

/// Is anybody at home?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Up,
    /// The host is up and nobody listens.
    Refuses,
    /// No power.
    Silent,
}

#[derive(Default)]
struct Backlog {
    waiting: Mutex<VecDeque<(End, usize)>>,
    came: Notify,
}

struct Host {
    presence: Presence,
    /// It is behind NAT: no other site reaches it.
    hidden: bool,
    /// How often it has started.
    life: u64,
    backlog: Arc<Backlog>,
}

struct State {
    dice: Dice,
    links: Vec<Vec<Link>>,
    hosts: Vec<Host>,
    conns: Vec<Weak<Conn>>,
    next_no: u64,
}

/// Hears each line that a server says: to whom, who says it, the line.
type Heard = Box<dyn Fn(usize, usize, &str) + Send + Sync>;
/// Sees each attempt of a site to reach another.
type Dialled = Box<dyn Fn(usize, usize) + Send + Sync>;

pub struct World {
    state: Mutex<State>,
    /// A link is open again, or a host is there again.
    pub changed: Notify,
    pub trace: Trace,
    pub heard: Heard,
    pub dialled: Dialled,
}

pub fn address(host: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host as u8 + 1)), PORT)
}

fn host_of(address: &SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(v4) => usize::from(v4.octets()[3]).checked_sub(1),
        IpAddr::V6(_) => None,
    }
}

impl World {
    pub fn new(hosts: usize, mut dice: Dice, trace: Trace, heard: Heard, dialled: Dialled) -> Arc<Self> {
        let mut link = || {
            let longest = *dice.pick(&[2, 20, 120]);
            let latency = dice.ms(0, longest);
            let bandwidth = *dice.pick(&[1 << 17, 1 << 20, 1 << 24]);
            Link { latency, jitter: latency / 4, bandwidth, loss: dice.below(3) * 500, cuts: 0 }
        };
        let links = (0..hosts).map(|_| (0..hosts).map(|_| link()).collect()).collect();
        let host = || Host { presence: Presence::Refuses, hidden: false, life: 0, backlog: Arc::default() };
        let hosts = (0..hosts).map(|_| host()).collect();
        let state = Mutex::new(State { dice, links, hosts, conns: Vec::new(), next_no: 0 });
        Arc::new(Self { state, changed: Notify::new(), trace, heard, dialled })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn with_dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.state().dice)
    }

    pub fn link(&self, from: usize, to: usize) -> Link {
        self.state().links[from][to]
    }

    /// Changes one direction.
    pub fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Link)) {
        change(&mut self.state().links[from][to]);
        self.changed.notify_waiters();
    }

    /// Other sites do not reach this host from now on; users do.
    pub fn hide(&self, host: usize) {
        self.state().hosts[host].hidden = true;
    }

    /// Does nothing of `from` arrive at `to` now?
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        let state = self.state();
        state.links[from][to].cuts > 0 || state.hosts[to].presence == Presence::Silent
    }

    /// The host starts a new life: its way out and its way in.
    pub fn start(self: &Arc<Self>, host: usize) -> (SimNetwork, SimListener) {
        let mut state = self.state();
        let host_state = &mut state.hosts[host];
        host_state.presence = Presence::Up;
        host_state.life += 1;
        let before = std::mem::take(&mut host_state.backlog);
        let network = SimNetwork { world: self.clone(), host, life: host_state.life };
        let listener = SimListener(host_state.backlog.clone());
        drop(state);
        // What is in it ends, and asks for the link.
        drop(before);
        self.changed.notify_waiters();
        (network, listener)
    }

    /// The host's process is dead, or all of the host: its connections are gone. A kernel that lives says
    /// so to the other ends, one without power does not.
    pub fn stop(&self, host: usize, presence: Presence) {
        let mut state = self.state();
        state.hosts[host].presence = presence;
        state.hosts[host].life += 1;
        let backlog = std::mem::take(&mut state.hosts[host].backlog);
        let conns: Vec<_> = state.conns.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        for conn in conns {
            conn.die(host, presence == Presence::Refuses);
        }
        drop(backlog);
        self.changed.notify_waiters();
    }

    /// The host has power again, nobody listens yet.
    pub fn power_on(&self, host: usize) {
        self.state().hosts[host].presence = Presence::Refuses;
        self.changed.notify_waiters();
    }

    /// Breaks the connections between two hosts.
    pub fn reset(&self, a: usize, b: usize) {
        let conns: Vec<_> = self.state().conns.iter().filter_map(Weak::upgrade).collect();
        for conn in conns.iter().filter(|conn| conn.hosts == [a, b] || conn.hosts == [b, a]) {
            conn.reset();
        }
    }

    async fn connect(self: Arc<Self>, from: usize, life: Option<u64>, to: usize) -> io::Result<End> {
        // The SYN goes there, and an answer comes back; what is lost is sent again after a second.
        loop {
            let changed = self.changed.notified();
            if !self.is_cut(from, to) && !self.is_cut(to, from) {
                break;
            }
            changed.await;
            sleep(Duration::from_secs(1)).await;
        }
        sleep(self.link(from, to).latency).await;
        let accepted = {
            let mut state = self.state();
            if life.is_some_and(|life| state.hosts[from].life != life) {
                // Whoever dialled is dead.
                return Err(ErrorKind::NetworkUnreachable.into());
            }
            state.conns.retain(|conn| conn.strong_count() > 0);
            match state.hosts[to].presence {
                Presence::Up if life.is_some() && state.hosts[to].hidden => Err(ErrorKind::ConnectionRefused),
                Presence::Up => {
                    let no = state.next_no;
                    state.next_no += 1;
                    let (near, far) = Conn::open(no, [from, to], self.clone());
                    state.conns.push(Arc::downgrade(near.conn()));
                    let backlog = state.hosts[to].backlog.clone();
                    backlog.waiting.lock().unwrap().push_back((far, from));
                    backlog.came.notify_one();
                    Ok(near)
                }
                Presence::Refuses => Err(ErrorKind::ConnectionRefused),
                Presence::Silent => Err(ErrorKind::TimedOut),
            }
        };
        if matches!(&accepted, Err(ErrorKind::TimedOut)) {
            sleep(Duration::from_secs(75)).await;
        }
        sleep(self.link(to, from).latency).await;
        self.trace.note(format_args!("connect {from}>{to} {:?}", accepted.as_ref().map(|end| end.conn().no)));
        accepted.map_err(io::Error::from)
    }

    /// A user's connection to a site.
    pub async fn dial(self: &Arc<Self>, from: usize, to: usize) -> io::Result<End> {
        self.clone().connect(from, None, to).await
    }
}

/// A host's way out.
pub struct SimNetwork {
    world: Arc<World>,
    host: usize,
    life: u64,
}

impl Network for SimNetwork {
    fn look_up(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        let found = host.parse::<IpAddr>().map(|address| vec![SocketAddr::new(address, port)]);
        Box::pin(async move { found.map_err(io::Error::other) })
    }

    fn connect(&self, to: SocketAddr) -> Pending<Transport> {
        let (world, from, life) = (self.world.clone(), self.host, self.life);
        Box::pin(async move {
            let to = host_of(&to).ok_or(ErrorKind::AddrNotAvailable)?;
            (world.dialled)(from, to);
            let end = world.connect(from, Some(life), to).await?;
            Ok(Transport::pipe(Box::new(end)))
        })
    }
}

/// A host's way in.
#[derive(Clone)]
pub struct SimListener(Arc<Backlog>);

impl Listener for SimListener {
    fn accept(&self) -> Pending<(Transport, SocketAddr)> {
        let backlog = self.0.clone();
        Box::pin(async move {
            loop {
                let next = backlog.waiting.lock().unwrap().pop_front();
                if let Some((end, from)) = next {
                    return Ok((Transport::pipe(Box::new(end)), address(from)));
                }
                backlog.came.notified().await;
            }
        })
    }
}
