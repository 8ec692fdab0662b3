//! Listening: a permit before the accept, a pause after a failing one, and one task a connection.

use super::connection::{Admitted, serve};
use super::{Counters, Service, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Serves `listener` until the site stops. `admit` says what an address may do.
pub async fn listen<F>(
    listener: TcpListener,
    service: Arc<Service>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    admit: F,
) where
    F: Fn(SocketAddr) -> Admitted,
{
    let mut pause = Duration::from_millis(5);
    loop {
        let accepted = tokio::select! {
            () = service.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
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
            tracing::debug!(%from, "refused: too many connections");
            refuse(&stream);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let admitted = admit(from);
        let service = service.clone();
        tasks.spawn(async move {
            service.counters.connections.fetch_add(1, Ordering::Relaxed);
            Counters::add(&service.counters.connections_total, 1);
            serve(Transport::Tcp(stream), service.clone(), admitted).await;
            service.counters.connections.fetch_sub(1, Ordering::Relaxed);
            drop(slot);
        });
    }
}

/// RFC 3977 s.3.2.1: 400, temporarily unavailable. One try: a client that does not read has lost.
fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(b"400 Too many connections, try again later\r\n");
}
