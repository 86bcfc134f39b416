//! The 61 bytes in front of every record batch: reading, checking and patching them in place.
//!
//! ```text
//!  0  base_offset            i64   assigned by the broker, outside the checksum
//!  8  length                 i32   bytes that follow this field
//! 12  partition_leader_epoch i32   assigned by the broker, outside the checksum
//! 16  magic                  i8    2
//! 17  crc                    u32   CRC-32C of everything that follows this field
//! 21  attributes             i16   bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control,
//!                                  6 delete horizon
//! 23  last_offset_delta      i32
//! 27  base_timestamp         i64   milliseconds since the epoch, or the delete horizon
//! 35  max_timestamp          i64
//! 43  producer_id            i64   -1: none
//! 51  producer_epoch         i16   -1: none
//! 53  base_sequence          i32   -1: none
//! 57  record_count           i32
//! 61  records, compressed as a whole when the codec says so
//! ```
//!
//! Every integer is big endian.

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

use crate::{
    compression::Codec,
    error::{Code, Error, Result},
    limits::BATCH_BYTES_MAX,
};

const BASE_OFFSET: usize = 0;
const LENGTH: usize = BASE_OFFSET + 8;
const LEADER_EPOCH: usize = LENGTH + 4;
const MAGIC: usize = LEADER_EPOCH + 4;
const CRC: usize = MAGIC + 1;
const ATTRIBUTES: usize = CRC + 4;
const LAST_OFFSET_DELTA: usize = ATTRIBUTES + 2;
const BASE_TIMESTAMP: usize = LAST_OFFSET_DELTA + 4;
const MAX_TIMESTAMP: usize = BASE_TIMESTAMP + 8;
const PRODUCER_ID: usize = MAX_TIMESTAMP + 8;
const PRODUCER_EPOCH: usize = PRODUCER_ID + 8;
const BASE_SEQUENCE: usize = PRODUCER_EPOCH + 2;
const RECORD_COUNT: usize = BASE_SEQUENCE + 4;

/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = RECORD_COUNT + 4;
/// Bytes of a batch that its length field does not count: those up to and including it.
pub const LENGTH_OVERHEAD_BYTES: usize = LEADER_EPOCH;
/// The only version of the format that is stored.
pub const MAGIC_VALUE: i8 = 2;
/// A record without a timestamp.
pub const NO_TIMESTAMP: i64 = -1;

/// Whose clock the timestamps of a batch come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, one a record.
    CreateTime,
    /// The broker's: the batch's maximum timestamp counts for every record.
    LogAppendTime,
}

/// The attributes field: codec and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(i16);

impl Attributes {
    const CODEC_MASK: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// The attributes of a plain batch.
    pub fn new(codec: Codec, timestamp_type: TimestampType) -> Self {
        let time = match timestamp_type {
            TimestampType::CreateTime => 0,
            TimestampType::LogAppendTime => Self::LOG_APPEND_TIME,
        };
        Self(i16::from(codec.number()) | time)
    }

    /// The same attributes but for the codec.
    pub fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC_MASK | i16::from(codec.number()))
    }

    /// The same attributes, with or without a delete horizon.
    pub fn with_delete_horizon(self, has_horizon: bool) -> Self {
        let flag = if has_horizon { Self::DELETE_HORIZON } else { 0 };
        Self(self.0 & !Self::DELETE_HORIZON | flag)
    }

    /// The field as it is stored.
    pub fn bits(self) -> i16 {
        self.0
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// `UNSUPPORTED_COMPRESSION_TYPE` for a number that is none of Kafka's.
    pub fn codec(self) -> Result<Codec> {
        Codec::from_number((self.0 & Self::CODEC_MASK) as u8)
    }

    /// Whose clock the timestamps come from.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds transaction markers instead of records.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which compaction may drop tombstones.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// An idempotent producer's place in its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// The producer's number, 0 or more.
    pub id: i64,
    /// Its generation, 0 or more.
    pub epoch: i16,
    /// The sequence number of the batch's first record, 0 or more; wraps after `i32::MAX`.
    pub base_sequence: i32,
}

