//! Sectors that the disk does not read, where what they held can be done without or made again.

use super::*;
use crate::{
    compaction::state::{self, CompactionState},
    env::{OpenMode, simulated::Call, transfer::write_full},
    recovery::{
        RecoveryEvent,
        repair::{RepairOptions, repair},
        verify::verify_data_directory,
    },
};

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 600, index_interval_bytes: 0, ..LogConfig::default() }
}

/// A machine that has every file beside its logs that there is, and one damaged batch.
fn machine() -> Simulated {
    let machine = Simulated::new(&small_segments());
    let state = CompactionState { holes_below: 1, ..CompactionState::default() };
    state::store(&machine.files, segment_path(0, "log").parent().unwrap(), &state).unwrap();
    for value in 0..12u8 {
        let producer = Some(Producer { id: 7, epoch: 0, base_sequence: i32::from(value) });
        machine.bench.log(0).append(&batch(&[value; 100], producer), 7).unwrap();
        machine.bench.store.drive();
    }
    machine.bench.store.write_checkpoint().unwrap();
    flip(&machine.files, &segment_path(0, "log"), 100);
    while !machine.bench.store.scrub_step(1 << 20).unwrap().is_round_over {}
    machine.bench.store.delete_records(machine.bench.topic, 0, Some(2)).unwrap();
    machine
}

fn stopped(machine: Simulated, is_clean: bool) -> SimulatedFileSystem {
    let files = machine.files.clone();
    if is_clean {
        machine.bench.store.close().unwrap();
    } else {
        drop(machine.killed(|_| ()).killed(|_| ()));
    }
    files
}

#[test]
fn a_start_makes_again_what_it_can_do_without_and_the_disk_does_not_read() {
    for is_clean in [true, false] {
        let expected = content(&machine().bench);
        assert!(expected.0.len() >= 8, "{expected:?}");
        for part in [".index", ".timeindex", ".snapshot", ".damage", "checkpoint"] {
            let files = stopped(machine(), is_clean);
            let fault = Fault::new(Effect::InputOutput).on(Call::Read).with_path(part);
            files.inject(fault.times(u64::MAX));
            let machine = Simulated::reopened(files, &small_segments());
            assert_eq!(content(&machine.bench), expected, "{part} clean {is_clean}");
            let repeated = Some(Producer { id: 7, epoch: 0, base_sequence: 11 });
            let repeated = machine.bench.log(0).append(&batch(&[11; 100], repeated), 7).unwrap();
            assert!(repeated.is_duplicate, "{part} clean {is_clean}");
        }
    }
}

#[test]
fn a_clean_stop_that_a_start_could_not_read_of_is_not_believed_by_the_next_one() {
    let files = stopped(machine(), true);
    files.inject(Fault::new(Effect::InputOutput).on(Call::Read).with_path("checkpoint"));
    let machine = Simulated::reopened(files, &small_segments());
    let epoch = |machine: &Simulated| machine.bench.log(0).offsets().leader_epoch;
    let before = epoch(&machine);
    let machine = machine.killed(|_| ());
    assert!(epoch(&machine) > before);
}

fn findings(files: &SimulatedFileSystem) -> (u64, Vec<String>) {
    let report = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
    (report.record_count, report.findings.into_iter().map(|finding| finding.detail).collect())
}

#[test]
fn a_check_goes_on_behind_what_the_disk_does_not_read() {
    let files = stopped(machine(), true);
    let (records, before) = findings(&files);
    for base in [3, 6] {
        let name = crate::segment::Segment::file_name(base, "log");
        let fault = Fault::new(Effect::InputOutput).on(Call::Read).with_path(name.clone());
        files.inject(fault.times(u64::MAX));
        let (left, found) = findings(&files);
        files.clear_faults();
        assert!(left >= 3 && left < records, "{left} of {records}");
        assert!(found.len() > before.len(), "{found:?}");
        assert!(found.iter().any(|detail| detail.contains(&name)), "{found:?}");
    }
    for part in ["start.json", "compaction.json", "partition.json", ".snapshot", "checkpoint"] {
        let fault = Fault::new(Effect::InputOutput).on(Call::Read).with_path(part);
        files.inject(fault.times(u64::MAX));
        let (_, found) = findings(&files);
        files.clear_faults();
        assert!(found.len() > before.len(), "{part}: {found:?}");
    }
}

