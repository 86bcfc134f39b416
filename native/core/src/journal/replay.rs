//! What a start does with a flush journal, before any log is opened.
//!
//! Its groups are written to the segments, which are synced; then it is removed. Until then a stop
//! changes nothing: the same is done once more. Entries are skipped that lie before the log's
//! checkpoint, and those of logs and segments that are gone: they were deleted. So are those of
//! segments that may have holes: a segment is closed and synced before it is compacted, and is
//! journaled no more afterwards.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
};

use uuid::Uuid;

use super::{
    DIRECTORY, FILE_NAMES, GROUPS_AT, HEADER_BYTES, Use,
    group::{self, BLOCK_BYTES, Entry, GroupName, HEAD_BYTES, Nonce},
    parse_header,
};
use crate::{
    compaction::state::{self, CompactionState, Stored},
    env::{
        File, FileSystem, OpenMode,
        transfer::{is_unreadable, read_full, write_full},
    },
    error::{Error, Result},
    log::{Position, start},
    recovery::checkpoint::{Checkpoint, ClosedSegments, LogKey, LogMark},
    registry::{
        directory::{DataDirectory, PARTITION_FILE},
        side_by_side::side_by_side,
    },
    segment::Segment,
    space::{MaySayFull, SpaceWatch},
};

/// What is in the journal of a data directory.
#[derive(Default)]
pub struct Found {
    /// Whole groups.
    pub groups: u64,
    /// Files that have any, in the order of their numbers.
    files: Vec<Arc<dyn File>>,
    /// Entries of each log, in the order in which they were written.
    logs: BTreeMap<LogKey, Vec<Place>>,
    /// What is wrong with it, for people.
    pub damage: Vec<String>,
}

/// An entry, and where it lies.
#[derive(Clone, Copy)]
struct Place {
    entry: Entry,
    file: usize,
    position: u64,
}

/// What a replay has done.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// Entries written to segments, of whole groups.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Logs that they belong to.
    pub logs: u64,
    /// Entries that were acked, and belong to segments that should be there and are not.
    pub lost: u64,
    /// Logs that did not get what is theirs, and why.
    pub failures: Vec<(LogKey, Error)>,
}

impl Replayed {
    /// What is wrong, for people, where entries have nowhere to go; `None` if all have.
    pub fn damage(&self) -> Option<String> {
        let lost = self.lost;
        (lost > 0).then(|| format!("{lost} entries are of segments that are not there"))
    }

    /// Why some logs did not get what is theirs, and what to do; `None` if all did.
    pub fn error(&self) -> Option<Error> {
        let is_full = |(_, error): &&(LogKey, Error)| error.says_full();
        let told = self.failures.iter().find(is_full).or(self.failures.first());
        let (_, error) = told?;
        let others = match self.failures.len() - 1 {
            0 => String::new(),
            count => format!(" (and {count} more partitions)"),
        };
        let next = if error.says_full() {
            "make room on this disk, and start again: acked records wait in the journal"
        } else {
            "acked records wait in the journal: start again where this may pass, or have \
             `millrace repair` keep in salvage/ what cannot be brought there"
        };
        Some(Error::new(error.code(), format!("{}{others}; {next}", error.detail())))
    }
}

impl Found {
    /// Whether there is nothing to be written to segments.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// Logs that have entries which lie behind the checkpoint.
    pub fn logs_behind(&self, checkpoint: &Checkpoint) -> impl Iterator<Item = LogKey> {
        let is_behind = |key: &LogKey, places: &[Place]| {
            let mark = checkpoint.logs.get(key).map(|mark| mark.flushed);
            places.iter().any(|place| is_behind(&place.entry, mark))
        };
        let keys = self.logs.iter().filter(|(key, places)| is_behind(key, places));
        keys.map(|(key, _)| *key).collect::<Vec<_>>().into_iter()
    }
}

/// Reads the journal of a data directory: its whole groups. With `is_unread_damage` what the disk
/// does not read is damage, for a repair; for anybody else it is an error. Waits for the disk.
///
/// # Errors
/// Any I/O error.
pub fn find(
    files: &dyn FileSystem,
    data_directory: &Path,
    is_unread_damage: bool,
) -> Result<Found> {
    let mut journals = Vec::new();
    let mut found = Found::default();
    for name in FILE_NAMES {
        let path = data_directory.join(DIRECTORY).join(name);
        let failed =
            |error: io::Error| Error::io(format_args!("reading {}", path.display()), &error);
        let file = match files.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let reader = Reader::new(&*file, is_unread_damage).map_err(failed)?;
        match reader.header().map_err(failed)? {
            Header::Of(this) => journals.push((this, path, file)),
            // Its making was not completed, so nothing was written to it.
            Header::Blank => {}
            Header::Damaged => {
                let detail = "its first bytes are damaged: what it holds is not known";
                found.damage.push(format!("{}: {detail}", path.display()));
            }
        }
    }
    journals.sort_by_key(|(this, ..)| *this);
    for (this, path, file) in journals {
        let failed =
            |error: io::Error| Error::io(format_args!("reading {}", path.display()), &error);
        let reader = Reader::new(&*file, is_unread_damage).map_err(failed)?;
        let index = found.files.len();
        let missing = reader.groups(this.nonce, index, &mut found).map_err(failed)?;
        if missing > 0 {
            let detail = "a group that was synced cannot be read, and whole ones lie behind it";
            found.damage.push(format!("{}: {detail}", path.display()));
        } else if reader.is_any_unread.get() {
            // The last group of those that were acked may lie there.
            found.damage.push(format!("{}: the disk does not read all of it", path.display()));
        }
        found.files.push(file);
    }
    Ok(found)
}

