//! Feeds over long links: `cargo bench --bench feed -- [--quick] [--no-inn] [--only NAMES]
//! [--rtt MS,MS] [month|lagging]`.
//!
//! Two real servers, and between them a relay that passes octets on after half the round-trip time each
//! way (`tests/support/relay.rs`). The articles wait at A while the link is held up; then it is let go,
//! and what arrives at B is counted. INN feeds by its innfeed through the same relay in the same
//! run. `month` brings a peer level that was away for 600,000 articles, `lagging` measures the hop to
//! one peer while another catches up.

#![allow(clippy::unwrap_used, reason = "a failing step of a measurement ends it")]
#![allow(missing_docs, reason = "a program, not an interface")]

mod lagging;
mod month;
mod pair;
#[path = "../server/prose.rs"]
mod prose;
mod shape;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use feedd::config::PEER_WINDOW as WINDOW;
use pair::{Kind, Rate};
use support::relay::Link;

/// What the command line asks for.
#[derive(Debug)]
struct Wanted {
    quick: bool,
    no_inn: bool,
    only: Vec<String>,
    round_trips_ms: Vec<u64>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Links,
    Month,
    Lagging,
}

impl Wanted {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            quick: false,
            no_inn: false,
            only: Vec::new(),
            round_trips_ms: vec![0, 50, 200],
            what: What::Links,
        };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => wanted.quick = true,
                "--no-inn" => wanted.no_inn = true,
                "--only" => {
                    let names = args.next().ok_or("--only wants parts of names, separated by commas")?;
                    wanted.only = names.split(',').map(|name| name.trim().to_lowercase()).collect();
                }
                "--rtt" => {
                    let list = args.next().ok_or("--rtt wants milliseconds, separated by commas")?;
                    let parsed: Result<_, _> = list.split(',').map(str::parse).collect();
                    wanted.round_trips_ms = parsed.map_err(|e| format!("--rtt {list}: {e}"))?;
                }
                "month" => wanted.what = What::Month,
                "lagging" => wanted.what = What::Lagging,
                // cargo bench says this to every benchmark.
                "--bench" => {}
                other => return Err(format!("unknown argument {other}")),
            }
        }
        if wanted.quick {
            wanted.round_trips_ms.retain(|&ms| ms != 50);
        }
        Ok(wanted)
    }

    fn has(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

fn main() -> ExitCode {
    let measured = Wanted::parse(std::env::args().skip(1)).and_then(|wanted| match wanted.what {
        What::Links => links(&wanted),
        What::Month => month::measure(wanted.quick, !wanted.no_inn),
        What::Lagging => lagging::measure(wanted.quick),
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Who feeds whom; INN's own first, for the others are compared with it.
const FEEDS: [(&str, Kind, Kind); 4] = [
    ("INN -> INN", Kind::Inn, Kind::Inn),
    ("INN -> feedd", Kind::Inn, Kind::Feedd),
    ("feedd -> INN", Kind::Feedd, Kind::Inn),
    ("feedd -> feedd", Kind::Feedd, Kind::Feedd),
];

/// Octets of an article, how many feedd sends, how many innfeed does (it keeps 10,000 in memory).
const LOADS: [(&str, usize, u64, u64); 2] = [("2 KB", 2_000, 300_000, 9_000), ("740 KB", 740_000, 600, 300)];

fn links(wanted: &Wanted) -> Result<(), String> {
    let with_inn = !wanted.no_inn && support::inn::is_installed();
    if !wanted.no_inn && !with_inn {
        println!("INN is not installed here (apt-get install inn2): measured without it.");
    }
    println!(
        "{} cores, shared by both servers, the relay and this program. link is one TCP connection through \
         the same relay\nwithout any server; of 0 ms is the rate against that of the same feed at the \
         shortest round trip. The default window of\n{WINDOW} commands would allow {:.0} articles/s for each \
         connection at 200 ms, its bound of octets 320 MB/s.\n\n\
         article  feed             RTT ms   articles/s     MB/s  of 0 ms  conn  link MB/s  of link  times INN's",
        std::thread::available_parallelism().map_or(0, usize::from),
        WINDOW as f64 / 0.2,
    );
    for load in LOADS {
        let mut innfeed = vec![None; wanted.round_trips_ms.len()];
        for feed @ (name, from, to) in FEEDS {
            let can = with_inn || (from, to) == (Kind::Feedd, Kind::Feedd);
            if can && wanted.has(&format!("{} {name}", load.0)) {
                one_feed(wanted, load, feed, &mut innfeed)?;
            }
        }
        println!();
    }
    Ok(())
}

/// One feed at every round trip. `innfeed` is INN's own rate at each, once it is known.
fn one_feed(
    wanted: &Wanted,
    (label, size, feedd_count, inn_count): (&str, usize, u64, u64),
    (name, from, to): (&str, Kind, Kind),
    innfeed: &mut [Option<f64>],
) -> Result<(), String> {
    let mut first = None;
    for (&round_trip_ms, innfeed) in wanted.round_trips_ms.iter().zip(innfeed) {
        let link = Link::of_ms(round_trip_ms);
        let count = if from == Kind::Feedd { feedd_count } else { inn_count };
        let count = if wanted.quick { (count / 20).max(20) } else { count };
        let bare = pair::bare(link, Duration::from_millis(if wanted.quick { 300 } else { 1500 }))?;
        let Rate { articles_per_s, connections } = pair::measure(from, to, link, size, count)
            .map_err(|problem| format!("{label}, {name}, {round_trip_ms} ms: {problem}"))?;
        let octets_per_s = articles_per_s * size as f64;
        let of_first = first.map(|first: f64| articles_per_s / first);
        first.get_or_insert(articles_per_s);
        if (from, to) == (Kind::Inn, Kind::Inn) {
            *innfeed = Some(articles_per_s);
        }
        let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        println!(
            "{label:<8} {name:<15} {round_trip_ms:>7} {articles_per_s:>12.0} {:>8.1} {:>8} {connections:>5} \
             {:>10.0} {:>8.2} {:>12}",
            octets_per_s / 1e6,
            ratio(of_first),
            bare / 1e6,
            octets_per_s / bare,
            ratio(innfeed.map(|innfeed| articles_per_s / innfeed)),
        );
    }
    Ok(())
}
