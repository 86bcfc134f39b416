//! The flush journal of a directory that is repaired: what it holds belongs to the logs, and must
//! be there before anything is cut out of them.

use std::sync::Arc;

use uuid::Uuid;

use super::{Problem, Repair, RepairAction};
use crate::{
    env::OpenMode,
    error::{Error, Result},
    journal::{self, DIRECTORY, FILE_NAMES, replay},
    space::{MaySayFull, SpaceWatch},
};

impl Repair<'_> {
    /// Does what the next start would do with the journal. What the disk does not read of it is
    /// given up: the file is kept in `salvage/`.
    pub(super) fn replay_journal(&mut self) -> Result<()> {
        let files = &*self.env.files;
        let data_directory = self.directory.path.clone();
        let mut checkpoint = self.checkpoint.clone().unwrap_or_default();
        if !checkpoint.is_clean {
            let found = replay::find(files, &data_directory, true)?;
            self.tell_of_lost_groups(&found)?;
            let logs = found.logs_behind(&checkpoint).count();
            if logs > 0 {
                self.tell(RepairAction {
                    subject: DIRECTORY.to_owned(),
                    detail: format!(
                        "holds acked records of {logs} logs: brought to their segments"
                    ),
                    file: data_directory.join(DIRECTORY).display().to_string(),
                    ..RepairAction::default()
                });
            }
            if logs > 0 && self.is_for_real() {
                let space = SpaceWatch::open(Arc::clone(&self.env.files), &data_directory)?;
                let directory = &self.directory;
                let replayed = replay::apply(&space, files, directory, &found, &mut checkpoint, 1);
                // Where there is room again, nothing of it has to be given up.
                if let Some(error) = replayed.error().filter(Error::says_full) {
                    return Err(error);
                }
                self.keep_what_failed(&replayed)?;
                // Before the journal goes: it alone knows from then on that they were acked.
                checkpoint.store(files, &data_directory)?;
                self.checkpoint = Some(checkpoint);
            }
        }
        if self.is_for_real() {
            journal::remove(files, &data_directory)?;
        }
        Ok(())
    }

    /// What some logs could not get must not hold up the others: it is kept in `salvage/`.
    fn keep_what_failed(&mut self, replayed: &replay::Replayed) -> Result<()> {
        let mut kept = Vec::new();
        let damage = replayed.damage();
        let is_all_there = replayed.failures.is_empty() && damage.is_none();
        for name in FILE_NAMES.iter().filter(|_| !is_all_there) {
            let path = self.directory.path.join(DIRECTORY).join(name);
            if self.env.files.open(&path, OpenMode::Read).is_ok() {
                kept.extend(self.keep_file(DIRECTORY, &path)?);
            }
        }
        if let Some(detail) = damage {
            self.tell(RepairAction {
                subject: DIRECTORY.to_owned(),
                detail,
                file: self.directory.path.join(DIRECTORY).display().to_string(),
                salvaged_to: kept.first().cloned(),
                ..RepairAction::default()
            });
        }
        for ((topic_id, partition), error) in &replayed.failures {
            let path = self.directory.partition(Uuid::from_bytes(*topic_id), *partition);
            self.report.problems.push(Problem {
                subject: path.display().to_string(),
                detail: format!(
                    "{}; what was to come there is in {}",
                    error.detail(),
                    kept.join(", ")
                ),
            });
        }
        Ok(())
    }

    fn tell_of_lost_groups(&mut self, found: &replay::Found) -> Result<()> {
        if found.damage.is_empty() {
            return Ok(());
        }
        for name in FILE_NAMES {
            let path = self.directory.path.join(DIRECTORY).join(name);
            let file = path.display().to_string();
            let Some(detail) = found.damage.iter().find(|detail| detail.starts_with(&file)) else {
                continue;
            };
            let salvaged_to = self.keep_file(DIRECTORY, &path)?;
            self.tell(RepairAction {
                subject: DIRECTORY.to_owned(),
                detail: format!("{detail}; acked records may be lost"),
                file,
                salvaged_to,
                ..RepairAction::default()
            });
        }
        Ok(())
    }
}
