//! What tests do to the machine of a store in memory.

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;

use crate::{error::to_js, handles, job::Job, store::whole};

/// Fills the disk of a store in memory, or makes room on it.
#[napi(ts_return_type = "Promise<void>")]
pub fn set_disk_full(store: u32, is_full: bool) -> napi::Result<AsyncTask<Job<()>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || store.set_disk_full(is_full)))
}

/// Has flushes of a store in memory take at least so long.
#[napi]
pub fn set_flush_delay(store: u32, delay_ms: f64) -> napi::Result<()> {
    let store = handles::store(store)?;
    store.set_flush_delay_ms(whole(delay_ms)).map_err(|error| to_js(&error))
}

/// Lets time pass for a store in memory.
#[napi]
pub fn advance_clock(store: u32, milliseconds: f64) -> napi::Result<()> {
    let store = handles::store(store)?;
    store.advance_clock_ms(whole(milliseconds)).map_err(|error| to_js(&error))
}

/// Resolves when what a store does by itself has looked at its clock once more.
#[napi(ts_return_type = "Promise<void>")]
pub fn settle_store(store: u32) -> napi::Result<AsyncTask<Job<()>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || {
        store.settle();
        Ok(())
    }))
}
