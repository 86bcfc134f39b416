//! The log start offset: the first offset that can be read, raised by whoever deletes records.
//!
//! `start.json` in the partition's directory names it:
//!
//! ```json
//! { "crc": 305419896, "log_start": 4711 }
//! ```
//! `crc` is the CRC-32C of `log_start` in 8 bytes, big-endian. The file is replaced durably before
//! anybody is told, and only then are segments that lie wholly below it removed: whatever a
//! stop leaves of those is removed at the next start. Without the file the log starts
//! where its first segment does.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use serde::{Deserialize, Serialize};

use super::Log;
use crate::{
    batch::header::crc32c,
    env::{
        FileSystem,
        transfer::{read_whole, replace_durably},
    },
    error::{Code, Error, Result},
    segment::Segment,
};

/// The file's name.
pub const FILE_NAME: &str = "start.json";
/// A file larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 4096;
/// What belongs to a segment, the log itself first: without it the others are stale hints. Not so
/// the snapshot of the producers where it begins: it may be the newest.
const SEGMENT_EXTENSIONS: [&str; 4] = ["log", "index", "timeindex", "damage"];

#[derive(Serialize, Deserialize)]
struct StartFile {
    crc: u32,
    log_start: u64,
}

/// The log start that a partition's directory names; `None` where there is no file, or none that
/// can be believed.
///
/// # Errors
/// An I/O error other than a missing file.
pub fn load(files: &dyn FileSystem, directory: &Path) -> io::Result<Option<u64>> {
    let Some(bytes) = read_whole(files, &directory.join(FILE_NAME), FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice::<StartFile>(&bytes).ok();
    Ok(parsed.filter(|file| file.crc == checksum(file.log_start)).map(|file| file.log_start))
}

fn store(files: &dyn FileSystem, directory: &Path, log_start: u64) -> io::Result<()> {
    let file = StartFile { crc: checksum(log_start), log_start };
    let bytes = serde_json::to_vec(&file).map_err(io::Error::other)?;
    replace_durably(files, directory, FILE_NAME, &bytes)
}

fn checksum(log_start: u64) -> u32 {
    crc32c(&log_start.to_be_bytes())
}

/// How many of the segments with these base offsets (rising) lie wholly below `log_start`. The last
/// one never counts: its name tells where the log goes on.
pub(crate) fn count_below(bases: impl Iterator<Item = u64>, log_start: u64) -> usize {
    bases.skip(1).take_while(|next_base| *next_base <= log_start).count()
}

/// Removes a segment's files. Open views of them stay usable.
///
/// # Errors
/// An I/O error; the log itself goes first, so what is left is not taken for a segment.
pub(super) fn remove_files(files: &dyn FileSystem, segment: &Segment) -> io::Result<()> {
    for extension in SEGMENT_EXTENSIONS {
        match files.remove_file(&segment.path(extension)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Segments that are no longer part of their log.
pub(super) struct TakenOut {
    pub(super) segments: u64,
    /// Bytes of their logs.
    pub(super) bytes: u64,
}

impl Log {
    /// Deletes the records before an offset, or every visible one (`None`), and returns the new log
    /// start: as it was where that is further. Durable when it returns. Waits for the disk.
    ///
    /// # Errors
    /// [`Code::OffsetOutOfRange`] beyond the high watermark; the log's poison; why the start
    /// could not be stored, and then it is as it was. Files of whole segments go after
    /// `file.delete.delay.ms`; where one cannot be removed that is tried again.
    pub fn delete_records(self: &Arc<Self>, before: Option<u64>) -> Result<u64> {
        self.check_usable()?;
        let high_watermark = self.high_watermark();
        let target = before.unwrap_or(high_watermark);
        if target > high_watermark {
            let detail = format!("{}: {target} is behind {high_watermark}", self.label);
            return Err(Error::new(Code::OffsetOutOfRange, detail));
        }
        // The segment that is being written goes, too, when the disk needs what it takes.
        if self.shared.space.is_short() && target > 0 {
            self.shared.space.with_reserve(|| self.close_active_at(target))?;
        }
        self.raise_start(target)?;
        Ok(self.log_start.load(Ordering::Acquire))
    }

    /// Makes `target`, which is visible, the log start unless that is further, and takes out what
    /// lies wholly below it. Durable when it returns. Waits for the disk.
    pub(super) fn raise_start(&self, target: u64) -> Result<TakenOut> {
        // Otherwise a power cut could leave a log that ends before it starts.
        if self.flushed.read().offset < target {
            self.flush_now()?;
        }
        let _one_at_a_time = self.upkeep.lock();
        self.check_usable()?;
        if target > self.log_start.load(Ordering::Acquire) {
            let files = &*self.shared.env.files;
            let stored = self.shared.space.with_reserve(|| store(files, &self.directory, target));
            stored.map_err(|error| {
                // It may be there under a name that is not durable: a clean stop is to make it so,
                // or the next start would tell of it and a power cut take it back.
                self.tail.lock().is_directory_dirty = true;
                Error::io(format_args!("storing the log start of {}", self.label), &error)
            })?;
            self.log_start.store(target, Ordering::Release);
        }
        let gone = self.take_segments_below(self.log_start.load(Ordering::Acquire));
        let is_short = self.shared.space.is_short();
        let delay_ms = if is_short { 0 } else { self.config().file_delete_delay_ms };
        let bytes = gone.iter().map(|segment| segment.end_position()).sum();
        let taken_out = TakenOut { segments: gone.len() as u64, bytes };
        for segment in &gone {
            self.shared.windows.forget(segment.id);
        }
        self.shared.deleted.remove_later(&self.shared, gone, delay_ms);
        Ok(taken_out)
    }

    /// Takes out of the log what lies wholly below `log_start` and is not written any more.
    fn take_segments_below(&self, log_start: u64) -> Vec<Arc<Segment>> {
        let mut segments = self.segments.write();
        let below = count_below(segments.iter().map(|segment| segment.base_offset), log_start);
        let finished =
            segments.iter().take(below).take_while(|segment| segment.is_finished()).count();
        let taken_out = segments.drain(..finished).collect();
        drop(segments);
        self.vouched.lock().take();
        taken_out
    }
}
