//! Recovering one segment: what of it is whole, what is damaged, and what has to be erased.

use std::sync::{Arc, atomic::Ordering};

use super::{
    OFFSET_MAX, Position,
    open::{Opener, Stored},
};
use crate::{
    env::{File, FileSystem, OpenMode, transfer::read_full},
    error::Result,
    index::{SegmentIndex, file as index_file, file::Coverage},
    producer::ProducerStates,
    recovery::{
        RecoveryEntry, RecoveryEvent,
        checkpoint::LogMark,
        rewrite::rewrite,
        scan::{Mark, ScanStart, ScanState, Scanned, holds_batches, scan},
    },
    segment::{
        DamagedRange, Segment,
        damage::{self, KnownDamage},
    },
};

const ZERO_CHECK_BYTES: usize = 64 << 10;

/// One segment brought to memory.
pub(super) struct Opened {
    pub(super) segment: Arc<Segment>,
    pub(super) end: Position,
    /// The index file as it was found is missing, torn, or tells of what is not there.
    pub(super) is_index_stale: bool,
}

/// An index as it was found on disk, with what it covers.
type StoredIndex = (SegmentIndex, Coverage);

impl Opener<'_> {
    /// Whether a segment holds nothing that belongs to it: its directory entry survived a power
    /// cut, or was all that came about, but its batches did not.
    pub(super) fn is_blank(&self, base_offset: u64) -> Result<bool> {
        let segment = Segment::of(&self.open.directory, base_offset);
        segment.set_has_holes(self.has_holes(base_offset));
        let flushed = self.open.checkpoint.map(|LogMark { flushed, .. }| flushed);
        let file_bytes = self.file_bytes(base_offset);
        is_blank(self.files(), &segment, file_bytes, self.open.was_clean, flushed)
            .map_err(self.failed(&segment.log_path()))
    }

    /// Opens one segment. `next_base` is where the one behind it starts, if there is one.
    pub(super) fn segment(
        &self,
        base_offset: u64,
        next_base: Option<u64>,
        producers: &mut Stored,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Opened> {
        if let Some(next_base) = next_base
            && producers.offset >= next_base
            && let Some(vouched) = self.vouched(base_offset, next_base)?
        {
            return Ok(vouched);
        }
        let segment = Arc::new(Segment::of(&self.open.directory, base_offset));
        segment.set_has_holes(self.has_holes(base_offset));
        let path = segment.log_path();
        let failed = self.failed(&path);
        let files = self.files();
        let file_bytes = self.file_bytes(base_offset);
        let found = index_file::load(files, &segment.path("index"), &segment.path("timeindex"))
            .map_err(&failed)?;
        let indexed_to = found.as_ref().map(|(_, coverage)| coverage.next_offset);
        let stored = found.filter(|(_, coverage)| coverage.log_bytes <= file_bytes);
        let known = self.known_damage(&segment)?;
        if let Some((_, coverage)) = &stored
            && coverage.sealed
            && coverage.log_bytes == file_bytes
            && next_base.is_some()
            && producers.offset >= coverage.next_offset
            && let KnownDamage::Ranges(known) = &known
        {
            segment.set_damaged(known.clone());
            segment.set_end_position(coverage.log_bytes);
            segment.set_stored();
            let end = Position {
                offset: coverage.next_offset,
                segment_base: base_offset,
                position: coverage.log_bytes,
            };
            return Ok(Opened { segment, end, is_index_stale: false });
        }
        let file = files.open(&path, OpenMode::ReadWrite).map_err(&failed)?;
        let end = self.recover(&segment, &*file, (stored, known), next_base, producers, report)?;
        if next_base.is_some() {
            self.seal(&segment, &*file, end)?;
        }
        let mut is_index_stale = indexed_to.is_none_or(|indexed_to| indexed_to > end.offset);
        if is_index_stale && next_base.is_none() && segment.has_holes() {
            // A checkpoint is believed about such a segment beside an index only.
            is_index_stale = !self.store_tail_index(&segment, end);
        }
        Ok(Opened { segment, end, is_index_stale })
    }

    /// Stores the index of the segment that is being written; returns whether that went well.
    fn store_tail_index(&self, segment: &Segment, end: Position) -> bool {
        let coverage = Coverage { sealed: false, log_bytes: end.position, next_offset: end.offset };
        let index = segment.loaded_index().unwrap_or_default();
        let is_stored = segment.store_index(&self.shared.files, &index, coverage).is_ok();
        if !is_stored {
            self.note_hint_failure();
        }
        is_stored
    }

    /// Reads the part of a segment that nothing vouches for, erases what lies behind its last batch
    /// and makes the rest durable.
    fn recover(
        &self,
        segment: &Segment,
        file: &dyn File,
        (stored, known): (Option<StoredIndex>, KnownDamage),
        next_base: Option<u64>,
        producers: &mut Stored,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Position> {
        let path = segment.log_path();
        let failed = self.failed(&path);
        let base_offset = segment.base_offset;
        let durable = self.durable_mark(base_offset, stored.as_ref().map(|(_, c)| *c));
        let marks = marks(base_offset, stored.as_ref(), &known);
        let resumed = self.resume(stored, durable, &known, producers)?;
        let (mut index, from) =
            resumed.unwrap_or((SegmentIndex::default(), Mark { position: 0, offset: base_offset }));
        let start = ScanStart {
            from,
            offset_max: next_base.unwrap_or(OFFSET_MAX),
            has_holes: segment.has_holes(),
            durable,
            // A damaged batch may have a whole header: where damage is not known, look at it all.
            believed_position: durable
                .filter(|_| known != KnownDamage::Unreadable)
                .map_or(0, |mark| mark.position),
            marks,
            suspects: known.ranges().map(|range| range.from_position).collect(),
            producers_from: producers.offset,
            now_ms: self.shared.env.clock.wall_ms(),
            ..ScanStart::at(base_offset, 0)
        };
        let mut state = ScanState {
            index: &mut index,
            producers: &mut producers.states,
            index_interval_bytes: self.open.config.index_interval_bytes,
            base_offset,
        };
        let mut scanned = scan(file, &start, &mut state).map_err(&failed)?;
        // Before anything is written once more.
        if let Some(modified_ms) = file.modified_ms().map_err(&failed)? {
            index.note_append(modified_ms);
        }
        if let Some(next_base) = next_base {
            self.keep_damaged_end(file, &mut scanned, next_base)?;
        }
        producers.offset = producers.offset.max(scanned.next_offset);
        let damaged = self.note_damage(segment, known, from.position, scanned.damaged, report)?;
        let end = Position {
            offset: scanned.next_offset,
            segment_base: base_offset,
            position: scanned.end_position,
        };
        let durable_position = durable.map_or(0, |mark| mark.position);
        self.settle_file(file, &path, end, durable_position, report)?;
        segment.set_index(index);
        segment.set_damaged(damaged);
        segment.set_end_position(end.position);
        Ok(end)
    }

    /// Where the scan may start instead of at the first batch: where an index and a snapshot of the
    /// producers end together, within what is durable.
    fn resume(
        &self,
        stored: Option<StoredIndex>,
        durable: Option<Mark>,
        known: &KnownDamage,
        producers: &mut Stored,
    ) -> Result<Option<(SegmentIndex, Mark)>> {
        let Some((index, coverage)) = stored else {
            return Ok(None);
        };
        let is_durable = durable.is_some_and(|mark| coverage.log_bytes <= mark.position);
        if !is_durable || *known == KnownDamage::Unreadable {
            return Ok(None);
        }
        let Some(states) = self.snapshot(coverage.next_offset)? else {
            return Ok(None);
        };
        *producers = Stored { states, offset: coverage.next_offset };
        let from = Mark { position: coverage.log_bytes, offset: coverage.next_offset };
        Ok(Some((index, from)))
    }

    /// The producers as they were where the last segment is going to be read from, if it can be
    /// [resumed](Self::resume): then nothing in front of it has to be read for their sake.
    pub(super) fn producers_of_tail(&self, last_base: u64) -> Result<Option<Stored>> {
        let segment = Segment::of(&self.open.directory, last_base);
        if !self.is_listed(last_base, "index") {
            return Ok(None);
        }
        let path = segment.path("index");
        let found = index_file::load(self.files(), &path, &segment.path("timeindex"))
            .map_err(self.failed(&path))?;
        let file_bytes = self.file_bytes(last_base);
        let stored = found.filter(|(_, coverage)| coverage.log_bytes <= file_bytes);
        let durable = self.durable_mark(last_base, stored.as_ref().map(|(_, coverage)| *coverage));
        let mut producers = Stored { states: ProducerStates::default(), offset: 0 };
        let known = self.known_damage(&segment)?;
        let resumed = self.resume(stored, durable, &known, &mut producers)?;
        Ok(resumed.map(|_| producers))
    }

    /// How far the segment was durable by the checkpoint or by its seal.
    fn durable_mark(&self, base_offset: u64, coverage: Option<Coverage>) -> Option<Mark> {
        let by_seal = coverage
            .filter(|coverage| coverage.sealed)
            .map(|coverage| Mark { position: coverage.log_bytes, offset: coverage.next_offset });
        // A checkpoint may be about what the file was before it was compacted; not if it is further
        // than the index, which is always that of the file, or just as far.
        let is_of_this_file = |flushed: &Position| {
            let is_of_index = |Coverage { log_bytes, next_offset, .. }: Coverage| {
                flushed.offset > next_offset
                    || (flushed.offset == next_offset && flushed.position == log_bytes)
            };
            !self.has_holes(base_offset) || coverage.is_some_and(is_of_index)
        };
        let is_meant =
            |flushed: &Position| flushed.segment_base == base_offset && is_of_this_file(flushed);
        let by_checkpoint = self
            .open
            .checkpoint
            .map(|mark| mark.flushed)
            .filter(is_meant)
            .map(|flushed| Mark { position: flushed.position, offset: flushed.offset });
        by_seal.max(by_checkpoint)
    }

    /// In a segment that another one follows, bytes behind the last whole batch are no unfinished
    /// append but damage: they stay, and are served around.
    fn keep_damaged_end(
        &self,
        file: &dyn File,
        scanned: &mut Scanned,
        next_base: u64,
    ) -> Result<()> {
        let failed = self.failed(&self.open.directory);
        let file_bytes = file.len().map_err(&failed)?;
        if scanned.next_offset >= next_base {
            return Ok(());
        }
        let written =
            bytes_written_behind(file, scanned.end_position, file_bytes).map_err(&failed)?;
        if written > 0 {
            // To the end of the file: the last bytes of a batch may be zeros, too.
            let to_position = file_bytes;
            scanned.damaged.push(DamagedRange {
                from_offset: scanned.next_offset,
                to_offset: next_base,
                from_position: scanned.end_position,
                to_position,
            });
            scanned.end_position = to_position;
            scanned.next_offset = next_base;
        }
        Ok(())
    }

    /// Stores and reports damage that was not known yet; returns all of the segment's damage.
    fn note_damage(
        &self,
        segment: &Segment,
        known: KnownDamage,
        scanned_from: u64,
        found: Vec<DamagedRange>,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Vec<DamagedRange>> {
        let is_unreadable = known == KnownDamage::Unreadable;
        let known = match known {
            KnownDamage::Ranges(ranges) => ranges,
            KnownDamage::Unreadable => Vec::new(),
        };
        let mut damaged: Vec<DamagedRange> =
            known.iter().copied().filter(|range| range.to_position <= scanned_from).collect();
        damaged.extend(found);
        if damaged == known && !is_unreadable {
            return Ok(damaged);
        }
        let name = Segment::file_name(segment.base_offset, "damage");
        damage::store(self.files(), &self.open.directory, &name, &damaged)
            .map_err(self.failed(&segment.path("damage")))?;
        for range in damaged.iter().filter(|range| !known.contains(range)) {
            let bytes = range.to_position.saturating_sub(range.from_position);
            report.push(self.quarantined(range.from_offset, range.to_offset, bytes));
        }
        Ok(damaged)
    }

    /// Cuts the file at `end` and makes everything before it durable. Done before the log serves
    /// or accepts anything: an old whole batch behind the tail must not come back to life behind
    /// a later append of the same length.
    fn settle_file(
        &self,
        file: &dyn File,
        path: &std::path::Path,
        end: Position,
        durable_position: u64,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<()> {
        let failed = self.failed(path);
        let file_bytes = file.len().map_err(&failed)?;
        if file_bytes > end.position {
            let lost = bytes_written_behind(file, end.position, file_bytes).map_err(&failed)?;
            if lost > 0 {
                report.push(RecoveryEntry {
                    subject: self.open.label.clone(),
                    event: RecoveryEvent::TailErased { offset: end.offset, bytes: lost },
                });
            }
            file.truncate(end.position).map_err(&failed)?;
        } else if self.open.was_clean || (self.open.is_settled && end.position <= durable_position)
        {
            return Ok(());
        }
        if !self.open.was_clean {
            rewrite(file, durable_position, end.position).map_err(&failed)?;
        }
        file.sync_data().map_err(&failed)
    }

    /// Closes a segment that was rolled but not sealed when the broker stopped.
    fn seal(&self, segment: &Segment, file: &dyn File, end: Position) -> Result<()> {
        let path = segment.log_path();
        file.sync_data().map_err(self.failed(&path))?;
        let coverage = Coverage { sealed: true, log_bytes: end.position, next_offset: end.offset };
        let index = segment.loaded_index().unwrap_or_default();
        // A hint: as long as there is none, a start reads the segment once more.
        if segment.store_index(&self.shared.files, &index, coverage).is_err() {
            self.note_hint_failure();
            self.shared.is_sealing_due.store(true, Ordering::Release);
        }
        segment.set_finished();
        Ok(())
    }
}

/// Whether a segment of so many bytes holds nothing that belongs to it, by its file and by what a
/// checkpoint says: how far the log was flushed, and whether the stop was a clean one.
///
/// # Errors
/// An I/O error while reading.
pub(crate) fn is_blank(
    files: &dyn FileSystem,
    segment: &Segment,
    file_bytes: u64,
    was_clean: bool,
    flushed: Option<Position>,
) -> std::io::Result<bool> {
    if file_bytes == 0 {
        return Ok(true);
    }
    let is_flushed = flushed
        .is_some_and(|flushed| flushed.segment_base == segment.base_offset && flushed.position > 0);
    if was_clean || is_flushed {
        return Ok(false);
    }
    let file = files.open(&segment.log_path(), OpenMode::Read)?;
    let start =
        ScanStart { has_holes: segment.has_holes(), ..ScanStart::at(segment.base_offset, 0) };
    holds_batches(&*file, &start).map(|holds| !holds)
}

/// Where batches may begin, by what was stored about the segment.
fn marks(base_offset: u64, stored: Option<&StoredIndex>, known: &KnownDamage) -> Vec<Mark> {
    let mut marks = stored.map(|(index, _)| index.marks(base_offset)).unwrap_or_default();
    marks.extend(known.ranges().map(DamagedRange::end));
    marks
}

/// Bytes from `from` to the last one that is not zero: zeros were only allocated ahead.
pub(crate) fn bytes_written_behind(file: &dyn File, from: u64, to: u64) -> std::io::Result<u64> {
    let mut buffer = vec![0; ZERO_CHECK_BYTES];
    let mut position = from;
    let mut last = from;
    while position < to {
        let read = read_full(file, &mut buffer, position)?;
        if read == 0 {
            break;
        }
        let chunk = buffer.get(..read).unwrap_or_default();
        if let Some(index) = chunk.iter().rposition(|byte| *byte != 0) {
            last = position + index as u64 + 1;
        }
        position += read as u64;
    }
    Ok(last - from)
}
