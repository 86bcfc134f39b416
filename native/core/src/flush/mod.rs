//! Durability: who calls fdatasync, when, and who is told.

pub mod budget;
pub mod fair;
mod queue;
pub mod scheduler;
pub mod work;
