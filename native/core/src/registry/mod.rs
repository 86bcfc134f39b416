//! One open data directory: its topics, their logs, and everything that serves them.
//!
//! A [`Store`] is shared by all threads of the process ([`stores`]). Topics are known by small
//! numbers, which mean the same in every thread.

pub mod channel;
mod closing;
pub mod compact;
mod controls;
pub mod deliver;
pub mod deliveries;
pub mod directory;
pub mod elsewhere;
pub mod format;
mod journal;
pub mod produce;
mod retention;
pub mod scrub;
pub mod shared_frames;
pub(crate) mod side_by_side;
mod space;
pub mod statistics;
pub mod stores;
pub mod upkeep;

use std::{
    cmp::Reverse,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use uuid::Uuid;

use crate::{
    env::{Env, Space},
    error::{Code, Error, Result},
    flush::{budget::DirtyBudget, figures::SyncFigures, scheduler::FlushScheduler, work::WorkPool},
    journal::JournalOptions,
    limits,
    log::{
        Log, LogOffsets, LogShared, Position, config::LogConfig, deleted::DeletedSegments,
        open::OpenLog, warnings::Warnings,
    },
    metadata::MetadataFile,
    recovery::{RecoveryEntry, RecoveryEvent, checkpoint::Checkpoint},
    segment::{cache::FileCache, maps::WindowCache, open_batches::OpenBatchCache},
    space::SpaceWatch,
};
use channel::Channel;
use directory::DataDirectory;
use scrub::Scrubbing;
use side_by_side::side_by_side;
use space::SpaceTold;
use upkeep::{Stop, Upkeep, UpkeepReport};

/// Time between two checkpoints at least.
const CHECKPOINT_INTERVAL_MS: u64 = 1000;
/// Threads that bring cold pages in, make windows ready and take large batches apart.
const WORK_THREADS_MAX: usize = 4;
/// Threads that create, open, close or remove logs side by side, at least and at most: they wait
/// for the disk more than they use a processor.
const SIDE_BY_SIDE_THREADS: std::ops::RangeInclusive<usize> = 8..=32;
const SIDE_BY_SIDE_THREADS_PER_PROCESSOR: usize = 4;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory; created when missing.
    pub data_directory: PathBuf,
    /// Threads that flush; 0 for simulations, which call [`Store::drive`].
    pub flush_threads_max: usize,
    /// Open descriptors to keep.
    pub descriptors_max: NonZeroUsize,
    /// When many logs are flushed together; `None` for never.
    pub journal: Option<JournalOptions>,
}

/// A topic to open.
#[derive(Debug, Clone)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its id.
    pub topic_id: Uuid,
    /// Number of partitions.
    pub partitions: u32,
    /// Its configuration.
    pub config: LogConfig,
    /// The catalogue knows it already: its directories must be there.
    pub is_existing: bool,
}

/// One open topic.
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub topic_id: Uuid,
    config: RwLock<Arc<LogConfig>>,
    logs: RwLock<Vec<Arc<Log>>>,
    /// Held while partitions are added or the topic ends: one of these at a time.
    changing: Mutex<()>,
    /// Where the next records without a key go.
    sticky: AtomicU32,
}

impl Topic {
    /// A partition's log.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`].
    pub fn log(&self, partition: u32) -> Result<Arc<Log>> {
        let logs = self.logs.read();
        let found = usize::try_from(partition).ok().and_then(|index| logs.get(index));
        found.cloned().ok_or_else(|| {
            let detail = format!("{} has {} partitions, not {partition}", self.name, logs.len());
            Error::new(Code::UnknownTopicOrPartition, detail)
        })
    }

    /// Number of partitions.
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.logs.read().len()).unwrap_or(u32::MAX)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }
}

