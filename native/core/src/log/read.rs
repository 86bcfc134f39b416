//! Reading: ranges of mapped memory that hold whole batches.
//!
//! Nothing here waits for a disk: what is not resident is answered with [`Read::Cold`], and the
//! caller has [`ColdRange::load`] done by another thread before it asks again.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use super::{Log, LogShared, Position};
use crate::{
    batch::{BatchHeader, HEADER_BYTES},
    error::{Code, Error, Result},
    limits,
    recovery::scan::Mark,
    segment::{DamagedRange, Segment, maps::Window},
};

/// Places remembered of readers that go on where they stopped.
const HINTS_MAX: usize = 16;
/// What is brought in at once for a reader that went cold.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Where the batches at some offsets begin: saves sequential readers the index.
#[derive(Debug, Default)]
pub(super) struct Hints(VecDeque<Position>);

impl Hints {
    fn take(&mut self, offset: u64) -> Option<Position> {
        let index = self.0.iter().position(|hint| hint.offset == offset)?;
        self.0.remove(index)
    }

    fn put(&mut self, hint: Position) {
        if self.0.iter().any(|other| other.offset == hint.offset) {
            return;
        }
        if self.0.len() == HINTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hint);
    }
}

/// What there is to read at an offset.
pub enum Read {
    /// Whole batches; the first one holds the offset, or the first offset behind it that exists.
    Batches(Batches),
    /// The offset is the next to become visible.
    AtEnd {
        /// The high watermark.
        high_watermark: u64,
    },
    /// The bytes are not in memory: load, then ask again.
    Cold(ColdRange),
    /// The range of offsets from the one asked for is damaged; reading goes on behind it.
    Gap {
        /// First offset that is readable again.
        to_offset: u64,
    },
    /// Not an offset of this log.
    OutOfRange {
        /// First offset that can be read.
        log_start: u64,
        /// Offset behind the last visible record.
        high_watermark: u64,
    },
}

/// Whole batches in a read window, all of them visible.
pub struct Batches {
    /// The mapping; holding it keeps the memory valid.
    pub window: Arc<Window>,
    /// Where in the window the batches lie.
    pub range: Range<usize>,
    /// Offset behind the last record of the last batch.
    pub next_offset: u64,
    /// Offset behind the last visible record.
    pub high_watermark: u64,
    /// Records of the batches, counted by offsets.
    pub record_count: u32,
    segment: Arc<Segment>,
}

impl Batches {
    /// The bytes. Empty only if the range left its window, which is an error of the engine.
    pub fn bytes(&self) -> &[u8] {
        self.window.mapping.slice(self.range.clone()).unwrap_or_default()
    }
}

/// Bytes that have to be brought into memory before they can be read.
pub struct ColdRange {
    segment: Arc<Segment>,
    position: u64,
    bytes: u64,
}

impl ColdRange {
    /// Brings the range into memory. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::KafkaStorageError`] where the disk cannot be read.
    pub fn load(&self, shared: &LogShared) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::io(format_args!("reading {}", self.segment.log_path().display()), &error)
        };
        self.segment.with_index(&shared.files, |_| ()).map_err(failed)?;
        let end = self.segment.end_position();
        let bytes = self.bytes.max(READ_AHEAD_BYTES).min(end.saturating_sub(self.position));
        let bytes = bytes.min(limits::BATCH_BYTES_MAX);
        let window = shared
            .windows
            .window(&shared.files, &self.segment, self.position, bytes)
            .map_err(failed)?;
        let start = to_memory(self.position - window.start)?;
        window.mapping.populate(start..start + to_memory(bytes)?).map_err(failed)
    }
}

impl Log {
    /// Finds the batches from `offset` on: as many whole ones as fit `bytes_max`, but always one.
    ///
    /// # Errors
    /// [`Code::TopicDeleted`], or [`Code::KafkaStorageError`] where a file cannot be mapped.
    pub fn read(&self, offset: u64, bytes_max: u64) -> Result<Read> {
        if let Some(code) = self.ended() {
            return Err(Error::new(code, self.label.clone()));
        }
        let visible = *self.visible.read();
        let log_start = self.log_start.load(Ordering::Acquire);
        let high_watermark = visible.offset;
        if offset < log_start || offset > self.log_end.load(Ordering::Acquire) {
            return Ok(Read::OutOfRange { log_start, high_watermark });
        }
        if offset >= high_watermark {
            return Ok(Read::AtEnd { high_watermark });
        }
        let mut from = offset;
        loop {
            let Some((segment, next_base)) = self.segment_of(from) else {
                return Ok(Read::AtEnd { high_watermark });
            };
            let end = if segment.base_offset >= visible.segment_base {
                visible.position
            } else {
                segment.end_position()
            };
            if let Some(read) =
                self.read_segment((&segment, next_base), from, end, bytes_max, high_watermark)?
            {
                return Ok(read);
            }
            // Nothing more in this segment. In a compacted log that is normal; elsewhere offsets
            // between two segments are missing because a tail was lost.
            match next_base.filter(|base| *base < high_watermark) {
                Some(base) if base > offset && !self.config().is_compacted => {
                    return Ok(Read::Gap { to_offset: base });
                }
                Some(base) => from = base,
                None => return Ok(Read::AtEnd { high_watermark }),
            }
        }
    }

