//! How a store, or one user's part in it, comes to its end.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::{Condvar, Mutex};

use super::{Store, side_by_side::side_by_side};
use crate::{
    error::{Code, Error, Result},
    log::waiters::Acknowledge,
    recovery::checkpoint::Checkpoint,
};

impl Store {
    /// Makes everything that was appended before the call durable. Waits for the disk.
    ///
    /// # Errors
    /// The code of a log that could not be flushed.
    pub fn flush(&self) -> Result<()> {
        let barrier = Arc::new(FlushBarrier::default());
        for topic in self.topics.read().iter().flatten() {
            for log in &*topic.logs.read() {
                let offsets = log.offsets();
                if offsets.flushed < offsets.log_end {
                    barrier.state.lock().waiting += 1;
                    log.when_flushed(offsets.log_end, Arc::clone(&barrier) as Arc<dyn Acknowledge>);
                }
            }
        }
        barrier.wait()
    }

    /// Flushes and closes everything, writes a clean checkpoint and unlocks the directory. Waits
    /// for the disk, and for whoever is changing files.
    ///
    /// # Errors
    /// The first log that could not be flushed; the checkpoint then does not say clean, and the
    /// directory is unlocked all the same.
    pub fn close(&self) -> Result<()> {
        if self.shared.is_closing.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // A checkpoint under way, which may have journal files used again, ends first: to it a log
        // that could not be flushed and is gone would be one that was deleted.
        drop(self.checkpointed.lock());
        self.upkeep.lock().close();
        let _nobody_changes_files = self.changing_files.write();
        let mut closed = self.close_logs();
        self.shared.scheduler.close();
        self.shared.work.close();
        if let Some(journal) = self.shared.scheduler.journal()
            && let Err(error) = journal.close(closed.failure.is_none())
        {
            // It holds nothing that the segments do not; but who is told that all is in order may
            // have an earlier version go on.
            closed.checkpoint.is_clean = false;
            closed.failure.get_or_insert(error);
        }
        self.store_last_checkpoint(closed.checkpoint);
        self.metadata.close();
        // Not before the last write: the next one to open the directory may be there already.
        self.directory.unlock();
        closed.failure.map_or(Ok(()), Err)
    }

    fn close_logs(&self) -> ClosedLogs {
        let mut failure = None;
        let mut checkpoint = self.checkpoint_of_others();
        let mut logs = Vec::new();
        let topics = std::mem::take(&mut *self.topics.write());
        for topic in topics.into_iter().flatten() {
            let _one_at_a_time = topic.changing.lock();
            for (partition, log) in (0..).zip(std::mem::take(&mut *topic.logs.write())) {
                logs.push(((*topic.topic_id.as_bytes(), partition), log));
            }
        }
        let closed = side_by_side(self.threads_max, &logs, |(_, log)| log.close());
        for ((key, _), closed) in logs.iter().zip(closed) {
            match closed {
                Ok(mark) => {
                    checkpoint.logs.insert(*key, mark);
                }
                Err(error) => {
                    checkpoint.is_clean = false;
                    failure.get_or_insert(error);
                }
            }
        }
        ClosedLogs { checkpoint, failure }
    }

    /// What is to be said of all logs that this run has not opened. It is clean where they are as a
    /// clean stop leaves them: there are none, or the run before this one had stopped cleanly.
    /// Whoever opens no topics, to change users or because a start failed, must not have what a
    /// crash has left believed.
    fn checkpoint_of_others(&self) -> Checkpoint {
        let mut others = self.unopened.lock().clone();
        let is_part_unsettled = self.is_part_unsettled.load(Ordering::Acquire);
        let are_all_open = self.unopened_topics.lock().is_empty();
        if are_all_open {
            others.logs.clear();
        }
        others.is_clean = !is_part_unsettled && (are_all_open || self.was_clean);
        if is_part_unsettled {
            others.leader_epoch = None;
        } else if others.is_clean {
            others.leader_epoch = Some(self.leader_epoch);
        }
        others
    }

    fn store_last_checkpoint(&self, last: Checkpoint) {
        // Held while writing, so that a checkpoint under way cannot replace the clean one.
        let mut checkpointed = self.checkpointed.lock();
        // On a full disk the one before is still good: the next start reads more, that is all.
        match last.store(&*self.shared.env.files, &self.directory.path) {
            Ok(()) => *checkpointed = last,
            Err(_) => {
                self.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct ClosedLogs {
    checkpoint: Checkpoint,
    failure: Option<Error>,
}

/// Waits for the flushes of several logs.
#[derive(Default)]
struct FlushBarrier {
    state: Mutex<BarrierState>,
    all_done: Condvar,
}

#[derive(Default)]
struct BarrierState {
    waiting: usize,
    failure: Option<Code>,
}

impl FlushBarrier {
    fn wait(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.waiting > 0 {
            self.all_done.wait(&mut state);
        }
        state.failure.map_or(Ok(()), |code| Err(Error::new(code, "not everything was flushed")))
    }
}

impl Acknowledge for FlushBarrier {
    fn done(&self, code: Code) {
        let mut state = self.state.lock();
        state.waiting -= 1;
        // What was deleted is nobody's any more.
        if !matches!(code, Code::None | Code::TopicDeleted) {
            state.failure.get_or_insert(code);
        }
        if state.waiting == 0 {
            self.all_done.notify_all();
        }
    }
}
