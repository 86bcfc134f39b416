//! Repairing a data directory that no broker uses: what cannot be read is copied to `salvage/`, and
//! then cut out, so that the rest is served without gaps.
//!
//! Nothing is dropped without a line in the report, and no byte of a log before that line and a
//! copy of the byte are durable. Every step leaves a directory that a broker opens as it would
//! have before, or repaired: a repair that was interrupted is simply done again.

mod catalogue;
mod journaled;
mod partition;
mod salvage;
mod segment;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;
use uuid::Uuid;

pub use catalogue::{Inventory, TopicDirectory, inventory};
use salvage::Salvage;

use super::{checkpoint::Checkpoint, verify::partitions};
use crate::{
    env::Env,
    error::{Code, Error, Result},
    metadata::Change,
    registry::{directory::DataDirectory, format::FORMAT_FILE},
};

/// What a repair is to do beside what it finds in the logs.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    /// Only say what would be done.
    pub is_dry_run: bool,
    /// Name of the directory below `salvage/` that gets what is cut out, and the report.
    pub salvage_name: String,
    /// Names of directories below `set-aside/` that are to be served again.
    pub bring_back: Vec<String>,
    /// What becomes of the metadata file.
    pub metadata: MetadataRepair,
    /// Partitions of known topics whose directories are missing: created, empty.
    pub missing: Vec<MissingPartition>,
    /// What the caller has decided about topics, for the report.
    pub notes: Vec<RepairAction>,
}

/// What becomes of the metadata file.
#[derive(Debug, Clone, Default)]
pub enum MetadataRepair {
    /// It stays.
    #[default]
    Keep,
    /// It gets these entries as well.
    Add(Vec<Change>),
    /// A new one with these entries takes its place; the old one is kept in `salvage/`.
    Rebuild(Vec<Change>),
}

/// A partition without a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPartition {
    /// Its topic's name.
    pub topic: String,
    /// Its topic's id.
    pub topic_id: Uuid,
    /// Its number.
    pub partition: u32,
}

/// One thing that was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairAction {
    /// The partition or topic, or the file that all share.
    pub subject: String,
    /// What is wrong and what is done about it, for people.
    pub detail: String,
    /// The file concerned.
    pub file: String,
    /// First offset that is given up, where records are.
    pub from_offset: Option<u64>,
    /// First offset behind those.
    pub to_offset: Option<u64>,
    /// Position of the first byte that is cut out.
    pub position: Option<u64>,
    /// Bytes that are cut out.
    pub bytes: u64,
    /// Where they, or the file as it was, are kept.
    pub salvaged_to: Option<String>,
}

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairReport {
    /// Nothing was done, only found.
    pub is_dry_run: bool,
    /// Logs read.
    pub log_count: u64,
    /// Records in whole batches: they stay.
    pub record_count: u64,
    /// Bytes of those batches.
    pub bytes: u64,
    /// What was done, or would be, in the order in which it was.
    pub actions: Vec<RepairAction>,
    /// What is wrong and was not repaired: partitions, and why.
    pub problems: Vec<Problem>,
    /// The directory that has what was cut out, and this report as `report.json`.
    pub salvage: Option<String>,
}

/// What could not be repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The partition or file.
    pub subject: String,
    /// Why, for people.
    pub detail: String,
}

/// A repair under way. It holds the directory's lock.
struct Repair<'a> {
    env: &'a Env,
    directory: DataDirectory,
    options: &'a RepairOptions,
    checkpoint: Option<Checkpoint>,
    is_checkpoint_there: bool,
    /// It is not stored yet what it tells of a segment that was written anew.
    is_checkpoint_stale: bool,
    salvage: Salvage,
    report: RepairReport,
    /// The newest epoch and the largest producer id in any batch, snapshot or checkpoint.
    leader_epoch_max: i32,
    producer_id_max: i64,
}

