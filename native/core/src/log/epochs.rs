//! Where leader epochs end (KIP-101, KIP-320).
//!
//! Epochs only rise along a log and stand in every batch, so they are searched for: over the first
//! batches of the segments, then over those that the index knows, then batch by batch.

use std::sync::Arc;

use super::{Log, walk::failure};
use crate::{error::Result, segment::Segment};

/// An epoch and where it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub leader_epoch: i32,
    /// Offset of the first record of a later one, or the high watermark.
    pub end_offset: u64,
}

impl Log {
    /// The largest epoch at or below `asked`, and where it ended. An epoch before all that the log
    /// knows ended where the log starts; one that is still to come is `None`. Reads files: call it
    /// on a thread that may wait.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] where a file cannot be read.
    pub fn end_of_leader_epoch(&self, asked: i32) -> Result<Option<EpochEnd>> {
        let offsets = self.offsets();
        let present = i32::try_from(offsets.leader_epoch).unwrap_or(i32::MAX);
        if asked < 0 || asked > present {
            return Ok(None);
        }
        if asked == present {
            let end_offset = offsets.high_watermark;
            return Ok(Some(EpochEnd { leader_epoch: present, end_offset }));
        }
        let found = self.last_of_epoch(asked)?;
        let leader_epoch = found.map_or(asked, |(leader_epoch, _)| leader_epoch);
        let end = found.map_or(offsets.log_start, |(_, end_offset)| end_offset);
        let end_offset = end.clamp(offsets.log_start, offsets.high_watermark);
        Ok(Some(EpochEnd { leader_epoch, end_offset }))
    }

    /// The epoch of the last batch that is not later than `asked`, and the offset of the batch
    /// behind it; `None` when all are later.
    fn last_of_epoch(&self, asked: i32) -> Result<Option<(i32, u64)>> {
        let segments: Vec<Arc<Segment>> = self.segments.read().clone();
        // The segments whose first batch is not later.
        let count = partition_point(segments.len(), |index| {
            segments.get(index).map_or(Ok(false), |segment| self.is_not_later(segment, 0, asked))
        })?;
        let Some(segment) = count.checked_sub(1).and_then(|index| segments.get(index)) else {
            return Ok(None);
        };
        let mut found = None;
        for met in self.walk(segment, self.position_not_later(segment, asked)?)? {
            let header = met?.header;
            if header.leader_epoch > asked {
                let base_offset = u64::try_from(header.base_offset).unwrap_or(0);
                return Ok(found.map(|leader_epoch| (leader_epoch, base_offset)));
            }
            found = Some(header.leader_epoch);
        }
        let end =
            segments.get(count).map_or(Ok(self.offsets().log_end), |next| self.start_of(next))?;
        Ok(found.map(|leader_epoch| (leader_epoch, end)))
    }

    /// Where a segment starts: at its base offset, but behind what compaction took away in front.
    fn start_of(&self, segment: &Segment) -> Result<u64> {
        if !segment.has_holes() {
            return Ok(segment.base_offset);
        }
        let first = self.walk(segment, 0)?.next().transpose()?;
        let base_offset = first.and_then(|met| u64::try_from(met.header.base_offset).ok());
        Ok(base_offset.unwrap_or(segment.base_offset))
    }

    /// The last position of which the index says that a batch begins there that is not later.
    fn position_not_later(&self, segment: &Segment, asked: i32) -> Result<u64> {
        let positions = segment
            .with_index(&self.shared.files, |index| {
                index.entries().iter().map(|entry| u64::from(entry.position)).collect::<Vec<_>>()
            })
            .map_err(|error| failure(segment, &error))?;
        let position = |index: usize| positions.get(index).copied().unwrap_or(0);
        let count = partition_point(positions.len(), |index| {
            self.is_not_later(segment, position(index), asked)
        })?;
        Ok(count.checked_sub(1).map_or(0, position))
    }

    /// Whether the batch at a position, or the first behind what is damaged there, is of an epoch
    /// that is not later than `asked`.
    fn is_not_later(&self, segment: &Segment, position: u64, asked: i32) -> Result<bool> {
        let met = self.walk(segment, position)?.next().transpose()?;
        Ok(met.is_some_and(|met| met.header.leader_epoch <= asked))
    }
}

/// How many of `count` things come before the first of which `is_before` is not true; it is of
/// those and of none behind them. As that of slices, for questions that may fail.
fn partition_point(
    count: usize,
    mut is_before: impl FnMut(usize) -> Result<bool>,
) -> Result<usize> {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from.midpoint(to);
        if is_before(middle)? {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(from)
}
