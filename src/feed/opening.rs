//! The opening of a connection that is not for offering: TLS, login and compression as ever, and then
//! whatever its opener wants of it.

use super::Means;
use super::dial::Dialled;
use super::exchange::Owed;
use crate::session::sender::{Acceptance, Close, Sender, Step};
use crate::transport::Transport;
use bytes::BytesMut;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::timeout;

/// How long the opening may take, from the greeting on.
const OPENING: Duration = Duration::from_secs(60);

/// Why an opening came to nothing.
pub(super) struct Failed {
    /// One line.
    pub(super) why: String,
    /// The peer said so itself: it will hardly have changed its mind in a few seconds.
    pub(super) refused: bool,
    /// It does not know XSYNC, or not from us.
    pub(super) no_sync: bool,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, refused: false, no_sync: false }
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.why
    }
}

impl From<Close> for Failed {
    fn from(close: Close) -> Self {
        let refused = matches!(
            close,
            Close::NoTurn(_) | Close::LoginRefused(_) | Close::Unauthorised(_) | Close::NoTls(_)
        );
        Self { why: close.to_string(), refused, no_sync: matches!(close, Close::NoSync) }
    }
}

/// Goes through the opening, until the peer has turned (XTURN) or is ready to be asked (XSYNC).
pub(super) async fn through_opening(means: &Means, dialled: Dialled) -> Result<Transport, Failed> {
    timeout(OPENING, go_through(means, dialled)).await.map_err(|_| "no greeting".to_owned())?
}

async fn go_through(means: &Means, dialled: Dialled) -> Result<Transport, Failed> {
    let Dialled { mut transport, opening, early, upgrade } = dialled;
    let mut sender: Sender<Owed> = Sender::new(1, Acceptance::default(), opening);
    sender.receive(&early);
    let mut out = Vec::new();
    let mut input = BytesMut::new();
    loop {
        let mut step = sender.next(&mut out, true);
        while let Some(now) = step.take() {
            send(&mut transport, &mut out).await?;
            match now {
                Step::StartTls => {
                    // RFC 4642 s.2.2.2: somebody else may have put it there.
                    if !sender.take_input().is_empty() {
                        return Err("octets in clear came behind its answer to STARTTLS".to_owned().into());
                    }
                    let Some(upgrade) = &upgrade else {
                        return Err("no TLS was to begin here".to_owned().into());
                    };
                    upgrade.start(&mut transport, means.certificate.get().as_deref()).await?;
                    sender.secured(&mut out);
                }
                Step::StartDeflate => {
                    let mut packed = BytesMut::from(sender.take_input().as_slice());
                    transport.start_deflate(&mut packed);
                    step = sender.compressed(&mut out);
                }
                // It waits for our greeting now, or for our question.
                Step::Turned | Step::Opened if sender.take_input().is_empty() => return Ok(transport),
                Step::Close(why) => return Err(why.into()),
                Step::Turned | Step::Opened | Step::Ready { .. } | Step::Send(_) | Step::Settled(..) => {
                    return Err("an unexpected reply to the opening".to_owned().into());
                }
            }
        }
        send(&mut transport, &mut out).await?;
        // A read whose task has had its turn says so like one that finds nothing.
        tokio::task::consume_budget().await;
        transport.readable().await.map_err(|error| error.to_string())?;
        match transport.read_now(&mut input).await {
            Ok(0) => return Err("closed by the peer".to_owned().into()),
            Ok(_) => {
                sender.receive(&input);
                input.clear();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string().into()),
        }
    }
}

/// Sends all of `out`.
pub(super) async fn send(transport: &mut Transport, out: &mut Vec<u8>) -> Result<(), String> {
    let mut sent = 0;
    loop {
        let rest = out.get(sent..).unwrap_or_default();
        let done = if rest.is_empty() { transport.flush().map(|()| 0) } else { transport.write(rest) };
        match done {
            Ok(_) if rest.is_empty() => break,
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                transport.writable().await.map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    out.clear();
    Ok(())
}
