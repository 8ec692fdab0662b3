//! `feedc upload` and `feedc fetch`: files to a server, and from several.

use super::super::Failure;
use super::super::output::{counted, say, size};
use super::servers::Servers;
use crate::binary::Nzb;
use crate::binary::nzb::NZB_MAX;
use crate::transfer::fetch;
use crate::transfer::upload;
use crate::transfer::{TransferError, Watcher};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Octets of a part: what most servers take, with room for yEnc and the header.
const PART_SIZE: &str = "700K";
/// The smallest and the largest part.
const PART_SIZES: std::ops::RangeInclusive<u64> = 1 << 10..=32 << 20;
/// How often the progress is drawn.
const TICK: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(super) struct UploadArguments {
    /// The files; a folder stands for every file in it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The newsgroup, or several separated by commas
    #[arg(short, long, value_name = "NEWSGROUP")]
    newsgroup: String,
    /// What stands before the customary subject: [1/3] - "name" yEnc (1/143) 104857600
    #[arg(long)]
    subject: Option<String>,
    /// The author [default: $FEEDC_FROM, else your user name]
    #[arg(long, value_name = "FROM")]
    from: Option<String>,
    /// Octets of a file in one article: 500K, 1M
    #[arg(long, value_name = "SIZE", default_value = PART_SIZE, value_parser = part_size)]
    part_size: u64,
    /// Connections side by side
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// The list to write, from which feedc fetch gets the files [default: NAME.nzb, of the first FILE]
    #[arg(long, value_name = "OUT.nzb")]
    nzb: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct FetchArguments {
    /// The list of the files' articles
    #[arg(value_name = "FILE.nzb")]
    nzb: PathBuf,
    /// The folder for the files [default: this one]
    #[arg(short, long = "output", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Connections to each server
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        Self::because(error.to_string())
    }
}

fn part_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        _ => None,
    };
    let octets = unit.and_then(|unit: u64| digits.trim().parse::<u64>().ok()?.checked_mul(unit));
    octets
        .filter(|octets| PART_SIZES.contains(octets))
        .ok_or_else(|| "a part has 1K to 32M: write 500K or 1M".to_owned())
}

/// The progress on a terminal.
struct Bar {
    bar: ProgressBar,
    began: Instant,
    /// Octets of this run.
    moved: AtomicU64,
}

impl Bar {
    /// Nothing is drawn where stderr is no terminal.
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:30} {binary_bytes:>11} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
        ) {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now(), moved: AtomicU64::new(0) }
    }

    /// Takes it away: ` in 4.1 s (48.8 MiB/s)`.
    fn finish(&self) -> String {
        self.bar.finish_and_clear();
        let took = self.began.elapsed().as_secs_f64();
        let rate = self.moved.load(Ordering::Relaxed) as f64 / took.max(0.001);
        format!(" in {took:.1} s ({}/s)", size(rate as u64))
    }
}

impl Watcher for Bar {
    fn begins(&self, total: u64, before: u64) {
        self.bar.set_length(total);
        self.bar.set_position(before);
        self.bar.reset_eta();
        self.bar.enable_steady_tick(TICK);
    }

    fn advances(&self, octets: u64) {
        self.moved.fetch_add(octets, Ordering::Relaxed);
        self.bar.inc(octets);
    }
}

pub(super) fn upload(servers: &Servers, arguments: &UploadArguments) -> Result<(), Failure> {
    let server = servers.server(None)?;
    let one_line = |what: &str, text: &str| match text.trim() {
        "" => Err(Failure::because(format!("the {what} is empty"))),
        text if text.contains(char::is_control) => {
            Err(Failure::because(format!("the {what} must be one line")))
        }
        _ => Ok(()),
    };
    let from = arguments.from.clone().unwrap_or_else(|| super::post::default_from(&servers.identity()));
    one_line("author", &from)?;
    one_line("newsgroup", &arguments.newsgroup)?;
    arguments.subject.as_deref().map_or(Ok(()), |subject| one_line("subject", subject))?;
    let files = files_of(&arguments.files)?;
    let nzb = match (&arguments.nzb, arguments.files.first()) {
        (Some(nzb), _) => nzb.clone(),
        (None, first) => {
            let first = first.and_then(|first| fs::canonicalize(first).ok());
            let mut name = first.as_deref().and_then(Path::file_name).unwrap_or_default().to_owned();
            name.push(".nzb");
            PathBuf::from(name)
        }
    };
    let request = upload::Request {
        files,
        newsgroups: arguments.newsgroup.clone(),
        from,
        words: arguments.subject.clone(),
        part_size: arguments.part_size,
        connections: usize::from(arguments.connections),
        nzb,
    };
    let bar = Bar::new();
    let uploaded = upload::upload(&request, &server, &bar);
    let took = bar.finish();
    let uploaded = uploaded.map_err(|error| goes_on(error, &upload::journal_path(&request.nzb)))?;
    let before = match uploaded.before {
        0 => String::new(),
        before => format!(", {before} of them from before"),
    };
    say(format!(
        "uploaded {} of {} in {}{before}{took}\nfetch with: feedc fetch {}",
        counted(request.files.len() as u64, "file"),
        size(uploaded.octets),
        counted(uploaded.articles, "article"),
        request.nzb.display(),
    ))
}

