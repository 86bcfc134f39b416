//! The two halves of a pass: noting the keys of what is dirty, and writing segments anew.
//!
//! Failure contract: the segments are only read. What is written is one file beside them, which
//! means nothing until it takes their place; whoever called removes it after a failure.

use std::sync::Arc;

use hashbrown::HashSet;

use super::{
    filter::{Fate, Rules, filter},
    offset_map::OffsetMap,
    source::{Batches, Next, Source},
    state::CLEANED,
    throttle::Pace,
};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, Records},
    compression::{Codec, decompress},
    env::{File, transfer::write_full},
    error::Error,
    index::SegmentIndex,
    limits::BATCH_BYTES_DECOMPRESSED_MAX,
    recovery::scan::{Mark, newest_record_ms},
    segment::{Segment, cache::FileCache},
};

/// Bytes written at once.
const WRITE_BYTES: usize = 1 << 20;
/// So many times the size of a segment is read for one at most, so that a stop in between does not
/// cost all that was done.
const READ_FOR_ONE_MAX: u64 = 8;
/// So many segments make one at most: until it has taken their places each holds a descriptor.
const GROUP_SEGMENTS_MAX: usize = 256;
/// Offsets and positions within a segment fit 31 bits, as in Kafka's index.
pub const SEGMENT_SPAN_MAX: u64 = i32::MAX as u64;

/// What a pass did with records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of the segments that were written anew.
    pub bytes_before: u64,
    /// Bytes of what they have become.
    pub bytes_after: u64,
    /// Records that they held.
    pub records_before: u64,
    /// Records that are left of them.
    pub records_after: u64,
    /// Tombstones among those.
    pub tombstones: u64,
}

impl Counts {
    /// Adds those of another part.
    pub fn add(&mut self, other: &Self) {
        self.bytes_before += other.bytes_before;
        self.bytes_after += other.bytes_after;
        self.records_before += other.records_before;
        self.records_after += other.records_after;
        self.tombstones += other.tombstones;
    }
}

/// Why a step did not come to its end.
pub enum Halt {
    /// It was time to give up.
    Stopped,
    /// A segment is not whole: it stays as it is. Where, if not at its end.
    Damaged(Source, Option<Mark>),
    /// A segment cannot be read to its end: it stays as it is.
    Unreadable(Source, Error),
    /// A segment cannot be written anew, because it would become too large.
    TooLarge(Arc<Segment>),
    /// A file could not be read or written.
    Failed(Error),
}

/// What is noted of the dirty part of a log.
pub struct Noted {
    /// The last offset of every key in it.
    pub offsets: OffsetMap,
    /// Where it ends: before the first key for which there was no room.
    pub end_offset: u64,
}

/// Notes the keys of records from `from_offset` on, segment by segment, as far as the map has room.
/// `left` is told of segments that are not whole, of which only a part was noted then:
/// [`Halt::Damaged`] and [`Halt::Unreadable`].
///
/// # Errors
/// [`Halt::Stopped`] and [`Halt::Failed`].
pub fn note_keys(
    files: &FileCache,
    sources: &[Source],
    from_offset: u64,
    mut offsets: OffsetMap,
    pace: &dyn Pace,
    left: &mut dyn FnMut(Halt),
) -> std::result::Result<Noted, Halt> {
    let mut buffer = Vec::new();
    let mut expanded = Vec::new();
    let mut end_offset = from_offset;
    for source in sources.iter().filter(|source| source.end_offset > from_offset) {
        end_offset = source.end_offset;
        if source.segment.is_damaged() {
            continue;
        }
        let mut batches = Batches::new(source, open(files, &source.segment)?, buffer);
        loop {
            let (header, batch) = match batches.next() {
                Ok(Next::Batch(header, batch)) => (header, batch),
                Ok(Next::End) => break,
                Ok(Next::Damaged(at)) => {
                    left(Halt::Damaged(source.clone(), at));
                    break;
                }
                Err(error) => {
                    left(unreadable(source, &error));
                    break;
                }
            };
            expanded.clear();
            let full_at = note_batch(&header, batch, from_offset, &mut offsets, &mut expanded);
            if let Some(end_offset) = full_at {
                return Ok(Noted { offsets, end_offset });
            }
            let bytes = batches.take_bytes_read();
            if bytes > 0 && pace.spent(bytes) {
                return Err(Halt::Stopped);
            }
        }
        buffer = batches.into_buffer();
    }
    Ok(Noted { offsets, end_offset })
}

