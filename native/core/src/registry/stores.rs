//! The stores of a process, each shared by all who open it.
//!
//! Whoever opens a data directory that this process has open already gets a share in the same
//! [`Store`]; the last share that is closed closes the store. Another process is refused by the
//! directory's lock.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{Store, StoreOptions};
use crate::{
    env::Env,
    error::{Code, Error, Result},
};

/// Where a store keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the data directory that the options name.
    Disk,
    /// In memory; gone when the store is closed.
    Memory {
        /// Those who open the same name share a store; without one it is the opener's alone.
        name: Option<String>,
        /// Bytes after which it is full; without them, never.
        bytes_max: Option<u64>,
    },
}

/// What somebody opens a store for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To decide what topics there are; a store has one such user at a time.
    Owner,
    /// To use the topics that there are.
    Guest,
}

/// What tells one store from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Directory(PathBuf),
    Memory(String),
}

/// The stores that are open, or being opened or closed.
///
/// A slot is locked while its store is opened or closed, so that whoever comes meanwhile waits and
/// then shares the store, or opens it anew. Slots of closed stores are taken out.
#[derive(Default)]
pub struct OpenStores {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

type Slot = Mutex<Option<OpenStore>>;

struct OpenStore {
    store: Arc<Store>,
    place: Place,
    options: StoreOptions,
    shares: usize,
    has_owner: bool,
}

/// One opener's part in a store. It counts until [`close`](Self::close), whatever becomes of this
/// object.
pub struct StoreShare {
    store: Arc<Store>,
    /// `None` for a store of its own.
    key: Option<Key>,
    role: Role,
    stores: Arc<OpenStores>,
    is_closed: AtomicBool,
}

impl OpenStores {
    /// Opens a store, or shares the one that is open. Waits for the disk.
    ///
    /// # Errors
    /// - [`Code::InvalidArgument`] when it is open with other options.
    /// - [`Code::DataDirectoryInUse`] when it has an owner and is to get another.
    /// - Those of [`Store::open`].
    pub fn open(
        self: &Arc<Self>,
        place: Place,
        options: StoreOptions,
        role: Role,
    ) -> Result<StoreShare> {
        let (env, key) = match &place {
            Place::Disk => {
                let env = Env::system();
                let key = directory_key(&env, &options)?;
                (env, Some(key))
            }
            Place::Memory { name, bytes_max } => {
                (Env::memory(*bytes_max), name.clone().map(Key::Memory))
            }
        };
        let store = match &key {
            None => Store::open(env, options)?,
            Some(key) => self.share(key, env, place, options, role)?,
        };
        let (stores, is_closed) = (Arc::clone(self), AtomicBool::new(false));
        Ok(StoreShare { store, key, role, stores, is_closed })
    }

    fn share(
        &self,
        key: &Key,
        env: Env,
        place: Place,
        options: StoreOptions,
        role: Role,
    ) -> Result<Arc<Store>> {
        let is_owner = role == Role::Owner;
        loop {
            let slot = Arc::clone(self.slots.lock().entry(key.clone()).or_default());
            let mut open = slot.lock();
            if !self.holds(key, &slot) {
                // Its store was closed while we waited, and somebody may be opening it anew.
                continue;
            }
            if let Some(open) = &mut *open {
                check_agreement(open, &place, &options)?;
                if is_owner && open.has_owner {
                    let path = options.data_directory.display();
                    let detail = format!("{path} (in this process)");
                    return Err(Error::new(Code::DataDirectoryInUse, detail));
                }
                open.has_owner |= is_owner;
                open.shares += 1;
                return Ok(Arc::clone(&open.store));
            }
            let opened = Store::open(env, options.clone());
            match &opened {
                Ok(store) => {
                    let store = Arc::clone(store);
                    let has_owner = is_owner;
                    *open = Some(OpenStore { store, place, options, shares: 1, has_owner });
                }
                Err(_) => self.forget(key),
            }
            return opened;
        }
    }

    fn holds(&self, key: &Key, slot: &Arc<Slot>) -> bool {
        self.slots.lock().get(key).is_some_and(|held| Arc::ptr_eq(held, slot))
    }

    /// Takes a slot out. The caller has it locked.
    fn forget(&self, key: &Key) {
        self.slots.lock().remove(key);
    }

    /// Takes a share back; closes the store with the last one.
    fn release(&self, key: &Key, store: &Store, role: Role) -> Result<()> {
        let slot = self.slots.lock().get(key).map(Arc::clone);
        let Some(slot) = slot else { return store.close() };
        let mut open = slot.lock();
        if let Some(open) = &mut *open
            && open.shares > 1
        {
            open.shares -= 1;
            open.has_owner &= role != Role::Owner;
            return Ok(());
        }
        *open = None;
        let closed = store.close();
        self.forget(key);
        closed
    }
}

impl StoreShare {
    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Makes everything appended until now durable, and gives the share back; the last one closes
    /// the store. Waits for the disk. Calls after the first do nothing.
    ///
    /// # Errors
    /// Those of [`Store::close`] and [`Store::flush`]; the share is given back all the same.
    pub fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let Some(key) = &self.key else { return self.store.close() };
        // Before the share is given back: the store could be closed under a flush after that.
        let flushed = self.store.flush();
        self.stores.release(key, &self.store, self.role).and(flushed)
    }
}

/// The directory itself rather than its name: it has others by links and relative to wherever the
/// process is. Creates it where it is missing.
fn directory_key(env: &Env, options: &StoreOptions) -> Result<Key> {
    let path = &options.data_directory;
    env.files
        .create_directory(path)
        .and_then(|()| env.files.canonical(path))
        .map(Key::Directory)
        .map_err(|error| Error::io(format_args!("opening {}", path.display()), &error))
}

fn check_agreement(open: &OpenStore, place: &Place, options: &StoreOptions) -> Result<()> {
    let differs = |what: &str, open: String, asked: String| {
        let detail = format!("this process has the store open with {what} {open}, not {asked}");
        Err(Error::new(Code::InvalidArgument, detail))
    };
    if let (Place::Memory { bytes_max: open, .. }, Place::Memory { bytes_max, .. }) =
        (&open.place, place)
        && open != bytes_max
    {
        let shown = |bytes: &Option<u64>| bytes.map_or("unbounded".to_owned(), |n| n.to_string());
        return differs("memory bytes max", shown(open), shown(bytes_max));
    }
    let (flush, asked) = (open.options.flush_threads_max, options.flush_threads_max);
    if flush != asked {
        return differs("flush threads max", flush.to_string(), asked.to_string());
    }
    let (descriptors, asked) = (open.options.descriptors_max, options.descriptors_max);
    if descriptors != asked {
        return differs("descriptors max", descriptors.to_string(), asked.to_string());
    }
    let (journal, asked) = (open.options.journal, options.journal);
    if journal != asked {
        let shown = |journal: Option<_>| if journal.is_some() { "enabled" } else { "disabled" };
        return differs("the flush journal", shown(journal).to_owned(), shown(asked).to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
