//! `checkpoint`: how far each log was flushed, so that recovery reads only what came after.
//!
//! ```text
//!  0  magic        u32   "MRCP"
//!  4  version      u8    1
//!  5  clean        u8    1: written by a clean stop, as the last thing it did
//!  6  reserved     u16   0
//!  8  log_count    u32
//! 12  log*: topic_id u8[16] | partition u32 | segment_base u64 | position u64 |
//!           flushed_offset u64
//!     crc          u32   CRC-32C of everything before it
//! ```
//! Big endian. Replaced by rename, and only after the fdatasyncs that it describes. Missing or
//! damaged means: trust nothing that is not sealed.

use std::path::Path;

use hashbrown::HashMap;

use crate::{
    batch::header::crc32c,
    env::{
        FileSystem,
        transfer::{read_whole, replace_durably},
    },
    error::{Error, Result},
    log::Position,
};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "checkpoint";
const MAGIC: u32 = 0x4d52_4350;
const VERSION: u8 = 1;
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Which log an entry is about: topic id and partition.
pub type LogKey = ([u8; 16], u32);

/// How far the logs of a data directory were flushed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Nothing was written after it.
    pub is_clean: bool,
    /// Flushed position of each log.
    pub logs: HashMap<LogKey, Position>,
}

impl Checkpoint {
    /// Reads the checkpoint. `None` when it is missing or damaged.
    ///
    /// # Errors
    /// An I/O error other than a missing file.
    pub fn load(files: &dyn FileSystem, data_directory: &Path) -> Result<Option<Self>> {
        let path = data_directory.join(FILE_NAME);
        let bytes = read_whole(files, &path, FILE_BYTES_MAX)
            .map_err(|error| Error::io(format_args!("reading {}", path.display()), &error))?;
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
        let mut bytes = Vec::with_capacity(16 + self.logs.len() * 44);
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&[VERSION, u8::from(self.is_clean), 0, 0]);
        bytes.extend_from_slice(&u32::try_from(self.logs.len()).unwrap_or(0).to_be_bytes());
        for ((topic_id, partition), position) in &self.logs {
            bytes.extend_from_slice(topic_id);
            bytes.extend_from_slice(&partition.to_be_bytes());
            bytes.extend_from_slice(&position.segment_base.to_be_bytes());
            bytes.extend_from_slice(&position.position.to_be_bytes());
            bytes.extend_from_slice(&position.offset.to_be_bytes());
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
        if magic != MAGIC || version != VERSION {
            return None;
        }
        let count = u32::from_be_bytes(take(rest)?);
        let mut logs = HashMap::new();
        for _ in 0..count {
            let topic_id = take::<16>(rest)?;
            let partition = u32::from_be_bytes(take(rest)?);
            let segment_base = u64::from_be_bytes(take(rest)?);
            let position = u64::from_be_bytes(take(rest)?);
            let offset = u64::from_be_bytes(take(rest)?);
            logs.insert((topic_id, partition), Position { offset, segment_base, position });
        }
        rest.is_empty().then_some(Self { is_clean: clean == 1, logs })
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
            let position = Position { offset: 7, segment_base: 5, position: 4096 };
            checkpoint.logs.insert(([9; 16], partition), position);
        }
        let mut bytes = checkpoint.to_bytes();
        assert_eq!(Checkpoint::parse(&bytes), Some(checkpoint));
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            assert_eq!(Checkpoint::parse(&bytes), None, "byte {index}");
            bytes[index] ^= 1;
        }
    }
}
