//! A [`File`] over a descriptor of the machine: real files and anonymous ones in memory alike.

use std::{
    io::{self, IoSlice, IoSliceMut},
    num::NonZeroU64,
    os::fd::OwnedFd,
    sync::Arc,
};

use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::{
    File, WritableMapping,
    journal::Journal,
    mapping::{MappedWindow, Mapping, POSITION_ALIGNMENT_BYTES, slots::Slot},
};

/// Most slices that one pwritev takes on every supported system (IOV_MAX).
const SLICES_PER_WRITE_MAX: usize = 1024;

/// An open descriptor. Failure contract: every call is the system call's own, and may be repeated,
/// except [`File::sync_data`] as its contract says.
pub(super) struct DescriptorFile {
    descriptor: Arc<OwnedFd>,
    /// Asked after every sync.
    journal: Option<Arc<Journal>>,
    is_read_once: bool,
}

impl DescriptorFile {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor: Arc::new(descriptor), journal: None, is_read_once: false }
    }

    /// One that is written to.
    pub(super) fn writable(descriptor: OwnedFd, journal: Option<Arc<Journal>>) -> Self {
        Self { journal, ..Self::new(descriptor) }
    }

    /// As [`OpenMode::ReadOnce`](super::OpenMode::ReadOnce) says.
    pub(super) fn read_once(descriptor: OwnedFd) -> Self {
        Self { is_read_once: true, ..Self::new(descriptor) }
    }

    /// A file in memory that has no name and goes with its last descriptor and mapping.
    #[cfg(target_os = "linux")]
    pub(super) fn anonymous() -> io::Result<Self> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        Ok(Self::new(rustix::fs::memfd_create("millrace", flags)?))
    }

    /// A file without a name in the directory for temporary files, where there is no memfd.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn anonymous() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::new_v4()));
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self::new(file.into()))
    }

    /// As [`File::map_writable`], but the machine's own window, for implementations that wrap it.
    pub(super) fn window(&self, position: u64, bytes: usize) -> io::Result<MappedWindow> {
        MappedWindow::new(&self.descriptor, position, bytes)
    }
}

impl File for DescriptorFile {
    fn len(&self) -> io::Result<u64> {
        let size = rustix::fs::fstat(&self.descriptor)?.st_size;
        u64::try_from(size).map_err(io::Error::other)
    }