    /// The segment that an offset falls into, and the base offset of the one behind it.
    fn segment_of(&self, offset: u64) -> Option<(Arc<Segment>, Option<u64>)> {
        let segments = self.segments.read();
        let count = segments.partition_point(|segment| segment.base_offset <= offset);
        let segment = segments.get(count.saturating_sub(1))?;
        Some((Arc::clone(segment), segments.get(count).map(|next| next.base_offset)))
    }

    /// Where to begin looking for the batch at `offset`, and - where the index said so - the
    /// position and offset of a batch that must be there: believed once it is seen. `None` when the
    /// index has to be loaded first.
    fn starting_position(
        &self,
        segment: &Segment,
        offset: u64,
    ) -> Result<Option<(u64, Option<(u64, u64)>)>> {
        let hint = self.hints.lock().take(offset);
        if let Some(hint) = hint.filter(|hint| hint.segment_base == segment.base_offset) {
            return Ok(Some((hint.position, None)));
        }
        if !segment.has_index(&self.shared.files) {
            return Ok(None);
        }
        let relative =
            u32::try_from(offset.saturating_sub(segment.base_offset)).unwrap_or(u32::MAX);
        let entry =
            segment.with_index(&self.shared.files, |index| index.at_or_before(relative)).map_err(
                |error| Error::io(format_args!("mapping {}", segment.log_path().display()), &error),
            )?;
        let position = u64::from(entry.position);
        let indexed = (position, segment.base_offset + u64::from(entry.relative_offset));
        Ok(Some((position, Some(indexed).filter(|_| position > 0))))
    }

    fn read_segment(
        &self,
        (segment, next_base): (&Arc<Segment>, Option<u64>),
        offset: u64,
        end: u64,
        bytes_max: u64,
        high_watermark: u64,
    ) -> Result<Option<Read>> {
        let failed = |error: std::io::Error| {
            Error::io(format_args!("mapping {}", segment.log_path().display()), &error)
        };
        let Some((mut position, mut indexed)) = self.starting_position(segment, offset)? else {
            return Ok(Some(cold(segment, 0, 0)));
        };
        let mut wanted = bytes_max;
        loop {
            if position + HEADER_BYTES as u64 > end {
                if indexed.take().is_some_and(|(at, _)| at == position) {
                    segment.distrust_index();
                    position = 0;
                    continue;
                }
                return Ok(None);
            }
            if let Some(damage) = segment.damage_at_or_behind(position)
                && damage.from_position <= position
            {
                if offset < damage.to_offset {
                    return Ok(Some(Read::Gap { to_offset: damage.to_offset }));
                }
                position = damage.to_position;
                continue;
            }
            let needed = wanted.clamp(HEADER_BYTES as u64, limits::BATCH_BYTES_MAX);
            let window = self
                .shared
                .windows
                .window(&self.shared.files, segment, position, needed.min(end - position))
                .map_err(failed)?;
            if let Some((at, indexed_offset)) = indexed
                && at == position
            {
                match self.is_batch_at(&window, position, indexed_offset)? {
                    None => return Ok(Some(cold(segment, position, bytes_max))),
                    Some(true) => {}
                    Some(false) => {
                        segment.distrust_index();
                        position = 0;
                    }
                }
                indexed = None;
                continue;
            }
            match self.walk(segment, window, position, end, offset, bytes_max)? {
                Walk::Batches { window, range, next_offset, next_position, record_count } => {
                    self.hints.lock().put(Position {
                        offset: next_offset,
                        segment_base: segment.base_offset,
                        position: next_position,
                    });
                    let segment = Arc::clone(segment);
                    return Ok(Some(Read::Batches(Batches {
                        window,
                        range,
                        next_offset,
                        high_watermark,
                        record_count,
                        segment,
                    })));
                }
                Walk::Cold { position, bytes } => {
                    return Ok(Some(cold(segment, position, bytes)));
                }
                Walk::Damaged { position } => {
                    let end = Mark { position: end, offset: next_base.unwrap_or(high_watermark) };
                    let further = self.set_aside_unreadable(segment, (position, offset), end)?;
                    return Ok(Some(match further {
                        Some(to_offset) => Read::Gap { to_offset },
                        None => cold(segment, 0, 0),
                    }));
                }
                Walk::On { position: further, bytes } => {
                    position = further;
                    wanted = bytes;
                }
            }
        }
    }

