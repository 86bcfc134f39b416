//! Appending a produce frame: all its entries in one call.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Store, Topic,
    channel::{Channel, PendingFrame},
    elsewhere::{Connection, FrameElsewhere},
};
use crate::{
    batch::{BatchHeader, Producer, RefusedRecord, Rules, recompress, validate_within},
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
/// Not answered at all.
pub const ACK_NONE: u8 = 0;
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
    /// Some entries are appended by another thread: the plan is not filled in yet.
    pub is_elsewhere: bool,
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
    pub store: &'a Arc<Store>,
    /// Who is told of flushes.
    pub channel: &'a Arc<Channel>,
    /// The frame that the plan was made from, or the part of it that its entries lie in.
    pub bytes: &'a [u8],
    /// Where in the frame `bytes` begins.
    pub bytes_start: usize,
    /// The durability asked for.
    pub ack: Ack,
    /// Who produces; none when each batch names the producer that made it, as Kafka's clients do.
    pub producer: Option<ProducerIdentity>,
    /// Whose frame it is: the frames of one connection keep their order.
    pub connection: Connection,
}

/// Buffers that one event loop reuses for every frame.
#[derive(Default)]
pub struct ProduceScratch {
    entries: Vec<ProduceEntry>,
    output: Vec<u8>,
    splitter: Splitter,
    refused: Vec<RefusedRecord>,
    details: EntryDetails,
}

/// What became of the entries of a frame, beside its plan.
#[derive(Debug, Clone, Default)]
pub struct EntryDetails {
    /// Rows about entries that went to several partitions (layout in [`layout`]).
    pub spreads: Vec<f64>,
    /// Records for which ready batches were refused, the first
    /// [`REFUSED_RECORDS_MAX`](limits::REFUSED_RECORDS_MAX) of the frame.
    pub refused: Vec<RefusedInEntry>,
}

/// A record for which the batch of an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedInEntry {
    /// Index of the entry.
    pub entry: u32,
    /// Its place in the batch, from 0.
    pub index: u32,
    /// What is wrong with it, for people.
    pub message: String,
}

impl EntryDetails {
    fn clear(&mut self) {
        self.spreads.clear();
        self.refused.clear();
    }

    /// Bytes that they hold.
    pub(super) fn bytes(&self) -> usize {
        let of_messages: usize = self.refused.iter().map(|refused| refused.message.len()).sum();
        size_of_val(&*self.spreads) + size_of_val(&*self.refused) + of_messages
    }
}

