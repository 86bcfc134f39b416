//! What is kept, and for how long.

use super::*;
use crate::{
    compaction::throttle::Unpaced,
    env::simulated::{Call, SimulatedClock},
    log::retention::Rule,
};

const NOW_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// Segments of a few records each, deleted at once when they are an hour old.
fn an_hour() -> LogConfig {
    LogConfig {
        segment_bytes: 500,
        index_interval_bytes: 0,
        retention_ms: Some(3_600_000),
        file_delete_delay_ms: 0,
        timestamp_after_ms_max: i64::MAX,
        ..LogConfig::default()
    }
}

/// A machine whose clock is set by the test.
struct Timed {
    files: SimulatedFileSystem,
    clock: Arc<SimulatedClock>,
    bench: Bench,
}

impl Timed {
    fn new(config: &LogConfig) -> Self {
        let files = SimulatedFileSystem::new(3);
        let clock = Arc::new(SimulatedClock::new(NOW_MS));
        let bench = Self::open(&files, &clock, config, false);
        Self { files, clock, bench }
    }

    fn open(
        files: &SimulatedFileSystem,
        clock: &Arc<SimulatedClock>,
        config: &LogConfig,
        is_existing: bool,
    ) -> Bench {
        let env = Env { clock: Arc::clone(clock) as _, ..files.env() };
        Bench::open(env, Path::new(DIRECTORY), config, is_existing)
    }

    /// Appends records with a timestamp until a new segment is begun, and one more.
    fn fill_segment(&self, timestamp_ms: i64) {
        let segments = self.segments().max(1);
        loop {
            self.append(timestamp_ms);
            if self.segments() > segments {
                return;
            }
        }
    }

    fn append(&self, timestamp_ms: i64) {
        let mut output = Vec::new();
        let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
        builder.push(timestamp_ms, Some(&[7]), Some(&[7; 100]), std::iter::empty()).unwrap();
        builder.finish(Finish::default()).unwrap();
        self.bench.log(0).append(&output, timestamp_ms).unwrap();
        self.bench.store.drive();
    }

    fn segments(&self) -> usize {
        let entries = self.files.list(segment_path(0, "log").parent().unwrap()).unwrap();
        entries.iter().filter(|entry| entry.name.ends_with(".log")).count()
    }

    fn start(&self) -> u64 {
        self.bench.log(0).offsets().log_start
    }
}

#[test]
fn the_largest_timestamp_of_a_segment_decides_how_long_it_is_kept() {
    let machine = Timed::new(&an_hour());
    machine.fill_segment(NOW_MS - 2 * HOUR_MS);
    let second = machine.bench.log(0).offsets().log_end - 1;
    machine.append(NOW_MS);
    machine.fill_segment(NOW_MS - 2 * HOUR_MS);
    let trimmed = machine.bench.log(0).enforce_retention().unwrap().unwrap();
    // Of the second segment one record is young.
    assert_eq!((trimmed.from_offset, trimmed.to_offset, trimmed.segments), (0, second, 1));
    assert_eq!((trimmed.rule, machine.start()), (Rule::Age, second));
    assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None);
    machine.clock.advance_ms(HOUR_MS as u32 + 1);
    let trimmed = machine.bench.log(0).enforce_retention().unwrap().unwrap();
    // The segment being written is due, too: it is closed, and the log goes on where it was.
    let log_end = machine.bench.log(0).offsets().log_end;
    assert_eq!((trimmed.to_offset, machine.segments()), (log_end, 1));
    machine.append(NOW_MS);
    assert_eq!(offsets_of(&content(&machine.bench)), [log_end]);
}

#[test]
fn more_bytes_than_are_retained_are_never_left_by_a_whole_segment_nor_fewer() {
    let config = LogConfig { retention_ms: None, retention_bytes: Some(1200), ..an_hour() };
    let machine = Timed::new(&config);
    for _ in 0..6 {
        machine.fill_segment(NOW_MS);
    }
    let log = machine.bench.log(0);
    let before = log.bytes();
    let trimmed = log.enforce_retention().unwrap().unwrap();
    assert_eq!((trimmed.rule, log.bytes()), (Rule::Size, before - trimmed.bytes));
    assert!((1200..1200 + 500).contains(&log.bytes()), "{} bytes", log.bytes());
    assert_eq!(log.enforce_retention().unwrap(), None);
}

