//! Reading a segment batch by batch to find out how far it is whole.

use std::io;

use super::place::{Misplaced, Placed, misplaced};
use crate::{
    batch::{
        BatchHeader, HEADER_BYTES, TimestampType,
        header::{LENGTH_OVERHEAD_BYTES, MAGIC_VALUE, NO_TIMESTAMP},
    },
    env::{File, transfer::read_full},
    index::SegmentIndex,
    log::{
        OFFSET_MAX,
        append::{producer_of, record_count},
    },
    producer::ProducerStates,
    segment::DamagedRange,
};

/// What is read at once where batches are read whole.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// No batch of a segment begins further behind the segment's base offset: offsets within one fit
/// 31 bits.
const SEGMENT_SPAN_MAX: u64 = i32::MAX as u64;

/// A position at which a batch with a known offset begins, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Bytes from the segment's start.
    pub position: u64,
    /// Offset of the batch there.
    pub offset: u64,
}

/// What the scan starts from.
#[derive(Debug, Clone)]
pub struct ScanStart {
    /// The first batch to look at.
    pub from: Mark,
    /// Offsets from here on belong to the next segment.
    pub offset_max: u64,
    /// No segment that begins where this one does holds offsets from here on.
    pub span_end: u64,
    /// Compaction may have taken offsets out between two batches.
    pub has_holes: bool,
    /// How far the segment is known to have been durable: nothing before it is ever given up as an
    /// unfinished append.
    pub durable: Option<Mark>,
    /// Before this position headers are believed; from it on checksums are verified.
    pub believed_position: u64,
    /// Where batches may begin, for finding what follows damage: checked before they are used.
    pub marks: Vec<Mark>,
    /// Positions at which damage was found before: checksums are verified there in any case, as
    /// the header of a damaged batch may be whole.
    pub suspects: Vec<u64>,
    /// Batches before this offset are in the producers' state already.
    pub producers_from: u64,
    /// The time now: when producers whose own clock stamped the records count as last seen.
    pub now_ms: i64,
    /// Where the scan stops for now, at the first batch that begins there or later.
    pub stop_position: u64,
    /// What the disk does not read is damage, for a repair; for anybody else it is an error.
    pub is_unread_damage: bool,
}

impl ScanStart {
    /// Reads a whole segment and believes nothing.
    pub fn at(base_offset: u64, now_ms: i64) -> Self {
        Self {
            from: Mark { position: 0, offset: base_offset },
            offset_max: OFFSET_MAX,
            span_end: base_offset.saturating_add(SEGMENT_SPAN_MAX),
            has_holes: false,
            durable: None,
            believed_position: 0,
            marks: Vec::new(),
            suspects: Vec::new(),
            producers_from: base_offset,
            now_ms,
            stop_position: u64::MAX,
            is_unread_damage: false,
        }
    }

    /// The base offset of a batch met where the one at `next` is expected, if it may be there.
    fn expected(&self, next: Mark, header: &BatchHeader) -> Option<u64> {
        let base_offset = u64::try_from(header.base_offset).ok()?;
        let is_next = base_offset == next.offset
            || (self.has_holes && base_offset > next.offset && self.has_room(next, header));
        (is_next && base_offset < self.offset_max).then_some(base_offset)
    }

    /// Whether a batch ends before everything that is known to lie behind it begins.
    fn has_room(&self, at: Mark, header: &BatchHeader) -> bool {
        let end = at.position.saturating_add(header.batch_bytes() as u64);
        let durable = self.durable.filter(|durable| end <= durable.position);
        let end_max = durable.map_or(self.offset_max, |durable| durable.offset);
        let end_max = end_max.min(self.offset_max).min(self.span_end);
        Placed::of(header).is_some_and(|placed| placed.end() <= end_max)
    }
}

/// What the scan found.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Position behind the last whole batch.
    pub end_position: u64,
    /// Offset behind its last record.
    pub next_offset: u64,
    /// Ranges in between that are damaged, from the start of the scan on.
    pub damaged: Vec<DamagedRange>,
}

