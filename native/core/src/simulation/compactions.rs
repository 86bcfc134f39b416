//! Compactions, of which any call may fail.

use std::cell::Cell;

use super::machine::{Simulation, Violation};
use crate::{compaction::throttle::Pace, registry::Store};

/// Gives up after some steps, and has other things go on in between.
struct Interrupted<'a> {
    steps_left: Cell<u64>,
    store: &'a Store,
}

impl Pace for Interrupted<'_> {
    fn spent(&self, _bytes: u64) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(1));
        if left == 2 {
            self.store.drive();
        }
        if left == 3 {
            self.store.enforce_retention();
        }
        left == 0
    }
}

impl Simulation {
    /// Some of the dirtiest logs are compacted.
    pub(super) fn compact(&mut self) -> Result<(), Violation> {
        for _ in 0..self.dice.within(1..4) {
            if !self.compact_one()? {
                break;
            }
        }
        Ok(())
    }

    /// The dirtiest log is compacted, in memory for some of its keys or all; `false` where none
    /// was.
    fn compact_one(&mut self) -> Result<bool, Violation> {
        let store = self.store();
        for topic in self.topics.iter_mut().filter(|topic| topic.config.is_compacted) {
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                let log_end = store.offsets(topic.number, index as u32).unwrap().log_end;
                partition.compacted_below = partition.compacted_below.max(log_end);
            }
        }
        let steps_left = self.dice.pick(&[1, 4, 20, u64::MAX, u64::MAX]);
        let pace = Interrupted { steps_left: Cell::new(steps_left), store: &store };
        let dedupe_bytes_max = self.dice.pick(&[48, 120, 1 << 20]);
        let compacted = store.compact(dedupe_bytes_max, &pace);
        self.note(format!("compact: {compacted:?}"));
        let entries = store.take_upkeep_report();
        self.settle_retention()?;
        match compacted {
            Ok(Some(compacted)) => {
                let counts = compacted.pass.counts;
                self.figures.compactions += 1;
                self.figures.compacted_records += counts.records_before - counts.records_after;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) if self.is_excused(&error) => Ok(false),
            Err(error) => {
                Err(Violation::Refused(format!("compacting: {error}, reported: {entries:?}")))
            }
        }
    }
}