/// One open data directory.
pub struct Store {
    directory: Arc<DataDirectory>,
    shared: Arc<LogShared>,
    metadata: MetadataFile,
    leader_epoch: u32,
    /// The run before this one stopped cleanly.
    was_clean: bool,
    /// The run before this one had recovered every log when it wrote the checkpoint.
    is_settled: bool,
    /// What the checkpoint says of logs that this run has not opened yet: it is as true as before,
    /// and goes into the next checkpoints.
    unopened: Mutex<Checkpoint>,
    /// Topics that were there when this run began, and that it has neither opened nor removed.
    unopened_topics: Mutex<HashSet<Uuid>>,
    topics: RwLock<Vec<Option<Arc<Topic>>>>,
    report: Mutex<Vec<RecoveryEntry>>,
    checkpointed: Mutex<Checkpoint>,
    /// A log was found shorter than the checkpoint says: what is appended now must not be believed
    /// durable by the old one.
    is_checkpoint_stale: AtomicBool,
    /// Logs that had records were asked for and did not come to be open: recovery may have changed
    /// files of theirs, and nobody has synced them.
    is_part_unsettled: AtomicBool,
    /// Held while topics are opened, so that none is opened twice.
    opening: Mutex<()>,
    /// Shared by those who change files other than those of open logs.
    changing_files: RwLock<()>,
    /// Of the event loops that use the store.
    channels: Mutex<Vec<Weak<Channel>>>,
    checkpoint_failures: AtomicU64,
    /// Of those that work on many logs side by side.
    threads_max: usize,
    upkeep: Mutex<Upkeep>,
    upkeep_report: Mutex<UpkeepReport>,
    scrubbing: Mutex<Scrubbing>,
    space_told: SpaceTold,
    /// Ends the thread that deletes, or wakes it.
    retention_stop: Arc<Stop>,
    /// Held by whoever checks a partition.
    verifying: Mutex<()>,
    /// Logs asked for and logs opened.
    logs_asked: AtomicU32,
    logs_opened: AtomicU32,
}

/// How far the opening of topics has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpeningProgress {
    /// Partitions that are open.
    pub opened: u32,
    /// Those and the ones that are still being opened.
    pub asked: u32,
}

impl Store {
    /// Opens a data directory, or creates it, and locks it. Waits for the disk. Topics are
    /// opened by [`open_topics`](Self::open_topics).
    ///
    /// # Errors
    /// Those of [`DataDirectory::open`] and [`MetadataFile::open`].
    pub fn open(env: Env, options: StoreOptions) -> Result<Arc<Self>> {
        let directory = Arc::new(DataDirectory::open(&env, &options.data_directory)?);
        directory.check_metadata(&env)?;
        let space = SpaceWatch::open(Arc::clone(&env.files), &directory.path)?;
        let metadata = MetadataFile::open(&env, &directory.path, Arc::clone(&space))?;
        let mut recovered = Checkpoint::load(&*env.files, &directory.path)?;
        let unopened_topics: HashSet<Uuid> = directory.topic_ids(&env)?.into_iter().collect();
        let is_new = recovered.is_none() && unopened_topics.is_empty();
        let was_clean = recovered.as_ref().is_some_and(|checkpoint| checkpoint.is_clean);
        let last_epoch = u32::try_from(metadata.leader_epoch()?).ok();
        // Else the run that wrote it is not the last: another began to recover, and may have
        // changed files without living to sync them.
        let is_settled = last_epoch.is_some()
            && recovered.as_ref().is_some_and(|checkpoint| checkpoint.leader_epoch == last_epoch);
        // After anything but a clean stop a tail may have been cut: clients notice by the epoch.
        let leader_epoch = if was_clean || is_new {
            metadata.leader_epoch()?
        } else {
            metadata.raise_leader_epoch()?
        };
        let leader_epoch = u32::try_from(leader_epoch)
            .map_err(|_| Error::new(Code::DataDamaged, "the leader epoch is out of range"))?;
        let threads_max = side_by_side_threads(&options);
        let start = journal::Start { env: &env, directory: &directory, space: &space, threads_max };
        let mut report = Vec::new();
        let checkpointed = start.settle(&mut recovered, &mut report)?;
        let shared = shared(env, space, &options, &directory)?;
        let store = Arc::new(Self {
            directory,
            shared: Arc::new(shared),
            metadata,
            leader_epoch,
            unopened: Mutex::new(recovered.unwrap_or_default()),
            unopened_topics: Mutex::new(unopened_topics),
            was_clean,
            is_settled,
            topics: RwLock::default(),
            report: Mutex::new(report),
            checkpointed: Mutex::new(checkpointed),
            is_checkpoint_stale: AtomicBool::new(false),
            is_part_unsettled: AtomicBool::new(false),
            opening: Mutex::default(),
            changing_files: RwLock::default(),
            channels: Mutex::default(),
            checkpoint_failures: AtomicU64::new(0),
            threads_max,
            upkeep: Mutex::default(),
            upkeep_report: Mutex::default(),
            scrubbing: Mutex::default(),
            space_told: SpaceTold::default(),
            retention_stop: Arc::default(),
            verifying: Mutex::default(),
            logs_asked: AtomicU32::new(0),
            logs_opened: AtomicU32::new(0),
        });
        store.schedule_checkpoint();
        store.watch_journal();
        Ok(store)
    }

