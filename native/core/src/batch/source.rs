//! The records of a batch as they are checked: where they lie, and what is looked at of them. One
//! that is in memory as a whole is taken apart as a slice, [`split_plain`] for nearly all and
//! [`split_whole`] for the others; [`Source::record`] reads what is not, or is not in order, field
//! by field.

use super::{
    records::split_record,
    varint::{VARLONG_BYTES_MAX, split_short_varint, split_varint, split_varlong, unzigzag},
};
use crate::{
    compression::Decompressor,
    error::{Code, Error, Result},
    limits::RECORD_HEADERS_MAX,
};

/// What is looked at of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i64,
    pub(super) has_key: bool,
}

/// Why a batch is refused whatever its topic accepts: small, so that the loop over the records
/// stays fast.
#[derive(Debug)]
pub(super) enum Fault {
    Invalid(&'static str),
    Source(Box<Error>),
}

pub(super) type Scanned<T> = std::result::Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Source(Box::new(error))
    }
}

/// Bytes that [`split_plain`] looks at together: a length of two and, of what follows, the
/// attributes and deltas of four and three.
const FRONT_BYTES: usize = 2 + 1 + 4 + 3;
/// The varint of null's length, -1.
const NULL_LENGTH: usize = 1;

/// The timestamp delta of the record at the start of `bytes`, and what follows it, if it is of the
/// most frequent kind: no headers, key and value below 8 KiB, a timestamp delta of up to 37 hours.
/// `None` where it is of another, has not the offset delta `index`, lacks a key that it needs, or
/// is not in order.
///
/// One load of eight bytes stands for all that comes in front of the key, and no sign is undone but
/// that of the timestamp delta: a broker does little else as often.
#[inline(always)]
pub(super) fn split_plain(bytes: &[u8], index: u32, needs_key: bool) -> Option<(i64, &[u8])> {
    let (length, front, rest) = match bytes.first_chunk::<FRONT_BYTES>()? {
        [first, front @ .., _] if *first < 0x80 => (usize::from(*first), front, bytes.get(1..)?),
        [first, second, front @ ..] if *second < 0x80 => {
            (long_length(*first, *second), front, bytes.get(2..)?)
        }
        _ => return None,
    };
    // Rotated, the sign of a negative length makes it one that no slice has.
    let (body, behind) = rest.split_at_checked(length.rotate_right(1))?;
    // The attributes of a record are unused.
    let word = u64::from_le_bytes(*front) >> 8;
    let (timestamp_delta, timestamp_bytes, word) = split_short_varint::<4>(word)?;
    let (offset_delta, offset_bytes, _) = split_short_varint::<3>(word)?;
    if offset_delta != u64::from(index) << 1 {
        return None;
    }
    let (key_length, key_at) = split_length(body, 1 + timestamp_bytes + offset_bytes)?;
    if key_length & 1 != 0 && (key_length != NULL_LENGTH || needs_key) {
        return None;
    }
    let (value_length, value_at) = split_length(body, key_at + (key_length >> 1))?;
    let value_length = if value_length == NULL_LENGTH { 0 } else { value_length };
    // Behind the value stands a single zero, the count of headers.
    if 2 * value_at + value_length + 2 != length || body.last() != Some(&0) {
        return None;
    }
    Some((unzigzag(timestamp_delta), behind))
}

/// The varint of one or two bytes at `at`, before its sign is undone, and where it ends.
#[inline(always)]
fn split_length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    match bytes.get(at..at + 2)? {
        [first, _] if *first < 0x80 => Some((usize::from(*first), at + 1)),
        [first, second] if *second < 0x80 => Some((long_length(*first, *second), at + 2)),
        _ => None,
    }
}

#[inline(always)]
fn long_length(first: u8, second: u8) -> usize {
    usize::from(first & 0x7f) | usize::from(second) << 7
}

/// The record at the start of `bytes`, and what follows it; `None` where that does not hold it as a
/// whole and in order.
#[inline(never)]
pub(super) fn split_whole(bytes: &[u8]) -> Option<(Fields, &[u8])> {
    let (record, behind) = split_record(bytes)?;
    for header in record.headers {
        header.ok()?;
    }
    let fields = Fields {
        timestamp_delta: record.timestamp_delta,
        offset_delta: i64::from(record.offset_delta),
        has_key: record.key.is_some(),
    };
    Some((fields, behind))
}

/// Bytes of a records section: all of them, or a window that is refilled by a decompressor.
/// `start..end` of `bytes` is what is there and not yet taken.
pub(super) struct Source<'a, 'w> {
    bytes: Bytes<'a, 'w>,
    start: usize,
    end: usize,
    /// Bytes taken before `start` became 0 last.
    before: u64,
}

