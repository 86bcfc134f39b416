//! Zstandard with contexts kept a thread: creating one costs more than a small batch.

use std::{
    cell::{Cell, RefCell},
    io,
};

use zstd::{
    bulk::Compressor,
    zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name},
};

use super::{Codec, failed};
use crate::error::Result;

/// A context that grew beyond this for one frame's window is not kept.
const CONTEXT_BYTES_KEPT_MAX: usize = 4_194_304;

thread_local! {
    static COMPRESSOR: RefCell<Compressor<'static>> = RefCell::new(Compressor::default());
    static DECOMPRESSION: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
    let filled = output.len();
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
    output.resize(filled + compress_bound(input.len()), 0);
    let target = output.get_mut(filled..).unwrap_or_default();
    let written = COMPRESSOR
        .with_borrow_mut(|compressor| {
            compressor.set_compression_level(level)?;
            compressor.compress_to_buffer(input, target)
        })
        .map_err(|error: io::Error| failed(Codec::Zstd, &error))?;
    output.truncate(filled + written);
    Ok(())
}

/// Reads frames one behind the other.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    context: DCtx<'static>,
    frame_is_open: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> io::Result<Self> {
        let mut context = match DECOMPRESSION.take() {
            Some(context) => context,
            None => DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?,
        };
        context.reset(ResetDirective::SessionOnly).map_err(named)?;
        Ok(Self { rest: input, context, frame_is_open: false })
    }
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.frame_is_open || !self.rest.is_empty() {
            let mut output = OutBuffer::around(&mut *buffer);
            let mut input = InBuffer::around(self.rest);
            let hint = self.context.decompress_stream(&mut output, &mut input).map_err(named)?;
            let (taken, written) = (input.pos(), output.pos());
            self.rest = self.rest.get(taken..).unwrap_or_default();
            self.frame_is_open = hint != 0;
            if written > 0 {
                return Ok(written);
            }
            if taken == 0 && self.frame_is_open {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.context.sizeof() <= CONTEXT_BYTES_KEPT_MAX {
            DECOMPRESSION.set(Some(std::mem::take(&mut self.context)));
        }
    }
}

fn named(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}
