//! How much may be written ahead of the disk before writers have to expect to be held up.
//!
//! The kernel makes a writer wait when dirty pages pile up. That must not be an event loop: when
//! the budget is exhausted, appends are for a thread that may wait.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Twice what a few fast logs gather between two flushes, and far below where kernels start to
/// throttle on machines of a few GiB.
const DIRTY_BYTES_MAX: u64 = 256 << 20;

/// Bytes written and not synced yet, over all logs of a data directory.
#[derive(Debug, Default)]
pub struct DirtyBudget {
    bytes: AtomicU64,
}

impl DirtyBudget {
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

#[cfg(test)]
mod tests {
    use super::*;

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
