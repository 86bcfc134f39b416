//! `metadata.redb`: the small, durable state of a data directory in one ACID file.
//!
//! The control plane's own keys (topics and their configuration), the leader epoch and the next
//! producer id. redb does the storing, over the files of [`crate::env`].

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use redb::{
    Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};

use crate::{
    env::{
        Env, File, OpenMode,
        transfer::{read_full, write_full},
    },
    error::{Code, Error, Result},
    recovery::rewrite::rewrite,
};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "metadata.redb";
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const EPOCH: &str = "epoch";
const LEADER_EPOCH: &str = "leader_epoch";
const NEXT_PRODUCER_ID: &str = "next_producer_id";
/// redb's page cache: the file is a few MiB at most, and is read whole at start.
const CACHE_BYTES: usize = 1 << 20;

/// One change of [`MetadataFile::commit`]: a key and its new value; `None` removes it.
pub type Change = (String, Option<Vec<u8>>);

/// Everything that the control plane stored, at one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The epoch.
    pub epoch: u64,
    /// Keys and values, in the order of keys.
    pub entries: Vec<(String, Vec<u8>)>,
}

/// The metadata of one data directory. Calls wait for the disk.
///
/// Failure contract: a call that fails changed nothing that a later call would see.
pub struct MetadataFile {
    /// `None` once closed.
    database: RwLock<Option<Database>>,
    /// Ids below this may have been handed out.
    producer_ids_end: AtomicU64,
}

impl MetadataFile {
    /// Opens the file in `data_directory`, or creates it.
    ///
    /// # Errors
    /// [`Code::DataDamaged`] when it is not readable, or an I/O error.
    pub fn open(env: &Env, data_directory: &Path) -> Result<Self> {
        let path = data_directory.join(FILE_NAME);
        let file = env
            .files
            .open(&path, OpenMode::OpenOrCreate)
            .and_then(|file| {
                env.files.sync_directory(data_directory)?;
                rewrite(&*file, 0, file.len()?)?;
                file.sync_data()?;
                Ok(file)
            })
            .map_err(|error| Error::io(format_args!("opening {}", path.display()), &error))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(Backend { file })
            .map_err(|error| match redb::Error::from(error) {
                // redb tells of a file that is not one of its own by this kind.
                redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
                    Error::io(format_args!("opening {}", path.display()), &error)
                }
                error => Error::new(Code::DataDamaged, format!("{}: {error}", path.display())),
            })?;
        let metadata =
            Self { database: RwLock::new(Some(database)), producer_ids_end: AtomicU64::new(0) };
        metadata.write(|transaction| {
            transaction.open_table(ENTRIES).map_err(failed)?;
            transaction.open_table(COUNTERS).map_err(failed)?;
            Ok(())
        })?;
        metadata.producer_ids_end.store(metadata.counter(NEXT_PRODUCER_ID)?, Ordering::Release);
        Ok(metadata)
    }

    /// Every entry, in the order of keys, and the epoch that they are at.
    ///
    /// # Errors
    /// An I/O error.
    pub fn load(&self) -> Result<Content> {
        let database = self.database.read();
        let transaction = open(&database)?.begin_read().map_err(failed)?;
        let counters = transaction.open_table(COUNTERS).map_err(failed)?;
        let epoch = counters.get(EPOCH).map_err(failed)?.map_or(0, |value| value.value());
        let table = transaction.open_table(ENTRIES).map_err(failed)?;
        let mut entries = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            entries.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(Content { epoch, entries })
    }

    /// Applies all changes or none, durably, and returns the new epoch.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] when `expected_epoch` is not the current one: someone else wrote.
    pub fn commit(&self, expected_epoch: u64, changes: &[Change]) -> Result<u64> {
        self.write(|transaction| {
            let epoch = raise(transaction, EPOCH, 1)?;
            if epoch != expected_epoch {
                let detail = format!("metadata is at epoch {epoch}, not {expected_epoch}");
                return Err(Error::new(Code::InvalidRequest, detail));
            }
            let mut table = transaction.open_table(ENTRIES).map_err(failed)?;
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        drop(table.insert(key.as_str(), value.as_slice()).map_err(failed)?)
                    }
                    None => drop(table.remove(key.as_str()).map_err(failed)?),
                }
            }
            Ok(epoch + 1)
        })
    }

    /// Takes `count` producer ids that nobody had before; returns the first.
    ///
    /// # Errors
    /// An I/O error.
    pub fn allocate_producer_ids(&self, count: u64) -> Result<u64> {
        let first = self.write(|transaction| raise(transaction, NEXT_PRODUCER_ID, count))?;
        self.producer_ids_end.fetch_max(first + count, Ordering::AcqRel);
        Ok(first)
    }

    /// The first producer id that nobody can have yet, as far as this data directory goes.
    pub fn producer_ids_end(&self) -> u64 {
        self.producer_ids_end.load(Ordering::Acquire)
    }

    /// The leader epoch in force.
    ///
    /// # Errors
    /// An I/O error.
    pub fn leader_epoch(&self) -> Result<u64> {
        self.counter(LEADER_EPOCH)
    }

    /// Starts a new leader epoch, durably, and returns it.
    ///
    /// # Errors
    /// An I/O error.
    pub fn raise_leader_epoch(&self) -> Result<u64> {
        self.write(|transaction| Ok(raise(transaction, LEADER_EPOCH, 1)? + 1))
    }

    /// Closes the file, after what is being written; later calls fail with
    /// [`Code::ShuttingDown`].
    pub fn close(&self) {
        drop(self.database.write().take());
    }

    fn counter(&self, name: &str) -> Result<u64> {
        let database = self.database.read();
        let transaction = open(&database)?.begin_read().map_err(failed)?;
        let counters = transaction.open_table(COUNTERS).map_err(failed)?;
        Ok(counters.get(name).map_err(failed)?.map_or(0, |value| value.value()))
    }

    fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let database = self.database.read();
        let transaction = open(&database)?.begin_write().map_err(failed)?;
        // Dropped without a commit, the transaction is undone.
        let result = change(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(result)
    }
}

