//! The two files of a flush journal: made, written, emptied, and who has entries in them.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    path::Path,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{
    Behind, FILE_NAMES, GROUPS_AT, Use,
    group::{BLOCK_BYTES, GroupName},
    header,
};
use crate::{
    env::{File, FileSystem, OpenMode, transfer::write_full},
    flush::scheduler::Flush,
    log::Position,
    recovery::checkpoint::{Checkpoint, LogKey},
};

/// Zeros that are written at once.
const STEP_BYTES: u64 = 1 << 20;
/// Zeros that are synced at once: others wait for the same disk.
const SYNC_STEPS: u64 = 4;

/// A file that groups are written to.
pub(super) struct JournalFile {
    file: Arc<dyn File>,
    bytes: u64,
    this: Use,
    sequence: u64,
    position: u64,
}

impl JournalFile {
    /// The same file for a new use: what is in it counts no longer. Waits for the disk.
    pub(super) fn renewed(self, this: Use) -> io::Result<Self> {
        let Self { file, bytes, .. } = self;
        write_full(&*file, &[&header(this)], 0)?;
        file.sync_data()?;
        Ok(Self { file, bytes, this, sequence: 0, position: GROUPS_AT })
    }

    fn room(&self) -> u64 {
        self.bytes - self.position
    }
}

/// The last entry of a log in a file.
pub(super) struct Member {
    log: Weak<dyn Flush>,
    end: Position,
}

impl Member {
    /// Whether the log was synced past its entries, as a durable checkpoint says, or is deleted.
    fn is_synced(&self, key: &LogKey, checkpoint: &Checkpoint) -> bool {
        let place = |position: Position| (position.segment_base, position.position);
        let mark = checkpoint.logs.get(key);
        mark.is_some_and(|mark| place(mark.flushed) >= place(self.end))
            || self.log.upgrade().is_none_or(|log| log.is_gone())
    }
}

/// In their order, so that the same happens in every run of a simulation.
type Members = BTreeMap<LogKey, Member>;

/// What one of the files is there for.
#[derive(Default)]
pub(super) enum SlotState {
    /// There is no file.
    #[default]
    Missing,
    /// Another thread makes or empties it.
    Busy,
    /// It holds nothing that counts.
    Ready(JournalFile),
    /// Groups are written to it.
    InUse(JournalFile, Members),
    /// What it holds is being synced to the segments.
    Draining(JournalFile, Members),
    /// A write or a sync has failed: never to be used again.
    Failed,
}

/// Why a group was not made durable.
pub(super) enum Failure {
    /// It may not even have been written.
    Write,
    /// It was written; what of it is durable is not known.
    Sync(io::Error),
}

/// Who holds it writes groups, or changes what the files are there for.
#[derive(Default)]
pub(super) struct Writer {
    slots: [SlotState; FILE_NAMES.len()],
    next_number: u64,
    is_closed: bool,
    /// Memory for a group.
    pub(super) buffer: Vec<u8>,
    /// Logs that are to be synced, the first first. With a lock of its own: a writer's is held for
    /// as long as a group is written and synced.
    pub(super) behind: Arc<Mutex<VecDeque<Behind>>>,
    /// When the last group was written.
    pub(super) written_ns: u64,
    /// When the first was of those that are not drained.
    pub(super) used_since_ns: Option<u64>,
}

