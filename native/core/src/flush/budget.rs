//! How much may be written ahead of the disk before writers have to expect to be held up.
//!
//! The kernel makes a writer wait when dirty pages pile up. That must not be an event loop: when
//! the budget is exhausted, appends are for a thread that may wait.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Twice what a few fast logs gather between two flushes, and far below where kernels start to
/// throttle on machines of a few GiB.
const DIRTY_BYTES_MAX: u64 = 256 << 20;

/// Bytes written and not synced yet, over all logs of a data directory, and the files that they are
/// in: a log holds each of those open.
#[derive(Debug)]
pub struct DirtyBudget {
    bytes: AtomicU64,
    files: AtomicUsize,
    files_max: usize,
}

impl Default for DirtyBudget {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl DirtyBudget {
    /// A budget of `files_max` files that are not synced.
    pub fn new(files_max: usize) -> Self {
        Self { bytes: AtomicU64::new(0), files: AtomicUsize::new(0), files_max }
    }

    /// Counts a file until it is dropped.
    pub fn file(self: &Arc<Self>) -> DirtyFile {
        self.files.fetch_add(1, Ordering::Relaxed);
        DirtyFile(Arc::clone(self))
    }

    /// Files written to and not synced yet.
    pub fn files(&self) -> usize {
        self.files.load(Ordering::Relaxed)
    }

    /// Whether so many files wait for a sync that whoever writes to one more has it synced,
    /// whatever its topic says: descriptors would run out.
    pub fn has_too_many_files(&self) -> bool {
        self.files() > self.files_max
    }

    /// Whether so much is dirty that a write may be held up.
    pub fn is_exhausted(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > DIRTY_BYTES_MAX
    }

    /// Bytes that have to be synced to have half of the budget again; 0 unless it is exhausted.
    pub fn bytes_to_flush(&self) -> u64 {
        let bytes = self.bytes();
        if bytes > DIRTY_BYTES_MAX { bytes - DIRTY_BYTES_MAX / 2 } else { 0 }
    }

    /// Bytes written and not synced yet.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A share of the budget, empty at first.
    pub fn share(self: &Arc<Self>) -> DirtyBytes {
        DirtyBytes { budget: Arc::clone(self), bytes: 0 }
    }
}

/// Dirty bytes of one log. Dropping it gives them back: they are synced, or nobody waits for that
/// any more.
#[derive(Debug)]
pub struct DirtyBytes {
    budget: Arc<DirtyBudget>,
    bytes: u64,
}

impl DirtyBytes {
    /// How many there are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes `bytes` more.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.budget.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Hands over what was gathered; what comes later is counted anew.
    pub fn take(&mut self) -> Self {
        let fresh = self.budget.share();
        std::mem::replace(self, fresh)
    }
}

impl Drop for DirtyBytes {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One file that was written to and is not synced yet.
#[derive(Debug)]
pub struct DirtyFile(Arc<DirtyBudget>);

impl Drop for DirtyFile {
    fn drop(&mut self) {
        self.0.files.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_until_they_are_dropped() {
        let budget = Arc::new(DirtyBudget::new(1));
        let one = budget.file();
        assert!(!budget.has_too_many_files());
        let another = budget.file();
        assert!(budget.has_too_many_files());
        drop((one, another));
        assert_eq!(budget.files(), 0);
    }

    #[test]
    fn what_is_handed_over_counts_until_it_is_dropped() {
        let budget = Arc::new(DirtyBudget::default());
        let mut log = budget.share();
        log.add(DIRTY_BYTES_MAX);
        assert!(!budget.is_exhausted());
        let flushing = log.take();
        log.add(1);
        assert!(budget.is_exhausted());
        drop(flushing);
        assert_eq!(budget.bytes(), 1);
        drop(log);
        assert_eq!(budget.bytes(), 0);
    }
}
