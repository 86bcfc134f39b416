//! What tests do to the machine of a store in memory.
//!
//! The store meets it as it would meet the same on a real machine; it is only not left to chance
//! when it notices.

use std::sync::Arc;

use super::Store;
use crate::{
    env::Controls,
    error::{Code, Error, Result},
};

impl Store {
    fn controls(&self) -> Result<&Arc<Controls>> {
        self.shared.env.controls.as_ref().ok_or_else(|| {
            Error::new(Code::InvalidArgument, "only the machine of a store in memory obeys tests")
        })
    }

    /// Fills the disk, or makes room on it, and looks at its space. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for a store that is not in memory.
    pub fn set_disk_full(&self, is_full: bool) -> Result<()> {
        self.controls()?.set_disk_full(is_full);
        self.watch_space();
        Ok(())
    }

    /// Has flushes take at least so long.
    ///
    /// # Errors
    /// As [`set_disk_full`](Self::set_disk_full).
    pub fn set_flush_delay_ms(&self, delay_ms: u64) -> Result<()> {
        self.controls()?.set_flush_delay_ms(delay_ms);
        Ok(())
    }

    /// Lets time pass. What comes due by it is done soon; see [`settle`](Self::settle).
    ///
    /// # Errors
    /// As [`set_disk_full`](Self::set_disk_full).
    pub fn advance_clock_ms(&self, milliseconds: u64) -> Result<()> {
        self.controls()?.advance_ms(milliseconds);
        self.shared.scheduler.look_at_timers();
        Ok(())
    }

    /// Waits until what the store does by itself has looked at the clock once more: what retention
    /// does not keep is deleted, and one log is compacted where one is dirty.
    pub fn settle(&self) {
        let stops = self.upkeep.lock().hurried_stops();
        for stop in stops {
            stop.wait_for_turn();
        }
    }
}
