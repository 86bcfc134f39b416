//! What a store does about the space of its disk.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use super::{Store, upkeep::UpkeepEntry};
use crate::{error::Error, log::Log, space::watermarks::Level};

/// What was told last, and what somebody did about it.
#[derive(Default)]
pub(super) struct SpaceTold {
    told: Mutex<Told>,
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
}

impl Store {
    /// Looks at the space of the disk and does what follows: where it is short, what was deleted
    /// goes at once, nothing stays allocated ahead, and retention does not wait for its turn. A
    /// change is reported. Waits for the disk.
    pub fn watch_space(&self) {
        let Ok(changing) = self.change_files() else { return };
        let space = &self.shared.space;
        let looked = space.look();
        if space.is_short() && self.shared.deleted.waiting().0 > 0 {
            self.shared.deleted.remove_all(&self.shared);
            space.note_freed();
        }
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
        drop(changing);
        if level > before {
            self.give_back_allocations();
        }
        let is_reconfigured = self.space_told.is_reconfigured.swap(false, Ordering::AcqRel);
        if level > before || (is_reconfigured && level != Level::Ample) {
            self.enforce_retention();
            space.note_freed();
        }
    }

    /// Gives back what fast topics have allocated ahead of their tails.
    fn give_back_allocations(&self) {
        for topic in self.topics.read().clone().into_iter().flatten() {
            let logs: Vec<Arc<Log>> = topic.logs.read().clone();
            for log in logs {
                let Ok(_changing) = self.change_files() else { return };
                if let Err(error) = log.give_back_allocation() {
                    self.report_upkeep(UpkeepEntry::warning(&log.label, &error));
                }
            }
        }
    }

    fn about_space(&self, is_warning: bool, detail: &str) -> UpkeepEntry {
        let subject = self.directory.path.display().to_string();
        UpkeepEntry { subject, detail: format!("disk space: {detail}"), is_warning }
    }
}

impl UpkeepEntry {
    fn warning(subject: &str, error: &Error) -> Self {
        let subject = subject.to_owned();
        Self { subject, detail: error.to_string(), is_warning: true }
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
