//! Reading a segment batch by batch to find out how far it is whole.

use crate::{
    batch::{BatchHeader, HEADER_BYTES, header::LENGTH_OVERHEAD_BYTES},
    env::{File, transfer::read_full},
    index::SegmentIndex,
    log::append::{producer_of, record_count},
    producer::ProducerStates,
    segment::DamagedRange,
};

/// What the scan starts from.
pub struct ScanStart {
    /// Position of the first batch to look at.
    pub position: u64,
    /// Offset that it must have.
    pub next_offset: u64,
    /// Offsets from here on belong to the next segment.
    pub offset_max: u64,
    /// Before this position headers are believed; from it on checksums are verified.
    pub trusted_position: u64,
}

/// What the scan found.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Position behind the last whole batch.
    pub end_position: u64,
    /// Offset behind its last record.
    pub next_offset: u64,
    /// Ranges in between that are damaged.
    pub damaged: Vec<DamagedRange>,
}

/// State that the scan brings up to date as it goes.
pub struct ScanState<'a> {
    /// The segment's index.
    pub index: &'a mut SegmentIndex,
    /// The producers of the partition.
    pub producers: &'a mut ProducerStates,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// Base offset of the segment.
    pub base_offset: u64,
}

/// Reads batches one behind the other until one is not whole and none follows it.
///
/// A batch counts if its base offset is the expected one (a later one where a known damaged range
/// ends), its length and count are in bounds, and - from the trusted position on - its checksum
/// holds. Behind the first that does not count, a whole batch with a later base offset is looked
/// for where the length field or the index point, never by searching bytes: a record may contain
/// a forged batch.
///
/// # Errors
/// An I/O error while reading.
pub fn scan(
    file: &dyn File,
    start: &ScanStart,
    known_damage: &[DamagedRange],
    state: &mut ScanState<'_>,
) -> std::io::Result<Scanned> {
    let file_bytes = file.len()?;
    let mut position = start.position;
    let mut next_offset = start.next_offset;
    let mut damaged: Vec<DamagedRange> = known_damage
        .iter()
        .copied()
        .filter(|range| range.to_position <= position)
        .collect();
    let mut buffer = Vec::new();
    loop {
        if let Some(known) = known_damage
            .iter()
            .find(|range| range.from_position == position)
        {
            damaged.push(*known);
            position = known.to_position;
            next_offset = known.to_offset;
            continue;
        }
        let verify = position >= start.trusted_position;
        if let Some(header) = whole_batch(file, file_bytes, position, verify, &mut buffer)?
            && u64::try_from(header.base_offset) == Ok(next_offset)
            && next_offset < start.offset_max
        {
            note(state, &header, position);
            position += header.batch_bytes() as u64;
            next_offset += u64::from(record_count(&header));
            continue;
        }
        let Some((further, header)) = find_behind(
            file,
            file_bytes,
            position,
            next_offset,
            state.index,
            &mut buffer,
        )?
        .filter(|(_, header)| {
            u64::try_from(header.base_offset).is_ok_and(|base| base < start.offset_max)
        }) else {
            return Ok(Scanned {
                end_position: position,
                next_offset,
                damaged,
            });
        };
        let to_offset = u64::try_from(header.base_offset).unwrap_or(next_offset);
        damaged.push(DamagedRange {
            from_offset: next_offset,
            to_offset,
            from_position: position,
            to_position: further,
        });
        position = further;
        next_offset = to_offset;
    }
}

fn note(state: &mut ScanState<'_>, header: &BatchHeader, position: u64) {
    let base_offset = u64::try_from(header.base_offset).unwrap_or(state.base_offset);
    let relative = u32::try_from(base_offset.saturating_sub(state.base_offset)).unwrap_or(u32::MAX);
    let relative_position = u32::try_from(position).unwrap_or(u32::MAX);
    state.index.note(
        relative,
        relative_position,
        header.batch_bytes() as u64,
        header.max_timestamp,
        state.index_interval_bytes,
    );
    if let Some(producer) = producer_of(header) {
        let next_offset = base_offset + u64::from(record_count(header));
        state
            .producers
            .note(&producer, base_offset, next_offset, header.max_timestamp);
    }
}

/// The batch at `position`, if it is there whole.
fn whole_batch(
    file: &dyn File,
    file_bytes: u64,
    position: u64,
    verify: bool,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<BatchHeader>> {
    let mut head = [0; HEADER_BYTES];
    if read_full(file, &mut head, position)? < HEADER_BYTES {
        return Ok(None);
    }
    let Ok(header) = BatchHeader::read(&head) else {
        return Ok(None);
    };
    let is_sound = header.last_offset_delta >= 0
        && header.record_count >= 0
        && i64::from(header.record_count) <= i64::from(header.last_offset_delta) + 1
        && position + header.batch_bytes() as u64 <= file_bytes;
    if !is_sound {
        return Ok(None);
    }
    if verify {
        buffer.resize(header.batch_bytes(), 0);
        let read = read_full(file, buffer, position)?;
        if read < header.batch_bytes() || header.verify_crc(buffer).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(header))
}

/// The first whole batch behind a damaged one at `position`, with a base offset behind
/// `next_offset`: where the damaged one's length says, else where the index knows of one.
fn find_behind(
    file: &dyn File,
    file_bytes: u64,
    position: u64,
    next_offset: u64,
    index: &SegmentIndex,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<(u64, BatchHeader)>> {
    let mut head = [0; HEADER_BYTES];
    let mut candidates = Vec::new();
    if read_full(file, &mut head, position)? == HEADER_BYTES {
        let length = head
            .get(8..12)
            .and_then(|field| <[u8; 4]>::try_from(field).ok());
        let length = length.map_or(0, u32::from_be_bytes);
        if length > 0 {
            candidates.push(position + u64::from(length) + LENGTH_OVERHEAD_BYTES as u64);
        }
    }
    let mut behind = u32::try_from(position).unwrap_or(u32::MAX);
    while let Some(entry) = index.first_behind(behind) {
        candidates.push(u64::from(entry.position));
        behind = entry.position;
    }
    // The nearest first: a length that lies must not skip batches that the index knows of.
    candidates.sort_unstable();
    for candidate in candidates {
        if candidate + HEADER_BYTES as u64 > file_bytes {
            continue;
        }
        if let Some(header) = whole_batch(file, file_bytes, candidate, true, buffer)?
            && u64::try_from(header.base_offset).is_ok_and(|offset| offset > next_offset)
        {
            return Ok(Some((candidate, header)));
        }
    }
    Ok(None)
}
