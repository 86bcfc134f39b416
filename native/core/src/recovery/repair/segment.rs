//! Repairing one segment: what is no whole batch is cut out, and hints that are wrong are made
//! again or removed.
//!
//! The segment is written anew beside itself and takes its own place as a compacted one does, in
//! steps of which a start, or the next repair, completes the rest:
//!
//! 1. What is cut out lies in `salvage/`, and the report says so, durably.
//! 2. `BASE.cleaned` is durable.
//! 3. `compaction.json` names the swap and allows the segment's holes, durably and at once: holes
//!    in the damaged segment would hide its damage.
//! 4. `BASE.cleaned` is renamed over `BASE.log`, durably.
//! 5. The old hints are removed, durably: they are about other positions. `BASE.damage`, which a
//!    start leaves there, is found out to be wrong by any that reads the segment without an index.
//! 6. The new index is written, and `compaction.json` says that the swap is over.
//!
//! Whatever of this a stop leaves is a segment with its damage and all that is known of it, or one
//! without.

use std::{ops::Range, path::PathBuf, sync::Arc};

use super::{Repair, RepairAction, partition::Place};
use crate::{
    batch::{
        BatchHeader, HEADER_BYTES,
        header::{Attributes, LENGTH_OVERHEAD_BYTES, NO_TIMESTAMP, TimestampType, crc32c},
    },
    compaction::state::CLEANED,
    compression::Codec,
    env::{
        File, OpenMode,
        transfer::{read_full, write_full},
    },
    error::{Error, Result},
    index::{SegmentIndex, file as index_file, file::Coverage},
    log::{OFFSET_MAX, Position, recover::bytes_written_behind},
    producer::ProducerStates,
    recovery::{
        rewrite::rewrite,
        scan::{Mark, ScanStart, ScanState, Scanned, scan},
        verify::{CheckedBatches, check_records},
    },
    segment::{
        DamagedRange, Segment,
        damage::{self, KnownDamage},
    },
};

const COPY_BYTES: u64 = 1 << 20;
/// As `index.interval.bytes`, which a repair does not know.
const INDEX_INTERVAL_BYTES: u64 = 4096;

/// A segment, and what was found in it.
struct Found {
    segment: Segment,
    file: Arc<dyn File>,
    /// Its last modification by the broker, in ms since 1970.
    modified_ms: Option<i64>,
    next_base: Option<u64>,
    scanned: Scanned,
    checked: CheckedBatches,
    known: KnownDamage,
    stored: Option<(SegmentIndex, Coverage)>,
    /// Bytes behind the last batch that counts, without zeros that were allocated ahead.
    tail_bytes: u64,
}

