//! `feedc`: a newsreader for a terminal and for scripts, on any NNTP server.
//!
//! `servers` finds the server and who we are there, `url` reads what names an article or a
//! newsgroup; each command has a file of its own. What comes from articles and servers goes through
//! `screen` before a terminal sees it.

mod compose;
mod follow;
mod mime;
mod overview;
mod post;
mod prompt;
mod read;
mod reply;
mod screen;
mod search;
mod servers;
mod threads;
mod transfers;
mod url;
mod words;

use super::Failure;
use crate::client::ClientError;
use clap::{Parser, Subcommand};
use servers::Servers;
use std::process::ExitCode;

/// Read and post articles of a Usenet server.
///
/// Servers, logins and who you are may stand in $XDG_CONFIG_HOME/feedd/feedc.toml (~/.config/feedd/feedc.toml):
///
///   default = "home"
///   [server.home]
///   address = "news.example.org"
///   tls = "on"                           # "starttls", "off"
///   name = "me"
///   password_file = "home.password"      # or password_command
///   pin = "sha256:..."                   # or ca = FILE; else this machine's authorities
///   [identity]
///   from = "A <a@b.example>"             # and organization, signature = FILE
///
/// News URLs (RFC 5538) may stand for a server, a newsgroup or an article: news:MESSAGE-ID,
/// news://HOST/NEWSGROUP, nntps://HOST/NEWSGROUP/NUMBER.
#[derive(Parser)]
#[command(name = "feedc", version, max_term_width = 100, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    server: servers::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Post an article from a file, from stdin or from $EDITOR
    Post(post::Arguments),
    /// Upload files as articles, and write the NZB that lists them
    ///
    /// An upload that was interrupted goes on where it was when the same command is given again.
    Upload(transfers::UploadArguments),
    /// Fetch the files that an NZB lists, from one server or from several at once (-s A -s B)
    ///
    /// A part that one server lacks or has damaged is asked of the others. A fetch that was interrupted
    /// goes on where it was when the same command is given again.
    Fetch(transfers::FetchArguments),
    /// Show an article
    Read(read::Arguments),
    /// List the newsgroups
    List(overview::List),
    /// List the articles of a newsgroup, as threads
    Overview(overview::Overview),
    /// Find articles of a newsgroup by a header field
    Search(search::Arguments),
    /// Show new articles of a newsgroup as they come, until Ctrl-C
    Follow(follow::Arguments),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::because(error.to_string())
    }
}

/// The program `feedc`.
pub fn feedc() -> ExitCode {
    let arguments = Arguments::parse();
    let done = Servers::load(&arguments.server).and_then(|servers| match &arguments.command {
        Command::Post(arguments) => post::post(&servers, arguments),
        Command::Upload(arguments) => transfers::upload(&servers, arguments),
        Command::Fetch(arguments) => transfers::fetch(&servers, arguments),
        Command::Read(arguments) => read::read(&servers, arguments),
        Command::List(arguments) => overview::list(&servers, arguments),
        Command::Overview(arguments) => overview::overview(&servers, arguments),
        Command::Search(arguments) => search::search(&servers, arguments),
        Command::Follow(arguments) => follow::follow(&servers, arguments),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("feedc"),
    }
}
