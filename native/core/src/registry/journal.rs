//! The flush journal of a store: replayed before anything else, and removed by a clean stop.

use std::sync::Arc;

use super::{StoreOptions, directory::DataDirectory, format::FORMAT_VERSION_JOURNALED};
use crate::{
    env::{Env, FileSystemKind},
    error::{Error, Result},
    flush::{budget::DirtyBudget, work::WorkPool},
    journal::{self, DIRECTORY, FlushJournal, JournalSetting, replay},
    recovery::{RecoveryEntry, RecoveryEvent, checkpoint::Checkpoint},
    space::SpaceWatch,
};

/// What a start is told by the journal that it found.
pub(super) struct Start<'a> {
    pub(super) env: &'a Env,
    pub(super) directory: &'a DataDirectory,
    pub(super) space: &'a SpaceWatch,
    pub(super) threads_max: usize,
}

impl Start<'_> {
    /// Brings what the run before this one has journaled to the segments, and the checkpoint up to
    /// date with it; returns whether there was anything. Waits for the disk.
    ///
    /// # Errors
    /// Any I/O error; the journal then is as it was.
    pub(super) fn replay(
        &self,
        checkpoint: &mut Option<Checkpoint>,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<bool> {
        let files = &*self.env.files;
        let found = replay::find(files, &self.directory.path, false)?;
        let is_behind = !found.is_empty();
        if is_behind {
            let mut told = checkpoint.clone().unwrap_or_default();
            let replayed = self.space.with_reserve(|| {
                replay::apply(files, self.directory, &found, &mut told, self.threads_max)
            })?;
            if replayed.logs > 0 {
                let event = RecoveryEvent::Replayed {
                    groups: found.groups,
                    logs: replayed.logs,
                    bytes: replayed.bytes,
                };
                report.push(entry(event));
                *checkpoint = Some(told);
            }
        }
        for detail in found.damage {
            report.push(entry(RecoveryEvent::JournalDamaged { detail }));
        }
        Ok(is_behind)
    }

    /// Removes the journal: what it holds is in the segments.
    pub(super) fn remove(&self) -> Result<()> {
        journal::remove(&*self.env.files, &self.directory.path)
    }
}

fn entry(event: RecoveryEvent) -> RecoveryEntry {
    RecoveryEntry { subject: DIRECTORY.to_owned(), event }
}

/// A journal for a store, where it asks for one and the file system is one that has a use for it:
/// in memory a sync costs nothing, and copy-on-write has no blocks to be used again.
///
/// # Errors
/// An I/O error.
pub(super) fn open(
    env: &Env,
    options: &StoreOptions,
    directory: &Arc<DataDirectory>,
    space: &Arc<SpaceWatch>,
    (dirty, work): (&Arc<DirtyBudget>, &Arc<WorkPool>),
) -> Result<Option<Arc<FlushJournal>>> {
    let Some(journal) = options.journal else {
        return Ok(None);
    };
    let path = &directory.path;
    let kind = env.files.kind(path);
    let kind =
        kind.map_err(|error| Error::io(format_args!("opening {}", path.display()), &error))?;
    if kind != FileSystemKind::Local {
        return Ok(None);
    }
    // Weak: whoever still has a log of a store that is closed must not keep the directory locked.
    let (format, format_env) = (Arc::downgrade(directory), env.clone());
    let require_format = move || match format.upgrade() {
        Some(directory) => directory.require_format(&format_env, FORMAT_VERSION_JOURNALED),
        None => Err(Error::new(crate::error::Code::ShuttingDown, "the store is closed")),
    };
    let setting = JournalSetting {
        data_directory: path.clone(),
        files: Arc::clone(&env.files),
        clock: Arc::clone(&env.clock),
        space: Arc::clone(space),
        dirty: Arc::clone(dirty),
        work: Arc::clone(work),
        require_format: Box::new(require_format),
    };
    Ok(Some(FlushJournal::new(journal, setting)))
}
