//! Zigzag varints of Kafka's records: 7 bits a byte, low ones first, sign in the lowest bit. A
//! timestamp delta is a varlong, of 64 bits; all others are varints, which Kafka reads into 32: one
//! of more bytes, though it be filled up with zeroes, is an error to every consumer in Java.

/// Longest varint in bytes.
pub(super) const VARINT_BYTES_MAX: usize = 5;
/// Longest varlong in bytes.
pub(super) const VARLONG_BYTES_MAX: usize = 10;

/// Bytes that `value` takes.
pub(super) fn varint_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The varint at the start of `bytes` and what follows it; `None` when it does not end in time. One
/// of five bytes may have three bits more than 32.
#[inline(always)]
pub(super) fn split_varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    split_within::<VARINT_BYTES_MAX>(bytes)
}

/// The varlong at the start of `bytes` and what follows it; `None` when it does not end in time or
/// has more than 64 bits.
#[inline(always)]
pub(super) fn split_varlong(bytes: &[u8]) -> Option<(i64, &[u8])> {
    split_within::<VARLONG_BYTES_MAX>(bytes)
}

/// Those of one and two bytes, nearly all that there are, are read in place.
#[inline(always)]
fn split_within<const BYTES_MAX: usize>(bytes: &[u8]) -> Option<(i64, &[u8])> {
    match bytes {
        [first, rest @ ..] if *first < 0x80 => Some((unzigzag(u64::from(*first)), rest)),
        [first, second, rest @ ..] if *second < 0x80 => {
            Some((unzigzag(u64::from(first & 0x7f) | u64::from(*second) << 7), rest))
        }
        _ => split_long(bytes).filter(|(_, rest)| bytes.len() - rest.len() <= BYTES_MAX),
    }
}

/// The varint of up to `BYTES_MAX` bytes at the low end of `word`, before its sign is undone, how
/// many bytes it has, and the word without it; `None` where it is longer.
#[inline(always)]
pub(super) fn split_short_varint<const BYTES_MAX: usize>(word: u64) -> Option<(u64, usize, u64)> {
    let mut value = word & 0x7f;
    if word & 0x80 == 0 {
        return Some((value, 1, word >> 8));
    }
    value |= word >> 1 & 0x7f << 7;
    if word & 0x8000 == 0 {
        return Some((value, 2, word >> 16));
    }
    value |= word >> 2 & 0x7f << 14;
    if word & 0x80_0000 == 0 {
        return Some((value, 3, word >> 24));
    }
    value |= word >> 3 & 0x7f << 21;
    if BYTES_MAX == 4 && word & 0x8000_0000 == 0 {
        return Some((value, 4, word >> 32));
    }
    None
}

#[inline(never)]
fn split_long(mut rest: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some((unzigzag(value), rest));
        }
    }
    None
}

/// Up to eight bytes, gathered in a word so that they reach a buffer by one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    word: u64,
    bytes: usize,
}

impl Short {
    /// A varint of up to three bytes; `None` where `value` needs more.
    #[inline(always)]
    pub(super) fn varint(value: i64) -> Option<Self> {
        Self::bits(zigzag(value))
    }

    /// As [`varint`](Self::varint), of a length; `None` is -1, as that of null.
    #[inline(always)]
    pub(super) fn length(length: Option<usize>) -> Option<Self> {
        Self::bits(length.map_or(1, |length| (length as u64) << 1))
    }

    /// As [`varint`](Self::varint), of a number whose sign is in its lowest bit.
    #[inline(always)]
    fn bits(bits: u64) -> Option<Self> {
        if bits < 1 << 7 {
            Some(Self { word: bits, bytes: 1 })
        } else if bits < 1 << 14 {
            Some(Self { word: bits & 0x7f | 0x80 | bits >> 7 << 8, bytes: 2 })
        } else if bits < 1 << 21 {
            let word = bits & 0x7f | 0x80 | (bits >> 7 & 0x7f | 0x80) << 8 | bits >> 14 << 16;
            Some(Self { word, bytes: 3 })
        } else {
            None
        }
    }

