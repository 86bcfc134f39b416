//! One run: the machine, the store on it, and how both die and come back.

use std::{
    collections::VecDeque,
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{batches::BatchId, dice::Dice, model::Partition, reading::read_all};
use crate::{
    env::{
        Env, FileSystem, ProcessLimits,
        simulated::{
            Effect, Fault, SimulatedClock, SimulatedFileSystem, SimulatedRandom, is_power_cut,
        },
    },
    error::{Code, Error},
    journal::JournalOptions,
    log::{config::LogConfig, waiters::Acknowledge},
    recovery::RecoveryEvent,
    registry::{Store, StoreOptions, TopicSpec},
    segment::age::Moment,
};

/// Operations of one run.
const OPERATIONS: u64 = 160;
const HISTORY_MAX: usize = 60;
pub(super) const DATA_DIRECTORY: &str = "/var/lib/millrace";
const START_MS: i64 = 1_700_000_000_000;

/// A promise that was broken.
#[derive(Debug)]
pub(super) enum Violation {
    /// Something that was promised to stay is gone, or cannot be reached.
    Lost(String),
    /// Something is not what it was.
    Altered(String),
    /// Something is there that was never stored.
    Phantom(String),
    /// Something is there twice.
    Twice(String),
    /// Something was visible before it was as durable as promised.
    TooEarly(String),
    /// Something is there that had to go.
    Kept(String),
    /// Something failed without a reason.
    Refused(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, detail) = match self {
            Self::Lost(detail) => ("lost", detail),
            Self::Altered(detail) => ("altered", detail),
            Self::Phantom(detail) => ("never stored", detail),
            Self::Twice(detail) => ("stored twice", detail),
            Self::TooEarly(detail) => ("visible too early", detail),
            Self::Kept(detail) => ("kept too long", detail),
            Self::Refused(detail) => ("refused without a reason", detail),
        };
        write!(formatter, "{kind}: {detail}")
    }
}

/// What a run did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Figures {
    pub(super) operations: u64,
    pub(super) calls: u64,
    pub(super) acked_batches: u64,
    pub(super) duplicates: u64,
    pub(super) failed_appends: u64,
    pub(super) given_up: u64,
    pub(super) reads: u64,
    pub(super) faults: u64,
    pub(super) filled_disks: u64,
    pub(super) refused_for_space: u64,
    pub(super) power_cuts: u64,
    pub(super) kills: u64,
    pub(super) clean_stops: u64,
    pub(super) compactions: u64,
    pub(super) compacted_records: u64,
    pub(super) deletions: u64,
    pub(super) deleted_records: u64,
    pub(super) scrubbed_bytes: u64,
    pub(super) flipped_bits: u64,
    pub(super) repairs: u64,
    pub(super) clock_steps: u64,
    pub(super) journal_groups: u64,
    pub(super) journaled_flushes: u64,
    pub(super) replays: u64,
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.calls += other.calls;
        self.acked_batches += other.acked_batches;
        self.duplicates += other.duplicates;
        self.failed_appends += other.failed_appends;
        self.given_up += other.given_up;
        self.reads += other.reads;
        self.faults += other.faults;
        self.filled_disks += other.filled_disks;
        self.refused_for_space += other.refused_for_space;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.clean_stops += other.clean_stops;
        self.compactions += other.compactions;
        self.compacted_records += other.compacted_records;
        self.deletions += other.deletions;
        self.deleted_records += other.deleted_records;
        self.scrubbed_bytes += other.scrubbed_bytes;
        self.flipped_bits += other.flipped_bits;
        self.repairs += other.repairs;
        self.clock_steps += other.clock_steps;
        self.journal_groups += other.journal_groups;
        self.journaled_flushes += other.journaled_flushes;
        self.replays += other.replays;
    }
}

/// Which timestamps the records of a topic have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// That of their making, none, or one from long ago.
    Mixed,
    /// That of their making, or one that is hours ahead.
    Ahead,
    None,
}

/// A topic, as its owner knows it.
pub(super) struct Topic {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) config: LogConfig,
    pub(super) number: u32,
    pub(super) partitions: Vec<Partition>,
    /// Its records have keys: it may be compacted.
    pub(super) is_keyed: bool,
    pub(super) times: Times,
    /// It did not promise flushed visibility all the time since it was opened.
    pub(super) was_relaxed: bool,
}

/// A batch that waits for its flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited {
    pub(super) topic_id: Uuid,
    pub(super) partition: usize,
    pub(super) batch: BatchId,
    pub(super) base_offset: u64,
}

