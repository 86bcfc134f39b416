//! What every file system promises the engine, checked alike for each implementation.
//! Each function takes an empty directory and leaves behind what it made.

use std::{
    io::{ErrorKind, IoSlice},
    path::Path,
};

use super::{FileSystem, OpenMode};

type Check = fn(&dyn FileSystem, &Path);

/// Runs all of them, each in a directory of its own below `root`.
pub(super) fn check_all(files: &dyn FileSystem, root: &Path) {
    let checks: [(&str, Check); 9] = [
        ("opening", open_modes_create_and_refuse_as_documented),
        ("writing", writes_gather_slices_and_reads_stop_at_the_end),
        ("sizes", sizes_follow_writes_truncation_and_allocation),
        ("names", renames_and_removals_keep_open_files_usable),
        ("directories", directories_nest_list_in_order_and_go_when_empty),
        ("paths", a_directory_has_one_path_however_it_is_named),
        ("mapping", mappings_see_writes_and_stores_at_once),
        ("limits", ranges_past_the_end_are_errors_and_never_signals),
        ("locking", a_lock_has_one_holder_even_within_a_process),
    ];
    for (name, check) in checks {
        let directory = root.join(name);
        files.create_directory(&directory).unwrap();
        check(files, &directory);
    }
}

fn open_modes_create_and_refuse_as_documented(files: &dyn FileSystem, root: &Path) {
    let path = root.join("file");
    let error = |mode| files.open(&path, mode).err().map(|error| error.kind());
    assert_eq!(error(OpenMode::Read), Some(ErrorKind::NotFound));
    assert_eq!(error(OpenMode::ReadWrite), Some(ErrorKind::NotFound));
    assert_eq!(error(OpenMode::CreateNew), None);
    assert_eq!(error(OpenMode::CreateNew), Some(ErrorKind::AlreadyExists));
    assert_eq!(error(OpenMode::OpenOrCreate), None);
    files.open(&path, OpenMode::ReadWrite).unwrap().write_at(&[IoSlice::new(b"x")], 0).unwrap();
    let reader = files.open(&path, OpenMode::Read).unwrap();
    assert_eq!(reader.len().unwrap(), 1);
    assert!(reader.write_at(&[IoSlice::new(b"y")], 0).is_err());
    assert!(reader.truncate(0).is_err());
    assert!(files.open(&root.join("none").join("file"), OpenMode::CreateNew).is_err());
    assert!(files.open(&path.join("below"), OpenMode::CreateNew).is_err());
}

fn writes_gather_slices_and_reads_stop_at_the_end(files: &dyn FileSystem, root: &Path) {
    let file = files.open(&root.join("file"), OpenMode::CreateNew).unwrap();
    assert!(file.is_empty().unwrap());
    let slices = [b"".as_slice(), b"mill", b"", b"race"].map(IoSlice::new);
    assert_eq!(file.write_at(&slices, 3).unwrap(), 8);
    assert_eq!(file.write_at(&[], 0).unwrap(), 0);
    assert_eq!(file.write_at(&[IoSlice::new(b"")], 0).unwrap(), 0);
    let mut buffer = [0xff; 16];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 11);
    assert_eq!(&buffer[..11], b"\0\0\0millrace");
    assert_eq!(file.read_at(&mut buffer, 7).unwrap(), 4);
    assert_eq!(file.read_at(&mut buffer, 11).unwrap(), 0);
    let many = vec![IoSlice::new(b"ab"); 5000];
    let written = file.write_at(&many, 0).unwrap();
    assert!((1..=10_000).contains(&written), "{written}");
    file.sync_data().unwrap();
    file.start_writeback(0, 4096).unwrap();
}

fn sizes_follow_writes_truncation_and_allocation(files: &dyn FileSystem, root: &Path) {
    let file = files.open(&root.join("file"), OpenMode::CreateNew).unwrap();
    file.write_at(&[IoSlice::new(&[7; 100])], 0).unwrap();
    assert!(file.allocate(0, 1 << 20, false).unwrap(), "the tests run where allocation works");
    assert_eq!(file.len().unwrap(), 100);
    assert!(file.allocate(0, 1 << 20, true).unwrap());
    assert_eq!(file.len().unwrap(), 1 << 20);
    assert!(file.allocate(0, 0, true).unwrap());
    file.truncate(50).unwrap();
    file.truncate(200).unwrap();
    let mut buffer = [1; 256];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 200);
    assert_eq!(buffer[..50], [7; 50]);
    assert_eq!(buffer[50..200], [0; 150]);
}

fn renames_and_removals_keep_open_files_usable(files: &dyn FileSystem, root: &Path) {
    let [first, second] = ["first", "second"].map(|name| root.join(name));
    let write = |path: &Path, text: &[u8]| {
        let file = files.open(path, OpenMode::CreateNew).unwrap();
        file.write_at(&[IoSlice::new(text)], 0).unwrap();
        file
    };
    let kept = write(&first, b"one");
    let replaced = write(&second, b"two, longer");
    files.rename(&first, &second).unwrap();
    files.sync_directory(root).unwrap();
    assert_eq!(files.rename(&first, &second).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files.open(&second, OpenMode::Read).unwrap().len().unwrap(), 3);
    assert_eq!((kept.len().unwrap(), replaced.len().unwrap()), (3, 11));
    let mapping = kept.map(0, 4096, None).unwrap();
    files.remove_file(&second).unwrap();
    assert_eq!(files.remove_file(&second).unwrap_err().kind(), ErrorKind::NotFound);
    kept.write_at(&[IoSlice::new(b"!")], 3).unwrap();
    drop(kept);
    assert_eq!(mapping.slice(0..4).unwrap(), b"one!");
}

