use super::*;
use crate::env::{
    Env, FileSystemKind, OpenMode,
    simulated::{Call, Effect, Fault, SimulatedFileSystem},
    transfer::{replace_durably, write_full},
};

const MEBIBYTE: u64 = 1 << 20;
const DISK_BYTES: u64 = 64 * MEBIBYTE;

fn directory(files: &dyn FileSystem) -> &'static Path {
    let directory = Path::new("/data");
    files.create_directory(directory).unwrap();
    directory
}

fn watch(files: &SimulatedFileSystem) -> Arc<SpaceWatch> {
    SpaceWatch::open(Arc::new(files.clone()), directory(files)).unwrap()
}

/// Something else on the disk takes what there is but for `left` bytes.
fn fill(files: &dyn FileSystem, left: u64) {
    let file = files.open(Path::new("/other"), OpenMode::OpenOrCreate).unwrap();
    file.truncate(0).unwrap();
    let bytes = files.space(Path::new("/")).unwrap().available_bytes - left;
    write_full(&*file, &[&vec![1; bytes.try_into().unwrap()]], 0).unwrap();
}

fn disk() -> SimulatedFileSystem {
    let files = SimulatedFileSystem::new(1);
    files.set_capacity_bytes(Some(DISK_BYTES));
    files
}

#[test]
fn records_are_refused_before_the_disk_is_full_and_taken_again_by_themselves() {
    let files = disk();
    let watch = watch(&files);
    assert_eq!((watch.level(), watch.status().reserve_bytes), (Level::Ample, MEBIBYTE / 2));
    fill(&files, 7 * MEBIBYTE);
    watch.look().unwrap();
    assert_eq!((watch.level(), watch.check(false)), (Level::Warn, Ok(())));
    assert_eq!(watch.check_room(7 * MEBIBYTE), Ok(()));
    assert_eq!(watch.check_room(8 * MEBIBYTE).unwrap_err().code(), Code::DiskFull);
    fill(&files, MEBIBYTE);
    watch.look().unwrap();
    let refusal = watch.check(false).unwrap_err();
    assert_eq!((watch.level(), refusal.code()), (Level::Scarce, Code::DiskFull));
    assert!(refusal.detail().contains("1048576 of 67108864 bytes are available to /data"));
    assert_eq!((watch.check(true), watch.status().refusals), (Ok(()), 1));
    // Between the watermarks it stays as it is.
    fill(&files, 3 * MEBIBYTE);
    watch.look().unwrap();
    assert_eq!(watch.level(), Level::Scarce);
    fill(&files, 4 * MEBIBYTE);
    watch.note_freed();
    assert_eq!((watch.level(), watch.check(false)), (Level::Warn, Ok(())));
    fill(&files, 20 * MEBIBYTE);
    watch.look().unwrap();
    assert_eq!(watch.level(), Level::Ample);
}

#[test]
fn what_was_appended_since_the_last_look_counts() {
    let files = disk();
    let watch = watch(&files);
    let appendable = watch.status().space.available_bytes - 2 * MEBIBYTE;
    watch.note_appended(appendable);
    assert_eq!(watch.check(false), Ok(()));
    watch.note_appended(1);
    assert_eq!(watch.check(false).unwrap_err().code(), Code::DiskFull);
    // It was foreseen, not measured: no hysteresis holds it.
    fill(&files, 3 * MEBIBYTE);
    watch.look().unwrap();
    assert_eq!(watch.level(), Level::Warn);
}

#[test]
fn the_last_block_is_there_for_what_must_not_fail() {
    let files = disk();
    let watch = watch(&files);
    fill(&files, 0);
    let store = |name: &str| {
        watch.with_reserve(|| replace_durably(&files, Path::new("/data"), name, &[7; 10_000]))
    };
    store("one").unwrap();
    // The broker's own topics must not use it up.
    assert_eq!(watch.level(), Level::Exhausted);
    assert_eq!(watch.check(true).unwrap_err().code(), Code::DiskFull);
    store("two").unwrap();
    // It is taken again when that leaves as much.
    fill(&files, MEBIBYTE - 4096);
    watch.look().unwrap();
    assert_eq!((watch.level(), watch.status().reserve_bytes), (Level::Exhausted, 0));
    fill(&files, MEBIBYTE);
    watch.look().unwrap();
    assert_eq!((watch.level(), watch.status().reserve_bytes), (Level::Scarce, MEBIBYTE / 2));
}

#[test]
fn the_reserve_outlives_its_broker_and_is_found_on_a_full_disk() {
    let files = disk();
    drop(watch(&files));
    fill(&files, 0);
    let again = watch(&files);
    assert_eq!((again.level(), again.status().reserve_bytes), (Level::Scarce, MEBIBYTE / 2));
    let mut calls = 0;
    let full = || {
        calls += 1;
        if calls == 1 { Err(io::Error::from(ErrorKind::StorageFull)) } else { Ok(calls) }
    };
    assert_eq!(again.with_reserve(full).unwrap(), 2);
    assert_eq!(files.space(Path::new("/")).unwrap().available_bytes, MEBIBYTE / 2);
    // Without it a broker starts, too, and takes none.
    fill(&files, 0);
    let poor = watch(&files);
    assert_eq!((poor.level(), poor.status().reserve_bytes), (Level::Exhausted, 0));
}

#[test]
fn a_disk_that_cannot_allocate_or_has_no_end_keeps_no_reserve() {
    let files = disk();
    files.set_kind(FileSystemKind::CopyOnWrite);
    let watched = watch(&files);
    fill(&files, 0);
    watched.look().unwrap();
    assert_eq!((watched.level(), watched.status().reserve_bytes), (Level::Scarce, 0));
    let mut calls = 0;
    let always_full = || {
        calls += 1;
        Err::<(), _>(io::Error::from(ErrorKind::StorageFull))
    };
    watched.with_reserve(always_full).unwrap_err();
    assert_eq!(calls, 1);
    let env = Env::memory(None);
    let endless = SpaceWatch::open(Arc::clone(&env.files), directory(&*env.files)).unwrap();
    assert_eq!((endless.level(), endless.status().reserve_bytes), (Level::Ample, 0));
    assert!(env.files.list(Path::new("/data")).unwrap().is_empty());
}

#[test]
fn whatever_call_fails_the_level_is_that_of_the_last_look_and_the_next_one_goes_on() {
    for effect in [Effect::InputOutput, Effect::NoSpace] {
        for nth in 1..8 {
            let files = disk();
            let watched = watch(&files);
            fill(&files, MEBIBYTE);
            files.inject(Fault::new(effect).at(nth));
            let looked = watched.look();
            assert_eq!(looked.is_ok(), watched.level() == Level::Scarce, "{effect:?} {nth}");
            let _had_room = watched.give_up_reserve();
            files.clear_faults();
            fill(&files, MEBIBYTE);
            watched.look().unwrap();
            assert_eq!(watched.level(), Level::Scarce, "{effect:?} {nth}");
            assert_eq!(watched.status().reserve_bytes, MEBIBYTE / 2, "{effect:?} {nth}");
        }
    }
    // While it is allocated, too.
    for nth in 1..4 {
        let files = disk();
        files.inject(Fault::new(Effect::NoSpace).on(Call::Allocate).at(nth));
        let watched = watch(&files);
        files.clear_faults();
        watched.look().unwrap();
        assert_eq!(watched.status().reserve_bytes, MEBIBYTE / 2);
    }
}
