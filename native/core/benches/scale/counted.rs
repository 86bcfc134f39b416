//! The machine's own file system with its calls counted; syncs can be left out, so that a large
//! data directory is made in a fraction of the time.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use millrace_core::env::{
    DirectoryEntry, DiskFileSystem, File, FileSystem, FileSystemKind, Mapping, OpenMode, Slot,
    Space, WritableMapping,
};

/// How often each kind of call was made.
#[derive(Default)]
pub(crate) struct Calls {
    lists: AtomicU64,
    listed: AtomicU64,
    opens: AtomicU64,
    missing: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    data_syncs: AtomicU64,
    directory_syncs: AtomicU64,
    renames: AtomicU64,
}

impl Calls {
    /// What was counted since the last call.
    pub(crate) fn take(&self) -> String {
        let figures = [
            ("lists", &self.lists),
            ("names listed", &self.listed),
            ("opens", &self.opens),
            ("opens of what is not there", &self.missing),
            ("reads", &self.reads),
            ("writes", &self.writes),
            ("fdatasyncs", &self.data_syncs),
            ("fsyncs of directories", &self.directory_syncs),
            ("renames", &self.renames),
        ];
        let named = figures.map(|(name, count)| (name, count.swap(0, Ordering::Relaxed)));
        let made = named.iter().filter(|(_, count)| *count > 0);
        made.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// See the module.
pub(crate) struct CountedFileSystem {
    pub(crate) calls: Arc<Calls>,
    pub(crate) syncs: bool,
}

struct CountedFile {
    file: Arc<dyn File>,
    calls: Arc<Calls>,
    syncs: bool,
}

impl FileSystem for CountedFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        count(&self.calls.opens);
        let file = DiskFileSystem.open(path, mode).inspect_err(|_| count(&self.calls.missing))?;
        Ok(Arc::new(CountedFile { file, calls: Arc::clone(&self.calls), syncs: self.syncs }))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DiskFileSystem.create_directory(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        count(&self.calls.lists);
        let entries = DiskFileSystem.list(path)?;
        self.calls.listed.fetch_add(entries.len() as u64, Ordering::Relaxed);
        Ok(entries)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        count(&self.calls.renames);
        DiskFileSystem.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        DiskFileSystem.remove_file(path)
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        DiskFileSystem.remove_directory(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        count(&self.calls.directory_syncs);
        if self.syncs { DiskFileSystem.sync_directory(path) } else { Ok(()) }
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        DiskFileSystem.lock(path)
    }
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        DiskFileSystem.canonical(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        DiskFileSystem.space(path)
    }
    fn kind(&self, path: &Path) -> io::Result<FileSystemKind> {
        DiskFileSystem.kind(path)
    }
}

impl File for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn modified_ms(&self) -> io::Result<Option<i64>> {
        self.file.modified_ms()
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        count(&self.calls.reads);
        self.file.read_at(buffer, position)
    }
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        count(&self.calls.writes);
        self.file.write_at(slices, position)
    }
    fn allocate(&self, position: u64, bytes: u64, extend: bool) -> io::Result<bool> {
        self.file.allocate(position, bytes, extend)
    }
    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        count(&self.calls.data_syncs);
        if self.syncs { self.file.sync_data() } else { Ok(()) }
    }
    fn start_writeback(&self, position: u64, bytes: u64) -> io::Result<()> {
        if self.syncs { self.file.start_writeback(position, bytes) } else { Ok(()) }
    }
    fn map(&self, position: u64, bytes: usize, slot: Option<Slot>) -> io::Result<Mapping> {
        self.file.map(position, bytes, slot)
    }
    fn map_writable(&self, position: u64, bytes: usize) -> io::Result<Box<dyn WritableMapping>> {
        self.file.map_writable(position, bytes)
    }
}
