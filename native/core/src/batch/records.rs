//! The records of a batch, borrowed from its uncompressed records section.
//!
//! ```text
//! record   length varint · attributes i8 · timestamp_delta varint · offset_delta varint ·
//!          key_length varint (-1: null) · key · value_length varint (-1: null) · value ·
//!          header_count varint · headers
//! header   name_length varint · name · value_length varint (-1: null) · value
//! ```

use super::varint::{push_varint, split_varint, split_varlong, varint_bytes};
use crate::{
    error::{Code, Error, Result},
    limits::RECORD_HEADERS_MAX,
};

/// One record, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset minus the batch's base offset; batches that were compacted have holes.
    pub offset_delta: i32,
    /// Timestamp minus the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Headers<'a>,
}

/// One header of a record, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, which should be UTF-8 but is not checked to be.
    pub name: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// A record with the bytes that it is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    /// What the bytes say.
    pub record: Record<'a>,
    /// All of them, with the length in front.
    pub bytes: &'a [u8],
    attributes: u8,
    /// Those from the offset delta on.
    behind_timestamp: &'a [u8],
}

impl StoredRecord<'_> {
    /// Appends the record as it is stored, but for its timestamp delta.
    pub fn write_with_timestamp(&self, timestamp_delta: i64, output: &mut Vec<u8>) {
        let body_bytes = 1 + varint_bytes(timestamp_delta) + self.behind_timestamp.len();
        push_varint(output, body_bytes as i64);
        output.push(self.attributes);
        push_varint(output, timestamp_delta);
        output.extend_from_slice(self.behind_timestamp);
    }
}

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Its offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Records in front of it.
    pub index: u32,
    /// Bytes of the records section in front of it.
    pub position: u32,
}

/// Iterates over the records of one batch. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    remaining: u32,
    index: u32,
}

impl<'a> Records<'a> {
    /// The `count` records that fill `section` exactly. A negative count is an error of the first
    /// step.
    pub fn new(section: &'a [u8], count: i32) -> Self {
        // A negative count becomes one that no section can hold.
        Self { rest: section, remaining: count as u32, index: 0 }
    }

    /// As [`new`](Self::new), but from a record on of which it is known where it begins.
    pub fn from_place(section: &'a [u8], count: i32, place: Place) -> Self {
        let rest = section.get(place.position as usize..).unwrap_or_default();
        Self { rest, remaining: (count as u32).saturating_sub(place.index), index: place.index }
    }

    /// Where records begin, at least `step_bytes` behind each other and behind the first, in rising
    /// order. Looks at the lengths of all records and at little else.
    ///
    /// # Errors
    /// `INVALID_RECORD` where they do not fill the section exactly.
    pub fn places(section: &'a [u8], count: i32, step_bytes: usize) -> Result<Vec<Place>> {
        let mut records = Self::new(section, count);
        let mut places = Vec::new();
        let mut due = step_bytes;
        while records.remaining > 0 {
            let position = section.len() - records.rest.len();
            if position >= due {
                let mut ahead = records.clone();
                let Some(record) = ahead.read_record() else {
                    return Err(records.fail("its lengths do not add up"));
                };
                let (offset_delta, index) = (record.offset_delta, records.index);
                let position = u32::try_from(position)
                    .map_err(|_| Error::new(Code::InvalidRecord, "a section of 4 GiB"))?;
                places.push(Place { offset_delta, index, position });
                due = position as usize + step_bytes;
            }
            records.pass_over(1)?;
        }
        // Whatever is left behind the last record is an error.
        records.next().transpose()?;
        places.shrink_to_fit();
        Ok(places)
    }

    /// Leaves the next `count` records out, looking at nothing but their lengths.
    ///
    /// # Errors
    /// `INVALID_RECORD` when there are not that many.
    pub fn pass_over(&mut self, count: u32) -> Result<()> {
        for _ in 0..count {
            if self.remaining == 0 || self.read_body().is_none() {
                return Err(self.fail("its length does not add up"));
            }
            self.remaining -= 1;
            self.index += 1;
        }
        Ok(())
    }

