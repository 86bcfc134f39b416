//! Read windows: shared read-only mappings of segments, bounded and reused.
//!
//! A window covers up to 16 MiB and windows start at every 8 MiB, so that every batch (at most
//! 8 MiB) lies whole in the window of its first byte. A window of a segment that is still growing
//! is mapped as large as its content needs, in powers of two, and mapped anew when outgrown.
//!
//! Large windows are placed in slots, as far as there are any: what the event loops make of the
//! address of one is used again for the next.

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lru::LruCache;
use parking_lot::Mutex;

use super::{Segment, SegmentId, cache::FileCache};
use crate::{
    env::{Mapping, ProcessLimits, Slots},
    limits,
};

/// Distance between the starts of two windows.
pub const WINDOW_STEP_BYTES: u64 = limits::READ_WINDOW_BYTES / 2;
/// The smallest window: what an idle partition costs in address space.
const WINDOW_BYTES_MIN: u64 = 64 << 10;
/// The smallest window that is placed in a slot; smaller ones cost an event loop little.
const SLOTTED_BYTES_MIN: u64 = limits::READ_WINDOW_BYTES / 4;
/// Windows kept at most; their number matters because the kernel bounds the maps of a process.
const WINDOWS_MAX: usize = 4096;

/// The id of the next window.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

const _: () = assert!(limits::BATCH_BYTES_MAX <= WINDOW_STEP_BYTES);
const _: () = assert!(WINDOW_STEP_BYTES.is_multiple_of(64 << 10));

/// One mapped window. Its memory stays mapped until the last holder drops it.
pub struct Window {
    /// Never reused within the process.
    pub id: u64,
    /// Position in the segment at which the window starts.
    pub start: u64,
    /// The segment it shows.
    pub segment: SegmentId,
    /// The memory.
    pub mapping: Mapping,
}

impl Window {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.mapping.bytes() as u64
    }
}

/// The read windows of one data directory.
pub struct WindowCache {
    inner: Mutex<Inner>,
    bytes_max: u64,
    slots: Arc<Slots>,
}

struct Inner {
    windows: LruCache<(SegmentId, u64), Arc<Window>>,
    bytes: u64,
}

impl WindowCache {
    /// A cache of at most `bytes_max` of address space (but always one window), with no more
    /// windows than the process may have.
    pub fn new(bytes_max: u64, limits: ProcessLimits) -> Self {
        let windows_max = NonZeroUsize::new(limits.maps_for_windows(WINDOWS_MAX));
        let windows = LruCache::new(windows_max.unwrap_or(NonZeroUsize::MIN));
        let slots = Slots::new(limits::READ_WINDOW_BYTES as usize, limits::READ_SLOTS_MAX);
        Self { inner: Mutex::new(Inner { windows, bytes: 0 }), bytes_max, slots }
    }

    /// The window that holds the bytes `position..position + bytes` of a segment.
    /// The range lies below the segment's end, and ends at most [`limits::READ_WINDOW_BYTES`]
    /// behind the start of its window: any batch does.
    ///
    /// # Errors
    /// An I/O error while opening or mapping the file.
    pub fn window(
        &self,
        files: &FileCache,
        segment: &Segment,
        position: u64,
        bytes: u64,
    ) -> io::Result<Arc<Window>> {
        let index = position / WINDOW_STEP_BYTES;
        let start = index * WINDOW_STEP_BYTES;
        let needed = position - start + bytes;
        if let Some(window) = self.inner.lock().windows.get(&(segment.id, index))
            && window.bytes() >= needed
        {
            return Ok(Arc::clone(window));
        }
        let content = segment.end_position().saturating_sub(start);
        let length = content
            .max(needed)
            .next_power_of_two()
            .clamp(WINDOW_BYTES_MIN, limits::READ_WINDOW_BYTES);
        if length < needed {
            return Err(io::Error::other("a range larger than a read window was asked for"));
        }
        let length_in_memory = usize::try_from(length).map_err(io::Error::other)?;
        let slot = if length < SLOTTED_BYTES_MIN { None } else { self.slots.take() };
        let mapping = segment.file(files)?.map(start, length_in_memory, slot)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let window = Arc::new(Window { id, start, segment: segment.id, mapping });
        inner.bytes += length;
        let mut evicted = Vec::new();
        if let Some((_, old)) = inner.windows.push((segment.id, index), Arc::clone(&window)) {
            inner.bytes -= old.bytes();
            evicted.push(old);
        }
        while inner.bytes > self.bytes_max
            && inner.windows.len() > 1
            && let Some((_, old)) = inner.windows.pop_lru()
        {
            inner.bytes -= old.bytes();
            evicted.push(old);
        }
        drop(inner);
        drop(evicted);
        Ok(window)
    }

    /// A window by its id, if it is still cached.
    pub fn by_id(&self, id: u64) -> Option<Arc<Window>> {
        let inner = self.inner.lock();
        inner.windows.iter().find(|(_, window)| window.id == id).map(|(_, found)| found.clone())
    }

    /// Gives up every window of a segment.
    pub fn forget(&self, segment: SegmentId) {
        let mut inner = self.inner.lock();
        let keys: Vec<_> =
            inner.windows.iter().map(|(key, _)| *key).filter(|key| key.0 == segment).collect();
        let mut gone = Vec::new();
        for key in keys {
            if let Some(window) = inner.windows.pop(&key) {
                inner.bytes -= window.bytes();
                gone.push(window);
            }
        }
        drop(inner);
        drop(gone);
    }

    /// How many windows are cached, and their address space in bytes.
    pub fn size(&self) -> (usize, u64) {
        let inner = self.inner.lock();
        (inner.windows.len(), inner.bytes)
    }
}
