//! What a store does by itself: a look at the space of its disk once a second, and work that may
//! take long by threads of their own, so that the look never has to wait for it.
//!
//! Everything here is a plain method of [`Store`], which a simulation calls when it likes.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{Store, channel, compact, retention, scrub};
use crate::{
    error::{Error, Result},
    limits,
    log::verify::VerifyStep,
    space::watermarks::Level,
};

/// Time between two looks at the space of the disk, in milliseconds.
const INTERVAL_MS: u64 = 1000;
/// The same while records are refused: producers wait for there to be room.
const INTERVAL_HURRIED_MS: u64 = 100;
/// What is remembered for whoever asks; further entries are only counted.
const ENTRIES_MAX: usize = 1000;
/// Stack of a thread: it runs shallow code only.
const STACK_BYTES: usize = 512 << 10;
/// Its turns take long, and hours may be between them.
const SCRUB_THREAD_NAME: &str = "millrace-scrub";

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

/// Tells a thread to end, or not to wait any longer.
#[derive(Default)]
pub struct Stop {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    to_end: bool,
    to_wake: bool,
    /// Turns that the thread has ended.
    turns: u64,
}

impl Stop {
    /// Waits, unless it was woken since it did last; `true` when it is time to end.
    pub fn wait(&self, time: Duration) -> bool {
        let mut told = self.told.lock();
        let is_told_nothing = |told: &mut Told| !told.to_end && !told.to_wake;
        let _timed_out = self.changed.wait_while_for(&mut told, is_told_nothing, time).timed_out();
        told.to_wake = false;
        told.to_end
    }

    /// Whether it is time to end.
    pub fn is_set(&self) -> bool {
        self.told.lock().to_end
    }

    /// Has everybody end.
    pub fn set(&self) {
        self.told.lock().to_end = true;
        self.changed.notify_all();
    }

    /// Has the one thread that waits wait no longer.
    pub(super) fn wake(&self) {
        self.told.lock().to_wake = true;
        self.changed.notify_all();
    }

    fn end_turn(&self) {
        self.told.lock().turns += 1;
        self.changed.notify_all();
    }

