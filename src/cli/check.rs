//! `feedd check`.

use super::output::{counted, say};
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::accounts::Accounts;
use crate::config::Mistake;

/// Says what is wrong with the two files and those they name, or what they say. The mistakes are what this command is
/// asked for: they go to stdout.
pub(super) fn check(file: &ConfigFile) -> Result<(), Failure> {
    let site = match Site::load(file) {
        Err(Failure::Config(mistakes)) => return Err(told(&mistakes)?),
        other => other?,
    };
    let of = &site.config.site;
    let mistakes = of.check_files();
    if !mistakes.is_empty() {
        return Err(told(&mistakes)?);
    }
    let source = site.path.as_ref().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    let starttls = if of.tls.is_some() { " (STARTTLS)" } else { "" };
    let listen = of.listen.iter().map(|address| format!("{address}{starttls}"));
    let listen: Vec<String> =
        listen.chain(of.listen_tls.iter().map(|address| format!("{address} (TLS)"))).collect();
    say(format!(
        "{source}: ok\n  identity {}, data in {}\n  listens on {}",
        of.identity,
        of.data.display(),
        if listen.is_empty() { "nothing".to_owned() } else { listen.join(", ") }
    ))?;
    for (line, subject) in of.unknown_subjects() {
        say(format!("{source}:{line}: the rule names {subject}, and there is no such account (yet)"))?;
    }
    let accounts = Accounts::read(&of.users).unwrap_or_default().sorted().len();
    if accounts > 0 || !of.rules.is_empty() {
        let logins = match (of.tls.is_some(), of.clear_logins) {
            (_, true) => "logins with and without TLS",
            (true, false) => "logins over TLS only",
            (false, false) => "no logins: passwords are taken over TLS only, and there is no [tls]",
        };
        let accounts = counted(accounts as u64, "account");
        let rules = counted(of.rules.len() as u64, "rule");
        say(format!("{}: ok\n  {accounts}, {rules}; {logins}", of.users.display()))?;
    }
    let peers = &site.config.peers;
    say(format!("{}: ok\n  {}", of.peers.display(), counted(peers.len() as u64, "peer")))?;
    for peer in peers {
        let address = peer.address.as_deref().unwrap_or("(dials us)");
        let from: Vec<String> = peer.accept_from.iter().map(ToString::to_string).collect();
        say(format!(
            "  {} at {address} from {}: send {}, accept {}",
            peer.name,
            from.join(" "),
            peer.send,
            peer.accept
        ))?;
    }
    Ok(())
}

/// Tells the mistakes.
fn told(mistakes: &[Mistake]) -> Result<Failure, Failure> {
    let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    say(text.join("\n"))?;
    Ok(Failure::Said)
}
