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

/// Who feeds whom.
const FEEDS: [(&str, Kind, Kind); 4] = [
    ("feedd -> feedd", Kind::Feedd, Kind::Feedd),
    ("INN -> INN", Kind::Inn, Kind::Inn),
    ("INN -> feedd", Kind::Inn, Kind::Feedd),
    ("feedd -> INN", Kind::Feedd, Kind::Inn),
];

/// Octets of an article, how many feedd sends, how many innfeed does (it keeps 10,000 in memory).
const LOADS: [(&str, usize, u64, u64); 2] = [("2 KB", 2_000, 300_000, 9_000), ("740 KB", 740_000, 600, 300)];

fn links(wanted: &Wanted) -> Result<(), String> {
    let with_inn = !wanted.no_inn && support::inn::is_installed();
    if !wanted.no_inn && !with_inn {
        println!("INN is not installed here (apt-get install inn2): measured without it.");
    }
    println!(
        "{} cores, shared by both servers, the relay and this program. limit is one TCP connection through \
         the same relay\nwithout any server; of 0 ms is the rate against that of the same feed at the \
         shortest round trip.\n\n\
         article  feed             RTT ms   articles/s     MB/s  of 0 ms  conn  limit MB/s  of limit  vs innfeed",
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    for (label, size, feedd_count, inn_count) in LOADS {
        let mut innfeed: Vec<Option<f64>> = vec![None; wanted.round_trips_ms.len()];
        let mut lines: Vec<(usize, &str, Rate, f64, Option<f64>)> = Vec::new();
        for (name, from, to) in
            FEEDS.into_iter().filter(|(_, from, to)| with_inn || (*from, *to) == (Kind::Feedd, Kind::Feedd))
        {
            if !wanted.has(&format!("{label} {name}")) {
                continue;
            }
            let mut first = None;
            for (at, &round_trip_ms) in wanted.round_trips_ms.iter().enumerate() {
                let link = Link::of_ms(round_trip_ms);
                let count = if from == Kind::Feedd { feedd_count } else { inn_count };
                let count = if wanted.quick { (count / 20).max(20) } else { count };
                let limit = pair::bare(link, Duration::from_millis(if wanted.quick { 500 } else { 1500 }))?;
                let rate = pair::measure(from, to, link, size, count)
                    .map_err(|problem| format!("{label}, {name}, {round_trip_ms} ms: {problem}"))?;
                let of_first = first.map(|first: f64| rate.articles_per_s / first);
                first.get_or_insert(rate.articles_per_s);
                if (from, to) == (Kind::Inn, Kind::Inn) {
                    innfeed[at] = Some(rate.articles_per_s);
                }
                lines.push((at, name, rate, limit, of_first));
                let octets = size as f64;
                let mb_s = rate.articles_per_s * octets / 1e6;
                let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
                println!(
                    "{label:<8} {name:<15} {round_trip_ms:>7} {:>12.0} {mb_s:>8.1} {:>8} {:>5} {:>11.0} {:>9.2} {:>11}",
                    rate.articles_per_s,
                    ratio(of_first),
                    rate.connections,
                    limit / 1e6,
                    mb_s * 1e6 / limit,
                    ratio(innfeed[at].filter(|_| from == Kind::Feedd).map(|inn| rate.articles_per_s / inn)),
                );
            }
        }
        let ours = lines.iter().filter(|line| line.1 == FEEDS[0].0);
        for (at, _, rate, ..) in ours {
            if let Some(inn) = innfeed[*at] {
                println!(
                    "{label:<8} at {} ms: feedd {:.1} times innfeed",
                    wanted.round_trips_ms[*at],
                    rate.articles_per_s / inn
                );
            }
        }
        println!();
    }
    Ok(())
}
