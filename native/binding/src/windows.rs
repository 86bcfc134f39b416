//! Read windows as memory of JavaScript.
#![expect(unsafe_code, reason = "mapped memory becomes ArrayBuffers here")]

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use millrace_core::segment::maps::Window;
use napi::{Env, bindgen_prelude::ArrayBuffer};
use napi_derive::napi;

use crate::{error::invalid, handles, store::whole};

/// A window that a loop has, and how many times over.
struct Held {
    window: Arc<Window>,
    count: u32,
}

thread_local! {
    /// What the loops of this thread have, by the numbers of channel and window. A window may be in
    /// use for longer than its channel is open.
    static HELD: RefCell<HashMap<(u32, u64), Held>> = RefCell::default();
}

/// Lets go of every window when the thread's JavaScript has ended.
pub(crate) fn abandon() {
    // Dropped once nothing is borrowed: to unmap takes a while.
    drop(HELD.take());
}

/// Has the loop hold a read window until it calls `releaseWindow` as often: answers the slot that
/// it is placed in, -1 for a window with addresses of its own, or `null` when it was given up
/// meanwhile (read again then).
#[napi]
pub fn hold_window(store: u32, channel: u32, window: f64) -> napi::Result<Option<f64>> {
    let store = handles::store(store)?;
    let Some(window) = store.shared().windows.by_id(whole(window)) else {
        return Ok(None);
    };
    let slot = window.mapping.slot().map_or(-1.0, |slot| slot.number() as f64);
    HELD.with_borrow_mut(|held| {
        let key = (channel, window.id);
        held.entry(key).or_insert(Held { window, count: 0 }).count += 1;
    });
    Ok(Some(slot))
}

/// The memory of a window that the loop holds, or of the whole slot that it is placed in, as an
/// `ArrayBuffer` that nobody may write to. That of a slot shows what is placed there at the time,
/// or zeros. The memory stays mapped until the buffer is collected or detached.
#[napi]
pub fn window_buffer<'env>(
    env: &'env Env,
    channel: u32,
    window: f64,
) -> napi::Result<ArrayBuffer<'env>> {
    let key = (channel, whole(window));
    let window = HELD.with_borrow(|held| held.get(&key).map(|held| Arc::clone(&held.window)));
    let window = window.ok_or_else(|| invalid("the loop does not hold the window"))?;
    if let Some(slot) = window.mapping.slot() {
        let addresses = Arc::clone(slot.addresses());
        let (pointer, bytes) = (addresses.as_ptr().cast_mut(), addresses.bytes());
        // SAFETY: the addresses are `bytes` long and mapped, to whatever, until the finalizer drops
        // the Arc that it is given; to be written to they are as below.
        return unsafe {
            ArrayBuffer::from_external(env, pointer, bytes, addresses, |_env, kept| drop(kept))
        };
    }
    let (pointer, bytes) = (window.mapping.as_ptr().cast_mut(), window.mapping.bytes());
    // SAFETY: the mapping is `bytes` long and stays mapped until the finalizer drops the Arc that
    // it is given. It is mapped read-only: a script that writes to it faults, which src/storage
    // rules out by handing out its views to sockets only.
    unsafe { ArrayBuffer::from_external(env, pointer, bytes, window, |_env, kept| drop(kept)) }
}

/// Lets go of a window: unless somebody else has it, its slot is another's from now on.
#[napi]
pub fn release_window(channel: u32, window: f64) {
    let released = HELD.with_borrow_mut(|held| {
        let Entry::Occupied(mut entry) = held.entry((channel, whole(window))) else { return None };
        entry.get_mut().count -= 1;
        (entry.get().count == 0).then(|| entry.remove())
    });
    drop(released);
}

/// Gives a buffer's memory back at once, as far as nothing else has it: no bytes are left in it.
#[napi]
pub fn detach_buffer(buffer: ArrayBuffer<'_>) -> napi::Result<()> {
    buffer.detach()
}
