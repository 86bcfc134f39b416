//! A machine for tests: files that can lose what was not synced, calls that fail on demand, time
//! that is set and randomness that repeats.
//!
//! What a power cut leaves, in short (`content` and `names` tell it in full):
//!
//! - What a successful `sync_data` or `sync_directory` covered is there. Neither does the other's
//!   work: a synced file in a directory that was not synced may have no name.
//! - Every 512-byte sector of a file shows some moment since that file's last sync, each its own:
//!   writes are lost, kept in any order, or torn. Stores into mappings are writes.
//! - The size of a file is one that it had since its last sync, whatever became of the data.
//! - Creations, renames, unlinks and removals are each lost or kept whole; those of one name, and
//!   those in a directory and its removal, in order.
//! - After a failed `sync_data` part of what it covered is lost for good, though processes see it
//!   until the power fails and later syncs succeed.

mod content;
mod faults;
mod file;
mod machine;
mod names;
mod time;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use faults::{Call, Effect, Fault, is_power_cut};
use faults::{Faults, Subject};
use file::SimulatedFile;
use machine::{Machine, Settings, State};
use names::Names;
use time::Generator;
pub use time::{SimulatedClock, SimulatedRandom};

use super::{
    DirectoryEntry, Env, File, FileSystem, FileSystemKind, OpenMode, ProcessLimits, Space,
    capacity::Capacity,
    namespace::{Namespace, Node},
};

/// What of everything unsynced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Survival {
    Nothing,
    Anything,
    Everything,
}

/// A file system in memory that keeps what processes see apart from what a power cut would leave.
/// Clones are handles of the same one. All calls are ordered by one lock, and what chance decides
/// depends on the seed and the order of calls alone. Paths are as those of
/// [`super::MemoryFileSystem`].
#[derive(Clone)]
pub struct SimulatedFileSystem {
    machine: Arc<Machine>,
}

impl SimulatedFileSystem {
    /// An empty one, local, without a limit, faults or chance but for what a crash keeps.
    /// Tests print `seed` when they fail.
    pub fn new(seed: u64) -> Self {
        let settings = Settings {
            kind: FileSystemKind::Local,
            ignores_syncs_of: None,
            short_transfer_one_in: 0,
            clock: None,
        };
        let state = State {
            names: Names::new(Namespace::new()),
            capacity: Capacity::new(None),
            random: Generator::new(seed),
            faults: Faults::default(),
            without_power: false,
            settings,
        };
        Self { machine: Arc::new(Machine::new(state)) }
    }

    /// Cuts the power now, unless a fault has already, and starts a machine with something that
    /// may be left; faults do not come along, everything else does. This one stays without power
    /// for good. Calling it again gives another of the possible outcomes.
    ///
    /// # Errors
    /// When the real machine cannot give the memory.
    pub fn crash(&self) -> io::Result<Self> {
        self.restart(Survival::Anything)
    }

    /// As [`Self::crash`], but exactly what was synced is left.
    ///
    /// # Errors
    /// As [`Self::crash`].
    pub fn crash_keeping_nothing(&self) -> io::Result<Self> {
        self.restart(Survival::Nothing)
    }

    /// As [`Self::crash`], but everything is left, except what failed syncs lost.
    ///
    /// # Errors
    /// As [`Self::crash`].
    pub fn crash_keeping_all(&self) -> io::Result<Self> {
        self.restart(Survival::Everything)
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.machine.state().faults.inject(fault);
    }

    /// Takes all injected faults back.
    pub fn clear_faults(&self) {
        self.machine.state().faults.clear();
    }

    /// Cuts the power at the `nth` call from now on; 1 is the next one.
    pub fn cut_power_at_call(&self, nth: u64) {
        self.inject(Fault::new(Effect::PowerCut).at(nth));
    }

    /// Limits what files may take, in pages of 4 KiB, also to less than they take already; `None`
    /// for no limit.
    pub fn set_capacity_bytes(&self, bytes: Option<u64>) {
        self.machine.state().capacity.set_limit_bytes(bytes);
    }

