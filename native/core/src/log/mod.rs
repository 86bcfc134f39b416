//! One partition: an ordered, append-only sequence of record batches in segments.
//!
//! One writer at a time appends behind the tail; any number of readers look at what is visible.
//! Four offsets, each published once and only ever raised (but the start, by deletion):
//! log start <= high watermark <= log end, and flushed <= log end. What the high watermark
//! follows is the topic's promise: the flushed end with `flush.messages=1`, else the log end.

pub mod append;
pub mod compact;
pub mod config;
pub mod deleted;
pub mod epochs;
mod flush;
mod journaled;
mod lifecycle;
pub mod open;
pub mod read;
pub(crate) mod recover;
pub mod retention;
pub(crate) mod scrub;
mod sealing;
mod search;
pub mod set_aside;
pub mod start;
pub mod time;
pub mod verify;
mod vouched;
pub mod waiters;
mod walk;
pub mod warnings;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use crate::{
    env::{Env, File},
    error::{Code, Error, Result},
    flush::{
        budget::{DirtyBudget, DirtyBytes, DirtyFile},
        figures::SyncFigures,
        scheduler::{FlushScheduler, FlushState},
        work::WorkPool,
    },
    producer::ProducerStates,
    recovery::checkpoint::{ClosedSegments, LogKey},
    segment::{
        Segment, cache::FileCache, maps::WindowCache, open_batches::OpenBatchCache,
        writer::SegmentWriter,
    },
    space::SpaceWatch,
};
use config::LogConfig;
use waiters::{AckQueue, Acknowledge, Watch, WatchList};

/// No record has this offset or a larger one: offsets are signed on the wire and on disk.
pub const OFFSET_MAX: u64 = i64::MAX as u64;

/// What all logs of a data directory share.
pub struct LogShared {
    /// The machine.
    pub env: Env,
    /// Open descriptors and indexes.
    pub files: FileCache,
    /// Read windows.
    pub windows: WindowCache,
    /// Batches that readers have taken apart.
    pub open_batches: OpenBatchCache,
    /// Threads for everything that may wait for a disk, but flushing.
    pub work: Arc<WorkPool>,
    /// Flushing.
    pub scheduler: Arc<FlushScheduler>,
    /// Syncs of segments that somebody waits for.
    pub syncs: SyncFigures,
    /// What is written and not synced yet.
    pub dirty: Arc<DirtyBudget>,
    /// What the disk has left, and who may have it.
    pub space: Arc<SpaceWatch>,
    /// Deleted segments whose files are still there.
    pub deleted: deleted::DeletedSegments,
    /// Indexes and snapshots that could not be stored; they are rebuilt at the next start.
    pub hint_failures: AtomicU64,
    /// Set as soon as the store is being closed.
    pub is_closing: AtomicBool,
    /// A closed segment has no index on disk yet that seals it.
    pub is_sealing_due: AtomicBool,
    /// What people are yet to be told of.
    pub warnings: warnings::Warnings,
    /// Damage that a reader met and that could not be stored; the next start has to find it again.
    pub damage_failures: AtomicU64,
}

impl LogShared {
    /// Whether the store is being closed: long work for it is given up.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }
}

/// A point in a log: behind the batches before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Offset of the next record.
    pub offset: u64,
    /// Base offset of the segment that the next batch goes to.
    pub segment_base: u64,
    /// Where it goes there, in bytes.
    pub position: u64,
}

/// The four offsets and the leader epoch of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOffsets {
    /// First offset that can be read.
    pub log_start: u64,
    /// Offset behind the last visible record.
    pub high_watermark: u64,
    /// Offset behind the last record.
    pub log_end: u64,
    /// Offset behind the last record that is known to be durable.
    pub flushed: u64,
    /// The epoch under which records are appended now.
    pub leader_epoch: u32,
}

/// What a log has on disk, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogFigures {
    /// Bytes of its segments.
    pub bytes: u64,
    /// How many there are.
    pub segments: u64,
    /// Ranges that readers are led past.
    pub damaged_ranges: u64,
    /// It takes no more records until it is opened again.
    pub is_failed: bool,
}

/// A producer as it is known to one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its newest epoch.
    pub epoch: i16,
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// When it last wrote, in milliseconds since the Unix epoch.
    pub last_append_ms: i64,
}

