//! One connection to the server, and one to the site, that do piece after piece.

use super::plan::Job;
use super::{Totals, TransferError, Work};
use crate::agent::Reason;
use crate::article::{Field, Head, MessageId};
use crate::client::{Client, ClientError, Server};
use crate::transfer::is_passing;
use crate::transfer::waiting::{FAILURES_MAX, delay, locked};
use crate::wire::{Code, block};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Articles asked for and not here yet: enough that a round trip takes no time from them.
const DEPTH: usize = 50;
/// Octets that an article may have beyond what the site takes: the server's Path and Xref.
const SLACK: usize = 64 * 1024;

/// Keeps the octets of all connections together within so many a second.
pub(super) struct Pace {
    octets_s_max: Option<u64>,
    /// What has been got is paid for then.
    free_at: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(octets_s_max: Option<u64>) -> Self {
        Self { octets_s_max, free_at: Mutex::new(Instant::now()) }
    }

    /// So many octets have come: how long to wait before more are asked for.
    fn wait(&self, octets: usize) -> Duration {
        let Some(max) = self.octets_s_max else { return Duration::ZERO };
        let now = Instant::now();
        let mut free_at = locked(&self.free_at);
        *free_at = now.max(*free_at) + Duration::from_secs_f64(octets as f64 / max.max(1) as f64);
        free_at.saturating_duration_since(now)
    }
}

/// Whose failure it is.
enum Trouble {
    /// The server's: perhaps another connection does.
    Server(ClientError),
    /// The site's, or ours: nothing more can be done.
    Final(TransferError),
}

/// What a piece came to.
#[derive(Default)]
struct Outcome {
    totals: Totals,
    gone: u64,
    octets: u64,
}

/// An article that is wanted: how it is asked for.
struct Wanted {
    command: String,
}

