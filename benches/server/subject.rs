//! The servers that are measured: a feedd site and an INN, alike in what they hold.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::certificate;
use crate::load::connect;
use crate::prose;
use crate::requests::Known;
use crate::support::articles::message_id;
use crate::support::client::Client;
use crate::support::inn::{Inn, InnSetup};
use crate::support::process::{family_cpu, family_memory_kib, wait_until};
use crate::support::site::Site;

pub const SMALL: usize = 2_000;
pub const LARGE: usize = 750_000;
/// Newsgroups that load goes to ...
pub const LOADED: [&str; 4] = ["bench.a", "bench.b", "bench.c", "bench.d"];
/// ... and those that are read: of small and of large articles.
pub const READ_SMALL: &str = "bench.small";
pub const READ_LARGE: &str = "bench.large";
/// Rows that one OVER of the measurement asks for.
pub const OVER_ROWS: usize = 500;

/// One server under measurement, with articles to read in it.
pub struct Subject {
    pub name: &'static str,
    pub peer_port: u16,
    pub reader_port: u16,
    pids: Vec<u32>,
    server: Server,
}

/// Kept for what dropping them does: stopping the processes.
enum Server {
    Feedd { _site: Site },
    Inn { _inn: Inn },
}

fn newsgroups() -> Vec<&'static str> {
    LOADED.iter().copied().chain([READ_SMALL, READ_LARGE]).collect()
}

impl Subject {
    pub fn feedd() -> Self {
        let mut site = Site::init("bench.example", &newsgroups());
        site.accept_load();
        certificate::equip(&site.dir()).unwrap();
        site.start();
        Self {
            name: "feedd",
            peer_port: site.port,
            reader_port: site.port,
            pids: vec![site.pid()],
            server: Server::Feedd { _site: site },
        }
    }

    /// # Errors
    /// What INN itself says when it does not start.
    pub fn inn() -> Result<Self, String> {
        let mut setup = InnSetup::new("inn.example", &newsgroups());
        setup.spool_mib = 12 * 1024;
        let inn = Inn::start(&setup)?;
        Ok(Self {
            name: "INN",
            peer_port: inn.port,
            reader_port: inn.reader_port,
            pids: vec![inn.innd_pid(), inn.nnrpd_pid()],
            server: Server::Inn { _inn: inn },
        })
    }

    /// Another one of the same kind, empty.
    pub fn fresh(&self) -> Result<Self, String> {
        match self.server {
            Server::Feedd { .. } => Ok(Self::feedd()),
            Server::Inn { .. } => Self::inn(),
        }
    }

    /// CPU time of all processes of this server.
    pub fn cpu(&self) -> Duration {
        self.pids.iter().map(|pid| family_cpu(*pid)).sum()
    }

    /// CPU time once the server has come to rest, so that what it does behind its
    /// acknowledgements counts as well.
    pub fn cpu_at_rest(&self) -> Duration {
        let mut before = self.cpu();
        let mut since = Instant::now();
        wait_until(Duration::from_secs(5), || {
            let now = self.cpu();
            if now > before {
                (before, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_millis(150)
        });
        before
    }

    /// Anonymous memory of all processes of this server, KiB.
    pub fn memory_kib(&self) -> u64 {
        self.pids.iter().map(|pid| family_memory_kib(*pid)).sum()
    }

    /// Stores `count` articles of about `size` octets in `newsgroup`.
    pub fn seed(&self, run: &str, newsgroup: &str, count: usize, size: usize) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("seeding {}: {e}", self.name);
        let mut peer = Client::on(connect(self.peer_port).map_err(failed)?).map_err(failed)?;
        let mut writer = peer.writer();
        let (run, newsgroup) = (run.to_owned(), newsgroup.to_owned());
        let sending = thread::spawn(move || {
            for number in 0..count as u64 {
                let id = message_id(&run, number);
                let mut bytes = format!("TAKETHIS {id}\r\n").into_bytes();
                bytes.extend(prose::article(&id, &newsgroup, number, size));
                std::io::Write::write_all(&mut writer, &bytes)?;
            }
            Ok(())
        });
        for _ in 0..count {
            let answer = peer.line().map_err(failed)?;
            if !answer.starts_with("239") {
                return Err(format!("seeding {}: {answer}", self.name));
            }
        }
        sending.join().unwrap_or_else(|_| Err(std::io::Error::other("panicked"))).map_err(failed)
    }

    /// The requests `ARTICLE <id>` for seeded articles, with the lengths of their replies.
    pub fn articles_by_id(&self, run: &str, count: usize) -> Result<Arc<Vec<Known>>, String> {
        self.learn(None, (0..count as u64).map(|n| format!("ARTICLE {}", message_id(run, n))))
    }

    /// The requests `ARTICLE n` for the articles of a newsgroup, once that is selected.
    pub fn articles_by_number(&self, newsgroup: &str, max: usize) -> Result<Arc<Vec<Known>>, String> {
        let numbers = self.reader()?.list(&format!("LISTGROUP {newsgroup}"), "211");
        let asked = numbers.iter().take(max).map(|number| format!("ARTICLE {number}"));
        self.learn(Some(newsgroup), asked)
    }

    /// The requests `OVER a-b` over ranges of a newsgroup, `OVER_ROWS` each.
    pub fn overviews(&self, newsgroup: &str) -> Result<Arc<Vec<Known>>, String> {
        let (_, low, high) = self.reader()?.group(newsgroup);
        let asked = (low..=high + 1 - OVER_ROWS as u64)
            .step_by(OVER_ROWS)
            .map(|first| format!("OVER {first}-{}", first + OVER_ROWS as u64 - 1));
        self.learn(Some(newsgroup), asked)
    }

    /// Asks each once and notes how long the answer was.
    fn learn(
        &self,
        newsgroup: Option<&str>,
        asked: impl Iterator<Item = String>,
    ) -> Result<Arc<Vec<Known>>, String> {
        let mut reader = self.reader()?;
        if let Some(newsgroup) = newsgroup {
            reader.group(newsgroup);
        }
        let known: Result<Vec<Known>, String> = asked
            .map(|command| {
                let failed = |e: std::io::Error| format!("{} on {command}: {e}", self.name);
                let line = reader.ask(&command).map_err(failed)?;
                if !line.starts_with("22") {
                    return Err(format!("{} on {command}: {line}", self.name));
                }
                let block_len = reader.block_len().map_err(failed)?;
                let reply_len = line.len() + 2 + block_len;
                Ok(Known { request: format!("{command}\r\n").into_bytes(), reply_len })
            })
            .collect();
        known.map(Arc::new)
    }

    /// A connection as a reader.
    pub fn reader(&self) -> Result<Client, String> {
        connect(self.reader_port).and_then(Client::on).map_err(|e| format!("{} as a reader: {e}", self.name))
    }

    /// A connection as a peer.
    pub fn peer(&self) -> Result<Client, String> {
        connect(self.peer_port).and_then(Client::on).map_err(|e| format!("{} as a peer: {e}", self.name))
    }
}
