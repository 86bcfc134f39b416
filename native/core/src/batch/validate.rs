//! Whether a batch from a producer may enter a log: every check that Kafka makes, down to its
//! records, so that no producer can leave a batch that breaks consumers.

use super::{
    header::{
        Attributes, BatchHeader, HEADER_BYTES, NO_TIMESTAMP, Producer, TimestampType,
        declared_bytes,
    },
    records::split_nullable,
    varint::{VARINT_BYTES_MAX, split_varint},
};
use crate::{
    compression::{Codec, Decompressor},
    error::{Code, Error, Result},
    limits::{
        BATCH_BYTES_DECOMPRESSED_MAX, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_HEADERS_MAX,
        REFUSED_RECORDS_MAX,
    },
};

/// Decompressed bytes that are looked at together.
const WINDOW_BYTES: usize = 65_536;

/// What a topic accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Largest batch in bytes, as stored: the topic's `max.message.bytes`.
    pub bytes_max: u64,
    /// Whether the topic is compacted, so that every record needs a key.
    pub compacted: bool,
    /// Whose timestamps count, and which are accepted.
    pub timestamp: TimestampRule,
}

/// Whose timestamps count, and which are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampRule {
    /// The producer's.
    CreateTime {
        /// The time now, in milliseconds since the epoch.
        now_ms: i64,
        /// How far in the past a timestamp may lie, in milliseconds.
        before_ms_max: i64,
        /// How far in the future a timestamp may lie, in milliseconds.
        after_ms_max: i64,
    },
    /// The broker's: whatever the producer says is replaced (see
    /// [`set_log_append_time`](super::header::set_log_append_time)).
    LogAppendTime {
        /// The time now, in milliseconds since the epoch.
        now_ms: i64,
    },
}

impl TimestampRule {
    /// Whether a record's timestamp is accepted. [`NO_TIMESTAMP`] always is.
    pub fn accepts(&self, timestamp_ms: i64) -> bool {
        match *self {
            Self::CreateTime { now_ms, before_ms_max, after_ms_max } => {
                timestamp_ms == NO_TIMESTAMP
                    || (now_ms.saturating_sub(timestamp_ms) <= before_ms_max
                        && timestamp_ms.saturating_sub(now_ms) <= after_ms_max)
            }
            Self::LogAppendTime { .. } => true,
        }
    }

    /// The time now, in milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        match *self {
            Self::CreateTime { now_ms, .. } | Self::LogAppendTime { now_ms } => now_ms,
        }
    }

    /// The time to stamp a batch with, where the broker's time counts.
    pub fn log_append_time_ms(&self) -> Option<i64> {
        match *self {
            Self::CreateTime { .. } => None,
            Self::LogAppendTime { now_ms } => Some(now_ms),
        }
    }

    /// The timestamp type of the topic's batches.
    pub fn timestamp_type(&self) -> TimestampType {
        match self {
            Self::CreateTime { .. } => TimestampType::CreateTime,
            Self::LogAppendTime { .. } => TimestampType::LogAppendTime,
        }
    }
}

/// What a log needs to know about a batch that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Records in the batch, at least 1.
    pub record_count: u32,
    /// The largest timestamp in milliseconds since the epoch: the records', or the broker's on a
    /// `LogAppendTime` topic. [`NO_TIMESTAMP`] when no record has one.
    pub max_timestamp_ms: i64,
    /// Offset delta of the first record that carries it.
    pub offset_of_max_timestamp_delta: u32,
    /// The producer put another maximum into the header: as Kafka does, replace it with
    /// [`set_max_timestamp`](super::header::set_max_timestamp). Never on `LogAppendTime` topics,
    /// where it is replaced anyway.
    pub max_timestamp_is_wrong: bool,
    /// How the records are compressed.
    pub codec: Codec,
    /// Bytes of the batch as stored, header included.
    pub bytes: usize,
    /// The idempotent producer, when there is one.
    pub producer: Option<Producer>,
    /// Bytes of the records section once decompressed.
    pub decompressed_bytes: u64,
}

