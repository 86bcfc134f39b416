//! The machine's clocks and randomness.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{Clock, Random};

/// Where the monotonic clock counts from: its first use in this process.
static ORIGIN: LazyLock<Instant> = LazyLock::new(now);

#[expect(clippy::disallowed_methods, reason = "this is the clock that the rule points to")]
fn now() -> Instant {
    Instant::now()
}

/// The machine's wall clock and monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule points to")]
    fn wall_ms(&self) -> i64 {
        let (sign, distance) = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => (1, since),
            Err(before) => (-1, before.duration()),
        };
        sign * i64::try_from(distance.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ns(&self) -> u64 {
        let origin = *ORIGIN;
        u64::try_from(now().saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The machine's source of unpredictable numbers. Panics in a process that has none, which the
/// kernels that Millrace runs on rule out.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        // The six bits that every such UUID has in common are in different places of the halves.
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        high ^ low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_in_milliseconds_of_this_century() {
        let wall_ms = SystemClock.wall_ms();
        assert!((1_700_000_000_000..4_102_444_800_000).contains(&wall_ms), "{wall_ms}");
    }

    #[test]
    fn the_monotonic_clock_counts_nanoseconds_and_never_goes_back() {
        let before = SystemClock.monotonic_ns();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let after = SystemClock.monotonic_ns();
        assert!(after - before >= 2_000_000, "{before} to {after}");
    }

    #[test]
    fn every_bit_of_a_random_number_varies() {
        let numbers: Vec<u64> = (0..256).map(|_| SystemRandom.next_u64()).collect();
        assert_eq!(numbers.iter().fold(0, |all, number| all | number), u64::MAX);
        assert_eq!(numbers.iter().fold(u64::MAX, |all, number| all & number), 0);
    }
}
