//! feedd among strangers: a real INN on both sides of a feed, and readers that others wrote
//! (Python's nntplib, Perl's Net::NNTP). Ignored by default because they need packages;
//! `.ci/run` installs those and runs it.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use support::articles::{message_id, relayed};
use support::client::Client;
use support::inn::{Inn, InnSetup};

#[test]
#[ignore = "needs the Debian package inn2"]
fn inn_itself_runs_here() {
    let inn = Inn::start(&InnSetup::new("inn.example", &["test.a"])).unwrap();
    let mut peer = Client::connect(inn.port).unwrap();
    let id = message_id("smoke", 1);
    let answer = peer.takethis(&id, &relayed(&id, "test.a", 2000)).unwrap();
    assert!(answer.starts_with("239"), "{answer}\n{}", inn.last_words());
    let mut reader = Client::connect(inn.reader_port).unwrap();
    reader.expect("MODE READER", "20");
    assert!(reader.article(&id).is_some());
}
