//! `feedd peer remove`: a peer's block is taken out of `peers.toml`, and nothing else.

use super::output::say;
use super::peer::replace;
use super::site::Site;
use super::{ConfigFile, Failure};
use crate::admin::Request;
use crate::config::Config;
use std::fs;
use std::ops::Range;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The peer, by its name in peers.toml
    name: String,
    #[command(flatten)]
    site: ConfigFile,
}

pub(super) fn remove(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::load(&arguments.site)?;
    let name = &arguments.name;
    let named = &site.config.site.peers;
    let path = fs::canonicalize(named).unwrap_or_else(|_| named.clone());
    if !site.config.peers.iter().any(|peer| peer.name == *name) {
        return Err(Failure::because(format!("there is no peer \"{name}\" in {}", path.display())));
    }
    let failed = |error: std::io::Error| Failure::because(format!("{}: {error}", path.display()));
    let old = fs::read_to_string(&path).map_err(failed)?;
    let others: Vec<&str> =
        site.config.peers.iter().map(|peer| peer.name.as_str()).filter(|other| other != name).collect();
    let mut why = Vec::new();
    for block in blocks(&old) {
        let mut new = old.clone();
        new.replace_range(block, "");
        match Config::check_peers(&site.config.site, &path, &new) {
            Ok(peers) if peers.iter().map(|peer| peer.name.as_str()).eq(others.iter().copied()) => {
                replace(&path, &new).map_err(failed)?;
                let told = match site.ask_running(&Request::Reload)? {
                    Some(_) => "and the running site has let go of it",
                    None => "and takes effect when the site starts",
                };
                return say(format!("{name} is out of {} {told}", path.display()));
            }
            Ok(_) => {}
            // Somebody may be its backup.
            Err(mistakes) => {
                why.extend(mistakes.into_iter().map(|m| m.what).filter(|what| what.contains(name)))
            }
        }
    }
    why.dedup();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
    Err(Failure::because(format!(
        "{}: \"{name}\" cannot be taken out alone{why}; edit the file (nothing was written)",
        path.display()
    )))
}

/// Where each `[[peer]]` stands, with its own tables and comments. Comments right above the next header
/// are that one's.
fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        lines.push((at, line.trim()));
        at += line.len();
    }
    let is_header = |line: &str| line.starts_with('[');
    let is_peers = |line: &str| line.starts_with("[[peer]]");
    let begins: Vec<usize> =
        (0..lines.len()).filter(|&n| lines.get(n).is_some_and(|(_, l)| is_peers(l))).collect();
    let end_of = |begin: usize| {
        let next = lines.iter().enumerate().skip(begin + 1);
        let next =
            next.filter(|(_, (_, line))| is_header(line) && !line.starts_with("[peer.")).map(|(n, _)| n);
        let mut end = next.min().unwrap_or(lines.len());
        while end < lines.len()
            && end > begin + 1
            && lines.get(end - 1).is_some_and(|(_, l)| l.starts_with('#'))
        {
            end -= 1;
        }
        lines.get(end).map_or(text.len(), |(at, _)| *at)
    };
    begins.into_iter().filter_map(|begin| Some(lines.get(begin)?.0..end_of(begin))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_belongs_to_it() {
        let text = "# peers\n[templates.x]\nwindow = 5\n\n[[peer]]\nname = \"a\"\n# window = 7\n\n\
                    # About b.\n[[peer]] # b\nname = \"b\"\n[peer.send]\nbytes_max = 5\n\n[[peer]]\nname = \"c\"";
        let found: Vec<&str> = blocks(text).into_iter().filter_map(|range| text.get(range)).collect();
        assert_eq!(
            found,
            [
                "[[peer]]\nname = \"a\"\n# window = 7\n\n",
                "[[peer]] # b\nname = \"b\"\n[peer.send]\nbytes_max = 5\n\n",
                "[[peer]]\nname = \"c\""
            ]
        );
        assert!(blocks("# none\n").is_empty());
    }
}
