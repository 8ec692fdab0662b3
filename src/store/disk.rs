//! The one seam to the disk on the writing side. What the log's durability rests on is two calls:
//! write these octets there, and do not return before they are kept. Tests put a disk here that
//! fills up, fails to sync, or loses what was not synced.

use std::fs::File;
use std::io::{self, IoSlice};

/// Buffers one `pwritev` takes at most (Linux `UIO_MAXIOV`).
const BUFFERS_MAX: usize = 1024;

/// How segments are written.
pub trait Disk: Send + Sync {
    /// Writes all of `parts` one behind the other at `offset` of a segment's file.
    fn write(&self, file: &File, segment: u32, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Returns when what was written to the segment is kept even if the power fails.
    fn sync(&self, file: &File, segment: u32) -> io::Result<()>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn write(
        &self,
        file: &File,
        _segment: u32,
        mut offset: u64,
        parts: &mut [IoSlice<'_>],
    ) -> io::Result<()> {
        let mut rest = parts;
        while !rest.is_empty() {
            let now = rest.len().min(BUFFERS_MAX);
            let written = match rustix::io::pwritev(file, &rest[..now], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn sync(&self, file: &File, _segment: u32) -> io::Result<()> {
        file.sync_data()
    }
}
