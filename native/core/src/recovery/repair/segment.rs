//! Repairing one segment: what is no whole batch is cut out, and hints that are wrong are made
//! again or removed.
//!
//! The segment is written anew beside itself (`BASE.cleaned`, which a start removes), and takes its
//! own place by a rename. Before that its holes are allowed, and its old hints removed: whatever of
//! this a stop leaves is a segment with its damage, or one without.

use std::{ops::Range, path::PathBuf};

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
    log::{OFFSET_MAX, recover::bytes_written_behind},
    producer::ProducerStates,
    recovery::{
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
    file: std::sync::Arc<dyn File>,
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
        let scanned = scan_whole(&*file, &start, &mut SegmentIndex::default()).map_err(failed)?;
        let checked = check_records(&*file, start.from, &scanned, &mut |_| ()).map_err(failed)?;
        let tail_bytes = bytes_written_behind(&*file, scanned.end_position, file_bytes)
            .unwrap_or(file_bytes.saturating_sub(scanned.end_position));
        Ok(Found { segment, file, next_base, scanned, checked, known, stored, tail_bytes })
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
        if found.next_base.is_none() {
            self.is_checkpoint_stale = true;
        }
        if self.is_for_real() {
            self.rewrite(place, found)?;
        }
        self.report.actions.append(&mut actions);
        Ok(())
    }

    fn rewrite(&mut self, place: &mut Place, found: &Found) -> Result<()> {
        let segment = &found.segment;
        let (path, cleaned) = (segment.log_path(), segment.path(CLEANED));
        let failed =
            |error: std::io::Error| Error::io(format_args!("rewriting {}", path.display()), &error);
        let files = &*self.env.files;
        let file = files.open(&cleaned, OpenMode::OpenOrCreate).map_err(failed)?;
        file.truncate(0).map_err(failed)?;
        let mut end = 0;
        for range in whole_ranges(found) {
            copy(&*found.file, &*file, range, &mut end).map_err(failed)?;
        }
        if let Some(filler) = filler(found) {
            write_full(&*file, &[&filler], end).map_err(failed)?;
        }
        file.sync_data().and_then(|()| files.sync_directory(&place.path)).map_err(failed)?;
        self.allow_holes(place, segment.base_offset)?;
        // About positions that are no longer so.
        let hints: Vec<PathBuf> =
            ["index", "timeindex", "damage"].map(|extension| segment.path(extension)).to_vec();
        self.unlink(&place.path, &hints)?;
        let files = &*self.env.files;
        files
            .rename(&cleaned, &path)
            .and_then(|()| files.sync_directory(&place.path))
            .map_err(failed)?;
        if found.next_base.is_some() { self.store_index(found, &*file, true) } else { Ok(()) }
    }

    /// Cuts bytes at the end of a log that are no whole batch, as a start does.
    fn cut_tail(&mut self, place: &Place, found: &Found) -> Result<()> {
        let action = self.tail_action(place, found)?;
        if self.is_for_real() {
            let path = found.segment.log_path();
            let failed = |error: std::io::Error| {
                Error::io(format_args!("cutting {}", path.display()), &error)
            };
            let file = self.env.files.open(&path, OpenMode::ReadWrite).map_err(failed)?;
            file.truncate(found.scanned.end_position)
                .and_then(|()| file.sync_data())
                .map_err(failed)?;
        }
        self.tell(action);
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
        let path = found.segment.path("index");
        let is_there = self.is_there(&path)? || self.is_there(&found.segment.path("timeindex"))?;
        if is_right || (found.next_base.is_none() && !is_there) {
            return Ok(());
        }
        if found.next_base.is_none() {
            let detail = "cannot be believed: removed, and made again by the next start";
            if self.is_for_real() {
                let both = [path.clone(), found.segment.path("timeindex")];
                self.unlink(&place.path, &both)?;
            }
            self.tell(place.action(&path, detail));
            return Ok(());
        }
        if self.is_for_real() {
            self.store_index(found, &*found.file, false)?;
        }
        self.tell(place.action(&path, "cannot be believed, or is not there: made again"));
        Ok(())
    }

    /// Makes the index of a closed segment from its file.
    fn store_index(&self, found: &Found, file: &dyn File, has_holes: bool) -> Result<()> {
        let segment = &found.segment;
        let path = segment.path("index");
        let failed =
            |error: std::io::Error| Error::io(format_args!("storing {}", path.display()), &error);
        let start = ScanStart {
            offset_max: found.next_base.unwrap_or(OFFSET_MAX),
            has_holes: has_holes || segment.has_holes(),
            producers_from: u64::MAX,
            ..ScanStart::at(segment.base_offset, 0)
        };
        let mut index = SegmentIndex::default();
        let scanned = scan_whole(file, &start, &mut index).map_err(failed)?;
        if let Some(modified_ms) = found.file.modified_ms().map_err(failed)? {
            index.note_append(modified_ms);
        }
        let coverage = Coverage {
            sealed: true,
            log_bytes: scanned.end_position,
            next_offset: scanned.next_offset,
        };
        let time_path = segment.path("timeindex");
        index_file::store(&*self.env.files, &path, &time_path, &index, coverage).map_err(failed)
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
