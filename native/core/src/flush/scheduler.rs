//! The only caller of fdatasync: group commit over a pool of threads.
//!
//! A log that was written says [`dirty`](FlushScheduler::dirty). Each dirty log is flushed by one
//! thread at a time; whatever is appended meanwhile is covered by its next flush, so a group forms
//! by itself as large as the disk is slow. How logs are flushed can change here (a journal shared
//! by many logs, say) without their noticing.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::work::{Work, WorkPool};
use crate::env::Clock;

/// Something that can be made durable.
pub trait Flush: Send + Sync {
    /// Makes everything written before the call durable and tells everyone who waits for it.
    /// Reports failure to those itself.
    fn flush(&self);
    /// Where the scheduler keeps what it knows of this log.
    fn flush_state(&self) -> &FlushState;
}

/// What the scheduler knows of one log.
#[derive(Debug, Default)]
pub struct FlushState(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RUNNING_DIRTY: u8 = 3;

/// Decides when which log is flushed.
pub struct FlushScheduler {
    pool: WorkPool,
    clock: Arc<dyn Clock>,
    timers: Mutex<Timers>,
    timer_wake: Condvar,
    timer_thread: Mutex<Option<JoinHandle<()>>>,
    has_threads: bool,
}

/// How long the timers' thread waits at least and at most.
const WAIT_NS_MIN: u64 = 100_000;
const WAIT_NS_MAX: u64 = 1_000_000_000;

#[derive(Default)]
struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    sequence: u64,
    is_closed: bool,
}

struct Timer {
    due_ns: u64,
    sequence: u64,
    what: Work,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.sequence).cmp(&(other.due_ns, other.sequence))
    }
}

impl FlushScheduler {
    /// A scheduler of up to `threads_max` flushing threads. With 0 nothing happens but in
    /// [`drive`](Self::drive), for simulations.
    pub fn new(threads_max: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            pool: WorkPool::new("millrace-flush", threads_max),
            clock,
            timers: Mutex::default(),
            timer_wake: Condvar::new(),
            timer_thread: Mutex::new(None),
            has_threads: threads_max > 0,
        })
    }

    /// Has `log` flushed as soon as a thread is free. Calls while it waits cost one atomic
    /// operation; a call while it is being flushed has it flushed once more.
    pub fn dirty(self: &Arc<Self>, log: Arc<dyn Flush>) {
        let change = |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(RUNNING_DIRTY),
            _ => None,
        };
        let before = log.flush_state().0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        if before == Ok(IDLE) {
            self.queue(log);
        }
    }

    fn queue(self: &Arc<Self>, log: Arc<dyn Flush>) {
        let scheduler = Arc::clone(self);
        self.pool.spawn(Box::new(move || {
            log.flush_state().0.store(RUNNING, Ordering::Release);
            log.flush();
            let state = &log.flush_state().0;
            if state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
                state.store(QUEUED, Ordering::Release);
                scheduler.queue(log);
            }
        }));
    }

    /// Calls `what` on the timer's thread after `delay_ms`. It must not wait for anything.
    pub fn after(self: &Arc<Self>, delay_ms: u64, what: Work) {
        let due_ns = self.clock.monotonic_ns().saturating_add(delay_ms.saturating_mul(1_000_000));
        let mut timers = self.timers.lock();
        if timers.is_closed {
            return;
        }
        let sequence = timers.sequence;
        timers.sequence += 1;
        timers.heap.push(Reverse(Timer { due_ns, sequence, what }));
        drop(timers);
        if self.has_threads {
            self.ensure_timer_thread();
        }
        self.timer_wake.notify_one();
    }

    fn ensure_timer_thread(self: &Arc<Self>) {
        let mut thread = self.timer_thread.lock();
        if thread.is_some() {
            return;
        }
        let scheduler = Arc::downgrade(self);
        let spawned = Builder::new()
            .name("millrace-timer".to_owned())
            .stack_size(256 << 10)
            .spawn(move || run_timers(&scheduler));
        // Tried again with the next timer.
        *thread = spawned.ok();
    }

    /// Does everything that is due now, on the caller's thread, for simulations.
    pub fn drive(&self) {
        let now_ns = self.clock.monotonic_ns();
        let due = self.timers.lock().take_due(now_ns);
        for what in due {
            what();
        }
        self.pool.drive();
    }

    /// Does all queued flushes, then ends the threads. Timers are dropped.
    pub fn close(&self) {
        let dropped = {
            let mut timers = self.timers.lock();
            timers.is_closed = true;
            std::mem::take(&mut timers.heap)
        };
        drop(dropped);
        self.timer_wake.notify_all();
        let thread = self.timer_thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            drop(thread.join());
        }
        self.pool.close();
    }
}

impl Timers {
    /// Takes the timers that are due; none once it is closed.
    fn take_due(&mut self, now_ns: u64) -> Vec<Work> {
        let mut due = Vec::new();
        while self.heap.peek().is_some_and(|Reverse(timer)| timer.due_ns <= now_ns)
            && let Some(Reverse(timer)) = self.heap.pop()
        {
            due.push(timer.what);
        }
        due
    }

    /// How long to wait for the next. Not longer than a second: nothing wakes who waits when its
    /// scheduler is dropped.
    fn wait(&self, now_ns: u64) -> Duration {
        let wait_ns = self.heap.peek().map_or(WAIT_NS_MAX, |Reverse(timer)| timer.due_ns - now_ns);
        Duration::from_nanos(wait_ns.clamp(WAIT_NS_MIN, WAIT_NS_MAX))
    }
}

fn run_timers(scheduler: &Weak<FlushScheduler>) {
    while let Some(scheduler) = scheduler.upgrade() {
        let mut timers = scheduler.timers.lock();
        if timers.is_closed {
            return;
        }
        let now_ns = scheduler.clock.monotonic_ns();
        let due = timers.take_due(now_ns);
        if due.is_empty() {
            // The lock is held from the look on: a timer that comes meanwhile finds who to wake.
            let wait = timers.wait(now_ns);
            let _is_timed_out = scheduler.timer_wake.wait_for(&mut timers, wait).timed_out();
            continue;
        }
        drop(timers);
        for what in due {
            what();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::env::Env;

    #[test]
    fn a_timer_that_is_set_while_others_are_worked_off_is_not_late() {
        let scheduler = FlushScheduler::new(1, Env::memory(None).clock);
        let (tell, told) = mpsc::channel();
        let again = Arc::clone(&scheduler);
        let first = move || again.after(1, Box::new(move || tell.send(()).unwrap()));
        scheduler.after(0, Box::new(first));
        // Without that nobody would look before a second is over.
        told.recv_timeout(Duration::from_millis(900)).unwrap();
        scheduler.close();
    }
}
