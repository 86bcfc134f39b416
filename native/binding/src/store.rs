//! Opening and closing stores, topics and channels.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use millrace_core::{
    batch::TimestampType,
    compression::Codec,
    error::{Code, Error},
    flush::figures::SyncCounts,
    journal::JournalOptions,
    layout,
    log::{
        config::{LogConfig, WriterChoice},
        epochs::EpochEnd,
        time::TimedOffset,
    },
    pattern,
    registry::{
        StoreOptions, TopicSpec,
        channel::{Channel, long_work_threads},
        stores::{Place, Role},
        upkeep::{UpkeepEntry, UpkeepOptions},
    },
};
use napi::{
    Env,
    bindgen_prelude::{AsyncTask, Float64Array, Float64ArraySlice, Function, Uint32Array},
};
use napi_derive::napi;

use crate::{
    error::{invalid, to_js},
    handles,
    job::Job,
    scratch,
    wake::Wake,
};

/// How a store is opened.
#[napi(object)]
pub struct NativeStoreOptions {
    /// The data directory; created when missing. Not touched when `memory` is set.
    pub data_directory: String,
    /// Keep everything in memory; gone when the store is closed.
    pub memory: bool,
    /// With `memory`: those who open the same name share a store.
    pub memory_name: Option<String>,
    /// To decide what topics there are; a store has one such user at a time.
    pub is_owner: bool,
    /// With `memory`: bytes after which the store is full; 0 for no bound.
    pub memory_bytes_max: f64,
    /// Threads that flush, 1 to 64.
    pub flush_threads_max: u32,
    /// Open descriptors to keep, at least 16.
    pub descriptors_max: u32,
    /// Flush many logs together by a journal where many wait.
    pub has_journal: bool,
}