impl Writer {
    /// A file that is to be made: which, and the number of its first use.
    pub(super) fn begin_making(&mut self) -> Option<(usize, u64)> {
        if self.is_closed {
            return None;
        }
        let slot = self.slots.iter().position(|slot| matches!(slot, SlotState::Missing))?;
        self.settle(slot, SlotState::Busy);
        Some((slot, self.take_number()))
    }

    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Ends what [`begin_making`](Self::begin_making) or
    /// [`begin_emptying`](Self::begin_emptying) began.
    pub(super) fn settle(&mut self, slot: usize, state: SlotState) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = state;
        }
    }

    /// Whether a file is missing that is going to be needed.
    pub(super) fn lacks_file(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, SlotState::Missing))
            && !self.slots.iter().any(|slot| matches!(slot, SlotState::Ready(_)))
    }

    /// A file with room: which, what the next group is called, and the room. One with less than
    /// that share of it left gives way to the other.
    pub(super) fn with_room(&mut self, room_share: u64) -> Option<(usize, GroupName, u64)> {
        let is_full = |slot: &SlotState| {
            matches!(slot, SlotState::InUse(file, _)
            if file.room() < (file.bytes / room_share).max(BLOCK_BYTES))
        };
        if self.slots.iter().any(is_full) {
            self.drain();
        }
        let of_use = |slot: &SlotState| match slot {
            SlotState::InUse(..) => Some(0),
            SlotState::Ready(file) => Some(file.this.number),
            _ => None,
        };
        let numbers = self.slots.iter().map(of_use).enumerate();
        let (_, slot) = numbers.filter_map(|(slot, number)| Some((number?, slot))).min()?;
        if let Some(SlotState::Ready(file)) =
            self.take_if(slot, |state| matches!(state, SlotState::Ready(_)))
        {
            self.settle(slot, SlotState::InUse(file, Members::new()));
        }
        let Some(SlotState::InUse(file, _)) = self.slots.get(slot) else {
            return None;
        };
        let name = GroupName { nonce: file.this.nonce, sequence: file.sequence };
        Some((slot, name, file.room()))
    }

    fn take_if(&mut self, slot: usize, is_it: impl Fn(&SlotState) -> bool) -> Option<SlotState> {
        let state = self.slots.get_mut(slot).filter(|state| is_it(state))?;
        Some(std::mem::replace(state, SlotState::Busy))
    }

    /// Writes a group behind those of the file, and syncs it.
    pub(super) fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), Failure> {
        let Some(SlotState::InUse(journal, _)) = self.slots.get_mut(slot) else {
            return Err(Failure::Write);
        };
        write_full(&*journal.file, &[bytes], journal.position).map_err(|_| Failure::Write)?;
        journal.file.sync_data().map_err(Failure::Sync)?;
        journal.position += bytes.len() as u64;
        journal.sequence += 1;
        Ok(())
    }

    /// Notes how far logs have entries in a file.
    pub(super) fn note_members(&mut self, slot: usize, joined: &[(Arc<dyn Flush>, Position)]) {
        if let Some(SlotState::InUse(_, members)) = self.slots.get_mut(slot) {
            for (log, end) in joined {
                let member = Member { log: Arc::downgrade(log), end: *end };
                members.insert(log.key(), member);
            }
        }
    }

    /// Gives the file up for good. What it holds is synced to the segments all the same.
    pub(super) fn fail(&mut self, slot: usize) {
        self.used_since_ns = None;
        if let Some(SlotState::InUse(journal, members)) = self.take_if(slot, |_| true) {
            // Nobody was told of the group that failed, and where the disk does not read it a start
            // would stop there. Where that fails too it is as it was.
            drop(journal.file.truncate(journal.position));
            self.behind.lock().extend(members.into_values().map(|member| (member.log, member.end)));
        }
        self.settle(slot, SlotState::Failed);
    }

    /// Ends the use of the file that is in use, if anything was written to it, and has its logs
    /// synced; whether there was one.
    pub(super) fn drain(&mut self) -> bool {
        self.used_since_ns = None;
        let mut is_any = false;
        for slot in 0..self.slots.len() {
            let is_used = |state: &SlotState| match state {
                SlotState::InUse(_, members) => !members.is_empty(),
                _ => false,
            };
            if let Some(SlotState::InUse(file, members)) = self.take_if(slot, is_used) {
                let behind = members.values();
                let behind = behind.map(|member| (Weak::clone(&member.log), member.end));
                self.behind.lock().extend(behind);
                self.settle(slot, SlotState::Draining(file, members));
                is_any = true;
            }
        }
        is_any
    }

    /// A file that holds nothing any more that the segments do not hold durably, and the number of
    /// its next use.
    pub(super) fn begin_emptying(
        &mut self,
        slot: usize,
        checkpoint: &Checkpoint,
    ) -> Option<(JournalFile, u64)> {
        let is_synced = |state: &SlotState| match state {
            SlotState::Draining(_, members) => {
                members.iter().all(|(key, member)| member.is_synced(key, checkpoint))
            }
            _ => false,
        };
        match self.take_if(slot, is_synced)? {
            SlotState::Draining(file, _) => Some((file, self.take_number())),
            _ => None,
        }
    }

    /// Ends all use; whether there may be files.
    pub(super) fn close(&mut self) -> bool {
        self.is_closed = true;
        self.behind.lock().clear();
        let has_files = self.next_number > 0;
        self.slots = Default::default();
        has_files
    }
}

/// Makes a file of `bytes`, all of whose blocks are written, so that a sync of groups has no
/// metadata to store. Waits for the disk.
pub(super) fn make(
    files: &dyn FileSystem,
    data_directory: &Path,
    path: &Path,
    bytes: u64,
    this: Use,
) -> io::Result<JournalFile> {
    let directory = path.parent().unwrap_or(path);
    files.create_directory(directory)?;
    files.sync_directory(data_directory)?;
    let file = files.open(path, OpenMode::OpenOrCreate)?;
    let filled = fill(&*file, bytes).and_then(|()| files.sync_directory(directory));
    if let Err(error) = filled {
        // Half a file is of no use, and its blocks may be to others. Where it cannot be removed it
        // holds nothing, and is made anew later on.
        drop(files.remove_file(path));
        return Err(error);
    }
    JournalFile { file, bytes, this, sequence: 0, position: GROUPS_AT }.renewed(this)
}

fn fill(file: &dyn File, bytes: u64) -> io::Result<()> {
    file.truncate(0)?;
    file.allocate(0, bytes, true)?;
    let zeros = vec![0; usize::try_from(bytes.min(STEP_BYTES)).map_err(io::Error::other)?];
    let mut position = 0;
    let mut steps = 0;
    while position < bytes {
        let count =
            usize::try_from((bytes - position).min(STEP_BYTES)).map_err(io::Error::other)?;
        write_full(file, &[zeros.get(..count).unwrap_or_default()], position)?;
        position += count as u64;
        steps += 1;
        if steps % SYNC_STEPS == 0 {
            file.sync_data()?;
        }
    }
    file.sync_data()
}

/// Removes the files of a journal's directory, durably.
pub(super) fn remove(files: &dyn FileSystem, directory: &Path) -> io::Result<()> {
    let mut is_there = false;
    for name in FILE_NAMES {
        match files.remove_file(&directory.join(name)) {
            Ok(()) => is_there = true,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    match files.sync_directory(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_there => Ok(()),
        synced => synced,
    }
}
