//! Whole transfers over the short-reading, short-writing [`File`](super::File).

use std::{
    io::{self, IoSlice},
    path::Path,
};

use rustix::io::Errno;

use super::{File, FileSystem, OpenMode};

/// Fills `buffer` from `position` as far as the file goes; returns the bytes read.
///
/// # Errors
/// Any I/O error.
pub fn read_full(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all of the slices, one behind the other, from `position`.
///
/// # Errors
/// Any I/O error; then an unknown part of the slices has been written.
pub fn write_full(file: &dyn File, slices: &[&[u8]], position: u64) -> io::Result<()> {
    let mut position = position;
    let mut io_slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut rest = io_slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_at(rest, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole file of at most `bytes_max`; `None` when it is missing or larger.
///
/// # Errors
/// Any I/O error other than a missing file.
pub fn read_whole(
    files: &dyn FileSystem,
    path: &Path,
    bytes_max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let file = match files.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.len()?;
    if length > bytes_max {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let read = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// As [`read_whole`], for what is done without, or made again, where its content cannot be
/// believed: `None` also when the disk does not read it.
///
/// # Errors
/// Any I/O error that is not the disk's loss.
pub fn read_if_readable(
    files: &dyn FileSystem,
    path: &Path,
    bytes_max: u64,
) -> io::Result<Option<Vec<u8>>> {
    match read_whole(files, path, bytes_max) {
        Err(error) if is_unreadable(&error) => Ok(None),
        read => read,
    }
}

/// Whether an error of a read says that the disk has lost what was to be read: trying again does
/// not help, as it may where descriptors, memory or rights are missing.
pub fn is_unreadable(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    let of_system = [Errno::UCLEAN, Errno::NODATA];
    #[cfg(not(target_os = "linux"))]
    let of_system = [];
    let lost = [Errno::IO, Errno::BADMSG];
    let mut known = lost.iter().chain(&of_system);
    known.any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What a file is called while [`replace_durably`] writes it.
pub(crate) fn temporary_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// Replaces `directory/name` durably: a temporary file, fdatasync, rename, fsync of the directory.
/// After a crash the file is the old one or the new one, whole.
///
/// # Errors
/// Any I/O error; the old file is then still there or the new one may already be.
pub fn replace_durably(
    files: &dyn FileSystem,
    directory: &Path,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let temporary = directory.join(temporary_name(name));
    let file = files.open(&temporary, OpenMode::OpenOrCreate)?;
    file.truncate(0)?;
    write_full(&*file, &[bytes], 0)?;
    file.sync_data()?;
    drop(file);
    files.rename(&temporary, &directory.join(name))?;
    files.sync_directory(directory)
}
