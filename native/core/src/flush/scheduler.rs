//! The only caller of fdatasync: group commit over a pool of threads.
//!
//! A log that was written says [`dirty`](FlushScheduler::dirty). Each dirty log is flushed by one
//! thread at a time; whatever is appended meanwhile is covered by its next flush, so a group forms
//! by itself as large as the disk is slow. Where many logs wait, one thread flushes them together
//! by the [flush journal](crate::journal), and meanwhile those that come wait for its next group.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{
    queue::FlushQueue,
    work::{Work, WorkPool},
};
use crate::{
    env::Clock,
    error::{Code, Error},
    journal::{FlushJournal, Joined, group::Group},
    log::Position,
    recovery::checkpoint::LogKey,
};

/// Logs that one group takes at most: what a thread does before it looks who else waits.
const GROUP_LOGS_MAX: usize = 4096;
/// Logs behind a journal that are synced at a time: their acks are not waited for.
const BEHIND_THREADS: usize = 2;
/// While fewer than this wait, groups are over: one log is as well off with its own file.
const GROUP_GOES_ON_MIN: usize = 2;

/// Something that can be made durable.
pub trait Flush: Send + Sync {
    /// Makes everything written before the call durable and tells everyone who waits for it.
    /// Reports failure to those itself.
    fn flush(&self);
    /// Where the scheduler keeps what it knows of this log.
    fn flush_state(&self) -> &FlushState;
    /// What a journal knows the log by.
    fn key(&self) -> LogKey;
    /// Puts into a group what a flush would make durable, if that may be done so.
    fn join(&self, group: &mut Group) -> Joined;
    /// A journal has made it durable up to `end`: tells everyone who waits for that.
    fn journaled(&self, end: Position);
    /// What is durable of it is not known any more: fails everyone who waits.
    fn lost(&self, error: &Error);
    /// Makes durable in its own files at least what lies before `end`; whether that was left to do.
    fn sync_to(&self, end: Position) -> bool;
    /// Whether it was deleted: nobody needs what was in it.
    fn is_gone(&self) -> bool;
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
    queue: FlushQueue,
    journal: Option<Arc<FlushJournal>>,
    /// Threads that sync what lies behind the journal.
    behind_threads: AtomicUsize,
    /// Called when all of that is synced.
    when_synced: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    is_closing: AtomicBool,
    clock: Arc<dyn Clock>,
    timers: Mutex<Timers>,
    timer_wake: Condvar,
    timer_thread: Mutex<Option<JoinHandle<()>>>,
    has_threads: bool,
    has_many_threads: bool,
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
    pub fn new(
        threads_max: usize,
        clock: Arc<dyn Clock>,
        journal: Option<Arc<FlushJournal>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pool: WorkPool::new("millrace-flush", threads_max),
            queue: FlushQueue::default(),
            journal,
            behind_threads: AtomicUsize::new(0),
            when_synced: Mutex::new(None),
            is_closing: AtomicBool::new(false),
            clock,
            timers: Mutex::default(),
            timer_wake: Condvar::new(),
            timer_thread: Mutex::new(None),
            has_threads: threads_max > 0,
            has_many_threads: threads_max > 1,
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
        if self.queue.push(log) {
            self.spawn_next();
        }
    }

    fn spawn_next(self: &Arc<Self>) {
        let scheduler = Arc::clone(self);
        self.pool.spawn(Box::new(move || scheduler.flush_next()));
    }

    /// Flushes the log that has waited longest, or many at once, or none: each call is for one that
    /// was queued, and a group takes them all.
    fn flush_next(self: &Arc<Self>) {
        if let Some(journal) = &self.journal
            && !self.is_closing.load(Ordering::Acquire)
            && journal.is_ready_or_asked(self.queue.count())
            && self.flush_groups(journal)
        {
            return;
        }
        if let Some(log) = self.queue.pop() {
            self.begin(&log);
            self.flush_alone(&log);
        }
    }

    fn begin(&self, log: &Arc<dyn Flush>) {
        log.flush_state().0.store(RUNNING, Ordering::Release);
    }

    fn flush_alone(self: &Arc<Self>, log: &Arc<dyn Flush>) {
        log.flush();
        self.end(log);
    }

