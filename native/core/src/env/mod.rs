//! Everything the core asks of the machine: files, time and randomness.
//!
//! The engine reaches them only through these traits, so that the simulated implementation
//! (`simulated/`) sees every call and can fail, reorder or forget any of it. Faults live in
//! implementations, never as flags in the engine.

mod capacity;
#[cfg(test)]
mod conformance;
mod controls;
mod descriptor;
mod disk;
mod journal;
mod limits;
mod lock;
mod mapping;
mod memory;
mod namespace;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
mod system;
pub mod transfer;

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use controls::Controls;
pub use disk::DiskFileSystem;
pub use limits::ProcessLimits;
pub use mapping::{
    Mapping,
    slots::{Addresses, Slot, Slots},
};
pub use memory::MemoryFileSystem;
pub use system::{SystemClock, SystemRandom};

/// The machine as the engine sees it. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Files and directories.
    pub files: Arc<dyn FileSystem>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for identifiers.
    pub random: Arc<dyn Random>,
    /// How many descriptors and maps there may be.
    pub limits: ProcessLimits,
    /// Of a machine in memory, what tests may do to it.
    pub controls: Option<Arc<Controls>>,
}

impl Env {
    /// The real machine.
    pub fn system() -> Self {
        Self {
            files: Arc::new(DiskFileSystem),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            limits: ProcessLimits::of_this_process(),
            controls: None,
        }
    }

    /// The real machine's time and randomness over files in memory, of at most `capacity_bytes`
    /// (see [`MemoryFileSystem::new`]); time can be advanced.
    pub fn memory(capacity_bytes: Option<u64>) -> Self {
        let files = MemoryFileSystem::new(capacity_bytes);
        let controls = files.controls();
        let clock = controls.clock();
        let files = Arc::new(files);
        Self { files, clock, controls: Some(Arc::new(controls)), ..Self::system() }
    }
}

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch; may step backwards.
    fn wall_ms(&self) -> i64;
    /// Nanoseconds since an arbitrary point; never goes backwards.
    fn monotonic_ns(&self) -> u64;
}

/// Randomness.
pub trait Random: Send + Sync + 'static {
    /// A fresh random number.
    fn next_u64(&self) -> u64;
}

impl OpenMode {
    /// Whether the file can be written to.
    pub fn is_writable(self) -> bool {
        !matches!(self, Self::Read | Self::ReadOnce)
    }
}

/// How [`FileSystem::open`] opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading what nobody is about to read again: where the system can, what
    /// was not in its cache before is not kept there.
    ReadOnce,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing, mode 0600.
    CreateNew,
    /// An existing file or a new empty one, for reading and writing, mode 0600.
    OpenOrCreate,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, without its directory. Names that are not UTF-8 are left out of listings.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Size of a file in bytes; 0 for a directory.
    pub bytes: u64,
}

/// Space of the file system that a path lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size in bytes.
    pub total_bytes: u64,
    /// What an unprivileged writer may still use, in bytes.
    pub available_bytes: u64,
}

impl Space {
    /// Size of a file system in memory that has no limit: all that a file can address.
    pub const UNLIMITED_BYTES: u64 = i64::MAX.unsigned_abs();
}

/// What kind of file system a path lies on, as far as it matters to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystemKind {
    /// A local one on which allocation is real (ext4, xfs, ...).
    Local,
    /// Memory (tmpfs, ramfs, memfd): nothing survives a reboot.
    Memory,
    /// Copy-on-write (btrfs, zfs, ...): allocation does not guarantee that an overwrite fits.
    CopyOnWrite,
    /// Across a network (nfs, smb, ...), by name: refused for data.
    Network(String),
}