    /// Names the cluster that the data belongs to.
    pub fn cluster_id(&self) -> &str {
        &self.directory.cluster_id
    }

    /// The metadata file.
    pub fn metadata(&self) -> &MetadataFile {
        &self.metadata
    }

    /// What the logs share.
    pub fn shared(&self) -> &Arc<LogShared> {
        &self.shared
    }

    /// How many of the partitions that were asked for since the store was opened are open.
    pub fn opening_progress(&self) -> OpeningProgress {
        // In this order: another that is asked for meanwhile must not seem to be open.
        let opened = self.logs_opened.load(Ordering::Acquire);
        OpeningProgress { opened, asked: self.logs_asked.load(Ordering::Acquire) }
    }

    /// Takes what recovery found since the last call.
    pub fn take_report(&self) -> Vec<RecoveryEntry> {
        std::mem::take(&mut *self.report.lock())
    }

    /// Opens topics: creates what is missing, durably, recovers what is there, side by side.
    /// Returns their numbers in the order of `specs`. Waits for the disk.
    ///
    /// A topic that is open, because another thread has opened it, is answered with its number and
    /// stays as it is: its configuration, and partitions that were added since, are those of the
    /// thread that changes topics.
    ///
    /// # Errors
    /// - [`Code::InvalidArgument`] when a topic is open under another name or with fewer
    ///   partitions, or is named twice.
    /// - The first failure; then none of the topics that were not open is.
    pub fn open_topics(self: &Arc<Self>, specs: &[TopicSpec]) -> Result<Vec<u32>> {
        let _one_at_a_time = self.opening.lock();
        let _changing = self.change_files()?;
        let known = self.numbers_if_open(specs)?;
        let is_missing = known.iter().map(Option::is_none);
        let missing: Vec<_> = specs
            .iter()
            .zip(is_missing)
            .filter(|(_, is)| *is)
            .map(|(spec, _)| spec.clone())
            .collect();
        let opened = self.open_missing_topics(&missing);
        if opened.is_err() && missing.iter().any(|spec| spec.is_existing) {
            self.is_part_unsettled.store(true, Ordering::Release);
        }
        let mut opened = opened?.into_iter();
        Ok(known.into_iter().filter_map(|number| number.or_else(|| opened.next())).collect())
    }

