//! The machine's own file system.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::{
    DirectoryEntry, File, FileSystem, FileSystemKind, OpenMode, Space,
    descriptor::DescriptorFile,
    journal::{self, Journal},
};

/// Mode of new files: the log's records are nobody else's business.
const FILE_MODE: u32 = 0o600;

/// Mode of new directories.
const DIRECTORY_MODE: u32 = 0o700;

/// How often a directory is opened for its sync where there is no descriptor for it.
const OPEN_TRIES: u32 = 10;

/// ... and how far apart.
const OPEN_AGAIN: Duration = Duration::from_millis(20);

/// The machine's own file system. Without state: every call is the system's, and every sync is
/// [confirmed](journal).
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFileSystem;

impl FileSystem for DiskFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let descriptor = open(path, mode)?;
        Ok(Arc::new(match mode {
            OpenMode::Read => DescriptorFile::new(descriptor),
            OpenMode::ReadOnce => DescriptorFile::read_once(descriptor),
            OpenMode::ReadWrite | OpenMode::CreateNew | OpenMode::OpenOrCreate => {
                let journal = Journal::of(&descriptor, path)?;
                DescriptorFile::writable(descriptor, journal)
            }
        }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.list_with_sizes_of(path, "")
    }

    fn list_with_sizes_of(&self, path: &Path, ending: &str) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !name.ends_with(ending) {
                let is_directory = entry.file_type()?.is_dir();
                entries.push(DirectoryEntry { name, is_directory, bytes: 0 });
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => {
                    let is_directory = metadata.is_dir();
                    let bytes = if is_directory { 0 } else { metadata.len() };
                    entries.push(DirectoryEntry { name, is_directory, bytes });
                }
                // Unlinked since its name was read: as if it had been a moment earlier.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = patiently(|| rustix::fs::open(path, flags, Mode::empty()))?;
        rustix::fs::fsync(&directory)?;
        journal::confirm(&directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        // A flock belongs to the open file description, of which this makes a new one: it excludes
        // other threads of this process as well, and goes with the descriptor, also after a kill.
        let file = open(path, OpenMode::OpenOrCreate)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let answer = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: answer.f_blocks.saturating_mul(answer.f_frsize),
            available_bytes: answer.f_bavail.saturating_mul(answer.f_frsize),
        })
    }

    fn kind(&self, path: &Path) -> io::Result<FileSystemKind> {
        Ok(kind(&rustix::fs::statfs(path)?))
    }
}

/// Opens what is to be synced, and tries again where descriptors or memory are short for a moment.
/// A sync that fails is taken for one that has lost what it was to keep; this one has not begun.
fn patiently<T>(mut open: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    for _ in 1..OPEN_TRIES {
        match open() {
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => thread::sleep(OPEN_AGAIN),
            opened => return Ok(opened?),
        }
    }
    Ok(open()?)
}

pub(super) fn open(path: &Path, mode: OpenMode) -> io::Result<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(mode.is_writable()).mode(FILE_MODE);
    match mode {
        OpenMode::Read | OpenMode::ReadOnce | OpenMode::ReadWrite => {}
        OpenMode::CreateNew => {
            options.create_new(true);
        }
        OpenMode::OpenOrCreate => {
            options.create(true);
        }
    }
    Ok(options.open(path)?.into())
}

#[cfg(target_os = "linux")]
fn kind(answer: &rustix::fs::StatFs) -> FileSystemKind {
    // The type of f_type differs by machine and may be signed; every magic number has 32 bits.
    kind_of_magic(answer.f_type as u32)
}

/// The kind that a `statfs` magic number stands for (linux/magic.h and the file systems' sources).
///
/// - overlayfs is as local as its upper layer, and hands fallocate and fsync through to it.
/// - FUSE counts as a network, whatever it shows: what fsync means and whether a mapping is
///   coherent with writes is up to a program that cannot be asked (sshfs, object stores, folders
///   that a virtual machine shares with its host). Block devices mounted by fuseblk cannot be told
///   from it by their number, and are refused too.
/// - f2fs and nilfs2 write out of place: there, too, an overwrite needs free space.
/// - An unknown number is local: new local file systems appear more often than network ones.
#[cfg(target_os = "linux")]
fn kind_of_magic(magic: u32) -> FileSystemKind {
    let network = match magic {
        0x0102_1994 | 0x8584_58f6 => return FileSystemKind::Memory, // tmpfs, ramfs
        // btrfs, zfs, bcachefs, f2fs, nilfs2
        0x9123_683e | 0x2fc1_2fc1 | 0xca45_1a4e | 0xf2f5_2010 | 0x3434 => {
            return FileSystemKind::CopyOnWrite;
        }
        0x6969 => "nfs",
        0x517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        0x00c3_6400 => "ceph",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x7375_7245 => "coda",
        0x564c => "ncpfs",
        0x0bd0_0bd0 => "lustre",
        0x4750_4653 => "gpfs",
        0x1983_0326 => "beegfs",
        0x786f_4256 => "vboxsf",
        0xbacb_acbc => "vmhgfs",
        _ => return FileSystemKind::Local,
    };
    FileSystemKind::Network(network.to_owned())
}

/// The kind by the name that the system gives; APFS is copy-on-write.
#[cfg(target_vendor = "apple")]
fn kind(answer: &rustix::fs::StatFs) -> FileSystemKind {
    let name: Vec<u8> =
        answer.f_fstypename.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    match name.as_slice() {
        b"apfs" => FileSystemKind::CopyOnWrite,
        b"tmpfs" => FileSystemKind::Memory,
        b"hfs" | b"exfat" | b"msdos" => FileSystemKind::Local,
        _ => FileSystemKind::Network(String::from_utf8_lossy(&name).into_owned()),
    }
}

#[cfg(test)]
mod tests;