    /// Walks the batch headers of one window from `position`.
    fn walk(
        &self,
        segment: &Segment,
        window: Arc<Window>,
        position: u64,
        end: u64,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Walk> {
        let damage_start =
            segment.damage_at_or_behind(position).map_or(u64::MAX, |damage| damage.from_position);
        let end = end.min(damage_start);
        let window_end = end.min(window.start + window.bytes());
        let mut walked = position;
        let mut first = None;
        let mut next_offset = offset;
        let mut record_count = 0u32;
        while walked + HEADER_BYTES as u64 <= window_end {
            let start = to_memory(walked - window.start)?;
            let head = start..start + HEADER_BYTES;
            if !self.is_resident(&window, head.clone())? {
                if first.is_some() {
                    break;
                }
                return Ok(Walk::Cold { position: walked, bytes: bytes_max });
            }
            let header = window.mapping.slice(head).map(BatchHeader::read);
            let Some(Ok(header)) = header else {
                if first.is_some() {
                    break;
                }
                return Ok(Walk::Damaged { position: walked });
            };
            let bytes = header.batch_bytes() as u64;
            if walked + bytes > window_end {
                if first.is_none() && walked + bytes <= end {
                    return Ok(Walk::On { position: walked, bytes });
                }
                break;
            }
            let batch_next = u64::try_from(header.last_offset()).unwrap_or(0) + 1;
            if first.is_none() && batch_next <= offset {
                walked += bytes;
                continue;
            }
            let start_position = *first.get_or_insert(walked);
            if walked > start_position && walked + bytes - start_position > bytes_max {
                break;
            }
            walked += bytes;
            next_offset = batch_next;
            let records = u32::try_from(header.record_count).unwrap_or(0);
            record_count = record_count.saturating_add(records);
            if walked - start_position >= bytes_max {
                break;
            }
        }
        let Some(first) = first else {
            // Nothing yet: go on in the next window, or leave the segment at its end.
            let further = if walked == position { end } else { walked };
            return Ok(Walk::On { position: further, bytes: HEADER_BYTES as u64 });
        };
        let range = to_memory(first - window.start)?..to_memory(walked - window.start)?;
        if !self.is_resident(&window, range.clone())? {
            return Ok(Walk::Cold { position: first, bytes: walked - first });
        }
        Ok(Walk::Batches { window, range, next_offset, next_position: walked, record_count })
    }

    /// Whether the batch of `offset` begins at `position`; `None` when that is not in memory.
    fn is_batch_at(&self, window: &Window, position: u64, offset: u64) -> Result<Option<bool>> {
        let start = to_memory(position - window.start)?;
        let head = start..start + HEADER_BYTES;
        if !self.is_resident(window, head.clone())? {
            return Ok(None);
        }
        let header = window.mapping.slice(head).map(BatchHeader::read);
        let is_there = header.is_some_and(|header| {
            header.is_ok_and(|header| u64::try_from(header.base_offset) == Ok(offset))
        });
        Ok(Some(is_there))
    }

    fn is_resident(&self, window: &Window, range: Range<usize>) -> Result<bool> {
        window
            .mapping
            .resident(range)
            .map_err(|error| Error::io(format_args!("mincore of {}", self.label), &error))
    }

    /// Sets aside what is no batch at `position`, up to where the index knows of the next one, else
    /// to the end of the segment: readers have to get past it. Returns the first offset behind it,
    /// or `None` when the index is not in memory.
    fn set_aside_unreadable(
        &self,
        segment: &Segment,
        (position, offset): (u64, u64),
        end: Mark,
    ) -> Result<Option<u64>> {
        if !segment.has_index(&self.shared.files) {
            return Ok(None);
        }
        let entry = segment
            .with_index(&self.shared.files, |index| {
                let mut behind = index.entries().iter().map(|entry| Mark {
                    position: u64::from(entry.position),
                    offset: segment.base_offset + u64::from(entry.relative_offset),
                });
                behind.find(|mark| mark.position > position && mark.offset > offset)
            })
            .map_err(|error| {
                let path = segment.path("index");
                Error::io(format_args!("reading {}", path.display()), &error)
            })?;
        let further = entry.filter(|mark| mark.position < end.position);
        let further = further.unwrap_or(end);
        segment.add_damaged(DamagedRange {
            from_offset: offset,
            to_offset: further.offset,
            from_position: position,
            to_position: further.position,
        });
        Ok(Some(further.offset))
    }

    /// Sets a batch aside that turned out damaged when it was read: later reads answer a gap.
    /// `from_offset` and `to_offset` are what the batch claimed to hold.
    pub fn set_aside(&self, batches: &Batches, at: Range<usize>, from_offset: u64, to_offset: u64) {
        let range = DamagedRange {
            from_offset,
            to_offset,
            from_position: batches.window.start + at.start as u64,
            to_position: batches.window.start + at.end as u64,
        };
        batches.segment.add_damaged(range);
    }
}

fn cold(segment: &Arc<Segment>, position: u64, bytes: u64) -> Read {
    Read::Cold(ColdRange { segment: Arc::clone(segment), position, bytes })
}

enum Walk {
    Batches {
        window: Arc<Window>,
        range: Range<usize>,
        next_offset: u64,
        next_position: u64,
        record_count: u32,
    },
    Cold {
        position: u64,
        bytes: u64,
    },
    On {
        position: u64,
        bytes: u64,
    },
    Damaged {
        position: u64,
    },
}

fn to_memory(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .map_err(|_| Error::new(Code::UnknownServerError, "a range larger than the address space"))
}
