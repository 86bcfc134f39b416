//! Groups: what one sync of a flush journal makes durable, of many logs.
//!
//! ```text
//!  0  magic        u32    "MRJG"
//!  4  nonce        u8[16] of this use of the file, as its header has it
//! 20  sequence     u64    of the group in this use, from 0
//! 28  entry_count  u32
//! 32  bytes        u64    of the group, from magic to crc
//! 40  entry*: topic_id u8[16] | partition u32 | segment_base u64 | position u64 | bytes u32 |
//!             batches
//!     crc          u32   CRC-32C of everything before it
//! ```
//! Big endian. A group begins at a multiple of 4 KiB, so that none shares a block with another.
//! The nonce is random and leaves the broker with nobody: what producers have written can lie where
//! a group could begin, and must not pass for one.
//! `batches` are what the segment holds at `position`, `bytes` of it.

use crate::{
    batch::{BatchHeader, header::crc32c},
    log::Position,
    recovery::checkpoint::LogKey,
};

/// Groups begin at multiples of this.
pub const BLOCK_BYTES: u64 = 4096;
/// A group is never larger: what a replay holds in memory at once.
pub const GROUP_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a group before its entries.
pub const HEAD_BYTES: usize = 40;
const MAGIC: u32 = 0x4d52_4a47;
const ENTRY_HEAD_BYTES: usize = 40;
const CRC_BYTES: usize = 4;
const ENTRY_COUNT_AT: std::ops::Range<usize> = 28..32;
const BYTES_AT: std::ops::Range<usize> = 32..40;

/// What a group has of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The log.
    pub key: LogKey,
    /// The segment that holds it.
    pub segment_base: u64,
    /// Where it lies there.
    pub position: u64,
    /// Bytes of the batches.
    pub bytes: u32,
    /// Where they lie in the group.
    pub at: usize,
    /// Offset behind the last record.
    pub next_offset: u64,
}

impl Entry {
    /// The point in the log behind it.
    pub fn end(&self) -> Position {
        let position = self.position.saturating_add(u64::from(self.bytes));
        Position { offset: self.next_offset, segment_base: self.segment_base, position }
    }
}

/// Tells one use of a file from all others.
pub type Nonce = [u8; 16];

/// Which group is expected where one may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupName {
    /// The use of the file.
    pub nonce: Nonce,
    /// Of the group in it.
    pub sequence: u64,
}

/// A group that is being put together.
pub struct Group {
    bytes: Vec<u8>,
    entry_count: u32,
    bytes_max: usize,
    log_bytes_max: u64,
}

impl Group {
    /// An empty one of at most `bytes_max`, in `buffer`, which takes at most `log_bytes_max` of a
    /// log.
    pub fn new(
        mut buffer: Vec<u8>,
        GroupName { nonce, sequence }: GroupName,
        bytes_max: u64,
        log_bytes_max: u64,
    ) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&MAGIC.to_be_bytes());
        buffer.extend_from_slice(&nonce);
        buffer.extend_from_slice(&sequence.to_be_bytes());
        buffer.resize(HEAD_BYTES, 0);
        let bytes_max = usize::try_from(bytes_max.min(GROUP_BYTES_MAX)).unwrap_or(0);
        Self { bytes: buffer, entry_count: 0, bytes_max, log_bytes_max }
    }

    /// What it takes of one log.
    pub fn log_bytes_max(&self) -> u64 {
        self.log_bytes_max
    }

    /// Whether so much of a log still fits.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + ENTRY_HEAD_BYTES + bytes + CRC_BYTES <= self.bytes_max
    }

    /// Adds what `fill` puts into the place for the bytes between two points of a log, which lie in
    /// one segment. `false`, and nothing is added, where that is not what lies between them.
    pub fn add(
        &mut self,
        key: LogKey,
        from: Position,
        to: Position,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let Some(bytes) = to.position.checked_sub(from.position) else {
            return false;
        };
        let (Ok(bytes), Ok(count)) = (u32::try_from(bytes), usize::try_from(bytes)) else {
            return false;
        };
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&key.0);
        self.bytes.extend_from_slice(&key.1.to_be_bytes());
        self.bytes.extend_from_slice(&from.segment_base.to_be_bytes());
        self.bytes.extend_from_slice(&from.position.to_be_bytes());
        self.bytes.extend_from_slice(&bytes.to_be_bytes());
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        let place = self.bytes.get_mut(start..).unwrap_or_default();
        if fill(place) && lead_from_to(place, from.offset, to.offset) {
            self.entry_count += 1;
            return true;
        }
        self.bytes.truncate(before);
        false
    }

    /// Whether it has an entry.
    pub fn is_empty(&self) -> bool {
        self.entry_count == 0
    }

    /// Completes it, in whole blocks.
    pub fn finish(&mut self) -> &[u8] {
        let bytes = (self.bytes.len() + CRC_BYTES) as u64;
        if let Some(field) = self.bytes.get_mut(ENTRY_COUNT_AT) {
            field.copy_from_slice(&self.entry_count.to_be_bytes());
        }
        if let Some(field) = self.bytes.get_mut(BYTES_AT) {
            field.copy_from_slice(&bytes.to_be_bytes());
        }
        let crc = crc32c(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_be_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK_BYTES as usize), 0);
        &self.bytes
    }

    /// Gives the buffer back.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whether `bytes` are whole batches that lead from one offset to another without a gap.
