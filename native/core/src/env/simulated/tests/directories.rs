use std::{cell::Cell, collections::BTreeMap};

use super::*;

fn exists(files: &SimulatedFileSystem, path: &str) -> bool {
    files.open(Path::new(path), OpenMode::Read).is_ok()
}

#[test]
fn a_file_whose_directory_was_not_synced_may_be_absent_although_it_was() {
    let absent = Cell::new(0);
    for_each_seed(|seed| {
        let files = SimulatedFileSystem::new(seed);
        let file = files.open(Path::new("file"), OpenMode::CreateNew).unwrap();
        write(&*file, b"synced", 0);
        file.sync_data().unwrap();
        let left = files.crash().unwrap();
        if exists(&left, "file") {
            assert_eq!(read(&left, "file"), b"synced");
        } else {
            absent.set(absent.get() + 1);
        }
        assert!(!exists(&files.crash_keeping_nothing().unwrap(), "file"));
        assert!(exists(&files.crash_keeping_all().unwrap(), "file"));
    });
    assert!((50..250).contains(&absent.get()), "{absent:?} absent");
}

#[test]
fn a_replacing_rename_leaves_the_old_file_or_the_new_one() {
    let (old, new) = (Cell::new(0), Cell::new(0));
    for_each_seed(|seed| {
        let (files, _) = with_file(seed, b"old");
        let next = files.open(Path::new("next"), OpenMode::CreateNew).unwrap();
        write(&*next, b"new", 0);
        next.sync_data().unwrap();
        files.rename(Path::new("next"), Path::new("file")).unwrap();
        match left(&files).as_slice() {
            b"old" => old.set(old.get() + 1),
            b"new" => new.set(new.get() + 1),
            other => panic!("{other:?} is neither"),
        }
        files.crash_keeping_all().unwrap();
    });
    assert!(old.get() > 30 && new.get() > 30, "{old:?} old, {new:?} new");
}

#[test]
fn syncing_a_directory_is_enough_for_its_names_and_says_nothing_of_its_own() {
    let files = SimulatedFileSystem::new(1);
    files.create_directory(Path::new("a/b")).unwrap();
    files.open(Path::new("a/b/file"), OpenMode::CreateNew).unwrap();
    files.sync_directory(Path::new("a/b")).unwrap();
    files.sync_directory(Path::new("a")).unwrap();
    assert_eq!(files.crash_keeping_nothing().unwrap().list(Path::new("/")).unwrap(), []);
    let files = SimulatedFileSystem::new(2);
    files.create_directory(Path::new("a/b")).unwrap();
    files.open(Path::new("a/b/first"), OpenMode::CreateNew).unwrap();
    files.rename(Path::new("a/b/first"), Path::new("a/b/file")).unwrap();
    files.open(Path::new("a/other"), OpenMode::CreateNew).unwrap();
    for path in ["a/b", "/", "a"] {
        files.sync_directory(Path::new(path)).unwrap();
    }
    files.remove_file(Path::new("a/b/file")).unwrap();
    let left = files.crash_keeping_nothing().unwrap();
    assert!(exists(&left, "a/b/file") && exists(&left, "a/other") && !exists(&left, "a/b/first"));
}

#[test]
fn a_rename_across_directories_is_durable_once_the_new_one_is_synced() {
    for_each_seed(|seed| {
        let files = SimulatedFileSystem::new(seed);
        for directory in ["from", "to"] {
            files.create_directory(Path::new(directory)).unwrap();
        }
        files.sync_directory(Path::new("/")).unwrap();
        files.open(Path::new("from/file"), OpenMode::CreateNew).unwrap();
        files.rename(Path::new("from/file"), Path::new("to/file")).unwrap();
        files.sync_directory(Path::new("to")).unwrap();
        let left = files.crash().unwrap();
        assert!(exists(&left, "to/file") && !exists(&left, "from/file"));
    });
}

#[test]
fn a_directory_does_not_vanish_before_what_was_moved_out_of_it() {
    for_each_seed(|seed| {
        let files = SimulatedFileSystem::new(seed);
        for directory in ["old", "new"] {
            files.create_directory(Path::new(directory)).unwrap();
        }
        files.open(Path::new("old/file"), OpenMode::CreateNew).unwrap();
        for directory in ["old", "/"] {
            files.sync_directory(Path::new(directory)).unwrap();
        }
        files.rename(Path::new("old/file"), Path::new("new/file")).unwrap();
        files.remove_directory(Path::new("old")).unwrap();
        let left = files.crash().unwrap();
        assert!(exists(&left, "old/file") != exists(&left, "new/file"));
    });
    let files = SimulatedFileSystem::new(1);
    files.create_directory(Path::new("old")).unwrap();
    files.create_directory(Path::new("new")).unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    files.open(Path::new("old/file"), OpenMode::CreateNew).unwrap();
    files.sync_directory(Path::new("old")).unwrap();
    files.rename(Path::new("old/file"), Path::new("new/file")).unwrap();
    files.remove_directory(Path::new("old")).unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    let left = files.crash_keeping_nothing().unwrap();
    assert!(exists(&left, "new/file") && left.list(Path::new("old")).is_err());
}

/// Files that are only ever renamed are each there once, by one of their names, whatever of the
/// renames and of the removals of emptied directories is lost.
#[test]
fn a_renamed_file_is_never_lost_and_never_doubled() {
    for_each_seed(|seed| {
        let files = SimulatedFileSystem::new(seed);
        let mut random = Generator::new(!seed);
        let directories = ["a", "b", "c"];
        for directory in directories {
            files.create_directory(Path::new(directory)).unwrap();
        }
        for (index, directory) in directories.iter().enumerate() {
            let path = format!("{directory}/0");
            let file = files.open(Path::new(&path), OpenMode::CreateNew).unwrap();
            write(&*file, &[index as u8], 0);
            file.sync_data().unwrap();
            files.sync_directory(Path::new(directory)).unwrap();
        }
        files.sync_directory(Path::new("/")).unwrap();
        for _ in 0..random.below(25) {
            let mut path = || {
                let directory = directories[random.below(3) as usize];
                format!("{directory}/{}", random.below(4))
            };
            let (from, to) = (path(), path());
            let (from, to) = (Path::new(&from), Path::new(&to));
            let directory = from.parent().unwrap();
            // Many of these fail, as their subject is not there: that is part of the test.
            match random.below(6) {
                0 => drop(files.sync_directory(directory)),
                1 => drop(files.remove_directory(directory)),
                2 => drop(files.create_directory(directory)),
                _ if files.open(to, OpenMode::Read).is_ok() => {}
                _ => drop(files.rename(from, to)),
            }
        }
        let left = files.crash().unwrap();
        let mut found = BTreeMap::new();
        for directory in left.list(Path::new("/")).unwrap() {
            for entry in left.list(Path::new(&directory.name)).unwrap() {
                let path = format!("{}/{}", directory.name, entry.name);
                *found.entry(read(&left, &path)).or_insert(0) += 1;
            }
        }
        let expected: BTreeMap<Vec<u8>, i32> = (0..3).map(|index| (vec![index], 1)).collect();
        assert_eq!(found, expected, "{:#?}", files.trace());
    });
}
