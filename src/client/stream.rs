//! The octets of a connection in two halves, so that one thread may read while another writes: over
//! TCP, over TLS, and with DEFLATE on top (RFC 8054).

use flate2::{Compression, Decompress, FlushDecompress, Status};
use rustls::ClientConnection;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets read at once; a TLS record has at most 16 KiB and a little.
const PIECE: usize = 32 * 1024;

pub(super) type Input = Box<dyn Read + Send>;
pub(super) type Output = Box<dyn Write + Send>;

/// The halves of a connection whose TLS handshake is done.
///
/// rustls keeps both directions in one object. Both halves lock it for as long as octets are
/// transformed, never while they wait for the socket, so that a reader that waits holds up no writer
/// nor the other way round. Only the writing half writes to the socket: what TLS itself wants to say
/// (the answer to a key update) leaves with the next record, which RFC 8446 s.4.6.3 allows.
pub(super) fn tls_halves(connection: ClientConnection, stream: TcpStream) -> io::Result<(Input, Output)> {
    let connection = Arc::new(Mutex::new(connection));
    let input = TlsInput {
        connection: Arc::clone(&connection),
        stream: stream.try_clone()?,
        raw: vec![0; PIECE],
        waiting: 0..0,
    };
    Ok((Box::new(input), Box::new(TlsOutput { connection, stream, raw: Vec::new() })))
}

fn locked(connection: &Mutex<ClientConnection>) -> MutexGuard<'_, ClientConnection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

struct TlsInput {
    connection: Arc<Mutex<ClientConnection>>,
    stream: TcpStream,
    raw: Vec<u8>,
    /// What of `raw` has been received and not yet been taken by TLS.
    waiting: Range<usize>,
}

impl Read for TlsInput {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut connection = locked(&self.connection);
            // The plaintext first: TLS takes no more while it has some.
            match connection.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if self.waiting.is_empty() {
                drop(connection);
                let received = self.stream.read(&mut self.raw)?;
                self.waiting = 0..received;
                connection = locked(&self.connection);
            }
            // No octets tell it that the stream has ended.
            let mut octets = &self.raw[self.waiting.clone()];
            self.waiting.start += connection.read_tls(&mut octets)?;
            connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {error}")))?;
        }
    }
}

struct TlsOutput {
    connection: Arc<Mutex<ClientConnection>>,
    stream: TcpStream,
    raw: Vec<u8>,
}

impl TlsOutput {
    /// Sends what `say` makes TLS say.
    fn sent<T>(&mut self, say: impl FnOnce(&mut ClientConnection) -> io::Result<T>) -> io::Result<T> {
        let mut connection = locked(&self.connection);
        let said = say(&mut connection)?;
        self.raw.clear();
        while connection.wants_write() {
            connection.write_tls(&mut self.raw)?;
        }
        drop(connection);
        self.stream.write_all(&self.raw)?;
        Ok(said)
    }
}

impl Write for TlsOutput {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.sent(|connection| connection.writer().write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sent(|_| Ok(()))
    }
}

impl Drop for TlsOutput {
    fn drop(&mut self) {
        // The other end may be gone: nothing is owed to it any more.
        let _ = self.sent(|connection| {
            connection.send_close_notify();
            Ok(())
        });
    }
}

/// Puts DEFLATE over both halves.
pub(super) fn deflated(input: Input, output: Output) -> (Input, Output) {
    let output = flate2::write::DeflateEncoder::new(output, Compression::fast());
    let state = Decompress::new(false);
    (Box::new(Inflating { input, state, raw: vec![0; PIECE], waiting: 0..0 }), Box::new(output))
}

/// Decompresses and gives what there is without waiting for more input.
struct Inflating {
    input: Input,
    state: Decompress,
    raw: Vec<u8>,
    /// What of `raw` has been received and not yet been decompressed.
    waiting: Range<usize>,
}

impl Read for Inflating {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let (taken, given) = (self.state.total_in(), self.state.total_out());
            let octets = &self.raw[self.waiting.clone()];
            // Also without input: it may hold back what the last call had no room for.
            let status = self.state.decompress(octets, into, FlushDecompress::None).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("COMPRESS DEFLATE: {error}"))
            })?;
            self.waiting.start += counted(self.state.total_in() - taken);
            let produced = counted(self.state.total_out() - given);
            if produced > 0 || status == Status::StreamEnd {
                return Ok(produced);
            }
            if self.waiting.is_empty() {
                let received = self.input.read(&mut self.raw)?;
                self.waiting = 0..received;
                if received == 0 {
                    return Ok(0);
                }
            }
        }
    }
}

/// A number of octets of one buffer.
fn counted(octets: u64) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_was_compressed_arrives_without_waiting_for_more() {
        let (near, far) = UnixStream::pair().unwrap();
        let (_, mut output) = deflated(Box::new(io::empty()), Box::new(far));
        let (mut input, _) = deflated(Box::new(near), Box::new(io::sink()));
        // Larger than what is read at once: the rest waits within the decompressor.
        let block = b"a line that comes again and again\r\n".repeat(10_000);
        for round in [&b"206 go on\r\n"[..], &block, b"."] {
            output.write_all(round).unwrap();
            output.flush().unwrap();
            let mut got = vec![0; round.len()];
            let mut filled = 0;
            while filled < got.len() {
                let end = got.len().min(filled + 7_001);
                filled += input.read(&mut got[filled..end]).unwrap();
            }
            assert!(got == round);
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let (mut input, _) = deflated(Box::new(&b"\xFF\xFF\xFF\xFF 500 what?"[..]), Box::new(io::sink()));
        let error = input.read(&mut [0; 10]).unwrap_err();
        assert!(error.to_string().contains("COMPRESS DEFLATE"), "{error}");
    }
}
