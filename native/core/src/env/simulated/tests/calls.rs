use std::{io::ErrorKind, time::Duration};

use super::*;
use crate::env::{Clock, Random, conformance};

#[test]
fn keeps_what_every_file_system_promises() {
    conformance::check_all(&SimulatedFileSystem::new(1), Path::new("/data"));
}

#[test]
fn a_fault_meets_the_calls_that_it_was_made_for_and_no_other() {
    let (files, file) = with_file(1, b"x");
    let other = files.open(Path::new("other"), OpenMode::CreateNew).unwrap();
    let fault = Fault::new(Effect::NoSpace).on(Call::Write).with_path("file").at(2).times(2);
    files.inject(fault);
    let written = |file: &Arc<dyn File>| {
        file.write_at(&[IoSlice::new(b"y")], 0).map_err(|error| error.kind())
    };
    assert_eq!(written(&file), Ok(1));
    assert_eq!(written(&other), Ok(1));
    file.sync_data().unwrap();
    assert_eq!(written(&file), Err(ErrorKind::StorageFull));
    assert_eq!(written(&other), Ok(1));
    assert_eq!(written(&file), Err(ErrorKind::StorageFull));
    assert_eq!(written(&file), Ok(1));

    files.inject(Fault::new(Effect::Error(ErrorKind::PermissionDenied)).times(u64::MAX));
    assert_eq!(written(&file), Err(ErrorKind::PermissionDenied));
    assert!(files.list(Path::new("/")).is_err());
    files.clear_faults();
    assert_eq!(files.list(Path::new("/")).unwrap().len(), 2);
}