/// State that the scan brings up to date as it goes.
pub struct ScanState<'a> {
    /// The segment's index.
    pub index: &'a mut SegmentIndex,
    /// The producers of the partition.
    pub producers: &'a mut ProducerStates,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// Base offset of the segment.
    pub base_offset: u64,
}

/// As [`scan`], for who asks only what there is: no index and no producers are kept.
///
/// # Errors
/// Those of [`scan`].
pub fn look(file: &dyn File, start: &ScanStart, base_offset: u64) -> io::Result<Scanned> {
    let mut state = ScanState {
        index: &mut SegmentIndex::default(),
        producers: &mut ProducerStates::default(),
        index_interval_bytes: u64::MAX,
        base_offset,
    };
    scan(file, start, &mut state)
}

/// Reads batches one behind the other until one is not whole and none follows it.
///
/// A batch counts if its base offset is the expected one (or later, where there may be holes), its
/// length and count are in bounds and, from the believed position on, its checksum holds. Behind
/// the first that does not count, a whole batch with a later base offset is looked for where the
/// length field or a mark points, never by searching bytes: a record may contain a forged batch.
///
/// # Errors
/// An I/O error while reading.
pub fn scan(file: &dyn File, start: &ScanStart, state: &mut ScanState<'_>) -> io::Result<Scanned> {
    let mut reader = BatchReader::new(file)?;
    reader.read_ahead_end = start.stop_position;
    reader.is_unread_damage = start.is_unread_damage;
    let mut next = start.from;
    let mut damaged = Vec::new();
    loop {
        if next.position >= start.stop_position {
            return Ok(Scanned { end_position: next.position, next_offset: next.offset, damaged });
        }
        let verify =
            next.position >= start.believed_position || start.suspects.contains(&next.position);
        let expected = match reader.whole_batch(next.position, verify)? {
            Some(header) => start.expected(next, &header).map(|base_offset| (header, base_offset)),
            None => None,
        };
        let mut misplaced_to = None;
        if let Some((header, base_offset)) = &expected
            && *base_offset > next.offset
        {
            misplaced_to = reader.misplaced_to(next, header, start)?;
        }
        if let Some((header, base_offset)) = expected
            && misplaced_to.is_none()
        {
            note(start, state, &header, next.position);
            next.position += header.batch_bytes() as u64;
            next.offset = base_offset + u64::from(record_count(&header));
            continue;
        }
        let further = match misplaced_to {
            None => reader.find_behind(next, start)?,
            further => further,
        };
        let Some(further) = further else {
            return Ok(Scanned { end_position: next.position, next_offset: next.offset, damaged });
        };
        damaged.push(DamagedRange {
            from_offset: next.offset,
            to_offset: further.offset,
            from_position: next.position,
            to_position: further.position,
        });
        next = further;
    }
}

/// Whether a segment holds anything that belongs to it: a whole batch, or a whole one behind
/// damage.
///
/// # Errors
/// An I/O error while reading.
pub fn holds_batches(file: &dyn File, start: &ScanStart) -> io::Result<bool> {
    let mut reader = BatchReader::new(file)?;
    let first = reader.whole_batch(start.from.position, true)?;
    if first.is_some_and(|header| start.expected(start.from, &header).is_some()) {
        return Ok(true);
    }
    Ok(reader.find_behind(start.from, start)?.is_some())
}

/// Whether the batch at a place is whole and belongs there; with `has_holes` it may begin later.
///
/// # Errors
/// An I/O error while reading.
pub fn is_whole(file: &dyn File, at: Mark, has_holes: bool) -> io::Result<bool> {
    let start = ScanStart { has_holes, ..ScanStart::at(at.offset, 0) };
    let mut reader = BatchReader::new(file)?;
    let Some(header) = reader.whole_batch(at.position, true)? else {
        return Ok(false);
    };
    Ok(match start.expected(at, &header) {
        None => false,
        Some(base_offset) if base_offset == at.offset => true,
        Some(_) => reader.misplaced_to(at, &header, &start)?.is_none(),
    })
}

