//! Sparse indexes of a segment: offset to position, and time to offset.
//!
//! Both are hints: bounded by the log, covered by a checksum on disk, and rebuilt when wrong.
//! The index of the segment being written lives in memory; [`file`] stores and loads it.

pub mod file;

use crate::recovery::scan::Mark;

/// Where a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Base offset of the batch, relative to the segment's base offset.
    pub relative_offset: u32,
    /// Position of the batch in the segment, in bytes.
    pub position: u32,
}

/// A point up to which no record is later than a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEntry {
    /// Largest timestamp of the segment up to and including the batch, in milliseconds.
    pub timestamp_ms: i64,
    /// Base offset of the batch that brought it, relative to the segment's base offset.
    pub relative_offset: u32,
}

/// Both indexes of one segment. Entries are in rising order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentIndex {
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    /// Log bytes since the last offset entry.
    bytes_since_entry: u64,
    largest: Option<TimeEntry>,
    last_append_ms: Option<i64>,
    counted_age_ms: u64,
}

impl SegmentIndex {
    /// Notes a batch that was appended at `position`. An entry is made when `interval_bytes`
    /// of log have passed since the last one, and for the first batch. A batch without a timestamp
    /// (-1) says nothing about time: taken for one it would be older than any limit.
    pub fn note(
        &mut self,
        relative_offset: u32,
        position: u32,
        batch_bytes: u64,
        max_timestamp_ms: i64,
        interval_bytes: u64,
    ) {
        if max_timestamp_ms >= 0
            && self.largest.is_none_or(|largest| max_timestamp_ms > largest.timestamp_ms)
        {
            self.largest = Some(TimeEntry { timestamp_ms: max_timestamp_ms, relative_offset });
        }
        if self.offsets.is_empty() || self.bytes_since_entry >= interval_bytes {
            self.offsets.push(OffsetEntry { relative_offset, position });
            self.bytes_since_entry = 0;
            if let Some(largest) = self.largest
                && self.times.last().is_none_or(|last| largest.timestamp_ms > last.timestamp_ms)
            {
                self.times.push(largest);
            }
        }
        self.bytes_since_entry += batch_bytes;
        self.counted_age_ms = 0;
    }

    /// The last entry at or before `relative_offset`; the segment's start when there is none.
    pub fn at_or_before(&self, relative_offset: u32) -> OffsetEntry {
        let count = self.offsets.partition_point(|entry| entry.relative_offset <= relative_offset);
        count
            .checked_sub(1)
            .and_then(|last| self.offsets.get(last))
            .copied()
            .unwrap_or(OffsetEntry { relative_offset: 0, position: 0 })
    }

    /// The offset entries, rising.
    pub fn entries(&self) -> &[OffsetEntry] {
        &self.offsets
    }

    /// Where batches begin in a segment with this base offset.
    pub fn marks(&self, base_offset: u64) -> Vec<Mark> {
        let mark = |entry: &OffsetEntry| Mark {
            position: u64::from(entry.position),
            offset: base_offset.saturating_add(u64::from(entry.relative_offset)),
        };
        self.offsets.iter().map(mark).collect()
    }

    /// A relative offset before which every record is earlier than `timestamp_ms`.
    pub fn before_time(&self, timestamp_ms: i64) -> u32 {
        let count = self.times.partition_point(|entry| entry.timestamp_ms < timestamp_ms);
        count.checked_sub(1).and_then(|last| self.times.get(last)).map_or(0, |e| e.relative_offset)
    }

    /// Notes when the batch noted last was appended, by the broker's clock; never goes back.
    pub fn note_append(&mut self, now_ms: i64) {
        self.last_append_ms = self.last_append_ms.max(Some(now_ms));
    }

    /// When the last batch was appended; `None` where nobody knows.
    pub fn last_append_ms(&self) -> Option<i64> {
        self.last_append_ms
    }

    /// For how long brokers have run since the batch noted last, as far as it was counted.
    pub fn counted_age_ms(&self) -> u64 {
        self.counted_age_ms
    }

    /// Tells the age that was counted, until the next batch is noted.
    pub fn set_counted_age(&mut self, age_ms: u64) {
        self.counted_age_ms = age_ms;
    }

    /// The largest timestamp of the first batch.
    pub fn first_ms(&self) -> Option<i64> {
        self.times.first().map(|first| first.timestamp_ms)
    }

    /// The largest timestamp noted, with the batch that brought it.
    pub fn largest(&self) -> Option<TimeEntry> {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_entry_at_or_before_an_offset() {
        let mut index = SegmentIndex::default();
        for batch in 0..100u32 {
            index.note(batch * 10, batch * 1000, 1000, i64::from(batch), 4000);
        }
        assert_eq!(index.entries().len(), 25);
        assert_eq!(index.at_or_before(45), OffsetEntry { relative_offset: 40, position: 4000 });
        assert_eq!(index.at_or_before(39), OffsetEntry { relative_offset: 0, position: 0 });
    }

    #[test]
    fn time_lookup_never_skips_a_record_that_is_late_enough() {
        let mut index = SegmentIndex::default();
        for (batch, timestamp) in [5i64, 9, 7, 30, 12, 40].into_iter().enumerate() {
            let batch = u32::try_from(batch).unwrap();
            index.note(batch, batch * 10, 10, timestamp, 0);
        }
        assert_eq!(index.before_time(1), 0);
        assert_eq!(index.before_time(10), 1);
        assert_eq!(index.before_time(31), 3);
        assert_eq!(index.largest().map(|entry| entry.timestamp_ms), Some(40));
    }

    #[test]
    fn what_has_no_timestamp_is_not_from_before_all_others() {
        let mut index = SegmentIndex::default();
        index.note(0, 0, 10, -1, 0);
        assert_eq!((index.largest(), index.first_ms(), index.before_time(0)), (None, None, 0));
        index.note(1, 10, 10, 0, 0);
        assert_eq!(index.largest(), Some(TimeEntry { timestamp_ms: 0, relative_offset: 1 }));
    }
}