/// When the batches of a frame expand to more than this together, another thread validates the
/// rest of them.
const DECOMPRESSED_ON_LOOP_BYTES_MAX: u64 = 128 << 10;
/// When the entries of a frame that are to be compressed have more bytes than these together,
/// another thread compresses the rest of them.
const GZIP_ON_LOOP_BYTES_MAX: usize = 16 << 10;
const SNAPPY_AND_ZSTD_ON_LOOP_BYTES_MAX: usize = 32 << 10;
const LZ4_ON_LOOP_BYTES_MAX: usize = 64 << 10;

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
        for (entry, row) in self.entries.iter().zip(plan.chunks_exact_mut(layout::PLAN_STRIDE)) {
            row.fill(0.0);
            let (alias, name) = match &entry.topic {
                TopicReference::Alias(alias) => (f64::from(*alias), 0..0),
                TopicReference::Name(range) => (-1.0, range.clone()),
            };
            set(row, layout::PLAN_TOPIC_ALIAS, alias);
            set(row, layout::PLAN_TOPIC_START, size(name.start));
            set(row, layout::PLAN_TOPIC_BYTES, size(name.len()));
            set(row, layout::PLAN_PARTITION, f64::from(entry.partition));
            set(row, layout::PLAN_BASE_SEQUENCE, f64::from(entry.base_sequence));
            set(row, layout::PLAN_FORMAT, f64::from(entry.format as u8));
            set(row, layout::PLAN_CODEC, f64::from(entry.codec.number()));
            set(row, layout::PLAN_BODY_START, size(entry.body.start));
            set(row, layout::PLAN_BODY_BYTES, size(entry.body.len()));
            set(row, layout::PLAN_RECORD_COUNT, f64::from(entry.record_count));
            set(row, layout::PLAN_BASE_OFFSET, -1.0);
            set(row, layout::PLAN_APPEND_TIME_MS, -1.0);
        }
        Ok((envelope, self.entries.len()))
    }

    /// Appends the first `count` entries of `plan` and notes there what became of each. Entries
    /// whose code is set are left alone; one that fails does not hinder the others.
    ///
    /// From the first entry on that would hold the event loop up (a large compression or
    /// decompression), or that has to stay behind one of its connection that did, the rest is done
    /// by another thread: then the results are had from [`Channel::take_appended`] once the token
    /// is done. Where too much waits for that already, the rest is [`Code::RequestTimedOut`].
    pub fn append(&mut self, frame: &Frame<'_>, plan: &mut [f64], count: usize) -> Outcome {
        self.details.clear();
        let mut state = FrameState::on_loop();
        let rows = plan.get_mut(..count * layout::PLAN_STRIDE).unwrap_or_default();
        let mut work = FrameWork { frame, is_on_loop: true, entry: 0, state: &mut state };
        let first_elsewhere = rows
            .chunks_exact_mut(layout::PLAN_STRIDE)
            .enumerate()
            .position(|(index, row)| work.append_row(self, index, row) == Progress::Elsewhere);
        if let Some(first) = first_elsewhere {
            match FrameElsewhere::queue(frame, rows, first, state, &self.details) {
                Ok(token) => return Outcome { token, reached: 0, is_elsewhere: true },
                Err(given_back) => {
                    state = given_back;
                    for row in rows.chunks_exact_mut(layout::PLAN_STRIDE).skip(first) {
                        refuse(row, Code::RequestTimedOut);
                    }
                }
            }
        }
        self.trim();
        let reached = state.reached(frame.ack);
        let token = state.pending.map_or(0, |pending| {
            pending.release();
            pending.token()
        });
        Outcome { token, reached, is_elsewhere: false }
    }

    /// Buffers for the rest of a frame, about whose entries there are `details` already.
    pub(super) fn with_details(details: EntryDetails) -> Self {
        Self { details, ..Self::default() }
    }

    /// What [`details`](Self::details) shows, for good.
    pub(super) fn take_details(&mut self) -> EntryDetails {
        std::mem::take(&mut self.details)
    }

    /// Shows the details of a frame that another thread appended.
    pub fn show_details(&mut self, details: EntryDetails) {
        self.details = details;
    }

    /// Gives buffers back that one large frame made large.
    fn trim(&mut self) {
        self.splitter.trim();
        if self.output.capacity() > OUTPUT_BYTES_KEPT_MAX {
            self.output = Vec::new();
        }
    }

    /// What became of the entries of the last frame, beside its plan.
    pub fn details(&self) -> &EntryDetails {
        &self.details
    }
}

/// Whether an entry was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// Nothing was done: it has to be another thread.
    Elsewhere,
}

/// How far a frame has come.
pub(super) struct FrameState {
    /// Who waits for flushes, once there is one to wait for.
    pub(super) pending: Option<Arc<PendingFrame>>,
    reached: u8,
    /// What the batches may still expand to here, in bytes.
    decompressed_bytes_left: u64,
    /// Bytes of the entries that were compressed.
    compressed_bytes: usize,
}

impl FrameState {
    fn on_loop() -> Self {
        Self {
            pending: None,
            reached: ACK_FLUSHED,
            decompressed_bytes_left: DECOMPRESSED_ON_LOOP_BYTES_MAX,
            compressed_bytes: 0,
        }
    }

