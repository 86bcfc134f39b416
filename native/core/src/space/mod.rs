//! The space of the disk under a data directory: who may still write, and what is kept back.
//!
//! A full disk must cost nothing but the records that it cannot take. So records are refused
//! before the last of it is used ([`watermarks`]), and a reserve file ([`reserve`]) is given up to
//! whoever makes room. Nothing depends on that being in time: every write may still find the disk
//! full, and is then an error like any other.

mod reserve;
pub mod watermarks;

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    env::{FileSystem, Space},
    error::{Code, Error, Result},
};
use reserve::{Reserve, ReserveFile};
use watermarks::{Level, Watermarks};

/// Errors that may say that the disk is full.
pub trait MaySayFull {
    /// Whether this one does.
    fn says_full(&self) -> bool;
}

impl MaySayFull for io::Error {
    fn says_full(&self) -> bool {
        matches!(self.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

impl MaySayFull for Error {
    fn says_full(&self) -> bool {
        self.code() == Code::DiskFull
    }
}

/// What is known of the space of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceStatus {
    /// How short it is.
    pub level: Level,
    /// As the file system told last.
    pub space: Space,
    /// Bytes of the reserve file.
    pub reserve_bytes: u64,
    /// Appends that were refused since the store was opened.
    pub refusals: u64,
}

/// Watches the space of one data directory. All of it may be called by any thread;
/// only [`check`](Self::check), [`note_appended`](Self::note_appended) and what merely reads
/// never wait for the disk.
pub struct SpaceWatch {
    files: Arc<dyn FileSystem>,
    directory: PathBuf,
    /// The [`Level`] that counts: measured, or foreseen since.
    level: AtomicU8,
    /// What may still be appended before the disk is certain to be looked at as scarce.
    appendable_bytes: AtomicI64,
    total_bytes: AtomicU64,
    available_bytes: AtomicU64,
    reserve_bytes: AtomicU64,
    refusals: AtomicU64,
    state: Mutex<State>,
}

/// What only those look at who ask the file system.
struct State {
    measured: Level,
    reserve: Reserve,
    file: ReserveFile,
}

impl SpaceWatch {
    /// Watches an existing data directory; takes the reserve if there is room for it. Waits for
    /// the disk.
    ///
    /// # Errors
    /// An I/O error other than that the disk is full.
    pub fn open(files: Arc<dyn FileSystem>, data_directory: &Path) -> Result<Arc<Self>> {
        let failed = |error: io::Error| {
            let what = format_args!("looking at the space of {}", data_directory.display());
            Error::io(what, &error)
        };
        let file = ReserveFile::new(data_directory);
        let watch = Self {
            directory: data_directory.to_owned(),
            level: AtomicU8::new(Level::Ample as u8),
            appendable_bytes: AtomicI64::new(i64::MAX),
            total_bytes: AtomicU64::new(Space::UNLIMITED_BYTES),
            available_bytes: AtomicU64::new(Space::UNLIMITED_BYTES),
            reserve_bytes: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            state: Mutex::new(State { measured: Level::Ample, reserve: Reserve::Missing, file }),
            files,
        };
        watch.adopt_reserve().and_then(|()| watch.look()).map_err(failed)?;
        Ok(Arc::new(watch))
    }

    /// Believes in what an earlier broker has left, as far as it has blocks.
    fn adopt_reserve(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let bytes = state.file.bytes_left(&*self.files)?;
        if bytes > 0 {
            state.reserve = match state.file.take(&*self.files, bytes) {
                Err(error) if error.says_full() => Reserve::Missing,
                taken => taken?,
            };
        }
        Ok(())
    }

    /// Asks the file system how it stands, and takes the reserve again where there is room. Waits
    /// for the disk.
    ///
    /// # Errors
    /// Why the space is not known, or why the reserve could not be taken; what is known counts.
    pub fn look(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut space = self.files.space(&self.directory)?;
        let marks = Watermarks::of(space.total_bytes);
        let wanted = marks.reserve.saturating_sub(state.reserve.bytes());
        let mut taken = Ok(());
        // Where taking it leaves as much again: who makes room must not lose it at once.
        if wanted > 0 && state.reserve != Reserve::None && space.available_bytes / 2 >= wanted {
            match state.file.take(&*self.files, marks.reserve) {
                Ok(reserve) => {
                    state.reserve = reserve;
                    space.available_bytes -= wanted.min(reserve.bytes());
                }
                Err(error) => {
                    state.reserve = Reserve::Missing;
                    taken = if error.says_full() { Ok(()) } else { Err(error) };
                }
            }
        }
        self.measure(&mut state, space);
        taken
    }

    fn measure(&self, state: &mut State, space: Space) {
        let marks = Watermarks::of(space.total_bytes);
        state.measured = marks.level(state.measured, space.available_bytes);
        self.publish(state, space, &marks);
    }

    fn publish(&self, state: &State, space: Space, marks: &Watermarks) {
        let level = match (state.measured, state.reserve) {
            (Level::Scarce, Reserve::Missing) if marks.reserve > 0 => Level::Exhausted,
            (level, _) => level,
        };
        let appendable = space.available_bytes.saturating_sub(marks.refuse_below);
        self.total_bytes.store(space.total_bytes, Ordering::Relaxed);
        self.available_bytes.store(space.available_bytes, Ordering::Relaxed);
        self.reserve_bytes.store(state.reserve.bytes(), Ordering::Relaxed);
        let appendable = i64::try_from(appendable).unwrap_or(i64::MAX);
        self.appendable_bytes.store(appendable, Ordering::Relaxed);
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// How short of space the disk is.
    pub fn level(&self) -> Level {
        Level::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Whether space is short: nothing should be allocated ahead, and what is deleted go at once.
    pub fn is_short(&self) -> bool {
        self.level() != Level::Ample
    }

    /// Whether there is no reserve because the file system does not allocate.
    pub fn lacks_allocation(&self) -> bool {
        self.state.lock().reserve == Reserve::None
    }

    /// What is known of it now.
    pub fn status(&self) -> SpaceStatus {
        SpaceStatus {
            level: self.level(),
            space: Space {
                total_bytes: self.total_bytes.load(Ordering::Relaxed),
                available_bytes: self.available_bytes.load(Ordering::Relaxed),
            },
            reserve_bytes: self.reserve_bytes.load(Ordering::Relaxed),
            refusals: self.refusals.load(Ordering::Relaxed),
        }
    }

    /// What is kept free, by the size that the file system had last.
    pub fn watermarks(&self) -> Watermarks {
        Watermarks::of(self.total_bytes.load(Ordering::Relaxed))
    }

    /// Whether something may be appended; `is_internal` for the broker's own topics.
    ///
    /// # Errors
    /// [`Code::DiskFull`], with what there is and what has to happen.
    pub fn check(&self, is_internal: bool) -> Result<()> {
        let level = self.level();
        let refused_from = if is_internal { Level::Exhausted } else { Level::Scarce };
        if level < refused_from {
            return Ok(());
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(Code::DiskFull, self.describe()))
    }

    /// Whether so much may be written by what makes room only when it is done.
    ///
    /// # Errors
    /// [`Code::DiskFull`] where space is short and there is not that much.
    pub fn check_room(&self, bytes: u64) -> Result<()> {
        if self.is_short() && self.status().space.available_bytes < bytes {
            let detail = format!("{bytes} bytes may be needed; {}", self.describe());
            return Err(Error::new(Code::DiskFull, detail));
        }
        Ok(())
    }

    /// The figures, for people.
    pub fn describe(&self) -> String {
        let SpaceStatus { space, reserve_bytes, .. } = self.status();
        let marks = Watermarks::of(space.total_bytes);
        format!(
            "{} of {} bytes are available to {}, and {reserve_bytes} are in reserve; records are \
             refused below {} and taken from {} on",
            space.available_bytes,
            space.total_bytes,
            self.directory.display(),
            marks.refuse_below,
            marks.resume_from
        )
    }

    /// Notes an append: a fast producer fills what there is before anybody looks again.
    pub fn note_appended(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.appendable_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before < bytes {
            self.level.fetch_max(Level::Scarce as u8, Ordering::Relaxed);
        }
    }

    /// A write found the disk full: looks whether that is so, unless another thread does. Asks the
    /// system for no more than its figures.
    pub fn note_full(&self) {
        // Where they cannot be had, the write has failed all the same, and the next may, too.
        if let Some(mut state) = self.state.try_lock()
            && let Ok(space) = self.files.space(&self.directory)
        {
            self.measure(&mut state, space);
        }
    }

    /// Something was deleted: looks now if that may change anything. Waits for the disk.
    pub fn note_freed(&self) {
        if self.is_short() {
            // A second later it is looked again, and told if that fails.
            drop(self.look());
        }
    }

    /// Does what must not fail for want of space, because it makes room or is what an
    /// administrator asks for: where the disk is full, the reserve is given up and `operation` is
    /// tried once more. Waits for the disk.
    ///
    /// # Errors
    /// Those of `operation`, which must bear to be repeated after one that says the disk is full.
    pub fn with_reserve<T, E: MaySayFull>(
        &self,
        mut operation: impl FnMut() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        match operation() {
            Err(error) if error.says_full() && self.give_up_reserve() => operation(),
            result => result,
        }
    }

    /// Gives the reserve up for who found the disk full. Returns whether there may be room now:
    /// another may have given it up meanwhile. Waits for the disk.
    pub fn give_up_reserve(&self) -> bool {
        let mut state = self.state.lock();
        match state.reserve {
            Reserve::None => return false,
            Reserve::Missing => return self.watermarks().reserve > 0,
            Reserve::Kept(_) => {}
        }
        if state.file.give_up(&*self.files).is_err() {
            return false;
        }
        state.reserve = Reserve::Missing;
        // From here on nobody else may have what it leaves, if the disk is as full as it seems.
        match self.files.space(&self.directory) {
            Ok(space) => self.measure(&mut state, space),
            Err(_) => self.level.store(Level::Exhausted as u8, Ordering::Relaxed),
        }
        true
    }
}

#[cfg(test)]
mod tests;
