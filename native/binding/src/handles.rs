//! Which number stands for which store or channel.

use std::sync::{Arc, LazyLock};

use millrace_core::registry::{Store, channel::Channel, produce::ProduceScratch};
use parking_lot::{Mutex, RwLock};

use crate::error::invalid;

/// A channel and the buffers of the loop that it belongs to.
pub(crate) struct LoopState {
    pub(crate) channel: Arc<Channel>,
    pub(crate) scratch: Mutex<LoopScratch>,
}

/// Buffers of one event loop; only that loop locks them.
#[derive(Default)]
pub(crate) struct LoopScratch {
    pub(crate) produce: ProduceScratch,
    pub(crate) frame: Vec<u8>,
}

static STORES: Slab<Store> = Slab::new();
static LOOPS: Slab<LoopState> = Slab::new();

struct Slab<T>(LazyLock<RwLock<Vec<Option<Arc<T>>>>>);

impl<T> Slab<T> {
    const fn new() -> Self {
        Self(LazyLock::new(RwLock::default))
    }

    fn add(&self, item: Arc<T>) -> u32 {
        let mut slots = self.0.write();
        slots.push(Some(item));
        u32::try_from(slots.len() - 1).unwrap_or(u32::MAX)
    }

    fn get(&self, number: u32) -> Option<Arc<T>> {
        self.0.read().get(usize::try_from(number).ok()?)?.clone()
    }

    fn take(&self, number: u32) -> Option<Arc<T>> {
        self.0.write().get_mut(usize::try_from(number).ok()?)?.take()
    }
}

pub(crate) fn add_store(store: Arc<Store>) -> u32 {
    STORES.add(store)
}

pub(crate) fn store(number: u32) -> napi::Result<Arc<Store>> {
    STORES.get(number).ok_or_else(|| invalid("the store is closed"))
}

pub(crate) fn take_store(number: u32) -> Option<Arc<Store>> {
    STORES.take(number)
}

pub(crate) fn add_loop(channel: Arc<Channel>) -> u32 {
    LOOPS.add(Arc::new(LoopState { channel, scratch: Mutex::default() }))
}

pub(crate) fn event_loop(number: u32) -> napi::Result<Arc<LoopState>> {
    LOOPS.get(number).ok_or_else(|| invalid("the channel is closed"))
}

pub(crate) fn take_loop(number: u32) -> Option<Arc<LoopState>> {
    LOOPS.take(number)
}
