//! `feedd demo`: a federation at work, for somebody who has never seen one.
//!
//! Real sites, each a process of its own made by the same commands that an operator uses, stand in a
//! line A - B - C: what is posted at A reaches C only because B relays it.

mod federation;
mod screen;

use super::Failure;
use super::output::say;
use crate::client::{Client, ClientError};
use federation::{Federation, NEWSGROUP};
use screen::Screen;
use std::sync::Barrier;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long an article may take to arrive before the demo admits defeat.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// Between two questions whether it has arrived: far below what is measured.
const POLL_PAUSE: Duration = Duration::from_micros(50);
/// Between two pictures of the table.
const REFRESH: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How many sites stand in the line
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=26))]
    sites: u8,
    /// End after so many seconds instead of at Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

pub(super) fn demo(arguments: &Arguments) -> Result<(), Failure> {
    let stop = stop_signals()?;
    let screen = Screen::new();
    let federation = Federation::start(arguments.sites)?;
    let names: Vec<&str> = federation.sites.iter().map(|site| site.identity.as_str()).collect();
    say(format!(
        "{}\n\n{} sites of their own, each a process with its own disk, know their neighbours only:\n\n  {}\n",
        screen.bold("feedd demo"),
        names.len(),
        screen.cyan(&names.join(" --- ")),
    ))?;
    if stop.try_recv().is_err() {
        relay(&federation, &screen)?;
    }
    for site in &federation.sites {
        let (host, port) = (site.address.ip(), site.address.port());
        say(format!("  newsreader: host {host} port {port}   {}", screen.dim(&site.identity)))?;
    }
    let first = federation.sites.first().map(|site| site.address.to_string()).unwrap_or_default();
    say(format!(
        "\nPoint a newsreader at any of them and post in {NEWSGROUP}, or:\n  {}\n",
        screen.cyan(&format!("{} post -s {first} -n {NEWSGROUP} --subject Hello", feedc()))
    ))?;
    if arguments.seconds.is_none() {
        say(screen.dim("Ctrl-C ends the demo."))?;
    }
    watch(&federation, &screen, &stop, arguments.seconds.map(Duration::from_secs))?;
    say("\nStopping the sites and removing their folder.")?;
    drop(federation);
    say("Thank you for watching.")
}

/// How a newcomer starts the other program: `cargo run -- demo` has built this one alone.
fn feedc() -> String {
    if std::env::var_os("CARGO_MANIFEST_DIR").is_some() {
        return "cargo run --release --bin feedc --".to_owned();
    }
    let beside = std::env::current_exe().map(|program| program.with_file_name("feedc"));
    beside.ok().filter(|path| path.exists()).map_or("feedc".to_owned(), |path| path.display().to_string())
}

/// A word on the channel when somebody wants us to end: Ctrl-C, a closed terminal, SIGTERM.
pub(super) fn stop_signals() -> Result<Receiver<()>, Failure> {
    let failed = |error: std::io::Error| Failure::because(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    drop(guard);
    let (told, stop) = channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Nobody listens any more when the demo has ended by itself.
        let _ = told.send(());
    });
    Ok(stop)
}

/// An article's arrival at one site.
struct Arrival {
    after: Duration,
    path: String,
}

/// Posts at the first site and shows the article arriving at every site.
fn relay(federation: &Federation, screen: &Screen) -> Result<(), Failure> {
    let Some(first) = federation.sites.first() else { return Ok(()) };
    let id = federation::message_id(&first.identity)?;
    let article = format!(
        "From: A Newcomer <newcomer@{site}>\nNewsgroups: {NEWSGROUP}\nSubject: Hello, federation\n\
         Message-ID: {id}\n\nThis was posted at {site}. If you read it elsewhere, it was relayed.\n",
        site = first.identity
    );
    let nntp = |error: ClientError| Failure::because(format!("the demo's own client: {error}"));
    let mut poster = Client::connect(&first.address.into()).map_err(nntp)?;
    let mut watchers = Vec::new();
    for site in &federation.sites {
        watchers.push(Client::connect(&site.address.into()).map_err(nntp)?);
    }
    let ready = Barrier::new(watchers.len() + 1);
    let arrivals: Vec<Result<Option<Arrival>, ClientError>> = std::thread::scope(|scope| {
        let watching: Vec<_> = watchers
            .into_iter()
            .map(|mut client| {
                let (ready, id) = (&ready, id.as_str());
                scope.spawn(move || {
                    ready.wait();
                    watch_for(&mut client, id, Instant::now())
                })
            })
            .collect();
        ready.wait();
        let posted = poster.post(article.as_bytes());
        let arrivals = watching
            .into_iter()
            .map(|watcher| watcher.join().unwrap_or_else(|_| Err(ClientError::Protocol("panic".to_owned()))))
            .collect();
        posted.map(|_| arrivals)
    })
    .map_err(nntp)?;
    say(format!("An article is posted at {}:\n  {}\n", screen.cyan(&first.identity), screen.dim(&id)))?;
    for (site, arrival) in federation.sites.iter().zip(arrivals) {
        let Some(arrival) = arrival.map_err(nntp)? else {
            return Err(Failure::because(format!(
                "the article did not reach {} within {} s; its log ends:\n{}",
                site.identity,
                ARRIVAL_MAX.as_secs(),
                site.log_end()
            )));
        };
        say(format!(
            "  {} {}  after {}  Path: {}",
            screen.green("+"),
            site.identity,
            screen.bold(&format!("{:6.1} ms", arrival.after.as_secs_f64() * 1000.0)),
            arrival.path
        ))?;
    }
    match federation.sites.as_slice() {
        [first, _, .., last] => say(format!(
            "\n{} has never heard of {}: the article was relayed by sites that know their neighbours only.\n",
            last.identity, first.identity
        )),
        _ => say(""),
    }
}

/// Asks until the article is there; none when it does not come.
fn watch_for(client: &mut Client, id: &str, began: Instant) -> Result<Option<Arrival>, ClientError> {
    while !client.stat(id)? {
        if began.elapsed() > ARRIVAL_MAX {
            return Ok(None);
        }
        std::thread::sleep(POLL_PAUSE);
    }
    let after = began.elapsed();
    let head = client.head(id)?;
    let head = String::from_utf8_lossy(&head);
    let path = head.lines().find_map(|line| line.strip_prefix("Path: ")).unwrap_or("(none)").to_owned();
    Ok(Some(Arrival { after, path }))
}

/// Shows the table until somebody has seen enough. Where it cannot be redrawn in place it is printed
/// when it has changed.
fn watch(
    federation: &Federation,
    screen: &Screen,
    stop: &Receiver<()>,
    time: Option<Duration>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut shown = String::new();
    loop {
        let table = federation.table()?;
        if table != shown {
            screen.redraw(&shown, &table)?;
            shown = table;
        }
        let pause = match time {
            Some(time) => REFRESH.min(time.saturating_sub(began.elapsed())),
            None => REFRESH,
        };
        match stop.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) if time.is_none_or(|time| began.elapsed() < time) => {}
            _ => return Ok(()),
        }
    }
}
