//! Files of segments that were deleted and whose `file.delete.delay.ms` is not over.
//!
//! They keep their names: a start removes what lies below the log start, so nothing else has to
//! remember them.

use std::{io, sync::Arc};

use parking_lot::Mutex;

use super::{LogShared, start::remove_files};
use crate::segment::Segment;

/// How often it is tried again to remove what could not be removed, before that is left to the next
/// start.
const RETRIES_MAX: u32 = 10;
/// Time from the first failure to the second try, in nanoseconds; doubled each time.
const RETRY_FIRST_NS: u64 = 1_000_000_000;

/// The deleted segments of a data directory whose files are still there.
#[derive(Default)]
pub struct DeletedSegments(Mutex<Vec<Deleted>>);

struct Deleted {
    segment: Arc<Segment>,
    due_ns: u64,
    /// How often its files could not be removed.
    failures: u32,
}

impl DeletedSegments {
    /// Removes the files of segments after a delay, at once where it is 0. Nothing may need them
    /// but readers that have them open. Waits for the disk.
    pub(super) fn remove_later(
        &self,
        shared: &LogShared,
        segments: Vec<Arc<Segment>>,
        delay_ms: u64,
    ) {
        let now_ns = shared.env.clock.monotonic_ns();
        let due_ns = now_ns.saturating_add(delay_ms.saturating_mul(1_000_000));
        let deleted = segments.into_iter().map(|segment| Deleted { segment, due_ns, failures: 0 });
        if delay_ms == 0 {
            self.remove(shared, deleted.collect());
        } else {
            self.0.lock().extend(deleted);
        }
    }

    /// Removes the files whose delay is over. Waits for the disk.
    pub fn remove_due(&self, shared: &LogShared) {
        let now_ns = shared.env.clock.monotonic_ns();
        self.remove(shared, self.take(|deleted| deleted.due_ns <= now_ns));
    }

    /// Removes all of them, whatever their delay: the disk is short of space. But for those that
    /// could not be removed before: they wait for their next try. Waits for the disk.
    pub fn remove_all(&self, shared: &LogShared) {
        self.remove(shared, self.take(|deleted| deleted.failures == 0));
    }

    fn take(&self, is_wanted: impl Fn(&Deleted) -> bool) -> Vec<Deleted> {
        self.0.lock().extract_if(.., |deleted| is_wanted(deleted)).collect()
    }

    /// Removes files until the store is closed: the next start removes what is left.
    fn remove(&self, shared: &LogShared, segments: Vec<Deleted>) {
        let mut failures = Failures::default();
        let mut left = segments.into_iter();
        while !shared.is_closing()
            && let Some(deleted) = left.next()
        {
            if let Err(error) = remove(shared, &deleted.segment) {
                self.try_later(shared, deleted, &error, &mut failures);
            }
        }
        self.0.lock().extend(left);
        failures.tell(shared);
    }

    fn try_later(
        &self,
        shared: &LogShared,
        deleted: Deleted,
        error: &io::Error,
        failures: &mut Failures,
    ) {
        let Deleted { segment, failures: before, .. } = deleted;
        let told = || format!("{}: {error}", segment.log_path().display());
        if before == 0 {
            failures.first.note(told);
        }
        if before == RETRIES_MAX {
            return failures.last.note(told);
        }
        let wait_ns = RETRY_FIRST_NS << before;
        let due_ns = shared.env.clock.monotonic_ns().saturating_add(wait_ns);
        self.0.lock().push(Deleted { segment, due_ns, failures: before + 1 });
    }

    /// How many segments wait, and the bytes of their logs.
    pub fn waiting(&self) -> (usize, u64) {
        let waiting = self.0.lock();
        (waiting.len(), waiting.iter().map(|deleted| deleted.segment.end_position()).sum())
    }
}

/// Segments whose files could not be removed, for the first time and for the last.
#[derive(Default)]
struct Failures {
    first: Counted,
    last: Counted,
}

/// How many there are, and what is wrong with one of them.
#[derive(Default)]
struct Counted {
    count: u64,
    example: Option<String>,
}

impl Counted {
    fn note(&mut self, tell: impl FnOnce() -> String) {
        self.count += 1;
        self.example.get_or_insert_with(tell);
    }
}

impl Failures {
    fn tell(self, shared: &LogShared) {
        let kinds =
            [(self.first, "that is tried again"), (self.last, "it is left to the next start")];
        for (Counted { count, example }, what_follows) in kinds {
            if let Some(example) = example {
                let detail = format!(
                    "files of {count} deleted segments could not be removed, {what_follows}; such \
                     as {example}"
                );
                shared.warnings.add("retention", detail);
            }
        }
    }
}

/// Whoever still reads the segment keeps its file; where nobody does no descriptor is taken for it.
fn remove(shared: &LogShared, segment: &Arc<Segment>) -> io::Result<()> {
    if Arc::strong_count(segment) > 1 {
        segment.pin(&shared.files);
    }
    shared.files.forget(segment.id);
    // A reader that had the segment may have mapped it once more since it was deleted.
    shared.windows.forget(segment.id);
    remove_files(&*shared.env.files, segment)
}
