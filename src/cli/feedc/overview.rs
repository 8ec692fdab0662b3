//! `feedc overview` and `feedc list`: what there is.

use super::super::Failure;
use super::super::output::{say, say_json, table};
use super::screen::{columns, cut, fitted, page, safe_line, unicode, width};
use super::servers::Servers;
use super::threads::tree;
use super::url::{Location, What};
use super::words;
use crate::article::date;
use crate::client::{Client, OverviewRow};
use crate::wire::Range;
use chrono::{DateTime, Local};

/// Overview rows that are shown when nothing else is asked for.
const LAST: u64 = 100;
/// Columns of an author's name beside a tree.
const AUTHOR_COLUMNS: usize = 20;
/// Columns that the tree and the subject have at least, however narrow the terminal is.
const SUBJECT_COLUMNS_MIN: usize = 20;

#[derive(clap::Args)]
pub(super) struct Overview {
    /// The newsgroup
    newsgroup: String,
    #[command(flatten)]
    range: Which,
    /// A table by number instead of threads
    #[arg(long)]
    flat: bool,
    /// Print JSON instead: the rows by number, as the server has them
    #[arg(long, conflicts_with = "flat")]
    json: bool,
}

/// Which articles of a newsgroup.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Article numbers: 7, 7-, 7-12
    range: Option<String>,
    /// The last so many article numbers [default: 100]
    #[arg(long, value_name = "N", conflicts_with = "range")]
    last: Option<u64>,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// Only those that match, such as comp.*,!comp.lang.*
    wildmat: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn list(servers: &Servers, arguments: &List) -> Result<(), Failure> {
    let (host, wildmat) = match &arguments.wildmat {
        None => (None, None),
        Some(text) => match Location::parse_url(text)? {
            None => (None, Some(text.clone())),
            Some(Location { host, what: What::Nothing }) => (host, None),
            Some(location) => location.newsgroup().map(|(host, wildmat)| (host, Some(wildmat)))?,
        },
    };
    let groups = servers.connect(host.as_ref())?.list(wildmat.as_deref())?;
    if arguments.json {
        return say_json(&groups);
    }
    let rows: Vec<Vec<String>> = groups
        .into_iter()
        .map(|group| {
            vec![group.name, group.status, group.low.to_string(), group.high.to_string(), group.description]
        })
        .collect();
    say(table(&["newsgroup", "status", "low", "high", "description"], &rows))
}

impl Which {
    /// The range, or the end of a newsgroup with these water marks.
    fn range(&self, low: u64, high: u64) -> Result<String, Failure> {
        match &self.range {
            Some(range) => match Range::parse(range) {
                Some(range) => Ok(range.to_string()),
                None => Err(Failure::because(format!("{range:?} is no range; write 7, 7- or 7-12"))),
            },
            None => {
                let last = self.last.unwrap_or(LAST);
                Ok(format!("{}-{high}", low.max(high.saturating_add(1).saturating_sub(last))))
            }
        }
    }
}

pub(super) fn overview(servers: &Servers, arguments: &Overview) -> Result<(), Failure> {
    let (host, newsgroup) = Location::parse(&arguments.newsgroup)?.newsgroup()?;
    let mut client: Client = servers.connect(host.as_ref())?;
    let (low, high) = client.group(&newsgroup)?;
    let rows = client.overview(&arguments.range.range(low, high)?)?;
    if arguments.json {
        return say_json(&rows);
    }
    if arguments.flat {
        return say(flat(&rows));
    }
    page(&threads(&rows, columns(), unicode()))
}

/// The rows as a table, decoded.
pub(super) fn flat(rows: &[OverviewRow]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let decoded = |value: &str| safe_line(&words::decoded(value.as_bytes()));
            let (from, subject) = (decoded(&row.from), decoded(&row.subject));
            vec![
                row.number.to_string(),
                row.date.clone(),
                from,
                row.lines.to_string(),
                subject,
                row.id.clone(),
            ]
        })
        .collect();
    table(&["number", "date", "from", "lines", "subject", "message-id"], &rows)
}

/// The rows as threads: number, date, author, and the subject behind the branches of the tree. Where
/// there is no width to keep to, the Message-ID follows.
fn threads(rows: &[OverviewRow], columns: Option<usize>, unicode: bool) -> String {
    let digits = rows.iter().map(|row| row.number.to_string().len()).max().unwrap_or(1);
    let mut text = String::new();
    for place in tree(rows, unicode) {
        let row = &rows[place.row];
        let subject = safe_line(&words::decoded(row.subject.as_bytes()));
        let author = words::author(&words::decoded(row.from.as_bytes()));
        let author = fitted(&safe_line(&author), AUTHOR_COLUMNS, unicode);
        let left = format!("{:>digits$}  {:<16}  {author}  ", row.number, moment(&row.date));
        let right = format!("{}{subject}", place.branches);
        let line = match columns {
            Some(columns) => {
                left.clone()
                    + &cut(&right, columns.saturating_sub(width(&left)).max(SUBJECT_COLUMNS_MIN), unicode)
            }
            None => format!("{left}{right}  {}", safe_line(&row.id)),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A Date field in the time of this place, `2026-11-20 23:58`; as it is when it cannot be read.
pub(super) fn moment(date: &str) -> String {
    let at = date::parse(date.as_bytes()).and_then(|at| DateTime::from_timestamp(at.unix_s(), 0));
    match at {
        Some(at) => at.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string(),
        None => cut(&safe_line(date), 16, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, id: &str, references: &str, subject: &str) -> OverviewRow {
        OverviewRow {
            number,
            subject: subject.to_owned(),
            from: "=?utf-8?Q?J=C3=BCrgen?= <j@b.example>".to_owned(),
            date: "no date\x1b[".to_owned(),
            id: id.to_owned(),
            references: references.to_owned(),
            bytes: 1,
            lines: 2,
        }
    }

    #[test]
    fn threads_fit_the_terminal() {
        let rows = [row(9, "<a@b>", "", "A long subject"), row(10, "<c@d>", "<a@b>", "Re: A long subject")];
        assert_eq!(
            threads(&rows, None, true),
            " 9  no date?[         Jürgen                A long subject  <a@b>\n\
             10  no date?[         Jürgen                └─ Re: A long subject  <c@d>\n"
        );
        let narrow = threads(&rows, Some(62), true);
        assert_eq!(
            narrow.lines().nth(1).map(|line| line.rsplit("  ").next()),
            Some(Some("└─ Re: A long subje…"))
        );
        assert!(narrow.lines().all(|line| width(line) <= 64), "{narrow}");
        assert!(threads(&rows, Some(70), false).contains("`- Re: A long"));
    }

    #[test]
    fn ranges_are_the_users_or_the_end() {
        let which = |range: Option<&str>, last| Which { range: range.map(str::to_owned), last };
        let said = |which: Which| which.range(3, 500).ok();
        assert_eq!(said(which(None, None)).as_deref(), Some("401-500"));
        assert_eq!(said(which(None, Some(1000))).as_deref(), Some("3-500"));
        assert_eq!(said(which(Some("7-12"), None)).as_deref(), Some("7-12"));
        assert_eq!(said(which(Some("7-12\r\nQUIT"), None)), None);
    }
}
