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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_form_of_inn() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_level(false)
            .with_target(false)
            .finish();
        let at = Timestamp::from_unix_ms(1_788_180_001_839);
        let id = MessageId::try_from("<1@example.com>").unwrap();
        tracing::subscriber::with_default(subscriber, || {
            accepted(at, "news.example", &id, 1658, &["a.peer", "other.peer"]);
            accepted(at.plus_s(86_400), "", &id, 2, &[]);
            let reason = Reason::UnwantedNewsgroup("x\ny".into());
            rejected(at, "a.peer", Some(&id), 437, &reason);
            rejected(at, "192.0.2.7", None, 441, &Reason::Missing("From"));
            refused("a.peer", &id, &Reason::Duplicate); // debug: not in an info log
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "Aug 31 12:40:01.839 + news.example <1@example.com> 1658 a.peer other.peer",
                "Sep  1 12:40:01.839 + (null) <1@example.com> 2",
                "Aug 31 12:40:01.839 - a.peer <1@example.com> 437 Unwanted newsgroup \"x\\ny\"",
                "Aug 31 12:40:01.839 - 192.0.2.7 (null) 441 Missing \"From\" header field",
            ]
        );
    }
}
