//! From the records of a produce entry to record batches.
//!
//! ```text
//! body     [record, ...]
//! record   [value, key?, timestamp_ms?, [[name, value], ...]?]     more elements are ignored
//! ```

use super::{
    cursor::{Cursor, Fault, Parsed},
    envelope::Format,
};
use crate::{
    batch::{BatchBuilder, Built, Finish, Header, Producer, Rules, murmur2::partition_for_key},
    compression::Codec,
    error::{Code, Error, Result},
    limits::RECORD_HEADERS_MAX,
};

/// What a topic makes of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildOptions {
    /// How batches are compressed.
    pub codec: Codec,
    /// As in [`compress`](crate::compression::compress).
    pub level: Option<i32>,
    /// What the topic accepts. The time in its timestamp rule is also the timestamp of records
    /// without one.
    pub rules: Rules,
    /// The idempotent producer.
    pub producer: Option<Producer>,
}

/// Appends one batch of all records of `body`, the array of a produce entry, to `output`.
///
/// # Errors
/// `INVALID_RECORD` naming the record's index (a value, key or header of the wrong kind, no key on
/// a compacted topic, no records at all), `INVALID_TIMESTAMP`, `MESSAGE_TOO_LARGE`.
/// `output` is then what it was before.
pub fn build_batch(
    body: &[u8],
    format: Format,
    options: &BuildOptions,
    output: &mut Vec<u8>,
) -> Result<Built> {
    let before = output.len();
    let built = build_all(body, format, options, output);
    if built.is_err() {
        output.truncate(before);
    }
    built
}

fn build_all(
    body: &[u8],
    format: Format,
    options: &BuildOptions,
    output: &mut Vec<u8>,
) -> Result<Built> {
    let mut cursor = Cursor::new(body);
    let count = record_count(&mut cursor, format)?;
    // Most bodies shrink a little on their way into a batch.
    output.reserve(body.len());
    let mut builder = BatchBuilder::new(output, options.codec, options.level);
    for index in 0..count {
        push_record(&mut builder, &mut cursor, index, format, options)?;
    }
    finish(builder, options)
}

/// One partition's share of a body that was split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The partition.
    pub partition: u32,
    /// Its batch.
    pub built: Built,
}

/// A list of places longer than this is given back when it is trimmed.
const PLACES_KEPT_MAX: usize = 65_536;

/// Splits bodies over partitions; keeps its buffers for the next one.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Partition (high half), position in the body and index of every record.
    places: Vec<(u64, u32)>,
    parts: Vec<Part>,
}

impl Splitter {
    /// Appends one batch a partition to `output`: records with a key go where Kafka's clients send
    /// that key among `partitions`, those without go to `sticky_partition`; the order of records
    /// is kept within a partition. The parts are in order of their partitions.
    ///
    /// # Errors
    /// Those of [`build_batch`], for the whole body: `output` is then what it was before.
    pub fn split(
        &mut self,
        body: &[u8],
        format: Format,
        partitions: u32,
        sticky_partition: u32,
        options: &BuildOptions,
        output: &mut Vec<u8>,
    ) -> Result<&[Part]> {
        self.parts.clear();
        let before = output.len();
        let done = self
            .place(body, format, partitions, sticky_partition)
            .and_then(|()| self.build(body, format, options, output));
        if let Err(error) = done {
            output.truncate(before);
            self.parts.clear();
            return Err(error);
        }
        Ok(&self.parts)
    }

    /// Gives memory back that one entry of many records took.
    pub fn trim(&mut self) {
        if self.places.capacity() > PLACES_KEPT_MAX {
            self.places = Vec::new();
        }
    }

    fn place(
        &mut self,
        body: &[u8],
        format: Format,
        partitions: u32,
        sticky_partition: u32,
    ) -> Result<()> {
        self.places.clear();
        let mut cursor = Cursor::new(body);
        let count = record_count(&mut cursor, format)?;
        for index in 0..count {
            // A frame is far below 4 GiB, so that a position fits the low half.
            let position = (body.len() - cursor.rest().len()) as u64;
            let record =
                Record::read(&mut cursor, format).map_err(|fault| invalid(index, fault))?;
            let partition = match record.key {
                Some(key) => partition_for_key(key, partitions),
                None => sticky_partition,
            };
            self.places.push((u64::from(partition) << 32 | position, index));
        }
        // Positions rise with the order of records, so this keeps it; unstable sorting does not
        // allocate.
        self.places.sort_unstable();
        Ok(())
    }

    fn build(
        &mut self,
        body: &[u8],
        format: Format,
        options: &BuildOptions,
        output: &mut Vec<u8>,
    ) -> Result<()> {
        output.reserve(body.len());
        for group in self.places.chunk_by(|left, right| left.0 >> 32 == right.0 >> 32) {
            let mut builder = BatchBuilder::new(output, options.codec, options.level);
            let mut partition = 0;
            for (place, index) in group {
                partition = (place >> 32) as u32;
                let position = (place & u64::from(u32::MAX)) as usize;
                let mut cursor = Cursor::new(body.get(position..).unwrap_or_default());
                push_record(&mut builder, &mut cursor, *index, format, options)?;
            }
            self.parts.push(Part { partition, built: finish(builder, options)? });
        }
        Ok(())
    }
}

