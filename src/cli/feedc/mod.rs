//! `feedc`: post, read and list from a shell or a script, on any NNTP server.

mod post;
mod transfers;

use super::Failure;
use super::output::{say, say_json, table, write};
use crate::client::{Client, ClientError, Server};
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;

/// The server when none is named: where `feedd` listens by default.
const SERVER: &str = "127.0.0.1:1119";
/// Variables that name a server: ours, and the one that newsreaders share.
const SERVER_VARIABLES: [&str; 2] = ["FEEDC_SERVER", "NNTPSERVER"];
/// Overview rows that are shown when nothing else is asked for.
const LAST: u64 = 100;

/// Post and read articles of a Usenet server.
#[derive(Parser)]
#[command(name = "feedc", version, max_term_width = 100)]
struct Arguments {
    /// The server, HOST or HOST:PORT; fetch takes several
    /// [default: $FEEDC_SERVER, $NNTPSERVER, else 127.0.0.1:1119]
    #[arg(short, long, global = true, value_name = "HOST:PORT")]
    server: Vec<String>,
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
    Read {
        /// Its Message-ID, or the newsgroup it is in
        #[arg(value_name = "MESSAGE-ID|NEWSGROUP")]
        article: String,
        /// Its number in that newsgroup
        number: Option<u64>,
    },
    /// List the newsgroups
    List {
        /// Only those that match, such as comp.*,!comp.lang.*
        wildmat: Option<String>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// List the articles of a newsgroup
    Overview {
        /// The newsgroup
        newsgroup: String,
        /// Article numbers: 7, 7-, 7-12
        range: Option<String>,
        /// The last so many article numbers [default: 100]
        #[arg(long, value_name = "N", conflicts_with = "range")]
        last: Option<u64>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::because(error.to_string())
    }
}

/// The program `feedc`.
pub fn feedc() -> ExitCode {
    let arguments = Arguments::parse();
    let mut servers = arguments.server;
    if servers.is_empty() {
        let named = SERVER_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
        servers.push(named.filter(|server| !server.is_empty()).unwrap_or(SERVER.to_owned()));
    }
    let server = servers.first().cloned().unwrap_or_default();
    let done = match arguments.command {
        Command::Fetch(arguments) => {
            let servers = servers.iter().map(|server| Server::parse(server).map_err(Failure::Because));
            servers.collect::<Result<Vec<_>, _>>().and_then(|servers| transfers::fetch(&servers, &arguments))
        }
        _ if servers.len() > 1 => Err(Failure::because("only fetch takes more than one server")),
        Command::Upload(arguments) => Server::parse(&server)
            .map_err(Failure::Because)
            .and_then(|server| transfers::upload(&server, &arguments)),
        Command::Post(arguments) => post::post(&server, &arguments),
        Command::Read { article, number } => read(&server, &article, number),
        Command::List { wildmat, json } => list(&server, wildmat.as_deref(), json),
        Command::Overview { newsgroup, range, last, json } => {
            overview(&server, &newsgroup, range.as_deref(), last.unwrap_or(LAST), json)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report("feedc"),
    }
}

/// Connects as a reader.
fn connect(server: &str) -> Result<Client, Failure> {
    let server = Server::parse(server).map_err(Failure::Because)?;
    Client::connect(&server).map_err(|error| match error {
        ClientError::Refused(why) => Failure::Because(why),
        error => Failure::because(format!("{server}: {error}")),
    })
}

fn read(server: &str, article: &str, number: Option<u64>) -> Result<(), Failure> {
    let mut client = connect(server)?;
    let text = match number {
        Some(number) => {
            client.group(article)?;
            client.article(&number.to_string())?
        }
        None if article.starts_with('<') => client.article(article)?,
        None if article.contains('@') => client.article(&format!("<{article}>"))?,
        None => return Err(Failure::because("say which article of the newsgroup: its number is missing")),
    };
    write(&shown(&text, std::io::stdout().is_terminal()))
}

/// An article as a shell wants it: lines end in LF. On a terminal, what would command it (escape
/// sequences above all) is shown as `?`.
fn shown(text: &[u8], terminal: bool) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                shown.extend_from_slice(line);
                shown.push(b'\n');
            }
            None => shown.extend_from_slice(line),
        }
    }
    if !terminal {
        return shown;
    }
    let text = String::from_utf8_lossy(&shown);
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '?' } else { c })
        .collect::<String>()
        .into()
}

fn list(server: &str, wildmat: Option<&str>, json: bool) -> Result<(), Failure> {
    let groups = connect(server)?.list(wildmat)?;
    if json {
        return say_json(&groups);
    }
    let rows: Vec<Vec<String>> = groups
        .into_iter()
        .map(|group| {
            vec![group.name, group.status, group.low.to_string(), group.high.to_string(), group.description]
        })
        .collect();
    say(table(&["newsgroup", "status", "low", "high", "description"], &rows))
}

fn overview(
    server: &str,
    newsgroup: &str,
    range: Option<&str>,
    last: u64,
    json: bool,
) -> Result<(), Failure> {
    let mut client = connect(server)?;
    let (low, high) = client.group(newsgroup)?;
    let range = match range {
        Some(range) => range.to_owned(),
        None => format!("{}-{high}", low.max(high.saturating_add(1).saturating_sub(last))),
    };
    let rows = client.overview(&range)?;
    if json {
        return say_json(&rows);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![row.number.to_string(), row.date, row.from, row.lines.to_string(), row.subject, row.id]
        })
        .collect();
    say(table(&["number", "date", "from", "lines", "subject", "message-id"], &rows))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn articles_are_shown_with_lf_and_without_commands_to_the_terminal() {
        assert_eq!(shown(b"A: b\r\n\r\n\x1b[2Jx\r\ny", false), b"A: b\n\n\x1b[2Jx\ny");
        assert_eq!(shown(b"A: b\r\n\r\n\x1b[2J\tx\r\ny", true), b"A: b\n\n?[2J\tx\ny");
    }
}
