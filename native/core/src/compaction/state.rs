//! `compaction.json` in a partition's directory: how far its log was compacted, and the swap that
//! is under way.
//!
//! ```json
//! { "crc": 305419896, "state": { "holes_below": 4000, "clean_below": 5000,
//!   "swap": { "base": 0, "end": 4000 } } }
//! ```
//! `crc` is the CRC-32C of `state` as compact JSON. Segments whose base offset is below
//! `holes_below` may lack offsets in between; in all others a missing offset is damage. Offsets
//! below `clean_below` hold each key once, but for records that a pass could not decide about: the
//! first of them is not before `undecided_from`, which is left out where there are none. `swap`
//! (or null) names the segments that `BASE.cleaned` takes the place of: it is stored before the
//! first of their files changes, and as long as it stands there a start completes the swap
//! ([`roll_forward`]).

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    batch::header::crc32c,
    env::{
        FileSystem,
        transfer::{read_whole, replace_durably},
    },
    segment::Segment,
};

/// The file's name.
pub const FILE_NAME: &str = "compaction.json";
/// Extension of a segment that was written anew and has not taken its place yet.
pub const CLEANED: &str = "cleaned";
/// A file larger than this is not one of ours.
const FILE_BYTES_MAX: u64 = 4096;
/// What belongs to a segment besides its log.
const HINTS: [&str; 2] = ["index", "timeindex"];

/// The segments that one takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Base offset of the first of them, and of the one in their place.
    pub base: u64,
    /// Base offset of the first segment behind them.
    pub end: u64,
}

/// How far a log was compacted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactionState {
    /// Segments with a smaller base offset may have holes.
    pub holes_below: u64,
    /// The first offset that is dirty.
    pub clean_below: u64,
    /// A swap that may be done in part.
    pub swap: Option<Swap>,
    /// Where a pass first met what it had to leave undecided: a segment that is damaged, or a batch
    /// that cannot be taken apart. Tombstones behind it may have to go on hiding records in it, and
    /// some of its own may never have been noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided_from: Option<u64>,
}

/// What a directory says about compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The file's content, or that there is no file: nothing was compacted.
    State(CompactionState),
    /// The file cannot be believed: every segment may have holes.
    Unreadable,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    crc: u32,
    state: CompactionState,
}

/// What a partition's directory says about compaction.
///
/// # Errors
/// An I/O error other than a missing file.
pub fn load(files: &dyn FileSystem, directory: &Path) -> io::Result<Stored> {
    let path = directory.join(FILE_NAME);
    let Some(bytes) = read_whole(files, &path, FILE_BYTES_MAX)? else {
        return match files.open(&path, crate::env::OpenMode::Read) {
            Ok(_) => Ok(Stored::Unreadable),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Stored::State(CompactionState::default()))
            }
            Err(error) => Err(error),
        };
    };
    let parsed = serde_json::from_slice::<StateFile>(&bytes).ok();
    let sound = parsed.filter(|file| checksum(&file.state).ok() == Some(file.crc));
    Ok(sound.map_or(Stored::Unreadable, |file| Stored::State(file.state)))
}

/// Replaces the file durably.
///
/// # Errors
/// Any I/O error; the directory then says what it said before, or this already.
pub fn store(files: &dyn FileSystem, directory: &Path, state: &CompactionState) -> io::Result<()> {
    let file = StateFile { crc: checksum(state)?, state: *state };
    let bytes = serde_json::to_vec(&file).map_err(io::Error::other)?;
    replace_durably(files, directory, FILE_NAME, &bytes)
}

fn checksum(state: &CompactionState) -> io::Result<u32> {
    serde_json::to_vec(state).map(|bytes| crc32c(&bytes)).map_err(io::Error::other)
}

/// Completes a swap that a stop came in between of, whatever was done of it; done twice it changes
/// nothing. `names` are those in the directory. The swap is over when this has returned, but for
/// the file that tells of it.
///
/// # Errors
/// An I/O error; to be repeated then.
pub fn roll_forward(
    files: &dyn FileSystem,
    directory: &Path,
    names: &[&str],
    swap: Swap,
) -> io::Result<()> {
    let new = Segment::new(directory, swap.base);
    let cleaned = Segment::file_name(swap.base, CLEANED);
    if names.contains(&cleaned.as_str()) {
        files.rename(&directory.join(cleaned), &new.log_path())?;
        // Nothing of what it takes the place of goes before that.
        files.sync_directory(directory)?;
    }
    remove_replaced(files, directory, names.iter().copied(), swap)
}

