//! Listening: a permit before the accept, a pause after a failing one, and one task a connection.

use super::connection::serve;
use super::door::{Door, Entry};
use super::{Counters, Service};
use crate::access::Client;
use crate::transport::{Listener, Transport};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Serves `listener` until the site stops; with `tls` from the first octet.
pub async fn listen(
    listener: impl Listener,
    tls: bool,
    service: Arc<Service>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    door: Arc<dyn Door>,
) {
    let mut pause = Duration::from_millis(5);
    loop {
        let accepted = tokio::select! {
            biased;
            () = service.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (mut transport, from) = match accepted {
            Ok(accepted) => {
                pause = Duration::from_millis(5);
                accepted
            }
            Err(error) => {
                // Out of file descriptors, mostly: wait for connections to end instead of spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            Counters::add(&service.counters.connections_refused, 1);
            if let Some(times) = service.gate.site_full.due(Instant::now()) {
                tracing::warn!(%from, times, "refused: connections_max is reached");
            }
            refuse(&mut transport, tls, "400 Too many connections, try again later\r\n");
            continue;
        };
        let client = Client::from(from.ip());
        // Before the question: the answer may be out of date by the time it is served.
        let news = door.news();
        let admitted = door.admit(&client);
        let max = admitted.connections_max(service.limits.connections_per_address_max);
        let Some(seat) = service.gate.seats.take(&admitted.seat, max) else {
            Counters::add(&service.counters.addresses_full, 1);
            if let Some(times) = service.gate.address_full.due(Instant::now()) {
                tracing::info!(%from, times, "refused: {max} connections from an address");
            }
            let text = "400 Too many connections from your address, try again later\r\n";
            refuse(&mut transport, tls, text);
            continue;
        };
        let entry = Entry { door: door.clone(), client };
        let service = service.clone();
        tasks.spawn(async move {
            service.counters.connections.fetch_add(1, Ordering::Relaxed);
            Counters::add(&service.counters.connections_total, 1);
            let entry = Some((entry, tls));
            serve(transport, service.clone(), admitted, entry, news).await;
            service.counters.connections.fetch_sub(1, Ordering::Relaxed);
            drop((slot, seat));
        });
    }
}

/// RFC 3977 s.3.2.1: 400, temporarily unavailable. One try: a client that does not read has lost.
fn refuse(transport: &mut Transport, tls: bool, text: &str) {
    // Behind TLS it could not be read.
    if !tls {
        let _ = transport.write(text.as_bytes());
    }
}
