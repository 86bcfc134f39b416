//! Opening a log: what is on disk becomes segments, a tail and producer state.

use std::{
    io::ErrorKind,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{
    Active, Log, LogConfig, LogShared, OFFSET_MAX, Position, Tail,
    append::{RateMeter, Way},
    compact::Compaction,
    read::Hints,
    start,
    waiters::{AckQueue, WatchList},
};
use crate::{
    batch::TimestampType,
    compaction::state::{self, CompactionState, Stored as StoredCompaction},
    env::{DirectoryEntry, FileSystem, OpenMode},
    error::{Code, Error, Result},
    flush::scheduler::FlushState,
    producer::{ProducerStates, snapshot},
    recovery::{
        RecoveryEntry, RecoveryEvent,
        checkpoint::{LogKey, LogMark},
    },
    segment::{Segment, writer::PwriteWriter},
};

/// What a log is opened with.
#[derive(Clone)]
pub struct OpenLog {
    /// Topic and partition, for people.
    pub label: String,
    /// Topic and partition, for the checkpoint and the flush journal.
    pub key: LogKey,
    /// The partition's directory; it exists.
    pub directory: Arc<Path>,
    /// Configuration.
    pub config: Arc<LogConfig>,
    /// The epoch that appends get.
    pub leader_epoch: u32,
    /// What the last checkpoint says of it.
    pub checkpoint: Option<LogMark>,
    /// The checkpoint was written by a clean stop: nothing has to be read.
    pub was_clean: bool,
    /// The run before this one had recovered all logs when it wrote the checkpoint: what that
    /// covers is on the disk as it is in the files.
    pub is_settled: bool,
}

impl Log {
    /// Opens a log, recovering it first. Everything that it serves afterwards is durable.
    /// Waits for the disk.
    ///
    /// # Errors
    /// An I/O error. Damage is not an error: it is served around and reported.
    pub fn open(
        shared: Arc<LogShared>,
        open: OpenLog,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Arc<Self>> {
        let mut opener = Opener::new(&shared, &open)?;
        let stored_start = opener.stored_start()?;
        let bases = opener.segment_bases_from(stored_start)?;
        opener.vouched_below = opener.vouched_below(&bases);
        let untouched = opener.untouched(&bases)?;
        let stored_offset = untouched.as_ref().map(|untouched| untouched.end.offset);
        let recovered = match untouched {
            Some(untouched) => untouched,
            None => opener.recover_segments(&bases, report)?,
        };
        let Recovered { mut segments, mut end, producers, snapshot_offset, is_index_stale } =
            recovered;
        if stored_start > end.offset {
            end = opener.go_on_at(stored_start, &mut segments, report, end)?;
        }
        let bases: Vec<u64> = segments.iter().map(|segment| segment.base_offset).collect();
        opener.remove_stale_hints(&bases, end.offset, snapshot_offset, is_index_stale)?;
        if snapshot_offset > end.offset {
            // The producers' state told of records that are gone. Now that it is gone too, the
            // state is made from what is there.
            return Self::open(shared, open, report);
        }
        let log_start = opener.log_start(stored_start, &bases, report);
        let compaction = Compaction::opened(opener.compaction, opener.is_compaction_unreadable);
        let active = opener.active(segments.last(), end);
        let last_append_ms = opener.last_append_ms(&segments)?;
        let mut tail = new_tail(&shared, end, active, producers, last_append_ms);
        tail.stored_offset = stored_offset;
        Ok(Arc::new(Self {
            label: open.label,
            key: open.key,
            directory: open.directory,
            shared,
            config: RwLock::new(open.config),
            leader_epoch: open.leader_epoch,
            tail: Mutex::new(tail),
            segments: RwLock::new(segments),
            vouched: Mutex::default(),
            log_start: AtomicU64::new(log_start),
            log_end: AtomicU64::new(end.offset),
            high_watermark: AtomicU64::new(end.offset),
            visible: RwLock::new(end),
            flushed: RwLock::new(end),
            synced: RwLock::new(end),
            upkeep: Mutex::new(()),
            compaction: Mutex::new(compaction),
            flush_lock: Mutex::new(()),
            flush_state: FlushState::default(),
            flush_begun: AtomicU64::new(end.offset),
            poison: RwLock::new(None),
            lifecycle: AtomicU8::new(0),
            is_flush_timer_set: AtomicBool::new(false),
            acks: AckQueue::default(),
            watchers: WatchList::default(),
            hints: Mutex::new(Hints::default()),
        }))
    }
}

/// A tail with nothing that is not durable.
fn new_tail(
    shared: &LogShared,
    end: Position,
    active: Option<Active>,
    producers: ProducerStates,
    last_append_ms: i64,
) -> Tail {
    Tail {
        end,
        active,
        producers,
        unsynced: Vec::new(),
        is_directory_dirty: false,
        records_unflushed: 0,
        dirty: shared.dirty.share(),
        last_append_ms,
        stored_offset: None,
        bytes_since_snapshot: 0,
        rate: RateMeter::default(),
    }
}

pub(super) struct Opener<'a> {
    pub(super) shared: &'a LogShared,
    pub(super) open: &'a OpenLog,
    /// What the directory held when the log was opened, by name; of logs with their sizes.
    entries: Vec<DirectoryEntry>,
    compaction: CompactionState,
    is_compaction_unreadable: bool,
    /// The checkpoint vouches for the segments with smaller base offsets: each ends with its file.
    pub(super) vouched_below: u64,
}

/// What became of a log's files.
pub(super) struct Recovered {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) end: Position,
    pub(super) producers: ProducerStates,
    /// Where the snapshot was taken that the producers' states were made from.
    pub(super) snapshot_offset: u64,
    /// The index file of the last segment is of no use.
    pub(super) is_index_stale: bool,
}

