//! A peer that is not part of the federation: it offers articles to one site or to two, again when it is
//! not sure, and breaks off in the middle now and then.

use crate::dice::Dice;
use crate::ledger::{Ledger, Offered, Post};
use crate::network::World;
use crate::plan::OUTSIDE_IDENTITY;
use crate::users::{PATIENCE, Reader, TRIES};
use std::io;
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// Offers an article until the site has taken it, has it, or cannot be reached for too long.
pub async fn offer(
    world: Arc<World>,
    ledger: Ledger,
    host: usize,
    site: usize,
    post: Post,
    way: Offered,
    mut dice: Dice,
) {
    let id = post.id.clone().unwrap_or_default();
    let article = format!(
        "Path: {OUTSIDE_IDENTITY}!.POSTED!not-for-mail\r\nFrom: user@{OUTSIDE_IDENTITY}\r\n\
         Date: 21 Sep 2026 12:00:00 +0000\r\nNewsgroups: {}\r\nSubject: {}\r\nMessage-ID: {id}\r\n\r\n{}.\r\n",
        post.newsgroups.join(","),
        post.token,
        post.body
    );
    for _ in 0..TRIES {
        let breaks_off = dice.once_in(3).then(|| dice.index(article.len()));
        let stalls = dice.ms(0, 40_000);
        let attempt = async {
            let mut reader = Reader::open(&world, host, site).await?;
            let last = bring(&mut reader, way, &id, &article, breaks_off).await;
            if breaks_off.is_some() {
                // Others that have it are told to come again later, and that it was wanted after all.
                sleep(stalls).await;
            }
            last
        };
        let answer = timeout(PATIENCE, attempt).await.unwrap_or_else(|late| Err(late.into()));
        world.trace.note(format_args!("{} offered to s{site}: {answer:?}", post.token));
        let words = answer.unwrap_or_default();
        match words.get(..3).unwrap_or_default() {
            "235" | "239" => {
                ledger.facts().transferred.insert((site, id));
                return;
            }
            "435" | "438" => {
                ledger.facts().refused.insert((site, id, "438".to_owned()));
                return;
            }
            "437" | "439" if words.ends_with("Duplicate") => {
                ledger.facts().refused.insert((site, id, "438".to_owned()));
                return;
            }
            "" | "400" | "431" | "436" => {}
            _ => return ledger.wrong(format!("s{site}: {} is refused: {words}", post.token)),
        }
        sleep(dice.ms(200, 20_000)).await;
    }
}

/// One attempt: the last word of the site.
async fn bring(
    reader: &mut Reader,
    way: Offered,
    id: &str,
    article: &str,
    breaks_off: Option<usize>,
) -> io::Result<String> {
    let (question, yes) = match way {
        Offered::Ihave => ("IHAVE", "335"),
        Offered::Check => ("CHECK", "238"),
        Offered::TakeThis => ("", ""),
    };
    if !question.is_empty() {
        let answer = reader.ask(&format!("{question} {id}")).await?;
        if !answer.starts_with(yes) {
            return Ok(answer);
        }
    }
    let command = if way == Offered::Ihave { String::new() } else { format!("TAKETHIS {id}\r\n") };
    reader.end.write_all(command.as_bytes()).await?;
    let sent = breaks_off.unwrap_or(article.len());
    reader.end.write_all(&article.as_bytes()[..sent]).await?;
    if breaks_off.is_some() {
        return Ok(String::new());
    }
    reader.line().await
}