impl Repair<'_> {
    /// Repairs one segment; its offsets end before `next_base`.
    pub(super) fn segment(
        &mut self,
        place: &mut Place,
        base_offset: u64,
        next_base: Option<u64>,
    ) -> Result<()> {
        let found = self.look_at(place, base_offset, next_base)?;
        self.report.record_count += found.checked.record_count;
        self.report.bytes += found.checked.bytes;
        self.leader_epoch_max = self.leader_epoch_max.max(found.checked.leader_epoch_max);
        self.producer_id_max = self.producer_id_max.max(found.checked.producer_id_max);
        if !found.scanned.damaged.is_empty() {
            return self.cut_out(place, &found);
        }
        if found.tail_bytes > 0 {
            self.cut_tail(place, &found)?;
        }
        self.hints(place, &found)
    }

    fn look_at(&self, place: &Place, base_offset: u64, next_base: Option<u64>) -> Result<Found> {
        let segment = Segment::new(&place.path, base_offset);
        segment.set_has_holes(base_offset < place.compaction.holes_below);
        let path = segment.log_path();
        let failed =
            |error: std::io::Error| Error::io(format_args!("reading {}", path.display()), &error);
        let files = &*self.env.files;
        let file = files.open(&path, OpenMode::ReadOnce).map_err(failed)?;
        let file_bytes = file.len().map_err(failed)?;
        let modified_ms = file.modified_ms().map_err(failed)?;
        let known = damage::load(files, &segment.path("damage")).map_err(failed)?;
        let stored = index_file::load(files, &segment.path("index"), &segment.path("timeindex"))
            .map_err(failed)?;
        let mut marks = stored.as_ref().map(|(index, _)| index.marks(base_offset));
        let mut marks = marks.take().unwrap_or_default();
        marks.extend(known.ranges().map(DamagedRange::end));
        let flushed = place.checkpoint.filter(|at| at.segment_base == base_offset);
        let start = ScanStart {
            offset_max: next_base.unwrap_or(OFFSET_MAX),
            has_holes: segment.has_holes(),
            durable: match next_base {
                Some(offset) => Some(Mark { position: file_bytes, offset }),
                None => flushed.map(|at| Mark { position: at.position, offset: at.offset }),
            },
            marks,
            producers_from: u64::MAX,
            is_unread_damage: true,
            ..ScanStart::at(base_offset, 0)
        };
        let mut scanned =
            scan_whole(&*file, &start, &mut SegmentIndex::default()).map_err(failed)?;
        let checked = check_records(&*file, start.from, &scanned, &mut |_| ()).map_err(failed)?;
        // Nobody reads those either.
        scanned.damaged.extend(&checked.unreadable);
        scanned.damaged.sort_unstable_by_key(|range| range.from_position);
        let tail_bytes = bytes_written_behind(&*file, scanned.end_position, file_bytes)
            .unwrap_or(file_bytes.saturating_sub(scanned.end_position));
        Ok(Found {
            segment,
            file,
            modified_ms,
            next_base,
            scanned,
            checked,
            known,
            stored,
            tail_bytes,
        })
    }

    /// Writes the segment anew without what is damaged.
    fn cut_out(&mut self, place: &mut Place, found: &Found) -> Result<()> {
        let path = found.segment.log_path();
        let mut actions = Vec::new();
        for range in &found.scanned.damaged {
            let bytes = range.to_position.saturating_sub(range.from_position);
            let (salvaged_to, detail) = if bytes > 0 {
                let cut = range.from_position..range.to_position;
                (self.keep_range(place, found, cut)?, "no whole batches: cut out")
            } else {
                (None, "nothing is there for these offsets: they are left out from now on")
            };
            actions.push(RepairAction {
                from_offset: Some(range.from_offset),
                to_offset: Some(range.to_offset),
                position: Some(range.from_position),
                bytes,
                salvaged_to,
                ..place.action(&path, detail)
            });
        }
        if found.tail_bytes > 0 {
            actions.push(self.tail_action(place, found)?);
        }
        let told_before = self.report.actions.len();
        self.report.actions.append(&mut actions);
        if !self.is_for_real() {
            return Ok(());
        }
        let written = self.store_report().and_then(|()| self.write_cleaned(place, found));
        let is_begun = written.and_then(|written| {
            let end_offset = found.next_base.unwrap_or(found.scanned.next_offset);
            self.begin_swap(place, found.segment.base_offset, end_offset).map(|()| written)
        });
        match is_begun {
            Ok((file, end_position)) => self.swap(place, found, &*file, end_position),
            Err(error) => {
                if self.give_up(place, &found.segment) {
                    // Nothing was done of what they tell of.
                    self.report.actions.truncate(told_before);
                }
                Err(error)
            }
        }
    }

    /// Writes what is whole of a segment beside it, durably; returns how long it is.
    fn write_cleaned(&self, place: &Place, found: &Found) -> Result<(Arc<dyn File>, u64)> {
        let cleaned = found.segment.path(CLEANED);
        let failed = |error: std::io::Error| {
            Error::io(format_args!("writing {}", cleaned.display()), &error)
        };
        let files = &*self.env.files;
        let file = files.open(&cleaned, OpenMode::OpenOrCreate).map_err(failed)?;
        file.truncate(0).map_err(failed)?;
        let mut end = 0;
        for range in whole_ranges(found) {
            copy(&*found.file, &*file, range, &mut end).map_err(failed)?;
        }
        if let Some(filler) = filler(found) {
            write_full(&*file, &[&filler], end).map_err(failed)?;
            end += filler.len() as u64;
        }
        file.sync_data().and_then(|()| files.sync_directory(&place.path)).map_err(failed)?;
        Ok((file, end))
    }

    /// Has what was written take the place of the segment: `compaction.json` names the swap, so
    /// that whatever fails here is done by the next start, or repair.
    fn swap(
        &mut self,
        place: &mut Place,
        found: &Found,
        file: &dyn File,
        end_position: u64,
    ) -> Result<()> {
        let segment = &found.segment;
        let path = segment.log_path();
        let files = &*self.env.files;
        files
            .rename(&segment.path(CLEANED), &path)
            .and_then(|()| files.sync_directory(&place.path))
            .map_err(|error| {
                let what = format_args!("replacing {} (the next start does)", path.display());
                Error::io(what, &error)
            })?;
        // About positions that are no longer so.
        let hints: Vec<PathBuf> =
            ["index", "timeindex", "damage"].map(|extension| segment.path(extension)).to_vec();
        self.unlink(&place.path, &hints)?;
        self.store_index(place, found, file)?;
        self.end_swap(place)?;
        if found.next_base.is_none() {
            self.note_flushed(
                place,
                Position {
                    offset: found.scanned.next_offset,
                    segment_base: segment.base_offset,
                    position: end_position,
                },
            );
        }
        Ok(())
    }

    /// Cuts bytes at the end of a log that are no whole batch, as a start does.
    fn cut_tail(&mut self, place: &Place, found: &Found) -> Result<()> {
        let action = self.tail_action(place, found)?;
        self.tell(action);
        if self.is_for_real() {
            if let Err(error) = self.store_report() {
                self.report.actions.pop();
                return Err(error);
            }
            let path = found.segment.log_path();
            let failed = |error: std::io::Error| {
                Error::io(format_args!("cutting {}", path.display()), &error)
            };
            let file = self.env.files.open(&path, OpenMode::ReadWrite).map_err(failed)?;
            file.truncate(found.scanned.end_position)
                .and_then(|()| file.sync_data())
                .map_err(failed)?;
        }
        Ok(())
    }

    fn tail_action(&mut self, place: &Place, found: &Found) -> Result<RepairAction> {
        let from = found.scanned.end_position;
        let salvaged_to =
            self.keep_range(place, found, from..from.saturating_add(found.tail_bytes))?;
        let detail = "no whole batch at the end of the log: cut, as a start does";
        Ok(RepairAction {
            from_offset: Some(found.scanned.next_offset),
            position: Some(from),
            bytes: found.tail_bytes,
            salvaged_to,
            ..place.action(&found.segment.log_path(), detail)
        })
    }

    /// Sees to the index and `BASE.damage` of a segment that has no damage.
    fn hints(&mut self, place: &Place, found: &Found) -> Result<()> {
        let says_too_much = found.known.ranges().next().is_some();
        if says_too_much || found.known == KnownDamage::Unreadable {
            let detail = if says_too_much {
                "says that batches are damaged, and they are not: removed, so that they are served"
            } else {
                "cannot be believed, and nothing is damaged: removed"
            };
            self.remove_file(place, &found.segment.path("damage"), detail)?;
        }
        let is_right = found.stored.as_ref().is_some_and(|(index, coverage)| {
            let is_mark_wrong = |mark: &Mark| {
                mark.position < found.scanned.end_position
                    && found.checked.marks.binary_search(mark).is_err()
            };
            coverage.log_bytes <= found.scanned.end_position
                && (found.next_base.is_none() || coverage.sealed)
                && !index.marks(found.segment.base_offset).iter().any(is_mark_wrong)
        });
        let (path, time_path) = (found.segment.path("index"), found.segment.path("timeindex"));
        let is_there = self.is_there(&path)? || self.is_there(&time_path)?;
        // One that is being written has an index now and then; where there may be holes, a
        // checkpoint is believed beside one only.
        let needs_one = found.next_base.is_some() || found.segment.has_holes();
        if is_right || (!needs_one && !is_there) {
            return Ok(());
        }
        if needs_one {
            if self.is_for_real() {
                self.sync_segment(found)?;
                self.store_index(place, found, &*found.file)?;
            }
            self.tell(place.action(&path, "cannot be believed, or is not there: made again"));
            return Ok(());
        }
        if self.is_for_real() {
            self.unlink(&place.path, &[path.clone(), time_path])?;
        }
        let detail = "cannot be believed: removed, and made again by the next start";
        self.tell(place.action(&path, detail));
        Ok(())
    }

    /// Makes a segment durable, of which nobody knows whether it is: the broker may have died
    /// before it was. A start believes an index that says that the segment is closed.
    fn sync_segment(&self, found: &Found) -> Result<()> {
        let path = found.segment.log_path();
        let failed =
            |error: std::io::Error| Error::io(format_args!("syncing {}", path.display()), &error);
        let file = self.env.files.open(&path, OpenMode::ReadWrite).map_err(failed)?;
        rewrite(&*file, 0, found.scanned.end_position)
            .and_then(|()| file.sync_data())
            .map_err(failed)
    }

    /// Makes the index of a segment from its file, durably.
    fn store_index(&self, place: &Place, found: &Found, file: &dyn File) -> Result<()> {
        let segment = &found.segment;
        let (path, time_path) = (segment.path("index"), segment.path("timeindex"));
        let failed =
            |error: std::io::Error| Error::io(format_args!("storing {}", path.display()), &error);
        let start = ScanStart {
            offset_max: found.next_base.unwrap_or(OFFSET_MAX),
            has_holes: segment.base_offset < place.compaction.holes_below,
            producers_from: u64::MAX,
            ..ScanStart::at(segment.base_offset, 0)
        };
        let mut index = SegmentIndex::default();
        let scanned = scan_whole(file, &start, &mut index).map_err(failed)?;
        if let Some(modified_ms) = found.modified_ms {
            index.note_append(modified_ms);
        }
        let coverage = Coverage {
            sealed: found.next_base.is_some(),
            log_bytes: scanned.end_position,
            next_offset: scanned.next_offset,
        };
        let files = &*self.env.files;
        index_file::store(files, &path, &time_path, &index, coverage).map_err(failed)?;
        for path in [&path, &time_path] {
            let file = files.open(path, OpenMode::ReadWrite).map_err(failed)?;
            file.sync_data().map_err(failed)?;
        }
        files.sync_directory(&place.path).map_err(failed)
    }

    fn keep_range(
        &mut self,
        place: &Place,
        found: &Found,
        range: Range<u64>,
    ) -> Result<Option<String>> {
        if !self.is_for_real() {
            return Ok(None);
        }
        let base_name = Segment::file_name(found.segment.base_offset, "log");
        let name = format!("{base_name}.{}-{}", range.start, range.end);
        let kept = self.salvage.keep(self.env, &place.label, &name, &*found.file, range)?;
        Ok(Some(kept.display().to_string()))
    }
}

