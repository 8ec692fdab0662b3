//! feedd among strangers: a real INN on both sides of a feed, newsreaders that others wrote, and
//! binaries that go up at one site and come down at another. Ignored by default because they need
//! packages; `.ci/run` installs those and runs it. Whatever is not installed is skipped and said so.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod binaries;
mod host;
mod inn;
mod readers;
mod ring;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod terminal;

use std::time::Duration;

/// INN's innfeed may wait a while before it connects the first time.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
