//! A batch taken apart, so that reading it piece by piece does not begin at its start each time.

use super::{
    header::{BatchHeader, HEADER_BYTES},
    records::{Place, Records},
};
use crate::{
    compression::{Codec, decompress},
    error::Result,
};

/// Bytes of records between two of which it is remembered where they begin.
const PLACE_STEP_BYTES: usize = 4096;

/// The records of a batch as they are without compression, and where some of them begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBatch {
    /// `None`: they are stored so.
    expanded: Option<Vec<u8>>,
    /// In rising order, without the first.
    places: Vec<Place>,
}

impl OpenBatch {
    /// Takes `batch` apart, whose checksum was verified, if its records do not expand beyond
    /// `decompressed_bytes_max`.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE` when they do; `CORRUPT_MESSAGE`, `INVALID_RECORD` or
    /// `UNSUPPORTED_COMPRESSION_TYPE` for what cannot be taken apart.
    pub fn new(header: &BatchHeader, batch: &[u8], decompressed_bytes_max: u64) -> Result<Self> {
        let codec = header.attributes.codec()?;
        let stored = stored_section(header, batch);
        if codec == Codec::None {
            let places = Records::places(stored, header.record_count, PLACE_STEP_BYTES)?;
            return Ok(Self { expanded: None, places });
        }
        let mut section = Vec::new();
        decompress(codec, stored, decompressed_bytes_max, &mut section)?;
        section.shrink_to_fit();
        let places = Records::places(&section, header.record_count, PLACE_STEP_BYTES)?;
        Ok(Self { expanded: Some(section), places })
    }

    /// The records section; `batch` is what this was made from.
    pub fn section<'a>(&'a self, header: &BatchHeader, batch: &'a [u8]) -> &'a [u8] {
        self.expanded.as_deref().unwrap_or_else(|| stored_section(header, batch))
    }

    /// A place from which a reader of `offset_delta` gets there soon: not behind the record.
    pub fn place_before(&self, offset_delta: i64) -> Place {
        let is_before = |place: &Place| i64::from(place.offset_delta) <= offset_delta;
        let count = self.places.partition_point(is_before);
        count.checked_sub(1).and_then(|index| self.places.get(index)).copied().unwrap_or_default()
    }

    /// Bytes that it expanded to; 0 when the records are stored as they are.
    pub fn expanded_bytes(&self) -> u64 {
        self.expanded.as_ref().map_or(0, |section| section.len() as u64)
    }

    /// Memory that it takes, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let section = self.expanded.as_ref().map_or(0, Vec::capacity);
        (section + self.places.capacity() * size_of::<Place>() + size_of::<Self>()) as u64
    }
}

/// The records section of a batch as it is stored.
fn stored_section<'a>(header: &BatchHeader, batch: &'a [u8]) -> &'a [u8] {
    batch.get(HEADER_BYTES..header.batch_bytes()).unwrap_or_default()
}
