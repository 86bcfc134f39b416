//! How a log ends: closed with everything durable, or deleted.

use std::sync::{Arc, atomic::Ordering};

use super::{Log, Position, Vouched, append::Way};
use crate::{
    error::{Code, Error, Result},
    recovery::checkpoint::{ClosedSegments, LogMark},
    segment::writer::PwriteWriter,
};

const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const DELETED: u8 = 2;

impl Log {
    /// Why the log takes no more requests, if it has ended.
    pub(super) fn ended(&self) -> Option<Code> {
        match self.lifecycle.load(Ordering::SeqCst) {
            OPEN => None,
            DELETED => Some(Code::TopicDeleted),
            _ => Some(Code::ShuttingDown),
        }
    }

    /// Whether the log was closed or deleted.
    pub fn has_ended(&self) -> bool {
        self.ended().is_some()
    }

    /// Refuses further requests, makes everything durable and stores what a quick start needs.
    /// Returns what the checkpoint is to say. Waits for the disk.
    ///
    /// # Errors
    /// The log's poison, or why it could not be flushed.
    pub fn close(&self) -> Result<LogMark> {
        self.remember_waiting_damage();
        // Whoever changes files is done first, and nobody begins to.
        let _upkeep = self.upkeep.lock();
        self.lifecycle
            .compare_exchange(OPEN, CLOSED, Ordering::SeqCst, Ordering::SeqCst)
            .map_err(|_| Error::new(Code::TopicDeleted, self.label.clone()))?;
        let result = self.flush_now().and_then(|()| self.settle_down());
        if let Err(error) = &result {
            self.poison_with(error.clone());
        }
        self.acks.fail(Code::ShuttingDown);
        self.watchers.close();
        result.map(|end| self.mark_at(end))
    }

    /// Trims what was allocated ahead and stores index and producers for the next start.
    fn settle_down(&self) -> Result<Position> {
        let _one_at_a_time = self.flush_lock.lock();
        let mut tail = self.tail.lock();
        let end = tail.end;
        let producers = std::mem::take(&mut tail.producers);
        let Some(mut active) = tail.active.take() else {
            return Ok(end);
        };
        if active.way.allocates_ahead() {
            let failed =
                |error: std::io::Error| Error::io(format_args!("trimming {}", self.label), &error);
            let file = active.segment.file(&self.shared.files).map_err(failed)?;
            active.writer.cut(&*file, end.position).map_err(failed)?;
            file.sync_data().map_err(failed)?;
        }
        // What was counted since is in memory only.
        if tail.stored_offset == Some(end.offset) && !active.segment.is_age_counted() {
            self.forget_caches();
            return Ok(end);
        }
        let index = active.segment.loaded_index().unwrap_or_default();
        // A hint, like every index: what cannot be stored is found out again at the next start.
        if self.store_snapshots(&active.segment, &index, &producers, end).is_err() {
            self.shared.hint_failures.fetch_add(1, Ordering::Relaxed);
        }
        self.forget_caches();
        Ok(end)
    }

    /// Gives back what is allocated ahead of the tail; appends go on without it. Waits for the
    /// disk.
    ///
    /// # Errors
    /// Why the file could not be cut; then the log is as it was.
    pub fn give_back_allocation(&self) -> Result<()> {
        let mut tail = self.tail.lock();
        let position = tail.end.position;
        let Some(active) = tail.active.as_mut().filter(|active| active.way.allocates_ahead())
        else {
            return Ok(());
        };
        let failed =
            |error: std::io::Error| Error::io(format_args!("trimming {}", self.label), &error);
        let file = active.segment.file(&self.shared.files).map_err(failed)?;
        active.writer.cut(&*file, position).map_err(failed)?;
        active.writer = Box::new(PwriteWriter::new(Arc::clone(&self.shared.work), position));
        active.way = Way::Pwrite;
        Ok(())
    }

    /// Ends the log for good: who waits is told, nothing is written any more, and memory and
    /// descriptors are given up as soon as no view is left. The files are the caller's to remove.
    pub fn delete(&self) {
        self.lifecycle.store(DELETED, Ordering::SeqCst);
        self.acks.fail(Code::TopicDeleted);
        self.watchers.close();
        // Waits for what is under way: afterwards nothing touches the files.
        let _upkeep = self.upkeep.lock();
        let _one_at_a_time = self.flush_lock.lock();
        let mut tail = self.tail.lock();
        tail.active = None;
        tail.unsynced.clear();
        drop(tail.dirty.take());
        drop(tail);
        self.forget_caches();
    }

    fn forget_caches(&self) {
        for segment in &*self.segments.read() {
            self.shared.files.forget(segment.id);
            self.shared.windows.forget(segment.id);
        }
    }

    /// How far everything is durable in the log's own files, for the checkpoint. `None` once the
    /// log has ended or failed.
    pub fn checkpoint_mark(&self) -> Option<LogMark> {
        let is_usable = self.ended().is_none() && self.poison().is_none();
        is_usable.then(|| self.mark_at(*self.synced.read()))
    }

    /// What a checkpoint may say of a log that is flushed up to `flushed`: closed segments are
    /// vouched for only if each of them is known to be synced and trimmed.
    fn mark_at(&self, flushed: Position) -> LogMark {
        let segment_base = flushed.segment_base;
        let mut vouched = self.vouched.lock();
        if let Some(known) = vouched.as_ref().filter(|known| known.segment_base == segment_base) {
            return LogMark { flushed, closed: known.closed };
        }
        let segments = self.segments.read();
        let closed = segments.iter().take_while(|segment| segment.base_offset < segment_base);
        if !closed.clone().all(|segment| segment.is_sealed()) {
            return LogMark { flushed, closed: ClosedSegments::default() };
        }
        let places = closed.map(|segment| (segment.base_offset, segment.end_position()));
        let closed = ClosedSegments::new(places);
        *vouched = Some(Vouched { segment_base, closed });
        LogMark { flushed, closed }
    }
}
