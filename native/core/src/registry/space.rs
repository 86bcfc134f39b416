//! What a store tells about the space of its disk.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Store, upkeep::UpkeepEntry};
use crate::space::watermarks::Level;

/// What was told last, and what somebody did about it.
#[derive(Default)]
pub(super) struct SpaceTold {
    told: Mutex<Told>,
    /// It has become shorter since somebody made room.
    is_shorter: AtomicBool,
    /// A topic's configuration has changed: it may be its retention that was lowered.
    is_reconfigured: AtomicBool,
}

struct Told {
    level: Level,
    has_failed: bool,
    has_no_reserve: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self { level: Level::Ample, has_failed: false, has_no_reserve: false }
    }
}

impl SpaceTold {
    /// Has retention not wait for its turn where space is short.
    pub(super) fn note_reconfigured(&self) {
        self.is_reconfigured.store(true, Ordering::Release);
    }

    fn is_reconfigured(&self) -> bool {
        self.is_reconfigured.load(Ordering::Acquire)
    }

    /// Whether it has become shorter, or a topic was configured, since this was asked last.
    pub(super) fn take(&self) -> (bool, bool) {
        let is_shorter = self.is_shorter.swap(false, Ordering::AcqRel);
        (is_shorter, self.is_reconfigured.swap(false, Ordering::AcqRel))
    }
}

impl Store {
    /// Looks at the space of the disk and [makes room](Self::make_room) where it is short: what the
    /// threads of a store do. Waits for the disk.
    pub fn watch_space(&self) {
        self.look_at_space();
        self.make_room();
    }

    /// Looks at the space of the disk. A change is reported. Returns whether there is something to
    /// do about it. Asks the system for little more than its figures.
    pub(super) fn look_at_space(&self) -> bool {
        let Ok(_changing) = self.change_files() else { return false };
        let space = &self.shared.space;
        let looked = space.look();
        let (level, before) = {
            let mut told = self.space_told.told.lock();
            let before = std::mem::replace(&mut told.level, space.level());
            if let Err(error) = &looked
                && !told.has_failed
            {
                self.report_upkeep(self.about_space(true, &format!("it is not known: {error}")));
            }
            told.has_failed = looked.is_err();
            if space.lacks_allocation() && !told.has_no_reserve {
                told.has_no_reserve = true;
                self.report_upkeep(self.about_space(true, NO_RESERVE));
            }
            (told.level, before)
        };
        if level != before {
            let change = format!("{}: {}", change(before, level), space.describe());
            self.report_upkeep(self.about_space(level != Level::Ample, &change));
        }
        if level > before {
            self.space_told.is_shorter.store(true, Ordering::Release);
        }
        level > before || (level != Level::Ample && self.space_told.is_reconfigured())
    }

    fn about_space(&self, is_warning: bool, detail: &str) -> UpkeepEntry {
        let subject = self.directory.path.display().to_string();
        UpkeepEntry { subject, detail: format!("disk space: {detail}"), is_warning }
    }
}

const NO_RESERVE: &str = "this file system allocates nothing ahead, so there is no reserve: on a \
                          disk that others fill to its last block, deleting a topic may fail";

/// What a change means, and what to do.
fn change(before: Level, now: Level) -> &'static str {
    match now {
        Level::Ample if before == Level::Warn => "there is enough again",
        Level::Ample => "there is enough again, and records are taken",
        Level::Warn if before > Level::Warn => {
            "records are taken again, but it is still short; delete topics or records, lower \
             retention, or enlarge the disk"
        }
        Level::Warn => {
            "it is getting short; delete topics or records, lower retention, or enlarge the disk, \
             before records are refused"
        }
        Level::Scarce => {
            "too little is left, records are refused until there is more; reads, groups, deletions \
             and administration go on; delete topics or records, lower retention, or enlarge the \
             disk"
        }
        Level::Exhausted => {
            "nothing is left but the reserve, which is in use; not even groups can commit; reads, \
             deletions and administration go on; delete topics or records, lower retention, or \
             enlarge the disk"
        }
    }
}