/// Notes the keys of a batch; the offset of the first for which there was no room, if there is one.
fn note_batch(
    header: &BatchHeader,
    batch: &[u8],
    from_offset: u64,
    offsets: &mut OffsetMap,
    expanded: &mut Vec<u8>,
) -> Option<u64> {
    let is_noted = !header.attributes.is_control()
        && !header.attributes.is_transactional()
        && header.record_count > 0
        && u64::try_from(header.last_offset()).is_ok_and(|last| last >= from_offset);
    if !is_noted {
        return None;
    }
    // What cannot be taken apart stays, and hides nothing.
    let codec = header.attributes.codec().ok()?;
    let stored = batch.get(HEADER_BYTES..).unwrap_or_default();
    let section = if codec == Codec::None {
        stored
    } else {
        decompress(codec, stored, BATCH_BYTES_DECOMPRESSED_MAX, expanded).ok()?;
        expanded
    };
    if !Records::new(section, header.record_count).all(|record| record.is_ok()) {
        return None;
    }
    for record in Records::new(section, header.record_count).flatten() {
        let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
        let offset = u64::try_from(offset).unwrap_or(0);
        if let Some(key) = record.key
            && offset >= from_offset
            && offsets.put(key, offset).is_err()
        {
            return Some(offset);
        }
    }
    None
}

/// What decides about a whole pass, beside the keys.
pub struct Plan<'a> {
    /// What was noted.
    pub noted: &'a Noted,
    /// The time now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// Codec and level of the topic, where it sets them.
    pub codec_level: Option<(Codec, i32)>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// Last offsets of batches by which producers are recognised.
    pub producer_offsets: &'a HashSet<u64>,
}

/// What is known where one group ends and the next begins.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The leader epoch of the last batch, if that was looked at.
    pub leader_epoch: Option<i32>,
    /// Nothing older was left undecided.
    pub are_tombstones_settled: bool,
}

/// How large a file may become that takes the place of several.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// By what is likely to be left of each.
    pub bytes_likely_max: u64,
    /// Whatever is left of each.
    pub bytes_max: u64,
}

/// What was written of a group of segments; durable, but for the file's name.
pub struct Cleaned {
    /// Its index.
    pub index: SegmentIndex,
    /// What it cost and brought.
    pub counts: Counts,
    /// Something in it is not as in the segments.
    pub is_changed: bool,
    /// How many segments it is of.
    pub source_count: usize,
}

