//! What a run draws.

use std::ops::Range;

use crate::env::{Random, simulated::SimulatedRandom};

/// Random numbers of one run.
pub(super) struct Dice(SimulatedRandom);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SimulatedRandom::new(seed))
    }

    /// A number in a range that is not empty.
    pub(super) fn within(&self, range: Range<u64>) -> u64 {
        range.start + self.0.next_u64() % (range.end - range.start)
    }

    /// True once in `count` times.
    pub(super) fn one_in(&self, count: u64) -> bool {
        self.within(0..count) == 0
    }

    /// One of `choices`.
    pub(super) fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[usize::try_from(self.within(0..choices.len() as u64)).unwrap()]
    }

    pub(super) fn next(&self) -> u64 {
        self.0.next_u64()
    }
}