/// A record that a topic does not accept, of a batch that is in order otherwise (KIP-467).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a topic does not accept a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The topic is compacted, and the record has no key.
    NoKey,
    /// Its timestamp in milliseconds since the epoch lies outside what the topic accepts.
    Timestamp(i64),
}

impl Reason {
    /// What a person is told, by the rules of the topic.
    pub fn message(&self, rules: &Rules) -> String {
        match (self, rules.timestamp) {
            (Self::NoKey, _) => "a compacted topic needs a key in every record".to_owned(),
            (
                Self::Timestamp(timestamp_ms),
                TimestampRule::CreateTime { now_ms, before_ms_max, after_ms_max },
            ) => {
                let first_ms = now_ms.saturating_sub(before_ms_max);
                let last_ms = now_ms.saturating_add(after_ms_max);
                format!("the timestamp {timestamp_ms} is not within {first_ms} to {last_ms}")
            }
            (Self::Timestamp(timestamp_ms), TimestampRule::LogAppendTime { .. }) => {
                format!("the timestamp {timestamp_ms} is out of bounds")
            }
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::NoKey => Code::InvalidRecord,
            Self::Timestamp(_) => Code::InvalidTimestamp,
        }
    }
}

/// Checks that `batch` is exactly one batch that a topic with `rules` accepts.
///
/// # Errors
/// `CORRUPT_MESSAGE` (checksum, an impossible length), `INVALID_RECORD` (also where the batch is
/// cut off), `INVALID_TIMESTAMP`, `MESSAGE_TOO_LARGE` (as stored, decompressed, or in records),
/// `UNSUPPORTED_COMPRESSION_TYPE`, `RECORDS_NOT_DECOMPRESSED`.
pub fn validate(batch: &[u8], rules: &Rules) -> Result<Summary> {
    let header = check_header(batch, rules)?;
    let bytes_left = &mut BATCH_BYTES_DECOMPRESSED_MAX.clone();
    check_records(&header, batch, rules, bytes_left, &mut Vec::new())
}

/// As [`validate`], for a caller who has only so much to spend on several batches: gives up with
/// `Ok(None)` when the records expand beyond `decompressed_bytes_left`, which is lowered by what
/// they did expand to, whatever comes of it. Where the batch is refused for some of its records,
/// `refused` gets them, the first [`REFUSED_RECORDS_MAX`], in order; else it is left empty.
///
/// # Errors
/// Those of [`validate`].
pub fn validate_within(
    batch: &[u8],
    rules: &Rules,
    decompressed_bytes_left: &mut u64,
    refused: &mut Vec<RefusedRecord>,
) -> Result<Option<Summary>> {
    refused.clear();
    let header = check_header(batch, rules)?;
    let is_partial = *decompressed_bytes_left < BATCH_BYTES_DECOMPRESSED_MAX;
    match check_records(&header, batch, rules, decompressed_bytes_left, refused) {
        Err(error) if is_partial && error.code() == Code::MessageTooLarge => Ok(None),
        checked => checked.map(Some),
    }
}

fn check_header(batch: &[u8], rules: &Rules) -> Result<BatchHeader> {
    check_not_cut_off(batch)?;
    if batch.len() as u64 > BATCH_BYTES_MAX {
        // Not CORRUPT_MESSAGE, as its header would be: clients would send it again for ever.
        let detail = format!("{} bytes, a batch holds {BATCH_BYTES_MAX}", batch.len());
        return Err(Error::new(Code::MessageTooLarge, detail));
    }
    let header = BatchHeader::read(batch)?;
    let bytes = header.batch_bytes();
    if bytes as u64 > rules.bytes_max {
        let detail = format!("{bytes} bytes, the topic accepts {}", rules.bytes_max);
        return Err(Error::new(Code::MessageTooLarge, detail));
    }
    header.verify_crc(batch)?;
    if batch.len() > bytes {
        return Err(invalid(format!("{} bytes behind the batch", batch.len() - bytes)));
    }
    check_attributes(header.attributes)?;
    check_counts(&header)?;
    check_producer(&header)?;
    Ok(header)
}