    /// From here on another thread goes on with the frame of `frame_bytes`.
    pub(super) fn leave_loop(&mut self, frame_bytes: usize) {
        const EXPANSION_MAX: u64 = limits::FRAME_BYTES_DECOMPRESSED_MAX / limits::FRAME_BYTES_MAX;
        let in_proportion = EXPANSION_MAX.saturating_mul(frame_bytes as u64);
        self.decompressed_bytes_left = in_proportion.max(limits::FRAME_BYTES_DECOMPRESSED_MAX);
    }

    /// The durability that entries without an error have once nothing is waited for.
    pub(super) fn reached(&self, ack: Ack) -> u8 {
        if ack == Some(ACK_NONE) { ACK_NONE } else { self.reached }
    }
}

/// A frame being appended.
pub(super) struct FrameWork<'a> {
    frame: &'a Frame<'a>,
    /// Large work is left to another thread.
    is_on_loop: bool,
    /// Index of the entry at work.
    entry: u32,
    state: &'a mut FrameState,
}

impl<'a> FrameWork<'a> {
    /// Work on a frame by a thread that may take its time.
    pub(super) fn elsewhere(frame: &'a Frame<'a>, state: &'a mut FrameState) -> Self {
        Self { frame, is_on_loop: false, entry: 0, state }
    }

    pub(super) fn append_row(
        &mut self,
        scratch: &mut ProduceScratch,
        index: usize,
        row: &mut [f64],
    ) -> Progress {
        if get(row, layout::PLAN_CODE) != 0.0 {
            return Progress::Done;
        }
        // A plan has a few thousand rows at most.
        self.entry = index as u32;
        self.append_entry(scratch, row).unwrap_or_else(|error| {
            refuse(row, error.code());
            Progress::Done
        })
    }

    fn append_entry(&mut self, scratch: &mut ProduceScratch, row: &mut [f64]) -> Result<Progress> {
        let frame = self.frame;
        let topic_number = number(row, layout::PLAN_TOPIC_HANDLE)?;
        let topic = frame.store.topic(topic_number)?;
        if self.is_on_loop
            && (frame.channel.elsewhere.hold(frame.connection, topic_number)
                || frame.store.shared().dirty.is_exhausted())
        {
            return Ok(Progress::Elsewhere);
        }
        let config = topic.config();
        self.check_replicas(&config)?;
        let start = position(row, layout::PLAN_BODY_START)?.checked_sub(frame.bytes_start);
        let bytes = position(row, layout::PLAN_BODY_BYTES)?;
        let body = start
            .and_then(|start| frame.bytes.get(start..start.saturating_add(bytes)))
            .ok_or_else(|| Error::new(Code::MalformedFrame, "a body outside its frame"))?;
        let format = match number(row, layout::PLAN_FORMAT)? {
            0 => Format::Bytes,
            1 => Format::MessagePack,
            _ => Format::Batch,
        };
        let is_by_key = get(row, layout::PLAN_PARTITION) < 0.0;
        if format == Format::Batch {
            // A ready batch is opaque: its keys do not choose, it sticks as a whole.
            let partition =
                if is_by_key { topic.next_sticky() } else { number(row, layout::PLAN_PARTITION)? };
            return self.append_batch(scratch, &topic, &config, row, partition, body);
        }
        let options = self.build_options(&config, row)?;
        if self.leaves_compressing(options.codec, bytes) {
            return Ok(Progress::Elsewhere);
        }
        if is_by_key {
            self.append_spread(scratch, &topic, row, body, format, &options)?;
            return Ok(Progress::Done);
        }
        let partition = number(row, layout::PLAN_PARTITION)?;
        let log = topic.log(partition)?;
        scratch.output.clear();
        let built = build_batch(body, format, &options, &mut scratch.output)?;
        let batch = whole(&scratch.output, built.range)?;
        let appended = log.append(batch, built.max_timestamp_ms)?;
        self.wait_for(&log, &config, &appended);
        set_result(row, f64::from(partition), &appended);
        Ok(Progress::Done)
    }