enum Header {
    Of(Use),
    Blank,
    Damaged,
}

struct Reader<'a> {
    file: &'a dyn File,
    is_unread_damage: bool,
    is_any_unread: Cell<bool>,
    bytes: u64,
}

impl<'a> Reader<'a> {
    fn new(file: &'a dyn File, is_unread_damage: bool) -> io::Result<Self> {
        let bytes = file.len()?;
        Ok(Self { file, is_unread_damage, is_any_unread: Cell::new(false), bytes })
    }

    /// Reads as much as there is; `None` where the disk does not, and that is damage.
    fn read<'b>(&self, buffer: &'b mut [u8], position: u64) -> io::Result<Option<&'b [u8]>> {
        match read_full(self.file, buffer, position) {
            Ok(read) => Ok(buffer.get(..read)),
            Err(error) if self.is_unread_damage && is_unreadable(&error) => {
                self.is_any_unread.set(true);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn header(&self) -> io::Result<Header> {
        let mut buffer = [0; HEADER_BYTES];
        let read = self.read(&mut buffer, 0)?;
        if let Some(this) = read.and_then(parse_header) {
            return Ok(Header::Of(this));
        }
        let is_zero = |read: Option<&[u8]>| read.is_some_and(|b| b.iter().all(|byte| *byte == 0));
        // Groups follow on each other: without a first one there is none.
        let is_blank = is_zero(read) && is_zero(self.read(&mut [0; HEAD_BYTES], GROUPS_AT)?);
        Ok(if is_blank { Header::Blank } else { Header::Damaged })
    }

    /// Notes all whole groups of this use of the file. Returns how many are missing in between:
    /// the last one may be torn, which nobody was told of.
    fn groups(&self, nonce: Nonce, file: usize, found: &mut Found) -> io::Result<u64> {
        let (mut position, mut sequence, mut missing) = (GROUPS_AT, 0, 0);
        while position < self.bytes {
            match self.group(position, GroupName { nonce, sequence })? {
                Some((name, bytes, entries)) => {
                    missing += name.sequence - sequence;
                    sequence = name.sequence + 1;
                    found.groups += 1;
                    for entry in entries {
                        let place = Place { entry, file, position };
                        found.logs.entry(entry.key).or_default().push(place);
                    }
                    position += bytes.next_multiple_of(BLOCK_BYTES);
                }
                // Looked at block by block for one that lies behind it.
                None => position += BLOCK_BYTES,
            }
        }
        Ok(missing)
    }

    /// The whole group at a position, if it is the one wanted or one behind it.
    fn group(
        &self,
        position: u64,
        wanted: GroupName,
    ) -> io::Result<Option<(GroupName, u64, Vec<Entry>)>> {
        let mut head = [0; HEAD_BYTES];
        let Some((name, bytes)) = self.read(&mut head, position)?.and_then(group::head) else {
            return Ok(None);
        };
        let is_possible = name.nonce == wanted.nonce
            && name.sequence >= wanted.sequence
            && bytes <= self.bytes.saturating_sub(position);
        if !is_possible {
            return Ok(None);
        }
        let mut content = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        let parsed = self.read(&mut content, position)?.and_then(group::parse);
        Ok(parsed.map(|(name, entries)| (name, bytes, entries)))
    }
}

/// What tells which of two points in a log comes first.
fn place(position: Position) -> (u64, u64) {
    (position.segment_base, position.position)
}

/// Whether an entry lies behind what a checkpoint says of its log.
fn is_behind(entry: &Entry, mark: Option<Position>) -> bool {
    mark.is_none_or(|mark| place(entry.end()) > place(mark))
}

/// Writes what was found to the segments, durably, and has the checkpoint tell of it. Done twice it
/// changes nothing. What fails about one log keeps the others from nothing; where the disk is too
/// full for some, they are tried once more without the reserve. Waits for the disk.
pub fn apply(
    space: &SpaceWatch,
    files: &dyn FileSystem,
    directory: &DataDirectory,
    found: &Found,
    checkpoint: &mut Checkpoint,
    threads_max: usize,
) -> Replayed {
    let mut bring = |logs: &[(&LogKey, &Vec<Place>)]| {
        bring(files, directory, &found.files, logs, checkpoint, threads_max)
    };
    let first = bring(&found.logs.iter().collect::<Vec<_>>());
    let is_full = first.failures.iter().any(|(_, error)| error.says_full());
    if !is_full || !space.give_up_reserve() {
        return first;
    }
    let left = first.failures.iter().filter_map(|(key, _)| found.logs.get_key_value(key));
    let second = bring(&left.collect::<Vec<_>>());
    Replayed {
        entries: first.entries + second.entries,
        bytes: first.bytes + second.bytes,
        logs: first.logs + second.logs,
        lost: first.lost + second.lost,
        failures: second.failures,
    }
}

fn bring(
    files: &dyn FileSystem,
    directory: &DataDirectory,
    journals: &[Arc<dyn File>],
    logs: &[(&LogKey, &Vec<Place>)],
    checkpoint: &mut Checkpoint,
    threads_max: usize,
) -> Replayed {
    let applied = side_by_side(threads_max, logs, |(key, places)| {
        let path = directory.partition(Uuid::from_bytes(key.0), key.1);
        let mark = checkpoint.logs.get(*key).map(|mark| mark.flushed);
        let log = LogReplay { files, path: &path, journals };
        let failed = |error: io::Error| {
            Error::io(format_args!("replaying the flush journal into {}", path.display()), &error)
        };
        log.run(places, mark).map_err(failed)
    });
    let mut replayed = Replayed::default();
    for ((key, _), applied) in logs.iter().zip(applied) {
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => {
                replayed.failures.push((**key, error));
                continue;
            }
        };
        replayed.entries += applied.entries;
        replayed.bytes += applied.bytes;
        replayed.lost += applied.lost;
        let Some(end) = applied.end else { continue };
        replayed.logs += 1;
        let mark = checkpoint.logs.entry(**key).or_default();
        if mark.flushed.segment_base != end.segment_base {
            // It vouches for the segments before one that is not the last any more.
            *mark = LogMark { flushed: end, closed: ClosedSegments::default() };
        }
        mark.flushed = end;
    }
    replayed
}

