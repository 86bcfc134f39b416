//! The four codecs of Kafka's record batches, read and written as Kafka's clients do.
//!
//! Decompression is bounded: a [`Decompressor`] stops at the number of bytes it was given, and
//! allocates for what the input merely claims once a thread at most.

mod decompressor;
mod lz4;
mod snappy;
mod zstandard;

use std::{cell::RefCell, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

pub use self::decompressor::Decompressor;
use crate::error::{Code, Error, Result};

/// Bytes that [`decompress`] asks for at a time.
const STEP_BYTES: usize = 65_536;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// Gzip members.
    Gzip = 1,
    /// Snappy: raw blocks and the framing of xerial's snappy-java are read, the latter is written.
    Snappy = 2,
    /// LZ4 frames of independent blocks.
    Lz4 = 3,
    /// Zstandard frames.
    Zstd = 4,
}

impl Codec {
    /// Every codec, in Kafka's order.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Kafka's number, as in the attributes of a batch.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The codec of Kafka's number.
    ///
    /// # Errors
    /// `UNSUPPORTED_COMPRESSION_TYPE`.
    pub fn from_number(number: u8) -> Result<Self> {
        Self::ALL.into_iter().find(|codec| codec.number() == number).ok_or_else(|| {
            Error::new(Code::UnsupportedCompressionType, format!("codec number {number}"))
        })
    }

    /// The name in Kafka's `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Appends `input`, compressed, to `output`.
///
/// `level` is gzip's (1 to 9, -1 its default) or zstd's (its own range); snappy has none and LZ4
/// always works at its fastest. `None` is the codec's default. [`Codec::None`] copies.
///
/// # Errors
/// `INVALID_CONFIG` for a gzip level out of range; `UNKNOWN_SERVER_ERROR` when the codec fails for
/// lack of memory. `output` then holds a part of the result behind what it held before.
pub fn compress(
    codec: Codec,
    level: Option<i32>,
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<()> {
    match codec {
        Codec::None => {
            output.extend_from_slice(input);
            Ok(())
        }
        Codec::Gzip => compress_gzip(level, input, output),
        Codec::Snappy => snappy::compress(input, output),
        Codec::Lz4 => compress_lz4(input, output),
        Codec::Zstd => zstandard::compress(level, input, output),
    }
}

/// Appends `input`, decompressed, to `output`: at most `bytes_max` bytes.
///
/// # Errors
/// `CORRUPT_MESSAGE` for damaged input, `MESSAGE_TOO_LARGE` when it expands beyond `bytes_max`.
/// `output` is then what it was before.
pub fn decompress(codec: Codec, input: &[u8], bytes_max: u64, output: &mut Vec<u8>) -> Result<()> {
    let before = output.len();
    let done = decompress_behind(codec, input, bytes_max, output);
    if done.is_err() {
        output.truncate(before);
    }
    done
}

fn decompress_behind(
    codec: Codec,
    input: &[u8],
    bytes_max: u64,
    output: &mut Vec<u8>,
) -> Result<()> {
    let mut decompressor = Decompressor::new(codec, input, bytes_max)?;
    loop {
        let filled = output.len();
        output.resize(filled + STEP_BYTES, 0);
        let read = decompressor.read(output.get_mut(filled..).unwrap_or_default())?;
        output.truncate(filled + read);
        if read == 0 {
            return Ok(());
        }
    }
}

fn compress_gzip(level: Option<i32>, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
    let level = match level {
        None | Some(-1) => Compression::default(),
        Some(level @ 1..=9) => Compression::new(level.unsigned_abs()),
        Some(level) => {
            return Err(Error::new(Code::InvalidConfig, format!("gzip level {level}")));
        }
    };
    let mut encoder = GzEncoder::new(output, level);
    encoder.write_all(input).map_err(|error| failed(Codec::Gzip, &error))?;
    encoder.finish().map(|_| ()).map_err(|error| failed(Codec::Gzip, &error))
}

thread_local! {
    // A new encoder allocates its tables and two blocks: more than compressing a small batch takes.
    static LZ4_ENCODER: RefCell<FrameEncoder<Vec<u8>>> = RefCell::new(lz4_encoder(Vec::new()));
}

// Independent blocks of 64 KiB are what Kafka's Java client writes and every client reads.
fn lz4_encoder(output: Vec<u8>) -> FrameEncoder<Vec<u8>> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(frame, output)
}

fn compress_lz4(input: &[u8], output: &mut Vec<u8>) -> Result<()> {
    LZ4_ENCODER.with_borrow_mut(|encoder| {
        if input.is_empty() {
            // Once used, an encoder no longer begins a frame that stays empty.
            *encoder = lz4_encoder(Vec::new());
        }
        std::mem::swap(encoder.get_mut(), output);
        let written = encoder.write_all(input).and_then(|()| Ok(encoder.try_finish()?));
        std::mem::swap(encoder.get_mut(), output);
        if written.is_err() {
            *encoder = lz4_encoder(Vec::new());
        }
        written.map_err(|error| failed(Codec::Lz4, &error))
    })
}

fn failed(codec: Codec, error: &dyn std::fmt::Display) -> Error {
    Error::new(Code::UnknownServerError, format!("compressing with {}: {error}", codec.name()))
}

#[cfg(test)]
mod tests;