/// To Kafka what ends before its batch does is no batch, and not one that became corrupt on its
/// way: clients do not send it again.
fn check_not_cut_off(batch: &[u8]) -> Result<()> {
    let bytes = declared_bytes(batch).unwrap_or(HEADER_BYTES as i64);
    if bytes > batch.len() as i64 {
        return Err(invalid(format!("{} bytes of a batch of {bytes}", batch.len())));
    }
    Ok(())
}

fn check_attributes(attributes: Attributes) -> Result<()> {
    attributes.codec()?;
    if attributes.is_control() {
        return Err(invalid("producers may not write control records".into()));
    }
    if attributes.is_transactional() {
        return Err(invalid("transactions are not supported".into()));
    }
    if attributes.has_delete_horizon() {
        return Err(invalid("producers may not set a delete horizon".into()));
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        let detail = "producers may not set the timestamp type to LogAppendTime";
        return Err(Error::new(Code::InvalidTimestamp, detail));
    }
    Ok(())
}

fn check_counts(header: &BatchHeader) -> Result<()> {
    let count = header.record_count;
    if count < 1 {
        return Err(invalid(format!("a batch of {count} records")));
    }
    if i64::from(count) > BATCH_RECORDS_MAX as i64 {
        let detail = format!("{count} records, a batch holds {BATCH_RECORDS_MAX}");
        return Err(Error::new(Code::MessageTooLarge, detail));
    }
    if header.last_offset_delta != count - 1 {
        let last = header.last_offset_delta;
        return Err(invalid(format!("last offset delta {last} in a batch of {count} records")));
    }
    Ok(())
}

fn check_producer(header: &BatchHeader) -> Result<()> {
    let Some(producer) = header.producer() else {
        return Ok(());
    };
    if producer.epoch < 0 || producer.base_sequence < 0 {
        return Err(invalid(format!(
            "producer {} with epoch {} and sequence {}",
            producer.id, producer.epoch, producer.base_sequence
        )));
    }
    Ok(())
}

fn check_records(
    header: &BatchHeader,
    batch: &[u8],
    rules: &Rules,
    decompressed_bytes_left: &mut u64,
    refused: &mut Vec<RefusedRecord>,
) -> Result<Summary> {
    let section = batch.get(HEADER_BYTES..).unwrap_or_default();
    let codec = header.attributes.codec()?;
    let mut scan = Scan::new(header, rules, refused);
    let decompressed_bytes = match codec {
        Codec::None => scan.run(&mut Source::whole(section))?,
        _ => {
            let bytes_max = BATCH_BYTES_DECOMPRESSED_MAX.min(*decompressed_bytes_left);
            let decompressor =
                Decompressor::new(codec, section, bytes_max).map_err(not_decompressed)?;
            let mut window = vec![0; WINDOW_BYTES];
            let mut source = Source::streamed(decompressor, &mut window);
            let scanned = scan.run(&mut source);
            *decompressed_bytes_left -= bytes_max - source.bytes_left();
            scanned.map_err(not_decompressed)?
        }
    };
    let (max_timestamp_ms, offset_of_max_timestamp_delta) = match rules.timestamp {
        TimestampRule::CreateTime { .. } => (scan.max_timestamp_ms, scan.offset_of_max_timestamp),
        TimestampRule::LogAppendTime { now_ms } => (now_ms, 0),
    };
    let keeps_timestamps = rules.timestamp.timestamp_type() == TimestampType::CreateTime;
    Ok(Summary {
        record_count: scan.count,
        max_timestamp_ms,
        offset_of_max_timestamp_delta,
        max_timestamp_is_wrong: keeps_timestamps && max_timestamp_ms != header.max_timestamp,
        codec,
        bytes: batch.len(),
        producer: header.producer(),
        decompressed_bytes,
    })
}

/// The checksum is right: whoever made the batch compressed it wrongly, and would send the same.
fn not_decompressed(error: Error) -> Error {
    match error.code() {
        Code::CorruptMessage => Error::new(Code::RecordsNotDecompressed, error.detail()),
        _ => error,
    }
}

