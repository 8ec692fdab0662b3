//! Questions to a peer, one line each, and its answers (XSYNC).

use super::Means;
use super::dial::dial;
use super::opening::{Failed, send, through_opening};
use crate::config::Dial;
use crate::transport::Transport;
use bytes::{Buf, BytesMut};
use memchr::memchr;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::timeout;

/// How long a peer may be silent: it may have to read its whole log.
const ANSWER: Duration = Duration::from_secs(300);
/// Octets of a line that are tolerated.
const LINE_MAX: usize = 4096;

/// A connection to a peer that answers XSYNC.
pub(super) struct Talk {
    transport: Transport,
    input: BytesMut,
    out: Vec<u8>,
}

impl Talk {
    /// Dials the peer, with TLS and login as its feed does.
    pub(super) async fn open(means: &Means, how: &Dial) -> Result<Self, Failed> {
        let mut dialled = dial(&*means.network, how, means.certificate.get().as_deref()).await?;
        dialled.opening.sync = true;
        let transport = through_opening(means, dialled).await?;
        Ok(Self { transport, input: BytesMut::new(), out: Vec::new() })
    }

    /// Adds a question to what [`Talk::send`] sends.
    pub(super) fn ask(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    pub(super) async fn send(&mut self) -> Result<(), String> {
        send(&mut self.transport, &mut self.out).await
    }

    /// The next line.
    pub(super) async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = memchr(b'\n', &self.input) {
                let line = String::from_utf8_lossy(&self.input[..end]).trim_end_matches('\r').to_owned();
                self.input.advance(end + 1);
                return Ok(line);
            }
            if self.input.len() > LINE_MAX {
                return Err("a line of its answer has no end".to_owned());
            }
            // A read whose task has had its turn says so like one that finds nothing.
            tokio::task::consume_budget().await;
            timeout(ANSWER, self.transport.readable())
                .await
                .map_err(|_| "no answer".to_owned())?
                .map_err(|error| error.to_string())?;
            match self.transport.read_now(&mut self.input).await {
                Ok(0) => return Err("closed by the peer".to_owned()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Hands over the lines of the next answer, behind its 291.
    pub(super) async fn list(
        &mut self,
        mut each: impl FnMut(String) -> Result<(), String>,
    ) -> Result<(), String> {
        let answer = self.line().await?;
        if !answer.starts_with("291") {
            return Err(format!("unexpected answer: {answer}"));
        }
        loop {
            let line = self.line().await?;
            if line == "." {
                return Ok(());
            }
            each(line)?;
        }
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        self.ask("QUIT");
        if self.send().await.is_ok() {
            // It has answered everything: whether it hears the goodbye changes nothing.
            let _ = timeout(Duration::from_secs(1), self.transport.finish()).await;
        }
    }
}
