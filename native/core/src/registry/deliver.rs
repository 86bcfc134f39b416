//! Reading for consumers: records as a MessagePack frame, or whole batches as a view.
//!
//! Batches that are compressed or large are taken apart once and kept for a moment, so that reading
//! them piece by piece, by one reader or by many, costs each piece and not the batch each time.

use std::sync::Arc;

use super::{
    Store,
    channel::{Channel, PartitionWatch},
    deliveries::{DeliveryKey, Making},
    elsewhere::Connection,
};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, OpenBatch},
    compression::Codec,
    env::Clock,
    error::{Code, Error, Result},
    flush::fair::{Job, Owner, Step},
    limits,
    log::{
        Log, LogShared,
        read::{Batches, ColdRange, Read},
    },
    messagepack::{Damaged, Delivered, DeliveryRequest, OpenBatches, deliver_opened},
    segment::open_batches::{BatchPlace, OpenBatchCache},
};

/// Batches that expand to more than this are taken apart by another thread.
const DECOMPRESSED_ON_LOOP_BYTES_MAX: u64 = 128 << 10;
/// Batches that are not compressed and have more bytes than this are, too.
const OPENED_ON_LOOP_BYTES_MAX: usize = 1 << 20;

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    /// The topic's number.
    pub topic: u32,
    /// The partition.
    pub partition: u32,
    /// First offset wanted.
    pub offset: u64,
    /// The subscription's number, for the frame.
    pub subscription: u32,
    /// Records at most; one is always delivered.
    pub records_max: u32,
    /// Bytes at most, unless the first record or batch is larger.
    pub bytes_max: u64,
    /// Who reads, for records.
    pub connection: Connection,
}

/// What there was to read.
pub enum Outcome {
    /// A whole frame was appended to the buffer.
    Records {
        /// Records in it.
        records: u32,
        /// Bytes of their encoded form.
        bytes: u64,
        /// Offset of the first of them.
        base_offset: u64,
        /// Where to read on.
        next_offset: u64,
        /// Offset behind the last visible record.
        high_watermark: u64,
    },
    /// Whole batches in mapped memory.
    Batches(Batches),
    /// Nothing yet.
    AtEnd {
        /// The high watermark.
        high_watermark: u64,
    },
    /// Another thread is bringing it in: ask again when the token's event comes.
    Loading {
        /// The token.
        token: u32,
    },
    /// A damaged range: read on behind it.
    Gap {
        /// First offset behind it.
        to_offset: u64,
    },
    /// Not an offset of this log.
    OutOfRange {
        /// First offset that can be read.
        log_start: u64,
        /// Offset behind the last visible record.
        high_watermark: u64,
    },
}

impl Store {
    /// Appends one `records` frame to `output`.
    ///
    /// # Errors
    /// - [`Code::UnknownTopicOrPartition`], [`Code::TopicDeleted`], [`Code::KafkaStorageError`].
    /// - [`Code::LimitExceeded`] for a connection that has more deliveries made by another thread
    ///   than it may have subscriptions.
    pub fn read_records(
        &self,
        channel: &Arc<Channel>,
        request: &ReadRequest,
        output: &mut Vec<u8>,
    ) -> Result<Outcome> {
        let log = self.log(request.topic, request.partition)?;
        let high_watermark = log.high_watermark();
        let mut offset = request.offset;
        if let Some((frame, delivered)) = channel.deliveries.take(request) {
            if delivered.records > 0 {
                output.extend_from_slice(&frame);
                return Ok(records(&delivered, high_watermark));
            }
            // Nothing in it was to be delivered: read on behind it.
            offset = u64::try_from(delivered.next_offset).unwrap_or(offset);
        }
        loop {
            let batches = match log.read(offset, bytes_to_read(request))? {
                Read::Batches(batches) => batches,
                other => return Ok(self.without_batches(channel, other)),
            };
            let delivery = delivery_request(request, offset, &batches);
            let opener = CachedBatches::new(self.shared(), &batches, true);
            match deliver_opened(batches.bytes(), &delivery, &opener, output) {
                Ok(Some(delivered)) if delivered.records > 0 => {
                    return Ok(records(&delivered, batches.high_watermark));
                }
                Ok(Some(_)) => {
                    // Nothing but control batches or holes: read on behind them.
                    offset = batches.next_offset.max(offset + 1);
                }
                Ok(None) => {
                    return self.deliver_elsewhere(channel, &log, request, offset, batches);
                }
                Err(damaged) => {
                    let read = damaged_read(&log, &batches, damaged, offset)?;
                    return Ok(self.without_batches(channel, read));
                }
            }
        }
    }

