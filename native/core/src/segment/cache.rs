//! Open descriptors and loaded indexes, bounded: the least recently used go first.
//!
//! A descriptor that leaves the cache stays open as long as someone holds it; a log holds the
//! files that it has written and not yet synced, so none is closed unsynced.

use std::{io, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;

use super::SegmentId;
use crate::{
    env::{File, FileSystem},
    index::SegmentIndex,
};

/// Indexes of closed segments kept in memory; each is at most a few MiB, usually a few KiB.
const INDEXES_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// The descriptors and indexes of one data directory.
pub struct FileCache {
    file_system: Arc<dyn FileSystem>,
    files: Mutex<LruCache<SegmentId, Arc<dyn File>>>,
    indexes: Mutex<LruCache<SegmentId, Arc<SegmentIndex>>>,
}

impl FileCache {
    /// A cache of at most `descriptors_max` open files.
    pub fn new(file_system: Arc<dyn FileSystem>, descriptors_max: NonZeroUsize) -> Self {
        Self {
            file_system,
            files: Mutex::new(LruCache::new(descriptors_max)),
            indexes: Mutex::new(LruCache::new(INDEXES_MAX)),
        }
    }

    /// The file system that the files live on.
    pub fn file_system(&self) -> &dyn FileSystem {
        &*self.file_system
    }

    /// The open file of a segment, opened by `open` when it is not cached.
    ///
    /// # Errors
    /// What `open` failed with.
    pub fn file(
        &self,
        id: SegmentId,
        open: impl FnOnce() -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.files.lock().get(&id) {
            return Ok(Arc::clone(file));
        }
        let file = open()?;
        self.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// Adds a file that was just created. What falls out is closed outside the lock.
    pub fn insert(&self, id: SegmentId, file: Arc<dyn File>) {
        let evicted = self.files.lock().push(id, file);
        drop(evicted);
    }

    /// The index of a closed segment, loaded by `load` when it is not cached.
    ///
    /// # Errors
    /// What `load` failed with.
    pub fn index(
        &self,
        id: SegmentId,
        load: impl FnOnce() -> io::Result<SegmentIndex>,
    ) -> io::Result<Arc<SegmentIndex>> {
        if let Some(index) = self.indexes.lock().get(&id) {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(load()?);
        let evicted = self.indexes.lock().push(id, Arc::clone(&index));
        drop(evicted);
        Ok(index)
    }

    /// Whether the index of a closed segment is in memory.
    pub fn has_index(&self, id: SegmentId) -> bool {
        self.indexes.lock().contains(&id)
    }

    /// Gives up what is cached of a segment that was deleted or reopened.
    pub fn forget(&self, id: SegmentId) {
        let file = self.files.lock().pop(&id);
        let index = self.indexes.lock().pop(&id);
        drop((file, index));
    }

    /// Descriptors that the cache holds now.
    pub fn open_count(&self) -> usize {
        self.files.lock().len()
    }
}
