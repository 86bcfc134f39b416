//! LZ4 frames as Kafka reads them: of independent blocks, and with their end mark. Other frames are
//! refused, as every consumer in Java would stop at them.
//!
//! ```text
//! magic u32 · flags u8 · block size u8 · [content size u64] · header checksum u8 ·
//! (length u32 · block · [block checksum u32])* · 0 u32 · [content checksum u32]
//!                                                       every integer little endian
//! ```

use std::{cell::Cell, hash::Hasher as _};

use lz4_flex::block::{DecompressError, decompress_into};
use twox_hash::XxHash32;

use super::{Codec, decompressor};
use crate::error::{Error, Result};

const MAGIC: u32 = 0x184d_2204;

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
/// One bit is reserved, the other announces a dictionary, which Kafka does not know.
const REFUSED_FLAGS: u8 = 0b0000_0011;

/// What the three bits of a block's size stand for.
const BLOCK_BYTES_MAX: [(u8, usize); 4] =
    [(0x40, 64 << 10), (0x50, 256 << 10), (0x60, 1 << 20), (0x70, 4 << 20)];

/// In the length of a block: it is not compressed.
const UNCOMPRESSED: u32 = 1 << 31;

thread_local! {
    // A frame names the size of its largest block, up to 4 MiB, however small it is: to allocate
    // that for each takes longer than to decompress what most of them hold.
    static BLOCK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads one frame, block by block.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    state: State,
    /// The thread's, taken for as long as the reader lives.
    block: Vec<u8>,
    /// Where in `block` lies what is not read yet.
    start: usize,
    end: usize,
}

enum State {
    Header,
    Blocks(Frame),
    Ended,
}

struct Frame {
    block_bytes_max: usize,
    has_block_checksums: bool,
    /// What the header says, and what came.
    content_bytes: Option<u64>,
    content_bytes_read: u64,
    content: Option<XxHash32>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { rest: input, state: State::Header, block: BLOCK.take(), start: 0, end: 0 }
    }

    /// Reads into `buffer`; 0 at the end of the frame, which is that of the input. A block that
    /// expands beyond `bytes_left` is refused before it has.
    pub(super) fn read(&mut self, buffer: &mut [u8], bytes_left: u64) -> Result<usize> {
        while self.start == self.end {
            match &mut self.state {
                State::Header => self.begin()?,
                State::Blocks(_) => self.decode_block(bytes_left)?,
                State::Ended => return Ok(0),
            }
        }
        let pending = self.block.get(self.start..self.end).unwrap_or_default();
        let bytes = decompressor::copy_some(pending, buffer);
        self.start += bytes;
        Ok(bytes)
    }

    fn begin(&mut self) -> Result<()> {
        let input = self.rest;
        if self.u32()? != MAGIC {
            return Err(damaged("it does not begin as a frame does"));
        }
        let [flags, block_size] = *self.chunk::<2>()?;
        if flags & VERSION_MASK != VERSION || flags & REFUSED_FLAGS != 0 {
            return Err(damaged("a frame of another version, or with a dictionary"));
        }
        if flags & INDEPENDENT_BLOCKS == 0 {
            return Err(damaged("blocks that depend on each other, which Kafka does not read"));
        }
        let known = BLOCK_BYTES_MAX.iter().find(|(bits, _)| *bits == block_size);
        let (_, block_bytes_max) = *known.ok_or_else(|| damaged("an unknown block size"))?;
        let content_bytes = match flags & CONTENT_SIZE {
            0 => None,
            _ => Some(u64::from_le_bytes(*self.chunk()?)),
        };
        let described = input.len() - self.rest.len();
        let descriptor = input.get(size_of_val(&MAGIC)..described).unwrap_or_default();
        let [checksum] = *self.chunk::<1>()?;
        if (XxHash32::oneshot(0, descriptor) >> 8) as u8 != checksum {
            return Err(damaged("the checksum of its header does not match"));
        }
        if self.block.len() < block_bytes_max {
            // Zeros of the system's: what is not written to takes no memory.
            self.block = vec![0; block_bytes_max];
        }
        self.state = State::Blocks(Frame {
            block_bytes_max,
            has_block_checksums: flags & BLOCK_CHECKSUMS != 0,
            content_bytes,
            content_bytes_read: 0,
            content: (flags & CONTENT_CHECKSUM != 0).then(|| XxHash32::with_seed(0)),
        });
        Ok(())
    }

    fn decode_block(&mut self, bytes_left: u64) -> Result<()> {
        let length = self.u32()?;
        if length == 0 {
            return self.finish();
        }
        let bytes = (length & !UNCOMPRESSED) as usize;
        let block = self.take(bytes)?;
        let State::Blocks(frame) = &mut self.state else {
            return Ok(());
        };
        if bytes == 0 || bytes > frame.block_bytes_max {
            return Err(damaged("a block that is empty, or larger than the frame's"));
        }
        if frame.has_block_checksums {
            let (checksum, rest) = self.rest.split_first_chunk().ok_or_else(cut_short)?;
            self.rest = rest;
            let checksum = u32::from_le_bytes(*checksum);
            if XxHash32::oneshot(0, block) != checksum {
                return Err(damaged("the checksum of a block does not match"));
            }
        }
        let room = frame.block_bytes_max.min(usize::try_from(bytes_left).unwrap_or(usize::MAX));
        let target = self.block.get_mut(..room).unwrap_or_default();
        let expanded = if length & UNCOMPRESSED == 0 {
            match decompress_into(block, target) {
                Err(DecompressError::OutputTooSmall { .. }) if room < frame.block_bytes_max => {
                    return Err(decompressor::too_large(Codec::Lz4));
                }
                expanded => expanded.map_err(damaged)?,
            }
        } else {
            let Some(target) = target.get_mut(..bytes) else {
                return Err(decompressor::too_large(Codec::Lz4));
            };
            target.copy_from_slice(block);
            bytes
        };
        frame.content_bytes_read += expanded as u64;
        if let Some(content) = &mut frame.content {
            content.write(self.block.get(..expanded).unwrap_or_default());
        }
        self.start = 0;
        self.end = expanded;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let State::Blocks(frame) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        if frame.content_bytes.is_some_and(|stated| stated != frame.content_bytes_read) {
            return Err(damaged("it does not hold as much as it says"));
        }
        if let Some(content) = frame.content
            && self.u32()? != content.finish_32()
        {
            return Err(damaged("the checksum of what it holds does not match"));
        }
        if !self.rest.is_empty() {
            return Err(damaged("bytes behind the end of the frame"));
        }
        Ok(())
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(*self.chunk()?))
    }

    fn chunk<const BYTES: usize>(&mut self) -> Result<&'a [u8; BYTES]> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(chunk)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        // Not where the thread ends, and its memory has gone before.
        let _ = BLOCK.try_with(|kept| kept.set(block));
    }
}

fn cut_short() -> Error {
    damaged("it is cut short")
}

fn damaged(detail: impl std::fmt::Display) -> Error {
    decompressor::damaged(Codec::Lz4, &detail)
}
