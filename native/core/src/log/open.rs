//! Opening a log: what is on disk becomes segments, a tail and producer state.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{
    Active, Log, LogConfig, LogShared, Position, Tail, append::RateMeter, read::Hints,
    waiters::{AckQueue, WatchList},
};
use crate::{
    env::{
        File, OpenMode,
        transfer::{read_full, read_whole, replace_durably},
    },
    error::{Error, Result},
    flush::scheduler::FlushState,
    index::{SegmentIndex, file as index_file, file::Coverage},
    producer::{ProducerStates, snapshot},
    recovery::{
        RecoveryEntry, RecoveryEvent,
        scan::{ScanStart, ScanState, scan},
    },
    segment::{DamagedRange, Segment, writer::PwriteWriter},
};

/// A `.damage` file larger than this is not one of ours.
const DAMAGE_FILE_BYTES_MAX: u64 = 16 << 20;
const ZERO_CHECK_BYTES: usize = 64 << 10;

/// What a log is opened with.
pub struct OpenLog {
    /// Topic and partition, for people.
    pub label: String,
    /// The partition's directory; it exists.
    pub directory: PathBuf,
    /// Configuration.
    pub config: Arc<LogConfig>,
    /// The epoch that appends get.
    pub leader_epoch: u32,
    /// How far the last checkpoint says it was flushed.
    pub checkpoint: Option<Position>,
    /// The checkpoint was written by a clean stop: nothing has to be read.
    pub was_clean: bool,
}

/// One segment brought to memory.
struct Opened {
    segment: Arc<Segment>,
    end: Position,
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
        let opener = Opener { shared: &shared, open: &open };
        let bases = opener.segment_bases()?;
        let mut producers = opener.producers_before(&bases)?;
        let mut segments = Vec::with_capacity(bases.len());
        let mut end = Position::default();
        for (index, &base_offset) in bases.iter().enumerate() {
            let is_last = index + 1 == bases.len();
            let opened = opener.segment(base_offset, is_last, &mut producers, report)?;
            end = opened.end;
            segments.push(opened.segment);
        }
        let log_start = bases.first().copied().unwrap_or(0);
        let active = opener.active(segments.last(), end)?;
        let tail = Tail {
            end,
            active,
            producers,
            unsynced: Vec::new(),
            is_directory_dirty: false,
            records_unflushed: 0,
            is_flush_timer_set: false,
            last_append_ms: 0,
            bytes_since_snapshot: 0,
            rate: RateMeter::default(),
        };
        Ok(Arc::new(Self {
            label: open.label,
            directory: open.directory,
            shared,
            config: RwLock::new(open.config),
            leader_epoch: open.leader_epoch,
            tail: Mutex::new(tail),
            segments: RwLock::new(segments),
            log_start: AtomicU64::new(log_start),
            log_end: AtomicU64::new(end.offset),
            high_watermark: AtomicU64::new(end.offset),
            visible: RwLock::new(end),
            flushed: RwLock::new(end),
            flush_lock: Mutex::new(()),
            flush_state: FlushState::default(),
            poison: RwLock::new(None),
            is_deleted: AtomicBool::new(false),
            acks: AckQueue::default(),
            watchers: WatchList::default(),
            hints: Mutex::new(Hints::default()),
        }))
    }
}

struct Opener<'a> {
    shared: &'a LogShared,
    open: &'a OpenLog,
}

