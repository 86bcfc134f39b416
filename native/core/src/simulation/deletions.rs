//! Records that go: by retention, and because somebody deletes them.

use std::sync::Arc;

use super::{
    machine::{Simulation, Times, Topic, Violation},
    model::{Kept, Partition},
    reading::read_all,
};
use crate::{
    log::{Log, config::LogConfig},
    segment::age::Moment,
};

impl Simulation {
    /// Retention looks at every log.
    pub(super) fn retain(&mut self) -> Result<(), Violation> {
        let store = self.store();
        // To delete what is visible may flush, and so make visible, what is to go the next time.
        let visible = self.high_watermarks();
        store.enforce_retention();
        for entry in store.take_upkeep_report() {
            self.note(format!("retention: {entry:?}"));
        }
        if self.dice.one_in(2) {
            store.shared().deleted.remove_due(store.shared());
        }
        self.settle_retention()?;
        if self.may_fail || !self.has_power() {
            return Ok(());
        }
        self.check_due_is_gone(&visible)
    }

    fn high_watermarks(&self) -> Vec<Vec<u64>> {
        let store = self.store();
        let of_topic = |topic: &Topic| {
            let partitions = 0..topic.partitions.len() as u32;
            let visible = |index| store.offsets(topic.number, index).unwrap().high_watermark;
            partitions.map(visible).collect()
        };
        self.topics.iter().map(of_topic).collect()
    }

    /// What is older than it may get, whatever one asks, is not there any more.
    fn check_due_is_gone(&mut self, visible: &[Vec<u64>]) -> Result<(), Violation> {
        let (store, now) = (self.store(), self.now());
        for (topic, visible) in self.topics.iter().zip(visible) {
            let Some(to_keep) = to_keep(topic, now) else { continue };
            for (index, partition) in topic.partitions.iter().enumerate() {
                let log = store.log(topic.number, index as u32).unwrap();
                let offsets = log.offsets();
                let Some((segment, Some(end))) = log.segment_of(offsets.log_start) else {
                    continue;
                };
                let content = read_all(&log, store.shared()).unwrap()?;
                let records: Vec<_> = content.range(..end).collect();
                // What was deleted of a segment counts, too, and cannot be read.
                let is_due = !records.is_empty()
                    && segment.base_offset == offsets.log_start
                    && end <= visible[index]
                    && !segment.is_damaged()
                    && partition.are_old(records.iter().map(|(_, record)| *record), &to_keep);
                if is_due {
                    let detail = format!("{}: {records:?} are to go: {to_keep:?}", log.label);
                    return Err(Violation::Kept(detail));
                }
            }
        }
        Ok(())
    }

    /// Holds what retention did against what it may do.
    pub(super) fn settle_retention(&mut self) -> Result<(), Violation> {
        let store = self.store();
        self.settle_starts()?;
        if self.may_fail || !self.has_power() {
            // What seems to have failed may be durable, and shows after the next start.
            for topic in self.topics.iter_mut().filter(|topic| has_limit(&topic.config)) {
                for (index, partition) in topic.partitions.iter_mut().enumerate() {
                    let high_watermark =
                        store.offsets(topic.number, index as u32).unwrap().high_watermark;
                    partition.asked_start = partition.asked_start.max(high_watermark);
                }
            }
        }
        Ok(())
    }

    /// Somebody deletes the records before an offset.
    pub(super) fn delete_records(&mut self) -> Result<(), Violation> {
        let (topic, index) = self.any_partition();
        let store = self.store();
        let number = self.topics[topic].number;
        let offsets = store.offsets(number, index as u32).unwrap();
        let target = self.dice.within(offsets.log_start..offsets.high_watermark + 1);
        let partition = &mut self.topics[topic].partitions[index];
        partition.asked_start = partition.asked_start.max(target);
        let had_reserve = self.has_reserve();
        let deleted = store.delete_records(number, index as u32, Some(target));
        self.note(format!("delete {topic}-{index} before {target}: {deleted:?}"));
        if let Err(error) = &deleted {
            self.check_deletion(had_reserve, error)?;
        }
        if let Err(error) = deleted
            && !self.is_excused(&error)
            && store.log(number, index as u32).unwrap().poison().is_none()
        {
            return Err(Violation::Refused(format!("deleting: {error}")));
        }
        self.settle_starts()
    }

    /// Holds where the logs start against what was to go, and forgets what went.
    pub(super) fn settle_starts(&mut self) -> Result<(), Violation> {
        let store = self.store();
        let now = self.now();
        for topic in &mut self.topics {
            let to_keep = to_keep(topic, now);
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                let log = store.log(topic.number, index as u32).unwrap();
                self.figures.deleted_records += settle_start(partition, &log, to_keep)?;
            }
        }
        self.figures.deletions += 1;
        Ok(())
    }
}

fn has_limit(config: &LogConfig) -> bool {
    config.retention_ms.is_some() || config.retention_bytes.is_some()
}

fn to_keep(topic: &Topic, now: Moment) -> Option<Kept> {
    let is_untimed = topic.times == Times::None;
    let retention_ms = topic.config.retention_ms?;
    Some(Kept { now, retention_ms, is_untimed })
}

fn settle_start(
    partition: &mut Partition,
    log: &Arc<Log>,
    to_keep: Option<Kept>,
) -> Result<u64, Violation> {
    let start = log.offsets().log_start;
    if start < partition.log_start {
        let detail = format!("{} starts at {start} again", log.label);
        return Err(Violation::Altered(detail));
    }
    let config = log.config();
    // What nobody asked to be deleted went by one rule or the other, or with the power.
    let by_retention = partition.asked_start.max(partition.log_start)..start;
    let is_enough_left = config.retention_bytes.is_some_and(|bytes| log.bytes() >= bytes);
    if !by_retention.is_empty()
        && !is_enough_left
        && let Some(young) = partition.first_young(by_retention, to_keep.as_ref())
    {
        let detail = format!("{}: {young}, which is to be kept", log.label);
        return Err(Violation::Lost(detail));
    }
    Ok(partition.forget_below(start))
}