fn note(start: &ScanStart, state: &mut ScanState<'_>, header: &BatchHeader, position: u64) {
    let base_offset = u64::try_from(header.base_offset).unwrap_or(state.base_offset);
    let relative = u32::try_from(base_offset.saturating_sub(state.base_offset)).unwrap_or(u32::MAX);
    let relative_position = u32::try_from(position).unwrap_or(u32::MAX);
    state.index.note(
        relative,
        relative_position,
        header.batch_bytes() as u64,
        newest_record_ms(header),
        state.index_interval_bytes,
    );
    if base_offset < start.producers_from {
        return;
    }
    if let Some(producer) = producer_of(header) {
        let next_offset = base_offset + u64::from(record_count(header));
        // A producer's own clock says nothing about when it was last here: believed, it could have
        // the producer forgotten at the next roll, and its next repetition stored twice.
        let seen_ms = match header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp,
            TimestampType::CreateTime => start.now_ms,
        };
        state.producers.note(&producer, base_offset, next_offset, seen_ms);
    }
}

/// The largest timestamp of the records in a batch, for the index: what compaction has emptied
/// keeps that of records which are gone.
pub fn newest_record_ms(header: &BatchHeader) -> i64 {
    if header.record_count == 0 { NO_TIMESTAMP } else { header.max_timestamp }
}

/// Reads batches of one segment through a reused buffer, so that small ones take few reads.
struct BatchReader<'f> {
    file: &'f dyn File,
    file_bytes: u64,
    /// Bytes of the file from `buffer_position` on.
    buffer: Vec<u8>,
    buffer_position: u64,
    /// Nothing from here on is read before it is asked for.
    read_ahead_end: u64,
    /// See [`ScanStart::is_unread_damage`].
    is_unread_damage: bool,
}

impl<'f> BatchReader<'f> {
    fn new(file: &'f dyn File) -> io::Result<Self> {
        let file_bytes = file.len()?;
        let buffer = Vec::new();
        Ok(Self {
            file,
            file_bytes,
            buffer,
            buffer_position: 0,
            read_ahead_end: file_bytes,
            is_unread_damage: false,
        })
    }

    /// The batch at `position`, if it is there whole.
    fn whole_batch(&mut self, position: u64, verify: bool) -> io::Result<Option<BatchHeader>> {
        let Some(head) = self.head(position, verify)? else {
            return Ok(None);
        };
        let Ok(header) = BatchHeader::read(&head) else {
            return Ok(None);
        };
        let is_sound = (0..OFFSET_MAX as i64).contains(&header.last_offset())
            && header.base_offset >= 0
            && header.last_offset_delta >= 0
            && header.record_count >= 0
            && i64::from(header.record_count) <= i64::from(header.last_offset_delta) + 1
            && position + header.batch_bytes() as u64 <= self.file_bytes;
        if !is_sound {
            return Ok(None);
        }
        if verify && !self.has_good_checksum(&header, position)? {
            return Ok(None);
        }
        Ok(Some(header))
    }

    fn has_good_checksum(&mut self, header: &BatchHeader, position: u64) -> io::Result<bool> {
        let batch = self.bytes(position, header.batch_bytes(), READ_AHEAD_BYTES)?;
        Ok(batch.is_some_and(|batch| header.verify_crc(batch).is_ok()))
    }

    /// The bytes of a header, whatever they say. Where batches are read whole, too, so is what
    /// follows; where only headers are, it would be read for nothing.
    fn head(&mut self, position: u64, verify: bool) -> io::Result<Option<[u8; HEADER_BYTES]>> {
        let ahead = if verify { READ_AHEAD_BYTES } else { HEADER_BYTES };
        let head = self.bytes(position, HEADER_BYTES, ahead)?;
        Ok(head.and_then(|head| head.first_chunk().copied()))
    }

