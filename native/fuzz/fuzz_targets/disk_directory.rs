//! Arbitrary changes of the files of a data directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::directory::mutated(bytes);
});
