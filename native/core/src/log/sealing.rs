//! Sealing what was closed while the disk took no index.

use std::{io, sync::Arc};

use super::{Log, walk::failure};
use crate::{
    error::Result,
    index::file::Coverage,
    recovery::scan::{Mark, ScanStart, look},
    segment::Segment,
};

impl Log {
    /// Stores the indexes that seal closed segments, where the disk did not take them before: as
    /// long as one is missing a start reads every segment, and the index is kept in memory. Waits
    /// for the disk.
    ///
    /// # Errors
    /// Why the first of those that are left could not be sealed; a later call tries again.
    pub(crate) fn seal_left(&self) -> Result<()> {
        let is_left = |segment: &&Arc<Segment>| segment.is_finished() && !segment.is_sealed();
        if !self.segments.read().iter().any(|segment| is_left(&segment)) {
            return Ok(());
        }
        // None of them is deleted or replaced meanwhile.
        let _one_at_a_time = self.upkeep.lock();
        self.check_usable()?;
        let left: Vec<_> = self.segments.read().iter().filter(is_left).cloned().collect();
        for segment in left {
            if self.shared.is_closing() {
                break;
            }
            self.seal_one_left(&segment).map_err(|error| failure(&segment, &error))?;
        }
        Ok(())
    }

    fn seal_one_left(&self, segment: &Segment) -> io::Result<()> {
        let Some(index) = segment.loaded_index() else {
            return Ok(());
        };
        let log_bytes = segment.end_position();
        let next_offset = self.end_offset(segment)?;
        let coverage = Coverage { sealed: true, log_bytes, next_offset };
        segment.store_index(&self.shared.files, &index, coverage)?;
        self.shared.files.forget(segment.id);
        Ok(())
    }

    /// The offset behind the last record of a closed segment: where the next one begins, but for
    /// what was lost in between. By the headers behind the last batch that the index knows.
    fn end_offset(&self, segment: &Segment) -> io::Result<u64> {
        let files = &self.shared.files;
        let end_position = segment.end_position();
        let marks = segment.marks(files)?.into_iter();
        let last = marks.filter(|mark| mark.position <= end_position).max_by_key(|m| m.position);
        let start = ScanStart {
            from: last.unwrap_or(Mark { position: 0, offset: segment.base_offset }),
            has_holes: segment.has_holes(),
            believed_position: end_position,
            producers_from: u64::MAX,
            ..ScanStart::at(segment.base_offset, 0)
        };
        look(&*segment.file(files)?, &start, segment.base_offset).map(|scanned| scanned.next_offset)
    }
}
