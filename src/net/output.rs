//! The way out of a connection: answers piece by piece, as the client takes them.

use super::connection::{Connection, TURN_OCTETS};
use super::reading;
use super::stream::Stream;
use crate::limits::OUTPUT_BYTES_MAX;
use crate::session::Ask;
use crate::session::reply;
use crate::store::ReadError;
use crate::transport::{LAYER_PIECE, blocking};
use std::io::{self, ErrorKind};

/// Octets of a file sent before anybody else on this thread gets a turn.
const FILE_PIECE: usize = 1024 * 1024;

impl Connection {
    pub(super) fn read_answer(&mut self, ask: Ask) {
        let ask = match ask {
            Ask::Login(credentials) => return self.knock(credentials),
            Ask::Compress => return self.compress(),
            Ask::Turn => return self.turn(),
            Ask::SyncOffer(id) => return self.sync_offer(&id),
            Ask::Peer => return self.peer_view(),
            ask => ask,
        };
        let before = self.out.len();
        let view = &self.admitted.view;
        match reading::answer(&self.service, &self.lists, &mut self.session, view, ask, &mut self.out) {
            Ok(stream) => self.stream = stream,
            Err(error) => {
                self.out.truncate(before);
                self.fault(&error);
            }
        }
    }

    /// Our own trouble with a read: 403 (RFC 3977 s.3.2.1), and the operator is told.
    pub(super) fn fault(&mut self, error: &ReadError) {
        tracing::error!(conn = self.admitted.name, ?error, "cannot read");
        reply::line(403, "Internal fault, the operator has been told", &mut self.out);
    }

    /// Produces one piece more of the answer being given, if there is room. True when it did.
    pub(super) fn fill(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        if matches!(stream, Stream::File { .. }) || self.out.len() >= OUTPUT_BYTES_MAX {
            return false;
        }
        // Looking may take long and find nothing to say.
        self.turn += TURN_OCTETS / 4;
        match stream.fill(&self.service.store, &self.admitted.view, &mut self.out) {
            Ok(false) => {}
            Ok(true) => self.stream = None,
            Err(error) => {
                // In the middle of a block there is no way to say so but to end the connection.
                tracing::error!(conn = self.admitted.name, ?error, "cannot read");
                self.stream = None;
                self.closing = true;
            }
        }
        true
    }

    /// Writes what the socket takes, and drops it: `out` holds no more than the client has not taken.
    /// True when something was written.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.transport.write(&self.out[sent..]) {
                Ok(count) => {
                    sent += count;
                    self.pace.moved(count);
                    if !self.transport.sends_files() {
                        self.unflushed = true;
                        // It was worked on.
                        self.turn += count;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.out.drain(..sent);
                    return Ok(sent > 0);
                }
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        // More of the same answer may come: what is packed together is packed better.
        if self.unflushed && self.stream.is_none() {
            match self.transport.flush() {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok((sent > 0) | self.send_file()?)
    }

    /// Sends a piece of a file, past `out`: by the kernel, or read into what is encrypted or packed.
    fn send_file(&mut self) -> io::Result<bool> {
        let Some(Stream::File { file, offset, remaining, tail }) = &mut self.stream else {
            return Ok(false);
        };
        let by_kernel = self.transport.sends_files();
        let mut budget = if by_kernel { FILE_PIECE } else { LAYER_PIECE };
        let mut moved = false;
        while *remaining > 0 && budget > 0 {
            let count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(budget);
            let sent = if !by_kernel {
                self.unflushed = true;
                self.transport.copy_file(file, *offset, count)
            } else if in_memory(file, *offset, count) {
                self.transport.try_send_file(file, *offset, count)
            } else {
                blocking(|| self.transport.try_send_file(file, *offset, count))
            };
            match sent {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    *offset += count as u64;
                    *remaining -= count as u64;
                    budget = budget.saturating_sub(count);
                    self.turn += count;
                    self.pace.moved(count);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(moved),
                Err(error) => return Err(error),
            }
        }
        if *remaining == 0 {
            self.out.extend_from_slice(tail);
            self.stream = None;
            moved = true;
        }
        Ok(moved)
    }
}

/// Are the first and the last octet of this piece of a file in the page cache? A guess, but a wrong
/// one costs other tasks of this thread one wait for the disk, no more.
fn in_memory(file: &std::fs::File, offset: u64, count: usize) -> bool {
    let last = offset + count.saturating_sub(1) as u64;
    [offset, last].into_iter().all(|at| {
        let mut octet = [0u8; 1];
        let mut slices = [io::IoSliceMut::new(&mut octet)];
        rustix::io::preadv2(file, &mut slices, at, rustix::io::ReadWriteFlags::NOWAIT).is_ok()
    })
}
