//! What is to be done, in pieces that a connection does one after the other.

use super::progress::Progress;
use super::{Extent, Request, TransferError};
use crate::article::date;
use crate::client::{Client, ClientError};
use crate::clock::Timestamp;
use crate::transfer::waiting::locked;
use crate::wire::Code;
use std::collections::VecDeque;
use std::sync::Mutex;

/// Numbers, or Message-IDs, of one piece: many articles in one commit of the site, and little that is
/// done again after a crash.
const PIECE: u64 = 200;
/// Numbers that are looked at for one that has an article, where the first one since a time is sought.
const PROBE: u64 = 50;
/// Seconds that an article may be older than the articles around it: a site may have got it late.
const LATE_S: i64 = 24 * 3600;
/// Seconds that NEWNEWS looks further back than the last time: the server's clock, and articles that
/// were coming in then.
const OVERLAP_S: i64 = 600;

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// The articles of a newsgroup with these numbers.
    Numbers { newsgroup: String, low: u64, high: u64 },
    /// The articles of these Message-IDs.
    Ids(Vec<String>),
}

impl Job {
    /// Numbers or Message-IDs in it.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Numbers { low, high, .. } => high - low + 1,
            Self::Ids(ids) => ids.len() as u64,
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) jobs: VecDeque<Job>,
    pub(super) newsgroups: u64,
    pub(super) not_here: u64,
    pub(super) renumbered: Vec<String>,
    /// What the journal may say of NEWNEWS when all is done.
    pub(super) newnews_until: Option<i64>,
}

/// The pieces that nobody has taken yet.
pub(super) struct Queue(Mutex<Inner>);

struct Inner {
    jobs: VecDeque<Job>,
    /// Pieces that a connection is at.
    taken: usize,
}

impl Queue {
    pub(super) fn new(jobs: VecDeque<Job>) -> Self {
        Self(Mutex::new(Inner { jobs, taken: 0 }))
    }

    pub(super) fn take(&self) -> Option<Job> {
        let mut inner = locked(&self.0);
        let job = inner.jobs.pop_front()?;
        inner.taken += 1;
        Some(job)
    }

    /// A piece is done, or else to be done by another connection.
    pub(super) fn end(&self, undone: Option<Job>) {
        let mut inner = locked(&self.0);
        inner.taken -= 1;
        inner.jobs.extend(undone);
    }

    /// Is everything done?
    pub(super) fn is_empty(&self) -> bool {
        let inner = locked(&self.0);
        inner.jobs.is_empty() && inner.taken == 0
    }
}

/// Asks the server for its newsgroups and finds what is to be brought of them.
pub(super) fn plan(
    client: &mut Client,
    request: &Request<'_>,
    progress: &Progress,
) -> Result<Plan, TransferError> {
    let from_server = |error| TransferError::from_server(&request.server, error);
    if let Extent::NewNews(first) = request.extent {
        return newnews(client, request, progress, first).map_err(from_server);
    }
    let listed = client.list(None).map_err(from_server)?;
    let mut plan = Plan::default();
    for group in listed.iter().filter(|group| request.newsgroups.matches(&group.name)) {
        if !(request.has)(group) {
            plan.not_here += 1;
            continue;
        }
        plan.newsgroups += 1;
        let (mut low, high) = (group.low.max(1), group.high);
        if high < low {
            continue;
        }
        match (progress.marks(&group.name), request.extent) {
            // All that is here has other numbers than it had.
            (Some((_, last)), _) if high < last => plan.renumbered.push(group.name.clone()),
            (Some((first, _)), Extent::Last(_) | Extent::Since(_)) => low = low.max(first),
            (None, Extent::Last(count)) => low = low.max(high.saturating_sub(count.saturating_sub(1))),
            (None, Extent::Since(since)) => {
                low = match first_since(client, &group.name, low, high, since) {
                    Ok(low) => low,
                    // It has gone meanwhile.
                    Err(ClientError::Declined(answer)) if answer.code == Code(411) => continue,
                    Err(error) => return Err(from_server(error)),
                };
            }
            _ => {}
        }
        let missing = if plan.renumbered.last() == Some(&group.name) {
            vec![(group.low.max(1), high)]
        } else {
            progress.missing(&group.name, low, high)
        };
        for (low, high) in missing {
            let mut at = low;
            while at <= high {
                let end = high.min(at + (PIECE - 1));
                plan.jobs.push_back(Job::Numbers { newsgroup: group.name.clone(), low: at, high: end });
                at = end + 1;
            }
        }
    }
    Ok(plan)
}

/// The number from which on articles are of `since` or later, give or take a day: numbers follow the
/// order of arrival. `high + 1` when there is none.
fn first_since(
    client: &mut Client,
    newsgroup: &str,
    low: u64,
    high: u64,
    since: Timestamp,
) -> Result<u64, ClientError> {
    client.group(newsgroup)?;
    let since = since.plus_s(-LATE_S);
    // Numbers below `from` are too old; those from `to` on are not.
    let (mut from, mut to) = (low, high.saturating_add(1));
    while from < to {
        let middle = from + (to - from) / 2;
        let end = (middle + (PROBE - 1)).min(to - 1);
        let rows = client.overview(&format!("{middle}-{end}"))?;
        let dated = rows.iter().find_map(|row| Some((row.number, date::parse(row.date.as_bytes())?)));
        match dated {
            Some((number, at)) if at < since => from = number.max(middle) + 1,
            // Numbers without an article may belong to either: rather too many than too few.
            _ => to = middle,
        }
    }
    Ok(to)
}

/// What the server says is new (RFC 3977 s.7.4).
fn newnews(
    client: &mut Client,
    request: &Request<'_>,
    progress: &Progress,
    first: Timestamp,
) -> Result<Plan, ClientError> {
    // By the server's clock, which is the one that it compares with.
    let now_s = client.date()?;
    let since_s = progress.newnews_s().map_or(first.unix_s(), |last| last - OVERLAP_S);
    let ids = client.newnews(&request.newsgroups.to_string(), Timestamp::from_unix_s(since_s))?;
    let jobs = ids.chunks(PIECE as usize).map(|ids| Job::Ids(ids.to_vec())).collect();
    Ok(Plan { jobs, newnews_until: Some(now_s), ..Plan::default() })
}