    /// Finds whole batches for a delivery that is a view of mapped memory.
    ///
    /// # Errors
    /// Those of [`read_records`](Self::read_records).
    pub fn read_batches(&self, channel: &Arc<Channel>, request: &ReadRequest) -> Result<Outcome> {
        let log = self.log(request.topic, request.partition)?;
        // The caller says how large a view it wants: a Kafka fetch takes more than a delivery.
        let bytes_max = request.bytes_max.clamp(HEADER_BYTES as u64, limits::BATCH_BYTES_MAX);
        Ok(match log.read(request.offset, bytes_max)? {
            Read::Batches(batches) => Outcome::Batches(batches),
            other => self.without_batches(channel, other),
        })
    }

    fn without_batches(&self, channel: &Arc<Channel>, read: Read) -> Outcome {
        match read {
            Read::Cold(range) => Outcome::Loading { token: self.load(channel, range) },
            Read::Gap { to_offset } => Outcome::Gap { to_offset },
            Read::OutOfRange { log_start, high_watermark } => {
                Outcome::OutOfRange { log_start, high_watermark }
            }
            Read::AtEnd { high_watermark } => Outcome::AtEnd { high_watermark },
            Read::Batches(batches) => Outcome::Batches(batches),
        }
    }

    fn load(&self, channel: &Arc<Channel>, range: ColdRange) -> u32 {
        let token = channel.next_token();
        let (shared, channel) = (Arc::clone(self.shared()), Arc::clone(channel));
        self.shared().work.spawn(Box::new(move || {
            let code = range.load(&shared).map_or_else(|error| error.code(), |()| Code::None);
            channel.post_done(token, code);
        }));
        token
    }

    /// Has another thread make the delivery; it is picked up by asking again.
    fn deliver_elsewhere(
        &self,
        channel: &Arc<Channel>,
        log: &Arc<Log>,
        request: &ReadRequest,
        offset: u64,
        batches: Batches,
    ) -> Result<Outcome> {
        let Some(making) = channel.deliveries.begin(request.connection) else {
            let detail = "more deliveries on their way than there may be subscriptions";
            return Err(Error::new(Code::LimitExceeded, detail));
        };
        let token = channel.next_token();
        let job = DeliveryElsewhere {
            shared: Arc::clone(self.shared()),
            log: Arc::clone(log),
            request: *request,
            offset,
            batches,
            end: DeliveryEnd {
                channel: Arc::clone(channel),
                token,
                code: Code::UnknownServerError,
                _making: making,
            },
        };
        channel.long_work.spawn(reader(request.connection), Box::new(job));
        Ok(Outcome::Loading { token })
    }

    /// Posts a [`super::channel::EVENT_VISIBLE`] event once the high watermark has passed
    /// `offset`. `false`, and no event, when it has already.
    ///
    /// # Errors
    /// [`Code::UnknownTopicOrPartition`].
    pub fn watch(
        &self,
        channel: &Arc<Channel>,
        topic: u32,
        partition: u32,
        offset: u64,
    ) -> Result<bool> {
        let log = self.log(topic, partition)?;
        let channel = Arc::clone(channel);
        Ok(log.watch(offset, Arc::new(PartitionWatch { channel, topic, partition })))
    }
}

/// How many bytes to look for: at least a header's, at most a delivery's.
pub(super) fn bytes_to_read(request: &ReadRequest) -> u64 {
    request.bytes_max.clamp(HEADER_BYTES as u64, limits::DELIVERY_BYTES_MAX)
}

fn delivery_request(request: &ReadRequest, offset: u64, batches: &Batches) -> DeliveryRequest {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    DeliveryRequest {
        subscription: request.subscription,
        from_offset: signed(offset),
        end_offset: signed(batches.high_watermark),
        high_watermark: signed(batches.high_watermark),
        records_max: request.records_max.max(1),
        bytes_max: usize::try_from(bytes_to_read(request)).unwrap_or(usize::MAX),
    }
}

fn records(delivered: &Delivered, high_watermark: u64) -> Outcome {
    Outcome::Records {
        records: delivered.records,
        bytes: delivered.bytes as u64,
        base_offset: u64::try_from(delivered.base_offset).unwrap_or(0),
        next_offset: u64::try_from(delivered.next_offset).unwrap_or(0),
        high_watermark,
    }
}

/// What a connection reads does not wait for what it produces.
fn reader(connection: Connection) -> Owner {
    Owner(connection | 1 << 63)
}

/// A delivery that another thread makes.
struct DeliveryElsewhere {
    shared: Arc<LogShared>,
    log: Arc<Log>,
    request: ReadRequest,
    /// Where to begin: at or behind the offset asked for.
    offset: u64,
    batches: Batches,
    end: DeliveryEnd,
}

