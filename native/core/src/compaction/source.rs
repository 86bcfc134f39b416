//! Reading a closed segment batch by batch, believing nothing that was not looked at.

use std::{io, sync::Arc};

use crate::{
    batch::{BatchHeader, HEADER_BYTES},
    env::{File, transfer::read_full},
    limits::BATCH_BYTES_MAX,
    log::OFFSET_MAX,
    recovery::scan::Mark,
    segment::Segment,
};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// A closed segment and where the one behind it begins.
#[derive(Clone)]
pub struct Source {
    /// The segment.
    pub segment: Arc<Segment>,
    /// Base offset of the segment behind it.
    pub end_offset: u64,
}

/// The next batch of a segment.
pub(super) enum Next<'r> {
    /// A whole one, with a good checksum, where it has to be.
    Batch(BatchHeader, &'r [u8]),
    /// The segment's end, which is where it has to be, too.
    End,
    /// Something else, where a batch has to be; `None` where only batches are missing at its end.
    Damaged(Option<Mark>),
}

/// Reads the batches of one segment.
pub(super) struct Batches {
    file: Arc<dyn File>,
    next: Mark,
    end: Mark,
    has_holes: bool,
    buffer: Vec<u8>,
    /// Position in the file of the first byte in the buffer.
    buffer_position: u64,
    /// Bytes that were read from the file and that nobody has asked for.
    bytes_read: u64,
}

impl Batches {
    pub(super) fn new(source: &Source, file: Arc<dyn File>, buffer: Vec<u8>) -> Self {
        let segment = &source.segment;
        let mut batches = Self {
            file,
            next: Mark { position: 0, offset: segment.base_offset },
            end: Mark { position: segment.end_position(), offset: source.end_offset },
            has_holes: segment.has_holes(),
            buffer,
            buffer_position: 0,
            bytes_read: 0,
        };
        batches.buffer.clear();
        batches
    }

    /// Gives the buffer back.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Bytes that were read since the last call.
    pub(super) fn take_bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }

    /// The next batch.
    ///
    /// # Errors
    /// An I/O error while reading.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        let at = self.next;
        if at.position >= self.end.position {
            return Ok(if at == self.end { Next::End } else { Next::Damaged(None) });
        }
        self.bring_in(HEADER_BYTES)?;
        let Some(header) = self.header() else {
            return Ok(Next::Damaged(Some(at)));
        };
        let has_left_out = u64::try_from(header.base_offset) != Ok(at.offset);
        let next_bytes = if has_left_out { HEADER_BYTES } else { 0 };
        self.bring_in(header.batch_bytes() + next_bytes)?;
        let behind = Mark {
            position: at.position + header.batch_bytes() as u64,
            offset: u64::try_from(header.last_offset()).unwrap_or(OFFSET_MAX) + 1,
        };
        let start = self.start();
        let batch = self.buffer.get(start..start + header.batch_bytes()).unwrap_or_default();
        if header.verify_crc(batch).is_err() || (has_left_out && self.is_overlapped(&header)) {
            return Ok(Next::Damaged(Some(at)));
        }
        self.next = behind;
        Ok(Next::Batch(header, batch))
    }

    /// The next header, if it is one that may stand there.
    fn header(&self) -> Option<BatchHeader> {
        let header = BatchHeader::read(self.buffer.get(self.start()..)?).ok()?;
        let base_offset = u64::try_from(header.base_offset).ok()?;
        let last_offset = u64::try_from(header.last_offset()).ok()?;
        let offset_count = i64::from(header.last_offset_delta) + 1;
        let has_place =
            base_offset == self.next.offset || (self.has_holes && base_offset > self.next.offset);
        let is_sound = has_place
            && header.last_offset_delta >= 0
            && last_offset < self.end.offset
            && (self.has_holes || i64::from(header.record_count) == offset_count)
            && (0..=offset_count).contains(&i64::from(header.record_count))
            && self.next.position + header.batch_bytes() as u64 <= self.end.position;
        is_sound.then_some(header)
    }

    /// Whether the batch behind the next one begins before the offset at which that ends: one of
    /// the two has a wrong base offset, which no checksum covers.
    fn is_overlapped(&self, header: &BatchHeader) -> bool {
        let behind = self.start() + header.batch_bytes();
        let following = self.buffer.get(behind..).and_then(|bytes| BatchHeader::read(bytes).ok());
        following.is_some_and(|following| following.base_offset <= header.last_offset())
    }

    /// Where in the buffer the next batch begins.
    fn start(&self) -> usize {
        usize::try_from(self.next.position - self.buffer_position).unwrap_or(usize::MAX)
    }

    /// Has at least so many bytes from the next batch on in the buffer, as far as there are.
    fn bring_in(&mut self, bytes: usize) -> io::Result<()> {
        let start = self.start().min(self.buffer.len());
        let kept = self.buffer.len() - start;
        if kept >= bytes {
            return Ok(());
        }
        self.buffer.drain(..start);
        self.buffer_position = self.next.position;
        let left = self.end.position - self.next.position;
        let wanted = u64::try_from(bytes.max(READ_BYTES)).unwrap_or(BATCH_BYTES_MAX).min(left);
        let wanted = usize::try_from(wanted).map_err(io::Error::other)?.max(kept);
        self.buffer.resize(wanted, 0);
        let target = self.buffer.get_mut(kept..).unwrap_or_default();
        let read = read_full(&*self.file, target, self.buffer_position + kept as u64)?;
        self.buffer.truncate(kept + read);
        self.bytes_read += read as u64;
        Ok(())
    }
}
