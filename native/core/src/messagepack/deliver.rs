//! From stored batches to a delivery.
//!
//! ```text
//! [131, sub, base_offset, high_watermark,
//!     [[offset_delta, timestamp_ms, key, value, [[name, value], ...]?], ...]]
//! ```
//!
//! `base_offset` is the offset of the first record in the frame. Keys and values are bin or nil;
//! the headers are left out where a record has none.

use std::sync::Arc;

use super::writer::{ARRAY_LATER_BYTES, Writer};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, OpenBatch, Record, Records, TimestampType},
    compression::Codec,
    error::{Code, Error},
    limits::BATCH_BYTES_DECOMPRESSED_MAX,
};

/// The operation number of a delivery.
const OPERATION: i64 = 131;
/// Array, operation, subscription and two offsets.
const FRONT_BYTES_MAX: usize = 1 + 2 + 5 + 9 + 9;
/// Batches that are not compressed are opened only when they have more bytes: getting anywhere in
/// a smaller one costs little.
const OPENED_BYTES_MIN: usize = 32 << 10;
/// Room that a record takes beside its key and value: array, delta, timestamp, two headers.
const RECORD_OVERHEAD_BYTES_MAX: usize = 1 + 9 + 9 + 5 + 5;

/// What to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryRequest {
    /// The subscription's number.
    pub subscription: u32,
    /// Records below it are skipped.
    pub from_offset: i64,
    /// Records from it on are not delivered.
    pub end_offset: i64,
    /// What the frame tells the client.
    pub high_watermark: i64,
    /// At most so many records; at least 1 is delivered.
    pub records_max: u32,
    /// No further record is added that would take the body beyond so many bytes.
    pub bytes_max: usize,
}

/// What was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Records in the frame. 0: there was none to deliver and nothing was written.
    pub records: u32,
    /// Bytes of the encoded records, without the front of the frame.
    pub bytes: usize,
    /// The offset of the first record; 0 where there is none.
    pub base_offset: i64,
    /// Where the next delivery goes on: behind everything that was delivered or skipped. When it
    /// is still the offset asked for although that lies below the end, the batch that should hold
    /// it is cut off or claims a later offset.
    pub next_offset: i64,
}

/// A batch that cannot be delivered. No record in front of it is waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Where it begins in the bytes given.
    pub position: usize,
    /// Its header, as far as there is one: nothing in it can be relied upon.
    pub header: Option<BatchHeader>,
    /// What is wrong with it.
    pub error: Error,
}

/// Opens batches for a delivery. They are told apart by where they begin in its bytes.
pub trait OpenBatches {
    /// A batch that was opened before.
    fn known(&self, position: usize) -> Option<Arc<OpenBatch>>;

    /// Opens a batch whose checksum holds.
    ///
    /// # Errors
    /// Those of [`OpenBatch::new`].
    fn open(
        &self,
        position: usize,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<Arc<OpenBatch>, Error>;

    /// Whether `MESSAGE_TOO_LARGE` only says that it is more than this caller may do.
    fn is_partial(&self) -> bool;
}

/// Opens every batch anew, up to a size.
pub(super) struct Anew {
    pub(super) decompressed_bytes_max: u64,
}

impl OpenBatches for Anew {
    fn known(&self, _position: usize) -> Option<Arc<OpenBatch>> {
        None
    }

