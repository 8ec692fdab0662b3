//! `feedd sync`: what both sites should have, both have; and the proof.

use super::moment::moment;
use super::output::{say, say_json};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::{self, Request, Response};
use crate::feed::{SyncReport, grouped};
use indicatif::ProgressBar;
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The peer, by its name in peers.toml
    peer: String,
    /// Articles since then, by their own dates: 2026-11-01 (UTC), 36h, 30d, 8w [default: all]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

/// Has the running site do it. The command succeeds if nothing is missing in the end.
pub(super) fn sync(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let since = arguments.since.as_deref().map(moment).transpose()?.unwrap_or_default();
    let request = Request::Sync { peer: arguments.peer.clone(), since_s: since.unix_s() };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let answer = admin::client::follow(site.data(), &request, |text| bar.set_message(text));
    bar.finish_and_clear();
    let answer = answer.map_err(|error| {
        Failure::because(format!("the control socket in {}: {error}", site.data().display()))
    })?;
    let report = match answer {
        Some(Response::Synced(report)) => *report,
        Some(Response::Failed(why)) => return Err(Failure::Because(why)),
        Some(other) => return Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => return Err(site.not_running()),
    };
    if arguments.json {
        say_json(&report)?;
    } else {
        say(shown(&report))?;
    }
    if report.is_whole() { Ok(()) } else { Err(Failure::Said) }
}

fn shown(report: &SyncReport) -> String {
    if report.is_about_nothing() && report.is_whole() {
        let SyncReport { site, peer, since_s, .. } = report;
        let since = chrono::DateTime::from_timestamp(*since_s, 0).filter(|_| *since_s > 0);
        let since = since.map(|at| at.format(" since %Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        return format!(
            "nothing to compare: neither {site} nor {peer} has an article{since} that the other should have"
        );
    }
    let mut text = report.proof();
    for way in [Some(&report.sent), report.accepted.as_ref()].into_iter().flatten() {
        if way.sent + way.received > 0 {
            text.push_str(&format!("\n  {} sent, {} received now", grouped(way.sent), grouped(way.received)));
        }
        for (rule, count) in &way.unowed {
            text.push_str(&format!("\n  not owed: {} ({rule})", grouped(*count)));
        }
        for missing in &way.missing {
            text.push_str(&format!("\n  missing: {missing}"));
        }
        let more = (way.of - way.agreed).saturating_sub(way.missing.len() as u64);
        if more > 0 && !way.missing.is_empty() {
            text.push_str(&format!("\n  and {} more", grouped(more)));
        }
    }
    text.push_str(&format!("\n  in {} s", report.seconds));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Agreement;

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_204_331, "1 204 331")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_proof_is_the_first_line() {
        let mut report = SyncReport {
            site: "a.example".to_owned(),
            peer: "b".to_owned(),
            compared: true,
            sent: Agreement { agreed: 1_204_331, of: 1_204_331, ..Agreement::default() },
            ..SyncReport::default()
        };
        let first = |report: &SyncReport| shown(report).lines().next().map(str::to_owned);
        assert_eq!(
            first(&report).as_deref(),
            Some("a.example and b agree on 1 204 331 of 1 204 331 articles")
        );
        assert!(report.is_whole());
        report.compared = false;
        report.sent.agreed = 7;
        report.sent.sent = 2;
        report.sent.rejected = 3;
        assert_eq!(
            first(&report).as_deref(),
            Some(
                "b has or remembers 7 of 1 204 331 articles that it should have: 2 taken now, 5 known to it before; 3 rejected"
            )
        );
        assert!(!report.is_whole());
    }
}
