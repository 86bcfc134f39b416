//! The state behind a simulated file system, and the way that every call to it takes.

use std::{io, path::Path, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use super::{
    Survival,
    content::{Content, Image, Modified},
    faults::{Call, Faults, PowerCut, Subject, Verdict},
    names::Names,
    time::{Generator, SimulatedClock},
};
use crate::env::{
    Clock, FileSystemKind, OpenMode,
    capacity::{Capacity, Charge},
    lock::FileLock,
};

/// A file, whatever its names.
pub(super) struct Node {
    /// Locked only under the lock of [`Machine`], which orders all calls.
    pub(super) content: Mutex<Content>,
    pub(super) charge: Charge,
    pub(super) lock: FileLock,
}

impl Node {
    fn new(image: Image, modified: Modified, capacity: &Arc<Capacity>) -> io::Result<Self> {
        let content = Content::new(image, modified)?;
        let charge = Charge::new(capacity);
        for range in content.durable_ranges() {
            charge.cover(range.start, range.end - range.start)?;
        }
        Ok(Self { content: Mutex::new(content), charge, lock: FileLock::default() })
    }
}

/// Everything that a call may see or change.
pub(super) struct State {
    pub(super) names: Names<Arc<Node>>,
    pub(super) capacity: Arc<Capacity>,
    pub(super) random: Generator,
    pub(super) faults: Faults,
    pub(super) without_power: bool,
    pub(super) settings: Settings,
}

/// What stays the same when a machine is started again.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) kind: FileSystemKind,
    /// Of paths that contain this, none is synced.
    pub(super) ignores_syncs_of: Option<String>,
    pub(super) short_transfer_one_in: u64,
    /// Tells when files were written to.
    pub(super) clock: Option<Arc<SimulatedClock>>,
}

impl Settings {
    /// Whether a sync of this path claims success and does nothing.
    pub(super) fn ignores_sync_of(&self, path: &Path) -> bool {
        let part = self.ignores_syncs_of.as_deref();
        part.is_some_and(|part| path.to_string_lossy().contains(part))
    }
}

impl State {
    /// The node at `path`, made when the mode allows it.
    pub(super) fn node(&mut self, path: &Path, mode: OpenMode) -> io::Result<Arc<Node>> {
        match (self.names.live().file(path), mode) {
            (Ok(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(node), _) => Ok(node),
            (Err(error), OpenMode::CreateNew | OpenMode::OpenOrCreate)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                let modified = Modified::at(self.now_ms());
                let node = Arc::new(Node::new(Image::default(), modified, &self.capacity)?);
                self.names.change(|names| names.create_file(path, Arc::clone(&node)))?;
                Ok(node)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The time that a file written to now gets.
    pub(super) fn now_ms(&self) -> Option<i64> {
        self.settings.clock.as_ref().map(|clock| clock.wall_ms())
    }

    /// How many of `bytes` the call at hand moves: mostly all, now and then fewer, never none.
    pub(super) fn transfer_bytes(&mut self, bytes: usize) -> usize {
        if bytes > 0 && self.random.one_in(self.settings.short_transfer_one_in) {
            1 + self.random.below(bytes as u64) as usize
        } else {
            bytes
        }
    }

    /// What a power cut could leave, as the state of a machine that starts from it.
    pub(super) fn survive(&mut self, survival: Survival) -> io::Result<Self> {
        self.without_power = true;
        let random = &mut self.random;
        let names = self.names.survive(survival, random);
        let capacity = Capacity::new(None);
        let names = names.try_map(|node| {
            let (image, modified) = node.content.lock().survive(survival, random)?;
            Node::new(image, modified, &capacity).map(Arc::new)
        })?;
        // Only now: the limit may have been set below what the files take.
        capacity.set_limit_bytes(self.capacity.limit_bytes());
        Ok(Self {
            names: Names::new(names),
            capacity,
            random: Generator::new(self.random.next()),
            faults: Faults::default(),
            without_power: false,
            settings: self.settings.clone(),
        })
    }
}

/// The state behind its one lock.
pub(super) struct Machine {
    state: Mutex<State>,
}

impl Machine {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    /// The state, for tests that set or ask something: not a call.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Makes a call: counts it, lets it meet its fault, else does `action`.
    pub(super) fn call<R>(
        &self,
        call: Call,
        subject: &Subject<'_>,
        action: impl FnOnce(&mut State) -> io::Result<R>,
    ) -> io::Result<R> {
        self.call_or(call, subject, action, |_| Ok(()))
    }

    /// As [`Self::call`], but a call that a fault makes fail does `failing` first.
    pub(super) fn call_or<R>(
        &self,
        call: Call,
        subject: &Subject<'_>,
        action: impl FnOnce(&mut State) -> io::Result<R>,
        failing: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<R> {
        let mut state = self.state.lock();
        if state.without_power {
            return Err(PowerCut.into());
        }
        match state.faults.begin(call, subject) {
            Verdict::Proceed => action(&mut state),
            Verdict::Fail(error) => {
                failing(&mut state)?;
                Err(error)
            }
            Verdict::Delay(duration) => {
                MutexGuard::unlocked(&mut state, || std::thread::sleep(duration));
                if state.without_power {
                    return Err(PowerCut.into());
                }
                action(&mut state)
            }
            Verdict::PowerCut => {
                let had_effect = state.random.one_in(2).then(|| action(&mut state));
                state.without_power = true;
                // An effect that fails anyway differs in nothing from one that did not happen.
                drop(had_effect);
                Err(PowerCut.into())
            }
        }
    }
}
