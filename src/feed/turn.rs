//! Articles over connections that the other side has opened, for a peer that cannot be dialled (it is
//! behind NAT, or its address changes). Both sides are feedd.
//!
//! The side that can dial opens an extra connection, with TLS and login as ever, says XTURN, and is
//! the server on it from then on ([`keep_turned`]); the other side runs an ordinary sender on it
//! ([`Turned`]). So what is owed stays a cursor on the sender's log, and whoever is killed loses
//! nothing. It is never anything but a peer's connection: what the dialling side lets it do is what it
//! lets this peer do, and no more.

use super::Means;
use super::controls::Controls;
use super::dial::dial;
use super::exchange::Exchange;
use super::opening::{Failed, through_opening};
use super::schedule::Backoff;
use crate::config::{Dial, Peer};
use crate::transport::Transport;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

/// The longest pause behind a peer's refusal, whose reason is not mended in seconds.
const REFUSED: Duration = Duration::from_secs(60);
/// A connection that stood so long was worth opening.
const USEFUL: Duration = Duration::from_secs(10);

/// Seconds of silence behind which either side asks whether the other is there: routers in between
/// forget what is silent for longer than a few minutes.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The server's side of a site, for connections on which the places are changed.
pub trait Host: Send + Sync {
    /// Serves this peer, and nobody else, until the connection ends or `stop` is cancelled.
    fn serve(&self, peer: Arc<Peer>, transport: Transport, stop: CancellationToken) -> Serving;
    /// Cancelled when the site stops.
    fn stopping(&self) -> CancellationToken;
}

/// A connection that is being served.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Connections that the peer has opened for its feed, and the feed has not taken yet.
#[derive(Clone, Default)]
pub(super) struct CameIn(Arc<Mutex<Vec<Turned>>>);

/// A connection that the peer has opened for its feed.
pub(super) struct Turned {
    pub(super) transport: Transport,
    /// The feed shall leave it.
    pub(super) stop: CancellationToken,
    /// Tells whoever accepted the connection that it has ended.
    pub(super) ended: DropGuard,
}

impl CameIn {
    pub(super) fn put(&self, turned: Turned) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(turned);
    }

    pub(super) fn take(&self) -> Vec<Turned> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps one connection open to the peer on which it offers, until the feed stops.
pub(super) async fn keep_turned(peer: Arc<Peer>, means: Means, exchange: Arc<Exchange>, controls: Controls) {
    let (Some(how), Some(host)) = (&peer.dial, means.host.clone()) else { return };
    let site = host.stopping();
    let longest = Duration::from_secs(peer.retry_max_s);
    let (mut backoff, mut after_refusal) = (Backoff::new(longest), Backoff::new(longest.max(REFUSED)));
    let mut told: Option<String> = None;
    loop {
        let begun = Instant::now();
        let mut pauses = &mut backoff;
        let opened = tokio::select! {
            biased;
            opened = open(&means, how) => opened,
            () = controls.stop.cancelled() => return,
            () = site.cancelled() => return,
        };
        match opened {
            Ok(transport) => {
                told = None;
                transport.keep_alive(KEEP_ALIVE);
                info!(target: "feedd::feed", peer = %peer.name, "it offers on a connection that we have opened");
                let stop = site.child_token();
                let mut serving = host.serve(peer.clone(), transport, stop.clone());
                tokio::select! {
                    biased;
                    () = &mut serving => {}
                    () = controls.stop.cancelled() => {
                        // It gives the replies that it owes first.
                        stop.cancel();
                        tokio::select! {
                            biased;
                            () = &mut serving => {}
                            // The peer does not take them. What is counted as held here must be given
                            // back all the same, when that is so.
                            () = controls.abandon.cancelled() => drop(tokio::spawn(serving)),
                        }
                        return;
                    }
                }
                if begun.elapsed() >= USEFUL {
                    pauses.reset();
                }
                after_refusal.reset();
            }
            Err(Failed { why, refused, .. }) => {
                if refused {
                    pauses = &mut after_refusal;
                }
                exchange.report(|reported| reported.failed(&format!("XTURN: {why}")));
                if told.as_ref() != Some(&why) {
                    warn!(target: "feedd::feed", peer = %peer.name, %why, "cannot offer us articles over our connection");
                    told = Some(why);
                }
            }
        }
        let mut random = [0];
        // Without randomness the pauses are merely less well spread.
        let _ = crate::random::fill(&mut random);
        tokio::select! {
            biased;
            () = sleep(pauses.pause(random[0])) => {}
            () = controls.stop.cancelled() => return,
            () = site.cancelled() => return,
        }
    }
}

/// Opens a connection and changes places on it.
async fn open(means: &Means, how: &Dial) -> Result<Transport, Failed> {
    let mut dialled = dial(&*means.network, how, means.certificate.get().as_deref()).await?;
    dialled.opening.turn = true;
    through_opening(means, dialled).await
}
