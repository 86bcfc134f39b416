//! What tests do to a machine in memory: its disk fills up or becomes slow, and its time passes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{Clock, SystemClock, capacity::Capacity};

/// The controls of one machine in memory.
pub struct Controls {
    capacity: Arc<Capacity>,
    flush_delay: Arc<FlushDelay>,
    clock: Arc<AheadClock>,
}

impl Controls {
    pub(super) fn new(capacity: &Arc<Capacity>, flush_delay: &Arc<FlushDelay>) -> Self {
        let (capacity, flush_delay) = (Arc::clone(capacity), Arc::clone(flush_delay));
        Self { capacity, flush_delay, clock: Arc::default() }
    }

    /// The clock that [`advance_ms`](Self::advance_ms) advances.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as _
    }

    /// Fills the disk with what is not the engine's, or takes that away.
    pub fn set_disk_full(&self, is_full: bool) {
        self.capacity.set_filled(is_full);
    }

    /// Has every sync of a file take at least so long, those that are under way, too.
    pub fn set_flush_delay_ms(&self, delay_ms: u64) {
        self.flush_delay.set(Duration::from_millis(delay_ms));
    }

    /// Lets time pass at once, on the wall and on the monotonic clock.
    pub fn advance_ms(&self, milliseconds: u64) {
        self.clock.ahead_ms.fetch_add(milliseconds, Ordering::AcqRel);
    }
}

/// How long syncs take.
#[derive(Default)]
pub(super) struct FlushDelay {
    delay: Mutex<Duration>,
    changed: Condvar,
}

impl FlushDelay {
    fn set(&self, delay: Duration) {
        *self.delay.lock() = delay;
        self.changed.notify_all();
    }

    /// Waits as long as a sync takes. A change counts from when it is made.
    pub(super) fn wait(&self) {
        let mut delay = self.delay.lock();
        while !delay.is_zero() {
            let wait = *delay;
            if self.changed.wait_for(&mut delay, wait).timed_out() {
                return;
            }
        }
    }
}

/// The machine's clocks, and so much ahead of them.
#[derive(Default)]
struct AheadClock {
    ahead_ms: AtomicU64,
}

impl Clock for AheadClock {
    fn wall_ms(&self) -> i64 {
        let ahead_ms = i64::try_from(self.ahead_ms.load(Ordering::Acquire)).unwrap_or(i64::MAX);
        SystemClock.wall_ms().saturating_add(ahead_ms)
    }

    fn monotonic_ns(&self) -> u64 {
        let ahead_ns = self.ahead_ms.load(Ordering::Acquire).saturating_mul(1_000_000);
        SystemClock.monotonic_ns().saturating_add(ahead_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::mpsc};

    use super::*;
    use crate::env::{FileSystem, MemoryFileSystem, OpenMode};

    #[test]
    fn a_clock_that_was_advanced_goes_on_from_there() {
        let controls = MemoryFileSystem::new(None).controls();
        let clock = controls.clock();
        let (wall_ms, monotonic_ns) = (clock.wall_ms(), clock.monotonic_ns());
        controls.advance_ms(86_400_000);
        assert!((86_400_000..86_500_000).contains(&(clock.wall_ms() - wall_ms)));
        assert!(clock.monotonic_ns() - monotonic_ns >= 86_400_000_000_000);
        assert!(clock.monotonic_ns() < clock.monotonic_ns() + 1);
    }

    #[test]
    fn a_sync_waits_until_it_is_told_that_the_disk_is_quick_again() {
        let files = MemoryFileSystem::new(None);
        let controls = files.controls();
        let file = files.open(Path::new("file"), OpenMode::CreateNew).unwrap();
        controls.set_flush_delay_ms(600_000);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            file.sync_data().unwrap();
            tell.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_millis(20)).unwrap_err();
        controls.set_flush_delay_ms(0);
        told.recv().unwrap();
        thread.join().unwrap();
    }
}
