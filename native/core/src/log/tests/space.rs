//! Logs on a disk that is short of space.

use std::sync::atomic::Ordering;

use super::*;
use crate::{
    env::{
        Clock, OpenMode,
        simulated::{Call, SimulatedClock},
    },
    space::watermarks::Level,
};

const DISK_BYTES: u64 = 64 << 20;

/// A machine whose disk something else may fill.
fn on_disk(config: &LogConfig) -> Simulated {
    let files = SimulatedFileSystem::new(1);
    files.set_capacity_bytes(Some(DISK_BYTES));
    let bench = Bench::open(files.env(), Path::new(DIRECTORY), config, false);
    Simulated { files, bench }
}

fn leave(machine: &Simulated, bytes: u64) {
    let files = &machine.files;
    let other = files.open(Path::new("/other"), OpenMode::OpenOrCreate).unwrap();
    other.truncate(0).unwrap();
    let available = files.space(Path::new("/")).unwrap().available_bytes;
    assert!(other.allocate(0, available - bytes, false).unwrap());
}

fn file_bytes(machine: &Simulated, base_offset: u64) -> Option<u64> {
    let path = segment_path(base_offset, "log");
    machine.files.open(&path, OpenMode::Read).ok().map(|file| file.len().unwrap())
}

#[test]
fn what_is_nearly_full_takes_the_brokers_own_records_and_repeats_what_it_took() {
    let machine = on_disk(&LogConfig::default());
    let producer = Producer { id: 9, epoch: 0, base_sequence: 0 };
    let numbered = batch(b"one", Some(producer));
    let log = machine.bench.log(0);
    log.append(&numbered, 7).unwrap();
    leave(&machine, 1 << 20);
    machine.bench.store.watch_space();
    assert!(log.append(&numbered, 7).unwrap().is_duplicate);
    let refused = log.append(&batch(b"two", None), 7).unwrap_err();
    assert_eq!((refused.code(), log.offsets().log_end), (Code::DiskFull, 1));
    log.configure(Arc::new(LogConfig { is_internal: true, ..LogConfig::default() }));
    assert_eq!(log.append(&batch(b"own", None), 7).unwrap().base_offset, 1);
}

#[test]
fn a_write_that_finds_the_disk_full_is_the_last_that_is_tried() {
    let machine = on_disk(&LogConfig::default());
    machine.bench.append(b"one");
    leave(&machine, 4096);
    let log = machine.bench.log(0);
    let refused = log.append(&batch(&[1; 700_000], None), 7).unwrap_err();
    assert!(refused.detail().contains("appending"), "{refused}");
    let calls = machine.files.calls();
    let refused = log.append(&batch(&[1; 700_000], None), 7).unwrap_err();
    assert_eq!((refused.code(), machine.files.calls()), (Code::DiskFull, calls));
}

#[test]
fn who_deletes_all_records_of_a_short_disk_gets_their_blocks_at_once() {
    let machine = on_disk(&LogConfig::default());
    for _ in 0..6 {
        machine.bench.append(&[1; 800_000]);
    }
    leave(&machine, 0);
    machine.bench.store.watch_space();
    let store = &machine.bench.store;
    assert_eq!(store.delete_records(machine.bench.topic, 0, None), Ok(6));
    assert_eq!((file_bytes(&machine, 0), file_bytes(&machine, 6)), (None, Some(0)));
    // This file system has blocks back when a removal is durable.
    machine.files.sync_directory(segment_path(0, "log").parent().unwrap()).unwrap();
    store.watch_space();
    machine.bench.log(0).append(&batch(b"next", None), 7).unwrap();
    assert!(store.shared().space.status().reserve_bytes > 0);
}

#[test]
fn a_segment_whose_index_found_no_room_can_be_deleted() {
    let config = LogConfig { segment_bytes: 1_000_000, ..LogConfig::default() };
    let machine = on_disk(&config);
    machine.bench.append(&[1; 700_000]);
    let fault = Fault::new(Effect::NoSpace).on(Call::Write).with_path(".index").times(u64::MAX);
    machine.files.inject(fault);
    machine.bench.append(&[2; 700_000]);
    machine.files.clear_faults();
    assert!(machine.bench.store.shared().hint_failures.load(Ordering::Relaxed) > 0);
    leave(&machine, 0);
    machine.bench.store.watch_space();
    let store = &machine.bench.store;
    assert_eq!(store.delete_records(machine.bench.topic, 0, Some(1)), Ok(1));
    assert_eq!(file_bytes(&machine, 0), None);
    let machine = machine.cut();
    assert_eq!(offsets_of(&content(&machine.bench)), [1]);
}

