//! Looking up by time and epoch, and deleting from the start.

use super::*;
use crate::log::epochs::EpochEnd;

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 0, ..LogConfig::default() }
}

fn timed_batch(timestamps_ms: &[i64]) -> (Vec<u8>, i64) {
    let mut output = Vec::new();
    let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
    for timestamp_ms in timestamps_ms {
        builder.push(*timestamp_ms, None, Some(&[b'x'; 100]), std::iter::empty()).unwrap();
    }
    builder.finish(Finish { producer: None, log_append_time_ms: None }).unwrap();
    (output, timestamps_ms.iter().copied().max().unwrap())
}

impl Bench {
    fn append_timed(&self, timestamps_ms: &[i64]) {
        let (batch, largest) = timed_batch(timestamps_ms);
        self.log(0).append(&batch, largest).unwrap();
        self.store.drive();
    }

    fn max_timestamp(&self) -> Option<(u64, i64)> {
        let found = self.log(0).offset_of_max_timestamp().unwrap();
        found.map(|found| (found.offset, found.timestamp_ms))
    }

    fn epoch_end(&self, epoch: i32) -> Option<(i32, u64)> {
        let found = self.log(0).end_of_leader_epoch(epoch).unwrap();
        found.map(|EpochEnd { leader_epoch, end_offset }| (leader_epoch, end_offset))
    }
}

#[test]
fn the_first_record_with_the_largest_timestamp_is_found_in_any_segment() {
    let machine = Simulated::new(&small_segments());
    let bench = &machine.bench;
    assert_eq!(bench.max_timestamp(), None);
    bench.append_timed(&[5, 9, 9, 3]);
    for _ in 0..20 {
        bench.append_timed(&[7, 8]);
    }
    assert_eq!(bench.max_timestamp(), Some((1, 9)));
    bench.append_timed(&[2, 11, 4, 11]);
    for _ in 0..20 {
        bench.append_timed(&[1]);
    }
    assert_eq!(bench.max_timestamp(), Some((45, 11)));
    // What is deleted does not count any more.
    bench.log(0).delete_records(Some(48)).unwrap();
    assert_eq!(bench.max_timestamp(), Some((48, 1)));
    bench.log(0).delete_records(None).unwrap();
    assert_eq!(bench.max_timestamp(), None);
}

#[test]
fn what_is_not_visible_yet_does_not_count_for_the_largest_timestamp() {
    let machine = Simulated::new(&LogConfig::default());
    machine.bench.append_timed(&[5, 6]);
    let (batch, largest) = timed_batch(&[100]);
    machine.bench.log(0).append(&batch, largest).unwrap();
    assert_eq!(machine.bench.max_timestamp(), Some((1, 6)));
    machine.bench.store.drive();
    assert_eq!(machine.bench.max_timestamp(), Some((2, 100)));
}

#[test]
fn an_epoch_ends_where_the_next_one_begins() {
    let config = small_segments();
    let mut machine = Simulated::new(&config);
    let first = i32::try_from(machine.bench.log(0).offsets().leader_epoch).unwrap();
    let mut ends = Vec::new();
    // Every unclean start begins an epoch; some of them get no record.
    for records in [3u64, 25, 0, 0, 1, 40] {
        for _ in 0..records {
            machine.bench.append(b"some value that fills a segment after a while");
        }
        ends.push(machine.bench.log(0).offsets().log_end);
        machine = machine.killed(|_| ());
    }
    let bench = &machine.bench;
    let present = first + 6;
    assert_eq!(bench.epoch_end(present), Some((present, 69)));
    assert_eq!(bench.epoch_end(present + 1), None);
    assert_eq!(bench.epoch_end(-1), None);
    let expected = [(0, 3), (1, 28), (1, 28), (1, 28), (4, 29), (5, 69)];
    for (asked, (epoch, end)) in expected.into_iter().enumerate() {
        let asked = first + i32::try_from(asked).unwrap();
        assert_eq!(bench.epoch_end(asked), Some((first + epoch, end)), "epoch {asked}");
    }
    // Below the log start there is nothing to end.
    bench.log(0).delete_records(Some(28)).unwrap();
    assert_eq!(bench.epoch_end(first), Some((first, 28)));
}

#[test]
fn deleted_records_are_gone_for_good_and_their_segments_with_them() {
    let config = LogConfig { file_delete_delay_ms: 0, ..small_segments() };
    let machine = Simulated::new(&config);
    for _ in 0..60 {
        machine.bench.append(b"a value of some length, so that segments fill up");
    }
    let before = machine.files.list(segment_path(0, "log").parent().unwrap()).unwrap().len();
    let log = machine.bench.log(0);
    assert_eq!(log.delete_records(Some(45)).unwrap(), 45);
    assert_eq!(log.delete_records(Some(10)).unwrap(), 45, "it never goes back");
    assert_eq!(log.delete_records(Some(61)).unwrap_err().code(), Code::OffsetOutOfRange);
    assert!(matches!(log.read(44, 100).unwrap(), Read::OutOfRange { log_start: 45, .. }));
    let after = machine.files.list(segment_path(0, "log").parent().unwrap()).unwrap().len();
    assert!(after < before / 2, "{after} files of {before} are left");
    drop(log);
    let machine = machine.cut();
    assert_eq!(machine.bench.report(), []);
    assert_eq!(machine.bench.log(0).offsets().log_start, 45);
    assert_eq!(offsets_of(&content(&machine.bench)), (45..60).collect::<Vec<_>>());
    // Everything: the log goes on where it was.
    assert_eq!(machine.bench.log(0).delete_records(None).unwrap(), 60);
    let machine = machine.cut();
    assert_eq!(offsets_of(&content(&machine.bench)), Vec::<u64>::new());
    assert_eq!(machine.bench.append(b"next").base_offset, 60);
}

/// The power fails at every call that a deletion makes, and any part of what was not synced is
/// left: the log starts where it did or where it was to start, and is whole from there on; where
/// the deletion was answered, it starts there.
#[test]
fn a_power_cut_during_a_deletion_leaves_one_start_or_the_other() {
    let config = small_segments();
    for nth in 1.. {
        let machine = Simulated::new(&config);
        for _ in 0..40 {
            machine.bench.append(b"a value of some length, so that segments fill up");
        }
        let calls_before = machine.files.calls();
        machine.files.cut_power_at_call(nth);
        let answered = machine.bench.log(0).delete_records(Some(30));
        let calls = machine.files.calls() - calls_before;
        let files = machine.files.crash().unwrap();
        machine.bench.store.shared().scheduler.close();
        machine.bench.store.shared().work.close();
        let machine = Simulated::reopened(files, &config);
        let log_start = machine.bench.log(0).offsets().log_start;
        match answered {
            Ok(start) => assert_eq!(log_start, start, "at call {nth}"),
            Err(_) => assert!([0, 30].contains(&log_start), "{log_start} at call {nth}"),
        }
        assert_eq!(machine.bench.report(), [], "at call {nth}");
        let offsets = offsets_of(&content(&machine.bench));
        assert_eq!(offsets, (log_start..40).collect::<Vec<_>>(), "at call {nth}");
        if calls < nth {
            return;
        }
    }
}
