//! Idempotent producers of one partition: what each wrote last.
//!
//! A producer numbers the records it sends to a partition. Remembering its last five batches is
//! enough to answer a repeated one with the offsets it got the first time (KIP-98; five is the
//! number of requests that Kafka's clients keep in flight).

pub mod snapshot;

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::error::{Code, Error, Result};

/// Batches remembered of each producer.
pub const BATCHES_REMEMBERED: usize = 5;

/// The numbers by which a batch names its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Producer id, not negative.
    pub producer_id: i64,
    /// Producer epoch, not negative.
    pub epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Number of records, at least 1.
    pub record_count: u32,
}

impl ProducerBatch {
    /// Sequence number of the last record. Numbers wrap from 2^31-1 to 0, as in Kafka.
    pub fn last_sequence(&self) -> i32 {
        advance(self.base_sequence, self.record_count.saturating_sub(1))
    }
}

/// A batch that a producer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBatch {
    /// Sequence number of its first record.
    pub base_sequence: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: u64,
    /// Offset behind its last record.
    pub next_offset: u64,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub append_time_ms: i64,
}

/// What is known of one producer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProducerEntry {
    /// Its newest epoch.
    pub epoch: i16,
    /// Its last batches in that epoch, oldest first.
    pub batches: VecDeque<WrittenBatch>,
    /// When it last wrote, in milliseconds since the Unix epoch.
    pub last_append_ms: i64,
}

/// What [`ProducerStates::check`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Append it.
    New,
    /// It was written before; answer with what it got then.
    Duplicate(WrittenBatch),
}

/// The producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: HashMap<i64, ProducerEntry>,
}

impl ProducerStates {
    /// Decides what to do with a batch.
    ///
    /// # Errors
    /// - [`Code::InvalidProducerEpoch`]: a newer epoch has written here (fencing).
    /// - [`Code::OutOfOrderSequenceNumber`]: a gap, or a repetition older than is remembered.
    ///
    /// A producer that is not known here may start at any number, as in Kafka since version 2.5
    /// (its state may have expired); one that is known and moves to a newer epoch starts at 0.
    pub fn check(&self, batch: &ProducerBatch) -> Result<Verdict> {
        let Some(entry) = self.producers.get(&batch.producer_id) else {
            return Ok(Verdict::New);
        };
        if batch.epoch < entry.epoch {
            return Err(Error::new(
                Code::InvalidProducerEpoch,
                format!(
                    "producer {} sent epoch {}, epoch {} has written here",
                    batch.producer_id, batch.epoch, entry.epoch
                ),
            ));
        }
        let Some(last) = entry.batches.back() else {
            return Ok(Verdict::New);
        };
        let expected = if batch.epoch > entry.epoch { 0 } else { advance(last.last_sequence, 1) };
        if batch.base_sequence == expected {
            return Ok(Verdict::New);
        }
        if batch.epoch == entry.epoch
            && let Some(written) = entry.batches.iter().find(|written| {
                written.base_sequence == batch.base_sequence
                    && written.last_sequence == batch.last_sequence()
            })
        {
            return Ok(Verdict::Duplicate(*written));
        }
        Err(Error::new(
            Code::OutOfOrderSequenceNumber,
            format!(
                "producer {} epoch {} sent sequence {}, expected {expected}",
                batch.producer_id, batch.epoch, batch.base_sequence
            ),
        ))
    }

    /// Notes a batch that was appended after [`check`](Self::check) said `New`, or that
    /// recovery found in the log.
    pub fn note(
        &mut self,
        batch: &ProducerBatch,
        base_offset: u64,
        next_offset: u64,
        append_time_ms: i64,
    ) {
        let entry = self.producers.entry(batch.producer_id).or_default();
        if batch.epoch != entry.epoch {
            entry.epoch = batch.epoch;
            entry.batches.clear();
        }
        if entry.batches.len() == BATCHES_REMEMBERED {
            entry.batches.pop_front();
        }
        entry.batches.push_back(WrittenBatch {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
            next_offset,
            append_time_ms,
        });
        entry.last_append_ms = append_time_ms;
    }

    /// Forgets producers that have not written since `before_ms`.
    pub fn expire(&mut self, before_ms: i64) {
        self.producers.retain(|_, entry| entry.last_append_ms >= before_ms);
    }

    /// Number of producers known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    pub(crate) fn insert(&mut self, producer_id: i64, entry: ProducerEntry) {
        self.producers.insert(producer_id, entry);
    }
}

/// `sequence` + `count`, wrapping from 2^31-1 to 0.
fn advance(sequence: i32, count: u32) -> i32 {
    let sum = (i64::from(sequence) + i64::from(count)) & i64::from(i32::MAX);
    i32::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base_sequence: i32, record_count: u32) -> ProducerBatch {
        ProducerBatch { producer_id: 7, epoch, base_sequence, record_count }
    }

    fn append(states: &mut ProducerStates, next: &mut u64, what: ProducerBatch) -> Result<Verdict> {
        let verdict = states.check(&what)?;
        if verdict == Verdict::New {
            let end = *next + u64::from(what.record_count);
            states.note(&what, *next, end, 1000);
            *next = end;
        }
        Ok(verdict)
    }

    #[test]
    fn a_repeated_batch_is_answered_with_its_first_offsets() {
        let mut states = ProducerStates::default();
        let mut next = 100;
        for sequence in [0, 10, 20] {
            assert_eq!(append(&mut states, &mut next, batch(0, sequence, 10)), Ok(Verdict::New));
        }
        let Ok(Verdict::Duplicate(first)) = append(&mut states, &mut next, batch(0, 10, 10)) else {
            panic!("the repetition was not recognised")
        };
        assert_eq!((first.base_offset, first.next_offset), (110, 120));
        assert_eq!(next, 130);
    }

    #[test]
    fn a_gap_and_a_forgotten_repetition_are_out_of_order() {
        let mut states = ProducerStates::default();
        let mut next = 0;
        for sequence in 0..6 {
            append(&mut states, &mut next, batch(0, sequence, 1)).unwrap();
        }
        for wrong in [0, 7, 100] {
            let error = append(&mut states, &mut next, batch(0, wrong, 1)).unwrap_err();
            assert_eq!(error.code(), Code::OutOfOrderSequenceNumber);
        }
        // The same first number with another length is not a repetition.
        assert!(append(&mut states, &mut next, batch(0, 4, 2)).is_err());
    }

    #[test]
    fn a_newer_epoch_fences_the_older_one() {
        let mut states = ProducerStates::default();
        let mut next = 0;
        append(&mut states, &mut next, batch(0, 0, 5)).unwrap();
        assert!(append(&mut states, &mut next, batch(1, 5, 1)).is_err());
        append(&mut states, &mut next, batch(1, 0, 1)).unwrap();
        let error = append(&mut states, &mut next, batch(0, 5, 1)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidProducerEpoch);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut states = ProducerStates::default();
        let mut next = 0;
        append(&mut states, &mut next, batch(0, i32::MAX - 1, 2)).unwrap();
        assert_eq!(append(&mut states, &mut next, batch(0, 0, 1)), Ok(Verdict::New));
        append(&mut states, &mut next, batch(0, 1, 1)).unwrap();
    }
}
