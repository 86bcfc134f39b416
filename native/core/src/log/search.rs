//! Finding the batches at an offset within one segment.
//!
//! Base offsets lie outside a batch's checksum, so each batch met on the way must begin where the
//! one before it ended: what does not is set aside like any other damage, and never delivered
//! under offsets that are not its own.

use std::{cell::Cell, ops::Range, sync::Arc};

use super::{
    Log,
    read::{Batches, ColdRange, Hint, Read, to_memory},
    set_aside::Suspect,
};
use crate::{
    batch::{BatchHeader, HEADER_BYTES},
    error::{Code, Error, Result},
    limits::{self, READ_WINDOW_BYTES},
    recovery::scan::Mark,
    segment::{
        Segment,
        maps::{WINDOW_STEP_BYTES, Window},
    },
};

/// Bytes behind those in question that are asked about with them: the batches to come lie there.
const RESIDENT_AHEAD_BYTES: u64 = 1 << 20;

/// What is looked for, and where.
pub(super) struct Search<'a> {
    pub(super) log: &'a Arc<Log>,
    pub(super) segment: &'a Arc<Segment>,
    /// First offset wanted.
    pub(super) offset: u64,
    /// Where the visible part of the segment ends, and the offset behind it.
    pub(super) end: Mark,
    pub(super) bytes_max: u64,
    pub(super) high_watermark: u64,
    /// Compaction may have taken offsets out between two batches.
    pub(super) has_holes: bool,
    /// Batches that compaction has left no record of are passed over in front of others.
    pub(super) passes_over_empty: bool,
    pub(super) resident: Cell<Resident>,
}

/// Bytes of a window that were found to be in memory: the system is asked once for many headers.
/// They may leave it at any time, as just after any answer; a search is over in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resident {
    window: u64,
    start: usize,
    end: usize,
}

/// What there is in a segment.
pub(super) enum Searched {
    Found(Read),
    /// Nothing from the offset on, up to an offset.
    Nothing {
        to_offset: u64,
    },
}

/// Where the search is.
#[derive(Clone, Copy)]
struct Place {
    /// Position of the next batch, and the offset that it must have.
    next: Mark,
    /// The index says so: it is a hint, and only believed once the batch is seen there.
    is_from_index: bool,
    /// Bytes from there on that have to lie in one window.
    wanted: u64,
}

enum Walk {
    Batches {
        range: Range<usize>,
        next: Mark,
        record_count: u32,
    },
    Cold {
        position: u64,
        bytes: u64,
    },
    On(Place),
    /// No batch begins at `at`; the next one, where its own length says so.
    Damaged {
        at: Mark,
        behind: Option<Mark>,
    },
}

