//! What compaction leaves of one batch: a pure function.
//!
//! A batch none of whose records go stays as it is, byte for byte. Else it is written anew: the
//! records that stay keep their offsets, timestamps, keys, values and headers, the batch its base
//! and last offset, its producer and its codec. A batch without records is a header alone.
//!
//! Tombstones go in two steps (KIP-534). The first pass after which a tombstone has nothing left to
//! hide gives its batch a *delete horizon*, in the place of the base timestamp: until then readers
//! that fell behind can see it. A pass after that drops it.

use super::offset_map::OffsetMap;
use crate::{
    batch::{
        BatchHeader, HEADER_BYTES, Records, StoredRecord, TimestampType,
        header::{LENGTH_OVERHEAD_BYTES, NO_TIMESTAMP, seal},
    },
    compression::{Codec, compress, decompress},
    error::Result,
    limits::{BATCH_BYTES_DECOMPRESSED_MAX, BATCH_BYTES_MAX},
};

/// What decides about records.
pub struct Rules<'a> {
    /// The last offset of every key that occurs in the dirty part before `end_offset`.
    pub offsets: &'a OffsetMap,
    /// Records from here on are not decided about and stay.
    pub end_offset: u64,
    /// The time now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// Nothing older was left undecided, which a tombstone may have to go on hiding.
    pub are_tombstones_settled: bool,
    /// Level for the codec, where the topic sets one.
    pub compression_level: Option<i32>,
}

/// What a batch has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays byte for byte.
    Kept,
    /// It stays byte for byte, because nothing in it could or may be decided about: it may hold
    /// records that are older than others of their keys.
    Undecided,
    /// It was written anew.
    Rewritten,
    /// Its header alone was written.
    Emptied,
    /// Nothing is left of it.
    Gone,
}

/// What a batch has become, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filtered {
    /// What it is now.
    pub fate: Fate,
    /// Records that it had.
    pub records_before: u64,
    /// Records that it has.
    pub records_after: u64,
    /// Those of them that are tombstones.
    pub tombstones: u64,
    /// The largest timestamp of its records, [`NO_TIMESTAMP`] without any.
    pub max_timestamp_ms: i64,
}

/// The records that stay, in order, and what they are like.
#[derive(Default)]
struct Left {
    /// Their bytes, as they were.
    section: Vec<u8>,
    records: u64,
    tombstones: u64,
    /// Tombstones among them that are not decided about.
    tombstones_open: u64,
    /// Largest timestamp delta.
    delta_max: Option<i64>,
}

/// Appends to `output` what is left of `batch`, a whole one with a good checksum that is `header`
/// and what follows it; nothing for [`Fate::Gone`]. With `must_stay` at least its header is left.
pub fn filter(
    header: &BatchHeader,
    batch: &[u8],
    rules: &Rules<'_>,
    must_stay: bool,
    output: &mut Vec<u8>,
) -> Filtered {
    let start = output.len();
    let filtered = if header.attributes.is_control() || header.attributes.is_transactional() {
        None
    } else {
        // What cannot be taken apart, or would be too large, is kept as it is.
        write_left(header, batch, rules, must_stay, output).ok().flatten()
    };
    filtered.unwrap_or_else(|| {
        output.truncate(start);
        output.extend_from_slice(batch);
        let records = u64::try_from(header.record_count).unwrap_or(0);
        Filtered {
            fate: Fate::Undecided,
            records_before: records,
            records_after: records,
            tombstones: 0,
            max_timestamp_ms: header.max_timestamp,
        }
    })
}

/// `None` where the batch has to stay as it is.
fn write_left(
    header: &BatchHeader,
    batch: &[u8],
    rules: &Rules<'_>,
    must_stay: bool,
    output: &mut Vec<u8>,
) -> Result<Option<Filtered>> {
    let codec = header.attributes.codec()?;
    let stored = batch.get(HEADER_BYTES..).unwrap_or_default();
    let mut expanded = Vec::new();
    let section = if codec == Codec::None || header.record_count == 0 {
        stored
    } else {
        decompress(codec, stored, BATCH_BYTES_DECOMPRESSED_MAX, &mut expanded)?;
        &expanded
    };
    let left = choose(header, section, rules)?;
    let records_before = u64::try_from(header.record_count).unwrap_or(0);
    let mut filtered = Filtered {
        fate: Fate::Kept,
        records_before,
        records_after: left.records,
        tombstones: left.tombstones,
        max_timestamp_ms: header.max_timestamp,
    };
    if left.records == 0 {
        filtered.max_timestamp_ms = NO_TIMESTAMP;
        filtered.fate = if must_stay { Fate::Emptied } else { Fate::Gone };
        if must_stay {
            write_empty(header, output);
        }
        return Ok(Some(filtered));
    }
    let mut new_header = header_of(header, &left);
    let rewritten =
        Filtered { fate: Fate::Rewritten, max_timestamp_ms: new_header.max_timestamp, ..filtered };
    let level = rules.compression_level;
    if let Some(horizon) = horizon_of(header, &left, rules)
        && let Some(section) = rebase(&left, header, horizon)
    {
        let mut with_horizon = new_header;
        with_horizon.attributes = header.attributes.with_delete_horizon(true);
        with_horizon.base_timestamp = horizon;
        // It costs some bytes a record: a batch that it makes too large does without.
        if write_records(&mut with_horizon, &section, codec, level, output)? {
            return Ok(Some(rewritten));
        }
    }
    if left.records == records_before {
        output.extend_from_slice(batch);
        return Ok(Some(filtered));
    }
    let is_written = write_records(&mut new_header, &left.section, codec, level, output)?;
    Ok(is_written.then_some(rewritten))
}

