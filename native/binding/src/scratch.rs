//! Buffers that JavaScript lends for the duration of one synchronous call.
#![expect(unsafe_code, reason = "typed arrays of the caller are written in place")]

use napi::bindgen_prelude::{Float64ArraySlice, Uint8ArraySlice};

/// The numbers of an array that only the calling thread can reach.
pub(crate) fn numbers<'a>(array: &'a mut Float64ArraySlice<'_>) -> &'a mut [f64] {
    // SAFETY: the call is synchronous and no script runs meanwhile; arrays over shared memory
    // are not handed in (src/storage owns every array that is).
    unsafe { array.as_mut() }
}

/// The bytes of an array that only the calling thread can reach.
pub(crate) fn bytes<'a>(array: &'a mut Uint8ArraySlice<'_>) -> &'a mut [u8] {
    // SAFETY: as above.
    unsafe { array.as_mut() }
}
