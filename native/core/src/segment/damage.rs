//! `BASE.damage`: the ranges of a segment that recovery or a reader found damaged, and that are
//! served around.
//!
//! ```json
//! { "crc": 305419896, "ranges": [{ "from_offset": 7, "to_offset": 9, "from_position": 0,
//! "to_position": 512 }] }
//! ```
//! `crc` is the CRC-32C of `ranges` as compact JSON. Replaced durably: by recovery before the log
//! serves, for readers behind them.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::DamagedRange;
use crate::{
    batch::header::crc32c,
    env::{
        FileSystem,
        transfer::{read_if_readable, replace_durably},
    },
};

/// A file larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct DamageFile {
    crc: u32,
    ranges: Vec<DamagedRange>,
}

/// Damaged ranges in rising order, none of which touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DamageList(Vec<DamagedRange>);

impl DamageList {
    /// A list of ranges in rising order, as recovery finds them.
    pub fn new(ranges: Vec<DamagedRange>) -> Self {
        Self(ranges)
    }

    /// Adds a range; it grows together with those that it touches, as recovery would see them.
    /// `false` when it was there already.
    pub fn add(&mut self, range: DamagedRange) -> bool {
        if self.0.iter().any(|other| other.covers(&range)) {
            return false;
        }
        let mut whole = range;
        self.0.retain(|other| {
            let touches = other.from_position <= whole.to_position
                && whole.from_position <= other.to_position;
            if touches {
                whole = DamagedRange {
                    from_offset: whole.from_offset.min(other.from_offset),
                    to_offset: whole.to_offset.max(other.to_offset),
                    from_position: whole.from_position.min(other.from_position),
                    to_position: whole.to_position.max(other.to_position),
                };
            }
            !touches
        });
        let index = self.0.partition_point(|other| other.from_position < whole.from_position);
        self.0.insert(index, whole);
        true
    }

    /// The ranges.
    pub fn ranges(&self) -> &[DamagedRange] {
        &self.0
    }
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
/// An I/O error other than a missing file, and other than that the disk does not read it.
pub fn load(files: &dyn FileSystem, path: &Path) -> io::Result<KnownDamage> {
    let Some(bytes) = read_if_readable(files, path, FILE_BYTES_MAX)? else {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64) -> DamagedRange {
        DamagedRange {
            from_offset: from,
            to_offset: to,
            from_position: 100 * from,
            to_position: 100 * to,
        }
    }

    #[test]
    fn ranges_that_touch_grow_together_whatever_their_order() {
        let mut list = DamageList::default();
        for (added, is_new) in [
            (range(5, 6), true),
            (range(5, 6), false),
            (range(1, 2), true),
            (range(8, 9), true),
            (range(6, 7), true),
        ] {
            assert_eq!(list.add(added), is_new);
        }
        assert_eq!(list.ranges(), [range(1, 2), range(5, 7), range(8, 9)]);
        assert!(!list.add(range(5, 6)));
        assert!(list.add(range(2, 8)));
        assert_eq!(list.ranges(), [range(1, 9)]);
    }
}
