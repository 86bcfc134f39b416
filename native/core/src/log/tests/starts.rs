//! What a start has to look at, by the calls that it makes, and what it must not overlook.

use super::*;
use crate::{
    env::{OpenMode, simulated::Call},
    recovery::RecoveryEvent,
};

const SEGMENTS: [u8; 2] = [4, 40];

fn small() -> LogConfig {
    LogConfig { segment_bytes: 200, ..LogConfig::default() }
}

/// A machine whose first partition has so many segments, one record each.
fn filled(segments: u8) -> Simulated {
    let machine = Simulated::new(&small());
    for value in 0..segments {
        machine.bench.append(&[value; 100]);
    }
    machine
}

fn stopped(machine: Simulated) -> SimulatedFileSystem {
    machine.bench.store.close().unwrap();
    machine.files
}

/// Starts, and returns the calls that it took.
fn calls_of_start(files: SimulatedFileSystem) -> (u64, Simulated) {
    let before = files.calls();
    let machine = Simulated::reopened(files, &small());
    (machine.files.calls() - before, machine)
}

#[test]
fn a_start_after_a_clean_stop_opens_no_file_of_a_closed_segment() {
    let calls = SEGMENTS.map(|segments| {
        let (calls, machine) = calls_of_start(stopped(filled(segments)));
        assert_eq!(content(&machine.bench).0.len(), usize::from(segments));
        assert_eq!(machine.bench.report(), []);
        calls
    });
    assert_eq!(calls[0], calls[1]);
}

#[test]
fn a_start_after_a_kill_opens_no_closed_segment_that_the_checkpoint_knows() {
    let calls = SEGMENTS.map(|segments| {
        let machine = filled(segments);
        machine.bench.store.write_checkpoint().unwrap();
        let mut before = 0;
        let machine = machine.killed(|files| before = files.calls());
        let calls = machine.files.calls() - before;
        assert_eq!(content(&machine.bench).0.len(), usize::from(segments));
        assert_eq!(machine.bench.report(), []);
        calls
    });
    assert_eq!(calls[0], calls[1]);
}

#[test]
fn stops_and_starts_without_a_new_segment_do_not_have_the_closed_ones_read_after_a_kill() {
    let calls = SEGMENTS.map(|segments| {
        let mut machine = filled(segments);
        for _ in 0..3 {
            machine = calls_of_start(stopped(machine)).1;
            machine.bench.store.configure_topic(machine.bench.topic, LogConfig::default()).unwrap();
            machine.bench.append(b"fits");
        }
        let mut before = 0;
        let machine = machine.killed(|files| before = files.calls());
        let calls = machine.files.calls() - before;
        assert_eq!(content(&machine.bench).0.len(), usize::from(segments) + 3);
        calls
    });
    assert_eq!(calls[0], calls[1]);
}

#[test]
fn logs_that_nobody_flushes_do_not_hold_more_files_open_than_the_process_may_have() {
    let files = SimulatedFileSystem::new(1);
    let relaxed = LogConfig { flush_messages: u64::MAX, ..LogConfig::default() };
    let directory = Path::new(DIRECTORY);
    let descriptors_max = NonZeroUsize::new(64).unwrap();
    let options = StoreOptions { descriptors_max, ..options(directory) };
    let limits = crate::env::ProcessLimits { descriptors: 40, maps: 1000 };
    let store = Store::open(Env { limits, ..files.env() }, options).unwrap();
    let spec = TopicSpec { partitions: 100, ..orders(&relaxed, false) };
    let topic = store.open_topics(&[spec]).unwrap()[0];
    for partition in 0..100 {
        let log = store.log(topic, partition).unwrap();
        log.append(&batch(&[7; 100], None), 7).unwrap();
        store.drive();
    }
    // 40 descriptors: 20 for files, of which half may be unsynced.
    assert_eq!(store.shared().files.open_count(), 20);
    assert_eq!(store.shared().dirty.files(), 10);
}