/// Files and directories.
///
/// Failure contract: a failed call may have done part of its work; callers either repeat it or
/// give up the object it was about. Nothing is durable until the matching `sync_data` or
/// `sync_directory` has returned `Ok`.
pub trait FileSystem: Send + Sync + 'static {
    /// Opens `path`.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` (for [`OpenMode::CreateNew`]) or any I/O error.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Creates `path` and every missing parent, mode 0700. An existing directory is fine.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names in `path`, sorted. `NotFound` when it does not exist.
    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>>;
    /// As [`list`](Self::list), but only files whose names end in `ending` have to have their
    /// sizes; others may have 0. Asking for the sizes is what takes the time.
    fn list_with_sizes_of(&self, path: &Path, ending: &str) -> io::Result<Vec<DirectoryEntry>> {
        let _all_have_their_sizes = ending;
        self.list(path)
    }
    /// Renames a file or directory, replacing a file at `to`. After a power cut it has happened or
    /// not: nothing is left without a name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file. Open files and mappings of it stay usable.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes creations and unlinks in `path` durable, and renames of which it has the new name.
    /// Says nothing about the name of `path`, which is its parent's, nor about what is in files.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Takes the exclusive lock of the file `path` (created when missing) until the guard is
    /// dropped, after which the file stays. `WouldBlock` when someone else has it, also within this
    /// process.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
    /// The one path that all names of the existing directory `path` lead to.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Space of the file system under `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Kind of the file system under `path`.
    fn kind(&self, path: &Path) -> io::Result<FileSystemKind>;
}

/// An open file. Dropping it closes the descriptor and promises nothing about durability.
pub trait File: Send + Sync + 'static {
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// When the file was written to last, in milliseconds since the Unix epoch; `None` where that
    /// is not kept.
    fn modified_ms(&self) -> io::Result<Option<i64>> {
        Ok(None)
    }
    /// Reads into `buffer` from `position`; may read less; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes the slices one behind the other at `position`; may write less than all of them,
    /// also in the middle of a slice. Never `Ok(0)` for a non-empty write.
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize>;
    /// Allocates blocks for the range so that writing there cannot fail for lack of space.
    /// With `extend` the file grows to cover the range (reading as zeros), otherwise its size
    /// stays. `Ok(false)` where the file system cannot allocate; `StorageFull` when it is full.
    fn allocate(&self, position: u64, bytes: u64, extend: bool) -> io::Result<bool>;
    /// Cuts or extends (with zeros, unallocated) the file to `bytes`.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Makes data and size durable (fdatasync). After an error nothing written since the last
    /// success may be assumed durable, and repeating the call proves nothing.
    fn sync_data(&self) -> io::Result<()>;
    /// Starts writing the range back without waiting (sync_file_range); a hint.
    fn start_writeback(&self, position: u64, bytes: u64) -> io::Result<()>;
    /// A shared read-only mapping of the range, which may reach past the end of the file;
    /// only bytes below the end may be touched. `position` is a multiple of 64 KiB. It is placed in
    /// `slot`, which has room for it, or wherever there are addresses.
    fn map(&self, position: u64, bytes: usize, slot: Option<Slot>) -> io::Result<Mapping>;
    /// A shared writable mapping of the range; `position` is a multiple of 64 KiB. `Unsupported`
    /// where pages cannot be brought in with an error instead of a signal (Linux before 5.14, other
    /// systems): write by `write_at` there.
    fn map_writable(&self, position: u64, bytes: usize) -> io::Result<Box<dyn WritableMapping>>;
}

/// A writable window of a file. Coherent with `read_at`, `write_at` and [`Mapping`] of it.
pub trait WritableMapping: Send + Sync + 'static {
    /// Brings the pages of the range in, writable, so that a store into them cannot fail.
    ///
    /// # Errors
    /// Where a store would raise SIGBUS: blocks that could not be allocated, a range past the end
    /// of the file.
    fn populate(&self, start: usize, bytes: usize) -> io::Result<()>;
    /// Stores the slices one behind the other from `start`. The caller has populated the range
    /// and is the only one who stores there. Panics when the range leaves the window.
    fn store(&self, start: usize, slices: &[&[u8]]);
    /// Size of the window in bytes.
    fn bytes(&self) -> usize;
}
