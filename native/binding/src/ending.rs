//! The end of the process.
#![expect(unsafe_code, reason = "nothing safe ends a process without calling handlers")]

use napi_derive::napi;

/// Ends the process at once, with an exit code of 0 to 255 and without calling who listens for its
/// end. `process.exit` waits for what the threads of Node's pool are at, as long as a disk that
/// hangs or a recovery takes.
#[napi]
pub fn end_process(code: i32) {
    // SAFETY: it takes a number and does not come back.
    unsafe { libc::_exit(code) }
}
