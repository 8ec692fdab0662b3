//! Sending articles to this site's own intake: TAKETHIS without waiting (RFC 4644 s.2.5), replies read by
//! a thread of their own. What brings files (imports, batches) sends through here, so that there is one
//! path into the store and not two.

use super::Totals;
use crate::agent::Reason;
use crate::article::{Field, Head, MessageId};
use crate::client::{Answers, Client, Commands};
use crate::wire::{Code, block};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Articles in flight: enough that the site never waits for us between two commits.
const WINDOW: usize = 500;

/// Sends articles.
pub struct Feeder {
    commands: Commands,
    /// One entry for each article in flight; full when [`WINDOW`] are.
    in_flight: SyncSender<()>,
    accepted: Arc<AtomicU64>,
    replies: JoinHandle<Ended>,
    wire: Vec<u8>,
    failure: Option<String>,
}

/// How it ended.
#[derive(Default)]
pub struct Ended {
    /// What became of what was sent and answered.
    pub totals: Totals,
    /// Why it ended before all was sent.
    pub failure: Option<String>,
}

/// Why an article was not sent.
pub enum Unsent {
    /// It is none, or one that no site can be offered; why.
    Rejected(String),
    /// The site takes no more; [`Feeder::finish`] tells why.
    Closed,
}

impl Feeder {
    /// Sends over this connection, whose greeting has come.
    pub fn start(client: Client) -> Self {
        let (answers, commands) = client.into_halves();
        let (in_flight, sent) = sync_channel(WINDOW);
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        let replies = std::thread::spawn(move || read_replies(answers, &sent, &counter));
        Self { commands, in_flight, accepted, replies, wire: Vec::new(), failure: None }
    }

    /// Articles accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Sends an article: any line ends, no dot-stuffing. Waits while too many are in flight.
    pub fn send(&mut self, text: &[u8]) -> Result<(), Unsent> {
        self.wire.clear();
        block::stuff(text, &mut self.wire);
        let head =
            Head::parse(&self.wire).map_err(|bad| Unsent::Rejected(Reason::Malformed(bad).to_string()))?;
        let id = head.value(Field::MessageId).ok_or_else(|| Unsent::Rejected("no Message-ID".to_owned()))?;
        let id = MessageId::try_from(id).map_err(|_| Unsent::Rejected("bad Message-ID".to_owned()))?;
        match self.in_flight.try_send(()) {
            Ok(()) => {}
            Err(TrySendError::Full(())) => {
                // Replies come only to what has left.
                self.written(|commands, _| commands.flush())?;
                self.in_flight.send(()).map_err(|_| Unsent::Closed)?;
            }
            Err(TrySendError::Disconnected(())) => return Err(Unsent::Closed),
        }
        self.written(|commands, wire| {
            write!(commands, "TAKETHIS {id}\r\n")?;
            commands.write_all(wire)
        })
    }

    fn written(
        &mut self,
        write: impl FnOnce(&mut Commands, &[u8]) -> std::io::Result<()>,
    ) -> Result<(), Unsent> {
        write(&mut self.commands, &self.wire).map_err(|error| {
            self.failure = Some(error.to_string());
            Unsent::Closed
        })
    }

    /// Waits for the replies to all that was sent.
    pub fn finish(mut self) -> Ended {
        if let Err(error) = self.commands.flush() {
            self.failure.get_or_insert(error.to_string());
        }
        drop(self.in_flight);
        let mut ended = self.replies.join().unwrap_or_default();
        // What the site said is the better reason than what the socket did then.
        ended.failure = ended.failure.or(self.failure);
        ended
    }
}

/// Reads one reply for each article sent, in their order (RFC 4644 s.2.5.1).
fn read_replies(mut answers: Answers, sent: &Receiver<()>, accepted: &AtomicU64) -> Ended {
    let mut ended = Ended::default();
    while sent.recv().is_ok() {
        let answer = match answers.answer() {
            Ok(answer) => answer,
            Err(error) => {
                ended.failure = Some(error.to_string());
                break;
            }
        };
        match answer.code {
            Code(239) => {
                ended.totals.accepted += 1;
                accepted.store(ended.totals.accepted, Ordering::Relaxed);
            }
            Code(439) => {
                // The Message-ID, then the reason.
                let reason = answer.text.split_once(' ').map_or("no reason given", |(_, reason)| reason);
                if reason == Reason::Duplicate.to_string() {
                    ended.totals.duplicate += 1;
                } else {
                    ended.totals.reject(reason);
                }
            }
            _ => {
                ended.failure = Some(format!("the site says: {answer}"));
                break;
            }
        }
    }
    ended
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;

    /// A site that answers the nth TAKETHIS with the nth reply, and then closes.
    fn site(replies: &'static [&'static str]) -> (Client, JoinHandle<Vec<u8>>) {
        let (near, far) = UnixStream::pair().unwrap();
        let served = std::thread::spawn(move || {
            let mut writer = far.try_clone().unwrap();
            writer.write_all(b"200 hello\r\n").unwrap();
            let mut reader = BufReader::new(far);
            let mut got = Vec::new();
            for reply in replies {
                loop {
                    let before = got.len();
                    if reader.read_until(b'\n', &mut got).unwrap() == 0 || &got[before..] == b".\r\n" {
                        break;
                    }
                }
                writer.write_all(reply.as_bytes()).unwrap();
            }
            got
        });
        (Client::over_unix(near).unwrap(), served)
    }

    #[test]
    fn articles_go_out_in_wire_form_and_replies_are_counted() {
        let (client, served) =
            site(&["239 <a@b>\r\n", "439 <b@b> Duplicate\r\n", "439 <c@b> Unwanted newsgroup x\r\n"]);
        let mut feeder = Feeder::start(client);
        for id in ["<a@b>", "<b@b>", "<c@b>"] {
            assert!(feeder.send(format!("Message-ID: {id}\n\n.dot\n").as_bytes()).is_ok());
        }
        assert!(
            matches!(feeder.send(b"Subject: x\n\n"), Err(Unsent::Rejected(why)) if why == "no Message-ID")
        );
        assert!(
            matches!(feeder.send(b"Message-ID: x\n\n"), Err(Unsent::Rejected(why)) if why == "bad Message-ID")
        );
        let ended = feeder.finish();
        assert_eq!(ended.failure, None);
        assert_eq!((ended.totals.accepted, ended.totals.duplicate, ended.totals.rejected), (1, 1, 1));
        assert_eq!(ended.totals.reasons["Unwanted newsgroup x"], 1);
        let got = served.join().unwrap();
        assert!(
            got.starts_with(b"TAKETHIS <a@b>\r\nMessage-ID: <a@b>\r\n\r\n..dot\r\n.\r\nTAKETHIS <b@b>\r\n")
        );
    }

    #[test]
    fn a_site_that_closes_ends_the_import_with_its_reason() {
        let (client, served) = site(&["239 <0@b>\r\n", "400 disk full\r\n"]);
        let mut feeder = Feeder::start(client);
        let mut sent = 0;
        while sent < 100_000 && feeder.send(format!("Message-ID: <{sent}@b>\n\n\n").as_bytes()).is_ok() {
            sent += 1;
        }
        assert!(sent < 100_000);
        let ended = feeder.finish();
        assert_eq!(ended.totals.accepted, 1);
        assert_eq!(ended.failure.as_deref(), Some("the site says: 400 disk full"));
        served.join().unwrap();
    }
}
