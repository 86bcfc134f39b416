//! The storage engine of Millrace.
//!
//! Plain Rust: it knows nothing of Node, sockets or topics. `cargo test` alone proves it.

pub mod batch;
pub mod compression;
pub mod env;
pub mod error;
mod generated;

/// Hard caps shared with TypeScript.
pub mod limits {
    pub use crate::generated::*;
}
