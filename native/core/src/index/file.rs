//! The index on disk: `BASE.index` and `BASE.timeindex`.
//!
//! ```text
//! .index      entry*: relative_offset u32 | position u32              (big endian, rising)
//! .timeindex  entry*: timestamp_ms i64 | relative_offset u32          (big endian, rising)
//! both end in the footer:
//!   0  magic            u32   "MRIX"
//!   4  version          u8    3, or 2 where there is nothing at 44
//!   5  sealed           u8    1: the log file was fdatasync'd and is never written again
//!   6  reserved         u16   0
//!   8  log_bytes        u64   length of log that the index covers
//!  16  next_offset      u64   offset behind the last batch covered
//!  24  largest_ms       i64   largest timestamp covered, -1 when none
//!  32  largest_offset   u32   relative base offset of its batch
//!  36  last_append_ms   i64   when its last batch was appended, -1 when nobody knows; not in
//!                             version 1, which is read like any other
//!  44  counted_age_ms   u64   for how long brokers have run since, where its times cannot be
//!                             believed; not in versions 1 and 2
//!  52  crc              u32   CRC-32C of the entries and the footer up to here
//! ```
//! The files are hints and are not synced: the checksum tells a torn one, and then they are
//! rebuilt. `sealed` is written only after the log's fdatasync has returned. Version 3 is written
//! only where an age was counted, so that code that knows version 2 can read nearly all of them.

use std::{io, path::Path};

use super::{OffsetEntry, SegmentIndex, TimeEntry};
use crate::{
    batch::header::crc32c,
    env::{
        FileSystem, OpenMode,
        transfer::{read_if_readable, write_full},
    },
};

const MAGIC: u32 = 0x4d52_4958;
const VERSION: u8 = 3;
const FOOTER_BYTES: usize = 56;
/// The version without a counted age.
const VERSION_2: u8 = 2;
const FOOTER_BYTES_2: usize = 48;
/// The version without the time of the last append.
const VERSION_1: u8 = 1;
const FOOTER_BYTES_1: usize = 40;
const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;
/// A segment holds at most 2 GiB; with an entry a batch of 61 bytes that bounds the index.
const FILE_BYTES_MAX: u64 = (1 << 31) / 61 * TIME_ENTRY_BYTES as u64;

/// What an index file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Whether the log file was synced and closed before the index was written.
    pub sealed: bool,
    /// Bytes of log covered.
    pub log_bytes: u64,
    /// The offset behind the last batch covered.
    pub next_offset: u64,
}

/// Writes both files beside each other, replacing what was there. Not synced: see the module.
///
/// # Errors
/// Any I/O error; the files may then be torn, which [`load`] notices.
pub fn store(
    files: &dyn FileSystem,
    index_path: &Path,
    time_index_path: &Path,
    index: &SegmentIndex,
    coverage: Coverage,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(index.offsets.len() * OFFSET_ENTRY_BYTES + FOOTER_BYTES);
    for entry in &index.offsets {
        bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
        bytes.extend_from_slice(&entry.position.to_be_bytes());
    }
    push_footer(&mut bytes, index, coverage);
    replace(files, index_path, &bytes)?;
    bytes.clear();
    for entry in &index.times {
        bytes.extend_from_slice(&entry.timestamp_ms.to_be_bytes());
        bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
    }
    push_footer(&mut bytes, index, coverage);
    replace(files, time_index_path, &bytes)
}

