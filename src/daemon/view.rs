//! What a peer that asks (XPEER) is told of how it stands here, so that `feedd doctor` at the other end
//! sees both ends. Only what concerns this peer, and neither addresses nor files of this site.

use crate::config::{Contract, Peer};
use crate::feed::FeedStatus;

/// Keys and values.
pub(super) fn of(identity: &str, peer: &Peer, feed: Option<&FeedStatus>) -> Vec<(&'static str, String)> {
    let identities: Vec<String> = peer.identities.iter().map(ToString::to_string).collect();
    let mut view = vec![
        ("site", identity.to_owned()),
        ("called", peer.name.clone()),
        ("identity", identities.join(" ")),
        ("accept", peer.accept.newsgroups.to_string()),
        ("send", peer.send.newsgroups.to_string()),
    ];
    let limits = |[bytes, crosspost]: [&'static str; 2], contract: &Contract| {
        [
            contract.bytes_max.map(|max| (bytes, max.to_string())),
            contract.crosspost_max.map(|max| (crosspost, max.to_string())),
        ]
    };
    let accepts = limits(["accept.bytes_max", "accept.crosspost_max"], &peer.accept);
    let sends = limits(["send.bytes_max", "send.crosspost_max"], &peer.send);
    view.extend(accepts.into_iter().chain(sends).flatten());
    if let Some(feed) = feed {
        view.push(("feed", feed.state.clone()));
        view.push(("feed.owed", feed.owed.to_string()));
        view.push(("feed.rejected", feed.rejected.to_string()));
        if !feed.last_error.is_empty() {
            view.push(("feed.last_error", without_files(peer, feed.last_error.clone())));
        }
        if let Some(loss) = &feed.loss {
            view.push(("feed.loss", loss.clone()));
        }
    }
    if peer.turn {
        view.push(("turn", "yes".to_owned()));
    }
    view
}

/// The names of this site's files are nobody else's business.
fn without_files(peer: &Peer, mut text: String) -> String {
    let files = peer.dial.iter().flat_map(|dial| [&dial.password_file, &dial.ca]).flatten();
    for file in files {
        text = text.replace(&file.display().to_string(), "a file");
    }
    text
}
