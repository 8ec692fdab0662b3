//! What an operator can know: the story of an article, the figures of peers, the logs, and what a reload
//! has changed. Real processes, asked by the commands that an operator types.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod busy;
mod logs;
mod reload;
#[path = "../support/mod.rs"]
mod support;
mod tales;

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use support::articles::posted;
use support::site::{FEEDD, Site};

const NEWSGROUP: &str = "test.a";
const WITHIN: Duration = Duration::from_secs(30);

/// Runs a command on a site, whether it succeeds or not.
fn run(site: &Site, command: &[&str]) -> Output {
    Command::new(FEEDD).args(command).arg("-c").arg(site.config()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command with `--json` says.
#[track_caller]
fn json(site: &Site, command: &[&str]) -> Value {
    let output = run(site, &[command, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn trace(site: &Site, id: &str) -> Value {
    json(site, &["trace", id])
}

/// What a trace says of one peer.
#[track_caller]
fn of_peer(trace: &Value, peer: &str) -> Value {
    let peers = trace["peers"].as_array().unwrap();
    peers.iter().find(|row| row["peer"] == peer).unwrap_or_else(|| panic!("no {peer} in {trace}")).clone()
}

/// The figures of one peer.
#[track_caller]
fn figures(site: &Site, peer: &str) -> Value {
    let rows = json(site, &["peer", "status"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["peer"] == peer);
    row.unwrap_or_else(|| panic!("no {peer} in {rows}")).clone()
}

#[track_caller]
fn post(site: &Site, id: &str, newsgroup: &str) -> String {
    site.client().post(&posted(Some(id), newsgroup, 1000)).unwrap()
}
