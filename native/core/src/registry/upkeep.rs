//! What a store does by itself: short work by one thread once a second, long work by threads of
//! their own, so that it never has to wait for it.
//!
//! Everything here is a plain method of [`Store`], which a simulation calls when it likes.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{Store, channel, compact, scrub};
use crate::{
    error::{Code, Error, Result},
    limits,
    log::{retention::Trimmed, verify::VerifyStep},
    space::watermarks::Level,
};

/// Time between two turns of the keeper, in milliseconds.
const KEEPER_INTERVAL_MS: u64 = 1000;
/// Time from the start to the first look for what retention does not keep, as Kafka's: a broker
/// that is often started anew is to delete, too.
const FIRST_CHECK_MS: u64 = 30_000;
/// The same while records are refused: producers wait for there to be room.
const KEEPER_HURRIED_MS: u64 = 100;
/// What is remembered for whoever asks; further entries are only counted.
const ENTRIES_MAX: usize = 1000;
/// Stack of a thread: it runs shallow code only.
const STACK_BYTES: usize = 512 << 10;

/// How a store keeps itself in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpkeepOptions {
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// `log.cleaner.enable`.
    pub is_cleaner_enabled: bool,
    /// `log.cleaner.backoff.ms`: time between two looks for a log to compact when there was none.
    pub cleaner_backoff_ms: u64,
    /// `log.cleaner.dedupe.buffer.size`: memory of the keys of one compaction, in bytes.
    pub cleaner_dedupe_bytes_max: u64,
    /// `log.cleaner.io.max.bytes.per.second`: read and written together; `u64::MAX` is no bound.
    pub cleaner_bytes_per_second: u64,
    /// `scrub.max.bytes.per.second`; 0 does not scrub.
    pub scrub_bytes_per_second: u64,
}

/// Tells threads to end, and wakes those that wait.
#[derive(Default)]
pub struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits; `true` when it is time to end.
    pub fn wait(&self, time: Duration) -> bool {
        let mut is_set = self.is_set.lock();
        let _timed_out =
            self.changed.wait_while_for(&mut is_set, |is_set| !*is_set, time).timed_out();
        *is_set
    }

    /// Whether it is time to end.
    pub fn is_set(&self) -> bool {
        *self.is_set.lock()
    }

    /// Has everybody end.
    pub fn set(&self) {
        *self.is_set.lock() = true;
        self.changed.notify_all();
    }
}

/// Something that a store did by itself, or could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpkeepEntry {
    /// Partition or path.
    pub subject: String,
    /// What was done, for people.
    pub detail: String,
    /// Somebody should look at it.
    pub is_warning: bool,
}

impl UpkeepEntry {
    fn trimmed(subject: &str, trimmed: &Trimmed) -> Self {
        Self { subject: subject.to_owned(), detail: trimmed.to_string(), is_warning: false }
    }

    /// What scrubbing could not read.
    pub(super) fn unread(subject: &str, error: &Error) -> Self {
        let detail = format!("could not be checked for damage: {}", error.detail());
        Self { subject: subject.to_owned(), detail, is_warning: true }
    }

    fn failed(subject: &str, error: &Error) -> Self {
        let detail = format!("old segments could not be deleted: {error}");
        Self { subject: subject.to_owned(), detail, is_warning: true }
    }
}

/// What a store did by itself lately.
#[derive(Default)]
pub(super) struct UpkeepReport {
    entries: VecDeque<UpkeepEntry>,
    left_out: u64,
    is_warning_left_out: bool,
}

impl UpkeepReport {
    fn add(&mut self, entry: UpkeepEntry) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push_back(entry);
        } else {
            self.left_out += 1;
            self.is_warning_left_out |= entry.is_warning;
        }
    }

    fn take(&mut self) -> Vec<UpkeepEntry> {
        let Self { entries, left_out, is_warning_left_out } = std::mem::take(self);
        let mut entries: Vec<_> = entries.into();
        if left_out > 0 {
            entries.push(UpkeepEntry {
                subject: "upkeep".to_owned(),
                detail: format!("{left_out} more entries than are remembered"),
                is_warning: is_warning_left_out,
            });
        }
        entries
    }
}

/// The threads of a store.
#[derive(Default)]
pub(super) struct Upkeep {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Upkeep {
    /// Ends the threads and waits for them.
    pub(super) fn close(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
    }

