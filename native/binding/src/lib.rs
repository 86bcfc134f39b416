//! The Node-API face of the storage core: conversions only, no logic.
//!
//! Stores, topics and channels are small numbers, the same in every thread of the process.
//! A function that returns a promise does its work on a thread of Node's pool; every other one
//! is done in microseconds and may be called from the event loop.
//!
//! Errors are thrown with the message `CODE_NAME\ndetail`, which `src/storage` turns into the
//! project's own error.

pub mod controls;
pub mod datagram;
pub mod ending;
mod error;
mod handles;
pub mod job;
pub mod metadata;
mod panic_report;
pub mod panics;
pub mod produce;
pub mod read;
pub mod repair;
mod scratch;
pub mod space;
pub mod store;
mod wake;
pub mod windows;