/// Works until no piece is left. `client` is a connection that exists already.
///
/// # Errors
/// When the server is not to be had any more, and for something that ends the pull as a whole.
pub(super) fn pull_over(client: Option<Client>, work: &Work<'_>) -> Result<(), TransferError> {
    let mut client = client;
    let mut failures = 0;
    let site_failed = |error: ClientError| TransferError::Unfit(format!("this site: {error}"));
    let mut site = (work.request.site)().map_err(site_failed).inspect_err(|_| work.over.set())?;
    while !work.over.is_set()
        && let Some(job) = work.queue.take()
    {
        let connected = match client.take() {
            Some(client) => Ok(client),
            None => Client::connect(&work.request.server),
        };
        let done = connected.map_err(Trouble::Server).and_then(|mut connected| {
            let outcome = piece(&mut connected, &mut site, &job, work)?;
            client = Some(connected);
            Ok(outcome)
        });
        match done {
            Ok(outcome) => {
                failures = 0;
                let noted = note(&job, &outcome, work);
                work.queue.end(None);
                noted.inspect_err(|_| work.over.set())?;
                work.watcher.advances(job.size());
            }
            Err(Trouble::Final(error)) => {
                work.queue.end(Some(job));
                work.over.set();
                return Err(error);
            }
            Err(Trouble::Server(error)) => {
                work.queue.end(Some(job));
                failures += 1;
                if !is_passing(&error) || failures > FAILURES_MAX {
                    return Err(TransferError::from_server(&work.request.server, error));
                }
                // What the site has been sent of the piece it answers on the old connection.
                site = (work.request.site)().map_err(site_failed).inspect_err(|_| work.over.set())?;
                if work.over.wait(delay(failures)) {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// The piece is done: it stands in the journal.
fn note(job: &Job, outcome: &Outcome, work: &Work<'_>) -> Result<(), TransferError> {
    {
        let mut pulled = locked(&work.pulled);
        pulled.totals.add(&outcome.totals);
        pulled.gone += outcome.gone;
        pulled.octets += outcome.octets;
    }
    match job {
        Job::Numbers { newsgroup, low, high } => locked(&work.progress).done(newsgroup, *low, *high),
        // NEWNEWS is in the journal when all of it is done.
        Job::Ids(_) => Ok(()),
    }
}

fn piece(client: &mut Client, site: &mut Client, job: &Job, work: &Work<'_>) -> Result<Outcome, Trouble> {
    let mut outcome = Outcome::default();
    let wanted = match job {
        Job::Ids(ids) => by_id(ids, site, work, &mut outcome)?,
        Job::Numbers { newsgroup, low, high } => match client.group(newsgroup) {
            Ok(_) => by_number(client, site, (*low, *high), work, &mut outcome)?,
            // It has been removed meanwhile.
            Err(ClientError::Declined(answer)) if answer.code == Code(411) => return Ok(outcome),
            Err(error) => return Err(Trouble::Server(error)),
        },
    };
    bring(client, site, &wanted, work, &mut outcome)?;
    Ok(outcome)
}

/// The articles of a range of numbers that the site lacks.
fn by_number(
    client: &mut Client,
    site: &mut Client,
    (low, high): (u64, u64),
    work: &Work<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Wanted>, Trouble> {
    let rows = match client.overview(&format!("{low}-{high}")) {
        Ok(rows) => rows,
        // No overview there: each number is asked for, and the site says what it knows.
        Err(error) if error.is_unknown_command() => {
            return Ok((low..=high).map(|number| Wanted { command: format!("ARTICLE {number}") }).collect());
        }
        Err(error) => return Err(Trouble::Server(error)),
    };
    outcome.gone += (high - low + 1).saturating_sub(rows.len() as u64);
    let max = work.request.article_bytes_max as u64;
    let mut offered = Vec::with_capacity(rows.len());
    for row in rows.into_iter().filter(|row| (low..=high).contains(&row.number)) {
        match MessageId::try_from(row.id.as_bytes()) {
            Ok(_) if row.bytes > max.saturating_add(SLACK as u64) => outcome
                .totals
                .reject(&Reason::TooLarge { bytes: row.bytes as usize, max: max as usize }.to_string()),
            Ok(id) => offered.push((id, format!("ARTICLE {}", row.number))),
            Err(_) => outcome.totals.reject("bad Message-ID"),
        }
    }
    unknown(offered, site, work, outcome)
}

/// The articles of these Message-IDs that the site lacks.
fn by_id(
    ids: &[String],
    site: &mut Client,
    work: &Work<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Wanted>, Trouble> {
    let mut offered = Vec::with_capacity(ids.len());
    for text in ids {
        match MessageId::try_from(text.as_bytes()) {
            Ok(id) => offered.push((id, format!("ARTICLE {text}"))),
            Err(_) => outcome.totals.reject("bad Message-ID"),
        }
    }
    unknown(offered, site, work, outcome)
}

/// Asks the site which it lacks (RFC 4644 s.2.4).
fn unknown(
    offered: Vec<(MessageId, String)>,
    site: &mut Client,
    work: &Work<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Wanted>, Trouble> {
    let failed = |error| site_trouble(work, error);
    for (id, _) in &offered {
        site.send(&format!("CHECK {id}")).map_err(failed)?;
    }
    site.flush().map_err(failed)?;
    let mut wanted = Vec::with_capacity(offered.len());
    for (_, command) in offered {
        match site.answer().map_err(failed)? {
            answer if answer.code == Code(438) => outcome.totals.duplicate += 1,
            // 431: somebody brings it now, and may fail.
            answer if matches!(answer.code, Code(238 | 431)) => wanted.push(Wanted { command }),
            answer => return Err(failed(ClientError::Declined(answer))),
        }
    }
    Ok(wanted)
}

/// Gets articles from the server and hands them to the site.
fn bring(
    client: &mut Client,
    site: &mut Client,
    wanted: &[Wanted],
    work: &Work<'_>,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    let octets_max = work.request.article_bytes_max.saturating_add(SLACK);
    let mut asked = wanted.iter();
    let mut in_flight: VecDeque<()> = VecDeque::with_capacity(DEPTH);
    // How many the site owes an answer for: those of a whole piece fit any socket's buffer.
    let mut owed = 0;
    let mut wire = Vec::new();
    loop {
        while in_flight.len() < DEPTH
            && let Some(next) = asked.next()
        {
            client.send(&next.command).map_err(Trouble::Server)?;
            in_flight.push_back(());
        }
        client.flush().map_err(Trouble::Server)?;
        if in_flight.pop_front().is_none() {
            break;
        }
        let answer = client.answer().map_err(Trouble::Server)?;
        match answer.code {
            Code(220) => {}
            // RFC 3977 s.6.2.1: no article with that number or Message-ID.
            Code(423 | 430) => {
                outcome.gone += 1;
                continue;
            }
            _ => return Err(Trouble::Server(ClientError::Declined(answer))),
        }
        let text = client.block(octets_max).map_err(Trouble::Server)?;
        outcome.octets += text.len() as u64;
        wire.clear();
        block::stuff(&text, &mut wire);
        match message_id(&wire) {
            Ok(id) => {
                let sent = site.send(&format!("TAKETHIS {id}")).and_then(|()| site.send_block(&wire));
                sent.map_err(|error| site_trouble(work, error))?;
                owed += 1;
            }
            Err(reason) => outcome.totals.reject(&reason),
        }
        std::thread::sleep(work.pace.wait(text.len()));
    }
    site.flush().map_err(|error| site_trouble(work, error))?;
    for _ in 0..owed {
        let answer = site.answer().map_err(|error| site_trouble(work, error))?;
        match answer.code {
            Code(239) => outcome.totals.accepted += 1,
            Code(439) => {
                let reason = answer.text.split_once(' ').map_or("no reason given", |(_, reason)| reason);
                if reason == Reason::Duplicate.to_string() {
                    outcome.totals.duplicate += 1;
                } else {
                    outcome.totals.reject(reason);
                }
            }
            _ => return Err(site_trouble(work, ClientError::Declined(answer))),
        }
    }
    Ok(())
}

/// The Message-ID in an article, or why it has none.
fn message_id(wire: &[u8]) -> Result<MessageId, String> {
    let head = Head::parse(wire).map_err(|bad| Reason::Malformed(bad).to_string())?;
    let id = head.value(Field::MessageId).ok_or("no Message-ID")?;
    MessageId::try_from(id).map_err(|_| "bad Message-ID".to_owned())
}

/// The site's own failure: what it has not acknowledged is got again by the next run.
fn site_trouble(work: &Work<'_>, error: ClientError) -> Trouble {
    let server: &Server = &work.request.server;
    Trouble::Final(TransferError::Unfit(format!(
        "this site takes no more: {error}; run it again to go on with {server}"
    )))
}
