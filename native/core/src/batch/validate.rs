//! Whether a batch from a producer may enter a log: every check that Kafka makes, down to its
//! records, so that no producer can leave a batch that breaks consumers.

use std::ops::Range;

use super::{
    header::{
        Attributes, BatchHeader, HEADER_BYTES, NO_TIMESTAMP, Producer, TimestampType,
        declared_bytes,
    },
    source::{Fault, Fields, Scanned, Source, split_plain, split_whole},
};
use crate::{
    compression::{Codec, Decompressor},
    error::{Code, Error, Result},
    limits::{
        BATCH_BYTES_DECOMPRESSED_MAX, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, REFUSED_RECORDS_MAX,
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

    /// Timestamps that are accepted: all of them but for absurd ones, [`NO_TIMESTAMP`] and the
    /// last.
    fn accepted(&self) -> Range<i64> {
        match *self {
            Self::CreateTime { now_ms, before_ms_max, after_ms_max } => {
                now_ms.saturating_sub(before_ms_max)..now_ms.saturating_add(after_ms_max)
            }
            Self::LogAppendTime { .. } => i64::MIN..i64::MAX,
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
    /// Timestamps that are accepted without further questions.
    timestamps_ms: Range<i64>,
    base_timestamp: i64,
    count: u32,
    /// Records gone over.
    index: u32,
    max_timestamp_ms: i64,
    offset_of_max_timestamp: u32,
    /// The first of the records that the topic does not accept.
    refused: &'r mut Vec<RefusedRecord>,
    /// How the batch is refused for them: a timestamp counts more, as in Kafka.
    refusal: Option<Code>,
}

impl<'r> Scan<'r> {
    fn new(header: &BatchHeader, rules: &'r Rules, refused: &'r mut Vec<RefusedRecord>) -> Self {
        Self {
            rules,
            timestamps_ms: rules.timestamp.accepted(),
            base_timestamp: header.base_timestamp,
            count: header.record_count.unsigned_abs(),
            index: 0,
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
        self.records(source).map_err(|fault| match fault {
            Fault::Invalid(what) => invalid(format!("record {}: {what}", self.index)),
            Fault::Source(error) => *error,
        })?;
        source.finish()
    }

    fn records(&mut self, source: &mut Source<'_, '_>) -> Scanned<()> {
        loop {
            self.whole_records(source)?;
            if self.index == self.count {
                return Ok(());
            }
            let fields = source.record()?;
            self.look_at(&fields)?;
        }
    }

    /// Goes over the records that are pending as a whole, as nearly all are, without asking before
    /// every field whether more has to come. Ends before one that is not, or is not in order:
    /// [`Source::record`] says what it is.
    fn whole_records(&mut self, source: &mut Source<'_, '_>) -> Scanned<()> {
        let mut rest = source.pending();
        loop {
            rest = self.plain_records(rest);
            if self.index == self.count {
                break;
            }
            let Some((fields, behind)) = split_whole(rest) else { break };
            self.look_at(&fields)?;
            rest = behind;
        }
        let bytes_left = rest.len();
        source.take_all_but(bytes_left);
        Ok(())
    }

    /// Goes over the records at the start of `bytes` that are plain and accepted; returns what
    /// follows them. What changes with every record is kept in registers.
    fn plain_records<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let needs_key = self.rules.compacted;
        let (mut index, mut max_timestamp_ms) = (self.index, self.max_timestamp_ms);
        let mut rest = bytes;
        while index < self.count
            && let Some((timestamp_delta, behind)) = split_plain(rest, index, needs_key)
            && let Some(timestamp_ms) = self.base_timestamp.checked_add(timestamp_delta)
            && self.timestamps_ms.contains(&timestamp_ms)
        {
            if timestamp_ms > max_timestamp_ms {
                max_timestamp_ms = timestamp_ms;
                self.offset_of_max_timestamp = index;
            }
            index += 1;
            rest = behind;
        }
        (self.index, self.max_timestamp_ms) = (index, max_timestamp_ms);
        rest
    }

    fn look_at(&mut self, fields: &Fields) -> Scanned<()> {
        let Fields { timestamp_delta, offset_delta, has_key } = *fields;
        if offset_delta != i64::from(self.index) {
            return Err(Fault::Invalid("offset deltas do not count up from 0"));
        }
        let timestamp_ms = self.base_timestamp.checked_add(timestamp_delta);
        if !has_key && self.rules.compacted {
            self.refuse(Reason::NoKey);
        } else if !timestamp_ms.is_some_and(|time_ms| self.rules.timestamp.accepts(time_ms)) {
            self.refuse(Reason::Timestamp(timestamp_ms.unwrap_or(timestamp_delta)));
        }
        if let Some(timestamp_ms) = timestamp_ms
            && timestamp_ms > self.max_timestamp_ms
        {
            self.max_timestamp_ms = timestamp_ms;
            self.offset_of_max_timestamp = self.index;
        }
        self.index += 1;
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, reason: Reason) {
        if (self.refused.len() as u64) < REFUSED_RECORDS_MAX {
            self.refused.push(RefusedRecord { index: self.index, reason });
        }
        if self.refusal != Some(Code::InvalidTimestamp) {
            self.refusal = Some(reason.code());
        }
    }
}

fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidRecord, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_range_of_accepted_timestamps_holds_no_other(
            now_ms: i64,
            before_ms_max: i64,
            after_ms_max: i64,
            place: i64,
            step in -1_i64..=1,
        ) {
            let rule = TimestampRule::CreateTime { now_ms, before_ms_max, after_ms_max };
            let accepted = rule.accepted();
            for near in [accepted.start, accepted.end, now_ms, NO_TIMESTAMP, place] {
                let timestamp_ms = near.saturating_add(step);
                if accepted.contains(&timestamp_ms) {
                    prop_assert!(rule.accepts(timestamp_ms));
                }
            }
            prop_assert_eq!(accepted.contains(&now_ms), before_ms_max >= 0 && after_ms_max > 0);
        }
    }
}
