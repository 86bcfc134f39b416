//! The flush journal: one fdatasync for what many logs wait for.
//!
//! Where many logs with little each wait for a flush, what they have is written as one [`group`]
//! into one of two files whose blocks are there already, and synced once. The segments hold the
//! same bytes, unsynced; they are synced at leisure, and then the file is used again. After a crash
//! [`replay`] writes the groups to the segments before any log is opened.
//!
//! ```text
//! journal/0, journal/1:
//!     0  magic    u32   "MRJF"
//!     4  version  u8    1
//!     5  reserved u8[3] 0
//!     8  number   u64   rises with every use of a file
//!    16  nonce    u8[16] random for every use
//!    32  crc      u32   CRC-32C of everything before it
//!  4096  group*
//! ```
//!
//! Failure contract: a file of which a write or a sync has failed is not written to any more. After
//! a failed write nobody was told anything, and the logs are flushed by themselves; after a
//! failed sync the logs of the group are lost to appends, as by a failed sync of their own: where a
//! device has lost what was in its cache, a sync of their own may find nothing left to do.

pub mod group;
pub mod replay;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    batch::header::crc32c,
    env::{Clock, FileSystem, Random},
    error::{Error, Result},
    flush::{budget::DirtyBudget, figures::SyncFigures, scheduler::Flush, work::WorkPool},
    log::Position,
    recovery::checkpoint::Checkpoint,
    space::{SpaceWatch, watermarks::Level},
};
use group::{BLOCK_BYTES, GROUP_BYTES_MAX, Group, Nonce};
use writer::{SlotState, Writer};

/// The directory of the files in the data directory.
pub const DIRECTORY: &str = "journal";
/// Names of the files: that many.
pub const FILE_NAMES: [&str; 2] = ["0", "1"];
/// Where the first group begins.
pub const GROUPS_AT: u64 = BLOCK_BYTES;
/// Of a file that has less left than this share the other one is used.
const ROOM_SHARE: u64 = 16;
/// How long nothing is written before what was is synced to the segments.
const IDLE_NS: u64 = 5_000_000_000;
/// The same for a file that little is written to, again and again.
const USE_NS: u64 = 60_000_000_000;
/// Time between two attempts to make a file, when one has failed.
const RETRY_NS: u64 = 60_000_000_000;
/// The same, when there is nothing to make.
const BUSY_NS: u64 = 1_000_000_000;
const MAGIC: u32 = 0x4d52_4a46;
const VERSION: u8 = 1;
/// Bytes before the first block of a file ends that tell what it is.
pub const HEADER_BYTES: usize = 36;

/// When a flush journal is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Logs that wait for a flush, at least.
    pub logs_min: usize,
    /// The same, before the files are made: a broker of few logs does without them.
    pub logs_for_files: usize,
    /// What is taken of one, at most; those with more are flushed by themselves.
    pub log_bytes_max: u64,
    /// Size of each of the two files, less where the disk is small.
    pub file_bytes_max: u64,
    /// How long it is left alone where it held too many segments open, in nanoseconds: to sync
    /// them, and to have as many again at once, would be all that it does.
    pub pause_ns: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            logs_min: 4,
            logs_for_files: 64,
            log_bytes_max: 64 << 10,
            file_bytes_max: 64 << 20,
            pause_ns: 5_000_000_000,
        }
    }
}

/// What a journal needs of its store.
pub struct JournalSetting {
    /// The data directory.
    pub data_directory: PathBuf,
    /// Files.
    pub files: Arc<dyn FileSystem>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What the disk has left.
    pub space: Arc<SpaceWatch>,
    /// What is written and not synced.
    pub dirty: Arc<DirtyBudget>,
    /// Who makes the files.
    pub work: Arc<WorkPool>,
    /// Called before the first file is made: from then on earlier versions must not open the
    /// directory.
    pub require_format: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

/// What a journal has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalStatistics {
    /// Groups synced.
    pub groups: u64,
    /// Flushes of logs that those took the place of.
    pub log_flushes: u64,
    /// Bytes of the groups.
    pub bytes: u64,
    /// Files that could not be made, written or synced.
    pub failures: u64,
}

/// The flush journal of one data directory.
pub struct FlushJournal {
    options: JournalOptions,
    setting: JournalSetting,
    directory: PathBuf,
    writer: Mutex<Writer>,
    behind: Arc<Mutex<VecDeque<Behind>>>,
    /// There may be a file with room.
    is_ready: AtomicBool,
    /// Somebody is to make a file.
    is_asked: AtomicBool,
    retry_at_ns: AtomicU64,
    paused_until_ns: AtomicU64,
    groups: AtomicU64,
    log_flushes: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    syncs: SyncFigures,
}

