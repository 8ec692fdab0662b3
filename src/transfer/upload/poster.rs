//! One connection that posts articles until none are left.

use super::plan::Plan;
use super::source::{Piece, Source};
use super::{Entry, Taken};
use crate::article::{date, encoded_word::encoded};
use crate::binary::subject::{Place, compose};
use crate::binary::yenc;
use crate::client::{Answer, Client, ClientError, Server};
use crate::clock;
use crate::transfer::journal::Journal;
use crate::transfer::waiting::{FAILURES_MAX, Over, delay, locked};
use crate::transfer::{TransferError, Watcher, is_passing};
use crate::wire::{Code, block};
use std::collections::HashSet;
use std::sync::Mutex;

/// What the connections share.
pub(super) struct Work<'a> {
    pub(super) plan: &'a Plan,
    pub(super) server: &'a Server,
    pub(super) journal: &'a Journal,
    pub(super) watcher: &'a dyn Watcher,
    /// What the server has, though the journal does not say so: file and part.
    pub(super) there: HashSet<(usize, usize)>,
    pub(super) source: Mutex<Source<'a>>,
    /// Articles that a connection which gave up had in hand.
    pub(super) spare: Mutex<Vec<Article>>,
    /// For each part of each file, what the server has.
    pub(super) taken: Mutex<Vec<Vec<Option<Taken>>>>,
    /// Nothing more is to be posted: all is, or something is wrong for good.
    pub(super) over: Over,
}

/// An article, ready to be sent.
pub(super) struct Article {
    file: usize,
    part: usize,
    id: String,
    /// Octets of its part.
    octets: u64,
    crc: u32,
    /// Dot-stuffed, terminator included.
    wire: Vec<u8>,
    /// It may be there already: it was sent once and not answered.
    unsure: bool,
}

/// Why an article was not taken.
enum Trouble {
    /// The connection is lost, or the server closes it or is not able to at present.
    Passing(ClientError),
    /// The server will not have it.
    Refused(ClientError),
    /// Neither will another connection.
    Final(TransferError),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        if is_passing(&error) { Self::Passing(error) } else { Self::Refused(error) }
    }
}

impl Article {
    fn new(plan: &Plan, piece: &Piece) -> Self {
        let file = &plan.files[piece.file];
        let id = file.ids[piece.part].clone();
        let subject = encoded(&Self::subject(plan, piece.file, piece.part));
        let mut text = format!(
            "From: {}\nNewsgroups: {}\nSubject: {subject}\nDate: {}\nMessage-ID: {id}\nUser-Agent: feedc/{}\n\n",
            encoded(&plan.from),
            plan.newsgroups,
            date::format(clock::now()),
            env!("CARGO_PKG_VERSION"),
        )
        .into_bytes();
        let part = yenc::Part {
            name: &file.name,
            number: numbered(piece.part),
            total: numbered(file.ids.len().saturating_sub(1)),
            file_size: file.size,
            offset: piece.offset,
            data: &piece.data,
            crc: piece.crc,
            file_crc: piece.file_crc,
        };
        yenc::encode(&part, &mut text);
        let mut wire = Vec::new();
        block::stuff(&text, &mut wire);
        let octets = piece.data.len() as u64;
        Self { file: piece.file, part: piece.part, id, octets, crc: piece.crc, wire, unsure: false }
    }

    /// The subject of a part (from 0) of a file (from 0).
    pub(super) fn subject(plan: &Plan, file: usize, part: usize) -> String {
        let planned = &plan.files[file];
        let parts = numbered(planned.ids.len().saturating_sub(1));
        let place = Place { file: (file + 1, plan.files.len()), part: (numbered(part), parts) };
        compose(plan.words.as_deref(), place, &planned.name, planned.size)
    }
}