/// Goes over the records once; holds what the summary needs of them.
struct Scan<'r> {
    rules: &'r Rules,
    base_timestamp: i64,
    count: u32,
    max_timestamp_ms: i64,
    offset_of_max_timestamp: u32,
    /// The first of the records that the topic does not accept.
    refused: &'r mut Vec<RefusedRecord>,
    /// How the batch is refused for them: a timestamp counts more, as in Kafka.
    refusal: Option<Code>,
}

/// Why a batch is refused whatever its topic accepts: small, so that the loop over the records
/// stays fast.
#[derive(Debug)]
enum Fault {
    Invalid(&'static str),
    Source(Box<Error>),
}

type Scanned<T> = std::result::Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Source(Box::new(error))
    }
}

impl<'r> Scan<'r> {
    fn new(header: &BatchHeader, rules: &'r Rules, refused: &'r mut Vec<RefusedRecord>) -> Self {
        Self {
            rules,
            base_timestamp: header.base_timestamp,
            count: header.record_count.unsigned_abs(),
            max_timestamp_ms: NO_TIMESTAMP,
            offset_of_max_timestamp: 0,
            refused,
            refusal: None,
        }
    }

    /// Goes over all records; returns how many bytes they have.
    fn run(&mut self, source: &mut Source<'_, '_>) -> Result<u64> {
        let checked = self.check(source);
        if checked.is_err() {
            // As a whole: its records are not to blame.
            self.refused.clear();
        }
        let bytes = checked?;
        match (self.refusal, self.refused.first()) {
            (Some(code), Some(RefusedRecord { index, reason })) => {
                let message = reason.message(self.rules);
                Err(Error::new(code, format!("record {index}: {message}")))
            }
            _ => Ok(bytes),
        }
    }

    fn check(&mut self, source: &mut Source<'_, '_>) -> Result<u64> {
        for index in 0..self.count {
            self.record(index, source).map_err(|fault| match fault {
                Fault::Invalid(what) => invalid(format!("record {index}: {what}")),
                Fault::Source(error) => *error,
            })?;
        }
        source.finish()
    }

    #[inline]
    fn record(&mut self, index: u32, source: &mut Source<'_, '_>) -> Scanned<()> {
        let Fields { timestamp_delta, offset_delta, has_key } = match source.plain_record() {
            Some(fields) => fields,
            None => source.record()?,
        };
        if offset_delta != i64::from(index) {
            return Err(Fault::Invalid("offset deltas do not count up from 0"));
        }
        let timestamp_ms = self.base_timestamp.checked_add(timestamp_delta);
        if !has_key && self.rules.compacted {
            self.refuse(index, Reason::NoKey);
        } else if !timestamp_ms.is_some_and(|time_ms| self.rules.timestamp.accepts(time_ms)) {
            self.refuse(index, Reason::Timestamp(timestamp_ms.unwrap_or(timestamp_delta)));
        }
        if let Some(timestamp_ms) = timestamp_ms
            && timestamp_ms > self.max_timestamp_ms
        {
            self.max_timestamp_ms = timestamp_ms;
            self.offset_of_max_timestamp = index;
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, index: u32, reason: Reason) {
        if (self.refused.len() as u64) < REFUSED_RECORDS_MAX {
            self.refused.push(RefusedRecord { index, reason });
        }
        if self.refusal != Some(Code::InvalidTimestamp) {
            self.refusal = Some(reason.code());
        }
    }
}

/// What is looked at of a record.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    timestamp_delta: i64,
    offset_delta: i64,
    has_key: bool,
}

/// Bytes of a records section: all of them, or a window that is refilled by a decompressor.
/// `start..end` of `bytes` is what is there and not yet taken.
struct Source<'a, 'w> {
    bytes: Bytes<'a, 'w>,
    start: usize,
    end: usize,
    /// Bytes taken before `start` became 0 last.
    before: u64,
}

