//! Opening a log: what is on disk becomes segments, a tail and producer state.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{
    Active, Log, LogConfig, LogShared, Position, Tail,
    append::RateMeter,
    read::Hints,
    waiters::{AckQueue, WatchList},
};
use crate::{
    batch::TimestampType,
    env::{
        DirectoryEntry, File, OpenMode,
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
        let entries = shared.env.files.list(&open.directory).map_err(|error| {
            Error::io(format_args!("listing {}", open.directory.display()), &error)
        })?;
        let opener = Opener {
            shared: &shared,
            open: &open,
            entries,
        };
        let bases = opener.segment_bases();
        let mut producers = opener.producers_before(&bases)?;
        let mut segments = Vec::with_capacity(bases.len());
        let mut end = Position::default();
        for (index, &base_offset) in bases.iter().enumerate() {
            let next_base = bases.get(index + 1).copied();
            let opened = opener.segment(base_offset, next_base, &mut producers, report)?;
            end = opened.end;
            if let Some(next_base) = next_base
                && next_base > end.offset
                && !open.config.is_compacted
            {
                report.push(opener.quarantined(end.offset, next_base, 0));
            }
            segments.push(opened.segment);
        }
        opener.remove_stale_hints(end.offset)?;
        let log_start = bases.first().copied().unwrap_or(0);
        let active = opener.active(segments.last(), end)?;
        let tail = Tail {
            end,
            active,
            producers: producers.states,
            unsynced: Vec::new(),
            is_directory_dirty: false,
            records_unflushed: 0,
            is_flush_timer_set: false,
            last_append_ms: opener.last_append_ms(segments.last()),
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
            lifecycle: AtomicU8::new(0),
            acks: AckQueue::default(),
            watchers: WatchList::default(),
            hints: Mutex::new(Hints::default()),
        }))
    }
}

struct Opener<'a> {
    shared: &'a LogShared,
    open: &'a OpenLog,
    /// What the directory held when the log was opened.
    entries: Vec<DirectoryEntry>,
}