    fn append_batch(
        &mut self,
        scratch: &mut ProduceScratch,
        topic: &Topic,
        config: &LogConfig,
        row: &mut [f64],
        partition: u32,
        batch: &[u8],
    ) -> Result<Progress> {
        let log = topic.log(partition)?;
        let rules = config.rules(self.frame.store.shared().env.clock.wall_ms());
        let bytes_left = &mut self.state.decompressed_bytes_left;
        let ProduceScratch { refused, details, .. } = scratch;
        let validated = validate_within(batch, &rules, bytes_left, refused);
        self.note_refused(refused, &rules, details);
        let summary = match validated? {
            Some(summary) => summary,
            None if self.is_on_loop => return Ok(Progress::Elsewhere),
            None => {
                let detail = "the batches of its request expand to more than a request may";
                return Err(Error::new(Code::MessageTooLarge, detail));
            }
        };
        self.check_producer(summary.producer.as_ref())?;
        self.check_offset(batch)?;
        let batch = match config.codec {
            Some(codec) if codec != summary.codec => {
                if self.leaves_compressing(codec, summary.decompressed_bytes as usize) {
                    return Ok(Progress::Elsewhere);
                }
                let output = &mut scratch.output;
                output.clear();
                recompress(batch, codec, config.compression_level, rules.bytes_max, output)?;
                output
            }
            _ => batch,
        };
        let appended = log.append(batch, summary.max_timestamp_ms)?;
        self.wait_for(&log, config, &appended);
        set_result(row, f64::from(partition), &appended);
        Ok(Progress::Done)
    }

    /// Whether compressing `bytes` more is left to another thread.
    fn leaves_compressing(&mut self, codec: Codec, bytes: usize) -> bool {
        if codec == Codec::None {
            return false;
        }
        self.state.compressed_bytes = self.state.compressed_bytes.saturating_add(bytes);
        self.is_on_loop && compresses_long(codec, self.state.compressed_bytes)
    }

    /// Notes the records for which the batch of the entry at work is refused.
    fn note_refused(&self, refused: &[RefusedRecord], rules: &Rules, details: &mut EntryDetails) {
        let room = (limits::REFUSED_RECORDS_MAX as usize).saturating_sub(details.refused.len());
        details.refused.extend(refused.iter().take(room).map(|record| RefusedInEntry {
            entry: self.entry,
            index: record.index,
            message: record.reason.message(rules),
        }));
    }

    /// Where the connection has an identity, a batch numbers its records as that producer or not at
    /// all: under another's it would take that producer's next sequence numbers, or its epoch.
    fn check_producer(&self, producer: Option<&Producer>) -> Result<()> {
        let Some(own) = self.frame.producer else {
            return Ok(());
        };
        match producer {
            Some(producer) if (producer.id, producer.epoch) != (own.id, own.epoch) => {
                let detail = format!("producer {} is not the connection's", producer.id);
                Err(Error::new(Code::InvalidRequest, detail))
            }
            _ => Ok(()),
        }
    }

