//! Scrubbing: all closed segments of all logs, round after round, at a set rate.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Store, upkeep::UpkeepEntry};
use crate::{
    error::Result,
    log::{Log, scrub::SegmentScrub},
};

/// A round begins no earlier than this after the one before began, in milliseconds: little data is
/// not read over and over.
const ROUND_INTERVAL_MS: u64 = 24 * 3_600_000;
/// What one step reads, in bytes, but for a batch that is larger; a slow rate takes smaller ones.
const STEP_BYTES_MAX: u64 = 1 << 20;
const STEPS_PER_SECOND: u64 = 10;
/// Pause after a step that read nothing, in milliseconds.
const PAUSE_MS: u64 = 10;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubStep {
    /// Bytes of log that were read.
    pub bytes: u64,
    /// Everything has been read once: the next step begins anew, with any log.
    pub is_round_over: bool,
}

/// How far the round has come.
#[derive(Default)]
pub(super) struct Scrubbing {
    /// Logs that are still to be read, the next one last.
    logs: Vec<Weak<Log>>,
    current: Option<(Arc<Log>, SegmentScrub)>,
    /// Base offset from which on the next log's segments are still to be read.
    from_base: u64,
    is_under_way: bool,
}

impl Store {
    /// Reads about `bytes_max` of the closed segments on, one batch at least or none where a log
    /// is through; sets aside and reports what is damaged. Waits for the disk.
    ///
    /// # Errors
    /// [`crate::error::Code::ShuttingDown`].
    pub fn scrub_step(&self, bytes_max: u64) -> Result<ScrubStep> {
        let _changing = self.change_files()?;
        let mut scrubbing = self.scrubbing.lock();
        if !scrubbing.is_under_way {
            *scrubbing =
                Scrubbing { logs: self.logs_in_turn(), is_under_way: true, ..Scrubbing::default() };
        }
        if scrubbing.current.is_none() && !self.begin_next(&mut scrubbing) {
            scrubbing.is_under_way = false;
            return Ok(ScrubStep { bytes: 0, is_round_over: true });
        }
        let Some((log, mut segment)) = scrubbing.current.take() else {
            return Ok(ScrubStep { bytes: 0, is_round_over: false });
        };
        let bytes = match log.scrub(&mut segment, bytes_max) {
            Ok((bytes, true)) => bytes,
            Ok((bytes, false)) => {
                scrubbing.current = Some((log, segment));
                bytes
            }
            Err(error) => {
                // The disk says so itself: readers of that place are told the same.
                self.report_upkeep(UpkeepEntry::unread(&log.label, &error));
                0
            }
        };
        Ok(ScrubStep { bytes, is_round_over: false })
    }

    /// All logs, beginning with any: a broker that is often restarted is to get everywhere.
    fn logs_in_turn(&self) -> Vec<Weak<Log>> {
        let mut logs = Vec::new();
        for topic in self.topics.read().iter().flatten() {
            logs.extend(topic.logs.read().iter().map(Arc::downgrade));
        }
        if let Some(count) = std::num::NonZeroU64::new(logs.len() as u64) {
            let first = self.shared.env.random.next_u64() % count;
            logs.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        logs
    }

    /// Opens the next segment, of this log or the next; `false` when there is no log left. At most
    /// one log is looked at, so that a step stays short.
    fn begin_next(&self, scrubbing: &mut Scrubbing) -> bool {
        let Some(log) = scrubbing.logs.last() else {
            return false;
        };
        let log = log.upgrade();
        match log.as_ref().map(|log| log.begin_scrub(&mut scrubbing.from_base)) {
            Some(Ok(Some(segment))) => {
                scrubbing.current = log.zip(Some(segment));
                return true;
            }
            Some(Err(error)) if log.as_ref().is_some_and(|log| !log.has_ended()) => {
                let label = log.as_ref().map_or("", |log| &log.label);
                self.report_upkeep(UpkeepEntry::unread(label, &error));
                return true;
            }
            _ => {}
        }
        scrubbing.logs.pop();
        scrubbing.from_base = 0;
        true
    }
}

/// The steps of the thread that scrubs: how long it waits after each.
pub(super) fn pace(store: &Store, bytes_per_second: u64, round: &mut Round) -> Option<Duration> {
    let step_bytes = (bytes_per_second / STEPS_PER_SECOND).clamp(1, STEP_BYTES_MAX);
    // Only a store that closes refuses.
    let step = store.scrub_step(step_bytes).ok()?;
    let now_ns = store.shared.env.clock.monotonic_ns();
    let began_ns = *round.began_ns.get_or_insert(now_ns);
    if step.is_round_over {
        round.began_ns = None;
        let next_ns = began_ns.saturating_add(ROUND_INTERVAL_MS.saturating_mul(1_000_000));
        return Some(Duration::from_nanos(next_ns.saturating_sub(now_ns)));
    }
    let ns = u128::from(step.bytes) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
    let wait = Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX));
    Some(wait.max(if step.bytes == 0 { Duration::from_millis(PAUSE_MS) } else { Duration::ZERO }))
}

/// When the round began.
#[derive(Default)]
pub(super) struct Round {
    began_ns: Option<u64>,
}
