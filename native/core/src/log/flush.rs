//! Flushing one log: fdatasync what was written, then publish, seal and tell.

use std::sync::{Arc, atomic::Ordering};

use super::{Closing, Log, LogShared, Position, Tail, Unsynced, append::SNAPSHOT_INTERVAL_BYTES};
use crate::{
    error::{Code, Error, Result},
    flush::{
        budget::DirtyBytes,
        scheduler::{Flush, FlushState},
    },
    index::{SegmentIndex, file::Coverage},
    journal::{self, Joined},
    producer::{ProducerStates, snapshot},
    recovery::checkpoint::LogKey,
    segment::Segment,
};

/// What one flush has to sync, taken from the tail under its lock.
struct Group {
    end: Position,
    /// Held until the group is synced.
    _dirty: DirtyBytes,
    files: Vec<Unsynced>,
    is_directory_dirty: bool,
    /// Index and producers as they are at `end`, when it is time to store them.
    snapshot: Option<Snapshot>,
}

struct Snapshot {
    segment: Arc<Segment>,
    index: SegmentIndex,
    producers: ProducerStates,
}

impl Flush for Log {
    fn flush(&self) {
        // Failure poisons the log, and with it everyone who waits is told.
        drop(self.flush_now());
    }

    fn flush_state(&self) -> &FlushState {
        &self.flush_state
    }

    fn key(&self) -> LogKey {
        self.key
    }

    fn join(&self, group: &mut journal::group::Group) -> Joined {
        self.join_group(group)
    }

    fn journaled(&self, end: Position) {
        self.publish_flushed(end);
    }

    fn lost(&self, error: &Error) {
        self.fail_with(error.clone());
    }

    fn sync_to(&self, end: Position) -> bool {
        self.sync_files_to(end)
    }

    fn is_gone(&self) -> bool {
        self.ended() == Some(Code::TopicDeleted)
    }
}

/// A flush that panics leaves unknown what is durable.
struct PoisonOnPanic<'a>(&'a Log);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        let detail = format!("flushing {} panicked", self.0.label);
        self.0.fail_with(Error::new(Code::KafkaStorageError, detail));
    }
}

impl Log {
    /// Makes everything appended before the call durable, publishes it, and completes who waits.
    /// A failure poisons the log.
    ///
    /// # Errors
    /// The log's poison.
    pub(super) fn flush_now(&self) -> Result<()> {
        let _one_at_a_time = self.flush_lock.lock();
        // Poisoned before the lock is given up: the next to come would find nothing left to sync,
        // and take what this flush has lost for durable.
        let guard = PoisonOnPanic(self);
        let flushed = self.flush_group();
        if let Err(error) = &flushed {
            self.fail_with(error.clone());
        }
        std::mem::forget(guard);
        flushed
    }

