//! Arbitrary bytes as a producers' snapshot, as they are and with their checksum made right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::producers(bytes);
    millrace_fuzz::disk::producers(&millrace_fuzz::disk::sealed(bytes));
});
