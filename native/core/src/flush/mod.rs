//! Durability: who calls fdatasync, when, and who is told.

pub mod budget;
pub mod fair;
pub mod figures;
mod queue;
pub mod scheduler;
pub mod work;
