//! Compacting one log: what of it is dirty, a pass over it, and the swap of what was written anew.
//!
//! The long part, reading and copying, holds no lock. The swap of a group holds `upkeep`, so that
//! acks never wait for it, and goes in steps of which a start completes the rest:
//!
//! 1. `BASE.cleaned` is durable.
//! 2. `compaction.json` names the swap, durably.
//! 3. `BASE.cleaned` is renamed over `BASE.log`, durably.
//! 4. The files of the other segments and the old indexes are removed, durably.
//! 5. The new index is written, and `compaction.json` says that the swap is over.
//!
//! Up to the rename a failure changes nothing; behind it the log goes on with the new segment, and
//! the rest is done before the next pass. As long as `compaction.json` may name a swap, no other
//! `BASE.cleaned` is begun: a start would take the unfinished file for the one that was meant.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
};

use hashbrown::HashSet;

use super::{Log, LogConfig, OFFSET_MAX, set_aside::Suspect, walk::failure};
use crate::{
    compaction::{
        copy::{
            Cleaned, Counts, Halt, Noted, Plan, Progress, Room, SEGMENT_SPAN_MAX, copy_group,
            note_keys,
        },
        offset_map::OffsetMap,
        source::Source,
        state::{self, CLEANED, CompactionState, Swap, remove_replaced},
        throttle::Pace,
    },
    env::{File, OpenMode},
    error::{Error, Result},
    index::{SegmentIndex, file::Coverage},
    recovery::scan::Mark,
    segment::{Pinned, Segment, SegmentId},
};

/// How long a log is left alone whose pass has failed, in milliseconds.
const RETRY_MS: i64 = 60_000;

/// What a log knows of its compaction.
pub(super) struct Compaction {
    state: CompactionState,
    pending: Pending,
    /// Not before that time again, in milliseconds since the Unix epoch.
    retry_at_ms: i64,
    /// The file could not be believed when the log was opened.
    is_unreadable: bool,
}

/// What is left to do about the swap that `compaction.json` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// Nothing: it names none.
    Nothing,
    /// It was given up before anything was changed.
    GiveUp(Swap),
    /// The new segment is in its place; files of the others may be there.
    Remove(Swap),
    /// All is done but to say so.
    Tell,
}

impl Compaction {
    /// As it was found, or left, when the log was opened. What was left undecided may be whole by
    /// now, as after a repair: once a start it is dirty again.
    pub(super) fn opened(state: CompactionState, is_unreadable: bool) -> Self {
        let pending = if state.swap.is_some() { Pending::Tell } else { Pending::Nothing };
        let clean_below = state.clean_below.min(state.undecided_from.unwrap_or(u64::MAX));
        let state = CompactionState { clean_below, undecided_from: None, ..state };
        Self { state, pending, retry_at_ms: i64::MIN, is_unreadable }
    }

    /// Segments that begin here or later are not compacted, as whoever reads the file will find.
    pub(super) fn whole_from(&self) -> u64 {
        if self.is_unreadable { OFFSET_MAX } else { self.state.holes_below }
    }
}

/// What of a log can be compacted now.
pub struct Cleanable {
    /// From the log's start on.
    sources: Vec<Source>,
    /// The first offset that is dirty.
    dirty_from: u64,
    /// The share of them that is dirty, in bytes.
    pub dirty_ratio: f64,
    /// It is dirty enough, or has been for long enough.
    pub is_due: bool,
}

/// What a pass needs of its store.
pub struct PassOptions<'a> {
    /// Memory for the keys, in bytes.
    pub dedupe_bytes_max: u64,
    /// How fast it may go.
    pub pace: &'a dyn Pace,
    /// Called before a segment is replaced: from then on earlier versions cannot read the data.
    pub before_swap: &'a dyn Fn() -> Result<()>,
    /// Called when segments were replaced: who holds views of them is to let go.
    pub after_swap: &'a dyn Fn(),
    /// Told why a segment could not be read.
    pub unreadable: &'a dyn Fn(&Error),
}

