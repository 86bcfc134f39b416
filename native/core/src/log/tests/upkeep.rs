//! What a store does by itself, where that takes long or fails.

use std::{thread, time::Duration};

use super::*;
use crate::{
    env::{
        OpenMode,
        simulated::{Call, SimulatedClock},
    },
    registry::upkeep::UpkeepOptions,
    space::watermarks::Level,
};

const DISK_BYTES: u64 = 64 << 20;
/// More than a thread takes that does not wait for another: a minute.
const LOOKS_MAX: u32 = 6000;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Every segment of one record is due at once.
fn due_at_once() -> LogConfig {
    LogConfig {
        segment_bytes: 200,
        retention_ms: Some(1),
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

fn filled(files: &SimulatedFileSystem, env: Env, config: &LogConfig, segments: u8) -> Simulated {
    files.set_capacity_bytes(Some(DISK_BYTES));
    let bench = Bench::open(env, Path::new(DIRECTORY), config, false);
    for value in 0..segments {
        bench.append(&[value; 100]);
    }
    Simulated { files: files.clone(), bench }
}

fn segments_on_disk(files: &SimulatedFileSystem) -> usize {
    let entries = files.list(segment_path(0, "log").parent().unwrap()).unwrap();
    entries.iter().filter(|entry| entry.name.ends_with(".log")).count()
}

fn upkeep() -> UpkeepOptions {
    UpkeepOptions {
        retention_check_interval_ms: 1,
        is_cleaner_enabled: false,
        cleaner_backoff_ms: 1000,
        cleaner_dedupe_bytes_max: 1 << 20,
        cleaner_bytes_per_second: u64::MAX,
        scrub_bytes_per_second: 0,
    }
}

fn warnings(bench: &Bench) -> Vec<(String, String)> {
    let entries = bench.store.take_upkeep_report().into_iter();
    entries.filter(|entry| entry.is_warning).map(|entry| (entry.subject, entry.detail)).collect()
}

#[test]
fn the_disk_is_watched_while_deletions_take_long_and_a_stop_does_not_wait_for_them() {
    let files = SimulatedFileSystem::new(1);
    let env = Env { clock: Arc::new(crate::env::SystemClock), ..files.env() };
    let machine = filled(&files, env, &due_at_once(), 200);
    // Half a second for each of the files of 200 segments.
    let slow = Effect::Delay(Duration::from_millis(500));
    files.inject(Fault::new(slow).on(Call::Remove).times(u64::MAX));
    let store = &machine.bench.store;
    store.start_upkeep(upkeep()).unwrap();
    while store.log(machine.bench.topic, 0).unwrap().offsets().log_start == 0 {
        thread::yield_now();
    }
    let other = files.open(Path::new("/other"), OpenMode::OpenOrCreate).unwrap();
    let available = files.space(Path::new("/")).unwrap().available_bytes;
    assert!(other.allocate(0, available - (2 << 20), false).unwrap());
    let mut looks = 0;
    while store.shared().space.level() == Level::Ample {
        looks += 1;
        assert!(looks < LOOKS_MAX, "nobody looked at the disk");
        thread::sleep(LOOK_INTERVAL);
    }
    store.close().unwrap();
    let left = segments_on_disk(&files);
    assert!(left > 100, "{left}");
    files.clear_faults();
    let machine = Simulated::reopened(files, &due_at_once());
    assert_eq!((segments_on_disk(&machine.files), content(&machine.bench).0.len()), (1, 0));
}

#[test]
fn a_file_that_cannot_be_removed_is_told_of_once_and_tried_again() {
    let files = SimulatedFileSystem::new(1);
    let clock = Arc::new(SimulatedClock::new(1_700_000_000_000));
    let env = Env { clock: Arc::clone(&clock) as _, ..files.env() };
    let machine = filled(&files, env, &due_at_once(), 4);
    let fails = Fault::new(Effect::InputOutput).on(Call::Remove).with_path(".log");
    files.inject(fails.clone().times(4 + 4));
    let shared = machine.bench.store.shared();
    clock.advance_ms(2);
    machine.bench.store.enforce_retention();
    assert_eq!((segments_on_disk(&files), shared.deleted.waiting().0), (5, 4));
    let told = warnings(&machine.bench);
    assert!(told.len() == 1 && told[0].1.starts_with("files of 4 deleted segments"), "{told:?}");
    // Also a short disk does not have it tried all the time.
    shared.deleted.remove_all(shared);
    clock.advance_ms(1000);
    shared.deleted.remove_due(shared);
    assert_eq!(segments_on_disk(&files), 5);
    clock.advance_ms(1999);
    shared.deleted.remove_due(shared);
    assert_eq!(segments_on_disk(&files), 5);
    clock.advance_ms(1);
    shared.deleted.remove_due(shared);
    assert_eq!((segments_on_disk(&files), shared.deleted.waiting()), (1, (0, 0)));
    assert_eq!(warnings(&machine.bench), []);
}

#[test]
fn a_file_that_can_never_be_removed_is_left_to_the_next_start() {
    let files = SimulatedFileSystem::new(1);
    let clock = Arc::new(SimulatedClock::new(1_700_000_000_000));
    let env = Env { clock: Arc::clone(&clock) as _, ..files.env() };
    let machine = filled(&files, env, &due_at_once(), 1);
    let fails = Fault::new(Effect::InputOutput).on(Call::Remove).with_path(".log");
    files.inject(fails.times(u64::MAX));
    let shared = machine.bench.store.shared();
    clock.advance_ms(2);
    machine.bench.store.enforce_retention();
    let calls = files.calls();
    for _ in 0..100 {
        clock.advance_ms(3_600_000);
        shared.deleted.remove_due(shared);
    }
    assert_eq!((files.calls() - calls, shared.deleted.waiting().0), (10, 0));
    let told: Vec<String> = warnings(&machine.bench).into_iter().map(|(_, told)| told).collect();
    assert!(told[0].contains("tried again") && told[1].contains("the next start"), "{told:?}");
    files.clear_faults();
    let machine = machine.killed(|_| ());
    assert_eq!(segments_on_disk(&machine.files), 1);
}

#[test]
fn a_log_that_fails_while_nobody_uses_it_is_told_of() {
    let files = SimulatedFileSystem::new(1);
    let clock = Arc::new(SimulatedClock::new(1_700_000_000_000));
    let env = Env { clock: Arc::clone(&clock) as _, ..files.env() };
    let machine = filled(&files, env, &due_at_once(), 1);
    clock.advance_ms(2);
    // The segment that is being written is closed, since it is due.
    files.inject(Fault::new(Effect::InputOutput).on(Call::SyncData).with_path(".log"));
    machine.bench.store.enforce_retention();
    let told = warnings(&machine.bench);
    let [(subject, detail)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(subject, "orders-0");
    assert!(detail.starts_with("refuses records until the next start: fdatasync of"), "{detail}");
    machine.bench.store.enforce_retention();
    assert_eq!(warnings(&machine.bench), []);
}

/// The index files of the closed segments.
fn indexes(machine: &Simulated) -> Vec<Option<Vec<u8>>> {
    let read = |base| {
        let path = segment_path(base, "index");
        crate::env::transfer::read_whole(&machine.files, &path, 1 << 20).unwrap()
    };
    (0..3).map(read).collect()
}

#[test]
fn segments_whose_indexes_found_no_room_are_sealed_when_there_is_room_again() {
    let config = LogConfig { retention_ms: None, ..due_at_once() };
    let [expected, machine] = [false, true].map(|is_full| {
        let files = SimulatedFileSystem::new(1);
        let full = Fault::new(Effect::NoSpace).on(Call::Write).with_path("index");
        if is_full {
            files.inject(full.times(u64::MAX));
        }
        filled(&files, files.env(), &config, 4)
    });
    let log = machine.bench.log(0);
    assert!(!log.segments.read()[0].is_sealed());
    // Still full.
    machine.bench.store.seal_left();
    assert!(!log.segments.read()[0].is_sealed());
    machine.files.clear_faults();
    machine.bench.store.seal_left();
    assert!(log.segments.read()[..3].iter().all(|segment| segment.is_sealed()));
    assert_eq!(indexes(&machine), indexes(&expected));
    assert_eq!(content(&machine.bench), content(&expected.bench));
    // Nothing is left to do.
    let calls = machine.files.calls();
    machine.bench.store.seal_left();
    assert_eq!(machine.files.calls(), calls);
}

#[test]
fn segments_that_a_start_on_a_full_disk_could_not_seal_are_sealed_later() {
    let config = LogConfig { retention_ms: None, ..due_at_once() };
    let files = SimulatedFileSystem::new(1);
    let machine = filled(&files, files.env(), &config, 4);
    let expected = (indexes(&machine), content(&machine.bench));
    let machine = machine.killed(|files| {
        for base in 0..3 {
            files.remove_file(&segment_path(base, "index")).unwrap();
        }
        files
            .inject(Fault::new(Effect::NoSpace).on(Call::Write).with_path("index").times(u64::MAX));
    });
    machine.files.clear_faults();
    assert!(!machine.bench.log(0).segments.read()[0].is_sealed());
    machine.bench.store.seal_left();
    assert!(machine.bench.log(0).segments.read()[..3].iter().all(|segment| segment.is_sealed()));
    let of = |index: &Option<Vec<u8>>| index.as_ref().map(Vec::len);
    let lengths = |indexes: &[Option<Vec<u8>>]| indexes.iter().map(of).collect::<Vec<_>>();
    assert_eq!(lengths(&indexes(&machine)), lengths(&expected.0));
    let machine = machine.killed(|_| ());
    assert_eq!((machine.bench.report(), content(&machine.bench)), (vec![], expected.1));
}