    /// Kafka takes no batch from its clients that has an offset already. Over WebSocket one may be
    /// sent on as it was delivered.
    fn check_offset(&self, batch: &[u8]) -> Result<()> {
        let offset = BatchHeader::read(batch)?.base_offset;
        if self.frame.producer.is_some() || offset == 0 {
            return Ok(());
        }
        let detail = format!("base offset {offset}: a batch from a client has 0");
        Err(Error::new(Code::InvalidRecord, detail))
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

    /// Records of one entry over several partitions, by key.
    fn append_spread(
        &mut self,
        scratch: &mut ProduceScratch,
        topic: &Topic,
        row: &mut [f64],
        body: &[u8],
        format: Format,
        options: &BuildOptions,
    ) -> Result<()> {
        scratch.output.clear();
        let config = topic.config();
        let partitions = topic.partition_count();
        let sticky = topic.next_sticky();
        let parts = scratch.splitter.split(
            body,
            format,
            partitions,
            sticky,
            options,
            &mut scratch.output,
        )?;
        let is_spread = parts.len() > 1;
        set(row, layout::PLAN_RESULT_PARTITION, -1.0);
        for part in parts {
            let batch = whole(&scratch.output, part.built.range.clone())?;
            let appended = topic.log(part.partition).and_then(|log| {
                let appended = log.append(batch, part.built.max_timestamp_ms)?;
                self.wait_for(&log, &config, &appended);
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
                set(row, layout::PLAN_APPEND_TIME_MS, time(appended.append_time_ms));
            }
            let count = f64::from(part.built.record_count);
            let entry = f64::from(self.entry);
            let spread = [entry, code, partition, base_offset, count];
            scratch.details.spreads.extend_from_slice(&spread);
            let rows = get(row, layout::PLAN_SPREAD);
            set(row, layout::PLAN_SPREAD, rows + 1.0);
        }
        Ok(())
    }

    fn build_options(&self, config: &LogConfig, row: &[f64]) -> Result<BuildOptions> {
        let base_sequence = get(row, layout::PLAN_BASE_SEQUENCE);
        let is_numbered = base_sequence >= 0.0 && get(row, layout::PLAN_PARTITION) >= 0.0;
        let identity = self.frame.producer.filter(|producer| producer.id >= 0);
        if is_numbered && identity.is_none() {
            let detail = "a sequence number without a producer id from hello";
            return Err(Error::new(Code::UnknownProducerId, detail));
        }
        let producer = identity.filter(|_| is_numbered).map(|identity| Producer {
            id: identity.id,
            epoch: identity.epoch,
            base_sequence: base_sequence as i32,
        });
        // What the producer asks for counts where the topic leaves it to producers.
        let asked = || Codec::from_number(get(row, layout::PLAN_CODEC) as u8);
        Ok(BuildOptions {
            codec: config.codec.map_or_else(asked, Ok)?,
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
            self.state.reached = self.state.reached.min(ACK_WRITTEN);
            return;
        }
        let channel = self.frame.channel;
        let pending = self.state.pending.get_or_insert_with(|| PendingFrame::new(channel));
        pending.expect();
        let pending = Arc::clone(pending);
        log.when_flushed(appended.next_offset, pending);
    }
}

/// Whether compressing `bytes` of records takes longer than the event loop may be held.
fn compresses_long(codec: Codec, bytes: usize) -> bool {
    match codec {
        Codec::None => false,
        Codec::Gzip => bytes > GZIP_ON_LOOP_BYTES_MAX,
        Codec::Snappy | Codec::Zstd => bytes > SNAPPY_AND_ZSTD_ON_LOOP_BYTES_MAX,
        Codec::Lz4 => bytes > LZ4_ON_LOOP_BYTES_MAX,
    }
}

impl Topic {
    /// The partition for the next records without a key: another one each time.
    fn next_sticky(&self) -> u32 {
        let turn = self.sticky.fetch_add(1, Ordering::Relaxed);
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
    set(row, layout::PLAN_APPEND_TIME_MS, time(appended.append_time_ms));
}

/// Notes that an entry failed, unless that is known already.
pub(super) fn refuse(row: &mut [f64], code: Code) {
    if get(row, layout::PLAN_CODE) == 0.0 {
        set(row, layout::PLAN_CODE, f64::from(code.number()));
    }
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
        return Err(Error::new(Code::InvalidArgument, format!("field {field} is {value}")));
    }
    Ok(value as u32)
}

/// A field that is a place in the frame, or a number of its bytes.
fn position(row: &[f64], field: usize) -> Result<usize> {
    Ok(number(row, field)? as usize)
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
