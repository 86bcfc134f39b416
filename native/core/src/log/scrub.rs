//! Reading closed segments again, piece by piece, to find damage before a reader does.
//!
//! What a disk loses without a word is found only by reading it. A piece is checked as recovery
//! checks it; what is damaged is served around from then on, and reported.

use std::sync::Arc;

use super::{Log, walk::failure};
use crate::{
    env::{File, OpenMode},
    error::Result,
    index::{SegmentIndex, file as index_file, file::Coverage},
    producer::ProducerStates,
    recovery::scan::{Mark, ScanStart, ScanState, Scanned, scan},
    segment::{DamagedRange, Segment},
};

/// How far a closed segment has been gone over.
pub(crate) struct SegmentScrub {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    next: Mark,
    /// Where the segment ends, and the offset at which the next one begins.
    end: Mark,
    /// Where the index says that batches begin.
    marks: Vec<Mark>,
    has_index: bool,
    /// Made on the way.
    index: SegmentIndex,
    is_damaged: bool,
}

impl Log {
    /// Begins with the first closed segment from a base offset on, which moves behind it; `None`
    /// when there is none. Waits for the disk.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] where the file cannot be opened.
    pub(crate) fn begin_scrub(&self, from_base: &mut u64) -> Result<Option<SegmentScrub>> {
        // Compaction gives a path to another file: the one that is opened is to be the segment's.
        let _one_at_a_time = self.upkeep.lock();
        let segments = self.segments.read().clone();
        let mut closed = segments.iter().zip(segments.iter().skip(1));
        let Some((segment, next)) =
            closed.find(|(segment, _)| segment.base_offset >= *from_base && segment.is_sealed())
        else {
            return Ok(None);
        };
        *from_base = next.base_offset;
        let files = self.shared.files.file_system();
        let file = files
            .open(&segment.log_path(), OpenMode::ReadOnce)
            .map_err(|error| failure(segment, &error))?;
        // One that cannot be read is made again, as one that cannot be believed.
        let stored = index_file::load(files, &segment.path("index"), &segment.path("timeindex"))
            .unwrap_or_default();
        let base_offset = segment.base_offset;
        Ok(Some(SegmentScrub {
            segment: Arc::clone(segment),
            file,
            next: Mark { position: 0, offset: base_offset },
            end: Mark { position: segment.end_position(), offset: next.base_offset },
            has_index: stored.is_some(),
            marks: stored.map(|(index, _)| index.marks(base_offset)).unwrap_or_default(),
            index: SegmentIndex::default(),
            is_damaged: false,
        }))
    }

    /// Goes over about `bytes_max` of the segment, one batch at least; sets aside what is damaged.
    /// Returns the bytes read, and whether the segment is through. Waits for the disk.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] where the disk cannot be read: there is no going
    /// on.
    pub(crate) fn scrub(
        self: &Arc<Self>,
        scrub: &mut SegmentScrub,
        bytes_max: u64,
    ) -> Result<(u64, bool)> {
        let from = scrub.next;
        let scanned =
            self.scan_piece(scrub, bytes_max).map_err(|error| failure(&scrub.segment, &error))?;
        scrub.next = Mark { position: scanned.end_position, offset: scanned.next_offset };
        scrub.is_damaged |= !scanned.damaged.is_empty();
        let log_start = self.offsets().log_start;
        // Damage among records that were deleted is nobody's loss.
        for range in scanned.damaged.iter().filter(|range| range.to_offset > log_start) {
            self.set_found_aside(&scrub.segment, *range);
        }
        let bytes = scanned.end_position.saturating_sub(from.position);
        let is_through = bytes == 0 || scrub.next.position >= scrub.end.position;
        if is_through && !scrub.has_index && !scrub.is_damaged {
            self.store_missing_index(scrub);
        }
        Ok((bytes, is_through))
    }

    fn scan_piece(&self, scrub: &mut SegmentScrub, bytes_max: u64) -> std::io::Result<Scanned> {
        let base_offset = scrub.segment.base_offset;
        let known = scrub.segment.damaged_ranges();
        let start = ScanStart {
            from: scrub.next,
            offset_max: scrub.end.offset,
            has_holes: scrub.segment.has_holes(),
            durable: Some(scrub.end),
            marks: scrub.marks.iter().copied().chain(known.iter().map(DamagedRange::end)).collect(),
            producers_from: u64::MAX,
            stop_position: scrub.next.position.saturating_add(bytes_max).min(scrub.end.position),
            ..ScanStart::at(base_offset, 0)
        };
        let mut state = ScanState {
            index: &mut scrub.index,
            producers: &mut ProducerStates::default(),
            index_interval_bytes: self.config().index_interval_bytes,
            base_offset,
        };
        scan(&*scrub.file, &start, &mut state)
    }

    /// Stores the index of a segment that has none which can be believed: without one every look-up
    /// begins at the segment's start. A hint: where the disk does not take it, that is counted.
    fn store_missing_index(&self, scrub: &mut SegmentScrub) {
        let _one_at_a_time = self.upkeep.lock();
        let segment = &scrub.segment;
        if self.ended().is_some() || !self.has_segment(segment) {
            return;
        }
        let coverage = Coverage {
            sealed: true,
            log_bytes: scrub.end.position,
            next_offset: scrub.next.offset,
        };
        let files = &self.shared.files;
        let stored = scrub.file.modified_ms().and_then(|modified_ms| {
            if let Some(modified_ms) = modified_ms {
                scrub.index.note_append(modified_ms);
            }
            segment.store_index(files, &scrub.index, coverage)
        });
        files.forget(segment.id);
        let found = match stored {
            Ok(()) => "could not be believed and was made again".to_owned(),
            Err(error) => format!("cannot be believed, nor made again: {error}"),
        };
        let path = segment.path("index");
        self.shared.warnings.add(&self.label, format!("the index {} {found}", path.display()));
    }
}
