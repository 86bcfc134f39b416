//! Appending a produce frame: all its entries in one call.

use std::{ops::Range, sync::Arc};

use super::{
    Store, Topic,
    channel::{Channel, PendingFrame},
};
use crate::{
    batch::{Producer, validate},
    compression::Codec,
    error::{Code, Error, Result},
    layout, limits,
    log::{Log, append::Appended, config::LogConfig},
    messagepack::{
        BuildOptions, Envelope, Format, ProduceEntry, Splitter, TopicReference, build_batch,
        decode_envelope,
    },
};

/// What an ack asks for, as the wire has it. `None` is the topic's own promise.
pub type Ack = Option<u8>;
/// Acked once the records are in the page cache and ordered.
pub const ACK_WRITTEN: u8 = 1;
/// Acked after fdatasync.
pub const ACK_FLUSHED: u8 = 2;
/// Acked once every replica that must have the records has them.
pub const ACK_REPLICATED: u8 = 3;

/// What [`ProduceScratch::append`] reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// 0: all that was asked for is reached; else wait for this token's event.
    pub token: u32,
    /// The durability that every entry without an error has when the token is done:
    /// 0 none, 1 written, 2 flushed.
    pub reached: u8,
}

/// Who produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// Producer id; negative for none.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// A frame to append.
pub struct Frame<'a> {
    /// Where to.
    pub store: &'a Store,
    /// Who is told of flushes.
    pub channel: &'a Arc<Channel>,
    /// The frame that the plan was made from.
    pub bytes: &'a [u8],
    /// The durability asked for.
    pub ack: Ack,
    /// Who produces.
    pub producer: ProducerIdentity,
}

/// Buffers that one event loop reuses for every frame.
#[derive(Default)]
pub struct ProduceScratch {
    entries: Vec<ProduceEntry>,
    output: Vec<u8>,
    splitter: Splitter,
    spreads: Vec<f64>,
}

/// Output buffers larger than this are given back after the frame.
const OUTPUT_BYTES_KEPT_MAX: usize = 1 << 20;

impl ProduceScratch {
    /// Takes a frame apart and describes its entries in `plan` (layout in [`layout`]).
    /// Returns the envelope and the number of entries.
    ///
    /// # Errors
    /// [`Code::MalformedFrame`], [`Code::LimitExceeded`].
    pub fn decode(&mut self, frame: &[u8], plan: &mut [f64]) -> Result<(Envelope, usize)> {
        let envelope = decode_envelope(frame, &mut self.entries)?;
        for (entry, row) in self
            .entries
            .iter()
            .zip(plan.chunks_exact_mut(layout::PLAN_STRIDE))
        {
            row.fill(0.0);
            let (alias, name) = match &entry.topic {
                TopicReference::Alias(alias) => (f64::from(*alias), 0..0),
                TopicReference::Name(range) => (-1.0, range.clone()),
            };
            set(row, layout::PLAN_TOPIC_ALIAS, alias);
            set(row, layout::PLAN_TOPIC_START, size(name.start));
            set(row, layout::PLAN_TOPIC_BYTES, size(name.len()));
            set(row, layout::PLAN_PARTITION, f64::from(entry.partition));
            set(
                row,
                layout::PLAN_BASE_SEQUENCE,
                f64::from(entry.base_sequence),
            );
            set(row, layout::PLAN_FORMAT, f64::from(entry.format as u8));
            set(row, layout::PLAN_BODY_START, size(entry.body.start));
            set(row, layout::PLAN_BODY_BYTES, size(entry.body.len()));
            set(
                row,
                layout::PLAN_RECORD_COUNT,
                f64::from(entry.record_count),
            );
            set(row, layout::PLAN_BASE_OFFSET, -1.0);
            set(row, layout::PLAN_APPEND_TIME_MS, -1.0);
        }
        Ok((envelope, self.entries.len()))
    }

    /// Appends the first `count` entries of `plan` and notes there what became of each. Entries
    /// whose code is set are left alone; one that fails does not hinder the others.
    pub fn append(&mut self, frame: &Frame<'_>, plan: &mut [f64], count: usize) -> Outcome {
        self.spreads.clear();
        let mut work = FrameWork {
            frame,
            entry: -1.0,
            pending: None,
            reached: ACK_FLUSHED,
        };
        for row in plan.chunks_exact_mut(layout::PLAN_STRIDE).take(count) {
            work.entry += 1.0;
            if get(row, layout::PLAN_CODE) == 0.0
                && let Err(error) = work.append_entry(self, row)
            {
                set(row, layout::PLAN_CODE, f64::from(error.code().number()));
            }
        }
        if self.output.capacity() > OUTPUT_BYTES_KEPT_MAX {
            self.output = Vec::new();
        }
        let token = work.pending.map_or(0, |pending| {
            pending.release();
            pending.token()
        });
        Outcome {
            token,
            reached: if frame.ack == Some(0) {
                0
            } else {
                work.reached
            },
        }
    }

