//! Batches that were taken apart, shared by all readers and bounded: the least recently used go
//! first, and what nobody reads any more goes after a moment.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lru::LruCache;
use parking_lot::Mutex;

use super::SegmentId;
use crate::batch::OpenBatch;

/// Batches kept at most, however small.
const BATCHES_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not zero");
/// Sweeps that a batch is kept for without being read.
const SWEEPS_UNUSED_MAX: u64 = 2;

/// Where a batch begins: never the same for two batches of a process.
pub type BatchPlace = (SegmentId, u64);

/// The batches of one data directory that readers have taken apart.
pub struct OpenBatchCache {
    inner: Mutex<Inner>,
    bytes_max: u64,
    expansions: AtomicU64,
}

struct Inner {
    batches: LruCache<BatchPlace, Kept>,
    bytes: u64,
    sweep: u64,
}

struct Kept {
    batch: Arc<OpenBatch>,
    /// The sweep before which it was read last.
    sweep: u64,
}

impl OpenBatchCache {
    /// A cache that takes at most `bytes_max` of memory (but always one batch).
    pub fn new(bytes_max: u64) -> Self {
        let inner = Inner { batches: LruCache::new(BATCHES_MAX), bytes: 0, sweep: 0 };
        Self { inner: Mutex::new(inner), bytes_max, expansions: AtomicU64::new(0) }
    }

    /// A batch, if it is there.
    pub fn get(&self, place: BatchPlace) -> Option<Arc<OpenBatch>> {
        let inner = &mut *self.inner.lock();
        let kept = inner.batches.get_mut(&place)?;
        kept.sweep = inner.sweep;
        Some(Arc::clone(&kept.batch))
    }

    /// Adds a batch that was just taken apart. What falls out is dropped outside the lock.
    pub fn insert(&self, place: BatchPlace, batch: &Arc<OpenBatch>) {
        if batch.expanded_bytes() > 0 {
            self.expansions.fetch_add(1, Ordering::Relaxed);
        }
        let mut gone = Vec::new();
        let inner = &mut *self.inner.lock();
        inner.bytes += batch.memory_bytes();
        let kept = Kept { batch: Arc::clone(batch), sweep: inner.sweep };
        gone.extend(inner.batches.push(place, kept).map(|(_, old)| old.batch));
        inner.bytes -= gone.iter().map(|old| old.memory_bytes()).sum::<u64>();
        while inner.bytes > self.bytes_max && inner.batches.len() > 1 {
            gone.extend(inner.pop_oldest());
        }
    }

    /// Gives up what was not read for some sweeps. Called once a second.
    pub fn sweep(&self) {
        let mut gone = Vec::new();
        let inner = &mut *self.inner.lock();
        inner.sweep += 1;
        let kept_from = inner.sweep.saturating_sub(SWEEPS_UNUSED_MAX);
        while inner.batches.peek_lru().is_some_and(|(_, oldest)| oldest.sweep < kept_from) {
            gone.extend(inner.pop_oldest());
        }
    }

    /// How many batches were expanded since the data directory was opened.
    pub fn expansions(&self) -> u64 {
        self.expansions.load(Ordering::Relaxed)
    }

    /// Memory that the batches take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().bytes
    }
}

impl Inner {
    fn pop_oldest(&mut self) -> Option<Arc<OpenBatch>> {
        let (_, kept) = self.batches.pop_lru()?;
        self.bytes -= kept.batch.memory_bytes();
        Some(kept.batch)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        batch::{BatchBuilder, BatchHeader, Finish},
        compression::Codec,
        segment::Segment,
    };

    fn open_batch(bytes: usize) -> Arc<OpenBatch> {
        let mut batch = Vec::new();
        let mut builder = BatchBuilder::new(&mut batch, Codec::Lz4, None);
        builder.push(0, None, Some(&vec![0; bytes]), std::iter::empty()).unwrap();
        builder.finish(Finish::default()).unwrap();
        let header = BatchHeader::read(&batch).unwrap();
        Arc::new(OpenBatch::new(&header, &batch, 1 << 20).unwrap())
    }

    #[test]
    fn the_least_recently_read_go_first_and_one_is_always_kept() {
        let segment = Segment::new(Path::new("/"), 0).id;
        let cache = OpenBatchCache::new(250_000);
        for position in 0..3 {
            cache.insert((segment, position), &open_batch(100_000));
            assert!(cache.get((segment, 0)).is_some());
        }
        assert!(cache.get((segment, 1)).is_none() && cache.get((segment, 2)).is_some());
        assert!(cache.bytes() <= 250_000);
        cache.insert((segment, 9), &open_batch(1_000_000));
        assert!(cache.get((segment, 9)).is_some() && cache.get((segment, 0)).is_none());
        assert_eq!(cache.expansions(), 4);
    }

    #[test]
    fn a_batch_that_nobody_reads_any_more_is_given_up() {
        let segment = Segment::new(Path::new("/"), 0).id;
        let cache = OpenBatchCache::new(1 << 20);
        cache.insert((segment, 0), &open_batch(1_000));
        cache.insert((segment, 1), &open_batch(1_000));
        for _ in 0..10 {
            cache.sweep();
            assert!(cache.get((segment, 0)).is_some());
        }
        assert!(cache.get((segment, 1)).is_none());
        for _ in 0..4 {
            cache.sweep();
        }
        assert_eq!(cache.bytes(), 0);
        // The same batch again replaces itself.
        for _ in 0..3 {
            cache.insert((segment, 0), &open_batch(1_000));
        }
        assert!(cache.bytes() < 3_000);
    }
}
