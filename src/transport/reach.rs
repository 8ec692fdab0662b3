//! From a name to a connection: which servers the name stands for (SRV records, RFC 2782), their
//! addresses, and which of them answers first (RFC 8305). Names are looked up each time.
//!
//! Servers of one priority race: their addresses are tried in their order, the next one
//! [`ATTEMPT_DELAY`] after the last or as soon as one has failed, and the first that connects is kept.
//! Those of the next priority have their turn when all of these have failed, because a client "MUST
//! attempt to contact the target host with the lowest-numbered priority it can reach".

use super::service::{Service, ServiceRecord, arrange, is_in_dns};
use super::{Network, Pending, Transport};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// How long the records of a service, the addresses of the servers of one priority, and each connection
/// may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an attempt has before the next one begins beside it (RFC 8305 s.5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Servers of one priority, and addresses of one of them, that are tried at most.
const TRIED_MAX: usize = 16;
/// Failed attempts that an error names.
const NAMED_MAX: usize = 4;

/// Where on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this port of the host itself.
    Port(u16),
    /// Where the DNS says that its service is, or else at the service's own port.
    Service(Service),
}

/// A connection.
pub struct Reached {
    /// It, with nothing said on it yet.
    pub transport: Transport,
    /// Where it leads.
    pub to: SocketAddr,
    /// The server that the host has named by an SRV record, and its port; none: it was the host itself.
    pub server: Option<(String, u16)>,
}

impl Reached {
    /// The socket for who waits on it. Called within the runtime that it was made in.
    ///
    /// # Errors
    /// It is no TCP connection.
    pub(crate) fn into_blocking(self) -> io::Result<std::net::TcpStream> {
        let stream = self.transport.into_tcp().ok_or(ErrorKind::Unsupported)?.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// Why there is no connection: one line.
#[derive(Debug)]
pub struct Unreached {
    kind: ErrorKind,
    what: String,
}

/// An address to try, and the server that it belongs to if a record has named one.
struct Candidate {
    to: SocketAddr,
    server: Option<(String, u16)>,
}

/// What has been tried without success, or could not be.
#[derive(Default)]
struct Failures {
    said: Vec<String>,
    last: Option<ErrorKind>,
}

/// Connects to a host.
///
/// # Errors
/// It cannot be looked up, says that it has no such service, or nobody answers.
pub async fn reach(network: &dyn Network, host: &str, place: Place) -> Result<Reached, Unreached> {
    let (mut failures, port) = (Failures::default(), place.port());
    if let Place::Service(service) = place
        && is_in_dns(host)
    {
        let name = service.name_at(host);
        match in_time(network.services(&name)).await {
            Ok(records) if records.is_empty() => {}
            Ok(records) => return reach_servers(network, &name, records).await,
            // The host may have addresses all the same.
            Err(error) => {
                tracing::debug!(%name, %error, "cannot ask for SRV records");
                failures.add(error.kind(), format!("{name}: {error}"));
            }
        }
    }
    let found = match in_time(network.look_up(host, port)).await {
        Ok(found) => found,
        Err(error) => {
            failures.first(error.kind(), format!("cannot be looked up: {error}"));
            return Err(failures.into());
        }
    };
    if found.is_empty() {
        failures.first(ErrorKind::NotFound, "the name has no address".to_owned());
        return Err(failures.into());
    }
    let candidates = interleaved(found).into_iter().map(|to| Candidate { to, server: None }).collect();
    // Who wrote an address knows it.
    let named = host.parse::<IpAddr>().is_err();
    match race(network, candidates).await {
        Ok(reached) => Ok(reached),
        Err(failed) => {
            failed.into_iter().for_each(|(to, error)| failures.tried(to, &error, named));
            Err(failures.into())
        }
    }
}

/// Connects to one of the servers that `records` at `name` stand for.
async fn reach_servers(
    network: &dyn Network,
    name: &str,
    mut records: Vec<ServiceRecord>,
) -> Result<Reached, Unreached> {
    // RFC 2782, "Target": the root says that the service is decidedly not there.
    records.retain(|record| !record.target.is_empty());
    if records.is_empty() {
        let what = format!("there is no such service: its SRV record {name} has the target \".\"");
        return Err(Unreached { kind: ErrorKind::NotFound, what });
    }
    let mut failures = Failures::default();
    for same in arrange(records) {
        let until = Instant::now() + PATIENCE;
        let mut candidates = Vec::new();
        for ServiceRecord { target, port, .. } in same.into_iter().take(TRIED_MAX) {
            let looked_up = timeout_at(until, network.look_up(&target, port)).await;
            match looked_up.unwrap_or_else(|_| Err(late())) {
                Ok(found) if found.is_empty() => {
                    failures.add(ErrorKind::NotFound, format!("{target} has no address"));
                }
                Ok(found) => candidates.extend(
                    interleaved(found)
                        .into_iter()
                        .map(|to| Candidate { to, server: Some((target.clone(), port)) }),
                ),
                Err(error) => {
                    failures.add(error.kind(), format!("{target} cannot be looked up: {error}"));
                }
            }
        }
        match race(network, candidates).await {
            Ok(reached) => return Ok(reached),
            Err(failed) => failed.into_iter().for_each(|(to, error)| failures.tried(to, &error, true)),
        }
    }
    Err(failures.into())
}

/// The addresses in their order, but those of the two families by turns (RFC 8305 s.4): where one of them
/// leads nowhere, the other's turn comes soon.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (like_first, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut like_first, mut others) = (like_first.into_iter(), others.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(like_first.next());
        turns.extend(others.next());
        if turns.len() == before {
            turns.truncate(TRIED_MAX);
            return turns;
        }
    }
}

