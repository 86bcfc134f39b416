//! Shared mappings of files: the only room of the core with `unsafe`, and the reasons for it.
//!
//! Two things can go wrong with mapped files, and both are settled by contracts that the segments
//! keep rather than by checks here, because nothing cheap could check them:
//!
//! - *SIGBUS* on touching a page that lies past the end of the file, cannot be allocated or cannot
//!   be read. Readers stay below the end of a file that is never truncated under a mapping, and
//!   bring pages in by [`Mapping::populate`], which returns an error instead; writers store only
//!   into pages that [`MappedWindow::populate`] has made writable.
//! - *Bytes that change under a `&[u8]`*. Bytes of a segment are written once, before the position
//!   that covers them is published, and never again; readers ask only for published bytes.
#![expect(unsafe_code, reason = "mapping files and reading mapped memory cannot be done safely")]

use std::{
    ffi::c_void,
    fmt, io,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::{Arc, LazyLock},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use self::slots::Slot;

/// Positions of mappings are multiples of this: the largest page size of the supported machines.
pub(super) const POSITION_ALIGNMENT_BYTES: u64 = 64 * 1024;

/// Pages asked for by one mincore: 16 MiB of 4 KiB pages in one call, on the stack.
const RESIDENT_PAGES_PER_CALL_MAX: usize = 4096;

/// Size of one read that brings pages in where the kernel cannot populate a mapping.
const POPULATE_READ_BYTES: usize = 64 * 1024;

/// Size of a page in bytes.
static PAGE_BYTES: LazyLock<usize> = LazyLock::new(rustix::param::page_size);

/// Whether the kernel knows `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE` (Linux 5.14).
static CAN_POPULATE: LazyLock<bool> = LazyLock::new(can_populate);

/// Address space that maps part of a file, unmapped when dropped, or given back to its slot.
struct Region {
    address: NonNull<c_void>,
    bytes: usize,
    slot: Option<Slot>,
}

// SAFETY: a region is plain address space; nothing about it belongs to the thread that made it.
unsafe impl Send for Region {}
// SAFETY: as above; who may read or store where is the contract of the two types built on it.
unsafe impl Sync for Region {}

impl Region {
    fn new(file: &OwnedFd, position: u64, bytes: usize, access: ProtFlags) -> io::Result<Self> {
        check(position, bytes)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file.as_fd(), position)?
        };
        Self::at(address, bytes)
    }

    fn at(address: *mut c_void, bytes: usize) -> io::Result<Self> {
        let address = NonNull::new(address).ok_or_else(|| invalid("mapped at address zero"))?;
        Ok(Self { address, bytes, slot: None })
    }

    /// A read-only one in a slot.
    fn in_slot(file: &OwnedFd, position: u64, bytes: usize, slot: Slot) -> io::Result<Self> {
        check(position, bytes)?;
        slot.place(file, position, bytes)?;
        let address = slot.addresses().region.address;
        Ok(Self { address, bytes, slot: Some(slot) })
    }

    /// The address and length of the whole pages around `range`.
    fn pages(&self, range: &Range<usize>) -> io::Result<(*mut c_void, usize)> {
        if range.start > range.end || range.end > self.bytes {
            return Err(invalid("the range leaves the mapping"));
        }
        let start = range.start - range.start % *PAGE_BYTES;
        // SAFETY: start lies inside the mapping, as range.start <= range.end <= bytes.
        let address = unsafe { self.address.as_ptr().byte_add(start) };
        Ok((address, range.end - start))
    }

    #[cfg(target_os = "linux")]
    fn populate(&self, range: &Range<usize>, advice: rustix::mm::Advice) -> io::Result<()> {
        let (address, bytes) = self.pages(range)?;
        // SAFETY: populating changes no memory; the pages are part of this mapping.
        let populate = || unsafe { rustix::mm::madvise(address, bytes, advice) };
        Ok(rustix::io::retry_on_intr(populate)?)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.slot.is_some() {
            return;
        }
        // SAFETY: the region owns this mapping and every reference into it borrows the region.
        let unmapped = unsafe { munmap(self.address.as_ptr(), self.bytes) };
        // Fails only for a range that is no mapping, which would be a defect here.
        debug_assert!(unmapped.is_ok(), "munmap of an own mapping failed");
    }
}

