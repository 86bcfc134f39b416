//! Arbitrary bytes as a produce frame.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_fuzz::network::frame(bytes));
