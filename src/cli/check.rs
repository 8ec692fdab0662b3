//! `feedd check`.

use super::output::{counted, say};
use super::site::Site;
use super::{ConfigFile, Failure};

/// Says what is wrong with the two files, or what they say. The mistakes are what this command is
/// asked for: they go to stdout.
pub(super) fn check(file: &ConfigFile) -> Result<(), Failure> {
    let site = match Site::load(file) {
        Err(Failure::Config(mistakes)) => {
            let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            say(text.join("\n"))?;
            return Err(Failure::Said);
        }
        other => other?,
    };
    let of = &site.config.site;
    let source = site.path.as_ref().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    let listen: Vec<String> = of.listen.iter().map(ToString::to_string).collect();
    say(format!(
        "{source}: ok\n  identity {}, data in {}\n  listens on {}",
        of.identity,
        of.data.display(),
        if listen.is_empty() { "nothing".to_owned() } else { listen.join(", ") }
    ))?;
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
