//! What a store and one event loop hold and have met, for who watches a broker.

use std::sync::atomic::Ordering;

use super::{Store, channel::Channel};
use crate::{journal::JournalStatistics, space::watermarks::Level};

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

impl Store {
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
