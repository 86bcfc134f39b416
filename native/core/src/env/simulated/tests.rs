//! The simulated machine's own promises: a test that relies on it is worth what these hold.

mod calls;
mod contents;
mod directories;

use std::{io::IoSlice, path::Path, sync::Arc};

use super::*;

/// How many seeds a test of chance runs through.
const SEEDS: std::ops::Range<u64> = 0..300;

/// Runs `check` for many seeds, and prints the one that fails.
fn for_each_seed(check: impl Fn(u64)) {
    for seed in SEEDS {
        let shown = PrintWhenPanicking(seed);
        check(seed);
        drop(shown);
    }
}

struct PrintWhenPanicking(u64);

impl Drop for PrintWhenPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// A file system with one file, which has `content` and a name, both durable.
fn with_file(seed: u64, content: &[u8]) -> (SimulatedFileSystem, Arc<dyn File>) {
    let files = SimulatedFileSystem::new(seed);
    let file = files.open(Path::new("file"), OpenMode::CreateNew).unwrap();
    write(&*file, content, 0);
    file.sync_data().unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    (files, file)
}

fn write(file: &dyn File, mut data: &[u8], mut position: u64) {
    while !data.is_empty() {
        let written = file.write_at(&[IoSlice::new(data)], position).unwrap();
        data = &data[written..];
        position += written as u64;
    }
}

fn read(files: &SimulatedFileSystem, path: &str) -> Vec<u8> {
    let file = files.open(Path::new(path), OpenMode::Read).unwrap();
    let mut content = vec![0; file.len().unwrap() as usize];
    let mut start = 0;
    while start < content.len() {
        let read = file.read_at(&mut content[start..], start as u64).unwrap();
        assert!(read > 0, "the file ends before its size");
        start += read;
    }
    content
}

/// The content of the file of [`with_file`] after a crash.
fn left(files: &SimulatedFileSystem) -> Vec<u8> {
    read(&files.crash().unwrap(), "file")
}