/// What the logs of a topic act on. Numbers beyond 2^53 mean never.
#[napi(object)]
pub struct NativeTopicConfig {
    /// `flush.messages`.
    pub flush_messages: f64,
    /// `flush.ms`.
    pub flush_ms: f64,
    /// `segment.bytes`.
    pub segment_bytes: f64,
    /// `segment.ms`.
    pub segment_ms: f64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: f64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: f64,
    /// `max.message.bytes`.
    pub message_bytes_max: f64,
    /// `cleanup.policy` holds `compact`.
    pub is_compacted: bool,
    /// `retention.ms`; absent: for ever.
    pub retention_ms: Option<f64>,
    /// `retention.bytes`; absent: no bound.
    pub retention_bytes: Option<f64>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: f64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: f64,
    /// `min.cleanable.dirty.ratio`.
    pub dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`.
    pub compaction_lag_ms_min: f64,
    /// `max.compaction.lag.ms`.
    pub compaction_lag_ms_max: f64,
    /// A topic of the broker's own: it may use the last of the disk.
    pub is_internal: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub is_log_append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_ms_max: f64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_ms_max: f64,
    /// `compression.type` as Kafka's codec number; -1 for `producer`.
    pub codec: i32,
    /// Level for the codec; absent for its default.
    pub compression_level: Option<i32>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// How bytes get into the file: "automatic", "pwrite" or "mapped".
    pub writer: String,
}

/// A topic to open.
#[napi(object)]
pub struct NativeTopicSpec {
    /// Its name.
    pub name: String,
    /// Its id, a UUID.
    pub topic_id: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Its configuration.
    pub config: NativeTopicConfig,
    /// The catalogue knows it already.
    pub is_existing: bool,
}

/// What recovery did to one partition or directory.
#[napi(object)]
pub struct NativeRecoveryEntry {
    /// Partition or path.
    pub subject: String,
    /// What was found, for people.
    pub detail: String,
}

/// Opens or creates a data directory, or shares the store of this process that has it open;
/// resolves to a number for it, which is the caller's own. The store is closed with its last one.
#[napi(ts_return_type = "Promise<number>")]
pub fn open_store(env: &Env, options: NativeStoreOptions) -> napi::Result<AsyncTask<Job<u32>>> {
    let number = handles::reserve_store(env)?;
    Ok(Job::start(move || {
        let place = if options.memory {
            let bytes_max = options.memory_bytes_max;
            let bytes_max = (bytes_max > 0.0).then_some(whole(bytes_max));
            Place::Memory { name: options.memory_name, bytes_max }
        } else {
            Place::Disk
        };
        let descriptors_max = usize::try_from(options.descriptors_max.max(16)).unwrap_or(16);
        let store_options = StoreOptions {
            data_directory: PathBuf::from(&options.data_directory),
            flush_threads_max: usize::try_from(options.flush_threads_max.clamp(1, 64)).unwrap_or(1),
            descriptors_max: NonZeroUsize::new(descriptors_max).unwrap_or(NonZeroUsize::MIN),
            journal: options.has_journal.then(JournalOptions::default),
        };
        let role = if options.is_owner { Role::Owner } else { Role::Guest };
        let share = handles::OPEN_STORES.open(place, store_options, role).inspect_err(|_| {
            handles::take_store(number);
        })?;
        match handles::fill_store(number, share) {
            Ok(()) => Ok(number),
            Err(share) => {
                share.close()?;
                Err(Error::new(Code::ShuttingDown, "the thread that opened the store has ended"))
            }
        }
    }))
}

/// Names the cluster that the data belongs to.
#[napi]
pub fn cluster_id(store: u32) -> napi::Result<String> {
    Ok(handles::store(store)?.cluster_id().to_owned())
}

/// Takes what recovery found since the last call.
#[napi]
pub fn take_recovery_report(store: u32) -> napi::Result<Vec<NativeRecoveryEntry>> {
    let entries = handles::store(store)?.take_report();
    let converted = entries
        .into_iter()
        .map(|entry| NativeRecoveryEntry { detail: entry.to_string(), subject: entry.subject })
        .collect();
    Ok(converted)
}

/// Does what is queued on the channel's thread, flushes everything and ends the store's number,
/// which is dead at once. The last number of a store closes it: writes a clean checkpoint and
/// unlocks the directory.
#[napi(ts_return_type = "Promise<void>")]
pub fn close_store(store: u32, channel: u32) -> napi::Result<AsyncTask<Job<()>>> {
    let state = handles::event_loop(channel)?;
    let share = handles::take_store(store);
    Ok(Job::start(move || {
        state.channel.finish();
        share.map_or(Ok(()), |share| share.close())
    }))
}

/// Opens a channel to a store. `wake` is called on this thread, without arguments, when there is
/// something for [`drain_channel`]. The channel alone does not keep the event loop from ending:
/// see [`hold_channel`].
#[napi(ts_args_type = "store: number, wake: () => void")]
pub fn open_channel(env: &Env, store: u32, wake: Function<'_, (), ()>) -> napi::Result<u32> {
    let store = handles::store(store)?;
    let wake = Arc::new(Wake::new(&wake)?);
    let woken = Arc::clone(&wake);
    let channel = Channel::new(long_work_threads(), Box::new(move || woken.call()));
    store.attach(&channel);
    handles::add_loop(env, channel, wake)
}

/// Keeps the event loop from ending while something is expected of the channel, or lets it.
#[napi]
pub fn hold_channel(env: &Env, channel: u32, is_held: bool) -> napi::Result<()> {
    handles::event_loop(channel)?.wake.hold(env, is_held)
}

/// Takes events: triples of kind and two numbers, into `events`. Returns how many numbers were
/// written; call again until it is 0.
#[napi]
pub fn drain_channel(channel: u32, mut events: Float64ArraySlice<'_>) -> napi::Result<u32> {
    let state = handles::event_loop(channel)?;
    let written = state.channel.drain_into(scratch::numbers(&mut events));
    Ok(u32::try_from(written).unwrap_or(u32::MAX))
}

/// Closes a channel; what is posted to it afterwards is dropped.
#[napi]
pub fn close_channel(channel: u32) {
    if let Some(state) = handles::take_loop(channel) {
        state.channel.close();
    }
}

/// Opens topics, creating what is missing; resolves to their numbers, which are those of the
/// threads that have them open already.
#[napi(ts_return_type = "Promise<Array<number>>")]
pub fn open_topics(
    store: u32,
    specs: Vec<NativeTopicSpec>,
) -> napi::Result<AsyncTask<Job<Vec<u32>>>> {
    let store = handles::store(store)?;
    let specs = specs.into_iter().map(spec).collect::<napi::Result<Vec<_>>>()?;
    Ok(Job::start(move || store.open_topics(&specs)))
}

/// How far the opening of topics has come.
#[napi(object)]
pub struct NativeOpeningProgress {
    /// Partitions that are open.
    pub opened: u32,
    /// Those and the ones that are still being opened.
    pub asked: u32,
}

/// How many of the partitions asked for since the store was opened are open.
#[napi]
pub fn opening_progress(store: u32) -> napi::Result<NativeOpeningProgress> {
    let progress = handles::store(store)?.opening_progress();
    Ok(NativeOpeningProgress { opened: progress.opened, asked: progress.asked })
}

/// Grows a topic to `partitions`.
#[napi(ts_return_type = "Promise<void>")]
pub fn add_partitions(store: u32, topic: u32, partitions: u32) -> napi::Result<AsyncTask<Job<()>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || store.add_partitions(topic, partitions)))
}

/// Changes a topic's configuration from the next append on.
#[napi]
pub fn configure_topic(store: u32, topic: u32, config: NativeTopicConfig) -> napi::Result<()> {
    let config = log_config(&config)?;
    handles::store(store)?.configure_topic(topic, config).map_err(|error| to_js(&error))
}

/// Ends a topic and unlinks its files.
#[napi(ts_return_type = "Promise<void>")]
pub fn delete_topic(store: u32, topic: u32) -> napi::Result<AsyncTask<Job<()>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || store.delete_topic(topic)))
}

/// Unlinks the files of a topic that is not open: a deletion that a stop interrupted.
#[napi(ts_return_type = "Promise<void>")]
pub fn remove_topic_files(store: u32, topic_id: String) -> napi::Result<AsyncTask<Job<()>>> {
    let store = handles::store(store)?;
    let topic_id = uuid(&topic_id)?;
    Ok(Job::start(move || store.remove_topic_files(topic_id)))
}

/// Moves directories that no open topic claims out of the way; the recovery report tells which.
#[napi(ts_return_type = "Promise<void>")]
pub fn set_aside_unclaimed(store: u32) -> napi::Result<AsyncTask<Job<()>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || store.set_aside_unclaimed()))
}

/// Writes log start, high watermark, log end, flushed end and leader epoch of a partition.
#[napi]
pub fn partition_offsets(
    store: u32,
    topic: u32,
    partition: u32,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<()> {
    let store = handles::store(store)?;
    let offsets = store.offsets(topic, partition).map_err(|error| to_js(&error))?;
    let values = [
        offsets.log_start as f64,
        offsets.high_watermark as f64,
        offsets.log_end as f64,
        offsets.flushed as f64,
        f64::from(offsets.leader_epoch),
    ];
    for (slot, value) in scratch::numbers(&mut result).iter_mut().zip(values) {
        *slot = value;
    }
    Ok(())
}

/// Resolves to offset, timestamp and leader epoch of the first record at or after a time, or to an
/// empty array.
#[napi(ts_return_type = "Promise<Float64Array>")]
pub fn offset_for_time(
    store: u32,
    topic: u32,
    partition: u32,
    timestamp_ms: f64,
) -> napi::Result<AsyncTask<Job<Float64Array>>> {
    let store = handles::store(store)?;
    let log = store.log(topic, partition).map_err(|error| to_js(&error))?;
    Ok(Job::start(move || Ok(timed(log.offset_for_time(timestamp_ms as i64)?))))
}

/// As `offsetForTime`, of the first record that carries the largest timestamp.
#[napi(ts_return_type = "Promise<Float64Array>")]
pub fn offset_of_max_timestamp(
    store: u32,
    topic: u32,
    partition: u32,
) -> napi::Result<AsyncTask<Job<Float64Array>>> {
    let store = handles::store(store)?;
    let log = store.log(topic, partition).map_err(|error| to_js(&error))?;
    Ok(Job::start(move || Ok(timed(log.offset_of_max_timestamp()?))))
}

fn timed(found: Option<TimedOffset>) -> Float64Array {
    let numbers = found.map(|TimedOffset { offset, timestamp_ms, leader_epoch }| {
        vec![offset as f64, timestamp_ms as f64, f64::from(leader_epoch)]
    });
    Float64Array::new(numbers.unwrap_or_default())
}

/// Resolves to the largest leader epoch at or below `epoch` and the offset where it ended, or to an
/// empty array when it is still to come.
#[napi(ts_return_type = "Promise<Float64Array>")]
pub fn end_of_leader_epoch(
    store: u32,
    topic: u32,
    partition: u32,
    epoch: i32,
) -> napi::Result<AsyncTask<Job<Float64Array>>> {
    let store = handles::store(store)?;
    let log = store.log(topic, partition).map_err(|error| to_js(&error))?;
    Ok(Job::start(move || {
        let numbers =
            log.end_of_leader_epoch(epoch)?.map(|EpochEnd { leader_epoch, end_offset }| {
                vec![f64::from(leader_epoch), end_offset as f64]
            });
        Ok(Float64Array::new(numbers.unwrap_or_default()))
    }))
}

/// Bytes on disk of each partition of a topic.
#[napi]
pub fn log_bytes(store: u32, topic: u32) -> napi::Result<Float64Array> {
    let bytes = handles::store(store)?.log_bytes(topic).map_err(|error| to_js(&error))?;
    Ok(Float64Array::new(bytes.into_iter().map(|bytes| bytes as f64).collect()))
}

/// The producers that numbered their records in a partition, four numbers each: id, epoch, sequence
/// number of the last record, time of the last append.
#[napi]
pub fn active_producers(store: u32, topic: u32, partition: u32) -> napi::Result<Float64Array> {
    let store = handles::store(store)?;
    let log = store.log(topic, partition).map_err(|error| to_js(&error))?;
    let numbers = log.producers().into_iter().flat_map(|producer| {
        [
            producer.producer_id as f64,
            f64::from(producer.epoch),
            f64::from(producer.last_sequence),
            producer.last_append_ms as f64,
        ]
    });
    Ok(Float64Array::new(numbers.collect()))
}

/// The indexes of the names that `pattern` matches as a whole, in rising order. In `names` each of
/// the `nameCount` names is followed by a line feed.
#[napi]
pub fn match_names(pattern: String, names: String, name_count: u32) -> napi::Result<Uint32Array> {
    let indexes = pattern::match_names(&pattern, &names, name_count);
    indexes.map(Uint32Array::new).map_err(|error| to_js(&error))
}

/// Deletes the records before an offset, or every visible one (-1); resolves to the new log start
/// once it is durable.
#[napi(ts_return_type = "Promise<number>")]
pub fn delete_records(
    store: u32,
    topic: u32,
    partition: u32,
    before: f64,
) -> napi::Result<AsyncTask<Job<f64>>> {
    let store = handles::store(store)?;
    let before = (before >= 0.0).then_some(before as u64);
    Ok(Job::start(move || Ok(store.delete_records(topic, partition, before)? as f64)))
}

/// What a step of checking a partition found.
#[napi(object)]
pub struct NativeVerifyStep {
    /// Where the next step goes on; -1: everything was checked.
    pub next_offset: f64,
    /// Records in whole batches.
    pub record_count: f64,
    /// Bytes of whole batches.
    pub bytes: f64,
    /// What is wrong and where, for people.
    pub findings: Vec<String>,
}

/// Checks a partition of an open store from about an offset on, a bounded step of it.
#[napi(ts_return_type = "Promise<NativeVerifyStep>")]
pub fn verify_step(
    store: u32,
    topic: u32,
    partition: u32,
    from_offset: f64,
) -> napi::Result<AsyncTask<Job<NativeVerifyStep>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || {
        let step = store.verify_step(topic, partition, from_offset as u64)?;
        Ok(NativeVerifyStep {
            next_offset: step.next_offset.map_or(-1.0, |offset| offset as f64),
            record_count: step.record_count as f64,
            bytes: step.bytes as f64,
            findings: step.findings,
        })
    }))
}

/// How a store keeps itself in order. Numbers beyond 2^53 mean no bound.
#[napi(object)]
pub struct NativeUpkeepOptions {
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: f64,
    /// `log.cleaner.enable`.
    pub is_cleaner_enabled: bool,
    /// `log.cleaner.backoff.ms`.
    pub cleaner_backoff_ms: f64,
    /// `log.cleaner.dedupe.buffer.size`, in bytes.
    pub cleaner_dedupe_bytes_max: f64,
    /// `log.cleaner.io.max.bytes.per.second`.
    pub cleaner_bytes_per_second: f64,
    /// `scrub.max.bytes.per.second`; 0 does not scrub.
    pub scrub_bytes_per_second: f64,
}

/// Starts what the store does by itself: retention, compaction, scrubbing. To be called once all
/// topics are open.
#[napi]
pub fn start_upkeep(store: u32, options: NativeUpkeepOptions) -> napi::Result<()> {
    let options = UpkeepOptions {
        retention_check_interval_ms: whole(options.retention_check_interval_ms),
        is_cleaner_enabled: options.is_cleaner_enabled,
        cleaner_backoff_ms: whole(options.cleaner_backoff_ms),
        cleaner_dedupe_bytes_max: whole(options.cleaner_dedupe_bytes_max),
        cleaner_bytes_per_second: whole(options.cleaner_bytes_per_second),
        scrub_bytes_per_second: whole(options.scrub_bytes_per_second),
    };
    handles::store(store)?.start_upkeep(options).map_err(|error| to_js(&error))
}

/// Something that a store did by itself, or could not do.
#[napi(object)]
pub struct NativeUpkeepEntry {
    /// Partition or path.
    pub subject: String,
    /// What was done, for people.
    pub detail: String,
    /// Somebody should look at it.
    pub is_warning: bool,
}

/// Takes what the store did by itself since the last call.
#[napi]
pub fn take_upkeep_report(store: u32) -> napi::Result<Vec<NativeUpkeepEntry>> {
    let entries = handles::store(store)?.take_upkeep_report().into_iter();
    let entries = entries.map(|UpkeepEntry { subject, detail, is_warning }| NativeUpkeepEntry {
        subject,
        detail,
        is_warning,
    });
    Ok(entries.collect())
}

/// What a store and one event loop hold and have met.
#[napi(object)]
pub struct NativeStoreStatistics {
    /// Open files of segments.
    pub open_descriptors: f64,
    /// Read windows.
    pub mapped_windows: f64,
    /// Address space of the read windows in bytes.
    pub mapped_bytes: f64,
    /// Memory of batches that readers have taken apart, in bytes.
    pub open_batches_bytes: f64,
    /// Batches that were expanded for readers since the store was opened.
    pub expansions: f64,
    /// Bytes written and not synced yet.
    pub dirty_bytes: f64,
    /// Produce frames of the event loop that another thread appends.
    pub elsewhere_frames: f64,
    /// Bytes that those hold.
    pub elsewhere_bytes: f64,
    /// Checkpoints that could not be written since the store was opened: the next start after a
    /// crash reads more.
    pub checkpoint_failures: f64,
    /// Indexes and snapshots that could not be stored: they are rebuilt at the next start.
    pub hint_failures: f64,
    /// Damage that a reader met and that could not be stored: the next start has to find it again.
    pub damage_failures: f64,
    /// How short the disk is of space: 0 not at all, 1 so that there is a warning, 2 so that
    /// records are refused, 3 so that the reserve is in use and every append is.
    pub space_level: u32,
    /// Size of the file system in bytes.
    pub space_total_bytes: f64,
    /// What could still be written when it was looked at last.
    pub space_available_bytes: f64,
    /// Blocks that are kept for what makes room, in bytes.
    pub reserve_bytes: f64,
    /// Appends that were refused for want of space since the store was opened.
    pub space_refusals: f64,
    /// Groups that the flush journal has synced since the store was opened.
    pub journal_groups: f64,
    /// Flushes of logs that those took the place of.
    pub journal_log_flushes: f64,
    /// Bytes of those groups.
    pub journal_bytes: f64,
    /// Files of the flush journal that could not be made, written or synced: flushes take longer.
    pub journal_failures: f64,
}

/// Writes how long syncs took since the store was opened, and how many took how long.
#[napi]
pub fn sync_figures(store: u32, mut result: Float64ArraySlice<'_>) -> napi::Result<()> {
    let SyncCounts { nanoseconds, counts } = handles::store(store)?.syncs();
    let numbers = scratch::numbers(&mut result);
    if let Some(slot) = numbers.get_mut(layout::SYNC_NANOSECONDS) {
        *slot = nanoseconds as f64;
    }
    for (slot, count) in numbers.iter_mut().skip(layout::SYNC_COUNTS).zip(counts) {
        *slot = count as f64;
    }
    Ok(())
}

/// Writes what `count` partitions of a topic, from a number on, have on disk, and what is wrong
/// with them.
#[napi]
pub fn topic_figures(
    store: u32,
    topic: u32,
    from: u32,
    count: u32,
    mut result: Float64ArraySlice<'_>,
) -> napi::Result<()> {
    let store = handles::store(store)?;
    let figures = store.topic_figures(topic, from, count).map_err(|error| to_js(&error))?;
    let numbers = scratch::numbers(&mut result);
    let mut set = |index: usize, value: u64| {
        if let Some(slot) = numbers.get_mut(index) {
            *slot = value as f64;
        }
    };
    set(layout::TOPIC_PARTITIONS, figures.partitions);
    set(layout::TOPIC_BYTES, figures.bytes);
    set(layout::TOPIC_SEGMENTS, figures.segments);
    set(layout::TOPIC_DAMAGED_RANGES, figures.damaged_ranges);
    set(layout::TOPIC_FAILED_PARTITIONS, figures.failed_partitions);
    Ok(())
}

/// The figures of now.
#[napi]
pub fn store_statistics(store: u32, channel: u32) -> napi::Result<NativeStoreStatistics> {
    let channel = handles::event_loop(channel)?;
    let statistics = handles::store(store)?.statistics(&channel.channel);
    Ok(NativeStoreStatistics {
        open_descriptors: statistics.open_descriptors as f64,
        mapped_windows: statistics.mapped_windows as f64,
        mapped_bytes: statistics.mapped_bytes as f64,
        open_batches_bytes: statistics.open_batches_bytes as f64,
        expansions: statistics.expansions as f64,
        dirty_bytes: statistics.dirty_bytes as f64,
        elsewhere_frames: statistics.elsewhere_frames as f64,
        elsewhere_bytes: statistics.elsewhere_bytes as f64,
        checkpoint_failures: statistics.checkpoint_failures as f64,
        hint_failures: statistics.hint_failures as f64,
        damage_failures: statistics.damage_failures as f64,
        space_level: statistics.space_level as u32,
        space_total_bytes: statistics.space_total_bytes as f64,
        space_available_bytes: statistics.space_available_bytes as f64,
        reserve_bytes: statistics.reserve_bytes as f64,
        space_refusals: statistics.space_refusals as f64,
        journal_groups: statistics.journal.groups as f64,
        journal_log_flushes: statistics.journal.log_flushes as f64,
        journal_bytes: statistics.journal.bytes as f64,
        journal_failures: statistics.journal.failures as f64,
    })
}

fn spec(spec: NativeTopicSpec) -> napi::Result<TopicSpec> {
    Ok(TopicSpec {
        topic_id: uuid(&spec.topic_id)?,
        name: spec.name,
        partitions: spec.partitions,
        config: log_config(&spec.config)?,
        is_existing: spec.is_existing,
    })
}

pub(crate) fn uuid(text: &str) -> napi::Result<uuid::Uuid> {
    uuid::Uuid::parse_str(text).map_err(|error| invalid(&format!("topic id {text}: {error}")))
}

fn log_config(config: &NativeTopicConfig) -> napi::Result<LogConfig> {
    let codec = match config.codec {
        -1 => None,
        number => {
            let codec = u8::try_from(number).map_err(|_| {
                to_js(&Error::new(Code::UnsupportedCompressionType, number.to_string()))
            })?;
            Some(Codec::from_number(codec).map_err(|error| to_js(&error))?)
        }
    };
    let writer = match config.writer.as_str() {
        "automatic" => WriterChoice::Automatic,
        "pwrite" => WriterChoice::Pwrite,
        "mapped" => WriterChoice::Mapped,
        other => return Err(invalid(&format!("no writer is called {other}"))),
    };
    Ok(LogConfig {
        flush_messages: whole(config.flush_messages),
        flush_ms: whole(config.flush_ms),
        segment_bytes: whole(config.segment_bytes),
        segment_ms: whole(config.segment_ms),
        segment_jitter_ms: whole(config.segment_jitter_ms),
        index_interval_bytes: whole(config.index_interval_bytes),
        message_bytes_max: whole(config.message_bytes_max),
        is_compacted: config.is_compacted,
        retention_ms: config.retention_ms.map(whole),
        retention_bytes: config.retention_bytes.map(whole),
        file_delete_delay_ms: whole(config.file_delete_delay_ms),
        delete_retention_ms: whole(config.delete_retention_ms),
        dirty_ratio_min: config.dirty_ratio_min,
        compaction_lag_ms_min: whole(config.compaction_lag_ms_min),
        compaction_lag_ms_max: whole(config.compaction_lag_ms_max),
        is_internal: config.is_internal,
        timestamp_type: if config.is_log_append_time {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        },
        timestamp_before_ms_max: signed(config.timestamp_before_ms_max),
        timestamp_after_ms_max: signed(config.timestamp_after_ms_max),
        codec,
        compression_level: config.compression_level,
        writer,
        min_insync_replicas: config.min_insync_replicas,
        ..LogConfig::default()
    })
}

/// A number that means never from 2^53-1 on.
pub(crate) fn whole(value: f64) -> u64 {
    const NEVER: f64 = 9_007_199_254_740_991.0;
    if value >= NEVER { u64::MAX } else { value.max(0.0) as u64 }
}

fn signed(value: f64) -> i64 {
    i64::try_from(whole(value)).unwrap_or(i64::MAX)
}
