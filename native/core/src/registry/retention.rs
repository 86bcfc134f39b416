//! What a store deletes by itself, and what else it does for there to be room. It may take minutes
//! where there are many logs: it is one thread's, which does nothing else.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Store, channel,
    upkeep::{UpkeepEntry, UpkeepOptions},
};
use crate::{
    env::Clock,
    error::Error,
    log::{Log, LogShared, retention::Trimmed},
    space::watermarks::Level,
};

/// Time from the start to the first look for what retention does not keep, as Kafka's: a broker
/// that is often started anew is to delete, too.
const FIRST_CHECK_MS: u64 = 30_000;
/// Time between two tries to store indexes that the disk did not take.
const SEALING_INTERVAL_MS: u64 = 10_000;

/// When the thread that deletes has something to do next.
pub(super) struct Due {
    check_ns: u64,
    check_interval_ns: u64,
    sealing_ns: u64,
}

impl Due {
    pub(super) fn new(clock: &dyn Clock, options: &UpkeepOptions) -> Self {
        let now_ns = clock.monotonic_ns();
        let interval_ms = options.retention_check_interval_ms;
        let check_ns = now_ns.saturating_add(in_ns(interval_ms.min(FIRST_CHECK_MS)));
        Self { check_ns, check_interval_ns: in_ns(interval_ms), sealing_ns: now_ns }
    }

    /// One turn of the thread; returns how long to wait until the next.
    pub(super) fn turn(&mut self, store: &Store) -> Duration {
        let shared = &store.shared;
        shared.deleted.remove_due(shared);
        store.make_room();
        let now_ns = shared.env.clock.monotonic_ns();
        if now_ns >= self.check_ns {
            self.check_ns = now_ns.saturating_add(self.check_interval_ns);
            store.enforce_retention();
        }
        if now_ns >= self.sealing_ns {
            self.sealing_ns = now_ns.saturating_add(in_ns(SEALING_INTERVAL_MS));
            store.seal_left();
        }
        store.interval().min(Duration::from_nanos(self.check_interval_ns))
    }
}

fn in_ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

impl Store {
    /// Deletes what retention does not keep, in all topics. What fails in one log harms no other
    /// and is reported. Waits for the disk.
    pub fn enforce_retention(&self) {
        let topics: Vec<_> = (0..).zip(self.topics.read().clone()).collect();
        for (number, topic) in topics {
            let Some(topic) = topic else { continue };
            let logs = topic.logs.read().clone();
            for log in logs {
                // Taken anew for each log: whoever closes the store does not wait for all of them.
                let Ok(_changing) = self.change_files() else { return };
                let entry = match log.enforce_retention() {
                    Ok(None) => continue,
                    Ok(Some(trimmed)) => {
                        self.tell([channel::EVENT_UNMAP, f64::from(number), 0.0]);
                        UpkeepEntry::trimmed(&log.label, &trimmed)
                    }
                    // Whatever else failed, there is nobody left to be told.
                    Err(_) if log.has_ended() || self.shared.is_closing() => continue,
                    // That was told.
                    Err(_) if log.poison().is_some() => continue,
                    Err(error) => UpkeepEntry::not_deleted(&log.label, &error),
                };
                self.report_upkeep(entry);
            }
        }
    }

    /// Does what has to be done for there to be room, where space is short: what was deleted goes
    /// at once, nothing stays allocated ahead, and retention does not wait for its turn. Waits for
    /// the disk.
    pub fn make_room(&self) {
        let LogShared { space, deleted, .. } = &*self.shared;
        if space.is_short() && deleted.waiting().0 > 0 {
            let Ok(_changing) = self.change_files() else { return };
            deleted.remove_all(&self.shared);
            space.note_freed();
        }
        let (is_shorter, is_reconfigured) = self.space_told.take();
        if is_shorter {
            self.give_back_allocations();
        }
        if is_shorter || (is_reconfigured && space.level() != Level::Ample) {
            self.enforce_retention();
            space.note_freed();
        }
    }

    /// Seals closed segments whose indexes found no room, where there is room now. Waits for the
    /// disk.
    pub fn seal_left(&self) {
        let is_due = &self.shared.is_sealing_due;
        if self.shared.space.level() >= Level::Scarce || !is_due.swap(false, Ordering::AcqRel) {
            return;
        }
        for topic in self.topics.read().clone().into_iter().flatten() {
            let logs: Vec<Arc<Log>> = topic.logs.read().clone();
            for log in logs {
                let Ok(_changing) = self.change_files() else { return };
                // That it failed was counted when the segment was closed.
                if log.seal_left().is_err() && !log.has_ended() && log.poison().is_none() {
                    is_due.store(true, Ordering::Release);
                }
            }
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
}

impl UpkeepEntry {
    fn trimmed(subject: &str, trimmed: &Trimmed) -> Self {
        Self { subject: subject.to_owned(), detail: trimmed.to_string(), is_warning: false }
    }

    fn not_deleted(subject: &str, error: &Error) -> Self {
        let detail = format!("old segments could not be deleted: {error}");
        Self { subject: subject.to_owned(), detail, is_warning: true }
    }

    fn warning(subject: &str, error: &Error) -> Self {
        let subject = subject.to_owned();
        Self { subject, detail: error.to_string(), is_warning: true }
    }
}
