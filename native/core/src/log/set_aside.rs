//! Damage that a reader meets: answered as a gap at once, and remembered for good behind that.

use std::{
    io,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Log,
    read::{Batches, ColdRange},
};
use crate::{
    error::Code,
    recovery::scan::{Mark, ScanStart, is_whole, look},
    segment::{DamagedRange, Segment},
};

/// A place where a reader met something else than the batch that has to be there.
pub(super) struct Suspect {
    pub(super) log: Arc<Log>,
    pub(super) at: Mark,
    /// Where the batch behind it begins by its own length, if that could be seen.
    pub(super) behind: Option<Mark>,
    /// Where the visible part of the segment ends, and the offset behind it.
    pub(super) end: Mark,
}

impl Suspect {
    /// Reads the file there as recovery does and sets aside what recovery would. What is whole for
    /// recovery is a gap all the same, up to the next batch that is known of: readers have to get
    /// past it. Waits for the disk.
    pub(super) fn examine(&self, segment: &Arc<Segment>) -> io::Result<()> {
        let files = &self.log.shared.files;
        let file = segment.file(files)?;
        let marks = segment.marks(files)?;
        let mut start = ScanStart {
            from: self.at,
            offset_max: self.end.offset,
            has_holes: segment.has_holes(),
            durable: Some(self.end),
            marks: marks.clone(),
            producers_from: u64::MAX,
            stop_position: self.at.position + 1,
            ..ScanStart::at(segment.base_offset, 0)
        };
        let mut scanned = look(&*file, &start, segment.base_offset)?;
        if scanned.damaged.is_empty() && segment.has_holes() {
            // Two batches of which one has a wrong base offset: it may be the second.
            start.from = Mark { position: scanned.end_position, offset: scanned.next_offset };
            start.stop_position = scanned.end_position + 1;
            scanned = look(&*file, &start, segment.base_offset)?;
            let known = segment.damaged_ranges();
            scanned.damaged.retain(|range| !known.iter().any(|other| other.covers(range)));
        }
        if let Some(range) = scanned.damaged.first() {
            self.log.set_found_aside(segment, *range);
            return Ok(());
        }
        let is_further = |mark: &Mark| {
            mark.position > self.at.position
                && mark.offset > self.at.offset
                && mark.position <= self.end.position
                && mark.offset <= self.end.offset
        };
        let nearest = marks
            .into_iter()
            .chain(self.behind)
            .filter(is_further)
            .min_by_key(|mark| mark.position)
            .unwrap_or(self.end);
        let range = DamagedRange {
            from_offset: self.at.offset,
            to_offset: nearest.offset,
            from_position: self.at.position,
            to_position: nearest.position,
        };
        self.log.set_range_aside(segment, range);
        Ok(())
    }
}

impl Log {
    /// What is to be loaded where a batch turned out damaged when it was read: the file is asked,
    /// and from then on reads answer a gap. `from_offset` and `to_offset` are what the batch at
    /// `at` claims to hold, which may be wrong like everything else of it.
    pub fn suspect(
        self: &Arc<Self>,
        batches: &Batches,
        at: Range<usize>,
        from_offset: u64,
        to_offset: u64,
    ) -> ColdRange {
        let position = batches.window.start + at.start as u64;
        let behind = Mark { position: batches.window.start + at.end as u64, offset: to_offset };
        let suspect = Suspect {
            log: Arc::clone(self),
            at: Mark { position, offset: from_offset },
            behind: Some(behind),
            end: self.visible_end(&batches.segment),
        };
        let segment = Arc::clone(&batches.segment);
        ColdRange { segment, position, bytes: 0, suspect: Some(suspect) }
    }

    fn set_range_aside(self: &Arc<Self>, segment: &Arc<Segment>, range: DamagedRange) {
        if !segment.add_damaged(range) {
            return;
        }
        let (log, segment) = (Arc::clone(self), Arc::clone(segment));
        self.shared.work.spawn(Box::new(move || log.remember_damage(&segment, Some(range))));
    }

    /// Sets aside what was found damaged on the disk: later reads answer a gap. Waits for the disk.
    pub(super) fn set_found_aside(&self, segment: &Segment, range: DamagedRange) {
        if segment.add_damaged(range) {
            self.remember_damage(segment, Some(range));
        }
    }

    /// Whether the segment is one of the log's: it was not deleted, nor replaced.
    pub(super) fn has_segment(&self, segment: &Segment) -> bool {
        self.segments.read().iter().any(|other| other.id == segment.id)
    }

    /// Tries again what the disk did not take before. Waits for the disk.
    pub(super) fn remember_waiting_damage(&self) {
        let segments = self.segments.read().clone();
        for segment in segments.iter().filter(|segment| segment.has_waiting_damage()) {
            self.remember_damage(segment, None);
        }
    }

    /// Stores damage and reports it. It is counted when that fails: readers have their gap all the
    /// same, and it is tried again when the log is closed.
    fn remember_damage(&self, segment: &Segment, range: Option<DamagedRange>) {
        // Deletions of the log and of its segments wait for this, and it for them.
        let _one_at_a_time = self.upkeep.lock();
        if !self.has_segment(segment) || self.ended() == Some(Code::TopicDeleted) {
            return;
        }
        let known = range.map_or(Ok(None), |range| {
            let is_on_disk = self.is_on_disk(segment, &range)?;
            self.report_damage(segment, &range, is_on_disk);
            Ok(is_on_disk.then_some(range))
        });
        let stored = known.and_then(|range| segment.store_damage(&self.shared.files, range));
        if stored.is_err() {
            self.shared.damage_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report_damage(&self, segment: &Segment, range: &DamagedRange, is_on_disk: bool) {
        let DamagedRange { from_offset, to_offset, from_position, to_position } = range;
        let bytes = to_position.saturating_sub(*from_position);
        let path = segment.log_path();
        let found = if is_on_disk {
            "are damaged"
        } else {
            "could not be taken apart, although they are in their place and their checksum holds,"
        };
        let detail = format!(
            "offsets {from_offset} to {to_offset} {found} and are served around: {bytes} bytes \
             from {from_position} on in {}",
            path.display()
        );
        self.shared.warnings.add(&self.label, detail);
    }

    /// Whether recovery would find the damage, too. What only cannot be taken apart, or was wrong
    /// in memory for a moment, is not taken for lost for good.
    fn is_on_disk(&self, segment: &Segment, range: &DamagedRange) -> io::Result<bool> {
        let file = segment.file(&self.shared.files)?;
        let at = Mark { position: range.from_position, offset: range.from_offset };
        is_whole(&*file, at, segment.has_holes()).map(|is_whole| !is_whole)
    }
}