/// Tries them until one connects; the other attempts are dropped then.
async fn race(
    network: &dyn Network,
    candidates: Vec<Candidate>,
) -> Result<Reached, Vec<(SocketAddr, io::Error)>> {
    let mut waiting = candidates.into_iter().peekable();
    let mut running: Vec<(Candidate, Pending<Transport>)> = Vec::new();
    let mut failed = Vec::new();
    loop {
        let Some(next) = waiting.next() else {
            if running.is_empty() {
                return Err(failed);
            }
            match first(&mut running).await {
                (Candidate { to, server }, Ok(transport)) => return Ok(Reached { transport, to, server }),
                (Candidate { to, .. }, Err(error)) => failed.push((to, error)),
            }
            continue;
        };
        let attempt = in_time(network.connect(next.to));
        running.push((next, Box::pin(attempt)));
        let next_at = Instant::now() + ATTEMPT_DELAY;
        tokio::select! {
            biased;
            (Candidate { to, server }, done) = first(&mut running) => match done {
                Ok(transport) => return Ok(Reached { transport, to, server }),
                Err(error) => failed.push((to, error)),
            },
            () = sleep_until(next_at), if waiting.peek().is_some() => {}
        }
    }
}

/// The first attempt that ends, which is one no longer; the one that has begun first, if several do.
async fn first(running: &mut Vec<(Candidate, Pending<Transport>)>) -> (Candidate, io::Result<Transport>) {
    let (index, done) = poll_fn(|context| {
        for (index, (_, attempt)) in running.iter_mut().enumerate() {
            if let Poll::Ready(done) = attempt.as_mut().poll(context) {
                return Poll::Ready((index, done));
            }
        }
        Poll::Pending
    })
    .await;
    (running.remove(index).0, done)
}

/// What takes longer than [`PATIENCE`] has failed.
async fn in_time<T>(pending: Pending<T>) -> io::Result<T> {
    timeout(PATIENCE, pending).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it took too long")
}

/// Runs something that connects to its end, for who has no runtime or must not wait on it: on a thread and
/// a runtime of its own, which is left as it is when it is done.
///
/// # Errors
/// There is no thread or no runtime to be had.
pub fn wait_for<T: Send>(work: impl Future<Output = T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let waiting = std::thread::Builder::new().name("reach".to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(work);
            // A look-up of the system's own may go on for longer than anybody waits.
            runtime.shutdown_background();
            Ok(done)
        })?;
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Place {
    /// The port, where no record says another one.
    pub fn port(self) -> u16 {
        match self {
            Self::Port(port) => port,
            Self::Service(service) => service.port(),
        }
    }
}

impl Failures {
    fn add(&mut self, kind: ErrorKind, what: String) {
        self.last = Some(kind);
        self.said.push(what);
    }

    /// What matters most.
    fn first(&mut self, kind: ErrorKind, what: String) {
        self.last = Some(kind);
        self.said.insert(0, what);
    }

    fn tried(&mut self, to: SocketAddr, error: &io::Error, named: bool) {
        self.add(error.kind(), if named { format!("{to}: {error}") } else { error.to_string() });
    }
}

impl From<Failures> for Unreached {
    fn from(failures: Failures) -> Self {
        let Failures { mut said, last } = failures;
        let more = said.len().saturating_sub(NAMED_MAX);
        said.truncate(NAMED_MAX);
        let mut what = said.join("; ");
        if more > 0 {
            what.push_str(&format!("; and {more} more"));
        }
        Self { kind: last.unwrap_or(ErrorKind::NotFound), what }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<Unreached> for io::Error {
    fn from(unreached: Unreached) -> Self {
        Self::new(unreached.kind, unreached.what)
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