    /// Rows about the entries of the last frame that went to several partitions (layout in
    /// [`layout`]).
    pub fn spreads(&self) -> &[f64] {
        &self.spreads
    }
}

/// One frame being appended.
struct FrameWork<'a> {
    frame: &'a Frame<'a>,
    /// Index of the entry at work.
    entry: f64,
    pending: Option<Arc<PendingFrame>>,
    reached: u8,
}

impl FrameWork<'_> {
    fn append_entry(&mut self, scratch: &mut ProduceScratch, row: &mut [f64]) -> Result<()> {
        let topic = self
            .frame
            .store
            .topic(number(row, layout::PLAN_TOPIC_HANDLE)?)?;
        let config = topic.config();
        self.check_replicas(&config)?;
        let start = position(row, layout::PLAN_BODY_START)?;
        let bytes = position(row, layout::PLAN_BODY_BYTES)?;
        let body = self
            .frame
            .bytes
            .get(start..start.saturating_add(bytes))
            .ok_or_else(|| Error::new(Code::MalformedFrame, "a body outside its frame"))?;
        let format = match number(row, layout::PLAN_FORMAT)? {
            0 => Format::Bytes,
            1 => Format::MessagePack,
            _ => Format::Batch,
        };
        let partition = get(row, layout::PLAN_PARTITION);
        if partition >= 0.0 {
            let partition = number(row, layout::PLAN_PARTITION)?;
            let log = topic.log(partition)?;
            let appended = self.append_body(scratch, &log, &config, row, body, format)?;
            set_result(row, f64::from(partition), &appended);
            return Ok(());
        }
        if format == Format::Batch {
            // A ready batch is opaque: its keys do not choose, it sticks as a whole.
            let partition = topic.next_sticky();
            let log = topic.log(partition)?;
            let appended = self.append_body(scratch, &log, &config, row, body, format)?;
            set_result(row, f64::from(partition), &appended);
            return Ok(());
        }
        self.append_spread(scratch, &topic, &config, row, body, format)
    }

    /// One broker is one replica: a topic that wants more takes no record that asks for all.
    fn check_replicas(&self, config: &LogConfig) -> Result<()> {
        let asks_for_all = matches!(self.frame.ack, None | Some(ACK_REPLICATED));
        if asks_for_all && config.min_insync_replicas > 1 {
            let detail = format!("it wants {}", config.min_insync_replicas);
            return Err(Error::new(Code::NotEnoughReplicas, detail));
        }
        Ok(())
    }

    fn append_body(
        &mut self,
        scratch: &mut ProduceScratch,
        log: &Arc<Log>,
        config: &LogConfig,
        row: &[f64],
        body: &[u8],
        format: Format,
    ) -> Result<Appended> {
        let rules = config.rules(self.frame.store.shared().env.clock.wall_ms());
        let appended = if format == Format::Batch {
            let summary = validate(body, &rules)?;
            log.append(body, summary.max_timestamp_ms)?
        } else {
            scratch.output.clear();
            let options = self.build_options(config, row)?;
            let built = build_batch(body, format, &options, &mut scratch.output)?;
            log.append(whole(&scratch.output, built.range)?, built.max_timestamp_ms)?
        };
        self.wait_for(log, config, &appended);
        Ok(appended)
    }

    /// Records of one entry over several partitions, by key.
    fn append_spread(
        &mut self,
        scratch: &mut ProduceScratch,
        topic: &Topic,
        config: &LogConfig,
        row: &mut [f64],
        body: &[u8],
        format: Format,
    ) -> Result<()> {
        scratch.output.clear();
        let options = self.build_options(config, row)?;
        let partitions = topic.partition_count();
        let sticky = topic.next_sticky();
        let parts = scratch.splitter.split(
            body,
            format,
            partitions,
            sticky,
            &options,
            &mut scratch.output,
        )?;
        let is_spread = parts.len() > 1;
        set(row, layout::PLAN_RESULT_PARTITION, -1.0);
        for part in parts {
            let batch = whole(&scratch.output, part.built.range.clone())?;
            let appended = topic.log(part.partition).and_then(|log| {
                let appended = log.append(batch, part.built.max_timestamp_ms)?;
                self.wait_for(&log, config, &appended);
                Ok(appended)
            });
            let partition = f64::from(part.partition);
            if !is_spread {
                set_result(row, partition, &appended?);
                return Ok(());
            }
            let (code, base_offset) = match &appended {
                Ok(appended) => (Code::None, size64(appended.base_offset)),
                Err(error) => (error.code(), -1.0),
            };
            let code = f64::from(code.number());
            if code != 0.0 && get(row, layout::PLAN_CODE) == 0.0 {
                set(row, layout::PLAN_CODE, code);
            }
            if let Ok(appended) = &appended {
                set(
                    row,
                    layout::PLAN_APPEND_TIME_MS,
                    time(appended.append_time_ms),
                );
            }
            let count = f64::from(part.built.record_count);
            scratch
                .spreads
                .extend_from_slice(&[self.entry, code, partition, base_offset, count]);
            let rows = get(row, layout::PLAN_SPREAD);
            set(row, layout::PLAN_SPREAD, rows + 1.0);
        }
        Ok(())
    }

    fn build_options(&self, config: &LogConfig, row: &[f64]) -> Result<BuildOptions> {
        let base_sequence = get(row, layout::PLAN_BASE_SEQUENCE);
        let is_numbered = base_sequence >= 0.0 && get(row, layout::PLAN_PARTITION) >= 0.0;
        if is_numbered && self.frame.producer.id < 0 {
            let detail = "a sequence number without a producer id from hello";
            return Err(Error::new(Code::UnknownProducerId, detail));
        }
        let producer = is_numbered.then_some(Producer {
            id: self.frame.producer.id,
            epoch: self.frame.producer.epoch,
            base_sequence: base_sequence as i32,
        });
        Ok(BuildOptions {
            codec: config.codec.unwrap_or(Codec::None),
            level: config.compression_level,
            rules: config.rules(self.frame.store.shared().env.clock.wall_ms()),
            producer,
        })
    }

    /// Has the frame wait for the flush of what was appended, if the ack asks for that.
    fn wait_for(&mut self, log: &Arc<Log>, config: &LogConfig, appended: &Appended) {
        let wants_flush = match self.frame.ack {
            None => config.is_flushed_before_ack(),
            Some(ack) => ack >= ACK_FLUSHED,
        };
        if !wants_flush {
            self.reached = self.reached.min(ACK_WRITTEN);
            return;
        }
        let channel = self.frame.channel;
        let pending = self
            .pending
            .get_or_insert_with(|| PendingFrame::new(channel));
        pending.expect();
        let pending = Arc::clone(pending);
        log.when_flushed(appended.next_offset, pending);
    }
}