fn scan_whole(
    file: &dyn File,
    start: &ScanStart,
    index: &mut SegmentIndex,
) -> std::io::Result<Scanned> {
    let mut state = ScanState {
        index,
        producers: &mut ProducerStates::default(),
        index_interval_bytes: INDEX_INTERVAL_BYTES,
        base_offset: start.from.offset,
    };
    scan(file, start, &mut state)
}

/// The parts of a segment that hold whole batches.
fn whole_ranges(found: &Found) -> Vec<Range<u64>> {
    let mut position = 0;
    let mut whole = Vec::new();
    for range in &found.scanned.damaged {
        whole.push(position..range.from_position);
        position = range.to_position;
    }
    whole.push(position..found.scanned.end_position);
    whole.retain(|range| range.start < range.end);
    whole
}

/// A batch without records that ends where the segment has to, if nothing else of it does: offsets
/// that were acked are never given to other records, and between two segments none is missing.
fn filler(found: &Found) -> Option<[u8; HEADER_BYTES]> {
    let last = found.scanned.damaged.last()?;
    let is_last = last.to_position >= found.scanned.end_position;
    let offset = last.to_offset.checked_sub(1).filter(|_| is_last)?;
    let header = BatchHeader {
        base_offset: i64::try_from(offset).ok()?,
        length: i32::try_from(HEADER_BYTES - LENGTH_OVERHEAD_BYTES).ok()?,
        leader_epoch: found.checked.leader_epoch_max,
        crc: 0,
        attributes: Attributes::new(Codec::None, TimestampType::CreateTime),
        last_offset_delta: 0,
        base_timestamp: NO_TIMESTAMP,
        max_timestamp: NO_TIMESTAMP,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 0,
    };
    let mut bytes = [0; HEADER_BYTES];
    header.write(&mut bytes);
    let covered = bytes.get(HEADER_CHECKED_FROM..).unwrap_or_default();
    let sealed = BatchHeader { crc: crc32c(covered), ..header };
    sealed.write(&mut bytes);
    Some(bytes)
}

/// What the checksum covers begins behind it.
const HEADER_CHECKED_FROM: usize = 21;

fn copy(from: &dyn File, to: &dyn File, range: Range<u64>, end: &mut u64) -> std::io::Result<()> {
    let mut position = range.start;
    while position < range.end {
        let bytes = (range.end - position).min(COPY_BYTES);
        let mut buffer = vec![0; usize::try_from(bytes).map_err(std::io::Error::other)?];
        if read_full(from, &mut buffer, position)? < buffer.len() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        write_full(to, &[&buffer], *end)?;
        position += bytes;
        *end += bytes;
    }
    Ok(())
}