impl<'a> Opener<'a> {
    /// Looks at the directory and completes a compaction that a stop came in between of.
    fn new(shared: &'a LogShared, open: &'a OpenLog) -> Result<Self> {
        let compaction = CompactionState::default();
        let mut opener = Self {
            shared,
            open,
            entries: Vec::new(),
            compaction,
            is_compaction_unreadable: false,
            vouched_below: 0,
        };
        opener.list()?;
        let failed = opener.failed(&open.directory.join(state::FILE_NAME));
        let stored = match opener.entry(state::FILE_NAME) {
            Some(_) => state::load(opener.files(), &open.directory).map_err(&failed)?,
            None => StoredCompaction::State(compaction),
        };
        opener.is_compaction_unreadable = stored == StoredCompaction::Unreadable;
        opener.compaction = match stored {
            StoredCompaction::State(stored) => stored,
            StoredCompaction::Unreadable => CompactionState {
                holes_below: opener.segment_bases().last().map_or(0, |last| last + 1),
                ..compaction
            },
        };
        if let Some(swap) = opener.compaction.swap {
            let names: Vec<&str> = opener.entries.iter().map(|entry| entry.name.as_str()).collect();
            state::roll_forward(opener.files(), &open.directory, &names, swap).map_err(&failed)?;
            opener.list()?;
            let settled = CompactionState { swap: None, ..opener.compaction };
            // On a full disk it stays; completed once more it changes nothing.
            match state::store(opener.files(), &open.directory, &settled) {
                Ok(()) => opener.compaction = settled,
                Err(error) if error.kind() == ErrorKind::StorageFull => opener.note_hint_failure(),
                Err(error) => return Err(failed(error)),
            }
        }
        for base_offset in opener.numbers(state::CLEANED) {
            // Never finished. Where it cannot be removed the next compaction writes over it.
            let path = Segment::new(&open.directory, base_offset).path(state::CLEANED);
            if opener.files().remove_file(&path).is_err() {
                opener.note_hint_failure();
            }
        }
        Ok(opener)
    }

