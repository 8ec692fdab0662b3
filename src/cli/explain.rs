//! `feedd peer explain`: does an article go to a peer, is it accepted from it, and which rule decides?

use super::output::{say, say_json};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::{EntryRow, Request, Response};
use crate::agent::contract::{self, Facts};
use crate::article::{ArticleKind, Field, Head, MessageId, date, newsgroup};
use crate::clock::{self, Timestamp};
use crate::config::Peer;
use crate::wire::block;
use serde::Serialize;
use std::io::Read;
use std::path::Path;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The peer, by its name in peers.toml
    name: String,
    /// An article of this site by its Message-ID, or a file with one; - is stdin
    #[arg(value_name = "MESSAGE-ID|FILE")]
    article: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: ConfigFile,
}

#[derive(Serialize)]
struct Answer {
    peer: String,
    message_id: String,
    /// Is it sent there?
    send: bool,
    send_because: String,
    /// Is it accepted from there?
    accept: bool,
    accept_because: String,
}

/// Says both, with the rule. The command fails where the article is not sent.
pub(super) fn explain(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let peer = site.config.peers.iter().find(|peer| peer.name == arguments.name).ok_or_else(|| {
        let names: Vec<&str> = site.config.peers.iter().map(|peer| peer.name.as_str()).collect();
        let cure = if names.is_empty() { "it has no peers".to_owned() } else { names.join(", ") };
        Failure::because(format!(
            "{}: no peer \"{}\"; there are: {cure}",
            site.config.site.peers.display(),
            arguments.name
        ))
    })?;
    let article = match arguments.article.as_str() {
        text if text.starts_with('<') => stored(&site, text)?,
        text => from_file(&site, text)?,
    };
    let answer = judge(peer, &article);
    if arguments.json {
        say_json(&answer)?;
    } else {
        let word = |yes: bool| if yes { "yes" } else { "no" };
        say(format!(
            "{}\n  to {}: {} ({})\n  from {}: {} ({})",
            answer.message_id,
            peer.name,
            word(answer.send),
            answer.send_because,
            peer.name,
            word(answer.accept),
            answer.accept_because
        ))?;
    }
    if answer.send { Ok(()) } else { Err(Failure::Said) }
}

fn judge(peer: &Peer, article: &EntryRow) -> Answer {
    let facts = Facts {
        newsgroups: &article.newsgroups,
        distribution: &article.distribution,
        octets: article.octets,
        path: article.path.as_bytes(),
        date: Timestamp::from_unix_s(article.date_s),
        now: clock::now(),
        kind: article.kind(),
    };
    let sent = contract::owed(peer, &article.source, article.kept, &facts);
    let no_way =
        peer.dial.is_none() && !peer.turn && peer.batch.as_ref().is_none_or(|batch| batch.out.is_none());
    let send_because = match &sent {
        Err(why) => why.to_string(),
        Ok(()) if no_way => "but there is no way to it: it has neither address nor turn nor batch".to_owned(),
        Ok(()) => format!("send = \"{}\"{}", peer.send.newsgroups, when(peer)),
    };
    let accepted = contract::judge(&peer.accept, &facts);
    let accept_because = match &accepted {
        Err(objection) => objection.to_string(),
        Ok(()) => format!("accept = \"{}\"", peer.accept.newsgroups),
    };
    Answer {
        peer: peer.name.clone(),
        message_id: article.id.clone(),
        send: sent.is_ok() && !no_way,
        send_because,
        accept: accepted.is_ok(),
        accept_because,
    }
}

/// What else keeps it from being sent at once.
fn when(peer: &Peer) -> String {
    let mut text = String::new();
    if peer.delay_s > 0 {
        text.push_str(&format!(", {} s after it came", peer.delay_s));
    }
    if let Some(other) = &peer.backup_of {
        text.push_str(&format!(", while {other} cannot be reached"));
    }
    if !peer.schedule.is_empty() {
        text.push_str(", at the times of its schedule");
    }
    text
}

/// An article of this site.
fn stored(site: &Site, id: &str) -> Result<EntryRow, Failure> {
    MessageId::try_from(id).map_err(|bad| Failure::because(format!("{id}: no Message-ID: {bad}")))?;
    match site.ask(&Request::Entry { id: id.to_owned() })? {
        Response::Entry(Some(entry)) => Ok(*entry),
        Response::Entry(None) => Err(Failure::because(format!("{id}: this site has no such article"))),
        other => Err(Failure::because(format!("an unexpected answer: {other:?}"))),
    }
}

/// An article in a file, judged as if it had been injected elsewhere, or here if this site stands first
/// in its Path.
fn from_file(site: &Site, name: &str) -> Result<EntryRow, Failure> {
    let failed = |error: std::io::Error| Failure::because(format!("{name}: {error}"));
    let mut text = Vec::new();
    // What is longer is no article that this site takes.
    let octets_max = site.config.site.limits.article_bytes_max as u64 + 1;
    if name == "-" {
        std::io::stdin().take(octets_max).read_to_end(&mut text).map_err(failed)?;
    } else {
        let file = std::fs::File::open(Path::new(name)).map_err(failed)?;
        file.take(octets_max).read_to_end(&mut text).map_err(failed)?;
    }
    let mut wire = Vec::with_capacity(text.len());
    block::stuff(&text, &mut wire);
    let bad = |what: &str| Failure::because(format!("{name}: no article: {what}"));
    let head = Head::parse(&wire).map_err(|error| bad(&format!("{error:?}")))?;
    let field = |field: Field| head.value(field).map(|value| String::from_utf8_lossy(value).into_owned());
    let list = |value: Option<&[u8]>| -> String {
        value.map(|value| newsgroup::names(value).collect::<Vec<_>>().join(",")).unwrap_or_default()
    };
    let written = head.value(Field::InjectionDate).or(head.value(Field::Date)).and_then(date::parse);
    let kind = ArticleKind::of(&head, wire.get(head.section().len()..).unwrap_or_default());
    let newsgroups = list(head.value(Field::Newsgroups));
    if newsgroups.is_empty() {
        return Err(bad("it has no Newsgroups"));
    }
    Ok(EntryRow {
        id: field(Field::MessageId).unwrap_or_else(|| name.to_owned()),
        newsgroups,
        distribution: list(head.value(Field::Distribution)),
        kind: kind.word().to_owned(),
        octets: wire.len(),
        path: field(Field::Path)
            .unwrap_or_else(|| format!("{}!.POSTED!not-for-mail", site.config.site.identity)),
        date_s: written.unwrap_or_else(clock::now).unix_s(),
        ..EntryRow::default()
    })
}
