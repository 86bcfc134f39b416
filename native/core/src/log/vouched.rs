//! What a start takes from the checkpoint without opening files: closed segments that it vouches
//! for, and a log to which nothing was appended since.

use std::sync::Arc;

use super::{
    Position,
    open::{Opener, Recovered, Stored},
    recover::Opened,
};
use crate::{
    error::Result,
    index::{file as index_file, file::Coverage},
    recovery::checkpoint::{ClosedSegments, LogMark},
    segment::{
        Segment,
        damage::{self, KnownDamage},
    },
};

impl Opener<'_> {
    /// What was stored about a segment's damage.
    pub(super) fn known_damage(&self, segment: &Segment) -> Result<KnownDamage> {
        if !self.is_listed(segment.base_offset, "damage") {
            return Ok(KnownDamage::Ranges(Vec::new()));
        }
        let path = segment.path("damage");
        damage::load(self.files(), &path).map_err(self.failed(&path))
    }

    /// Below which base offset the checkpoint vouches for all segments. It does where they are
    /// those that it was written about, each of the same length: any other is found out about one
    /// by one.
    pub(super) fn vouched_below(&self, bases: &[u64]) -> u64 {
        let Some(LogMark { flushed, closed }) = self.open.checkpoint else {
            return 0;
        };
        let before = bases.iter().take_while(|base_offset| **base_offset < flushed.segment_base);
        let found = before.map(|base_offset| (*base_offset, self.file_bytes(*base_offset)));
        if ClosedSegments::new(found) == closed { flushed.segment_base } else { 0 }
    }

    /// A closed segment that the checkpoint vouches for, without opening it or its index. `None`
    /// where its index is not there to be opened later, or its damage cannot be read.
    pub(super) fn vouched(&self, base_offset: u64, next_base: u64) -> Result<Option<Opened>> {
        if base_offset >= self.vouched_below
            || !self.is_listed(base_offset, "index")
            || !self.is_listed(base_offset, "timeindex")
        {
            return Ok(None);
        }
        let segment = Segment::of(&self.open.directory, base_offset);
        segment.set_has_holes(self.has_holes(base_offset));
        let KnownDamage::Ranges(damaged) = self.known_damage(&segment)? else {
            return Ok(None);
        };
        let file_bytes = self.file_bytes(base_offset);
        segment.set_damaged(damaged);
        segment.set_end_position(file_bytes);
        segment.set_stored();
        let end = Position { offset: next_base, segment_base: base_offset, position: file_bytes };
        Ok(Some(Opened { segment: Arc::new(segment), end, is_index_stale: false }))
    }

    /// The log as its checkpoint, its last index and the snapshot at its end describe it, where
    /// those agree with each other and with the files. `None` where anything is to be found out.
    pub(super) fn untouched(&self, bases: &[u64]) -> Result<Option<Recovered>> {
        let Some((&last, closed)) = bases.split_last() else {
            return Ok(None);
        };
        let mut segments = Vec::with_capacity(bases.len());
        for (&base_offset, &next_base) in closed.iter().zip(bases.iter().skip(1)) {
            let Some(opened) = self.vouched(base_offset, next_base)? else {
                return Ok(None);
            };
            segments.push(opened.segment);
        }
        let Some((segment, Stored { states: producers, offset }, end)) =
            self.untouched_tail(last)?
        else {
            return Ok(None);
        };
        segments.push(segment);
        let snapshot_offset = offset;
        Ok(Some(Recovered { segments, end, producers, snapshot_offset, is_index_stale: false }))
    }

    fn untouched_tail(&self, base_offset: u64) -> Result<Option<(Arc<Segment>, Stored, Position)>> {
        let Some(end) = self.open.checkpoint.map(|mark| mark.flushed).filter(|end| {
            (self.open.was_clean || self.open.is_settled)
                && end.segment_base == base_offset
                && end.position == self.file_bytes(base_offset)
        }) else {
            return Ok(None);
        };
        let has_hints =
            self.is_listed(base_offset, "index") && self.is_listed(end.offset, "snapshot");
        if !has_hints {
            return Ok(None);
        }
        let segment = Segment::of(&self.open.directory, base_offset);
        segment.set_has_holes(self.has_holes(base_offset));
        let index_path = segment.path("index");
        let stored = index_file::load(self.files(), &index_path, &segment.path("timeindex"))
            .map_err(self.failed(&index_path))?;
        let covers_all = |coverage: &Coverage| {
            coverage.log_bytes == end.position && coverage.next_offset == end.offset
        };
        let Some((index, _)) = stored.filter(|(_, coverage)| covers_all(coverage)) else {
            return Ok(None);
        };
        let KnownDamage::Ranges(damaged) = self.known_damage(&segment)? else {
            return Ok(None);
        };
        let Some(states) = self.snapshot(end.offset)? else {
            return Ok(None);
        };
        segment.set_index(index);
        segment.set_damaged(damaged);
        segment.set_end_position(end.position);
        Ok(Some((Arc::new(segment), Stored { states, offset: end.offset }, end)))
    }
}
