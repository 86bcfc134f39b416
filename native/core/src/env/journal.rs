//! Whether what ext4 calls synced is believed.
//!
//! Where a commit of its journal fails, whoever waits for that very commit is told. Another file
//! whose blocks or size were in it, and whose fdatasync comes to look a moment later, finds that
//! the transaction is not there any more, takes that for its success and answers 0 (seen with Linux
//! 6.18, `jbd2_complete_transaction`): its data is lost, and nobody hears of it. So every sync is
//! followed by asking the journal to begin a change, which it refuses once any commit has failed.
//! Taking away an attribute that nobody has is one, and changes nothing.

#[cfg(target_os = "linux")]
use std::{collections::BTreeMap, sync::Weak};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

#[cfg(target_os = "linux")]
use parking_lot::Mutex;
#[cfg(target_os = "linux")]
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// No file has it.
#[cfg(target_os = "linux")]
const ATTRIBUTE: &str = "user.millrace.none";

/// `EXT4_SUPER_MAGIC` (linux/magic.h). XFS and btrfs tell everyone by themselves.
#[cfg(target_os = "linux")]
const EXT4_MAGIC: u32 = 0xef53;

/// The journal of one mounted ext4, shared by all files on it that are open for writing.
pub(super) struct Journal {
    /// Any directory of it. Asked in place of the file that was synced: the question waits where a
    /// commit under way has the inode, and an append to the file would wait for the question.
    directory: OwnedFd,
}

/// By device number.
#[cfg(target_os = "linux")]
static JOURNALS: Mutex<BTreeMap<u64, Weak<Journal>>> = Mutex::new(BTreeMap::new());

impl Journal {
    /// The journal behind the open file `file`, whose path is `path`; `None` where there is
    /// nothing to ask.
    #[cfg(target_os = "linux")]
    pub(super) fn of(file: &OwnedFd, path: &Path) -> io::Result<Option<Arc<Self>>> {
        let device = rustix::fs::fstat(file)?.st_dev;
        let mut journals = JOURNALS.lock();
        if let Some(journal) = journals.get(&device).and_then(Weak::upgrade) {
            return Ok(Some(journal));
        }
        // The type of f_type differs by machine; every magic number has 32 bits.
        if rustix::fs::fstatfs(file)?.f_type as u32 != EXT4_MAGIC {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = rustix::fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        let journal = Arc::new(Self { directory });
        journals.retain(|_, journal| journal.strong_count() > 0);
        journals.insert(device, Arc::downgrade(&journal));
        Ok(Some(journal))
    }

    /// Other systems have no ext4.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_file: &OwnedFd, _path: &Path) -> io::Result<Option<Arc<Self>>> {
        Ok(None)
    }

    /// Confirms a sync that has just succeeded, of any file or directory of the file system.
    ///
    /// # Errors
    /// The journal has failed: what was synced may be lost.
    pub(super) fn confirm(&self) -> io::Result<()> {
        confirm(&self.directory)
    }
}

/// As [`Journal::confirm`], asked through `file`, which may lie on any file system.
#[cfg(target_os = "linux")]
pub(super) fn confirm(file: impl AsFd) -> io::Result<()> {
    match rustix::fs::fremovexattr(file, ATTRIBUTE) {
        Err(error @ (Errno::IO | Errno::ROFS | Errno::SHUTDOWN | Errno::UCLEAN)) => {
            let kind = io::Error::from(error).kind();
            let what = format!("the file system takes no changes after it was synced: {error}");
            Err(io::Error::new(kind, what))
        }
        // Its absence is the answer of a sound journal. Any other error is not the journal's: it
        // says nothing.
        _ => Ok(()),
    }
}

/// Other systems have no ext4.
#[cfg(not(target_os = "linux"))]
pub(super) fn confirm(_file: impl AsFd) -> io::Result<()> {
    Ok(())
}