/// What a pass has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// What became of the segments that were replaced.
    pub counts: Counts,
    /// Segments that were replaced, and those in their place.
    pub segments_before: u64,
    /// Segments in their place.
    pub segments_after: u64,
    /// Segments that stayed as they were, since they are damaged, unreadable or too large.
    pub segments_left: u64,
    /// The first offset that was dirty.
    pub dirty_from: u64,
    /// The first offset that is.
    pub dirty_to: u64,
    /// Memory that the keys took, in bytes, and their number.
    pub map_bytes: u64,
    /// Keys in the dirty part.
    pub keys: u64,
    /// It came to its end. Otherwise it was stopped, or what it was about has changed.
    pub is_complete: bool,
}

/// Gives up, too, when the log has ended or is no longer to be compacted.
struct LogPace<'a> {
    log: &'a Log,
    pace: &'a dyn Pace,
}

impl Pace for LogPace<'_> {
    fn spent(&self, bytes: u64) -> bool {
        self.pace.spent(bytes) || self.log.ended().is_some() || !self.log.config().is_compacted
    }
}

/// Segments that a pass leaves as they are, and the first offset of what it did not decide about.
#[derive(Default)]
struct Left {
    segments: HashSet<SegmentId>,
    undecided_from: Option<u64>,
}

impl Left {
    fn is_whole(&self, segment: &Segment) -> bool {
        !segment.is_damaged() && !self.segments.contains(&segment.id)
    }

    fn note_undecided(&mut self, offset: u64) {
        self.undecided_from = Some(self.undecided_from.map_or(offset, |from| from.min(offset)));
    }

    /// Whether tombstones of the segment may have to hide what was left undecided.
    fn reaches(&self, segment: &Segment) -> bool {
        self.undecided_from.is_some_and(|from| segment.base_offset >= from)
    }
}

/// How a group's way ended.
enum Step {
    /// So many segments were replaced, or there was nothing to change.
    Done(usize),
    /// What it was about has changed meanwhile.
    Over,
}

impl Log {
    /// What can be compacted: closed segments whose records are durable and visible, and older
    /// than `min.compaction.lag.ms`. `None` where there is nothing, or the log is not to be
    /// compacted now.
    ///
    /// # Errors
    /// An I/O error while an index is read.
    pub fn cleanable(&self) -> Result<Option<Cleanable>> {
        let config = self.config();
        let now_ms = self.shared.env.clock.wall_ms();
        let (clean_below, retry_at_ms) = {
            let compaction = self.compaction.lock();
            (compaction.state.clean_below, compaction.retry_at_ms)
        };
        // A clock that went back must not keep a log from being compacted for long.
        let is_waiting = (retry_at_ms.saturating_sub(RETRY_MS)..retry_at_ms).contains(&now_ms);
        if !config.is_compacted || is_waiting || self.check_usable().is_err() {
            return Ok(None);
        }
        let offsets = self.offsets();
        let is_known = (offsets.log_start..=offsets.log_end).contains(&clean_below);
        let dirty_from = if is_known { clean_below } else { offsets.log_start };
        let mut sources = self.closed_segments();
        let is_dirty = |source: &Source| source.end_offset > dirty_from;
        let is_too_new = |source: &Source| -> Result<bool> {
            if config.compaction_lag_ms_min == 0 || !is_dirty(source) {
                return Ok(false);
            }
            let newest_ms = self.newest_ms(&source.segment, now_ms)?;
            Ok(age_ms(now_ms, newest_ms) < config.compaction_lag_ms_min)
        };
        for index in 0..sources.len() {
            if sources.get(index).map_or(Ok(false), is_too_new)? {
                sources.truncate(index);
                break;
            }
        }
        let bytes = |source: &Source| source.segment.end_position();
        let all_bytes: u64 = sources.iter().map(bytes).sum();
        let dirty_bytes: u64 = sources.iter().filter(|source| is_dirty(source)).map(bytes).sum();
        if dirty_bytes == 0 {
            return Ok(None);
        }
        let dirty_ratio = dirty_bytes as f64 / all_bytes as f64;
        let is_due = dirty_ratio > config.dirty_ratio_min
            || self.is_overdue(
                sources.iter().filter(|source| is_dirty(source)),
                &config,
                now_ms,
            )?;
        Ok(Some(Cleanable { sources, dirty_from, dirty_ratio, is_due }))
    }

