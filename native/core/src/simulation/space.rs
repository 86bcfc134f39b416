//! A disk that something else fills and empties, with the watermarks on.

use std::path::Path;

use super::machine::{Simulation, Violation};
use crate::{
    env::{FileSystem, OpenMode},
    error::{Code, Error},
    log::config::LogConfig,
    space::watermarks::Level,
};

/// The reserve of such a disk is 128 KiB; records are refused below 512 KiB, and taken again from
/// 1 MiB on.
const DISK_BYTES: u64 = 16 << 20;
const OTHER: &str = "/other";

impl Simulation {
    /// Something else takes the disk but for a little, or gives some of it back.
    pub(super) fn fill_disk(&mut self) -> Result<(), Violation> {
        self.may_fail = true;
        self.figures.filled_disks += 1;
        let left = self.dice.pick(&[0, 8_192, 120_000, 500_000, 800_000, 1_500_000, 6_000_000]);
        let filled = self.leave(left);
        if self.dice.one_in(2) {
            self.watch_space()?;
        }
        let status = self.store().shared().space.status();
        self.note(format!("others leave {left} bytes: {filled:?}, {status:?}"));
        Ok(())
    }

    fn leave(&self, left: u64) -> std::io::Result<()> {
        let files = &self.files;
        files.set_capacity_bytes(Some(DISK_BYTES));
        // A file in memory that is only charged for, not written.
        let other = files.open(Path::new(OTHER), OpenMode::OpenOrCreate)?;
        other.truncate(0)?;
        let available = files.space(Path::new("/"))?.available_bytes;
        other.allocate(0, available.saturating_sub(left), false).map(drop)
    }

    /// The second is over. Where space has become short, retention does not wait for its turn.
    pub(super) fn watch_space(&mut self) -> Result<(), Violation> {
        let store = self.store();
        store.watch_space();
        store.seal_left();
        for entry in store.take_upkeep_report() {
            self.note(format!("upkeep: {entry:?}"));
        }
        self.settle_retention()
    }

    /// Whether a log of this configuration has to refuse what is new.
    pub(super) fn must_refuse(&self, config: &LogConfig) -> bool {
        let level = self.store().shared().space.level();
        level == Level::Exhausted || (level == Level::Scarce && !config.is_internal)
    }

    /// Whether there is a reserve, and nothing else that may go wrong: what makes room has to work.
    pub(super) fn has_reserve(&self) -> bool {
        !self.has_faults && self.store().shared().space.status().reserve_bytes > 0
    }

    /// What failed to make room must have had a better reason than that there is none.
    pub(super) fn check_deletion(&self, had_reserve: bool, error: &Error) -> Result<(), Violation> {
        if had_reserve && error.code() == Code::DiskFull {
            return Err(Violation::Refused(format!("making room: {error}")));
        }
        Ok(())
    }
}
