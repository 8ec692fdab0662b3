//! `feedd rebuild` and `feedd verify`: what an operator does about a store in doubt.

use super::output::{say, say_json, size};
use super::site::{Site, store_failure};
use super::{ConfigFile, Failure, Report};
use crate::admin::{Request, Response};
use crate::store::{Options, Store};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;

/// Makes the index anew from the spool.
pub(super) fn rebuild(file: &ConfigFile) -> Result<(), Failure> {
    let site = Site::load(file)?;
    let data = site.data();
    if site.ask_running(&Request::Status)?.is_some() {
        return Err(Failure::because(format!(
            "a site runs on {}: stop it first, its index is in use",
            data.display()
        )));
    }
    site.must_exist()?;
    Store::discard_index(data).map_err(|error| store_failure(data, &error))?;
    let bar = octets_bar("rebuilding");
    let progress = bar.clone();
    let options = Options {
        on_replay: Arc::new(move |done, all| {
            progress.set_length(all);
            progress.set_position(done);
        }),
        ..site.options()
    };
    let store = site.open_with(options)?;
    bar.finish_and_clear();
    let stats = store.stats();
    store.close();
    say(format!(
        "the index is made anew: {} articles in {} newsgroups from {} of spool",
        stats.articles,
        stats.newsgroups,
        size(stats.spool_bytes)
    ))
}

/// Checks all of the store; damage is exit code 1.
pub(super) fn verify(report: &Report) -> Result<(), Failure> {
    let site = Site::load(&report.site)?;
    let found = match site.ask_running(&Request::Verify)? {
        Some(Response::Verified(found)) => found,
        Some(other) => return Err(Failure::because(format!("an unexpected answer: {other:?}"))),
        None => {
            let store = site.open()?;
            let bar = octets_bar("verifying");
            let found = store.verify(&|done, all| {
                bar.set_length(all);
                bar.set_position(done);
            });
            bar.finish_and_clear();
            store.close();
            found.map_err(|error| store_failure(site.data(), &error))?
        }
    };
    if report.json {
        say_json(&found)?;
    } else {
        for damage in &found.damage {
            say(damage)?;
        }
        say(format!(
            "{} records, {} articles, {}: {}",
            found.records,
            found.articles,
            size(found.bytes),
            match found.damage.len() {
                0 => "all good".to_owned(),
                count => format!("{count} found wrong"),
            }
        ))?;
    }
    if found.damage.is_empty() { Ok(()) } else { Err(Failure::Said) }
}

/// A progress bar of octets on stderr, invisible where that is no terminal.
pub(super) fn octets_bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg} eta {eta}",
    );
    let bar = ProgressBar::new(0).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