/// Acks as they come.
#[derive(Default)]
pub(super) struct Acks(Mutex<Vec<(Awaited, Code)>>);

pub(super) struct Ack {
    pub(super) acks: Arc<Acks>,
    pub(super) awaited: Awaited,
}

impl Acknowledge for Ack {
    fn done(&self, code: Code) {
        self.acks.0.lock().push((self.awaited, code));
    }
}

pub(super) struct Simulation {
    pub(super) dice: Dice,
    pub(super) files: SimulatedFileSystem,
    pub(super) clock: Arc<SimulatedClock>,
    random: Arc<SimulatedRandom>,
    pub(super) store: Option<Arc<Store>>,
    pub(super) topics: Vec<Topic>,
    /// Topics that were deleted, or never came about: what is left of them has to go.
    pub(super) gone: Vec<Uuid>,
    pub(super) acks: Arc<Acks>,
    pub(super) next_batch: BatchId,
    pub(super) next_producer: i64,
    /// Faults may be waiting, or the disk may be full.
    pub(super) may_fail: bool,
    /// Faults may be waiting.
    pub(super) has_faults: bool,
    /// Logs are written to a little and often, as those that are flushed together are.
    pub(super) is_hot: bool,
    pub(super) figures: Figures,
    history: VecDeque<String>,
    leader_epoch: Option<u32>,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.bury();
    }
}

impl Simulation {
    /// On a machine whose syncs of paths that contain `unsynced` do nothing.
    pub(super) fn new(seed: u64, unsynced: Option<&str>) -> Self {
        let dice = Dice::new(seed);
        let files = SimulatedFileSystem::new(dice.next());
        files.set_short_transfers(dice.pick(&[0, 0, 3, 10]));
        files.set_ignores_syncs_of(unsynced);
        let clock = Arc::new(SimulatedClock::new(START_MS));
        files.set_clock(&clock);
        Self {
            files,
            clock,
            random: Arc::new(SimulatedRandom::new(dice.next())),
            store: None,
            topics: Vec::new(),
            gone: Vec::new(),
            acks: Arc::default(),
            next_batch: 1,
            next_producer: 1,
            may_fail: false,
            has_faults: false,
            is_hot: dice.one_in(3),
            figures: Figures::default(),
            history: VecDeque::new(),
            leader_epoch: None,
            dice,
        }
    }

    pub(super) fn figures(&self) -> Figures {
        self.figures
    }

    pub(super) fn history(&self) -> impl Iterator<Item = &String> {
        self.history.iter()
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.files.trace()
    }

