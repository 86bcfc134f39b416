//! Checking a data directory that no broker uses, without changing it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hashbrown::HashSet;

use super::{
    checkpoint::{Checkpoint, LogKey},
    scan::{Mark, ScanStart, Scanned, look},
};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, Records},
    compaction::state::{self, CompactionState, Stored},
    compression::{Codec, decompress},
    env::{
        DirectoryEntry, Env, File, OpenMode,
        transfer::{is_unreadable, read_full, temporary_name},
    },
    error::{Code, Error, Result},
    index::{file as index_file, file::Coverage},
    journal::{self, replay},
    limits,
    log::{
        OFFSET_MAX, Position,
        recover::{bytes_written_behind, is_blank},
        start,
    },
    producer::snapshot,
    registry::{
        directory::{DataDirectory, PARTITION_FILE, PartitionFile},
        format::FORMAT_FILE,
    },
    segment::{
        DamagedRange, Segment,
        damage::{self, KnownDamage},
    },
};

/// Bytes of a damaged range that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The partition.
    pub subject: String,
    /// What is wrong and where, for people.
    pub detail: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Logs read.
    pub log_count: u64,
    /// Records in whole batches.
    pub record_count: u64,
    /// Bytes of whole batches.
    pub bytes: u64,
    /// Damage, in the order of partitions and offsets.
    pub findings: Vec<Finding>,
    /// What an append left that a stop came in between of, and that the next start erases: no
    /// damage.
    pub tails: Vec<Finding>,
    /// Logs of which the flush journal holds records that the next start brings to their segments.
    /// They were not checked.
    pub journaled: Vec<Finding>,
}

/// Reads every batch of every log, or of one topic's, and checks its checksum, its place, its
/// length and its records, every index, and the small files beside them. What the disk does not
/// read is a finding like any other. Holds the directory's lock meanwhile and changes nothing.
/// Waits for the disk.
///
/// # Errors
/// [`Code::InvalidArgument`] for what is no data directory, [`Code::UnknownTopicOrPartition`],
/// those of [`DataDirectory::open`], and any I/O error.
pub fn verify_data_directory(env: &Env, path: &Path, topic: Option<&str>) -> Result<VerifyReport> {
    let entries = list(env, path)?;
    if !entries.iter().any(|entry| entry.name == FORMAT_FILE) {
        let detail = format!("{} is no data directory", path.display());
        return Err(Error::new(Code::InvalidArgument, detail));
    }
    let directory = DataDirectory::open(env, path)?;
    let mut report = VerifyReport::default();
    let checkpoint = Checkpoint::load(&*env.files, path)?;
    let is_lost = checkpoint.is_none()
        && entries.iter().any(|entry| entry.name == super::checkpoint::FILE_NAME);
    if is_lost && topic.is_none() {
        report.findings.push(Finding {
            subject: super::checkpoint::FILE_NAME.to_owned(),
            detail: "it cannot be believed (the next start reads what it would have told)".into(),
        });
    }
    let checkpoint = checkpoint.unwrap_or_default();
    let journal = replay::find(&*env.files, path, true)?;
    for detail in journal.damage.iter().filter(|_| topic.is_none()) {
        let subject = journal::DIRECTORY.to_owned();
        report.findings.push(Finding { subject, detail: detail.clone() });
    }
    let journaled: HashSet<LogKey> = match checkpoint.is_clean {
        true => HashSet::new(),
        false => journal.logs_behind(&checkpoint).collect(),
    };
    for partition in partitions(env, &directory)? {
        if topic.is_none() || topic == partition.name.as_deref() {
            if partition.is_unfinished(env, Some(&checkpoint))? {
                continue;
            }
            if partition.key.is_some_and(|key| journaled.contains(&key)) {
                report.log_count += 1;
                report.journaled.push(Finding {
                    subject: partition.label,
                    detail: "not checked: the flush journal holds records of it".to_owned(),
                });
                continue;
            }
            let mut log = LogCheck::new(env, &partition, &checkpoint, &mut report);
            log.run()?;
            report.log_count += 1;
        }
    }
    match topic {
        Some(topic) if report.log_count == 0 => {
            Err(Error::new(Code::UnknownTopicOrPartition, topic))
        }
        _ => Ok(report),
    }
}

/// A partition's directory.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    /// Topic and partition, for people.
    pub(crate) label: String,
    /// The topic's name, where `partition.json` tells it.
    pub(crate) name: Option<String>,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What the checkpoint knows it by; `None` where its name is no number.
    pub(crate) key: Option<LogKey>,
}