#[test]
fn segments_and_what_is_allocated_ahead_shrink_with_the_disk() {
    let config = LogConfig {
        flush_messages: u64::MAX,
        writer: WriterChoice::Mapped,
        ..LogConfig::default()
    };
    let machine = on_disk(&config);
    for _ in 0..13 {
        machine.bench.append(&[1; 700_000]);
    }
    let log = machine.bench.log(0);
    let bases: Vec<u64> = log.segments.read().iter().map(|segment| segment.base_offset).collect();
    assert_eq!(bases, [0, 5, 10]);
    let (end, ahead) = (log.segments.read()[2].end_position(), file_bytes(&machine, 10).unwrap());
    assert!(ahead > end && ahead - end <= 2 * 65_536, "{ahead} of {end}");
    // Where it is short, that goes, too, and nothing is allocated any more.
    leave(&machine, 7 << 20);
    machine.bench.store.watch_space();
    assert_eq!(machine.bench.store.shared().space.level(), Level::Warn);
    assert_eq!(file_bytes(&machine, 10), Some(end));
    machine.bench.append(&[1; 700_000]);
    assert_eq!(file_bytes(&machine, 10), Some(log.segments.read()[2].end_position()));
    machine.bench.store.close().unwrap();
}

#[test]
fn a_fast_log_has_blocks_ahead_of_its_tail_until_it_is_slow_or_space_is_short() {
    let config = LogConfig {
        flush_messages: u64::MAX,
        writer: WriterChoice::Pwrite,
        ..LogConfig::default()
    };
    let clock = Arc::new(SimulatedClock::new(1_000_000));
    let files = SimulatedFileSystem::new(1);
    files.set_capacity_bytes(Some(DISK_BYTES));
    let env = Env { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..files.env() };
    let bench = Bench::open(env, Path::new(DIRECTORY), &config, false);
    let machine = Simulated { files, bench };
    let log = machine.bench.log(0);
    let ahead = || {
        let used = |files: &SimulatedFileSystem| {
            let space = files.space(Path::new("/")).unwrap();
            space.total_bytes - space.available_bytes
        };
        let before = used(&machine.files);
        let end = log.segments.read().last().unwrap().end_position();
        log.give_back_allocation().unwrap();
        let base = log.segments.read().last().unwrap().base_offset;
        assert_eq!(file_bytes(&machine, base), Some(end));
        before - used(&machine.files)
    };
    machine.bench.append(&[1; 700_000]);
    assert_eq!(ahead(), 0);
    for _ in 0..15 {
        machine.bench.append(&[1; 700_000]);
    }
    assert!((1..=64 << 10).contains(&ahead()));
    machine.bench.append(&[1; 700_000]);
    assert!(ahead() > 0, "given back, it is taken again");
    // The first of a second that nothing came in is the last that is taken for one of many.
    clock.advance_ms(60_000);
    machine.bench.append(b"slow");
    machine.bench.append(b"slow");
    assert_eq!(ahead(), 0);
    let count = log.offsets().log_end;
    drop(log);
    let machine = machine.killed(|_| {});
    assert_eq!(machine.bench.log(0).offsets().log_end, count);
    machine.bench.store.close().unwrap();
}

#[test]
fn what_is_allocated_ahead_grows_with_the_segment() {
    let machine = Simulated::new(&LogConfig {
        flush_messages: u64::MAX,
        writer: WriterChoice::Pwrite,
        ..LogConfig::default()
    });
    for _ in 0..80 {
        machine.bench.append(&[1; 700_000]);
    }
    let allocated = |line: &&String| line.contains("Allocate") && line.contains("/0/");
    let trace = machine.files.trace();
    // As much again each time, from 14 MB on: to 29 and to 59 MB.
    assert_eq!(trace.iter().filter(allocated).count(), 2, "{trace:#?}");
    machine.bench.store.close().unwrap();
}