    pub(super) fn note(&mut self, what: String) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(format!("{}: {what}", self.figures.operations));
    }

    pub(super) fn run(&mut self) -> Result<(), Violation> {
        self.start(false)?;
        for _ in 0..OPERATIONS {
            self.figures.operations += 1;
            self.step()?;
            self.settle_acks()?;
            if !self.has_power() {
                self.power_cut()?;
            }
        }
        self.power_cut()?;
        self.clean_stop()
    }

    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    pub(super) fn has_power(&self) -> bool {
        match self.files.kind(Path::new("/")) {
            Err(error) => !is_power_cut(&error),
            Ok(_) => true,
        }
    }

    /// Ends the store as a dying process does: nothing that it had still to do gets done.
    fn bury(&mut self) {
        if let Some(store) = self.store.take() {
            if let Some(journal) = store.shared().scheduler.journal() {
                let statistics = journal.statistics();
                self.figures.journal_groups += statistics.groups;
                self.figures.journaled_flushes += statistics.log_flushes;
            }
            self.files.inject(Fault::new(Effect::InputOutput).times(u64::MAX));
            store.shared().scheduler.close();
            store.shared().work.close();
        }
    }

    pub(super) fn power_cut(&mut self) -> Result<(), Violation> {
        self.figures.power_cuts += 1;
        let manner = self.dice.within(0..6);
        self.note(format!("the power fails, manner {manner}"));
        let files = match manner {
            0 => self.files.crash_keeping_nothing(),
            1 => self.files.crash_keeping_all(),
            _ => self.files.crash(),
        };
        self.bury();
        self.settle_acks()?;
        self.figures.calls += self.files.calls();
        self.files = files.unwrap();
        self.died(true);
        self.start(false)
    }

    /// The power has failed while no process served, and comes back.
    pub(super) fn power_is_back(&mut self) -> Result<(), Violation> {
        self.figures.power_cuts += 1;
        self.note("the power fails".to_owned());
        self.figures.calls += self.files.calls();
        self.files = self.files.crash().unwrap();
        self.died(true);
        self.settle_acks()
    }

    pub(super) fn kill(&mut self) -> Result<(), Violation> {
        self.kill_for_good()?;
        self.start(false)
    }

    /// The process is killed, and none is started. All faults are over.
    pub(super) fn kill_for_good(&mut self) -> Result<(), Violation> {
        self.figures.kills += 1;
        self.note("the process is killed".to_owned());
        self.bury();
        self.settle_acks()?;
        self.died(false);
        self.files.clear_faults();
        self.files.set_capacity_bytes(None);
        Ok(())
    }

    /// A process is started after one that was killed.
    pub(super) fn start_again(&mut self) -> Result<(), Violation> {
        self.start(false)
    }

    pub(super) fn clean_stop(&mut self) -> Result<(), Violation> {
        let closed = self.store().close();
        self.note(format!("a clean stop: {closed:?}"));
        let was_clean = closed.is_ok();
        if let Err(error) = closed
            && !self.is_excused(&error)
            && !self.has_poisoned_log()
        {
            return Err(Violation::Refused(format!("a clean stop: {error}")));
        }
        self.bury();
        self.settle_acks()?;
        if was_clean {
            self.figures.clean_stops += 1;
        } else {
            // The clean checkpoint may be the last thing written: the epoch may rise or not.
            self.leader_epoch = None;
        }
        if !self.has_power() {
            self.leader_epoch = None;
            return self.power_cut();
        }
        if was_clean && !self.may_fail {
            self.files.clear_faults();
            self.check_clean_stop()?;
        }
        self.died(false);
        self.start(was_clean)
    }

    fn has_poisoned_log(&self) -> bool {
        // Logs of a store that was closed cannot be asked any more.
        self.figures.faults > 0
    }

    fn died(&mut self, power_failed: bool) {
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                partition.process_died(power_failed);
            }
        }
    }

    /// Whether an error is one that the machine has caused.
    pub(super) fn is_excused(&self, error: &Error) -> bool {
        let is_storage =
            matches!(error.code(), Code::KafkaStorageError | Code::DiskFull | Code::DataDamaged);
        is_storage && (self.may_fail || !self.has_power())
    }

    /// Brings the store up again, at first under faults, and checks all that it holds.
    fn start(&mut self, was_clean: bool) -> Result<(), Violation> {
        let mut is_first = true;
        loop {
            self.files.clear_faults();
            self.files.set_capacity_bytes(None);
            if is_first && self.leader_epoch.is_some() && self.dice.one_in(4) {
                let effect =
                    self.dice.pick(&[Effect::PowerCut, Effect::InputOutput, Effect::NoSpace]);
                let at = self.dice.within(1..120);
                self.note(format!("the start meets {effect:?} at call {at}"));
                self.files.inject(Fault::new(effect).at(at));
                self.figures.faults += 1;
            }
            let is_excusable = is_first;
            is_first = false;
            let opened = self.open();
            let had_power = self.has_power();
            match opened {
                Ok(()) if had_power => break,
                Err(error) if had_power && !is_excusable => {
                    return Err(Violation::Lost(format!("the start failed: {error}")));
                }
                other => self.note(format!("the start failed: {other:?}")),
            }
            // Nothing was appended, so a stop that was clean before still is.
            self.bury();
            if !had_power {
                self.figures.power_cuts += 1;
                self.files = self.files.crash().unwrap();
                self.died(true);
            }
        }
        self.files.clear_faults();
        self.may_fail = false;
        self.has_faults = false;
        self.check_epoch(was_clean)?;
        self.settle_starts()?;
        self.check_all()
    }

    pub(super) fn now(&self) -> Moment {
        Moment::now(&*self.clock)
    }

    /// Sets the clock on the wall to a time that is wrong by so much, or right.
    pub(super) fn set_clock(&mut self, wrong_by_ms: i64) {
        let passed_ms = i64::try_from(self.now().monotonic_ns / 1_000_000).unwrap();
        let wall_ms = START_MS + passed_ms + wrong_by_ms;
        self.note(format!("the clock is set, and wrong by {wrong_by_ms} ms"));
        self.figures.clock_steps += 1;
        self.clock.set_wall_ms(wall_ms);
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                partition.clock_was_set(wall_ms);
            }
        }
    }

    fn check_epoch(&mut self, was_clean: bool) -> Result<(), Violation> {
        let Some(topic) = self.topics.first() else {
            return Ok(());
        };
        let offsets = self.store().offsets(topic.number, 0).unwrap();
        let now = offsets.leader_epoch;
        if let Some(before) = self.leader_epoch
            && !was_clean
            && now <= before
        {
            return Err(Violation::Altered(format!("epoch {before}, then {now}")));
        }
        self.leader_epoch = Some(now);
        Ok(())
    }

    pub(super) fn env(&self) -> Env {
        Env {
            files: Arc::new(self.files.clone()),
            clock: Arc::clone(&self.clock) as _,
            random: Arc::clone(&self.random) as _,
            limits: ProcessLimits::UNBOUNDED,
            controls: None,
        }
    }

    /// Of files so small that they are used again within a run; a start need not have any to find
    /// what the one before has left.
    fn journal_options(&self) -> Option<JournalOptions> {
        (!self.dice.one_in(6)).then(|| JournalOptions {
            logs_min: self.dice.pick(&[1, 1, 2, 3]),
            logs_for_files: self.dice.pick(&[1, 1, 2, 3]),
            log_bytes_max: self.dice.pick(&[400, 6_000, 65_536]),
            file_bytes_max: self.dice.pick(&[12 << 10, 24 << 10, 64 << 10]),
            pause_ns: self.dice.pick(&[0, 0, 0, 5_000_000_000]),
        })
    }

    fn open(&mut self) -> Result<(), Error> {
        let options = StoreOptions {
            data_directory: PathBuf::from(DATA_DIRECTORY),
            flush_threads_max: 0,
            descriptors_max: NonZeroUsize::new(4).unwrap(),
            journal: self.journal_options(),
        };
        let store = Store::open(self.env(), options)?;
        self.store = Some(Arc::clone(&store));
        for id in &self.gone {
            store.remove_topic_files(*id)?;
        }
        let specs: Vec<_> = self.topics.iter().map(|topic| topic.spec(true)).collect();
        let numbers = store.open_topics(&specs)?;
        for (topic, number) in self.topics.iter_mut().zip(numbers) {
            topic.number = number;
            topic.was_relaxed = !topic.config.is_flushed_before_ack();
        }
        store.set_aside_unclaimed()?;
        if let Some(journal) = store.shared().scheduler.journal()
            && self.dice.one_in(2)
        {
            // As if as many had waited before, for runs are short.
            let _is_ready = journal.is_ready_or_asked(usize::MAX);
            store.drive();
        }
        for entry in store.take_report() {
            let is_replay = matches!(entry.event, RecoveryEvent::Replayed { .. });
            self.figures.replays += u64::from(is_replay);
            self.note(format!("recovery: {entry}"));
        }
        Ok(())
    }

    /// Holds every partition against its model.
    pub(super) fn check_all(&mut self) -> Result<(), Violation> {
        let store = self.store();
        for topic in &mut self.topics {
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                let log = store.log(topic.number, index as u32).unwrap();
                let flushed = log.offsets().flushed;
                let content = match read_all(&log, store.shared()) {
                    Ok(content) => content?,
                    Err(_) if self.may_fail => continue,
                    Err(error) => return Err(Violation::Lost(format!("{}: {error}", log.label))),
                };

                // A strict topic shows what is flushed; what is acked is visible everywhere.
                partition.check(&content)?;
                let records: Vec<_> = content.into_iter().collect();
                partition.see(&records, flushed)?;
            }
        }
        Ok(())
    }

    pub(super) fn settle_acks(&mut self) -> Result<(), Violation> {
        let acks = std::mem::take(&mut *self.acks.0.lock());
        for (awaited, code) in acks {
            let topic = self.topics.iter_mut().find(|t| t.id == awaited.topic_id);
            let Some(partition) = topic.and_then(|t| t.partitions.get_mut(awaited.partition))
            else {
                continue;
            };
            if code == Code::None {
                self.figures.acked_batches += 1;
                partition.acked(awaited.batch, awaited.base_offset)?;
            } else {
                for (spec, again) in &mut partition.client.waiting {
                    *again |= spec.id == awaited.batch;
                }
            }
        }
        Ok(())
    }
}

impl Topic {
    pub(super) fn spec(&self, is_existing: bool) -> TopicSpec {
        TopicSpec {
            name: self.name.clone(),
            topic_id: self.id,
            partitions: self.partitions.len() as u32,
            config: self.config.clone(),
            is_existing,
        }
    }
}