#[test]
fn a_topic_without_limits_keeps_everything() {
    let config = LogConfig { retention_ms: None, ..an_hour() };
    let machine = Timed::new(&config);
    machine.fill_segment(0);
    machine.clock.advance_ms(u32::MAX);
    assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None);
    assert_eq!(machine.start(), 0);
}

#[test]
fn a_timestamp_in_the_future_pins_no_segment_also_over_restarts() {
    let machine = Timed::new(&an_hour());
    machine.fill_segment(NOW_MS + 1_000 * HOUR_MS);
    machine.append(-1);
    assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None);
    machine.bench.store.close().unwrap();
    machine.clock.advance_ms(HOUR_MS as u32 + 1);
    let bench = Timed::open(&machine.files, &machine.clock, &an_hour(), true);
    assert!(bench.log(0).enforce_retention().unwrap().is_some());
    assert_eq!(bench.log(0).offsets().log_start, bench.log(0).offsets().log_end);
}

#[test]
fn records_without_a_timestamp_are_as_old_as_their_append() {
    let machine = Timed::new(&an_hour());
    machine.append(-1);
    assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None);
    machine.fill_segment(-1);
    assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None);
    machine.bench.store.close().unwrap();
    let bench = Timed::open(&machine.files, &machine.clock, &an_hour(), true);
    assert_eq!(bench.log(0).enforce_retention().unwrap(), None);
    machine.clock.advance_ms(HOUR_MS as u32 + 1);
    let trimmed = bench.log(0).enforce_retention().unwrap().unwrap();
    assert_eq!((trimmed.rule, trimmed.to_offset), (Rule::Age, bench.log(0).offsets().log_end));
}

#[test]
fn a_clock_that_was_ahead_once_pins_no_segment_also_over_restarts() {
    let machine = Timed::new(&an_hour());
    machine.clock.set_wall_ms(NOW_MS + 1_000 * HOUR_MS);
    machine.fill_segment(NOW_MS + 1_000 * HOUR_MS);
    machine.clock.set_wall_ms(NOW_MS);
    let Timed { files, clock, mut bench } = machine;
    // Its times are found to be impossible: it gets older while a broker runs.
    for minutes in [0, 20, 20, 19] {
        clock.advance_ms(minutes * 60_000);
        assert_eq!(bench.log(0).enforce_retention().unwrap(), None);
        bench.store.close().unwrap();
        bench = Timed::open(&files, &clock, &an_hour(), true);
        assert_eq!(bench.log(0).enforce_retention().unwrap(), None);
    }
    clock.advance_ms(60_001);
    assert!(bench.log(0).enforce_retention().unwrap().is_some());
    assert_eq!(bench.log(0).offsets().log_start, bench.log(0).offsets().log_end);
}

#[test]
fn a_clock_that_is_set_back_and_forth_makes_no_segment_old() {
    // Without a time of their own, or with one in the future, what was appended is as old as the
    // last append, whose time the clock may be behind, once and again.
    for timestamp_ms in [-1, NOW_MS + 10_000 * HOUR_MS] {
        for appended_ms in [NOW_MS, NOW_MS + 1_000 * HOUR_MS] {
            let machine = Timed::new(&an_hour());
            let log = machine.bench.log(0);
            machine.clock.set_wall_ms(appended_ms);
            machine.fill_segment(timestamp_ms);
            for hours in [-1_000, -2_000, -1_000, -5, 0] {
                machine.clock.set_wall_ms(NOW_MS + hours * HOUR_MS);
                assert_eq!(log.enforce_retention().unwrap(), None, "{hours} hours");
                machine.append(timestamp_ms);
                assert_eq!(log.enforce_retention().unwrap(), None, "{hours} hours, appended");
            }
            machine.clock.advance_ms(HOUR_MS as u32);
            assert_eq!(log.enforce_retention().unwrap(), None);
            machine.clock.advance_ms(1);
            let trimmed = log.enforce_retention().unwrap().unwrap();
            assert_eq!(trimmed.to_offset, log.offsets().log_end);
        }
    }
}

#[test]
fn a_compaction_makes_no_segment_young() {
    let config = LogConfig { is_compacted: true, dirty_ratio_min: 0.0, ..an_hour() };
    let machine = Timed::new(&config);
    machine.files.set_clock(&machine.clock);
    for _ in 0..4 {
        machine.fill_segment(NOW_MS + 1_000 * HOUR_MS);
    }
    machine.clock.advance_ms(40 * 60_000);
    let compacted = machine.bench.store.compact(1 << 20, &Unpaced).unwrap().unwrap();
    assert!(compacted.pass.segments_after > 0);
    assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None);
    machine.clock.advance_ms(20 * 60_000 + 1);
    assert!(machine.bench.log(0).enforce_retention().unwrap().is_some());
}