impl Topic {
    /// The partition for the next records without a key: another one each time.
    fn next_sticky(&self) -> u32 {
        let turn = self
            .sticky
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        turn.checked_rem(self.partition_count()).unwrap_or(0)
    }
}

fn whole(output: &[u8], range: Range<usize>) -> Result<&[u8]> {
    output
        .get(range)
        .ok_or_else(|| Error::new(Code::UnknownServerError, "a batch outside its buffer"))
}

fn set_result(row: &mut [f64], partition: f64, appended: &Appended) {
    set(row, layout::PLAN_RESULT_PARTITION, partition);
    set(row, layout::PLAN_BASE_OFFSET, size64(appended.base_offset));
    set(
        row,
        layout::PLAN_APPEND_TIME_MS,
        time(appended.append_time_ms),
    );
}

fn get(row: &[f64], field: usize) -> f64 {
    row.get(field).copied().unwrap_or(0.0)
}

fn set(row: &mut [f64], field: usize, value: f64) {
    if let Some(slot) = row.get_mut(field) {
        *slot = value;
    }
}

/// A field that holds a whole number of 32 bits.
fn number(row: &[f64], field: usize) -> Result<u32> {
    let value = get(row, field);
    if value.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&value) {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("field {field} is {value}"),
        ));
    }
    Ok(value as u32)
}

fn position(row: &[f64], field: usize) -> Result<usize> {
    let value = number(row, field)?;
    if u64::from(value) > limits::FRAME_BYTES_MAX {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("position {value}"),
        ));
    }
    Ok(value as usize)
}

/// Sizes within a frame are far below 2^53.
fn size(bytes: usize) -> f64 {
    size64(bytes as u64)
}

/// Offsets cross as doubles, exact up to 2^53.
fn size64(offset: u64) -> f64 {
    offset as f64
}

fn time(milliseconds: i64) -> f64 {
    milliseconds as f64
}