    fn open_missing_topics(self: &Arc<Self>, specs: &[TopicSpec]) -> Result<Vec<u32>> {
        let mut jobs = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            self.prepare_directories(spec, 0)?;
            jobs.extend((0..spec.partitions).map(|partition| (index, partition)));
        }
        let mut logs = self.open_logs(specs, &jobs)?;
        self.replace_stale_checkpoint()?;
        let mut numbers = Vec::with_capacity(specs.len());
        for spec in specs.iter().rev() {
            let of_topic =
                logs.split_off(logs.len() - usize::try_from(spec.partitions).unwrap_or(0));
            let topic = Topic {
                name: spec.name.clone(),
                topic_id: spec.topic_id,
                config: RwLock::new(Arc::new(spec.config.clone())),
                logs: RwLock::new(of_topic),
                changing: Mutex::default(),
                sticky: AtomicU32::new(0),
            };
            numbers.push(self.add_topic(topic)?);
        }
        numbers.reverse();
        Ok(numbers)
    }

    /// Grows a topic to `partitions`. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::InvalidPartitions`] when it would not grow, or why they could not be created.
    pub fn add_partitions(self: &Arc<Self>, topic: u32, partitions: u32) -> Result<()> {
        let number = topic;
        let _changing = self.change_files()?;
        let topic = self.topic(number)?;
        let _one_at_a_time = topic.changing.lock();
        // It may have ended meanwhile.
        self.topic(number)?;
        let count = topic.partition_count();
        if partitions <= count {
            let detail = format!("{} has {count} partitions already", topic.name);
            return Err(Error::new(Code::InvalidPartitions, detail));
        }
        let spec = TopicSpec {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions,
            config: (*topic.config()).clone(),
            is_existing: false,
        };
        self.prepare_directories(&spec, count)?;
        let jobs: Vec<_> = (count..partitions).map(|partition| (0, partition)).collect();
        let added = self.open_logs(std::slice::from_ref(&spec), &jobs)?;
        let mut logs = topic.logs.write();
        // The configuration may have changed meanwhile; later changes find the new logs.
        for log in &added {
            log.configure(topic.config());
        }
        logs.extend(added);
        Ok(())
    }

    /// The numbers of those of `specs` that are open already.
    fn numbers_if_open(&self, specs: &[TopicSpec]) -> Result<Vec<Option<u32>>> {
        let mut wanted = HashMap::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            if wanted.insert(spec.topic_id, (index, spec)).is_some() {
                let detail = format!("{} ({}) is named twice", spec.name, spec.topic_id);
                return Err(Error::new(Code::InvalidArgument, detail));
            }
        }
        let mut numbers = vec![None; specs.len()];
        for (number, topic) in (0..).zip(&*self.topics.read()) {
            let Some(topic) = topic else { continue };
            let Some((index, spec)) = wanted.get(&topic.topic_id) else { continue };
            let count = topic.partition_count();
            if topic.name != spec.name || count < spec.partitions {
                let detail = format!(
                    "{} is open as {} with {count} partitions, not as {} with {}",
                    spec.topic_id, topic.name, spec.name, spec.partitions
                );
                return Err(Error::new(Code::InvalidArgument, detail));
            }
            if let Some(slot) = numbers.get_mut(*index) {
                *slot = Some(number);
            }
        }
        Ok(numbers)
    }

    fn replace_stale_checkpoint(&self) -> Result<()> {
        if self.is_checkpoint_stale.load(Ordering::Acquire) {
            if self.write_checkpoint().is_err() {
                let mut last = self.checkpointed.lock();
                Checkpoint::remove(&*self.shared.env.files, &self.directory.path)?;
                *last = Checkpoint::default();
            }
            self.is_checkpoint_stale.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn prepare_directories(&self, spec: &TopicSpec, from: u32) -> Result<()> {
        if !spec.is_existing {
            let env = &self.shared.env;
            let partitions = from..spec.partitions;
            let (name, topic_id) = (&spec.name, spec.topic_id);
            let threads_max = self.threads_max;
            return self.directory.create_partitions(env, name, topic_id, partitions, threads_max);
        }
        // Opening finds out whether they are there.
        Ok(())
    }

    /// Opens logs on several threads; the result is in the order of `jobs`.
    fn open_logs(&self, specs: &[TopicSpec], jobs: &[(usize, u32)]) -> Result<Vec<Arc<Log>>> {
        let configs: Vec<_> = specs.iter().map(|spec| Arc::new(spec.config.clone())).collect();
        let asked = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        self.logs_asked.fetch_add(asked, Ordering::AcqRel);
        let open = |(spec_index, partition): &(usize, u32)| {
            let (spec, config) = (specs.get(*spec_index)?, configs.get(*spec_index)?);
            let log = self.open_log(spec, Arc::clone(config), *partition);
            self.logs_opened.fetch_add(1, Ordering::AcqRel);
            Some(log)
        };
        side_by_side(self.threads_max, jobs, open).into_iter().flatten().collect()
    }

    fn open_log(
        &self,
        spec: &TopicSpec,
        config: Arc<LogConfig>,
        partition: u32,
    ) -> Result<Arc<Log>> {
        let key = (*spec.topic_id.as_bytes(), partition);
        let checkpoint = self.unopened.lock().logs.get(&key).copied();
        let open = OpenLog {
            label: format!("{}-{partition}", spec.name),
            key,
            directory: self.directory.partition(spec.topic_id, partition).into(),
            config,
            leader_epoch: self.leader_epoch,
            checkpoint,
            was_clean: self.was_clean,
            is_settled: self.is_settled,
        };
        let mut report = Vec::new();
        // What a first try has found and settled a second one does not see again.
        let log = self.shared.space.with_reserve(|| {
            let mut found = Vec::new();
            let log = Log::open(Arc::clone(&self.shared), open.clone(), &mut found);
            found.retain(|entry| !report.contains(entry));
            report.append(&mut found);
            log
        })?;
        let place = |position: Position| (position.segment_base, position.position);
        if let (Some(before), Some(now)) = (checkpoint, log.checkpoint_mark())
            && place(now.flushed) < place(before.flushed)
        {
            self.unopened.lock().logs.remove(&key);
            self.is_checkpoint_stale.store(true, Ordering::Release);
        }
        self.report.lock().append(&mut report);
        Ok(log)
    }

    fn add_topic(&self, topic: Topic) -> Result<u32> {
        let mut topics = self.topics.write();
        // Looked at under the lock under which `close` takes the topics: none escapes it.
        self.check_open()?;
        let number = u32::try_from(topics.len())
            .map_err(|_| Error::new(Code::UnknownServerError, "topic numbers are used up"))?;
        let (topic_id, partitions) = (*topic.topic_id.as_bytes(), topic.partition_count());
        self.unopened_topics.lock().remove(&topic.topic_id);
        topics.push(Some(Arc::new(topic)));
        drop(topics);
        // Only now: in between a checkpoint takes what both say, and the log knows better.
        let logs = &mut self.unopened.lock().logs;
        for partition in 0..partitions {
            logs.remove(&(topic_id, partition));
        }
        if logs.is_empty() {
            *logs = HashMap::new();
        }
        Ok(number)
    }

    /// An open topic by its number.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`] when it was closed or deleted.
    pub fn topic(&self, number: u32) -> Result<Arc<Topic>> {
        let topics = self.topics.read();
        let found = usize::try_from(number).ok().and_then(|index| topics.get(index));
        found.cloned().flatten().ok_or_else(|| {
            Error::new(Code::UnknownTopicOrPartition, format!("topic number {number}"))
        })
    }

    /// A log by its topic's number and its partition.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`].
    pub fn log(&self, topic: u32, partition: u32) -> Result<Arc<Log>> {
        self.topic(topic)?.log(partition)
    }

    /// The offsets of a partition.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`].
    pub fn offsets(&self, topic: u32, partition: u32) -> Result<LogOffsets> {
        Ok(self.log(topic, partition)?.offsets())
    }

    /// Bytes on disk of each partition of a topic.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`].
    pub fn log_bytes(&self, topic: u32) -> Result<Vec<u64>> {
        Ok(self.topic(topic)?.logs.read().iter().map(|log| log.bytes()).collect())
    }

    /// Space of the file system that holds the data directory. Asks the system: it may wait.
    ///
    /// # Errors
    /// [`Code::KafkaStorageError`].
    pub fn space(&self) -> Result<Space> {
        let path = &self.directory.path;
        self.shared.env.files.space(path).map_err(|error| {
            Error::io(format_args!("asking for the space of {}", path.display()), &error)
        })
    }

    /// Changes a topic's configuration; it counts from the next append on.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`].
    pub fn configure_topic(&self, topic: u32, config: LogConfig) -> Result<()> {
        let topic = self.topic(topic)?;
        let config = Arc::new(config);
        *topic.config.write() = Arc::clone(&config);
        for log in &*topic.logs.read() {
            log.configure(Arc::clone(&config));
        }
        self.space_told.note_reconfigured();
        Ok(())
    }

    /// Ends a topic for good and removes its files. The number is dead at once, in every thread,
    /// and every channel is told; the call returns when the files are unlinked. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`], or why files could not be removed.
    pub fn delete_topic(&self, number: u32) -> Result<()> {
        let _changing = self.change_files()?;
        let topic = self.topic(number)?;
        let _one_at_a_time = topic.changing.lock();
        if let Ok(index) = usize::try_from(number)
            && let Some(slot) = self.topics.write().get_mut(index)
        {
            *slot = None;
        }
        let logs = std::mem::take(&mut *topic.logs.write());
        for log in &logs {
            log.delete();
        }
        self.tell([channel::EVENT_UNMAP, f64::from(number), 0.0]);
        self.remove_files_of_topic(topic.topic_id)
    }

    /// Removes the files of a topic that is not open: a deletion that a stop interrupted.
    ///
    /// # Errors
    /// Why files could not be removed.
    pub fn remove_topic_files(&self, topic_id: Uuid) -> Result<()> {
        let _changing = self.change_files()?;
        self.forget_unopened(topic_id);
        self.remove_files_of_topic(topic_id)
    }

    fn remove_files_of_topic(&self, topic_id: Uuid) -> Result<()> {
        let LogShared { space, env, .. } = &*self.shared;
        let removed =
            space.with_reserve(|| self.directory.remove_topic(env, topic_id, self.threads_max));
        space.note_freed();
        removed
    }

    fn forget_unopened(&self, topic_id: Uuid) {
        self.unopened.lock().logs.retain(|(id, _), _| id != topic_id.as_bytes());
        self.unopened_topics.lock().remove(&topic_id);
    }

    /// Moves directories of topics that are not open out of the way, and reports each.
    ///
    /// # Errors
    /// An I/O error.
    pub fn set_aside_unclaimed(&self) -> Result<()> {
        // A topic that is being opened has directories before it is in the list.
        let _none_is_being_opened = self.opening.lock();
        let _changing = self.change_files()?;
        let claimed: Vec<Uuid> =
            self.topics.read().iter().flatten().map(|topic| topic.topic_id).collect();
        for topic_id in self.directory.topic_ids(&self.shared.env)? {
            if !claimed.contains(&topic_id) {
                let path =
                    self.directory.set_aside(&self.shared.env, &self.shared.space, topic_id)?;
                let path = path.display().to_string();
                let event = RecoveryEvent::SetAside { path };
                self.report.lock().push(RecoveryEntry { subject: topic_id.to_string(), event });
            }
        }
        // What has no directory either is nobody's.
        self.unopened.lock().logs = HashMap::new();
        *self.unopened_topics.lock() = HashSet::new();
        Ok(())
    }

    /// Has the channel told of what concerns every event loop, as long as it lives.
    pub fn attach(&self, channel: &Arc<Channel>) {
        let mut channels = self.channels.lock();
        channels.retain(|other| other.strong_count() > 0);
        channels.push(Arc::downgrade(channel));
    }

    fn tell(&self, event: channel::Event) {
        for channel in self.channels.lock().iter().filter_map(Weak::upgrade) {
            channel.post(event);
        }
    }

    /// Lets the caller change files other than those of open logs until it drops the answer, for
    /// which [`close`](Self::close) waits.
    fn change_files(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let changing = self.changing_files.read();
        self.check_open()?;
        Ok(changing)
    }

    fn check_open(&self) -> Result<()> {
        if self.shared.is_closing() {
            return Err(Error::new(Code::ShuttingDown, "the store is closed"));
        }
        Ok(())
    }

    fn schedule_checkpoint(self: &Arc<Self>) {
        let store = Arc::downgrade(self);
        let write = move || {
            let Some(store) = store.upgrade() else { return };
            if store.shared.is_closing() {
                return;
            }
            store.shared.open_batches.sweep();
            store.flush_dirtiest();
            // A checkpoint that cannot be written costs the next start time, nothing else.
            if store.write_checkpoint().is_err() {
                store.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(journal) = store.shared.scheduler.journal() {
                journal.drain_if_due();
                store.shared.scheduler.sync_behind();
            }
            store.schedule_checkpoint();
        };
        let work = Arc::clone(&self.shared.work);
        self.shared
            .scheduler
            .after(CHECKPOINT_INTERVAL_MS, Box::new(move || work.spawn(Box::new(write))));
    }

    /// Where the dirty budget is exhausted, flushes the logs that hold most of it. Topics need not
    /// ask for flushes at all: many that are written to a little would hold it for ever, and every
    /// append would be another thread's.
    fn flush_dirtiest(&self) {
        let mut bytes_left = self.shared.dirty.bytes_to_flush();
        if bytes_left == 0 {
            return;
        }
        let mut dirty = Vec::new();
        for topic in self.topics.read().iter().flatten() {
            for log in &*topic.logs.read() {
                dirty.push((log.dirty_bytes(), Arc::clone(log)));
            }
        }
        dirty.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        for (bytes, log) in dirty {
            if bytes == 0 || bytes_left == 0 {
                break;
            }
            log.mark_dirty();
            bytes_left = bytes_left.saturating_sub(bytes);
        }
    }

    /// Stores how far every log is flushed, if that has changed. Waits for the disk.
    ///
    /// # Errors
    /// An I/O error; the checkpoint before is then still good.
    pub fn write_checkpoint(&self) -> Result<()> {
        // One at a time: an older one must not take the place of a newer.
        let mut last = self.checkpointed.lock();
        // Before the topics are looked at: a log that is opened meanwhile is in one of both.
        let mut current = self.unopened.lock().clone();
        current.is_clean = false;
        if current.logs.is_empty() {
            current.leader_epoch = Some(self.leader_epoch);
        }
        for topic in self.topics.read().iter().flatten() {
            for (partition, log) in topic.logs.read().iter().enumerate() {
                let partition = u32::try_from(partition).unwrap_or(u32::MAX);
                let key = (*topic.topic_id.as_bytes(), partition);
                match log.checkpoint_mark() {
                    Some(mark) => current.logs.insert(key, mark),
                    None => current.logs.remove(&key),
                };
            }
        }
        // Nothing replaces the one that a clean stop wrote.
        if self.shared.is_closing() {
            return Ok(());
        }
        if *last != current {
            current.store(&*self.shared.env.files, &self.directory.path)?;
            *last = current;
        }
        if let Some(journal) = self.shared.scheduler.journal() {
            journal.reclaim(&last);
        }
        Ok(())
    }

    /// Does everything that is due now on the caller's thread, for simulations.
    pub fn drive(&self) {
        self.shared.scheduler.drive();
        self.shared.work.drive();
    }
}

/// Threads that work on many logs, of which a simulation has none of its own.
fn side_by_side_threads(options: &StoreOptions) -> usize {
    if options.flush_threads_max == 0 {
        return 1;
    }
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let wanted = processors.saturating_mul(SIDE_BY_SIDE_THREADS_PER_PROCESSOR);
    wanted.clamp(*SIDE_BY_SIDE_THREADS.start(), *SIDE_BY_SIDE_THREADS.end())
}

/// What the logs of a store share; without threads for a simulation.
fn shared(
    env: Env,
    space: Arc<SpaceWatch>,
    options: &StoreOptions,
    directory: &Arc<DataDirectory>,
) -> Result<LogShared> {
    let threads_max = if options.flush_threads_max == 0 { 0 } else { WORK_THREADS_MAX };
    // Half of the files may be unsynced, so that the cache can hold others, too.
    let files_max = env.limits.descriptors_for_files(options.descriptors_max.get());
    let descriptors_max = NonZeroUsize::new(files_max).unwrap_or(NonZeroUsize::MIN);
    let work = Arc::new(WorkPool::new("millrace-work", threads_max));
    let dirty = Arc::new(DirtyBudget::new(files_max.div_ceil(2)));
    let journal = journal::open(&env, options, directory, &space, (&dirty, &work))?;
    let clock = Arc::clone(&env.clock);
    Ok(LogShared {
        files: FileCache::new(Arc::clone(&env.files), descriptors_max),
        windows: WindowCache::new(limits::READ_WINDOWS_BYTES_MAX, env.limits),
        open_batches: OpenBatchCache::new(limits::OPEN_BATCHES_BYTES_MAX),
        work,
        scheduler: FlushScheduler::new(options.flush_threads_max, clock, journal),
        dirty,
        space,
        deleted: DeletedSegments::default(),
        is_closing: AtomicBool::new(false),
        is_sealing_due: AtomicBool::new(false),
        warnings: Warnings::default(),
        syncs: SyncFigures::default(),
        hint_failures: AtomicU64::new(0),
        damage_failures: AtomicU64::new(0),
        env,
    })
}