fn lead_from_to(mut bytes: &[u8], from_offset: u64, to_offset: u64) -> bool {
    let mut offset = from_offset;
    while !bytes.is_empty() {
        match next_offset(bytes) {
            Some((base_offset, next, batch_bytes)) if base_offset == offset => {
                offset = next;
                bytes = bytes.get(batch_bytes..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    offset == to_offset
}

/// Base offset of the whole batch that `bytes` begin with, the offset behind it, and its length.
fn next_offset(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let header = BatchHeader::read(bytes).ok()?;
    header.verify_crc(bytes).ok()?;
    let base_offset = u64::try_from(header.base_offset).ok()?;
    let count = u64::try_from(header.last_offset_delta).ok()?.checked_add(1)?;
    let batch_bytes = header.batch_bytes();
    (batch_bytes <= bytes.len()).then_some(())?;
    Some((base_offset, base_offset.checked_add(count)?, batch_bytes))
}

/// What the first bytes of a group say of it: its name and its length, in bounds.
pub fn head(bytes: &[u8]) -> Option<(GroupName, u64)> {
    let rest = &mut bytes.get(..HEAD_BYTES)?;
    let magic = u32::from_be_bytes(take(rest)?);
    let name = GroupName { nonce: take(rest)?, sequence: u64::from_be_bytes(take(rest)?) };
    let _entry_count: [u8; 4] = take(rest)?;
    let length = u64::from_be_bytes(take(rest)?);
    let is_in_bounds = (HEAD_BYTES + CRC_BYTES) as u64 <= length && length <= GROUP_BYTES_MAX;
    (magic == MAGIC && is_in_bounds).then_some((name, length))
}

/// Takes a group apart that is exactly these bytes. `None` where it is not whole.
pub fn parse(bytes: &[u8]) -> Option<(GroupName, Vec<Entry>)> {
    let (name, length) = head(bytes)?;
    if length != bytes.len() as u64 {
        return None;
    }
    let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
    if crc32c(content) != u32::from_be_bytes(*crc) {
        return None;
    }
    let count = u32::from_be_bytes(content.get(ENTRY_COUNT_AT)?.try_into().ok()?);
    let mut rest = content.get(HEAD_BYTES..)?;
    // Each entry has a head at least: no more memory than the bytes pay for.
    let count_max = rest.len() / ENTRY_HEAD_BYTES;
    let count = usize::try_from(count).ok().filter(|count| *count <= count_max)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(entry(&mut rest, content.len())?);
    }
    rest.is_empty().then_some((name, entries))
}

fn entry(rest: &mut &[u8], group_bytes: usize) -> Option<Entry> {
    let key = (take::<16>(rest)?, u32::from_be_bytes(take(rest)?));
    let segment_base = u64::from_be_bytes(take(rest)?);
    let position = u64::from_be_bytes(take(rest)?);
    let bytes = u32::from_be_bytes(take(rest)?);
    let at = group_bytes - rest.len();
    let (batches, behind) = rest.split_at_checked(usize::try_from(bytes).ok()?)?;
    *rest = behind;
    let next_offset = end_offset(batches, segment_base)?;
    position.checked_add(u64::from(bytes))?;
    Some(Entry { key, segment_base, position, bytes, at, next_offset })
}

/// The offset behind the last of some batches, by their headers: the group's checksum vouches for
/// all of it.
fn end_offset(mut batches: &[u8], segment_base: u64) -> Option<u64> {
    let mut end = None;
    while !batches.is_empty() {
        let header = BatchHeader::read(batches).ok()?;
        let base_offset = u64::try_from(header.base_offset).ok()?;
        let count = u64::try_from(header.last_offset_delta).ok()?.checked_add(1)?;
        let is_in_order = base_offset >= end.unwrap_or(segment_base);
        is_in_order.then_some(())?;
        end = Some(base_offset.checked_add(count)?);
        batches = batches.get(header.batch_bytes()..)?;
    }
    end
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}
