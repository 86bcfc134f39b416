//! Flushing a log together with others, by the flush journal.
//!
//! None of this takes the log's `flush_lock`: what a journal makes durable follows on what is
//! durable already, by whichever way, so it does not matter which of two flushes ends first.

use std::{sync::Arc, time::Duration};

use super::{Log, Position, Tail, append::SNAPSHOT_INTERVAL_BYTES};
use crate::{
    env::{File, transfer::read_full},
    journal::{Joined, group::Group},
};

/// How long an append of a log that joins a group may take: many times what one takes that has a
/// processor and no disk to wait for.
const TAIL_WAIT: Duration = Duration::from_micros(500);

/// What of a log is to be journaled: what lies between two points of one segment.
struct Unflushed {
    file: Arc<dyn File>,
    from: Position,
    to: Position,
}

impl Log {
    /// Puts what is not durable yet into a group, where that may be done.
    pub(super) fn join_group(&self, group: &mut Group) -> Joined {
        let Unflushed { file, from, to } = match self.take_unflushed(group) {
            Ok(unflushed) => unflushed,
            Err(joined) => return joined,
        };
        // As the file has it: a write-back that failed meanwhile may have given up what was
        // written, and then the log's own flush finds out.
        let read = |place: &mut [u8]| {
            read_full(&*file, place, from.position).is_ok_and(|read| read == place.len())
        };
        if group.add(self.key, from, to, read) { Joined::UpTo(to) } else { Joined::Alone }
    }

    fn take_unflushed(&self, group: &Group) -> Result<Unflushed, Joined> {
        let whole_from = self.compaction.lock().whole_from();
        // All others of the group would wait for one whose append waits for the disk.
        let mut tail = self.tail.try_lock_for(TAIL_WAIT).ok_or(Joined::Alone)?;
        if self.check_usable().is_err() {
            return Err(Joined::Alone);
        }
        let (from, to) = (*self.flushed.read(), tail.end);
        if from.offset >= to.offset && !tail.is_directory_dirty {
            tail.records_unflushed = 0;
            return Err(Joined::Nothing);
        }
        let bytes = to
            .position
            .checked_sub(from.position)
            .filter(|_| self.may_join(&tail, from, whole_from));
        let Some(bytes) = bytes.filter(|bytes| (1..=group.log_bytes_max()).contains(bytes)) else {
            return Err(Joined::Alone);
        };
        if !usize::try_from(bytes).is_ok_and(|bytes| group.has_room(bytes)) {
            return Err(Joined::Later);
        }
        // The end is read before anything is synced: what is appended meanwhile is not covered.
        let file = self.file_to_join(&tail).ok_or(Joined::Alone)?;
        self.note_flush_begun(&mut tail, to);
        Ok(Unflushed { file, from, to })
    }

    /// Whether nothing but batches of one segment is to be made durable. The name of the segment
    /// has to be durable, which it is once anything in it was synced: a replay creates no files.
    /// And nothing may be known of holes in it: where there are any, a replay could not tell
    /// whether it was compacted since.
    fn may_join(&self, tail: &Tail, from: Position, whole_from: u64) -> bool {
        let synced = *self.synced.read();
        let is_in_one_segment = from.segment_base == tail.end.segment_base
            && synced.segment_base == tail.end.segment_base
            && synced.position > 0;
        let is_whole = tail.end.segment_base >= whole_from;
        is_in_one_segment
            && is_whole
            && !tail.is_directory_dirty
            && tail.unsynced.iter().all(|unsynced| unsynced.closing.is_none())
            && tail.bytes_since_snapshot < SNAPSHOT_INTERVAL_BYTES
    }

    fn file_to_join(&self, tail: &Tail) -> Option<Arc<dyn File>> {
        let active = tail.active.as_ref()?;
        match tail.unsynced.last() {
            Some(unsynced) if unsynced.segment.id == active.segment.id => {
                Some(Arc::clone(&unsynced.file))
            }
            _ => active.segment.file(&self.shared.files).ok(),
        }
    }

    /// Syncs the log's files unless they are as far as `end`; whether they were not.
    pub(super) fn sync_files_to(&self, end: Position) -> bool {
        let place = |position: Position| (position.segment_base, position.position);
        let is_behind = place(*self.synced.read()) < place(end);
        if is_behind {
            // Failure poisons the log.
            drop(self.flush_now());
        }
        is_behind
    }
}
