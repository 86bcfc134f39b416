//! Arbitrary bytes as an index and a time index, as they are and with their checksums made right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::index(bytes, false);
    millrace_fuzz::disk::index(bytes, true);
});
