//! The reserve file: blocks that are given up when a deletion, or what else an administrator does,
//! finds none.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::env::{FileSystem, OpenMode};

/// The file's name in the data directory.
const FILE_NAME: &str = "reserve";

/// Whether the blocks are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserve {
    /// So many bytes of them.
    Kept(u64),
    /// Not yet, or not any more: to be had again when there is room.
    Missing,
    /// The file system allocates nothing, or is so small that there is nothing to keep.
    None,
}

impl Reserve {
    /// Bytes that are kept.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Kept(bytes) => bytes,
            Self::Missing | Self::None => 0,
        }
    }
}

/// The reserve's file.
///
/// Failure contract: after any error the caller may try again; what is not kept is missing.
pub(super) struct ReserveFile {
    path: PathBuf,
}

impl ReserveFile {
    pub(super) fn new(data_directory: &Path) -> Self {
        Self { path: data_directory.join(FILE_NAME) }
    }

    /// Bytes that an earlier broker has left in it.
    pub(super) fn bytes_left(&self, files: &dyn FileSystem) -> io::Result<u64> {
        match files.open(&self.path, OpenMode::Read) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Gets blocks for `bytes`. Those that are there already count, also on a full disk.
    pub(super) fn take(&self, files: &dyn FileSystem, bytes: u64) -> io::Result<Reserve> {
        if bytes == 0 {
            return Ok(Reserve::None);
        }
        let file = files.open(&self.path, OpenMode::OpenOrCreate)?;
        match file.allocate(0, bytes, true) {
            Ok(true) => Ok(Reserve::Kept(bytes)),
            Ok(false) => {
                drop(file);
                files.remove_file(&self.path)?;
                Ok(Reserve::None)
            }
            Err(error) => {
                // What was allocated of it is of use to others.
                file.truncate(0)?;
                Err(error)
            }
        }
    }

    /// Gives all blocks back, for others to have when this returns: journaling file systems free
    /// them once the removal is durable.
    pub(super) fn give_up(&self, files: &dyn FileSystem) -> io::Result<()> {
        files.remove_file(&self.path)?;
        files.sync_directory(self.path.parent().unwrap_or(&self.path))
    }
}
