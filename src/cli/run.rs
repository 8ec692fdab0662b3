//! `feedd run`: the site in the foreground, as a service manager likes it.

use super::output::say;
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin;
use crate::daemon::Daemon;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use std::fmt;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What is logged, in the syntax of `RUST_LOG`.
const LOG_VARIABLE: &str = "FEEDD_LOG";
/// Everything an operator should see. Articles have logs of their own: see [`crate::journal`].
const LOG_DEFAULT: &str = "info";

/// The one line on stdout that says that the site serves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) identity: String,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) control: PathBuf,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        write!(
            f,
            "feedd {} ready: {} on {}, control {}",
            env!("CARGO_PKG_VERSION"),
            self.identity,
            addresses.join(" "),
            self.control.display()
        )
    }
}

impl Ready {
    /// Reads the line; none when it is another.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (_, line) = line.strip_prefix("feedd ")?.split_once(" ready: ")?;
        let (identity, line) = line.split_once(" on ")?;
        let (addresses, control) = line.split_once(", control ")?;
        let addresses = addresses.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { identity: identity.to_owned(), addresses, control: PathBuf::from(control) })
    }
}

pub(super) fn run(file: &ConfigFile) -> Result<(), Failure> {
    let site = Site::load(file)?;
    log_to_stderr();
    raise_descriptor_limit();
    runtime()?.block_on(serve(site))
}

/// The runtime of a site: two workers at least, so that one busy connection never holds up all others.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .map_err(|error| Failure::because(format!("the runtime: {error}")))
}

async fn serve(site: Site) -> Result<(), Failure> {
    let identity = site.config.site.identity.to_string();
    let control = std::path::absolute(site.data().join(admin::SOCKET))
        .map_err(|error| Failure::because(format!("the control socket: {error}")))?;
    let no_signals = |error| Failure::because(format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
    let groups = site.groups();
    let daemon =
        Daemon::start(site.config, site.path, groups).await.map_err(|error| Failure::because(error.0))?;
    let addresses = daemon.addresses().to_vec();
    say(Ready { identity, addresses, control }.to_string())?;
    notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&daemon).await,
        }
    }
    notify(&[NotifyState::Stopping]);
    daemon.stop().await;
    Ok(())
}

async fn reload(daemon: &Daemon) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    if let Err(why) = daemon.reload().await {
        // One event a line: each is a mistake with its place.
        why.lines().for_each(|line| tracing::error!("{line}"));
    }
    notify(&[NotifyState::Ready]);
}

/// Tells systemd, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

fn log_to_stderr() {
    let directives = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(directives);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// A connection is a descriptor, and the usual soft limit of 1024 is for programs that call select().
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_reads_back() {
        let ready = Ready {
            identity: "a.example".to_owned(),
            addresses: vec!["127.0.0.1:40123".parse().unwrap(), "[::1]:119".parse().unwrap()],
            control: PathBuf::from("/srv/news on disk/data/control.sock"),
        };
        let line = ready.to_string();
        assert!(line.ends_with(
            " ready: a.example on 127.0.0.1:40123 [::1]:119, control /srv/news on disk/data/control.sock"
        ));
        assert_eq!(Ready::parse(&line), Some(ready));
        assert_eq!(Ready::parse("feedd: no"), None);
    }
}
