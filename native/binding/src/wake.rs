//! Waking an event loop, and keeping it from ending.
#![expect(unsafe_code, reason = "what napi offers for this needs a function of one owner")]

use std::thread::ThreadId;

use napi::{
    Env, Status,
    bindgen_prelude::Function,
    check_status, sys,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};

use crate::error::invalid;

/// A function of JavaScript without arguments that any thread may have called, and that alone does
/// not keep its event loop from ending.
type WakeFunction = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Calls a function on the event loop that it belongs to.
pub(crate) struct Wake {
    function: WakeFunction,
    thread: ThreadId,
}

impl Wake {
    pub(crate) fn new(function: &Function<'_, (), ()>) -> napi::Result<Self> {
        let function = function.build_threadsafe_function::<()>().weak::<true>().build()?;
        Ok(Self { function, thread: std::thread::current().id() })
    }

    /// Has the function called soon; does nothing once the loop has ended.
    pub(crate) fn call(&self) {
        self.function.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// Keeps the event loop from ending for want of other work, or lets it. Called by its thread.
    pub(crate) fn hold(&self, env: &Env, is_held: bool) -> napi::Result<()> {
        if self.thread != std::thread::current().id() {
            return Err(invalid("the channel belongs to another thread"));
        }
        self.function.handle.with_read_aborted(|is_aborted| {
            if is_aborted {
                return Ok(());
            }
            let function = self.function.raw();
            // SAFETY: the function is this environment's, on whose thread we are, and it is not
            // released before `self` is dropped or it is marked as aborted under the lock held.
            check_status!(unsafe {
                if is_held {
                    sys::napi_ref_threadsafe_function(env.raw(), function)
                } else {
                    sys::napi_unref_threadsafe_function(env.raw(), function)
                }
            })
        })
    }
}