#[test]
fn what_is_appended_to_a_segment_whose_age_is_counted_is_young() {
    let config = LogConfig { segment_bytes: 1 << 20, ..an_hour() };
    let machine = Timed::new(&config);
    let log = machine.bench.log(0);
    machine.clock.set_wall_ms(NOW_MS + 1_000 * HOUR_MS);
    machine.append(-1);
    machine.clock.set_wall_ms(NOW_MS);
    for _ in 0..3 {
        assert_eq!(log.enforce_retention().unwrap(), None);
        machine.clock.advance_ms(HOUR_MS as u32 / 2);
        assert_eq!(log.enforce_retention().unwrap(), None);
        machine.clock.advance_ms(HOUR_MS as u32 / 2);
        machine.append(-1);
    }
    assert_eq!(log.enforce_retention().unwrap(), None);
    machine.clock.advance_ms(HOUR_MS as u32 + 1);
    assert!(log.enforce_retention().unwrap().is_some());
}

#[test]
fn a_clock_that_is_behind_for_a_while_deletes_nothing() {
    let machine = Timed::new(&an_hour());
    for _ in 0..2 {
        machine.fill_segment(NOW_MS);
    }
    let behind_ms = NOW_MS - 1_000 * HOUR_MS;
    for wall_ms in [behind_ms, behind_ms + 1, NOW_MS, NOW_MS + HOUR_MS] {
        machine.clock.set_wall_ms(wall_ms);
        assert_eq!(machine.bench.log(0).enforce_retention().unwrap(), None, "at {wall_ms}");
    }
    machine.clock.set_wall_ms(NOW_MS + HOUR_MS + 1);
    assert!(machine.bench.log(0).enforce_retention().unwrap().is_some());
}

#[test]
fn what_lies_before_the_log_start_goes_without_any_limit() {
    let config = LogConfig { retention_ms: None, ..an_hour() };
    let machine = Timed::new(&config);
    machine.fill_segment(NOW_MS);
    let log = machine.bench.log(0);
    let first_records = log.offsets().log_end - 1;
    for _ in 1..first_records {
        machine.append(NOW_MS);
    }
    let log_start = log.delete_records(None).unwrap();
    // It is being written, full as it is.
    assert_eq!((log.enforce_retention().unwrap(), machine.segments()), (None, 1));
    machine.append(NOW_MS);
    assert_eq!(machine.segments(), 2);
    let trimmed = log.enforce_retention().unwrap().unwrap();
    assert_eq!((trimmed.rule, trimmed.segments), (Rule::Start, 1));
    assert_eq!((machine.segments(), machine.start()), (1, log_start));
    assert_eq!(log.enforce_retention().unwrap(), None);
}

#[test]
fn where_no_segment_can_be_begun_those_that_are_closed_go() {
    let machine = Timed::new(&an_hour());
    for _ in 0..3 {
        machine.fill_segment(0);
    }
    let log = machine.bench.log(0);
    let log_end = log.offsets().log_end;
    let is_next = segment_path(log_end, "log").to_string_lossy().into_owned();
    machine
        .files
        .inject(Fault::new(Effect::NoSpace).on(Call::Open).with_path(is_next).times(u64::MAX));
    let trimmed = log.enforce_retention().unwrap().unwrap();
    assert_eq!((trimmed.segments, trimmed.to_offset), (3, log_end - 1));
    assert_eq!(log.enforce_retention().unwrap_err().code(), Code::DiskFull);
    machine.files.clear_faults();
    assert_eq!(log.enforce_retention().unwrap().unwrap().to_offset, log_end);
    assert_eq!((machine.segments(), machine.start()), (1, log_end));
}

#[test]
fn nothing_that_is_not_visible_yet_is_deleted() {
    let config = LogConfig { retention_ms: Some(0), ..an_hour() };
    let machine = Timed::new(&config);
    machine.fill_segment(0);
    let visible = machine.bench.log(0).offsets().high_watermark;
    // Appended, and not flushed.
    let hidden = machine.bench.log(0).append(&batch(b"hidden", None), 7).unwrap();
    machine.bench.log(0).enforce_retention().unwrap();
    assert!(machine.start() < visible.min(hidden.base_offset));
    machine.bench.store.drive();
    machine.bench.log(0).enforce_retention().unwrap();
    assert_eq!(machine.start(), hidden.next_offset);
}

