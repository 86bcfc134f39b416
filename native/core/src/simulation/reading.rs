//! Reading logs as readers do.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    batches::{RecordId, records_of},
    machine::Violation,
};
use crate::{
    error::Error,
    log::{Log, LogShared, read::Read},
};

/// What one read found.
pub(super) enum Found {
    Records(Vec<(u64, RecordId)>, u64),
    Skip(u64),
    End,
}

/// One read, with cold pages brought in as often as it takes.
pub(super) fn read(
    log: &Arc<Log>,
    shared: &LogShared,
    offset: u64,
    bytes_max: u64,
) -> Result<Result<Found, Violation>, Error> {
    loop {
        match log.read(offset, bytes_max)? {
            Read::Batches(batches) => {
                let (records, last) = match records_of(batches.bytes()) {
                    Ok(records) => records,
                    Err(detail) => {
                        let detail = format!("{} from {offset} on: {detail}", log.label);
                        return Ok(Err(Violation::Altered(detail)));
                    }
                };
                if last != batches.next_offset || batches.next_offset <= offset {
                    let detail = format!("{last:?} but next offset {}", batches.next_offset);
                    return Ok(Err(Violation::Altered(detail)));
                }
                if batches.next_offset > batches.high_watermark {
                    let detail = format!("read {last:?} past {}", batches.high_watermark);
                    return Ok(Err(Violation::TooEarly(detail)));
                }
                return Ok(Ok(Found::Records(records, batches.next_offset)));
            }
            Read::Gap { to_offset } if to_offset > offset => return Ok(Ok(Found::Skip(to_offset))),
            Read::Gap { to_offset } => {
                let detail = format!("a gap from {offset} to {to_offset}");
                return Ok(Err(Violation::Altered(detail)));
            }
            Read::Cold(range) => range.load(shared)?,
            Read::AtEnd { .. } | Read::OutOfRange { .. } => return Ok(Ok(Found::End)),
        }
    }
}

/// Everything that can be read.
pub(super) fn read_all(
    log: &Arc<Log>,
    shared: &LogShared,
) -> Result<Result<BTreeMap<u64, RecordId>, Violation>, Error> {
    let offsets = log.offsets();
    let mut next = offsets.log_start;
    let mut content = BTreeMap::new();
    loop {
        match read(log, shared, next, 64 << 10)? {
            Ok(Found::Records(records, next_offset)) => {
                content.extend(records);
                next = next_offset;
            }
            Ok(Found::Skip(to_offset)) => next = to_offset,
            Ok(Found::End) if next >= offsets.high_watermark => return Ok(Ok(content)),
            Ok(Found::End) => {
                let detail = format!("reading ended at {next} of {offsets:?}");
                return Ok(Err(Violation::Lost(detail)));
            }
            Err(violation) => return Ok(Err(violation)),
        }
    }
}
