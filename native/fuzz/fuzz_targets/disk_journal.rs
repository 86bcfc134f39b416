//! Arbitrary bytes as a group of the flush journal, as they are and with its checksum made right,
//! and as a file of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::disk::journal(bytes);
    millrace_fuzz::disk::journal(&millrace_fuzz::disk::sealed(bytes));
});
