//! Panics of any thread of the process.

use napi_derive::napi;

use crate::panic_report::report_panics_to;

/// Has each panic of this process, on whatever thread, written to a file of its own,
/// `PREFIX-NUMBER.txt`: the thread, the place, the message and a backtrace. It is told on stderr
/// as before, and what comes of the panic is no other. The directory is made when there is
/// something to write; files are their owner's alone. The first ten are kept. To be called once.
#[napi]
pub fn report_panics(prefix: String) {
    report_panics_to(prefix);
}
