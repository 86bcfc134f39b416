//! Exclusive locks of files in memory.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether a file is locked, and the way to lock it.
#[derive(Default)]
pub(super) struct FileLock {
    held: Arc<AtomicBool>,
}

impl FileLock {
    /// Takes the lock until the answer is dropped, or is `WouldBlock`.
    pub(super) fn acquire(&self) -> io::Result<Box<dyn Send + Sync>> {
        if self.held.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Guard { held: Arc::clone(&self.held) }))
    }
}

struct Guard {
    held: Arc<AtomicBool>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.held.store(false, Ordering::Release);
    }
}
