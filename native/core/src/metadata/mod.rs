//! `metadata.redb`: the small, durable state of a data directory in one ACID file.
//!
//! The control plane's own keys (topics and their configuration), the leader epoch and the next
//! producer id. redb does the storing, over the files of [`crate::env`].

mod backend;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::{
    env::{Env, OpenMode},
    error::{Code, Error, Result},
    recovery::rewrite::rewrite,
    space::SpaceWatch,
};
use backend::Backend;

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
/// Failure contract: a call that fails changed nothing that a later call would see, and the caller
/// may try again. (Only where the file cannot even be opened again is it unknown.) redb itself does
/// nothing more once a write has failed, so it is then opened anew. On a full disk a change has
/// what is in reserve: it may be what makes room.
pub struct MetadataFile {
    backend: Backend,
    space: Arc<SpaceWatch>,
    state: RwLock<State>,
    /// Held by the one who changes something, until it is known what became of that.
    writing: Mutex<()>,
    /// Ids below this may have been handed out.
    producer_ids_end: AtomicU64,
}

enum State {
    Open(Database),
    /// A write failed: redb is opened anew by whoever comes next.
    Failed,
    Closed,
}

impl MetadataFile {
    /// Opens the file in `data_directory`, or creates it.
    ///
    /// # Errors
    /// [`Code::DataDamaged`] when it is not readable, or an I/O error.
    pub fn open(env: &Env, data_directory: &Path, space: Arc<SpaceWatch>) -> Result<Self> {
        let path = data_directory.join(FILE_NAME);
        let file = env
            .files
            .open(&path, OpenMode::OpenOrCreate)
            .and_then(|file| env.files.sync_directory(data_directory).map(|()| file))
            .map_err(|error| Error::io(format_args!("opening {}", path.display()), &error))?;
        let backend = Backend::new(file, path);
        let metadata = Self {
            state: RwLock::new(State::Open(space.with_reserve(|| open_database(&backend))?)),
            backend,
            space,
            writing: Mutex::default(),
            producer_ids_end: AtomicU64::new(0),
        };
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
        let state = self.opened()?;
        let transaction = database(&state)?.begin_read().map_err(failed)?;
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
        let _writing = self.writing.lock();
        self.space.with_reserve(|| self.commit_once(expected_epoch, changes))
    }

    fn commit_once(&self, expected_epoch: u64, changes: &[Change]) -> Result<u64> {
        let committed = self.write_once(|transaction| {
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
        });
        committed.or_else(|error| {
            // What failed may have been the very last step: then the change is there, and to stay.
            let is_there = is_of_disk(&error) && self.counter(EPOCH)? == expected_epoch + 1;
            if is_there { Ok(expected_epoch + 1) } else { Err(error) }
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

    /// Has a new file go on where a lost one stopped: the next leader epoch and producer id are
    /// these or larger ones.
    ///
    /// # Errors
    /// An I/O error.
    pub fn go_on_from(&self, leader_epoch: u64, producer_id: u64) -> Result<()> {
        self.write(|transaction| {
            for (name, least) in [(LEADER_EPOCH, leader_epoch), (NEXT_PRODUCER_ID, producer_id)] {
                let before = raise(transaction, name, 0)?;
                raise(transaction, name, least.saturating_sub(before))?;
            }
            Ok(())
        })
    }

    /// Closes the file, after what is being written; later calls fail with
    /// [`Code::ShuttingDown`].
    pub fn close(&self) {
        *self.state.write() = State::Closed;
    }

    fn counter(&self, name: &str) -> Result<u64> {
        let state = self.opened()?;
        let transaction = database(&state)?.begin_read().map_err(failed)?;
        let counters = transaction.open_table(COUNTERS).map_err(failed)?;
        Ok(counters.get(name).map_err(failed)?.map_or(0, |value| value.value()))
    }

    /// Makes a change that may be made twice.
    fn write<T>(&self, change: impl Fn(&WriteTransaction) -> Result<T>) -> Result<T> {
        let _writing = self.writing.lock();
        self.space.with_reserve(|| self.write_once(&change))
    }

    /// To be called with `writing` locked.
    fn write_once<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let result = {
            let state = self.opened()?;
            commit(database(&state)?, change)
        };
        if result.as_ref().is_err_and(is_of_disk) {
            let mut state = self.state.write();
            if matches!(*state, State::Open(_)) {
                *state = State::Failed;
            }
        }
        result
    }

    /// The state with redb open, unless the file is closed.
    fn opened(&self) -> Result<RwLockReadGuard<'_, State>> {
        let state = self.state.read();
        if !matches!(*state, State::Failed) {
            return Ok(state);
        }
        drop(state);
        let mut state = self.state.write();
        if matches!(*state, State::Failed) {
            *state = State::Open(open_database(&self.backend)?);
        }
        Ok(parking_lot::RwLockWriteGuard::downgrade(state))
    }
}

/// Opens redb on what an earlier one, of this process or another, has left.
fn open_database(backend: &Backend) -> Result<Database> {
    let file = backend.file();
    file.len()
        .and_then(|bytes| rewrite(file, 0, bytes))
        .and_then(|()| file.sync_data())
        .map_err(|error| backend.opening(&error))?;
    Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend.clone()).map_err(
        |error| match redb::Error::from(error) {
            // redb tells of a file that is not one of its own by this kind.
            redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
                backend.opening(&error)
            }
            error => Error::new(Code::DataDamaged, format!("{FILE_NAME}: {error}")),
        },
    )
}

fn database(state: &State) -> Result<&Database> {
    match state {
        State::Open(database) => Ok(database),
        State::Failed | State::Closed => Err(Error::new(Code::ShuttingDown, "the store is closed")),
    }
}

fn commit<T>(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<T>,
) -> Result<T> {
    let transaction = database.begin_write().map_err(failed)?;
    // Dropped without a commit, the transaction is undone.
    let result = change(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(result)
}

/// Whether redb has failed, and not what it was asked for.
fn is_of_disk(error: &Error) -> bool {
    matches!(error.code(), Code::DiskFull | Code::KafkaStorageError | Code::DataDamaged)
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

#[cfg(test)]
mod tests;
