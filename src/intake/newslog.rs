//! One line per article in the form of INN's `news` log (newslog(5)), so that the field's own tools
//! and eyes can read it:
//!
//! ```text
//! Aug 25 13:37:41.839 + news.example <4066@example.com> 1658 a.peer other.peer
//! Aug 25 13:37:54.638 - a.peer <23k82@example.net> 437 Unwanted newsgroup "x.y"
//! ```
//!
//! Lines are events of the target [`TARGET`] at info; times are UTC, because sites share no zone. A
//! line costs nothing while nobody listens.
//!
//! Intake writes what it rejects itself. What the store's writer decides (accepted, or a duplicate
//! that another connection brought first) is known when it settles, and is written by whoever is
//! told: the connection, or the import. Refused offers (CHECK, IHAVE) are debug events of the same
//! target, as nothing was transferred.

use crate::agent::Reason;
use crate::article::MessageId;
use crate::clock::Timestamp;
use std::fmt;

/// The target of the log's events.
pub const TARGET: &str = "newslog";

/// `+`: the article is stored, durably. `source` is the peer or the address it came from, `bytes` its
/// size in wire form, `owed` the peers to which it will be sent, as far as known.
pub fn accepted(at: Timestamp, source: &str, id: &MessageId, bytes: usize, owed: &[&str]) {
    if tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        let stamp = Stamp(at);
        let mut line = format!("{stamp} + {} {id} {bytes}", or_null(source));
        for peer in owed {
            line.push(' ');
            line.push_str(peer);
        }
        tracing::info!(target: TARGET, "{line}");
    }
}

/// `-`: the article is rejected with `code` (437, 439, 441) for `reason`. A proto-article may have no
/// Message-ID.
pub fn rejected(at: Timestamp, source: &str, id: Option<&MessageId>, code: u16, reason: &Reason) {
    if tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        let id = id.map_or("(null)", MessageId::as_str);
        tracing::info!(target: TARGET, "{} - {} {id} {code} {reason}", Stamp(at), or_null(source));
    }
}

/// An offer that was refused: nothing was transferred.
pub fn refused(source: &str, id: &MessageId, reason: &Reason) {
    tracing::debug!(target: TARGET, "refused {} {id} {reason}", or_null(source));
}

/// INN's word for an empty column.
fn or_null(text: &str) -> &str {
    if text.is_empty() { "(null)" } else { text }
}

/// `Aug 25 13:37:41.839`, UTC.
struct Stamp(Timestamp);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0.unix_ms()) {
            Some(at) => write!(f, "{}", at.format("%b %e %H:%M:%S%.3f")),
            None => f.write_str("(null)"),
        }
    }
}
