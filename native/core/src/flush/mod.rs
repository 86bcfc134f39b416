//! Durability: who calls fdatasync, when, and who is told.

pub mod budget;
pub mod fair;
pub mod scheduler;
pub mod work;