/// Posts that the delivery is there, or why it is not, however the work ends.
struct DeliveryEnd {
    channel: Arc<Channel>,
    token: u32,
    code: Code,
    _making: Making,
}

impl Drop for DeliveryEnd {
    fn drop(&mut self) {
        self.channel.post_done(self.token, self.code);
    }
}

impl DeliveryElsewhere {
    fn make(&self) -> Result<()> {
        let Self { request, batches, offset, .. } = self;
        let mut frame = Vec::new();
        let delivery = delivery_request(request, *offset, batches);
        let opener = CachedBatches::new(&self.shared, batches, false);
        match deliver_opened(batches.bytes(), &delivery, &opener, &mut frame) {
            Ok(Some(mut delivered)) => {
                if delivered.records == 0 {
                    let next = batches.next_offset.max(offset + 1);
                    delivered.next_offset = i64::try_from(next).unwrap_or(i64::MAX);
                }
                self.end.channel.deliveries.keep(DeliveryKey::of(request), frame, delivered);
                Ok(())
            }
            Ok(None) => Err(Error::new(Code::UnknownServerError, "a delivery was left to nobody")),
            // The next read of it has the gap.
            Err(damaged) => match damaged_read(&self.log, batches, damaged, *offset)? {
                Read::Cold(range) => range.load(&self.shared),
                _ => Ok(()),
            },
        }
    }
}

impl Job for DeliveryElsewhere {
    fn step(&mut self) -> Step {
        let clock: &dyn Clock = &*self.shared.env.clock;
        let started_ns = clock.monotonic_ns();
        self.end.code = if self.end.channel.is_finishing() {
            Code::ShuttingDown
        } else {
            self.make().map_or_else(|error| error.code(), |()| Code::None)
        };
        Step { cost_ns: clock.monotonic_ns().saturating_sub(started_ns), is_done: true }
    }
}

/// The batches of one read, as far as readers have taken them apart already.
struct CachedBatches<'a> {
    cache: &'a OpenBatchCache,
    /// Where the bytes begin.
    start: BatchPlace,
    is_on_loop: bool,
}

impl<'a> CachedBatches<'a> {
    fn new(shared: &'a LogShared, batches: &Batches, is_on_loop: bool) -> Self {
        let position = batches.window.start + batches.range.start as u64;
        Self { cache: &shared.open_batches, start: (batches.window.segment, position), is_on_loop }
    }

    fn place(&self, position: usize) -> BatchPlace {
        (self.start.0, self.start.1 + position as u64)
    }
}

impl OpenBatches for CachedBatches<'_> {
    fn known(&self, position: usize) -> Option<Arc<OpenBatch>> {
        self.cache.get(self.place(position))
    }

    fn open(&self, position: usize, header: &BatchHeader, batch: &[u8]) -> Result<Arc<OpenBatch>> {
        let bytes_max = if self.is_on_loop {
            if header.attributes.codec()? == Codec::None && batch.len() > OPENED_ON_LOOP_BYTES_MAX {
                return Err(Error::new(Code::MessageTooLarge, "a batch for another thread"));
            }
            DECOMPRESSED_ON_LOOP_BYTES_MAX
        } else {
            limits::BATCH_BYTES_DECOMPRESSED_MAX
        };
        let open = Arc::new(OpenBatch::new(header, batch, bytes_max)?);
        self.cache.insert(self.place(position), &open);
        Ok(open)
    }

    fn is_partial(&self) -> bool {
        self.is_on_loop
    }
}

/// What becomes of a batch that cannot be delivered: the file is to be asked first, so that readers
/// go on behind it and nothing else.
///
/// # Errors
/// Why it cannot be delivered where that says nothing about what is stored.
fn damaged_read(log: &Arc<Log>, batches: &Batches, damaged: Damaged, offset: u64) -> Result<Read> {
    if damaged.error.code() == Code::UnknownServerError {
        return Err(damaged.error);
    }
    let claimed = damaged.header.and_then(|header| {
        let from_offset = u64::try_from(header.base_offset).ok()?;
        let to_offset = u64::try_from(header.last_offset()).ok()? + 1;
        let end = damaged.position + header.batch_bytes();
        let is_sound = from_offset < to_offset
            && (offset + 1..=batches.next_offset).contains(&to_offset)
            && end <= batches.bytes().len();
        is_sound.then_some((end, from_offset, to_offset))
    });
    // What the header claims cannot be relied upon; where the batches end can.
    let Some((end, from_offset, to_offset)) = claimed else {
        return Ok(Read::Gap { to_offset: batches.next_offset });
    };
    let range = batches.range.start + damaged.position..batches.range.start + end;
    Ok(Read::Cold(log.suspect(batches, range, from_offset, to_offset)))
}
