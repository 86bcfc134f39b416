//! The metadata file as redb sees it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::StorageBackend;

use crate::{
    env::{
        File,
        transfer::{read_full, write_full},
    },
    error::Error,
};

/// A file of the environment whose blocks are there before they are needed: a change of the
/// metadata must not fail for want of space when it is what makes space.
///
/// redb writes changed pages to free ones, and doubles the file when none is left. So the file has
/// no holes, and as many bytes again are allocated behind its end.
#[derive(Clone)]
pub(super) struct Backend {
    file: Arc<dyn File>,
    path: PathBuf,
    /// The room behind the end could not be had: the disk was full.
    lacks_room: Arc<AtomicBool>,
}

impl Backend {
    /// A view of the file at `path`.
    pub(super) fn new(file: Arc<dyn File>, path: PathBuf) -> Self {
        Self { file, path, lacks_room: Arc::new(AtomicBool::new(true)) }
    }

    /// Gets the room that could not be had before. That there is none on the disk is no error: what
    /// the file has may do.
    ///
    /// # Errors
    /// When not even the file's size can be told.
    pub(super) fn ensure_room(&self) -> io::Result<()> {
        if self.lacks_room.load(Ordering::Relaxed) {
            let bytes = self.file.len()?;
            let lacks_room = self.file.allocate(0, 2 * bytes, false).is_err();
            self.lacks_room.store(lacks_room, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What it is that opening the file failed with.
    pub(super) fn opening(&self, error: &io::Error) -> Error {
        Error::io(format_args!("opening {}", self.path.display()), error)
    }

    /// The file itself.
    pub(super) fn file(&self) -> &dyn File {
        &*self.file
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("metadata file")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if read_full(&*self.file, out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.file.len()?;
        if len > before {
            // Before the file grows: a hole would fail when it is written to.
            self.file.allocate(before, len - before, false)?;
        }
        if len != before {
            self.file.truncate(len)?;
            self.lacks_room.store(true, Ordering::Relaxed);
        }
        self.ensure_room()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_full(&*self.file, &[data], offset)
    }
}
