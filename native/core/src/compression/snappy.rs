//! Snappy as Kafka knows it: blocks in the framing of snappy-java (xerial), or one bare block.
//!
//! ```text
//! framed  0x82 "SNAPPY" 0x00 · version u32 · lowest compatible version u32 ·
//!         (length u32 · block)*          every integer big endian
//! ```
//!
//! Java and librdkafka read both; some clients (such as kafka-python's older releases and
//! librdkafka) write bare blocks.

use std::cell::RefCell;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Codec, decompressor, failed};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\x00";
const VERSION: u32 = 1;
const FRAMING_BYTES: usize = MAGIC.len() + 4 + 4;
/// Uncompressed bytes of a block, as snappy-java writes them.
const BLOCK_BYTES: usize = 32_768;
/// No element of the format makes more than this many bytes out of one (64 out of 3).
const EXPANSION_MAX: u64 = 22;

thread_local! {
    // It owns its hash table.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> Result<()> {
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    ENCODER.with_borrow_mut(|encoder| {
        for block in input.chunks(BLOCK_BYTES) {
            let length_at = output.len();
            let block_at = length_at + 4;
            output.resize(block_at + max_compress_len(block.len()), 0);
            let target = output.get_mut(block_at..).unwrap_or_default();
            let written =
                encoder.compress(block, target).map_err(|error| failed(Codec::Snappy, &error))?;
            output.truncate(block_at + written);
            if let Some(length) = output.get_mut(length_at..block_at) {
                length.copy_from_slice(&(written as u32).to_be_bytes());
            }
        }
        Ok(())
    })
}

/// Reads block by block.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    block_position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let framed = input.starts_with(&MAGIC);
        // A framing cut short leaves nothing, and no records section is empty.
        let rest = if framed { input.get(FRAMING_BYTES..).unwrap_or_default() } else { input };
        Self { rest, framed, block: Vec::new(), block_position: 0 }
    }

    /// Reads into `buffer`; 0 at the end. A block that says it is larger than `bytes_left` is
    /// refused before it is allocated.
    pub(super) fn read(&mut self, buffer: &mut [u8], bytes_left: u64) -> Result<usize> {
        while self.block_position == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.decode_block(bytes_left)?;
        }
        let pending = self.block.get(self.block_position..).unwrap_or_default();
        let bytes = decompressor::copy_some(pending, buffer);
        self.block_position += bytes;
        Ok(bytes)
    }

    fn decode_block(&mut self, bytes_left: u64) -> Result<()> {
        let block = self.take_block().ok_or_else(|| damaged("a block is cut short"))?;
        let stated = decompress_len(block).map_err(damaged)?;
        if stated as u64 > block.len() as u64 * EXPANSION_MAX {
            return Err(damaged("a block claims more than the format can hold"));
        }
        if stated as u64 > bytes_left {
            return Err(decompressor::too_large(Codec::Snappy));
        }
        self.block.resize(stated, 0);
        self.block_position = 0;
        Decoder::new().decompress(block, &mut self.block).map_err(damaged)?;
        Ok(())
    }

    fn take_block(&mut self) -> Option<&'a [u8]> {
        if !self.framed {
            return Some(std::mem::take(&mut self.rest));
        }
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (block, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(block)
    }
}

fn damaged(detail: impl std::fmt::Display) -> Error {
    decompressor::damaged(Codec::Snappy, &detail)
}
