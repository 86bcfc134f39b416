//! The storage engine of Millrace.
//!
//! Plain Rust: it knows nothing of Node, sockets or topics. `cargo test` alone proves it.

pub mod batch;
pub mod compaction;
pub mod compression;
pub mod env;
pub mod error;
pub mod flush;
mod generated;
pub mod index;
pub mod journal;
pub mod log;
pub mod messagepack;
pub mod metadata;
pub mod pattern;
pub mod producer;
pub mod recovery;
pub mod registry;
pub mod segment;
#[cfg(test)]
mod simulation;
pub mod space;

pub use generated::layout;

/// Hard caps shared with TypeScript.
pub mod limits {
    pub use crate::generated::*;
}
