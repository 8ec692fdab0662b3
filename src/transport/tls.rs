//! The TLS layer of a connection: rustls between the wire and the session, octets in and octets out.

use bytes::{Buf, BytesMut};
use rustls::Connection;
use rustls::pki_types::CertificateDer;
use std::io::{BufRead, Error, ErrorKind, Result, Write};

/// A TLS connection, from our side; about 8 KiB while it is idle.
pub(super) struct Tls {
    session: Connection,
    /// The other side has said that it is done.
    ended: bool,
}

impl Tls {
    pub(super) fn new(mut session: Connection) -> Box<Self> {
        // The transport bounds what it gives.
        session.set_buffer_limit(None);
        Box::new(Self { session, ended: false })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// The certificate that the other side has proved to have the key of, and its chain; empty if none.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        self.session.peer_certificates().unwrap_or_default()
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes all of `wire`, and appends what was in it to `input`. There may be something to
    /// [`send`](Self::send) afterwards, also after an error: then it says why we give up.
    pub(super) fn receive(&mut self, wire: &mut BytesMut, input: &mut BytesMut) -> Result<()> {
        while !wire.is_empty() {
            let taken = self.session.read_tls(&mut &wire[..])?;
            wire.advance(taken);
            let state = self
                .session
                .process_new_packets()
                .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
            // What came with the end is the other side's all the same.
            self.ended |= state.peer_has_closed();
            if self.session.is_handshaking() {
                // No octet is taken before it is known whose it is.
                if taken == 0 {
                    break;
                }
                continue;
            }
            loop {
                let mut reader = self.session.reader();
                let count = match reader.fill_buf() {
                    Ok(plain) => {
                        input.extend_from_slice(plain);
                        plain.len()
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error),
                };
                reader.consume(count);
                if count == 0 {
                    break;
                }
            }
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Encrypts `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.session.writer().write_all(bytes)
    }

    pub(super) fn close(&mut self) {
        self.session.send_close_notify();
    }

    /// Gives what is encrypted to `socket`, as far as it takes it.
    pub(super) fn send(&mut self, socket: &mut dyn Write) -> Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(socket)?;
        }
        Ok(())
    }
}