/// A part's number, from 1, for its index; a plan has fewer parts by far.
fn numbered(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Posts articles over one connection at a time until none are left. With an error, what this one had
/// in hand is left to the others.
pub(super) fn post(work: &Work<'_>) -> Result<(), TransferError> {
    let mut ready = Vec::new();
    let done = post_over_connections(work, &mut ready);
    locked(&work.spare).append(&mut ready);
    if work.missing() == 0 {
        work.over.set();
    }
    done
}

fn post_over_connections(work: &Work<'_>, ready: &mut Vec<Article>) -> Result<(), TransferError> {
    let mut failures = 0;
    loop {
        let connected = Client::connect(work.server).map_err(Trouble::from);
        let posted = connected.and_then(|mut client| post_over(&mut client, work, ready, &mut failures));
        let failed = |error| Err(TransferError::from_server(work.server, error));
        failures += 1;
        match posted {
            Ok(()) => return Ok(()),
            Err(Trouble::Passing(error)) if failures > FAILURES_MAX => return failed(error),
            Err(Trouble::Passing(_)) => {}
            Err(Trouble::Refused(error)) => return failed(error),
            Err(Trouble::Final(error)) => {
                work.over.set();
                return Err(error);
            }
        }
        if work.over.wait(delay(failures)) {
            return Ok(());
        }
    }
}

fn post_over(
    client: &mut Client,
    work: &Work<'_>,
    ready: &mut Vec<Article>,
    failures: &mut u32,
) -> Result<(), Trouble> {
    while !work.over.is_set() {
        let Some(mut article) = take(work, ready)? else { return Ok(()) };
        // An article in hand is the next one to be posted, whatever becomes of this one.
        let said = offer(
            client,
            &mut article,
            || {
                if ready.is_empty()
                    && let Some(next) = take(work, ready)?
                {
                    ready.push(next);
                }
                Ok(())
            },
            work,
        );
        if let Err(trouble) = said {
            ready.push(article);
            return Err(trouble);
        }
        *failures = 0;
        enter(work, &article)?;
    }
    Ok(())
}

/// The next article: one in hand, one that another connection left, or a new one. What the server has
/// already is entered and passed over.
fn take(work: &Work<'_>, ready: &mut Vec<Article>) -> Result<Option<Article>, Trouble> {
    loop {
        if let Some(article) = ready.pop().or_else(|| locked(&work.spare).pop()) {
            return Ok(Some(article));
        }
        let piece = {
            let mut source = locked(&work.source);
            let taken = locked(&work.taken);
            source.next(&taken).map_err(Trouble::Final)?
        };
        let Some(piece) = piece else { return Ok(None) };
        let article = Article::new(work.plan, &piece);
        if !work.there.contains(&(article.file, article.part)) {
            return Ok(Some(article));
        }
        enter(work, &article)?;
    }
}

/// The server has it.
fn enter(work: &Work<'_>, article: &Article) -> Result<(), Trouble> {
    let taken = Taken { bytes: article.wire.len() as u64, crc: article.crc };
    let entry = Entry::Taken { file: article.file, part: article.part, taken };
    let path = work.journal.path();
    work.journal.add(&entry).map_err(TransferError::at(path)).map_err(Trouble::Final)?;
    if let Some(place) =
        locked(&work.taken).get_mut(article.file).and_then(|parts| parts.get_mut(article.part))
    {
        *place = Some(taken);
    }
    work.watcher.advances(article.octets);
    Ok(())
}

/// Posts an article; without an error, the server has it. `meanwhile` is done while it thinks.
fn offer(
    client: &mut Client,
    article: &mut Article,
    meanwhile: impl FnOnce() -> Result<(), Trouble>,
    work: &Work<'_>,
) -> Result<(), Trouble> {
    if article.unsure && client.stat(&article.id)? {
        return Ok(());
    }
    let mut answer = client.command("POST")?;
    if answer.code == Code(480) {
        client.log_in()?;
        answer = client.command("POST")?;
    }
    if answer.code != Code(340) {
        return Err(declined(answer, article, work));
    }
    article.unsure = true;
    client.send_block(&article.wire)?;
    client.flush()?;
    meanwhile()?;
    let answer = client.answer()?;
    // A duplicate of an article that nobody else can have made is that article, if it is there.
    if answer.code == Code(240) || (answer.code == Code(441) && client.stat(&article.id)?) {
        return Ok(());
    }
    Err(declined(answer, article, work))
}

/// What an answer that is none of the welcome ones means (RFC 3977 s.6.3.1.1). A 441 has no code for
/// "later" or "too large": its words are all there is.
fn declined(answer: Answer, article: &Article, work: &Work<'_>) -> Trouble {
    let words = answer.text.to_ascii_lowercase();
    let says = |some: &[&str]| some.iter().any(|word| words.contains(word));
    match answer.code {
        Code(400 | 403 | 436) => Trouble::Passing(ClientError::Declined(answer)),
        Code(441) if says(&["try again", "later", "temporar"]) => {
            Trouble::Passing(ClientError::Declined(answer))
        }
        Code(441) if says(&["too large", "too big", "too long", "size", "exceeds"]) => {
            Trouble::Final(TransferError::Unfit(format!(
                "{}: an article of {} octets is more than it takes ({answer}); use a smaller --part-size",
                work.server,
                article.wire.len()
            )))
        }
        Code(440) => Trouble::Final(TransferError::Unfit(format!(
            "{}: you may not post there ({answer}); a login may help",
            work.server
        ))),
        _ => Trouble::Final(TransferError::Unfit(format!("{}: the server says: {answer}", work.server))),
    }
}
