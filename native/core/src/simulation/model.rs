//! What a partition promised so far.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::{
    batches::{BatchId, BatchSpec, RecordId, is_tombstone, key_of},
    machine::Violation,
};
use crate::{batch::Producer, segment::age::Moment};

/// What may have become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The append failed: it must not be there.
    Failed,
    /// It was appended and not acked, or the machine died meanwhile: there or not, but once.
    Open,
    /// It was acked as flushed at this offset: there, for good.
    Acked { base_offset: u64 },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) spec: BatchSpec,
    pub(super) fate: Fate,
    /// When it was appended, by the clock that nobody sets.
    appended_ns: u64,
    /// And by the clock on the wall, or, where what was known of that may be lost, the earliest
    /// time that it has shown since.
    appended_ms: i64,
    earliest_ms: i64,
    /// The time that its broker has given it.
    pub(super) stamped_ms: i64,
}

/// What is young enough to be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) now: Moment,
    pub(super) retention_ms: u64,
    /// No record of the topic has a timestamp. Otherwise those without are as old as others beside
    /// them.
    pub(super) is_untimed: bool,
}

impl Attempt {
    pub(super) fn new(spec: BatchSpec, fate: Fate, now: Moment) -> Self {
        let Moment { wall_ms, monotonic_ns } = now;
        Self {
            spec,
            fate,
            appended_ns: monotonic_ns,
            appended_ms: wall_ms,
            earliest_ms: wall_ms,
            stamped_ms: wall_ms,
        }
    }

    /// Whether it has to be kept: it is young by its timestamp, or that lies in the future, and by
    /// what the clock showed, and by the time that has passed.
    fn is_young(&self, kept: &Kept) -> bool {
        let Kept { now, retention_ms, is_untimed } = kept;
        let is_recent = |ms: i64| now.wall_ms.saturating_sub(ms) <= *retention_ms as i64;
        let passed_ms = (now.monotonic_ns - self.appended_ns) / 1_000_000;
        let is_young_by_itself = match self.spec.timestamp_ms {
            -1 => *is_untimed,
            timestamp_ms => is_recent(timestamp_ms),
        };
        is_young_by_itself && is_recent(self.appended_ms) && passed_ms <= *retention_ms
    }

    /// Whether its timestamps say that it is older than it may get: its own, and what the broker
    /// has given it instead, if it has.
    fn is_old(&self, kept: &Kept) -> bool {
        let Kept { now, retention_ms, .. } = kept;
        let is_past = |ms: i64| now.wall_ms.saturating_sub(ms) > *retention_ms as i64;
        let timestamp_ms = self.spec.timestamp_ms;
        timestamp_ms >= 0 && is_past(timestamp_ms) && is_past(self.stamped_ms)
    }
}

/// A client that numbers its batches and sends what was not acked again, in order.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) producer_id: i64,
    pub(super) next_sequence: i32,
    /// Sent and not acked, oldest first; `true`: to be sent again.
    pub(super) waiting: VecDeque<(BatchSpec, bool)>,
    /// The power failed while something was on its way: of that, anything may be there.
    pub(super) was_cut: bool,
}

impl Client {
    pub(super) fn producer(&self, base_sequence: i32) -> Producer {
        Producer { id: self.producer_id, epoch: 0, base_sequence }
    }

    pub(super) fn send_all_again(&mut self) {
        for (_, again) in &mut self.waiting {
            *again = true;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) attempts: BTreeMap<BatchId, Attempt>,
    /// Records that readers saw and that were flushed then: there for good.
    firm: BTreeMap<u64, RecordId>,
    /// Records that readers saw of a relaxed topic: there until the power fails.
    weak: BTreeMap<u64, RecordId>,
    pub(super) client: Client,
    /// Where the log starts at least.
    pub(super) log_start: u64,
    /// The furthest start that somebody asked for.
    pub(super) asked_start: u64,
    /// Where the part ends that may have been compacted.
    pub(super) compacted_below: u64,
    /// Offsets of batches in which a bit was flipped: gone, or whole.
    harmed: Vec<Range<u64>>,
}

impl Partition {
    pub(super) fn harm(&mut self, offsets: Range<u64>) {
        self.harmed.push(offsets);
    }

    pub(super) fn has_harm(&self) -> bool {
        !self.harmed.is_empty()
    }

    pub(super) fn is_harmed(&self, offset: u64) -> bool {
        self.harmed.iter().any(|offsets| offsets.contains(&offset))
    }

