//! COMPRESS DEFLATE (RFC 8054): raw deflate (RFC 1951) both ways, octets in and octets out.

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io::{Error, ErrorKind, Result};

/// On a thousand articles of people's a core packs, octets of text to one on the wire: articles, each
/// flushed, level 1: 62 MB/s, 1.9; 2: 40 MB/s, 2.3; 3: 37 MB/s, 2.5; 6: 30 MB/s, 2.5; 9: 18 MB/s, 2.6.
/// Their overview rows, level 1: 150 MB/s, 2.0; 2: 90 MB/s, 2.5; 3: 76 MB/s, 2.6; 6: 58 MB/s, 2.7.
const LEVEL: u32 = 3;
/// Octets unpacked at a time.
const PIECE: usize = 8 * 1024;
/// A client whose octets unpack to more than this many times as much, and to more than
/// [`BOMB_OCTETS`], means harm: text packs by 3 to 10, overview rows by 20.
const BOMB_RATIO: u64 = 100;
const BOMB_OCTETS: u64 = 4 * 1024 * 1024;

/// Both directions of a compressed connection; about 400 KiB.
pub(super) struct Deflate {
    pack: Compress,
    unpack: Decompress,
    /// Something was packed since the last flush.
    unflushed: bool,
    /// The last piece filled all the room: more may come out without more going in.
    more: bool,
    /// The client has ended its stream.
    ended: bool,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self {
            pack: Compress::new(Compression::new(LEVEL), false),
            unpack: Decompress::new(false),
            unflushed: false,
            more: false,
            ended: false,
        }
    }

    /// Is nothing more to be unpacked, whatever comes?
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Appends `bytes`, packed, to `wire`; some of it stays inside until [`flush`](Self::flush).
    pub(super) fn pack(&mut self, bytes: &[u8], wire: &mut Vec<u8>) -> Result<()> {
        self.unflushed |= !bytes.is_empty();
        self.run(bytes, FlushCompress::None, wire)
    }

    /// Appends what is still inside (RFC 8054 s.2.2.2: the other side must be able to read all of it).
    pub(super) fn flush(&mut self, wire: &mut Vec<u8>) -> Result<()> {
        if std::mem::take(&mut self.unflushed) {
            self.run(&[], FlushCompress::Sync, wire)?;
        }
        Ok(())
    }

    fn run(&mut self, bytes: &[u8], flush: FlushCompress, wire: &mut Vec<u8>) -> Result<()> {
        let start = self.pack.total_in();
        loop {
            let taken = usize::try_from(self.pack.total_in() - start).unwrap_or(usize::MAX);
            let rest = bytes.get(taken..).unwrap_or_default();
            wire.reserve((rest.len() / 2).max(1024));
            self.pack.compress_vec(rest, wire, flush).map_err(Error::other)?;
            let taken = usize::try_from(self.pack.total_in() - start).unwrap_or(usize::MAX);
            // Room left over means that there was no more to say.
            if taken >= bytes.len() && wire.len() < wire.capacity() {
                return Ok(());
            }
        }
    }

    /// Moves octets from `wire` to the end of `input`, unpacked, about `max` of them: how many there
    /// were, 0 when more is needed on the wire.
    ///
    /// # Errors
    /// Octets that are no deflate, and a client that wants to drown us.
    pub(super) fn unpack(&mut self, wire: &mut BytesMut, input: &mut BytesMut, max: usize) -> Result<usize> {
        let before = input.len();
        let mut piece = [0; PIECE];
        while !self.ended && (self.more || !wire.is_empty()) && input.len() - before < max {
            let (taken, given) = (self.unpack.total_in(), self.unpack.total_out());
            let status = self
                .unpack
                .decompress(wire, &mut piece, FlushDecompress::None)
                .map_err(|_| Error::new(ErrorKind::InvalidData, "not deflate"))?;
            let taken = usize::try_from(self.unpack.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(self.unpack.total_out() - given).unwrap_or(usize::MAX);
            wire.advance(taken.min(wire.len()));
            input.extend_from_slice(piece.get(..given).unwrap_or_default());
            self.more = given == PIECE;
            self.ended = status == Status::StreamEnd;
            if taken == 0 && given == 0 {
                break;
            }
        }
        let (taken, given) = (self.unpack.total_in(), self.unpack.total_out());
        if given > BOMB_OCTETS && given / BOMB_RATIO > taken {
            return Err(Error::new(ErrorKind::InvalidData, "a compression bomb"));
        }
        Ok(input.len() - before)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Whatever the pieces, what goes in comes out, and all of it at each flush.
    #[test]
    fn pieces_do_not_matter() {
        let mut random = crate::random::xorshift(7);
        let mut text = Vec::new();
        for _ in 0..4000 {
            text.extend_from_slice([&b"Subject: "[..], b"\r\n", b"a", b"<x@y.example>"][random(4) as usize]);
            text.push(random(256) as u8);
        }
        for size in [1, 7, 100, 5000, text.len()] {
            let (mut near, mut far) = (Deflate::new(), Deflate::new());
            let (mut wire, mut back) = (BytesMut::new(), BytesMut::new());
            for piece in text.chunks(size) {
                let before = back.len();
                let mut packed = Vec::new();
                near.pack(piece, &mut packed).unwrap();
                near.flush(&mut packed).unwrap();
                for octets in packed.chunks(size.div_ceil(3)) {
                    wire.extend_from_slice(octets);
                    while far.unpack(&mut wire, &mut back, 100).unwrap() > 0 {}
                }
                assert_eq!(&back[before..], piece);
            }
            assert_eq!(back, text, "pieces of {size}");
        }
    }

    #[test]
    fn a_bomb_and_noise_are_told() {
        let mut packed = Vec::new();
        Deflate::new().pack(&vec![b'x'; 32 << 20], &mut packed).unwrap();
        let mut wire = BytesMut::from(&packed[..]);
        let mut far = Deflate::new();
        let mut given = 0;
        let error = loop {
            let mut input = BytesMut::new();
            match far.unpack(&mut wire, &mut input, 64 * 1024) {
                Ok(count) => given += count,
                Err(error) => break error,
            }
            assert!(given < 5 << 20);
        };
        assert_eq!(error.to_string(), "a compression bomb");
        let noise = far.unpack(&mut BytesMut::from(&b"\xFF\xFFnoise"[..]), &mut BytesMut::new(), 10);
        assert!(
            noise.is_err()
                || Deflate::new()
                    .unpack(&mut BytesMut::from(&b"\xFF\xFF"[..]), &mut BytesMut::new(), 9)
                    .is_err()
        );
    }
}