/// Appends a batch of records to `output`; nothing, and `false`, where it would be too large.
fn write_records(
    header: &mut BatchHeader,
    section: &[u8],
    codec: Codec,
    level: Option<i32>,
    output: &mut Vec<u8>,
) -> Result<bool> {
    let start = output.len();
    output.extend_from_slice(&[0; HEADER_BYTES]);
    compress(codec, level, section, output)?;
    let is_finished = finish(header, start, output);
    if !is_finished {
        output.truncate(start);
    }
    Ok(is_finished)
}

/// The records that stay.
fn choose(header: &BatchHeader, section: &[u8], rules: &Rules<'_>) -> Result<Left> {
    let mut left = Left::default();
    let mut records = Records::new(section, header.record_count);
    let is_horizon_over =
        header.attributes.has_delete_horizon() && header.base_timestamp <= rules.now_ms;
    while let Some(stored) = records.next_stored() {
        let stored = stored?;
        let offset = header.base_offset.saturating_add(i64::from(stored.record.offset_delta));
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        let is_open = offset >= rules.end_offset;
        if is_open || stays(&stored, offset, is_horizon_over, rules) {
            let is_tombstone = stored.record.value.is_none();
            left.section.extend_from_slice(stored.bytes);
            left.records += 1;
            left.tombstones += u64::from(is_tombstone);
            left.tombstones_open += u64::from(is_tombstone && is_open);
            left.delta_max = left.delta_max.max(Some(stored.record.timestamp_delta));
        }
    }
    Ok(left)
}

fn stays(stored: &StoredRecord<'_>, offset: u64, is_horizon_over: bool, rules: &Rules<'_>) -> bool {
    let Some(key) = stored.record.key else {
        return false;
    };
    if rules.offsets.get(key).is_some_and(|last| offset < last) {
        return false;
    }
    let may_go = is_horizon_over && rules.are_tombstones_settled;
    stored.record.value.is_some() || !may_go
}

/// The delete horizon that the batch gets now: when it has tombstones, none of which hides anything
/// any more, and has no horizon.
fn horizon_of(header: &BatchHeader, left: &Left, rules: &Rules<'_>) -> Option<i64> {
    let is_due = left.tombstones > 0
        && left.tombstones_open == 0
        && rules.are_tombstones_settled
        && !header.attributes.has_delete_horizon();
    is_due.then(|| rules.now_ms.saturating_add(rules.delete_retention_ms))
}

/// The header of the batch with the records that are left.
fn header_of(header: &BatchHeader, left: &Left) -> BatchHeader {
    let mut new_header = *header;
    // It holds: there are not more records than before.
    new_header.record_count = i32::try_from(left.records).unwrap_or(header.record_count);
    if header.attributes.timestamp_type() == TimestampType::CreateTime {
        let largest = left.delta_max.and_then(|delta| header.base_timestamp.checked_add(delta));
        new_header.max_timestamp = largest.unwrap_or(header.max_timestamp);
    }
    new_header
}

/// The records that are left, with timestamps relative to another base; `None` where one does not
/// fit.
fn rebase(left: &Left, header: &BatchHeader, base_timestamp: i64) -> Option<Vec<u8>> {
    let shift = header.base_timestamp.checked_sub(base_timestamp)?;
    let mut rebased = Vec::with_capacity(left.section.len());
    let mut records = Records::new(&left.section, i32::try_from(left.records).ok()?);
    while let Some(stored) = records.next_stored() {
        let stored = stored.ok()?;
        let delta = stored.record.timestamp_delta.checked_add(shift)?;
        stored.write_with_timestamp(delta, &mut rebased);
    }
    Some(rebased)
}

/// A header without records: base and last offset, producer, epoch and timestamps as they were.
fn write_empty(header: &BatchHeader, output: &mut Vec<u8>) {
    let start = output.len();
    let mut new_header = *header;
    new_header.record_count = 0;
    new_header.base_timestamp = NO_TIMESTAMP;
    new_header.attributes = header.attributes.with_codec(Codec::None).with_delete_horizon(false);
    output.extend_from_slice(&[0; HEADER_BYTES]);
    finish(&mut new_header, start, output);
}

/// Writes length, checksum and header in front of the records; `false` for a batch too large.
fn finish(header: &mut BatchHeader, start: usize, output: &mut [u8]) -> bool {
    let batch = output.get_mut(start..).unwrap_or_default();
    if batch.len() as u64 > BATCH_BYTES_MAX {
        return false;
    }
    header.length = i32::try_from(batch.len() - LENGTH_OVERHEAD_BYTES).unwrap_or(i32::MAX);
    let Some((front, rest)) = batch.split_first_chunk_mut::<HEADER_BYTES>() else {
        return false;
    };
    header.write(front);
    seal(front, rest);
    true
}