    /// Starts a thread that calls `turn` until it returns `None` or the store is gone, and waits
    /// as long as it says in between.
    fn start(
        &mut self,
        name: &str,
        store: &Arc<Store>,
        mut turn: impl FnMut(&Arc<Store>, &Stop) -> Option<Duration> + Send + 'static,
    ) -> std::io::Result<()> {
        let (store, stop): (Weak<Store>, _) = (Arc::downgrade(store), Arc::clone(&self.stop));
        let run = move || {
            loop {
                let Some(store) = store.upgrade() else { return };
                let Some(wait) = turn(&store, &stop) else { return };
                drop(store);
                if stop.wait(wait) {
                    return;
                }
            }
        };
        let thread = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(run)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Store {
    /// Starts what the store does by itself; to be called once all topics are open. Called again
    /// it changes nothing.
    ///
    /// # Errors
    /// [`crate::error::Code::KafkaStorageError`] when no thread can be started.
    pub fn start_upkeep(self: &Arc<Self>, options: UpkeepOptions) -> Result<()> {
        let mut upkeep = self.upkeep.lock();
        // Looked at under the lock under which `close` ends the threads: none is started behind it.
        self.check_open()?;
        if !upkeep.threads.is_empty() {
            return Ok(());
        }
        let mut since_check_ms = options.retention_check_interval_ms.saturating_sub(FIRST_CHECK_MS);
        let keeper = move |store: &Arc<Self>, _stop: &Stop| {
            store.shared.deleted.remove_due(&store.shared);
            store.watch_space();
            if since_check_ms >= options.retention_check_interval_ms {
                since_check_ms = 0;
                store.enforce_retention();
            }
            let interval_ms = match store.shared.space.level() {
                Level::Ample | Level::Warn => KEEPER_INTERVAL_MS,
                Level::Scarce | Level::Exhausted => KEEPER_HURRIED_MS,
            };
            let wait_ms = interval_ms.min(options.retention_check_interval_ms);
            since_check_ms += wait_ms;
            Some(Duration::from_millis(wait_ms))
        };
        let failed = |error: std::io::Error| Error::io("starting a thread", &error);
        upkeep.start("millrace-keeper", self, keeper).map_err(failed)?;
        if options.is_cleaner_enabled {
            let cleaner =
                move |store: &Arc<Self>, stop: &Stop| Some(compact::turn(store, stop, &options));
            upkeep.start("millrace-cleaner", self, cleaner).map_err(failed)?;
        }
        let bytes_per_second = options.scrub_bytes_per_second;
        if bytes_per_second == 0 {
            return Ok(());
        }
        let mut round = scrub::Round::default();
        let scrubber =
            move |store: &Arc<Self>, _stop: &Stop| scrub::pace(store, bytes_per_second, &mut round);
        upkeep.start("millrace-scrub", self, scrubber).map_err(failed)
    }

    /// Deletes the records of a partition before an offset, or every visible one (`None`); returns
    /// the new log start, durable. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`], and those of
    /// [`Log::delete_records`](crate::log::Log::delete_records).
    pub fn delete_records(&self, topic: u32, partition: u32, before: Option<u64>) -> Result<u64> {
        let _changing = self.change_files()?;
        let log_start = self.log(topic, partition)?.delete_records(before)?;
        self.tell([channel::EVENT_UNMAP, f64::from(topic), 0.0]);
        self.shared.space.note_freed();
        Ok(log_start)
    }

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
                    Err(error) if error.code() == Code::TopicDeleted => continue,
                    // Poison was told to everybody who writes.
                    Err(_) if log.poison().is_some() => continue,
                    Err(error) => UpkeepEntry::failed(&log.label, &error),
                };
                self.report_upkeep(entry);
            }
        }
    }

    /// Checks about a step of a partition from an offset on; one at a time. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`], and those of
    /// [`Log::verify_step`](crate::log::Log::verify_step).
    pub fn verify_step(&self, topic: u32, partition: u32, from_offset: u64) -> Result<VerifyStep> {
        let _one_at_a_time = self.verifying.lock();
        let _changing = self.change_files()?;
        self.log(topic, partition)?.verify_step(from_offset, limits::VERIFY_STEP_BYTES_MAX)
    }

    /// Takes what the store did by itself, and what was found damaged, since the last call.
    pub fn take_upkeep_report(&self) -> Vec<UpkeepEntry> {
        let found = self.shared.found.take().into_iter();
        let damage =
            found.map(|(subject, detail)| UpkeepEntry { subject, detail, is_warning: true });
        let mut entries = self.upkeep_report.lock().take();
        entries.extend(damage);
        entries
    }

    /// Notes something that the store did by itself.
    pub(super) fn report_upkeep(&self, entry: UpkeepEntry) {
        self.upkeep_report.lock().add(entry);
    }
}
