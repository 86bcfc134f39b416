//! Log compaction: of the records of a key only the last stays, under its own offset.
//!
//! As Apache Kafka's cleaner. The last offset of every key in the part of a log that is dirty is
//! noted ([`offset_map`]), then each batch is written anew with what is left of it ([`filter`]).
//!
//! Losing a value is the worst that can happen here, so every doubtful case is decided for keeping.

pub mod copy;
pub mod filter;
pub mod offset_map;
pub mod source;
pub mod state;
pub mod throttle;

#[cfg(test)]
mod tests;
