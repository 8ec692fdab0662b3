//! Checking: every record of the log by its checksums, and that the index agrees with it.

use super::block::NUMBERS;
use super::record::Kind;
use super::segment::{Scan, Step};
use super::shared::Shared;
use super::types::{Location, StoreError, VerifyReport, Wait};
use std::collections::HashMap;

/// Lines of damage that are reported one by one.
const LINES_MAX: usize = 1000;

struct Check<'a> {
    shared: &'a Shared,
    report: VerifyReport,
    /// Articles found in the log, by newsgroup id.
    filed: HashMap<u32, u64>,
}

impl Check<'_> {
    fn wrong(&mut self, location: Location, what: &str) {
        let Location { segment, offset } = location;
        self.line(format!("segment {segment}, offset {offset}: {what}"));
    }

    fn line(&mut self, line: String) {
        if self.report.damage.len() < LINES_MAX {
            self.report.damage.push(line);
        }
    }

    fn segment(&mut self, scan: &mut Scan) -> std::io::Result<()> {
        loop {
            match scan.step()? {
                Step::End => return Ok(()),
                Step::Damage(range) => {
                    let octets = range.end - range.start;
                    self.wrong(scan.location(range.start), &format!("{octets} octets are no record"));
                }
                Step::Record(at) => self.record(scan, at)?,
            }
        }
    }

    fn record(&mut self, scan: &mut Scan, at: u64) -> std::io::Result<()> {
        let location = scan.location(at);
        if !scan.article_is_whole(at)? {
            self.wrong(location, "the article is damaged");
        }
        let Some(record) = scan.facts(at)? else { return Ok(()) };
        self.report.records += 1;
        self.report.bytes += record.header.total();
        if record.header.kind != Kind::Article {
            return Ok(());
        }
        self.report.articles += 1;
        let known = self.shared.history.locate(self.shared.history.fingerprint_of(record.id()));
        if known != Some(location) {
            self.wrong(location, "the history does not know the article");
        }
        for (id, number) in record.filed() {
            let Some(group) = self.shared.groups.by_id(id) else {
                self.wrong(location, &format!("there is no newsgroup with id {id}"));
                continue;
            };
            if number < group.state().facts.low {
                continue;
            }
            *self.filed.entry(id).or_default() += 1;
            let row = self.shared.block(&group, number / NUMBERS, Wait::Disk);
            let agrees = row.is_ok_and(|block| {
                let found = block.rows(number..number + 1).next();
                found.is_some_and(|(_, packed, row)| packed.location() == location && row == record.row())
            });
            if !agrees {
                self.wrong(location, &format!("the overview of {}:{number} disagrees", group.name()));
            }
        }
        Ok(())
    }
}

/// See [`super::Store::verify`].
pub(super) fn verify(shared: &Shared, progress: &dyn Fn(u64, u64)) -> Result<VerifyReport, StoreError> {
    let mut check = Check { shared, report: VerifyReport::default(), filed: HashMap::new() };
    let tip = shared.log.tip();
    // What comes while we read is filed too: only what stands still can be counted.
    let counts: Vec<_> = shared.groups.all().into_iter().map(|group| (group.marks(), group)).collect();
    let segments: Vec<u32> =
        shared.spool.segments().into_iter().filter(|segment| *segment <= tip.end.segment).collect();
    let len =
        |segment| if segment == tip.end.segment { tip.end.offset } else { shared.spool.octets_of(segment) };
    let total = segments.iter().map(|segment| len(*segment)).sum();
    let mut done = 0;
    for segment in segments {
        let path = shared.spool.path(segment);
        match shared.spool.has_header(segment) {
            Ok(true) => {}
            Ok(false) => check.wrong(Location { segment, offset: 0 }, "the segment's header is damaged"),
            Err(error) => return Err(StoreError::Io(path, error)),
        }
        if let Some(mut scan) = Scan::new(&shared.spool, segment, 0, len(segment)) {
            check.segment(&mut scan).map_err(|error| StoreError::Io(path, error))?;
        }
        done += len(segment);
        progress(done, total);
    }
    for (marks, group) in counts {
        let found = check.filed.get(&group.id).copied().unwrap_or_default();
        if marks == group.marks() && marks.count != found {
            check.line(format!("{}: {} articles counted, {found} found", group.name(), marks.count));
        }
    }
    Ok(check.report)
}