/// A log that is to be synced as far as a journal has made it durable.
pub type Behind = (Weak<dyn Flush>, Position);

impl FlushJournal {
    /// A journal without files: these are made when they are asked for first.
    pub fn new(options: JournalOptions, setting: JournalSetting) -> Arc<Self> {
        let writer = Writer::default();
        Arc::new(Self {
            directory: setting.data_directory.join(DIRECTORY),
            options,
            setting,
            behind: Arc::clone(&writer.behind),
            writer: Mutex::new(writer),
            is_ready: AtomicBool::new(false),
            is_asked: AtomicBool::new(false),
            retry_at_ns: AtomicU64::new(0),
            paused_until_ns: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            log_flushes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            syncs: SyncFigures::default(),
        })
    }

    /// Writes of groups, each with its sync.
    pub fn syncs(&self) -> &SyncFigures {
        &self.syncs
    }

    /// When it is used.
    pub fn options(&self) -> &JournalOptions {
        &self.options
    }

    /// What it has done.
    pub fn statistics(&self) -> JournalStatistics {
        JournalStatistics {
            groups: self.groups.load(Ordering::Relaxed),
            log_flushes: self.log_flushes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Whether there may be a file with room for groups of `waiting` logs; where there is none, and
    /// so many are worth it, has another thread make one.
    pub fn is_ready_or_asked(self: &Arc<Self>, waiting: usize) -> bool {
        let is_ready = self.is_ready.load(Ordering::Acquire);
        if !is_ready && waiting >= self.options.logs_for_files {
            self.ask();
        }
        is_ready && waiting >= self.options.logs_min && !self.is_paused()
    }

    fn is_paused(&self) -> bool {
        self.setting.clock.monotonic_ns() < self.paused_until_ns.load(Ordering::Relaxed)
    }

    fn ask(self: &Arc<Self>) {
        let now_ns = self.setting.clock.monotonic_ns();
        if now_ns < self.retry_at_ns.load(Ordering::Relaxed)
            || self.is_asked.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let journal = Arc::downgrade(self);
        self.setting.work.spawn(Box::new(move || {
            if let Some(journal) = journal.upgrade() {
                journal.make_file();
                journal.is_asked.store(false, Ordering::Release);
            }
        }));
    }

    /// Makes a file where one is missing. Waits for the disk.
    fn make_file(&self) {
        let now_ns = self.setting.clock.monotonic_ns();
        let Some((slot, number)) = self.writer.lock().begin_making() else {
            // Both are in use. Whoever empties one says so.
            self.retry_at_ns.store(now_ns.saturating_add(BUSY_NS), Ordering::Relaxed);
            return;
        };
        let this = self.use_of(number);
        let made = self.file_bytes().map(|bytes| {
            let path = self.directory.join(FILE_NAMES.get(slot).unwrap_or(&""));
            (self.setting.require_format)().and_then(|()| {
                let data_directory = &self.setting.data_directory;
                let files = &*self.setting.files;
                writer::make(files, data_directory, &path, bytes, this)
                    .map_err(|error| Error::io(format_args!("making {}", path.display()), &error))
            })
        });
        let state = match made {
            Some(Ok(file)) => SlotState::Ready(file),
            failed => {
                self.retry_at_ns.store(now_ns.saturating_add(RETRY_NS), Ordering::Relaxed);
                self.failures.fetch_add(u64::from(failed.is_some()), Ordering::Relaxed);
                SlotState::Missing
            }
        };
        self.settle(slot, state);
    }

    fn use_of(&self, number: u64) -> Use {
        let random = || self.setting.random.next_u64().to_be_bytes();
        let mut nonce = Nonce::default();
        let (front, back) = nonce.split_at_mut(8);
        front.copy_from_slice(&random());
        back.copy_from_slice(&random());
        Use { number, nonce }
    }

    /// The size of a file, where there is room for one: a journal must not be what fills a disk.
    fn file_bytes(&self) -> Option<u64> {
        let space = &self.setting.space;
        let marks = space.watermarks();
        let bytes = self.options.file_bytes_max.min(marks.journal_file_max);
        let bytes = bytes - bytes % BLOCK_BYTES;
        let left = space.status().space.available_bytes.checked_sub(bytes)?;
        let is_ample = space.level() == Level::Ample && left >= marks.ample_from;
        (bytes > GROUPS_AT && is_ample).then_some(bytes)
    }

    fn settle(&self, slot: usize, state: SlotState) {
        let mut writer = self.writer.lock();
        let is_ready = matches!(state, SlotState::Ready(_));
        writer.settle(slot, state);
        if is_ready {
            self.is_ready.store(true, Ordering::Release);
        }
    }

    /// Has another thread make a file where one is going to be needed.
    pub fn ask_if_needed(self: &Arc<Self>) {
        let lacks_file = self.writer.lock().lacks_file();
        if lacks_file {
            self.ask();
        }
    }

    /// The next group, where there is a file for it.
    pub fn turn(self: &Arc<Self>) -> Option<Turn<'_>> {
        let mut writer = self.writer.lock();
        let is_behind = self.drain_if_too_much(&mut writer) || self.is_paused();
        let found = if is_behind { None } else { writer.with_room(ROOM_SHARE) };
        let Some((slot, name, room)) = found else {
            self.is_ready.store(is_behind, Ordering::Release);
            return None;
        };
        let buffer = std::mem::take(&mut writer.buffer);
        let bytes_max = room.min(GROUP_BYTES_MAX);
        let group = Group::new(buffer, name, bytes_max, self.options.log_bytes_max);
        Some(Turn { journal: self, writer, slot, group, joined: Vec::new() })
    }

    /// Where so much is written, or open, and not synced that others wait for the budget: what is
    /// journaled is synced first, as it is what holds that. Whether it was so.
    fn drain_if_too_much(&self, writer: &mut Writer) -> bool {
        let dirty = &self.setting.dirty;
        let has_too_many_files = dirty.has_too_many_files();
        let is_too_much = has_too_many_files || dirty.is_exhausted();
        if is_too_much && writer.drain() && has_too_many_files {
            let until_ns = self.setting.clock.monotonic_ns().saturating_add(self.options.pause_ns);
            self.paused_until_ns.store(until_ns, Ordering::Relaxed);
        }
        is_too_much
    }

    /// Has what is in use synced to the segments where nothing was written for a while, or it has
    /// been in use for long, so that a quiet broker leaves nothing in a journal; and where it holds
    /// too much.
    pub fn drain_if_due(&self) {
        let now_ns = self.setting.clock.monotonic_ns();
        let mut writer = self.writer.lock();
        let is_old = writer.used_since_ns.is_some_and(|since| now_ns >= since + USE_NS);
        if is_old || now_ns.saturating_sub(writer.written_ns) >= IDLE_NS {
            writer.drain();
        }
        self.drain_if_too_much(&mut writer);
    }

    /// The next log that is to be synced.
    pub fn next_behind(&self) -> Option<Behind> {
        self.behind.lock().pop_front()
    }

    /// Whether there is one.
    pub fn has_behind(&self) -> bool {
        !self.behind.lock().is_empty()
    }

    /// Lets those files be used again of which every log was synced past its entries, as this
    /// checkpoint says, which is durable. Waits for the disk.
    pub fn reclaim(&self, checkpoint: &Checkpoint) {
        for slot in 0..FILE_NAMES.len() {
            let Some((file, number)) = self.writer.lock().begin_emptying(slot, checkpoint) else {
                continue;
            };
            let state = match file.renewed(self.use_of(number)) {
                Ok(file) => SlotState::Ready(file),
                Err(_) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    SlotState::Failed
                }
            };
            self.settle(slot, state);
        }
    }

