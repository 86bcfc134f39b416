//! Arbitrary bytes as the metadata file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::metadata(bytes);
});