enum Bytes<'a, 'w> {
    Whole(&'a [u8]),
    Streamed { decompressor: Decompressor<'a>, window: &'w mut [u8] },
}

impl<'a, 'w> Source<'a, 'w> {
    fn whole(section: &'a [u8]) -> Self {
        Self { bytes: Bytes::Whole(section), start: 0, end: section.len(), before: 0 }
    }

    fn streamed(decompressor: Decompressor<'a>, window: &'w mut [u8]) -> Self {
        let bytes = Bytes::Streamed { decompressor, window };
        Self { bytes, start: 0, end: 0, before: 0 }
    }

    /// What the decompressor may still produce.
    fn bytes_left(&self) -> u64 {
        match &self.bytes {
            Bytes::Whole(_) => 0,
            Bytes::Streamed { decompressor, .. } => decompressor.bytes_left(),
        }
    }

    /// Bytes taken so far.
    #[inline]
    fn position(&self) -> u64 {
        self.before + self.start as u64
    }

    #[inline]
    fn pending(&self) -> &[u8] {
        let bytes = match &self.bytes {
            Bytes::Whole(section) => section,
            Bytes::Streamed { window, .. } => &**window,
        };
        bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes a record that is pending as a whole and has no headers, as nearly all are, without
    /// asking before every field whether more has to come. `None`, and nothing is taken, where it
    /// is another one or not in order: [`record`](Self::record) says which.
    #[inline]
    fn plain_record(&mut self) -> Option<Fields> {
        let pending = self.pending();
        let (length, rest) = split_varint(pending)?;
        let (body, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        // The attributes of a record are unused.
        let (_attributes, body) = body.split_first()?;
        let (timestamp_delta, body) = split_varint(body)?;
        let (offset_delta, body) = split_varint(body)?;
        let (key, body) = split_nullable(body)?;
        let (_value, body) = split_nullable(body)?;
        if body != [0] {
            return None;
        }
        let has_key = key.is_some();
        self.start += pending.len() - behind.len();
        Some(Fields { timestamp_delta, offset_delta, has_key })
    }

    /// Takes a record, whatever it looks like.
    fn record(&mut self) -> Scanned<Fields> {
        let length = self.varint()?;
        let end = self.position().wrapping_add(length as u64);
        // The attributes of a record are unused.
        self.skip(1)?;
        let timestamp_delta = self.varint()?;
        let offset_delta = self.varint()?;
        let key_bytes = self.varint()?;
        self.skip_nullable(key_bytes)?;
        let value_bytes = self.varint()?;
        self.skip_nullable(value_bytes)?;
        let header_count = self.varint()?;
        self.skip_headers(header_count)?;
        if self.position() != end {
            return Err(Fault::Invalid("its fields do not fill its length"));
        }
        Ok(Fields { timestamp_delta, offset_delta, has_key: key_bytes >= 0 })
    }

    fn skip_headers(&mut self, count: i64) -> Scanned<()> {
        if !(0..=RECORD_HEADERS_MAX as i64).contains(&count) {
            return Err(Fault::Invalid("a header count that is negative or too large"));
        }
        for _ in 0..count {
            let name_bytes = self.varint()?;
            if name_bytes < 0 {
                return Err(Fault::Invalid("a header without a name"));
            }
            self.skip(name_bytes as u64)?;
            let value_bytes = self.varint()?;
            self.skip_nullable(value_bytes)?;
        }
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Scanned<i64> {
        if self.end - self.start < VARINT_BYTES_MAX {
            self.refill()?;
        }
        let pending = self.pending();
        let Some((value, rest)) = split_varint(pending) else {
            return Err(Fault::Invalid("a length is cut off or too long"));
        };
        let taken = pending.len() - rest.len();
        self.start += taken;
        Ok(value)
    }

    #[inline]
    fn skip_nullable(&mut self, bytes: i64) -> Scanned<()> {
        match bytes {
            0.. => self.skip(bytes as u64),
            -1 => Ok(()),
            _ => Err(Fault::Invalid("a negative length")),
        }
    }

    #[inline]
    fn skip(&mut self, bytes: u64) -> Scanned<()> {
        if bytes <= (self.end - self.start) as u64 {
            self.start += bytes as usize;
            return Ok(());
        }
        self.skip_far(bytes)
    }

    fn skip_far(&mut self, mut bytes: u64) -> Scanned<()> {
        loop {
            let step = bytes.min((self.end - self.start) as u64);
            self.start += step as usize;
            bytes -= step;
            if bytes == 0 {
                return Ok(());
            }
            if self.refill()? == 0 {
                return Err(Fault::Invalid("it is cut off"));
            }
        }
    }

    /// Makes at least a varint's worth of bytes pending unless the end is nearer; returns how many
    /// bytes came.
    #[cold]
    fn refill(&mut self) -> Result<usize> {
        let Bytes::Streamed { decompressor, window } = &mut self.bytes else {
            return Ok(0);
        };
        window.copy_within(self.start..self.end, 0);
        self.before += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        let mut came = 0;
        while self.end < VARINT_BYTES_MAX {
            let free = window.get_mut(self.end..).unwrap_or_default();
            let read = decompressor.read(free)?;
            if read == 0 {
                break;
            }
            self.end += read;
            came += read;
        }
        Ok(came)
    }

    /// Checks that nothing is left; returns how many bytes there were.
    fn finish(&mut self) -> Result<u64> {
        let came = self.refill()?;
        if came > 0 || self.start != self.end {
            return Err(invalid("bytes behind the last record".into()));
        }
        Ok(self.position())
    }
}

fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidRecord, detail)
}

#[cfg(test)]
mod tests {
    use super::{super::varint::Gather, *};
    use proptest::prelude::*;