    /// Ends it; nothing may be flushed any more. With `is_synced`, all that it holds is in the
    /// segments, durably, and the files are removed. Waits for the disk.
    ///
    /// # Errors
    /// Why they could not be removed.
    pub fn close(&self, is_synced: bool) -> Result<()> {
        let mut writer = self.writer.lock();
        let has_files = writer.close();
        if !is_synced || !has_files {
            return Ok(());
        }
        remove(&*self.setting.files, &self.setting.data_directory)
    }

    fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// One group, from who joins it to its sync.
pub struct Turn<'a> {
    journal: &'a FlushJournal,
    writer: MutexGuard<'a, Writer>,
    slot: usize,
    group: Group,
    joined: Vec<(Arc<dyn Flush>, Position)>,
}

/// How a log joined a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// What it has up to there is in the group.
    UpTo(Position),
    /// It has nothing to flush.
    Nothing,
    /// It has to be flushed by itself.
    Alone,
    /// It does not fit into this group.
    Later,
}

/// What became of logs that were to join a group.
#[derive(Default)]
pub struct Sorted {
    /// Those that had nothing to flush.
    pub done: Vec<Arc<dyn Flush>>,
    /// Those that have to be flushed by themselves.
    pub alone: Vec<Arc<dyn Flush>>,
    /// Those for which there was no room.
    pub later: Vec<Arc<dyn Flush>>,
}

