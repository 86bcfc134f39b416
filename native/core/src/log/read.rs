//! Reading: ranges of mapped memory that hold whole batches.
//!
//! Nothing here waits for a disk: what is not resident is answered with [`Read::Cold`], and the
//! caller has [`ColdRange::load`] done by another thread before it asks again.

use std::{
    cell::Cell,
    collections::VecDeque,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Log, LogShared, Position,
    search::{Search, Searched},
    set_aside::Suspect,
};
use crate::{
    error::{Code, Error, Result},
    limits,
    recovery::scan::Mark,
    segment::{Segment, SegmentId, maps::Window},
};

/// Places remembered of readers that go on where they stopped.
const HINTS_MAX: usize = 16;
/// What is brought in at once for a reader that went cold.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Where the batches at some offsets begin: saves sequential readers the index.
#[derive(Debug, Default)]
pub(super) struct Hints(VecDeque<Hint>);

/// Where the batch at an offset begins. Names the segment and not its base offset, which is that
/// of another file once the segment was compacted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hint {
    pub(super) offset: u64,
    pub(super) segment: SegmentId,
    pub(super) position: u64,
}

impl Hints {
    pub(super) fn take(&mut self, offset: u64) -> Option<Hint> {
        let index = self.0.iter().position(|hint| hint.offset == offset)?;
        self.0.remove(index)
    }

    pub(super) fn put(&mut self, hint: Hint) {
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
    pub(crate) segment: Arc<Segment>,
}

impl Batches {
    /// The bytes. Empty only if the range left its window, which is an error of the engine.
    pub fn bytes(&self) -> &[u8] {
        self.window.mapping.slice(self.range.clone()).unwrap_or_default()
    }
}

/// Bytes that have to be brought into memory before they can be read.
pub struct ColdRange {
    pub(super) segment: Arc<Segment>,
    pub(super) position: u64,
    pub(super) bytes: u64,
    /// What does not look like the batch that has to be there: the file is to be asked.
    pub(super) suspect: Option<Suspect>,
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
        if let Some(suspect) = &self.suspect {
            return suspect.examine(&self.segment).map_err(failed);
        }
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
    pub fn read(self: &Arc<Self>, offset: u64, bytes_max: u64) -> Result<Read> {
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
        // Clients take an answer without a record for one that was cut off, and ask for more bytes.
        let mut read = self.read_batches(offset, bytes_max, visible, true)?;
        if matches!(read, Read::AtEnd { .. }) {
            read = self.read_batches(offset, bytes_max, visible, false)?;
        }
        // What is visible and not there was lost with a tail.
        Ok(match read {
            Read::AtEnd { high_watermark } => Read::Gap { to_offset: high_watermark },
            read => read,
        })
    }

    /// As [`read`](Self::read), from an offset that was in the log when `visible` was.
    pub(super) fn read_batches(
        self: &Arc<Self>,
        offset: u64,
        bytes_max: u64,
        visible: Position,
        passes_over_empty: bool,
    ) -> Result<Read> {
        let high_watermark = visible.offset;
        let mut from = offset;
        loop {
            let Some((segment, next_base)) = self.segment_of(from) else {
                return Ok(Read::AtEnd { high_watermark });
            };
            if segment.base_offset > from {
                // What is missing in front was deleted a moment ago, not lost.
                let log_start = self.log_start.load(Ordering::Acquire);
                if from < log_start {
                    let high_watermark = self.high_watermark();
                    return Ok(Read::OutOfRange { log_start, high_watermark });
                }
            }
            let search = Search {
                log: self,
                segment: &segment,
                offset: from,
                end: end_of(&segment, next_base, visible),
                bytes_max,
                high_watermark,
                has_holes: segment.has_holes(),
                passes_over_empty: passes_over_empty && segment.has_holes(),
                resident: Cell::default(),
            };
            let to_offset = match search.run()? {
                Searched::Found(read) => return Ok(read),
                Searched::Nothing { to_offset } => to_offset,
            };
            match next_base.filter(|base| *base < high_watermark) {
                Some(base) if to_offset >= base => from = base,
                // Compaction leaves the last batch of a segment: offsets between two are missing
                // because a tail was lost.
                Some(to_offset) => return Ok(Read::Gap { to_offset }),
                None => return Ok(Read::AtEnd { high_watermark }),
            }
        }
    }

    /// Where the visible part of a segment ends, and the offset behind it.
    pub(super) fn visible_end(&self, segment: &Segment) -> Mark {
        let visible = *self.visible.read();
        let segments = self.segments.read();
        let behind = segments.partition_point(|other| other.base_offset <= segment.base_offset);
        let next_base = segments.get(behind).map(|next| next.base_offset);
        end_of(segment, next_base, visible)
    }

    /// The segment that an offset falls into, or the first one where that lies further, and the
    /// base offset of the one behind it.
    pub(crate) fn segment_of(&self, offset: u64) -> Option<(Arc<Segment>, Option<u64>)> {
        let segments = self.segments.read();
        let count = segments.partition_point(|segment| segment.base_offset <= offset);
        let index = count.saturating_sub(1);
        let segment = segments.get(index)?;
        Some((Arc::clone(segment), segments.get(index + 1).map(|next| next.base_offset)))
    }
}

fn end_of(segment: &Segment, next_base: Option<u64>, visible: Position) -> Mark {
    let is_last_visible = segment.base_offset >= visible.segment_base;
    Mark {
        position: if is_last_visible { visible.position } else { segment.end_position() },
        offset: next_base.unwrap_or(visible.offset).min(visible.offset),
    }
}

pub(super) fn to_memory(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .map_err(|_| Error::new(Code::UnknownServerError, "a range larger than the address space"))
}
