//! The sites of a demo: their folder, their processes, their figures.

use super::super::Failure;
use super::super::output::table;
use super::super::run::Ready;
use crate::admin::{self, Request, Response};
use crate::clock;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the demo posts.
pub(super) const NEWSGROUP: &str = "demo.general";
/// Another newsgroup, to have something to choose.
const TEST_NEWSGROUP: &str = "demo.test";
/// How long a site may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const STOP_PAUSE: Duration = Duration::from_millis(10);
/// Lines of a log that are shown when something went wrong.
const LOG_LINES: usize = 10;

/// Sites in a line. Dropping it stops them and removes their folder.
pub(super) struct Federation {
    pub(super) sites: Vec<Site>,
    folder: PathBuf,
}

/// One site.
pub(super) struct Site {
    pub(super) identity: String,
    pub(super) address: SocketAddr,
    dir: PathBuf,
    child: Child,
}

impl Federation {
    /// Makes the sites, starts them, and tells each of its neighbours.
    pub(super) fn start(count: u8) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("feedd-demo-{}", random()?));
        fs::create_dir(&folder)
            .map_err(|error| Failure::because(format!("{}: {error}", folder.display())))?;
        let mut federation = Self { sites: Vec::new(), folder };
        for letter in (b'a'..=b'z').take(usize::from(count)).map(char::from) {
            let site = Site::start(&federation.folder, letter)?;
            federation.sites.push(site);
        }
        for (left, right) in federation.sites.iter().zip(federation.sites.iter().skip(1)) {
            left.add_peer(right)?;
            right.add_peer(left)?;
        }
        Ok(federation)
    }

    /// The figures of all sites at this moment.
    pub(super) fn table(&self) -> Result<String, Failure> {
        let mut rows = Vec::new();
        for site in &self.sites {
            let answer = admin::client::ask(&site.data(), &Request::Status);
            let Ok(Some(Response::Status(status))) = answer else {
                return Err(Failure::because(format!(
                    "{} does not answer; its log ends:\n{}",
                    site.identity,
                    site.log_end()
                )));
            };
            // The state without its particulars: `connected (CHECK, 1 connection)`.
            let state = |text: &str| text.split(" (").next().unwrap_or_default().to_owned();
            let peers: Vec<String> =
                status.feeds.iter().map(|feed| format!("{} {}", feed.peer, state(&feed.state))).collect();
            rows.push(vec![
                site.identity.clone(),
                site.address.to_string(),
                status.store.articles.to_string(),
                status.feeds.iter().map(|feed| feed.lag).sum::<u64>().to_string(),
                peers.join(", "),
            ]);
        }
        Ok(table(&["site", "address", "articles", "lag", "peers"], &rows))
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        for site in &mut self.sites {
            site.signal(Signal::TERM);
        }
        for site in &mut self.sites {
            site.wait_or_kill();
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("feedd: {}: {error}", self.folder.display());
        }
    }
}

impl Site {
    fn start(folder: &Path, letter: char) -> Result<Self, Failure> {
        let identity = format!("{letter}.demo.example");
        let dir = folder.join(letter.to_string());
        let mut init = feedd(&["init"])?;
        init.arg(&dir).args(["--identity", identity.as_str(), "--listen", "127.0.0.1:0"]);
        finish(init.args(["--group", NEWSGROUP, "--group", TEST_NEWSGROUP]))?;
        let failed = |error: std::io::Error| Failure::because(format!("{identity}: {error}"));
        let log = File::create(dir.join("log")).map_err(failed)?;
        // Ctrl-C is for the demo, which stops the sites in order.
        let mut child = feedd(&["run", "-c"])?
            .arg(dir.join("feedd.toml"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        let address = Ready::parse(line.trim_end()).and_then(|ready| ready.addresses.first().copied());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut site = Self { identity, address: address.unwrap_or(any), dir, child };
        if address.is_none() {
            site.signal(Signal::TERM);
            site.wait_or_kill();
            return Err(Failure::because(format!(
                "{} does not start; its log ends:\n{}",
                site.identity,
                site.log_end()
            )));
        }
        Ok(site)
    }

    fn data(&self) -> PathBuf {
        self.dir.join(crate::config::DATA)
    }

    /// All sites of a demo come from the same address; that is fine.
    fn add_peer(&self, peer: &Self) -> Result<(), Failure> {
        let address = peer.address.to_string();
        let mut add = feedd(&["peer", "add", peer.identity.as_str(), "--address", address.as_str()])?;
        finish(add.args(["--accept-from", "loopback", "-c"]).arg(self.dir.join("feedd.toml")))
    }

    /// The last lines of its log.
    pub(super) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Not yet waited for, so the number is still its own; one that has ended needs no signal.
            let _ = kill_process(pid, signal);
        }
    }

    fn wait_or_kill(&mut self) {
        let began = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if began.elapsed() > STOP_MAX {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(STOP_PAUSE);
        }
    }
}

/// This very program with some arguments.
fn feedd(arguments: &[&str]) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::because(format!("where this program is: {error}")))?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Runs a command that should succeed; what it says is only of interest if it does not.
fn finish(command: &mut Command) -> Result<(), Failure> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::because(format!("{command:?}: {error}")))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim_end().to_owned();
    Err(Failure::because(format!("{command:?}: {said}")))
}

/// A Message-ID that nobody else makes (RFC 5536 s.3.1.3).
pub(super) fn message_id(identity: &str) -> Result<String, Failure> {
    Ok(format!("<{}.{}@{identity}>", clock::now().unix_ms(), random()?))
}

fn random() -> Result<String, Failure> {
    let number = getrandom::u64().map_err(|error| Failure::because(format!("no random numbers: {error}")))?;
    Ok(format!("{number:016x}"))
}
