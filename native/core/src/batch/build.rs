//! Building batches record by record into a reused buffer.

use super::{
    header::{
        Attributes, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, NO_TIMESTAMP, Producer,
        TimestampType, seal,
    },
    records::Header,
    varint::{Short, VARINT_BYTES_MAX, push_varint, varint_bytes},
};
use crate::{
    compression::{Codec, compress},
    error::{Code, Error, Result},
    limits::{
        BATCH_BYTES_DECOMPRESSED_MAX, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_HEADERS_MAX,
    },
};
use std::{cell::RefCell, ops::Range};

/// A thread's compression buffer that grew beyond this is not kept.
const SCRATCH_BYTES_KEPT_MAX: usize = 1_048_576;

thread_local! {
    // Uncompressed records on their way into a compressed batch.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is known of a batch only when its records are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Finish {
    /// The idempotent producer.
    pub producer: Option<Producer>,
    /// The broker's time in milliseconds since the epoch, for a `LogAppendTime` topic.
    pub log_append_time_ms: Option<i64>,
}

/// Appends one batch to a buffer. Dropped without [`BatchBuilder::finish`], it leaves an unfinished
/// batch behind what the buffer held before: the caller truncates.
pub struct BatchBuilder<'o> {
    output: &'o mut Vec<u8>,
    start: usize,
    codec: Codec,
    level: Option<i32>,
    /// Bytes that the batch may have before it is compressed.
    bytes_max: u64,
    base_timestamp: i64,
    max_timestamp: i64,
    offset_of_max_timestamp: u32,
    count: u32,
}

/// A finished batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Where it lies in the buffer.
    pub range: Range<usize>,
    /// Its records.
    pub record_count: u32,
    /// The maximum timestamp of its header, in milliseconds since the epoch.
    pub max_timestamp_ms: i64,
    /// Offset delta of the first record that carries it.
    pub offset_of_max_timestamp_delta: u32,
}

impl<'o> BatchBuilder<'o> {
    /// A builder behind what `output` holds. `level` is as in
    /// [`compress`](crate::compression::compress).
    pub fn new(output: &'o mut Vec<u8>, codec: Codec, level: Option<i32>) -> Self {
        let start = output.len();
        output.extend_from_slice(&[0; HEADER_BYTES]);
        Self {
            output,
            start,
            codec,
            level,
            bytes_max: match codec {
                Codec::None => BATCH_BYTES_MAX,
                _ => BATCH_BYTES_DECOMPRESSED_MAX,
            },
            base_timestamp: 0,
            max_timestamp: NO_TIMESTAMP,
            offset_of_max_timestamp: 0,
            count: 0,
        }
    }

    /// Records so far.
    pub fn record_count(&self) -> u32 {
        self.count
    }

    /// Bytes of the batch so far, uncompressed, header included.
    pub fn bytes(&self) -> usize {
        self.output.len() - self.start
    }

    /// Adds a record. `None` as key or value is null; `headers` is counted first, so it is cheap to
    /// clone.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE` when the batch would hold too many records or bytes, `INVALID_TIMESTAMP`
    /// when the timestamp is too far from the first one to be stored, `INVALID_RECORD` for too many
    /// headers. The batch is then as it was.
    #[inline]
    pub fn push<'h>(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) -> Result<()> {
        let base_timestamp = if self.count == 0 { timestamp_ms } else { self.base_timestamp };
        let Some(timestamp_delta) = timestamp_ms.checked_sub(base_timestamp) else {
            return Err(Error::new(Code::InvalidTimestamp, format!("timestamp {timestamp_ms}")));
        };
        let may_be_plain = headers.size_hint().1 == Some(0);
        if !may_be_plain || self.push_plain(timestamp_delta, key, value).is_none() {
            self.push_any(timestamp_delta, key, value, headers)?;
        }