/// Loads both files. `None` when one is missing, torn or does not match the other.
///
/// # Errors
/// Any I/O error other than a missing file, and other than that the disk does not read it.
pub fn load(
    files: &dyn FileSystem,
    index_path: &Path,
    time_index_path: &Path,
) -> io::Result<Option<(SegmentIndex, Coverage)>> {
    let Some(offset_file) = read_if_readable(files, index_path, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let Some(time_file) = read_if_readable(files, time_index_path, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let Some((offset_entries, footer)) = split_footer(&offset_file) else {
        return Ok(None);
    };
    let Some((time_entries, time_footer)) = split_footer(&time_file) else {
        return Ok(None);
    };
    let Footer { coverage, largest, last_append_ms, counted_age_ms } = footer;
    if coverage != time_footer.coverage {
        return Ok(None);
    }
    let mut index =
        SegmentIndex { largest, last_append_ms, counted_age_ms, ..SegmentIndex::default() };
    let (offset_entries, rest) = offset_entries.as_chunks::<OFFSET_ENTRY_BYTES>();
    let (time_entries, time_rest) = time_entries.as_chunks::<TIME_ENTRY_BYTES>();
    if !rest.is_empty() || !time_rest.is_empty() {
        return Ok(None);
    }
    index.offsets.reserve_exact(offset_entries.len());
    for &[a, b, c, d, e, f, g, h] in offset_entries {
        index.offsets.push(OffsetEntry {
            relative_offset: u32::from_be_bytes([a, b, c, d]),
            position: u32::from_be_bytes([e, f, g, h]),
        });
    }
    index.times.reserve_exact(time_entries.len());
    for &[a, b, c, d, e, f, g, h, i, j, k, l] in time_entries {
        index.times.push(TimeEntry {
            timestamp_ms: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            relative_offset: u32::from_be_bytes([i, j, k, l]),
        });
    }
    index.bytes_since_entry = index
        .offsets
        .last()
        .map_or(0, |last| coverage.log_bytes.saturating_sub(u64::from(last.position)));
    Ok(Some((index, coverage)))
}

fn push_footer(bytes: &mut Vec<u8>, index: &SegmentIndex, coverage: Coverage) {
    let largest = index.largest.unwrap_or(TimeEntry { timestamp_ms: -1, relative_offset: 0 });
    bytes.extend_from_slice(&MAGIC.to_be_bytes());
    let has_counted = index.counted_age_ms > 0;
    bytes.push(if has_counted { VERSION } else { VERSION_2 });
    bytes.push(u8::from(coverage.sealed));
    bytes.extend_from_slice(&0u16.to_be_bytes());
    bytes.extend_from_slice(&coverage.log_bytes.to_be_bytes());
    bytes.extend_from_slice(&coverage.next_offset.to_be_bytes());
    bytes.extend_from_slice(&largest.timestamp_ms.to_be_bytes());
    bytes.extend_from_slice(&largest.relative_offset.to_be_bytes());
    bytes.extend_from_slice(&index.last_append_ms.unwrap_or(-1).to_be_bytes());
    if has_counted {
        bytes.extend_from_slice(&index.counted_age_ms.to_be_bytes());
    }
    let crc = crc32c(bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
}

/// What stands behind the entries.
struct Footer {
    coverage: Coverage,
    largest: Option<TimeEntry>,
    last_append_ms: Option<i64>,
    counted_age_ms: u64,
}

fn split_footer(file: &[u8]) -> Option<(&[u8], Footer)> {
    let (covered, crc) = file.split_last_chunk::<4>()?;
    if u32::from_be_bytes(*crc) != crc32c(covered) {
        return None;
    }
    split_version::<{ FOOTER_BYTES - 4 }>(covered, VERSION)
        .or_else(|| split_version::<{ FOOTER_BYTES_2 - 4 }>(covered, VERSION_2))
        .or_else(|| split_version::<{ FOOTER_BYTES_1 - 4 }>(covered, VERSION_1))
}

/// Takes the footer of a version off, which has `N` bytes before its checksum.
fn split_version<const N: usize>(covered: &[u8], version: u8) -> Option<(&[u8], Footer)> {
    let (entries, footer) = covered.split_last_chunk::<N>()?;
    let mut rest = footer.as_slice();
    let magic = u32::from_be_bytes(take(&mut rest)?);
    let [found, sealed, ..] = take::<4>(&mut rest)?;
    if magic != MAGIC || found != version {
        return None;
    }
    let log_bytes = u64::from_be_bytes(take(&mut rest)?);
    let next_offset = u64::from_be_bytes(take(&mut rest)?);
    let timestamp_ms = i64::from_be_bytes(take(&mut rest)?);
    let relative_offset = u32::from_be_bytes(take(&mut rest)?);
    let largest = (timestamp_ms >= 0).then_some(TimeEntry { timestamp_ms, relative_offset });
    let last_append_ms = take(&mut rest).map(i64::from_be_bytes).filter(|ms| *ms >= 0);
    let counted_age_ms = take(&mut rest).map_or(0, u64::from_be_bytes);
    let coverage = Coverage { sealed: sealed == 1, log_bytes, next_offset };
    Some((entries, Footer { coverage, largest, last_append_ms, counted_age_ms }))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn replace(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = files.open(path, OpenMode::OpenOrCreate)?;
    file.truncate(0)?;
    write_full(&*file, &[bytes], 0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::env::{MemoryFileSystem, transfer::read_whole};

    fn stored() -> (MemoryFileSystem, PathBuf, PathBuf, SegmentIndex, Coverage) {
        let files = MemoryFileSystem::new(None);
        files.create_directory(Path::new("/d")).unwrap();
        let (offsets, times) = (PathBuf::from("/d/0.index"), PathBuf::from("/d/0.timeindex"));
        let mut index = SegmentIndex::default();
        for batch in 0..100 {
            index.note(batch * 10, batch * 1000, 1000, i64::from(batch % 7), 4000);
        }
        index.note_append(1_700_000_000_000);
        index.note_append(5);
        let coverage = Coverage { sealed: true, log_bytes: 100_000, next_offset: 1000 };
        store(&files, &offsets, &times, &index, coverage).unwrap();
        (files, offsets, times, index, coverage)
    }

    #[test]
    fn comes_back_as_it_was_stored() {
        let (files, offsets, times, index, coverage) = stored();
        let (loaded, covered) = load(&files, &offsets, &times).unwrap().unwrap();
        assert_eq!(covered, coverage);
        assert_eq!(loaded.entries(), index.entries());
        assert_eq!((loaded.largest(), loaded.first_ms()), (index.largest(), Some(0)));
        assert_eq!(loaded.last_append_ms(), Some(1_700_000_000_000));
    }

    fn bytes_of(files: &MemoryFileSystem, path: &Path) -> Vec<u8> {
        read_whole(files, path, FILE_BYTES_MAX).unwrap().unwrap()
    }

    #[test]
    fn a_counted_age_comes_back_and_is_the_only_thing_that_needs_the_third_version() {
        let (files, offsets, times, mut index, coverage) = stored();
        let before = bytes_of(&files, &offsets);
        assert_eq!(before[before.len() - FOOTER_BYTES_2 + 4], VERSION_2);
        index.set_counted_age(0x0102_0304_0506_0708);
        store(&files, &offsets, &times, &index, coverage).unwrap();
        let bytes = bytes_of(&files, &offsets);
        let footer = &bytes[bytes.len() - FOOTER_BYTES..];
        assert_eq!((footer[4], &footer[44..52]), (3, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
        let (mut loaded, covered) = load(&files, &offsets, &times).unwrap().unwrap();
        assert_eq!((covered, loaded.entries()), (coverage, index.entries()));
        assert_eq!(loaded.last_append_ms(), Some(1_700_000_000_000));
        assert_eq!(loaded.counted_age_ms(), 0x0102_0304_0506_0708);
        // What is appended is young.
        loaded.note(5000, 200_000, 10, 7, 4000);
        assert_eq!(loaded.counted_age_ms(), 0);
    }

    #[test]
    fn the_first_version_is_read_without_the_time_of_the_last_append() {
        let (files, offsets, times, index, coverage) = stored();
        for path in [&offsets, &times] {
            let mut bytes = bytes_of(&files, path);
            bytes.truncate(bytes.len() - 12);
            let version = bytes.len() - (FOOTER_BYTES_1 - 4) + 4;
            bytes[version] = VERSION_1;
            let crc = crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_be_bytes());
            replace(&files, path, &bytes).unwrap();
        }
        let (loaded, covered) = load(&files, &offsets, &times).unwrap().unwrap();
        assert_eq!(covered, coverage);
        assert_eq!(loaded.entries(), index.entries());
        assert_eq!((loaded.largest(), loaded.last_append_ms()), (index.largest(), None));
    }
}