    /// Records in front of the next one.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The bytes of the next record behind its length.
    #[inline]
    fn read_body(&mut self) -> Option<&'a [u8]> {
        let (body, rest) = split_body(self.rest)?;
        self.rest = rest;
        Some(body)
    }

    /// The next record with its bytes, as [`next`](Iterator::next) has it without.
    pub fn next_stored(&mut self) -> Option<Result<StoredRecord<'a>>> {
        let before = self.rest;
        let record = match self.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let bytes = before.get(..before.len() - self.rest.len()).unwrap_or_default();
        let stored = split_stored(bytes).map(|(attributes, behind_timestamp)| StoredRecord {
            record,
            bytes,
            attributes,
            behind_timestamp,
        });
        Some(stored.ok_or_else(|| self.fail("its lengths do not add up")))
    }

    #[inline]
    fn read_record(&mut self) -> Option<Record<'a>> {
        let (record, rest) = split_record(self.rest)?;
        self.rest = rest;
        Some(record)
    }

    #[cold]
    fn fail(&mut self, what: &str) -> Error {
        self.remaining = 0;
        self.rest = &[];
        Error::new(Code::InvalidRecord, format!("record {}: {what}", self.index))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            if self.rest.is_empty() {
                return None;
            }
            return Some(Err(self.fail("bytes behind the last record")));
        }
        self.remaining -= 1;
        let Some(record) = self.read_record() else {
            return Some(Err(self.fail("its lengths do not add up")));
        };
        self.index += 1;
        Some(Ok(record))
    }
}

/// The headers of one record. Iterating ends after the first error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    remaining: u32,
}

impl<'a> Headers<'a> {
    fn new(rest: &'a [u8], count: i64) -> Option<Self> {
        let remaining = u32::try_from(count).ok()?;
        if u64::from(remaining) > RECORD_HEADERS_MAX || (remaining == 0 && !rest.is_empty()) {
            return None;
        }
        Some(Self { rest, remaining })
    }

    /// Headers that are left.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    fn read_header(&mut self) -> Option<Header<'a>> {
        let (length, rest) = split_varint(self.rest)?;
        let (name, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (value, rest) = split_nullable(rest)?;
        self.rest = rest;
        if self.remaining == 1 && !rest.is_empty() {
            return None;
        }
        Some(Header { name, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        let Some(header) = self.read_header() else {
            self.remaining = 0;
            let detail = "the lengths of a record's headers do not add up";
            return Some(Err(Error::new(Code::InvalidRecord, detail)));
        };
        self.remaining -= 1;
        Some(Ok(header))
    }
}

/// The record at the start of `bytes`, and what follows it. Its headers are not looked at.
#[inline]
pub(super) fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (body, behind) = split_body(bytes)?;
    let (_attributes, body) = body.split_first()?;
    let (timestamp_delta, body) = split_varlong(body)?;
    let (offset_delta, body) = split_varint(body)?;
    let (key, body) = split_nullable(body)?;
    let (value, body) = split_nullable(body)?;
    let (header_count, body) = split_varint(body)?;
    let headers = Headers::new(body, header_count)?;
    let offset_delta = i32::try_from(offset_delta).ok()?;
    Some((Record { offset_delta, timestamp_delta, key, value, headers }, behind))
}

/// The bytes of a record behind its length, and what follows them.
#[inline]
fn split_body(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The attributes of a record, and its bytes from the offset delta on.
fn split_stored(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (_length, body) = split_varint(bytes)?;
    let (attributes, body) = body.split_first()?;
    let (_timestamp_delta, behind) = split_varlong(body)?;
    Some((*attributes, behind))
}

/// Bytes behind a length, or null for -1.
#[inline]
fn split_nullable(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = split_varint(bytes)?;
    if length == -1 {
        return Some((None, rest));
    }
    let (content, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(content), rest))
}