    /// A record without headers, as it is stored.
    fn stored(numbers: (i64, i64), key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
        let varint = |number: i64| {
            let mut gather = Gather::<VARINT_BYTES_MAX>::new();
            gather.varint(number);
            gather.as_slice().to_vec()
        };
        let mut body = [&[0][..], &varint(numbers.0), &varint(numbers.1)].concat();
        for content in [key, value] {
            body.extend(varint(content.map_or(-1, |content| content.len() as i64)));
            body.extend(content.unwrap_or_default());
        }
        body.push(0);
        [varint(body.len() as i64), body].concat()
    }

    fn content() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..300))
    }

    proptest! {
        #[test]
        fn a_plain_record_is_taken_at_once_and_as_any_other(
            numbers in (-70_000_i64..70_000, any::<i32>()),
            key in content(),
            value in content(),
            behind in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let numbers = (numbers.0, i64::from(numbers.1));
            let bytes = stored(numbers, key.as_deref(), value.as_deref());
            let section = [&bytes[..], &behind].concat();
            let mut source = Source::whole(&section);
            let has_key = key.is_some();
            let (timestamp_delta, offset_delta) = numbers;
            let fields = Fields { timestamp_delta, offset_delta, has_key };
            prop_assert_eq!(source.plain_record(), Some(fields));
            prop_assert_eq!(source.start, bytes.len());
        }

        // Whatever the quick way takes the careful one takes, too, and sees the same in it.
        #[test]
        fn what_is_taken_at_once_is_what_careful_reading_takes(
            numbers in (any::<i64>(), -200_i64..200),
            key in content(),
            value in content(),
            changes in prop::collection::vec((0_usize..24, any::<u8>()), 0..3),
            bytes_left in any::<prop::sample::Index>(),
        ) {
            let mut section = stored(numbers, key.as_deref(), value.as_deref());
            for (at, byte) in changes {
                let at = at % section.len();
                section[at] = byte;
            }
            // Now and then cut off.
            section.truncate((bytes_left.index(section.len()) * 8).max(1));
            let (mut quick, mut careful) = (Source::whole(&section), Source::whole(&section));
            match quick.plain_record() {
                Some(fields) => {
                    prop_assert_eq!(careful.record().unwrap(), fields);
                    prop_assert_eq!(quick.start, careful.start);
                }
                None => prop_assert_eq!(quick.start, 0),
            }
        }
    }
}
