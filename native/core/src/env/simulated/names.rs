//! The names of the simulated file system: as processes see them, and as the disk has them.
//!
//! Each creation, rename, unlink and making or removing of a directory is one change, which
//! happens on the disk whole or not at all: a renamed file has its old name or its new one.
//! Changes of the same name keep their order, and so do changes in a directory and its removal;
//! everything else is independent, so that any of it may be lost without the rest. Syncing a
//! directory makes durable what was changed in it, a rename where the new name is, together with
//! the earlier changes that it builds upon. It does nothing for the directory's own name.

use std::{collections::BTreeSet, io, path::Path};

use super::{Survival, time::Generator};
use crate::env::namespace::{Change, DirectoryId, Namespace, Slot};

/// Live names, durable names, and the way from these to those.
pub(super) struct Names<T> {
    live: Namespace<T>,
    durable: Namespace<T>,
    pending: Vec<Change<T>>,
}

impl<T: Clone> Names<T> {
    /// Names on which disk and memory agree.
    pub(super) fn new(durable: Namespace<T>) -> Self {
        Self { live: durable.clone(), durable, pending: Vec::new() }
    }

    /// The names that processes see.
    pub(super) fn live(&self) -> &Namespace<T> {
        &self.live
    }

    /// Changes live names and remembers the change until it is durable.
    pub(super) fn change(
        &mut self,
        operation: impl FnOnce(&mut Namespace<T>) -> io::Result<Change<T>>,
    ) -> io::Result<()> {
        let change = operation(&mut self.live)?;
        self.pending.push(change);
        Ok(())
    }

    /// As [`Namespace::create_directory`].
    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        self.pending.extend(self.live.create_directory(path)?);
        Ok(())
    }

    /// Makes the changes in the directory at `path` durable.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let directory = self.live.directory(path)?;
        let mut needed = Trail::default();
        let mut kept = Vec::new();
        for change in self.pending.drain(..).rev().collect::<Vec<_>>() {
            let here = change.assignments.last().map(|(slot, _)| slot.directory);
            let wanted = here == Some(directory) || needed.is_before(&change);
            if wanted {
                needed.follow(&change);
            }
            kept.push((wanted, change));
        }
        for (wanted, change) in kept.into_iter().rev() {
            if wanted {
                self.durable.apply(&change);
            } else {
                self.pending.push(change);
            }
        }
        Ok(())
    }

    /// What a power cut leaves.
    pub(super) fn survive(&self, survival: Survival, random: &mut Generator) -> Namespace<T> {
        let mut names = self.durable.clone();
        let mut lost = Trail::default();
        // In some crashes nearly everything is lost or kept, as the two extremes are likeliest.
        let lost_in_8 = match survival {
            Survival::Nothing => 8,
            Survival::Everything => 0,
            Survival::Anything => random.one_of([0, 1, 4, 7, 8]),
        };
        for change in &self.pending {
            if random.below(8) < lost_in_8 || lost.is_behind(change) {
                lost.follow(change);
            } else {
                names.apply(change);
            }
        }
        names
    }
}

/// What a set of changes touched, to find the changes that they depend on or that depend on them.
#[derive(Default)]
struct Trail {
    slots: BTreeSet<Slot>,
    directories: BTreeSet<DirectoryId>,
    removed: BTreeSet<DirectoryId>,
}

impl Trail {
    fn follow<T>(&mut self, change: &Change<T>) {
        for (slot, _) in &change.assignments {
            self.directories.insert(slot.directory);
            self.slots.insert(slot.clone());
        }
        self.removed.extend(change.removed);
    }

    /// Whether an earlier `change` is one that those of the trail build upon.
    fn is_before<T>(&self, change: &Change<T>) -> bool {
        let mut slots = change.assignments.iter().map(|(slot, _)| slot);
        slots.any(|slot| self.slots.contains(slot) || self.removed.contains(&slot.directory))
    }

    /// Whether a later `change` builds upon one of the trail.
    fn is_behind<T>(&self, change: &Change<T>) -> bool {
        let mut slots = change.assignments.iter().map(|(slot, _)| slot);
        slots.any(|slot| self.slots.contains(slot))
            || change.removed.is_some_and(|removed| self.directories.contains(&removed))
    }
}
