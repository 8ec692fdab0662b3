//! How long an article takes from POST at A until a reader at B can have it.

use std::time::{Duration, Instant};

use crate::limits::percentile;
use crate::report::Figure;
use crate::support::articles::{message_id, posted};
use crate::support::client::Client;
use crate::support::inn::{Inn, InnSetup};
use crate::support::site::Site;

const NEWSGROUP: &str = "bench.a";
/// The first article may wait for the feed's connection.
const FIRST_WITHIN: Duration = Duration::from_secs(40);
const THEN_WITHIN: Duration = Duration::from_secs(10);

/// Median and 99th percentile, milliseconds.
pub type Latencies = [Figure; 2];

/// Two feedd sites.
pub fn feedd(articles: u64, label: &str) -> Result<Latencies, String> {
    let newsgroups = [NEWSGROUP];
    let mut a = Site::init("a.example", &newsgroups);
    let mut b = Site::init("b.example", &newsgroups);
    a.peer_with(&b);
    b.peer_with(&a);
    b.start();
    a.start();
    between(a.client(), b.client(), articles, label)
}

/// Two INNs, the first feeding the second by innfeed.
pub fn inn(articles: u64, label: &str) -> Result<Latencies, String> {
    let b = Inn::start(&InnSetup::new("b.example", &[NEWSGROUP]))?;
    let setup = InnSetup::new("a.example", &[NEWSGROUP]).feeding("b", "b.example", b.port);
    let a = Inn::start(&setup)?;
    let reader = |inn: &Inn| Client::connect(inn.reader_port).map_err(|e| e.to_string());
    between(reader(&a)?, reader(&b)?, articles, label)
}

fn between(mut a: Client, mut b: Client, articles: u64, label: &str) -> Result<Latencies, String> {
    let mut millis = Vec::new();
    for number in 0..=articles {
        let id = message_id(label, number);
        let article = posted(Some(&id), NEWSGROUP, 2_000);
        let asked = Instant::now();
        let answer = a.post(&article).map_err(|e| format!("POST at A: {e}"))?;
        if !answer.starts_with("240") {
            return Err(format!("POST at A: {answer}"));
        }
        let within = if number == 0 { FIRST_WITHIN } else { THEN_WITHIN };
        while !b.has(&id) {
            if asked.elapsed() > within {
                return Err(format!("{id} did not arrive at B within {within:?}"));
            }
        }
        if number > 0 {
            millis.push(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok([50, 99].map(|p| Figure::bare(percentile(&mut millis, p))))
}
