//! `feedc search`: articles whose header field matches a pattern. The server searches by XPAT
//! (RFC 2980 s.2.9) where it can; where not, or where letters and charsets must be looked at, the fields
//! come here by HDR and are matched here.

use super::super::Failure;
use super::super::output::{say, say_json};
use super::overview::flat;
use super::servers::Servers;
use super::url::Location;
use super::words;
use crate::client::{Client, OverviewRow};
use crate::wildmat::Wildmat;

/// Article numbers of one question: an answer that can be kept.
const STRIDE: u64 = 20_000;
/// Finds that are looked up each by itself rather than with all between them.
const SINGLE_MAX: usize = 32;
/// The wildmat of what may be an encoded-word (RFC 2047 s.2).
const ENCODED: &str = "*=?*";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The newsgroup
    newsgroup: String,
    /// The header field: Subject, From, ...
    header: String,
    /// What it holds; with * and ? it must match from end to end
    pattern: String,
    /// Whatever the case of letters
    #[arg(short, long)]
    ignore_case: bool,
    /// Only the last so many article numbers
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn search(servers: &Servers, arguments: &Arguments) -> Result<(), Failure> {
    let header = arguments.header.trim_end_matches(':');
    if header.is_empty() || !header.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return Err(Failure::because(format!("{header:?} is no header field; write Subject, From, ...")));
    }
    let wildmat = wildmat(&arguments.pattern)?;
    let (host, newsgroup) = Location::parse(&arguments.newsgroup)?.newsgroup()?;
    let mut client = servers.connect(host.as_ref())?;
    let (low, high) = client.group(&newsgroup)?;
    let low = arguments.last.map_or(low, |last| low.max(high.saturating_add(1).saturating_sub(last)));
    let sought = Sought::new(header, wildmat, arguments.ignore_case)?;
    let mut by_server = !arguments.ignore_case && sought.wildmat.is_ascii();
    let mut rows = Vec::new();
    let mut from = low;
    while from <= high {
        let to = high.min(from.saturating_add(STRIDE - 1));
        let range = format!("{from}-{to}");
        let found = if by_server { sought.by_server(&mut client, &range)? } else { None };
        by_server = found.is_some();
        rows.append(&mut match found {
            Some(numbers) => look_up(&mut client, &numbers)?,
            None => sought.here(&mut client, &range)?,
        });
        from = to.saturating_add(1);
    }
    if arguments.json { say_json(&rows) } else { say(flat(&rows)) }
}

/// A pattern that finds its text anywhere, unless it has wildcards. What has another meaning in a
/// wildmat, or cannot stand in a command, is any one character.
fn wildmat(pattern: &str) -> Result<String, Failure> {
    if pattern.trim().is_empty() || pattern.contains(char::is_control) {
        return Err(Failure::because("the pattern is empty or has control characters in it"));
    }
    let anchored = pattern.contains(['*', '?']);
    let meant = pattern.replace([',', '!', '[', ']', '\\', ' ', '\t'], "?");
    Ok(if anchored { meant } else { format!("*{meant}*") })
}

/// The overview rows of the articles found.
fn look_up(client: &mut Client, numbers: &[u64]) -> Result<Vec<OverviewRow>, Failure> {
    let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) else {
        return Ok(Vec::new());
    };
    if numbers.len() > SINGLE_MAX {
        let mut rows = client.overview(&format!("{first}-{last}"))?;
        rows.retain(|row| numbers.contains(&row.number));
        return Ok(rows);
    }
    let mut rows = Vec::new();
    for number in numbers {
        rows.append(&mut client.overview(&number.to_string())?);
    }
    Ok(rows)
}

/// What is looked for.
struct Sought<'a> {
    header: &'a str,
    wildmat: String,
    matcher: Wildmat,
    ignore_case: bool,
}

impl<'a> Sought<'a> {
    fn new(header: &'a str, wildmat: String, ignore_case: bool) -> Result<Self, Failure> {
        let folded = if ignore_case { wildmat.to_lowercase() } else { wildmat.clone() };
        let matcher = Wildmat::parse(&folded).map_err(|bad| Failure::because(bad.0))?;
        Ok(Self { header, wildmat, matcher, ignore_case })
    }

    fn matches(&self, value: &str) -> bool {
        let value = words::decoded(value.as_bytes());
        self.matcher.matches(&if self.ignore_case { value.to_lowercase() } else { value })
    }

    /// The numbers of those that the server finds; none when it does not search. It knows nothing of
    /// encoded-words, so all fields that have one come here to be looked at.
    fn by_server(&self, client: &mut Client, range: &str) -> Result<Option<Vec<u64>>, Failure> {
        let Some(mut found) = client.matching(self.header, range, &self.wildmat)? else { return Ok(None) };
        found.extend(client.matching(self.header, range, ENCODED)?.unwrap_or_default());
        found.retain(|(_, value)| self.matches(value));
        let mut numbers: Vec<u64> = found.into_iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Some(numbers))
    }

    /// Matches what the server tells of the field.
    fn here(&self, client: &mut Client, range: &str) -> Result<Vec<OverviewRow>, Failure> {
        let of_row: Option<fn(&OverviewRow) -> &str> = match self.header.to_ascii_lowercase().as_str() {
            "subject" => Some(|row| &row.subject),
            "from" => Some(|row| &row.from),
            "date" => Some(|row| &row.date),
            "message-id" => Some(|row| &row.id),
            "references" => Some(|row| &row.references),
            _ => None,
        };
        if let Some(field) = of_row {
            let mut rows = client.overview(range)?;
            rows.retain(|row| self.matches(field(row)));
            return Ok(rows);
        }
        let fields = client.field(self.header, range).map_err(|error| match error {
            error if error.is_unknown_command() => {
                Failure::because(format!("the server does not search for {}: {error}", self.header))
            }
            error => error.into(),
        })?;
        let found = fields.into_iter().filter(|(_, value)| self.matches(value));
        look_up(client, &found.map(|(number, _)| number).collect::<Vec<u64>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_wildcards_is_found_anywhere() {
        for (pattern, expected) in
            [("hello", "*hello*"), ("Re: a, b!", "*Re:?a??b?*"), ("Re:*", "Re:*"), ("[patch]", "*?patch?*")]
        {
            assert_eq!(wildmat(pattern).ok().as_deref(), Some(expected));
            assert!(Wildmat::parse(expected).is_ok());
        }
        assert!(wildmat(" ").is_err() && wildmat("a\r\nQUIT").is_err());
    }
}
