//! Arbitrary bytes as every file of JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::json(bytes);
    millrace_fuzz::disk::damaged_ranges(bytes);
});