    /// The bytes of a range, `None` where the file ends before it does. When it has to be read,
    /// `ahead` bytes are.
    fn bytes(&mut self, position: u64, length: usize, ahead: usize) -> io::Result<Option<&[u8]>> {
        let end = position.saturating_add(length as u64);
        if end > self.file_bytes {
            return Ok(None);
        }
        let held_end = self.buffer_position.saturating_add(self.buffer.len() as u64);
        if position < self.buffer_position || end > held_end {
            let wanted_end = position
                .saturating_add(ahead as u64)
                .min(self.read_ahead_end)
                .min(self.file_bytes)
                .max(end);
            let wanted = usize::try_from(wanted_end - position).map_err(io::Error::other)?;
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(wanted, 0);
            let mut read = read_full(self.file, &mut buffer, position);
            if read.is_err() && self.is_unread_damage {
                // What cannot be read may lie behind what was asked for.
                buffer.truncate(length);
                read = read_full(self.file, &mut buffer, position);
                if read.is_err() {
                    return Ok(None);
                }
            }
            buffer.truncate(read?);
            (self.buffer, self.buffer_position) = (buffer, position);
        }
        let start = usize::try_from(position - self.buffer_position).map_err(io::Error::other)?;
        Ok(self.buffer.get(start..start + length))
    }

    /// Where the log goes on behind a batch that left offsets out, if the one behind it shows that
    /// it cannot be where it says: the checksum covers neither's base offset.
    fn misplaced_to(
        &mut self,
        at: Mark,
        header: &BatchHeader,
        start: &ScanStart,
    ) -> io::Result<Option<Mark>> {
        let Some(first) = Placed::of(header) else {
            return Ok(None);
        };
        let second_at = at.position.saturating_add(header.batch_bytes() as u64);
        // As long as nothing is wrong headers are enough.
        let head = self.whole_batch(second_at, false)?.as_ref().and_then(Placed::of);
        if head.is_none_or(|second| second.base_offset >= first.end()) {
            return Ok(None);
        }
        let Some((second, third_at)) = self.placed(second_at)? else {
            return Ok(None);
        };
        let third = self.placed(third_at)?.map(|(third, _)| third);
        let to = third.map_or(start.offset_max.min(start.span_end), |third| third.base_offset);
        // What was known of before anything was damaged tells who is where it was.
        let is_first_known = start.marks.contains(&Mark { offset: first.base_offset, ..at });
        Ok(match misplaced(at.offset, first, second, to) {
            Some(Misplaced::First | Misplaced::Either) if is_first_known => None,
            Some(Misplaced::First) => {
                Some(Mark { position: second_at, offset: second.base_offset })
            }
            Some(Misplaced::Either) => {
                let end = third.map_or(first.end().max(second.end()), |third| third.base_offset);
                Some(Mark { position: third_at, offset: end.min(start.offset_max) })
            }
            Some(Misplaced::Second) | None => None,
        })
    }

    /// The offsets of the batch at a position, if it is there whole, and where it ends.
    fn placed(&mut self, position: u64) -> io::Result<Option<(Placed, u64)>> {
        let Some(header) = self.whole_batch(position, true)? else {
            return Ok(None);
        };
        let end = position.saturating_add(header.batch_bytes() as u64);
        Ok(Placed::of(&header).map(|placed| (placed, end)))
    }

    /// Where the log goes on behind a batch at `damaged` that does not count: at the nearest whole
    /// batch with a later offset, else at the durable end.
    fn find_behind(&mut self, damaged: Mark, start: &ScanStart) -> io::Result<Option<Mark>> {
        let mut candidates: Vec<(u64, Option<u64>)> = start
            .marks
            .iter()
            .filter(|mark| mark.position >= damaged.position)
            .map(|mark| (mark.position, Some(mark.offset)))
            .collect();
        candidates
            .extend(self.positions_by_length(damaged, start)?.map(|position| (position, None)));
        candidates.sort_unstable();
        for (position, offset) in candidates {
            let found = self.later_batch(position, damaged, start)?;
            if let Some(found) = found.filter(|found| offset.is_none_or(|offset| offset == *found))
            {
                return Ok(Some(Mark { position, offset: found }));
            }
        }
        // What was durable was acked and seen: its offsets are never given to other records.
        Ok(start
            .durable
            .filter(|end| end.offset > damaged.offset && end.offset <= start.offset_max)
            .filter(|end| end.position >= damaged.position)
            .map(|end| Mark {
                position: end.position.min(self.file_bytes).max(damaged.position),
                offset: end.offset,
            }))
    }