/// Writes what is left of the first of `sources`, one behind the other, to `file`, an empty one
/// that is to take their place, and makes that durable: of as many as are likely to be together no
/// larger than there is `room` for. `progress` tells where they begin and, when it is done, where
/// they end.
///
/// # Errors
/// Any [`Halt`]; the file may then be there in part.
pub fn copy_group(
    files: &FileCache,
    file: &dyn File,
    sources: &[Source],
    room: Room,
    plan: &Plan<'_>,
    progress: &mut Progress,
    pace: &dyn Pace,
) -> std::result::Result<Cleaned, Halt> {
    let Some(first) = sources.first() else {
        return Err(Halt::Stopped);
    };
    let failed = |error: &std::io::Error| {
        let path = first.segment.path(CLEANED);
        Halt::Failed(Error::io(format_args!("compacting into {}", path.display()), error))
    };
    let mut copy = Copy::new(plan, *progress, first, room);
    let mut buffer = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        copy.begin_source(source, sources.get(index + 1));
        let mut batches = Batches::new(source, open(files, &source.segment)?, buffer);
        loop {
            match batches.next() {
                Ok(Next::Batch(header, batch)) => copy.add(&header, batch),
                Ok(Next::End) => break,
                Ok(Next::Damaged(at)) => return Err(Halt::Damaged(source.clone(), at)),
                Err(error) => return Err(unreadable(source, &error)),
            }
            if copy.end_position() > SEGMENT_SPAN_MAX {
                return Err(Halt::TooLarge(Arc::clone(&source.segment)));
            }
            let mut bytes = batches.take_bytes_read();
            if copy.output.len() >= WRITE_BYTES {
                bytes += copy.write(file).map_err(|error| failed(&error))?;
            }
            if bytes > 0 && pace.spent(bytes) {
                return Err(Halt::Stopped);
            }
        }
        buffer = batches.into_buffer();
        copy.note_appends(files, &source.segment)?;
        copy.cleaned.source_count += 1;
        copy.cleaned.counts.bytes_before += source.segment.end_position();
        if copy.is_last_source {
            break;
        }
        copy.cleaned.is_changed = true;
    }
    copy.write(file).map_err(|error| failed(&error))?;
    let Copy { progress: reached, position, mut cleaned, counted_age_ms, .. } = copy;
    cleaned.index.set_counted_age(counted_age_ms.unwrap_or(0));
    cleaned.counts.bytes_after = position;
    if cleaned.is_changed {
        file.sync_data().map_err(|error| failed(&error))?;
    }
    *progress = reached;
    Ok(cleaned)
}

/// A group on its way.
struct Copy<'a> {
    plan: &'a Plan<'a>,
    progress: Progress,
    /// The source that is being copied ends there.
    source_end: u64,
    /// Bytes of the source behind it, if that may follow in the same file.
    next_bytes: Option<u64>,
    /// None follows: known when its last batch was met.
    is_last_source: bool,
    room: Room,
    /// Bytes of the sources so far.
    bytes_read: u64,
    base_offset: u64,
    /// Not written yet.
    output: Vec<u8>,
    /// Bytes that are.
    position: u64,
    /// The youngest of the sources by what was counted.
    counted_age_ms: Option<u64>,
    cleaned: Cleaned,
}

impl<'a> Copy<'a> {
    fn new(plan: &'a Plan<'a>, progress: Progress, first: &Source, room: Room) -> Self {
        Self {
            plan,
            progress,
            source_end: first.end_offset,
            next_bytes: None,
            is_last_source: true,
            room,
            bytes_read: 0,
            base_offset: first.segment.base_offset,
            output: Vec::new(),
            position: 0,
            counted_age_ms: None,
            cleaned: Cleaned {
                index: SegmentIndex::default(),
                counts: Counts::default(),
                is_changed: false,
                source_count: 0,
            },
        }
    }

    fn end_position(&self) -> u64 {
        self.position + self.output.len() as u64
    }

    fn begin_source(&mut self, source: &Source, next: Option<&Source>) {
        let fits = |next: &&Source| next.end_offset - self.base_offset <= SEGMENT_SPAN_MAX;
        self.source_end = source.end_offset;
        self.bytes_read += source.segment.end_position();
        self.next_bytes = next.filter(fits).map(|next| next.segment.end_position());
        self.is_last_source = true;
    }

    /// Whether a source of so many bytes may follow in the same file: with as much left of it as of
    /// those before, that is no larger than it should be, and in any case no larger than it can be.
    fn may_follow(&self, bytes: u64, next: u64) -> bool {
        let left = u128::from(next) * u128::from(bytes) / u128::from(self.bytes_read.max(1));
        u128::from(bytes) + left <= u128::from(self.room.bytes_likely_max)
            && bytes + next <= self.room.bytes_max.min(SEGMENT_SPAN_MAX)
            && self.cleaned.source_count + 2 <= GROUP_SEGMENTS_MAX
            && self.bytes_read <= self.room.bytes_likely_max.saturating_mul(READ_FOR_ONE_MAX)
    }