impl Search<'_> {
    /// The batches from the offset on.
    ///
    /// # Errors
    /// An I/O error while mapping.
    pub(super) fn run(&self) -> Result<Searched> {
        let Some(mut place) = self.starting_place()? else {
            return Ok(Searched::Found(self.cold(0, 0)));
        };
        let mut hinted = (!place.is_from_index).then_some(place.next.position).filter(|at| *at > 0);
        loop {
            if place.next.position + HEADER_BYTES as u64 > self.end.position {
                if place.is_from_index {
                    place = self.without_index();
                    continue;
                }
                return Ok(Searched::Nothing { to_offset: place.next.offset });
            }
            if let Some(damage) = self.segment.damage_at_or_behind(place.next.position)
                && damage.from_position <= place.next.position
            {
                if self.offset < damage.to_offset {
                    return Ok(Searched::Found(Read::Gap { to_offset: damage.to_offset }));
                }
                place.next = Mark { position: damage.to_position, offset: damage.to_offset };
                continue;
            }
            let window = self.window(&place)?;
            match self.walk(&window, &place)? {
                Walk::Batches { range, next, record_count } => {
                    return Ok(Searched::Found(self.found(window, range, next, record_count)));
                }
                Walk::Cold { position, bytes } => {
                    return Ok(Searched::Found(self.cold(position, bytes)));
                }
                Walk::On(further) => place = further,
                // The batch before it may have a wrong length: from further back that is seen.
                Walk::Damaged { at, .. } if hinted.take() == Some(at.position) => {
                    let Some(indexed) = self.indexed_place()? else {
                        return Ok(Searched::Found(self.cold(0, 0)));
                    };
                    place = indexed;
                }
                Walk::Damaged { at, .. }
                    if place.is_from_index && at.position == place.next.position =>
                {
                    place = self.without_index();
                }
                Walk::Damaged { at, behind } => {
                    return Ok(Searched::Found(self.suspect(at, behind)));
                }
            }
        }
    }

    /// Where to begin: where a reader stopped, else where the index knows of a batch. `None` when
    /// the index has to be loaded first.
    fn starting_place(&self) -> Result<Option<Place>> {
        let hint = self.log.hints.lock().take(self.offset);
        if let Some(hint) = hint.filter(|hint| hint.segment == self.segment.id) {
            let next = Mark { position: hint.position, offset: hint.offset };
            return Ok(Some(Place { next, is_from_index: false, wanted: self.bytes_max }));
        }
        self.indexed_place()
    }

    /// Where the index knows of a batch; `None` when it has to be loaded first.
    fn indexed_place(&self) -> Result<Option<Place>> {
        let files = &self.log.shared.files;
        if !self.segment.has_index(files) {
            return Ok(None);
        }
        let relative = self.offset.saturating_sub(self.segment.base_offset);
        let relative = u32::try_from(relative).unwrap_or(u32::MAX);
        let entry = self
            .segment
            .with_index(files, |index| index.at_or_before(relative))
            .map_err(|error| self.failed(&error))?;
        let next = Mark {
            position: u64::from(entry.position),
            offset: self.segment.base_offset + u64::from(entry.relative_offset),
        };
        let is_from_index = next.position > 0;
        Ok(Some(Place { next, is_from_index, wanted: self.bytes_max }))
    }

    /// The start of the segment, after the index turned out wrong: it is rebuilt.
    fn without_index(&self) -> Place {
        self.segment.distrust_index();
        let next = Mark { position: 0, offset: self.segment.base_offset };
        Place { next, is_from_index: false, wanted: self.bytes_max }
    }

    fn window(&self, place: &Place) -> Result<Arc<Window>> {
        let position = place.next.position;
        let bytes = place
            .wanted
            .clamp(HEADER_BYTES as u64, limits::BATCH_BYTES_MAX + HEADER_BYTES as u64)
            .min(window_end_max(position) - position);
        let shared = &self.log.shared;
        shared
            .windows
            .window(&shared.files, self.segment, position, bytes.min(self.end.position - position))
            .map_err(|error| self.failed(&error))
    }

    /// Whether a batch lies before what is wanted, or has nothing of it.
    fn is_passed_over(&self, header: &BatchHeader, behind: Mark) -> bool {
        behind.offset <= self.offset || (self.passes_over_empty && header.record_count == 0)
    }

    /// Walks the batch headers of one window.
    fn walk(&self, window: &Window, place: &Place) -> Result<Walk> {
        let mut next = place.next;
        let damage = self.segment.damage_at_or_behind(next.position);
        let end = damage.map_or(self.end.position, |damage| damage.from_position);
        let end = end.min(self.end.position);
        let window_end = end.min(window.start + window.bytes());
        let (mut first, mut last) = (None, None);
        let mut record_count = 0u32;
        while next.position + HEADER_BYTES as u64 <= window_end {
            let Some(header) = self.header(window, next.position)? else {
                if first.is_some() {
                    break;
                }
                return Ok(Walk::Cold { position: next.position, bytes: self.bytes_max });
            };
            let bytes = header.map_or(0, |header| header.batch_bytes() as u64);
            let Some((header, behind)) =
                header.and_then(|header| Some((header, self.behind(&header, next)?)))
            else {
                if let Some((before, count)) = self.misleading(window, last)? {
                    if first.is_none_or(|first| first == before.position) {
                        return Ok(Walk::Damaged { at: before, behind: None });
                    }
                    next = before;
                    record_count = record_count.saturating_sub(count);
                    break;
                }
                if first.is_some() {
                    break;
                }
                let behind = self.mark_at(window, next.position + bytes, end)?;
                return Ok(Walk::Damaged { at: next, behind: behind.filter(|_| bytes > 0) });
            };
            if behind.position > window_end {
                if first.is_none() && behind.position <= end {
                    return Ok(Walk::On(Place { next, is_from_index: false, wanted: bytes }));
                }
                break;
            }
            if let Some(doubt) = self.doubt(window, &header, (next, behind), end)? {
                if first.is_some() {
                    break;
                }
                return Ok(doubt);
            }
            last = Some((next, header));
            if first.is_none() && self.is_passed_over(&header, behind) {
                next = behind;
                continue;
            }
            let start = *first.get_or_insert(next.position);
            if next.position > start && behind.position - start > self.bytes_max {
                break;
            }
            next = behind;
            record_count =
                record_count.saturating_add(u32::try_from(header.record_count).unwrap_or(0));
            if next.position - start >= self.bytes_max {
                break;
            }
        }
        let Some(first) = first else {
            // Nothing yet: go on in the next window, or leave the segment at its end.
            if next.position == place.next.position {
                next.position = end;
            }
            let wanted = HEADER_BYTES as u64;
            return Ok(Walk::On(Place { next, is_from_index: false, wanted }));
        };
        self.walked(window, first, next, record_count)
    }

    fn walked(&self, window: &Window, first: u64, next: Mark, record_count: u32) -> Result<Walk> {
        let range = in_window(window, first)?..in_window(window, next.position)?;
        if !self.is_resident(window, range.clone())? {
            return Ok(Walk::Cold { position: first, bytes: next.position - first });
        }
        Ok(Walk::Batches { range, next, record_count })
    }

    /// The batch whose length, which no checksum covers, led to where no batch is, and its records:
    /// where its checksum does not hold it is the one that is damaged.
    fn misleading(
        &self,
        window: &Window,
        last: Option<(Mark, BatchHeader)>,
    ) -> Result<Option<(Mark, u32)>> {
        let Some((at, header)) = last else {
            return Ok(None);
        };
        let start = in_window(window, at.position)?;
        let range = start..start + header.batch_bytes();
        if !self.is_resident(window, range.clone())? {
            return Ok(None);
        }
        let batch = window.mapping.slice(range).unwrap_or_default();
        let count = u32::try_from(header.record_count).unwrap_or(0);
        Ok(header.verify_crc(batch).is_err().then_some((at, count)))
    }

    /// Where the batch of `header`, met at `at`, ends; `None` when it is not the expected one.
    fn behind(&self, header: &BatchHeader, at: Mark) -> Option<Mark> {
        let base_offset = u64::try_from(header.base_offset).ok()?;
        let is_expected = if self.has_holes {
            (at.offset..self.end.offset).contains(&base_offset)
        } else {
            base_offset == at.offset
                && i64::from(header.record_count) == i64::from(header.last_offset_delta) + 1
        };
        let last_offset_delta = u64::try_from(header.last_offset_delta).ok()?;
        let offset = base_offset + last_offset_delta + 1;
        let position = at.position + header.batch_bytes() as u64;
        let is_within = offset <= self.end.offset && position <= self.end.position;
        (is_expected && is_within).then_some(Mark { position, offset })
    }

    /// Whether a batch whose header speaks of more offsets than records is one that compaction left
    /// so: only the checksum tells it from one whose header is damaged, and which would send
    /// readers past the batches behind it. `None` where it is not in memory.
    fn is_proved(
        &self,
        window: &Window,
        header: &BatchHeader,
        at: Mark,
        behind: Mark,
    ) -> Result<Option<bool>> {
        if i64::from(header.record_count) == i64::from(header.last_offset_delta) + 1 {
            return Ok(Some(true));
        }
        let range = in_window(window, at.position)?..in_window(window, behind.position)?;
        if !self.is_resident(window, range.clone())? {
            return Ok(None);
        }
        let batch = window.mapping.slice(range).unwrap_or_default();
        Ok(Some(header.verify_crc(batch).is_ok()))
    }

    /// What there is to do before a batch can be believed; `None`: nothing.
    fn doubt(
        &self,
        window: &Window,
        header: &BatchHeader,
        (at, behind): (Mark, Mark),
        end: u64,
    ) -> Result<Option<Walk>> {
        match self.is_proved(window, header, at, behind)? {
            Some(true) => {}
            Some(false) => {
                let behind = self.mark_at(window, behind.position, end)?;
                return Ok(Some(Walk::Damaged { at, behind }));
            }
            None => {
                let bytes = behind.position - at.position;
                return Ok(Some(Walk::Cold { position: at.position, bytes }));
            }
        }
        if u64::try_from(header.base_offset) == Ok(at.offset) {
            return Ok(None);
        }
        self.doubt_hole(window, (at, behind), end)
    }

    /// As [`doubt`](Self::doubt), for a batch that left offsets out: only the one behind it tells
    /// of a base offset that is too large.
    fn doubt_hole(
        &self,
        window: &Window,
        (at, behind): (Mark, Mark),
        end: u64,
    ) -> Result<Option<Walk>> {
        let header_end = behind.position + HEADER_BYTES as u64;
        // Scrubbing finds what lies across the end of the largest window.
        if header_end > end || header_end > window_end_max(at.position) {
            return Ok(None);
        }
        if header_end > window.start + window.bytes() {
            let wanted = header_end - at.position;
            return Ok(Some(Walk::On(Place { next: at, is_from_index: false, wanted })));
        }
        let Some(header) = self.header(window, behind.position)? else {
            let (position, bytes) = (behind.position, HEADER_BYTES as u64);
            return Ok(Some(Walk::Cold { position, bytes }));
        };
        let following = header.and_then(|header| u64::try_from(header.base_offset).ok());
        Ok(following.filter(|following| *following < behind.offset).map(|offset| Walk::Damaged {
            at,
            behind: Some(Mark { position: behind.position, offset }),
        }))
    }

    /// The header at a position: `None` when it is not in memory, `Some(None)` when there is none.
    fn header(&self, window: &Window, position: u64) -> Result<Option<Option<BatchHeader>>> {
        let start = in_window(window, position)?;
        let head = start..start + HEADER_BYTES;
        if !self.is_resident(window, head.clone())? {
            return Ok(None);
        }
        Ok(Some(window.mapping.slice(head).and_then(|head| BatchHeader::read(head).ok())))
    }

    /// The batch that begins at `position`, or the end of the segment, if that is known here.
    fn mark_at(&self, window: &Window, position: u64, end: u64) -> Result<Option<Mark>> {
        if position == self.end.position {
            return Ok(Some(self.end));
        }
        if position + HEADER_BYTES as u64 > end.min(window.start + window.bytes()) {
            return Ok(None);
        }
        let header = self.header(window, position)?.flatten();
        let base_offset = header.and_then(|header| u64::try_from(header.base_offset).ok());
        Ok(base_offset.map(|offset| Mark { position, offset }))
    }

    fn is_resident(&self, window: &Window, range: Range<usize>) -> Result<bool> {
        let mut known = self.resident.get();
        let is_continued =
            known.window == window.id && (known.start..=known.end).contains(&range.start);
        if !is_continued {
            known = Resident { window: window.id, start: range.start, end: range.start };
        }
        if range.end > known.end {
            let ahead = to_memory(self.bytes_max.min(RESIDENT_AHEAD_BYTES))?;
            let last = in_window(window, self.end.position)?.min(window.mapping.bytes());
            let asked = known.end..known.end.saturating_add(ahead).min(last).max(range.end);
            let resident = window.mapping.resident(asked).map_err(|error| self.failed(&error))?;
            known.end += resident;
            self.resident.set(known);
        }
        Ok(range.end <= known.end)
    }

    fn found(
        &self,
        window: Arc<Window>,
        range: Range<usize>,
        next: Mark,
        record_count: u32,
    ) -> Read {
        self.log.hints.lock().put(Hint {
            offset: next.offset,
            segment: self.segment.id,
            position: next.position,
        });
        Read::Batches(Batches {
            window,
            range,
            next_offset: next.offset,
            high_watermark: self.high_watermark,
            record_count,
            segment: Arc::clone(self.segment),
        })
    }

    /// What is not the batch expected at `at` is a gap once the file has been asked.
    fn suspect(&self, at: Mark, behind: Option<Mark>) -> Read {
        Read::Cold(ColdRange {
            segment: Arc::clone(self.segment),
            position: at.position,
            bytes: 0,
            suspect: Some(Suspect { log: Arc::clone(self.log), at, behind, end: self.end }),
        })
    }

    fn cold(&self, position: u64, bytes: u64) -> Read {
        let segment = Arc::clone(self.segment);
        Read::Cold(ColdRange { segment, position, bytes, suspect: None })
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::io(format_args!("reading {}", self.segment.log_path().display()), error)
    }
}

/// Where the largest window ends that a position is looked at in.
fn window_end_max(position: u64) -> u64 {
    position / WINDOW_STEP_BYTES * WINDOW_STEP_BYTES + READ_WINDOW_BYTES
}

fn in_window(window: &Window, position: u64) -> Result<usize> {
    position
        .checked_sub(window.start)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| Error::new(Code::UnknownServerError, "a position outside its window"))
}
