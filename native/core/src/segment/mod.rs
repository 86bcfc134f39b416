//! A segment: one `BASE.log` file of record batches, with its indexes.

pub mod age;
pub mod cache;
pub mod damage;
pub mod maps;
pub mod open_batches;
pub mod writer;

use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::{
    env::{File, OpenMode},
    index::{SegmentIndex, file as index_file},
    producer::ProducerStates,
    recovery::scan::{Mark, ScanStart, ScanState, scan},
};
use age::KnownAge;
use cache::FileCache;
use damage::DamageList;

/// Log between two entries of an index that is made anew: Kafka's default of
/// `index.interval.bytes`.
const REBUILT_INTERVAL_BYTES: u64 = 4096;

/// Names a segment within the process: never reused, so that caches cannot confuse two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentId(u64);

impl SegmentId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A range of a segment that holds no whole batches and is served around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedRange {
    /// First offset that is missing.
    pub from_offset: u64,
    /// First offset behind the damage that is there again.
    pub to_offset: u64,
    /// Position of the first damaged byte.
    pub from_position: u64,
    /// Position behind the last damaged byte.
    pub to_position: u64,
}

impl DamagedRange {
    /// Whether every byte of `other` lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.from_position <= other.from_position && other.to_position <= self.to_position
    }

    /// Where the segment goes on behind it.
    pub fn end(&self) -> Mark {
        Mark { position: self.to_position, offset: self.to_offset }
    }

    /// Whether they have bytes in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from_position < other.to_position && other.from_position < self.to_position
    }
}

/// One file of a log. Immutable once sealed; before, only its log's writer appends to it.
pub struct Segment {
    /// Process-wide identity.
    pub id: SegmentId,
    /// Offset of the first record that the file can hold; also its name.
    pub base_offset: u64,
    /// Shared by the segments of a log: there may be a hundred thousand of these.
    directory: Arc<Path>,
    /// Bytes of whole batches in the file: what readers may look at, at most.
    end_position: AtomicU64,
    sealed: AtomicBool,
    has_holes: AtomicBool,
    /// Nothing is written to it any more, not even its index.
    finished: AtomicBool,
    index: RwLock<IndexState>,
    /// Made with the first damage, which most segments never have.
    damage: OnceLock<Box<SegmentDamage>>,
    /// Set when the segment leaves its log: its path may be another file's before long.
    pinned: RwLock<Option<Arc<dyn File>>>,
    age: KnownAge,
}

/// What is damaged in a segment.
#[derive(Default)]
struct SegmentDamage {
    known: RwLock<DamageList>,
    kept: Mutex<KeptDamage>,
}

/// What `BASE.damage` says, and what it is yet to say.
#[derive(Default)]
struct KeptDamage {
    stored: DamageList,
    waiting: Vec<DamagedRange>,
}

/// How a segment was before it was pinned.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
    has_stored_index: bool,
}

enum IndexState {
    /// In memory: the segment is being written, or its index file is missing.
    Loaded(Box<SegmentIndex>),
    /// On disk only.
    Stored,
}

impl Segment {
    /// A segment of `directory` that starts at `base_offset`; touches no file.
    pub fn new(directory: &Path, base_offset: u64) -> Self {
        Self::of(&Arc::from(directory), base_offset)
    }

    /// As [`new`](Self::new), for one of many.
    pub fn of(directory: &Arc<Path>, base_offset: u64) -> Self {
        Self {
            id: SegmentId::next(),
            base_offset,
            directory: Arc::clone(directory),
            end_position: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            has_holes: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            index: RwLock::new(IndexState::Loaded(Box::default())),
            damage: OnceLock::new(),
            pinned: RwLock::new(None),
            age: KnownAge::default(),
        }
    }

    /// The name of a segment's file with an `extension`: the base offset in 20 digits, as Kafka's.
    pub fn file_name(base_offset: u64, extension: &str) -> String {
        format!("{base_offset:020}.{extension}")
    }

