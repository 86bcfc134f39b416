//! The two ways of putting bytes into a segment.
//!
//! Both write the same file through the same page cache and are coherent, so the choice can be
//! made for every append. `pwrite` is the rule, with blocks allocated ahead while a topic is fast;
//! stores into a mapping serve topics that ask for them while they are fast and do not sync before
//! they ack (docs/ARCHITECTURE.md, "Two writers").

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    env::{File, WritableMapping, transfer::write_full},
    flush::work::WorkPool,
};

/// Written bytes after which write-back is started, so that dirty pages do not pile up.
const WRITEBACK_STEP_BYTES: u64 = 8 << 20;
/// Blocks that are allocated ahead of the tail of a segment with little in it.
const AHEAD_BYTES_MIN: u64 = 4 << 20;
/// First size of a window that is made ready ahead of the tail, where there is room for it.
const WINDOW_BYTES_MIN: u64 = 256 << 10;
/// The largest: what one append in some thousand waits for is small.
const WINDOW_BYTES_MAX: u64 = 4 << 20;
/// Windows start at multiples of this, as `File::map_writable` asks.
const WINDOW_ALIGNMENT_BYTES: u64 = 64 << 10;

/// Puts batches behind the tail of one segment, whose open file it is given with every call: a
/// partition that nobody writes to holds no descriptor.
///
/// Failure contract: after an error an unknown part of the slices may lie behind `position`.
/// The caller calls [`cut`](Self::cut) before it writes anything else, and gives the log up when
/// that fails too.
pub trait SegmentWriter: Send {
    /// Writes the slices one behind the other at `position`, the segment's tail.
    ///
    /// # Errors
    /// Any I/O error; see the failure contract.
    fn append(&mut self, file: &Arc<dyn File>, slices: &[&[u8]], position: u64) -> io::Result<()>;

    /// Erases whatever lies at and behind `position`.
    ///
    /// # Errors
    /// Any I/O error; the tail is then unknown.
    fn cut(&mut self, file: &dyn File, position: u64) -> io::Result<()>;
}

/// Writes by `pwritev`.
pub struct PwriteWriter {
    work: Arc<WorkPool>,
    writeback_position: u64,
    /// Blocks that are allocated at a time at most, before they are written to; 0 for none.
    ahead_bytes_max: u64,
    allocated_end: u64,
}

impl PwriteWriter {
    /// A writer whose tail is at `position`.
    pub fn new(work: Arc<WorkPool>, position: u64) -> Self {
        Self::ahead(work, position, 0)
    }

    /// One that has blocks allocated ahead, behind the end of the file: a write into allocated
    /// blocks takes a third less of a processor on ext4 than one that has to see to each of its
    /// pages. The allocation is the writer's own: it waits for what a write waits for. That may be
    /// tens of milliseconds however little is asked for, so each takes as much again as the segment
    /// has, from 4 MiB to `ahead_bytes_max`.
    pub fn ahead(work: Arc<WorkPool>, position: u64, ahead_bytes_max: u64) -> Self {
        Self { work, writeback_position: position, ahead_bytes_max, allocated_end: position }
    }

    /// `position` is the tail, `end` what it is to become.
    fn allocate_ahead(&mut self, file: &dyn File, position: u64, end: u64) {
        if self.ahead_bytes_max == 0 || end <= self.allocated_end {
            return;
        }
        let start = self.allocated_end;
        let ahead_bytes = end.max(AHEAD_BYTES_MIN).min(self.ahead_bytes_max);
        let bytes = end.saturating_add(ahead_bytes) - start;
        match file.allocate(start, bytes, false) {
            Ok(true) => self.allocated_end = start + bytes,
            // Appends go without, and report a full or failing disk.
            Ok(false) => self.ahead_bytes_max = 0,
            Err(_) => {
                self.ahead_bytes_max = 0;
                // A full disk may have given its last blocks, which everybody needs. Where that
                // cannot be undone either, the write that follows says what is the matter.
                drop(file.truncate(position));
            }
        }
    }

    fn start_writeback(&mut self, file: &Arc<dyn File>, position: u64) {
        let bytes = position.saturating_sub(self.writeback_position);
        if bytes < WRITEBACK_STEP_BYTES {
            return;
        }
        let (file, from) = (Arc::clone(file), self.writeback_position);
        self.writeback_position = position;
        // A hint: when it fails the pages are written by the next fdatasync, which reports.
        self.work.spawn(Box::new(move || drop(file.start_writeback(from, bytes))));
    }
}

impl SegmentWriter for PwriteWriter {
    fn append(&mut self, file: &Arc<dyn File>, slices: &[&[u8]], position: u64) -> io::Result<()> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let end = position + bytes as u64;
        self.allocate_ahead(&**file, position, end);
        write_full(&**file, slices, position)?;
        self.start_writeback(file, end);
        Ok(())
    }

    fn cut(&mut self, file: &dyn File, position: u64) -> io::Result<()> {
        self.writeback_position = self.writeback_position.min(position);
        self.allocated_end = position;
        file.truncate(position)
    }
}