    fn add(&mut self, header: &BatchHeader, batch: &[u8]) {
        let last_offset = u64::try_from(header.last_offset()).unwrap_or(0);
        let is_last_of_source = last_offset + 1 == self.source_end;
        if is_last_of_source {
            let bytes = self.end_position() + batch.len() as u64;
            self.is_last_source = !self.next_bytes.is_some_and(|next| self.may_follow(bytes, next));
        }
        // The header stays that tells where an epoch begins, where the segment ends, and what a
        // producer wrote last.
        let must_stay = self.progress.leader_epoch != Some(header.leader_epoch)
            || (is_last_of_source && self.is_last_source)
            || (header.producer_id >= 0 && self.plan.producer_offsets.contains(&last_offset));
        let codec = header.attributes.codec().ok();
        let is_meant = |(of, _): &(Codec, i32)| Some(*of) == codec;
        let rules = Rules {
            offsets: &self.plan.noted.offsets,
            end_offset: self.plan.noted.end_offset,
            now_ms: self.plan.now_ms,
            delete_retention_ms: self.plan.delete_retention_ms,
            are_tombstones_settled: self.progress.are_tombstones_settled,
            compression_level: self.plan.codec_level.filter(is_meant).map(|(_, level)| level),
        };
        let position = self.end_position();
        let before = self.output.len();
        let filtered = filter(header, batch, &rules, must_stay, &mut self.output);
        self.progress.leader_epoch = Some(header.leader_epoch);
        // Markers have no keys: only records that were left undecided may be hidden by a tombstone.
        if filtered.fate == Fate::Undecided && !header.attributes.is_control() {
            self.progress.are_tombstones_settled = false;
        }
        let written = self.output.get(before..).unwrap_or_default();
        self.cleaned.is_changed |= written != batch;
        let counts = &mut self.cleaned.counts;
        counts.records_before += filtered.records_before;
        counts.records_after += filtered.records_after;
        counts.tombstones += filtered.tombstones;
        let bytes = written.len() as u64;
        if let Ok(header) = BatchHeader::read(written) {
            let base_offset = u64::try_from(header.base_offset).unwrap_or(self.base_offset);
            let relative = base_offset.saturating_sub(self.base_offset);
            self.cleaned.index.note(
                u32::try_from(relative).unwrap_or(u32::MAX),
                u32::try_from(position).unwrap_or(u32::MAX),
                bytes,
                newest_record_ms(&header),
                self.plan.index_interval_bytes,
            );
        }
    }

    /// Takes over when something was last appended to a segment, and how old it is by counting.
    fn note_appends(
        &mut self,
        files: &FileCache,
        segment: &Segment,
    ) -> std::result::Result<(), Halt> {
        let failed = |error: std::io::Error| failed_of(segment, &error);
        let (appended_ms, counted_ms) = segment
            .with_index(files, |index| (index.last_append_ms(), index.counted_age_ms()))
            .map_err(failed)?;
        let appended_ms = match appended_ms {
            None => segment.file(files).and_then(|file| file.modified_ms()).map_err(failed)?,
            known => known,
        };
        if let Some(appended_ms) = appended_ms {
            self.cleaned.index.note_append(appended_ms);
        }
        self.counted_age_ms = Some(counted_ms.min(self.counted_age_ms.unwrap_or(u64::MAX)));
        Ok(())
    }

    /// Writes what is to be written; returns its bytes.
    fn write(&mut self, file: &dyn File) -> std::io::Result<u64> {
        let bytes = self.output.len() as u64;
        write_full(file, &[&self.output], self.position)?;
        file.start_writeback(self.position, bytes)?;
        self.position += bytes;
        self.output.clear();
        Ok(bytes)
    }
}

fn open(files: &FileCache, segment: &Segment) -> std::result::Result<Arc<dyn File>, Halt> {
    segment.file(files).map_err(|error| failed_of(segment, &error))
}

fn failed_of(segment: &Segment, error: &std::io::Error) -> Halt {
    Halt::Failed(read_error(segment, error))
}

fn unreadable(source: &Source, error: &std::io::Error) -> Halt {
    Halt::Unreadable(source.clone(), read_error(&source.segment, error))
}

fn read_error(segment: &Segment, error: &std::io::Error) -> Error {
    Error::io(format_args!("reading {}", segment.log_path().display()), error)
}
