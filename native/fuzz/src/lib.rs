//! What must hold for any bytes, from the network and from the disk. Shared by the fuzz targets and
//! the smoke tests of the core.

pub mod directory;
pub mod disk;
pub mod network;
