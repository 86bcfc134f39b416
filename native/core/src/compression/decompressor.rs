//! One bounded reader over whatever a batch is compressed with.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

use super::{Codec, lz4, snappy, zstandard};
use crate::error::{Code, Error, Result};

/// Decompresses piece by piece, up to a number of bytes. After an error it is of no more use.
pub struct Decompressor<'a> {
    codec: Codec,
    decoder: Decoder<'a>,
    bytes_left: u64,
}

enum Decoder<'a> {
    Plain(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy::Reader<'a>),
    Lz4(lz4::Reader<'a>),
    Zstd(zstandard::Reader<'a>),
}

impl<'a> Decompressor<'a> {
    /// A reader of `input` that refuses to produce more than `bytes_max` bytes.
    ///
    /// # Errors
    /// `UNKNOWN_SERVER_ERROR` when there is no memory for the codec.
    pub fn new(codec: Codec, input: &'a [u8], bytes_max: u64) -> Result<Self> {
        let decoder = match codec {
            Codec::None => Decoder::Plain(input),
            Codec::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Codec::Snappy => Decoder::Snappy(snappy::Reader::new(input)),
            Codec::Lz4 => Decoder::Lz4(lz4::Reader::new(input)),
            Codec::Zstd => Decoder::Zstd(
                zstandard::Reader::new(input).map_err(|error| super::failed(codec, &error))?,
            ),
        };
        Ok(Self { codec, decoder, bytes_left: bytes_max })
    }

    /// Reads into `buffer`, which is not empty; 0 only at the end of the input.
    ///
    /// # Errors
    /// `CORRUPT_MESSAGE` for damaged, truncated or trailing input; `MESSAGE_TOO_LARGE` when there
    /// is more than the bound.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let codec = self.codec;
        let read = match &mut self.decoder {
            Decoder::Plain(rest) => rest.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Snappy(reader) => Ok(reader.read(buffer, self.bytes_left)?),
            Decoder::Lz4(reader) => Ok(reader.read(buffer, self.bytes_left)?),
            Decoder::Zstd(reader) => reader.read(buffer),
        };
        let read = read.map_err(|error| damaged(codec, &error))?;
        let bytes_left = self.bytes_left.checked_sub(read as u64);
        self.bytes_left = bytes_left.unwrap_or(0);
        if bytes_left.is_none() {
            return Err(too_large(codec));
        }
        Ok(read)
    }

    /// How many bytes more it would produce at most.
    pub fn bytes_left(&self) -> u64 {
        self.bytes_left
    }
}

/// Copies as much as there is of one and room in the other; returns how many bytes.
pub(super) fn copy_some(source: &[u8], target: &mut [u8]) -> usize {
    let bytes = source.len().min(target.len());
    if let (Some(target), Some(source)) = (target.get_mut(..bytes), source.get(..bytes)) {
        target.copy_from_slice(source);
    }
    bytes
}

pub(super) fn too_large(codec: Codec) -> Error {
    let detail = format!("its {} data expands beyond what a batch may hold", codec.name());
    Error::new(Code::MessageTooLarge, detail)
}

pub(super) fn damaged(codec: Codec, error: &dyn std::fmt::Display) -> Error {
    Error::new(Code::CorruptMessage, format!("{}: {error}", codec.name()))
}
