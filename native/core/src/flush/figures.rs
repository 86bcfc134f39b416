//! How often the disk was synced for those who wait, and how long that took.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    env::Clock,
    generated::layout::{LATENCY_BUCKET_FIRST_US, LATENCY_BUCKETS},
};

/// Counts syncs by how long they took. Each number is read at its own moment.
#[derive(Debug, Default)]
pub struct SyncFigures {
    nanoseconds: AtomicU64,
    /// Those within each bound and not within the one before; the last: within none.
    counts: [AtomicU64; LATENCY_BUCKETS + 1],
}

/// What was counted since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncCounts {
    /// How long all of them took together.
    pub nanoseconds: u64,
    /// Syncs within each bound and not within the one before; the last: within none.
    pub counts: [u64; LATENCY_BUCKETS + 1],
}

impl SyncFigures {
    /// Runs a sync, and notes how long it took, successful or not.
    pub fn time<T>(&self, clock: &dyn Clock, sync: impl FnOnce() -> T) -> T {
        let begun_ns = clock.monotonic_ns();
        let result = sync();
        let took_ns = clock.monotonic_ns().saturating_sub(begun_ns);
        self.nanoseconds.fetch_add(took_ns, Ordering::Relaxed);
        if let Some(count) = self.counts.get(bucket(took_ns)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Adds what was counted to `counts`.
    pub fn add_to(&self, counts: &mut SyncCounts) {
        counts.nanoseconds += self.nanoseconds.load(Ordering::Relaxed);
        for (sum, count) in counts.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// The first bound is `LATENCY_BUCKET_FIRST_US`, each one twice the one before.
fn bucket(took_ns: u64) -> usize {
    let firsts = took_ns.div_ceil(LATENCY_BUCKET_FIRST_US as u64 * 1_000);
    let doublings = firsts.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1);
    (doublings as usize).min(LATENCY_BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::{LATENCY_BUCKETS, bucket};

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let microseconds = [0, 1, 64, 65, 128, 129, 256, 257];
        let buckets = microseconds.map(|us| bucket(us * 1_000));
        assert_eq!(buckets, [0, 0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(bucket(64_001), 1);
        assert_eq!(bucket((64_000 << (LATENCY_BUCKETS - 1)) + 1), LATENCY_BUCKETS);
        assert_eq!(bucket(u64::MAX), LATENCY_BUCKETS);
    }
}
