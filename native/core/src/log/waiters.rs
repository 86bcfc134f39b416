//! Who waits for a log to get further.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::error::Code;

/// Waits for records to become durable.
pub trait Acknowledge: Send + Sync {
    /// Called once: with [`Code::None`] when the records are as durable as was asked for, else
    /// with why they never will be. Called from any thread, with no lock of the log held.
    fn done(&self, code: Code);
}

/// Waits for records to become visible.
pub trait Watch: Send + Sync {
    /// Called once when the high watermark has passed the offset asked for, or when the log is
    /// closed or deleted. Called from any thread, with no lock of the log held.
    fn wake(&self);
    /// Whether nobody is there any more to be woken.
    fn is_abandoned(&self) -> bool {
        false
    }
}

/// Acks waiting for a flush, in the order of their offsets.
#[derive(Default)]
pub struct AckQueue {
    waiting: Mutex<VecDeque<(u64, Arc<dyn Acknowledge>)>>,
}

impl AckQueue {
    /// Waits until everything before `offset` is flushed. `state` tells, under the queue's lock,
    /// how far the log is flushed or why it will get no further.
    pub fn wait(
        &self,
        offset: u64,
        ack: Arc<dyn Acknowledge>,
        state: impl FnOnce() -> Result<u64, Code>,
    ) {
        let mut waiting = self.waiting.lock();
        let code = match state() {
            Ok(flushed) if flushed >= offset => Code::None,
            Ok(_) => {
                // Nearly always at the back; a repeated batch may wait for less than the last.
                let index = waiting.partition_point(|(other, _)| *other <= offset);
                waiting.insert(index, (offset, ack));
                return;
            }
            Err(code) => code,
        };
        drop(waiting);
        ack.done(code);
    }

    /// Completes everyone who waits for at most `offset`.
    pub fn complete(&self, offset: u64) {
        let mut done = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            while waiting.front().is_some_and(|(wanted, _)| *wanted <= offset) {
                done.extend(waiting.pop_front());
            }
        }
        for (_, ack) in done {
            ack.done(Code::None);
        }
    }

    /// Fails everyone.
    pub fn fail(&self, code: Code) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (_, ack) in waiting {
            ack.done(code);
        }
    }
}

/// Watchers of the high watermark. Costs one atomic load where nobody watches.
#[derive(Default)]
pub struct WatchList {
    count: AtomicUsize,
    watchers: Mutex<Vec<(u64, Arc<dyn Watch>)>>,
}

impl WatchList {
    /// Wakes `watch` once the high watermark has passed `offset`. `high_watermark` reads it.
    /// Returns `false`, and does not keep the watcher, when it has already.
    pub fn add(
        &self,
        offset: u64,
        watch: Arc<dyn Watch>,
        high_watermark: impl FnOnce() -> u64,
    ) -> bool {
        let mut watchers = self.watchers.lock();
        // Where nothing is ever appended nothing else would take those out.
        watchers.retain(|(_, watch)| !watch.is_abandoned());
        watchers.push((offset, watch));
        // Announced before the high watermark is read: whoever raises it after that sees us.
        self.count.store(watchers.len(), Ordering::SeqCst);
        if high_watermark() > offset {
            watchers.pop();
            self.count.store(watchers.len(), Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Wakes everyone whose offset lies below `high_watermark`, which was published before.
    pub fn advance(&self, high_watermark: u64) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut watchers = self.watchers.lock();
            let (woken, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut *watchers)
                .into_iter()
                .partition(|(offset, _)| *offset < high_watermark);
            *watchers = kept;
            self.count.store(watchers.len(), Ordering::SeqCst);
            woken
        };
        for (_, watch) in woken {
            watch.wake();
        }
    }

    /// Wakes everyone.
    pub fn close(&self) {
        self.advance(u64::MAX);
    }
}