/// What became of a group.
#[derive(Default)]
pub struct Committed {
    /// Logs that are flushed, or lost to appends.
    pub done: Vec<Arc<dyn Flush>>,
    /// Logs that have to be flushed by themselves.
    pub alone: Vec<Arc<dyn Flush>>,
}

impl Turn<'_> {
    /// Lets logs join.
    pub fn join(&mut self, logs: Vec<Arc<dyn Flush>>) -> Sorted {
        let mut sorted = Sorted::default();
        for log in logs {
            if !sorted.later.is_empty() {
                sorted.later.push(log);
                continue;
            }
            match log.join(&mut self.group) {
                Joined::UpTo(end) => self.joined.push((log, end)),
                Joined::Nothing => sorted.done.push(log),
                // More than a group takes of anybody.
                Joined::Later if self.group.is_empty() => sorted.alone.push(log),
                Joined::Alone => sorted.alone.push(log),
                Joined::Later => sorted.later.push(log),
            }
        }
        sorted
    }

    /// Writes and syncs the group, and tells those who have joined. Waits for the disk.
    pub fn commit(mut self) -> Committed {
        if self.group.is_empty() {
            self.writer.buffer = self.group.into_buffer();
            return Committed::default();
        }
        let journal = self.journal;
        let bytes = self.group.finish();
        let byte_count = bytes.len() as u64;
        let clock = &*journal.setting.clock;
        let written = journal.syncs.time(clock, || self.writer.write(self.slot, bytes));
        let log_count = self.joined.len() as u64;
        self.writer.note_members(self.slot, &self.joined);
        let now_ns = journal.setting.clock.monotonic_ns();
        self.writer.written_ns = now_ns;
        self.writer.used_since_ns.get_or_insert(now_ns);
        self.writer.buffer = self.group.into_buffer();
        if written.is_err() {
            self.writer.fail(self.slot);
            journal.note_failure();
        }
        drop(self.writer);
        let joined = self.joined;
        match written {
            Ok(()) => {
                journal.groups.fetch_add(1, Ordering::Relaxed);
                journal.log_flushes.fetch_add(log_count, Ordering::Relaxed);
                journal.bytes.fetch_add(byte_count, Ordering::Relaxed);
                let done = joined.into_iter().map(|(log, end)| {
                    log.journaled(end);
                    log
                });
                Committed { done: done.collect(), ..Committed::default() }
            }
            Err(writer::Failure::Write) => {
                let alone = joined.into_iter().map(|(log, _)| log).collect();
                Committed { alone, ..Committed::default() }
            }
            Err(writer::Failure::Sync(error)) => {
                let error = Error::io("fdatasync of the flush journal", &error);
                let done = joined.into_iter().map(|(log, _)| {
                    log.lost(&error);
                    log
                });
                Committed { done: done.collect(), ..Committed::default() }
            }
        }
    }
}

/// One use of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// Larger than that of any before it.
    pub number: u64,
    /// Random.
    pub nonce: Nonce,
}

/// The first bytes of a journal's file.
pub fn header(Use { number, nonce }: Use) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let mut rest = &mut bytes[..];
    let fields = [&MAGIC.to_be_bytes()[..], &[VERSION, 0, 0, 0], &number.to_be_bytes(), &nonce];
    for field in fields {
        let (place, behind) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = behind;
    }
    let crc = crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Which use of a journal's file it is, by its first bytes; `None` where they are none of ours.
pub fn parse_header(bytes: &[u8]) -> Option<Use> {
    let (content, crc) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
    if crc32c(content) != u32::from_be_bytes(*crc) {
        return None;
    }
    let rest = &mut &content[..];
    let magic = u32::from_be_bytes(group::take(rest)?);
    let [version, ..] = group::take::<4>(rest)?;
    let number = u64::from_be_bytes(group::take(rest)?);
    let nonce = group::take(rest)?;
    (magic == MAGIC && version == VERSION).then_some(Use { number, nonce })
}

/// Removes the files of a data directory, durably; without any it changes nothing. Waits for the
/// disk.
///
/// # Errors
/// Any I/O error.
pub fn remove(files: &dyn FileSystem, data_directory: &Path) -> Result<()> {
    writer::remove(files, &data_directory.join(DIRECTORY))
        .map_err(|error| Error::io("removing the flush journal", &error))
}