    /// Path of the log file.
    pub fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    /// Path of a file that belongs to this segment.
    pub fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(Self::file_name(self.base_offset, extension))
    }

    /// Bytes of whole batches.
    pub fn end_position(&self) -> u64 {
        self.end_position.load(Ordering::Acquire)
    }

    /// Publishes a new end; called by the log's writer and by recovery.
    pub fn set_end_position(&self, position: u64) {
        self.end_position.store(position, Ordering::Release);
    }

    /// Whether the file is complete, synced and never written again.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Whether compaction may have taken offsets out between its batches; in any other segment a
    /// missing offset is damage.
    pub fn has_holes(&self) -> bool {
        self.has_holes.load(Ordering::Acquire)
    }

    /// Tells whether the segment may have holes, before anybody reads it.
    pub fn set_has_holes(&self, has_holes: bool) {
        self.has_holes.store(has_holes, Ordering::Release);
    }

    /// Whether anything of it is known to be damaged.
    pub fn is_damaged(&self) -> bool {
        self.damage.get().is_some_and(|damage| !damage.known.read().ranges().is_empty())
    }

    /// The damaged range that covers or follows `position` first, if any.
    pub fn damage_at_or_behind(&self, position: u64) -> Option<DamagedRange> {
        let damaged = self.damage.get()?.known.read();
        damaged.ranges().iter().find(|range| range.to_position > position).copied()
    }

    /// What is known to be damaged, in rising order.
    pub fn damaged_ranges(&self) -> Vec<DamagedRange> {
        self.damage.get().map_or_else(Vec::new, |damage| damage.known.read().ranges().to_vec())
    }

    /// Adds a range that turned out damaged when it was read; `false` when it was known.
    pub fn add_damaged(&self, range: DamagedRange) -> bool {
        self.damage.get_or_init(Box::default).known.write().add(range)
    }

    /// Notes what recovery found damaged, and has stored.
    pub fn set_damaged(&self, damaged: Vec<DamagedRange>) {
        if damaged.is_empty() && self.damage.get().is_none() {
            return;
        }
        let list = DamageList::new(damaged);
        let damage = self.damage.get_or_init(Box::default);
        damage.kept.lock().stored = list.clone();
        *damage.known.write() = list;
    }

    /// Whether damage is known that could not be stored.
    pub fn has_waiting_damage(&self) -> bool {
        self.damage.get().is_some_and(|damage| !damage.kept.lock().waiting.is_empty())
    }

    /// Has the next start know of a range that a reader found damaged, or of what could not be
    /// stored before. Waits for the disk.
    ///
    /// # Errors
    /// Why it could not be stored; the next call tries again.
    pub fn store_damage(&self, files: &FileCache, range: Option<DamagedRange>) -> io::Result<()> {
        let mut kept = self.damage.get_or_init(Box::default).kept.lock();
        kept.waiting.extend(range);
        let mut ranges = kept.stored.clone();
        let mut is_changed = false;
        for range in &kept.waiting {
            is_changed |= ranges.add(*range);
        }
        if is_changed {
            let name = Self::file_name(self.base_offset, "damage");
            damage::store(files.file_system(), &self.directory, &name, ranges.ranges())?;
        }
        *kept = KeptDamage { stored: ranges, waiting: Vec::new() };
        Ok(())
    }

    /// Whether nothing touches its files any more but readers and those who hold the log's upkeep.
    /// It may lack the index that seals it: a full disk does not take one.
    pub fn is_finished(&self) -> bool {
        self.is_sealed() || self.finished.load(Ordering::Acquire)
    }

    /// Tells that it is closed and synced, and its index stored as far as that could be done.
    pub fn set_finished(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// Replaces the index, for recovery.
    pub fn set_index(&self, index: SegmentIndex) {
        *self.index.write() = IndexState::Loaded(Box::new(index));
    }

    /// Tells that the index lies on disk and is loaded when needed.
    pub fn set_stored(&self) {
        *self.index.write() = IndexState::Stored;
        self.sealed.store(true, Ordering::Release);
    }

    /// Gives up an index that turned out wrong: looking something up then starts at the segment's
    /// first batch.
    pub fn distrust_index(&self) {
        self.set_index(SegmentIndex::default());
    }

    /// Changes the index in memory. Does nothing once it is stored.
    pub fn update_index(&self, change: impl FnOnce(&mut SegmentIndex)) {
        if let IndexState::Loaded(index) = &mut *self.index.write() {
            change(index);
        }
    }

    /// Looks something up in the index, loading it from disk when it is not in memory.
    ///
    /// An index file that is missing, damaged or not that of the file is made anew from the
    /// headers of the segment's batches.
    ///
    /// # Errors
    /// An I/O error while loading.
    pub fn with_index<T>(
        &self,
        files: &FileCache,
        look_up: impl FnOnce(&SegmentIndex) -> T,
    ) -> io::Result<T> {
        if let IndexState::Loaded(index) = &*self.index.read() {
            return Ok(look_up(index));
        }
        let loaded = files.index(self.id, || {
            let loaded = index_file::load(
                files.file_system(),
                &self.path("index"),
                &self.path("timeindex"),
            )?;
            let is_of_this_file =
                |coverage: &index_file::Coverage| coverage.log_bytes == self.end_position();
            match loaded.filter(|(_, coverage)| is_of_this_file(coverage)) {
                Some((index, _)) => Ok(index),
                None => self.rebuild_index(files),
            }
        })?;
        // The path may have become another's meanwhile; if so, the index came to memory before.
        match &*self.index.read() {
            IndexState::Loaded(index) => Ok(look_up(index)),
            IndexState::Stored => Ok(look_up(&loaded)),
        }
    }

    /// Where batches begin, by the index and by what is known to be damaged: hints, like both.
    ///
    /// # Errors
    /// An I/O error while loading the index.
    pub fn marks(&self, files: &FileCache) -> io::Result<Vec<Mark>> {
        let mut marks = self.with_index(files, |index| index.marks(self.base_offset))?;
        marks.extend(self.damaged_ranges().iter().map(DamagedRange::end));
        Ok(marks)
    }

    /// The index of a closed segment by the headers of its batches, stored for the next time. A
    /// start does not look at indexes of segments that the checkpoint vouches for, and they are not
    /// synced: a power cut may have taken this one.
    fn rebuild_index(&self, files: &FileCache) -> io::Result<SegmentIndex> {
        let file = self.file(files)?;
        let known = self.damaged_ranges();
        let start = ScanStart {
            has_holes: self.has_holes(),
            believed_position: self.end_position(),
            marks: known.iter().map(DamagedRange::end).collect(),
            suspects: known.iter().map(|range| range.from_position).collect(),
            ..ScanStart::at(self.base_offset, 0)
        };
        let mut index = SegmentIndex::default();
        let mut state = ScanState {
            index: &mut index,
            producers: &mut ProducerStates::default(),
            index_interval_bytes: REBUILT_INTERVAL_BYTES,
            base_offset: self.base_offset,
        };
        let scanned = scan(&*file, &start, &mut state)?;
        if let Some(modified_ms) = file.modified_ms()? {
            index.note_append(modified_ms);
        }
        let coverage = index_file::Coverage {
            sealed: self.is_sealed(),
            log_bytes: self.end_position(),
            next_offset: scanned.next_offset,
        };
        // Held meanwhile: the path does not become another segment's.
        let state = self.index.write();
        if matches!(*state, IndexState::Stored) {
            // A hint: where the disk does not take it, it is made once more when it is needed
            // again.
            let (offsets, times) = (self.path("index"), self.path("timeindex"));
            drop(index_file::store(files.file_system(), &offsets, &times, &index, coverage));
        }
        Ok(index)
    }

    /// Whether [`with_index`](Self::with_index) can answer without reading a file.
    pub fn has_index(&self, files: &FileCache) -> bool {
        matches!(&*self.index.read(), IndexState::Loaded(_)) || files.has_index(self.id)
    }

    /// A copy of the index, if it is in memory. What it covers is known only to who keeps the
    /// log from growing meanwhile.
    pub fn loaded_index(&self) -> Option<SegmentIndex> {
        match &*self.index.read() {
            IndexState::Loaded(index) => Some((**index).clone()),
            IndexState::Stored => None,
        }
    }

    /// Stores `index`, which covers the log exactly up to `coverage`. With `coverage.sealed` the
    /// copy in memory is given up.
    ///
    /// # Errors
    /// An I/O error; the copy in memory stays.
    pub fn store_index(
        &self,
        files: &FileCache,
        index: &SegmentIndex,
        coverage: index_file::Coverage,
    ) -> io::Result<()> {
        index_file::store(
            files.file_system(),
            &self.path("index"),
            &self.path("timeindex"),
            index,
            coverage,
        )?;
        if coverage.sealed {
            self.set_stored();
        }
        Ok(())
    }

    /// The open log file, opened again when the descriptor was given up.
    ///
    /// # Errors
    /// An I/O error while opening.
    pub fn file(&self, files: &FileCache) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &*self.pinned.read() {
            return Ok(Arc::clone(file));
        }
        files.file(self.id, || {
            let mode = if self.is_sealed() { OpenMode::Read } else { OpenMode::ReadWrite };
            let opened = files.file_system().open(&self.log_path(), mode);
            // The path may have become another's meanwhile; if so, it was pinned before.
            self.pinned.read().as_ref().map_or(opened, |pinned| Ok(Arc::clone(pinned)))
        })
    }

    /// Tells that the file is complete, while its index is in memory.
    pub fn set_sealed(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// As [`pin`](Self::pin), with the index: the paths of both are about to be another segment's.
    /// Where nothing comes of that, [`unpin`](Self::unpin) takes what this returned.
    ///
    /// # Errors
    /// An I/O error while opening or loading; nobody may take its place then.
    pub fn pin_for_replacement(&self, files: &FileCache) -> io::Result<Pinned> {
        let file = self.file(files)?;
        let index = self.with_index(files, SegmentIndex::clone)?;
        *self.pinned.write() = Some(file);
        let before = mem::replace(&mut *self.index.write(), IndexState::Loaded(Box::new(index)));
        Ok(Pinned { has_stored_index: matches!(before, IndexState::Stored) })
    }

    /// Whether it keeps its file, since its path is another's or about to be.
    #[cfg(test)]
    pub fn is_pinned(&self) -> bool {
        self.pinned.read().is_some()
    }

    /// Gives the file, and an index that lies on disk, back: the segment stays in its log.
    pub fn unpin(&self, pinned: Pinned) {
        *self.pinned.write() = None;
        if pinned.has_stored_index {
            *self.index.write() = IndexState::Stored;
        }
    }

    /// Keeps the file open for whoever still holds the segment, before the file is unlinked or
    /// replaced. Where it cannot be opened, they get the error that they would have got.
    pub fn pin(&self, files: &FileCache) {
        if let Ok(file) = self.file(files) {
            *self.pinned.write() = Some(file);
        }
    }
}
