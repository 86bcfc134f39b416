use super::*;
use crate::env::conformance;

fn used_bytes(files: &MemoryFileSystem) -> u64 {
    let space = files.space(Path::new("/")).unwrap();
    space.total_bytes - space.available_bytes
}

#[test]
fn keeps_what_every_file_system_promises() {
    conformance::check_all(&MemoryFileSystem::new(None), Path::new("/data"));
    conformance::check_all(&MemoryFileSystem::new(Some(64 << 20)), Path::new("relative"));
}

#[test]
fn a_full_file_system_refuses_every_way_to_take_space() {
    let files = MemoryFileSystem::new(Some(1 << 20));
    let file = files.open(Path::new("file"), OpenMode::CreateNew).unwrap();
    file.allocate(0, 768 << 10, true).unwrap();
    file.truncate(2 << 20).unwrap();
    let full = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    };
    let window = file.map_writable(0, 2 << 20).unwrap();
    full(file.allocate(768 << 10, (256 << 10) + 1, false).map(drop));
    full(file.write_at(&[IoSlice::new(&[1; 300 << 10])], 768 << 10).map(drop));
    full(window.populate(700 << 10, 400 << 10));
    file.write_at(&[IoSlice::new(&[1; 768 << 10])], 0).unwrap();
    window.populate(0, 1 << 20).unwrap();
    full(
        files.open(Path::new("other"), OpenMode::CreateNew).unwrap().allocate(0, 1, true).map(drop),
    );
    assert_eq!(files.space(Path::new("/")).unwrap().available_bytes, 0);
}

#[test]
fn space_comes_back_when_files_are_cut_or_forgotten() {
    let files = MemoryFileSystem::new(Some(1 << 20));
    let path = Path::new("file");
    let file = files.open(path, OpenMode::CreateNew).unwrap();
    file.allocate(0, 1 << 20, true).unwrap();
    file.truncate(4096).unwrap();
    assert_eq!(used_bytes(&files), 4096);
    files.remove_file(path).unwrap();
    assert_eq!(used_bytes(&files), 4096, "it is still open");
    drop(file);
    assert_eq!(used_bytes(&files), 0);
}

#[test]
fn paths_mean_the_same_with_and_without_a_leading_slash() {
    let files = MemoryFileSystem::new(None);
    files.create_directory(Path::new("/data/topic")).unwrap();
    files.open(Path::new("data/./topic/file"), OpenMode::CreateNew).unwrap();
    assert_eq!(files.list(Path::new("/data/topic/")).unwrap().len(), 1);
    let error = files.list(Path::new("/data/../data")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(files.kind(Path::new("/")).unwrap(), FileSystemKind::Memory);
}

#[test]
fn a_directory_cannot_be_renamed_into_itself_or_over_another_with_content() {
    let files = MemoryFileSystem::new(None);
    files.create_directory(Path::new("a/b")).unwrap();
    files.create_directory(Path::new("c/d")).unwrap();
    let rename = |from: &str, to: &str| {
        files.rename(Path::new(from), Path::new(to)).map_err(|error| error.kind())
    };
    assert_eq!(rename("a", "a/b/inside"), Err(io::ErrorKind::InvalidInput));
    assert_eq!(rename("a", "c"), Err(io::ErrorKind::DirectoryNotEmpty));
    assert_eq!(rename("a", "a"), Ok(()));
    assert_eq!(rename("a", "c/d"), Ok(()));
    assert_eq!(files.list(Path::new("c/d")).unwrap().len(), 1);
    files.open(Path::new("file"), OpenMode::CreateNew).unwrap();
    assert_eq!(rename("file", "c"), Err(io::ErrorKind::IsADirectory));
    assert_eq!(rename("c", "file"), Err(io::ErrorKind::NotADirectory));
}