    fn open(
        &self,
        _position: usize,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<Arc<OpenBatch>, Error> {
        OpenBatch::new(header, batch, self.decompressed_bytes_max).map(Arc::new)
    }

    fn is_partial(&self) -> bool {
        self.decompressed_bytes_max < BATCH_BYTES_DECOMPRESSED_MAX
    }
}

/// Appends one delivery frame to `output`, made from `batches`: whole batches one behind the other,
/// of which the last may be cut off. Control batches are skipped.
///
/// A batch that is cut off ends the delivery; the caller reads on there.
///
/// # Errors
/// [`Damaged`] when the first batch with something to deliver fails its checksum, does not
/// decompress or does not parse. When records in front of it were delivered, the delivery ends
/// before it and the next one meets it. `output` is then what it was before.
pub fn deliver(
    batches: &[u8],
    request: &DeliveryRequest,
    output: &mut Vec<u8>,
) -> Result<Delivered, Damaged> {
    let anew = Anew { decompressed_bytes_max: BATCH_BYTES_DECOMPRESSED_MAX };
    let mut delivery = Delivery::new(request, &anew, output);
    delivery.run(batches)?;
    Ok(delivery.finish())
}

/// As [`deliver`], but has batches that are compressed or large opened by `opener`. Where that does
/// only a part and there is nothing in front of the batch to deliver, it gives up with `Ok(None)`:
/// the caller, who must not be held up, has another thread do it. What a batch says about its size
/// does not count.
///
/// # Errors
/// Those of [`deliver`].
pub fn deliver_opened(
    batches: &[u8],
    request: &DeliveryRequest,
    opener: &dyn OpenBatches,
    output: &mut Vec<u8>,
) -> Result<Option<Delivered>, Damaged> {
    let is_partial = opener.is_partial();
    let mut delivery = Delivery::new(request, opener, output);
    match delivery.run(batches) {
        Err(damaged) if is_partial && damaged.error.code() == Code::MessageTooLarge => Ok(None),
        Err(damaged) => Err(damaged),
        Ok(()) => Ok(Some(delivery.finish())),
    }
}

/// Whether a delivery has room for more.
enum Progress {
    More,
    Full,
}

/// What [`Delivery::restore`] goes back to.
#[derive(Clone, Copy)]
struct Mark {
    position: usize,
    records: u32,
    next_offset: i64,
}

struct Delivery<'r, 'o> {
    request: &'r DeliveryRequest,
    opener: &'r dyn OpenBatches,
    writer: Writer<'o>,
    /// Where the array of records begins, once there is a record.
    array_position: usize,
    body_position: usize,
    base_offset: i64,
    records: u32,
    next_offset: i64,
    /// The offset behind the last batch that was looked at.
    batch_end_offset: i64,
}

impl<'r, 'o> Delivery<'r, 'o> {
    fn new(
        request: &'r DeliveryRequest,
        opener: &'r dyn OpenBatches,
        output: &'o mut Vec<u8>,
    ) -> Self {
        Self {
            request,
            opener,
            writer: Writer::new(output),
            array_position: 0,
            body_position: 0,
            base_offset: 0,
            records: 0,
            next_offset: request.from_offset,
            batch_end_offset: i64::MIN,
        }
    }