/// A shared read-only mapping of part of a file. Keeps no descriptor open (except where the kernel
/// cannot populate mappings), stays valid after the file is closed or unlinked, and is unmapped
/// when dropped.
pub struct Mapping {
    region: Region,
    /// The file and the position of the mapping, where populating means reading the file.
    source: Option<(Arc<OwnedFd>, u64)>,
}

impl Mapping {
    pub(super) fn new(
        file: &Arc<OwnedFd>,
        position: u64,
        bytes: usize,
        slot: Option<Slot>,
    ) -> io::Result<Self> {
        let region = match slot {
            Some(slot) => Region::in_slot(file, position, bytes, slot)?,
            None => Region::new(file, position, bytes, ProtFlags::READ)?,
        };
        let source = (!*CAN_POPULATE).then(|| (Arc::clone(file), position));
        Ok(Self { region, source })
    }

    /// Size of the mapping in bytes, which may be more than the file has behind its position.
    pub fn bytes(&self) -> usize {
        self.region.bytes
    }

    /// Address of the first byte. Whoever reads through it keeps the mapping alive and keeps the
    /// promises of [`Self::slice`].
    pub fn as_ptr(&self) -> *const u8 {
        self.region.address.as_ptr().cast_const().cast()
    }

    /// The slot that it is placed in, if it is.
    pub fn slot(&self) -> Option<&Slot> {
        self.region.slot.as_ref()
    }

    /// The bytes of `range`; `None` when it leaves the mapping.
    ///
    /// The caller promises what cannot be checked: that the range lies below the end of the file,
    /// that the file is not cut while the mapping lives, and that nobody writes to these bytes any
    /// more. Breaking the first two raises SIGBUS.
    pub fn slice(&self, range: Range<usize>) -> Option<&[u8]> {
        if range.start > range.end || range.end > self.region.bytes {
            return None;
        }
        // SAFETY: the range lies in the mapping, which lives as long as the borrow of self; that
        // the bytes exist and stay as they are is the caller's promise.
        Some(unsafe {
            slice::from_raw_parts(self.as_ptr().add(range.start), range.end - range.start)
        })
    }

    /// How many bytes from the start of `range` lie in pages of the page cache, up to the first
    /// page that does not: touching them reads no disk. All of the range, where all of it does.
    ///
    /// # Errors
    /// `InvalidInput` when the range leaves the mapping, otherwise what mincore says.
    pub fn resident(&self, range: Range<usize>) -> io::Result<usize> {
        let (mut address, mut bytes) = self.region.pages(&range)?;
        let mut states = [0_u8; RESIDENT_PAGES_PER_CALL_MAX];
        while bytes > 0 {
            let asked = bytes.min(RESIDENT_PAGES_PER_CALL_MAX * *PAGE_BYTES);
            // SAFETY: the pages belong to this mapping, and states has a byte for each of them.
            let answer = unsafe { libc::mincore(address, asked, states.as_mut_ptr().cast()) };
            if answer != 0 {
                return Err(io::Error::last_os_error());
            }
            let pages = asked.div_ceil(*PAGE_BYTES);
            if let Some(missing) = states.iter().take(pages).position(|state| state & 1 == 0) {
                let missing_at = range.end - bytes + missing * *PAGE_BYTES;
                return Ok(missing_at.saturating_sub(range.start));
            }
            bytes -= asked;
            // SAFETY: asked <= bytes, so the address stays in the mapping or just behind it.
            address = unsafe { address.byte_add(asked) };
        }
        Ok(range.len())
    }