    /// The segments that are closed and wholly durable and visible, from the first on.
    fn closed_segments(&self) -> Vec<Source> {
        let visible = *self.visible.read();
        let flushed = *self.flushed.read();
        let segment_max = visible.segment_base.min(flushed.segment_base);
        let offset_max = visible.offset.min(flushed.offset);
        let segments = self.segments.read();
        let behind = segments.iter().skip(1).map(|next| next.base_offset);
        segments
            .iter()
            .zip(behind)
            .map(|(segment, end_offset)| Source { segment: Arc::clone(segment), end_offset })
            .take_while(|source| {
                source.segment.is_sealed()
                    && source.segment.base_offset < segment_max
                    && source.end_offset <= offset_max
            })
            .collect()
    }

    /// When the newest record of a segment is from; now, where nobody knows.
    fn newest_ms(&self, segment: &Segment, now_ms: i64) -> Result<i64> {
        let (largest, appended_ms) = segment
            .with_index(&self.shared.files, |index| (index.largest(), index.last_append_ms()))
            .map_err(|error| failure(segment, &error))?;
        let largest_ms = largest.map(|largest| largest.timestamp_ms).filter(|ms| *ms >= 0);
        Ok(largest_ms.or(appended_ms).unwrap_or(now_ms))
    }

    /// Whether a record has been dirty for longer than `max.compaction.lag.ms`.
    fn is_overdue<'s>(
        &self,
        dirty: impl Iterator<Item = &'s Source>,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<bool> {
        if config.compaction_lag_ms_max == u64::MAX {
            return Ok(false);
        }
        for source in dirty {
            let first_ms = source
                .segment
                .with_index(&self.shared.files, SegmentIndex::first_ms)
                .map_err(|error| failure(&source.segment, &error))?;
            let is_old = |first_ms: &i64| age_ms(now_ms, *first_ms) > config.compaction_lag_ms_max;
            if first_ms.filter(|ms| *ms > 0).is_some_and(|first_ms| is_old(&first_ms)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compacts the log, whatever its dirty ratio; `None` where there is nothing to compact. Waits
    /// for the disk, and takes as long as it takes; appends and readers go on meanwhile.
    ///
    /// # Errors
    /// An I/O error, such as a full disk: what was replaced until then stays so, nothing else has
    /// changed, and [`cleanable`](Self::cleanable) leaves the log alone for a while.
    pub fn compact(self: &Arc<Self>, options: &PassOptions<'_>) -> Result<Option<Pass>> {
        let Some(cleanable) = self.cleanable()? else {
            return Ok(None);
        };
        let passed = self.pass(cleanable, options);
        if passed.is_err() {
            let retry_at_ms = self.shared.env.clock.wall_ms().saturating_add(RETRY_MS);
            self.compaction.lock().retry_at_ms = retry_at_ms;
        }
        passed.map(Some)
    }

    fn pass(self: &Arc<Self>, cleanable: Cleanable, options: &PassOptions<'_>) -> Result<Pass> {
        let config = self.config();
        let mut pass = Pass { dirty_from: cleanable.dirty_from, ..Pass::default() };
        pass.dirty_to = pass.dirty_from;
        let mut left = Left::default();
        let noted = match self.note(&cleanable, options, &mut left) {
            Ok(noted) => noted,
            Err(Halt::Failed(error)) => return Err(error),
            Err(_) => return Ok(pass),
        };
        pass.map_bytes = noted.offsets.memory_bytes();
        pass.keys = noted.offsets.len();
        let producer_offsets = self.producer_offsets();
        let plan = Plan {
            noted: &noted,
            now_ms: self.shared.env.clock.wall_ms(),
            delete_retention_ms: i64::try_from(config.delete_retention_ms).unwrap_or(i64::MAX),
            codec_level: config.codec.zip(config.compression_level),
            index_interval_bytes: config.index_interval_bytes,
            producer_offsets: &producer_offsets,
        };
        let mut sources = cleanable.sources;
        sources.retain(|source| source.segment.base_offset < noted.end_offset);
        // What an earlier pass had to leave; with its segment it is gone.
        let first_base = sources.first().map_or(0, |first| first.segment.base_offset);
        let before = self.compaction.lock().state.undecided_from;
        left.undecided_from = before.filter(|from| *from >= first_base);
        if !self.replace_groups(sources.into(), &plan, &mut left, options, &mut pass)? {
            return Ok(pass);
        }
        self.store_progress(noted.end_offset, left.undecided_from)?;
        pass.dirty_to = noted.end_offset;
        pass.is_complete = true;
        Ok(pass)
    }

    /// Replaces all that can be replaced; `false` where the pass is to be given up. Gives segments
    /// up as soon as others have their places, so that their blocks are free then.
    fn replace_groups(
        self: &Arc<Self>,
        mut rest: VecDeque<Source>,
        plan: &Plan<'_>,
        left: &mut Left,
        options: &PassOptions<'_>,
        pass: &mut Pass,
    ) -> Result<bool> {
        rest.make_contiguous();
        let mut leader_epoch = None;
        loop {
            // Deleting records goes on meanwhile.
            rest.drain(..self.count_deleted(&rest));
            let (sources, _) = rest.as_slices();
            let Some(first) = sources.first() else {
                return Ok(true);
            };
            if !left.is_whole(&first.segment) {
                // It may hold anything.
                leader_epoch = None;
                left.note_undecided(first.segment.base_offset);
                pass.segments_left += 1;
                rest.pop_front();
                continue;
            }
            let is_undecided = left.reaches(&first.segment);
            let belongs = |source: &&Source| {
                left.is_whole(&source.segment) && left.reaches(&source.segment) == is_undecided
            };
            let group = sources.iter().take_while(belongs).count();
            let group = sources.get(..group).unwrap_or_default();
            let mut progress = Progress { leader_epoch, are_tombstones_settled: !is_undecided };
            let segments_after = pass.segments_after;
            match self.replace_group(group, plan, &mut progress, options, pass) {
                Ok(Step::Done(count)) => {
                    if !progress.are_tombstones_settled {
                        left.note_undecided(first.segment.base_offset);
                    }
                    leader_epoch = progress.leader_epoch;
                    rest.drain(..count);
                    if pass.segments_after > segments_after {
                        (options.after_swap)();
                    }
                }
                Ok(Step::Over) if self.count_deleted(&rest) > 0 => leader_epoch = None,
                Ok(Step::Over) | Err(Halt::Stopped) => return Ok(false),
                Err(Halt::Failed(error)) => return Err(error),
                Err(halt) => self.leave(halt, options, left),
            }
        }
    }

    /// How many of them, from the first on, are no longer in the log.
    fn count_deleted(&self, sources: &VecDeque<Source>) -> usize {
        let first_base = self.segments.read().first().map_or(u64::MAX, |first| first.base_offset);
        sources.partition_point(|source| source.segment.base_offset < first_base)
    }

    fn note(
        self: &Arc<Self>,
        cleanable: &Cleanable,
        options: &PassOptions<'_>,
        left: &mut Left,
    ) -> std::result::Result<Noted, Halt> {
        let end_offset = cleanable.sources.last().map_or(0, |source| source.end_offset);
        let keys_max = end_offset.saturating_sub(cleanable.dirty_from);
        let random = &*self.shared.env.random;
        let offsets = OffsetMap::new(random, keys_max, options.dedupe_bytes_max);
        let mut leave = |halt| self.leave(halt, options, left);
        let (files, sources) = (&self.shared.files, &cleanable.sources);
        let pace = LogPace { log: self, pace: options.pace };
        note_keys(files, sources, cleanable.dirty_from, offsets, &pace, &mut leave)
    }

    /// Leaves a segment out that turned out not to be whole, and sets aside what readers of it
    /// would.
    fn leave(self: &Arc<Self>, halt: Halt, options: &PassOptions<'_>, left: &mut Left) {
        match halt {
            Halt::Damaged(source, at) => {
                left.segments.insert(source.segment.id);
                let Some(at) = at else { return };
                let end =
                    Mark { position: source.segment.end_position(), offset: source.end_offset };
                let suspect = Suspect { log: Arc::clone(self), at, behind: None, end };
                // Where it cannot be read a reader meets it again.
                if suspect.examine(&source.segment).is_err() {
                    self.shared.damage_failures.fetch_add(1, Ordering::Relaxed);
                }
            }
            Halt::Unreadable(source, error) => {
                left.segments.insert(source.segment.id);
                (options.unreadable)(&error);
            }
            Halt::TooLarge(segment) => {
                left.segments.insert(segment.id);
            }
            Halt::Stopped | Halt::Failed(_) => {}
        }
    }

    /// The last offsets of the batches by which repetitions are recognised.
    fn producer_offsets(&self) -> HashSet<u64> {
        let tail = self.tail.lock();
        let batches = tail.producers.iter().flat_map(|(_, entry)| &entry.batches);
        batches.filter_map(|batch| batch.next_offset.checked_sub(1)).collect()
    }

    /// Writes the first of some segments anew and swaps them in.
    fn replace_group(
        &self,
        sources: &[Source],
        plan: &Plan<'_>,
        progress: &mut Progress,
        options: &PassOptions<'_>,
        pass: &mut Pass,
    ) -> std::result::Result<Step, Halt> {
        let Some(first) = sources.first() else {
            return Ok(Step::Over);
        };
        // It makes room only when it is done: until then it must leave others theirs.
        let segment_bytes = self.config().segment_bytes;
        let bytes_max = self.segment_bytes_max(&self.config());
        let room = Room {
            bytes_likely_max: bytes_max,
            bytes_max: if bytes_max < segment_bytes { bytes_max } else { SEGMENT_SPAN_MAX },
        };
        let bytes: u64 = sources.iter().map(|source| source.segment.end_position()).sum();
        let bytes = bytes.min(bytes_max.max(first.segment.end_position()));
        self.shared.space.check_room(bytes).map_err(Halt::Failed)?;
        let file = self.create_cleaned(&first.segment).map_err(Halt::Failed)?;
        let pace = LogPace { log: self, pace: options.pace };
        let files = &self.shared.files;
        let copied = copy_group(files, &*file, sources, room, plan, progress, &pace);
        drop(file);
        let replaced = match copied {
            Ok(cleaned) if !cleaned.is_changed => {
                self.remove_cleaned(&first.segment);
                return Ok(Step::Done(cleaned.source_count));
            }
            Ok(cleaned) => {
                let replaced = (cleaned.counts, cleaned.source_count);
                let group = sources.get(..cleaned.source_count).unwrap_or_default();
                (options.before_swap)()
                    .and_then(|()| self.swap(group, cleaned))
                    .map(|is_swapped| is_swapped.then_some(replaced))
                    .map_err(Halt::Failed)
            }
            Err(halt) => Err(halt),
        };
        if !matches!(replaced, Ok(Some(_))) && self.compaction.lock().pending == Pending::Nothing {
            self.remove_cleaned(&first.segment);
        }
        let Some((counts, source_count)) = replaced? else {
            return Ok(Step::Over);
        };
        pass.counts.add(&counts);
        pass.segments_before += source_count as u64;
        pass.segments_after += 1;
        Ok(Step::Done(source_count))
    }

    /// The empty file that a group is written to.
    fn create_cleaned(&self, segment: &Segment) -> Result<Arc<dyn File>> {
        // Whoever deletes the log finds it, or it is not there.
        let _one_at_a_time = self.upkeep.lock();
        self.check_usable()?;
        // Before another one may begin.
        self.finish_swap()?;
        let path = segment.path(CLEANED);
        let created = self.shared.env.files.open(&path, OpenMode::OpenOrCreate);
        created
            .and_then(|file| file.truncate(0).map(|()| file))
            .map_err(|error| Error::io(format_args!("creating {}", path.display()), &error))
    }

    /// Removes what was written and does not take anybody's place. Where that fails the next pass,
    /// or start, does it.
    fn remove_cleaned(&self, segment: &Segment) {
        match self.shared.env.files.remove_file(&segment.path(CLEANED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.shared.hint_failures.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Has the written file take the place of a group, if that is still there and whole; `false`,
    /// and nothing has changed, where it is not.
    fn swap(&self, group: &[Source], cleaned: Cleaned) -> Result<bool> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(false);
        };
        let _one_at_a_time = self.upkeep.lock();
        self.check_usable()?;
        if !self.config().is_compacted || !self.holds(group) {
            return Ok(false);
        }
        let mut pinned = Vec::with_capacity(group.len());
        let swapped = self.pin(group, &mut pinned).and_then(|()| {
            let swap = Swap { base: first.segment.base_offset, end: last.end_offset };
            self.swap_pinned(group, swap, &cleaned)
        });
        if swapped.is_err() {
            for (source, pinned) in group.iter().zip(pinned) {
                source.segment.unpin(pinned);
            }
        }
        swapped.map(|()| true)
    }

    /// Has readers of a group go on with what they have, whatever happens to the paths.
    fn pin(&self, group: &[Source], pinned: &mut Vec<Pinned>) -> Result<()> {
        for source in group {
            let segment = &source.segment;
            let pin = segment.pin_for_replacement(&self.shared.files);
            pinned.push(pin.map_err(|error| failure(segment, &error))?);
        }
        Ok(())
    }

    /// The swap itself. After an error the group is in the log as before.
    fn swap_pinned(&self, group: &[Source], swap: Swap, cleaned: &Cleaned) -> Result<()> {
        let system = &*self.shared.env.files;
        system.sync_directory(&self.directory).map_err(|error| {
            Error::io(format_args!("fsync of {}", self.directory.display()), &error)
        })?;
        self.begin(swap)?;
        let first = Segment::of(&self.directory, swap.base);
        let (from, to) = (first.path(CLEANED), first.log_path());
        if let Err(error) = system.rename(&from, &to) {
            // Tried at once: until then no other file may have that name.
            drop(self.finish_swap());
            return Err(Error::io(format_args!("replacing {}", to.display()), &error));
        }
        let new = self.new_segment(first, cleaned);
        self.compaction.lock().pending = Pending::Remove(swap);
        {
            let mut segments = self.segments.write();
            let from = segments.partition_point(|other| other.base_offset < swap.base);
            let to = segments.partition_point(|other| other.base_offset < swap.end);
            segments.splice(from..to, [Arc::clone(&new)]);
        }
        self.vouched.lock().take();
        for source in group {
            self.shared.files.forget(source.segment.id);
            self.shared.windows.forget(source.segment.id);
        }
        // What fails from here on is done before the next pass, or by the next start.
        if self.finish_swap().is_err() {
            self.shared.hint_failures.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the group is in the log as it was, one behind the other, and whole.
    fn holds(&self, group: &[Source]) -> bool {
        let segments = self.segments.read();
        let from = group.first().map_or(0, |first| {
            segments.partition_point(|other| other.base_offset < first.segment.base_offset)
        });
        let is_same = |(source, (segment, behind)): (&Source, (&Arc<Segment>, &Arc<Segment>))| {
            source.segment.id == segment.id
                && source.end_offset == behind.base_offset
                && !segment.is_damaged()
                && !segment.has_waiting_damage()
        };
        let there = segments.iter().skip(from).zip(segments.iter().skip(from + 1));
        there.clone().count() >= group.len() && group.iter().zip(there).all(is_same)
    }

    /// Names a swap in `compaction.json`, and that the segments up to its end may have holes.
    fn begin(&self, swap: Swap) -> Result<()> {
        let mut compaction = self.compaction.lock();
        let holes_below = compaction.state.holes_below.max(swap.end);
        compaction.state = CompactionState { holes_below, swap: Some(swap), ..compaction.state };
        compaction.pending = Pending::GiveUp(swap);
        let state = compaction.state;
        drop(compaction);
        self.store_state(&state).inspect_err(|_| {
            // It may be there all the same.
            drop(self.finish_swap());
        })
    }

    fn new_segment(&self, new: Segment, cleaned: &Cleaned) -> Arc<Segment> {
        new.set_has_holes(true);
        new.set_end_position(cleaned.counts.bytes_after);
        new.set_index(cleaned.index.clone());
        new.set_sealed();
        Arc::new(new)
    }

    /// Does what is left of a swap that failed in part. Under `upkeep`.
    fn finish_swap(&self) -> Result<()> {
        let pending = self.compaction.lock().pending;
        match pending {
            Pending::Nothing => return Ok(()),
            Pending::GiveUp(_) | Pending::Tell => {}
            Pending::Remove(swap) => {
                self.remove_others(swap)?;
                self.compaction.lock().pending = Pending::Tell;
            }
        }
        let state = CompactionState { swap: None, ..self.compaction.lock().state };
        self.store_state(&state)?;
        {
            let mut compaction = self.compaction.lock();
            compaction.state = state;
            compaction.pending = Pending::Nothing;
        }
        if let Pending::GiveUp(swap) = pending {
            self.remove_cleaned(&Segment::new(&self.directory, swap.base));
        }
        Ok(())
    }

    /// Removes the files whose place was taken, and stores the index of the new one.
    fn remove_others(&self, swap: Swap) -> Result<()> {
        let system = &*self.shared.env.files;
        let failed = |error: io::Error| {
            Error::io(format_args!("replacing segments of {}", self.label), &error)
        };
        // The new one first: as long as its name is not durable, the others are what there is.
        system.sync_directory(&self.directory).map_err(failed)?;
        let entries = system.list(&self.directory).map_err(failed)?;
        let names = entries.iter().map(|entry| entry.name.as_str());
        remove_replaced(system, &self.directory, names, swap).map_err(failed)?;
        let segments = self.segments.read().clone();
        let new = segments.iter().find(|segment| segment.base_offset == swap.base);
        if let Some(new) = new
            && let Some(index) = new.loaded_index()
        {
            let log_bytes = new.end_position();
            let coverage = Coverage { sealed: true, log_bytes, next_offset: swap.end };
            // A hint: the next start reads the segment once more.
            if new.store_index(&self.shared.files, &index, coverage).is_err() {
                self.shared.hint_failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn store_progress(&self, clean_below: u64, undecided_from: Option<u64>) -> Result<()> {
        let _one_at_a_time = self.upkeep.lock();
        self.check_usable()?;
        self.finish_swap()?;
        let state = CompactionState { clean_below, undecided_from, ..self.compaction.lock().state };
        self.store_state(&state)?;
        self.compaction.lock().state = state;
        Ok(())
    }

    fn store_state(&self, state: &CompactionState) -> Result<()> {
        let files = &*self.shared.env.files;
        let stored = self.shared.space.with_reserve(|| state::store(files, &self.directory, state));
        stored.map_err(|error| {
            let what = format_args!("storing how far {} is compacted", self.label);
            Error::io(what, &error)
        })
    }
}

fn age_ms(now_ms: i64, then_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0)
}
