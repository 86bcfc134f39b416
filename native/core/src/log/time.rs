//! Looking offsets up by time.

use std::sync::Arc;

use super::Log;
use crate::{
    batch::{BatchHeader, HEADER_BYTES, Records, TimestampType},
    compression,
    env::{File, transfer::read_full},
    error::{Error, Result},
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
            let failed = |error: std::io::Error| {
                Error::io(format_args!("reading {}", segment.log_path().display()), &error)
            };
            let (largest, from) = segment
                .with_index(&self.shared.files, |index| {
                    let from = index.at_or_before(index.before_time(timestamp_ms));
                    (index.largest(), from.position)
                })
                .map_err(failed)?;
            if largest.is_some_and(|largest| largest.timestamp_ms < timestamp_ms) {
                continue;
            }
            let file = segment.file(&self.shared.files).map_err(failed)?;
            let found = scan(&*file, &segment, u64::from(from), timestamp_ms, offsets.log_start)?;
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
            let timestamp_ms = if is_whole {
                segment
                    .with_index(&self.shared.files, |index| index.largest())
                    .map_err(|error| failure(segment, &error))?
                    .map(|largest| largest.timestamp_ms)
            } else {
                let file =
                    segment.file(&self.shared.files).map_err(|error| failure(segment, &error))?;
                largest_between(&*file, segment, offsets.log_start, offsets.high_watermark)?
            };
            largest = largest.max(timestamp_ms);
        }
        match largest {
            Some(timestamp_ms) => self.offset_for_time(timestamp_ms),
            None => Ok(None),
        }
    }
}

fn failure(segment: &Segment, error: &std::io::Error) -> Error {
    Error::io(format_args!("reading {}", segment.log_path().display()), error)
}

/// The largest timestamp of the batches that lie between two offsets, at least in part: for the
/// segments of which only some records are visible.
fn largest_between(
    file: &dyn File,
    segment: &Segment,
    from_offset: u64,
    to_offset: u64,
) -> Result<Option<i64>> {
    let mut largest = None;
    let mut position = 0;
    let mut head = [0; HEADER_BYTES];
    while position + HEADER_BYTES as u64 <= segment.end_position() {
        if let Some(damage) = segment.damage_at_or_behind(position)
            && damage.from_position <= position
        {
            position = damage.to_position;
            continue;
        }
        read_full(file, &mut head, position).map_err(|error| failure(segment, &error))?;
        let header = BatchHeader::read(&head)?;
        if u64::try_from(header.base_offset).is_ok_and(|base| base >= to_offset) {
            break;
        }
        let is_read = u64::try_from(header.last_offset()).is_ok_and(|last| last >= from_offset);
        if is_read && !header.attributes.is_control() {
            largest = largest.max(Some(header.max_timestamp));
        }
        position += header.batch_bytes() as u64;
    }
    Ok(largest)
}

fn scan(
    file: &dyn File,
    segment: &Segment,
    from: u64,
    timestamp_ms: i64,
    log_start: u64,
) -> Result<Option<TimedOffset>> {
    let failed = |error: std::io::Error| {
        Error::io(format_args!("reading {}", segment.log_path().display()), &error)
    };
    let end = segment.end_position();
    let mut position = from;
    let mut head = [0; HEADER_BYTES];
    while position + HEADER_BYTES as u64 <= end {
        if let Some(damage) = segment.damage_at_or_behind(position)
            && damage.from_position <= position
        {
            position = damage.to_position;
            continue;
        }
        read_full(file, &mut head, position).map_err(failed)?;
        let header = BatchHeader::read(&head)?;
        let bytes = header.batch_bytes();
        let is_late_enough = header.max_timestamp >= timestamp_ms
            && u64::try_from(header.last_offset()).is_ok_and(|last| last >= log_start);
        if is_late_enough && !header.attributes.is_control() {
            let mut batch = vec![0; bytes];
            read_full(file, &mut batch, position).map_err(failed)?;
            if let Some(found) = first_in_batch(&header, &batch, timestamp_ms, log_start)? {
                return Ok(Some(found));
            }
        }
        position += bytes as u64;
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
