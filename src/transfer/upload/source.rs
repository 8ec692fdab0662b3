//! The parts that are still to be posted, read from their files one after the other.

use super::plan::{Plan, PlannedFile};
use super::{Taken, TransferError};
use crc32fast::Hasher;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A part as it was read.
pub(super) struct Piece {
    pub(super) file: usize,
    /// From 0.
    pub(super) part: usize,
    pub(super) offset: u64,
    pub(super) data: Vec<u8>,
    pub(super) crc: u32,
    /// The whole file's, with its last part.
    pub(super) file_crc: Option<u32>,
}

/// Reads each file once, from its beginning, but for what the server has already.
pub(super) struct Source<'a> {
    plan: &'a Plan,
    file: usize,
    part: usize,
    open: Option<File>,
    /// The CRC32 of the open file so far.
    sum: Hasher,
}

impl<'a> Source<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, file: 0, part: 0, open: None, sum: Hasher::new() }
    }

    /// The next part that is not `taken`; none at the end.
    pub(super) fn next(&mut self, taken: &[Vec<Option<Taken>>]) -> Result<Option<Piece>, TransferError> {
        loop {
            let Some(file) = self.plan.files.get(self.file) else { return Ok(None) };
            if self.part == file.ids.len() {
                (self.file, self.part, self.open, self.sum) = (self.file + 1, 0, None, Hasher::new());
                continue;
            }
            let (offset, len) = self.plan.range(self.file, self.part);
            let at = (self.file, self.part);
            self.part += 1;
            if let Some(taken) = taken.get(at.0).and_then(|parts| *parts.get(at.1)?) {
                self.sum.combine(&Hasher::new_with_initial_len(taken.crc, len));
                continue;
            }
            let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
            let failed = |error| TransferError::File(file.path.clone(), error);
            let open = match self.open.take() {
                Some(open) => open,
                None => File::open(&file.path).map_err(failed)?,
            };
            open.read_exact_at(&mut data, offset).map_err(failed)?;
            // One that changes meanwhile would be neither the old file nor the new one.
            check_unchanged(file, &open)?;
            self.open = Some(open);
            let crc = crc32fast::hash(&data);
            self.sum.combine(&Hasher::new_with_initial_len(crc, len));
            let is_last = self.part == file.ids.len();
            let file_crc = is_last.then(|| self.sum.clone().finalize());
            return Ok(Some(Piece { file: at.0, part: at.1, offset, data, crc, file_crc }));
        }
    }
}

fn check_unchanged(file: &PlannedFile, open: &File) -> Result<(), TransferError> {
    let now = open.metadata().map_err(|error| TransferError::File(file.path.clone(), error))?;
    if file.is_unchanged(&now) {
        return Ok(());
    }
    let path = file.path.display();
    Err(TransferError::Unfit(format!("{path} was changed while it was uploaded; begin anew when it rests")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Request;
    use super::*;
    use std::path::PathBuf;

    fn request(files: Vec<PathBuf>) -> Request {
        Request {
            files,
            newsgroups: "a.b".to_owned(),
            from: "a@b".to_owned(),
            words: None,
            part_size: 10,
            connections: 1,
            nzb: PathBuf::new(),
        }
    }

    #[test]
    fn the_files_sum_is_right_whatever_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let content: Vec<u8> = (0..35).collect();
        std::fs::write(&path, &content).unwrap();
        let plan = Plan::make(&request(vec![path]), "x").unwrap();
        let all: Vec<Taken> =
            content.chunks(10).map(|data| Taken { bytes: 1, crc: crc32fast::hash(data) }).collect();
        for skipped in 0..8_u32 {
            let taken: Vec<Option<Taken>> =
                (0..4).map(|part| (part < 3 && skipped >> part & 1 == 1).then_some(all[part])).collect();
            let taken = [taken];
            let mut source = Source::new(&plan);
            let mut read = 0;
            while let Some(piece) = source.next(&taken).unwrap() {
                assert_eq!(piece.data, content[piece.offset as usize..][..piece.data.len()]);
                assert_eq!(piece.file_crc, (piece.part == 3).then(|| crc32fast::hash(&content)));
                read += 1;
            }
            assert_eq!(read, 4 - skipped.count_ones());
        }
    }

    #[test]
    fn a_file_that_changes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, [7; 35]).unwrap();
        let request = request(vec![path.clone()]);
        let plan = Plan::make(&request, "x").unwrap();
        assert_eq!(plan.differs(&request), None);
        std::fs::write(&path, [7; 36]).unwrap();
        let error = Source::new(&plan).next(&[]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("was changed"), "{error}");
        assert_eq!(plan.differs(&request), Some("a file that has changed since"));
    }
}
