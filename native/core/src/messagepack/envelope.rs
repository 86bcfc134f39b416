//! The envelope of a produce frame: who gets which records, without looking at the records.
//!
//! ```text
//! [3, id, ack, [[topic, partition, base_sequence, format, body], ...]]
//! ```

use std::ops::Range;

use super::cursor::{Cursor, Fault, Parsed};
use crate::{
    compression::Codec,
    error::{Code, Error, Result},
    limits::PRODUCE_ENTRIES_MAX,
};

/// The operation number of a produce frame.
const OPERATION: i64 = 3;
/// Elements of the frame and of an entry; more are ignored.
const FRAME_ELEMENTS: u32 = 4;
const ENTRY_ELEMENTS: u32 = 5;
/// The highest level of durability that an ack can ask for.
const ACK_MAX: u8 = 3;

/// What a produce frame says beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The request's number, unique among the connection's outstanding ones.
    pub id: u32,
    /// The durability asked for: 0 none, 1 written, 2 flushed, 3 replicated; `None` is the topic's.
    pub ack: Option<u8>,
}

/// How a frame names a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicReference {
    /// The alias that `open` returned.
    Alias(u32),
    /// Where in the frame its name lies (UTF-8).
    Name(Range<usize>),
}

/// How the records of an entry are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Values are bin, str or nil, and stored as those bytes.
    Bytes = 0,
    /// Values are of any kind, and stored in their encoded form; nil is a tombstone.
    MessagePack = 1,
    /// One ready record batch.
    Batch = 2,
}

/// One entry of a produce frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceEntry {
    /// Which topic.
    pub topic: TopicReference,
    /// Which partition; -1: the broker chooses by key.
    pub partition: i32,
    /// Sequence number of the first record; -1: not idempotent.
    pub base_sequence: i32,
    /// How the body is to be taken.
    pub format: Format,
    /// The codec that the broker is asked to compress the records with; [`Codec::None`] for none.
    /// Never another for [`Format::Batch`].
    pub codec: Codec,
    /// Where in the frame the records are: the whole array for [`Format::Bytes`] and
    /// [`Format::MessagePack`], the batch itself for [`Format::Batch`].
    pub body: Range<usize>,
    /// Records in the array; 0 for [`Format::Batch`], whose count is known once it is validated.
    pub record_count: u32,
}

/// Takes a produce frame apart. `entries` is cleared first; it and its capacity are reused.
///
/// The bodies of array entries are known to be whole MessagePack arrays afterwards; what is in
/// them is not looked at.
///
/// # Errors
/// `MALFORMED_FRAME` when the frame is anything but one whole array of this shape;
/// `LIMIT_EXCEEDED` for more than [`PRODUCE_ENTRIES_MAX`] entries.
pub fn decode_envelope(frame: &[u8], entries: &mut Vec<ProduceEntry>) -> Result<Envelope> {
    entries.clear();
    let mut cursor = Cursor::new(frame);
    let (envelope, elements, entry_count) = read_front(&mut cursor).map_err(malformed)?;
    if u64::from(entry_count) > PRODUCE_ENTRIES_MAX {
        let detail = format!("{entry_count} entries, a frame holds {PRODUCE_ENTRIES_MAX}");
        return Err(Error::new(Code::LimitExceeded, detail));
    }
    for index in 0..entry_count {
        let entry = read_entry(frame, &mut cursor).map_err(|Fault(what)| {
            Error::new(Code::MalformedFrame, format!("entry {index}: {what}"))
        })?;
        entries.push(entry);
    }
    cursor.skip_many(elements - FRAME_ELEMENTS).map_err(malformed)?;
    if !cursor.rest().is_empty() {
        return Err(malformed(Fault("bytes behind the frame")));
    }
    Ok(envelope)
}

/// The frame up to its first entry, with its element count and its entry count.
fn read_front(cursor: &mut Cursor<'_>) -> Parsed<(Envelope, u32, u32)> {
    let elements = cursor.array()?;
    if elements < FRAME_ELEMENTS {
        return Err(Fault("a produce frame has four elements"));
    }
    if cursor.integer()? != OPERATION {
        return Err(Fault("not a produce frame"));
    }
    let id = cursor.integer_as()?;
    let ack = match cursor.optional_integer()? {
        None => None,
        Some(ack) => match u8::try_from(ack) {
            Ok(ack @ 0..=ACK_MAX) => Some(ack),
            _ => return Err(Fault("ack is 0 to 3 or nil")),
        },
    };
    let entry_count = cursor.array()?;
    Ok((Envelope { id, ack }, elements, entry_count))
}

fn read_entry(frame: &[u8], cursor: &mut Cursor<'_>) -> Parsed<ProduceEntry> {
    let elements = cursor.array()?;
    if elements < ENTRY_ELEMENTS {
        return Err(Fault("it has less than five elements"));
    }
    let topic = match cursor.peek()? {
        rmp::Marker::FixStr(_) | rmp::Marker::Str8 | rmp::Marker::Str16 | rmp::Marker::Str32 => {
            let name = cursor.text()?;
            TopicReference::Name(range_before(frame, cursor, name.len()))
        }
        _ => TopicReference::Alias(cursor.integer_as()?),
    };
    let partition = at_least_minus_one(cursor.integer_as()?)?;
    let base_sequence = at_least_minus_one(cursor.integer_as()?)?;
    let (format, codec) = read_format(cursor.integer()?)?;
    let (body_bytes, record_count) = match format {
        Format::Batch => (cursor.binary()?.len(), 0),
        Format::Bytes | Format::MessagePack => {
            let record_count = Cursor::new(cursor.rest()).array()?;
            (cursor.skip()?.len(), record_count)
        }
    };
    let body = range_before(frame, cursor, body_bytes);
    cursor.skip_many(elements - ENTRY_ELEMENTS)?;
    Ok(ProduceEntry { topic, partition, base_sequence, format, codec, body, record_count })
}

/// The two lowest bits tell how the body is to be taken, those above the codec to compress it with.
fn read_format(number: i64) -> Parsed<(Format, Codec)> {
    const BITS: u32 = 2;
    let format = match number & ((1 << BITS) - 1) {
        0 => Format::Bytes,
        1 => Format::MessagePack,
        2 => Format::Batch,
        _ => return Err(Fault("format is 0, 1 or 2, and 4 times a codec")),
    };
    let codec = u8::try_from(number >> BITS).ok().and_then(|codec| Codec::from_number(codec).ok());
    match (format, codec) {
        (Format::Batch, Some(Codec::None)) => Ok((format, Codec::None)),
        (Format::Batch, _) => Err(Fault("a ready batch is not compressed by the broker")),
        (_, Some(codec)) => Ok((format, codec)),
        (_, None) => Err(Fault("no codec has this number")),
    }
}

/// Where in the frame the `bytes` lie that the cursor read last.
fn range_before(frame: &[u8], cursor: &Cursor<'_>, bytes: usize) -> Range<usize> {
    let end = frame.len() - cursor.rest().len();
    end - bytes..end
}

fn at_least_minus_one(value: i32) -> Parsed<i32> {
    if value < -1 { Err(Fault("a partition or sequence below -1")) } else { Ok(value) }
}

fn malformed(Fault(what): Fault) -> Error {
    Error::new(Code::MalformedFrame, what)
}