    fn modified_ms(&self) -> io::Result<Option<i64>> {
        let status = rustix::fs::fstat(&self.descriptor)?;
        let nanoseconds = i64::try_from(status.st_mtime_nsec).map_err(io::Error::other)?;
        Ok(Some(status.st_mtime.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if self.is_read_once {
            return read_past_cache(&self.descriptor, buffer, position);
        }
        Ok(retry_on_intr(|| rustix::io::pread(&self.descriptor, &mut *buffer, position))?)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        // Without the empty slices in front, a write of nothing cannot look like a full disk.
        let skipped = slices.iter().take_while(|slice| slice.is_empty()).count();
        let slices = slices.get(skipped..).unwrap_or_default();
        let slices = slices.get(..SLICES_PER_WRITE_MAX).unwrap_or(slices);
        if slices.is_empty() {
            return Ok(0);
        }
        match retry_on_intr(|| rustix::io::pwritev(&self.descriptor, slices, position))? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, position: u64, bytes: u64, extend: bool) -> io::Result<bool> {
        use rustix::fs::FallocateFlags;
        if bytes == 0 {
            return Ok(true);
        }
        let flags = if extend { FallocateFlags::empty() } else { FallocateFlags::KEEP_SIZE };
        let allocate = || rustix::fs::fallocate(&self.descriptor, flags, position, bytes);
        match retry_on_intr(allocate) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Never allocates here: F_PREALLOCATE only promises, so writers are told to do without.
    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _position: u64, bytes: u64, _extend: bool) -> io::Result<bool> {
        Ok(bytes == 0)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.descriptor, bytes))?)
    }

    #[cfg(not(target_vendor = "apple"))]
    fn sync_data(&self) -> io::Result<()> {
        // Not repeated on EINTR either: whether an interrupted sync reported an error is unknown.
        rustix::fs::fdatasync(&self.descriptor)?;
        self.journal.as_ref().map_or(Ok(()), |journal| journal.confirm())
    }

    /// With F_FULLFSYNC: fsync alone leaves the data in the drive's cache on this system.
    #[cfg(target_vendor = "apple")]
    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fcntl_fullfsync(&self.descriptor)?)
    }

    #[cfg(target_os = "linux")]
    fn start_writeback(&self, position: u64, bytes: u64) -> io::Result<()> {
        start_writeback(&self.descriptor, position, bytes)
    }

    /// Does nothing here: the system has no such call, and it is a hint.
    #[cfg(not(target_os = "linux"))]
    fn start_writeback(&self, _position: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, position: u64, bytes: usize, slot: Option<Slot>) -> io::Result<Mapping> {
        Mapping::new(&self.descriptor, position, bytes, slot)
    }

    fn map_writable(&self, position: u64, bytes: usize) -> io::Result<Box<dyn WritableMapping>> {
        Ok(Box::new(self.window(position, bytes)?))
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no sync_file_range")]
fn start_writeback(file: &OwnedFd, position: u64, bytes: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let position = i64::try_from(position).map_err(io::Error::other)?;
    let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: the descriptor is open as long as it is borrowed, and no memory is involved.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), position, bytes, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `RWF_DONTCACHE`: pages that the read brings in go again, others stay (Linux 6.14; ext4, XFS).
#[cfg(target_os = "linux")]
const DO_NOT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

#[cfg(target_os = "linux")]
fn read_past_cache(file: &Arc<OwnedFd>, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let read = retry_on_intr(|| {
        rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], position, DO_NOT_CACHE)
    });
    match read {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        other => return Ok(other?),
    }
    let was_resident = is_resident(file, position, buffer.len())?;
    let read = retry_on_intr(|| rustix::io::pread(file, &mut *buffer, position))?;
    if !was_resident && let Some(length) = NonZeroU64::new(read as u64) {
        rustix::fs::fadvise(file, position, Some(length), rustix::fs::Advice::DontNeed)?;
    }
    Ok(read)
}

/// Whether all of a range, as far as the file goes, is in the system's cache.
#[cfg(target_os = "linux")]
fn is_resident(file: &Arc<OwnedFd>, position: u64, bytes: usize) -> io::Result<bool> {
    let start = position - position % POSITION_ALIGNMENT_BYTES;
    let end = u64::try_from(rustix::fs::fstat(file)?.st_size).map_err(io::Error::other)?;
    let end = end.min(position.saturating_add(bytes as u64));
    if end <= position {
        return Ok(true);
    }
    let offset_of = |at: u64| usize::try_from(at - start).map_err(io::Error::other);
    let mapping = Mapping::new(file, start, offset_of(end)?, None)?;
    let range = offset_of(position)?..offset_of(end)?;
    Ok(mapping.resident(range.clone())? == range.len())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{
        super::{DiskFileSystem, FileSystem, FileSystemKind, OpenMode},
        *,
    };

    #[test]
    fn reading_once_keeps_what_was_cached_and_nothing_else() {
        let path = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::new_v4()));
        let bytes: Vec<u8> = (0..1u32 << 20).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let open = || super::super::disk::open(&path, OpenMode::Read).unwrap();
        let descriptor = Arc::new(open());
        rustix::fs::fsync(&descriptor).unwrap();
        rustix::fs::fadvise(&descriptor, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let (half, mut buffer) = (bytes.len() / 2, vec![0; 64 << 10]);
        rustix::io::pread(&descriptor, &mut buffer, half as u64).unwrap();
        let once = DescriptorFile::read_once(open());
        for position in (0..bytes.len()).step_by(buffer.len()) {
            assert_eq!(once.read_at(&mut buffer, position as u64).unwrap(), buffer.len());
            assert_eq!(buffer, bytes[position..position + buffer.len()]);
        }
        std::fs::remove_file(&path).unwrap();
        let is_cached = |position: usize| is_resident(&descriptor, position as u64, 4096).unwrap();
        assert!(is_cached(half), "what was cached before stays");
        // A file system in memory has nowhere else to keep it.
        if DiskFileSystem.kind(&std::env::temp_dir()).unwrap() != FileSystemKind::Memory {
            assert!(!is_cached(0), "what was not is gone again");
        }
    }
}
