//! Users: who posts, and who reads and looks whether what GROUP, OVER and ARTICLE say fits together.

use crate::dice::Dice;
use crate::ledger::{Ledger, Post};
use crate::network::World;
use crate::pipe::End;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a user waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(45);
/// How often a user tries to post.
pub const TRIES: usize = 12;

/// A connection to a site.
pub struct Reader {
    pub end: End,
    input: Vec<u8>,
}

impl Reader {
    pub async fn open(world: &Arc<World>, user: usize, site: usize) -> io::Result<Self> {
        let mut reader = Self { end: world.dial(user, site).await?, input: Vec::new() };
        let greeting = reader.line().await?;
        if greeting.starts_with("20") { Ok(reader) } else { Err(io::Error::other(greeting)) }
    }

    pub async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let octets = self.end.read_some().await?;
            if octets.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.input.extend(octets);
        }
    }

    /// The lines up to the terminator.
    async fn block(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            match self.line().await? {
                line if line == "." => return Ok(lines),
                line => lines.push(line),
            }
        }
    }

    pub async fn ask(&mut self, command: &str) -> io::Result<String> {
        self.end.write_all(format!("{command}\r\n").as_bytes()).await?;
        match self.line().await? {
            // It is stopping, or has trouble of its own: that is no answer.
            line if line.starts_with("400") => Err(io::Error::other(line)),
            line => Ok(line),
        }
    }

    async fn post(&mut self, article: &str) -> io::Result<String> {
        match self.ask("POST").await? {
            answer if answer.starts_with("340") => self.ask(article).await,
            answer => Ok(answer),
        }
    }
}

/// Posts an article at a site, and tries again when it is told to, or is told nothing.
pub async fn post(world: Arc<World>, ledger: Ledger, user: usize, site: usize, post: Post, mut dice: Dice) {
    let id = post.id.as_ref().map_or(String::new(), |id| format!("Message-ID: {id}\r\n"));
    let article = format!(
        "From: user@user.example\r\nNewsgroups: {}\r\nSubject: {}\r\n{id}\r\n{}.",
        post.newsgroups.join(","),
        post.token,
        post.body
    );
    for _ in 0..TRIES {
        let attempt = async {
            let mut reader = Reader::open(&world, user, site).await?;
            reader.post(&article).await
        };
        let answer = timeout(PATIENCE, attempt).await.unwrap_or_else(|late| Err(late.into()));
        world.trace.note(format_args!("{} at s{site}: {answer:?}", post.token));
        match answer {
            Ok(answer) if answer.starts_with("240") => {
                let told = answer.rsplit(' ').next().unwrap_or_default().to_owned();
                ledger.facts().posted.push((site, told));
                return;
            }
            Ok(answer) if answer.starts_with("441 Duplicate") => {
                match post.id {
                    // It is there, by another try or another way.
                    Some(id) => ledger.facts().posted.push((site, id)),
                    None => ledger.wrong(format!("s{site}: {} has a Message-ID twice", post.token)),
                }
                return;
            }
            Ok(answer)
                if answer.starts_with("441")
                    && !answer.contains("try again later")
                    && !answer.contains("Try again later") =>
            {
                ledger.wrong(format!("s{site}: {} is refused: {answer}", post.token));
                return;
            }
            _ => {}
        }
        if post.id.is_none() {
            // Whether it is there cannot be known; once more could be twice.
            return;
        }
        sleep(dice.ms(200, 20_000)).await;
    }
}

/// Reads a newsgroup now and then until it is aborted.
pub async fn read(
    world: Arc<World>,
    ledger: Ledger,
    user: usize,
    newsgroups: Vec<Vec<&'static str>>,
    mut dice: Dice,
) {
    loop {
        sleep(dice.ms(500, 8_000)).await;
        let site = dice.index(newsgroups.len());
        let newsgroup = *dice.pick(&newsgroups[site]);
        let looked = look(&world, &ledger, user, site, newsgroup, &mut dice);
        // Else it fits, or the site cannot be reached now.
        if let Ok(Ok(Some(wrong))) = timeout(PATIENCE, looked).await {
            ledger.wrong(format!("s{site}: {newsgroup}: {wrong}"));
        }
    }
}

/// What does not fit together in a newsgroup, if anything.
pub async fn look(
    world: &Arc<World>,
    ledger: &Ledger,
    user: usize,
    site: usize,
    newsgroup: &str,
    dice: &mut Dice,
) -> io::Result<Option<String>> {
    let mut reader = Reader::open(world, user, site).await?;
    let group = reader.ask(&format!("GROUP {newsgroup}")).await?;
    let words: Vec<u64> = group.split(' ').map_while(|word| word.parse().ok()).collect();
    let [211, count, low, high] = words[..] else { return Ok(Some(group)) };
    let over = reader.ask(&format!("OVER {low}-{high}")).await?;
    if count == 0 {
        return Ok((!over.starts_with("423")).then_some(format!("{group}, and then {over}")));
    }
    if !over.starts_with("224") {
        return Ok(Some(format!("{group}, and then {over}")));
    }
    let rows = reader.block().await?;
    if rows.len() as u64 != count {
        return Ok(Some(format!("{group}, and then {} rows", rows.len())));
    }
    let mut before = 0;
    for row in &rows {
        let fields: Vec<&str> = row.split('\t').collect();
        let number: u64 = fields[0].parse().unwrap_or(0);
        let holder = ledger.holder(site, &format!("{newsgroup}:{number}"));
        if number <= before || number > high || holder.as_deref() != fields.get(4).copied() {
            return Ok(Some(format!("{group}: row {row}, and the article is {holder:?}")));
        }
        before = number;
    }
    let row = dice.pick(&rows);
    let (number, id) =
        (row.split('\t').next().unwrap_or_default(), row.split('\t').nth(4).unwrap_or_default());
    let article = reader.ask(&format!("ARTICLE {number}")).await?;
    if article != format!("220 {number} {id}") {
        return Ok(Some(format!("{row}, and then {article}")));
    }
    let lines = reader.block().await?;
    let named = lines.iter().any(|line| line.strip_prefix("Message-ID: ").is_some_and(|own| own == id));
    Ok((!named).then_some(format!("article {number} is not {id}")))
}
