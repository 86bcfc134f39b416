//! `checkpoint`: how far each log was flushed, so that recovery reads only what came after.
//!
//! ```text
//!  0  magic        u32   "MRCP"
//!  4  version      u8    2
//!  5  clean        u8    1: written by a clean stop, as the last thing it did
//!  6  reserved     u16   0
//!  8  log_count    u32
//! 12  leader_epoch u32   of the run that wrote it, once it had every log open; u32::MAX: unknown
//! 16  log*: topic_id u8[16] | partition u32 | segment_base u64 | position u64 |
//!           flushed_offset u64 | closed_count u32 | closed_crc u32
//!     crc          u32   CRC-32C of everything before it
//! ```
//! Big endian. Replaced by rename, and only after the fdatasyncs that it describes. Missing or
//! damaged means: trust nothing that is not sealed. Version 1 has neither `leader_epoch` nor
//! anything behind `flushed_offset`, and vouches for no closed segment.

use std::{io, path::Path};

use hashbrown::HashMap;

use crate::{
    batch::header::crc32c,
    env::{
        FileSystem, OpenMode,
        transfer::{read_if_readable, read_whole, replace_durably},
    },
    error::{Error, Result},
    log::Position,
};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "checkpoint";
const MAGIC: u32 = 0x4d52_4350;
const VERSION: u8 = 2;
const VERSION_1: u8 = 1;
const EPOCH_UNKNOWN: u32 = u32::MAX;
const LOG_BYTES: usize = 52;
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Which log an entry is about: topic id and partition.
pub type LogKey = ([u8; 16], u32);

/// What the checkpoint says of one log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogMark {
    /// How far it was flushed.
    pub flushed: Position,
    /// The segments before the one that this lies in.
    pub closed: ClosedSegments,
}

/// Names the closed segments of a log by where each begins and how long its file is: where the
/// files are still these, none of them has to be opened to know where it ends. The default vouches
/// for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClosedSegments {
    count: u32,
    crc: u32,
}

impl ClosedSegments {
    /// Of segments, rising, by base offset and length in bytes.
    pub fn new(segments: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut count = 0;
        let mut bytes = Vec::new();
        for (base_offset, file_bytes) in segments {
            count += 1;
            bytes.extend_from_slice(&base_offset.to_be_bytes());
            bytes.extend_from_slice(&file_bytes.to_be_bytes());
        }
        Self { count, crc: crc32c(&bytes) }
    }
}

/// How far the logs of a data directory were flushed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Nothing was written after it.
    pub is_clean: bool,
    /// The leader epoch of the run that wrote it, if that run had recovered every log by then.
    pub leader_epoch: Option<u32>,
    /// Each log.
    pub logs: HashMap<LogKey, LogMark>,
}

impl Checkpoint {
    /// Reads the checkpoint. `None` when it is missing or damaged, or when the disk does not read
    /// it.
    ///
    /// # Errors
    /// Any other I/O error.
    pub fn load(files: &dyn FileSystem, data_directory: &Path) -> Result<Option<Self>> {
        let path = data_directory.join(FILE_NAME);
        Self::of_file(&path, read_if_readable(files, &path, FILE_BYTES_MAX))
    }

    /// As [`load`](Self::load), for who is to decide for good what was durable: what the disk does
    /// not read is an error, as it may pass.
    ///
    /// # Errors
    /// An I/O error other than a missing file.
    pub fn load_for_good(files: &dyn FileSystem, data_directory: &Path) -> Result<Option<Self>> {
        let path = data_directory.join(FILE_NAME);
        Self::of_file(&path, read_whole(files, &path, FILE_BYTES_MAX))
    }