#[test]
fn a_fast_log_that_gets_no_blocks_ahead_goes_without() {
    for effect in [Effect::NoSpace, Effect::InputOutput] {
        let machine = Simulated::new(&LogConfig {
            flush_messages: 8,
            writer: WriterChoice::Pwrite,
            ..LogConfig::default()
        });
        machine.files.inject(Fault::new(effect).on(Call::Allocate).with_path("/0/"));
        for _ in 0..32 {
            machine.bench.append(&[1; 700_000]);
        }
        let allocated = |line: &String| line.contains("Allocate") && line.contains("/0/");
        assert!(machine.files.trace().iter().any(allocated));
        let machine = machine.cut();
        assert_eq!(offsets_of(&content(&machine.bench)), Vec::from_iter(0..32));
    }
}

#[test]
fn retention_that_is_lowered_on_a_short_disk_makes_room_at_once() {
    let config = LogConfig { segment_bytes: 1_000_000, ..LogConfig::default() };
    let machine = on_disk(&config);
    for _ in 0..8 {
        machine.bench.append(&[1; 700_000]);
    }
    leave(&machine, 1 << 20);
    let store = &machine.bench.store;
    store.watch_space();
    let lowered = LogConfig { retention_bytes: Some(1_000_000), ..config };
    store.configure_topic(machine.bench.topic, lowered).unwrap();
    store.watch_space();
    assert_eq!(machine.bench.log(0).offsets().log_start, 6);
    assert_eq!(file_bytes(&machine, 0), None);
}

#[test]
fn what_was_deleted_before_space_became_short_goes_when_it_does() {
    let config = LogConfig {
        segment_bytes: 1_000_000,
        file_delete_delay_ms: 60_000,
        ..LogConfig::default()
    };
    let machine = on_disk(&config);
    for _ in 0..3 {
        machine.bench.append(&[1; 700_000]);
    }
    let store = &machine.bench.store;
    store.delete_records(machine.bench.topic, 0, Some(2)).unwrap();
    store.watch_space();
    assert!(file_bytes(&machine, 0).is_some());
    leave(&machine, 1 << 20);
    store.watch_space();
    assert_eq!((file_bytes(&machine, 0), file_bytes(&machine, 1)), (None, None));
    let told = store.take_upkeep_report();
    assert!(told.iter().any(|entry| entry.is_warning
        && entry.subject == DIRECTORY
        && entry.detail.starts_with("disk space: ")
        && entry.detail.contains("of 67108864 bytes are available to /data")));
}

#[test]
fn a_start_gives_the_reserve_up_to_what_it_sets_aside_and_to_what_it_has_to_remember() {
    let machine = on_disk(&LogConfig::default());
    for value in 0..4u8 {
        machine.bench.append(&[value; 100]);
    }
    let reserve_bytes =
        |machine: &Simulated| machine.bench.store.shared().space.status().reserve_bytes;
    assert!(reserve_bytes(&machine) > 0);
    let bytes = batch(&[0; 100], None).len() as u64;
    let machine = machine.killed(|files| {
        flip(files, &segment_path(0, "log"), bytes + 90);
        files.inject(Fault::new(Effect::NoSpace).on(Call::Write).with_path(".damage"));
    });
    assert_eq!(reserve_bytes(&machine), 0);
    assert_eq!(machine.bench.report().len(), 1, "it is told of once");
    assert_eq!(content(&machine.bench).1, [(1, 2)]);
    machine.bench.store.watch_space();
    assert!(reserve_bytes(&machine) > 0);

    let unclaimed = Path::new(DIRECTORY).join(format!("logs/{}", Uuid::from_u128(0x12)));
    machine.files.create_directory(&unclaimed).unwrap();
    let fault = Fault::new(Effect::NoSpace).on(Call::CreateDirectory).with_path("set-aside");
    machine.files.inject(fault);
    machine.bench.store.set_aside_unclaimed().unwrap();
    assert_eq!((reserve_bytes(&machine), machine.bench.report().len()), (0, 1));
}

#[test]
fn what_is_set_aside_survives_a_power_cut_from_the_first_time_on() {
    let machine = Simulated::new(&LogConfig::default());
    machine.bench.append(b"x");
    let logs = Path::new(DIRECTORY).join("logs");
    machine.files.create_directory(&logs.join(Uuid::from_u128(0x12).to_string())).unwrap();
    machine.files.sync_directory(&logs).unwrap();
    machine.bench.store.set_aside_unclaimed().unwrap();
    let machine = machine.cut();
    let aside = machine.files.list(&Path::new(DIRECTORY).join("set-aside")).unwrap();
    assert_eq!(aside.len(), 1);
}
