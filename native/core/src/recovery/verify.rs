//! Checking a data directory that no broker uses, without changing it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::scan::{Mark, ScanStart, ScanState, Scanned, scan};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, Records},
    compaction::state::{self, CompactionState, Stored},
    compression::{Codec, decompress},
    env::{Env, File, OpenMode, transfer::read_full},
    error::{Code, Error, Result},
    index::{SegmentIndex, file as index_file},
    limits,
    log::OFFSET_MAX,
    producer::ProducerStates,
    registry::{
        directory::{DataDirectory, PartitionFile},
        format::FORMAT_FILE,
    },
    segment::{
        DamagedRange, Segment,
        damage::{self, KnownDamage},
    },
};

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
}

/// Reads every batch of every log, or of one topic's, and checks its checksum, its place, its
/// length and its records, and every index. Holds the directory's lock meanwhile and changes
/// nothing. Waits for the disk.
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
    for Partition { name, label, path } in partitions(env, &directory)? {
        if topic.is_none() || topic == name.as_deref() {
            verify_log(env, &label, &path, &mut report)?;
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
            found.push(Partition { label, name: file.map(|file| file.topic), path });
        }
    }
    found.sort();
    Ok(found)
}

fn verify_log(env: &Env, label: &str, path: &Path, report: &mut VerifyReport) -> Result<()> {
    let entries = list(env, path)?;
    let mut bases: Vec<u64> =
        entries.iter().filter_map(|entry| entry.name.strip_suffix(".log")?.parse().ok()).collect();
    bases.sort_unstable();
    let compaction = load_compaction(env, label, path, report)?;
    if let Some(swap) = compaction.swap {
        let cleaned = Segment::file_name(swap.base, state::CLEANED);
        if !entries.iter().any(|entry| entry.name == cleaned) {
            // What they held is in the one that took their place; the next start removes them.
            bases.retain(|base| *base <= swap.base || *base >= swap.end);
        }
    }
    let mut expected = bases.first().copied().unwrap_or(0);
    for (index, &base_offset) in bases.iter().enumerate() {
        if base_offset > expected {
            let detail = format!("offsets {expected} to {base_offset} are missing");
            report.findings.push(Finding { subject: label.to_owned(), detail });
        }
        let next_base = bases.get(index + 1).copied().unwrap_or(OFFSET_MAX);
        let segment = Segment::new(path, base_offset);
        segment.set_has_holes(base_offset < compaction.holes_below);
        expected = match verify_segment(env, label, &segment, next_base, report) {
            Err(error) if error.code() == Code::KafkaStorageError => {
                // What cannot be read keeps nobody from looking at the others.
                report.findings.push(unreadable(label, &error));
                next_base
            }
            checked => checked?,
        };
    }
    Ok(())
}

/// A segment, or a file beside it, that the disk does not read.
fn unreadable(label: &str, error: &Error) -> Finding {
    let detail = format!("{} (not all of this segment was checked)", error.detail());
    Finding { subject: label.to_owned(), detail }
}

/// How far a log was compacted; what cannot be believed is a finding.
fn load_compaction(
    env: &Env,
    label: &str,
    path: &Path,
    report: &mut VerifyReport,
) -> Result<CompactionState> {
    let file = path.join(state::FILE_NAME);
    let stored = state::load(&*env.files, path)
        .map_err(|error| Error::io(format_args!("reading {}", file.display()), &error))?;
    Ok(match stored {
        Stored::State(compaction) => compaction,
        Stored::Unreadable => {
            let detail = format!(
                "{} cannot be read (every segment is taken for one that was compacted)",
                file.display()
            );
            report.findings.push(Finding { subject: label.to_owned(), detail });
            CompactionState { holes_below: OFFSET_MAX, ..CompactionState::default() }
        }
    })
}

/// Checks one segment, whose offsets end before `next_base`. Returns the offset that it ends at.
fn verify_segment(
    env: &Env,
    label: &str,
    segment: &Segment,
    next_base: u64,
    report: &mut VerifyReport,
) -> Result<u64> {
    let base_offset = segment.base_offset;
    let log_path = segment.log_path();
    let shown = log_path.display();
    let failed = |error| Error::io(format_args!("reading {shown}"), &error);
    let mut finding = |detail: String| {
        report.findings.push(Finding { subject: label.to_owned(), detail });
    };
    let file: Arc<dyn File> = env.files.open(&log_path, OpenMode::Read).map_err(failed)?;
    let stored = load_index(env, segment)?;
    let indexed = stored.as_ref().map(|index| index.marks(base_offset)).unwrap_or_default();
    let known = damage::load(&*env.files, &segment.path("damage")).map_err(failed)?;
    let known_ends = known.ranges().map(DamagedRange::end);
    let start = ScanStart {
        offset_max: next_base,
        has_holes: segment.has_holes(),
        marks: indexed.iter().copied().chain(known_ends).collect(),
        ..ScanStart::at(base_offset, 0)
    };
    let mut state = ScanState {
        index: &mut SegmentIndex::default(),
        producers: &mut ProducerStates::default(),
        index_interval_bytes: 4096,
        base_offset,
    };
    let scanned = scan(&*file, &start, &mut state).map_err(failed)?;
    for range in &scanned.damaged {
        let bytes = range.to_position - range.from_position;
        let (from, to, position) = (range.from_offset, range.to_offset, range.from_position);
        let is_known = known.ranges().any(|other| other.covers(range));
        let known = if is_known { " (known: the broker serves around it)" } else { "" };
        finding(format!(
            "offsets {from} to {to} are damaged: {bytes} bytes from {position} on in {shown}{known}"
        ));
    }
    report_wrong_damage(segment, &known, &scanned, &mut finding);
    let checked = check_records(&*file, start.from, &scanned, &mut finding).map_err(failed)?;
    let is_wrong = |mark: &Mark| {
        mark.position < scanned.end_position && checked.marks.binary_search(mark).is_err()
    };
    if let Some(wrong) = indexed.iter().find(|mark| is_wrong(mark)) {
        let (offset, position) = (wrong.offset, wrong.position);
        finding(format!(
            "the index says that offset {offset} is at {position} in {shown}, and it is not (it is \
             rebuilt when the broker starts, or not used)"
        ));
    }
    let file_bytes = file.len().map_err(failed)?;
    let behind =
        crate::log::recover::bytes_written_behind(&*file, scanned.end_position, file_bytes)
            .map_err(failed)?;
    if behind > 0 {
        let end = scanned.next_offset;
        finding(format!("{behind} bytes behind offset {end} are no whole batch in {shown}"));
    }
    report.record_count += checked.record_count;
    report.bytes += checked.bytes;
    Ok(scanned.next_offset)
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

fn load_index(env: &Env, segment: &Segment) -> Result<Option<SegmentIndex>> {
    let path = segment.path("index");
    let loaded = index_file::load(&*env.files, &path, &segment.path("timeindex"))
        .map_err(|error| Error::io(format_args!("reading {}", path.display()), &error))?;
    Ok(loaded.map(|(index, _)| index))
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

fn list(env: &Env, path: &Path) -> Result<Vec<crate::env::DirectoryEntry>> {
    env.files
        .list(path)
        .map_err(|error| Error::io(format_args!("listing {}", path.display()), &error))
}