#[test]
fn every_kind_of_call_can_be_made_to_fail() {
    let (files, file) = with_file(2, &[0; 4096]);
    let window = file.map_writable(0, 64 << 10).unwrap();
    let root = Path::new("/");
    let calls: [(Call, &dyn Fn() -> io::Result<()>); 16] = [
        (Call::Open, &|| files.open(Path::new("file"), OpenMode::Read).map(drop)),
        (Call::CreateDirectory, &|| files.create_directory(Path::new("new"))),
        (Call::List, &|| files.list(root).map(drop)),
        (Call::Rename, &|| files.rename(Path::new("file"), Path::new("moved"))),
        (Call::Remove, &|| files.remove_file(Path::new("file"))),
        (Call::Remove, &|| files.remove_directory(Path::new("new"))),
        (Call::SyncDirectory, &|| files.sync_directory(root)),
        (Call::Lock, &|| files.lock(Path::new("lock")).map(drop)),
        (Call::Inspect, &|| file.len().map(drop)),
        (Call::Read, &|| file.read_at(&mut [0], 0).map(drop)),
        (Call::Write, &|| file.write_at(&[IoSlice::new(b"x")], 0).map(drop)),
        (Call::Allocate, &|| file.allocate(0, 1, false).map(drop)),
        (Call::Truncate, &|| file.truncate(1)),
        (Call::SyncData, &|| file.sync_data()),
        (Call::Map, &|| file.map(0, 1, None).map(drop)),
        (Call::Populate, &|| window.populate(0, 1)),
    ];
    for (call, action) in calls {
        files.inject(Fault::new(Effect::InputOutput).on(call));
        let error = action().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()), "{call:?}");
    }
    assert!(files.list(root).unwrap().iter().all(|entry| entry.name == "file"));
    files.inject(Fault::new(Effect::NoSpace));
    window.store(0, &[b"a store passes every fault but a power cut"]);
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn without_power_every_call_fails_and_a_crash_starts_again() {
    let (mut happened, mut had_not) = (0, 0);
    for seed in SEEDS {
        let (files, file) = with_file(seed, &[0; 4096]);
        let window = file.map_writable(0, 64 << 10).unwrap();
        window.populate(0, 4096).unwrap();
        files.cut_power_at_call(2);
        file.len().unwrap();
        let error = file.write_at(&[IoSlice::new(b"cut")], 0).unwrap_err();
        assert!(is_power_cut(&error), "{error}");
        window.store(100, &[b"after"]);
        assert!(is_power_cut(&file.sync_data().unwrap_err()));
        assert!(is_power_cut(&files.list(Path::new("/")).unwrap_err()));
        let left = read(&files.crash_keeping_all().unwrap(), "file");
        assert_eq!(left[100..105], [0; 5], "stored when there was no power");
        match &left[..3] {
            b"cut" => happened += 1,
            [0, 0, 0] => had_not += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(happened > 30 && had_not > 30, "{happened} happened, {had_not} had not");
}

#[test]
fn the_power_can_fail_at_a_store() {
    let (files, file) = with_file(4, &[0; 4096]);
    let window = file.map_writable(0, 64 << 10).unwrap();
    window.populate(0, 4096).unwrap();
    files.cut_power_at_call(1);
    window.store(0, &[b"stored"]);
    assert!(is_power_cut(&file.len().unwrap_err()));
}

#[test]
fn locks_go_with_the_power() {
    let files = SimulatedFileSystem::new(1);
    let held = files.lock(Path::new("lock")).unwrap();
    let again = files.crash_keeping_all().unwrap();
    drop(again.lock(Path::new("lock")).unwrap());
    drop(held);
}

#[test]
fn transfers_come_up_short_when_asked_to_and_never_empty() {
    let (files, file) = with_file(9, b"");
    files.set_short_transfers(2);
    let content: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    let before = files.calls();
    write(&*file, &content, 0);
    assert_eq!(read(&files, "file"), content);
    assert!(files.calls() - before > 6, "{:#?}", files.trace());
}

#[test]
fn a_failing_write_may_have_written_a_part() {
    let mut parts = std::collections::BTreeSet::new();
    for seed in SEEDS {
        let (files, file) = with_file(seed, b"");
        files.inject(Fault::new(Effect::InputOutput).on(Call::Write));
        file.write_at(&[IoSlice::new(b"abcd")], 0).unwrap_err();
        let left = read(&files, "file");
        assert!(b"abcd".starts_with(&left), "{left:?}");
        parts.insert(left.len());
    }
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_limit_fills_up_is_lifted_and_survives_a_crash() {
    let (files, file) = with_file(1, &[1; 4096]);
    files.set_capacity_bytes(Some(8192));
    let other = files.open(Path::new("other"), OpenMode::CreateNew).unwrap();
    assert!(other.allocate(0, 4096, true).unwrap());
    let full = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
    };
    full(other.allocate(4096, 1, false).map(drop));
    full(file.write_at(&[IoSlice::new(b"more")], 4096).map(drop));
    file.truncate(1 << 20).unwrap();
    full(file.map_writable(0, 1 << 20).unwrap().populate(65_536, 1));
    files.set_capacity_bytes(Some(1 << 20));
    assert!(other.allocate(0, 512 << 10, true).unwrap());
    other.truncate(0).unwrap();
    assert_eq!(files.space(Path::new("/")).unwrap().available_bytes, (1 << 20) - 4096);
    files.set_capacity_bytes(Some(0));
    let files = files.crash().unwrap();
    let space = files.space(Path::new("/")).unwrap();
    assert_eq!((space.total_bytes, space.available_bytes), (0, 0));
    let file = files.open(Path::new("file"), OpenMode::ReadWrite).unwrap();
    assert_eq!(file.write_at(&[IoSlice::new(b"in place")], 0).unwrap(), 8);
}

#[test]
fn other_kinds_of_file_systems_do_not_allocate() {
    let (files, file) = with_file(1, b"");
    files.set_kind(FileSystemKind::CopyOnWrite);
    assert_eq!(files.kind(Path::new("/")).unwrap(), FileSystemKind::CopyOnWrite);
    assert!(!file.allocate(0, 100, true).unwrap());
    assert_eq!(file.len().unwrap(), 0);
}

#[test]
fn a_slow_call_does_not_hold_up_others() {
    let (files, file) = with_file(1, b"");
    let slow = |duration| files.inject(Fault::new(Effect::Delay(duration)).on(Call::SyncData));
    // So long that no machine is as busy: it is not waited for.
    slow(Duration::from_secs(600));
    let before = files.calls();
    let synced = Arc::clone(&file);
    let slow_call = std::thread::spawn(move || synced.sync_data());
    while files.calls() == before {
        std::thread::yield_now();
    }
    file.write_at(&[IoSlice::new(b"meanwhile")], 0).unwrap();
    assert!(!slow_call.is_finished(), "the write waited for the sync");
    slow(Duration::from_millis(1));
    file.sync_data().unwrap();
}

#[test]
fn the_trace_tells_the_last_calls_and_what_met_them() {
    let (files, file) = with_file(1, b"x");
    files.inject(Fault::new(Effect::InputOutput).on(Call::Read));
    file.read_at(&mut [0; 4], 10).unwrap_err();
    let trace = files.trace();
    let expected = format!("{} Read file 10..14 meets InputOutput", files.calls());
    assert_eq!(trace.last(), Some(&expected));
    for _ in 0..100 {
        file.len().unwrap();
    }
    assert_eq!(files.trace().len(), 64);
}

#[test]
fn time_stands_still_until_moved_and_the_wall_alone_can_be_set_back() {
    let clock = SimulatedClock::new(1_000);
    clock.advance_ms(5);
    clock.set_wall_ms(-7);
    clock.advance_ms(2);
    assert_eq!((clock.wall_ms(), clock.monotonic_ns()), (-5, 7_000_000));
}

#[test]
fn randomness_is_the_published_sequence_of_its_seed() {
    let random = SimulatedRandom::new(1_234_567);
    let numbers: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
    let published =
        [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    assert_eq!(numbers, published);
}
