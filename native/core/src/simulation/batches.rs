//! Batches whose records tell which they are, so that any byte that is wrong is noticed.

use crate::{
    batch::{BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Producer, Records},
    compression::Codec,
};

/// Which batch: never used twice in a run, but for repetitions of the same batch.
pub(super) type BatchId = u64;

/// Which record: its batch, and its place in it.
pub(super) type RecordId = (BatchId, u32);

/// What a batch is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSpec {
    pub(super) id: BatchId,
    pub(super) record_count: u32,
    pub(super) value_bytes: u32,
    pub(super) timestamp_ms: i64,
    pub(super) producer: Option<Producer>,
}

impl BatchSpec {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut output = Vec::new();
        let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
        for index in 0..self.record_count {
            let value = value_of((self.id, index), self.value_bytes);
            builder.push(self.timestamp_ms, None, Some(&value), std::iter::empty()).unwrap();
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

/// Takes whole batches apart: each record with its offset. Tells what is wrong with them otherwise.
pub(super) fn records_of(mut bytes: &[u8]) -> Result<Vec<(u64, RecordId)>, String> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::read(bytes).map_err(|error| error.to_string())?;
        header.verify_crc(bytes).map_err(|error| error.to_string())?;
        let (batch, rest) = bytes.split_at(header.batch_bytes());
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            let record = record.map_err(|error| error.to_string())?;
            let value = record.value.ok_or("a record without a value")?;
            let id = identify(value).ok_or("a record with a wrong value")?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let offset = u64::try_from(offset).map_err(|_| "a negative offset")?;
            records.push((offset, id));
        }
        bytes = rest;
    }
    Ok(records)
}

fn identify(value: &[u8]) -> Option<RecordId> {
    let (id, rest) = value.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (bytes, _) = rest.split_first_chunk()?;
    let record = (u64::from_be_bytes(*id), u32::from_be_bytes(*index));
    (value == value_of(record, u32::from_be_bytes(*bytes))).then_some(record)
}