enum Bytes<'a, 'w> {
    Whole(&'a [u8]),
    Streamed { decompressor: Decompressor<'a>, window: &'w mut [u8] },
}

impl<'a, 'w> Source<'a, 'w> {
    pub(super) fn whole(section: &'a [u8]) -> Self {
        Self { bytes: Bytes::Whole(section), start: 0, end: section.len(), before: 0 }
    }

    pub(super) fn streamed(decompressor: Decompressor<'a>, window: &'w mut [u8]) -> Self {
        let bytes = Bytes::Streamed { decompressor, window };
        Self { bytes, start: 0, end: 0, before: 0 }
    }

    /// What the decompressor may still produce.
    pub(super) fn bytes_left(&self) -> u64 {
        match &self.bytes {
            Bytes::Whole(_) => 0,
            Bytes::Streamed { decompressor, .. } => decompressor.bytes_left(),
        }
    }

    /// Bytes taken so far.
    #[inline]
    fn position(&self) -> u64 {
        self.before + self.start as u64
    }

    /// What is there and not yet taken.
    pub(super) fn pending(&self) -> &[u8] {
        let bytes = match &self.bytes {
            Bytes::Whole(section) => section,
            Bytes::Streamed { window, .. } => &**window,
        };
        bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes what is pending, but for the last `rest` bytes.
    pub(super) fn take_all_but(&mut self, rest: usize) {
        self.start = self.end - rest;
    }

    /// Takes a record, whatever it looks like.
    pub(super) fn record(&mut self) -> Scanned<Fields> {
        let length = self.varint()?;
        let end = self.position().wrapping_add(length as u64);
        // The attributes of a record are unused.
        self.skip(1)?;
        let timestamp_delta = self.number(split_varlong)?;
        let offset_delta = self.varint()?;
        let key_bytes = self.varint()?;
        self.skip_nullable(key_bytes)?;
        let value_bytes = self.varint()?;
        self.skip_nullable(value_bytes)?;
        let header_count = self.varint()?;
        self.skip_headers(header_count)?;
        if self.position() != end {
            return Err(Fault::Invalid("its fields do not fill its length"));
        }
        Ok(Fields { timestamp_delta, offset_delta, has_key: key_bytes >= 0 })
    }

    fn skip_headers(&mut self, count: i64) -> Scanned<()> {
        if !(0..=RECORD_HEADERS_MAX as i64).contains(&count) {
            return Err(Fault::Invalid("a header count that is negative or too large"));
        }
        for _ in 0..count {
            let name_bytes = self.varint()?;
            if name_bytes < 0 {
                return Err(Fault::Invalid("a header without a name"));
            }
            self.skip(name_bytes as u64)?;
            let value_bytes = self.varint()?;
            self.skip_nullable(value_bytes)?;
        }
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Scanned<i64> {
        self.number(split_varint)
    }

    #[inline(always)]
    fn number(&mut self, split: impl Fn(&[u8]) -> Option<(i64, &[u8])>) -> Scanned<i64> {
        if self.end - self.start < VARLONG_BYTES_MAX {
            self.refill()?;
        }
        let pending = self.pending();
        let Some((value, rest)) = split(pending) else {
            return Err(Fault::Invalid("a length is cut off or too long"));
        };
        let taken = pending.len() - rest.len();
        self.start += taken;
        Ok(value)
    }

    #[inline]
    fn skip_nullable(&mut self, bytes: i64) -> Scanned<()> {
        match bytes {
            0.. => self.skip(bytes as u64),
            -1 => Ok(()),
            _ => Err(Fault::Invalid("a negative length")),
        }
    }

    #[inline]
    fn skip(&mut self, bytes: u64) -> Scanned<()> {
        if bytes <= (self.end - self.start) as u64 {
            self.start += bytes as usize;
            return Ok(());
        }
        self.skip_far(bytes)
    }

    fn skip_far(&mut self, mut bytes: u64) -> Scanned<()> {
        loop {
            let step = bytes.min((self.end - self.start) as u64);
            self.start += step as usize;
            bytes -= step;
            if bytes == 0 {
                return Ok(());
            }
            if self.refill()? == 0 {
                return Err(Fault::Invalid("it is cut off"));
            }
        }
    }

    /// Makes at least a varint's worth of bytes pending unless the end is nearer; returns how many
    /// bytes came.
    #[cold]
    fn refill(&mut self) -> Result<usize> {
        let Bytes::Streamed { decompressor, window } = &mut self.bytes else {
            return Ok(0);
        };
        window.copy_within(self.start..self.end, 0);
        self.before += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        let mut came = 0;
        while self.end < VARLONG_BYTES_MAX {
            let free = window.get_mut(self.end..).unwrap_or_default();
            let read = decompressor.read(free)?;
            if read == 0 {
                break;
            }
            self.end += read;
            came += read;
        }
        Ok(came)
    }

    /// Checks that nothing is left; returns how many bytes there were.
    pub(super) fn finish(&mut self) -> Result<u64> {
        let came = self.refill()?;
        if came > 0 || self.start != self.end {
            return Err(Error::new(Code::InvalidRecord, "bytes behind the last record"));
        }
        Ok(self.position())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::varint::push_varint, *};
    use proptest::prelude::*;

    type Content = Option<Vec<u8>>;

    fn push_content(output: &mut Vec<u8>, content: &Content) {
        push_varint(output, content.as_ref().map_or(-1, |content| content.len() as i64));
        output.extend(content.iter().flatten());
    }

    /// A record as it is stored.
    fn stored(numbers: (i64, i64), contents: [&Content; 2], headers: &[[Content; 2]]) -> Vec<u8> {
        let mut body = vec![0];
        push_varint(&mut body, numbers.0);
        push_varint(&mut body, numbers.1);
        for content in contents {
            push_content(&mut body, content);
        }
        push_varint(&mut body, headers.len() as i64);
        for content in headers.iter().flatten() {
            push_content(&mut body, content);
        }
        let mut record = Vec::new();
        push_varint(&mut record, body.len() as i64);
        record.extend(body);
        record
    }

    fn content(bytes_max: usize) -> impl Strategy<Value = Content> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..=bytes_max))
    }

