//! Files of segments that were deleted and whose `file.delete.delay.ms` is not over.
//!
//! They keep their names: a start removes what lies below the log start, so nothing else has to
//! remember them.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;

use super::{LogShared, start::remove_files};
use crate::segment::Segment;

/// The deleted segments of a data directory whose files are still there.
#[derive(Default)]
pub struct DeletedSegments(Mutex<Vec<Deleted>>);

struct Deleted {
    segment: Arc<Segment>,
    due_ns: u64,
}

impl DeletedSegments {
    /// Removes a segment's files after a delay, at once where it is 0. Nothing may need them but
    /// readers that have them open. Waits for the disk.
    pub(super) fn remove_later(&self, shared: &LogShared, segment: Arc<Segment>, delay_ms: u64) {
        if delay_ms == 0 {
            return remove(shared, segment);
        }
        let now_ns = shared.env.clock.monotonic_ns();
        let due_ns = now_ns.saturating_add(delay_ms.saturating_mul(1_000_000));
        self.0.lock().push(Deleted { segment, due_ns });
    }

    /// Removes the files whose delay is over. Waits for the disk.
    pub fn remove_due(&self, shared: &LogShared) {
        self.remove_those_due_at(shared, shared.env.clock.monotonic_ns());
    }

    /// Removes all of them, whatever their delay: the disk is short of space. Waits for the disk.
    pub fn remove_all(&self, shared: &LogShared) {
        self.remove_those_due_at(shared, u64::MAX);
    }

    fn remove_those_due_at(&self, shared: &LogShared, now_ns: u64) {
        let due: Vec<_> =
            self.0.lock().extract_if(.., |deleted| deleted.due_ns <= now_ns).collect();
        for deleted in due {
            remove(shared, deleted.segment);
        }
    }

    /// How many segments wait, and the bytes of their logs.
    pub fn waiting(&self) -> (usize, u64) {
        let waiting = self.0.lock();
        (waiting.len(), waiting.iter().map(|deleted| deleted.segment.end_position()).sum())
    }
}

/// A file that cannot be removed now is removed by the next start. Whoever still reads the segment
/// keeps its file; where nobody does no descriptor is taken for it.
fn remove(shared: &LogShared, segment: Arc<Segment>) {
    if Arc::strong_count(&segment) > 1 {
        segment.pin(&shared.files);
    }
    shared.files.forget(segment.id);
    // A reader that had the segment may have mapped it once more since it was deleted.
    shared.windows.forget(segment.id);
    if remove_files(&*shared.env.files, &segment).is_err() {
        shared.hint_failures.fetch_add(1, Ordering::Relaxed);
    }
}
