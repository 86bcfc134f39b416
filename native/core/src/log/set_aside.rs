//! Damage that a reader meets: answered as a gap at once, and remembered for good behind that.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use super::{Log, read::Batches};
use crate::{
    error::Code,
    recovery::scan::{Mark, is_whole},
    segment::{DamagedRange, Segment},
};

impl Log {
    /// Sets a batch aside that turned out damaged when it was read: later reads answer a gap.
    /// `from_offset` and `to_offset` are what the batch claimed to hold. Does not wait for the
    /// disk.
    pub fn set_aside(
        self: &Arc<Self>,
        batches: &Batches,
        at: Range<usize>,
        from_offset: u64,
        to_offset: u64,
    ) {
        let range = DamagedRange {
            from_offset,
            to_offset,
            from_position: batches.window.start + at.start as u64,
            to_position: batches.window.start + at.end as u64,
        };
        self.set_range_aside(&batches.segment, range);
    }

    /// As [`set_aside`](Self::set_aside), for any range of a segment.
    pub(super) fn set_range_aside(self: &Arc<Self>, segment: &Arc<Segment>, range: DamagedRange) {
        if !segment.add_damaged(range) {
            return;
        }
        let (log, segment) = (Arc::clone(self), Arc::clone(segment));
        self.shared.work.spawn(Box::new(move || log.remember_damage(&segment, Some(range))));
    }

    /// Tries again what the disk did not take before. Waits for the disk.
    pub(super) fn remember_waiting_damage(&self) {
        let segments = self.segments.read().clone();
        for segment in segments.iter().filter(|segment| segment.has_waiting_damage()) {
            self.remember_damage(segment, None);
        }
    }

    /// Stores damage, and counts it when that fails: readers have their gap all the same, and it is
    /// tried again when the log is closed.
    fn remember_damage(&self, segment: &Segment, range: Option<DamagedRange>) {
        // Deletions of the log and of its segments wait for this, and it for them.
        let _one_at_a_time = self.upkeep.lock();
        let is_there = self.segments.read().iter().any(|other| other.id == segment.id);
        if !is_there || self.ended() == Some(Code::TopicDeleted) {
            return;
        }
        let stored = range
            .map_or(Ok(None), |range| Ok(self.is_on_disk(segment, &range)?.then_some(range)))
            .and_then(|range| segment.store_damage(&self.shared.files, range));
        if stored.is_err() {
            self.shared.damage_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether recovery would find the damage, too. What only cannot be taken apart, or was wrong
    /// in memory for a moment, is not taken for lost for good.
    fn is_on_disk(&self, segment: &Segment, range: &DamagedRange) -> std::io::Result<bool> {
        let file = segment.file(&self.shared.files)?;
        let at = Mark { position: range.from_position, offset: range.from_offset };
        is_whole(&*file, at, self.config().is_compacted).map(|is_whole| !is_whole)
    }
}
