//! How old a segment is, which is what retention goes by.
//!
//! Its largest timestamp decides, as in Kafka. Where that lies in the future, or no record has one,
//! its last append does. Where that lies in the future, too, the broker's clock was wrong then or
//! is wrong now, and nobody can tell which: then its age is the time for which brokers have run
//! and seen it so since that append, by a clock that nobody sets. So no time that was wrong once
//! keeps a segment for ever, and no clock that is set back and forth makes one old that is young.

use std::{
    io,
    sync::atomic::{AtomicI64, Ordering},
};

use parking_lot::Mutex;

use super::{IndexState, Segment, cache::FileCache};
use crate::{
    env::Clock,
    index::{SegmentIndex, file as index_file},
};

/// Not more often is an age stored that was counted: what a broker has counted since is lost with
/// it.
const STORED_EVERY_MS_MAX: u64 = 10 * 60_000;
/// And not more often than so many times before the segment goes.
const STORED_TIMES: u64 = 8;
/// No record is from then.
const NEWEST_UNKNOWN_MS: i64 = i64::MIN;

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the clock on the wall, in milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// By the clock that nobody sets.
    pub monotonic_ns: u64,
}

impl Moment {
    /// Now.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { wall_ms: clock.wall_ms(), monotonic_ns: clock.monotonic_ns() }
    }
}

/// How old a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// How old its youngest record is, in milliseconds.
    pub ms: u64,
    /// None of its times can be believed, so that was counted.
    pub is_counted: bool,
}

/// What is known of a segment's age.
pub(super) struct KnownAge {
    /// When its newest record is from, once it is sealed and somebody has asked.
    newest_ms: AtomicI64,
    /// Of the few whose times cannot be believed.
    counted: Mutex<Option<Box<Counted>>>,
}

/// The age of a segment whose times lie in the future.
struct Counted {
    times: Times,
    /// It was so old, which its index tells, too,
    stored_ms: u64,
    /// at this moment.
    at_ns: u64,
}

/// The times that tell how old a segment is, in milliseconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Times {
    largest_ms: Option<i64>,
    appended_ms: Option<i64>,
}

impl Times {
    /// When the newest record is from, as far as can be known now.
    fn newest_ms(&self, now_ms: i64) -> Option<i64> {
        let is_past = |ms: &i64| *ms <= now_ms;
        self.largest_ms.filter(is_past).or_else(|| self.appended_ms.filter(is_past))
    }
}

impl Default for KnownAge {
    fn default() -> Self {
        Self { newest_ms: AtomicI64::new(NEWEST_UNKNOWN_MS), counted: Mutex::new(None) }
    }
}

impl Segment {
    /// How old the segment is, for a retention of `retention_ms`. May read the index, and writes it
    /// now and then where the age has to be counted.
    ///
    /// # Errors
    /// An I/O error while reading.
    pub fn age(&self, files: &FileCache, now: Moment, retention_ms: u64) -> io::Result<Age> {
        let since = |ms: i64| {
            let ms = u64::try_from(now.wall_ms.saturating_sub(ms)).unwrap_or(0);
            Age { ms, is_counted: false }
        };
        let known_ms = self.age.newest_ms.load(Ordering::Relaxed);
        if known_ms != NEWEST_UNKNOWN_MS && known_ms <= now.wall_ms {
            return Ok(since(known_ms));
        }
        let mut counted = self.age.counted.lock();
        let times = match counted.as_deref() {
            Some(counted) => counted.times,
            None => self.times(files)?,
        };
        if let Some(newest_ms) = times.newest_ms(now.wall_ms) {
            // A timestamp in the future may be right, and the clock wrong: then it counts later on.
            let is_settled = times.largest_ms.is_none_or(|largest_ms| largest_ms <= now.wall_ms);
            if self.is_sealed() && is_settled {
                self.age.newest_ms.store(newest_ms, Ordering::Relaxed);
            }
            return Ok(since(newest_ms));
        }
        let ms = self.count(files, &mut counted, times, now.monotonic_ns, retention_ms)?;
        Ok(Age { ms, is_counted: true })
    }

    fn times(&self, files: &FileCache) -> io::Result<Times> {
        let (largest, appended_ms) =
            self.with_index(files, |index| (index.largest(), index.last_append_ms()))?;
        let appended_ms = match appended_ms {
            // Its file was written anew, long after its records were appended.
            Some(appended_ms) if self.has_holes() => Some(appended_ms),
            // The later one: earlier versions have noted the time of a clock that was set back.
            noted => noted.max(self.file(files)?.modified_ms()?),
        };
        Ok(Times { largest_ms: largest.map(|largest| largest.timestamp_ms), appended_ms })
    }

    fn count(
        &self,
        files: &FileCache,
        counted: &mut Option<Box<Counted>>,
        times: Times,
        now_ns: u64,
        retention_ms: u64,
    ) -> io::Result<u64> {
        let Some(Counted { stored_ms, at_ns, .. }) = counted.as_deref_mut() else {
            let stored_ms = self.with_index(files, SegmentIndex::counted_age_ms)?;
            *counted = Some(Box::new(Counted { times, stored_ms, at_ns: now_ns }));
            return Ok(stored_ms);
        };
        let passed_ms = now_ns.saturating_sub(*at_ns) / 1_000_000;
        let age_ms = stored_ms.saturating_add(passed_ms);
        let is_due = passed_ms > STORED_EVERY_MS_MAX.min(retention_ms / STORED_TIMES);
        // Where the disk does not take it, it is counted on and stored the next time.
        if is_due && self.store_counted_age(files, age_ms).is_ok() {
            (*stored_ms, *at_ns) = (age_ms, now_ns);
        }
        Ok(age_ms)
    }

    /// Has the index tell an age that was counted, for the next start.
    fn store_counted_age(&self, files: &FileCache, age_ms: u64) -> io::Result<()> {
        // Held to the end: the path does not become another segment's meanwhile.
        let mut state = self.index.write();
        if let IndexState::Loaded(index) = &mut *state {
            index.set_counted_age(age_ms);
            return Ok(());
        }
        let (index_path, time_index_path) = (self.path("index"), self.path("timeindex"));
        let system = files.file_system();
        if let Some((mut index, coverage)) =
            index_file::load(system, &index_path, &time_index_path)?
        {
            index.set_counted_age(age_ms);
            index_file::store(system, &index_path, &time_index_path, &index, coverage)?;
            files.forget(self.id);
        }
        Ok(())
    }

    /// Whether its age is counted, as far as anybody has asked.
    pub fn is_age_counted(&self) -> bool {
        self.age.counted.lock().is_some()
    }

    /// Something was appended, which the index has noted.
    pub fn begin_age_anew(&self) {
        *self.age.counted.lock() = None;
    }
}
