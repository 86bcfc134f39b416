//! The metadata file as redb sees it.

use std::{io, path::PathBuf, sync::Arc};

use redb::StorageBackend;

use crate::{
    env::{
        File,
        transfer::{read_full, write_full},
    },
    error::Error,
};

/// A file of the environment, without holes.
#[derive(Clone)]
pub(super) struct Backend {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl Backend {
    /// A view of the file at `path`.
    pub(super) fn new(file: Arc<dyn File>, path: PathBuf) -> Self {
        Self { file, path }
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
        // Before the file grows: a hole would fail when it is written to, now or at the next start.
        if len > before
            && let Err(error) = self.file.allocate(before, len - before, false)
        {
            // What was allocated of it is of use to others.
            self.file.truncate(before)?;
            return Err(error);
        }
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_full(&*self.file, &[data], offset)
    }
}