    /// Waits until the thread has made a turn that begins after the call, or ends.
    pub(super) fn wait_for_turn(&self) {
        let mut told = self.told.lock();
        // The turn that it may be at, and the one that it is woken for.
        for _ in 0..2 {
            let before = told.turns;
            told.to_wake = true;
            self.changed.notify_all();
            self.changed.wait_while(&mut told, |told| !told.to_end && told.turns == before);
        }
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
    /// What scrubbing could not read.
    pub(super) fn unread(subject: &str, error: &Error) -> Self {
        let detail = format!("could not be checked for damage: {}", error.detail());
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

struct SetWhenDropped(Arc<Stop>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// The threads of a store.
#[derive(Default)]
pub(super) struct Upkeep {
    threads: Vec<(Arc<Stop>, JoinHandle<()>)>,
}

impl Upkeep {
    /// Those of the threads that look often whether there is something to do.
    pub(super) fn hurried_stops(&self) -> Vec<Arc<Stop>> {
        let hurried = self
            .threads
            .iter()
            .filter(|(_, thread)| thread.thread().name() != Some(SCRUB_THREAD_NAME));
        hurried.map(|(stop, _)| Arc::clone(stop)).collect()
    }

    /// Ends the threads and waits for them.
    pub(super) fn close(&mut self) {
        for (stop, _) in &self.threads {
            stop.set();
        }
        for (_, thread) in self.threads.drain(..) {
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
        (store, stop): (&Arc<Store>, Arc<Stop>),
        mut turn: impl FnMut(&Arc<Store>, &Stop) -> Option<Duration> + Send + 'static,
    ) -> std::io::Result<()> {
        let store: Weak<Store> = Arc::downgrade(store);
        let waits = Arc::clone(&stop);
        let run = move || {
            // Whatever it ends by, a panic too: nobody is to wait for its next turn.
            let waits = SetWhenDropped(waits);
            loop {
                let Some(store) = store.upgrade() else { return };
                let Some(wait) = turn(&store, &waits.0) else { return };
                drop(store);
                waits.0.end_turn();
                if waits.0.wait(wait) {
                    return;
                }
            }
        };
        let thread = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(run)?;
        self.threads.push((stop, thread));
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
        let keeper = move |store: &Arc<Self>, _stop: &Stop| {
            if store.look_at_space() {
                store.retention_stop.wake();
            }
            Some(store.interval())
        };
        let failed = |error: std::io::Error| Error::io("starting a thread", &error);
        upkeep.start("millrace-keeper", (self, Arc::default()), keeper).map_err(failed)?;
        let mut due = retention::Due::new(&*self.shared.env.clock, &options);
        let retention = move |store: &Arc<Self>, _stop: &Stop| Some(due.turn(store));
        let stop = Arc::clone(&self.retention_stop);
        upkeep.start("millrace-retention", (self, stop), retention).map_err(failed)?;
        if options.is_cleaner_enabled {
            let cleaner =
                move |store: &Arc<Self>, stop: &Stop| Some(compact::turn(store, stop, &options));
            upkeep.start("millrace-cleaner", (self, Arc::default()), cleaner).map_err(failed)?;
        }
        let bytes_per_second = options.scrub_bytes_per_second;
        if bytes_per_second == 0 {
            return Ok(());
        }
        let mut round = scrub::Round::default();
        let scrubber =
            move |store: &Arc<Self>, _stop: &Stop| scrub::pace(store, bytes_per_second, &mut round);
        upkeep.start(SCRUB_THREAD_NAME, (self, Arc::default()), scrubber).map_err(failed)
    }

    /// Time until somebody looks again at what changes by itself.
    pub(super) fn interval(&self) -> Duration {
        let is_hurried = self.shared.space.level() >= Level::Scarce;
        Duration::from_millis(if is_hurried { INTERVAL_HURRIED_MS } else { INTERVAL_MS })
    }

    /// Deletes the records of a partition before an offset, or every visible one (`None`); returns
    /// the new log start, durable. Waits for the disk.
    ///
    /// # Errors
    /// [`crate::error::Code::UnknownTopicOrPartition`], and those of
    /// [`Log::delete_records`](crate::log::Log::delete_records).
    pub fn delete_records(&self, topic: u32, partition: u32, before: Option<u64>) -> Result<u64> {
        let _changing = self.change_files()?;
        let log_start = self.log(topic, partition)?.delete_records(before)?;
        self.tell([channel::EVENT_UNMAP, f64::from(topic), 0.0]);
        self.shared.space.note_freed();
        Ok(log_start)
    }

    /// Checks about a step of a partition from an offset on; one at a time. Waits for the disk.
    ///
    /// # Errors
    /// [`crate::error::Code::UnknownTopicOrPartition`], and those of
    /// [`Log::verify_step`](crate::log::Log::verify_step).
    pub fn verify_step(&self, topic: u32, partition: u32, from_offset: u64) -> Result<VerifyStep> {
        let _one_at_a_time = self.verifying.lock();
        let _changing = self.change_files()?;
        self.log(topic, partition)?.verify_step(from_offset, limits::VERIFY_STEP_BYTES_MAX)
    }

    /// Takes what the store did by itself, and what went wrong without anybody being told, since
    /// the last call.
    pub fn take_upkeep_report(&self) -> Vec<UpkeepEntry> {
        let warnings = self.shared.warnings.take().into_iter();
        let warnings =
            warnings.map(|(subject, detail)| UpkeepEntry { subject, detail, is_warning: true });
        let mut entries = self.upkeep_report.lock().take();
        entries.extend(warnings);
        entries
    }

    /// Notes something that the store did by itself.
    pub(super) fn report_upkeep(&self, entry: UpkeepEntry) {
        self.upkeep_report.lock().add(entry);
    }
}
