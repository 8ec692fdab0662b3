//! The commands: `feedd` for a site's operator, `feedc` ([`feedc`]) for its readers.
//!
//! A command ends with exit code 0, or with one line on stderr that says why not and exit code 1; a
//! wrong command line is code 2. What a command has to say goes to stdout, and a reader of it that
//! goes away (`feedc list | head`) is no failure. Commands that concern a running site ask it over the
//! control socket, and otherwise do the same on its store, which is locked against both at once.

mod batch;
mod check;
mod demo;
mod doctor;
mod explain;
pub mod feedc;
mod group;
mod import;
mod init;
mod moment;
mod output;
mod peer;
mod peer_key;
mod peer_remove;
mod peer_status;
mod pull;
mod run;
mod site;
mod status;
mod store;
mod sync;
mod terminal;
mod trace;
mod user;

use crate::config::Mistake;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// One line for stderr.
    Because(String),
    /// The config is wrong.
    Config(Vec<Mistake>),
    /// Everything has been said already.
    Said,
    /// Nobody reads our output any more: no failure of ours.
    Unread,
}

impl Failure {
    fn because(why: impl Into<String>) -> Self {
        Self::Because(why.into())
    }

    /// Says it on stderr, as far as there is something to say.
    fn report(&self, program: &str) -> ExitCode {
        match self {
            Self::Because(why) => eprintln!("{program}: {why}"),
            Self::Config(mistakes) => mistakes.iter().for_each(|mistake| eprintln!("{mistake}")),
            Self::Said => {}
            Self::Unread => return ExitCode::SUCCESS,
        }
        ExitCode::FAILURE
    }
}

/// A Usenet site: it exchanges articles with its peers and serves them to its readers.
///
/// Without -c the site is that of ./feedd.toml or, where there is none, a site of built-in defaults:
/// on loopback, with its data in ./data and the newsgroups local.general and local.test.
#[derive(Parser)]
#[command(name = "feedd", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the folder of a new site: config, peers, store
    Init(init::Arguments),
    /// Run the site in the foreground until SIGTERM or SIGINT; SIGHUP reloads the config
    ///
    /// One line on stdout says when it is ready, and on which addresses. The log goes to stderr;
    /// $FEEDD_LOG says what is logged: "warn", "info" (the default), "info,feedd::feed=debug", ...
    Run(ConfigFile),
    /// Check feedd.toml and peers.toml: every mistake with its file, line and cure
    ///
    /// Also the files and folders that they name, by the rights of who asks: do that as the user that runs feedd. Ends
    /// with 1 where there is a mistake; what is merely odd is told behind the peers.
    Check(ConfigFile),
    /// Look at what stands between this site and its peers, and say what to mend
    ///
    /// Files, the running site, its ports and certificate; and of each peer name, port, TLS, greeting, login, rights,
    /// patterns and clock. A peer that is feedd also tells how this site stands there: what it takes us for, what it sends
    /// and accepts, its certificate, and what comes of dialling us back, which takes up to 12 seconds. Ends with 1 where
    /// something does not work; what is merely odd is told.
    Doctor(doctor::Arguments),
    /// Create, remove and list newsgroups
    Group(group::Arguments),
    /// Add, remove, list and examine peers
    Peer(peer::Arguments),
    /// Add, change, remove and list the accounts of users
    User(user::Arguments),
    /// Show the figures of the site
    Status(Report),
    /// Tell the story of an article: who brought it, where it is, what each peer said of it
    ///
    /// On a running site it is asked, of a stopped one the files are read. Where the site has never seen the
    /// article, the exit code is 1.
    Trace(trace::Arguments),
    /// Make the index anew from the spool; the site must be stopped
    Rebuild(ConfigFile),
    /// Check every article in the spool against its checksum, and the index against the spool
    Verify(Report),
    /// Make the running site read its config again
    ///
    /// Certificates and keys are read again as well, and logs that were moved are begun anew. With a mistake in the files
    /// the old config stays in force. SIGHUP does the same.
    Reload(ConfigFile),
    /// Feed articles into the site from files, folders, mbox, rnews batches or tar archives
    Import(import::Arguments),
    /// Exchange articles with a peer by files: batches as rnews knows them
    ///
    /// A running site does so by itself for peers with a [peer.batch] in peers.toml. These commands do it once,
    /// for scripts that bring batches away or hand over one that has come (UUCP, NNCP).
    #[command(subcommand)]
    Batch(batch::Command),
    /// Bring the articles of another server to this site, as its reader
    ///
    /// Only newsgroups that this site has are looked into, unless --create-groups is given. Articles get
    /// this site's own numbers and are not passed on to its peers, unless --propagate is given. What has
    /// been brought is kept in a file: the same command goes on where it was stopped, and brings what is
    /// new when it is run again.
    Pull(pull::Arguments),
    /// Make sure that a peer has what it should have, and this site what the peer has for it, with a proof
    ///
    /// With a peer that is feedd, what both have is compared and what is missing moves both ways; any other
    /// peer is offered everything once more. The first line says how many articles both have of those that
    /// they should have; the command fails where one is missing. A running site does it by itself where it
    /// has lost something.
    Sync(sync::Arguments),
    /// Show a federation at work: some sites on this machine, in a temporary folder
    Demo(demo::Arguments),
}

/// Which site a command is about.
#[derive(clap::Args, Clone, Debug)]
struct ConfigFile {
    /// The site's feedd.toml [default: ./feedd.toml if there is one]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A site and how to show what is asked of it.
#[derive(clap::Args, Clone, Debug)]
struct Report {
    #[command(flatten)]
    site: ConfigFile,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The program `feedd`.
pub fn feedd() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Init(arguments) => init::init(&arguments),
        Command::Run(file) => run::run(&file),
        Command::Check(file) => check::check(&file),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Group(arguments) => group::group(&arguments),
        Command::Peer(arguments) => peer::peer(&arguments),
        Command::User(arguments) => user::user(&arguments),
        Command::Status(report) => status::status(&report),
        Command::Trace(arguments) => trace::trace(&arguments),
        Command::Rebuild(file) => store::rebuild(&file),
        Command::Verify(report) => store::verify(&report),
        Command::Reload(file) => status::reload(&file),
        Command::Import(arguments) => import::import(&arguments),
        Command::Batch(command) => batch::batch(&command),
        Command::Pull(arguments) => pull::pull(&arguments),
        Command::Sync(arguments) => sync::sync(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("feedd"),
    }
}