    /// Reads the pages of `range` in, so that touching them neither waits nor faults. Without
    /// `MADV_POPULATE_READ` the file is read into the page cache instead: an unreadable page is
    /// still an error here, but a page that is dropped again before it is touched is read again.
    ///
    /// # Errors
    /// `InvalidInput` when the range leaves the mapping; an I/O error (EFAULT or EIO) where
    /// touching would raise SIGBUS: an unreadable page, or one past the end of the file.
    pub fn populate(&self, range: Range<usize>) -> io::Result<()> {
        match &self.source {
            Some((file, position)) => read_in(file, *position, self.region.bytes, &range),
            #[cfg(target_os = "linux")]
            None => self.region.populate(&range, rustix::mm::Advice::LinuxPopulateRead),
            #[cfg(not(target_os = "linux"))]
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mapping").field("bytes", &self.region.bytes).finish()
    }
}

/// A shared writable mapping of part of a file: what [`super::WritableMapping`] promises, on the
/// machine's own memory.
pub(super) struct MappedWindow {
    region: Region,
}

impl MappedWindow {
    /// `Unsupported` where the kernel cannot populate mappings: a store into a page that is not
    /// populated can raise SIGBUS, and no other way of bringing it in writable can fail politely.
    pub(super) fn new(file: &OwnedFd, position: u64, bytes: usize) -> io::Result<Self> {
        if !*CAN_POPULATE {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        Ok(Self { region: Region::new(file, position, bytes, access)? })
    }
}

impl super::WritableMapping for MappedWindow {
    fn populate(&self, start: usize, bytes: usize) -> io::Result<()> {
        let end = start.checked_add(bytes).ok_or_else(|| invalid("the range leaves the window"))?;
        #[cfg(target_os = "linux")]
        return self.region.populate(&(start..end), rustix::mm::Advice::LinuxPopulateWrite);
        #[cfg(not(target_os = "linux"))]
        return self.region.pages(&(start..end)).and(Err(io::ErrorKind::Unsupported.into()));
    }

    fn store(&self, start: usize, slices: &[&[u8]]) {
        let mut position = start;
        for slice in slices {
            let room = self.region.bytes.checked_sub(position);
            assert!(room.is_some_and(|room| slice.len() <= room), "a store leaves its window");
            // SAFETY: position + slice.len() lies in the mapping (asserted); a slice of safe code
            // cannot overlap it, because no reference to these unpublished bytes exists, and the
            // caller is the only one who stores here.
            unsafe {
                let target = self.region.address.as_ptr().cast::<u8>().add(position);
                ptr::copy_nonoverlapping(slice.as_ptr(), target, slice.len());
            }
            position += slice.len();
        }
    }

    fn bytes(&self) -> usize {
        self.region.bytes
    }
}

/// Brings `range` of a mapping of `file` at `position` into the page cache by reading it.
fn read_in(file: &OwnedFd, position: u64, bytes: usize, range: &Range<usize>) -> io::Result<()> {
    if range.start > range.end || range.end > bytes {
        return Err(invalid("the range leaves the mapping"));
    }
    let mut scratch = vec![0_u8; POPULATE_READ_BYTES.min(range.end - range.start)];
    let mut start = range.start;
    while start < range.end {
        let asked = scratch.len().min(range.end - start);
        let (target, _) = scratch.split_at_mut(asked);
        let read = rustix::io::retry_on_intr(|| {
            rustix::io::pread(file, &mut *target, position.saturating_add(start as u64))
        })?;
        if read == 0 {
            return Err(io::Error::from(rustix::io::Errno::FAULT));
        }
        start += read;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn can_populate() -> bool {
    let bytes = *PAGE_BYTES;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let page = unsafe {
        rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ, MapFlags::PRIVATE)
    };
    let Ok(page) = page else { return false };
    // SAFETY: the page was mapped above; populating changes no memory.
    let populated =
        unsafe { rustix::mm::madvise(page, bytes, rustix::mm::Advice::LinuxPopulateRead) };
    // SAFETY: the page was mapped above and nothing refers to it.
    let unmapped = unsafe { munmap(page, bytes) };
    populated.is_ok() && unmapped.is_ok()
}

#[cfg(not(target_os = "linux"))]
fn can_populate() -> bool {
    false
}

fn check(position: u64, bytes: usize) -> io::Result<()> {
    if bytes == 0 || !position.is_multiple_of(POSITION_ALIGNMENT_BYTES) {
        return Err(invalid("a mapping starts at a multiple of 64 KiB and is not empty"));
    }
    Ok(())
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

pub(super) mod slots;
#[cfg(test)]
mod tests;
