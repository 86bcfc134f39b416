//! Deleting what is older, or more, than a topic keeps: Kafka's rules, segment by segment.
//!
//! How old a segment is its files tell, and no clock that is wrong can keep it for ever
//! ([`crate::segment::age`]).

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::{Log, start::TakenOut, walk::failure};
use crate::{
    error::{Code, Error, Result},
    segment::{Segment, age::Moment},
};

/// What retention deleted of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// The log start before.
    pub from_offset: u64,
    /// The log start now.
    pub to_offset: u64,
    /// Segments that went.
    pub segments: u64,
    /// Bytes of their logs.
    pub bytes: u64,
    /// The rule by which the last of them went.
    pub rule: Rule,
}

/// Why a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `retention.ms`.
    Age,
    /// `retention.bytes`.
    Size,
    /// It lies wholly below the log start, which somebody has raised.
    Start,
}

impl fmt::Display for Trimmed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_offset, to_offset, segments, bytes, rule } = self;
        let rule = match rule {
            Rule::Age => "retention.ms",
            Rule::Size => "retention.bytes",
            Rule::Start => {
                return write!(
                    formatter,
                    "{segments} segments of {bytes} bytes went that lie before the log start, \
                     offset {to_offset}"
                );
            }
        };
        write!(
            formatter,
            "offsets {from_offset} to {to_offset} deleted by {rule}: {segments} segments, \
             {bytes} bytes"
        )
    }
}

/// The segments that have to go, the first of a log: where the log starts without them, and the
/// rule for the last of them.
#[derive(Default)]
struct Due {
    /// But for the one that is being written.
    closed: Option<(u64, Rule)>,
    /// With that one, which has to be closed first.
    all: Option<(u64, Rule)>,
}

impl Log {
    /// Deletes the oldest segments as far as `retention.ms` and `retention.bytes` say, never beyond
    /// the high watermark, and those that lie before the log start. The segment that is being
    /// written is closed first when it is due, too; where that cannot be, the others go all the
    /// same. Returns what went. Waits for the disk.
    ///
    /// # Errors
    /// The log's poison or end, or why the new log start could not be stored or the last segment
    /// not be closed; then nothing is deleted. What fails is tried again at the next call.
    pub fn enforce_retention(self: &Arc<Self>) -> Result<Option<Trimmed>> {
        self.check_usable()?;
        self.tail.lock().forget_silent_producers(&self.config());
        let Due { closed, all } = self.due()?;
        let Some((log_end, rule)) = all else {
            return closed.map_or(Ok(None), |(target, rule)| self.trim(target, rule));
        };
        match self.close_active_at(log_end) {
            Ok(true) => self.trim(log_end, rule),
            // Whoever appends all the time, or a disk that is full, keeps nothing but that one.
            cannot_close => {
                let trimmed = closed.map_or(Ok(None), |(target, rule)| self.trim(target, rule))?;
                if trimmed.is_some() { Ok(trimmed) } else { cannot_close.map(|_| None) }
            }
        }
    }

    fn trim(&self, target: u64, rule: Rule) -> Result<Option<Trimmed>> {
        let from_offset = self.log_start.load(Ordering::Acquire);
        let TakenOut { segments, bytes } = self.raise_start(target)?;
        let to_offset = self.log_start.load(Ordering::Acquire);
        let trimmed = Trimmed { from_offset, to_offset, segments, bytes, rule };
        Ok((segments > 0 || to_offset > from_offset).then_some(trimmed))
    }

    fn due(&self) -> Result<Due> {
        let config = self.config();
        let log_start = self.log_start.load(Ordering::Acquire);
        // Before the segments: one that is begun meanwhile must not be taken for part of the one
        // before it, which is old.
        let log_end = self.log_end.load(Ordering::Acquire);
        let segments: Vec<Arc<Segment>> = self.segments.read().clone();
        let high_watermark = self.high_watermark();
        let now = Moment::now(&*self.shared.env.clock);
        let sizes = segments.iter().map(|segment| segment.end_position());
        let retained = config.retention_bytes.unwrap_or(u64::MAX);
        let mut bytes_over = sizes.sum::<u64>().saturating_sub(retained);
        let mut due = Due::default();
        for (index, segment) in segments.iter().enumerate() {
            // There may be many, and the index of each may have to be read.
            if self.shared.is_closing() {
                return Err(Error::new(Code::ShuttingDown, self.label.clone()));
            }
            let next = segments.get(index + 1);
            let end_offset = next.map_or(log_end, |next| next.base_offset);
            let bytes = segment.end_position();
            // An empty one is there for its name: it tells where the log goes on.
            if end_offset > high_watermark || (next.is_none() && bytes == 0) {
                break;
            }
            let rule = if next.is_some() && end_offset <= log_start {
                Rule::Start
            } else if bytes_over > 0 && bytes <= bytes_over {
                Rule::Size
            } else if let Some(retention_ms) = config.retention_ms
                && self.is_older(segments.get(index..).unwrap_or_default(), now, retention_ms)?
            {
                Rule::Age
            } else {
                break;
            };
            bytes_over = bytes_over.saturating_sub(bytes);
            let place = if next.is_some() { &mut due.closed } else { &mut due.all };
            *place = Some((end_offset, rule));
        }
        Ok(due)
    }

    /// Whether the first of some segments is older than it may get.
    fn is_older(&self, segments: &[Arc<Segment>], now: Moment, retention_ms: u64) -> Result<bool> {
        for (index, segment) in segments.iter().enumerate() {
            let age = segment
                .age(&self.shared.files, now, retention_ms)
                .map_err(|error| failure(segment, &error))?;
            if index == 0 && age.ms > retention_ms {
                return Ok(true);
            }
            // Those behind it are counted, too, and not only from when it is gone.
            if !age.is_counted {
                break;
            }
        }
        Ok(false)
    }

    /// Closes the segment that is being written, if it still ends at `end_offset`; otherwise it is
    /// not due any more, since something was appended.
    pub(super) fn close_active_at(&self, end_offset: u64) -> Result<bool> {
        {
            let mut tail = self.tail.lock();
            self.check_usable()?;
            if tail.end.offset != end_offset {
                return Ok(false);
            }
            if tail.end.position > 0 {
                self.roll(&mut tail, &self.config(), self.shared.env.clock.wall_ms())?;
            }
        }
        self.flush_now()?;
        Ok(true)
    }
}
