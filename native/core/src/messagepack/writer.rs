//! Writing MessagePack into a buffer, each value in its shortest form.

use rmp::Marker;

/// Bytes of [`Writer::array_later`].
pub(super) const ARRAY_LATER_BYTES: usize = 5;

/// Appends values to a buffer.
pub(super) struct Writer<'o> {
    output: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    pub(super) fn new(output: &'o mut Vec<u8>) -> Self {
        Self { output }
    }

    /// Bytes in the buffer, those of earlier writers included.
    pub(super) fn position(&self) -> usize {
        self.output.len()
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.output.reserve(bytes);
    }

    #[inline]
    pub(super) fn array(&mut self, length: u32) {
        match length {
            0..=15 => self.marker(Marker::FixArray(length as u8)),
            16..=0xffff => self.marked(Marker::Array16, (length as u16).to_be_bytes()),
            _ => self.marked(Marker::Array32, length.to_be_bytes()),
        }
    }

    /// An array whose length is written by [`Writer::set_array`] when it is known.
    pub(super) fn array_later(&mut self) {
        self.marked(Marker::Array32, [0; 4]);
    }

    #[inline]
    pub(super) fn integer(&mut self, value: i64) {
        match value {
            0..=0x7f => self.marker(Marker::FixPos(value as u8)),
            0x80..=0xff => self.marked(Marker::U8, [value as u8]),
            0x100..=0xffff => self.marked(Marker::U16, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(Marker::U32, (value as u32).to_be_bytes()),
            0x1_0000_0000.. => self.marked(Marker::U64, value.to_be_bytes()),
            -32..=-1 => self.marker(Marker::FixNeg(value as i8)),
            _ => self.marked(Marker::I64, value.to_be_bytes()),
        }
    }

    /// Bin, or nil for `None`.
    #[inline]
    pub(super) fn binary(&mut self, content: Option<&[u8]>) {
        let Some(content) = content else {
            return self.marker(Marker::Null);
        };
        match content.len() {
            length @ 0..=0xff => self.marked(Marker::Bin8, [length as u8]),
            length @ 0x100..=0xffff => self.marked(Marker::Bin16, (length as u16).to_be_bytes()),
            length => self.marked(Marker::Bin32, (length as u32).to_be_bytes()),
        }
        self.output.extend_from_slice(content);
    }

    pub(super) fn text(&mut self, content: &str) {
        match content.len() {
            length @ 0..=31 => self.marker(Marker::FixStr(length as u8)),
            length @ 32..=0xff => self.marked(Marker::Str8, [length as u8]),
            length @ 0x100..=0xffff => self.marked(Marker::Str16, (length as u16).to_be_bytes()),
            length => self.marked(Marker::Str32, (length as u32).to_be_bytes()),
        }
        self.output.extend_from_slice(content.as_bytes());
    }

    #[inline]
    fn marker(&mut self, marker: Marker) {
        self.output.push(marker.to_u8());
    }

    #[inline]
    fn marked<const N: usize>(&mut self, marker: Marker, bytes: [u8; N]) {
        self.output.push(marker.to_u8());
        self.output.extend_from_slice(&bytes);
    }

    /// Writes the length of the array that [`Writer::array_later`] began at `position`.
    pub(super) fn set_array(&mut self, position: usize, length: u32) {
        let field = self.output.get_mut(position + 1..position + ARRAY_LATER_BYTES);
        if let Some(field) = field {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Forgets what was written from `position` on.
    pub(super) fn truncate(&mut self, position: usize) {
        self.output.truncate(position);
    }
}
