//! `feedd import`: articles from files into a site, through the intake that every article takes.
//!
//! [`source`] finds the articles, whatever they are packed in; [`Feeder`] sends them by TAKETHIS over
//! the control socket, many in flight. A stopped site is started for the time of the import, within
//! this process and without listening to anybody, so that there is one path and not two.

mod mbox;
mod source;

use super::output::{say, say_json};
use super::site::Site;
use super::store::octets_bar;
use super::{ConfigFile, Failure, run};
use crate::admin::{self, Request};
use crate::client::Client;
use crate::config::Config;
use crate::daemon::Daemon;
use crate::intake::ImportRules;
use crate::transfer::batch::Found;
use crate::transfer::{Feeder, Totals, Unsent};
use source::Source;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Articles between two counts on the progress bar.
const MESSAGE_EVERY: u64 = 100;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Article files, folders of them, mbox files, rnews batches, tar archives; also compressed by gzip or xz
    #[arg(required = true)]
    path: Vec<PathBuf>,
    /// Take old articles, whatever cutoff_days says
    #[arg(long)]
    no_cutoff: bool,
    /// Create the newsgroups that articles name
    #[arg(long)]
    create_groups: bool,
    /// Print the totals as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

pub(super) fn import(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let article_bytes_max = site.config.site.limits.article_bytes_max;
    let rules = ImportRules {
        no_cutoff: arguments.no_cutoff,
        create_groups: arguments.create_groups,
        ..ImportRules::default()
    };
    let entrance = Entrance::of(site)?;
    let imported = entrance.open(&rules).and_then(|stream| feed(stream, arguments, article_bytes_max));
    entrance.close();
    imported
}

/// The way into the site's intake: the running site's, or that of one that runs for this command alone.
pub(super) struct Entrance {
    data: PathBuf,
    own: Option<(Runtime, Daemon)>,
}

impl Entrance {
    /// Finds the running site, or starts a stopped one for the time of the command, within this process
    /// and without listening to anybody, so that there is one path and not two.
    pub(super) fn of(site: Site) -> Result<Self, Failure> {
        Self::for_peer(site, "")
    }

    /// The same; a site that is started knows this peer, whose articles come.
    pub(super) fn for_peer(site: Site, peer: &str) -> Result<Self, Failure> {
        let data = site.data().to_path_buf();
        if site.ask_running(&Request::Status)?.is_some() {
            return Ok(Self { data, own: None });
        }
        let groups = site.groups();
        let mut config: Config = site.config;
        config.site.listen.clear();
        config.site.listen_tls.clear();
        // Nobody is fed meanwhile; what the others are owed they get when the site runs again.
        config.peers.retain(|known| known.name == peer);
        for known in &mut config.peers {
            (known.dial, known.turn, known.batch) = (None, false, None);
        }
        let runtime = run::runtime()?;
        let daemon = runtime
            .block_on(Daemon::start(config, site.path, groups))
            .map_err(|error| Failure::because(error.0))?;
        Ok(Self { data, own: Some((runtime, daemon)) })
    }

    /// A connection that articles are sent on.
    pub(super) fn open(&self, rules: &ImportRules) -> Result<UnixStream, Failure> {
        let granted = admin::client::import(&self.data, rules).map_err(|error| {
            Failure::because(format!("the control socket in {}: {error}", self.data.display()))
        })?;
        match granted {
            Some(granted) => granted.map_err(Failure::Because),
            None => Err(Failure::because("the site does not answer on its control socket")),
        }
    }

    /// Stops the site if it runs for this command alone.
    pub(super) fn close(self) {
        if let Some((runtime, daemon)) = self.own {
            runtime.block_on(daemon.stop());
        }
    }
}

fn feed(stream: UnixStream, arguments: &Arguments, article_bytes_max: usize) -> Result<(), Failure> {
    let client = Client::over_unix(stream).map_err(|error| Failure::because(error.to_string()))?;
    let bar = octets_bar("importing");
    bar.set_length(source::octets(&arguments.path));
    let mut own = Totals::default();
    let mut feeder = Feeder::start(client);
    let mut troubles = Vec::new();
    let mut strangers = Vec::new();
    let mut found_any = false;
    let mut sent: u64 = 0;
    for path in &arguments.path {
        let mut source = Source::new(article_bytes_max, &bar, |found| {
            found_any = true;
            match found {
                Found::Article(text) => match feeder.send(text) {
                    Ok(()) => {
                        sent += 1;
                        if sent.is_multiple_of(MESSAGE_EVERY) {
                            bar.set_message(format!("{} accepted,", feeder.accepted()));
                        }
                    }
                    Err(Unsent::Rejected(reason)) => own.reject(&reason),
                    Err(Unsent::Closed) => return false,
                },
                Found::Not(reason) => own.reject(reason),
            }
            true
        });
        source.walk(path);
        troubles.append(&mut source.troubles);
        strangers.append(&mut source.strangers);
        if source.stopped {
            break;
        }
    }
    let ended = feeder.finish();
    bar.finish_and_clear();
    let mut totals = ended.totals;
    totals.add(&own);
    if arguments.json {
        say_json(&totals)?
    } else {
        say(totals.shown())?
    }
    for trouble in strangers.iter().chain(&troubles) {
        eprintln!("feedd: {trouble}");
    }
    if let Some(why) = ended.failure {
        return Err(Failure::because(format!(
            "the import stopped before its end: {why}; what was accepted stays"
        )));
    }
    if !troubles.is_empty() {
        return Err(Failure::Said);
    }
    if found_any { Ok(()) } else { Err(Failure::because("there is no article in what was named")) }
}
