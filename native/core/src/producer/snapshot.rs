//! Producer state on disk: `OFFSET.snapshot`, the state before the batch at that offset.
//!
//! ```text
//!  0  magic          u32   "MRPS"
//!  4  version        u8    1
//!  5  reserved       u8[3] 0
//!  8  offset         u64   log end when it was taken
//! 16  producer_count u32
//! 20  producer*:
//!       producer_id i64 | epoch i16 | batch_count u16 | last_append_ms i64
//!       batch*: base_sequence i32 | last_sequence i32 | base_offset u64 | next_offset u64 |
//!               append_time_ms i64
//!     crc            u32   CRC-32C of everything before it
//! ```
//! Big endian. A hint: a torn or missing snapshot is made up for by reading the log's headers.

use std::{io, path::Path};

use super::{BATCHES_REMEMBERED, ProducerEntry, ProducerStates, WrittenBatch};
use crate::{
    batch::header::crc32c,
    env::{
        FileSystem, OpenMode,
        transfer::{read_if_readable, write_full},
    },
};

const MAGIC: u32 = 0x4d52_5053;
const VERSION: u32 = 1 << 24;
/// A snapshot larger than this is not one of ours: 1.5 million producers.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Writes the snapshot of `states` at `offset`.
///
/// # Errors
/// Any I/O error; the file may then be torn, which [`load`] notices.
pub fn store(
    files: &dyn FileSystem,
    path: &Path,
    states: &ProducerStates,
    offset: u64,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(24 + states.len() * 192);
    bytes.extend_from_slice(&MAGIC.to_be_bytes());
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes());
    let count = u32::try_from(states.len()).map_err(io::Error::other)?;
    bytes.extend_from_slice(&count.to_be_bytes());
    for (producer_id, entry) in states.iter() {
        bytes.extend_from_slice(&producer_id.to_be_bytes());
        bytes.extend_from_slice(&entry.epoch.to_be_bytes());
        let batch_count = u16::try_from(entry.batches.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&batch_count.to_be_bytes());
        bytes.extend_from_slice(&entry.last_append_ms.to_be_bytes());
        for batch in &entry.batches {
            bytes.extend_from_slice(&batch.base_sequence.to_be_bytes());
            bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
            bytes.extend_from_slice(&batch.base_offset.to_be_bytes());
            bytes.extend_from_slice(&batch.next_offset.to_be_bytes());
            bytes.extend_from_slice(&batch.append_time_ms.to_be_bytes());
        }
    }
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    let file = files.open(path, OpenMode::OpenOrCreate)?;
    file.truncate(0)?;
    write_full(&*file, &[&bytes], 0)
}

/// Loads a snapshot: the states and the offset they belong to. `None` when it is missing or torn.
///
/// # Errors
/// Any I/O error other than a missing file, and other than that the disk does not read it.
pub fn load(files: &dyn FileSystem, path: &Path) -> io::Result<Option<(ProducerStates, u64)>> {
    Ok(read_if_readable(files, path, FILE_BYTES_MAX)?.and_then(|bytes| parse(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<(ProducerStates, u64)> {
    let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
    if u32::from_be_bytes(*crc) != crc32c(rest) {
        return None;
    }
    let rest = &mut rest;
    if u32::from_be_bytes(take(rest)?) != MAGIC || u32::from_be_bytes(take(rest)?) != VERSION {
        return None;
    }
    let offset = u64::from_be_bytes(take(rest)?);
    let producer_count = u32::from_be_bytes(take(rest)?);
    let mut states = ProducerStates::default();
    for _ in 0..producer_count {
        let producer_id = i64::from_be_bytes(take(rest)?);
        let mut entry =
            ProducerEntry { epoch: i16::from_be_bytes(take(rest)?), ..ProducerEntry::default() };
        let batch_count = u16::from_be_bytes(take(rest)?);
        if usize::from(batch_count) > BATCHES_REMEMBERED {
            return None;
        }
        entry.last_append_ms = i64::from_be_bytes(take(rest)?);
        for _ in 0..batch_count {
            entry.batches.push_back(WrittenBatch {
                base_sequence: i32::from_be_bytes(take(rest)?),
                last_sequence: i32::from_be_bytes(take(rest)?),
                base_offset: u64::from_be_bytes(take(rest)?),
                next_offset: u64::from_be_bytes(take(rest)?),
                append_time_ms: i64::from_be_bytes(take(rest)?),
            });
        }
        states.insert(producer_id, entry);
    }
    rest.is_empty().then_some((states, offset))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}
