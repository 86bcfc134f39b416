//! What is to go wrong, when, and what happened until then.

use std::{collections::VecDeque, fmt, io, ops::Range, path::Path, time::Duration};

use rustix::io::Errno;

/// How many recent calls a trace tells.
const TRACE_CALLS_MAX: usize = 64;

/// The calls that faults tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Opening or creating a file.
    Open,
    /// Making directories.
    CreateDirectory,
    /// Listing a directory.
    List,
    /// Renaming.
    Rename,
    /// Unlinking a file or removing a directory.
    Remove,
    /// Syncing a directory.
    SyncDirectory,
    /// Taking a lock.
    Lock,
    /// Asking for sizes, space or kind.
    Inspect,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Allocating blocks.
    Allocate,
    /// Cutting or extending a file.
    Truncate,
    /// Syncing a file.
    SyncData,
    /// Starting write-back.
    StartWriteback,
    /// Mapping a file, for reading or writing.
    Map,
    /// Bringing pages of a writable mapping in.
    Populate,
    /// Storing into a writable mapping. A store cannot fail, so of all effects only
    /// [`Effect::PowerCut`] counts and meets stores.
    Store,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails with EIO. A failing write may have written part; a failing `sync_data` loses part
    /// of what it was to sync for good.
    InputOutput,
    /// It fails with ENOSPC (`StorageFull`), otherwise as [`Self::InputOutput`].
    NoSpace,
    /// It fails with another kind of error, otherwise as [`Self::InputOutput`].
    Error(io::ErrorKind),
    /// It takes this much longer; other calls go on meanwhile.
    Delay(Duration),
    /// The power fails during it: it has had its effect or none, and it and every later call is an
    /// error that [`is_power_cut`] knows.
    PowerCut,
}

/// Something to go wrong: by itself, the very next call of any kind, once.
#[derive(Debug, Clone)]
pub struct Fault {
    effect: Effect,
    call: Option<Call>,
    path_part: Option<String>,
    passing: u64,
    times: u64,
}

impl Fault {
    /// A fault with `effect`.
    pub fn new(effect: Effect) -> Self {
        Self { effect, call: None, path_part: None, passing: 0, times: 1 }
    }

    /// Only calls of this kind count and are met.
    #[must_use]
    pub fn on(self, call: Call) -> Self {
        Self { call: Some(call), ..self }
    }

    /// Only calls about a path that contains `part` count and are met. A file's path is the one
    /// that it was opened by; a rename's is the old one.
    #[must_use]
    pub fn with_path(self, part: impl Into<String>) -> Self {
        Self { path_part: Some(part.into()), ..self }
    }

    /// Meets the `nth` call that counts; 1, like 0, is the next one.
    #[must_use]
    pub fn at(self, nth: u64) -> Self {
        Self { passing: nth.saturating_sub(1), ..self }
    }

    /// Meets that many calls in a row, `u64::MAX` for all.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    fn counts(&self, call: Call, path: &str) -> bool {
        self.call.is_none_or(|own| own == call)
            && self.path_part.as_ref().is_none_or(|part| path.contains(part))
            && (call != Call::Store || self.effect == Effect::PowerCut)
    }
}

/// Whether `error` says that the simulated machine is without power.
pub fn is_power_cut(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PowerCut>())
}

/// The error of every call to a machine without power.
#[derive(Debug)]
pub(super) struct PowerCut;

impl fmt::Display for PowerCut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the simulated machine has no power")
    }
}

impl std::error::Error for PowerCut {}

impl From<PowerCut> for io::Error {
    fn from(error: PowerCut) -> Self {
        Self::other(error)
    }
}

/// What a call is about.
pub(super) struct Subject<'call> {
    pub(super) path: &'call Path,
    /// Where in the file; empty when that does not matter.
    pub(super) range: Range<u64>,
}

/// What a call is to do.
pub(super) enum Verdict {
    Proceed,
    Fail(io::Error),
    Delay(Duration),
    PowerCut,
}

/// Faults that wait, and the calls so far.
#[derive(Default)]
pub(super) struct Faults {
    waiting: Vec<Fault>,
    calls: u64,
    trace: VecDeque<String>,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.iter().cloned().collect()
    }

    /// Counts a call and says what is to become of it. Every fault that the call counts for counts
    /// it; of several that meet it the first injected wins.
    pub(super) fn begin(&mut self, call: Call, subject: &Subject<'_>) -> Verdict {
        self.calls += 1;
        let path = subject.path.to_string_lossy();
        let mut met = None;
        for fault in &mut self.waiting {
            if !fault.counts(call, &path) {
            } else if fault.passing > 0 {
                fault.passing -= 1;
            } else if met.is_none() && fault.times > 0 {
                fault.times -= 1;
                met = Some(fault.effect);
            }
        }
        self.waiting.retain(|fault| fault.times > 0);
        let Range { start, end } = subject.range;
        let effect = met.map(|effect| format!(" meets {effect:?}")).unwrap_or_default();
        if self.trace.len() == TRACE_CALLS_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{} {call:?} {path} {start}..{end}{effect}", self.calls));
        match met {
            None => Verdict::Proceed,
            Some(Effect::InputOutput) => Verdict::Fail(Errno::IO.into()),
            Some(Effect::NoSpace) => Verdict::Fail(Errno::NOSPC.into()),
            Some(Effect::Error(kind)) => Verdict::Fail(kind.into()),
            Some(Effect::Delay(duration)) => Verdict::Delay(duration),
            Some(Effect::PowerCut) => Verdict::PowerCut,
        }
    }
}