impl Partition {
    /// Whether a creation that a stop came in between of has left it: nobody was told of it, and
    /// the next attempt finds it.
    ///
    /// # Errors
    /// An I/O error.
    pub(crate) fn is_unfinished(&self, env: &Env, checkpoint: Option<&Checkpoint>) -> Result<bool> {
        let (None, Some(key)) = (&self.name, self.key) else { return Ok(false) };
        if checkpoint.is_some_and(|checkpoint| checkpoint.logs.contains_key(&key)) {
            return Ok(false);
        }
        let temporary = temporary_name(PARTITION_FILE);
        Ok(list(env, &self.path)?.iter().all(|entry| entry.name == temporary))
    }
}

/// Every partition directory, in the order of names.
///
/// # Errors
/// An I/O error.
pub(crate) fn partitions(env: &Env, directory: &DataDirectory) -> Result<Vec<Partition>> {
    let mut found = Vec::new();
    for topic_id in directory.topic_ids(env)? {
        let topic = directory.topic(topic_id);
        for entry in list(env, &topic)?.iter().filter(|entry| entry.is_directory) {
            let path = topic.join(&entry.name);
            let file = PartitionFile::load(env, &path)?;
            let label = file.as_ref().map_or_else(
                || path.display().to_string(),
                |file| format!("{}-{}", file.topic, file.partition),
            );
            let number = entry.name.parse().ok();
            let key = number.map(|number| (*topic_id.as_bytes(), number));
            found.push(Partition { label, name: file.map(|file| file.topic), path, key });
        }
    }
    found.sort();
    Ok(found)
}

/// The check of one log.
struct LogCheck<'a> {
    env: &'a Env,
    partition: &'a Partition,
    /// How far it was flushed, by the checkpoint.
    flushed: Option<Position>,
    /// The checkpoint was written by a clean stop.
    was_clean: bool,
    compaction: CompactionState,
    report: &'a mut VerifyReport,
}

impl<'a> LogCheck<'a> {
    fn new(
        env: &'a Env,
        partition: &'a Partition,
        checkpoint: &Checkpoint,
        report: &'a mut VerifyReport,
    ) -> Self {
        let mark = partition.key.and_then(|key| checkpoint.logs.get(&key));
        Self {
            env,
            partition,
            flushed: mark.map(|mark| mark.flushed),
            was_clean: checkpoint.is_clean,
            compaction: CompactionState::default(),
            report,
        }
    }

    fn finding(&mut self, detail: String) {
        let subject = self.partition.label.clone();
        self.report.findings.push(Finding { subject, detail });
    }

    fn run(&mut self) -> Result<()> {
        let entries = list(self.env, &self.partition.path)?;
        if self.partition.name.is_none() {
            let file = self.partition.path.join(PARTITION_FILE);
            self.finding(format!("{} is missing or cannot be read", file.display()));
        }
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        let log_start = self.log_start(has(start::FILE_NAME))?;
        self.load_compaction()?;
        let mut bases = numbers(&entries, "log");
        if let Some(swap) = self.compaction.swap
            && !has(&Segment::file_name(swap.base, state::CLEANED))
        {
            // What they held is in the one that took their place; the next start removes them.
            bases.retain(|base| *base <= swap.base || *base >= swap.end);
        }
        self.leave_out_what_a_start_removes(&entries, log_start.unwrap_or(0), &mut bases)?;
        let mut expected = log_start.or(bases.first().copied()).unwrap_or(0);
        for (index, &base_offset) in bases.iter().enumerate() {
            // The first segment may begin before records that were deleted.
            if base_offset > expected {
                self.finding(format!("offsets {expected} to {base_offset} are missing"));
            }
            let next_base = bases.get(index + 1).copied();
            expected = match self.segment(base_offset, next_base) {
                Err(error) if error.code() == Code::KafkaStorageError => {
                    // What cannot be read keeps nobody from looking at the others.
                    let detail = error.detail();
                    self.finding(format!("{detail} (not all of this segment was checked)"));
                    next_base.unwrap_or(OFFSET_MAX)
                }
                checked => checked?,
            };
        }
        let end = self.flushed.map_or(0, |flushed| flushed.offset).max(log_start.unwrap_or(0));
        if expected < end {
            self.finding(format!("offsets {expected} to {end} are missing, and they were durable"));
        }
        self.snapshots(&entries)
    }

