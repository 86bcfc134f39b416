//! The Node-API face of the storage core.
