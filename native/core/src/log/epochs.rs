//! Where leader epochs end (KIP-101, KIP-320).
//!
//! Epochs only rise along a log and stand in every batch, so they are searched for: over the first
//! batches of the segments, then over those that the index knows, then batch by batch.

use std::sync::Arc;

use super::Log;
use crate::{
    batch::{BatchHeader, HEADER_BYTES},
    env::{File, transfer::read_full},
    error::{Error, Result},
    segment::Segment,
};

/// An epoch and where it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub leader_epoch: i32,
    /// Offset of the first record of a later one, or the high watermark.
    pub end_offset: u64,
}

/// A batch met on the way.
struct Met {
    leader_epoch: i32,
    base_offset: u64,
    /// Where the next one begins.
    behind: u64,
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
        let mut first = 0;
        let mut count = segments.len();
        // The segments whose first batch is not later, by halves.
        while count > 0 {
            let half = count / 2;
            let met = match segments.get(first + half) {
                Some(segment) => self.walk(segment, 0)?.next().transpose()?,
                None => None,
            };
            if met.is_some_and(|met| met.leader_epoch <= asked) {
                first += half + 1;
                count -= half + 1;
            } else {
                count = half;
            }
        }
        let Some(segment) = first.checked_sub(1).and_then(|index| segments.get(index)) else {
            return Ok(None);
        };
        let mut found = None;
        for met in self.walk(segment, self.position_not_later(segment, asked)?)? {
            let met = met?;
            if met.leader_epoch > asked {
                return Ok(found.map(|leader_epoch| (leader_epoch, met.base_offset)));
            }
            found = Some(met.leader_epoch);
        }
        let end = segments.get(first).map_or(self.offsets().log_end, |next| next.base_offset);
        Ok(found.map(|leader_epoch| (leader_epoch, end)))
    }

    /// The last position of which the index says that a batch begins there that is not later.
    fn position_not_later(&self, segment: &Segment, asked: i32) -> Result<u64> {
        let failed = |error: std::io::Error| failure(segment, &error);
        let positions = segment
            .with_index(&self.shared.files, |index| {
                index.entries().iter().map(|entry| u64::from(entry.position)).collect::<Vec<_>>()
            })
            .map_err(failed)?;
        let mut first = 0;
        let mut count = positions.len();
        while count > 0 {
            let half = count / 2;
            let at = positions.get(first + half).copied().unwrap_or(0);
            let met = self.walk(segment, at)?.next().transpose()?;
            if met.is_some_and(|met| met.leader_epoch <= asked) {
                first += half + 1;
                count -= half + 1;
            } else {
                count = half;
            }
        }
        Ok(first.checked_sub(1).and_then(|index| positions.get(index)).copied().unwrap_or(0))
    }

    /// The batches of a segment from a position on, past what is damaged.
    fn walk<'a>(&self, segment: &'a Segment, from: u64) -> Result<Walk<'a>> {
        let file = segment.file(&self.shared.files).map_err(|error| failure(segment, &error))?;
        Ok(Walk { segment, file, position: from })
    }
}

struct Walk<'a> {
    segment: &'a Segment,
    file: Arc<dyn File>,
    position: u64,
}

impl Iterator for Walk<'_> {
    type Item = Result<Met>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(damage) = self.segment.damage_at_or_behind(self.position)
            && damage.from_position <= self.position
        {
            self.position = damage.to_position;
        }
        if self.position + HEADER_BYTES as u64 > self.segment.end_position() {
            return None;
        }
        let met = self.read();
        // What cannot be read ends the walk.
        self.position = met.as_ref().map_or(u64::MAX / 2, |met| met.behind);
        Some(met)
    }
}

impl Walk<'_> {
    fn read(&self) -> Result<Met> {
        let mut head = [0; HEADER_BYTES];
        read_full(&*self.file, &mut head, self.position)
            .map_err(|error| failure(self.segment, &error))?;
        let header = BatchHeader::read(&head)?;
        Ok(Met {
            leader_epoch: header.leader_epoch,
            base_offset: u64::try_from(header.base_offset).unwrap_or(0),
            behind: self.position + header.batch_bytes() as u64,
        })
    }
}

fn failure(segment: &Segment, error: &std::io::Error) -> Error {
    Error::io(format_args!("reading {}", segment.log_path().display()), error)
}