#[test]
fn a_closed_segment_that_has_lost_its_end_is_found_out_at_the_start() {
    let files = stopped(filled(4));
    let path = segment_path(1, "log");
    let file = files.open(&path, OpenMode::ReadWrite).unwrap();
    file.truncate(file.len().unwrap() - 10).unwrap();
    let (_, machine) = calls_of_start(files);
    let report = machine.bench.report();
    let is_lost = |entry: &RecoveryEntry| {
        matches!(entry.event, RecoveryEvent::Quarantined { from_offset: 1, to_offset: 2, .. })
    };
    assert!(report.iter().any(is_lost), "{report:?}");
    assert_eq!(offsets_of(&content(&machine.bench)), [0, 2, 3]);
}

#[test]
fn an_index_that_was_lost_is_made_anew_when_it_is_needed() {
    let files = stopped(filled(4));
    for extension in ["index", "timeindex"] {
        let path = segment_path(1, extension);
        files.open(&path, OpenMode::ReadWrite).unwrap().truncate(0).unwrap();
    }
    let (_, machine) = calls_of_start(files);
    assert_eq!(offsets_of(&content(&machine.bench)), [0, 1, 2, 3]);
    let made_anew = machine.files.open(&segment_path(1, "index"), OpenMode::Read).unwrap();
    assert!(made_anew.len().unwrap() > 0);
}

#[test]
fn a_checkpoint_written_while_logs_are_still_closed_keeps_what_is_known_of_them() {
    let machine = filled(4);
    let files = stopped(machine);
    let options = StoreOptions {
        data_directory: PathBuf::from(DIRECTORY),
        flush_threads_max: 0,
        descriptors_max: NonZeroUsize::MIN,
        journal: None,
    };
    let store = Store::open(files.env(), options).unwrap();
    store.write_checkpoint().unwrap();
    drop(store);
    let (calls, machine) = calls_of_start(files);
    assert_eq!(content(&machine.bench).0.len(), 4);
    let (more_calls, _) = calls_of_start(stopped(machine));
    assert!(calls <= more_calls + 8, "{calls} calls where {more_calls} are enough");
}

/// Opens the store for something else than its topics, or for topics that cannot be opened, and
/// closes it: as whoever changes users does, or a start that fails.
fn opened_without_logs(files: &SimulatedFileSystem, asks_for_logs: bool) {
    let store = Store::open(files.env(), options(Path::new(DIRECTORY))).unwrap();
    if asks_for_logs {
        files.inject(Fault::new(Effect::InputOutput).on(Call::Read).with_path("/1/"));
        store.open_topics(&[orders(&LogConfig::default(), true)]).unwrap_err();
        files.clear_faults();
    }
    store.close().unwrap();
}

#[test]
fn what_a_kill_has_left_is_made_durable_wherever_the_store_was_opened_for_in_between() {
    for asks_for_logs in [false, true] {
        let relaxed = LogConfig { flush_messages: u64::MAX, ..LogConfig::default() };
        let machine = Simulated::new(&relaxed);
        for value in 0..4u8 {
            machine.bench.append(&[value; 100]);
            machine.bench.log(1).append(&batch(&[value; 100], None), 7).unwrap();
        }
        let machine = machine.killed(|files| opened_without_logs(files, asks_for_logs));
        assert_eq!(offsets_of(&content(&machine.bench)), [0, 1, 2, 3], "{asks_for_logs}");
        // Readers have seen it.
        let machine = machine.cut();
        assert_eq!(offsets_of(&content(&machine.bench)), [0, 1, 2, 3], "{asks_for_logs}");
    }
}

#[test]
fn a_clean_stop_stays_one_where_the_store_is_opened_for_something_else() {
    let calls = [false, true].map(|is_opened_between| {
        let files = stopped(filled(4));
        if is_opened_between {
            opened_without_logs(&files, false);
        }
        let (calls, machine) = calls_of_start(files);
        assert_eq!(content(&machine.bench).0.len(), 4);
        assert_eq!(machine.bench.report(), []);
        calls
    });
    assert_eq!(calls[0], calls[1]);
}
