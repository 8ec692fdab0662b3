//! `feedd import`: articles from files into a site, through the intake that every article takes.
//!
//! [`source`] finds the articles, whatever they are packed in; [`feeder`] sends them by TAKETHIS over
//! the control socket, many in flight. A stopped site is started for the time of the import, within
//! this process and without listening to anybody, so that there is one path and not two.

mod feeder;
mod mbox;
mod rnews;
mod source;

use super::output::{say, say_json};
use super::site::Site;
use super::store::octets_bar;
use super::{ConfigFile, Failure, run};
use crate::admin;
use crate::client::Client;
use crate::config::Config;
use crate::daemon::Daemon;
use feeder::Feeder;
use serde::Serialize;
use source::{Found, Source};
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Different reasons that are counted each for itself.
const REASONS_MAX: usize = 1000;
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

/// What became of all that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    /// How often for which reason, in the site's words or, for what was not sent at all, in ours.
    reasons: BTreeMap<String, u64>,
}

impl Totals {
    fn reject(&mut self, reason: &str) {
        self.rejected += 1;
        let known = self.reasons.contains_key(reason) || self.reasons.len() < REASONS_MAX;
        *self.reasons.entry(if known { reason } else { "other reasons" }.to_owned()).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    /// One line, and one more for each reason.
    fn shown(&self) -> String {
        let mut text =
            format!("accepted {}, duplicate {}, rejected {}", self.accepted, self.duplicate, self.rejected);
        for (reason, count) in &self.reasons {
            text.push_str(&format!("\n  rejected: {reason} x{count}"));
        }
        text
    }
}

pub(super) fn import(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let article_bytes_max = site.config.site.limits.article_bytes_max;
    let (stream, stopped) = connect(site, arguments)?;
    let imported = feed(stream, arguments, article_bytes_max);
    if let Some((runtime, daemon)) = stopped {
        runtime.block_on(daemon.stop());
    }
    imported
}

/// A site that runs for this import alone.
type OwnSite = (Runtime, Daemon);

/// The connection that articles are sent on.
fn connect(site: Site, arguments: &Arguments) -> Result<(UnixStream, Option<OwnSite>), Failure> {
    let data = site.data().to_path_buf();
    let ask = || {
        admin::client::import(&data, arguments.no_cutoff, arguments.create_groups)
            .map_err(|error| Failure::because(format!("the control socket in {}: {error}", data.display())))
    };
    if let Some(granted) = ask()? {
        return Ok((granted.map_err(Failure::Because)?, None));
    }
    let groups = site.groups();
    let mut config: Config = site.config;
    config.site.listen.clear();
    config.peers.clear();
    let runtime = run::runtime()?;
    let daemon = runtime
        .block_on(Daemon::start(config, site.path, groups))
        .map_err(|error| Failure::because(error.0))?;
    match ask()? {
        Some(granted) => Ok((granted.map_err(Failure::Because)?, Some((runtime, daemon)))),
        None => Err(Failure::because("the site does not answer on its control socket")),
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
                    Err(feeder::Unsent::Rejected(reason)) => own.reject(&reason),
                    Err(feeder::Unsent::Closed) => return false,
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
