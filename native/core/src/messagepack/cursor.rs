//! A bounded reader of MessagePack: it never panics, never recurses and never believes a length.

use rmp::Marker;

const FIX_ARRAY_FIRST: u8 = Marker::FixArray(0).to_u8();
const FIX_ARRAY_LAST: u8 = Marker::FixArray(15).to_u8();
const BIN_8: u8 = Marker::Bin8.to_u8();

/// Why bytes could not be read as what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub &'static str);

impl Fault {
    /// The bytes end inside a value.
    pub const CUT_OFF: Self = Self("the bytes end inside a value");
}

/// A result whose error is [`Fault`].
pub type Parsed<T> = std::result::Result<T, Fault>;

/// A position in MessagePack bytes. After a fault the position is unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the header of an array; returns its length. The length may lie: nothing may be
    /// allocated for it.
    #[inline(always)]
    pub fn array(&mut self) -> Parsed<u32> {
        // The form of nearly all, without a look at the others.
        if let [marker @ FIX_ARRAY_FIRST..=FIX_ARRAY_LAST, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u32::from(marker - FIX_ARRAY_FIRST));
        }
        self.any_array()
    }

    #[inline(never)]
    fn any_array(&mut self) -> Parsed<u32> {
        match self.marker()? {
            Marker::FixArray(length) => Ok(u32::from(length)),
            Marker::Array16 => Ok(u32::from(u16::from_be_bytes(self.take()?))),
            Marker::Array32 => Ok(u32::from_be_bytes(self.take()?)),
            _ => Err(Fault("an array was expected")),
        }
    }

    /// Reads an integer of any width that fits.
    pub fn integer(&mut self) -> Parsed<i64> {
        self.optional_integer()?.ok_or(Fault("an integer was expected, not nil"))
    }

    /// Reads an integer of any width that fits, or nil.
    pub fn optional_integer(&mut self) -> Parsed<Option<i64>> {
        let value = match self.marker()? {
            Marker::FixPos(value) => i64::from(value),
            Marker::FixNeg(value) => i64::from(value),
            Marker::U8 => i64::from(u8::from_be_bytes(self.take()?)),
            Marker::U16 => i64::from(u16::from_be_bytes(self.take()?)),
            Marker::U32 => i64::from(u32::from_be_bytes(self.take()?)),
            Marker::U64 => i64::try_from(u64::from_be_bytes(self.take()?))
                .map_err(|_| Fault("an integer does not fit 64 bits with a sign"))?,
            Marker::I8 => i64::from(i8::from_be_bytes(self.take()?)),
            Marker::I16 => i64::from(i16::from_be_bytes(self.take()?)),
            Marker::I32 => i64::from(i32::from_be_bytes(self.take()?)),
            Marker::I64 => i64::from_be_bytes(self.take()?),
            Marker::Null => return Ok(None),
            _ => return Err(Fault("an integer was expected")),
        };
        Ok(Some(value))
    }

    /// Reads an integer that fits `T`.
    pub fn integer_as<T: TryFrom<i64>>(&mut self) -> Parsed<T> {
        T::try_from(self.integer()?).map_err(|_| Fault("an integer is out of range"))
    }

    /// Reads bin, str (its bytes as they are) or nil.
    #[inline(always)]
    pub fn optional_bytes(&mut self) -> Parsed<Option<&'a [u8]>> {
        match self.short_binary() {
            Some(bytes) => Ok(Some(bytes)),
            None => self.any_bytes(),
        }
    }

    /// Bytes in the form that nearly all have, without a look at the others.
    #[inline(always)]
    fn short_binary(&mut self) -> Option<&'a [u8]> {
        let [BIN_8, length, rest @ ..] = self.rest else {
            return None;
        };
        let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline(never)]
    fn any_bytes(&mut self) -> Parsed<Option<&'a [u8]>> {
        let length = match self.marker()? {
            Marker::FixStr(length) => usize::from(length),
            Marker::Bin8 | Marker::Str8 => usize::from(u8::from_be_bytes(self.take()?)),
            Marker::Bin16 | Marker::Str16 => usize::from(u16::from_be_bytes(self.take()?)),
            Marker::Bin32 | Marker::Str32 => u32::from_be_bytes(self.take()?) as usize,
            Marker::Null => return Ok(None),
            _ => return Err(Fault("bin, str or nil was expected")),
        };
        self.split(length).map(Some)
    }

    /// Reads bin.
    pub fn binary(&mut self) -> Parsed<&'a [u8]> {
        match self.peek()? {
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                self.optional_bytes().map(Option::unwrap_or_default)
            }
            _ => Err(Fault("bin was expected")),
        }
    }

    /// Reads str and checks that it is UTF-8.
    pub fn text(&mut self) -> Parsed<&'a str> {
        match self.peek()? {
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let bytes = self.optional_bytes()?.unwrap_or_default();
                std::str::from_utf8(bytes).map_err(|_| Fault("a str is not UTF-8"))
            }
            _ => Err(Fault("a str was expected")),
        }
    }

    /// The kind of the next value, without reading it.
    pub fn peek(&self) -> Parsed<Marker> {
        self.rest.first().map(|byte| Marker::from_u8(*byte)).ok_or(Fault::CUT_OFF)
    }

    /// Reads one value of any kind and nesting; returns its encoded form.
    pub fn skip(&mut self) -> Parsed<&'a [u8]> {
        let start = self.rest;
        // Values still to be read. Lengths that lie make it large, and the bytes run out first.
        let mut pending = 1_u64;
        while pending > 0 {
            pending -= 1;
            pending += self.skip_flat()?;
        }
        let bytes = start.len() - self.rest.len();
        start.get(..bytes).ok_or(Fault::CUT_OFF)
    }

    /// Reads `count` values of any kind and nesting.
    pub fn skip_many(&mut self, count: u32) -> Parsed<()> {
        (0..count).try_for_each(|_| self.skip().map(|_| ()))
    }

    /// Reads one value without its elements; returns how many there are.
    #[inline]
    fn skip_flat(&mut self) -> Parsed<u64> {
        if self.short_binary().is_some() {
            return Ok(0);
        }
        let bytes = match self.marker()? {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                return Ok(0);
            }
            Marker::FixArray(length) => return Ok(u64::from(length)),
            Marker::Array16 => return Ok(u64::from(u16::from_be_bytes(self.take()?))),
            Marker::Array32 => return Ok(u64::from(u32::from_be_bytes(self.take()?))),
            Marker::FixMap(length) => return Ok(2 * u64::from(length)),
            Marker::Map16 => return Ok(2 * u64::from(u16::from_be_bytes(self.take()?))),
            Marker::Map32 => return Ok(2 * u64::from(u32::from_be_bytes(self.take()?))),
            Marker::FixStr(length) => usize::from(length),
            Marker::Bin8 | Marker::Str8 => usize::from(u8::from_be_bytes(self.take()?)),
            Marker::Bin16 | Marker::Str16 => usize::from(u16::from_be_bytes(self.take()?)),
            Marker::Bin32 | Marker::Str32 => u32::from_be_bytes(self.take()?) as usize,
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 => 2,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            // The type byte of an extension comes in front of its bytes.
            Marker::FixExt1 => 1 + 1,
            Marker::FixExt2 => 1 + 2,
            Marker::FixExt4 => 1 + 4,
            Marker::FixExt8 => 1 + 8,
            Marker::FixExt16 => 1 + 16,
            Marker::Ext8 => 1 + usize::from(u8::from_be_bytes(self.take()?)),
            Marker::Ext16 => 1 + usize::from(u16::from_be_bytes(self.take()?)),
            Marker::Ext32 => (u32::from_be_bytes(self.take()?) as usize).saturating_add(1),
            Marker::Reserved => return Err(Fault("the byte 0xc1 is not MessagePack")),
        };
        self.split(bytes)?;
        Ok(0)
    }

    #[inline]
    fn marker(&mut self) -> Parsed<Marker> {
        let (byte, rest) = self.rest.split_first().ok_or(Fault::CUT_OFF)?;
        self.rest = rest;
        Ok(Marker::from_u8(*byte))
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::CUT_OFF)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn split(&mut self, bytes: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Fault::CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }
}
