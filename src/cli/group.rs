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
        /// Articles need a moderator's approval
        #[arg(long, conflicts_with = "no_posting")]
        moderated: bool,
        /// Only peers bring articles
        #[arg(long)]
        no_posting: bool,
        /// What it is about, one line
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
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

pub(super) fn group(arguments: &Arguments) -> Result<(), Failure> {
    let (site, request, json) = match &arguments.act {
        Act::Add { name, moderated, no_posting, description, site } => {
            let status = match (moderated, no_posting) {
                (true, _) => Some('m'),
                (_, true) => Some('n'),
                _ => None,
            };
            let (name, description) = (name.to_string(), description.clone());
            (site, Request::GroupAdd { name, status, description }, false)
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
                        group.status.to_string(),
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