/// Stores into mapped windows that another thread makes ready ahead of the tail. An append for
/// which no window is ready goes by `pwrite`: nobody waits.
pub struct MappedWriter {
    pwrite: PwriteWriter,
    shared: Arc<Shared>,
    current: Option<Ready>,
    window_bytes_max: u64,
}

struct Shared {
    /// Locked while a window is made ready; appends only ever try to lock it.
    slot: Mutex<Slot>,
    is_preparing: AtomicBool,
}

#[derive(Default)]
struct Slot {
    next: Option<Ready>,
    /// The tail was cut: nothing may extend the file on behalf of this slot any more.
    is_closed: bool,
}

struct Ready {
    start: u64,
    mapping: Box<dyn WritableMapping>,
}

impl Ready {
    fn end(&self) -> u64 {
        self.start + self.mapping.bytes() as u64
    }
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { slot: Mutex::default(), is_preparing: AtomicBool::new(false) })
    }
}

impl MappedWriter {
    /// A writer of `file` whose tail is at `position`, and whose windows take `window_bytes_max`
    /// at most, a multiple of 64 KiB, and no more than 4 MiB.
    pub fn new(
        file: &Arc<dyn File>,
        work: Arc<WorkPool>,
        position: u64,
        window_bytes_max: u64,
    ) -> Self {
        let pwrite = PwriteWriter::new(work, position);
        let window_bytes_max = window_bytes_max.min(WINDOW_BYTES_MAX);
        let mut writer = Self { pwrite, shared: Shared::new(), current: None, window_bytes_max };
        writer.prepare(file, position, WINDOW_BYTES_MIN.min(window_bytes_max));
        writer
    }

    /// Asks another thread for a populated window from `position` on, if none is under way.
    fn prepare(&mut self, file: &Arc<dyn File>, position: u64, bytes: u64) {
        if self.shared.is_preparing.swap(true, Ordering::AcqRel) {
            return;
        }
        let start = position - position % WINDOW_ALIGNMENT_BYTES;
        let (file, shared) = (Arc::clone(file), Arc::clone(&self.shared));
        self.pwrite.work.spawn(Box::new(move || {
            let mut slot = shared.slot.lock();
            if !slot.is_closed {
                // Without a window appends go by pwrite, which reports a full or failing disk.
                slot.next = make_ready(&*file, start, bytes).ok().flatten();
            }
            shared.is_preparing.store(false, Ordering::Release);
        }));
    }

    /// Takes the next window over when the current one ends before `end`.
    fn advance(&mut self, position: u64, end: u64) {
        if self.current.as_ref().is_some_and(|current| current.end() >= end) {
            return;
        }
        if let Some(mut slot) = self.shared.slot.try_lock()
            && slot.next.as_ref().is_some_and(|next| next.start <= position)
        {
            self.current = slot.next.take();
        }
    }

    fn needs_next(&self) -> bool {
        self.shared.slot.try_lock().is_some_and(|slot| slot.next.is_none())
    }
}

/// Allocates, maps and populates. `None` where the file system cannot allocate for real.
fn make_ready(file: &dyn File, start: u64, bytes: u64) -> io::Result<Option<Ready>> {
    if !file.allocate(start, bytes, true)? {
        return Ok(None);
    }
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    let mapping = file.map_writable(start, length)?;
    mapping.populate(0, length)?;
    Ok(Some(Ready { start, mapping }))
}

impl SegmentWriter for MappedWriter {
    fn append(&mut self, file: &Arc<dyn File>, slices: &[&[u8]], position: u64) -> io::Result<()> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let end = position + bytes as u64;
        self.advance(position, end);
        let (window_bytes, remaining) = match &self.current {
            Some(current) if current.start <= position && current.end() >= end => {
                let start = usize::try_from(position - current.start).map_err(io::Error::other)?;
                current.mapping.store(start, slices);
                self.pwrite.start_writeback(file, end);
                (current.mapping.bytes() as u64, current.end() - end)
            }
            _ => {
                self.pwrite.append(file, slices, position)?;
                (WINDOW_BYTES_MIN / 2, 0)
            }
        };
        // The next window starts at the tail, so that no batch falls between two.
        if remaining < window_bytes / 2 && self.needs_next() {
            let bytes = (window_bytes * 2).max(WINDOW_BYTES_MIN).min(self.window_bytes_max);
            self.prepare(file, end, bytes);
        }
        Ok(())
    }

    fn cut(&mut self, file: &dyn File, position: u64) -> io::Result<()> {
        // A window under way must not extend the file again behind the cut.
        {
            let mut slot = self.shared.slot.lock();
            slot.is_closed = true;
            slot.next = None;
        }
        self.shared = Shared::new();
        self.current = None;
        self.pwrite.cut(file, position)
    }
}
