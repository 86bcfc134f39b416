//! Making durable what a process before this one wrote.
//!
//! When an fdatasync fails the kernel takes the pages for written: a later process reads them, its
//! own fdatasync succeeds, and yet they are not on the disk. So after a stop that was not clean,
//! everything that no fdatasync is known to have covered is written once more before it is
//! believed.

use std::io;

use crate::env::{
    File,
    transfer::{read_full, write_full},
};

const STEP_BYTES: u64 = 1 << 20;

/// Writes the bytes `from..to` of a file over themselves, so that the next fdatasync covers them.
/// They show the same bytes all the while, also after a power cut, as far as they were durable.
///
/// # Errors
/// Any I/O error.
pub fn rewrite(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let step_bytes = to.saturating_sub(from).min(STEP_BYTES);
    let mut buffer = vec![0; usize::try_from(step_bytes).map_err(io::Error::other)?];
    let mut position = from;
    while position < to {
        let wanted = usize::try_from((to - position).min(STEP_BYTES)).map_err(io::Error::other)?;
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        let read = read_full(file, chunk, position)?;
        if read == 0 {
            return Ok(());
        }
        write_full(file, &[chunk.get(..read).unwrap_or_default()], position)?;
        position += read as u64;
    }
    Ok(())
}