fn record_count(cursor: &mut Cursor<'_>, format: Format) -> Result<u32> {
    let count = match format {
        Format::Bytes | Format::MessagePack => cursor.array().map_err(|Fault(what)| {
            Error::new(Code::InvalidRecord, format!("the records of an entry: {what}"))
        })?,
        Format::Batch => {
            return Err(Error::new(Code::InvalidArgument, "a batch is built already"));
        }
    };
    if count == 0 {
        return Err(Error::new(Code::InvalidRecord, "an entry without records"));
    }
    Ok(count)
}

#[inline]
fn push_record(
    builder: &mut BatchBuilder<'_>,
    cursor: &mut Cursor<'_>,
    index: u32,
    format: Format,
    options: &BuildOptions,
) -> Result<()> {
    let record = Record::read(cursor, format).map_err(|fault| invalid(index, fault))?;
    if record.key.is_none() && options.rules.compacted {
        return Err(invalid(index, Fault("a compacted topic needs a key in every record")));
    }
    let rule = &options.rules.timestamp;
    let timestamp_ms = record.timestamp_ms.unwrap_or(rule.now_ms());
    if !rule.accepts(timestamp_ms) {
        let detail = format!("record {index} has timestamp {timestamp_ms}");
        return Err(Error::new(Code::InvalidTimestamp, detail));
    }
    builder.push(timestamp_ms, record.key, record.value, record.headers)
}

fn finish(builder: BatchBuilder<'_>, options: &BuildOptions) -> Result<Built> {
    let built = builder.finish(Finish {
        producer: options.producer,
        log_append_time_ms: options.rules.timestamp.log_append_time_ms(),
    })?;
    let bytes = built.range.len();
    if bytes as u64 > options.rules.bytes_max {
        let detail = format!("{bytes} bytes, the topic accepts {}", options.rules.bytes_max);
        return Err(Error::new(Code::MessageTooLarge, detail));
    }
    Ok(built)
}

/// One record of a body, borrowed.
struct Record<'a> {
    value: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    timestamp_ms: Option<i64>,
    headers: RecordHeaders<'a>,
}

impl<'a> Record<'a> {
    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>, format: Format) -> Parsed<Self> {
        let elements = cursor.array()?;
        if elements == 0 {
            return Err(Fault("it has no value"));
        }
        let value = match format {
            Format::MessagePack => {
                let is_nil = cursor.peek()? == rmp::Marker::Null;
                let encoded = cursor.skip()?;
                (!is_nil).then_some(encoded)
            }
            Format::Bytes | Format::Batch => cursor.optional_bytes()?,
        };
        let key = if elements > 1 { cursor.optional_bytes()? } else { None };
        let (timestamp_ms, headers) = match elements {
            0..=2 => (None, RecordHeaders::default()),
            _ => Self::read_rest(cursor, elements)?,
        };
        Ok(Self { value, key, timestamp_ms, headers })
    }

    /// What few records have: what follows a key.
    #[inline(never)]
    fn read_rest(
        cursor: &mut Cursor<'a>,
        elements: u32,
    ) -> Parsed<(Option<i64>, RecordHeaders<'a>)> {
        let timestamp_ms = cursor.optional_integer()?;
        let headers =
            if elements > 3 { RecordHeaders::read(cursor)? } else { RecordHeaders::default() };
        if elements > 4 {
            cursor.skip_many(elements - 4)?;
        }
        Ok((timestamp_ms, headers))
    }
}

/// The headers of a record, checked when they were read.
#[derive(Debug, Clone, Copy)]
struct RecordHeaders<'a> {
    cursor: Cursor<'a>,
    remaining: u32,
}

impl Default for RecordHeaders<'_> {
    fn default() -> Self {
        Self { cursor: Cursor::new(&[]), remaining: 0 }
    }
}

impl<'a> RecordHeaders<'a> {
    /// Reads an array of headers, or nil.
    fn read(cursor: &mut Cursor<'a>) -> Parsed<Self> {
        if cursor.peek()? == rmp::Marker::Null {
            cursor.skip()?;
            return Ok(Self::default());
        }
        let remaining = cursor.array()?;
        if u64::from(remaining) > RECORD_HEADERS_MAX {
            return Err(Fault("it has too many headers"));
        }
        let headers = Self { cursor: *cursor, remaining };
        for _ in 0..remaining {
            read_header(cursor)?;
        }
        Ok(headers)
    }
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        // `read` has been over these bytes, so this does not fail.
        read_header(&mut self.cursor).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let remaining = self.remaining as usize;
        (remaining, Some(remaining))
    }
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Parsed<Header<'a>> {
    let elements = cursor.array()?;
    if elements < 2 {
        return Err(Fault("a header has a name and a value"));
    }
    let name = cursor.text()?.as_bytes();
    let value = cursor.optional_bytes()?;
    cursor.skip_many(elements - 2)?;
    Ok(Header { name, value })
}

#[cold]
fn invalid(index: u32, Fault(what): Fault) -> Error {
    Error::new(Code::InvalidRecord, format!("record {index}: {what}"))
}
