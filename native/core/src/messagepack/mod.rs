//! MessagePack at the edges of the log: produce frames become batches, batches become deliveries.
//! Pure functions over bytes: no I/O, no clock, no threads.

pub mod cursor;
pub mod deliver;
pub mod envelope;
pub mod produce;
mod writer;

pub use cursor::{Cursor, Fault};
pub use deliver::{
    Damaged, Delivered, DeliveryRequest, OpenBatches, deliver, deliver_opened, replace_front,
};
pub use envelope::{Envelope, Format, ProduceEntry, TopicReference, decode_envelope};
pub use produce::{BuildOptions, Part, Splitter, build_batch};

#[cfg(test)]
mod tests;