    /// Sets what [`FileSystem::kind`] says. Files allocate only on a local file system.
    pub fn set_kind(&self, kind: FileSystemKind) {
        self.machine.state().settings.kind = kind;
    }

    /// Has files tell when they were written to by a clock; without one they do not.
    pub fn set_clock(&self, clock: &Arc<SimulatedClock>) {
        self.machine.state().settings.clock = Some(Arc::clone(clock));
    }

    /// Lets one read or write in `count`, by chance, move only part of what was asked; 0 for none.
    pub fn set_short_transfers(&self, one_in: u64) {
        self.machine.state().settings.short_transfer_one_in = one_in;
    }

    /// Makes every sync of a path that contains `part` claim success and do nothing: a test that
    /// finds no loss then, finds none.
    pub fn set_ignores_syncs_of(&self, part: Option<&str>) {
        self.machine.state().settings.ignores_syncs_of = part.map(str::to_owned);
    }

    /// Calls so far, stores into mappings included.
    pub fn calls(&self) -> u64 {
        self.machine.state().faults.calls()
    }

    /// The last calls, oldest first: number, kind, path, range in the file, and the fault it met.
    pub fn trace(&self) -> Vec<String> {
        self.machine.state().faults.trace()
    }

    /// A machine of these files, with a clock that stands still and randomness that repeats.
    pub fn env(&self) -> Env {
        Env {
            files: Arc::new(self.clone()),
            clock: Arc::new(SimulatedClock::new(1_700_000_000_000)),
            random: Arc::new(SimulatedRandom::new(1)),
            limits: ProcessLimits::UNBOUNDED,
            controls: None,
        }
    }

    fn restart(&self, survival: Survival) -> io::Result<Self> {
        let state = self.machine.state().survive(survival)?;
        Ok(Self { machine: Arc::new(Machine::new(state)) })
    }

    fn call<R>(
        &self,
        call: Call,
        path: &Path,
        action: impl FnOnce(&mut State) -> io::Result<R>,
    ) -> io::Result<R> {
        self.machine.call(call, &Subject { path, range: 0..0 }, action)
    }
}

impl FileSystem for SimulatedFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let node = self.call(Call::Open, path, |state| state.node(path, mode))?;
        Ok(Arc::new(SimulatedFile {
            machine: Arc::clone(&self.machine),
            node,
            path: path.to_owned(),
            writable: mode.is_writable(),
        }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call(Call::CreateDirectory, path, |state| state.names.create_directory(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.call(Call::List, path, |state| {
            let nodes = state.names.live().list(path)?;
            let entries = nodes.into_iter().map(|(name, node)| {
                let bytes = match &node {
                    Node::Directory(_) => 0,
                    Node::File(node) => node.content.lock().live().len()?,
                };
                let is_directory = matches!(node, Node::Directory(_));
                Ok(DirectoryEntry { name, is_directory, bytes })
            });
            entries.collect()
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, from, |state| state.names.change(|names| names.rename(from, to)))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove, path, |state| state.names.change(|names| names.remove_file(path)))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove, path, |state| {
            state.names.change(|names| names.remove_directory(path))
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.call(Call::SyncDirectory, path, |state| {
            if state.settings.ignores_sync_of(path) {
                return state.names.live().directory(path).map(drop);
            }
            state.names.sync(path)
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.call(Call::Lock, path, |state| {
            state.node(path, OpenMode::OpenOrCreate)?.lock.acquire()
        })
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.call(Call::Inspect, path, |state| state.names.live().canonical(path))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.call(Call::Inspect, path, |state| {
            state.names.live().directory(path)?;
            Ok(state.capacity.space())
        })
    }

    fn kind(&self, path: &Path) -> io::Result<FileSystemKind> {
        self.call(Call::Inspect, path, |state| {
            state.names.live().directory(path)?;
            Ok(state.settings.kind.clone())
        })
    }
}

#[cfg(test)]
mod tests;
