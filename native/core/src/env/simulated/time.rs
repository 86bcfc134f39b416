//! Time that tests set, and randomness that they can repeat.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::env::{Clock, Random};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct SimulatedClock {
    wall_ms: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl SimulatedClock {
    /// A clock that shows `wall_ms`, milliseconds since the Unix epoch.
    pub fn new(wall_ms: i64) -> Self {
        Self { wall_ms: AtomicI64::new(wall_ms), monotonic_ns: AtomicU64::new(0) }
    }

    /// Lets `milliseconds` pass, on the wall and on the monotonic clock.
    pub fn advance_ms(&self, milliseconds: u32) {
        self.wall_ms.fetch_add(i64::from(milliseconds), Ordering::AcqRel);
        self.monotonic_ns.fetch_add(u64::from(milliseconds) * 1_000_000, Ordering::AcqRel);
    }

    /// Sets the wall clock alone, forwards or backwards, as an administrator would.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::Release);
    }
}

impl Clock for SimulatedClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::Acquire)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::Acquire)
    }
}

/// A sequence of numbers that depends on its seed alone.
#[derive(Debug)]
pub struct SimulatedRandom {
    generator: Mutex<Generator>,
}

impl SimulatedRandom {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { generator: Mutex::new(Generator::new(seed)) }
    }
}

impl Random for SimulatedRandom {
    fn next_u64(&self) -> u64 {
        self.generator.lock().next()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): eight bytes of state, and every seed is a good one.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    state: u64,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0. Its bias is far below what a test could notice.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// One of `choices`, each as likely.
    pub(super) fn one_of<const COUNT: usize>(&mut self, choices: [u64; COUNT]) -> u64 {
        let index = self.below(COUNT as u64) as usize;
        choices.get(index).copied().unwrap_or_default()
    }

    /// True once in `count` times; never when `count` is 0.
    pub(super) fn one_in(&mut self, count: u64) -> bool {
        count != 0 && self.below(count) == 0
    }
}