#[test]
fn files_stay_for_their_delay_and_go_at_the_next_start_in_any_case() {
    let config = LogConfig { file_delete_delay_ms: 60_000, ..an_hour() };
    let machine = Timed::new(&config);
    for _ in 0..3 {
        machine.fill_segment(0);
    }
    machine.bench.log(0).enforce_retention().unwrap().unwrap();
    let shared = machine.bench.store.shared();
    assert_eq!((machine.segments(), shared.deleted.waiting().0), (5, 4));
    machine.clock.advance_ms(59_000);
    shared.deleted.remove_due(shared);
    assert_eq!(machine.segments(), 5);
    machine.clock.advance_ms(2_000);
    shared.deleted.remove_due(shared);
    assert_eq!((machine.segments(), shared.deleted.waiting()), (1, (0, 0)));
    machine.fill_segment(0);
    machine.bench.log(0).enforce_retention().unwrap().unwrap();
    let start = machine.start();
    machine.bench.store.close().unwrap();
    assert_eq!(machine.segments(), 3);
    let bench = Timed::open(&machine.files, &machine.clock, &config, true);
    assert_eq!((machine.segments(), bench.log(0).offsets().log_start), (1, start));
}

#[test]
fn who_reads_a_segment_while_it_is_deleted_reads_on() {
    let machine = Timed::new(&an_hour());
    for _ in 0..3 {
        machine.fill_segment(0);
    }
    let log = machine.bench.log(0);
    let shared = machine.bench.store.shared();
    let batches = loop {
        match log.read(0, 100).unwrap() {
            Read::Batches(batches) => break batches,
            Read::Cold(range) => range.load(shared).unwrap(),
            _ => panic!("nothing to read"),
        }
    };
    let before = batches.bytes().to_vec();
    let cold = crate::log::read::ColdRange {
        segment: Arc::clone(&batches.segment),
        position: 0,
        bytes: before.len() as u64,
        suspect: None,
    };
    log.enforce_retention().unwrap().unwrap();
    assert!(matches!(log.read(0, 100).unwrap(), Read::OutOfRange { .. }));
    assert_eq!(batches.bytes(), before);
    // The file has no name any more, and is there for whoever had the segment.
    cold.load(shared).unwrap();
}

/// The power fails at every call that retention makes, and any part of what was not synced is left.
#[test]
fn a_power_cut_during_retention_leaves_a_log_that_is_whole_from_its_start_on() {
    for nth in 1.. {
        let machine = Timed::new(&an_hour());
        for _ in 0..4 {
            machine.fill_segment(0);
        }
        let log_end = machine.bench.log(0).offsets().log_end;
        let calls_before = machine.files.calls();
        machine.files.cut_power_at_call(nth);
        let trimmed = machine.bench.log(0).enforce_retention();
        let calls = machine.files.calls() - calls_before;
        let files = machine.files.crash().unwrap();
        machine.bench.store.shared().scheduler.close();
        machine.bench.store.shared().work.close();
        let bench = Timed::open(&files, &machine.clock, &an_hour(), true);
        let log_start = bench.log(0).offsets().log_start;
        match trimmed {
            Ok(Some(trimmed)) => assert_eq!(log_start, trimmed.to_offset, "at call {nth}"),
            _ => assert!([0, log_end].contains(&log_start), "{log_start} at call {nth}"),
        }
        assert_eq!(bench.report(), [], "at call {nth}");
        let expected: Vec<_> = (log_start..log_end).collect();
        assert_eq!(offsets_of(&content(&bench)), expected, "at call {nth}");
        assert_eq!(bench.append(b"next").base_offset, log_end, "at call {nth}");
        if calls < nth {
            return;
        }
    }
}

#[test]
fn segments_are_closed_by_age_less_their_jitter() {
    let config = LogConfig {
        segment_ms: 1_000,
        segment_jitter_ms: 500,
        segment_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let machine = Timed::new(&config);
    let mut ages = Vec::new();
    for _ in 0..40 {
        machine.append(NOW_MS);
        let segments = machine.segments();
        let mut age_ms = 0;
        while machine.segments() == segments {
            machine.clock.advance_ms(10);
            age_ms += 10;
            machine.append(NOW_MS);
        }
        ages.push(age_ms);
    }
    ages.sort_unstable();
    assert!(ages[0] >= 500 && ages[39] <= 1_000 && ages[0] + 100 < ages[39], "{ages:?}");
}