/// Repairs a data directory, or says what a repair would do. Waits for the disk.
///
/// # Errors
/// [`Code::InvalidArgument`] for what is no data directory, those of [`DataDirectory::open`], and
/// any I/O error that concerns more than one partition.
pub fn repair(env: &Env, path: &Path, options: &RepairOptions) -> Result<RepairReport> {
    let entries = env
        .files
        .list(path)
        .map_err(|error| Error::io(format_args!("listing {}", path.display()), &error))?;
    if !entries.iter().any(|entry| entry.name == FORMAT_FILE) {
        let detail = format!("{} is no data directory", path.display());
        return Err(Error::new(Code::InvalidArgument, detail));
    }
    let directory = DataDirectory::open(env, path)?;
    let is_checkpoint_there =
        entries.iter().any(|entry| entry.name == super::checkpoint::FILE_NAME);
    let mut repair = Repair {
        env,
        checkpoint: Checkpoint::load_for_good(&*env.files, &directory.path)?,
        is_checkpoint_there,
        is_checkpoint_stale: false,
        salvage: Salvage::new(&directory.path, &options.salvage_name),
        directory,
        options,
        report: RepairReport { is_dry_run: options.is_dry_run, ..RepairReport::default() },
        leader_epoch_max: -1,
        producer_id_max: -1,
    };
    let of_checkpoint = repair.checkpoint.as_ref().and_then(|checkpoint| checkpoint.leader_epoch);
    repair.leader_epoch_max = of_checkpoint.map_or(-1, |epoch| i32::try_from(epoch).unwrap_or(-1));
    repair.run()?;
    Ok(repair.report)
}

impl Repair<'_> {
    fn run(&mut self) -> Result<()> {
        if self.is_checkpoint_there && self.checkpoint.is_none() {
            self.drop_checkpoint()?;
        }
        self.replay_journal()?;
        self.bring_back()?;
        for partition in partitions(self.env, &self.directory)? {
            self.report.log_count += 1;
            let said_before = self.said_count();
            if let Err(error) = self.partition(&partition) {
                self.note_problem(partition.label, &error);
            }
            if self.said_count() > said_before {
                self.store_report_if_possible();
            }
        }
        if self.is_checkpoint_stale
            && let Some(checkpoint) = &self.checkpoint
            && let Err(error) = checkpoint.store(&*self.env.files, &self.directory.path)
        {
            // The old one is believed about no segment that was written anew.
            self.note_problem(super::checkpoint::FILE_NAME.to_owned(), &error);
        }
        self.report.actions.extend(self.options.notes.iter().cloned());
        self.create_missing()?;
        self.metadata()?;
        self.store_report_if_possible();
        Ok(())
    }

    fn said_count(&self) -> usize {
        self.report.actions.len() + self.report.problems.len()
    }

    fn note_problem(&mut self, subject: String, error: &Error) {
        self.report.problems.push(Problem { subject, detail: error.detail().to_owned() });
    }

    /// Whether it is to be done, and not only told of.
    fn is_for_real(&self) -> bool {
        !self.options.is_dry_run
    }

    fn tell(&mut self, action: RepairAction) {
        self.report.actions.push(action);
    }

    /// Removes a checkpoint that cannot be believed: without it a start reads the segments that are
    /// being written.
    fn drop_checkpoint(&mut self) -> Result<()> {
        let path = self.directory.path.join(super::checkpoint::FILE_NAME);
        let salvaged_to = self.keep_file("", &path)?;
        if self.is_for_real() {
            Checkpoint::remove(&*self.env.files, &self.directory.path)?;
        }
        self.tell(RepairAction {
            subject: super::checkpoint::FILE_NAME.to_owned(),
            detail: "cannot be believed: removed; the next start reads what it would have told"
                .to_owned(),
            file: path.display().to_string(),
            salvaged_to,
            ..RepairAction::default()
        });
        Ok(())
    }

    /// Copies a file to `salvage/`; returns where it lies then. `None` in a dry run.
    fn keep_file(&mut self, label: &str, path: &Path) -> Result<Option<String>> {
        if !self.is_for_real() {
            return Ok(None);
        }
        let kept = self.salvage.keep_file(self.env, label, path)?;
        Ok(Some(kept.display().to_string()))
    }

    /// As [`Self::store_report`]. What is done is done: where the disk does not take the report,
    /// the caller still gets it, with that as one more problem.
    fn store_report_if_possible(&mut self) {
        if let Err(error) = self.store_report() {
            let subject = self.salvage.path().display().to_string();
            if !self.report.problems.iter().any(|problem| problem.subject == subject) {
                self.note_problem(subject, &error);
            }
        }
    }

    /// Keeps the report in `salvage/`, as far as it goes, if there is anything to tell.
    fn store_report(&mut self) -> Result<()> {
        let has_something = !self.report.actions.is_empty() || !self.report.problems.is_empty();
        if !self.is_for_real() || !has_something {
            return Ok(());
        }
        self.report.salvage = Some(self.salvage.path().display().to_string());
        let json = serde_json::to_vec_pretty(&self.report)
            .map_err(|error| Error::new(Code::UnknownServerError, error.to_string()))?;
        self.salvage.store_report(self.env, &json)
    }
}
