//! Logs that wait for a flush.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::scheduler::Flush;

/// Logs in the order in which they came. While groups are being made only those who make them take
/// any.
#[derive(Default)]
pub(super) struct FlushQueue {
    /// How many there are, to be looked at without the lock.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<dyn Flush>>,
    is_grouping: bool,
    /// Logs for which nobody came, or left without, since groups were being made.
    sent_away: usize,
}

impl FlushQueue {
    /// Adds a log behind all others; whether somebody has to come for it. Nobody has to while
    /// groups are being made: to wake a thread for each log costs more than the groups.
    #[must_use]
    pub(super) fn push(&self, log: Arc<dyn Flush>) -> bool {
        let mut state = self.state.lock();
        state.waiting.push_back(log);
        self.note(&state);
        state.sent_away += usize::from(state.is_grouping);
        !state.is_grouping
    }

    fn note(&self, state: &State) {
        self.count.store(state.waiting.len(), Ordering::Relaxed);
    }

    /// About how many wait.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The one that has waited longest, unless groups are being made.
    pub(super) fn pop(&self) -> Option<Arc<dyn Flush>> {
        let mut state = self.state.lock();
        if state.is_grouping {
            state.sent_away += 1;
            return None;
        }
        let log = state.waiting.pop_front();
        self.note(&state);
        log
    }

    /// Begins to make groups, where at least `logs_min` wait and nobody makes any.
    pub(super) fn begin_groups(&self, logs_min: usize) -> bool {
        let mut state = self.state.lock();
        let may_begin = !state.is_grouping && state.waiting.len() >= logs_min;
        state.is_grouping |= may_begin;
        may_begin
    }

    /// Takes those that have waited longest, for a group.
    pub(super) fn take(&self, count_max: usize) -> Vec<Arc<dyn Flush>> {
        let mut state = self.state.lock();
        let count = state.waiting.len().min(count_max);
        let logs = state.waiting.drain(..count).collect();
        self.note(&state);
        logs
    }

    /// Puts those back in front for which a group had no room.
    pub(super) fn put_back(&self, logs: Vec<Arc<dyn Flush>>) {
        let mut state = self.state.lock();
        for log in logs.into_iter().rev() {
            state.waiting.push_front(log);
        }
        self.note(&state);
    }

    /// Ends to make groups. Returns for how many that wait nobody comes any more.
    pub(super) fn end_groups(&self) -> usize {
        let mut state = self.state.lock();
        state.is_grouping = false;
        std::mem::take(&mut state.sent_away).min(state.waiting.len())
    }
}
