//! `feedd group`: newsgroups.

use super::output::{say, say_json, table};
use super::site::Site;
use super::{ConfigFile, Failure, init};
use crate::admin::{Request, Response};
use crate::article::NewsgroupName;
use clap::Subcommand;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Create a newsgroup, or change one that exists
    Add {
        /// Its name, such as local.test
        #[arg(value_parser = init::newsgroup_name)]
        name: NewsgroupName,
        #[command(flatten)]
        status: Status,
        /// What it is about, one line
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Give the next article at least this number: a newsgroup that comes from another server
        #[arg(long, value_name = "NUMBER")]
        next_number: Option<u64>,
        #[command(flatten)]
        site: ConfigFile,
    },
    /// Remove a newsgroup; its articles are not served any more
    Remove {
        /// Its name
        #[arg(value_parser = init::newsgroup_name)]
        name: NewsgroupName,
        #[command(flatten)]
        site: ConfigFile,
    },
    /// List the newsgroups
    List {
        /// Only those that match, such as comp.*,!comp.lang.*
        wildmat: Option<String>,
        #[command(flatten)]
        report: super::Report,
    },
}

/// What articles it takes; without one of these from everybody.
#[derive(clap::Args)]
#[group(multiple = false)]
struct Status {
    /// Everybody may post (y): the default of a new newsgroup
    #[arg(long)]
    posting: bool,
    /// Articles need a moderator's approval (m)
    #[arg(long)]
    moderated: bool,
    /// Only peers bring articles (n)
    #[arg(long)]
    no_posting: bool,
    /// Nobody brings articles any more (x)
    #[arg(long)]
    closed: bool,
    /// Only peers bring articles, and they are filed in the newsgroup junk if nowhere else (j)
    #[arg(long)]
    junk: bool,
    /// Only peers bring articles, and they are filed in this newsgroup instead (=)
    #[arg(long, value_name = "NEWSGROUP", value_parser = init::newsgroup_name)]
    alias: Option<NewsgroupName>,
}

impl Status {
    /// As in LIST ACTIVE; none when nothing was said.
    fn text(&self) -> Option<String> {
        let letters = [
            (self.posting, "y"),
            (self.moderated, "m"),
            (self.no_posting, "n"),
            (self.closed, "x"),
            (self.junk, "j"),
        ];
        let said = letters.into_iter().find(|(said, _)| *said).map(|(_, letter)| letter.to_owned());
        said.or_else(|| self.alias.as_ref().map(|other| format!("={other}")))
    }
}

pub(super) fn group(arguments: &Arguments) -> Result<(), Failure> {
    let (site, request, json) = match &arguments.act {
        Act::Add { name, status, description, next_number, site } => {
            let (name, status) = (name.to_string(), status.text());
            let (description, next) = (description.clone(), *next_number);
            (site, Request::GroupAdd { name, status, description, next }, false)
        }
        Act::Remove { name, site } => (site, Request::GroupRemove { name: name.to_string() }, false),
        Act::List { wildmat, report } => {
            (&report.site, Request::GroupList { wildmat: wildmat.clone() }, report.json)
        }
    };
    match Site::load(site)?.ask(&request)? {
        Response::Groups(groups) if json => say_json(&groups),
        Response::Groups(groups) => {
            let rows: Vec<Vec<String>> = groups
                .into_iter()
                .map(|group| {
                    vec![
                        group.name,
                        group.status,
                        group.low.to_string(),
                        group.high.to_string(),
                        group.count.to_string(),
                        group.description,
                    ]
                })
                .collect();
            say(table(&["newsgroup", "status", "low", "high", "articles", "description"], &rows))
        }
        Response::Done(what) => say(what),
        other => Err(Failure::because(format!("an unexpected answer: {other:?}"))),
    }
}
