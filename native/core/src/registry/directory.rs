//! The layout of a data directory, and who may use it.
//!
//! ```text
//! LOCK                          held by the broker that uses the directory
//! format.json                   format version and cluster id
//! metadata.redb  checkpoint  reserve
//! journal/                      what was flushed and is not synced in the logs' files yet
//! logs/TOPIC_ID/PARTITION/      partition.json and the log's files
//! set-aside/                    directories that no topic claimed
//! ```

use std::{
    io::{self, ErrorKind},
    ops::Range,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    format::{FORMAT_VERSION_NEWEST, Format},
    side_by_side::try_side_by_side,
};
use crate::{
    env::{
        Env, FileSystemKind, OpenMode,
        transfer::{read_if_readable, replace_durably},
    },
    error::{Code, Error, Result},
    space::SpaceWatch,
};

const LOCK_FILE: &str = "LOCK";
pub(crate) const PARTITION_FILE: &str = "partition.json";
pub(crate) const LOGS: &str = "logs";
pub(crate) const SET_ASIDE: &str = "set-aside";
const JSON_BYTES_MAX: u64 = 64 << 10;

/// `partition.json`: whose directory this is, so that the catalogue can be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFile {
    /// Format version of the data directory when the partition was created.
    pub format_version: u32,
    /// The topic's name when the partition was created.
    pub topic: String,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's number.
    pub partition: u32,
}