    /// Whether there is a file, whatever is in it. One that the disk does not read now may be read,
    /// and believed, later on.
    pub fn is_there(files: &dyn FileSystem, data_directory: &Path) -> bool {
        let opened = files.open(&data_directory.join(FILE_NAME), OpenMode::Read);
        !matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    fn of_file(path: &Path, read: io::Result<Option<Vec<u8>>>) -> Result<Option<Self>> {
        let bytes =
            read.map_err(|error| Error::io(format_args!("reading {}", path.display()), &error))?;
        Ok(bytes.and_then(|bytes| Self::parse(&bytes)))
    }

    /// Replaces the checkpoint durably.
    ///
    /// # Errors
    /// Any I/O error; the old one is then still good.
    pub fn store(&self, files: &dyn FileSystem, data_directory: &Path) -> Result<()> {
        replace_durably(files, data_directory, FILE_NAME, &self.to_bytes())
            .map_err(|error| Error::io("writing the checkpoint", &error))
    }

    /// Removes the checkpoint durably: then nothing is trusted that is not sealed.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn remove(files: &dyn FileSystem, data_directory: &Path) -> Result<()> {
        files
            .remove_file(&data_directory.join(FILE_NAME))
            .and_then(|()| files.sync_directory(data_directory))
            .map_err(|error| Error::io("removing the checkpoint", &error))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20 + self.logs.len() * LOG_BYTES);
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&[VERSION, u8::from(self.is_clean), 0, 0]);
        bytes.extend_from_slice(&u32::try_from(self.logs.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&self.leader_epoch.unwrap_or(EPOCH_UNKNOWN).to_be_bytes());
        for ((topic_id, partition), LogMark { flushed, closed }) in &self.logs {
            bytes.extend_from_slice(topic_id);
            bytes.extend_from_slice(&partition.to_be_bytes());
            bytes.extend_from_slice(&flushed.segment_base.to_be_bytes());
            bytes.extend_from_slice(&flushed.position.to_be_bytes());
            bytes.extend_from_slice(&flushed.offset.to_be_bytes());
            bytes.extend_from_slice(&closed.count.to_be_bytes());
            bytes.extend_from_slice(&closed.crc.to_be_bytes());
        }
        let crc = crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c(rest) != u32::from_be_bytes(*crc) {
            return None;
        }
        let rest = &mut rest;
        let magic = u32::from_be_bytes(take(rest)?);
        let [version, clean, _, _] = take::<4>(rest)?;
        if magic != MAGIC || !matches!(version, VERSION | VERSION_1) {
            return None;
        }
        let count = u32::from_be_bytes(take(rest)?);
        let leader_epoch = match version {
            VERSION_1 => EPOCH_UNKNOWN,
            _ => u32::from_be_bytes(take(rest)?),
        };
        let mut logs = HashMap::new();
        for _ in 0..count {
            let topic_id = take::<16>(rest)?;
            let partition = u32::from_be_bytes(take(rest)?);
            let segment_base = u64::from_be_bytes(take(rest)?);
            let position = u64::from_be_bytes(take(rest)?);
            let offset = u64::from_be_bytes(take(rest)?);
            let flushed = Position { offset, segment_base, position };
            let mut closed = ClosedSegments::default();
            if version != VERSION_1 {
                closed.count = u32::from_be_bytes(take(rest)?);
                closed.crc = u32::from_be_bytes(take(rest)?);
            }
            logs.insert((topic_id, partition), LogMark { flushed, closed });
        }
        let leader_epoch = (leader_epoch != EPOCH_UNKNOWN).then_some(leader_epoch);
        rest.is_empty().then_some(Self { is_clean: clean == 1, leader_epoch, logs })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_refuses_any_flipped_bit() {
        let mut checkpoint = Checkpoint { is_clean: true, ..Checkpoint::default() };
        for partition in 0..3 {
            let flushed = Position { offset: 7, segment_base: 5, position: 4096 };
            let closed = ClosedSegments::new([(0, 4000), (3, 8000)].into_iter());
            checkpoint.logs.insert(([9; 16], partition), LogMark { flushed, closed });
        }
        let mut bytes = checkpoint.to_bytes();
        assert_eq!(Checkpoint::parse(&bytes), Some(checkpoint));
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            assert_eq!(Checkpoint::parse(&bytes), None, "byte {index}");
            bytes[index] ^= 1;
        }
    }

    #[test]
    fn the_first_version_is_read_and_vouches_for_no_closed_segment() {
        let mut bytes = [&MAGIC.to_be_bytes()[..], &[VERSION_1, 1, 0, 0], &[0, 0, 0, 1]].concat();
        bytes.extend_from_slice(&[9; 16]);
        bytes.extend_from_slice(&3u32.to_be_bytes());
        for number in [5u64, 4096, 7] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let crc = crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        let flushed = Position { offset: 7, segment_base: 5, position: 4096 };
        let mark = LogMark { flushed, closed: ClosedSegments::default() };
        let logs = HashMap::from_iter([(([9; 16], 3), mark)]);
        let expected = Checkpoint { is_clean: true, leader_epoch: None, logs };
        assert_eq!(Checkpoint::parse(&bytes), Some(expected));
    }

    #[test]
    fn closed_segments_of_another_length_number_or_place_are_others() {
        let of = |segments: &[(u64, u64)]| ClosedSegments::new(segments.iter().copied());
        let closed = of(&[(0, 4000), (3, 8000)]);
        assert_eq!(closed, of(&[(0, 4000), (3, 8000)]));
        for other in [&[(0, 4000), (3, 8001)][..], &[(0, 4000), (4, 8000)], &[(0, 4000)], &[]] {
            assert_ne!(closed, of(other), "{other:?}");
        }
        assert_eq!(ClosedSegments::default(), of(&[]));
    }
}
