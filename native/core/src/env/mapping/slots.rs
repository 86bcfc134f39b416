//! Slots: address ranges in which one mapping is placed after the other.
//!
//! Whoever makes something of an address that costs more than the mapping, as an ArrayBuffer does,
//! makes it once a slot and not once a mapping. A slot without a mapping reads as zeros, so a
//! stale reader of it meets neither a signal nor bytes of what was there.
#![expect(unsafe_code, reason = "a range that a slot owns is mapped over")]

use std::{io, os::fd::AsFd, ptr, sync::Arc};

use parking_lot::Mutex;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

use super::{OwnedFd, Region};

/// A bounded number of address ranges of one size.
pub struct Slots {
    bytes: usize,
    slots_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The last one given back is the first one taken: no more are made than are needed at once.
    free: Vec<(u64, Arc<Addresses>)>,
    made_count: u64,
}

/// The addresses of a slot. They stay its own, with whatever is placed there, until the last holder
/// drops them.
pub struct Addresses {
    pub(super) region: Region,
}

/// A slot that one mapping may be placed in. When dropped it reads as zeros, and is free again.
pub struct Slot {
    number: u64,
    addresses: Arc<Addresses>,
    slots: Arc<Slots>,
}

impl Slots {
    /// At most `slots_max` ranges of `bytes` each; a range is reserved when it is first needed.
    pub fn new(bytes: usize, slots_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes, slots_max, inner: Mutex::default() })
    }

    /// A free slot; `None` when all are taken, or the system has no more addresses.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut inner = self.inner.lock();
        let (number, addresses) = match inner.free.pop() {
            Some(free) => free,
            None if inner.made_count == self.slots_max => return None,
            None => {
                let addresses = Arc::new(Addresses::reserve(self.bytes).ok()?);
                inner.made_count += 1;
                (inner.made_count - 1, addresses)
            }
        };
        drop(inner);
        Some(Slot { number, addresses, slots: Arc::clone(self) })
    }

    /// How many slots there are, taken or free.
    #[cfg(test)]
    pub fn made_count(&self) -> u64 {
        self.inner.lock().made_count
    }
}

impl Addresses {
    fn reserve(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ, BLANK)? };
        Ok(Self { region: Region::at(address, bytes)? })
    }

    /// The first of them.
    pub fn as_ptr(&self) -> *const u8 {
        self.region.address.as_ptr().cast_const().cast()
    }

    /// How many there are.
    pub fn bytes(&self) -> usize {
        self.region.bytes
    }
}

/// Private memory that is only read takes no page, and none is set aside for it.
const BLANK: MapFlags = MapFlags::PRIVATE.union(MapFlags::NORESERVE);

impl Slot {
    /// Which of its [`Slots`] it is; from 0 on.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its addresses.
    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// Places part of a file at the start of the slot, where nothing is.
    pub(super) fn place(&self, file: &OwnedFd, position: u64, bytes: usize) -> io::Result<()> {
        if bytes > self.addresses.bytes() {
            return Err(super::invalid("a mapping is larger than its slot"));
        }
        let address = self.addresses.region.address.as_ptr();
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the range lies in addresses that are the slot's own. Nobody refers to what was
        // there: it is given back, and Self belongs to one mapping.
        unsafe { mmap(address, bytes, ProtFlags::READ, flags, file.as_fd(), position)? };
        Ok(())
    }

    /// Has the slot read as zeros.
    fn clear(&self) -> io::Result<()> {
        let address = self.addresses.region.address.as_ptr();
        let flags = BLANK | MapFlags::FIXED;
        // SAFETY: the addresses are the slot's own, and the mapping that was there is gone, with no
        // reference into it left. What still has the address reads zeros.
        unsafe { mmap_anonymous(address, self.addresses.bytes(), ProtFlags::READ, flags)? };
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Where it could not be cleared (the process has no map left) nothing is placed there any
        // more, and it counts as taken for good.
        if self.clear().is_ok() {
            let free = (self.number, Arc::clone(&self.addresses));
            self.slots.inner.lock().free.push(free);
        }
    }
}