    /// Notes what a reader saw when the log was flushed up to `flushed`.
    pub(super) fn see(
        &mut self,
        records: &[(u64, RecordId)],
        flushed: u64,
    ) -> Result<(), Violation> {
        for &(offset, record) in records {
            for seen in [&self.firm, &self.weak] {
                if let Some(other) = seen.get(&offset)
                    && *other != record
                {
                    let detail = format!("offset {offset} was {other:?} and is {record:?}");
                    return Err(Violation::Altered(detail));
                }
            }
            let seen = if offset < flushed { &mut self.firm } else { &mut self.weak };
            seen.insert(offset, record);
        }
        Ok(())
    }

    /// Holds everything that there is to read against what was promised.
    pub(super) fn check(&self, content: &BTreeMap<u64, RecordId>) -> Result<(), Violation> {
        for (offset, record) in self.firm.iter().chain(&self.weak) {
            let found = content.get(offset);
            let is_gone = found.is_none()
                && (self.is_harmed(*offset) || self.is_compacted(*offset, *record, content));
            if found != Some(record) && !is_gone {
                let detail =
                    format!("a reader saw {record:?} at {offset}: {:?}", content.get(offset));
                return Err(Violation::Lost(detail));
            }
        }
        for (id, attempt) in &self.attempts {
            if let Fate::Acked { base_offset } = attempt.fate {
                for index in 0..attempt.spec.record_count {
                    let offset = base_offset + u64::from(index);
                    if offset < self.log_start {
                        continue;
                    }
                    let found = content.get(&offset);
                    let is_gone = found.is_none()
                        && (self.is_harmed(offset)
                            || self.is_compacted(offset, (*id, index), content));
                    if found != Some(&(*id, index)) && !is_gone {
                        let detail = format!(
                            "acked {id} record {index} at {offset}: {:?}",
                            content.get(&offset)
                        );
                        return Err(Violation::Lost(detail));
                    }
                }
            }
        }
        self.check_tombstones(content)?;
        self.check_foreign(content)
    }

    /// Whether compaction may have taken a record away: there is a later one of its key, or there
    /// was one that was harmed since, or the last one was a tombstone.
    fn is_compacted(
        &self,
        offset: u64,
        record: RecordId,
        content: &BTreeMap<u64, RecordId>,
    ) -> bool {
        let key = key_of(record);
        let is_later = |at: u64, other: RecordId| at > offset && key_of(other) == key;
        let is_excuse =
            |(at, other)| is_later(at, other) && (is_tombstone(other) || self.is_harmed(at));
        offset < self.compacted_below
            && (is_tombstone(record)
                || content.range(offset..).any(|(at, other)| is_later(*at, *other))
                || self.known().any(is_excuse))
    }

    /// Whether compaction may have taken a record away, whatever else is gone by now.
    fn may_be_compacted(&self, offset: u64, record: RecordId) -> bool {
        let is_later = |(at, other): (u64, RecordId)| {
            at > offset && at < self.compacted_below && key_of(other) == key_of(record)
        };
        offset < self.compacted_below && (is_tombstone(record) || self.known().any(is_later))
    }

    /// Tombstones that were there, with their offsets.
    fn tombstones(&self) -> impl Iterator<Item = (u64, RecordId)> {
        self.known().filter(|(_, record)| is_tombstone(*record))
    }

    /// Records that were there, with their offsets.
    fn known(&self) -> impl Iterator<Item = (u64, RecordId)> {
        let seen = self.firm.iter().chain(&self.weak).map(|(offset, record)| (*offset, *record));
        let acked = self.attempts.iter().flat_map(|(id, attempt)| {
            let base_offset = match attempt.fate {
                Fate::Acked { base_offset } => Some(base_offset),
                _ => None,
            };
            let indexes = 0..attempt.spec.record_count;
            base_offset.into_iter().flat_map(move |base_offset| {
                indexes.clone().map(move |index| (base_offset + u64::from(index), (*id, index)))
            })
        });
        seen.chain(acked)
    }

    /// Where a tombstone is gone that compaction dropped, nothing may be there that it hid.
    fn check_tombstones(&self, content: &BTreeMap<u64, RecordId>) -> Result<(), Violation> {
        let dropped = self.tombstones().filter(|(offset, _)| {
            let is_gone = *offset >= self.log_start && !content.contains_key(offset);
            is_gone && *offset < self.compacted_below && !self.is_harmed(*offset)
        });
        for (offset, record) in dropped {
            let is_of_key = |(_, other): &(&u64, &RecordId)| key_of(**other) == key_of(record);
            // What comes later is the key's value now.
            if content.range(offset..).any(|entry| is_of_key(&entry)) {
                continue;
            }
            if let Some((at, other)) = content.iter().find(is_of_key) {
                let detail = format!("{other:?} at {at}, which {record:?} at {offset} had deleted");
                return Err(Violation::Altered(detail));
            }
        }
        Ok(())
    }