        if timestamp_ms > self.max_timestamp {
            self.max_timestamp = timestamp_ms;
            self.offset_of_max_timestamp = self.count;
        }
        self.base_timestamp = base_timestamp;
        self.count += 1;
        Ok(())
    }

    /// Adds a record as nearly all are: without headers, and with no number that takes more than
    /// three bytes, so that those in front of the key and those behind it are one store each.
    /// `None`, and nothing is added, where it is another or there is no room.
    #[inline(always)]
    fn push_plain(
        &mut self,
        timestamp_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Option<()> {
        let timestamp = Short::varint(timestamp_delta)?;
        let offset = Short::length(Some(self.count as usize))?;
        let key_length = Short::length(key.map(<[u8]>::len))?;
        let value_length = Short::length(value.map(<[u8]>::len))?;
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        let numbers_bytes =
            timestamp.bytes() + offset.bytes() + key_length.bytes() + value_length.bytes();
        // The attributes and the count of headers are a byte each.
        let body_bytes = 2 + numbers_bytes + key.len() + value.len();
        let length = Short::length(Some(body_bytes))?;
        if !self.has_room(body_bytes) {
            return None;
        }
        length.then(Short::byte(0)).then(timestamp).push(self.output);
        let lengths = offset.then(key_length);
        if key.is_empty() {
            lengths.then(value_length).push(self.output);
        } else {
            lengths.push(self.output);
            self.output.extend_from_slice(key);
            value_length.push(self.output);
        }
        self.output.extend_from_slice(value);
        self.output.push(0);
        Some(())
    }

    #[inline(always)]
    fn has_room(&self, body_bytes: usize) -> bool {
        let bytes = self.bytes() as u64 + (VARINT_BYTES_MAX + body_bytes) as u64;
        bytes <= self.bytes_max && u64::from(self.count) < BATCH_RECORDS_MAX
    }

    /// Adds a record, whatever it looks like.
    #[inline(never)]
    fn push_any<'h>(
        &mut self,
        timestamp_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) -> Result<()> {
        let (header_count, header_bytes) = measure_headers(headers.clone());
        let place = Place { timestamp_delta, offset_delta: self.count };
        let body_bytes = record_body_bytes(place, key, value, header_count, header_bytes);
        self.check_bounds(body_bytes, header_count)?;
        self.output.reserve(varint_bytes(body_bytes as i64) + body_bytes);

        push_varint(self.output, body_bytes as i64);
        self.output.push(0);
        push_varint(self.output, timestamp_delta);
        push_varint(self.output, i64::from(self.count));
        push_nullable(self.output, key);
        push_nullable(self.output, value);
        push_varint(self.output, header_count as i64);
        for header in headers {
            push_nullable(self.output, Some(header.name));
            push_nullable(self.output, header.value);
        }
        Ok(())
    }

    #[inline]
    fn check_bounds(&self, body_bytes: usize, header_count: usize) -> Result<()> {
        if !self.has_room(body_bytes) {
            let bytes = self.bytes() + VARINT_BYTES_MAX + body_bytes;
            let detail = format!("a batch of {} records and {bytes} bytes", self.count + 1);
            return Err(Error::new(Code::MessageTooLarge, detail));
        }
        if header_count as u64 > RECORD_HEADERS_MAX {
            let detail = format!("{header_count} headers, a record holds {RECORD_HEADERS_MAX}");
            return Err(Error::new(Code::InvalidRecord, detail));
        }
        Ok(())
    }

    /// Compresses the records, writes the header (base offset and leader epoch 0) and its checksum.
    ///
    /// # Errors
    /// `INVALID_RECORD` for a batch without records, `MESSAGE_TOO_LARGE` when it is over
    /// [`BATCH_BYTES_MAX`] also when compressed, and what
    /// [`compress`](crate::compression::compress) returns.
    pub fn finish(self, finish: Finish) -> Result<Built> {
        if self.count == 0 {
            return Err(Error::new(Code::InvalidRecord, "a batch without records"));
        }
        let section_at = self.start + HEADER_BYTES;
        if self.codec != Codec::None {
            compress_behind(self.output, section_at, self.codec, self.level)?;
        }
        let bytes = self.output.len() - self.start;
        if bytes as u64 > BATCH_BYTES_MAX {
            return Err(Error::new(Code::MessageTooLarge, format!("a batch of {bytes} bytes")));
        }
        let (timestamp_type, max_timestamp, offset_of_max_timestamp) = match finish
            .log_append_time_ms
        {
            Some(now_ms) => (TimestampType::LogAppendTime, now_ms, 0),
            None => (TimestampType::CreateTime, self.max_timestamp, self.offset_of_max_timestamp),
        };
        // Both conversions hold: the record count and the bytes are bounded above.
        let count = self.count as i32;
        let header = BatchHeader {
            base_offset: 0,
            length: (bytes - LENGTH_OVERHEAD_BYTES) as i32,
            leader_epoch: 0,
            crc: 0,
            attributes: Attributes::new(self.codec, timestamp_type),
            last_offset_delta: count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp,
            producer_id: finish.producer.map_or(-1, |producer| producer.id),
            producer_epoch: finish.producer.map_or(-1, |producer| producer.epoch),
            base_sequence: finish.producer.map_or(-1, |producer| producer.base_sequence),
            record_count: count,
        };
        let batch = self.output.get_mut(self.start..).unwrap_or_default();
        if let Some((front, rest)) = batch.split_first_chunk_mut::<HEADER_BYTES>() {
            header.write(front);
            seal(front, rest);
        }
        Ok(Built {
            range: self.start..self.output.len(),
            record_count: self.count,
            max_timestamp_ms: max_timestamp,
            offset_of_max_timestamp_delta: offset_of_max_timestamp,
        })
    }
}

fn compress_behind(
    output: &mut Vec<u8>,
    section_at: usize,
    codec: Codec,
    level: Option<i32>,
) -> Result<()> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        scratch.extend_from_slice(output.get(section_at..).unwrap_or_default());
        output.truncate(section_at);
        let compressed = compress(codec, level, scratch, output);
        if scratch.capacity() > SCRATCH_BYTES_KEPT_MAX {
            *scratch = Vec::new();
        }
        compressed
    })
}

/// Where a record stands in its batch.
#[derive(Clone, Copy)]
struct Place {
    timestamp_delta: i64,
    offset_delta: u32,
}

/// Bytes of a record behind its length.
#[inline]
fn record_body_bytes(
    place: Place,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    header_count: usize,
    header_bytes: usize,
) -> usize {
    1 + varint_bytes(place.timestamp_delta)
        + varint_bytes(i64::from(place.offset_delta))
        + nullable_bytes(key)
        + nullable_bytes(value)
        + varint_bytes(header_count as i64)
        + header_bytes
}

/// Count of the headers, and their bytes without the count.
fn measure_headers<'h>(headers: impl Iterator<Item = Header<'h>>) -> (usize, usize) {
    let mut count = 0;
    let mut bytes = 0;
    for header in headers {
        count += 1;
        bytes += nullable_bytes(Some(header.name)) + nullable_bytes(header.value);
    }
    (count, bytes)
}

fn push_nullable(output: &mut Vec<u8>, content: Option<&[u8]>) {
    push_varint(output, nullable_length(content));
    output.extend_from_slice(content.unwrap_or_default());
}

fn nullable_length(content: Option<&[u8]>) -> i64 {
    content.map_or(-1, |content| content.len() as i64)
}

#[inline]
fn nullable_bytes(content: Option<&[u8]>) -> usize {
    varint_bytes(nullable_length(content)) + content.map_or(0, <[u8]>::len)
}