/// One partition's log.
///
/// Failure contract: an append that fails leaves the log as it was (only a power cut before the
/// next flush can bring it back, and then whole). A failed fdatasync, or a tail
/// that could not be erased, poisons the log: every later append and flush fails with the same
/// error until the log is opened and verified again; reads of what is visible go on.
pub struct Log {
    /// Topic and partition, for people: `orders-3`.
    pub label: String,
    key: LogKey,
    directory: Arc<Path>,
    shared: Arc<LogShared>,
    config: RwLock<Arc<LogConfig>>,
    leader_epoch: u32,
    tail: Mutex<Tail>,
    /// In rising order of base offset; the last one is being written.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// What the checkpoint said last of those that are closed.
    vouched: Mutex<Option<Vouched>>,
    log_start: AtomicU64,
    log_end: AtomicU64,
    high_watermark: AtomicU64,
    visible: RwLock<Position>,
    flushed: RwLock<Position>,
    /// How far it is durable in its own files: behind `flushed` where the flush journal has the
    /// rest. What the checkpoint tells.
    synced: RwLock<Position>,
    /// Held by whoever removes or replaces files of segments that are not written any more, or
    /// stores what is known of them. Taken before `flush_lock`: acks never wait for it.
    upkeep: Mutex<()>,
    /// As `compaction.json` says, or may say. Changed under `upkeep` only.
    compaction: Mutex<compact::Compaction>,
    flush_lock: Mutex<()>,
    flush_state: FlushState,
    /// Behind the last record that a flush has taken in, which may be under way: whoever waits for
    /// no more is told by that one. Written under the tail's lock.
    flush_begun: AtomicU64,
    /// A timer of `flush.ms` runs: one at a time, whatever is flushed meanwhile.
    is_flush_timer_set: AtomicBool,
    poison: RwLock<Option<Error>>,
    lifecycle: AtomicU8,
    acks: AckQueue,
    watchers: WatchList,
    hints: Mutex<read::Hints>,
}

/// What only the writer and the flusher look at.
struct Tail {
    end: Position,
    /// `None` until the first append: an empty partition has no file.
    active: Option<Active>,
    producers: ProducerStates,
    /// Files written since their last fdatasync, oldest first.
    unsynced: Vec<Unsynced>,
    /// A file was created since the directory's last fsync.
    is_directory_dirty: bool,
    records_unflushed: u64,
    dirty: DirtyBytes,
    /// Time of the last append; append times never go back.
    last_append_ms: i64,
    /// Offset at which the index and the snapshot lie on the disk that the log was opened with.
    stored_offset: Option<u64>,
    /// Log end and bytes since the last index and producer snapshots.
    bytes_since_snapshot: u64,
    rate: append::RateMeter,
}

impl Tail {
    /// Nothing of it will be synced any more: the budget is for others.
    fn give_up(&mut self) {
        drop(self.dirty.take());
        self.unsynced.clear();
    }

    /// Forgets producers that have been silent for longer than any needs to be known, by the times
    /// of appends: a clock that leaps makes nobody silent as long as nothing is appended.
    fn forget_silent_producers(&mut self, config: &LogConfig) {
        self.producers.expire(self.last_append_ms.saturating_sub(config.producer_expiry_ms));
    }
}

/// What a checkpoint may say of the segments before one, as long as they stay those.
struct Vouched {
    segment_base: u64,
    closed: ClosedSegments,
}

struct Active {
    segment: Arc<Segment>,
    writer: Box<dyn SegmentWriter>,
    way: append::Way,
    created_ms: i64,
    /// Drawn for this segment: the part of `segment.jitter.ms` that it gets.
    jitter: u64,
}

struct Unsynced {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    _counted: DirtyFile,
    /// Set when the segment was rolled: what the flusher needs to seal it.
    closing: Option<Closing>,
}

struct Closing {
    writer: Box<dyn SegmentWriter>,
    end: Position,
    producers: ProducerStates,
}

impl Log {
    /// The four offsets, each read at its own moment.
    pub fn offsets(&self) -> LogOffsets {
        // Read in falling order of growth, so that the relations hold between them.
        let log_start = self.log_start.load(Ordering::Acquire);
        let flushed = self.flushed.read().offset;
        let high_watermark = self.high_watermark.load(Ordering::Acquire);
        let log_end = self.log_end.load(Ordering::Acquire);
        LogOffsets { log_start, high_watermark, log_end, flushed, leader_epoch: self.leader_epoch }
    }

    /// Bytes of all batches on disk, those included that lie below the log start in a segment that
    /// is still there.
    pub fn bytes(&self) -> u64 {
        self.segments.read().iter().map(|segment| segment.end_position()).sum()
    }

    /// What it has on disk, and what is wrong with it.
    pub fn figures(&self) -> LogFigures {
        let segments = self.segments.read();
        let damaged = segments.iter().filter(|segment| segment.is_damaged());
        LogFigures {
            bytes: segments.iter().map(|segment| segment.end_position()).sum(),
            segments: segments.len() as u64,
            damaged_ranges: damaged.map(|segment| segment.damaged_ranges().len() as u64).sum(),
            is_failed: self.poison().is_some(),
        }
    }

