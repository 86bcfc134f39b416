//! Appending: assign offsets, write, publish.

use std::sync::{Arc, atomic::Ordering};

use super::{Active, Closing, Log, LogConfig, Position, Tail, Unsynced};
use crate::{
    batch::{
        BatchHeader, HEADER_BYTES, TimestampType,
        header::{assign, set_log_append_time, set_max_timestamp},
    },
    env::{File, OpenMode},
    error::{Code, Error, Result},
    log::config::WriterChoice,
    producer::{ProducerBatch, Verdict},
    segment::{
        Segment,
        writer::{MappedWriter, PwriteWriter, SegmentWriter},
    },
    space::MaySayFull,
};

/// Rate from which blocks are allocated ahead of the tail, or a topic that does not flush before
/// its acks is stored through a mapping, where it may be: a slow one would hold megabytes for it.
const FAST_BYTES_PER_SECOND: u64 = 10_000_000;
/// Log after which indexes and producer state are stored, and the log flushed whatever its
/// configuration: bounds how much of a segment recovery has to read.
pub(super) const SNAPSHOT_INTERVAL_BYTES: u64 = 64 << 20;
/// Offsets and positions within a segment fit 31 bits, as in Kafka's index.
const SEGMENT_SPAN_MAX: u64 = i32::MAX as u64;

/// How appends get into the segment that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Pwrite,
    /// By pwrite, too, with blocks allocated ahead.
    PwriteAhead,
    Mapped,
}

impl Way {
    /// Whether there may be something to be given back behind the tail.
    pub(super) fn allocates_ahead(self) -> bool {
        self != Self::Pwrite
    }
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: u64,
    /// Offset behind its last record: flush up to here and the batch is durable.
    pub next_offset: u64,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub append_time_ms: i64,
    /// It had been written before, by the same producer under the same sequence numbers.
    pub is_duplicate: bool,
}

/// Bytes a second over windows of at least a second.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    window_start_ns: u64,
    window_bytes: u64,
    bytes_per_second: u64,
}

impl RateMeter {
    fn note(&mut self, bytes: u64, now_ns: u64) {
        self.window_bytes += bytes;
        let elapsed_ns = now_ns.saturating_sub(self.window_start_ns);
        if elapsed_ns >= 1_000_000_000 {
            let rate = u128::from(self.window_bytes) * 1_000_000_000 / u128::from(elapsed_ns);
            self.bytes_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
            self.window_bytes = 0;
            self.window_start_ns = now_ns;
        }
    }

    /// Whether as much as in a second of a fast topic came in the last window or in this one, which
    /// is not over.
    fn is_fast(&self) -> bool {
        self.bytes_per_second.max(self.window_bytes) >= FAST_BYTES_PER_SECOND
    }
}

impl Log {
    /// Appends one batch that [`validate`](crate::batch::validate) or the builder has passed.
    ///
    /// `max_timestamp_ms` is the largest timestamp of its records; where the header says
    /// otherwise it is corrected, as Kafka does. The bytes are copied to the page cache before
    /// the call returns. Whether the batch is visible at once depends on the topic's promise.
    ///
    /// # Errors
    /// - [`Code::OutOfOrderSequenceNumber`], [`Code::InvalidProducerEpoch`]: idempotence.
    /// - [`Code::DiskFull`], also when the disk is only nearly full, and
    ///   [`Code::KafkaStorageError`]: nothing was appended.
    /// - [`Code::TopicDeleted`].
    pub fn append(self: &Arc<Self>, batch: &[u8], max_timestamp_ms: i64) -> Result<Appended> {
        let header = BatchHeader::read(batch)?;
        let mut tail = self.tail.lock();
        let config = self.config();
        self.check_usable()?;
        let producer = producer_of(&header);
        if let Some(producer) = &producer
            && let Verdict::Duplicate(written) = tail.producers.check(producer)?
        {
            return Ok(Appended {
                base_offset: written.base_offset,
                next_offset: written.next_offset,
                append_time_ms: written.append_time_ms,
                is_duplicate: true,
            });
        }
        self.shared.space.check(config.is_internal)?;
        let appended = self
            .write(&mut tail, &config, &header, batch, max_timestamp_ms)
            .inspect_err(|error| {
                if error.says_full() {
                    self.shared.space.note_full();
                }
            })?;
        self.shared.space.note_appended(batch.len() as u64);
        if let Some(producer) = &producer {
            let Appended { base_offset, next_offset, append_time_ms, .. } = appended;
            tail.producers.note(producer, base_offset, next_offset, append_time_ms);
        }
        let must_flush = self.note_unflushed(&mut tail, &config, u64::from(record_count(&header)));
        let end = tail.end;
        self.log_end.store(end.offset, Ordering::Release);
        drop(tail);
        if !config.is_flushed_before_ack() {
            self.publish_visible(end);
        }
        if must_flush {
            self.mark_dirty();
        }
        Ok(appended)
    }