impl Opener<'_> {
    fn failed(&self, path: &Path) -> impl Fn(std::io::Error) -> Error {
        let path = path.display().to_string();
        move |error| Error::io(format_args!("opening {path}"), &error)
    }

    fn names(&self) -> Result<Vec<String>> {
        let directory = &self.open.directory;
        let entries = self.shared.env.files.list(directory).map_err(self.failed(directory))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// Base offsets of the segments on disk, rising.
    fn segment_bases(&self) -> Result<Vec<u64>> {
        let mut bases: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_suffix(".log").filter(|stem| stem.len() == 20))
            .filter_map(|stem| stem.parse().ok())
            .collect();
        bases.sort_unstable();
        Ok(bases)
    }

    /// Producer state where the last segment begins, or the newest stored before that.
    fn producers_before(&self, bases: &[u64]) -> Result<Stored> {
        let last_base = bases.last().copied().unwrap_or(0);
        let mut offsets: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_suffix(".snapshot"))
            .filter_map(|stem| stem.parse().ok())
            .filter(|offset| *offset <= last_base)
            .collect();
        offsets.sort_unstable();
        while let Some(offset) = offsets.pop() {
            if let Some(states) = self.snapshot(offset)? {
                return Ok(Stored { states, offset });
            }
        }
        Ok(Stored { states: ProducerStates::default(), offset: 0 })
    }

    fn snapshot(&self, offset: u64) -> Result<Option<ProducerStates>> {
        let path = self.open.directory.join(Segment::file_name(offset, "snapshot"));
        let loaded =
            snapshot::load(&*self.shared.env.files, &path).map_err(self.failed(&path))?;
        Ok(loaded.filter(|(_, at)| *at == offset).map(|(states, _)| states))
    }

    fn segment(
        &self,
        base_offset: u64,
        is_last: bool,
        producers: &mut Stored,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Opened> {
        let segment = Arc::new(Segment::new(&self.open.directory, base_offset));
        let path = segment.log_path();
        let failed = self.failed(&path);
        let files = &*self.shared.env.files;
        let mode = if is_last { OpenMode::ReadWrite } else { OpenMode::Read };
        let file = files.open(&path, mode).map_err(&failed)?;
        let file_bytes = file.len().map_err(&failed)?;
        let known_damage = self.known_damage(&segment)?;
        segment.set_damaged(known_damage.clone());
        let stored =
            index_file::load(files, &segment.path("index"), &segment.path("timeindex"))
                .map_err(&failed)?
                .filter(|(_, coverage)| coverage.log_bytes <= file_bytes);
        let is_needed_for_producers = producers.offset < base_offset || is_last;
        if let Some((_, coverage)) = &stored
            && coverage.sealed
            && coverage.log_bytes == file_bytes
            && !is_last
            && (!is_needed_for_producers || producers.offset >= coverage.next_offset)
        {
            segment.set_end_position(coverage.log_bytes);
            segment.set_stored();
            let end = Position {
                offset: coverage.next_offset,
                segment_base: base_offset,
                position: coverage.log_bytes,
            };
            return Ok(Opened { segment, end });
        }
        let scanned = self.scan(&segment, &*file, stored, known_damage, producers, report)?;
        if !is_last && !segment.is_sealed() {
            self.seal(&segment, &*file, scanned)?;
        }
        Ok(Opened { segment, end: scanned })
    }

    /// Reads the part of a segment that nothing vouches for, and erases what lies behind it.
    fn scan(
        &self,
        segment: &Segment,
        file: &dyn File,
        stored: Option<(SegmentIndex, Coverage)>,
        known_damage: Vec<DamagedRange>,
        producers: &mut Stored,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Position> {
        let path = segment.log_path();
        let failed = self.failed(&path);
        let base_offset = segment.base_offset;
        let vouched = self.vouched_position(segment, stored.as_ref().map(|(_, c)| *c));
        // Index and producer state have to go on from the same point.
        let mut resumed = None;
        if let Some((index, coverage)) = stored
            && coverage.log_bytes <= vouched
            && let Some(states) = self.snapshot(coverage.next_offset)?
        {
            *producers = Stored { states, offset: coverage.next_offset };
            resumed = Some((index, coverage));
        }
        let (mut index, position, next_offset) = match resumed {
            Some((index, coverage)) => (index, coverage.log_bytes, coverage.next_offset),
            None => (SegmentIndex::default(), 0, base_offset),
        };
        let start = ScanStart { position, next_offset, trusted_position: vouched };
        let mut state = ScanState {
            index: &mut index,
            producers: &mut producers.states,
            index_interval_bytes: self.open.config.index_interval_bytes,
            base_offset,
        };
        let scanned = scan(file, &start, &known_damage, &mut state).map_err(&failed)?;
        producers.offset = scanned.next_offset;
        if scanned.damaged != known_damage {
            self.report_damage(segment, &known_damage, &scanned.damaged, report)?;
        }
        self.erase_behind(segment, file, scanned.end_position, scanned.next_offset, report)?;
        segment.set_index(index);
        segment.set_damaged(scanned.damaged);
        segment.set_end_position(scanned.end_position);
        Ok(Position {
            offset: scanned.next_offset,
            segment_base: base_offset,
            position: scanned.end_position,
        })
    }

    /// Up to where the checkpoint, a clean stop or a seal vouches for the segment.
    fn vouched_position(&self, segment: &Segment, coverage: Option<Coverage>) -> u64 {
        let by_seal = coverage.filter(|coverage| coverage.sealed).map(|c| c.log_bytes);
        let by_checkpoint = self
            .open
            .checkpoint
            .filter(|checkpoint| checkpoint.segment_base == segment.base_offset)
            .map(|checkpoint| checkpoint.position);
        by_seal.max(by_checkpoint).unwrap_or(0)
    }

    fn known_damage(&self, segment: &Segment) -> Result<Vec<DamagedRange>> {
        let path = segment.path("damage");
        let bytes = read_whole(&*self.shared.env.files, &path, DAMAGE_FILE_BYTES_MAX)
            .map_err(self.failed(&path))?;
        // Only what is known already; a file that cannot be read is found out again by the scan.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    fn report_damage(
        &self,
        segment: &Segment,
        known: &[DamagedRange],
        found: &[DamagedRange],
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<()> {
        let path = segment.path("damage");
        let bytes = serde_json::to_vec(found).map_err(|error| {
            Error::io(format_args!("writing {}", path.display()), &std::io::Error::other(error))
        })?;
        let name = Segment::file_name(segment.base_offset, "damage");
        replace_durably(&*self.shared.env.files, &self.open.directory, &name, &bytes)
            .map_err(self.failed(&path))?;
        for range in found.iter().filter(|range| !known.contains(range)) {
            report.push(RecoveryEntry {
                subject: self.open.label.clone(),
                event: RecoveryEvent::Quarantined {
                    from_offset: range.from_offset,
                    to_offset: range.to_offset,
                    bytes: range.to_position.saturating_sub(range.from_position),
                },
            });
        }
        Ok(())
    }

    /// Cuts the file at `end` and makes everything before it durable. Done before the log serves
    /// or accepts anything: an old whole batch behind the tail must not come back to life behind
    /// a later append of the same length.
    fn erase_behind(
        &self,
        segment: &Segment,
        file: &dyn File,
        end: u64,
        next_offset: u64,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<()> {
        let path = segment.log_path();
        let failed = self.failed(&path);
        let file_bytes = file.len().map_err(&failed)?;
        if file_bytes > end {
            let lost = bytes_written_behind(file, end, file_bytes).map_err(&failed)?;
            if lost > 0 {
                report.push(RecoveryEntry {
                    subject: self.open.label.clone(),
                    event: RecoveryEvent::TailErased { offset: next_offset, bytes: lost },
                });
            }
            let writable =
                self.shared.env.files.open(&path, OpenMode::ReadWrite).map_err(&failed)?;
            writable.truncate(end).map_err(&failed)?;
            return writable.sync_data().map_err(&failed);
        }
        if self.open.was_clean { Ok(()) } else { file.sync_data().map_err(&failed) }
    }

    /// Closes a segment that was rolled but not sealed when the broker stopped.
    fn seal(&self, segment: &Segment, file: &dyn File, end: Position) -> Result<()> {
        let path = segment.log_path();
        file.sync_data().map_err(self.failed(&path))?;
        let coverage =
            Coverage { sealed: true, log_bytes: end.position, next_offset: end.offset };
        segment.store_index(&self.shared.files, coverage).map_err(self.failed(&path))
    }

    fn active(&self, last: Option<&Arc<Segment>>, end: Position) -> Result<Option<Active>> {
        let Some(segment) = last else { return Ok(None) };
        let path = segment.log_path();
        let file = segment.file(&self.shared.files).map_err(self.failed(&path))?;
        let writer = PwriteWriter::new(file, Arc::clone(&self.shared.work), end.position);
        Ok(Some(Active {
            segment: Arc::clone(segment),
            writer: Box::new(writer),
            is_mapped: false,
            created_ms: self.shared.env.clock.wall_ms(),
        }))
    }
}

/// Producer state and the offset that it belongs to.
struct Stored {
    states: ProducerStates,
    offset: u64,
}

/// Bytes from `from` to the last one that is not zero: zeros were only allocated ahead.
fn bytes_written_behind(file: &dyn File, from: u64, to: u64) -> std::io::Result<u64> {
    let mut buffer = vec![0; ZERO_CHECK_BYTES];
    let mut position = from;
    let mut last = from;
    while position < to {
        let read = read_full(file, &mut buffer, position)?;
        if read == 0 {
            break;
        }
        let chunk = buffer.get(..read).unwrap_or_default();
        if let Some(index) = chunk.iter().rposition(|byte| *byte != 0) {
            last = position + index as u64 + 1;
        }
        position += read as u64;
    }
    Ok(last - from)
}