/// Every field of a batch header (layout above).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes behind the length field; see [`BatchHeader::batch_bytes`].
    pub length: i32,
    /// The leader epoch that the batch was appended in.
    pub leader_epoch: i32,
    /// CRC-32C of the attributes and everything behind them.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Offset of the last record minus `base_offset`.
    pub last_offset_delta: i32,
    /// What record timestamps are relative to, in milliseconds since the epoch.
    pub base_timestamp: i64,
    /// The largest timestamp in milliseconds since the epoch, or [`NO_TIMESTAMP`].
    pub max_timestamp: i64,
    /// The idempotent producer's number, or -1.
    pub producer_id: i64,
    /// The idempotent producer's generation, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Records in the batch. Not checked by [`BatchHeader::read`].
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may end anywhere behind it.
    ///
    /// Checks what makes it safe to go on: there are enough bytes for a header, the magic is 2 and
    /// the length is that of a batch of 61 bytes to [`BATCH_BYTES_MAX`]. Everything else is as
    /// found: see [`BatchHeader::verify_crc`] and [`validate`](super::validate::validate).
    ///
    /// # Errors
    /// `CORRUPT_MESSAGE`, or `INVALID_RECORD` for the message formats before version 2.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        // Messages of the old formats are shorter than a header.
        match bytes.get(MAGIC).map(|magic| *magic as i8) {
            Some(MAGIC_VALUE) | None => {}
            Some(magic @ 0..=1) => {
                let detail = format!("message format {magic} is not supported, only version 2 is");
                return Err(Error::new(Code::InvalidRecord, detail));
            }
            Some(magic) => return Err(corrupt(format!("a batch of unknown magic {magic}"))),
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(corrupt(format!("{} bytes are less than a batch header", bytes.len())));
        };
        let parsed = Self::parse(header);
        let length_min = (HEADER_BYTES - LENGTH_OVERHEAD_BYTES) as i64;
        let length_max = BATCH_BYTES_MAX as i64 - LENGTH_OVERHEAD_BYTES as i64;
        if !(length_min..=length_max).contains(&i64::from(parsed.length)) {
            return Err(corrupt(format!("a batch length of {} bytes", parsed.length)));
        }
        Ok(parsed)
    }

    fn parse(header: &[u8; HEADER_BYTES]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(field(header, BASE_OFFSET)),
            length: i32::from_be_bytes(field(header, LENGTH)),
            leader_epoch: i32::from_be_bytes(field(header, LEADER_EPOCH)),
            crc: u32::from_be_bytes(field(header, CRC)),
            attributes: Attributes(i16::from_be_bytes(field(header, ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(header, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT)),
        }
    }

    /// Writes the header with every field as it stands, magic 2 added.
    pub fn write(&self, header: &mut [u8; HEADER_BYTES]) {
        set_field(header, BASE_OFFSET, self.base_offset.to_be_bytes());
        set_field(header, LENGTH, self.length.to_be_bytes());
        set_field(header, LEADER_EPOCH, self.leader_epoch.to_be_bytes());
        set_field(header, MAGIC, MAGIC_VALUE.to_be_bytes());
        set_field(header, CRC, self.crc.to_be_bytes());
        set_field(header, ATTRIBUTES, self.attributes.0.to_be_bytes());
        set_field(header, LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        set_field(header, BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        set_field(header, MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        set_field(header, PRODUCER_ID, self.producer_id.to_be_bytes());
        set_field(header, PRODUCER_EPOCH, self.producer_epoch.to_be_bytes());
        set_field(header, BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        set_field(header, RECORD_COUNT, self.record_count.to_be_bytes());
    }

    /// Bytes of the whole batch, header included: 61 to [`BATCH_BYTES_MAX`].
    pub fn batch_bytes(&self) -> usize {
        usize::try_from(self.length).unwrap_or(0) + LENGTH_OVERHEAD_BYTES
    }

    /// Offset of the last record. Saturates on a header that was never validated.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The idempotent producer, when there is one.
    pub fn producer(&self) -> Option<Producer> {
        (self.producer_id >= 0).then_some(Producer {
            id: self.producer_id,
            epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
        })
    }

    /// Checks the checksum of the batch that starts `bytes`; what follows the batch is ignored.
    ///
    /// # Errors
    /// `CORRUPT_MESSAGE` when `bytes` end before the batch does, or the checksum differs.
    pub fn verify_crc(&self, bytes: &[u8]) -> Result<()> {
        let Some(covered) = bytes.get(ATTRIBUTES..self.batch_bytes()) else {
            return Err(corrupt(format!(
                "a batch of {} bytes is cut off after {}",
                self.batch_bytes(),
                bytes.len()
            )));
        };
        let computed = crc32c(covered);
        if computed == self.crc {
            return Ok(());
        }
        Err(corrupt(format!("checksum {computed:08x} instead of {:08x}", self.crc)))
    }
}

/// How many bytes `bytes` say that the batch has which they begin, whatever that is; `None` when
/// they end before that.
pub(super) fn declared_bytes(bytes: &[u8]) -> Option<i64> {
    let length = i32::from_be_bytes(*bytes.get(LENGTH..)?.first_chunk()?);
    Some(i64::from(length) + LENGTH_OVERHEAD_BYTES as i64)
}

/// Assigns offset and leader epoch, which lie outside the checksum.
pub fn assign(header: &mut [u8; HEADER_BYTES], base_offset: i64, leader_epoch: i32) {
    set_field(header, BASE_OFFSET, base_offset.to_be_bytes());
    set_field(header, LEADER_EPOCH, leader_epoch.to_be_bytes());
}

/// Stamps a batch with the broker's time: timestamp type, maximum timestamp and checksum change.
/// `rest` is the batch behind its header.
pub fn set_log_append_time(header: &mut [u8; HEADER_BYTES], rest: &[u8], now_ms: i64) {
    let attributes = i16::from_be_bytes(field(header, ATTRIBUTES)) | Attributes::LOG_APPEND_TIME;
    set_field(header, ATTRIBUTES, attributes.to_be_bytes());
    set_max_timestamp(header, rest, now_ms);
}

/// Replaces the maximum timestamp and recomputes the checksum. `rest` is the batch behind its
/// header.
pub fn set_max_timestamp(header: &mut [u8; HEADER_BYTES], rest: &[u8], max_timestamp_ms: i64) {
    set_field(header, MAX_TIMESTAMP, max_timestamp_ms.to_be_bytes());
    seal(header, rest);
}

/// Writes the checksum of the header's fields and of `rest`, the batch behind its header.
pub(crate) fn seal(header: &mut [u8; HEADER_BYTES], rest: &[u8]) {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&header[ATTRIBUTES..]);
    digest.update(rest);
    set_field(header, CRC, (digest.finalize() as u32).to_be_bytes());
}

/// CRC-32C (Castagnoli), as the log and Kafka use it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (target, source) in bytes.iter_mut().zip(header.iter().skip(offset)) {
        *target = *source;
    }
    bytes
}

fn set_field<const N: usize>(header: &mut [u8; HEADER_BYTES], offset: usize, bytes: [u8; N]) {
    for (target, source) in header.iter_mut().skip(offset).zip(bytes) {
        *target = source;
    }
}

fn corrupt(detail: String) -> Error {
    Error::new(Code::CorruptMessage, detail)
}