/// Removes what a segment has taken the place of, durably: the files of segments behind it, and
/// the hints that are not its own. `names` are those in the directory.
///
/// # Errors
/// An I/O error.
pub fn remove_replaced<'n>(
    files: &dyn FileSystem,
    directory: &Path,
    names: impl Iterator<Item = &'n str>,
    swap: Swap,
) -> io::Result<()> {
    let is_replaced = |name: &str| {
        let (stem, extension) = name.split_once('.')?;
        let base: u64 = stem.parse().ok().filter(|_| stem.len() == 20)?;
        let is_inside = base > swap.base
            && base < swap.end
            && (matches!(extension, "log" | "damage") || HINTS.contains(&extension));
        Some(is_inside || (base == swap.base && HINTS.contains(&extension)))
    };
    for name in names.filter(|name| is_replaced(name) == Some(true)) {
        match files.remove_file(&directory.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    files.sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{MemoryFileSystem, OpenMode, transfer::write_full};

    const DIRECTORY: &str = "/p";

    fn directory() -> MemoryFileSystem {
        let files = MemoryFileSystem::new(None);
        files.create_directory(Path::new(DIRECTORY)).unwrap();
        files
    }

    #[test]
    fn is_believed_only_with_its_checksum() {
        let (files, directory) = (directory(), Path::new(DIRECTORY));
        let nothing = Stored::State(CompactionState::default());
        assert_eq!(load(&files, directory).unwrap(), nothing);
        let swap = Some(Swap { base: 10, end: 20 });
        let state =
            CompactionState { holes_below: 20, clean_below: 7, swap, undecided_from: Some(3) };
        store(&files, directory, &state).unwrap();
        assert_eq!(load(&files, directory).unwrap(), Stored::State(state));
        let path = directory.join(FILE_NAME);
        let text = read_whole(&files, &path, 4096).unwrap().unwrap();
        let changed = String::from_utf8(text).unwrap().replace("20", "30");
        let file = files.open(&path, OpenMode::ReadWrite).unwrap();
        write_full(&*file, &[changed.as_bytes()], 0).unwrap();
        assert_eq!(load(&files, directory).unwrap(), Stored::Unreadable);
        file.truncate(5000).unwrap();
        assert_eq!(load(&files, directory).unwrap(), Stored::Unreadable);
    }

    #[test]
    fn a_swap_is_completed_from_wherever_it_stopped() {
        let swap = Swap { base: 10, end: 30 };
        for was_renamed in [false, true] {
            let files = directory();
            let names = [(10, "log"), (10, "index"), (10, "damage"), (20, "log"), (20, "index")];
            let others = [(0, "log"), (0, "index"), (20, "snapshot"), (30, "log"), (30, "index")];
            let cleaned = (10, CLEANED);
            for (base, extension) in names.into_iter().chain(others).chain([cleaned]) {
                let path = Segment::new(Path::new(DIRECTORY), base).path(extension);
                let file = files.open(&path, OpenMode::CreateNew).unwrap();
                write_full(&*file, &[extension.as_bytes()], 0).unwrap();
            }
            let new = Segment::new(Path::new(DIRECTORY), 10);
            if was_renamed {
                files.rename(&new.path(CLEANED), &new.log_path()).unwrap();
            }
            for _ in 0..2 {
                let listed = files.list(Path::new(DIRECTORY)).unwrap();
                let names: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).collect();
                roll_forward(&files, Path::new(DIRECTORY), &names, swap).unwrap();
            }
            assert_eq!(read_whole(&files, &new.log_path(), 100).unwrap().unwrap(), b"cleaned");
            let left: Vec<String> = files
                .list(Path::new(DIRECTORY))
                .unwrap()
                .into_iter()
                .map(|entry| entry.name.trim_start_matches('0').to_owned())
                .collect();
            // What is known of its damage may be about the new file.
            let stay =
                [".index", ".log", "10.damage", "10.log", "20.snapshot", "30.index", "30.log"];
            assert_eq!(left, stay);
        }
    }
}