    /// Where the log starts; `None` where nothing that can be believed says so.
    fn log_start(&mut self, is_there: bool) -> Result<Option<u64>> {
        if !is_there {
            return Ok(Some(0));
        }
        let file = self.partition.path.join(start::FILE_NAME);
        let stored = match start::load(&*self.env.files, &self.partition.path) {
            Err(error) if is_unreadable(&error) => None,
            stored => stored.map_err(|error| failed(&file, &error))?,
        };
        if stored.is_none() {
            self.finding(format!(
                "{} cannot be read (the log starts at its first segment: deleted records of it may \
                 be read again)",
                file.display()
            ));
        }
        Ok(stored)
    }

    /// Segments whose records were all deleted, and those at the end that hold nothing.
    fn leave_out_what_a_start_removes(
        &self,
        entries: &[DirectoryEntry],
        log_start: u64,
        bases: &mut Vec<u64>,
    ) -> Result<()> {
        drop(bases.drain(..start::count_below(bases.iter().copied(), log_start)));
        while let [_, .., last] = bases.as_slice()
            && *last > log_start
        {
            let segment = self.segment_at(*last);
            let name = Segment::file_name(*last, "log");
            let bytes = entries.iter().find(|entry| entry.name == name).map(|entry| entry.bytes);
            let (files, bytes) = (&*self.env.files, bytes.unwrap_or(0));
            match is_blank(files, &segment, bytes, self.was_clean, self.flushed) {
                Ok(true) => bases.pop(),
                Ok(false) => break,
                // Its check tells.
                Err(error) if is_unreadable(&error) => break,
                Err(error) => return Err(failed(&segment.log_path(), &error)),
            };
        }
        Ok(())
    }

    fn segment_at(&self, base_offset: u64) -> Segment {
        let segment = Segment::new(&self.partition.path, base_offset);
        segment.set_has_holes(base_offset < self.compaction.holes_below);
        segment
    }

    /// How far the log was compacted; what cannot be believed is a finding.
    fn load_compaction(&mut self) -> Result<()> {
        let file = self.partition.path.join(state::FILE_NAME);
        let stored = match state::load(&*self.env.files, &self.partition.path) {
            Err(error) if is_unreadable(&error) => Stored::Unreadable,
            stored => stored.map_err(|error| failed(&file, &error))?,
        };
        self.compaction = match stored {
            Stored::State(compaction) => compaction,
            Stored::Unreadable => {
                self.finding(format!(
                    "{} cannot be read (every segment is taken for one that was compacted)",
                    file.display()
                ));
                CompactionState { holes_below: OFFSET_MAX, ..CompactionState::default() }
            }
        };
        Ok(())
    }

    /// Snapshots of producers that cannot be believed. After anything but a clean stop one may be
    /// half written, and another makes up for it.
    fn snapshots(&mut self, entries: &[DirectoryEntry]) -> Result<()> {
        for offset in numbers(entries, "snapshot") {
            let file = self.partition.path.join(Segment::file_name(offset, "snapshot"));
            let loaded =
                snapshot::load(&*self.env.files, &file).map_err(|error| failed(&file, &error))?;
            if self.was_clean && loaded.is_none_or(|(_, at)| at != offset) {
                self.finding(format!(
                    "{} cannot be read (it is made again from the log)",
                    file.display()
                ));
            }
        }
        Ok(())
    }

