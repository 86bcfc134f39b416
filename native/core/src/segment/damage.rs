//! `BASE.damage`: the ranges of a segment that recovery found damaged and serves around.
//!
//! ```json
//! { "crc": 305419896, "ranges": [{ "from_offset": 7, "to_offset": 9, "from_position": 0,
//! "to_position": 512 }] }
//! ```
//! `crc` is the CRC-32C of `ranges` as compact JSON. Replaced durably, before the log serves.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::DamagedRange;
use crate::{
    batch::header::crc32c,
    env::{
        FileSystem,
        transfer::{read_whole, replace_durably},
    },
};

/// A file larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct DamageFile {
    crc: u32,
    ranges: Vec<DamagedRange>,
}

/// What is known of a segment's damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownDamage {
    /// These ranges, in rising order; none when there is no file.
    Ranges(Vec<DamagedRange>),
    /// The file cannot be believed: the segment has to be read again.
    Unreadable,
}

impl KnownDamage {
    /// The ranges that are known.
    pub fn ranges(&self) -> impl Iterator<Item = &DamagedRange> {
        let ranges = match self {
            Self::Ranges(ranges) => ranges.as_slice(),
            Self::Unreadable => &[],
        };
        ranges.iter()
    }
}

/// Loads a damage file.
///
/// # Errors
/// An I/O error other than a missing file.
pub fn load(files: &dyn FileSystem, path: &Path) -> io::Result<KnownDamage> {
    let Some(bytes) = read_whole(files, path, FILE_BYTES_MAX)? else {
        let is_there = match files.open(path, crate::env::OpenMode::Read) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        return Ok(if is_there {
            KnownDamage::Unreadable
        } else {
            KnownDamage::Ranges(Vec::new())
        });
    };
    let parsed = serde_json::from_slice::<DamageFile>(&bytes).ok();
    Ok(parsed
        .filter(|file| checksum(&file.ranges).ok() == Some(file.crc))
        .map_or(KnownDamage::Unreadable, |file| KnownDamage::Ranges(file.ranges)))
}

/// Replaces a damage file durably.
///
/// # Errors
/// Any I/O error.
pub fn store(
    files: &dyn FileSystem,
    directory: &Path,
    name: &str,
    ranges: &[DamagedRange],
) -> io::Result<()> {
    let file = DamageFile { crc: checksum(ranges)?, ranges: ranges.to_vec() };
    let bytes = serde_json::to_vec(&file).map_err(io::Error::other)?;
    replace_durably(files, directory, name, &bytes)
}

fn checksum(ranges: &[DamagedRange]) -> io::Result<u32> {
    serde_json::to_vec(ranges).map(|bytes| crc32c(&bytes)).map_err(io::Error::other)
}