fn directories_nest_list_in_order_and_go_when_empty(files: &dyn FileSystem, root: &Path) {
    let nested = root.join("b").join("c");
    files.create_directory(&nested).unwrap();
    files.create_directory(&nested).unwrap();
    for (name, bytes) in [("z", 3), ("a", 2)] {
        let file = files.open(&root.join(name), OpenMode::CreateNew).unwrap();
        file.write_at(&[IoSlice::new(&vec![1; bytes])], 0).unwrap();
    }
    let listed = |path: &Path| -> Vec<(String, bool, u64)> {
        let entries = files.list(path).unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.is_directory, entry.bytes)).collect()
    };
    let expected = [("a", false, 2), ("b", true, 0), ("z", false, 3)];
    assert_eq!(listed(root), expected.map(|(name, is, bytes)| (name.to_owned(), is, bytes)));
    let error = files.remove_directory(&root.join("b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    assert!(files.remove_file(&root.join("b")).is_err());
    assert!(files.create_directory(&root.join("a").join("below")).is_err());
    files.rename(&root.join("b"), &root.join("moved")).unwrap();
    assert_eq!(listed(&root.join("moved")), [("c".to_owned(), true, 0)]);
    files.remove_directory(&root.join("moved").join("c")).unwrap();
    files.remove_directory(&root.join("moved")).unwrap();
    assert_eq!(files.list(&root.join("moved")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files.sync_directory(&root.join("moved")).unwrap_err().kind(), ErrorKind::NotFound);
    let space = files.space(root).unwrap();
    assert!(space.available_bytes <= space.total_bytes && space.available_bytes > 0);
}

fn mappings_see_writes_and_stores_at_once(files: &dyn FileSystem, root: &Path) {
    let file = files.open(&root.join("file"), OpenMode::CreateNew).unwrap();
    let mapping = file.map(0, 1 << 20, None).unwrap();
    assert_eq!(mapping.bytes(), 1 << 20);
    file.allocate(0, 256 << 10, true).unwrap();
    file.write_at(&[IoSlice::new(b"written")], 65_536).unwrap();
    mapping.populate(65_536..65_543).unwrap();
    assert_eq!(mapping.resident(65_536..65_543).unwrap(), 7);
    assert_eq!(mapping.slice(65_536..65_543).unwrap(), b"written");

    let window = file.map_writable(65_536, 128 << 10).unwrap();
    assert_eq!(window.bytes(), 128 << 10);
    window.populate(5000, 10).unwrap();
    window.store(5000, &[b"st", b"", b"ored"]);
    assert_eq!(mapping.slice(70_536..70_542).unwrap(), b"stored");
    let mut buffer = [0; 6];
    assert_eq!(file.read_at(&mut buffer, 70_536).unwrap(), 6);
    assert_eq!(&buffer, b"stored");
    drop(file);
    assert_eq!(mapping.slice(70_536..70_542).unwrap(), b"stored");
}

fn ranges_past_the_end_are_errors_and_never_signals(files: &dyn FileSystem, root: &Path) {
    let file = files.open(&root.join("file"), OpenMode::CreateNew).unwrap();
    file.allocate(0, 64 << 10, true).unwrap();
    for (position, bytes) in [(4096, 4096), (0, 0)] {
        assert_eq!(file.map(position, bytes, None).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(file.map_writable(position, bytes).is_err());
    }
    let mapping = file.map(0, 128 << 10, None).unwrap();
    assert!(mapping.populate(0..64 << 10).is_ok());
    assert!(mapping.populate(0..(64 << 10) + 1).is_err());
    assert_eq!(mapping.resident(0..128 << 10).unwrap(), 64 << 10);
    assert_eq!(mapping.slice(100..100), Some([].as_slice()));
    assert_eq!(mapping.slice(0..(128 << 10) + 1), None);
    assert_eq!(mapping.populate(0..129 << 10).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(mapping.resident(0..129 << 10).unwrap_err().kind(), ErrorKind::InvalidInput);
    let window = file.map_writable(0, 128 << 10).unwrap();
    assert!(window.populate(0, 64 << 10).is_ok());
    assert!(window.populate(64 << 10, 1).is_err());
    assert!(window.populate(128 << 10, 1).is_err());
    assert!(window.populate(usize::MAX, 2).is_err());
}

fn a_directory_has_one_path_however_it_is_named(files: &dyn FileSystem, root: &Path) {
    let path = root.join("one").join("two");
    files.create_directory(&path).unwrap();
    let canonical = files.canonical(&path).unwrap();
    assert!(canonical.is_absolute());
    assert_eq!(files.canonical(&root.join("one/./two/")).unwrap(), canonical);
    assert_eq!(files.canonical(&canonical).unwrap(), canonical);
    assert_ne!(files.canonical(&root.join("one")).unwrap(), canonical);
    let missing = files.canonical(&root.join("none")).err().map(|error| error.kind());
    assert_eq!(missing, Some(ErrorKind::NotFound));
}

fn a_lock_has_one_holder_even_within_a_process(files: &dyn FileSystem, root: &Path) {
    let path = root.join("lock");
    let held = files.lock(&path).unwrap();
    assert_eq!(files.lock(&path).err().map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    let other = files.lock(&root.join("other")).unwrap();
    drop(held);
    drop(files.lock(&path).unwrap());
    drop(other);
    assert!(files.open(&path, OpenMode::Read).is_ok(), "the lock's file stays");
}