#[test]
fn a_check_tells_of_every_small_file_that_cannot_be_believed() {
    let files = stopped(machine(), true);
    let (_, before) = findings(&files);
    let directory = segment_path(0, "log").parent().unwrap().to_owned();
    let mut names = files.list(&directory).unwrap().into_iter().map(|entry| entry.name);
    let snapshot = names.find(|name| name.ends_with(".snapshot")).unwrap();
    let checkpoint = Path::new(DIRECTORY).join("checkpoint");
    let paths = ["start.json", "compaction.json", "partition.json", &snapshot]
        .map(|name| directory.join(name));
    for path in paths.iter().chain([&checkpoint]) {
        let whole = crate::env::transfer::read_whole(&files, path, 1 << 20).unwrap().unwrap();
        flip(&files, path, 0);
        let (_, found) = findings(&files);
        assert!(found.len() > before.len(), "{}: {found:?}", path.display());
        let file = files.open(path, OpenMode::ReadWrite).unwrap();
        write_full(&*file, &[&whole], 0).unwrap();
        assert_eq!(findings(&files).1, before);
    }
}

#[test]
fn a_check_misses_what_the_checkpoint_says_was_durable() {
    let machine = Simulated::new(&LogConfig::default());
    for value in 0..6u8 {
        machine.bench.append(&[value; 100]);
    }
    machine.bench.store.close().unwrap();
    let files = machine.files;
    assert_eq!(findings(&files), (6, vec![]));
    let bytes = batch(&[0; 100], None).len() as u64;
    let file = files.open(&segment_path(0, "log"), OpenMode::ReadWrite).unwrap();
    file.truncate(5 * bytes).unwrap();
    let (records, found) = findings(&files);
    assert_eq!((records, found.len()), (5, 1), "{found:?}");
    assert!(found[0].contains("offsets 5 to 6"), "{found:?}");
    files.remove_file(&segment_path(0, "log")).unwrap();
    let (_, found) = findings(&files);
    assert!(found.len() == 1 && found[0].contains("offsets 0 to 6 are missing"), "{found:?}");
}

/// Wherever the power fails around a roll, a check finds no damage that a start does not find.
#[test]
fn what_a_power_cut_leaves_of_unflushed_records_is_no_damage_to_a_check() {
    let config = LogConfig { flush_messages: u64::MAX, segment_bytes: 20_000, ..small_segments() };
    let mut tails = 0;
    for nth in 1.. {
        let machine = Simulated::new(&config);
        machine.bench.append(b"first");
        machine.bench.store.write_checkpoint().unwrap();
        let calls_before = machine.files.calls();
        machine.files.cut_power_at_call(nth);
        let log = machine.bench.log(0);
        for value in 0..10u8 {
            if log.append(&batch(&[value; 3000], None), 7).is_err() {
                break;
            }
            machine.bench.store.drive();
        }
        let calls = machine.files.calls() - calls_before;
        let files = machine.files.crash().unwrap();
        machine.bench.store.shared().scheduler.close();
        machine.bench.store.shared().work.close();
        let found = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
        let options = RepairOptions { is_dry_run: true, ..RepairOptions::default() };
        let repair = repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
        let cut_out = repair.actions.iter().filter(|action| action.to_offset.is_some()).count();
        let machine = Simulated::reopened(files, &config);
        let report = machine.bench.report();
        let is_damage =
            |entry: &&RecoveryEntry| matches!(entry.event, RecoveryEvent::Quarantined { .. });
        let damaged = report.iter().filter(is_damage).count();
        assert_eq!(found.findings.len(), damaged, "call {nth}: {found:?}, {report:?}");
        assert_eq!(cut_out, damaged, "call {nth}: {repair:?}, {report:?}");
        assert!(found.tails.len() <= report.len() - damaged, "call {nth}: {found:?}, {report:?}");
        tails += found.tails.len();
        if calls < nth {
            break;
        }
    }
    assert!(tails > 0, "no cut left anything behind");
}
