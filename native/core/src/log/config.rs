//! The part of a topic's configuration that its logs act on. Names and meanings are Kafka's.

use crate::{
    batch::{Rules, TimestampRule, TimestampType},
    compression::Codec,
    limits,
};

/// Which writer a log uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterChoice {
    /// The mapped writer while the topic does not flush before its acks and is written fast, else
    /// `pwrite`.
    Automatic,
    /// Always `pwrite`.
    Pwrite,
    /// Always the mapped writer.
    Mapped,
}

/// What a log needs to know of its topic. Times in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `flush.messages`: records after which a flush starts; 1 = flushed before the ack.
    pub flush_messages: u64,
    /// `flush.ms`: time after which a flush starts; `u64::MAX` = never.
    pub flush_ms: u64,
    /// `segment.bytes`: a segment is closed before it grows larger.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when an append finds it older.
    pub segment_ms: u64,
    /// `segment.jitter.ms`: what is taken off `segment_ms` at most, at random for each segment, so
    /// that the segments of many partitions are not closed at the same moment.
    pub segment_jitter_ms: u64,
    /// `index.interval.bytes`: log between two index entries.
    pub index_interval_bytes: u64,
    /// `max.message.bytes`: the largest batch.
    pub message_bytes_max: u64,
    /// `cleanup.policy` holds `compact`: every record needs a key.
    pub is_compacted: bool,
    /// `retention.ms` where `cleanup.policy` holds `delete`; `None` keeps records for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes` where `cleanup.policy` holds `delete`; `None` is no bound.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`: how long files of deleted segments stay.
    pub file_delete_delay_ms: u64,
    /// `delete.retention.ms`: how long compaction keeps a tombstone that it has met.
    pub delete_retention_ms: u64,
    /// `min.cleanable.dirty.ratio`: the share of the log that must be dirty for a compaction.
    pub dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`: how long a record stays out of compaction.
    pub compaction_lag_ms_min: u64,
    /// `max.compaction.lag.ms`: after which a record must be open to compaction.
    pub compaction_lag_ms_max: u64,
    /// A topic of the broker's own: it may use the last of the disk.
    pub is_internal: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_ms_max: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_ms_max: i64,
    /// `compression.type`: `None` keeps what the producer chose.
    pub codec: Option<Codec>,
    /// Level for the codec, where the topic sets one.
    pub compression_level: Option<i32>,
    /// How bytes get into the file.
    pub writer: WriterChoice,
    /// `min.insync.replicas`: more than 1 cannot be had from one broker.
    pub min_insync_replicas: u32,
    /// `producer.id.expiration.ms`: silence after which a producer's sequence is forgotten.
    pub producer_expiry_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            flush_messages: 1,
            flush_ms: u64::MAX,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            message_bytes_max: 1_048_588,
            is_compacted: false,
            retention_ms: None,
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            delete_retention_ms: 24 * 3_600_000,
            dirty_ratio_min: 0.5,
            compaction_lag_ms_min: 0,
            compaction_lag_ms_max: u64::MAX,
            is_internal: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_ms_max: i64::MAX,
            timestamp_after_ms_max: 3_600_000,
            codec: None,
            compression_level: None,
            writer: WriterChoice::Automatic,
            min_insync_replicas: 1,
            producer_expiry_ms: 24 * 3_600_000,
        }
    }
}

impl LogConfig {
    /// Whether an ack, and visibility, wait for the flush.
    pub fn is_flushed_before_ack(&self) -> bool {
        self.flush_messages <= 1
    }

    /// What a batch appended at `now_ms` must satisfy.
    pub fn rules(&self, now_ms: i64) -> Rules {
        let timestamp = match self.timestamp_type {
            TimestampType::CreateTime => TimestampRule::CreateTime {
                now_ms,
                before_ms_max: self.timestamp_before_ms_max,
                after_ms_max: self.timestamp_after_ms_max,
            },
            TimestampType::LogAppendTime => TimestampRule::LogAppendTime { now_ms },
        };
        Rules {
            bytes_max: self.message_bytes_max.min(limits::BATCH_BYTES_MAX),
            compacted: self.is_compacted,
            timestamp,
        }
    }
}