/// What was written of one log.
#[derive(Default)]
struct Applied {
    entries: u64,
    bytes: u64,
    lost: u64,
    /// How far it is durable now.
    end: Option<Position>,
}

struct LogReplay<'a> {
    files: &'a dyn FileSystem,
    path: &'a Path,
    journals: &'a [Arc<dyn File>],
}

impl LogReplay<'_> {
    fn run(&self, places: &[Place], mark: Option<Position>) -> io::Result<Applied> {
        let mut segments = BTreeMap::<u64, Vec<&Place>>::new();
        for place in places.iter().filter(|place| is_behind(&place.entry, mark)) {
            segments.entry(place.entry.segment_base).or_default().push(place);
        }
        let mut applied = Applied::default();
        if segments.is_empty() {
            return Ok(applied);
        }
        let holes_below = match state::load(self.files, self.path)? {
            Stored::State(CompactionState { holes_below, .. }) => holes_below,
            // Only the segment that is being written is not compacted for certain.
            Stored::Unreadable => {
                let last_base = self.last_base()?;
                applied.lost +=
                    segments.range(..last_base).map(|(_, of)| of.len() as u64).sum::<u64>();
                last_base
            }
        };
        let log_start = start::load(self.files, self.path)?.unwrap_or(0);
        for (segment_base, places) in segments.split_off(&holes_below) {
            if !self.segment(segment_base, &places, &mut applied)? && self.is_there()? {
                let is_kept = |place: &&&Place| place.entry.next_offset > log_start;
                applied.lost += places.iter().filter(is_kept).count() as u64;
            }
        }
        Ok(applied)
    }

    /// Whether the log has not been deleted.
    fn is_there(&self) -> io::Result<bool> {
        match self.files.open(&self.path.join(PARTITION_FILE), OpenMode::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn last_base(&self) -> io::Result<u64> {
        let entries = self.files.list(self.path)?;
        let stems = entries.iter().filter_map(|entry| entry.name.strip_suffix(".log"));
        Ok(stems.filter_map(|stem| stem.parse().ok()).max().unwrap_or(0))
    }

    /// Whether the segment is there.
    fn segment(
        &self,
        segment_base: u64,
        places: &[&Place],
        applied: &mut Applied,
    ) -> io::Result<bool> {
        let path = Segment::new(self.path, segment_base).log_path();
        let file = match self.files.open(&path, OpenMode::ReadWrite) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        for Place { entry, file: journal, position } in places {
            let Some(journal) = self.journals.get(*journal) else { continue };
            let mut batches = vec![0; usize::try_from(entry.bytes).map_err(io::Error::other)?];
            let read = read_full(&**journal, &mut batches, position + entry.at as u64)?;
            if read < batches.len() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            // Also where the file shows the same: what a failed sync has lost is shown until it is
            // read from the disk.
            write_full(&*file, &[&batches], entry.position)?;
            applied.entries += 1;
            applied.bytes += u64::from(entry.bytes);
            let end = applied.end.filter(|end| place(*end) > place(entry.end()));
            applied.end = end.or(Some(entry.end()));
        }
        file.sync_data().map(|()| true)
    }
}