impl PartitionFile {
    /// Reads the file of a partition's directory; `None` when it is missing or not readable.
    ///
    /// # Errors
    /// An I/O error other than a missing file, and other than that the disk does not read it.
    pub fn load(env: &Env, directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(PARTITION_FILE);
        let bytes = read_if_readable(&*env.files, &path, JSON_BYTES_MAX)
            .map_err(|error| Error::io(format_args!("reading {}", path.display()), &error))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// An open, locked data directory.
pub struct DataDirectory {
    /// Its path.
    pub path: PathBuf,
    /// Names the cluster that the data belongs to.
    pub cluster_id: String,
    /// What `format.json` says; held while it is replaced.
    format: Mutex<Format>,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

impl DataDirectory {
    /// Creates or opens `path` and locks it.
    ///
    /// # Errors
    /// - [`Code::UnsuitableFileSystem`] across a network.
    /// - [`Code::DataDirectoryInUse`] when another broker has the lock.
    /// - [`Code::DataDirectoryNewer`], [`Code::DataDamaged`] for its format file.
    pub fn open(env: &Env, path: &Path) -> Result<Self> {
        let failed =
            |error: io::Error| Error::io(format_args!("opening {}", path.display()), &error);
        env.files.create_directory(path).map_err(failed)?;
        sync_ancestors(env, path).map_err(failed)?;
        if let FileSystemKind::Network(name) = env.files.kind(path).map_err(failed)? {
            let detail = format!(
                "{} is on {name}: its fsync and locks do not keep what a log needs; \
                 use a local disk",
                path.display()
            );
            return Err(Error::new(Code::UnsuitableFileSystem, detail));
        }
        let lock = env.files.lock(&path.join(LOCK_FILE)).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                Error::new(Code::DataDirectoryInUse, path.display().to_string())
            }
            _ => failed(error),
        })?;
        let format = match Format::load(env, path)? {
            Some(format) => format,
            None => {
                let format = Format::new(env);
                format.store(env, path)?;
                format
            }
        };
        env.files.create_directory(&path.join(LOGS)).map_err(failed)?;
        env.files.sync_directory(path).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            cluster_id: format.cluster_id.clone(),
            format: Mutex::new(format),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// The directory's format version.
    pub fn format_version(&self) -> u32 {
        self.format.lock().format_version
    }

    /// Raises the directory's format to `version` where it is older, durably: to be called before
    /// anything is stored that earlier code would read wrongly. From then on that code refuses the
    /// directory.
    ///
    /// # Errors
    /// - [`Code::InvalidArgument`] for a version that this code does not know itself.
    /// - Why the file could not be replaced. What needs the version must not be stored then; the
    ///   caller may try again.
    pub fn require_format(&self, env: &Env, version: u32) -> Result<()> {
        if version > FORMAT_VERSION_NEWEST {
            let detail = format!("format {version} is not known");
            return Err(Error::new(Code::InvalidArgument, detail));
        }
        let mut format = self.format.lock();
        if format.format_version >= version {
            return Ok(());
        }
        let raised = format.raised_to(version);
        raised.store(env, &self.path)?;
        *format = raised;
        Ok(())
    }

    /// Lets others use the directory; nothing may touch it through this object afterwards.
    pub fn unlock(&self) {
        drop(self.lock.lock().take());
    }

    /// Directory of a topic.
    pub fn topic(&self, topic_id: Uuid) -> PathBuf {
        self.path.join(LOGS).join(topic_id.to_string())
    }

    /// Directory of a partition.
    pub fn partition(&self, topic_id: Uuid, partition: u32) -> PathBuf {
        self.topic(topic_id).join(partition.to_string())
    }

    /// Creates the directories of partitions, durably, on up to `threads_max` threads. What exists
    /// already is left alone.
    ///
    /// # Errors
    /// An I/O error; what was created until then is found again by the next attempt.
    pub fn create_partitions(
        &self,
        env: &Env,
        topic: &str,
        topic_id: Uuid,
        partitions: Range<u32>,
        threads_max: usize,
    ) -> Result<()> {
        let files = &*env.files;
        let format_version = self.format_version();
        let create = |&partition: &u32| {
            let directory = self.partition(topic_id, partition);
            files.create_directory(&directory)?;
            let topic = topic.to_owned();
            let file = PartitionFile { format_version, topic, topic_id, partition };
            let json = serde_json::to_vec(&file).map_err(io::Error::other)?;
            replace_durably(files, &directory, PARTITION_FILE, &json)
        };
        let partitions: Vec<u32> = partitions.collect();
        try_side_by_side(threads_max, &partitions, create)
            .and_then(|()| files.sync_directory(&self.topic(topic_id)))
            .and_then(|()| files.sync_directory(&self.path.join(LOGS)))
            .map_err(|error| Error::io(format_args!("creating the partitions of {topic}"), &error))
    }

    /// The ids of all topics that have a directory.
    ///
    /// # Errors
    /// An I/O error.
    pub fn topic_ids(&self, env: &Env) -> Result<Vec<Uuid>> {
        let logs = self.path.join(LOGS);
        let entries = env
            .files
            .list(&logs)
            .map_err(|error| Error::io(format_args!("listing {}", logs.display()), &error))?;
        Ok(entries.iter().filter_map(|entry| Uuid::parse_str(&entry.name).ok()).collect())
    }

    /// Refuses a directory that has topics and has lost what tells of them: they would be taken for
    /// nobody's.
    ///
    /// # Errors
    /// [`Code::DataDamaged`], or an I/O error.
    pub fn check_metadata(&self, env: &Env) -> Result<()> {
        let path = self.path.join(crate::metadata::FILE_NAME);
        match env.files.open(&path, OpenMode::Read) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if self.topic_ids(env)?.is_empty() {
                    return Ok(());
                }
                let detail = format!(
                    "{} is gone, and topics are there: put it back from a backup, or have \
                     `millrace repair` make it again",
                    path.display()
                );
                Err(Error::new(Code::DataDamaged, detail))
            }
            Err(error) => Err(Error::io(format_args!("opening {}", path.display()), &error)),
        }
    }

    /// Removes a topic's directory and everything in it, partitions on up to `threads_max` threads.
    /// A missing one is fine.
    ///
    /// # Errors
    /// An I/O error; calling again goes on where it stopped.
    pub fn remove_topic(&self, env: &Env, topic_id: Uuid, threads_max: usize) -> Result<()> {
        let topic = self.topic(topic_id);
        remove_tree(env, &topic, threads_max)
            .and_then(|()| env.files.sync_directory(&self.path.join(LOGS)))
            .map_err(|error| Error::io(format_args!("removing {}", topic.display()), &error))
    }

    /// Moves a topic's directory out of the way, also on a full disk, which gets the reserve's
    /// blocks; returns where it lies now.
    ///
    /// # Errors
    /// An I/O error.
    pub fn set_aside(&self, env: &Env, space: &SpaceWatch, topic_id: Uuid) -> Result<PathBuf> {
        self.move_aside(env, space, &self.topic(topic_id), &topic_id.to_string())
    }

    /// As [`set_aside`](Self::set_aside), of a directory of any kind, which is known by `name`.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn move_aside(
        &self,
        env: &Env,
        space: &SpaceWatch,
        from: &Path,
        name: &str,
    ) -> Result<PathBuf> {
        let aside = self.path.join(SET_ASIDE);
        let to = aside.join(format!("{name}-{}", env.clock.wall_ms()));
        let parent = from.parent().unwrap_or(from);
        space
            .with_reserve(|| env.files.create_directory(&aside))
            .and_then(|()| env.files.sync_directory(&self.path))
            .and_then(|()| space.with_reserve(|| env.files.rename(from, &to)))
            .and_then(|()| env.files.sync_directory(&aside))
            .and_then(|()| env.files.sync_directory(parent))
            .map_err(|error| Error::io(format_args!("moving {}", from.display()), &error))?;
        Ok(to)
    }
}

/// Makes the name of the data directory, and of every directory that was made on the way to it,
/// durable: without its name all that is in it is lost. Those above it that this process may not
/// open, or that lie on something that cannot be synced, were not made by it.
fn sync_ancestors(env: &Env, path: &Path) -> io::Result<()> {
    for ancestor in path.ancestors().skip(1) {
        let is_relative_root = ancestor.as_os_str().is_empty();
        let directory = if is_relative_root { Path::new(".") } else { ancestor };
        match env.files.sync_directory(directory) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied
                        | ErrorKind::InvalidInput
                        | ErrorKind::Unsupported
                        | ErrorKind::ReadOnlyFilesystem
                ) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes a directory, if it is there, and what is in it, which up to `threads_max` threads do.
fn remove_tree(env: &Env, path: &Path, threads_max: usize) -> io::Result<()> {
    let entries = match env.files.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    try_side_by_side(threads_max, &entries, |entry| {
        let child = path.join(&entry.name);
        if entry.is_directory { remove_tree(env, &child, 1) } else { env.files.remove_file(&child) }
    })?;
    env.files.remove_directory(path)
}