    /// The base offset of the batch at a position, if it is whole and may lie behind a damaged one.
    fn later_batch(
        &mut self,
        position: u64,
        damaged: Mark,
        start: &ScanStart,
    ) -> io::Result<Option<u64>> {
        let header = self.whole_batch(position, true)?;
        let found = header.and_then(|header| u64::try_from(header.base_offset).ok());
        Ok(found.filter(|found| *found > damaged.offset && *found < start.offset_max))
    }

    /// Where batches behind a damaged one begin by its length, and by the lengths of those behind
    /// it that are damaged or, whole otherwise, have a base offset that cannot be.
    fn positions_by_length(
        &mut self,
        damaged: Mark,
        start: &ScanStart,
    ) -> io::Result<impl Iterator<Item = u64> + use<>> {
        let mut positions = Vec::new();
        let mut at = damaged;
        while positions.len() < DAMAGED_IN_A_ROW_MAX {
            let behind = match self.behind_by_mended_length(at)? {
                None => self.behind_by_length(at, start)?,
                mended => mended,
            };
            let Some(behind) = behind else { break };
            positions.push(behind.position);
            if self.later_batch(behind.position, damaged, start)?.is_some() {
                break;
            }
            at = behind;
        }
        Ok(positions.into_iter())
    }

    /// Where the batch behind a damaged one begins if one bit of the damaged one's length is
    /// wrong and nothing else: the checksum, which does not cover the length, proves it. Otherwise
    /// all batches up to the next one that is known of would be lost with it.
    fn behind_by_mended_length(&mut self, damaged: Mark) -> io::Result<Option<Mark>> {
        let Some(head) = self.head(damaged.position, true)? else {
            return Ok(None);
        };
        for bit in 0..31 {
            let mut mended = head;
            let Some(byte) = mended.get_mut(LENGTH_OVERHEAD_BYTES - 1 - bit / 8) else {
                return Ok(None);
            };
            *byte ^= 1 << (bit % 8);
            if let Ok(header) = BatchHeader::read(&mended)
                && self.has_good_checksum(&header, damaged.position)?
            {
                return Ok(Some(behind(damaged, &header)));
            }
        }
        Ok(None)
    }

    /// Where the batch behind a damaged one begins by the damaged one's length field, if that field
    /// is sure to be the batch's own. A field that is half written could point into a record, where
    /// a producer may have put a batch of its making: it is believed only if the fields around it
    /// are there too, or if the checksum proves it.
    fn behind_by_length(&mut self, damaged: Mark, start: &ScanStart) -> io::Result<Option<Mark>> {
        let Some(mut head) = self.head(damaged.position, true)? else {
            return Ok(None);
        };
        let found = head.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let has_place = found == damaged.offset
            || (start.has_holes && (damaged.offset..start.offset_max).contains(&found));
        let magic = head.get_mut(MAGIC_POSITION);
        let has_magic = magic.is_some_and(|magic| {
            let had = i8::from_be_bytes([*magic]) == MAGIC_VALUE;
            [*magic] = MAGIC_VALUE.to_be_bytes();
            had
        });
        let Ok(header) = BatchHeader::read(&head) else {
            return Ok(None);
        };
        let is_sure =
            (has_place && has_magic) || self.has_good_checksum(&header, damaged.position)?;
        Ok(is_sure.then(|| behind(damaged, &header)))
    }
}

/// Where the batch behind the one at a mark begins, by what the header says there.
fn behind(at: Mark, header: &BatchHeader) -> Mark {
    let records = u64::try_from(i64::from(header.last_offset_delta) + 1).unwrap_or(0);
    Mark {
        position: at.position.saturating_add(header.batch_bytes() as u64),
        offset: at.offset.saturating_add(records),
    }
}

/// Where the header's magic lies: behind length and leader epoch.
const MAGIC_POSITION: usize = LENGTH_OVERHEAD_BYTES + 4;

/// Damaged batches that are followed by their lengths, one behind the other.
const DAMAGED_IN_A_ROW_MAX: usize = 1000;
