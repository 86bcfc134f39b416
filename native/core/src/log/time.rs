//! Looking offsets up by time.

use std::sync::Arc;

use super::{
    Log,
    walk::{Walk, failure},
};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, Records, TimestampType},
    compression,
    error::Result,
    index::TimeEntry,
    limits,
    segment::Segment,
};

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOffset {
    /// The record's offset.
    pub offset: u64,
    /// Its timestamp in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The leader epoch under which it was appended.
    pub leader_epoch: i32,
}

impl Log {
    /// The first visible record whose timestamp is at or after `timestamp_ms`; `None` when
    /// there is none. Reads files: call it on a thread that may wait.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] where a file cannot be read, or a batch cannot be
    /// taken apart.
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<TimedOffset>> {
        let offsets = self.offsets();
        let segments: Vec<Arc<Segment>> = self.segments.read().clone();
        for segment in segments {
            let (largest, from) = segment
                .with_index(&self.shared.files, |index| {
                    let from = index.at_or_before(index.before_time(timestamp_ms));
                    (index.largest(), from.position)
                })
                .map_err(|error| failure(&segment, &error))?;
            if largest.is_some_and(|largest| largest.timestamp_ms < timestamp_ms) {
                continue;
            }
            let walk = self.walk(&segment, u64::from(from))?;
            let found = first_at_or_after(walk, timestamp_ms, offsets.log_start)?;
            if let Some(found) = found {
                return Ok((found.offset < offsets.high_watermark).then_some(found));
            }
        }
        Ok(None)
    }

    /// The first visible record that carries the largest timestamp of all visible ones; `None`
    /// for a log without records. Reads files: call it on a thread that may wait.
    ///
    /// # Errors
    /// Those of [`offset_for_time`](Self::offset_for_time).
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimedOffset>> {
        let offsets = self.offsets();
        let visible = *self.visible.read();
        let segments: Vec<Arc<Segment>> = self.segments.read().clone();
        let mut largest: Option<i64> = None;
        for (index, segment) in segments.iter().enumerate() {
            if segment.base_offset > visible.segment_base {
                break;
            }
            let next_base = segments.get(index + 1).map(|next| next.base_offset);
            let is_whole = segment.base_offset >= offsets.log_start
                && next_base.unwrap_or(offsets.log_end) <= offsets.high_watermark;
            let of_index = segment
                .with_index(&self.shared.files, |index| index.largest())
                .map_err(|error| failure(segment, &error))?;
            // What was appended since the offsets were read may have brought it.
            let is_visible = |entry: TimeEntry| {
                segment.base_offset + u64::from(entry.relative_offset) < offsets.high_watermark
            };
            let timestamp_ms = if is_whole && of_index.is_none_or(is_visible) {
                of_index.map(|entry| entry.timestamp_ms)
            } else {
                let walk = self.walk(segment, 0)?;
                largest_between(walk, offsets.log_start, offsets.high_watermark)?
            };
            largest = largest.max(timestamp_ms);
        }
        match largest {
            Some(timestamp_ms) => self.offset_for_time(timestamp_ms),
            None => Ok(None),
        }
    }
}

/// The largest timestamp of the batches that lie between two offsets, at least in part: for the
/// segments of which only some records are visible.
fn largest_between(walk: Walk<'_>, from_offset: u64, to_offset: u64) -> Result<Option<i64>> {
    let mut largest = None;
    for met in walk {
        let header = met?.header;
        if u64::try_from(header.base_offset).is_ok_and(|base| base >= to_offset) {
            break;
        }
        let is_read = u64::try_from(header.last_offset()).is_ok_and(|last| last >= from_offset);
        if is_read && !header.attributes.is_control() && header.record_count > 0 {
            largest = largest.max(Some(header.max_timestamp));
        }
    }
    Ok(largest)
}

fn first_at_or_after(
    mut walk: Walk<'_>,
    timestamp_ms: i64,
    log_start: u64,
) -> Result<Option<TimedOffset>> {
    while let Some(met) = walk.next().transpose()? {
        let header = &met.header;
        let is_late_enough = header.max_timestamp >= timestamp_ms
            && u64::try_from(header.last_offset()).is_ok_and(|last| last >= log_start);
        if !is_late_enough || header.attributes.is_control() {
            continue;
        }
        let found = first_in_batch(header, &walk.batch(&met)?, timestamp_ms, log_start)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn first_in_batch(
    header: &BatchHeader,
    batch: &[u8],
    timestamp_ms: i64,
    log_start: u64,
) -> Result<Option<TimedOffset>> {
    let stored = batch.get(HEADER_BYTES..).unwrap_or_default();
    let mut decompressed = Vec::new();
    let codec = header.attributes.codec()?;
    let records = if codec == compression::Codec::None {
        stored
    } else {
        let bytes_max = limits::BATCH_BYTES_DECOMPRESSED_MAX;
        compression::decompress(codec, stored, bytes_max, &mut decompressed)?;
        &decompressed
    };
    for record in Records::new(records, header.record_count) {
        let record = record?;
        let record_ms = match header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp,
            TimestampType::CreateTime => {
                header.base_timestamp.saturating_add(record.timestamp_delta)
            }
        };
        let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
        let offset = u64::try_from(offset).unwrap_or(0);
        if record_ms >= timestamp_ms && offset >= log_start {
            let leader_epoch = header.leader_epoch;
            return Ok(Some(TimedOffset { offset, timestamp_ms: record_ms, leader_epoch }));
        }
    }
    Ok(None)
}
