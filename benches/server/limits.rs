//! What this machine can do at all, taken in the same run: the disk and the loopback network.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::certificate;
use crate::load::connect;
use crate::support::process::temp_dir;

const MEGABYTE: usize = 1 << 20;

/// The limits, in octets per second and in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Appending to a file in batches of 1 MB, each followed by fdatasync.
    pub synced_octets_per_s: f64,
    /// One connection over loopback, 1448 octets to the segment, as the load generator's.
    pub loopback_octets_per_s: f64,
    /// Encrypting in memory by the server's TLS library, one thread.
    pub sealed_octets_per_s: f64,
    /// fdatasync after appending 4 KB, median.
    pub small_sync_us: f64,
    /// One octet there and back over loopback, median.
    pub round_trip_us: f64,
}

/// Which limit of the machine stands beside a figure.
#[derive(Debug, Clone, Copy)]
pub enum LimitKind {
    /// Writing and syncing the same octets in batches of 1 MB.
    Disk,
    /// Moving the same octets over loopback.
    Loopback,
    /// Encrypting the same octets and then moving them over loopback, on one core.
    SealedLoopback,
    /// One small fdatasync and two round trips for each, as many at a time as connections.
    SyncedTurn,
    /// There is none to speak of.
    None,
}

impl Limits {
    pub fn take(time: Duration) -> io::Result<Self> {
        Ok(Self {
            synced_octets_per_s: synced(time)?,
            loopback_octets_per_s: loopback(time)?,
            sealed_octets_per_s: certificate::sealing(time / 2)?,
            small_sync_us: small_sync(time)?,
            round_trip_us: round_trip(time)?,
        })
    }

    /// Takes those of one kind anew; the others as they were in `before`.
    pub fn take_for(kind: LimitKind, time: Duration, before: &Self) -> io::Result<Self> {
        let mut limits = before.clone();
        match kind {
            LimitKind::Disk => limits.synced_octets_per_s = synced(time)?,
            LimitKind::Loopback => limits.loopback_octets_per_s = loopback(time)?,
            LimitKind::SealedLoopback => {
                limits.loopback_octets_per_s = loopback(time)?;
                limits.sealed_octets_per_s = certificate::sealing(time)?;
            }
            LimitKind::SyncedTurn => {
                limits.small_sync_us = small_sync(time)?;
                limits.round_trip_us = round_trip(time)?;
            }
            LimitKind::None => {}
        }
        Ok(limits)
    }
}

impl Limits {
    pub fn sealed_loopback_octets_per_s(&self) -> f64 {
        1.0 / (1.0 / self.loopback_octets_per_s + 1.0 / self.sealed_octets_per_s)
    }
}

fn synced(time: Duration) -> io::Result<f64> {
    let dir = temp_dir();
    let mut file = File::create(dir.path().join("batches"))?;
    let batch = vec![b'a'; MEGABYTE];
    let began = Instant::now();
    let mut written = 0usize;
    while began.elapsed() < time {
        file.write_all(&batch)?;
        file.sync_data()?;
        written += batch.len();
    }
    Ok(written as f64 / began.elapsed().as_secs_f64())
}

fn small_sync(time: Duration) -> io::Result<f64> {
    let dir = temp_dir();
    let mut file = File::create(dir.path().join("small"))?;
    let block = [b'a'; 4096];
    let mut micros = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time / 2 {
        file.write_all(&block)?;
        let asked = Instant::now();
        file.sync_data()?;
        micros.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&mut micros))
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = connect(listener.local_addr()?.port())?;
    let (far, _) = listener.accept()?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

fn loopback(time: Duration) -> io::Result<f64> {
    let (mut near, mut far) = pair()?;
    let sender = thread::spawn(move || {
        let piece = vec![b'a'; MEGABYTE / 4];
        while far.write_all(&piece).is_ok() {}
    });
    let mut buffer = vec![0; MEGABYTE / 4];
    let began = Instant::now();
    let mut received = 0usize;
    while began.elapsed() < time {
        received += near.read(&mut buffer)?;
    }
    let rate = received as f64 / began.elapsed().as_secs_f64();
    drop(near);
    let _ = sender.join();
    Ok(rate)
}

fn round_trip(time: Duration) -> io::Result<f64> {
    let (mut near, mut far) = pair()?;
    let echo = thread::spawn(move || {
        let mut octet = [0];
        while far.read_exact(&mut octet).and_then(|()| far.write_all(&octet)).is_ok() {}
    });
    let mut octet = [0];
    let mut micros = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time / 2 {
        let asked = Instant::now();
        near.write_all(&octet)?;
        near.read_exact(&mut octet)?;
        micros.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    drop(near);
    let _ = echo.join();
    Ok(median(&mut micros))
}

/// The value in the middle; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// The value that `percent` of all do not exceed; 0 of nothing.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