fn open(database: &Option<Database>) -> Result<&Database> {
    let closed = || Error::new(Code::ShuttingDown, "the store is closed");
    database.as_ref().ok_or_else(closed)
}

/// Adds to a counter; returns what it was before.
fn raise(transaction: &WriteTransaction, name: &str, by: u64) -> Result<u64> {
    let mut counters = transaction.open_table(COUNTERS).map_err(failed)?;
    let before = counters.get(name).map_err(failed)?.map_or(0, |value| value.value());
    counters.insert(name, before + by).map_err(failed)?;
    Ok(before)
}

fn failed(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) => Error::io("writing the metadata", &error),
        redb::Error::Corrupted(detail) => Error::new(Code::DataDamaged, detail),
        other => Error::new(Code::KafkaStorageError, format!("metadata: {other}")),
    }
}

/// redb's view of a file of the environment.
struct Backend {
    file: Arc<dyn File>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("metadata file")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if read_full(&*self.file, out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_full(&*self.file, &[data], offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_guarded_by_their_epoch_and_survive_a_reopen() {
        let env = Env::memory(None);
        let directory = Path::new("/data");
        env.files.create_directory(directory).unwrap();
        let change = |key: &str, value: &str| (key.to_owned(), Some(value.as_bytes().to_vec()));
        {
            let metadata = MetadataFile::open(&env, directory).unwrap();
            assert_eq!(metadata.commit(0, &[change("a", "1"), change("b", "2")]), Ok(1));
            let stale = metadata.commit(0, &[change("a", "9")]).unwrap_err();
            assert_eq!(stale.code(), Code::InvalidRequest);
            assert_eq!(metadata.commit(1, &[("b".to_owned(), None)]), Ok(2));
            assert_eq!(metadata.producer_ids_end(), 0);
            assert_eq!(metadata.allocate_producer_ids(1000), Ok(0));
            assert_eq!(metadata.producer_ids_end(), 1000);
            assert_eq!(metadata.raise_leader_epoch(), Ok(1));
        }
        let metadata = MetadataFile::open(&env, directory).unwrap();
        let entries = vec![("a".to_owned(), b"1".to_vec())];
        assert_eq!(metadata.load(), Ok(Content { epoch: 2, entries }));
        assert_eq!(metadata.producer_ids_end(), 1000);
        assert_eq!(metadata.allocate_producer_ids(1), Ok(1000));
        assert_eq!(metadata.leader_epoch(), Ok(1));
        metadata.close();
        let refusal = metadata.allocate_producer_ids(1).unwrap_err();
        assert_eq!(refusal.code(), Code::ShuttingDown);
        assert_eq!(metadata.producer_ids_end(), 1001);
    }

    #[test]
    fn a_file_that_is_not_ours_is_damage() {
        let env = Env::memory(None);
        let directory = Path::new("/data");
        env.files.create_directory(directory).unwrap();
        let path = directory.join(FILE_NAME);
        let file = env.files.open(&path, OpenMode::OpenOrCreate).unwrap();
        write_full(&*file, &[&[b'x'; 100_000]], 0).unwrap();
        let refusal = MetadataFile::open(&env, directory).err().map(|error| error.code());
        assert_eq!(refusal, Some(Code::DataDamaged));
    }
}
