//! feedd against INN against the machine: `cargo bench --bench server -- [--quick] [--json]
//! [--only NAMES] [--no-inn] [--no-feedd]`.
//!
//! Both servers are real processes on loopback, measured one after the other on each line by the
//! same load generator; beside them stands what the disk and the loopback network can do with the
//! same octets in the same run. Every TAKETHIS and POST that feedd acknowledges is on disk; INN
//! does not sync. `--only` takes parts of names, separated by commas (`--only takethis,over`).

#![allow(clippy::unwrap_used, reason = "a failing step of a measurement ends it")]
#![allow(missing_docs, reason = "a program, not an interface")]

mod certificate;
mod channel;
mod layers;
mod limits;
mod load;
mod measures;
mod propagation;
mod prose;
mod report;
mod requests;
mod subject;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use channel::Layers;
use layers::LAYERED;
use limits::{LimitKind, Limits};
use measures::{Bench, MEASURES, Measure, Taken};
use report::{Report, Row};
use subject::Subject;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    json: bool,
    quick: bool,
    no_inn: bool,
    no_feedd: bool,
    only: Vec<String>,
}

impl Wanted {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--json" => wanted.json = true,
                "--quick" => wanted.quick = true,
                "--no-inn" => wanted.no_inn = true,
                "--no-feedd" => wanted.no_feedd = true,
                "--only" => {
                    let names = args.next().ok_or("--only wants names, separated by commas")?;
                    wanted.only = names.split(',').map(|name| name.trim().to_lowercase()).collect();
                }
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

    fn time(&self) -> Duration {
        Duration::from_millis(if self.quick { 150 } else { 2_000 })
    }
}

fn main() -> ExitCode {
    let measured = Wanted::parse(std::env::args().skip(1)).and_then(|wanted| measure(&wanted));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(wanted: &Wanted) -> Result<(), String> {
    let limits = Limits::take(wanted.time() / 2).map_err(|e| format!("the machine: {e}"))?;
    let mut report = Report::new(&limits);
    // Lines appear as they are measured; the JSON comes at the end, alone on standard output.
    let say = |text: &str| if wanted.json { eprintln!("{text}") } else { println!("{text}") };
    let with_inn = !wanted.no_inn && support::inn::is_installed();
    if !wanted.no_inn && !with_inn {
        say("INN is not installed here (apt-get install inn2): measured without it.");
    }
    say(&report.head());

    if measures().any(|measure| wanted.has(measure.name)) {
        let feedd = (!wanted.no_feedd).then(Subject::feedd);
        let inn = with_inn.then(Subject::inn).transpose()?;
        let prepare =
            |subject: &'static str, server| Bench::prepare(server, wanted.time(), wanted.quick, subject);
        let feedd = feedd.as_ref().map(|server| prepare("f", server)).transpose()?;
        let inn = inn.as_ref().map(|server| prepare("i", server)).transpose()?;
        for measure in measures().filter(|measure| wanted.has(measure.name)) {
            for connections in measure.connections {
                let take = |bench: &Bench<'_>| {
                    (measure.take)(bench, *connections, measure.layers)
                        .map_err(|problem| format!("{}, {}: {problem}", measure.name, bench.subject.name))
                };
                let feedd = feedd.as_ref().map(take).transpose()?;
                let inn = inn.as_ref().filter(|_| measure.layers == Layers::Plain).map(take).transpose()?;
                // Taken anew beside each line: others may use the machine at the same time.
                let limits = Limits::take_for(measure.limit, wanted.time() / 4, &limits)
                    .map_err(|e| format!("the machine: {e}"))?;
                let row = row(measure, *connections, feedd, inn, &limits);
                say(&row.line());
                report.rows.push(row);
            }
        }
    }
    if wanted.has("propagation") {
        for row in propagation_rows(wanted, with_inn, &limits)? {
            say(&row.line());
            report.rows.push(row);
        }
    }
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    }
    Ok(())
}

fn measures() -> impl Iterator<Item = &'static Measure> {
    MEASURES.iter().chain(LAYERED)
}

fn row(
    measure: &Measure,
    connections: usize,
    feedd: Option<Taken>,
    inn: Option<Taken>,
    limits: &Limits,
) -> Row {
    let octets = feedd.as_ref().or(inn.as_ref()).map_or(0.0, |taken| taken.octets);
    let turn_us = limits.small_sync_us + 2.0 * limits.round_trip_us;
    let limit = match (measure.limit, measure.unit) {
        (LimitKind::Disk, _) => Some(limits.synced_octets_per_s / octets),
        (LimitKind::Loopback, _) => Some(limits.loopback_octets_per_s / octets),
        (LimitKind::SealedLoopback, _) => Some(limits.sealed_loopback_octets_per_s() / octets),
        (LimitKind::SyncedTurn, "/s") => Some(connections as f64 * 1e6 / turn_us),
        (LimitKind::SyncedTurn, _) => Some(turn_us),
        (LimitKind::None, _) => None,
    };
    Row {
        what: measure.name.to_owned(),
        connections,
        unit: measure.unit,
        feedd: feedd.map(|taken| taken.figure),
        inn: inn.map(|taken| taken.figure),
        limit,
    }
}

fn propagation_rows(wanted: &Wanted, with_inn: bool, limits: &Limits) -> Result<Vec<Row>, String> {
    let articles = if wanted.quick { 20 } else { 500 };
    let failed = |problem: String| format!("propagation: {problem}");
    let feedd = (!wanted.no_feedd).then(|| propagation::feedd(articles, "f-ab"));
    let feedd = feedd.transpose().map_err(failed)?;
    let inn = with_inn.then(|| propagation::inn(articles, "i-ab")).transpose().map_err(failed)?;
    let limits = Limits::take_for(LimitKind::SyncedTurn, wanted.time() / 4, limits)
        .map_err(|e| format!("the machine: {e}"))?;
    // POST and its article, TAKETHIS and the reader's question: durable at A, then at B.
    let limit_ms = (2.0 * limits.small_sync_us + 4.0 * limits.round_trip_us) / 1e3;
    let names = ["propagation A to B, median", "propagation A to B, 99 %"];
    Ok(names
        .into_iter()
        .enumerate()
        .map(|(at, name)| Row {
            what: name.to_owned(),
            connections: 1,
            unit: "ms",
            feedd: feedd.map(|figures| figures[at]),
            inn: inn.map(|figures| figures[at]),
            limit: Some(limit_ms),
        })
        .collect())
}
