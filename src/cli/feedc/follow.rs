//! `feedc follow`: new articles of a newsgroup as they come. A server that goes away is waited for.

use super::super::Failure;
use super::super::demo::stop_signals;
use super::super::output::{say, say_json_line};
use super::overview::moment;
use super::screen::safe_line;
use super::servers::{Servers, connect};
use super::url::Location;
use super::words;
use crate::client::{Client, ClientError, OverviewRow, Server};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The longest time between two attempts to reach a server that is away.
const AWAY_MAX: Duration = Duration::from_secs(300);
/// Rows of one question.
const STRIDE: u64 = 1000;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The newsgroup
    newsgroup: String,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
    /// Begin with the last so many article numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    last: u64,
    /// A line of JSON for each article
    #[arg(long)]
    json: bool,
}

pub(super) fn follow(servers: &Servers, arguments: &Arguments) -> Result<(), Failure> {
    let (host, newsgroup) = Location::parse(&arguments.newsgroup)?.newsgroup()?;
    let stop = stop_signals()?;
    let server = servers.server(host.as_ref())?;
    let client = connect(&server)?;
    let mut follower = Follower {
        server,
        newsgroup,
        every: Duration::from_secs(arguments.every),
        json: arguments.json,
        seen: None,
    };
    let last = arguments.last;
    // Whichever ends first: the work, or the user's patience. A question to a server that has fallen
    // silent cannot be interrupted, and need not be.
    let (told, end) = channel();
    let work = told.clone();
    thread::spawn(move || {
        let _ = work.send(follower.run(client, last));
    });
    thread::spawn(move || {
        let _ = stop.recv();
        let _ = told.send(Ok(()));
    });
    let ended = end.recv().unwrap_or(Ok(()));
    // A line that is being written is written to its end.
    let _whole = std::io::stdout().lock();
    ended
}

struct Follower {
    server: Server,
    newsgroup: String,
    every: Duration,
    json: bool,
    /// The highest article number that has been shown.
    seen: Option<u64>,
}

impl Follower {
    fn run(&mut self, client: Client, last: u64) -> Result<(), Failure> {
        let mut connection = Some(client);
        let mut pause = self.every;
        let mut told = false;
        loop {
            match self.round(&mut connection, last) {
                Ok(()) => (pause, told) = (self.every, false),
                Err(Trouble::Ours(failure)) => return Err(failure),
                Err(Trouble::Away(why)) => {
                    if !told {
                        eprintln!("feedc: {}: {why}; waiting for it", self.server);
                    }
                    connection = None;
                    told = true;
                    pause = AWAY_MAX.min(pause * 2).max(self.every);
                }
            }
            thread::sleep(pause);
        }
    }

    /// Connects if need be, and looks.
    fn round(&mut self, connection: &mut Option<Client>, last: u64) -> Result<(), Trouble> {
        match connection {
            Some(client) => self.look(client, last),
            None => {
                let client = connection.insert(Client::connect(&self.server)?);
                self.look(client, last)
            }
        }
    }

    /// Shows what is new.
    fn look(&mut self, client: &mut Client, last: u64) -> Result<(), Trouble> {
        let (_, high) = client.group(&self.newsgroup)?;
        // A server that has less than it had counts anew.
        let mut seen = self.seen.unwrap_or(high.saturating_sub(last)).min(high);
        self.seen = Some(seen);
        while seen < high {
            let to = high.min(seen.saturating_add(STRIDE));
            for row in client.overview(&format!("{}-{to}", seen + 1))? {
                let printed = if self.json { say_json_line(&row) } else { say(line(&row)) };
                printed.map_err(Trouble::Ours)?;
                self.seen = Some(row.number.max(seen));
            }
            // A number whose row is not there yet is asked for again, one that is gone too: it costs
            // little, and the next article ends it.
            if to < high {
                self.seen = Some(to);
            }
            seen = to;
        }
        Ok(())
    }
}

/// Why a look failed.
enum Trouble {
    /// The server is away; why.
    Away(String),
    Ours(Failure),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Io(_) => Self::Away(error.to_string()),
            error if error.is_lost() => Self::Away(error.to_string()),
            error => Self::Ours(error.into()),
        }
    }
}

/// A row as a line.
fn line(row: &OverviewRow) -> String {
    let decoded = |value: &str| words::decoded(value.as_bytes());
    let (author, subject) = (words::author(&decoded(&row.from)), decoded(&row.subject));
    safe_line(&format!("{}  {}  {author}  {subject}  {}", row.number, moment(&row.date), row.id))
}