    /// Checks one segment. Returns the offset that it ends at.
    fn segment(&mut self, base_offset: u64, next_base: Option<u64>) -> Result<u64> {
        let segment = self.segment_at(base_offset);
        let log_path = segment.log_path();
        let shown = log_path.display();
        let failed = |error| failed(&log_path, &error);
        let files = &*self.env.files;
        let file: Arc<dyn File> = files.open(&log_path, OpenMode::Read).map_err(failed)?;
        let stored = index_file::load(files, &segment.path("index"), &segment.path("timeindex"))
            .map_err(failed)?;
        let indexed =
            stored.as_ref().map(|(index, _)| index.marks(base_offset)).unwrap_or_default();
        let known = damage::load(files, &segment.path("damage")).map_err(failed)?;
        let known_ends = known.ranges().map(DamagedRange::end);
        let start = ScanStart {
            offset_max: next_base.unwrap_or(OFFSET_MAX),
            has_holes: segment.has_holes(),
            durable: self.durable(&segment, stored.map(|(_, coverage)| coverage)),
            marks: indexed.iter().copied().chain(known_ends).collect(),
            is_unread_damage: true,
            producers_from: u64::MAX,
            ..ScanStart::at(base_offset, 0)
        };
        let scanned = look(&*file, &start, base_offset).map_err(failed)?;
        for range in &scanned.damaged {
            let bytes = range.to_position - range.from_position;
            let (from, to, position) = (range.from_offset, range.to_offset, range.from_position);
            if let Some(error) = error_of_reading(&*file, position, range.to_position) {
                self.finding(format!(
                    "reading {bytes} bytes from {position} on in {shown}: {error} (offsets {from} \
                     to {to})"
                ));
                continue;
            }
            let is_known = known.ranges().any(|other| other.covers(range));
            let known = if is_known { " (known: the broker serves around it)" } else { "" };
            self.finding(format!(
                "offsets {from} to {to} are damaged: {bytes} bytes from {position} on in \
                 {shown}{known}"
            ));
        }
        let mut finding = |detail: String| self.finding(detail);
        report_wrong_damage(&segment, &known, &scanned, &mut finding);
        let checked = check_records(&*file, start.from, &scanned, &mut finding).map_err(failed)?;
        let is_wrong = |mark: &Mark| {
            mark.position < scanned.end_position && checked.marks.binary_search(mark).is_err()
        };
        if let Some(wrong) = indexed.iter().find(|mark| is_wrong(mark)) {
            let (offset, position) = (wrong.offset, wrong.position);
            finding(format!(
                "the index says that offset {offset} is at {position} in {shown}, and it is not \
                 (it is rebuilt when the broker starts, or not used)"
            ));
        }
        self.report.record_count += checked.record_count;
        self.report.bytes += checked.bytes;
        self.tell_of_tail(&log_path, &*file, &scanned, next_base)?;
        Ok(scanned.next_offset)
    }

    /// How far a segment was durable, as a start has it from the checkpoint.
    fn durable(&self, segment: &Segment, coverage: Option<Coverage>) -> Option<Mark> {
        // It may be about what the file was before it was compacted; not if it is as far as the
        // index, which is always that of the file, or further.
        let is_of_this_file = |flushed: &Position| {
            let is_of_index = |Coverage { log_bytes, next_offset, .. }: Coverage| {
                flushed.offset > next_offset
                    || (flushed.offset == next_offset && flushed.position == log_bytes)
            };
            !segment.has_holes() || coverage.is_some_and(is_of_index)
        };
        self.flushed
            .filter(|flushed| flushed.segment_base == segment.base_offset)
            .filter(is_of_this_file)
            .map(|flushed| Mark { position: flushed.position, offset: flushed.offset })
    }

    /// Tells of bytes behind the last whole batch: damage where another segment follows and lacks
    /// what they held, else what an unfinished append left.
    fn tell_of_tail(
        &mut self,
        path: &Path,
        file: &dyn File,
        scanned: &Scanned,
        next_base: Option<u64>,
    ) -> Result<()> {
        let file_bytes = file.len().map_err(|error| failed(path, &error))?;
        let behind = bytes_written_behind(file, scanned.end_position, file_bytes)
            .map_err(|error| failed(path, &error))?;
        if behind == 0 {
            return Ok(());
        }
        let (end, shown) = (scanned.next_offset, path.display());
        let detail = format!("{behind} bytes behind offset {end} are no whole batch in {shown}");
        if next_base.is_some_and(|next_base| end < next_base) {
            self.finding(detail);
        } else {
            let subject = self.partition.label.clone();
            self.report.tails.push(Finding { subject, detail });
        }
        Ok(())
    }
}

/// Why some bytes of a file cannot be read; `None`: they can.
fn error_of_reading(file: &dyn File, from: u64, to: u64) -> Option<std::io::Error> {
    let mut buffer = vec![0; READ_BYTES];
    let mut position = from;
    while position < to {
        match read_full(file, &mut buffer, position) {
            Ok(0) => return None,
            Ok(read) => position += read as u64,
            Err(error) => return Some(error),
        }
    }
    None
}

/// Numbers in the names of files with an extension, rising.
fn numbers(entries: &[DirectoryEntry], extension: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(extension)?.strip_suffix('.'))
        .filter(|stem| stem.len() == 20)
        .filter_map(|stem| stem.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("reading {}", path.display()), error)
}