    fn list(&mut self) -> Result<()> {
        let directory = &self.open.directory;
        let listed = self.files().list_with_sizes_of(directory, ".log");
        self.entries = listed.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let detail = format!("{} is missing: {}", self.open.label, directory.display());
                Error::new(Code::DataDamaged, detail)
            }
            _ => Error::io(format_args!("listing {}", directory.display()), &error),
        })?;
        Ok(())
    }

    /// Whether compaction may have taken offsets out of a segment.
    pub(super) fn has_holes(&self, base_offset: u64) -> bool {
        base_offset < self.compaction.holes_below
    }

    pub(super) fn files(&self) -> &dyn FileSystem {
        &*self.shared.env.files
    }

    pub(super) fn note_hint_failure(&self) {
        self.shared.hint_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
        let path = path.display().to_string();
        move |error| Error::io(format_args!("opening {path}"), &error)
    }

    /// Numbers in the names of the files with an extension, rising.
    fn numbers(&self, extension: &str) -> Vec<u64> {
        let mut numbers: Vec<u64> = self
            .entries
            .iter()
            .filter_map(|entry| entry.name.strip_suffix(extension)?.strip_suffix('.'))
            .filter(|stem| stem.len() == 20)
            .filter_map(|stem| stem.parse().ok())
            .filter(|number| *number < OFFSET_MAX)
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Base offsets of the segments on disk, rising.
    fn segment_bases(&self) -> Vec<u64> {
        self.numbers("log")
    }

    fn entry(&self, name: &str) -> Option<&DirectoryEntry> {
        let index = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        self.entries.get(index)
    }

    pub(super) fn is_listed(&self, base_offset: u64, extension: &str) -> bool {
        self.entry(&Segment::file_name(base_offset, extension)).is_some()
    }

    /// Size of a segment's file when the log was opened.
    pub(super) fn file_bytes(&self, base_offset: u64) -> u64 {
        self.entry(&Segment::file_name(base_offset, "log")).map_or(0, |entry| entry.bytes)
    }

    /// Recovers the segments one behind the other.
    fn recover_segments(
        &self,
        bases: &[u64],
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Recovered> {
        let mut producers = self.producers_before(bases)?;
        let snapshot_offset = producers.offset;
        let mut segments = Vec::with_capacity(bases.len());
        let mut end = Position::default();
        let mut is_index_stale = false;
        for (index, &base_offset) in bases.iter().enumerate() {
            let next_base = bases.get(index + 1).copied();
            let opened = self.segment(base_offset, next_base, &mut producers, report)?;
            end = opened.end;
            if let Some(next_base) = next_base
                && next_base > end.offset
            {
                report.push(self.quarantined(end.offset, next_base, 0));
            }
            is_index_stale = opened.is_index_stale;
            segments.push(opened.segment);
        }
        let producers = producers.states;
        Ok(Recovered { segments, end, producers, snapshot_offset, is_index_stale })
    }

    /// The log start as it was stored; 0 where it never was.
    fn stored_start(&self) -> Result<u64> {
        if self.entry(start::FILE_NAME).is_none() {
            return Ok(0);
        }
        let directory = &self.open.directory;
        let stored = start::load(self.files(), directory)
            .map_err(self.failed(&directory.join(start::FILE_NAME)))?;
        Ok(stored.unwrap_or(0))
    }

    /// Where the log starts. The start is stored before anything is deleted: what lies before the
    /// first segment and was not deleted has been lost, or `start.json` has.
    fn log_start(&self, stored: u64, bases: &[u64], report: &mut Vec<RecoveryEntry>) -> u64 {
        let first_base = bases.first().copied().unwrap_or(0);
        if first_base > stored {
            report.push(self.quarantined(stored, first_base, 0));
        }
        stored.max(first_base)
    }

    /// Base offsets of the segments that count, durably; the others are removed.
    ///
    /// Those whose records were all deleted: a stop came before their files went, and what it left
    /// of them may have holes. And those at the end that hold nothing, so that offsets that were
    /// lost with a tail are not taken for damage before them. But one of them stays in any case,
    /// and one that begins at the log start: its name tells where the log goes on.
    fn segment_bases_from(&self, log_start: u64) -> Result<Vec<u64>> {
        let mut bases = self.segment_bases();
        let below = start::count_below(bases.iter().copied(), log_start);
        for base_offset in bases.drain(..below) {
            let segment = Segment::new(&self.open.directory, base_offset);
            start::remove_files(self.files(), &segment)
                .map_err(self.failed(&segment.log_path()))?;
        }
        while let [_, .., last] = bases.as_slice()
            && *last > log_start
            && self.is_blank(*last)?
        {
            let path = Segment::new(&self.open.directory, *last).log_path();
            self.files().remove_file(&path).map_err(self.failed(&path))?;
            bases.pop();
        }
        let is_changed = bases.len() < self.segment_bases().len();
        // A process before this one may have stored a log start and not lived, or failed, to sync
        // its name: what is told now must not go back with a power cut.
        let may_start_earlier = !self.open.was_clean && self.entry(start::FILE_NAME).is_some();
        if is_changed
            || may_start_earlier
            || bases.last().is_some_and(|last| !self.is_name_durable(*last))
        {
            self.sync_directory()?;
        }
        Ok(bases)
    }

    /// Whether the name of the last segment, and so of all others, is known to be on the disk. A
    /// process before this one may have created files and not lived to sync their names. A position
    /// of 0 says nothing: so does that of a log which had no file.
    fn is_name_durable(&self, last: u64) -> bool {
        let is_flushed =
            |LogMark { flushed, .. }: LogMark| flushed.segment_base == last && flushed.position > 0;
        self.open.was_clean
            || (self.open.is_settled && self.open.checkpoint.is_some_and(is_flushed))
    }

    /// Lets a log that ends before it starts go on at its start: files were lost that had been
    /// durable, and offsets that somebody has seen must not be given to other records.
    fn go_on_at(
        &self,
        log_start: u64,
        segments: &mut Vec<Arc<Segment>>,
        report: &mut Vec<RecoveryEntry>,
        end: Position,
    ) -> Result<Position> {
        let segment = Arc::new(Segment::of(&self.open.directory, log_start));
        let path = segment.log_path();
        let file = self.files().open(&path, OpenMode::OpenOrCreate).map_err(self.failed(&path))?;
        file.truncate(0).and_then(|()| file.sync_data()).map_err(self.failed(&path))?;
        self.sync_directory()?;
        for gone in segments.drain(..) {
            start::remove_files(self.files(), &gone).map_err(self.failed(&gone.log_path()))?;
        }
        report.push(self.quarantined(end.offset, log_start, 0));
        segments.push(segment);
        Ok(Position { offset: log_start, segment_base: log_start, position: 0 })
    }

    fn sync_directory(&self) -> Result<()> {
        let directory = &self.open.directory;
        self.files().sync_directory(directory).map_err(self.failed(directory))
    }

    pub(super) fn quarantined(
        &self,
        from_offset: u64,
        to_offset: u64,
        bytes: u64,
    ) -> RecoveryEntry {
        RecoveryEntry {
            subject: self.open.label.clone(),
            event: RecoveryEvent::Quarantined { from_offset, to_offset, bytes },
        }
    }

    /// Removes what tells of records behind the end: appended anew, other records would have
    /// their offsets, and a later recovery would believe the old snapshot or index. So are
    /// snapshots that a power cut has torn, as nothing syncs them, a clean stop neither. The one at
    /// `snapshot_offset` was read, unless that is 0: so it is where there was none to read.
    fn remove_stale_hints(
        &self,
        bases: &[u64],
        end_offset: u64,
        snapshot_offset: u64,
        is_last_index_stale: bool,
    ) -> Result<()> {
        let is_segment = |base_offset: &u64| bases.binary_search(base_offset).is_ok();
        let is_stale = |base_offset: &u64| {
            !is_segment(base_offset) || (is_last_index_stale && bases.last() == Some(base_offset))
        };
        let directory = &self.open.directory;
        let mut stale = Vec::new();
        for offset in self.numbers("snapshot") {
            let is_known = offset == snapshot_offset && offset > 0;
            if offset > end_offset || (!is_known && self.snapshot(offset)?.is_none()) {
                stale.push(directory.join(Segment::file_name(offset, "snapshot")));
            }
        }
        for base_offset in self.numbers("damage") {
            if !is_segment(&base_offset) {
                stale.push(Segment::new(directory, base_offset).path("damage"));
            }
        }
        let mut indexed = self.numbers("index");
        indexed.extend(self.numbers("timeindex"));
        indexed.sort_unstable();
        indexed.dedup();
        for base_offset in indexed {
            if is_stale(&base_offset) {
                let segment = Segment::new(directory, base_offset);
                stale.extend([segment.path("index"), segment.path("timeindex")]);
            }
        }
        for path in &stale {
            match self.files().remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(self.failed(path)(error));
                }
                _ => {}
            }
        }
        if stale.is_empty() { Ok(()) } else { self.sync_directory() }
    }

    /// Producer state where the last segment is going to be read from, or the newest stored before
    /// that segment.
    fn producers_before(&self, bases: &[u64]) -> Result<Stored> {
        let last_base = bases.last().copied().unwrap_or(0);
        if let Some(producers) = self.producers_of_tail(last_base)? {
            return Ok(producers);
        }
        let mut offsets = self.numbers("snapshot");
        offsets.retain(|offset| *offset <= last_base);
        while let Some(offset) = offsets.pop() {
            if let Some(states) = self.snapshot(offset)? {
                return Ok(Stored { states, offset });
            }
        }
        Ok(Stored { states: ProducerStates::default(), offset: 0 })
    }

    pub(super) fn snapshot(&self, offset: u64) -> Result<Option<ProducerStates>> {
        let path = self.open.directory.join(Segment::file_name(offset, "snapshot"));
        let loaded = snapshot::load(&*self.shared.env.files, &path).map_err(self.failed(&path))?;
        Ok(loaded.filter(|(_, at)| *at == offset).map(|(states, _)| states))
    }

    /// Where the broker's clock stamps the records, it must not go back behind the last one.
    fn last_append_ms(&self, segments: &[Arc<Segment>]) -> Result<i64> {
        if self.open.config.timestamp_type != TimestampType::LogAppendTime {
            return Ok(0);
        }
        for segment in segments.iter().rev() {
            let largest = segment
                .with_index(&self.shared.files, |index| index.largest())
                .map_err(self.failed(&segment.path("index")))?;
            if let Some(largest) = largest {
                return Ok(largest.timestamp_ms);
            }
        }
        Ok(0)
    }

    fn active(&self, last: Option<&Arc<Segment>>, end: Position) -> Option<Active> {
        let segment = Arc::clone(last?);
        let now_ms = self.shared.env.clock.wall_ms();
        // As old as its first record, as far as that can be true: a broker that is often restarted
        // is to close segments, too.
        let first_ms = segment.loaded_index().and_then(|index| index.first_ms());
        Some(Active {
            segment,
            writer: Box::new(PwriteWriter::new(Arc::clone(&self.shared.work), end.position)),
            way: Way::Pwrite,
            created_ms: first_ms.filter(|ms| (0..now_ms).contains(ms)).unwrap_or(now_ms),
            jitter: self.shared.env.random.next_u64(),
        })
    }
}

/// Producer state and the offset that it belongs to.
pub(super) struct Stored {
    pub(super) states: ProducerStates,
    pub(super) offset: u64,
}
