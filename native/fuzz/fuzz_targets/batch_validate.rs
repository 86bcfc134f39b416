//! Arbitrary bytes as a record batch, as they are and with their checksum made right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    millrace_fuzz::network::batch(bytes);
    millrace_fuzz::network::batch(&millrace_fuzz::network::sealed(bytes));
});