/// Reports a `BASE.damage` that says more than is so.
fn report_wrong_damage(
    segment: &Segment,
    known: &KnownDamage,
    scanned: &Scanned,
    finding: &mut impl FnMut(String),
) {
    let path = segment.path("damage");
    let shown = path.display();
    if *known == KnownDamage::Unreadable {
        finding(format!("{shown} cannot be read (it is made again when the broker starts)"));
    }
    // What lies behind the last whole batch is reported as such.
    let whole = known.ranges().filter(|range| range.to_position <= scanned.end_position);
    for range in whole {
        if !scanned.damaged.iter().any(|other| range.overlaps(other)) {
            let (from, to) = (range.from_offset, range.to_offset);
            finding(format!(
                "{shown} says that offsets {from} to {to} are damaged, and they are not: remove \
                 the file while no broker runs to have them served"
            ));
        }
    }
}

/// The whole batches of a part of a segment.
#[derive(Default)]
pub(crate) struct CheckedBatches {
    /// Where they begin, rising.
    pub(crate) marks: Vec<Mark>,
    /// Their records.
    pub(crate) record_count: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// The newest leader epoch; 0 for none.
    pub(crate) leader_epoch_max: i32,
    /// The largest producer id; 0 for none.
    pub(crate) producer_id_max: i64,
    /// Those whose checksum holds, and whose records cannot be taken apart; rising, and not among
    /// the records and bytes.
    pub(crate) unreadable: Vec<DamagedRange>,
}

/// Takes apart every whole batch of what was scanned from a mark's position on that ends at its
/// offset or later.
///
/// # Errors
/// An I/O error while reading.
pub(crate) fn check_records(
    file: &dyn File,
    from: Mark,
    scanned: &Scanned,
    finding: &mut impl FnMut(String),
) -> std::io::Result<CheckedBatches> {
    let mut checked = CheckedBatches::default();
    let (mut position, mut batch, mut decompressed) = (from.position, Vec::new(), Vec::new());
    while position < scanned.end_position {
        let mut damaged = scanned.damaged.iter();
        if let Some(range) =
            damaged.find(|range| range.from_position == position && range.to_position > position)
        {
            position = range.to_position;
            continue;
        }
        let mut head = [0; HEADER_BYTES];
        read_full(file, &mut head, position)?;
        // The scan has just read it.
        let Ok(header) = BatchHeader::read(&head) else {
            finding(format!("the batch at {position} changed while it was read"));
            return Ok(checked);
        };
        if u64::try_from(header.last_offset()).is_ok_and(|last| last < from.offset) {
            position += header.batch_bytes() as u64;
            continue;
        }
        batch.resize(header.batch_bytes(), 0);
        read_full(file, &mut batch, position)?;
        let section = batch.get(HEADER_BYTES..).unwrap_or_default();
        let offset = u64::try_from(header.base_offset).unwrap_or(0);
        let bytes = header.batch_bytes() as u64;
        checked.marks.push(Mark { position, offset });
        if let Err(error) = take_apart(&header, section, &mut decompressed) {
            finding(format!("the records of the batch at {position}: {error}"));
            checked.unreadable.push(DamagedRange {
                from_offset: offset,
                to_offset: u64::try_from(header.last_offset()).map_or(offset, |last| last + 1),
                from_position: position,
                to_position: position + bytes,
            });
        } else {
            checked.record_count += u64::try_from(header.record_count).unwrap_or(0);
            checked.bytes += bytes;
        }
        checked.leader_epoch_max = checked.leader_epoch_max.max(header.leader_epoch);
        checked.producer_id_max = checked.producer_id_max.max(header.producer_id);
        position += bytes;
    }
    Ok(checked)
}

fn take_apart(header: &BatchHeader, section: &[u8], decompressed: &mut Vec<u8>) -> Result<()> {
    let codec = header.attributes.codec()?;
    let records = if codec == Codec::None {
        section
    } else {
        decompressed.clear();
        decompress(codec, section, limits::BATCH_BYTES_DECOMPRESSED_MAX, decompressed)?;
        decompressed
    };
    for record in Records::new(records, header.record_count) {
        record?;
    }
    Ok(())
}

fn list(env: &Env, path: &Path) -> Result<Vec<DirectoryEntry>> {
    env.files
        .list(path)
        .map_err(|error| Error::io(format_args!("listing {}", path.display()), &error))
}
