//! Batches whose records tell which they are, so that any byte that is wrong is noticed.

use crate::{
    batch::{BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Header, Producer, Record, Records},
    compression::Codec,
};

/// Which batch: never used twice in a run, but for repetitions of the same batch.
pub(super) type BatchId = u64;

/// Which record: its batch, and its place in it.
pub(super) type RecordId = (BatchId, u32);

/// Keys of a topic that has any: so few that most records are not the last of theirs.
const KEYS: u64 = 7;
/// Of so many records of such a topic one is a tombstone.
const TOMBSTONE_ONE_IN: u64 = 5;

/// The key of a record, in a topic that has keys.
pub(super) fn key_of((id, index): RecordId) -> u8 {
    (id.wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(index)) % KEYS) as u8
}

/// Whether a record of such a topic is a tombstone.
pub(super) fn is_tombstone((id, index): RecordId) -> bool {
    (id / 3 + u64::from(index)).is_multiple_of(TOMBSTONE_ONE_IN)
}

/// What a batch is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSpec {
    pub(super) id: BatchId,
    pub(super) record_count: u32,
    pub(super) value_bytes: u32,
    pub(super) timestamp_ms: i64,
    pub(super) producer: Option<Producer>,
    /// Records have keys, and some are tombstones, which tell in a header which they are.
    pub(super) is_keyed: bool,
}

impl BatchSpec {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut output = Vec::new();
        let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
        for index in 0..self.record_count {
            let record = (self.id, index);
            let value = value_of(record, self.value_bytes);
            let key = self.is_keyed.then(|| [key_of(record)]);
            let key = key.as_ref().map(<[u8; 1]>::as_slice);
            let (value, header) = match self.is_keyed && is_tombstone(record) {
                true => (None, Some(Header { name: b"id", value: Some(&value) })),
                false => (Some(value.as_slice()), None),
            };
            builder.push(self.timestamp_ms, key, value, header.into_iter()).unwrap();
        }
        let finish = Finish { producer: self.producer, log_append_time_ms: None };
        builder.finish(finish).unwrap();
        output
    }
}

fn value_of((id, index): RecordId, bytes: u32) -> Vec<u8> {
    let mut value = id.to_be_bytes().to_vec();
    value.extend_from_slice(&index.to_be_bytes());
    value.extend_from_slice(&bytes.to_be_bytes());
    value.extend((0..bytes).map(|at| (id.wrapping_mul(31) ^ u64::from(at)) as u8));
    value
}

/// Takes whole batches apart: each record with its offset, and the offset behind them all. Tells
/// what is wrong with them otherwise.
pub(super) fn records_of(mut bytes: &[u8]) -> Result<(Vec<(u64, RecordId)>, u64), String> {
    let (mut records, mut next_offset) = (Vec::new(), 0);
    while !bytes.is_empty() {
        let header = BatchHeader::read(bytes).map_err(|error| error.to_string())?;
        header.verify_crc(bytes).map_err(|error| error.to_string())?;
        let (batch, rest) = bytes.split_at(header.batch_bytes());
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            let record = record.map_err(|error| error.to_string())?;
            let id = identify_record(&record).ok_or("a record with a wrong value")?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let offset = u64::try_from(offset).map_err(|_| "a negative offset")?;
            records.push((offset, id));
        }
        next_offset = u64::try_from(header.last_offset() + 1).map_err(|_| "a negative offset")?;
        bytes = rest;
    }
    Ok((records, next_offset))
}

fn identify_record(record: &Record<'_>) -> Option<RecordId> {
    let Some(value) = record.value else {
        let mut headers = record.headers;
        let id = identify(headers.next()?.ok()?.value?)?;
        return (is_tombstone(id) && record.key == Some(&[key_of(id)])).then_some(id);
    };
    let id = identify(value)?;
    record.key.is_none_or(|key| *key == [key_of(id)]).then_some(id)
}

fn identify(value: &[u8]) -> Option<RecordId> {
    let (id, rest) = value.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (bytes, _) = rest.split_first_chunk()?;
    let record = (u64::from_be_bytes(*id), u32::from_be_bytes(*index));
    (value == value_of(record, u32::from_be_bytes(*bytes))).then_some(record)
}
