//! Checking a data directory that no broker uses, without changing it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::scan::{ScanStart, ScanState, scan};
use crate::{
    env::{Env, File, OpenMode},
    error::{Error, Result},
    index::SegmentIndex,
    producer::ProducerStates,
    registry::directory::{DataDirectory, PartitionFile},
    segment::Segment,
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

/// Reads every batch of every log and checks its checksum, its place and its length. Holds the
/// directory's lock meanwhile and changes nothing. Waits for the disk.
///
/// # Errors
/// Those of [`DataDirectory::open`], and any I/O error.
pub fn verify_data_directory(env: &Env, path: &Path) -> Result<VerifyReport> {
    let directory = DataDirectory::open(env, path)?;
    let mut report = VerifyReport::default();
    for (label, partition) in partitions(env, &directory)? {
        verify_log(env, &label, &partition, &mut report)?;
        report.log_count += 1;
    }
    Ok(report)
}

/// Every partition directory with its name for people, in the order of names.
fn partitions(env: &Env, directory: &DataDirectory) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for topic_id in directory.topic_ids(env)? {
        let topic = directory.topic(topic_id);
        for entry in list(env, &topic)?.iter().filter(|entry| entry.is_directory) {
            let path = topic.join(&entry.name);
            let label = match PartitionFile::load(env, &path)? {
                Some(file) => format!("{}-{}", file.topic, file.partition),
                None => path.display().to_string(),
            };
            found.push((label, path));
        }
    }
    found.sort();
    Ok(found)
}

fn verify_log(env: &Env, label: &str, path: &Path, report: &mut VerifyReport) -> Result<()> {
    let mut bases: Vec<u64> = list(env, path)?
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(".log")?.parse().ok())
        .collect();
    bases.sort_unstable();
    let mut finding = |detail: String| {
        report.findings.push(Finding { subject: label.to_owned(), detail });
    };
    let mut expected = bases.first().copied().unwrap_or(0);
    for base_offset in bases {
        if base_offset > expected {
            finding(format!("offsets {expected} to {base_offset} are missing"));
        }
        let log_path = path.join(Segment::file_name(base_offset, "log"));
        let failed = |error| Error::io(format_args!("reading {}", log_path.display()), &error);
        let file: Arc<dyn File> = env.files.open(&log_path, OpenMode::Read).map_err(failed)?;
        let start = ScanStart::at(base_offset, 0);
        let mut state = ScanState {
            index: &mut SegmentIndex::default(),
            producers: &mut ProducerStates::default(),
            index_interval_bytes: 4096,
            base_offset,
        };
        let scanned = scan(&*file, &start, &mut state).map_err(failed)?;
        let mut lost = 0;
        for range in &scanned.damaged {
            let bytes = range.to_position - range.from_position;
            lost += range.to_offset - range.from_offset;
            finding(format!(
                "offsets {} to {} are damaged: {bytes} bytes from {} on in {}",
                range.from_offset,
                range.to_offset,
                range.from_position,
                log_path.display()
            ));
            report.bytes = report.bytes.saturating_sub(bytes);
        }
        let behind = crate::log::recover::bytes_written_behind(
            &*file,
            scanned.end_position,
            file.len().map_err(failed)?,
        )
        .map_err(failed)?;
        if behind > 0 {
            finding(format!(
                "{behind} bytes behind offset {} are no whole batch in {}",
                scanned.next_offset,
                log_path.display()
            ));
        }
        report.record_count += scanned.next_offset - base_offset - lost;
        report.bytes += scanned.end_position;
        expected = scanned.next_offset;
    }
    Ok(())
}

fn list(env: &Env, path: &Path) -> Result<Vec<crate::env::DirectoryEntry>> {
    env.files
        .list(path)
        .map_err(|error| Error::io(format_args!("listing {}", path.display()), &error))
}