    fn headers() -> impl Strategy<Value = Vec<[Content; 2]>> {
        let name = prop::collection::vec(any::<u8>(), 0..80).prop_map(Some);
        prop::collection::vec((name, content(80)).prop_map(|(name, value)| [name, value]), 0..4)
    }

    /// Numbers of one byte as often as those of four.
    fn number(bits_max: u32) -> impl Strategy<Value = i64> {
        (any::<i64>(), 64 - bits_max..64).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #[test]
        fn plain_records_are_taken_at_once(
            timestamp_delta in number(28),
            index in 0_u32..1 << 20,
            contents in (content(9_000), content(300)),
            needs_key: bool,
            behind in prop::collection::vec(any::<u8>(), 4..12),
        ) {
            let (key, value) = contents;
            let bytes = stored((timestamp_delta, i64::from(index)), [&key, &value], &[]);
            let section = [&bytes[..], &behind].concat();
            let taken = split_plain(&section, index, needs_key);
            let is_plain = bytes.len() < 8_000 && (key.is_some() || !needs_key);
            if is_plain {
                prop_assert_eq!(taken, Some((timestamp_delta, &behind[..])));
            }
            prop_assert_eq!(split_plain(&section, index + 1, needs_key), None);
        }

        #[test]
        fn whole_records_are_taken_at_once(
            numbers in (number(64), any::<i32>().prop_map(i64::from)),
            contents in (content(300), content(9_000)),
            headers in headers(),
            behind in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let bytes = stored(numbers, [&contents.0, &contents.1], &headers);
            let section = [&bytes[..], &behind].concat();
            let (timestamp_delta, offset_delta) = numbers;
            let fields = Fields { timestamp_delta, offset_delta, has_key: contents.0.is_some() };
            prop_assert_eq!(split_whole(&section), Some((fields, &behind[..])));
        }

        // Whatever the quick ways take the careful one takes, too, and sees the same in it.
        #[test]
        fn what_is_taken_at_once_is_what_careful_reading_takes(
            timestamp_delta in number(64),
            index in 0_u32..200,
            contents in (content(300), content(300)),
            headers in headers(),
            changes in prop::collection::vec((0_usize..24, any::<u8>()), 0..3),
            bytes_left in any::<prop::sample::Index>(),
            needs_key: bool,
        ) {
            let numbers = (timestamp_delta, i64::from(index));
            let mut section = stored(numbers, [&contents.0, &contents.1], &headers);
            for (at, byte) in changes {
                let at = at % section.len();
                section[at] = byte;
            }
            // Now and then cut off.
            section.truncate((bytes_left.index(section.len()) * 8).max(1));
            let mut source = Source::whole(&section);
            let careful = source.record().ok().map(|fields| (fields, source.pending()));
            let plain = split_plain(&section, index, needs_key);
            if let Some((timestamp_delta, behind)) = plain {
                let (fields, careful_behind) = careful.as_ref().unwrap();
                prop_assert_eq!(timestamp_delta, fields.timestamp_delta);
                prop_assert_eq!(i64::from(index), fields.offset_delta);
                prop_assert!(fields.has_key || !needs_key);
                prop_assert_eq!(&behind, careful_behind);
            }
            // An offset delta that no batch can have is left to careful reading.
            let whole = careful.filter(|(fields, _)| i32::try_from(fields.offset_delta).is_ok());
            prop_assert_eq!(split_whole(&section), whole);
        }
    }
}
