//! A file system in memory, for brokers that live and die with their process.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::io::Errno;

use super::{
    DirectoryEntry, File, FileSystem, FileSystemKind, OpenMode, Space, WritableMapping,
    capacity::{Capacity, Charge},
    controls::{Controls, FlushDelay},
    descriptor::DescriptorFile,
    lock::FileLock,
    mapping::{MappedWindow, Mapping, slots::Slot},
    namespace::{Namespace, Node},
};

/// A file system in memory. Names live in this object, contents in anonymous files, so that reads,
/// writes, allocation and mappings are the system's own. Every sync succeeds, at once unless
/// [`Controls`] say otherwise; nothing outlives the object and what was opened through it.
///
/// Paths lead from one root, whether absolute or not; `..` is `InvalidInput`.
pub struct MemoryFileSystem {
    names: Mutex<Namespace<Arc<MemoryNode>>>,
    capacity: Arc<Capacity>,
    flush_delay: Arc<FlushDelay>,
}

impl MemoryFileSystem {
    /// An empty file system. With `capacity_bytes` it is full once its files take that much, in
    /// pages of 4 KiB: writing, allocating and populating more is `StorageFull`.
    pub fn new(capacity_bytes: Option<u64>) -> Self {
        Self {
            names: Mutex::new(Namespace::new()),
            capacity: Capacity::new(capacity_bytes),
            flush_delay: Arc::default(),
        }
    }

    /// What a test may do to it.
    pub fn controls(&self) -> Controls {
        Controls::new(&self.capacity, &self.flush_delay)
    }

    fn node(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<MemoryNode>> {
        let mut names = self.names.lock();
        match (names.file(path), mode) {
            (Ok(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(node), _) => Ok(node),
            (Err(error), OpenMode::CreateNew | OpenMode::OpenOrCreate)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                let node = Arc::new(MemoryNode::new(self)?);
                names.create_file(path, Arc::clone(&node))?;
                Ok(node)
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl FileSystem for MemoryFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let writable = mode.is_writable();
        Ok(Arc::new(MemoryFile { node: self.node(path, mode)?, writable }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.names.lock().create_directory(path)?;
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let nodes = self.names.lock().list(path)?;
        nodes
            .into_iter()
            .map(|(name, node)| {
                Ok(match node {
                    Node::Directory(_) => DirectoryEntry { name, is_directory: true, bytes: 0 },
                    Node::File(node) => {
                        DirectoryEntry { name, is_directory: false, bytes: node.content.len()? }
                    }
                })
            })
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names.lock().rename(from, to)?;
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.names.lock().remove_file(path)?;
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.names.lock().remove_directory(path)?;
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.names.lock().directory(path)?;
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.node(path, OpenMode::OpenOrCreate)?.lock.acquire()
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.names.lock().canonical(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.names.lock().directory(path)?;
        Ok(self.capacity.space())
    }

    fn kind(&self, path: &Path) -> io::Result<FileSystemKind> {
        self.names.lock().directory(path)?;
        Ok(FileSystemKind::Memory)
    }
}

/// A file, whatever its names: lives as long as a name, an open file or a writable window has it.
struct MemoryNode {
    content: DescriptorFile,
    charge: Charge,
    lock: FileLock,
    flush_delay: Arc<FlushDelay>,
}

impl MemoryNode {
    fn new(files: &MemoryFileSystem) -> io::Result<Self> {
        Ok(Self {
            content: DescriptorFile::anonymous()?,
            charge: Charge::new(&files.capacity),
            lock: FileLock::default(),
            flush_delay: Arc::clone(&files.flush_delay),
        })
    }
}

/// An open file. Space is charged before the system is asked, so a full file system changes
/// nothing of the file.
struct MemoryFile {
    node: Arc<MemoryNode>,
    writable: bool,
}

impl MemoryFile {
    /// The node, when this file may change it.
    fn to_change(&self) -> io::Result<&MemoryNode> {
        if self.writable { Ok(&self.node) } else { Err(Errno::BADF.into()) }
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        self.node.content.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.node.content.read_at(buffer, position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let node = self.to_change()?;
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        node.charge.cover(position, bytes as u64)?;
        node.content.write_at(slices, position)
    }

    fn allocate(&self, position: u64, bytes: u64, extend: bool) -> io::Result<bool> {
        let node = self.to_change()?;
        node.charge.cover(position, bytes)?;
        node.content.allocate(position, bytes, extend)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let node = self.to_change()?;
        node.content.truncate(bytes)?;
        node.charge.cut(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.node.flush_delay.wait();
        Ok(())
    }

    fn start_writeback(&self, _position: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, position: u64, bytes: usize, slot: Option<Slot>) -> io::Result<Mapping> {
        self.node.content.map(position, bytes, slot)
    }

    fn map_writable(&self, position: u64, bytes: usize) -> io::Result<Box<dyn WritableMapping>> {
        let window = self.to_change()?.content.window(position, bytes)?;
        Ok(Box::new(MemoryWindow { node: Arc::clone(&self.node), position, window }))
    }
}

/// A writable window that charges what populating it allocates.
struct MemoryWindow {
    node: Arc<MemoryNode>,
    position: u64,
    window: MappedWindow,
}

impl WritableMapping for MemoryWindow {
    fn populate(&self, start: usize, bytes: usize) -> io::Result<()> {
        let position = self.position.saturating_add(start as u64);
        self.node.charge.cover(position, bytes as u64)?;
        self.window.populate(start, bytes)
    }

    fn store(&self, start: usize, slices: &[&[u8]]) {
        self.window.store(start, slices);
    }

    fn bytes(&self) -> usize {
        self.window.bytes()
    }
}

#[cfg(test)]
mod tests;
