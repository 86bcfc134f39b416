//! Giving a batch another codec: topics whose `compression.type` is not `producer`.

use super::header::{BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, seal};
use crate::{
    compression::{Codec, compress, decompress},
    error::{Code, Error, Result},
    limits::{BATCH_BYTES_DECOMPRESSED_MAX, BATCH_BYTES_MAX},
};

/// Appends to `output` what `batch`, a valid one, is with `codec`: the same records, and every
/// field of its header as it was but for codec, length and checksum. `level` is as in
/// [`compress`].
///
/// # Errors
/// `MESSAGE_TOO_LARGE` where it has more than `bytes_max` bytes, and those of [`compress`] and
/// [`decompress`]; `output` is then what it was before.
pub fn recompress(
    batch: &[u8],
    codec: Codec,
    level: Option<i32>,
    bytes_max: u64,
    output: &mut Vec<u8>,
) -> Result<()> {
    let start = output.len();
    let written = write(batch, codec, level, bytes_max, output);
    if written.is_err() {
        output.truncate(start);
    }
    written
}

fn write(
    batch: &[u8],
    codec: Codec,
    level: Option<i32>,
    bytes_max: u64,
    output: &mut Vec<u8>,
) -> Result<()> {
    let mut header = BatchHeader::read(batch)?;
    let section = batch.get(HEADER_BYTES..header.batch_bytes()).unwrap_or_default();
    let start = output.len();
    output.extend_from_slice(&[0; HEADER_BYTES]);
    match (header.attributes.codec()?, codec) {
        (Codec::None, _) => compress(codec, level, section, output)?,
        (from, Codec::None) => decompress(from, section, BATCH_BYTES_DECOMPRESSED_MAX, output)?,
        (from, _) => {
            let mut records = Vec::new();
            decompress(from, section, BATCH_BYTES_DECOMPRESSED_MAX, &mut records)?;
            compress(codec, level, &records, output)?;
        }
    }
    let bytes = output.len() - start;
    let bytes_max = bytes_max.min(BATCH_BYTES_MAX);
    if bytes as u64 > bytes_max {
        let detail = format!("{bytes} bytes with codec {}, not {bytes_max}", codec.name());
        return Err(Error::new(Code::MessageTooLarge, detail));
    }
    header.attributes = header.attributes.with_codec(codec);
    // It is bounded above.
    header.length = (bytes - LENGTH_OVERHEAD_BYTES) as i32;
    let written = output.get_mut(start..).unwrap_or_default();
    if let Some((front, rest)) = written.split_first_chunk_mut::<HEADER_BYTES>() {
        header.write(front);
        seal(front, rest);
    }
    Ok(())
}