    fn end(self: &Arc<Self>, log: &Arc<dyn Flush>) {
        let state = &log.flush_state().0;
        if state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
            state.store(QUEUED, Ordering::Release);
            self.queue(Arc::clone(log));
        }
    }

    fn spawn_alone(self: &Arc<Self>, log: Arc<dyn Flush>) {
        let scheduler = Arc::clone(self);
        self.pool.spawn(Box::new(move || scheduler.flush_alone(&log)));
    }

    /// Flushes by the journal as long as others wait; whether any were.
    fn flush_groups(self: &Arc<Self>, journal: &Arc<FlushJournal>) -> bool {
        if !self.queue.begin_groups(journal.options().logs_min) {
            return false;
        }
        let groups = Groups(self);
        let mut is_any_flushed = false;
        while let Some(mut turn) = journal.turn() {
            is_any_flushed = true;
            let logs = self.queue.take(GROUP_LOGS_MAX);
            let mut taken = Taken(logs.clone());
            logs.iter().for_each(|log| self.begin(log));
            let sorted = turn.join(logs);
            for log in &sorted.later {
                log.flush_state().0.store(QUEUED, Ordering::Release);
            }
            self.queue.put_back(sorted.later);
            // They need not wait for the journal.
            sorted.alone.into_iter().for_each(|log| self.spawn_alone(log));
            let committed = turn.commit();
            taken.0.clear();
            committed.alone.into_iter().for_each(|log| self.spawn_alone(log));
            sorted.done.iter().chain(&committed.done).for_each(|log| self.end(log));
            self.sync_behind();
            let goes_on =
                self.queue.count() >= GROUP_GOES_ON_MIN && !self.is_closing.load(Ordering::Acquire);
            // A single thread has the others to flush that go their own way.
            if !goes_on || !self.has_many_threads {
                break;
            }
        }
        drop(groups);
        self.sync_behind();
        journal.ask_if_needed();
        is_any_flushed
    }

    /// Has a few threads sync what the journal wants to have synced.
    pub fn sync_behind(self: &Arc<Self>) {
        let Some(journal) = &self.journal else { return };
        while !self.is_closing.load(Ordering::Acquire)
            && journal.has_behind()
            && self
                .behind_threads
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |threads| {
                    (threads < BEHIND_THREADS).then_some(threads + 1)
                })
                .is_ok()
        {
            self.spawn_behind();
        }
    }

    fn spawn_behind(self: &Arc<Self>) {
        let scheduler = Arc::clone(self);
        // One a turn, behind the flushes that wait.
        self.pool.spawn(Box::new(move || scheduler.sync_next_behind()));
    }

    fn sync_next_behind(self: &Arc<Self>) {
        let Some(journal) = &self.journal else { return };
        while !self.is_closing.load(Ordering::Acquire)
            && let Some((log, end)) = journal.next_behind()
        {
            // Those that are busy may have been synced meanwhile.
            if log.upgrade().is_some_and(|log| log.sync_to(end)) {
                return self.spawn_behind();
            }
        }
        let is_last = self.behind_threads.fetch_sub(1, Ordering::AcqRel) == 1;
        if self.is_closing.load(Ordering::Acquire) {
            return;
        }
        if is_last && let Some(told) = &*self.when_synced.lock() {
            told();
        }
        // Who wanted more meanwhile may have found enough threads at it.
        self.sync_behind();
    }

    /// Has `told` called whenever what was to be synced behind the journal is. It must not wait for
    /// anything.
    pub fn when_synced(&self, told: impl Fn() + Send + Sync + 'static) {
        *self.when_synced.lock() = Some(Box::new(told));
    }

    /// The journal, where there is one.
    pub fn journal(&self) -> Option<&Arc<FlushJournal>> {
        self.journal.as_ref()
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

    /// Timers that have not come yet.
    #[cfg(test)]
    pub(crate) fn timer_count(&self) -> usize {
        self.timers.lock().heap.len()
    }

    /// Has the timers' thread look at the clock: it may have been advanced.
    pub fn look_at_timers(&self) {
        // Who looks at the clock has the lock until it waits.
        drop(self.timers.lock());
        self.timer_wake.notify_all();
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
        self.is_closing.store(true, Ordering::Release);
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

/// Groups are being made; those who come wait for the next. However that ends, who is left over is
/// flushed.
struct Groups<'a>(&'a Arc<FlushScheduler>);

impl Drop for Groups<'_> {
    fn drop(&mut self) {
        for _ in 0..self.0.queue.end_groups() {
            self.0.spawn_next();
        }
    }
}

/// Logs that a group was to flush. Where that panics it is not known what of them is durable.
struct Taken(Vec<Arc<dyn Flush>>);

impl Drop for Taken {
    fn drop(&mut self) {
        for log in &self.0 {
            log.lost(&Error::new(Code::KafkaStorageError, "a group of flushes panicked"));
        }
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

    /// Sets a timer that sets the next when it comes, so many times, and tells when all have come.
    fn chain(scheduler: &Arc<FlushScheduler>, left: u32, tell: mpsc::Sender<()>) {
        let again = Arc::clone(scheduler);
        let next = move || {
            if left == 0 { tell.send(()).unwrap() } else { chain(&again, left - 1, tell) }
        };
        scheduler.after(1, Box::new(next));
    }

    #[test]
    fn a_timer_that_is_set_while_others_are_worked_off_is_not_late() {
        let scheduler = FlushScheduler::new(1, Env::memory(None).clock, None);
        let (tell, told) = mpsc::channel();
        chain(&scheduler, 120, tell);
        // A minute, for a busy machine: each of them late would be a second late, which is two.
        told.recv_timeout(Duration::from_secs(60)).unwrap();
        scheduler.close();
    }
}
