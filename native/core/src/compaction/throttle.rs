//! How fast a pass may go, and when it has to give up.

use std::{cell::Cell, time::Duration};

use crate::{env::Clock, registry::upkeep::Stop};

const NANOSECONDS: u128 = 1_000_000_000;

/// What a pass asks between two steps.
pub trait Pace {
    /// Tells of bytes that were read or written, and waits if that was too fast; `true` when it is
    /// time to give up.
    fn spent(&self, bytes: u64) -> bool;
}

/// As fast as it goes, to the end.
pub struct Unpaced;

impl Pace for Unpaced {
    fn spent(&self, _bytes: u64) -> bool {
        false
    }
}

/// So many bytes a second at most, until somebody says stop.
pub struct Throttle<'a> {
    stop: &'a Stop,
    clock: &'a dyn Clock,
    /// `u64::MAX` is no bound.
    bytes_per_second: u64,
    /// When all that was spent until now may have been.
    due_ns: Cell<u64>,
}

impl<'a> Throttle<'a> {
    /// A bound from now on.
    pub fn new(stop: &'a Stop, clock: &'a dyn Clock, bytes_per_second: u64) -> Self {
        let due_ns = Cell::new(clock.monotonic_ns());
        Self { stop, clock, bytes_per_second: bytes_per_second.max(1), due_ns }
    }
}

impl Pace for Throttle<'_> {
    fn spent(&self, bytes: u64) -> bool {
        if self.bytes_per_second == u64::MAX {
            return self.stop.is_set();
        }
        let cost_ns = u128::from(bytes) * NANOSECONDS / u128::from(self.bytes_per_second);
        let now_ns = self.clock.monotonic_ns();
        // What was not used before is not made up for.
        let due_ns = self
            .due_ns
            .get()
            .max(now_ns)
            .saturating_add(u64::try_from(cost_ns).unwrap_or(u64::MAX));
        self.due_ns.set(due_ns);
        self.stop.wait(Duration::from_nanos(due_ns - now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemClock;

    #[test]
    fn waits_for_as_long_as_the_bytes_may_take_and_ends_at_once_when_told() {
        let stop = Stop::default();
        let throttle = Throttle::new(&stop, &SystemClock, 1_000_000);
        let started_ns = SystemClock.monotonic_ns();
        assert!(!throttle.spent(20_000) && !throttle.spent(20_000));
        assert!(SystemClock.monotonic_ns() - started_ns >= 40_000_000);
        stop.set();
        assert!(throttle.spent(u64::MAX));
        assert!(Throttle::new(&stop, &SystemClock, u64::MAX).spent(1));
    }
}