    fn flush_group(&self) -> Result<()> {
        if let Some(error) = self.poison() {
            return Err(error);
        }
        if self.ended() == Some(Code::TopicDeleted) {
            return Ok(());
        }
        let mut group = self.take_group();
        for Unsynced { segment, file, closing, .. } in &mut group.files {
            if let Some(closing) = closing {
                // Trims what was allocated ahead, so that a sealed file is exactly its batches.
                closing.writer.cut(&**file, closing.end.position).map_err(|error| {
                    Error::io(format_args!("trimming {}", segment.log_path().display()), &error)
                })?;
            }
            let LogShared { syncs, env, .. } = &*self.shared;
            syncs.time(&*env.clock, || file.sync_data()).map_err(|error| {
                Error::io(format_args!("fdatasync of {}", segment.log_path().display()), &error)
            })?;
        }
        if group.is_directory_dirty {
            self.shared.env.files.sync_directory(&self.directory).map_err(|error| {
                Error::io(format_args!("fsync of {}", self.directory.display()), &error)
            })?;
        }
        self.note_synced(group.end);
        self.publish_flushed(group.end);
        // Indexes and snapshots are hints: what could not be stored is rebuilt at the next start,
        // so failing to store them (on a full disk, say) must not cost the log. It is counted.
        if self.settle(group).is_err() {
            self.shared.hint_failures.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn take_group(&self) -> Group {
        let mut tail = self.tail.lock();
        // The end is read before any fdatasync: what is appended meanwhile is not covered.
        let end = tail.end;
        self.note_flush_begun(&mut tail, end);
        let is_directory_dirty = std::mem::take(&mut tail.is_directory_dirty);
        let files = std::mem::take(&mut tail.unsynced);
        // Taken at the end that this flush makes durable: a snapshot that told of records which a
        // power cut then took would have their repetitions taken for duplicates.
        let mut snapshot = None;
        if tail.bytes_since_snapshot >= SNAPSHOT_INTERVAL_BYTES && tail.active.is_some() {
            tail.bytes_since_snapshot = 0;
            tail.forget_silent_producers(&self.config());
            snapshot = tail.active.as_ref().map(|active| Snapshot {
                segment: Arc::clone(&active.segment),
                index: active.segment.loaded_index().unwrap_or_default(),
                producers: tail.producers.clone(),
            });
        }
        Group { end, _dirty: tail.dirty.take(), files, is_directory_dirty, snapshot }
    }

    /// Has whoever waits for what lies before `end` told by the flush that takes it in now.
    pub(super) fn note_flush_begun(&self, tail: &mut Tail, end: Position) {
        tail.records_unflushed = 0;
        self.flush_begun.store(end.offset, Ordering::Release);
    }

    /// Flushes come one at a time, and each gets further.
    fn note_synced(&self, end: Position) {
        *self.synced.write() = end;
    }

    fn publish_flushed(&self, end: Position) {
        {
            let mut flushed = self.flushed.write();
            if end.offset > flushed.offset {
                *flushed = end;
            }
        }
        self.publish_visible(end);
        self.acks.complete(end.offset);
    }

    /// Seals what was rolled, and stores snapshots when enough was written since the last.
    fn settle(&self, group: Group) -> Result<()> {
        let mut settled = Ok(());
        for Unsynced { segment, closing, .. } in group.files {
            let Some(closing) = closing else { continue };
            let sealed = self.seal(&segment, &closing);
            // Without an index, too, it may be deleted: that may be what makes room for the others.
            segment.set_finished();
            if sealed.is_err() {
                self.shared.is_sealing_due.store(true, Ordering::Release);
            }
            settled = settled.and(sealed);
        }
        settled?;
        group.snapshot.map_or(Ok(()), |snapshot| {
            let Snapshot { segment, index, producers } = &snapshot;
            self.store_snapshots(segment, index, producers, group.end)
        })
    }

    fn seal(&self, segment: &Segment, closing: &Closing) -> Result<()> {
        let coverage = Coverage {
            sealed: true,
            log_bytes: closing.end.position,
            next_offset: closing.end.offset,
        };
        let index = segment.loaded_index().unwrap_or_default();
        let stored = segment.store_index(&self.shared.files, &index, coverage);
        self.shared.files.forget(segment.id);
        stored.map_err(|error| {
            Error::io(format_args!("storing the index of {}", self.label), &error)
        })?;
        let next_base = closing.end.offset;
        self.store_producers(&closing.producers, next_base, next_base)
    }

    /// Stores the active segment's index and the producers' state as they were at `end`.
    pub(super) fn store_snapshots(
        &self,
        segment: &Segment,
        index: &SegmentIndex,
        producers: &ProducerStates,
        end: Position,
    ) -> Result<()> {
        let coverage = Coverage { sealed: false, log_bytes: end.position, next_offset: end.offset };
        segment.store_index(&self.shared.files, index, coverage).map_err(|error| {
            Error::io(format_args!("storing the index of {}", self.label), &error)
        })?;
        self.store_producers(producers, end.offset, segment.base_offset)
    }

    /// Stores the producers as they were at `offset`, in the segment that begins at `base_offset`.
    fn store_producers(
        &self,
        producers: &ProducerStates,
        offset: u64,
        base_offset: u64,
    ) -> Result<()> {
        let files = &*self.shared.env.files;
        let failed = |error: std::io::Error| {
            Error::io(format_args!("storing the producers of {}", self.label), &error)
        };
        let mut older: Vec<String> = files
            .list_with_sizes_of(&self.directory, ".snapshot")
            .map_err(failed)?
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| name.ends_with(".snapshot"))
            .collect();
        let name = Segment::file_name(offset, "snapshot");
        // Stored even when no producer is known, so that recovery can tell this from a lost one.
        snapshot::store(files, &self.directory.join(&name), producers, offset).map_err(failed)?;
        // The last one stays: it is still good should the new one turn out torn. So does the last
        // one in front of the segment: without it the closed segments would all have to be read.
        older.retain(|other| *other != name);
        older.pop();
        let base_name = Segment::file_name(base_offset, "snapshot");
        if let Some(in_front) = older.iter().rposition(|other| *other <= base_name) {
            older.remove(in_front);
        }
        for name in older {
            files.remove_file(&self.directory.join(name)).map_err(failed)?;
        }
        Ok(())
    }
}
