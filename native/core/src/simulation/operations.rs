//! What happens in a run.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    batches::BatchSpec,
    machine::{Ack, Awaited, Simulation, Times, Topic, Violation},
    model::{Attempt, Client, Fate, Partition},
    reading::{Found, read},
};
use crate::{
    batch::TimestampType,
    env::{
        Clock,
        simulated::{Call, Effect, Fault},
    },
    error::{Code, Error},
    log::{
        append::Appended,
        config::{LogConfig, WriterChoice},
    },
    segment::age::Moment,
};

const TOPICS_MAX: usize = 4;
const PARTITIONS_MAX: usize = 4;
/// By how much a clock is wrong that is set, in milliseconds. Less than a day apart: then producers
/// that were silent meanwhile would be forgotten.
const WRONG_BY_MS: [i64; 9] =
    [0, 0, 0, 5_000, -5_000, 120_000, -120_000, 5 * 3_600_000, -10 * 3_600_000];
const AHEAD_MS: i64 = 2 * 3_600_000;
/// Batches that a client has on their way at most: as many as the core remembers.
const WAITING_MAX: usize = 5;
const CALLS: [Call; 12] = [
    Call::Open,
    Call::List,
    Call::Rename,
    Call::Remove,
    Call::SyncDirectory,
    Call::Inspect,
    Call::Read,
    Call::Write,
    Call::Allocate,
    Call::Truncate,
    Call::SyncData,
    Call::Map,
];