    /// What is known of the producers that numbered their records, in the order of their ids,
    /// but for those that have been silent for longer than any needs to be known.
    pub fn producers(&self) -> Vec<ActiveProducer> {
        let now_ms = self.shared.env.clock.wall_ms();
        let silent_before_ms = now_ms.saturating_sub(self.config().producer_expiry_ms);
        let tail = self.tail.lock();
        let mut producers: Vec<_> = tail
            .producers
            .iter()
            .filter(|(_, entry)| entry.last_append_ms >= silent_before_ms)
            .map(|(producer_id, entry)| ActiveProducer {
                producer_id,
                epoch: entry.epoch,
                last_sequence: entry.batches.back().map_or(-1, |batch| batch.last_sequence),
                last_append_ms: entry.last_append_ms,
            })
            .collect();
        drop(tail);
        producers.sort_unstable_by_key(|producer| producer.producer_id);
        producers
    }

    /// Offset behind the last visible record.
    pub fn high_watermark(&self) -> u64 {
        self.high_watermark.load(Ordering::SeqCst)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    /// Changes the configuration; it counts from the next append on.
    pub fn configure(self: &Arc<Self>, config: Arc<LogConfig>) {
        let mut must_flush = config.is_flushed_before_ack();
        {
            // No append is under way with what was in force until now.
            let _tail = self.tail.lock();
            let mut known = self.config.write();
            if known.flush_ms != config.flush_ms {
                // The timer that runs may be one of days: what waits for it is flushed now, and the
                // next append sets another.
                self.is_flush_timer_set.store(false, Ordering::Release);
                must_flush = true;
            }
            *known = config;
        }
        if must_flush {
            self.mark_dirty();
        }
    }

    /// Why the log refuses appends, if it does.
    pub fn poison(&self) -> Option<Error> {
        self.poison.read().clone()
    }

    /// Calls `ack` once every record before `offset` is flushed, or never will be.
    pub fn when_flushed(self: &Arc<Self>, offset: u64, ack: Arc<dyn Acknowledge>) {
        self.acks.wait(offset, ack, || {
            if let Some(error) = self.poison() {
                return Err(error.code());
            }
            if let Some(code) = self.ended() {
                return Err(code);
            }
            Ok(self.flushed.read().offset)
        });
        // Usually the append has had a flush begun that covers this: to ask again would have it
        // followed by one with nothing to do, whose thread takes a processor just when the acks of
        // the first are on their way.
        if self.flush_begun.load(Ordering::Acquire) < offset {
            self.mark_dirty();
        }
    }

    /// Calls `watch` once the high watermark has passed `offset`; `false` when it has already
    /// (and then it is not called).
    pub fn watch(&self, offset: u64, watch: Arc<dyn Watch>) -> bool {
        self.watchers.add(offset, watch, || {
            if self.ended().is_some() { u64::MAX } else { self.high_watermark() }
        })
    }

    /// Bytes that were written and that no flush has begun to sync.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.tail.lock().dirty.bytes()
    }

    /// Has what was written flushed as soon as a thread is free.
    pub(crate) fn mark_dirty(self: &Arc<Self>) {
        let log: Arc<Self> = Arc::clone(self);
        self.shared.scheduler.dirty(log);
    }

    /// As [`poison_with`](Self::poison_with), for who does not hold the tail: gives up what waits.
    fn fail_with(&self, error: Error) {
        self.poison_with(error);
        self.tail.lock().give_up();
    }

    fn poison_with(&self, error: Error) {
        // Whatever it was, a full disk included, does not go away by itself.
        let code = Code::KafkaStorageError;
        let poison = Error::new(code, error.detail());
        {
            let mut known = self.poison.write();
            if known.is_none() {
                // Whoever waits is told; often nobody does.
                let detail = format!("refuses records until the next start: {}", poison.detail());
                self.shared.warnings.add(&self.label, detail);
            }
            known.get_or_insert(poison);
        }
        self.acks.fail(code);
    }

    fn check_usable(&self) -> Result<()> {
        if let Some(code) = self.ended() {
            return Err(Error::new(code, self.label.clone()));
        }
        match &*self.poison.read() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Raises the high watermark to `to` if that is further, and wakes who waits for it.
    fn publish_visible(&self, to: Position) {
        {
            let mut visible = self.visible.write();
            if to.offset <= visible.offset {
                return;
            }
            *visible = to;
            self.high_watermark.store(to.offset, Ordering::SeqCst);
        }
        self.watchers.advance(to.offset);
    }
}
