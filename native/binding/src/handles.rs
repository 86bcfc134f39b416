//! Which number stands for which store or channel, and to whom it belongs.
//!
//! Numbers mean the same in every thread. Each belongs to the thread that made it, and is given
//! back when that thread's JavaScript ends without having closed it: a worker that was terminated
//! must not keep a data directory open.

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use millrace_core::registry::{
    Store,
    channel::Channel,
    produce::ProduceScratch,
    shared_frames::SharedFrames,
    stores::{OpenStores, StoreShare},
};
use napi::Env;
use parking_lot::{Mutex, RwLock};

use crate::{error::invalid, wake::Wake, windows};

/// A channel and the buffers of the loop that it belongs to.
pub(crate) struct LoopState {
    pub(crate) channel: Arc<Channel>,
    pub(crate) wake: Arc<Wake>,
    pub(crate) scratch: Mutex<LoopScratch>,
}

/// Buffers of one event loop; only that loop locks them.
#[derive(Default)]
pub(crate) struct LoopScratch {
    pub(crate) produce: ProduceScratch,
    pub(crate) frames: SharedFrames,
}

/// The stores of this process.
pub(crate) static OPEN_STORES: LazyLock<Arc<OpenStores>> = LazyLock::new(Arc::default);
static STORES: Slab<StoreShare> = Slab::new();
static LOOPS: Slab<LoopState> = Slab::new();

struct Slab<T>(LazyLock<RwLock<Vec<Slot<T>>>>);

enum Slot<T> {
    /// The number is given out; what it will stand for is still being opened.
    Reserved,
    Used(Arc<T>),
    /// No number is used twice: one that is out of date finds nothing.
    Gone,
}

impl<T> Slab<T> {
    const fn new() -> Self {
        Self(LazyLock::new(RwLock::default))
    }

    fn reserve(&self) -> u32 {
        let mut slots = self.0.write();
        slots.push(Slot::Reserved);
        u32::try_from(slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// Gives a reserved number its meaning; gives `item` back when the number is gone already.
    fn fill(&self, number: u32, item: Arc<T>) -> Result<(), Arc<T>> {
        let mut slots = self.0.write();
        let slot = usize::try_from(number).ok().and_then(|index| slots.get_mut(index));
        match slot {
            Some(slot @ Slot::Reserved) => {
                *slot = Slot::Used(item);
                Ok(())
            }
            _ => Err(item),
        }
    }

    fn is_gone(&self, number: u32) -> bool {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        matches!(self.0.read().get(index), None | Some(Slot::Gone))
    }

    fn with<R>(&self, number: u32, action: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        match self.0.read().get(usize::try_from(number).ok()?)? {
            Slot::Used(item) => Some(action(item)),
            Slot::Reserved | Slot::Gone => None,
        }
    }

    fn take(&self, number: u32) -> Option<Arc<T>> {
        let mut slots = self.0.write();
        let slot = slots.get_mut(usize::try_from(number).ok()?)?;
        match std::mem::replace(slot, Slot::Gone) {
            Slot::Used(item) => Some(item),
            Slot::Reserved | Slot::Gone => None,
        }
    }
}

/// What the JavaScript of one thread has opened and not closed.
#[derive(Default)]
struct Owned {
    stores: Vec<u32>,
    loops: Vec<u32>,
    is_watched: bool,
}

thread_local! {
    static OWNED: RefCell<Owned> = RefCell::default();
}

impl Owned {
    /// Has everything given back when the thread's JavaScript ends.
    fn watch(&mut self, env: &Env) -> napi::Result<()> {
        if !self.is_watched {
            env.add_env_cleanup_hook((), |()| abandon())?;
            self.is_watched = true;
        }
        Ok(())
    }
}

/// Closes what was left open, as the thread itself would have: the last one who has a store flushes
/// it and notes the clean stop.
fn abandon() {
    let owned = OWNED.take();
    let loops = owned.loops.into_iter().filter_map(|number| LOOPS.take(number));
    for state in loops {
        state.channel.finish();
        state.channel.close();
    }
    for share in owned.stores.into_iter().filter_map(|number| STORES.take(number)) {
        // Nobody is left to be told of a failure. The next start finds no clean stop, and recovers.
        drop(share.close());
    }
    windows::abandon();
}

/// A number for a store that is about to be opened.
pub(crate) fn reserve_store(env: &Env) -> napi::Result<u32> {
    OWNED.with_borrow_mut(|owned| {
        owned.watch(env)?;
        // Those whose opening failed.
        owned.stores.retain(|number| !STORES.is_gone(*number));
        let number = STORES.reserve();
        owned.stores.push(number);
        Ok(number)
    })
}

/// Gives the number its store; gives the share back if the thread has ended meanwhile.
pub(crate) fn fill_store(number: u32, share: StoreShare) -> Result<(), Arc<StoreShare>> {
    STORES.fill(number, Arc::new(share))
}

pub(crate) fn store(number: u32) -> napi::Result<Arc<Store>> {
    let store = STORES.with(number, |share| Arc::clone(share.store()));
    store.ok_or_else(|| invalid("the store is closed"))
}

/// Ends a number; what it stood for is the caller's to close.
pub(crate) fn take_store(number: u32) -> Option<Arc<StoreShare>> {
    OWNED.with_borrow_mut(|owned| owned.stores.retain(|other| *other != number));
    STORES.take(number)
}

pub(crate) fn add_loop(env: &Env, channel: Arc<Channel>, wake: Arc<Wake>) -> napi::Result<u32> {
    OWNED.with_borrow_mut(|owned| {
        owned.watch(env)?;
        let number = LOOPS.reserve();
        let state = LoopState { channel, wake, scratch: Mutex::default() };
        LOOPS.fill(number, Arc::new(state)).map_err(|_| invalid("channel numbers are used up"))?;
        owned.loops.push(number);
        Ok(number)
    })
}

pub(crate) fn event_loop(number: u32) -> napi::Result<Arc<LoopState>> {
    LOOPS.with(number, Arc::clone).ok_or_else(|| invalid("the channel is closed"))
}

pub(crate) fn take_loop(number: u32) -> Option<Arc<LoopState>> {
    OWNED.with_borrow_mut(|owned| owned.loops.retain(|other| *other != number));
    LOOPS.take(number)
}
