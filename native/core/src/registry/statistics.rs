//! What a store and one event loop hold and have met, for who watches a broker.

use std::sync::atomic::Ordering;

use super::{Store, channel::Channel};
use crate::{
    error::Result, flush::figures::SyncCounts, journal::JournalStatistics, log::LogFigures,
    space::watermarks::Level,
};

/// Figures of a store and of one event loop, each read at its own moment. Those called failures and
/// expansions count from when the store was opened; the others are what is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Open files of segments.
    pub open_descriptors: u64,
    /// Read windows.
    pub mapped_windows: u64,
    /// Address space of the read windows in bytes.
    pub mapped_bytes: u64,
    /// Memory of batches that readers have taken apart, in bytes.
    pub open_batches_bytes: u64,
    /// Batches that were expanded for readers.
    pub expansions: u64,
    /// Bytes written and not synced yet.
    pub dirty_bytes: u64,
    /// Produce frames of the event loop that another thread appends.
    pub elsewhere_frames: u64,
    /// Bytes that those hold.
    pub elsewhere_bytes: u64,
    /// Checkpoints that could not be written: the next start after a crash reads more.
    pub checkpoint_failures: u64,
    /// Indexes and snapshots that could not be stored: they are rebuilt at the next start.
    pub hint_failures: u64,
    /// Damage that a reader met and that could not be stored: the next start has to find it again.
    pub damage_failures: u64,
    /// How short the disk is of space.
    pub space_level: Level,
    /// Size of the file system.
    pub space_total_bytes: u64,
    /// What could still be written when it was looked at last, a second ago at most.
    pub space_available_bytes: u64,
    /// Blocks that are kept for who makes room.
    pub reserve_bytes: u64,
    /// Appends that were refused for want of space.
    pub space_refusals: u64,
    /// What the flush journal has done.
    pub journal: JournalStatistics,
}

/// What some partitions of a topic have on disk, and what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicFigures {
    /// Partitions of the topic.
    pub partitions: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// How many there are.
    pub segments: u64,
    /// Ranges that readers are led past.
    pub damaged_ranges: u64,
    /// Partitions that take no more records until the store is opened again.
    pub failed_partitions: u64,
}

impl Store {
    /// Syncs that somebody waited for: of segments, and of the flush journal.
    pub fn syncs(&self) -> SyncCounts {
        let shared = self.shared();
        let mut counts = SyncCounts::default();
        shared.syncs.add_to(&mut counts);
        if let Some(journal) = shared.scheduler.journal() {
            journal.syncs().add_to(&mut counts);
        }
        counts
    }

    /// The figures of `count` partitions of a topic from a number on. Does not wait for the disk.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`](crate::error::Code).
    pub fn topic_figures(&self, topic: u32, from: u32, count: u32) -> Result<TopicFigures> {
        let topic = self.topic(topic)?;
        let logs = topic.logs.read();
        let mut sum = TopicFigures { partitions: logs.len() as u64, ..TopicFigures::default() };
        for log in logs.iter().skip(from as usize).take(count as usize) {
            let LogFigures { bytes, segments, damaged_ranges, is_failed } = log.figures();
            sum.bytes += bytes;
            sum.segments += segments;
            sum.damaged_ranges += damaged_ranges;
            sum.failed_partitions += u64::from(is_failed);
        }
        Ok(sum)
    }

    /// The figures of now; `channel` is that of the event loop. Does not wait for the disk.
    pub fn statistics(&self, channel: &Channel) -> StoreStatistics {
        let shared = self.shared();
        let (mapped_windows, mapped_bytes) = shared.windows.size();
        let elsewhere = channel.elsewhere().statistics();
        let space = shared.space.status();
        let journal = shared.scheduler.journal();
        StoreStatistics {
            open_descriptors: shared.files.open_count() as u64,
            mapped_windows: mapped_windows as u64,
            mapped_bytes,
            open_batches_bytes: shared.open_batches.bytes(),
            expansions: shared.open_batches.expansions(),
            dirty_bytes: shared.dirty.bytes(),
            elsewhere_frames: elsewhere.frames,
            elsewhere_bytes: elsewhere.bytes,
            checkpoint_failures: self.checkpoint_failures.load(Ordering::Relaxed),
            hint_failures: shared.hint_failures.load(Ordering::Relaxed),
            damage_failures: shared.damage_failures.load(Ordering::Relaxed),
            space_level: space.level,
            space_total_bytes: space.space.total_bytes,
            space_available_bytes: space.space.available_bytes,
            reserve_bytes: space.reserve_bytes,
            space_refusals: space.refusals,
            journal: journal.map(|journal| journal.statistics()).unwrap_or_default(),
        }
    }
}
