//! A real feedd site: the built binary, a folder of its own, a loopback port that it keeps over
//! restarts. Stopped (and its folder removed) on drop.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::client::Client;
use super::process::{self, free_port, temp_dir, text_of};

/// The binary under test.
pub const FEEDD: &str = env!("CARGO_BIN_EXE_feedd");
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// One site, running or not.
#[derive(Debug)]
pub struct Site {
    pub identity: String,
    pub port: u16,
    running: Option<Child>,
    folder: TempDir,
}

impl Site {
    /// Makes a site folder with `feedd init` and the given newsgroups; does not start it.
    pub fn init(identity: &str, newsgroups: &[&str]) -> Self {
        Self::init_with(identity, newsgroups, &[])
    }

    /// The same with more arguments for `feedd init`.
    pub fn init_with(identity: &str, newsgroups: &[&str], more: &[&str]) -> Self {
        let site =
            Self { identity: identity.to_owned(), port: free_port(), running: None, folder: temp_dir() };
        let listen = format!("127.0.0.1:{}", site.port);
        let dir = site.dir();
        let mut args = vec!["init", dir.to_str().unwrap(), "--identity", identity];
        args.extend(["--listen", &listen]);
        args.extend(more);
        for newsgroup in newsgroups {
            args.extend(["--group", newsgroup]);
        }
        succeed(Command::new(FEEDD).args(args));
        site
    }

    /// A running site that takes articles from a loading client on loopback (`load.example`).
    pub fn start_loaded(identity: &str, newsgroups: &[&str]) -> Self {
        let mut site = Self::init(identity, newsgroups);
        site.accept_load();
        site.start();
        site
    }

    /// Lets a client on loopback offer articles as the peer `load.example`, over as many connections as
    /// there may be at all.
    pub fn accept_load(&self) {
        let config = fs::read_to_string(self.config()).unwrap();
        let (usual, more) = ("connections_per_address_max = 256", "connections_per_address_max = 16384");
        assert!(config.contains(usual), "{config}");
        fs::write(self.config(), config.replace(usual, more)).unwrap();
        let identity = super::articles::LOAD_IDENTITY;
        self.feedd(&["peer", "add"], &["load", "--identity", identity, "--accept-from", "127.0.0.1"]);
    }

    /// Peers with another site: sends everything to it and accepts from it.
    pub fn peer_with(&self, other: &Site) {
        self.peer_with_port(&other.identity, other.port);
    }

    /// Peers with whoever listens on a loopback port.
    pub fn peer_with_port(&self, identity: &str, port: u16) {
        let name = identity.split('.').next().unwrap();
        let address = format!("127.0.0.1:{port}");
        let peering = ["--address", &address, "--identity", identity, "--accept-from", "127.0.0.1"];
        self.feedd(&["peer", "add"], &[&[name], &peering[..], &["--send", "*"]].concat());
    }

    /// Runs an operator's command on this site; it must succeed. Its standard output.
    #[track_caller]
    pub fn feedd(&self, command: &[&str], args: &[&str]) -> String {
        let config = self.config();
        let mut feedd = Command::new(FEEDD);
        feedd.args(command).arg("-c").arg(config).args(args);
        String::from_utf8_lossy(&succeed(&mut feedd).stdout).into_owned()
    }

    /// Starts the process and waits for its ready line.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with these variables in its environment.
    #[track_caller]
    pub fn start_with(&mut self, variables: &[(&str, &str)]) {
        assert!(self.running.is_none(), "{} runs already", self.identity);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut child = Command::new(FEEDD)
            .args([OsStr::new("run"), OsStr::new("-c"), self.config().as_os_str()])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (say, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        self.running = Some(child);
        match heard.recv_timeout(START_WITHIN) {
            Ok(line) if line.contains("ready") && line.contains(&self.identity) => {}
            other => panic!("{} did not get ready: {other:?}\n{}", self.identity, self.log()),
        }
    }

    /// Stops it cleanly (SIGTERM).
    ///
    /// # Panics
    /// When it does not end in time, or not with success.
    #[track_caller]
    pub fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let in_time = process::terminate(&mut child, STOP_WITHIN);
        assert!(in_time, "{} does not stop on SIGTERM\n{}", self.identity, self.log());
        let status = child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}\n{}", self.identity, self.log());
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops the process in its tracks without ending it: connections stay, nothing is answered.
    pub fn freeze(&self) {
        process::signal(self.pid(), Signal::STOP);
    }

    pub fn thaw(&self) {
        process::signal(self.pid(), Signal::CONT);
    }

    /// The process id; 0 when it does not run.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, Child::id)
    }

    /// A fresh connection, greeting read.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.port).unwrap_or_else(|e| panic!("{}: {e}\n{}", self.identity, self.log()))
    }

    /// The site's folder, as given to `feedd init`.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    pub fn config(&self) -> PathBuf {
        self.dir().join("feedd.toml")
    }

    /// What the processes of this site wrote to standard error so far.
    pub fn log(&self) -> String {
        text_of(&self.log_path())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("stderr")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            process::signal(child.id(), Signal::CONT);
            process::terminate(child, Duration::from_secs(2));
        }
        if thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.identity, last_lines(&self.log(), 40));
        }
    }
}

/// The last lines but those of the newslog, of which there is one per article.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("newslog")).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Runs a command to its end; it must succeed.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A file of the repository's surroundings, such as the corpus: relative to `Cargo.toml`.
pub fn beside_the_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
