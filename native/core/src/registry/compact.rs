//! Compaction of a store's logs, the dirtiest first.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Store, channel,
    format::FORMAT_VERSION_COMPACTED,
    upkeep::{Stop, UpkeepEntry, UpkeepOptions},
};
use crate::{
    compaction::throttle::{Pace, Throttle},
    error::{Error, Result},
    log::compact::{Pass, PassOptions},
};

/// What one call has compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// Topic and partition, for people: `orders-3`.
    pub label: String,
    /// What was done.
    pub pass: Pass,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
}

impl fmt::Display for Compacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pass { counts, segments_before, segments_after, segments_left, .. } = &self.pass;
        let (from, to) = (self.pass.dirty_from, self.pass.dirty_to);
        let what = if self.pass.is_complete {
            format!("offsets {from} to {to} compacted")
        } else {
            "a compaction was given up in the middle".to_owned()
        };
        write!(
            formatter,
            "{what} in {} ms: {segments_before} segments are {segments_after}, {} records are {} \
             ({} tombstones), {} bytes are {}",
            self.duration_ns / 1_000_000,
            counts.records_before,
            counts.records_after,
            counts.tombstones,
            counts.bytes_before,
            counts.bytes_after,
        )?;
        if *segments_left > 0 {
            write!(formatter, "; {segments_left} segments stay as they are, they are not whole")?;
        }
        Ok(())
    }
}

/// Gives up, too, when the store is closed.
struct StorePace<'a> {
    store: &'a Store,
    pace: &'a dyn Pace,
}

impl Pace for StorePace<'_> {
    fn spent(&self, bytes: u64) -> bool {
        self.pace.spent(bytes) || self.store.shared.is_closing()
    }
}

impl Store {
    /// Compacts the one log that needs it most; `None` where none does. What fails in one log
    /// harms no other and is reported. Waits for the disk, as fast as `pace` lets it. At most
    /// `dedupe_bytes_max` of memory are taken for its keys.
    ///
    /// # Errors
    /// [`crate::error::Code::ShuttingDown`], and those of
    /// [`Log::compact`](crate::log::Log::compact): that log is then left alone for a while.
    pub fn compact(&self, dedupe_bytes_max: u64, pace: &dyn Pace) -> Result<Option<Compacted>> {
        let _changing = self.change_files()?;
        let topics: Vec<_> = (0..).zip(self.topics.read().clone()).collect();
        let mut dirtiest = None;
        let mut ratio_max = 0.0;
        for (number, topic) in &topics {
            let Some(topic) = topic.as_ref().filter(|topic| topic.config().is_compacted) else {
                continue;
            };
            for log in topic.logs.read().clone() {
                self.check_open()?;
                match log.cleanable() {
                    Ok(Some(cleanable))
                        if cleanable.is_due && cleanable.dirty_ratio > ratio_max =>
                    {
                        ratio_max = cleanable.dirty_ratio;
                        dirtiest = Some((*number, log));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        self.report_upkeep(UpkeepEntry::not_compacted(&log.label, &error))
                    }
                }
            }
        }
        let Some((number, log)) = dirtiest else {
            return Ok(None);
        };
        let clock = &*self.shared.env.clock;
        let started_ns = clock.monotonic_ns();
        let before_swap =
            || self.directory.require_format(&self.shared.env, FORMAT_VERSION_COMPACTED);
        let after_swap = || {
            self.tell([channel::EVENT_UNMAP, f64::from(number), 0.0]);
            self.shared.space.note_freed();
        };
        let unreadable = |error: &Error| {
            self.report_upkeep(UpkeepEntry::left_as_it_is(&log.label, error));
        };
        let options = PassOptions {
            dedupe_bytes_max,
            pace: &StorePace { store: self, pace },
            before_swap: &before_swap,
            after_swap: &after_swap,
            unreadable: &unreadable,
        };
        let passed = log.compact(&options);
        let pass = match passed {
            Err(_) if log.has_ended() => return Ok(None),
            passed => passed.inspect_err(|error| {
                self.report_upkeep(UpkeepEntry::not_compacted(&log.label, error));
            })?,
        };
        let Some(pass) = pass else {
            return Ok(None);
        };
        let duration_ns = clock.monotonic_ns().saturating_sub(started_ns);
        let compacted = Compacted { label: log.label.clone(), pass, duration_ns };
        self.report_upkeep(UpkeepEntry {
            subject: compacted.label.clone(),
            detail: compacted.to_string(),
            is_warning: pass.segments_left > 0,
        });
        Ok(Some(compacted))
    }
}

/// One turn of the thread that compacts; returns how long to wait until the next.
pub(super) fn turn(store: &Arc<Store>, stop: &Stop, options: &UpkeepOptions) -> Duration {
    let clock = Arc::clone(&store.shared.env.clock);
    let throttle = Throttle::new(stop, &*clock, options.cleaner_bytes_per_second);
    match store.compact(options.cleaner_dedupe_bytes_max, &throttle) {
        // Others may be waiting.
        Ok(Some(compacted)) if compacted.pass.is_complete => Duration::ZERO,
        // What failed was reported.
        Ok(_) | Err(_) => Duration::from_millis(options.cleaner_backoff_ms),
    }
}

impl UpkeepEntry {
    fn not_compacted(subject: &str, error: &Error) -> Self {
        let detail = format!("could not be compacted: {error}");
        Self { subject: subject.to_owned(), detail, is_warning: true }
    }

    fn left_as_it_is(subject: &str, error: &Error) -> Self {
        let detail = format!("a segment is left out of compactions: {error}");
        Self { subject: subject.to_owned(), detail, is_warning: true }
    }
}