    fn write(
        &self,
        tail: &mut Tail,
        config: &LogConfig,
        header: &BatchHeader,
        batch: &[u8],
        max_timestamp_ms: i64,
    ) -> Result<Appended> {
        let wall_ms = self.shared.env.clock.wall_ms();
        let now_ms = wall_ms.max(tail.last_append_ms);
        let bytes = batch.len() as u64;
        let offset_count = u64::from(record_count(header));
        self.roll_if_needed(tail, config, bytes, offset_count, now_ms)?;
        let file = self.choose_writer(tail, config)?;
        let base_offset = tail.end.offset;
        let Some((head, rest)) = batch.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Error::new(Code::CorruptMessage, "a batch shorter than its header"));
        };
        let mut head = *head;
        let timestamp_ms = match config.timestamp_type {
            TimestampType::LogAppendTime => {
                set_log_append_time(&mut head, rest, now_ms);
                now_ms
            }
            TimestampType::CreateTime => {
                if header.max_timestamp != max_timestamp_ms {
                    set_max_timestamp(&mut head, rest, max_timestamp_ms);
                }
                max_timestamp_ms
            }
        };
        assign(&mut head, offset_number(base_offset)?, epoch_number(self.leader_epoch)?);
        let position = tail.end.position;
        let Some(active) = &mut tail.active else {
            return Err(Error::new(Code::UnknownServerError, "no segment to append to"));
        };
        if let Err(error) = active.writer.append(&file, &[&head, rest], position) {
            let failure = Error::io(format_args!("appending to {}", self.label), &error);
            // What was written of it must not come back to life behind a later batch.
            if let Err(error) = active.writer.cut(&*file, position) {
                let what = format_args!("erasing a failed append of {}", self.label);
                self.poison_with(Error::io(what, &error));
                tail.give_up();
            }
            return Err(failure);
        }
        let relative_offset = relative(base_offset, active.segment.base_offset)?;
        let relative_position = relative(position, 0)?;
        active.segment.update_index(|index| {
            let interval = config.index_interval_bytes;
            index.note(relative_offset, relative_position, bytes, timestamp_ms, interval);
            // By the clock as it is: a time that was wrong once must not keep segments for ever.
            index.note_append(wall_ms);
        });
        active.segment.begin_age_anew();
        active.segment.set_end_position(position + bytes);
        tail.end.position = position + bytes;
        tail.end.offset = base_offset + offset_count;
        tail.last_append_ms = now_ms;
        tail.bytes_since_snapshot += bytes;
        tail.dirty.add(bytes);
        tail.rate.note(bytes, self.shared.env.clock.monotonic_ns());
        let next_offset = tail.end.offset;
        Ok(Appended { base_offset, next_offset, append_time_ms: now_ms, is_duplicate: false })
    }

    /// Notes records that are not durable yet; whether a flush has to start now.
    fn note_unflushed(self: &Arc<Self>, tail: &mut Tail, config: &LogConfig, records: u64) -> bool {
        tail.records_unflushed += records;
        let is_timed = config.flush_ms != u64::MAX && !config.is_flushed_before_ack();
        if is_timed && !self.is_flush_timer_set.swap(true, Ordering::AcqRel) {
            let log = Arc::downgrade(self);
            self.shared.scheduler.after(
                config.flush_ms,
                Box::new(move || {
                    if let Some(log) = log.upgrade() {
                        // First: an append that still saw it set is covered by this flush, which
                        // waits for the tail.
                        log.is_flush_timer_set.store(false, Ordering::Release);
                        log.mark_dirty();
                    }
                }),
            );
        }
        tail.records_unflushed >= config.flush_messages
            || tail.bytes_since_snapshot >= SNAPSHOT_INTERVAL_BYTES
            || tail.unsynced.len() > 1
            || self.shared.dirty.has_too_many_files()
    }

    /// Closes the active segment when the batch does not fit or it is old, and opens the next.
    fn roll_if_needed(
        &self,
        tail: &mut Tail,
        config: &LogConfig,
        bytes: u64,
        offset_count: u64,
        now_ms: i64,
    ) -> Result<()> {
        if let Some(active) = &tail.active {
            let age_ms = u64::try_from(now_ms.saturating_sub(active.created_ms)).unwrap_or(0);
            let end_offset = tail.end.offset + offset_count;
            let segment_bytes = self.segment_bytes_max(config);
            let fits = tail.end.position + bytes <= segment_bytes
                && end_offset - active.segment.base_offset <= SEGMENT_SPAN_MAX
                && age_ms < active.lifetime_ms(config);
            if fits || tail.end.position == 0 {
                return Ok(());
            }
        }
        self.roll(tail, config, now_ms)
    }

    /// What a segment may take: `segment.bytes`, less where the disk is small.
    pub(super) fn segment_bytes_max(&self, config: &LogConfig) -> u64 {
        let marks = self.shared.space.watermarks();
        let of_disk =
            if config.is_internal { marks.internal_segment_max } else { marks.segment_max };
        config.segment_bytes.min(of_disk).min(SEGMENT_SPAN_MAX)
    }

    /// Closes the segment that is being written, if there is one, and begins the next. Where that
    /// fails the next append tries again.
    pub(super) fn roll(&self, tail: &mut Tail, config: &LogConfig, now_ms: i64) -> Result<()> {
        self.close_active(tail, config)?;
        self.create_segment(tail, config, now_ms)
    }

    /// Hands the segment that is being written to the next flush, which trims, syncs and seals it.
    fn close_active(&self, tail: &mut Tail, config: &LogConfig) -> Result<()> {
        // Unsealed it could never be believed, so one that cannot be opened stays what it is.
        self.note_unsynced(tail)?;
        let Some(active) = tail.active.take() else {
            return Ok(());
        };
        // They go into a snapshot with the segment.
        tail.forget_silent_producers(config);
        let closing =
            Closing { writer: active.writer, end: tail.end, producers: tail.producers.clone() };
        if let Some(last) = tail.unsynced.last_mut() {
            last.closing = Some(closing);
        }
        Ok(())
    }

    /// The file of the segment that is being written, noted as unsynced: from then on the log holds
    /// it open, so that no error of its write-back is lost before its flush.
    fn note_unsynced(&self, tail: &mut Tail) -> Result<Option<Arc<dyn File>>> {
        let Some(active) = &tail.active else {
            return Ok(None);
        };
        if let Some(last) = tail.unsynced.last()
            && last.segment.id == active.segment.id
        {
            return Ok(Some(Arc::clone(&last.file)));
        }
        let segment = Arc::clone(&active.segment);
        let file = segment.file(&self.shared.files).map_err(|error| {
            Error::io(format_args!("opening {}", segment.log_path().display()), &error)
        })?;
        tail.unsynced.push(self.unsynced(segment, Arc::clone(&file)));
        Ok(Some(file))
    }

    fn unsynced(&self, segment: Arc<Segment>, file: Arc<dyn File>) -> Unsynced {
        Unsynced { segment, file, _counted: self.shared.dirty.file(), closing: None }
    }

    fn create_segment(&self, tail: &mut Tail, config: &LogConfig, now_ms: i64) -> Result<()> {
        let base_offset = tail.end.offset;
        let segment = Arc::new(Segment::of(&self.directory, base_offset));
        let path = segment.log_path();
        // Also when what follows fails: a later start finds the file, and takes its name for
        // durable.
        tail.is_directory_dirty = true;
        let file = self
            .shared
            .env
            .files
            .open(&path, OpenMode::OpenOrCreate)
            .map_err(|error| Error::io(format_args!("creating {}", path.display()), &error))?;
        file.truncate(0)
            .map_err(|error| Error::io(format_args!("emptying {}", path.display()), &error))?;
        self.shared.files.insert(segment.id, Arc::clone(&file));
        let way = self.wanted_way(config, tail.rate.is_fast());
        let writer = self.writer(way, &file, 0);
        tail.end = Position { offset: base_offset, segment_base: base_offset, position: 0 };
        let active_segment = Arc::clone(&segment);
        tail.active = Some(Active {
            segment: active_segment,
            writer,
            way,
            created_ms: now_ms,
            jitter: self.shared.env.random.next_u64(),
        });
        tail.unsynced.push(self.unsynced(Arc::clone(&segment), file));
        self.segments.write().push(segment);
        self.vouched.lock().take();
        Ok(())
    }

    /// The way that fits the topic's promise and rate.
    fn wanted_way(&self, config: &LogConfig, is_fast: bool) -> Way {
        if self.shared.space.is_short() {
            return Way::Pwrite;
        }
        match config.writer {
            WriterChoice::Mapped => Way::Mapped,
            WriterChoice::Automatic if is_fast && !config.is_flushed_before_ack() => Way::Mapped,
            WriterChoice::Automatic | WriterChoice::Pwrite if is_fast => Way::PwriteAhead,
            WriterChoice::Automatic | WriterChoice::Pwrite => Way::Pwrite,
        }
    }

    fn writer(&self, way: Way, file: &Arc<dyn File>, position: u64) -> Box<dyn SegmentWriter> {
        let work = Arc::clone(&self.shared.work);
        let ahead_bytes = self.shared.space.watermarks().ahead_max;
        match way {
            Way::Pwrite => Box::new(PwriteWriter::new(work, position)),
            Way::PwriteAhead => Box::new(PwriteWriter::ahead(work, position, ahead_bytes)),
            Way::Mapped => Box::new(MappedWriter::new(file, work, position, ahead_bytes)),
        }
    }

    /// Takes the writer that fits, and notes the file as unsynced.
    fn choose_writer(&self, tail: &mut Tail, config: &LogConfig) -> Result<Arc<dyn File>> {
        let way = self.wanted_way(config, tail.rate.is_fast());
        let position = tail.end.position;
        let file = self.note_unsynced(tail)?;
        let (Some(file), Some(active)) = (file, &mut tail.active) else {
            return Err(Error::new(Code::UnknownServerError, "no segment to append to"));
        };
        if way != active.way {
            if active.way.allocates_ahead() {
                // Gives back what lies behind the tail.
                active
                    .writer
                    .cut(&*file, position)
                    .map_err(|error| Error::io(format_args!("trimming {}", self.label), &error))?;
            }
            active.writer = self.writer(way, &file, position);
            active.way = way;
        }
        Ok(file)
    }
}

