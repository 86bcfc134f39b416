//! Zigzag varints of Kafka's records: 7 bits a byte, low ones first, sign in the lowest bit.

/// Longest varint in bytes.
pub(super) const VARINT_BYTES_MAX: usize = 10;

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

/// The varint at the start of `bytes` and what follows it; `None` when it does not end in time or
/// has more than 64 bits. Those of one and two bytes, nearly all that there are, are read in place.
#[inline(always)]
pub(super) fn split_varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    match bytes {
        [first, rest @ ..] if *first < 0x80 => Some((unzigzag(u64::from(*first)), rest)),
        [first, second, rest @ ..] if *second < 0x80 => {
            Some((unzigzag(u64::from(first & 0x7f) | u64::from(*second) << 7), rest))
        }
        _ => split_long_varint(bytes),
    }
}

#[inline(never)]
fn split_long_varint(mut rest: &[u8]) -> Option<(i64, &[u8])> {
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

/// A few varints and bytes gathered on the stack, so that they reach a buffer in one copy.
pub(super) struct Gather<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Gather<N> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// Adds a byte; the caller has sized `N` for all that it adds.
    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        debug_assert!(self.length < N);
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }

    #[inline]
    pub(super) fn varint(&mut self, value: i64) {
        let mut rest = zigzag(value);
        while rest >= 0x80 {
            self.byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(value: i64, behind: u8) {
            let mut gather = Gather::<11>::new();
            gather.varint(value);
            prop_assert_eq!(gather.as_slice().len(), varint_bytes(value));
            gather.byte(behind);
            let (read, rest) = split_varint(gather.as_slice()).unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(rest, &[behind][..]);
        }

        #[test]
        fn short_ones_are_read_as_long_ones_are(
            bytes in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            prop_assert_eq!(split_varint(&bytes), split_long_varint(&bytes));
        }
    }

    #[test]
    fn refuses_what_does_not_end_or_does_not_fit() {
        assert_eq!(split_varint(&[]), None);
        assert_eq!(split_varint(&[0x80]), None);
        assert_eq!(split_varint(&[0xff; 10]), None);
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(split_varint(&largest), Some((i64::MIN, &[][..])));
        largest[9] = 2;
        assert_eq!(split_varint(&largest), None);
    }
}
