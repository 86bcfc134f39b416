//! Arbitrary bytes as a checkpoint, as they are and with their checksum made right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::checkpoint(bytes);
    millrace_fuzz::disk::checkpoint(&millrace_fuzz::disk::sealed(bytes));
});
