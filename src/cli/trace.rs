//! `feedd trace`: the story of one article.

use super::output::{say, say_json, size};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::trace::{PeerFate, PeerTrace, Sources, Trace, trace as look};
use crate::admin::{Request, Response};
use crate::article::MessageId;
use crate::clock;
use crate::journal::feeds::{BATCH, Replied};
use chrono::DateTime;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The article; the angle brackets may be left out
    #[arg(value_name = "MESSAGE-ID")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

/// Tells all that is known of an article; the command fails where nothing is.
pub(super) fn trace(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let mut id = arguments.id.clone();
    if !id.starts_with('<') {
        id = format!("<{id}>");
    }
    let id = MessageId::try_from(id.as_str())
        .map_err(|bad| Failure::because(format!("{id}: no Message-ID: {bad}")))?;
    let told = match site.ask_running(&Request::Trace { id: id.to_string() })? {
        Some(Response::Trace(told)) => *told,
        Some(other) => return Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => {
            let store = site.open()?;
            let (feed_log, news_log) = (site.config.site.feed_log(), site.config.site.news_log());
            let sources = Sources {
                store: &store,
                peers: &site.config.peers,
                feeds: None,
                feed_log: feed_log.as_deref(),
                news_log: news_log.as_deref(),
            };
            let told = look(&sources, &id);
            store.close();
            told
        }
    };
    if arguments.json {
        say_json(&told)?;
    } else {
        say(shown(&told, clock::now().unix_ms()))?;
    }
    let nothing = told.article.is_none() && told.came.is_empty() && told.news.is_empty();
    if nothing && told.standing == "not known" { Err(Failure::Said) } else { Ok(()) }
}

fn shown(told: &Trace, now_ms: i64) -> String {
    let mut text = format!("{}  {}", told.id, told.standing);
    let mut line = |name: &str, says: String| text.push_str(&format!("\n{name:<10}{}", harmless(&says)));
    for came in &told.came {
        let from = if came.from == came.address {
            came.from.clone()
        } else {
            format!("{} ({})", came.from, came.address)
        };
        let what = match (came.code, came.reason.as_str()) {
            (235 | 239 | 240, _) => format!("taken ({})", came.code),
            (435 | 438, reason) => format!("refused ({}): {reason}", came.code),
            (400 | 431 | 436, reason) => format!("deferred ({}): {reason}", came.code),
            (code, reason) => format!("rejected ({code}): {reason}"),
        };
        line("came", format!("{} from {from} by {}: {what}", moment(came.at_ms), came.command));
    }
    for news in &told.news {
        line("news log", news.clone());
    }
    if let Some(article) = &told.article {
        if !told.came.iter().any(|came| came.seq == Some(article.seq)) {
            let from = match article.source.as_str() {
                "" => "this site (posted or imported here)",
                source => source,
            };
            line("came", format!("{} from {from}", moment(article.arrived_ms)));
        }
        line(
            "stored",
            format!(
                "{} as record {}, segment {} at {}",
                article.numbers, article.seq, article.segment, article.offset
            ),
        );
        let mut is = format!("{}, {}", size(article.octets as u64), article.kind);
        is.push_str(&format!(", dated {}", moment(article.date_s.saturating_mul(1000))));
        if !article.distribution.is_empty() {
            is.push_str(&format!(", Distribution {}", article.distribution));
        }
        line("article", is);
        if article.newsgroups.split(',').count() != article.numbers.split(' ').count() {
            line("newsgroups", article.newsgroups.clone());
        }
        line("path", article.path.clone());
    }
    if !told.peers.is_empty() {
        text.push_str("\npeers");
    }
    let width = told.peers.iter().map(|peer| peer.peer.chars().count()).max().unwrap_or(0);
    for peer in &told.peers {
        text.push_str(&format!("\n  {:<width$}  {}", peer.peer, harmless(&fate(peer, now_ms))));
        // One reply without words says no more than the line above it.
        for reply in &peer.replies {
            text.push_str(&format!("\n  {:<width$}    {}", "", harmless(&replied(reply))));
        }
    }
    if told.article.is_none() {
        text.push_str("\nlooked in");
        told.looked_in.iter().for_each(|place| text.push_str(&format!("\n  {place}")));
    }
    let passed = told.peers.iter().any(|peer| peer.fate == PeerFate::Passed);
    if let (Some(since_ms), true) = (told.log_since_ms, told.article.is_none() || passed) {
        text.push_str(&format!("\nthe feeds' log goes back to {}", moment(since_ms)));
    }
    text
}

/// What became of it with a peer, in a line.
fn fate(peer: &PeerTrace, now_ms: i64) -> String {
    let after = match peer.delay_ms {
        Some(ms) => format!(", {} after it came", pause(ms)),
        None => String::new(),
    };
    match &peer.fate {
        PeerFate::Accepted => format!("accepted{after}"),
        PeerFate::Refused => format!("refused, it has it or does not want it{after}"),
        PeerFate::Rejected => format!("REJECTED{after}"),
        PeerFate::Deferred { until_s: Some(until_s) } => {
            let in_ms = until_s.saturating_mul(1000) - now_ms;
            let when = if in_ms > 0 { format!("in {}", pause(in_ms)) } else { "at once".to_owned() };
            format!("deferred; offered again {when}, at {}", moment(until_s.saturating_mul(1000)))
        }
        PeerFate::Deferred { until_s: None } => "deferred; offered again soon".to_owned(),
        PeerFate::NotOwed(why) => format!("not sent: {why}"),
        PeerFate::Owed { state, last_error, before } => {
            let mut says = format!("STILL OWED, at most {before} before it; {state}");
            if !last_error.is_empty() {
                says.push_str(&format!("; {last_error}"));
            }
            says
        }
        PeerFate::Passed => "the feed is beyond it, and its reply is not in the feeds' log".to_owned(),
        PeerFate::Batched => format!("written into a batch{after}"),
        PeerFate::Gone => "given up: it was not in the store any more, or damaged".to_owned(),
    }
}

/// A reply in a line.
fn replied(reply: &Replied<String>) -> String {
    let at = moment(reply.at_ms);
    if reply.command == BATCH {
        return format!("{at}  in {}", reply.words);
    }
    if reply.code == 0 {
        return format!("{at}  {} (connection {})", reply.words, reply.connection);
    }
    let words = if reply.words.is_empty() { String::new() } else { format!(" \"{}\"", reply.words) };
    format!(
        "{at}  {} {}{words} {} after the offer (connection {})",
        reply.command,
        reply.code,
        pause(i64::try_from(reply.waited_ms).unwrap_or(i64::MAX)),
        reply.connection
    )
}

/// A moment as operators compare it with other logs.
pub(super) fn moment(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or("?".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string())
}

/// Milliseconds as people say them.
pub(super) fn pause(ms: i64) -> String {
    let s = ms / 1000;
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{s}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", s / 60, s % 60),
        3_600_000..86_400_000 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// What comes from articles and peers moves no cursor.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
