//! `feedd peer status`: what goes to each peer and comes from it, once or every second.

use super::output::{say, say_json, say_json_line, size, table, write};
use super::site::Site;
use super::trace::{harmless, moment, pause};
use super::{ConfigFile, Failure};
use crate::admin::trace::stopped_feed;
use crate::admin::{PeerStatus, Request, Response};
use crate::clock;
use crate::feed::{FeedStatus, owed};
use crate::journal::figures::Given;
use crate::net::IncomingStatus;
use std::io::{IsTerminal, stdout};
use std::thread;
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only this peer, with every reason for which it rejects articles and has articles rejected
    name: Option<String>,
    /// Show it anew every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print JSON; with --watch a line every second
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

/// How often --watch asks.
const EVERY: Duration = Duration::from_secs(1);
/// Reasons that are shown of each peer when all peers are.
const REASONS: usize = 3;

pub(super) fn status(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    if let Some(name) = &arguments.name
        && !site.config.peers.iter().any(|peer| peer.name == *name)
    {
        let names: Vec<&str> = site.config.peers.iter().map(|peer| peer.name.as_str()).collect();
        let there = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
        return Err(Failure::because(format!("no peer is called {name}; there are: {there}")));
    }
    let redraws = arguments.watch && !arguments.json && stdout().is_terminal();
    loop {
        let (running, mut rows) = ask(&site)?;
        if let Some(name) = &arguments.name {
            rows.retain(|row| row.peer == *name);
        }
        let all = arguments.name.is_some();
        match (arguments.json, arguments.watch) {
            (true, false) => say_json(&rows)?,
            (true, true) => say_json_line(&rows)?,
            (false, false) => say(shown(&rows, running, all))?,
            (false, true) => {
                let now = moment(clock::now().unix_ms());
                let text =
                    format!("{}  {now}\n\n{}\n", site.config.site.identity, shown(&rows, running, all));
                if redraws {
                    // Home, each line cleared behind its end, and what is below: no flicker, over ssh either.
                    write(format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")).as_bytes())?;
                } else {
                    say(text)?;
                }
            }
        }
        if !arguments.watch {
            return Ok(());
        }
        thread::sleep(EVERY);
    }
}

/// The rows, and if the site runs.
fn ask(site: &Site) -> Result<(bool, Vec<PeerStatus>), Failure> {
    match site.ask_running(&Request::PeerStatus)? {
        Some(Response::PeerStatus(rows)) => Ok((true, rows)),
        Some(other) => Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => {
            let store = site.open()?;
            let peers = &site.config.peers;
            let fed = peers.iter().filter(|peer| owed::is_fed(peer));
            let feeds = fed.map(|peer| stopped_feed(&store, peer)).collect();
            let rows = PeerStatus::rows(peers, feeds, Vec::new());
            store.close();
            Ok((false, rows))
        }
    }
}

const HEADING: [&str; 14] = [
    "peer", "way", "state", "owed", "lag", "art/s", "octets/s", "offered", "accepted", "refused", "rejected",
    "deferred", "octets", "last",
];

fn shown(rows: &[PeerStatus], running: bool, all: bool) -> String {
    if rows.is_empty() {
        return "no peers".to_owned();
    }
    let now_ms = clock::now().unix_ms();
    let mut lines = Vec::new();
    let mut notes = String::new();
    for row in rows {
        if let Some(out) = &row.out {
            lines.push(outward(&row.peer, out, now_ms));
        }
        if let Some(incoming) = &row.incoming {
            lines.push(inward(&row.peer, incoming, now_ms));
        }
        if row.out.is_none() && row.incoming.is_none() {
            let says =
                if running { "it is sent nothing, and has offered nothing" } else { "it is sent nothing" };
            lines.push(vec![row.peer.clone(), "-".to_owned(), says.to_owned()]);
        }
        notes.push_str(&note(row, now_ms, all));
    }
    for line in &mut lines {
        line.resize(HEADING.len(), String::new());
    }
    let text = table(&HEADING, &lines);
    if notes.is_empty() { text } else { format!("{text}\n{}", notes.trim_end()) }
}

fn outward(peer: &str, feed: &FeedStatus, now_ms: i64) -> Vec<String> {
    let way = if feed.tls { "out TLS" } else { "out" };
    let at_most = if feed.owed_is_exact { "" } else { "<=" };
    let since = feed.since_ms.map(|ms| format!("up {}", pause(now_ms - ms))).unwrap_or_default();
    vec![
        peer.to_owned(),
        way.to_owned(),
        feed.state.clone(),
        format!("{at_most}{}", feed.owed),
        feed.lag_s.map_or("-".to_owned(), |s| pause(i64::try_from(s).unwrap_or(0).saturating_mul(1000))),
        rate(feed.articles_s),
        size(feed.bytes_s as u64),
        feed.offered.to_string(),
        feed.accepted.to_string(),
        feed.refused.to_string(),
        feed.rejected.to_string(),
        feed.deferred.to_string(),
        size(feed.bytes),
        since,
    ]
}

fn inward(peer: &str, row: &IncomingStatus, now_ms: i64) -> Vec<String> {
    let plural = if row.connections == 1 { "" } else { "s" };
    let tls = match row.tls {
        0 => "",
        tls if tls == row.connections => " TLS",
        _ => " part TLS",
    };
    vec![
        peer.to_owned(),
        format!("in{tls}"),
        format!("{} connection{plural}", row.connections),
        "-".to_owned(),
        "-".to_owned(),
        rate(row.articles_s),
        size(row.bytes_s as u64),
        row.offered.to_string(),
        row.accepted.to_string(),
        row.refused.to_string(),
        row.rejected.to_string(),
        row.deferred.to_string(),
        size(row.bytes),
        row.last_article_ms.map_or("no article".to_owned(), |ms| format!("{} ago", pause(now_ms - ms))),
    ]
}

/// What a table has no room for: reasons, and what went wrong.
fn note(row: &PeerStatus, now_ms: i64, all: bool) -> String {
    let mut text = String::new();
    let mut line = |says: String| text.push_str(&format!("\n{}: {}", row.peer, harmless(&says)));
    if let Some(out) = &row.out {
        if !out.reasons.is_empty() {
            line(format!("it rejected {}", reasons(&out.reasons, all)));
        }
        if out.put_off > 0 {
            line(format!("it has put off {}", super::output::counted(out.put_off, "article")));
        }
        if out.gone > 0 {
            line(format!("{} were not in the store any more when their turn came", out.gone));
        }
        if let Some(loss) = &out.loss {
            line(format!("a sync is due: {loss}"));
        }
        if !out.last_error.is_empty() {
            let ago = out.last_error_ms.map_or(String::new(), |ms| format!("{} ago: ", pause(now_ms - ms)));
            line(format!("{ago}{}", out.last_error));
        }
    }
    if let Some(incoming) = &row.incoming
        && !incoming.reasons.is_empty()
    {
        line(format!("rejected here {}", reasons(&incoming.reasons, all)));
    }
    text
}

/// The reasons with their counts; of many the most frequent.
fn reasons(given: &[Given], all: bool) -> String {
    let shown = if all { given.len() } else { REASONS };
    let mut told: Vec<String> =
        given.iter().take(shown).map(|given| format!("{} for \"{}\"", given.times, given.reason)).collect();
    let rest: u64 = given.iter().skip(shown).map(|given| given.times).sum();
    if rest > 0 {
        told.push(format!("{rest} for other reasons"));
    }
    told.join(", ")
}

fn rate(a_second: f64) -> String {
    if a_second >= 10.0 { format!("{a_second:.0}") } else { format!("{a_second:.1}") }
}