    fn run(&mut self, batches: &[u8]) -> Result<(), Damaged> {
        let mut position = 0;
        while let Some(rest) = batches.get(position..).filter(|rest| rest.len() >= HEADER_BYTES) {
            let mark = self.mark();
            let (header, added) = match BatchHeader::read(rest) {
                Ok(header) if header.batch_bytes() > rest.len() => break,
                Ok(header) => {
                    let batch = rest.get(..header.batch_bytes()).unwrap_or_default();
                    (Some(header), self.add_batch(position, &header, batch))
                }
                Err(error) => (None, Err(error)),
            };
            match (header, added) {
                (Some(header), Ok(Progress::More)) => position += header.batch_bytes(),
                (_, Ok(_)) => break,
                (header, Err(error)) => {
                    self.restore(mark);
                    if self.records == 0 {
                        return Err(Damaged { position, header, error });
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn mark(&self) -> Mark {
        let position = self.writer.position();
        Mark { position, records: self.records, next_offset: self.next_offset }
    }

    fn restore(&mut self, mark: Mark) {
        self.writer.truncate(mark.position);
        self.records = mark.records;
        self.next_offset = mark.next_offset;
    }

    fn add_batch(
        &mut self,
        position: usize,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<Progress, Error> {
        if header.base_offset >= self.request.end_offset {
            return Ok(Progress::Full);
        }
        let codec = header.attributes.codec();
        let is_small = codec == Ok(Codec::None) && batch.len() < OPENED_BYTES_MIN;
        let known = if is_small { None } else { self.opener.known(position) };
        if known.is_none() {
            // Before anything is believed, also that it lies wholly before the first offset.
            header.verify_crc(batch)?;
        }
        if header.base_offset < self.batch_end_offset {
            let detail = format!("offset {} comes twice", header.base_offset);
            return Err(Error::new(Code::CorruptMessage, detail));
        }
        self.batch_end_offset = header.last_offset().saturating_add(1);
        if self.batch_end_offset <= self.request.from_offset {
            return Ok(Progress::More);
        }
        codec?;
        let progress = if header.attributes.is_control() {
            Progress::More
        } else if is_small {
            let section = batch.get(HEADER_BYTES..).unwrap_or_default();
            self.add_records(header, Records::new(section, header.record_count))?
        } else {
            let open = match known {
                Some(open) => open,
                None => self.opener.open(position, header, batch)?,
            };
            let place = open.place_before(self.next_offset.saturating_sub(header.base_offset));
            let section = open.section(header, batch);
            self.add_records(header, Records::from_place(section, header.record_count, place))?
        };
        if matches!(progress, Progress::More) {
            // Behind the last record even where compaction has removed it.
            let behind = self.batch_end_offset.min(self.request.end_offset);
            self.next_offset = self.next_offset.max(behind);
        }
        Ok(progress)
    }

    fn add_records(
        &mut self,
        header: &BatchHeader,
        mut records: Records<'_>,
    ) -> Result<Progress, Error> {
        let stamped = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        if header.record_count.checked_sub(1) == Some(header.last_offset_delta) {
            // Without holes, the records in front of the first one wanted can be counted.
            let before = self.next_offset.saturating_sub(header.base_offset);
            let before = before.clamp(0, i64::from(header.last_offset_delta));
            let before = u32::try_from(before).unwrap_or(0);
            records.pass_over(before.saturating_sub(records.index()))?;
        }
        for record in records {
            let record = record?;
            let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
            if offset < self.next_offset {
                continue;
            }
            if offset >= self.request.end_offset {
                return Ok(Progress::Full);
            }
            let timestamp_ms = if stamped {
                header.max_timestamp
            } else {
                header.base_timestamp.saturating_add(record.timestamp_delta)
            };
            if let Progress::Full = self.add_record(offset, timestamp_ms, &record)? {
                return Ok(Progress::Full);
            }
        }
        Ok(Progress::More)
    }

    #[inline]
    fn add_record(
        &mut self,
        offset: i64,
        timestamp_ms: i64,
        record: &Record<'_>,
    ) -> Result<Progress, Error> {
        if self.records == 0 {
            self.begin(offset);
        } else if self.records >= self.request.records_max {
            return Ok(Progress::Full);
        }
        let before = self.writer.position();
        let key_bytes = record.key.map_or(0, <[u8]>::len);
        let value_bytes = record.value.map_or(0, <[u8]>::len);
        self.writer.reserve(RECORD_OVERHEAD_BYTES_MAX + key_bytes + value_bytes);
        let header_count = record.headers.remaining();
        self.writer.array(if header_count == 0 { 4 } else { 5 });
        self.writer.integer(offset - self.base_offset);
        self.writer.integer(timestamp_ms);
        self.writer.binary(record.key);
        self.writer.binary(record.value);
        if header_count > 0 {
            self.add_headers(record)?;
        }
        let body_bytes = self.writer.position() - self.body_position;
        if body_bytes > self.request.bytes_max && self.records > 0 {
            self.writer.truncate(before);
            return Ok(Progress::Full);
        }
        self.records += 1;
        self.next_offset = offset.saturating_add(1);
        Ok(Progress::More)
    }

    fn add_headers(&mut self, record: &Record<'_>) -> Result<(), Error> {
        self.writer.array(record.headers.remaining());
        for header in record.headers {
            let header = header?;
            self.writer.array(2);
            // A str must be UTF-8, or the whole frame would not decode.
            self.writer.text(&String::from_utf8_lossy(header.name));
            self.writer.binary(header.value);
        }
        Ok(())
    }

    fn begin(&mut self, base_offset: i64) {
        self.base_offset = base_offset;
        let DeliveryRequest { subscription, high_watermark, .. } = *self.request;
        write_front(&mut self.writer, subscription, base_offset, high_watermark);
        self.array_position = self.writer.position();
        self.writer.array_later();
        self.body_position = self.writer.position();
    }

    fn finish(mut self) -> Delivered {
        let mut bytes = 0;
        if self.records > 0 {
            self.writer.set_array(self.array_position, self.records);
            bytes = self.writer.position() - self.body_position;
        }
        let Self { records, base_offset, next_offset, .. } = self;
        Delivered { records, bytes, base_offset, next_offset }
    }
}

/// What comes before the array of records.
fn write_front(writer: &mut Writer<'_>, subscription: u32, base_offset: i64, high_watermark: i64) {
    writer.array(5);
    writer.integer(OPERATION);
    writer.integer(i64::from(subscription));
    writer.integer(base_offset);
    writer.integer(high_watermark);
}

/// Makes a frame of [`deliver`], with `body_bytes` of records in it, one for another subscription.
pub fn replace_front(
    frame: &mut Vec<u8>,
    body_bytes: usize,
    subscription: u32,
    base_offset: i64,
    high_watermark: i64,
) {
    let front_bytes = frame.len().saturating_sub(body_bytes + ARRAY_LATER_BYTES);
    let mut front = Vec::with_capacity(FRONT_BYTES_MAX);
    write_front(&mut Writer::new(&mut front), subscription, base_offset, high_watermark);
    if frame.get(..front_bytes) != Some(&*front) {
        frame.splice(..front_bytes, front);
    }
}
