//! `feedd batch`: articles to and from a peer by files, once.

use super::import::Entrance;
use super::output::{say, say_json};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::{Request, Response};
use crate::client::Client;
use crate::config::Peer;
use crate::feed;
use crate::intake::ImportRules;
use crate::journal::Journals;
use crate::transfer::batch::{self, Found};
use crate::transfer::{Feeder, Totals, Unsent};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write what a peer is owed into batches in its "out" folder, now
    ///
    /// The exit code is 0 when everything owed is in files on the disk, also if nothing was owed.
    Write(WriteArguments),
    /// Take the articles of a batch as from a peer: by its contract, and with its Path checked
    ///
    /// The exit code is 0 when all of the batch has been read and each of its articles is on the disk, was here
    /// already or is not wanted: then the batch may be removed. Otherwise it is 1, and the batch is to be kept
    /// and tried again; nothing is taken twice.
    Read(ReadArguments),
}

#[derive(clap::Args)]
pub(super) struct WriteArguments {
    /// The peer's name in peers.toml
    peer: String,
    #[command(flatten)]
    site: ConfigFile,
}

#[derive(clap::Args)]
pub(super) struct ReadArguments {
    /// The peer's name in peers.toml
    peer: String,
    /// The batch, also packed by compress, gzip or xz; "-" reads it from stdin
    file: PathBuf,
    /// Print the totals as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

pub(super) fn batch(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Write(arguments) => write(arguments),
        Command::Read(arguments) => read(arguments),
    }
}

fn write(arguments: &WriteArguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let peer = peer(&site, &arguments.peer)?;
    match site.ask_running(&Request::BatchWrite { peer: peer.name.clone() })? {
        Some(Response::Done(done)) => say(done),
        Some(other) => Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => {
            let store = site.open()?;
            let of = &site.config.site;
            let journals = Journals::open(None, of.feed_log().as_deref(), of.log_bytes_max)
                .map_err(|error| Failure::because(format!("the feeds' log: {error}")))?;
            let written = feed::write_batches(&store, &peer, &journals.feeds);
            journals.close();
            store.close();
            say(written.map_err(Failure::Because)?.to_string())
        }
    }
}

fn read(arguments: &ReadArguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let peer = peer(&site, &arguments.peer)?;
    let name = arguments.file.display();
    let input: Box<dyn Read> = if arguments.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&arguments.file).map_err(|error| Failure::because(format!("{name}: {error}")))?)
    };
    let article_bytes_max = site.config.site.limits.article_bytes_max;
    let entrance = Entrance::for_peer(site, &peer.name)?;
    let rules = ImportRules { peer: peer.name.clone(), ..ImportRules::default() };
    let taken = entrance.open(&rules).and_then(|stream| {
        let client = Client::over_unix(stream).map_err(|error| Failure::because(error.to_string()))?;
        Ok(take(client, input, article_bytes_max))
    });
    entrance.close();
    let (totals, trouble) = taken?;
    if arguments.json {
        say_json(&totals)?;
    } else {
        say(totals.shown())?;
    }
    match trouble {
        Some(why) => Err(Failure::because(format!("{name}: {why}; keep it and try it again"))),
        None => Ok(()),
    }
}

/// Sends the articles of a batch; what became of them, and why not all came.
fn take(client: Client, input: Box<dyn Read>, article_bytes_max: usize) -> (Totals, Option<String>) {
    let mut feeder = Feeder::start(client);
    let mut own = Totals::default();
    let read = batch::read(input, article_bytes_max, &mut |found| {
        match found {
            Found::Article(text) => match feeder.send(text) {
                Ok(()) => {}
                Err(Unsent::Rejected(why)) => own.reject(&why),
                Err(Unsent::Closed) => return false,
            },
            Found::Not(why) => own.reject(why),
        }
        true
    });
    let ended = feeder.finish();
    let mut totals = ended.totals;
    totals.add(&own);
    (totals, ended.failure.or_else(|| read.err().map(|error| error.to_string())))
}

fn peer(site: &Site, name: &str) -> Result<Peer, Failure> {
    let found = site.config.peers.iter().find(|peer| peer.name == name).cloned();
    found.ok_or_else(|| Failure::because(format!("there is no peer \"{name}\" in peers.toml")))
}