/// The files named, and those in the folders named, by their names.
fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |error: io::Error| Failure::because(format!("{}: {error}", path.display()));
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut inside: Vec<PathBuf> = entries.map_err(failed)?.iter().map(fs::DirEntry::path).collect();
        // An upload of the folder that we are in has its journal there.
        inside.retain(|entry| entry.extension().is_none_or(|ending| ending != "feedc-upload"));
        inside.sort();
        for entry in inside {
            if entry.is_file() {
                files.push(entry);
            } else {
                eprintln!("feedc: {} is no file: left out", entry.display());
            }
        }
    }
    if files.is_empty() {
        return Err(Failure::because("there is no file in the folder"));
    }
    Ok(files)
}

pub(super) fn fetch(servers: &Servers, arguments: &FetchArguments) -> Result<(), Failure> {
    let servers = servers.servers()?;
    let path = &arguments.nzb;
    let failed = |error: io::Error| Failure::because(format!("{}: {error}", path.display()));
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(NZB_MAX + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > NZB_MAX {
        return Err(Failure::because(format!("{}: larger than {}", path.display(), size(NZB_MAX))));
    }
    let nzb = Nzb::parse(&text)
        .map_err(|error| Failure::because(format!("{}: no NZB: {error}", path.display())))?;
    let folder = arguments.output.clone().unwrap_or_else(|| PathBuf::from("."));
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::because(format!("{}: {error}", folder.display())))?;
    let request = fetch::Request {
        nzb,
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        folder,
        force: arguments.force,
        connections: usize::from(arguments.connections),
    };
    let bar = Bar::new();
    let fetched = fetch::fetch(&request, &servers, &bar);
    let took = bar.finish();
    let fetched = fetched.map_err(|error| goes_on(error, &fetch::journal_path(&request)))?;
    for error in &fetched.unreachable {
        eprintln!("feedc: {error}");
    }
    if !fetched.files.is_empty() {
        let files = counted(fetched.files.len() as u64, "file");
        let octets = size(fetched.files.iter().map(|(_, octets)| octets).sum());
        let names: Vec<&str> = fetched.files.iter().map(|(name, _)| name.as_str()).collect();
        say(format!("fetched {files} of {octets}{took}: {}", names.join(", ")))?;
    }
    for part in &fetched.missing {
        let why = part.damage.as_ref().map_or("no server has it", String::as_str);
        eprintln!("feedc: {}: segment {} {}: {why}", part.file, part.segment, part.id);
    }
    for (name, why) in &fetched.failed {
        eprintln!("feedc: {name}: {why}");
    }
    if fetched.is_whole() {
        return Ok(());
    }
    match fetched.missing.len() as u64 + fetched.unasked {
        0 => Err(Failure::Said),
        1 => {
            Err(Failure::because("1 part is missing; what is there is kept, and the same command asks again"))
        }
        missing => Err(Failure::because(format!(
            "{missing} parts are missing; what is there is kept, and the same command asks again"
        ))),
    }
}

/// What to do about it, if the cause does not say so itself.
fn goes_on(error: TransferError, journal: &Path) -> Failure {
    match error {
        TransferError::Unfit(why) => Failure::Because(why),
        error if journal.exists() => {
            Failure::because(format!("{error}; the same command goes on where it was"))
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_sizes() {
        for (text, octets) in [
            ("700K", Some(700 << 10)),
            ("700k", Some(700 << 10)),
            ("1M", Some(1 << 20)),
            ("1 MiB", Some(1 << 20)),
            ("750000", Some(750_000)),
            ("1000", None),
            ("1G", None),
            ("64M", None),
            ("K", None),
            ("", None),
        ] {
            assert_eq!(part_size(text).ok(), octets, "{text}");
        }
    }
}
