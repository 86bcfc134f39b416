//! The metadata file.

use millrace_core::metadata::Change;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use crate::{error::to_js, handles, job::Job};

/// One key and its value.
#[napi(object)]
pub struct NativeMetadataEntry {
    /// The key.
    pub key: String,
    /// The value; absent in a change that removes the key.
    pub value: Option<Uint8Array>,
}

/// Everything in the metadata file.
#[napi(object)]
pub struct NativeMetadata {
    /// The epoch that it is at.
    pub epoch: f64,
    /// All entries, in the order of keys.
    pub entries: Vec<NativeMetadataEntry>,
}

/// Reads everything. Reads a small, cached file: called at start only.
#[napi]
pub fn metadata_load(store: u32) -> napi::Result<NativeMetadata> {
    let content = handles::store(store)?.metadata().load().map_err(|error| to_js(&error))?;
    let entries = content
        .entries
        .into_iter()
        .map(|(key, value)| NativeMetadataEntry { key, value: Some(Uint8Array::new(value)) })
        .collect();
    Ok(NativeMetadata { epoch: content.epoch as f64, entries })
}

/// Applies all changes or none, durably; resolves to the new epoch.
#[napi(ts_return_type = "Promise<number>")]
pub fn metadata_commit(
    store: u32,
    expected_epoch: f64,
    changes: Vec<NativeMetadataEntry>,
) -> napi::Result<AsyncTask<Job<f64>>> {
    let store = handles::store(store)?;
    let changes: Vec<Change> = changes
        .into_iter()
        .map(|change| (change.key, change.value.map(|value| value.to_vec())))
        .collect();
    Ok(Job::start(move || {
        store.metadata().commit(expected_epoch as u64, &changes).map(|epoch| epoch as f64)
    }))
}

/// The first producer id that nobody can have yet.
#[napi]
pub fn producer_ids_end(store: u32) -> napi::Result<f64> {
    Ok(handles::store(store)?.metadata().producer_ids_end() as f64)
}

/// Takes `count` producer ids that nobody had before; resolves to the first.
#[napi(ts_return_type = "Promise<number>")]
pub fn allocate_producer_ids(store: u32, count: u32) -> napi::Result<AsyncTask<Job<f64>>> {
    let store = handles::store(store)?;
    Ok(Job::start(move || {
        store.metadata().allocate_producer_ids(u64::from(count)).map(|first| first as f64)
    }))
}