impl Active {
    /// How old the segment may become, in milliseconds: `segment.ms` less its jitter; in a
    /// compacted topic not older than its records may be without having been open to compaction.
    fn lifetime_ms(&self, config: &LogConfig) -> u64 {
        let lifetime_ms = match config.is_compacted {
            true => config.segment_ms.min(config.compaction_lag_ms_max),
            false => config.segment_ms,
        };
        let jitter_ms = config.segment_jitter_ms.min(lifetime_ms);
        let drawn_ms = (u128::from(self.jitter) * u128::from(jitter_ms)) >> 64;
        lifetime_ms - u64::try_from(drawn_ms).unwrap_or(0)
    }
}

/// The producer's numbers in a batch header, when it has a producer and a sequence.
pub(crate) fn producer_of(header: &BatchHeader) -> Option<ProducerBatch> {
    (header.producer_id >= 0 && header.base_sequence >= 0).then(|| ProducerBatch {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        record_count: record_count(header),
    })
}

/// Offsets that a batch takes up: by its last offset delta, which compaction keeps.
pub(crate) fn record_count(header: &BatchHeader) -> u32 {
    u32::try_from(header.last_offset_delta).map_or(1, |delta| delta.saturating_add(1))
}

fn relative(value: u64, base: u64) -> Result<u32> {
    value.checked_sub(base).and_then(|difference| u32::try_from(difference).ok()).ok_or_else(|| {
        Error::new(Code::UnknownServerError, format!("{value} is out of a segment from {base}"))
    })
}

fn offset_number(offset: u64) -> Result<i64> {
    i64::try_from(offset)
        .ok()
        .filter(|number| *number < i64::MAX - i64::from(i32::MAX))
        .ok_or_else(|| Error::new(Code::UnknownServerError, "offsets are used up"))
}

fn epoch_number(epoch: u32) -> Result<i32> {
    i32::try_from(epoch)
        .map_err(|_| Error::new(Code::UnknownServerError, "leader epochs are used up"))
}
