//! The flush journal of a store: replayed before anything else, and removed by a clean stop.

use std::sync::{Arc, Weak, atomic::Ordering};

use super::{Store, StoreOptions, directory::DataDirectory, format::FORMAT_VERSION_JOURNALED};
use crate::{
    env::{Env, FileSystemKind},
    error::{Code, Error, Result},
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
    /// Has the checkpoint and the journal that a run before this one has left say what is so now.
    /// Returns the checkpoint that lies on the disk then. Waits for the disk.
    ///
    /// # Errors
    /// Any I/O error, but that the disk is too full for a checkpoint.
    pub(super) fn settle(
        &self,
        recovered: &mut Option<Checkpoint>,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<Checkpoint> {
        let files = &*self.env.files;
        let path = &self.directory.path;
        let was_clean = recovered.as_ref().is_some_and(|checkpoint| checkpoint.is_clean);
        let is_unread = recovered.is_none() && Checkpoint::is_there(files, path);
        let before = recovered.clone().unwrap_or_default();
        // By a clean stop all that was journaled was brought to the segments.
        let is_replayed = !was_clean && self.replay(recovered, report)?;
        let mut checkpointed = recovered.clone().unwrap_or_default();
        checkpointed.is_clean = false;
        // The stop was clean; this run is not, until it has stopped cleanly itself. A full disk
        // must not keep it from starting: then there is no checkpoint until there is room.
        let is_left = was_clean || is_unread;
        if (is_left || is_replayed) && checkpointed.store(files, path).is_err() {
            if is_left {
                Checkpoint::remove(files, path)?;
            }
            // What was journaled is in the segments, whether or not the next start is told so.
            checkpointed = if is_left { Checkpoint::default() } else { before };
        }
        if report.iter().any(|entry| matches!(entry.event, RecoveryEvent::JournalDamaged { .. })) {
            // For who wants to look what there is to be had of it.
            report.push(entry(RecoveryEvent::SetAside { path: self.set_aside()? }));
        }
        journal::remove(files, path)?;
        Ok(checkpointed)
    }

    /// Moves the journal out of the way; returns where it lies then.
    fn set_aside(&self) -> Result<String> {
        let path = self.directory.path.join(DIRECTORY);
        self.directory
            .move_aside(self.env, self.space, &path, DIRECTORY)
            .map(|to| to.display().to_string())
    }

    /// Brings what the run before this one has journaled to the segments, and the checkpoint up to
    /// date with it; returns whether there was anything. Waits for the disk.
    ///
    /// # Errors
    /// Any I/O error; the journal then is as it was.
    fn replay(
        &self,
        checkpoint: &mut Option<Checkpoint>,
        report: &mut Vec<RecoveryEntry>,
    ) -> Result<bool> {
        let files = &*self.env.files;
        let found = replay::find(files, &self.directory.path, false)?;
        let is_behind = !found.is_empty();
        if is_behind {
            let mut told = checkpoint.clone().unwrap_or_default();
            let replayed = replay::apply(
                self.space,
                files,
                self.directory,
                &found,
                &mut told,
                self.threads_max,
            );
            if let Some(error) = replayed.error() {
                return Err(error);
            }
            if let Some(detail) = replayed.damage() {
                report.push(entry(RecoveryEvent::JournalDamaged { detail }));
            }
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
}

impl Store {
    /// Has the checkpoint tell soon of what was synced behind the journal, so that its files can be
    /// used again.
    pub(super) fn watch_journal(self: &Arc<Self>) {
        let store = Arc::downgrade(self);
        let work = Arc::clone(&self.shared.work);
        self.shared.scheduler.when_synced(move || {
            let store = Weak::clone(&store);
            work.spawn(Box::new(move || {
                if let Some(store) = store.upgrade()
                    && store.write_checkpoint().is_err()
                {
                    store.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
                }
            }));
        });
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
        None => Err(Error::new(Code::ShuttingDown, "the store is closed")),
    };
    let setting = JournalSetting {
        data_directory: path.clone(),
        files: Arc::clone(&env.files),
        clock: Arc::clone(&env.clock),
        random: Arc::clone(&env.random),
        space: Arc::clone(space),
        dirty: Arc::clone(dirty),
        work: Arc::clone(work),
        require_format: Box::new(require_format),
    };
    Ok(Some(FlushJournal::new(journal, setting)))
}
