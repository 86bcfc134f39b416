//! Kafka record batches, version 2: the one format of the log, of both protocols and of
//! replication. Pure functions over bytes: no I/O, no clock, no threads.

pub mod build;
pub mod header;
pub mod murmur2;
pub mod open;
pub mod recompress;
pub mod records;
mod source;
pub mod validate;
mod varint;

pub use build::{BatchBuilder, Built, Finish};
pub use header::{Attributes, BatchHeader, HEADER_BYTES, Producer, TimestampType};
pub use open::OpenBatch;
pub use recompress::recompress;
pub use records::{Header, Headers, Record, Records, StoredRecord};
pub use validate::{
    Reason, RefusedRecord, Rules, Summary, TimestampRule, validate, validate_within,
};

#[cfg(test)]
mod tests;
