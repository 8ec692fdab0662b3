//! The server's side of this site for connections that it has opened itself (XTURN).

use crate::config::Peer;
use crate::feed::{Host, Serving};
use crate::net::{self, Admitted, Service};
use crate::transport::Transport;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

/// Serves the peer that such a connection leads to.
pub(super) struct TurnedHost {
    pub(super) service: Arc<Service>,
}

impl Host for TurnedHost {
    fn serve(&self, peer: Arc<Peer>, transport: Transport, stop: CancellationToken) -> Serving {
        let service = self.service.clone();
        Box::pin(async move {
            let connections = &service.counters.connections;
            connections.fetch_add(1, Ordering::Relaxed);
            // Nobody else is ever at its other end: there is no login, and TLS has begun if it shall.
            net::serve(transport, service.clone(), Admitted::peer(peer), None, stop).await;
            connections.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn stopping(&self) -> CancellationToken {
        self.service.stop.clone()
    }
}