impl Simulation {
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        if self.topics.is_empty() {
            return self.create_topic();
        }
        if self.is_hot && self.dice.one_in(2) {
            if self.dice.one_in(3) {
                self.store().drive();
                return Ok(());
            }
            return self.append();
        }
        match self.dice.within(0..236) {
            234..236 => self.repair(),
            230..234 => {
                let wrong_by_ms = self.dice.pick(&WRONG_BY_MS);
                self.set_clock(wrong_by_ms);
                Ok(())
            }
            216..226 => self.compact(),
            226..230 => self.flip_a_bit(),
            200..207 => self.retain(),
            207..210 => self.delete_records(),
            210..213 => self.scrub(),
            213..216 => self.flip_a_bit(),
            0..90 => self.append(),
            90..120 => self.read_some(),
            120..150 => {
                self.store().drive();
                Ok(())
            }
            150..158 => {
                let ms = self.dice.pick(&[1, 60, 1100, 70_000]);
                self.clock.advance_ms(ms);
                self.watch_space()
            }
            158..170 => self.inject(),
            170..174 => {
                self.files.clear_faults();
                self.files.set_capacity_bytes(None);
                self.has_faults = false;
                self.note("all is well again".to_owned());
                self.watch_space()
            }
            174..178 => self.configure(),
            178..182 if self.topics.len() < TOPICS_MAX => self.create_topic(),
            182..184 => self.delete_topic(),
            184..187 => self.add_partition(),
            187..190 => self.kill(),
            190..193 => self.clean_stop(),
            193..196 => self.power_cut(),
            196 => {
                let result = self.store().write_checkpoint();
                self.note(format!("a checkpoint: {result:?}"));
                Ok(())
            }
            _ => self.check_all(),
        }
    }

    fn inject(&mut self) -> Result<(), Violation> {
        if self.dice.one_in(4) {
            return self.fill_disk();
        }
        self.may_fail = true;
        self.has_faults = true;
        self.figures.faults += 1;
        let fault = match self.dice.within(0..8) {
            0 => {
                let bytes = self.dice.within(100_000..3_000_000);
                self.note(format!("the disk holds {bytes} bytes"));
                self.files.set_capacity_bytes(Some(bytes));
                return Ok(());
            }
            1 | 2 => Fault::new(Effect::PowerCut).at(self.dice.within(1..60)),
            3 => Fault::new(Effect::InputOutput).on(Call::SyncData).at(self.dice.within(1..6)),
            _ => {
                let effect = self.dice.pick(&[Effect::InputOutput, Effect::NoSpace]);
                Fault::new(effect)
                    .on(self.dice.pick(&CALLS))
                    .at(self.dice.within(1..12))
                    .times(self.dice.pick(&[1, 1, 2, 5]))
            }
        };
        self.note(format!("{fault:?}"));
        self.files.inject(fault);
        Ok(())
    }

    fn config(&self, is_keyed: bool, times: Times) -> LogConfig {
        let dice = &self.dice;
        // What is compacted is rarely deleted, too.
        let (retention_ms, retention_bytes) = match is_keyed && !dice.one_in(4) {
            true => (None, None),
            false => dice.pick(&[
                (None, None),
                (Some(0), None),
                (Some(60_000), None),
                (None, Some(5_000)),
            ]),
        };
        LogConfig {
            flush_messages: match self.is_hot {
                true => dice.pick(&[1, 1, 1, 5]),
                false => dice.pick(&[1, 1, 1, 5, 1000]),
            },
            flush_ms: dice.pick(&[u64::MAX, u64::MAX, 50]),
            segment_bytes: match self.is_hot {
                true => dice.pick(&[3_000, 20_000, 400_000]),
                false => dice.pick(&[700, 3_000, 20_000, 400_000]),
            },
            segment_ms: dice.pick(&[u64::MAX, u64::MAX, 500]),
            segment_jitter_ms: dice.pick(&[0, 300]),
            retention_ms,
            retention_bytes,
            is_internal: dice.one_in(4),
            file_delete_delay_ms: dice.pick(&[0, 60_000]),
            is_compacted: is_keyed && !dice.one_in(4),
            delete_retention_ms: dice.pick(&[0, 1000, 100_000]),
            dirty_ratio_min: dice.pick(&[0.0, 0.0, 0.3]),
            compaction_lag_ms_min: dice.pick(&[0, 0, 0, 1000]),
            index_interval_bytes: dice.pick(&[0, 300, 4096]),
            timestamp_type: match dice.pick(&[false, true]) && times != Times::None {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            },
            writer: dice.pick(&[
                WriterChoice::Pwrite,
                WriterChoice::Mapped,
                WriterChoice::Automatic,
            ]),
            ..LogConfig::default()
        }
    }

    fn create_topic(&mut self) -> Result<(), Violation> {
        let id = Uuid::from_u64_pair(self.dice.next(), self.dice.next());
        let partitions = self.dice.within(1..3);
        let is_keyed = self.dice.one_in(if self.is_hot { 4 } else { 2 });
        let times = self.dice.pick(&[Times::Mixed, Times::Mixed, Times::Ahead, Times::None]);
        let mut topic = Topic {
            id,
            name: format!("topic-{}", self.topics.len()),
            config: self.config(is_keyed, times),
            is_keyed,
            times,
            number: 0,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            was_relaxed: false,
        };
        topic.was_relaxed = !topic.config.is_flushed_before_ack();
        let opened = self.store().open_topics(&[topic.spec(false)]);
        self.note(format!("create {id} {:?}: {opened:?}", topic.config));
        match opened {
            Ok(numbers) => {
                topic.number = numbers[0];
                self.topics.push(topic);
            }
            Err(error) if self.is_excused(&error) => self.gone.push(id),
            Err(error) => return Err(Violation::Refused(format!("creating: {error}"))),
        }
        Ok(())
    }

    fn delete_topic(&mut self) -> Result<(), Violation> {
        let index = self.any_topic();
        let topic = self.topics.remove(index);
        let had_reserve = self.has_reserve();
        let deleted = self.store().delete_topic(topic.number);
        self.note(format!("delete {}: {deleted:?}", topic.id));
        self.gone.push(topic.id);
        match deleted {
            Err(error) if !self.is_excused(&error) => {
                Err(Violation::Refused(format!("deleting: {error}")))
            }
            Err(error) => self.check_deletion(had_reserve, &error),
            _ => Ok(()),
        }
    }

    fn add_partition(&mut self) -> Result<(), Violation> {
        let index = self.any_topic();
        let topic = &self.topics[index];
        let count = topic.partitions.len() + 1;
        if count > PARTITIONS_MAX {
            return Ok(());
        }
        let added = self.store().add_partitions(topic.number, count as u32);
        self.note(format!("topic {index} gets {count} partitions: {added:?}"));
        match added {
            Ok(()) => {
                self.topics[index].partitions.push(Partition::default());
                Ok(())
            }
            Err(error) if self.is_excused(&error) => Ok(()),
            Err(error) => Err(Violation::Refused(format!("adding: {error}"))),
        }
    }

    fn configure(&mut self) -> Result<(), Violation> {
        let index = self.any_topic();
        let Topic { is_keyed, times, .. } = self.topics[index];
        let config = self.config(is_keyed, times);
        self.note(format!("topic {index} gets {config:?}"));
        let store = self.store();
        let topic = &mut self.topics[index];
        topic.was_relaxed |= !config.is_flushed_before_ack();
        topic.config = config.clone();
        store
            .configure_topic(topic.number, config)
            .map_err(|error| Violation::Refused(format!("configuring: {error}")))
    }

    fn any_topic(&self) -> usize {
        self.dice.within(0..self.topics.len() as u64) as usize
    }

    pub(super) fn any_partition(&self) -> (usize, usize) {
        let topic = self.any_topic();
        let count = self.topics[topic].partitions.len() as u64;
        (topic, self.dice.within(0..count) as usize)
    }

    fn read_some(&mut self) -> Result<(), Violation> {
        self.figures.reads += 1;
        let (topic_index, index) = self.any_partition();
        let store = self.store();
        let topic = &mut self.topics[topic_index];
        let log = store.log(topic.number, index as u32).unwrap();
        let high_watermark = log.high_watermark();
        let offsets = log.offsets();
        if !topic.was_relaxed && high_watermark > offsets.flushed {
            let detail = format!("{high_watermark} of {offsets:?}");
            return Err(Violation::TooEarly(detail));
        }
        let from = self.dice.within(offsets.log_start..offsets.log_end + 2);
        let bytes_max = self.dice.pick(&[1, 500, 10_000, 1 << 20]);
        match read(&log, store.shared(), from, bytes_max) {
            Ok(Ok(Found::Records(records, _))) => {
                topic.partitions[index].see(&records, offsets.flushed)
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(violation)) => Err(violation),
            Err(error) if self.is_excused(&error) => Ok(()),
            Err(error) => Err(Violation::Refused(format!("reading: {error}"))),
        }
    }

    fn new_batch(&mut self, topic: usize, with_sequence: Option<(&Client, i32)>) -> BatchSpec {
        let value_bytes = match self.dice.within(0..40) {
            0 => self.dice.within(60_000..140_000),
            1..5 => self.dice.within(500..5_000),
            _ => self.dice.within(0..200),
        };
        self.next_batch += 1;
        BatchSpec {
            id: self.next_batch,
            record_count: self.dice.within(1..6) as u32,
            value_bytes: value_bytes as u32,
            timestamp_ms: match self.topics[topic].times {
                Times::Mixed => self.dice.pick(&[-1, 0, self.clock.wall_ms()]),
                Times::Ahead => self.clock.wall_ms() + self.dice.pick(&[0, AHEAD_MS]),
                Times::None => -1,
            },
            producer: with_sequence.map(|(client, sequence)| client.producer(sequence)),
            is_keyed: self.topics[topic].is_keyed,
        }
    }

    fn append(&mut self) -> Result<(), Violation> {
        let (topic_index, index) = self.any_partition();
        let spec = if self.dice.one_in(2) {
            self.new_batch(topic_index, None)
        } else {
            match self.next_of_client(topic_index, index) {
                Some(spec) => spec,
                None => return Ok(()),
            }
        };
        let topic = &mut self.topics[topic_index];
        let (topic_id, number) = (topic.id, topic.number);
        let now = Moment::now(&*self.clock);
        topic.partitions[index]
            .attempts
            .entry(spec.id)
            .or_insert_with(|| Attempt::new(spec, Fate::Failed, now));
        let log = self.store().log(number, index as u32).unwrap();
        let must_refuse = self.must_refuse(&log.config());
        let log_end = log.offsets().log_end;
        let appended = log.append(&spec.build(), spec.timestamp_ms);
        if must_refuse {
            self.figures.refused_for_space += 1;
            if log.offsets().log_end > log_end {
                let detail = format!("{} takes what others need: {appended:?}", log.label);
                return Err(Violation::Altered(detail));
            }
        }
        self.note(format!(
            "append {} to {topic_index}-{index} ({} records): {appended:?}",
            spec.id, spec.record_count
        ));
        match appended {
            Ok(appended) => {
                self.appended(topic_index, index, &spec, &appended)?;
                let awaited = Awaited {
                    topic_id,
                    partition: index,
                    batch: spec.id,
                    base_offset: appended.base_offset,
                };
                let acks = Arc::clone(&self.acks);
                log.when_flushed(appended.next_offset, Arc::new(Ack { acks, awaited }));
                Ok(())
            }
            Err(error) => {
                let is_excused = self.is_excused(&error) || log.poison().is_some();
                self.refused(topic_index, index, &spec, &error, is_excused)
            }
        }
    }

    /// What a client sends next: the oldest batch that has to be sent again, else a new one.
    fn next_of_client(&mut self, topic: usize, index: usize) -> Option<BatchSpec> {
        let mut client = std::mem::take(&mut self.topics[topic].partitions[index].client);
        if client.producer_id == 0 {
            client.producer_id = self.next_producer;
            self.next_producer += 1;
        }
        let mut spec = None;
        if let Some((waiting, again)) = client.waiting.iter_mut().find(|(_, again)| *again) {
            *again = false;
            spec = Some(*waiting);
        } else if client.waiting.len() < WAITING_MAX {
            let made = self.new_batch(topic, Some((&client, client.next_sequence)));
            client.next_sequence += made.record_count as i32;
            client.waiting.push_back((made, false));
            spec = Some(made);
        }
        self.topics[topic].partitions[index].client = client;
        spec
    }

    fn appended(
        &mut self,
        topic: usize,
        index: usize,
        spec: &BatchSpec,
        appended: &Appended,
    ) -> Result<(), Violation> {
        let now = self.now();
        let partition = &mut self.topics[topic].partitions[index];
        let attempt = partition.attempts.get_mut(&spec.id).unwrap();
        if appended.is_duplicate {
            self.figures.duplicates += 1;
            if attempt.fate == Fate::Failed {
                return Err(Violation::Lost(format!("{spec:?} is no duplicate")));
            }
        } else if let Fate::Acked { .. } = attempt.fate {
            return Err(Violation::Twice(format!("{spec:?} was acked before")));
        } else {
            *attempt = Attempt::new(*spec, attempt.fate, now);
            attempt.stamped_ms = appended.append_time_ms;
        }
        if attempt.fate == Fate::Failed {
            attempt.fate = Fate::Open;
        }
        Ok(())
    }

    fn refused(
        &mut self,
        topic: usize,
        index: usize,
        spec: &BatchSpec,
        error: &Error,
        is_excused: bool,
    ) -> Result<(), Violation> {
        self.figures.failed_appends += 1;
        let partition = &mut self.topics[topic].partitions[index];
        let lacks_batches = partition.log_start > 0 || partition.has_harm();
        let client = &mut partition.client;
        if error.code() == Code::OutOfOrderSequenceNumber && (client.was_cut || lacks_batches) {
            // Something between was lost with the power, or what is known of the client's last
            // batches was read again from a log that no longer has them, deleted or damaged: it
            // starts anew.
            self.figures.given_up += 1;
            *client = Client::default();
            return Ok(());
        }
        for (waiting, again) in &mut client.waiting {
            *again |= waiting.id == spec.id;
        }
        if is_excused { Ok(()) } else { Err(Violation::Refused(format!("{spec:?}: {error}"))) }
    }
}
