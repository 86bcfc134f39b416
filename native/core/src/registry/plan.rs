//! The layout of the numbers that describe a produce frame's entries.
//!
//! One flat array, [`STRIDE`] numbers an entry, crosses between the event loop and the core: the
//! core fills in where things lie, the loop which topic it is, the core what became of it.

/// Numbers an entry.
pub const STRIDE: usize = 16;
/// The topic's alias, or -1 when it is named.
pub const TOPIC_ALIAS: usize = 0;
/// Where in the frame its name begins (UTF-8).
pub const TOPIC_START: usize = 1;
/// Bytes of its name.
pub const TOPIC_BYTES: usize = 2;
/// The partition asked for; -1: by key.
pub const PARTITION: usize = 3;
/// Sequence number of the first record, or -1.
pub const BASE_SEQUENCE: usize = 4;
/// How the body is to be taken: 0 bytes, 1 MessagePack, 2 batch.
pub const FORMAT: usize = 5;
/// Where in the frame the body begins.
pub const BODY_START: usize = 6;
/// Bytes of the body.
pub const BODY_BYTES: usize = 7;
/// Records of the body; 0 for a batch.
pub const RECORD_COUNT: usize = 8;
/// The topic's number, set by the loop.
pub const TOPIC_HANDLE: usize = 9;
/// Error code; set by the loop to leave the entry alone, else by the core.
pub const CODE: usize = 10;
/// The partition that it went to; -1 when it went to several.
pub const RESULT_PARTITION: usize = 11;
/// Offset of its first record, or -1.
pub const BASE_OFFSET: usize = 12;
/// When it was appended, in milliseconds since the Unix epoch, or -1.
pub const APPEND_TIME_MS: usize = 13;
/// Where its rows in the list of spreads begin.
pub const SPREAD_START: usize = 14;
/// Number of its rows; 0 when it went to one partition.
pub const SPREAD_COUNT: usize = 15;

/// Numbers a row of the list of spreads.
pub const SPREAD_STRIDE: usize = 4;
/// Error code of this partition's part.
pub const SPREAD_CODE: usize = 0;
/// The partition.
pub const SPREAD_PARTITION: usize = 1;
/// Offset of the part's first record, or -1.
pub const SPREAD_BASE_OFFSET: usize = 2;
/// Records of the part.
pub const SPREAD_RECORD_COUNT: usize = 3;
