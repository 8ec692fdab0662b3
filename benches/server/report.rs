//! What was measured, as a table for people and as JSON for scripts.

use std::time::Duration;

use serde::Serialize;

use crate::limits::Limits;
use crate::load::Outcome;

/// One figure of one server.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figure {
    pub value: f64,
    /// CPU time of the server per operation, microseconds; absent where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    /// CPU time of the server per 10^6 octets of text, as it is without TLS and compression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_mb: Option<f64>,
    /// CPU time of the load generator per operation, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_us: Option<f64>,
    /// Octets of text for each octet on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<f64>,
}

impl Figure {
    /// A value that is neither a rate nor paid for in CPU time.
    pub fn bare(value: f64) -> Self {
        Self { value, cpu_us: None, cpu_us_per_mb: None, load_us: None, packed: None }
    }

    /// A rate: each reply of `outcome` is worth so many operations, all cost the server `cpu`.
    pub fn rate(outcome: &Outcome, operations_per_reply: f64, cpu: Duration) -> Self {
        let count = outcome.answered as f64 * operations_per_reply;
        let each = |cpu: Duration, of: f64| (of > 0.0).then(|| cpu.as_secs_f64() * 1e6 / of);
        let packed = outcome.received as f64 / outcome.wire as f64;
        Self {
            value: count / outcome.elapsed.as_secs_f64(),
            cpu_us: each(cpu, count),
            cpu_us_per_mb: each(cpu, outcome.octets as f64 / 1e6),
            load_us: each(outcome.generator_cpu, count),
            // What TLS adds is not worth a column.
            packed: (packed > 1.1).then_some(packed),
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub what: String,
    pub connections: usize,
    /// `/s`, `us`, `ms` or `KiB`; a rate is better when higher, all else when lower.
    pub unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedd: Option<Figure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inn: Option<Figure>,
    /// What the disk or loopback could do with the same octets, in the same unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// The whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub cores: usize,
    pub synced_mb_per_s: f64,
    pub loopback_mb_per_s: f64,
    pub sealed_mb_per_s: f64,
    pub small_sync_us: f64,
    pub round_trip_us: f64,
    pub rows: Vec<Row>,
}

const COLUMNS: &str = "measure                        conn  unit      feedd        INN  feedd/INN      limit  of limit   CPU us  INN CPU us  CPU us/MB  load us  packed";

impl Report {
    pub fn new(limits: &Limits) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            synced_mb_per_s: limits.synced_octets_per_s / 1e6,
            loopback_mb_per_s: limits.loopback_octets_per_s / 1e6,
            sealed_mb_per_s: limits.sealed_octets_per_s / 1e6,
            small_sync_us: limits.small_sync_us,
            round_trip_us: limits.round_trip_us,
            rows: Vec::new(),
        }
    }

    /// What stands above the table.
    pub fn head(&self) -> String {
        format!(
            "{} cores, shared with the load generator. This machine's limits: write + fdatasync \
             in batches of 1 MB {:.0} MB/s,\nfdatasync after 4 KB {:.0} us, loopback {:.0} MB/s, \
             round trip {:.0} us, TLS in memory {:.0} MB/s.\nCPU is the server's, per operation and per MB \
             of text; load is the load generator's CPU per operation, packed\nthe octets of text to one on \
             the wire. Over TLS the generator counts known replies by their records.\n\n{COLUMNS}",
            self.cores,
            self.synced_mb_per_s,
            self.small_sync_us,
            self.loopback_mb_per_s,
            self.round_trip_us,
            self.sealed_mb_per_s
        )
    }
}

impl Row {
    /// The line of the table.
    pub fn line(&self) -> String {
        let value = |figure: Option<Figure>| figure.map(|figure| figure.value);
        let ratio = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) if b > 0.0 => format!("{:.2}", a / b),
            _ => "-".to_owned(),
        };
        let (feedd, inn) = (value(self.feedd), value(self.inn));
        let of_limit = match self.unit {
            "/s" => ratio(feedd, self.limit),
            _ => ratio(self.limit, feedd),
        };
        let cpu = |figure: Option<Figure>, of: fn(Figure) -> Option<f64>| {
            figure.and_then(of).map_or_else(|| "-".to_owned(), |us| format!("{us:.1}"))
        };
        format!(
            "{:<30} {:>4}  {:<4} {:>10} {:>10} {:>10} {:>10} {:>9} {:>8} {:>11} {:>10} {:>8} {:>7}",
            self.what,
            self.connections,
            self.unit,
            number(feedd),
            number(inn),
            ratio(feedd, inn),
            number(self.limit),
            of_limit,
            cpu(self.feedd, |f| f.cpu_us),
            cpu(self.inn, |f| f.cpu_us),
            cpu(self.feedd, |f| f.cpu_us_per_mb),
            cpu(self.feedd, |f| f.load_us),
            cpu(self.feedd, |f| f.packed)
        )
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => {
            let digits = format!("{value:.0}");
            let mut spaced = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    spaced.push(',');
                }
                spaced.push(digit);
            }
            spaced
        }
    }
}