    #[inline(always)]
    pub(super) fn byte(byte: u8) -> Self {
        Self { word: u64::from(byte), bytes: 1 }
    }

    /// These bytes and, behind them, those of `next`: no more than eight in all.
    #[inline(always)]
    pub(super) fn then(self, next: Self) -> Self {
        debug_assert!(self.bytes + next.bytes <= size_of::<u64>());
        Self { word: self.word | next.word << (8 * self.bytes), bytes: self.bytes + next.bytes }
    }

    #[inline(always)]
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }

    /// Appends the bytes. To store all eight and shorten the buffer takes less than to copy as many
    /// as there are.
    #[inline(always)]
    pub(super) fn push(self, output: &mut Vec<u8>) {
        let end = output.len() + self.bytes;
        output.extend_from_slice(&self.word.to_le_bytes());
        output.truncate(end);
    }
}

/// Appends a varint.
#[inline]
pub(super) fn push_varint(output: &mut Vec<u8>, value: i64) {
    match Short::varint(value) {
        Some(short) => short.push(output),
        None => push_long_varint(output, value),
    }
}

#[inline(never)]
fn push_long_varint(output: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        output.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    output.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers of one byte as often as those of ten.
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in number(), behind: u8) {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_bytes(value));
            bytes.push(behind);
            let (read, rest) = split_varlong(&bytes).unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(rest, &[behind][..]);
        }

        #[test]
        fn short_ones_are_written_as_long_ones_are(value in number(), before: u8) {
            let mut bytes = vec![before];
            push_long_varint(&mut bytes, value);
            let short = Short::varint(value);
            prop_assert_eq!(short.is_some(), bytes.len() <= 1 + 3);
            if let Some(short) = short {
                let mut together = Vec::new();
                Short::byte(before).then(short).push(&mut together);
                prop_assert_eq!(together, bytes);
            }
        }

        #[test]
        fn lengths_are_written_as_numbers_are(length in prop::option::of(0_usize..1 << 21)) {
            let number = length.map_or(-1, |length| length as i64);
            prop_assert_eq!(Short::length(length), Short::varint(number));
        }

        #[test]
        fn short_ones_are_read_in_a_word_as_elsewhere(word: u64, changes: u64) {
            // Half of the bytes are the last ones of a varint.
            let word = word & !(changes & 0x8080_8080_8080_8080);
            let bytes = word.to_le_bytes();
            let (value, rest) = split_varlong(&bytes).unwrap_or((0, &[]));
            let taken = bytes.len() - rest.len();
            let expected = (zigzag(value), taken, word.checked_shr(8 * taken as u32).unwrap_or(0));
            prop_assert_eq!(split_short_varint::<3>(word), (taken <= 3).then_some(expected));
            prop_assert_eq!(split_short_varint::<4>(word), (taken <= 4).then_some(expected));
        }

        #[test]
        fn short_ones_are_read_as_long_ones_are(
            bytes in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let long = split_long(&bytes);
            let short = long.filter(|(_, rest)| bytes.len() - rest.len() <= VARINT_BYTES_MAX);
            prop_assert_eq!(split_varlong(&bytes), long);
            prop_assert_eq!(split_varint(&bytes), short);
        }
    }

    #[test]
    fn refuses_what_does_not_end_or_does_not_fit() {
        for split in [split_varint, split_varlong] {
            assert_eq!(split(&[]), None);
            assert_eq!(split(&[0x80]), None);
            assert_eq!(split(&[0xff; 10]), None);
        }
        let padded = [0x81, 0x80, 0x80, 0x80, 0x80, 0];
        assert_eq!(split_varint(&padded), None);
        assert_eq!(split_varlong(&padded), Some((-1, &[][..])));
        assert_eq!(split_varint(&[0x81, 0x80, 0x80, 0x80, 0]), Some((-1, &[][..])));
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(split_varlong(&largest), Some((i64::MIN, &[][..])));
        largest[9] = 2;
        assert_eq!(split_varlong(&largest), None);
    }
}
