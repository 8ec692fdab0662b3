//! `feedd status` and `feedd reload`.

use super::output::{counted, say, say_json, size, table};
use super::site::Site;
use super::{ConfigFile, Failure, Report};
use crate::admin::{Request, Response, SiteStatus};
use std::collections::BTreeMap;

/// Shows the figures of the site; those of its store when it is stopped.
pub(super) fn status(report: &Report) -> Result<(), Failure> {
    let site = Site::load(&report.site)?;
    let status = match site.ask_running(&Request::Status)? {
        Some(Response::Status(status)) => *status,
        Some(other) => return Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => {
            let store = site.open()?;
            let status = SiteStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                identity: site.config.site.identity.to_string(),
                store: store.stats(),
                ..SiteStatus::default()
            };
            store.close();
            status
        }
    };
    if report.json { say_json(&status) } else { say(shown(&status)) }
}

fn shown(status: &SiteStatus) -> String {
    let store = &status.store;
    let state = if status.running {
        format!("runs for {} on {}", duration(status.uptime_s), status.addresses.join(" "))
    } else {
        "is stopped".to_owned()
    };
    let mut text = format!(
        "{identity} {state}\n\
         connections   {connections}\n\
         articles      {articles} in {newsgroups}\n\
         history       {history}\n\
         spool         {spool} in {segments}, last record {seq}\n\
         index         {index}, the newest {behind} records in memory",
        identity = status.identity,
        connections = status.connections,
        articles = store.articles,
        newsgroups = counted(store.newsgroups, "newsgroup"),
        history = counted(store.history, "Message-ID"),
        spool = size(store.spool_bytes),
        segments = counted(store.segments, "segment"),
        seq = store.seq,
        index = size(store.index_bytes),
        behind = store.index_behind,
    );
    for (title, names) in TALLIES {
        let tally = tally(&status.counters, names);
        if !tally.is_empty() {
            text.push_str(&format!("\n{title:<14}{tally}"));
        }
    }
    if store.damaged > 0 {
        text.push_str(&format!("\ndamaged       {}: see `feedd verify`", counted(store.damaged, "record")));
    }
    if !store.refusing.is_empty() {
        text.push_str(&format!("\nno articles are taken: {}", store.refusing));
    }
    if !status.feeds.is_empty() {
        let rows: Vec<Vec<String>> = status
            .feeds
            .iter()
            .map(|feed| {
                vec![
                    feed.peer.clone(),
                    feed.state.clone(),
                    feed.lag.to_string(),
                    feed.offered.to_string(),
                    feed.accepted.to_string(),
                    feed.refused.to_string(),
                    feed.rejected.to_string(),
                    feed.deferred.to_string(),
                    feed.gone.to_string(),
                    feed.last_error.clone(),
                ]
            })
            .collect();
        let heading = [
            "peer",
            "feed",
            "lag",
            "offered",
            "accepted",
            "refused",
            "rejected",
            "deferred",
            "gone",
            "last error",
        ];
        text.push_str("\n\n");
        text.push_str(&table(&heading, &rows));
    }
    text
}

/// Counters that are told together, if there is something to tell: the line's title, and for each
/// its name and what it says.
const TALLIES: [(&str, &[(&str, &str)]); 5] = [
    ("taken", &[("accepted", "accepted"), ("rejected", "rejected"), ("deferred", "deferred")]),
    (
        "clients",
        &[
            ("connections_total", "connections"),
            ("tls", "over TLS"),
            ("compressed", "compressed"),
            ("logins", "logins"),
            ("articles_sent", "articles sent"),
        ],
    ),
    (
        "refused",
        &[
            ("connections_refused", "connections too many"),
            ("addresses_full", "too many from an address"),
            ("accounts_full", "too many of an account"),
            ("peers_full", "too many of a peer"),
            ("tls_failed", "TLS handshakes"),
            ("logins_failed", "logins"),
            ("compress_refused", "compressions"),
            ("quotas_met", "posts over a quota"),
            ("lines_too_long", "lines too long"),
            ("headers_too_large", "headers too large"),
            ("articles_too_large", "articles too large"),
            ("crossposts_too_wide", "crossposts too wide"),
        ],
    ),
    ("logs", &[("log_lines_lost", "lines dropped, the disk is slow or full")]),
    ("cut", &[("idle_cut", "idle"), ("slow_cut", "too slow"), ("logins_slowed", "logins slowed")]),
];

fn tally(counters: &BTreeMap<String, u64>, names: &[(&str, &str)]) -> String {
    let told = |(name, says): &(&str, &str)| {
        let count = counters.get(*name).copied().filter(|count| *count > 0)?;
        Some(format!("{count} {says}"))
    };
    names.iter().filter_map(told).collect::<Vec<_>>().join(", ")
}

/// Seconds as people say them.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Makes the running site read its config again; it keeps the old one if the new one is wrong.
pub(super) fn reload(file: &ConfigFile) -> Result<(), Failure> {
    let site = match Site::load(file) {
        // Where the site is stands in the very file that is wrong: it is not even asked.
        Err(Failure::Config(mistakes)) => {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            return Err(Failure::Because(format!("the old config stays in force:\n{}", lines.join("\n"))));
        }
        site => site?,
    };
    match site.ask_running(&Request::Reload)? {
        Some(Response::Done(what)) => say(what),
        Some(other) => Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => Err(site.not_running()),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_read_well() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3660, "1 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
