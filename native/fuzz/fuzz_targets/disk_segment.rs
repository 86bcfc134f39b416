//! Arbitrary bytes as a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::segment(bytes);
});