    /// The first known record within a range of offsets that is to be kept. What is harmed is
    /// nobody's any more: an index that is made anew does not know how old it was.
    pub(super) fn first_young(&self, range: Range<u64>, to_keep: Option<&Kept>) -> Option<String> {
        let seen = self.firm.range(range.clone()).chain(self.weak.range(range.clone()));
        let acked = self.attempts.iter().filter_map(|(id, attempt)| match &attempt.fate {
            Fate::Acked { base_offset } if range.contains(base_offset) => {
                Some((base_offset, (*id, 0)))
            }
            _ => None,
        });
        let known = seen.map(|(offset, record)| (offset, *record)).chain(acked);
        let mut kept = known.filter(|(offset, record)| {
            !self.may_be_compacted(**offset, *record) && !self.is_harmed(**offset)
        });
        kept.find_map(|(offset, record)| {
            let attempt = self.attempts.get(&record.0)?;
            let describe = || format!("{record:?} at {offset}, {attempt:?}, {to_keep:?}");
            to_keep.is_none_or(|to_keep| attempt.is_young(to_keep)).then(describe)
        })
    }

    /// Whether all of some records are older than they may get.
    pub(super) fn are_old<'r>(
        &self,
        mut records: impl Iterator<Item = &'r RecordId>,
        to_keep: &Kept,
    ) -> bool {
        records.all(|(id, _)| self.attempts.get(id).is_some_and(|attempt| attempt.is_old(to_keep)))
    }

    /// Forgets what a reader saw below a log start; returns how many records that were.
    pub(super) fn forget_below(&mut self, log_start: u64) -> u64 {
        let before = self.firm.len() + self.weak.len();
        self.firm = self.firm.split_off(&log_start);
        self.weak = self.weak.split_off(&log_start);
        self.log_start = self.log_start.max(log_start);
        (before - self.firm.len() - self.weak.len()) as u64
    }

    /// Everything that is there was appended, whole, once and in order.
    fn check_foreign(&self, content: &BTreeMap<u64, RecordId>) -> Result<(), Violation> {
        let mut places: BTreeMap<BatchId, u64> = BTreeMap::new();
        for (offset, (id, index)) in content {
            let Some(attempt) = self.attempts.get(id) else {
                return Err(Violation::Phantom(format!("batch {id} at {offset}")));
            };
            if attempt.fate == Fate::Failed {
                let detail = format!("failed batch {id} at {offset}");
                return Err(Violation::Phantom(detail));
            }
            let base_offset = offset.wrapping_sub(u64::from(*index));
            let place = *places.entry(*id).or_insert(base_offset);
            if place != base_offset {
                let detail = format!("batch {id} at {place} and {base_offset}");
                return Err(Violation::Twice(detail));
            }
        }
        for (id, base_offset) in places {
            for index in 0..self.attempts[&id].spec.record_count {
                let offset = base_offset + u64::from(index);
                let is_there = content.contains_key(&offset)
                    || self.is_compacted(offset, (id, index), content);
                if !is_there {
                    return Err(Violation::Altered(format!("batch {id} is not whole")));
                }
            }
        }
        Ok(())
    }

    /// The clock was set.
    pub(super) fn clock_was_set(&mut self, wall_ms: i64) {
        for attempt in self.attempts.values_mut() {
            attempt.earliest_ms = attempt.earliest_ms.min(wall_ms);
        }
    }

    /// The process died. What was on its way may be there; a failed append, too, if the power went.
    pub(super) fn process_died(&mut self, power_failed: bool) {
        if power_failed {
            self.weak.clear();
            for attempt in self.attempts.values_mut() {
                if attempt.fate == Fate::Failed {
                    attempt.fate = Fate::Open;
                }
            }
        }
        for attempt in self.attempts.values_mut() {
            // What was known of the last append may be lost: then the file tells when it was
            // written to.
            attempt.appended_ms = attempt.earliest_ms;
        }
        self.client.send_all_again();
        self.client.was_cut |= power_failed;
    }

    pub(super) fn acked(&mut self, id: BatchId, base_offset: u64) -> Result<(), Violation> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Err(Violation::Phantom(format!("an ack for {id}")));
        };
        if let Fate::Acked { base_offset: first } = attempt.fate
            && first != base_offset
        {
            let detail = format!("{id} was acked at {first} and at {base_offset}");
            return Err(Violation::Twice(detail));
        }
        attempt.fate = Fate::Acked { base_offset };
        self.client.waiting.retain(|(spec, _)| spec.id != id);
        Ok(())
    }
}