impl Opener<'_> {
    fn failed(&self, path: &Path) -> impl Fn(std::io::Error) -> Error {
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
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Base offsets of the segments on disk, rising.
    fn segment_bases(&self) -> Vec<u64> {
        self.numbers("log")
    }

    fn quarantined(&self, from_offset: u64, to_offset: u64, bytes: u64) -> RecoveryEntry {
        RecoveryEntry {
            subject: self.open.label.clone(),
            event: RecoveryEvent::Quarantined {
                from_offset,
                to_offset,
                bytes,
            },
        }
    }

    /// Removes what tells of records behind the end: appended anew, other records would have
    /// their offsets, and a later recovery would believe the old snapshot.
    fn remove_stale_hints(&self, end_offset: u64) -> Result<()> {
        let directory = &self.open.directory;
        let files = &*self.shared.env.files;
        let mut is_changed = false;
        for offset in self
            .numbers("snapshot")
            .into_iter()
            .filter(|offset| *offset > end_offset)
        {
            let path = directory.join(Segment::file_name(offset, "snapshot"));
            files.remove_file(&path).map_err(self.failed(&path))?;
            is_changed = true;
        }
        for base_offset in self.numbers("index") {
            let segment = Segment::new(directory, base_offset);
            let is_last_or_gone = self
                .segment_bases()
                .last()
                .is_none_or(|l| base_offset >= *l);
            if !is_last_or_gone {
                continue;
            }
            let paths = [segment.path("index"), segment.path("timeindex")];
            let [index_path, time_index_path] = &paths;
            let is_stale = index_file::load(files, index_path, time_index_path)
                .map_err(self.failed(index_path))?
                .is_none_or(|(_, coverage)| coverage.next_offset > end_offset);
            if is_stale {
                for path in &paths {
                    match files.remove_file(path) {
                        Err(error) if error.kind() != ErrorKind::NotFound => {
                            return Err(self.failed(path)(error));
                        }
                        _ => is_changed = true,
                    }
                }
            }
        }
        if is_changed {
            files
                .sync_directory(directory)
                .map_err(self.failed(directory))?;
        }
        Ok(())
    }

    /// Producer state where the last segment begins, or the newest stored before that.
    fn producers_before(&self, bases: &[u64]) -> Result<Stored> {
        let last_base = bases.last().copied().unwrap_or(0);
        let mut offsets = self.numbers("snapshot");
        offsets.retain(|offset| *offset <= last_base);
        while let Some(offset) = offsets.pop() {
            if let Some(states) = self.snapshot(offset)? {
                return Ok(Stored { states, offset });
            }
        }
        Ok(Stored {
            states: ProducerStates::default(),
            offset: 0,
        })
    }

    fn snapshot(&self, offset: u64) -> Result<Option<ProducerStates>> {
        let path = self
            .open
            .directory
            .join(Segment::file_name(offset, "snapshot"));
        let loaded = snapshot::load(&*self.shared.env.files, &path).map_err(self.failed(&path))?;
        Ok(loaded
            .filter(|(_, at)| *at == offset)
            .map(|(states, _)| states))
    }

    fn segment(
        &self,
        base_offset: u64,
        next_base: Option<u64>,
        producers: &mut Stored,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Opened> {
        let segment = Arc::new(Segment::new(&self.open.directory, base_offset));
        let path = segment.log_path();
        let failed = self.failed(&path);
        let files = &*self.shared.env.files;
        let name = Segment::file_name(base_offset, "log");
        let file_bytes = self
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .map_or(0, |entry| entry.bytes);
        let stored = index_file::load(files, &segment.path("index"), &segment.path("timeindex"))
            .map_err(&failed)?
            .filter(|(_, coverage)| coverage.log_bytes <= file_bytes);
        segment.set_damaged(self.known_damage(&segment)?);
        if let Some((_, coverage)) = &stored
            && coverage.sealed
            && coverage.log_bytes == file_bytes
            && next_base.is_some()
            && producers.offset >= coverage.next_offset
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
        let file = files.open(&path, OpenMode::ReadWrite).map_err(&failed)?;
        let end = self.scan(&segment, &*file, stored, next_base, producers, report)?;
        if next_base.is_some() {
            self.seal(&segment, &*file, end)?;
        }
        Ok(Opened { segment, end })
    }

    /// Reads the part of a segment that nothing vouches for, and erases what lies behind it.
    fn scan(
        &self,
        segment: &Segment,
        file: &dyn File,
        stored: Option<(SegmentIndex, Coverage)>,
        next_base: Option<u64>,
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
            *producers = Stored {
                states,
                offset: coverage.next_offset,
            };
            resumed = Some((index, coverage));
        }
        let (mut index, position, next_offset) = match resumed {
            Some((index, coverage)) => (index, coverage.log_bytes, coverage.next_offset),
            None => (SegmentIndex::default(), 0, base_offset),
        };
        let offset_max = next_base.unwrap_or(u64::MAX);
        let start = ScanStart {
            position,
            next_offset,
            offset_max,
            trusted_position: vouched,
        };
        let known_damage = segment.damaged();
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
        self.erase_behind(
            segment,
            file,
            scanned.end_position,
            scanned.next_offset,
            report,
        )?;
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
        let by_seal = coverage
            .filter(|coverage| coverage.sealed)
            .map(|c| c.log_bytes);
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
        Ok(bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default())
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
            Error::io(
                format_args!("writing {}", path.display()),
                &std::io::Error::other(error),
            )
        })?;
        let name = Segment::file_name(segment.base_offset, "damage");
        replace_durably(&*self.shared.env.files, &self.open.directory, &name, &bytes)
            .map_err(self.failed(&path))?;
        for range in found.iter().filter(|range| !known.contains(range)) {
            let bytes = range.to_position.saturating_sub(range.from_position);
            report.push(self.quarantined(range.from_offset, range.to_offset, bytes));
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
                    event: RecoveryEvent::TailErased {
                        offset: next_offset,
                        bytes: lost,
                    },
                });
            }
            file.truncate(end).map_err(&failed)?;
            return file.sync_data().map_err(&failed);
        }
        if self.open.was_clean {
            Ok(())
        } else {
            file.sync_data().map_err(&failed)
        }
    }

    /// Closes a segment that was rolled but not sealed when the broker stopped.
    fn seal(&self, segment: &Segment, file: &dyn File, end: Position) -> Result<()> {
        let path = segment.log_path();
        file.sync_data().map_err(self.failed(&path))?;
        let coverage = Coverage {
            sealed: true,
            log_bytes: end.position,
            next_offset: end.offset,
        };
        segment
            .store_index(&self.shared.files, coverage)
            .map_err(self.failed(&path))
    }

    /// Where the broker's clock stamps the records, it must not go back behind the last one.
    fn last_append_ms(&self, last: Option<&Arc<Segment>>) -> i64 {
        let mut largest_ms = 0;
        if self.open.config.timestamp_type == TimestampType::LogAppendTime
            && let Some(segment) = last
        {
            segment.update_index(|index| {
                largest_ms = index.largest().map_or(0, |largest| largest.timestamp_ms);
            });
        }
        largest_ms
    }

    fn active(&self, last: Option<&Arc<Segment>>, end: Position) -> Result<Option<Active>> {
        let Some(segment) = last else { return Ok(None) };
        let path = segment.log_path();
        let file = segment
            .file(&self.shared.files)
            .map_err(self.failed(&path))?;
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
pub(crate) fn bytes_written_behind(file: &dyn File, from: u64, to: u64) -> std::io::Result<u64> {
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
