//! The site's end of the control socket.

use super::protocol::{REQUEST_MAX, Request, Response};
use crate::intake::ImportRules;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How long a request may take to arrive.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The pause after a failed accept (no descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A site that can be asked.
pub trait Control: Send + Sync + 'static {
    /// Answers everything but [`Request::Import`].
    fn answer(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// Answers [`Request::Sync`]; `say` is told how far it is.
    fn sync(
        &self,
        peer: String,
        since_s: i64,
        say: UnboundedSender<String>,
    ) -> impl Future<Output = Response> + Send;

    /// Speaks NNTP on a connection whose import has been granted, until it ends; the greeting comes
    /// first. The articles are those of [`crate::intake::Origin::Import`] by these rules.
    fn import(&self, stream: UnixStream, rules: ImportRules) -> impl Future<Output = ()> + Send;
}

/// Serves the control socket until `stop`. Requests that are being answered are finished by their own
/// tasks.
pub async fn serve<C: Control>(listener: UnixListener, control: Arc<C>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let control = Arc::clone(&control);
                tokio::spawn(async move { converse(stream, &*control).await });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection: a request, its answer, and NNTP behind it if it is an import.
async fn converse<C: Control>(mut stream: UnixStream, control: &C) {
    let request = match tokio::time::timeout(REQUEST_TIME, read_request(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(why)) => {
            reply(&mut stream, &Response::Failed(why)).await;
            return;
        }
        Err(_) => return,
    };
    tracing::debug!(?request, "control");
    if let Request::Import(rules) = request {
        if reply(&mut stream, &Response::Import).await {
            control.import(stream, rules).await;
        }
    } else if let Request::Sync { peer, since_s } = request {
        sync(&mut stream, control, peer, since_s).await;
    } else {
        let response = control.answer(request).await;
        reply(&mut stream, &response).await;
    }
}

/// A sync, with lines that tell how far it is. It ends when nobody listens any more.
async fn sync<C: Control>(stream: &mut UnixStream, control: &C, peer: String, since_s: i64) {
    let (say, mut said) = unbounded_channel();
    let mut syncing = pin!(control.sync(peer, since_s, say));
    loop {
        let response = tokio::select! {
            biased;
            Some(progress) = said.recv() => Response::Progress(progress),
            done = &mut syncing => done,
            ready = stream.readable() => match ready.and_then(|()| stream.try_read(&mut [0])) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Ok(1..) => continue,
                // The asker has gone.
                Ok(0) | Err(_) => return,
            },
        };
        let more = matches!(response, Response::Progress(_));
        if !reply(stream, &response).await || !more {
            return;
        }
    }
}

/// Reads exactly one line. Nothing may stand behind it: what follows an import's answer is NNTP, and
/// must still be in the socket then.
async fn read_request(stream: &mut UnixStream) -> Result<Request, String> {
    let mut line = Vec::with_capacity(256);
    while !line.ends_with(b"\n") {
        if line.len() >= REQUEST_MAX {
            return Err("the request is too long".to_owned());
        }
        if stream.read_buf(&mut line).await.map_err(|error| error.to_string())? == 0 {
            return Err("the request is not a whole line".to_owned());
        }
    }
    serde_json::from_slice(&line).map_err(|error| format!("the request is not understood: {error}"))
}

/// Writes the answer's line; false when the asker has gone.
async fn reply(stream: &mut UnixStream, response: &Response) -> bool {
    let Ok(mut line) = serde_json::to_vec(response) else { return false };
    line.push(b'\n');
    stream.write_all(&line).await.is_ok()
}
