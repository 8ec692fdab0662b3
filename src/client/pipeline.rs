//! Many commands in flight (RFC 3977 s.3.5): what is sent, and the answers in its order. Nothing is
//! asked twice here; a connection that is lost is the caller's.

use super::{Answer, Client, ClientError};
use std::io::Write;

impl Client {
    /// Queues a command line; [`Client::flush`] sends it.
    pub fn send(&mut self, line: &str) -> Result<(), ClientError> {
        // A line end within would be a second command.
        if line.contains(['\r', '\n', '\0']) {
            return Err(ClientError::Protocol("a command is one line".to_owned()));
        }
        self.commands.write_all(line.as_bytes())?;
        Ok(self.commands.write_all(b"\r\n")?)
    }

    /// Queues a data block, dot-stuffed and with its terminator.
    pub fn send_block(&mut self, block: &[u8]) -> Result<(), ClientError> {
        Ok(self.commands.write_all(block)?)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        Ok(self.commands.flush()?)
    }

    /// Reads the next response line.
    pub fn answer(&mut self) -> Result<Answer, ClientError> {
        self.answers.answer()
    }

    /// Reads the data block behind a response line, of `octets_max` at most, with CRLF line ends and
    /// without dot-stuffing.
    pub fn block(&mut self, octets_max: usize) -> Result<Vec<u8>, ClientError> {
        self.answers.block_within(octets_max)
    }
}
